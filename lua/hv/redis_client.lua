--- hv.redis_client - what hv.redis.connect returns: commands, pipelines, transactions, scripts,
--- subscriptions, over one shared connection or several. Private to lua/hv.
---
--- Tasks that call at the same time share a connection: their commands leave in one packet, and
--- each reply finds its caller by its place. What would hold the others up or disturb them (a
--- command that waits on the server, WATCH) runs on a connection of its own, taken from those that
--- are idle.
local commands = require "hv.redis_commands"
local crypto = require "hv.crypto"
local Link = require "hv.redis_link"
local loop = require "_hv.loop"
local methods = require "hv.methods"
local pipeline = require "hv.redis_pipeline"
local pubsub = require "hv.redis_pubsub"
local semaphore = require "hv.semaphore"
local values = require "hv.redis_values"
local wait = require "hv.wait"

local misuse = loop.misuse
local special, blocking, dirties = commands.special, commands.blocking, commands.dirties
local is_map = commands.is_map

---@class hv.Redis
local Client = {}
local meta = { __name = "hv.redis" }

function meta:__tostring()
  local link = self._links[1]
  return ("hv.redis{%s %s, %d waiting}"):format(self._is_closed and "closed" or link.state,
    link.address, self:pending())
end

-- ---- Making ----

local function tell(fn, ...)
  if fn then return fn(...) end
end

local function hooks_of(self, index)
  local t = self._options
  local hooks = {
    on_push = function(_, message)
      if self._pubsub:deliver(message) then return end
      if t.on_push then return t.on_push(self, message) end
    end,
    on_open = function() return tell(t.on_connect, self) end,
    on_lost = function(_, message, code) return tell(t.on_disconnect, self, message, code) end,
  }
  if index == 1 then
    hooks.restore = function(link)
      if link.protocol == 2 then return true end
      return self._pubsub:restore(link)
    end
  end
  return hooks
end

--- The link that subscriptions use; made on first use where calls cannot share theirs.
local function subscriber_of(self)
  local first = self._links[1]
  local ok, message, code = first:ready(self._options.timeout)
  if not ok then return nil, message, code end
  if first.protocol == 3 then return first end
  local link = self._subscriber
  if link and not link.is_closed then -- else it was lost, and does not come back by itself
    ok, message, code = link:ready(self._options.timeout)
    return ok and link, message, code
  end
  link = Link.new(self._options, {
    is_subscriber = true,
    on_push = function(_, list) self._pubsub:deliver(list) end,
    restore = function(l) return self._pubsub:restore(l) end,
  })
  link:set_referenced(self._links[1].is_referenced)
  self._subscriber = link
  ok, message, code = link:open()
  if not ok then self._subscriber = nil end
  return ok and link, message, code
end

--- Makes a client of checked options, not connected.
function Client.new(t)
  local self = setmetatable({
    _options = t, _links = {}, _idle = {}, _borrowed = {}, _next = 0,
    _slots = semaphore.new(t.max_borrowed),
  }, meta)
  self._pubsub = pubsub.new(self, function() return subscriber_of(self) end)
  for i = 1, t.size do self._links[i] = Link.new(t, hooks_of(self, i)) end
  return self
end

--- Connects for the first time: all of its connections, or none.
function Client:open()
  for i, link in ipairs(self._links) do
    local ok, message, code, kind = link:open()
    if not ok then
      for j = 1, i - 1 do self._links[j]:close() end
      self._is_closed = true
      return nil, message, code, kind
    end
  end
  return self
end

-- ---- Calls ----

--- The shared link with the fewest calls in flight.
local function pick(self)
  local links = self._links
  local best = links[1]
  if #links == 1 then return best end
  self._next = self._next % #links + 1
  best = links[self._next]
  for i = 1, #links do
    local link = links[i]
    if link.is_open and (not best.is_open or link:pending() < best:pending()) then best = link end
  end
  return best
end

local function named(name, result, message, code, kind)
  if result ~= nil then return result end
  return nil, name .. ": " .. message, code, kind
end

--- A command that waits on the server has a connection of its own, and time beyond its own.
local function call_blocking(self, name, block, ...)
  local function run(borrowed, ...)
    local link = borrowed._links[1]
    local timeout = block > 0 and block + self._options.timeout or 0
    link:set_blocked(true)
    local result, message, code, kind = link:call(timeout, name, ...)
    link:set_blocked(false)
    return result, message, code, kind
  end
  return self:borrow(run, ...)
