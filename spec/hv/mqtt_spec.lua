--- hv.mqtt against Debian's mosquitto: what users do with it, in both versions.
local certs_of = require "certs"
local helper = require "helper"
local hv = require "hv"
local mosquitto = require "mosquitto"

local function eventually(is_so) return helper.eventually(is_so, 30) end
local broker, open

setup(function() broker = mosquitto.start() end)
teardown(function() broker:stop() end)
before_each(function() open = {} end)
after_each(function()
  for _, client in ipairs(open) do client:close() end
end)

local function connect(opts)
  opts = opts or {}
  opts.host, opts.port = opts.host or "127.0.0.1", opts.port or broker.port
  local client, message, code, reason = hv.mqtt.connect(opts)
  if client then open[#open + 1] = client end
  return client, message, code, reason
end

for _, version in ipairs { 4, 5 } do
  describe("hv.mqtt, version " .. version, function()
    local function client_of(opts)
      opts = opts or {}
      opts.version = version
      return assert(connect(opts))
    end

    it("publishes and receives with each QoS", function()
      local client, got = client_of(), {}
      assert.equal(2, client:subscribe("s/" .. version .. "/+", { qos = 2 }, function(m)
        got[#got + 1] = m
      end))
      for qos = 0, 2 do
        assert.is_true((client:publish("s/" .. version .. "/a", "p" .. qos, { qos = qos })))
      end
      eventually(function() return #got == 3 end)
      for qos = 0, 2 do
        local m = got[qos + 1]
        assert.same({ "s/" .. version .. "/a", "p" .. qos, qos, false, false },
          { m.topic, m.payload, m.qos, m.retain, m.dup })
      end
    end)

    it("calls the callback form with the same values", function()
      local client, results = client_of(), {}
      client:publish("cb", "x", { qos = 1 }, function(...) results[#results + 1] = { ... } end)
      client:publish("cb", "x", function(...) results[#results + 1] = { ... } end)
      assert.equal(0, #results)
      eventually(function() return #results == 2 end)
      table.sort(results, function(a, b) return #a < #b end)
      assert.is_true(results[1][1] and results[2][1])
    end)

    it("gives messages to messages() where no function is for them", function()
      local client, got = client_of(), {}
      client:subscribe("it/#", { qos = 1 })
      local reader = hv.go(function()
        for m in client:messages() do got[#got + 1] = m.payload end
        return "end"
      end)
      for i = 1, 500 do client:publish("it/x", tostring(i), { qos = i % 2 }) end
      eventually(function() return #got == 500 end)
      for i = 1, 500 do assert.equal(tostring(i), got[i]) end
      client:disconnect()
      assert.equal("end", reader:join())
    end)

    it("handles one message after the other, also where the handler waits", function()
      local client, order = client_of(), {}
      client:subscribe("seq/" .. version, { qos = 1 }, function(m)
        order[#order + 1] = "in " .. m.payload
        assert(client:publish("elsewhere", m.payload, { qos = 1 }))
        order[#order + 1] = "out " .. m.payload
      end)
      for i = 1, 5 do client:publish("seq/" .. version, tostring(i)) end
      eventually(function() return #order == 10 end)
      local wanted = {}
      for i = 1, 5 do
        wanted[#wanted + 1] = "in " .. i
        wanted[#wanted + 1] = "out " .. i
      end
      assert.same(wanted, order)
    end)

    it("answers a list of filters by filter", function()
      local client = client_of()
      assert.same({ a = 1, ["b/#"] = 1 }, client:subscribe({ "a", "b/#" }, { qos = 1 }))
      assert.is_true(client:unsubscribe { "a", "b/#" })
    end)

    it("stops giving messages after unsubscribe", function()
      local client, got, other = client_of(), {}, {}
      local topic = "un/" .. version
      client:subscribe(topic, function(m) got[#got + 1] = m.payload end)
      client:subscribe(topic .. "/end", function(m) other[#other + 1] = m.payload end)
      client:publish(topic, "1")
      eventually(function() return #got == 1 end)
      assert.is_true(client:unsubscribe(topic))
      client:publish(topic, "2")
      client:publish(topic .. "/end", "3")
      eventually(function() return #other == 1 end)
      assert.same({ "1" }, got)
    end)

    it("keeps messages that are retained", function()
      local client, got = client_of(), {}
      client:publish("kept/" .. version, "here", { retain = true, qos = 1 })
      client:subscribe("kept/" .. version, function(m) got[#got + 1] = m end)
      eventually(function() return #got == 1 end)
      assert.is_true(got[1].retain)
      client:publish("kept/" .. version, "", { retain = true, qos = 1 })
    end)

    it("has the broker send the will where the client is lost", function()
      local watcher, got = client_of(), {}
      watcher:subscribe("will/" .. version, { qos = 1 }, function(m) got[#got + 1] = m.payload end)
      local dying = client_of { reconnect = false,
        will = { topic = "will/" .. version, payload = "gone", qos = 1 } }
      dying._raw:drop()
      eventually(function() return got[1] == "gone" end)
      client_of({ will = { topic = "will/" .. version, payload = "never" } }):disconnect()
      watcher:publish("will/" .. version, "last", { qos = 1 })
      eventually(function() return #got == 2 end)
      assert.equal("last", got[2])
    end)

    it("connects again, subscribes again and sends what was published meanwhile", function()
      local own = mosquitto.start { persistence = true }
      local closed, connected, got = 0, 0, {}
      local client = client_of { port = own.port, client_id = "back" .. version,
        reconnect = { min_delay = 20, max_delay = 50 },
        on_close = function() closed = closed + 1 end,
        on_connect = function() connected = connected + 1 end }
      client:subscribe("back", { qos = 2 }, function(m) got[#got + 1] = m.payload end)
      own:kill("term")
      eventually(function() return closed >= 1 end)
      local results = {}
      for i = 0, 2 do
        client:publish("back", "p" .. i, { qos = i }, function(ok) results[#results + 1] = ok end)
      end
      assert.equal(3, client:facts().queued)
      assert(own:run())
      eventually(function() return #got == 3 and #results == 3 end)
      assert.same({ "p0", "p1", "p2" }, got)
      assert.equal(2, connected)
      assert.is_false(client:facts().closed)
      client:disconnect()
      own:stop()
    end)

    it("says what is wrong: refused, unreachable, closed", function()
      local own = mosquitto.start { lines = { "password_file @/pw" }, files = { pw = "" },
        password_file = true }
      local client, message, code, reason = connect { port = own.port, version = version,
        username = "me", password = "no" }
      assert.is_nil(client)
      assert.equal("connect 127.0.0.1:" .. own.port .. ": not authorized", message)
      assert.equal("EACCES", code)
      assert.equal(0x87, reason)
      own:stop()
      client, message, code = connect { port = own.port, version = version }
      assert.is_nil(client)
      assert.equal("ECONNREFUSED", code)
      assert.matches("connection refused", message)
      client = client_of()
      client:disconnect()
      local ok
      ok, message, code = client:publish("a", "b", { qos = 1 })
      assert.same({ nil, "publish: closed", "ECLOSED" }, { ok, message, code })
      assert.equal("ECLOSED", (select(3, client:subscribe("a"))))
      assert.matches("closed", tostring(client))
    end)

    it("ends those who wait when it is closed", function()
      local own = mosquitto.start()
      local client = client_of { port = own.port }
      own.process:kill("stop")
      local waiting = hv.go(function() return client:publish("a", "b", { qos = 1 }) end)
      local asking = hv.go(function() return client:subscribe("a") end)
      helper.until_waiting(waiting, asking)
      client._raw:drop()
      assert.equal("ECANCELED", (select(3, waiting:join())))
      assert.equal("ECANCELED", (select(3, asking:join())))
      own.process:kill("cont")
      own:stop()
    end)

    it("lets a wait end in time, and the message go on", function()
      local own = mosquitto.start()
      local client, got = client_of { port = own.port }, {}
      client:subscribe("late", { qos = 1 }, function(m) got[#got + 1] = m.payload end)
      own.process:kill("stop")
      assert.equal("ETIMEDOUT", (select(3, client:publish("late", "x", { qos = 1, timeout = 20 }))))
      own.process:kill("cont")
      eventually(function() return got[1] == "x" end)
      client:disconnect()
      own:stop()
    end)

    it("refuses more than its queue holds", function()
      local client = assert(hv.mqtt.client { host = "127.0.0.1", port = helper.free_port(),
        version = version, queue = 3 })
      open[#open + 1] = client
      local codes = {}
      for i = 1, 5 do
        client:publish("q", "x", { qos = i % 2 }, function(ok, _, code) codes[i] = code or ok end)
      end
      eventually(function() return codes[5] end)
      assert.equal("ELIMIT", codes[4])
      assert.equal("ELIMIT", codes[5])
      assert.equal(3, client:facts().queued)
    end)
  end)
end

describe("hv.mqtt, version 5", function()
  it("carries properties both ways", function()
    local client, got = assert(connect()), nil
    client:subscribe("props", { qos = 1 }, function(m) got = m end)
    client:publish("props", "x", { qos = 1, properties = {
      content_type = "text/plain", response_topic = "answers", correlation_data = "\0\1",
      message_expiry = 90500, payload_format = 1, user = { { "a", "1" }, { "a", "2" } } } })
    eventually(function() return got end)
    local p = got.properties
    assert.same({ "text/plain", "answers", "\0\1", 1 },
      { p.content_type, p.response_topic, p.correlation_data, p.payload_format })
    assert.is_true(p.message_expiry <= 91000 and p.message_expiry >= 90000)
    assert.same({ { "a", "1" }, { "a", "2" }, a = "2" }, p.user)
    assert.equal("table", type(client:facts().server))
  end)

  it("gives each subscription its own messages, also where they overlap", function()
    local client, counts = assert(connect()), { a = 0, b = 0 }
    client:subscribe("over/+", { qos = 1 }, function() counts.a = counts.a + 1 end)
    client:subscribe("over/#", { qos = 1 }, function() counts.b = counts.b + 1 end)
    for _ = 1, 10 do client:publish("over/x", "", { qos = 1 }) end
    eventually(function() return counts.a >= 10 and counts.b >= 10 end)
    assert.same({ a = 10, b = 10 }, counts)
  end)

  it("shares a subscription between clients", function()
    local sender, counts = assert(connect()), { 0, 0 }
    for i = 1, 2 do
      local member = assert(connect())
      member:subscribe("$share/g/work", { qos = 1 }, function() counts[i] = counts[i] + 1 end)
    end
    for _ = 1, 20 do sender:publish("work", "", { qos = 1 }) end
    eventually(function() return counts[1] + counts[2] == 20 end)
    assert.is_true(counts[1] > 0 and counts[2] > 0)
  end)

  it("leaves out what it publishes itself, where asked", function()
    local client, got = assert(connect()), {}
    client:subscribe("own", { no_local = true }, function(m) got[#got + 1] = m.payload end)
    client:subscribe("own/end", function(m) got[#got + 1] = m.payload end)
    client:publish("own", "mine")
    client:publish("own/end", "end")
    eventually(function() return #got > 0 end)
    assert.same({ "end" }, got)
  end)

  it("uses topic aliases up to the broker's maximum", function()
    local client, got = assert(connect { topic_aliases = 4 }), {}
    client:subscribe("alias/#", { qos = 1 }, function(m) got[#got + 1] = m.topic end)
    local wanted = {}
    for i = 1, 200 do
      wanted[i] = "alias/a-topic-that-is-rather-long/" .. i % 20
      client:publish(wanted[i], "", { qos = i % 2 })
    end
    eventually(function() return #got == 200 end)
    table.sort(wanted)
    table.sort(got)
    assert.same(wanted, got)
  end)

  it("keeps within the packet size and the receive maximum of the broker", function()
    local own = mosquitto.start { lines = { "max_packet_size 1000", "max_inflight_messages 3" } }
    local client = assert(connect { port = own.port })
    assert.equal("ELIMIT", (select(3, client:publish("a", ("x"):rep(2000), { qos = 1 }))))
    assert.equal("ELIMIT", (select(3, client:publish("a", ("x"):rep(2000)))))
    local done = 0
    for _ = 1, 50 do
      client:publish("a", "x", { qos = 2 }, function(ok) done = done + (ok and 1 or 0) end)
    end
    assert.is_true(client:facts().inflight <= 3)
    eventually(function() return done == 50 end)
    client:disconnect()
    own:stop()
  end)

  it("takes its id, session and keepalive from the broker", function()
    local own = mosquitto.start { lines = { "max_keepalive 10" } }
    local client = assert(connect { port = own.port, keepalive = 60000 })
    assert.equal(10000, client:facts().server.server_keepalive)
    assert.is_truthy(client:facts().server.assigned_client_id)
    assert.equal(client:facts().server.assigned_client_id, client:facts().client_id)
    client:disconnect()
    own:stop()
  end)

  it("finds its session again after a restart of the program", function()
    local id = "again"
    local first = assert(connect { client_id = id, keep_session = true })
    first:subscribe("session/x", { qos = 1 })
    first:disconnect()
    assert(connect()):publish("session/x", "kept", { qos = 1 })
    local got, present
    local second = assert(connect { client_id = id, clean_start = false,
      on_connect = function(_, is_present) present = is_present end,
      on_message = function(_, m) got = m.payload end })
    eventually(function() return got end)
    assert.equal("kept", got)
    assert.is_true(present)
    second:disconnect(0, { session_expiry = 0 })
  end)
end)

describe("hv.mqtt", function()
  it("speaks TLS and verifies the broker", function()
    local certs = certs_of.new()
    local mine = certs:issue("localhost", "DNS:localhost,IP:127.0.0.1")
    local own = mosquitto.start { lines = { "cafile " .. certs.ca, "certfile " .. mine.cert,
      "keyfile " .. mine.key } }
    local client = assert(connect { url = "mqtts://127.0.0.1:" .. own.port, host = "127.0.0.1",
      port = own.port, tls = { ca = certs.ca } })
    assert.is_true((client:publish("tls", "x", { qos = 2 })))
    client:disconnect()
    local refused, _, code = connect { port = own.port, tls = true }
    assert.is_nil(refused)
    assert.equal("ETLS", code)
    own:stop()
    certs:remove()
  end)

  it("connects to a unix socket", function()
    local own = mosquitto.start { unix = true }
    local client = assert(hv.mqtt.connect { path = own.path })
    assert.is_true((client:publish("unix", "x", { qos = 1 })))
    client:disconnect()
    own:stop()
  end)

  it("ends messages() also where it never was connected", function()
    local closes = 0
    local client = hv.mqtt.client { host = "127.0.0.1", port = helper.free_port(),
      on_close = function() closes = closes + 1 end }
    local reader = hv.go(function()
      for _ in client:messages() do error("there is none") end
      return "end"
    end)
    local waiting = hv.go(function() return client:publish("a", "b", { qos = 1 }) end)
    eventually(function() return closes == 1 end)
    client:close()
    assert.equal("end", reader:join())
    assert.equal("ECANCELED", (select(3, waiting:join())))
    assert.is_true(client:close())
    assert.is_true((client:disconnect()))
    assert.equal("ECLOSED", (select(3, client:receive())))
  end)

  it("does not keep a program running where it is unreferenced", function()
    local text, status = helper.run(([[
      local hv = require "hv"
      local client = assert(hv.mqtt.connect { host = "127.0.0.1", port = %d }):unref()
      client:subscribe("a")
      print "end"
    ]]):format(broker.port))
    assert.equal("end\n", text)
    assert.equal(0, status)
  end)

  it("throws for misuse and names what is wrong", function()
    local function misuse(pattern, fn, ...)
      local ok, message = pcall(fn, ...)
      assert.is_false(ok)
      assert.matches(pattern, message)
    end
    misuse("did you mean \"keepalive\"", hv.mqtt.connect, { host = "x", keepalife = 1 })
    misuse("version must be 4", hv.mqtt.connect, { host = "x", version = 6 })
    misuse("host is missing", hv.mqtt.connect, {})
    misuse("store needs a client_id", hv.mqtt.connect, { host = "x", store = "y" })
    misuse("url must be", hv.mqtt.connect, "http://x")
    misuse("will.topic is missing", hv.mqtt.connect, { host = "x", will = {} })
    misuse("policy must be", hv.mqtt.connect, { host = "x", reconnect = { policy = "no" } })
    misuse("there is no property", hv.mqtt.client, { host = "x", properties = { nope = 1 } })
    misuse("do not belong", hv.mqtt.client, { host = "x", properties = { topic_alias = 1 } })
    local client = assert(connect())
    misuse("no topic name", client.publish, client, "a/#", "x")
    misuse("payload must be a string", client.publish, client, "a", {})
    misuse("unknown option", client.publish, client, "a", "b", { quos = 1 })
    misuse("qos must be", client.publish, client, "a", "b", { qos = 3 })
    misuse("no topic filter", client.subscribe, client, "a#")
    misuse("unknown option", client.subscribe, client, "a", { quos = 1 })
    misuse("does not belong", client.publish, client, "a", "b",
      { properties = { topic_alias = 1 } })
    misuse("user%[1%] must be", client.publish, client, "a", "b", { properties = { user = { 1 } } })
  end)

  it("matches topics", function()
    assert.is_true(hv.mqtt.matches("a/+/#", "a/b"))
    assert.is_false(hv.mqtt.matches("#", "$SYS/x"))
    assert.equal("not authorized", hv.mqtt.reason_text(0x87))
  end)

  it("survives functions that throw", function()
    local client, got = assert(connect()), {}
    local errors = {}
    hv.on_error(function(message) errors[#errors + 1] = message end)
    client:subscribe("throws", { qos = 1 }, function(m)
      got[#got + 1] = m.payload
      error("boom")
    end)
    client:publish("throws", "1", { qos = 1 })
    client:publish("throws", "2", { qos = 1 })
    eventually(function() return #got == 2 and #errors == 2 end)
    hv.on_error(nil)
    assert.is_true(client:is_connected())
  end)
end)

describe("hv.mqtt_topics", function()
  local topics = require "hv.mqtt_topics"

  it("finds what the broker's rules find", function()
    local filters = { "#", "+", "a", "a/#", "a/+", "a/b", "+/b", "+/#", "/", "/+", "$SYS/#", "a//b",
      "+/+/+", "$share/g/a/b" }
    local names = { "a", "a/b", "/", "/x", "$SYS/a", "a//b", "a/b/c", "b", "a/", "$SYS" }
    local tree = topics.new()
    for _, filter in ipairs(filters) do topics.set(tree, filter, filter) end
    for _, topic in ipairs(names) do
      local wanted = {}
      for _, filter in ipairs(filters) do
        if hv.mqtt.matches(filter, topic) then wanted[#wanted + 1] = filter end
      end
      local found = topics.find(tree, topic)
      table.sort(wanted)
      table.sort(found)
      assert.same(wanted, found, topic)
    end
    for _, filter in ipairs(filters) do assert.is_true(topics.remove(tree, filter)) end
    assert.is_false(topics.remove(tree, "a"))
    assert.is_nil(next(tree.levels))
    assert.equal(0, tree.count)
  end)
end)

describe("hv.mqtt over WebSockets", function()
  local own

  setup(function()
    own = mosquitto.start { listeners = { "protocol websockets" }, persistence = true }
  end)
  teardown(function() own:stop() end)

  for _, version in ipairs { 4, 5 } do
    it("publishes and receives with each QoS, version " .. version, function()
      local client, got = assert(connect { url = ("ws://127.0.0.1:%d/mqtt"):format(own.ports[1]),
        port = own.ports[1], version = version }), {}
      client:subscribe("ws/" .. version, { qos = 2 }, function(m) got[#got + 1] = m.payload end)
      local large = ("0123456789"):rep(500) -- of larger ones mosquitto reads 4 KiB in 100 ms
      for qos = 0, 2 do
        assert.is_true((client:publish("ws/" .. version, qos .. large, { qos = qos })))
      end
      eventually(function() return #got == 3 end)
      for qos = 0, 2 do assert.is_true(got[qos + 1] == qos .. large) end
      assert.is_true((client:disconnect()))
    end)
  end

  it("comes back, and sends many messages in few pieces", function()
    local closed, got = 0, 0
    local client = assert(connect { url = ("ws://127.0.0.1:%d/"):format(own.ports[1]),
      port = own.ports[1], reconnect = { min_delay = 10, max_delay = 20 }, client_id = "ws",
      on_close = function() closed = closed + 1 end })
    client:subscribe("back", { qos = 1 }, function() got = got + 1 end)
    own:restart("term")
    eventually(function() return closed > 0 and client:is_connected() end)
    local done = 0
    for i = 1, 1000 do
      client:publish("back", tostring(i), { qos = i % 3 }, function() done = done + 1 end)
    end
    eventually(function() return got == 1000 and done == 1000 end)
    client:disconnect()
  end)

  it("speaks under TLS", function()
    local certs = certs_of.new()
    local mine = certs:issue("localhost", "DNS:localhost,IP:127.0.0.1")
    local secure = mosquitto.start { listeners = { ("protocol websockets\ncafile %s\n" ..
      "certfile %s\nkeyfile %s"):format(certs.ca, mine.cert, mine.key) } }
    local client = assert(connect { url = ("wss://localhost:%d/"):format(secure.ports[1]),
      host = "localhost", port = secure.ports[1], tls = { ca = certs.ca } })
    assert.is_true((client:publish("wss", "x", { qos = 2 })))
    client:disconnect()
    secure:stop()
    certs:remove()
  end)

  it("says why there is no connection", function()
    local client, message, code = connect { url = "ws://127.0.0.1:" .. broker.port .. "/",
      port = broker.port, timeout = 3000 }
    assert.is_nil(client)
    assert.is_truthy(message)
    assert.is_truthy(code)
  end)
end)
