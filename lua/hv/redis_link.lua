--- hv.redis_link - one connection to a Redis server, made again whenever it is lost. Private to
--- lua/hv: what users get is a client of hv.redis.
---
---   connecting --> open --> (lost) --> connecting at once --> waiting, connecting, waiting ...
---
--- Calls made while it connects wait for the outcome. Calls made while it waits for its next
--- attempt fail at once: "ENOTCONN", with the reason of the last failure. Calls whose command was
--- sent and whose connection went before the reply fail with "ECONNRESET": nobody knows whether
--- they were carried out.
local raw = require "_hv.redis"
local task = require "hv.task"
local tcp = require "hv.tcp"
local values = require "hv.redis_values"
local wait = require "hv.wait"
local waiters = require "hv.waiters"

local finish = wait.finish
local methods = raw.link_methods
local raw_call, raw_exec, raw_subscribe = methods.call, methods.exec, methods.subscribe
local raw_is_high, raw_silence = methods.is_high, methods.silence

local CHANNELS_A_COMMAND = 1000 -- when subscriptions are restored

local Link = {}
local meta = { __name = "hv.redis_link", __index = Link }

function meta:__tostring()
  return ("hv.redis_link{%s %s, %d waiting}"):format(self.state, self.address, self.raw:pending())
end

--- Makes a link, not connected yet.
---   t      the checked options of hv.redis.connect
---   hooks  functions, each may be missing: on_push(link, message), on_open(link),
---          on_lost(link, message, code), restore(link) -> nil, message, code where it fails;
---          is_subscriber: this one is for subscriptions
function Link.new(t, hooks)
  local address = t.path or (t.host:find(":", 1, true) and "[%s]:%d" or "%s:%d"):format(
    t.host, t.port)
  local self = setmetatable({
    state = "closed", address = address, is_open = false, protocol = t.protocol,
    is_referenced = true,
    _options = t, _hooks = hooks, _opening = waiters.new(), _high = waiters.new(), _tries = 0,
  }, meta)
  self.raw = raw.link(
    function(message)
      if hooks.on_push then return hooks.on_push(self, message) end
    end,
    function()
      while waiters.serve(self._high, true) do end -- luacheck: ignore 542
    end,
    function(message, code) return self:_lost(message, code) end,
    values.error_meta, values.int64, t.max_bulk, t.max_reply, t.max_depth, t.max_messages)
  return self
end

-- ---- Connecting ----

local function tell(fn, ...)
  if fn then task.go(fn, ...) end
end

--- One command of the handshake.
local function ask(self, ...)
  return finish(raw_call(self.raw, self._options.connect_timeout, ...))
end

local function authenticate(self, username, password)
  if not password then return true end
  if username then return ask(self, "AUTH", username, password) end
  return ask(self, "AUTH", password)
end

--- Says hello: RESP3 where the server knows it, with name and password in the same message.
local function say_hello(self)
  local t = self._options
  self.protocol = 2
  if t.protocol == 3 then
    local words = { "HELLO", "3" }
    if t.password then
      words[3], words[4], words[5] = "AUTH", t.username or "default", t.password
    end
    local hello, message, code, kind = ask(self, unpack(words))
    if hello then
      self.protocol = 3
      return true
    end
    -- A server before version 6 does not know the command; any other refusal is one.
    local is_unknown = kind == "ERR" and message:find("unknown command", 1, true)
    if not is_unknown and kind ~= "NOPROTO" then return nil, message, code, kind end
  end
  return authenticate(self, t.username, t.password)
end

--- Everything that makes a new connection usable. Returns nil, message, code where something fails.
local function greet(self)
  local t = self._options
  local ok, message, code = say_hello(self)
  if ok and t.name then ok, message, code = ask(self, "CLIENT", "SETNAME", t.name) end
  if ok and t.db ~= 0 then ok, message, code = ask(self, "SELECT", t.db) end
  if ok and t.readonly then ok, message, code = ask(self, "READONLY") end
  if ok and self._hooks.is_subscriber and self.protocol == 2 then self.raw:set_subscriber(true) end
  if ok and self._hooks.restore then ok, message, code = self._hooks.restore(self) end
  return ok, message, code