end

--- Commands with something about them.
local function call_special(self, name, ...)
  if blocking[name] and not self._is_borrowed then
    local block = blocking[name](...)
    if block then return call_blocking(self, name, block, ...) end
  end
  if special[name] then
    commands.check(name, not self._is_borrowed, (...))
    if self._is_borrowed then
      local is_dirty = dirties[name]
      if is_dirty ~= nil then self._is_dirty = is_dirty end
    end
  end
  local timeout = self._options.timeout
  if self._is_borrowed and blocking[name] then
    local block = blocking[name](...)
    if block then timeout = block > 0 and block + timeout or 0 end
  end
  local link = pick(self)
  local result, message, code, kind = link:call(timeout, name, ...)
  if link.protocol == 2 and is_map(name, (...)) then result = values.pairs_to_map(result) end
  return result, message, code, kind
end

local function is_special(name)
  return special[name] or blocking[name] or name == "HGETALL" or name == "CONFIG"
end

local function call(self, name, ...)
  name = commands.name("r:call", name)
  if is_special(name) then return named(name, call_special(self, name, ...)) end
  return named(name, pick(self):call(self._options.timeout, name, ...))
end

--- Runs a command and waits for its reply.
---
--- Arguments are strings, numbers, 64-bit integers, and tables of them: a list gives its items, any
--- other table its keys and values.
---@async
---@param name string in any case
---@param ... string|number|table
---@return any reply string, number, boolean, table; hv.redis.null for none; nil: it has failed
---@return string? message
---@return hv.ErrCode? code EREDIS (the server says no), ETIMEDOUT (it may be carried out all the
---   same), ECONNRESET (the connection went before the reply: it may have been carried out),
---   ENOTCONN (not sent), ECLOSED, ELIMIT, EPROTO
---@return string? kind of EREDIS: the first word, "WRONGTYPE", "NOAUTH", "ERR" ...
Client.call = wait.both_forms(call)

local class_names = { ["hv.redis"] = true, ["hv.redis.cluster"] = true }

local function refuse(key, self) return methods.refuse("r", key, "hv.redis", self) end

--- A method a command, made on its first use: r:get(k), r:client_list().
local function make_method(key)
  local name, second = commands.words(key)
  if not name or key:find("^_") then return nil end
  if second or is_special(name) then
    return wait.both_forms(function(self, ...)
      if not methods.is_one(self, class_names) then return refuse(key, self) end
      if second then return self:call(name, second, ...) end
      return self:call(name, ...)
    end)
  end
  return wait.both_forms(function(self, ...)
    if not methods.is_one(self, class_names) then return refuse(key, self) end
    local links = self._links
    if not links or #links > 1 then return self:call(name, ...) end -- a cluster, or several
    return named(name, links[1]:call(self._options.timeout, name, ...))
  end)
end

--- The __index of clients and clusters: their methods, then commands.
function Client.index_of(class)
  return function(_, key)
    local method = class[key]
    if method ~= nil then return method end
    if type(key) ~= "string" then return nil end
    method = Client.made[key]
    if method == nil then
      method = make_method(key)
      Client.made[key] = method
    end
    return method
  end
end
Client.made = {}
meta.__index = Client.index_of(Client)

-- ---- Pipelines and transactions ----

local function exec(self, timeout, pipe)
  return pick(self):exec(timeout or self._options.timeout, pipe)
end

--- Commands that are sent together: p:set("a", 1), p:get("a"), then p:exec() for all replies.
---@return hv.RedisPipeline
function Client:pipeline() return pipeline.new(self, false, exec) end

--- A transaction without reading first: as pipeline, but the server runs its commands as one
--- (MULTI ... EXEC).
---@return hv.RedisPipeline
function Client:multi() return pipeline.new(self, true, exec) end

local function transaction(self, keys, fn, tries)
  local function once(c)
    local ok, message, code, kind = c:call("WATCH", keys)
    if ok == nil then return nil, message, code, kind end
    local tx = c:multi()
    if fn(c, tx) == false or tx:count() == 0 then
      c:call("UNWATCH")
      return {}
    end
    ok, message, code, kind = tx:exec()
    if ok ~= nil or code == "EAGAIN" or code == "EREDIS" then c._is_dirty = false end
    return ok, message, code, kind
  end
  for _ = 1, tries do
    local results, message, code, kind = self:borrow(once)
    if results ~= nil or code ~= "EAGAIN" then return results, message, code, kind end
  end
  return nil, ("transaction: a watched key was changed, %d times"):format(tries), "EAGAIN"
