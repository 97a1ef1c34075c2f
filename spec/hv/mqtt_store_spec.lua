--- hv.mqtt with a file store: programs that are killed in the middle, and take up where they were.
local helper = require "helper"
local hv = require "hv"
local mosquitto = require "mosquitto"

local function eventually(is_so) return helper.eventually(is_so, 60) end

local broker, dir

setup(function()
  broker = mosquitto.start { lines = { "max_inflight_messages 0" } }
  dir = os.tmpname()
  os.remove(dir)
  assert(hv.fs.mkdir(dir))
end)

teardown(function()
  broker:stop()
  assert(hv.fs.remove(dir, { recursive = true }))
end)

--- Publishes numbers from `first` on, many at a time, and prints those that were acknowledged.
local PUBLISHER = [[
local hv = require "hv"
local port, store, qos, first, count, sync = arg[1], arg[2], tonumber(arg[3]), tonumber(arg[4]),
  tonumber(arg[5]), arg[6]
local client = assert(hv.mqtt.connect { url = "mqtt://127.0.0.1:" .. port, client_id = store,
  clean_start = false, store = store, store_sync = sync, queue = 10000 })
io.stdout:setvbuf("line")
local window = hv.semaphore(50)
for i = first, first + count - 1 do
  window:acquire()
  client:publish("numbers", tostring(i), { qos = qos }, function(ok)
    if ok then print(i) end
    window:release()
  end)
end
-- What an earlier run has left, too, is acknowledged in the end.
while client:facts().inflight + client:facts().queued > 0 do hv.sleep(5) end
print("all")
client:disconnect()
]]

local function publish(store, qos, first, count, sync)
  local process = assert(hv.process.spawn { os.getenv("HVLUA"), "-e", PUBLISHER, "-", broker.port,
    store, qos, first, count, sync, stdin = "null", stdout = "pipe" })
  return process
end

for _, case in ipairs { { 1, "never" }, { 2, "never" }, { 2, "always" } } do
  local qos, sync = case[1], case[2]
  describe(("hv.mqtt's store, QoS %d, store_sync %s"):format(qos, sync), function()
    it("loses nothing of a publisher that is killed", function()
      local counts, doubled = {}, 0
      local watcher = assert(hv.mqtt.connect { host = "127.0.0.1", port = broker.port })
      watcher:subscribe("numbers", { qos = qos }, function(m)
        local i = tonumber(m.payload)
        counts[i] = (counts[i] or 0) + 1
        if counts[i] > 1 then doubled = doubled + 1 end
      end)
      local store, acked = ("%s/%d%s"):format(dir, qos, sync), {}
      for run = 0, 3 do
        local first = 1 + run * 100000
        local process = publish(store, qos, first, run == 3 and 100 or 100000, sync)
        local lines = 0
        for line in process.stdout:lines() do
          if line == "all" then break end
          acked[tonumber(line)] = true
          lines = lines + 1
          if run < 3 and lines == 100 + run * 70 then process:kill("kill") end
        end
        process:wait()
      end
      eventually(function()
        for i in pairs(acked) do
          if not counts[i] then return false end
        end
        return true
      end)
      if qos == 2 then assert.equal(0, doubled) end
      watcher:disconnect()
    end)
  end)
end

describe("hv.mqtt's store", function()
  it("keeps what was published before there was a broker, over a restart", function()
    local store = dir .. "/early"
    local options = { host = "127.0.0.1", port = helper.free_port(), client_id = "early",
      clean_start = false, store = store, reconnect = false }
    local client = assert(hv.mqtt.client(options))
    for i = 1, 3 do client:publish("early", tostring(i), { qos = 1 }, function() end) end
    assert.equal(3, client:facts().queued)
    eventually(function() return client:facts().closed end)
    local got = {}
    local watcher = assert(hv.mqtt.connect { host = "127.0.0.1", port = broker.port })
    watcher:subscribe("early", { qos = 1 }, function(m) got[#got + 1] = m.payload end)
    options.port = broker.port
    client = assert(hv.mqtt.connect(options))
    eventually(function() return #got == 3 and client:facts().inflight == 0 end)
    assert.same({ "1", "2", "3" }, got)
    assert.equal(0, client:facts().store_dropped)
    local other, message, code = hv.mqtt.client(options)
    assert.is_nil(other)
    assert.matches(store, message, 1, true)
    assert.equal("EBUSY", code)
    client:disconnect()
    watcher:disconnect()
  end)

  it("drops a torn end, and says how much", function()
    local store = dir .. "/torn"
    local options = { host = "127.0.0.1", port = helper.free_port(), client_id = "torn",
      clean_start = false, store = store, reconnect = false }
    local client = assert(hv.mqtt.client(options))
    client:publish("torn", "whole", { qos = 1 }, function() end)
    eventually(function() return client:facts().closed end)
    assert(hv.fs.append(store, "half a record"))
    client = assert(hv.mqtt.client(options))
    assert.equal(13, client:facts().store_dropped)
    assert.equal(1, client:facts().inflight)
    eventually(function() return client:facts().closed end)
    assert(hv.fs.write(store, "something else altogether"))
    local none, _, code = hv.mqtt.client(options)
    assert.is_nil(none)
    assert.equal("EPROTO", code)
  end)

  it("delivers QoS 2 once, also where the subscriber is started again", function()
    local options = { host = "127.0.0.1", port = broker.port, client_id = "twice",
      clean_start = false, store = dir .. "/twice", reconnect = { min_delay = 1, max_delay = 5 } }
    local counts, sum = {}, 0
    options.on_message = function(_, m)
      counts[m.payload] = (counts[m.payload] or 0) + 1
      sum = sum + 1
    end
    local client = assert(hv.mqtt.connect(options))
    client:subscribe("once", { qos = 2 })
    local sender, done = assert(hv.mqtt.connect { host = "127.0.0.1", port = broker.port }), false
    hv.go(function()
      for i = 1, 600 do assert(sender:publish("once", tostring(i), { qos = 2 })) end
      done = true
    end)
    for mark = 100, 500, 100 do
      -- A message that is new: mosquitto 2.0.11 forgets what it has released where a connection
      -- ends before it has said so, and then sends such messages twice.
      local before = sum
      eventually(function() return sum >= mark and sum > before end)
      client._raw:drop()
      eventually(function()
        client = hv.mqtt.connect(options)
        return client
      end)
    end
    eventually(function() return sum >= 600 and done end)
    for i = 1, 600 do assert.equal(1, counts[tostring(i)]) end
    client:disconnect(0, { session_expiry = 0 })
    sender:disconnect()
  end)
end)
