-- mqtt_pub.lua - publishes one message, or each line of standard input.
--
--     hvlua mqtt_pub.lua -t rooms/3/temperature -m 21.5 -q 1
local hv = require "hv"

local usage = [[
Usage: mqtt_pub.lua [options] -t TOPIC (-m MESSAGE | -l | -n)
  -h HOST       the broker (127.0.0.1)       -L URL    mqtt[s]://[user[:password]@]host[:port]
  -p PORT       its port (1883)              -t TOPIC
  -m MESSAGE    what to publish              -l        each line of standard input
  -n            an empty message             -r        have the broker keep it
  -q QOS        0 (default), 1 or 2          -i ID     client id
  -V VERSION    4 or 5 (default)             -u USER   -P PASSWORD
  --cafile FILE TLS, by these roots          --store FILE  keep what is not acknowledged: needs -i
  --help
]]

local function fail(message)
  io.stderr:write("mqtt_pub.lua: ", message, "\n", usage)
  os.exit(2)
end

local o = { qos = 0, version = 5 }
local takes = { ["-h"] = "host", ["-p"] = "port", ["-L"] = "url", ["-q"] = "qos", ["-i"] = "id",
  ["-V"] = "version", ["-u"] = "user", ["-P"] = "password", ["--cafile"] = "ca", ["-t"] = "topic",
  ["-m"] = "message", ["--store"] = "store" }
local numbers = { port = true, qos = true, version = true }
local at = 1
while arg[at] do
  local word = arg[at]
  if word == "--help" then
    io.write(usage)
    os.exit(0)
  elseif word == "-l" or word == "-n" or word == "-r" then
    o[word] = true
  else
    local name = takes[word] or fail("unknown option " .. word)
    at = at + 1
    local value = arg[at] or fail(word .. " needs a value")
    o[name] = numbers[name] and (tonumber(value) or fail(word .. " needs a number")) or value
  end
  at = at + 1
end
if not (o.qos == 0 or o.qos == 1 or o.qos == 2) then fail("-q is 0, 1 or 2") end
if o.version ~= 4 and o.version ~= 5 then fail("-V is 4 or 5") end
if not o.topic then fail("-t TOPIC is missing") end
if not (o.message or o["-l"] or o["-n"]) then fail("one of -m, -l and -n is missing") end

local client, message = hv.mqtt.connect {
  url = o.url, host = not o.url and (o.host or "127.0.0.1") or nil, port = o.port,
  version = o.version, client_id = o.id, username = o.user, password = o.password,
  tls = o.ca and { ca = o.ca } or nil, store = o.store, clean_start = not o.store,
}

local function check(ok, why)
  if ok then return ok end
  io.stderr:write("mqtt_pub.lua: ", why, "\n")
  return os.exit(1)
end

check(client, message)
local options = { qos = o.qos, retain = o["-r"] }
if o["-l"] then
  for line in io.lines() do check(client:publish(o.topic, line, options)) end
else
  check(client:publish(o.topic, o.message or "", options))
end
check(client:disconnect())
