--- hv.redis_pipeline - commands that are sent together: r:pipeline() and r:multi(). Private to
--- lua/hv.
local commands = require "hv.redis_commands"
local methods = require "hv.methods"
local options = require "hv.options"
local raw = require "_hv.redis"
local values = require "hv.redis_values"
local wait = require "hv.wait"

local add, count, clear = raw.pipe_methods.add, raw.pipe_methods.count, raw.pipe_methods.clear
local special, is_map = commands.special, commands.is_map

local M = {}

---@class hv.RedisPipeline
local Pipeline = {}
local meta = { __name = "hv.redis.pipeline" }

function meta:__tostring()
  return ("%s{%d commands}"):format(self._is_multi and "hv.redis.transaction"
    or "hv.redis.pipeline", self:count())
end

--- Makes one. `send(timeout, pipe)` carries it out.
function M.new(client, is_multi, send)
  local self = setmetatable({
    _pipe = raw.pipe(), _client = client, _is_multi = is_multi, _send = send }, meta)
  if is_multi then add(self._pipe, "MULTI") end
  return self
end

local function note_map(self, name, first)
  if is_map(name, first) then
    self._maps = self._maps or {}
    self._maps[count(self._pipe)] = true
  end
end

--- Adds a command.
---@param name string
---@return hv.RedisPipeline self
function Pipeline:call(name, ...)
  name = commands.name("pipe:call", name)
  if special[name] then commands.check(name, true, (...)) end
  add(self._pipe, name, ...)
  note_map(self, name, (...))
  return self
end

--- How many commands there are.
---@return integer
function Pipeline:count()
  return count(self._pipe) - (self._is_multi and 1 or 0)
end

--- Drops what was added.
---@return hv.RedisPipeline self
function Pipeline:discard()
  clear(self._pipe)
  self._maps = nil
  if self._is_multi then add(self._pipe, "MULTI") end
  return self
end

local function fix_maps(self, list, offset)
  if not self._maps or self._client:protocol() ~= 2 then return end
  for i in pairs(self._maps) do
    list[i - offset] = values.pairs_to_map(list[i - offset])
  end
end

--- The replies of MULTI ... EXEC as the result of exec.
local function result_of_multi(self, replies)
  local last = replies[#replies]
  if values.is_error(last) then
    -- EXECABORT says nothing of the cause; the command that was refused does.
    for i = 1, #replies - 1 do
      if values.is_error(replies[i]) then
        last = replies[i]
        break
      end
    end
    return nil, "EXEC: " .. last.message, "EREDIS", last.kind
  end
  if last == values.null then
    return nil, "EXEC: a watched key was changed", "EAGAIN"
  end
  fix_maps(self, last, 1)
  return last
end

--- Sends the commands and waits for all replies. The pipeline is empty afterwards and may be filled
--- again. A reply that is an error is a table: hv.redis.is_error(reply), reply.message, reply.kind.
---@async
---@param timeout? integer milliseconds until the last reply; the client's timeout; 0: none
---@return any[]? replies in the order of the commands; hv.redis.null for none
---@return string? message
---@return hv.ErrCode? code as of call; of r:multi() also EREDIS, when the transaction was refused
Pipeline.exec = wait.both_forms(function(self, timeout)
  options.check_ms("pipe:exec: timeout must be milliseconds (0: none)", timeout)
  if self._is_multi then add(self._pipe, "EXEC") end
  local pipe, maps = self._pipe, self._maps
  self._pipe = raw.pipe()
  self._maps = nil
  if self._is_multi then add(self._pipe, "MULTI") end
  local replies, message, code, kind = self._send(self._client, timeout, pipe)
  if not replies then
    return nil, (self._is_multi and "transaction: " or "pipeline: ") .. message, code, kind
  end
  self._maps = maps
  if self._is_multi then
    replies, message, code, kind = result_of_multi(self, replies)
  else
    fix_maps(self, replies, 0)
  end
  self._maps = nil
  return replies, message, code, kind
end)

local made = {}

--- A method a command, made on its first use: p:set(k, v), p:config_get("x").
meta.__index = function(_, key)
  local method = Pipeline[key] or made[key]
  if method then return method end
  local name, second = commands.words(key)
  if not name or key:find("^_") then return nil end
  if second then
    method = function(self, ...) return self:call(name, second, ...) end
  elseif special[name] then
    method = function(self, ...) return self:call(name, ...) end
  elseif is_map(name) then
    method = function(self, ...)
      add(self._pipe, name, ...)
      note_map(self, name)
      return self
    end
  else
    method = function(self, ...)
      add(self._pipe, name, ...)
      return self
    end
  end
  made[key] = method
  return method
end

methods.guard(Pipeline, "pipe", "hv.redis.pipeline")
M.methods = Pipeline

return M
