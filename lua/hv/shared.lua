--- hv.shared - dictionaries in memory that all workers share, threads and processes.
---
---   local hits = assert(hv.shared.dict("hits", "1M"))
---   hits:incr(req.path)
---
--- Keys are strings; values strings, numbers, booleans, and tables of them, which are copied. Each
--- call is one step for everybody. Where a dictionary is full, what was not used for longest makes
--- room. No call waits.
local misuse = require("_hv.loop").misuse
local options = require "hv.options"
local raw = require "_hv.shared"
local wire = require "hv.wire"

---@class hv.shared
local M = {}

local Dict = raw.methods
local raw_get, raw_set, raw_expire = Dict.get, Dict.set, Dict.expire

local function check_ttl(where, ttl)
  if ttl == nil then return 0 end
  if type(ttl) ~= "number" or ttl < 0 or ttl ~= ttl or ttl > 2 ^ 53 then
    return misuse(("%s: ttl must be milliseconds (0: for ever), got %s"):format(where,
      tostring(ttl)))
  end
  return math.ceil(ttl)
end

local function decoded(value, is_encoded, code)
  if is_encoded == true then return wire.decode(value) end
  if code then return nil, is_encoded, code end
  return value
end

--- The value of a key; nil where there is none.
---@param key string
---@return string|number|boolean|table? value
function Dict:get(key) return decoded(raw_get(self, key)) end

local function setter(name, mode)
  local where = "dict:" .. name
  return function(self, key, value, ttl)
    local kind = type(value)
    ttl = check_ttl(where, ttl)
    if kind == "table" then
      return raw_set(self, key, wire.encode(where, "value", value), ttl, mode, true)
    end
    if kind ~= "string" and kind ~= "number" and kind ~= "boolean" then
      return misuse(("%s: value must be a string, number, boolean or table, got %s%s"):format(where,
        kind, kind == "nil" and " (see dict:delete)" or ""))
    end
    return raw_set(self, key, value, ttl, mode)
  end
end

--- Sets a value; without a ttl it lives until it is deleted or makes room.
Dict.set = setter("set", 0)
--- The same only where there is none: else nil, message, "EEXIST".
Dict.add = setter("add", 1)
--- The same only where there is one: else nil, message, "ENOTFOUND".
Dict.replace = setter("replace", 2)

--- Sets how long an entry is to live from now on.
---@param key string
---@param ttl? number milliseconds; 0 or nil: until it is deleted or makes room
function Dict:expire(key, ttl) return raw_expire(self, key, check_ttl("dict:expire", ttl)) end

--- The dictionary of a name; it is made where there is none, and one that exists is taken as it is,
--- whatever the size. It is the same for all threads and all worker processes of a program, and
--- outlives a worker and a reload. A name that begins with "/" is the same for all programs of this
--- user, and outlives them too: see hv.shared.unlink.
---@param name string
---@param size? integer|string bytes, or "64K", "8M" ...; nil: one that exists
---@return hv.SharedDict? dict
---@return string? message
---@return hv.ErrCode? code ENOTFOUND (no size given), ELIMIT, ENOMEM
function M.dict(name, size)
  if type(name) ~= "string" or #name == 0 or #name > 63 or name:find("%z") then
    return misuse("hv.shared.dict: name must be a string of 1..63 bytes, got " .. tostring(name))
  end
  local bytes = size == nil and 0 or options.size(size)
  if not bytes or size ~= nil and (bytes < raw.SIZE_MIN or bytes > raw.SIZE_MAX) then
    return misuse(("hv.shared.dict: size must be \"%dK\" to \"%dG\", got %s"):format(
      raw.SIZE_MIN / 1024, raw.SIZE_MAX / 2 ^ 30, tostring(size)))
  end
  return raw.open(name, bytes)
end

--- Removes the name of a dictionary whose name begins with "/"; who has it keeps it.
---@param name string
---@return true? ok
---@return string? message
---@return hv.ErrCode? code ENOENT
M.unlink = raw.unlink

return M