end

--- A transaction that first reads what it depends on. `fn(c, tx)` reads with c, a connection of its
--- own, and adds commands to tx; they are carried out only if no watched key was changed meanwhile,
--- otherwise all of it is done again.
---@async
---@param keys string|string[] what is watched
---@param fn fun(c: hv.Redis, tx: hv.RedisPipeline): false? false: nothing is to be done
---@param tries? integer 10
---@return any[]? replies
---@return string? message
---@return hv.ErrCode? code EAGAIN: changed each time; else as of call
function Client:transaction(keys, fn, tries)
  if type(fn) ~= "function" then
    return misuse("r:transaction: function expected, got " .. type(fn))
  end
  if type(keys) ~= "string" and (type(keys) ~= "table" or #keys == 0) then
    return misuse("r:transaction: keys must be a string or a list of them, got " ..
      (type(keys) == "table" and "an empty table" or type(keys)))
  end
  if tries ~= nil and not (type(tries) == "number" and tries >= 1) then
    return misuse("r:transaction: tries must be a number from 1, got " .. tostring(tries))
  end
  return transaction(self, keys, fn, tries or 10)
end

-- ---- Connections of one's own ----

--- A borrowed connection looks like a client with one link.
local function new_borrowed(self)
  local t = {}
  for key, value in pairs(self._options) do t[key] = value end
  t.reconnect = false
  local borrowed = setmetatable({ _options = t, _is_borrowed = true, _owner = self }, meta)
  borrowed._pubsub = pubsub.new(borrowed, function() return borrowed._links[1] end)
  borrowed._links = { Link.new(t, {
    on_push = function(_, list) borrowed._pubsub:deliver(list) end,
  }) }
  borrowed._links[1]:set_referenced(self._links[1].is_referenced)
  return borrowed
end

local function take_idle(self)
  local idle = self._idle
  while #idle > 0 do
    local borrowed = table.remove(idle)
    if borrowed._links[1].is_open then return borrowed end
    borrowed._links[1]:close()
  end
end

local function give_back(self, borrowed, ok, ...)
  local link = borrowed._links[1]
  self._borrowed[borrowed] = nil
  if not ok or self._is_closed or borrowed._is_dirty or not link.is_open or link:pending() > 0 then
    link:close()
  else
    self._idle[#self._idle + 1] = borrowed
  end
  self._slots:release()
  if not ok then return error((...), 0) end
  return ...
end

--- Runs `fn(c, ...)` with a connection that nobody else uses meanwhile: for WATCH, SELECT, CLIENT
--- ..., and all that changes a connection. An error closes it.
---@async
---@param fn fun(c: hv.Redis, ...): ...
---@return any ... results of fn; nil, message, code where there is no connection
function Client:borrow(fn, ...)
  if type(fn) ~= "function" then return misuse("r:borrow: function expected, got " .. type(fn)) end
  if self._is_borrowed then return fn(self, ...) end
  if self._is_closed then return nil, "the client is closed", "ECLOSED" end
  local ok, message, code = self._slots:acquire(self._options.timeout)
  if not ok then return nil, "all connections are borrowed: " .. message, code end
  local borrowed = take_idle(self)
  if not borrowed then
    borrowed = new_borrowed(self)
    local went
    went, ok, message, code = pcall(borrowed._links[1].open, borrowed._links[1])
    if not went or not ok then
      self._slots:release()
      if not went then error(ok, 0) end
      return nil, message, code
    end
  end
  if self._is_closed then -- while we have waited
    borrowed._links[1]:close()
    self._slots:release()
    return nil, "the client is closed", "ECLOSED"
  end
  self._borrowed[borrowed] = true
  return give_back(self, borrowed, pcall(fn, borrowed, ...))
end

-- ---- Scripts ----

---@class hv.RedisScript
local Script = {}
local script_meta = { __name = "hv.redis.script", __index = Script }

local function list_of(value)
  if type(value) == "table" then return value end
  if value == nil then return {} end
  return { value }
end

--- Runs the script: by its digest, and with its source where the server does not know it yet.
---@async
---@param keys? string|string[] KEYS
---@param ... string|number ARGV
---@return any reply as of call
Script.run = wait.both_forms(function(self, keys, ...)
  keys = list_of(keys)
  local client = self._client
  local reply, message, code, kind
  if #keys == 0 then
    reply, message, code, kind = client:call("EVALSHA", self.sha, 0, ...)
  else
    reply, message, code, kind = client:call("EVALSHA", self.sha, #keys, keys, ...)
  end
  if kind ~= "NOSCRIPT" then return reply, message, code, kind end
  if #keys == 0 then return client:call("EVAL", self.source, 0, ...) end
  return client:call("EVAL", self.source, #keys, keys, ...)
end)

script_meta.__call = function(self, ...) return self:run(...) end

--- Prepares a script in Lua that the server runs. Nothing is sent yet.
---@param source string
---@return hv.RedisScript script script:run(keys, ...) or script(keys, ...)
function Client:script(source, ...)
  if select("#", ...) > 0 or type(source) ~= "string" then
    return misuse("r:script: the source of one script expected (SCRIPT is r:call(\"SCRIPT\", ...))")
  end
  return setmetatable({ _client = self, source = source, sha = crypto.hex(crypto.sha1(source)) },
    script_meta)
end

-- ---- Subscriptions ----

local function add_subscription(kind)
  return function(self, names, fn)
    return self._pubsub:add(kind, names, fn, self._options.timeout)
  end
end

local function end_subscription(kind)
  return function(self, names, fn) return self._pubsub:remove_names(kind, names, fn) end
end

--- Listens to channels: fn(message, channel) for each message, one after the other; without fn the
--- subscription itself receives. Waits for the server's confirmation. Comes back after a reconnect;
--- what is published meanwhile is lost.
---@async
---@param channels string|string[]
---@param fn? fun(message: string, channel: string)
---@return hv.RedisSubscription? subscription
---@return string? message
---@return hv.ErrCode? code as of call
Client.subscribe = add_subscription("channel")

--- The same for all channels whose names match: fn(message, channel, pattern).
Client.psubscribe = add_subscription("pattern")

--- The same for sharded channels (Redis 7).
Client.ssubscribe = add_subscription("shard")

--- Ends subscriptions: those with this function, or all of these channels.
---@async
---@param channels string|string[]
---@param fn? function
---@return true? ok
---@return string? message
---@return hv.ErrCode? code
Client.unsubscribe = end_subscription("channel")
--- The same of psubscribe.
Client.punsubscribe = end_subscription("pattern")
--- The same of ssubscribe.
Client.sunsubscribe = end_subscription("shard")

-- ---- The rest ----

--- 3 or 2: what the server speaks.
---@return integer
function Client:protocol() return self._links[1].protocol end

--- Calls whose replies have not come.
---@return integer
function Client:pending()
  local sum = 0
  for _, link in ipairs(self._links) do sum = sum + link:pending() end
  return sum
end

--- Whether somebody waits for a reply, or has borrowed a connection.
---@return boolean
function Client:is_busy() return self:pending() > 0 or next(self._borrowed) ~= nil end

--- Milliseconds that a call waits; what connect was given.
---@return integer
function Client:default_timeout() return self._options.timeout end

--- Whether it is connected now.
---@return boolean
function Client:is_open() return self._links[1].is_open end

local function each_link(self, fn)
  for _, link in ipairs(self._links) do fn(link) end
  if self._subscriber then fn(self._subscriber) end
  for _, borrowed in ipairs(self._idle or {}) do fn(borrowed._links[1]) end
  for borrowed in pairs(self._borrowed or {}) do fn(borrowed._links[1]) end
end

--- Closes for good: calls in flight get ECLOSED, subscriptions end. Again: nothing.
---@return true
function Client:close()
  if self._is_closed then return true end
  self._is_closed = true
  each_link(self, function(link) link:close() end)
  self._pubsub:close()
  return true
end

--- Does not keep the program running (any more).
---@return hv.Redis self
function Client:unref()
  each_link(self, function(link) link:set_referenced(false) end)
  return self
end

--- Keeps the program running; the default.
---@return hv.Redis self
function Client:ref()
  each_link(self, function(link) link:set_referenced(true) end)
  return self
end

methods.guard(Client, "r", "hv.redis", class_names, { new = true, index_of = true })
methods.guard(Script, "script", "hv.redis.script")
Client.script_methods = Script

return Client
