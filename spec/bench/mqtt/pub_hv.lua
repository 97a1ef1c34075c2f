-- pub_hv.lua - hv.mqtt publishing 64 bytes: pub_hv.lua PORT QOS SECONDS WINDOW. Of QoS 1,
-- WINDOW tasks publish one message after the other.
local hv = require "hv"

local port, qos, seconds, window = tonumber(arg[1]), tonumber(arg[2]), tonumber(arg[3]),
  tonumber(arg[4])
local client = assert(hv.mqtt.connect { host = "127.0.0.1", port = port, version = 4,
  max_inflight = window })
local payload, options = ("x"):rep(64), { qos = qos }
local count = 0
local begin, cpu = hv.hrtime(), os.clock()

local function is_over() return hv.hrtime() - begin >= seconds * 1e9 end

if qos == 0 then
  repeat
    for _ = 1, 256 do assert(client:publish("bench/topi", payload)) end
    count = count + 256
  until is_over()
else
  local tasks = {}
  for i = 1, window do
    tasks[i] = hv.go(function()
      repeat
        assert(client:publish("bench/topi", payload, options))
        count = count + 1
      until count % 64 == 0 and is_over()
    end)
  end
  for i = 1, window do tasks[i]:join() end
end
local elapsed, used = (hv.hrtime() - begin) / 1e9, os.clock() - cpu
print(("%d msg/s, %d ns CPU"):format(count / elapsed, used * 1e9 / count))
hv.stop(0)
