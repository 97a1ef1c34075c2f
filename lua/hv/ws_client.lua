--- hv.ws_client - a WebSocket that is made again whenever it is lost: hv.ws.connect with
--- `reconnect`.
local rules = require "hv.reconnect"
local task = require "hv.task"

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
  local waiting = self._waiting
  self._waiting = {}
  for _, one in ipairs(waiting) do task.unpark(one) end
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
    task.sleep(rules.delay(reconnect, tries))
  end
  self._state, self._closed = "closed", true
  wake(self)
end

--- Starts it. `connect` makes one attempt with `t`, whose functions get the client in place of the
--- socket of the moment.
function Client.new(address, t, reconnect, connect)
  local self = setmetatable({ _state = "connecting", _address = address, _waiting = {} }, meta)
  local on_open, on_message, on_close = t.on_open, t.on_message, t.on_close
  t.on_open = function(ws)
    self._ws, self._state = ws, "open"
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

--- Sends by the socket of the moment; `nil, message, "ENOTCONN"` while there is none.
function Client:send(...)
  local ws = self._ws
  if not ws then return nil, "send: not connected", "ENOTCONN" end
  return ws:send(...)
end

--- The next message, of this connection or the next one.
---@async
---@return string? data nil once it is closed for good
---@return string kind or why
---@return hv.ErrCode? code
function Client:receive()
  while not self._closed do
    local ws = self._ws
    if ws then
      local data, kind, code = ws:receive()
      if data or code == "EBUSY" then return data, kind, code end
      task.sleep(0) -- on_close has its turn
    else
      self._waiting[#self._waiting + 1] = task.current()
      task.park()
    end
  end
  return nil, self._message or "closed", self._code or "ECLOSED"
end

local receive = Client.receive
local function next_message(self) return receive(self) end

--- `for data, kind in client:messages()`: over all connections, until it is closed for good.
function Client:messages()
  return next_message, self
end

--- Sends a ping by the socket of the moment.
function Client:ping(data)
  local ws = self._ws
  if not ws then return nil, "ping: not connected", "ENOTCONN" end
  return ws:ping(data)
end

--- Closes for good.
function Client:close(code, reason)
  if self._closed then return true end
  self._closed, self._state = true, "closed"
  if self._ws then self._ws:close(code, reason) end
  self._task:cancel()
  wake(self)
  return true
end

return Client
