--- hv.redis_commands - what a client has to know about commands: which may stand where, which wait
--- on the server, and where their keys are. Private to lua/hv.
---
--- Source: the command tables of redis.io ("key specifications", "blocking commands"). A command
--- that is not named here is an ordinary one whose first argument is its key.
local misuse = require("_hv.loop").misuse

local M = {}

local function set(words)
  local result = {}
  for word in words:gmatch("%S+") do result[word] = true end
  return result
end

--- The name of a command in the letters that are sent, or misuse where it is none.
---@param where string
function M.name(where, name)
  if type(name) == "string" and name ~= "" then return name:upper() end
  return misuse(("%s: the name of a command expected, got %s"):format(where,
    name == "" and '""' or tostring(name)))
end

-- ---- Which may stand where ----

local subscribing = set "SUBSCRIBE UNSUBSCRIBE PSUBSCRIBE PUNSUBSCRIBE SSUBSCRIBE SUNSUBSCRIBE"
local never = set "MONITOR SYNC PSYNC HELLO QUIT RESET AUTH"
--- Change what the connection is for everybody who shares it.
local exclusive = set "MULTI EXEC DISCARD WATCH UNWATCH SELECT ASKING READONLY READWRITE"

--- Throws where a command would break the order of replies, or others' calls.
function M.check(name, is_shared, first)
  if subscribing[name] then
    return misuse(("hv.redis: %s is r:%s(channel, fn)"):format(name, name:lower()))
  end
  if type(first) == "table" then first = first[1] end
  local is_client_reply = name == "CLIENT" and type(first) == "string" and first:upper() == "REPLY"
  if never[name] or is_client_reply then
    return misuse(("hv.redis: %s cannot be called: replies would lose their order"):format(name))
  elseif is_shared and exclusive[name] then
    return misuse(("hv.redis: %s changes a connection that others share; use r:multi, "
      .. "r:transaction or r:borrow"):format(name))
  end
end

--- Commands that check looks at.
M.special = {}
for _, names in ipairs { subscribing, never, exclusive, set "CLIENT" } do
  for name in pairs(names) do M.special[name] = true end
end

--- After these a connection is not as it was; false: as it was again.
M.dirties = { WATCH = true, MULTI = true, SELECT = true, ASKING = true, READONLY = true,
  READWRITE = true, CLIENT = true, EXEC = false, DISCARD = false, UNWATCH = false }

-- ---- Commands that wait on the server ----

local function seconds(value)
  value = tonumber(value)
  return value and value * 1000
end

local function last_seconds(...) return seconds((select(select("#", ...), ...))) end
local function first_seconds(...) return seconds((...)) end

--- The milliseconds behind BLOCK; nil: it does not wait.
local function block_ms(...)
  for i = 1, select("#", ...) - 1 do
    local word = select(i, ...)
    if type(word) == "string" then
      word = word:upper()
      if word == "BLOCK" then return tonumber((select(i + 1, ...))) end
      if word == "STREAMS" then return nil end
    end
  end
end

--- name -> function(...) that gives the milliseconds, 0 for no end, nil where it does not wait.
M.blocking = {
  BLPOP = last_seconds, BRPOP = last_seconds, BRPOPLPUSH = last_seconds, BLMOVE = last_seconds,
  BZPOPMIN = last_seconds, BZPOPMAX = last_seconds, BLMPOP = first_seconds, BZMPOP = first_seconds,
  XREAD = block_ms, XREADGROUP = block_ms,
  WAIT = function(_, ms) return tonumber(ms) end,
  WAITAOF = function(_, _, ms) return tonumber(ms) end,
}

-- ---- Where the key is ----

local keyless = set [[ACL BGREWRITEAOF BGSAVE CLIENT CLUSTER COMMAND CONFIG DBSIZE DEBUG ECHO
  FAILOVER FLUSHALL FLUSHDB FUNCTION INFO KEYS LASTSAVE LATENCY LOLWUT MODULE PING PUBLISH PUBSUB
  RANDOMKEY REPLICAOF ROLE SAVE SCAN SCRIPT SHUTDOWN SLOWLOG SWAPDB TIME WAIT WAITAOF]]

--- The key is the second argument, or the third.
local second = set "BITOP OBJECT XGROUP XINFO MEMORY"
--- The number of keys is the n-th argument; the keys follow.
local counted = { EVAL = 2, EVALSHA = 2, EVAL_RO = 2, EVALSHA_RO = 2, FCALL = 2, FCALL_RO = 2,
  ZUNION = 1, ZINTER = 1, ZDIFF = 1, ZINTERCARD = 1, SINTERCARD = 1, LMPOP = 1, ZMPOP = 1,
  BLMPOP = 2, BZMPOP = 2 }

local function argument(i, ...)
  local value = select(i, ...)
  if type(value) == "table" then value = value[1] or next(value) end
  return value
end

--- The first key of a command; nil where it has none and any server will do.
function M.key_of(name, ...)
  local count = select("#", ...)
  if count == 0 or keyless[name] then return nil end
  local at = 1
  if second[name] then
    at = 2
  elseif name == "MIGRATE" then
    at = 3
  elseif counted[name] then
    at = counted[name] + 1
    if tonumber((select(at - 1, ...))) == 0 then return nil end
  elseif name == "XREAD" or name == "XREADGROUP" then
    for i = 1, count do
      local word = select(i, ...)
      if type(word) == "string" and word:upper() == "STREAMS" then at = i + 1 end
    end
  end
  if at > count then return nil end
  local key = argument(at, ...)
  return key ~= nil and tostring(key) or nil
end

-- ---- Names ----

--- Replies of RESP2 that are maps in RESP3.
function M.is_map(name, first)
  return name == "HGETALL"
    or name == "CONFIG" and type(first) == "string" and first:upper() == "GET"
end

--- "client_list" is CLIENT LIST: no command has an underscore in its name but these.
local underscored = set [[EVAL_RO EVALSHA_RO FCALL_RO BITFIELD_RO GEORADIUS_RO SORT_RO
  GEORADIUSBYMEMBER_RO]]

--- The words of a method's name; nil where it is none of a command.
function M.words(method)
  if type(method) ~= "string" or not method:find("^%a[%w_]*$") then return nil end
  local name = method:upper()
  if underscored[name] then return name end
  local first, rest = name:match("^(%w+)_([%w_]+)$")
  if not first then return name:find("_", 1, true) and nil or name end
  return first, (rest:gsub("_", "-"))
end

return M
