--- hv.redis_cluster - a cluster of Redis servers as one: what hv.redis.cluster returns. Private to
--- lua/hv.
---
--- The map says which server has which of the 16384 slots. It is asked for at the start, and again
--- whenever a server says that it was wrong. What a server answers instead of a reply:
---
---   MOVED 3999 host:port   the slot is there now: the map is corrected, the call goes there
---   ASK 3999 host:port     this key is there already: this call goes there, after ASKING
---   TRYAGAIN, CLUSTERDOWN  in the middle of a move, of an election: again, after a while
local Client = require "hv.redis_client"
local commands = require "hv.redis_commands"
local loop = require "_hv.loop"
local pipeline = require "hv.redis_pipeline"
local methods = require "hv.methods"
local raw = require "_hv.redis"
local task = require "hv.task"
local values = require "hv.redis_values"
local wait = require "hv.wait"

local misuse = loop.misuse

local PAUSE_MS = 50 -- before a call is tried again
local SLOT_MAX = 16383

---@class hv.RedisCluster
local Cluster = {}
local meta = { __name = "hv.redis.cluster", __index = Client.index_of(Cluster) }

function meta:__tostring()
  local count = 0
  for _ in pairs(self._nodes) do count = count + 1 end
  return ("hv.redis.cluster{%s, %d nodes}"):format(self._is_closed and "closed" or "open", count)
end

-- ---- Nodes ----

local function address_text(host, port)
  return (host:find(":", 1, true) and "[%s]:%d" or "%s:%d"):format(host, port)
end

--- "host:port", also with an IPv6 address, which comes without brackets.
local function split_address(address)
  local host, port = address:match("^(.*):(%d+)$")
  host = host and host:match("^%[(.*)%]$") or host
  return host, tonumber(port)
end

local function make_node(self, host, port)
  local t = {}
  for key, value in pairs(self._options) do t[key] = value end
  t.host, t.port, t.db, t.nodes = host, port, 0, nil
  local on_push = t.on_push
  t.on_push = function(node, message)
    if message[1] == "sunsubscribe" then return self:_move_shard(node, message[2]) end
    if on_push then return on_push(self, message) end
  end
  return Client.new(t)
end

--- The client of an address, connected or connecting; nil, message, code where it fails.
local function node_at(self, address)
  local node = self._nodes[address]
  if node then return node end
  if self._is_closed then return nil, "the client is closed", "ECLOSED" end
  local host, port = split_address(address)
  node = make_node(self, host, port)
  self._nodes[address] = node
  local went, ok, message, code = pcall(node.open, node)
  if went and ok and not self._is_closed then return node end
  self._nodes[address] = nil
  node:close()
  if not went then return error(ok, 0) end
  return nil, message or "the client is closed", code or "ECLOSED"
end

-- ---- The map ----

local function is_within(value, low, high)
  return type(value) == "number" and value >= low and value <= high and value % 1 == 0
end

--- Whether a range of CLUSTER SLOTS is what it should be: what a server says is not believed.
local function is_range(range)
  if type(range) ~= "table" or not is_within(range[1], 0, SLOT_MAX) then return false end
  if not is_within(range[2], range[1], SLOT_MAX) then return false end
  for i = 3, #range do
    local node = range[i]
    if type(node) ~= "table" or not is_within(node[2], 1, 65535) then return false end
    if type(node[1]) ~= "string" and node[1] ~= values.null then return false end
  end
  return true
end

