--- hv.ws_client - a WebSocket that is made again whenever it is lost: hv.ws.connect with
--- `reconnect`.
local loop = require "_hv.loop"
local methods = require "hv.methods"
local rules = require "hv.reconnect"
local task = require "hv.task"
local wait = require "hv.wait"
local waiters = require "hv.waiters"

---@class hv.WsClient
local Client = {}
local meta = { __name = "hv.ws_client" }

function meta:__tostring()
  return ("hv.ws_client{%s %s}"):format(self._state, self._address)
end

function meta.__index(self, key)
  local method = Client[key]
  if method ~= nil then return method end
  if key == "is_open" then return self._ws ~= nil and self._ws.is_open end
  local ws = rawget(self, "_ws")
  return ws and ws[key]
end

local function wake(self)
  while waiters.serve(self._waiting, true) do end -- luacheck: ignore 542
end

--- Until on_close, which may have come already.
local function stay_connected(self, ws)
  if not ws.close_code then task.park() end
  self._ws = nil
end

local function keep_connected(self, connect, reconnect)
  local tries = 0
  while not self._closed do
    self._state = "connecting"
    local ws, message, code = connect()
    if self._closed then
      if ws then ws:close() end
      break
    end
    if ws then
      tries = 0
      stay_connected(self, ws)
    else
      self._message, self._code = message, code
    end
    if self._closed then break end
    tries = tries + 1
    if reconnect.max_retries and tries > reconnect.max_retries then break end
    self._state = "waiting"
    rules.pause(self, rules.delay(reconnect, tries))
  end
  self._state, self._closed = "closed", true
  wake(self)
end

--- Starts it. `connect` makes one attempt with `t`, whose functions get the client in place of the
--- socket of the moment.
function Client.new(address, t, reconnect, connect)
  local self = setmetatable({
    _state = "connecting", _address = address, _waiting = waiters.new() }, meta)
  local on_open, on_message, on_close = t.on_open, t.on_message, t.on_close
  t.on_open = function(ws)
    self._ws, self._state = ws, "open"
    if self._is_unref then ws:unref() end
    wake(self)
    if on_open then return on_open(self) end
  end
  t.on_message = on_message and function(_, data, kind) return on_message(self, data, kind) end
  t.on_close = function(_, code, reason)
    self._ws = nil
    task.unpark(self._task)
    if on_close then return on_close(self, code, reason) end
  end
  self._task = task.go(keep_connected, self, connect, reconnect)
  return self
end

--- By the socket of the moment; `nil, message, "ENOTCONN"` while there is none.
for _, name in ipairs { "ping", "peer", "subscribe", "unsubscribe" } do
  Client[name] = function(self, ...)
    local ws = self._ws
    if not ws then return nil, name .. ": not connected", "ENOTCONN" end
    return ws[name](ws, ...)
  end
end

--- Sends by the socket of the moment; `nil, message, "ENOTCONN"` while there is none.
---@async
---@param data string
---@param kind? "text"|"binary" text
---@return true? ok
---@return string? message
---@return hv.ErrCode? code ENOTCONN; else as of ws:send
Client.send = wait.both_forms(function(self, data, kind)
  local ws = self._ws
  if not ws then return nil, "send: not connected", "ENOTCONN" end
  return ws:send(data, kind)
end)

--- The next message, of this connection or the next one.
---@async
---@param timeout? integer milliseconds; none by default
---@return string? data nil once it is closed for good
---@return string kind or why
---@return hv.ErrCode? code
Client.receive = wait.both_forms(function(self, timeout)
  local due = timeout and loop.now() + timeout
  while not self._closed do
    local left = due and math.max(math.ceil(due - loop.now()), 1)
    local ws = self._ws
    if ws then
      local data, kind, code = ws:receive(left)
      if data or code == "EBUSY" or code == "ETIMEDOUT" and self._ws == ws and ws.is_open then
        return data, kind, code
      end
      task.sleep(0) -- on_close has its turn
    else
      local ok, _, code = waiters.wait(self._waiting, nil, left)
      if not ok and code == "ETIMEDOUT" then return nil, "receive: timed out", code end
    end
  end
  return nil, self._message or "closed", self._code or "ECLOSED"
end)

local receive = Client.receive
local function next_message(self) return receive(self) end

--- `for data, kind in client:messages()`: over all connections, until it is closed for good.
function Client:messages()
  return next_message, self
end

--- Closes for good.
function Client:close(code, reason)
  if self._closed then return true end
  self._closed, self._state = true, "closed"
  if self._ws then self._ws:close(code, reason) end
  rules.stop(self)
  wake(self)
  return true
end

--- Keeps the program running (as it does from the start), or not. An attempt to connect does in any
--- case, for as long as its timeout allows.
function Client:ref() return rules.set_referenced(self, self._ws, true) end
function Client:unref() return rules.set_referenced(self, self._ws, false) end

methods.guard(Client, "ws", "hv.ws_client", nil, { new = true })

return Client
