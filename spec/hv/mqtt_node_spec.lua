--- hv.mqtt and npm's mqtt, through npm's aedes: by TCP and by WebSockets.
local helper = require "helper"
local hv = require "hv"

local function eventually(is_so) return helper.eventually(is_so, 30) end

local node, port, web

setup(function()
  local script = debug.getinfo(1, "S").source:match("^@(.*)spec/hv/") .. "spec/support/aedes.js"
  node = assert(hv.process.spawn { "node", script, stdin = "pipe", stdout = "pipe" })
  local line = assert(node.stdout:read_line())
  port, web = line:match("^listening on 127.0.0.1:(%d+), (ws://[%d.:]+)$")
  assert(port, line)
end)

teardown(function()
  node.stdin:close()
  node:wait()
end)

local function exchange(opts, count, payload)
  opts.version = 4
  local client, got = assert(hv.mqtt.connect(opts)), {}
  assert.equal(2, client:subscribe("back/#", { qos = 2 }, function(m) got[#got + 1] = m end))
  for i = 1, count do
    assert(client:publish("there/" .. i, payload .. i, { qos = i % 3 }))
  end
  eventually(function() return #got == count end)
  local seen = {}
  for _, m in ipairs(got) do
    local i = tonumber(m.topic:match("^back/(%d+)$"))
    assert.is_nil(seen[i])
    seen[i] = true
    assert.is_true(m.payload == payload .. i)
    assert.equal(math.min(i % 3, 1), m.qos)
  end
  assert.is_true((client:unsubscribe("back/#")))
  assert.is_true((client:disconnect()))
end

describe("hv.mqtt with npm's mqtt and aedes", function()
  it("exchanges messages by TCP", function()
    exchange({ host = "127.0.0.1", port = tonumber(port) }, 90, "message ")
  end)

  it("exchanges messages by WebSockets", function() exchange({ url = web }, 90, "message ") end)

  it("exchanges large messages by both", function()
    local large = ("0123456789abcdef"):rep(20000)
    exchange({ host = "127.0.0.1", port = tonumber(port) }, 6, large)
    exchange({ url = web .. "/mqtt?x=y" }, 6, large)
  end)

  it("receives QoS 2 once", function()
    local got, sender = {}, assert(hv.mqtt.connect { url = web, version = 4 })
    local client = assert(hv.mqtt.connect { url = "mqtt://127.0.0.1:" .. port, version = 4 })
    client:subscribe("two/+", { qos = 2 }, function(m)
      got[#got + 1] = m.payload
      assert.equal(2, m.qos)
    end)
    local wanted = {}
    for i = 1, 50 do
      wanted[i] = tostring(i)
      assert(sender:publish("two/" .. i, wanted[i], { qos = 2 }))
    end
    eventually(function() return #got == 50 end)
    assert.same(wanted, got)
    client:disconnect()
    sender:disconnect()
  end)

  it("has its will sent, and finds its session again", function()
    local got = {}
    local watcher = assert(hv.mqtt.connect { url = "mqtt://127.0.0.1:" .. port, version = 4 })
    watcher:subscribe("gone/+", { qos = 1 }, function(m) got[#got + 1] = m.payload end)
    local options = { host = "127.0.0.1", port = tonumber(port), version = 4, client_id = "kept",
      clean_start = false, will = { topic = "gone/kept", payload = "bye", qos = 1 } }
    local client = assert(hv.mqtt.connect(options))
    client:subscribe("for/kept", { qos = 1 })
    client._raw:drop()
    eventually(function() return got[1] == "bye" end)
    assert(watcher:publish("for/kept", "while away", { qos = 1 }))
    local message, present
    options.on_message = function(_, m) message = m.payload end
    options.on_connect = function(_, is_present) present = is_present end
    client = assert(hv.mqtt.connect(options))
    eventually(function() return message end)
    assert.same({ "while away", true }, { message, present })
    client:disconnect()
    watcher:disconnect()
  end)
end)