end

local function watch_peer(self, conn)
  local t = self._options
  if t.keepalive == 0 then return end
  conn:heartbeat(t.keepalive, function()
    if not self.is_open or self._is_blocked or raw_silence(self.raw) < t.keepalive then return end
    self:call(math.max(t.timeout, 1000), "PING")
  end)
end

local function establish(self)
  local t = self._options
  local conn, message, code = tcp.connect {
    host = not t.path and t.host or nil, port = not t.path and t.port or nil, path = t.path,
    timeout = t.connect_timeout, tls = t.tls, read_timeout = 0,
  }
  if not conn then return nil, message, code end
  if self.is_closed then
    conn:close()
    return nil, "closed", "ECLOSED"
  end
  self._conn = conn
  self.raw:attach(conn)
  local ok
  ok, message, code = greet(self)
  if ok and self._conn == conn then
    if not self.is_referenced then conn:unref() end
    watch_peer(self, conn)
    return true
  end
  if self._conn == conn then self:_drop("closed", "ECLOSED") end
  return nil, ("connect %s: %s"):format(self.address, message or "connection lost"),
    code or "ECONNRESET"
end

--- Wakes who waits for the connection.
local function settle_opening(self, ...)
  while waiters.serve(self._opening, ...) do end -- luacheck: ignore 542
end

local function attempt(self)
  self.state = "connecting"
  -- Cancelling the task in the middle must leave nothing open.
  local ok, is_open, message, code = pcall(establish, self)
  if not ok then
    self:_drop("canceled", "ECANCELED")
    self.state = "closed"
    settle_opening(self, nil, "canceled", "ECANCELED")
    error(is_open, 0)
  end
  if is_open then
    self._tries = 0
    self.state, self.is_open = "open", true
    settle_opening(self, true)
    tell(self._hooks.on_open, self)
    return true
  end
  self._why = message
  settle_opening(self, nil, message, code)
  return nil, message, code
end

--- Connects for the first time: true, or nil, message, code; it does not try again.
function Link:open()
  local ok, message, code = attempt(self)
  if not ok then
    self.state = "closed"
    self.is_closed = true
  end
  return ok, message, code
end

--- How long to wait before the next attempt: twice as long each time, and by chance a part less, so
--- that a thousand clients do not come back at once.
local function delay_of(self)
  local r = self._options.reconnect
  local most = math.min(r.min_delay * 2 ^ math.min(self._tries - 1, 30), r.max_delay)
  return most * (0.5 + math.random() / 2)
end

local function keep_trying(self)
  while not self.is_closed and not attempt(self) do
    self._tries = self._tries + 1
    local most = self._options.reconnect.max_retries
    if most and self._tries > most then
      self:close()
      return
    end
    self.state = "waiting"
    task.sleep(delay_of(self))
  end
  self._keeper = nil
end

-- ---- Losing it ----

--- Ends the connection that there is; calls in flight get message and code.
function Link:_drop(message, code)
  local conn = self._conn
  self._conn, self.is_open = nil, false
  if conn then conn:close() end
  self.raw:fail(message, code)
  while waiters.serve(self._high, nil, message, code) do end -- luacheck: ignore 542
end

--- The connection has ended without our doing.
function Link:_lost(message, code)
  local reason, reason_code = self.raw:error()
  if reason then message, code = reason, reason_code end
  local was_open = self.is_open
  self:_drop(("the connection to %s was lost before the reply (%s)"):format(self.address, message),
    reason_code or "ECONNRESET")
  self._why = ("the connection to %s was lost: %s"):format(self.address, message)
  if not was_open or self.is_closed then return end
  tell(self._hooks.on_lost, self, message, code)
  if self._options.reconnect then
    self.state = "connecting"
    self._keeper = task.go(keep_trying, self)
  else
    self:close()
  end
end

