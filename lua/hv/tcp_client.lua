--- hv.tcp_client - a connection that is made again whenever it is lost: `hv.tcp.client`.
---
--- on_close is called for each connection that has ended and for each attempt that has failed, with
--- the milliseconds until the next attempt, or nil where none will follow: the client has closed.
local methods = require "hv.methods"
local rules = require "hv.reconnect"
local task = require "hv.task"
local wait = require "hv.wait"

local Client = {}
local meta = { __name = "hv.tcp_client", __index = Client }

function meta:__tostring()
  return ("hv.tcp_client{%s %s}"):format(self._state, tostring(self._conn or self._address))
end

--- Runs a function of the user's as a task, so that its error is reported and ends nothing else.
local function notify(fn, ...)
  if fn then task.go(fn, ...) end
end

--- Milliseconds until the next attempt; nil where there is none.
local function delay_before(self, tries)
  local r = self._reconnect
  if self._closed or not r or r.max_retries and tries > r.max_retries then return nil end
  return rules.delay(r, tries)
end

local function keep_connected(self, host, port, t, connect)
  local tries = 0
  while not self._closed do
    self._state = "connecting"
    local conn, message, code = connect(host, port, t.timeout, t)
    if self._closed then
      if conn then conn:close() end
      break
    end
    if conn then
      tries = 0
      task.park() -- until on_close
      self._conn = nil
      message, code = self._message, self._code
    end
    tries = tries + 1
    local delay = delay_before(self, tries)
    self._state = delay and "waiting" or "closed"
    notify(t.on_end, self, message, code, delay)
    if not delay then break end
    rules.pause(self, delay)
  end
  self._state = "closed"
end

--- Starts it. `connect` is the checked connect of hv.tcp.
function Client.new(host, port, t, connect)
  local reconnect = t.reconnect
  if reconnect == nil then reconnect = true end
  reconnect = rules.read("hv.tcp.client", reconnect)
  local self = setmetatable({
    _state = "connecting", _address = host .. ":" .. port, _reconnect = reconnect }, meta)
  local on_open, on_message, on_drain, on_close = t.on_open, t.on_message, t.on_drain, t.on_close
  t.on_open = function(conn)
    self._conn, self._state = conn, "open"
    if self._is_unref then conn:unref() end
    if on_open then return on_open(self) end
  end
  t.on_message = function(_, data)
    if on_message then return on_message(self, data) end
  end
  t.on_drain = on_drain and function() return on_drain(self) end
  t.on_end = on_close
  t.on_close = function(_, message, code)
    self._conn, self._message, self._code = nil, message, code
    if self._closed then -- by close(), which has ended the task as well
      if on_close then return on_close(self, message, code) end
      return
    end
    task.unpark(self._task)
  end
  self._task = task.go(keep_connected, self, host, port, t, connect)
  return self
end

--- Writes to the connection; `nil, message, "ENOTCONN"` while there is none.
Client.write = wait.both_forms(function(self, data)
  local conn = self._conn
  if not conn then return nil, "write: not connected", "ENOTCONN" end
  return conn:write(data)
end)

--- Whether it is connected now.
function Client:is_open() return self._conn ~= nil end

--- The connection of the moment, for what it can do beside writing; nil while there is none.
---@return hv.Tcp?
function Client:conn() return self._conn end

--- Closes for good.
function Client:close()
  if self._closed then return true end
  self._closed = true
  self._state = "closed"
  if self._conn then self._conn:close() end
  rules.stop(self)
  return true
end

--- Keeps the program running (as it does from the start), or not. An attempt to connect does in any
--- case, for as long as its timeout allows.
function Client:ref() return rules.set_referenced(self, self._conn, true) end
function Client:unref() return rules.set_referenced(self, self._conn, false) end

methods.guard(Client, "client", "hv.tcp_client", nil, { new = true })

return Client
