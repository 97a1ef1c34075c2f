--- hv.redis - a client of Redis (and of servers that speak its protocol).
---
---   local r = assert(hv.redis.connect { host = "127.0.0.1", port = 6379 })
---   r:set("greeting", "hello")
---   print(r:get("greeting"))                        --> hello
---   r:subscribe("news", function(message, channel) print(channel, message) end)
---
--- Every command is a method; a reply is a string, number, boolean or table, hv.redis.null where
--- there is none, and nil, message, code[, kind] where the call has failed. Tasks share one
--- connection: what they send at the same time leaves together.
local client = require "hv.redis_client"
local limits = require "hv.limits"
local misuse = require("_hv.loop").misuse
local options = require "hv.options"
local raw = require "_hv.redis"
local url = require "hv.url"
local values = require "hv.redis_values"
local wait = require "hv.wait"

---@class hv.redis
local M = {
  --- What stands for "nothing" in replies: a key that is not there. The same as hv.json.null.
  null = values.null,
}

--- Whether a value is an error inside of a reply: of a pipeline, of a transaction.
---@param value any
---@return boolean
function M.is_error(value) return values.is_error(value) end

--- The slot of a key in a cluster, 0..16383; of "a{b}c" it is that of "b".
---@param key string
---@return integer
function M.slot(key) return raw.slot(key) end

-- ---- Options ----

local function protocol(value, where)
  if value == 2 or value == 3 then return value end
  return misuse(where .. ": protocol must be 2 or 3, got " .. tostring(value))
end

local function positive(name, most)
  return function(value, where)
    if type(value) == "number" and value >= 1 and value <= most and value % 1 == 0 then
      return value
    end
    return misuse(("%s: %s must be 1..%d, got %s"):format(where, name, most, tostring(value)))
  end
end

local read_reconnect = options.reader("hv.redis.connect: reconnect", {
  min_delay = { "ms", 50 }, max_delay = { "ms", 5000 }, max_retries = { "integer" },
})

local function reconnect(value)
  if value == false then return false end
  return read_reconnect(value == true and {} or value)
end

local fn = { "function" }
local known = {
  host = { "string" }, port = { "port" }, path = { "string" }, url = { "string" },
  username = { "string" }, password = { "string" }, db = { "integer", 0 }, name = { "string" },
  protocol = { protocol, 3 }, tls = { "any" },
  timeout = { "ms", limits.redis_timeout },
  connect_timeout = { "ms", limits.connect_timeout },
  keepalive = { "ms", limits.redis_keepalive },
  reconnect = { reconnect },
  size = { positive("size", 1024), 1 }, max_borrowed = { positive("max_borrowed", 65536), 32 },
  max_bulk = { "size", limits.redis_bulk }, max_reply = { "size", limits.redis_reply },
  max_depth = { positive("max_depth", 128), limits.redis_depth },
  max_messages = { positive("max_messages", 1048576), limits.redis_messages },
  on_connect = fn, on_disconnect = fn, on_push = fn,
}
local read_connect = options.reader("hv.redis.connect", known)

local cluster_known = {
  nodes = { "table" }, redirects = { positive("redirects", 100), 5 },
}
for key, entry in pairs(known) do cluster_known[key] = entry end
for _, key in ipairs { "host", "port", "path", "url", "db" } do cluster_known[key] = nil end
local read_cluster = options.reader("hv.redis.cluster", cluster_known)

local schemes = { redis = true, rediss = true, unix = true, ["redis+unix"] = true }

--- "redis://user:password@host:port/db?timeout=1000", "rediss://...", "unix:///path?db=1".
local function options_of_url(text, where)
  local u, message = url.parse(text)
  if not u or not schemes[u.scheme] then
    return misuse(("%s: \"redis://host:port/db\" expected, got %q%s"):format(where, text,
      message and " (" .. message .. ")" or ""))
  end
  local t = { username = u.user ~= "" and u.user or nil, password = u.password }
  if u.scheme == "unix" or u.scheme == "redis+unix" then
    t.path = url.decode(u.path)
  else
    t.host, t.port = u.host ~= "" and u.host or nil, u.port
    local path = u.path or ""
    local db = path:match("^/(%d+)$")
    if not db and path ~= "" and path ~= "/" then
      return misuse(("%s: the path of the URL must be the number of a database, got %q"):format(
        where, path))
    end
    t.db = db and tonumber(db)
    if u.scheme == "rediss" then t.tls = true end
  end
  if u.query then
    for key, value in pairs(url.decode_query(u.query)) do t[key] = tonumber(value) or value end
  end
  return t
end

--- Options of what connect was given: a table, a URL, "host:port" or a path.
local function gather(given, where)
  if type(given) == "string" then
    if given:find("://", 1, true) then return options_of_url(given, where) end
    if given:sub(1, 1) == "/" then return { path = given } end
    local host, port = given:match("^%[?([^%]]-)%]?:(%d+)$")
    if not host then
      return misuse(("%s: \"host:port\" or a URL expected, got %q"):format(where, given))
    end
    return { host = host, port = tonumber(port) }
  end
  if type(given) ~= "table" or not given.url then return given end
  if type(given.url) ~= "string" then
    return misuse(("%s: url must be a string, got %s"):format(where, type(given.url)))
  end
  local t = options_of_url(given.url, where)
  for key, value in pairs(given) do
    if key ~= "url" then t[key] = value end
  end
  return t
end

local function finish_options(t)
  if t.path and t.path:sub(1, 1) ~= "/" then
    return misuse(("hv.redis.connect: path must begin with '/', got %q"):format(t.path))
  end
  if t.host == "" then t.host = nil end
  t.host, t.port = t.host or "127.0.0.1", t.port or 6379
  if t.reconnect == nil then t.reconnect = read_reconnect {} end
  return t
end

--- Connects. Later losses are repaired by itself (`reconnect`), the first failure is returned.
---@async
---@param opts? hv.RedisOptions|string options, "redis://..." or "host:port"; 127.0.0.1:6379
---@return hv.Redis? client
---@return string? message
---@return hv.ErrCode? code ECONNREFUSED, ETIMEDOUT, EREDIS (a wrong password ...), ETLS ...
M.connect = wait.both_forms(function(opts)
  local t = finish_options(read_connect(gather(opts or {}, "hv.redis.connect")))
  return client.new(t):open()
end)

--- Connects to a cluster: commands go to the server that has their key, and follow it when slots
--- move.
---@async
---@param opts hv.RedisClusterOptions { nodes = { "host:port", ... }, ... }; the rest as of connect
---@return hv.RedisCluster? cluster
---@return string? message
---@return hv.ErrCode? code
M.cluster = wait.both_forms(function(opts)
  local t = finish_options(read_cluster(opts))
  if type(t.nodes) ~= "table" or #t.nodes == 0 then
    return misuse("hv.redis.cluster: nodes must be a list of \"host:port\"")
  end
  local nodes = {}
  for i, address in ipairs(t.nodes) do
    local node = gather(address, "hv.redis.cluster: nodes")
    if type(node) ~= "table" then
      return misuse(("hv.redis.cluster: nodes must be a list of \"host:port\", got a %s")
        :format(type(node)))
    end
    local host, port = node.host or "127.0.0.1", node.port or 6379
    if type(host) ~= "string" or type(port) ~= "number" then
      return misuse(("hv.redis.cluster: node %d must have a host, a string, and a port, a number, "
        .. "got %s and %s"):format(i, tostring(host), tostring(port)))
    end
    nodes[i] = { host, port }
  end
  t.nodes = nodes
  return require("hv.redis_cluster").open(t)
end)

return M