--- Closes for good. Calls in flight get ECLOSED.
function Link:close()
  if self.is_closed then return end
  self.is_closed, self.state = true, "closed"
  self:_drop("the client was closed", "ECLOSED")
  settle_opening(self, nil, "the client was closed", "ECLOSED")
  local keeper = self._keeper
  self._keeper = nil
  if keeper and keeper ~= task.current() then keeper:cancel() end
end

-- ---- Calls ----

--- Waits until it is open; true, or nil, message, code.
function Link:ready(timeout)
  if self.is_open then return true end
  if self.state == "connecting" then
    local ok, message, code = waiters.wait(self._opening, nil, timeout > 0 and timeout or nil)
    if ok then return true end
    if code == "ETIMEDOUT" then return nil, "timed out while connecting", code end
    if code ~= "ECLOSED" then code = "ENOTCONN" end
    return nil, "not connected: " .. message, code
  end
  if self.is_closed and not self._why then return nil, "the client is closed", "ECLOSED" end
  return nil, "not connected: " .. (self._why or "closed"), "ENOTCONN"
end

--- A call was not answered, or not sent. Returns whether to try again, or message and code.
local function examine(self, timeout, message, code)
  if code == "EAGAIN" then
    -- The bytes of others go first.
    if raw_is_high(self.raw) then
      local ok, _, wait_code = waiters.wait(self._high, nil, timeout > 0 and timeout or nil)
      if not ok then return false, "too much waits to be sent", wait_code or "ETIMEDOUT" end
    end
    return true
  end
  message = message:gsub("^%a+: ", "", 1)
  if code == "ECLOSED" and not self.is_closed then code = "ENOTCONN" end -- not sent any more
  if code == "ETIMEDOUT" and self.is_open and raw_silence(self.raw) >= timeout then
    -- Not a byte for all that time: it is taken for dead, and made again.
    self:_lost(("no answer for %d ms"):format(timeout), "ETIMEDOUT")
  end
  return false, message, code
end

--- Runs one of C's calls, again where it had to wait.
local function carry_out(op, self, timeout, ...)
  while true do
    if not self.is_open then
      local ok, message, code = self:ready(timeout)
      if not ok then return nil, message, code end
    end
    local result, message, code, kind = finish(op(self.raw, timeout, ...))
    if result ~= nil then return result end
    if kind then return nil, message, code, kind end
    local is_again
    is_again, message, code = examine(self, timeout, message, code)
    if not is_again then return nil, message, code end
  end
end

--- One command: its reply, or nil, message, code[, kind of the server's error].
function Link:call(timeout, ...)
  if self.is_open then
    local result, message, code, kind = finish(raw_call(self.raw, timeout, ...))
    if result ~= nil then return result end
    if kind then return nil, message, code, kind end
    local is_again
    is_again, message, code = examine(self, timeout, message, code)
    if not is_again then return nil, message, code end
  end
  return carry_out(raw_call, self, timeout, ...)
end

--- A pipe of commands: the list of replies.
function Link:exec(timeout, pipe) return carry_out(raw_exec, self, timeout, pipe) end

--- Subscribes or unsubscribes: `name` is the command, `channels` a list.
function Link:subscribe(timeout, name, channels)
  return carry_out(raw_subscribe, self, timeout, name, channels)
end

--- Subscribes again on a new connection, inside the handshake.
function Link:restore(name, channels)
  for first = 1, #channels, CHANNELS_A_COMMAND do
    local some = { unpack(channels, first, math.min(first + CHANNELS_A_COMMAND - 1, #channels)) }
    local ok, message, code = finish(raw_subscribe(self.raw, self._options.connect_timeout, name,
      some))
    if not ok then return nil, message, code end
  end
  return true
end

--- Says that nothing comes for long, because the server waits on our behalf.
function Link:set_blocked(is_blocked) self._is_blocked = is_blocked end

--- Whether the connection keeps the program running.
function Link:set_referenced(is_referenced)
  self.is_referenced = is_referenced
  local conn = self._conn
  if conn and is_referenced then conn:ref() elseif conn then conn:unref() end
end

function Link:pending() return self.raw:pending() end

return Link
