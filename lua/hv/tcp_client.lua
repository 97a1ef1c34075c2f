--- hv.tcp_client - a connection that is made again whenever it is lost: `hv.tcp.client`.
---
--- on_close is called for each connection that has ended and for each attempt that has failed, with
--- the milliseconds until the next attempt, or nil where none will follow: the client has closed.
local loop = require "_hv.loop"
local options = require "hv.options"
local task = require "hv.task"

local Client = {}
local meta = { __name = "hv.tcp_client", __index = Client }

local read_reconnect = options.reader("hv.tcp.client: reconnect", {
  min_delay = { "ms", 1000 }, max_delay = { "ms", 10000 },
  policy = { "string", "exponential" }, max_retries = { "integer" },
})

local policies = {
  fixed = function(r) return r.min_delay end,
  linear = function(r, try) return r.min_delay * try end,
  exponential = function(r, try) return r.min_delay * 2 ^ math.min(try - 1, 30) end,
}

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
  return math.min(policies[r.policy](r, tries), math.max(r.max_delay, r.min_delay))
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
    task.sleep(delay)
  end
  self._state = "closed"
end

--- Starts it. `connect` is the checked connect of hv.tcp.
function Client.new(host, port, t, connect)
  local reconnect = t.reconnect
  if reconnect == nil or reconnect == true then reconnect = {} end
  if reconnect then reconnect = read_reconnect(reconnect) end
  if reconnect and not policies[reconnect.policy] then
    loop.misuse(("hv.tcp.client: policy must be \"exponential\", \"linear\" or \"fixed\", got %q")
      :format(reconnect.policy))
  end
  local self = setmetatable({
    _state = "connecting", _address = host .. ":" .. port, _reconnect = reconnect }, meta)
  local on_open, on_message, on_drain, on_close = t.on_open, t.on_message, t.on_drain, t.on_close
  t.on_open = function(conn)
    self._conn, self._state = conn, "open"
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
function Client:write(data, fn)
  local conn = self._conn
  if not conn then return nil, "write: not connected", "ENOTCONN" end
  if fn then return conn:write(data, fn) end
  return conn:write(data)
end

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
  self._task:cancel()
  return true
end

return Client
