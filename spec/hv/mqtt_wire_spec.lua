--- hv.mqtt against a broker that a script plays, byte by byte: what real brokers do rarely, or
--- never.
local helper = require "helper"
local hv = require "hv"

local function eventually(is_so) return helper.eventually(is_so, 30) end
local unhex = hv.crypto.unhex

local function bytes(text) return unhex((text:gsub("%s", ""))) end

--- Reads one packet: its first byte and its rest, as hex.
local function read_packet(conn)
  local first = conn:read(1)
  if not first then return nil end
  local len, shift = 0, 0
  repeat
    local b = conn:read(1):byte()
    len = len + b % 128 * 2 ^ shift
    shift = shift + 7
  until b < 128
  return ("%02X"):format(first:byte()), len > 0 and hv.crypto.hex(conn:read(len)):upper() or ""
end

local servers, clients

--- Plays a broker: `script` gets each connection, its number, and functions to read and write.
local function play(script)
  local count = 0
  local server = assert(hv.tcp.listen({ host = "127.0.0.1", port = 0 }, function(conn)
    count = count + 1
    script({
      conn = conn,
      number = count,
      --- Reads a packet of that first byte; returns its rest.
      expect = function(wanted)
        local first, rest = read_packet(conn)
        if first ~= wanted then
          error(("wanted %s, got %s %s"):format(wanted, tostring(first), tostring(rest)))
        end
        return rest
      end,
      send = function(hex) conn:write(bytes(hex)) end,
      --- Waits for the end of the stream.
      drain = function()
        local packets = {}
        while true do
          local first, rest = read_packet(conn)
          if not first then return packets end
          packets[#packets + 1] = first .. " " .. rest
        end
      end,
    }, count)
  end))
  servers[#servers + 1] = server
  return server:port()
end

local function connect(port, opts)
  opts = opts or {}
  opts.host, opts.port = "127.0.0.1", port
  opts.reconnect = opts.reconnect == nil and { min_delay = 1, max_delay = 1 } or opts.reconnect
  local client, message, code, reason = hv.mqtt.connect(opts)
  if client then clients[#clients + 1] = client end
  return client, message, code, reason
end

local CONNACK = "20 03 00 00 00"
local CONNACK_SESSION = "20 03 01 00 00"

describe("hv.mqtt on the wire", function()
  before_each(function() servers, clients = {}, {} end)
  after_each(function()
    for _, client in ipairs(clients) do client._raw:drop() end
    for _, server in ipairs(servers) do server:close() end
  end)

  it("says in CONNECT what its options are", function()
    local got
    local port = play(function(b)
      got = b.expect("10")
      b.send(CONNACK)
      b.drain()
    end)
    assert(connect(port, { client_id = "id", keepalive = 10500, session_expiry = 1500,
      receive_maximum = 5, max_packet = 4096, topic_aliases = 2, username = "u", password = "p",
      will = { topic = "w", payload = "x", qos = 1, retain = true,
        properties = { will_delay = 1 } },
      properties = { user = { a = "b" } } }))
    assert.equal("00044D51545405EE000B" .. "17" ..
      "2600016100016211000000022100052700001000220002" ..
      "00026964" .. "051800000001" .. "000177" .. "000178" .. "000175" .. "000170", got)
  end)

  it("takes times beyond what MQTT can say for ever", function()
    local got = {}
    local port = play(function(b)
      b.expect("10")
      b.send(CONNACK)
      for i = 1, 4 do got[i] = b.expect("30") end
      b.drain()
    end)
    local client = assert(connect(port))
    for _, ms in ipairs { math.huge, 1e300, 4294967295 * 1000, 4294967294 * 1000 } do
      assert(client:publish("t", "", { properties = { message_expiry = ms } }))
    end
    eventually(function() return got[4] end)
    for i = 1, 3 do assert.equal("000174" .. "05" .. "02FFFFFFFF", got[i]) end
    assert.equal("000174" .. "05" .. "02FFFFFFFE", got[4])
    assert.has_error(function()
      client:publish("t", "", { properties = { message_expiry = 0 / 0 } })
    end)
  end)

  it("sends again with DUP what has no answer, in order, in the same session", function()
    local seen = {}
    local port = play(function(b, number)
      b.expect("10")
      b.send(number == 1 and CONNACK or CONNACK_SESSION)
      if number == 1 then
        seen[1] = b.expect("32")
        seen[2] = b.expect("34")
        seen[3] = b.expect("34")
        b.send("50 02" .. seen[3]:sub(7, 10)) -- only the third is taken
        assert(b.expect("62") == seen[3]:sub(7, 10))
        return
      end
      assert(b.expect("3A") == seen[1]) -- DUP
      assert(b.expect("3C") == seen[2])
      assert(b.expect("62") == seen[3]:sub(7, 10)) -- PUBREL, not the message again
      b.send("40 02" .. seen[1]:sub(7, 10))
      b.send("50 02" .. seen[2]:sub(7, 10))
      assert(b.expect("62") == seen[2]:sub(7, 10))
      b.send("70 02" .. seen[3]:sub(7, 10) .. "70 02" .. seen[2]:sub(7, 10))
      b.drain()
    end)
    local client = assert(connect(port))
    local results = {}
    for i, qos in ipairs { 1, 2, 2 } do
      client:publish("t", tostring(i), { qos = qos }, function(ok) results[i] = ok end)
    end
    eventually(function() return results[1] and results[2] and results[3] end)
    assert.equal(0, client:facts().inflight)
  end)

  it("begins anew where the broker has lost the session, but for what it had taken", function()
    local again, resubscribed = {}, nil
    local port = play(function(b, number)
      b.expect("10")
      b.send(CONNACK)
      if number == 1 then
        local sub = b.expect("82")
        b.send("90 04" .. sub:sub(1, 4) .. "00 01")
        local one, two = b.expect("32"), b.expect("34")
        b.send("50 02" .. two:sub(7, 10))
        b.expect("62")
        again[1] = one
        return
      end
      resubscribed = b.expect("82")
      b.send("90 04" .. resubscribed:sub(1, 4) .. "00 01")
      again[2] = b.expect("32") -- without DUP
      b.send("40 02" .. again[2]:sub(7, 10))
      again[3] = table.concat(b.drain(), ",")
    end)
    local client = assert(connect(port))
    client:subscribe("s/#", { qos = 1 })
    local done = 0
    client:publish("t", "1", { qos = 1 }, function(ok) done = done + (ok and 1 or 0) end)
    client:publish("t", "2", { qos = 2 }, function(ok) done = done + (ok and 1 or 0) end)
    eventually(function() return done == 2 end)
    assert.equal(again[1], again[2])
    assert.matches("0003732F2301$", resubscribed)
  end)

  it("delivers QoS 2 once, however often it comes, and answers each time", function()
    local acks = {}
    local port = play(function(b, number)
      b.expect("10")
      b.send(number == 1 and CONNACK or CONNACK_SESSION)
      if number == 1 then
        b.send("34 07 0001 61 0009 00 78")
        acks[1] = b.expect("50")
        return -- PUBREC is lost as far as the broker knows
      end
      b.send("3C 07 0001 61 0009 00 78")
      acks[2] = b.expect("50")
      b.send("62 02 0009")
      acks[3] = b.expect("70")
      b.send("62 02 0009") -- a second PUBREL: not found
      acks[4] = b.expect("70")
      b.send("34 07 0001 61 0009 00 79") -- the id is free again
      acks[5] = b.expect("50")
      b.drain()
    end)
    local got = {}
    assert(connect(port, { on_message = function(_, m) got[#got + 1] = m.payload end }))
    eventually(function() return acks[5] end)
    assert.same({ "0009", "0009", "0009", "000992", "0009" }, acks)
    assert.same({ "x", "y" }, got)
  end)

  it("acknowledges when the handler has ended, in order", function()
    local acks, gate = {}, hv.channel(1)
    local port = play(function(b)
      b.expect("10")
      b.send(CONNACK)
      b.send("32 07 0001 61 0001 00 78" .. "34 07 0001 61 0002 00 79")
      acks[1] = "40 " .. b.expect("40")
      acks[2] = "50 " .. b.expect("50")
      b.drain()
    end)
    local order = {}
    assert(connect(port, { on_message = function(_, m)
      gate:recv()
      order[#order + 1] = m.payload
    end }))
    hv.sleep(20)
    assert.same({}, acks)
    gate:send(1)
    eventually(function() return acks[1] end)
    assert.is_nil(acks[2])
    gate:send(2)
    eventually(function() return acks[2] end)
    assert.same({ "40 0001", "50 0002" }, acks)
    assert.same({ "x", "y" }, order)
  end)

  it("acknowledges QoS 2 over the next connection, where the handler took so long", function()
    local gate, got, acked = hv.channel(1), 0, {}
    local port = play(function(b, number)
      b.expect("10")
      b.send(number == 1 and CONNACK or CONNACK_SESSION)
      b.send((number == 1 and "34" or "3C") .. "07 0001 61 0009 00 78")
      if number == 1 then return hv.sleep(20) end
      b.send("D0 00")
      gate:send(true)
      acked[1] = b.expect("50")
      b.send("62 02 0009")
      acked[2] = b.expect("70")
      b.drain()
    end)
    assert(connect(port, { on_message = function()
      got = got + 1
      gate:recv()
    end }))
    eventually(function() return acked[2] end)
    assert.same({ "0009", "0009" }, acked)
    assert.equal(1, got)
  end)

  it("goes on where a task that waits for an answer is cancelled", function()
    local answer = hv.channel(1)
    local port = play(function(b)
      b.expect("10")
      b.send(CONNACK)
      local id = b.expect("32"):sub(7, 10)
      answer:recv()
      b.send("40 02" .. id)
      b.send("40 02" .. b.expect("32"):sub(7, 10))
      b.drain()
    end)
    local client = assert(connect(port))
    local waiting = hv.go(function() client:publish("t", "1", { qos = 1 }) end)
    eventually(function() return client:facts().inflight == 1 end)
    waiting:cancel()
    answer:send(true)
    assert.is_true((client:publish("t", "2", { qos = 1 })))
    assert.equal(0, client:facts().inflight)
  end)

  it("ends with ELIMIT where more comes than it may keep for a handler that waits", function()
    for _, case in ipairs {
      { { max_kept = 100 }, 100, 101 }, -- one is being handled, and one more comes later
      { { max_kept_bytes = 100 }, 50, 51 }, -- of two bytes each
    } do
      local options, good, bad = unpack(case)
      for _, count in ipairs { good, bad } do
        local closed, handled = nil, 0
        local port = play(function(b)
          b.expect("10")
          b.send(CONNACK)
          b.conn:write(bytes("30 05 0001 61 00 62"):rep(count))
          local id = b.expect("32"):sub(7, 10)
          b.send("30 05 0001 7A 00 62") -- read before the answer
          b.send("40 02" .. id)
          b.drain()
        end)
        options.reconnect = false
        options.on_message = function(self)
          handled = handled + 1
          if handled == 1 then self:publish("t", "", { qos = 1 }) end
        end
        options.on_close = function(_, _, code) closed = code end
        local client = assert(connect(port, options))
        eventually(function() return closed or handled > good end)
        assert.equal(count == bad and "ELIMIT" or nil, closed)
        client._raw:drop()
        options.host, options.port = nil, nil
      end
    end
  end)

  it("understands topic aliases of the broker", function()
    local port = play(function(b)
      b.expect("10")
      b.send(CONNACK)
      b.send("30 08 0001 61 03 23 0001 31" .. "30 08 0001 62 03 23 0002 32" ..
        "30 07 0000 03 23 0001 33" .. "30 08 0001 63 03 23 0001 34" .. "30 07 0000 03 23 0001 35")
      b.drain()
    end)
    local got = {}
    assert(connect(port, { topic_aliases = 2,
      on_message = function(_, m) got[#got + 1] = m.topic .. m.payload end }))
    eventually(function() return #got == 5 end)
    assert.same({ "a1", "b2", "a3", "c4", "c5" }, got)
  end)

  it("uses the broker's aliases: the topic once, then two bytes", function()
    local seen = {}
    local port = play(function(b)
      b.expect("10")
      b.send("20 06 00 00 03 22 0001")
      for i = 1, 3 do seen[i] = b.expect("30") end
      b.drain()
    end)
    local client = assert(connect(port))
    for _ = 1, 2 do client:publish("long/topic", "x") end
    client:publish("other/topic", "x") -- there is only one
    eventually(function() return seen[3] end)
    assert.equal("000A6C6F6E672F746F706963" .. "03230001" .. "78", seen[1])
    assert.equal("0000" .. "03230001" .. "78", seen[2])
    assert.equal("000B6F746865722F746F706963" .. "00" .. "78", seen[3])
  end)

  it("keeps to the broker's receive maximum, also when it sends again", function()
    local most, under_way = 0, 0
    local port = play(function(b, number)
      b.expect("10")
      b.send(number == 1 and "20 06 00 00 03 21 0002" or "20 06 01 00 03 21 0002")
      under_way = 0
      for i = 1, number == 1 and 4 or math.huge do
        local first, rest = read_packet(b.conn)
        if not first then return end
        assert(first == "32" or first == "3A")
        under_way = under_way + 1
        most = math.max(most, under_way)
        hv.sleep(1)
        if i % 2 == 0 or number > 1 then
          b.send("40 02" .. rest:sub(7, 10))
          under_way = under_way - 1
        end
        if number == 1 and i == 3 then return end
      end
    end)
    local client, done = assert(connect(port)), 0
    for i = 1, 20 do
      client:publish("t", tostring(i), { qos = 1 }, function(ok) done = done + (ok and 1 or 0) end)
    end
    eventually(function() return done == 20 end)
    assert.is_true(most <= 2)
  end)

  it("asks a silent broker whether it lives, and leaves one that does not answer", function()
    local pings, closed = 0, nil
    local port = play(function(b, number)
      b.expect("10")
      b.send("20 06 00 00 03 13 0001") -- the server's own keepalive: one second
      b.expect("C0")
      pings = pings + 1
      if number == 1 then
        b.send("D0 00")
        b.expect("C0")
        pings = pings + 1
      end
      b.drain()
    end)
    assert(connect(port, { ping_timeout = 300, reconnect = false,
      on_close = function(_, message, code) closed = { message, code } end }))
    eventually(function() return pings == 1 end)
    eventually(function() return closed end)
    assert.equal(2, pings)
    assert.same({ "mqtt: timed out", "ETIMEDOUT" }, closed)
  end)

  it("waits longer from time to time where connections do not last", function()
    local port = play(function(b)
      b.expect("10")
      b.send(CONNACK)
    end)
    local retries = {}
    assert(connect(port, { reconnect = { min_delay = 1, max_delay = 10, max_retries = 5 },
      on_close = function(_, _, _, _, retry) retries[#retries + 1] = retry or "none" end }))
    eventually(function() return #retries == 6 end)
    assert.same({ 1, 2, 4, 8, 10, "none" }, retries)
  end)

  it("gives up a broker that does not answer CONNECT", function()
    local port = play(function(b) b.drain() end)
    local client, message, code = connect(port, { timeout = 30 })
    assert.is_nil(client)
    assert.equal("ETIMEDOUT", code)
    assert.equal("connect 127.0.0.1:" .. port .. ": timed out", message)
  end)

  it("leaves brokers that break the rules, with the reason for it", function()
    for _, case in ipairs {
      { "70 02 0000", "81", "EPROTO" }, -- packet id 0
      { "31 80 80 80 80 01", "81", "EPROTO" }, -- a length of five bytes
      { "82 06 0001 00 0001 61", "81", "EPROTO" }, -- torn
      { "82 07 0001 00 0001 61 00", "82", "EPROTO" }, -- SUBSCRIBE is not the broker's to send
      { CONNACK, "82", "EPROTO" }, -- twice
      { "30 07 0000 03 23 0001 33", "82", "EPROTO" }, -- an alias of nothing
      { "30 08 0001 61 03 23 0063 33", "94", "EPROTO" }, -- an alias beyond the maximum
      { "30 81 20 0001 61 00 33", "95", "ELIMIT" }, -- larger than max_packet
      { "34 06 0001 61 0001 00" .. "34 06 0001 61 0002 00" .. "34 06 0001 61 0003 00", "93",
        "ELIMIT" }, -- more than receive_maximum
      { "F0 00", "82", "EPROTO" }, -- AUTH without a method
    } do
      local last, closed
      local port = play(function(b)
        b.expect("10")
        b.send(CONNACK .. case[1])
        local packets = b.drain()
        last = packets[#packets]
      end)
      assert(connect(port, { max_packet = 1024, receive_maximum = 2, reconnect = false,
        on_message = function() end,
        on_close = function(_, _, code) closed = code end }))
      eventually(function() return last and closed end)
      assert.equal("E0 " .. case[2], last, case[1])
      assert.equal(case[3], closed, case[1])
    end
  end)

  it("leaves a broker whose CONNACK is none", function()
    local cases = { "20 02 00 00", "30 04 0001 61 00", "20 03 01 00 00", "20 03 00 01 00" }
    for _, case in ipairs(cases) do
      local port = play(function(b)
        b.expect("10")
        b.send(case)
        b.drain()
      end)
      local client, _, code = connect(port)
      assert.is_nil(client)
      assert.equal("EPROTO", code, case)
    end
  end)

  it("tells refusals and goodbyes with their reasons and properties", function()
    local port = play(function(b)
      b.expect("10")
      b.send("20 0A 00 9C 07 1C 0004 68 3A 31 38")
      b.drain()
    end)
    local client, message, code, reason, properties = hv.mqtt.connect { host = "127.0.0.1",
      port = port }
    assert.is_nil(client)
    assert.equal("h:18", properties.server_reference)
    assert.equal("connect 127.0.0.1:" .. port .. ": use another server", message)
    assert.same({ "ECONNABORTED", 0x9C }, { code, reason })

    port = play(function(b)
      b.expect("10")
      b.send(CONNACK)
      b.send("E0 0C 8E 0A 1C 0001 73 1F 0003 776879")
      b.drain()
    end)
    local closed, connects = nil, 0
    client = assert(connect(port, { on_connect = function() connects = connects + 1 end,
      on_close = function(_, m, c, r, retry) closed = { m, c, r, retry } end }))
    eventually(function() return closed end)
    assert.same({ "mqtt: session taken over", "ECONNABORTED", 0x8E }, closed)
    assert.equal("s", client.close_properties.server_reference)
    assert.equal("why", client.close_properties.reason_string)
    assert.is_true(client:facts().closed) -- the two would throw each other out for ever
    assert.equal(1, connects)
  end)

  it("passes on refusals of publish and subscribe", function()
    local port = play(function(b)
      b.expect("10")
      b.send(CONNACK)
      local id = b.expect("32"):sub(7, 10)
      b.send("40 03" .. id .. "87")
      id = b.expect("34"):sub(7, 10)
      b.send("50 03" .. id .. "97")
      id = b.expect("32"):sub(7, 10)
      b.send("40 03" .. id .. "10")
      id = b.expect("82"):sub(1, 4)
      b.send("90 04" .. id .. "00 87")
      id = b.expect("A2"):sub(1, 4)
      b.send("B0 04" .. id .. "00 87")
      b.drain()
    end)
    local client = assert(connect(port))
    assert.same({ nil, "publish: not authorized", "EACCES", 0x87 },
      { client:publish("t", "", { qos = 1 }) })
    assert.same({ nil, "publish: quota exceeded", "ELIMIT", 0x97 },
      { client:publish("t", "", { qos = 2 }) })
    assert.same({ true, 0x10 }, { client:publish("t", "", { qos = 1 }) })
    assert.same({ nil, "subscribe t: not authorized", "EACCES", 0x87 }, { client:subscribe("t") })
    assert.same({ nil, "unsubscribe: not authorized", "EPROTO", 0x87 }, { client:unsubscribe("t") })
    assert.equal(0, client:facts().inflight)
  end)

  it("does not ask for what the broker does not offer", function()
    local port = play(function(b)
      b.expect("10")
      b.send("20 0D 00 00 0A 24 00 25 00 28 00 29 00 2A 00")
      b.drain()
    end)
    local client = assert(connect(port))
    for _, args in ipairs { { qos = 1 }, { retain = true } } do
      assert.equal("EOPNOTSUPP", (select(3, client:publish("t", "", args))))
    end
    assert.equal("EOPNOTSUPP", (select(3, client:subscribe("a/#"))))
    assert.equal("EOPNOTSUPP", (select(3, client:subscribe("$share/g/a"))))
  end)

  it("authenticates in steps, and again", function()
    local steps = {}
    local port = play(function(b)
      b.expect("10")
      b.send("F0 0A 18 08 15 0001 6D 16 0001 31")
      steps[1] = b.expect("F0")
      b.send("20 0B 00 00 08 15 0001 6D 16 0001 32")
      steps[2] = b.expect("F0")
      b.send("F0 0A 18 08 15 0001 6D 16 0001 33")
      steps[3] = b.expect("F0")
      b.send("F0 06 00 04 15 0001 6D")
      b.drain()
    end)
    local asked = {}
    local client = assert(connect(port, { auth = { method = "m", data = "0",
      on_auth = function(_, data)
        asked[#asked + 1] = data
        return "<" .. data .. ">"
      end } }))
    assert.is_true(client:reauthenticate("r"))
    eventually(function() return steps[3] end)
    assert.same({ "1", "3" }, asked)
    assert.same({ "180A15" .. "00016D" .. "1600033C313E", "190815" .. "00016D" .. "16000172",
      "180A15" .. "00016D" .. "1600033C333E" }, steps)
  end)

  it("reads what comes at every cut", function()
    local stream = bytes(CONNACK .. "30 06 0001 61 00 3131" .. "32 08 0001 62 0001 00 3232" ..
      "34 07 0001 63 0002 00 33" .. "62 02 0002" .. "D0 00")
    for cut = 1, #stream - 1 do
      local acks
      local port = play(function(b)
        b.expect("10")
        b.conn:write(stream:sub(1, cut))
        hv.sleep(1)
        b.conn:write(stream:sub(cut + 1))
        acks = b.expect("40") .. b.expect("50") .. b.expect("70")
        b.drain()
      end)
      local got = {}
      local client = assert(connect(port, { on_message = function(_, m)
        got[#got + 1] = m.payload
      end }))
      eventually(function() return acks end)
      assert.same({ "11", "22", "3" }, got)
      assert.equal("000100020002", acks)
      client._raw:drop()
    end
  end)

  it("says goodbye, and ends the session that nobody will ask for", function()
    local said = {}
    local port = play(function(b)
      b.expect("10")
      b.send(CONNACK)
      local packets = b.drain()
      said[#said + 1] = packets[#packets]
    end)
    assert.is_true((assert(connect(port)):disconnect()))
    eventually(function() return #said == 1 end)
    assert(connect(port, { keep_session = true })):disconnect(4, { user = { a = "b" } })
    eventually(function() return #said == 2 end)
    assert(connect(port, { clean_start = false, client_id = "x" })):disconnect()
    eventually(function() return #said == 3 end)
    assert.same({ "E0 00051100000000", "E0 0407260001610001" .. "62", "E0 " }, said)
  end)

  it("slows a broker that sends more than is handled", function()
    local gate, sent = hv.channel(0), 0
    local port = play(function(b)
      b.expect("10")
      b.send(CONNACK)
      local piece = bytes(("30 84 08 0001 61 00" .. ("78"):rep(1024)):rep(64))
      for _ = 1, 400 do -- 26 MB: more than sockets hold
        if not b.conn:write(piece) then return end
        sent = sent + 64
      end
      b.drain()
    end)
    local client = assert(connect(port, { on_message = function() gate:recv() end }))
    hv.sleep(100)
    local early = sent
    assert.is_true(early < 400 * 64)
    assert.is_true(client:facts().received < 2000)
    gate:close()
    eventually(function() return sent == 400 * 64 end)
  end)
end)
