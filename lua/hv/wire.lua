--- hv.wire - values as bytes, for what crosses from one Lua state to another: nil, booleans,
--- numbers, strings, and tables of them. Private to lua/hv.
---
--- string.buffer does the work. What it would take beyond that, or refuse with few words, is looked
--- for first, so that the message names the place. A metatable is not sent; a table that occurs
--- twice arrives as two.
local buffer = require "string.buffer"
local misuse = require("_hv.loop").misuse

local encode, decode = buffer.encode, buffer.decode
local type, pairs = type, pairs

local M = {}

local DEPTH_MAX = 90 -- string.buffer's own limit is 100

local plain = { ["nil"] = true, boolean = true, number = true, string = true }

local function step(path, key)
  if type(key) == "string" and key:match("^[%a_][%w_]*$") then return path .. "." .. key end
  if type(key) == "string" then return ("%s[%q]"):format(path, key) end
  return ("%s[%s]"):format(path, tostring(key))
end

--- What is wrong with a value, with its place; nil: nothing.
local function find_fault(value, open, depth)
  if type(value) ~= "table" then return "a " .. type(value) .. " cannot be sent", "" end
  if open[value] then return "a table that contains itself cannot be sent", "" end
  if depth > DEPTH_MAX then return "tables are nested deeper than " .. DEPTH_MAX, "" end
  open[value] = true
  for key, item in pairs(value) do
    if not plain[type(key)] then return "a " .. type(key) .. " cannot be a key", "" end
    if not plain[type(item)] then
      local fault, path = find_fault(item, open, depth + 1)
      if fault then return fault, step("", key) .. path end
    end
  end
  open[value] = nil
end

local function check(where, what, value)
  if plain[type(value)] then return end
  local fault, path = find_fault(value, {}, 1)
  if fault then
    return misuse(("%s: %s%s: %s (only nil, booleans, numbers, strings and tables of them)"):format(
      where, what, path, fault))
  end
end

--- Bytes of one value; throws at the user's position where it cannot be sent.
function M.encode(where, what, value)
  check(where, what, value)
  return encode(value)
end

M.decode = decode

--- Bytes of several values; `what` names the i-th one by "%d".
function M.pack(where, what, ...)
  local count = select("#", ...)
  local out = buffer.new():encode(count)
  for i = 1, count do
    local value = (select(i, ...))
    check(where, what:format(i), value)
    out:encode(value)
  end
  return out:tostring()
end

local function unpack_rest(bytes, count)
  if count == 0 then return end
  return bytes:decode(), unpack_rest(bytes, count - 1)
end

function M.unpack(bytes)
  local from = buffer.new():set(bytes)
  return unpack_rest(from, from:decode())
end

return M
