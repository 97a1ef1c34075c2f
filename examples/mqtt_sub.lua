-- mqtt_sub.lua - prints the messages of topics, as they come.
--
--     hvlua mqtt_sub.lua -t 'rooms/+/temperature' -q 1 -v
local hv = require "hv"

local usage = [[
Usage: mqtt_sub.lua [options] -t FILTER...
  -h HOST       the broker (127.0.0.1)       -L URL    mqtt[s]://[user[:password]@]host[:port]
  -p PORT       its port (1883)              -t FILTER topics; may come again
  -q QOS        0 (default), 1 or 2          -i ID     client id
  -V VERSION    4 or 5 (default)             -c        keep the session: needs -i
  -u USER       -P PASSWORD                  --cafile FILE  TLS, by these roots
  -C COUNT      end after so many messages   -v        print the topic, too
  -R            leave out retained messages  --help
]]

local function fail(message)
  io.stderr:write("mqtt_sub.lua: ", message, "\n", usage)
  os.exit(2)
end

local filters, o = {}, { qos = 0, version = 5 }
local takes = { ["-h"] = "host", ["-p"] = "port", ["-L"] = "url", ["-q"] = "qos", ["-i"] = "id",
  ["-V"] = "version", ["-u"] = "user", ["-P"] = "password", ["--cafile"] = "ca", ["-C"] = "count",
  ["-t"] = "filter" }
local numbers = { port = true, qos = true, version = true, count = true }
local at = 1
while arg[at] do
  local word = arg[at]
  if word == "--help" then
    io.write(usage)
    os.exit(0)
  elseif word == "-v" or word == "-c" or word == "-R" then
    o[word] = true
  else
    local name = takes[word] or fail("unknown option " .. word)
    at = at + 1
    local value = arg[at] or fail(word .. " needs a value")
    if name == "filter" then
      filters[#filters + 1] = value
    else
      o[name] = numbers[name] and (tonumber(value) or fail(word .. " needs a number")) or value
    end
  end
  at = at + 1
end
if not (o.qos == 0 or o.qos == 1 or o.qos == 2) then fail("-q is 0, 1 or 2") end
if o.version ~= 4 and o.version ~= 5 then fail("-V is 4 or 5") end
if #filters == 0 then fail("-t FILTER is missing") end

local client, message -- client: once it has been connected
client, message = hv.mqtt.connect {
  url = o.url, host = not o.url and (o.host or "127.0.0.1") or nil, port = o.port,
  version = o.version, client_id = o.id, clean_start = not o["-c"], username = o.user,
  password = o.password, tls = o.ca and { ca = o.ca } or nil,
  on_close = function(_, why, _, _, retry)
    if client and retry then io.stderr:write(why, ", again in ", retry, " ms\n") end
  end,
}
if not client then
  io.stderr:write("mqtt_sub.lua: ", message, "\n")
  os.exit(1)
end
hv.on_signal("int", function() client:disconnect() end)
hv.on_signal("term", function() client:disconnect() end)

local granted
granted, message = client:subscribe(filters, { qos = o.qos })
if not granted then
  io.stderr:write("mqtt_sub.lua: ", message, "\n")
  os.exit(1)
end
io.stderr:write("subscribed\n")

local count = 0
for m in client:messages() do
  if not (o["-R"] and m.retain) then
    io.write(o["-v"] and m.topic .. " " or "", m.payload, "\n")
    io.flush()
    count = count + 1
    if count == o.count then break end
  end
end
client:disconnect()
hv.stop(0)