--- Reads CLUSTER SLOTS: { { first, last, { host, port, ... }, replicas ... }, ... }.
--- Returns true, or nil, message, code.
local function read_map(self, node_host, reply)
  local slots, masters, known = {}, {}, {}
  for _, range in ipairs(reply) do
    if not is_range(range) then return nil, "CLUSTER SLOTS is malformed", "EPROTO" end
    for i = 3, #range do
      local host, port = range[i][1], range[i][2]
      -- A server that does not know its own name says nothing: it is the one that was asked.
      if host == values.null or host == "" or host == "?" then host = node_host end
      local address = address_text(host, port)
      known[address] = true
      if i == 3 then
        for slot = range[1], range[2] do slots[slot] = address end
        if not masters[address] then
          masters[address] = true
          masters[#masters + 1] = address
        end
      end
    end
  end
  if #masters == 0 then return nil, "the cluster serves no slots", "EREDIS" end
  self._slots, self._masters, self._known = slots, masters, known
  return true
end

local function ask_node(self, address)
  local node, message, code = node_at(self, address)
  if not node then return nil, message, code end
  local reply
  reply, message, code = node:call("CLUSTER", "SLOTS")
  if type(reply) ~= "table" then return nil, message, code end
  return read_map(self, (split_address(address)), reply)
end

local function drop_node(self, address, node)
  self._nodes[address] = nil
  for sub in pairs(node._pubsub:all()) do self:_move_subscription(sub) end
  node:close()
end

--- Takes the nodes away that are no part of the cluster any more: two maps in a row must say so,
--- because a map may be older than the word of the server that has sent us there, and nobody may be
--- using it.
local function drop_strangers(self)
  local strangers = {}
  for address, node in pairs(self._nodes) do
    local is_stranger = not self._known[address]
    if is_stranger and node._is_stranger and not node:is_busy() then strangers[address] = node end
    node._is_stranger = is_stranger
  end
  for address, node in pairs(strangers) do drop_node(self, address, node) end
end

--- Asks one node after the other for the map; those that are known first.
local function refresh(self)
  local tried, message, code = {}, nil, nil
  local addresses = {}
  for address in pairs(self._nodes) do addresses[#addresses + 1] = address end
  for _, address in ipairs(self._masters) do addresses[#addresses + 1] = address end
  for _, seed in ipairs(self._options.nodes) do
    addresses[#addresses + 1] = address_text(seed[1], seed[2])
  end
  for _, address in ipairs(addresses) do
    if not tried[address] then
      tried[address] = true
      local ok
      ok, message, code = ask_node(self, address)
      if ok then
        drop_strangers(self)
        return true
      end
    end
  end
  return nil, message, code
end

--- The same in the background, once at a time.
local function refresh_later(self)
  if self._refreshing or self._is_closed then return end
  self._refreshing = task.go(function()
    pcall(refresh, self)
    self._refreshing = nil
  end)
end

--- Connects: asks the given nodes, one after the other.
function Cluster.open(t)
  local self = setmetatable({
    _options = t, _nodes = {}, _slots = {}, _masters = {}, _known = {}, _next = 0 }, meta)
  local ok, message, code = refresh(self)
  if ok then return self end
  self:close()
  return nil, "hv.redis.cluster: " .. message, code
end

--- Whose turn it is among the masters.
local function any_address(self)
  self._next = self._next % #self._masters + 1
  return self._masters[self._next]
end

local function address_of(self, slot)
  return slot and self._slots[slot] or any_address(self)
end

-- ---- Calls ----

--- Calls after ASKING, on the same connection.
local function call_asking(node, name, ...)
  return node:borrow(function(c, ...)
    c:call("ASKING")
    local reply, message, code, kind = c:call(name, ...)
    c._is_dirty = false -- ASKING holds for one command
    return reply, message, code, kind
  end, ...)
end

local again = { TRYAGAIN = true, CLUSTERDOWN = true, LOADING = true, MASTERDOWN = true }

--- Where a refused call goes next: the address and whether after ASKING; nil where it is over.
local function next_step(self, address, message, code, kind)
  if kind == "MOVED" or kind == "ASK" then
    local slot, target = message:match("(%d+) (%S+)$")
    if not target then return nil end
    if target:sub(1, 1) == ":" then target = (split_address(address)) .. target end
    local host, port = split_address(target)
    slot = tonumber(slot)
    if not host or port < 1 or port > 65535 or slot > SLOT_MAX then return nil end
    target = address_text(host, port)
    if kind == "ASK" then return target, true end
    self._slots[slot] = target
    self._known[target] = true
    refresh_later(self)
    return target, false
  end
  if kind and again[kind] then
    task.sleep(PAUSE_MS)
    return address, false
  end
  if code == "ECONNRESET" or code == "EOF" then refresh_later(self) end
  return nil
end

--- A node that cannot be reached may have been replaced.
local function after_failure(self, slot)
  task.sleep(PAUSE_MS)
  refresh(self)
  return address_of(self, slot)
end

local unreachable = { ENOTCONN = true, ECONNREFUSED = true, EHOSTUNREACH = true,
  ENETUNREACH = true, ENOTFOUND = true }

local function call(self, name, ...)
  name = commands.name("r:call", name)
  local key = commands.key_of(name, ...)
  local slot = key and raw.slot(key)
  local address, is_asking = address_of(self, slot), false
  local reply, message, code, kind
  for _ = 0, self._options.redirects do
    if self._is_closed then return nil, name .. ": the client is closed", "ECLOSED" end
    local node
    node, message, code = node_at(self, address)
    kind = nil
    if node and is_asking then
      reply, message, code, kind = call_asking(node, name, ...)
    elseif node then
      reply, message, code, kind = node:call(name, ...)
    else
      message = name .. ": " .. message
    end
    if reply ~= nil then return reply end
    if unreachable[code] then
      address, is_asking = after_failure(self, slot), false
    else
      address, is_asking = next_step(self, address, message, code, kind)
      if not address then break end
    end
  end
  return nil, message, code, kind
end

--- Runs a command on the server that has its key; one without a key on any.
---@async
---@param name string
---@param ... string|number|table
---@return any reply as of hv.Redis
---@return string? message
---@return hv.ErrCode? code
---@return string? kind MOVED, ASK ... where it was sent on too often; CROSSSLOT
Cluster.call = wait.both_forms(call)

-- ---- Pipelines ----

---@class hv.RedisClusterPipeline
local Pipeline = {}
local made = {}
local pipeline_meta = { __name = "hv.redis.cluster_pipeline" }

pipeline_meta.__index = function(_, key)
  local method = Pipeline[key] or made[key]
  if method then return method end
  local name, second = commands.words(key)
  if not name or key:find("^_") then return nil end
  if second then
    method = function(self, ...) return self:call(name, second, ...) end
  else
    method = function(self, ...) return self:call(name, ...) end
  end
  made[key] = method
  return method
end

--- Adds a command.
---@param name string
---@return hv.RedisClusterPipeline self
function Pipeline:call(name, ...)
  name = commands.name("pipe:call", name)
  commands.check(name, true, (...))
  local list = self._commands
  list[#list + 1] = { n = select("#", ...) + 1, name, ... }
  return self
end

--- How many commands there are.
---@return integer
function Pipeline:count() return #self._commands end

--- Drops what was added.
---@return hv.RedisClusterPipeline self
function Pipeline:discard()
  self._commands = {}
  return self
end

--- The commands by the address of their server: { address = { index, ... } }.
local function by_address(cluster, list)
  local groups = {}
  for i, command in ipairs(list) do
    local key = commands.key_of(unpack(command, 1, command.n))
    local address = address_of(cluster, key and raw.slot(key))
    groups[address] = groups[address] or {}
    table.insert(groups[address], i)
  end
  return groups
end

local function error_value(message, code, kind)
  return setmetatable({ message = message, code = code, kind = kind or code }, values.error_meta)
end

--- Sends the commands of one server; those that it does not have any more go their own way.
local function exec_group(cluster, address, list, indexes, timeout, replies)
  local node, message, code = node_at(cluster, address)
  local answers
  if node then
    local p = node:pipeline()
    for _, i in ipairs(indexes) do p:call(unpack(list[i], 1, list[i].n)) end
    answers, message, code = p:exec(timeout)
  end
  for nth, i in ipairs(indexes) do
    local answer = answers and answers[nth]
    local kind = values.is_error(answer) and answer.kind
    if not answers and not unreachable[code] then
      replies[i] = error_value(message, code)
    elseif not answers or kind == "MOVED" or kind == "ASK" or again[kind] then
      local reply, why, why_code, why_kind = call(cluster, unpack(list[i], 1, list[i].n))
      if reply == nil then reply = error_value(why, why_code, why_kind) end
      replies[i] = reply
    else
      replies[i] = answer
    end
  end
  return true
end

--- Sends the commands, to all servers at the same time, and waits for all replies. What could not
--- be carried out is an error among them; its `code` tells EREDIS from ECONNRESET and the like.
---@async
---@param timeout? integer milliseconds until the last reply of each server
---@return any[] replies in the order of the commands
Pipeline.exec = wait.both_forms(function(self, timeout)
  local cluster, list = self._cluster, self._commands
  self._commands = {}
  local replies, runs = {}, {}
  for address, indexes in pairs(by_address(cluster, list)) do
    runs[#runs + 1] = function()
      return exec_group(cluster, address, list, indexes, timeout, replies)
    end
  end
  if #runs == 1 then runs[1]() else task.all(unpack(runs)) end
  return replies
end)

--- Commands that are sent together, each to the server of its key.
---@return hv.RedisClusterPipeline
function Cluster:pipeline()
  return setmetatable({ _cluster = self, _commands = {} }, pipeline_meta)
end

-- ---- Transactions ----

--- Sends a transaction to the server of a slot, and again where the slot has moved: a command that
--- was refused has undone all of it.
local function exec_multi(slot)
  return function(self, timeout, pipe)
    local replies, message, code
    for _ = 0, self._options.redirects do
      local node
      node, message, code = node_at(self, address_of(self, slot))
      if not node then return nil, message, code end
      replies, message, code = node._links[1]:exec(timeout or self._options.timeout, pipe)
      if not replies then return nil, message, code end
      local moved
      for _, reply in ipairs(replies) do
        if values.is_error(reply) and (reply.kind == "MOVED" or reply.kind == "ASK") then
          moved = reply
        end
      end
      if not moved then return replies end
      if moved.kind == "ASK" then task.sleep(PAUSE_MS) end
      next_step(self, address_of(self, slot), moved.message, "EREDIS", moved.kind)
    end
    return replies
  end
end

--- A transaction on the server of `key`; all of its keys must be in the same slot.
---@param key string
---@return hv.RedisPipeline
function Cluster:multi(key)
  if type(key) ~= "string" then return misuse("cluster:multi: the key expected") end
  return pipeline.new(self, true, exec_multi(raw.slot(key)))
end

--- As r:transaction; all keys must be in the same slot.
---@async
---@param keys string|string[]
---@param fn fun(c: hv.Redis, tx: hv.RedisPipeline): false?
---@param tries? integer 10
---@return any[]? replies
---@return string? message
---@return hv.ErrCode? code
function Cluster:transaction(keys, fn, tries)
  local slot = raw.slot(type(keys) == "table" and keys[1] or keys)
  local reply, message, code, kind
  for _ = 0, self._options.redirects do
    local node
    node, message, code = node_at(self, address_of(self, slot))
    if not node then return nil, message, code end
    reply, message, code, kind = node:transaction(keys, fn, tries)
    if kind ~= "MOVED" then break end
    next_step(self, address_of(self, slot), message, code, kind)
  end
  return reply, message, code, kind
end

--- The client of the server that has a key, for r:borrow and the like.
---@async
---@param key string
---@return hv.Redis? node
---@return string? message
---@return hv.ErrCode? code
function Cluster:node_of(key) return node_at(self, address_of(self, raw.slot(key))) end

--- Calls fn(node, address) for each master, one after the other: for FLUSHALL, SCAN and the like.
---@async
---@param fn fun(node: hv.Redis, address: string)
---@return true? ok
---@return string? message of the first that cannot be reached
---@return hv.ErrCode? code
function Cluster:each_master(fn)
  for _, address in ipairs({ unpack(self._masters) }) do
    local node, message, code = node_at(self, address)
    if not node then return nil, message, code end
    fn(node, address)
  end
  return true
end

--- As r:script.
Cluster.script = Client.script

-- ---- Subscriptions ----

--- The node for a subscription: of a shard its owner, else one and the same for all.
function Cluster:_subscriber(kind, name)
  if kind == "shard" then return node_at(self, address_of(self, raw.slot(name))) end
  local address = self._subscribed_at
  if not address or not self._known[address] then
    address = any_address(self)
    self._subscribed_at = address
  end
  return node_at(self, address)
end

--- Subscribes at the server that it belongs to now. The map may be behind; then that server says
--- where, or it is asked for again after a while.
function Cluster:_move_subscription(sub)
  for _ = 0, self._options.redirects do
    local node = self:_subscriber(sub._kind, sub._names[1])
    if self._is_closed then return end
    if node then
      local ok, message, code, kind = node._pubsub:adopt(sub, self._options.timeout)
      if ok then return end
      if kind == "MOVED" then
        next_step(self, node._links[1].address, message, code, kind)
      else
        task.sleep(PAUSE_MS)
      end
    else
      after_failure(self)
    end
  end
end

--- The server has given a shard's channel away.
function Cluster:_move_shard(node, name)
  local subs = node._pubsub:all("shard", name)
  if next(subs) == nil then return end
  refresh(self)
  for sub in pairs(subs) do self:_move_subscription(sub) end
end

local function subscribing(kind, method)
  return function(self, names, fn)
    local first = type(names) == "table" and names[1] or names
    if type(first) ~= "string" then return misuse("r:" .. method .. ": a channel expected") end
    for _ = 0, self._options.redirects do
      local node, message, code = self:_subscriber(kind, first)
      if not node then return nil, message, code end
      local sub, why, why_code, why_kind = node[method](node, names, fn)
      if sub or why_kind ~= "MOVED" then return sub, why, why_code, why_kind end
      next_step(self, node._links[1].address, why, why_code, why_kind)
    end
    return nil, method .. ": the channel moves too often", "EREDIS"
  end
end

local function unsubscribing(method)
  return function(self, names, fn)
    for _, node in pairs(self._nodes) do node[method](node, names, fn) end
    return true
  end
end

--- As of hv.Redis; the subscription moves to another server where its own leaves.
Cluster.subscribe = subscribing("channel", "subscribe")
--- The same.
Cluster.psubscribe = subscribing("pattern", "psubscribe")
--- The same; the channels must be in one slot.
Cluster.ssubscribe = subscribing("shard", "ssubscribe")
--- As of hv.Redis.
Cluster.unsubscribe = unsubscribing "unsubscribe"
--- The same.
Cluster.punsubscribe = unsubscribing "punsubscribe"
--- The same.
Cluster.sunsubscribe = unsubscribing "sunsubscribe"

-- ---- The rest ----

--- Calls whose replies have not come.
---@return integer
function Cluster:pending()
  local sum = 0
  for _, node in pairs(self._nodes) do sum = sum + node:pending() end
  return sum
end

--- 3 or 2.
---@return integer
function Cluster:protocol()
  local _, node = next(self._nodes)
  return node and node:protocol() or self._options.protocol
end

--- Closes for good. Again: nothing.
---@return true
function Cluster:close()
  if self._is_closed then return true end
  self._is_closed = true
  if self._refreshing then self._refreshing:cancel() end
  for _, node in pairs(self._nodes) do node:close() end
  self._nodes = {}
  return true
end

methods.guard(Cluster, "r", "hv.redis.cluster", nil, { open = true })
methods.guard(Pipeline, "pipe", "hv.redis.cluster_pipeline")
Cluster.pipeline_methods = Pipeline

return Cluster
