--- hv.mqtt while its broker is ended and started again, over and over: of QoS 1 nothing is lost, of
--- QoS 2 nothing is lost and nothing comes twice. More of it:
---
---   HV_MQTT_MESSAGES=100000 HV_MQTT_RESTARTS=10 hvlua --test <this file>
local helper = require "helper"
local hv = require "hv"
local mosquitto = require "mosquitto"

local MESSAGES = tonumber(os.getenv("HV_MQTT_MESSAGES")) or 10000
local RESTARTS = tonumber(os.getenv("HV_MQTT_RESTARTS")) or 4
local WINDOW = 200

local function storm(version, qos)
  local broker = mosquitto.start { persistence = true, lines = { "max_inflight_messages 100" } }
  local counts, distinct, doubled, connects = {}, 0, 0, 0
  local function options(name)
    return { host = "127.0.0.1", port = broker.port, version = version, clean_start = false,
      client_id = name, reconnect = { min_delay = 5, max_delay = 20 }, timeout = 60000,
      max_inflight = 100,
      on_connect = function() connects = connects + 1 end }
  end
  local all_here = hv.channel(1)
  local subscriber = assert(hv.mqtt.connect(options("subscriber")))
  assert(subscriber:subscribe("storm", { qos = qos }, function(m)
    local i = tonumber(m.payload)
    counts[i] = (counts[i] or 0) + 1
    if counts[i] > 1 then
      doubled = doubled + 1
    else
      distinct = distinct + 1
      if distinct == MESSAGES then all_here:send(true) end
    end
  end))
  local publisher = assert(hv.mqtt.connect(options("publisher")))
  local window, acked, restarts = hv.semaphore(WINDOW), 0, 0
  local restarter = hv.go(function()
    while restarts < RESTARTS do
      -- A message that is new since the last time: mosquitto 2.0.11 forgets what it has released
      -- where a connection ends before it has said so, and then sends such messages twice.
      local before, mark = distinct, MESSAGES * (restarts + 0.3) / (RESTARTS + 1)
      helper.eventually(function() return distinct > mark and distinct > before end, 120)
      broker:restart("term")
      restarts = restarts + 1
    end
  end)
  for i = 1, MESSAGES do
    window:acquire()
    publisher:publish("storm", tostring(i), { qos = qos, timeout = false }, function(ok, message)
      assert(ok, message)
      acked = acked + 1
      window:release()
    end)
  end
  assert.is_true(all_here:recv(120000))
  restarter:join()
  helper.eventually(function() return acked == MESSAGES end, 120)
  assert.equal(RESTARTS, restarts)
  assert.is_true(connects >= 2 * (RESTARTS + 1))
  if qos == 2 then assert.equal(0, doubled) end
  subscriber:disconnect(0)
  publisher:disconnect(0)
  broker:stop()
end

describe("hv.mqtt, with a broker that is restarted", function()
  for _, version in ipairs { 4, 5 } do
    for qos = 1, 2 do
      it(("loses nothing of QoS %d in version %d"):format(qos, version), function()
        storm(version, qos)
      end)
    end
  end
end)
