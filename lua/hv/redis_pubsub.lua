--- hv.redis_pubsub - subscriptions of a client: who gets which message, and how they come back on a
--- new connection. Private to lua/hv.
---
--- Under RESP3 messages come on the connection that calls use as well; under RESP2 a connection
--- that has subscribed takes no other command, so there is one of its own.
local channel = require "hv.channel"
local methods = require "hv.methods"
local misuse = require("_hv.loop").misuse
local options = require "hv.options"
local wait = require "hv.wait"

local M = {}

local QUEUE = 1024 -- messages that a subscription without a function keeps

--- kind -> the commands, and what a message of that kind is called.
local kinds = {
  channel = { "SUBSCRIBE", "UNSUBSCRIBE", "subscribe" },
  pattern = { "PSUBSCRIBE", "PUNSUBSCRIBE", "psubscribe" },
  shard = { "SSUBSCRIBE", "SUNSUBSCRIBE", "ssubscribe" },
}
local kind_of_message = { message = "channel", pmessage = "pattern", smessage = "shard" }

-- ---- One subscription ----

---@class hv.RedisSubscription
local Subscription = {}
local meta = { __name = "hv.redis.subscription", __index = Subscription }

function meta:__tostring()
  return ("hv.redis.subscription{%s %s}"):format(self._is_closed and "closed" or self._kind,
    table.concat(self._names, " "))
end

--- Waits for the next message of a subscription without a function.
---@async
---@param timeout? integer milliseconds; none by default
---@return string? message
---@return string channel   or what went wrong
---@return string? pattern  of psubscribe; or ECLOSED, ETIMEDOUT
Subscription.receive = wait.both_forms(function(self, timeout)
  if not self._queue then
    return misuse("subscription:receive: its function gets the messages")
  end
  options.check_ms("subscription:receive: timeout must be milliseconds", timeout)
  local item, message, code = self._queue:recv(timeout)
  if not item then return nil, (message:gsub("^channel:recv", "receive")), code end
  return item[1], item[2], item[3]
end)

--- `for message, channel in sub:messages()`: until it is closed.
function Subscription:messages()
  return function() return self:receive() end
end

--- Ends it, and waits until the server has taken note. Again: nothing.
---@async
---@return true? ok
---@return string? message
---@return hv.ErrCode? code
function Subscription:close()
  if self._is_closed then return true end
  self._is_closed = true
  if self._queue then self._queue:close() end
  return self._set:remove(self)
end

methods.guard(Subscription, "subscription", "hv.redis.subscription")
M.subscription_methods = Subscription

-- ---- All of a client ----

local Set = {}
local set_meta = { __index = Set }

--- `link()` gives the link to subscribe on, or nil, message, code.
function M.new(client, link)
  return setmetatable({
    _client = client, _link = link, channel = {}, pattern = {}, shard = {},
  }, set_meta)
end

local function call_one(sub, message, name, pattern)
  if sub._is_closed then return end
  if sub._fn then return sub._fn(message, name, pattern) end
  sub._queue:send({ message, name, pattern })
end

--- Several who listen to the same: each is called, whatever the others do.
local function call_all(subs, message, name, pattern)
  local list, failure = {}, nil
  for i = 1, #subs do list[i] = subs[i] end
  for i = 1, #list do
    local ok, trace = xpcall(call_one, debug.traceback, list[i], message, name, pattern)
    if not ok then failure = failure or trace end
  end
  if failure then error(failure, 0) end
end

--- A message of the server: { "message", channel, payload } ... Returns whether it was one.
function Set:deliver(message)
  local kind = kind_of_message[message[1]]
  if not kind then return false end
  local name = message[2]
  local subs = self[kind][name]
  if not subs then return true end -- unsubscribed a moment ago
  local data, channel_name, pattern = message[3], name, nil
  if kind == "pattern" then data, channel_name, pattern = message[4], message[3], name end
  if #subs == 1 then
    call_one(subs[1], data, channel_name, pattern)
  else
    call_all(subs, data, channel_name, pattern)
  end
  return true
end

