-- redis.lua - what can be done with a Redis server, one thing after the other.
--
--     hvlua redis.lua 127.0.0.1:6379
--     hvlua redis.lua redis://user:password@127.0.0.1:6379/2
local hv = require "hv"

if not (arg[1] and arg[1]:find ":%d" or (arg[1] or ""):find "^rediss?://") then
  io.stderr:write("Usage: redis.lua host:port|url\n")
  os.exit(2)
end

local r = assert(hv.redis.connect(arg[1]))
local key = "hv:example:" .. hv.crypto.uuid() .. ":"

-- Every command is a method. A reply is a value; nil, message, code where the call has failed; and
-- hv.redis.null where there is nothing.
assert(r:set(key .. "name", "Ann", "EX", 60))
print("name", r:get(key .. "name"))
print("nothing", r:get(key .. "other") == hv.redis.null)
print("error", select(2, r:lpush(key .. "name", 1)))

-- Lists give their items, other tables their keys and values.
r:rpush(key .. "list", { "a", "b", "c" })
r:hset(key .. "hash", { x = 1 })
print("list", table.concat(r:lrange(key .. "list", 0, -1), " "), "hash", r:hgetall(key .. "hash").x)

-- Many commands in one packet.
local p = r:pipeline()
for i = 1, 1000 do p:incrby(key .. "sum", i) end
local replies = assert(p:exec())
print("sum", replies[1000])

-- Tasks share the connection: what they ask for at the same time leaves together.
hv.scope(function(s)
  for _ = 1, 100 do
    s:go(function() r:incr(key .. "visits") end)
  end
end)
print("visits", r:get(key .. "visits"))

-- What is read first and written later, only if nobody was faster.
assert(r:transaction(key .. "sum", function(c, tx)
  local sum = tonumber(c:get(key .. "sum"))
  tx:set(key .. "half", sum / 2):expire(key .. "half", 60)
end))
print("half", r:get(key .. "half"))

-- A script runs on the server, and is sent only once.
local take = r:script "return redis.call('LRANGE', KEYS[1], 0, ARGV[1] - 1)"
print("first two", table.concat(take(key .. "list", 2), " "))

-- Messages; the same client goes on with its calls.
local heard = hv.channel(1)
local sub = assert(r:subscribe(key .. "news", function(message) heard:send(message) end))
r:publish(key .. "news", "it works")
print("news", heard:recv(5000))
sub:close()

-- Waiting on the server holds nobody up: it has a connection of its own.
local waiting = hv.go(function() return r:blpop(key .. "queue", 5) end)
r:rpush(key .. "queue", "job")
print("queue", waiting:join()[2])

local left = r:keys(key .. "*")
print("deleted", r:del(left) == #left)
r:close()
