--- hv.channel - values handed from task to task.
---
---   local ch = hv.channel(10)
---   hv.go(function() for i = 1, 3 do ch:send(i) end ch:close() end)
---   for v in ch:iter() do print(v) end
---
--- Sending waits while as many values wait to be taken as the channel holds; receiving waits while
--- there is none. Both are served in the order in which they came.
local misuse = require("_hv.loop").misuse
local wait = require "hv.wait"
local waiters = require "hv.waiters"

local M = {}

local Channel = {}
local meta = { __index = Channel, __name = "hv.channel" }

function meta:__tostring()
  return ("hv.channel{%s, %d of %d}"):format(self._is_closed and "closed" or "open",
    self._count, self._capacity)
end

--- Makes a channel.
---@param capacity? integer values that may wait in it; 0 (default): a send waits for its receiver
---@return hv.Channel
function M.new(capacity)
  if capacity == nil then capacity = 0 end
  if type(capacity) ~= "number" or capacity < 0 or capacity % 1 ~= 0 then
    return misuse("hv.channel: capacity must be an integer from 0, got " .. tostring(capacity))
  end
  return setmetatable({
    _capacity = capacity, _count = 0, _first = 1, _values = {}, _is_closed = false,
    _senders = waiters.new(), _receivers = waiters.new(),
  }, meta)
end

local function failed(what, code)
  local text = code == "ETIMEDOUT" and "timed out" or "closed"
  return nil, ("channel:%s: %s"):format(what, text), code
end

local function sent(ok, _, code)
  if ok then return true end
  return failed("send", code or "ECLOSED")
end

local function send(self, value, timeout)
  if self._is_closed then return failed("send", "ECLOSED") end
  if waiters.serve(self._receivers, true, value) then return true end
  if self._count < self._capacity then
    self._values[self._first + self._count] = value
    self._count = self._count + 1
    return true
  end
  return sent(waiters.wait(self._senders, value, timeout))
end

local send_in_both_forms = wait.both_forms(send)

--- Hands a value over. A single argument is the value, also where it is a function.
---@async
---@param value any
---@param timeout? integer milliseconds; none by default
---@return true? ok
---@return string? message
---@return hv.ErrCode? code ECLOSED, ETIMEDOUT: then it was not handed over
function Channel:send(...)
  if select("#", ...) < 2 then return send(self, ...) end
  return send_in_both_forms(self, ...)
end

local function take(self)
  local value = self._values[self._first]
  self._values[self._first] = nil
  self._first = self._first + 1
  self._count = self._count - 1
  return value
end

local function received(ok, value, code)
  if ok then return value end
  return failed("recv", code or "ECLOSED")
end

--- Takes the next value.
---@async
---@param timeout? integer milliseconds; none by default
---@return any value
---@return string? message
---@return hv.ErrCode? code ECLOSED, once all has been taken; ETIMEDOUT
Channel.recv = wait.both_forms(function(self, timeout)
  if self._count > 0 then
    local value = take(self)
    local was_waiting, next_value = waiters.serve(self._senders, true)
    if was_waiting then
      self._values[self._first + self._count] = next_value
      self._count = self._count + 1
    end
    return value
  end
  local was_waiting, value = waiters.serve(self._senders, true)
  if was_waiting then return value end
  if self._is_closed then return failed("recv", "ECLOSED") end
  return received(waiters.wait(self._receivers, nil, timeout))
end)

--- `for v in ch:iter()`: each value until the channel is closed; a nil is left out.
---@async
---@return fun(): any
function Channel:iter()
  return function()
    while true do
      local value, _, code = self:recv()
      if value ~= nil or code then return value end
    end
  end
end

--- Nothing more can be sent; what is in it can still be taken. Who waits is told ECLOSED. Again:
--- nothing.
function Channel:close()
  self._is_closed = true
  while waiters.serve(self._senders, false) do end -- luacheck: ignore 542
  while waiters.serve(self._receivers, false) do end -- luacheck: ignore 542
end

--- Values that wait in it.
---@return integer
function Channel:count() return self._count end

return M