local function add(names, name, sub)
  local subs = names[name]
  if subs then
    subs[#subs + 1] = sub
    return false
  end
  names[name] = { sub }
  return true
end

--- Takes a subscription out. Returns the names that nobody listens to any more.
local function take_out(names, sub)
  local unused = {}
  for _, name in ipairs(sub._names) do
    local subs = names[name] or {}
    for i = #subs, 1, -1 do
      if subs[i] == sub then table.remove(subs, i) end
    end
    if #subs == 0 and names[name] then
      names[name] = nil
      unused[#unused + 1] = name
    end
  end
  return unused
end

local function check_names(where, names)
  if type(names) == "string" then names = { names } end
  if type(names) ~= "table" or #names == 0 then
    return misuse(where .. ": a channel or a list of channels expected")
  end
  local copy, is_there = {}, {}
  for _, name in ipairs(names) do
    if type(name) ~= "string" then
      return misuse(("%s: string expected, got %s"):format(where, type(name)))
    end
    if not is_there[name] then copy[#copy + 1] = name end
    is_there[name] = true
  end
  return copy
end

--- Subscribes. Returns the subscription once the server has confirmed it.
function Set:add(kind, names, fn, timeout)
  local where = "r:" .. kinds[kind][3]
  names = check_names(where, names)
  if fn ~= nil and type(fn) ~= "function" then
    return misuse(("%s: function expected, got %s"):format(where, type(fn)))
  end
  local sub = setmetatable({
    _set = self, _kind = kind, _names = names, _fn = fn,
    _queue = not fn and channel.new(QUEUE) or nil,
  }, meta)
  local link, message, code = self._link(kind, names[1])
  if not link then return nil, where .. ": " .. message, code end
  for _, name in ipairs(names) do add(self[kind], name, sub) end
  -- Those that others have are asked for again: their confirmation may not have come yet.
  local went, ok, why, code_of, kind_of_error = pcall(link.subscribe, link, timeout, kinds[kind][1],
    names)
  if went and ok then return sub end
  sub._is_closed = true
  take_out(self[kind], sub)
  if not went then return error(ok, 0) end -- cancelled
  return nil, ("%s: %s"):format(where, why), code_of, kind_of_error
end

--- Takes a subscription over from another set, whose server is gone or has given the channel away.
function Set:adopt(sub, timeout)
  take_out(sub._set[sub._kind], sub)
  sub._set = self
  if sub._is_closed then return true end
  for _, name in ipairs(sub._names) do add(self[sub._kind], name, sub) end
  local link, message, code = self._link(sub._kind, sub._names[1])
  -- A link that is not open now restores it later.
  if not link then return nil, message, code end
  return link:subscribe(timeout, kinds[sub._kind][1], sub._names)
end

--- Every subscription, or those of one channel.
function Set:all(kind, name)
  local found = {}
  for each_kind in pairs(kinds) do
    for each_name, subs in pairs(self[each_kind]) do
      if kind == nil or kind == each_kind and name == each_name then
        for _, sub in ipairs(subs) do found[sub] = true end
      end
    end
  end
  return found
end

--- Takes a subscription out, and tells the server what nobody listens to any more.
function Set:remove(sub)
  local unused = take_out(self[sub._kind], sub)
  if #unused == 0 then return true end
  local link = self._link(sub._kind, unused[1])
  -- A connection that is down restores only what is still wanted.
  if not link or not link.is_open then return true end
  local ok, message, code = link:subscribe(self._client:default_timeout(), kinds[sub._kind][2],
    unused)
  if ok then return true end
  if code == "ECONNRESET" or code == "ENOTCONN" or code == "ECLOSED" then return true end
  return nil, "unsubscribe: " .. message, code
end

--- Ends what listens to these names with this function, or with any.
function Set:remove_names(kind, names, fn)
  names = check_names("r:un" .. kinds[kind][3], names)
  local found = {}
  for _, name in ipairs(names) do
    for _, sub in ipairs(self[kind][name] or {}) do
      if fn == nil or sub._fn == fn then found[sub] = true end
    end
  end
  for sub in pairs(found) do
    local ok, message, code = sub:close()
    if not ok then return nil, message, code end
  end
  return true
end

--- Subscribes to everything on a new connection, inside of its handshake.
function Set:restore(link)
  for kind, words in pairs(kinds) do
    local names = {}
    for name in pairs(self[kind]) do names[#names + 1] = name end
    if #names > 0 then
      local ok, message, code = link:restore(words[1], names)
      if not ok then return nil, message, code end
    end
  end
  return true
end

--- Ends all, without a word to the server.
function Set:close()
  for kind in pairs(kinds) do
    for _, subs in pairs(self[kind]) do
      for _, sub in ipairs(subs) do
        sub._is_closed = true
        if sub._queue then sub._queue:close() end
      end
    end
    self[kind] = {}
  end
end

return M
