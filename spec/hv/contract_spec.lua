--- The contract of the Lua API, section by section: each name is called, in both of its forms where
--- it waits, and each rule that holds everywhere is tried at several places. What a piece does
--- beside that is tested in the spec of its own.
local contract = require "contract"
local helper = require "helper"
local hv = require "hv"
local raw_http = require "raw_http"

local pack = contract.pack
local both = contract.both
local code_of = contract.code_of
local throws = contract.throws
local has = contract.has

local LOCAL = "127.0.0.1"

local function echo(opts, handler)
  local t = { host = LOCAL, port = 0 }
  for key, value in pairs(opts or {}) do t[key] = value end
  return assert(hv.tcp.listen(t, handler or function(conn)
    for chunk in conn:chunks() do
      if not conn:write(chunk) then break end
    end
  end))
end

local function connect(server, opts)
  local t = { host = LOCAL, port = server:port() }
  for key, value in pairs(opts or {}) do t[key] = value end
  return assert(hv.tcp.connect(t))
end

local function nothing() end

-- ---- Rules ----

describe("contract: rules", function()
  it("1: modules load by themselves and can be required", function()
    for name in ([[tcp udp tls dns http ws mqtt redis process fs worker shared log json url crypto
      metrics]]):gmatch("%S+") do
      assert.equal(hv[name], require("hv." .. name), name)
    end
  end)

  it("3: waits in pcall, iterators, metamethods and coroutines", function()
    local seen = {}
    local object = setmetatable({}, { __index = function(_, key) hv.sleep(1) return key end })
    local iterate = function(_, i) hv.sleep(1) if i < 2 then return i + 1 end end
    seen[1] = pcall(hv.sleep, 1)
    seen[2] = object.word
    for i in iterate, nil, 0 do seen[i + 2] = i end
    seen[5] = coroutine.wrap(function() hv.sleep(1) return "inside" end)()
    assert.same({ true, "word", 1, 2, "inside" }, seen)
  end)

  it("5: names the nearest key and refuses wrong values", function()
    local unknown = {
      { hv.tcp.listen, { prot = 1 }, "prot.*\"port\"" },
      { hv.tcp.connect, { host = "x", prt = 1 }, "prt.*\"port\"" },
      { hv.tcp.client, { host = "x", port = 1, reconect = true }, "reconect.*\"reconnect\"" },
      { hv.udp.bind, { port = 0, brodcast = true }, "brodcast.*\"broadcast\"" },
      { hv.http.app, { max_bdy = 1 }, "max_bdy.*\"max_body\"" },
      { hv.http.request, { url = "x", timout = 1 }, "timout.*\"timeout\"" },
      { hv.http.client, { base_ur = "x" }, "base_ur.*\"base_url\"" },
      { hv.mqtt.connect, { host = "x", keepalve = 1 }, "keepalve.*\"keepalive\"" },
      { hv.redis.connect, { hots = "x" }, "hots.*\"host\"" },
      { hv.process.spawn, { "true", stdn = "pipe" }, "stdn.*\"stdin\"" },
      { hv.all, { timout = 1 }, "timout.*\"timeout\"" },
      { hv.shutdown, { grce = 1 }, "grce.*\"grace\"" },
    }
    for _, case in ipairs(unknown) do throws(case[3], case[1], case[2], nothing) end
    throws("port", hv.tcp.connect, { host = LOCAL, port = 70000 })
    throws("port", hv.tcp.listen, { port = 70000 }, nothing)
    throws("port", hv.udp.bind, { port = 70000 })
    throws("port", function() hv.http.app():listen { port = 70000 } end)
    throws("host", hv.tcp.listen, { host = 7, port = 0 }, nothing)
    local port = helper.free_port()
    local _, message = hv.tcp.connect { host = LOCAL, port = port }
    assert.equal(("connect %s:%d: connection refused"):format(LOCAL, port), message)
    code_of("ECONNREFUSED", hv.tcp.connect { host = LOCAL, port = port })
  end)

  it("6: errors reach hv.on_error, HTTP answers 500, and nothing ends", function()
    local app = hv.http.app()
    app:get("/", function() error("of a handler") end)
    local server = assert(app:listen { host = LOCAL, port = 0 })
    local note, calls = helper.recorder()
    hv.on_error(note)
    assert.equal(500, raw_http.exchange(server, "GET", "/").status)
    hv.after(0, error, "of a timer")
    local tcp = echo(nil, function() error("of a connection") end)
    local conn = connect(tcp)
    code_of("EOF", conn:read())
    helper.eventually(function() return #calls == 3 end)
    hv.on_error(nil)
    for _, call in ipairs(calls) do
      assert.matches("of a %w+", call[1])
      assert.matches("^stack traceback:", (call[2]:match("stack traceback:.*")))
    end
    conn:close()
    tcp:close()
    server:close(0)
  end)

  it("8: close may be called again, wakes who waits, and tostring shows it", function()
    local server = echo(nil, function(conn) conn:read() end)
    local conn, sock = connect(server), assert(hv.udp.bind { host = LOCAL, port = 0 })
    local channel, p = hv.channel(), assert(hv.process.spawn { "cat", stdin = "pipe" })
    local reader = hv.go(conn.read, conn)
    local receiver = hv.go(sock.recv, sock)
    local taker = hv.go(channel.recv, channel)
    helper.until_waiting(reader, receiver, taker)
    for _, handle in ipairs { conn, sock, channel, server, p.stdin } do
      assert.not_matches("closed", tostring(handle))
      handle:close()
      handle:close()
      assert.matches("clos%a+", tostring(handle))
    end
    for _, waiter in ipairs { reader, receiver, taker } do code_of("ECLOSED", waiter:join()) end
    code_of("ECLOSED", conn:read())
    code_of("ECLOSED", conn:write("x"))
    assert.equal(0, p:wait())
  end)

  it("8: ref and unref decide what keeps the loop alive", function()
    local app = hv.http.app()
    local handles = {
      echo(), assert(app:listen { host = LOCAL, port = 0 }), hv.after(100000, nothing),
      assert(hv.udp.bind { host = LOCAL, port = 0 }), assert(hv.fs.watch("/tmp", nothing)),
    }
    handles[6] = connect(handles[1])
    handles[7] = hv.tcp.client { host = LOCAL, port = handles[1]:port() }
    helper.eventually(function() return handles[7]:is_open() end)
    for i, handle in ipairs(handles) do
      local before = helper.active()
      assert.equal(handle, handle:unref(), i)
      assert.equal(before - 1, helper.active(), i)
      assert.equal(handle, handle:ref(), i)
      assert.equal(before, helper.active(), i)
    end
    for _, handle in ipairs(handles) do (handle.close or handle.stop)(handle) end
  end)

  it("9: write waits above write_high only", function()
    local release = hv.channel()
    local server = echo(nil, function(conn)
      release:recv()
      while conn:read() do end -- luacheck: ignore 542
    end)
    local conn = connect(server, { write_high = "64K" })
    local is_done = false
    assert.is_true(conn:write("x"))
    local writer = hv.go(function()
      for _ = 1, 256 do assert(conn:write(("x"):rep(65536))) end
      is_done = true
      return true
    end)
    helper.until_waiting(writer)
    assert.is_false(is_done)
    release:send(true)
    assert.is_true(writer:join())
    conn:close()
    server:close()
  end)

  it("10: a second waiter on the same side is refused", function()
    local server = echo()
    local conn, sock = connect(server), assert(hv.udp.bind { host = LOCAL, port = 0 })
    local reader, receiver = hv.go(conn.read, conn), hv.go(sock.recv, sock)
    helper.until_waiting(reader, receiver)
    code_of("EBUSY", conn:read())
    code_of("EBUSY", conn:read_line())
    code_of("EBUSY", sock:recv())
    assert.is_true(conn:write("x"))
    assert.equal("x", reader:join())
    conn:close()
    sock:close()
    receiver:join()
    server:close()
  end)

  it("11: a cancelled task throws at its wait, and again at the next", function()
    local seen = {}
    local task = hv.go(function()
      seen[1] = pcall(hv.sleep, 100000)
      seen[2] = pcall(hv.sleep, 1)
      return "end"
    end)
    helper.until_waiting(task)
    assert.equal("waiting", task:status())
    assert.is_true(task:cancel())
    task:join()
    assert.same({ false, false }, seen)
  end)
end)

-- ---- The core ----

describe("contract: core", function()
  it("has its names", function()
    has(hv, [[run stop shutdown now hrtime sleep go all race timeout scope defer after every cron
      idle next on_signal on_error channel semaphore]])
    assert.is_string(hv.version)
    assert.is_number(hv.now())
    assert.is_true(hv.hrtime() > 0)
    hv.run() -- hvlua's affair: returns at once
  end)

  it("runs tasks", function()
    both(hv.sleep, 1)
    local task = hv.go(function(a, b) return a, b, nil end, 1, "two")
    assert.same({ 1, "two", nil, n = 3 }, (both(task.join, task)))
    assert.equal("finished", task:status())
    assert.is_false(task:cancel())
    local slow = hv.go(hv.sleep, 100000)
    code_of("ETIMEDOUT", slow:join(1))
    both(slow.join, slow, 1)
    slow:cancel()
    code_of("ECANCELED", slow:join())
    local failing = hv.go(error, "on purpose")
    code_of("EFAILED", failing:join())
  end)

  it("runs several at once", function()
    local one, two = function() hv.sleep(1) return 1, "more" end, function() return 2 end
    assert.same({ n = 2, 1, 2 }, pack(hv.all(one, two)))
    assert.same({ n = 2, 1, 2 }, pack(hv.all({ timeout = 10000 }, one, two)))
    local slow = function() hv.sleep(100000) end
    code_of("ETIMEDOUT", hv.all({ timeout = 1 }, one, slow))
    code_of("EX", hv.all(one, function() return nil, "no", "EX" end, slow))
    assert.same({ n = 2, 1, "more" }, pack(hv.race(one, slow)))
    code_of("ETIMEDOUT", hv.race({ timeout = 1 }, slow, slow))
    assert.same({ n = 2, 1, "more" }, pack(hv.timeout(10000, one)))
    code_of("ETIMEDOUT", hv.timeout(1, slow))
    code_of("ETIMEDOUT", hv.timeout(1, hv.sleep, 100000))
    local ended = {}
    hv.scope(function(s)
      s:go(function() hv.sleep(1) ended[1] = true end)
      assert.is_nil(ended[1])
    end)
    assert.is_true(ended[1])
    throws("on purpose", hv.scope, function(s)
      s:go(function() ended[2] = pcall(hv.sleep, 100000) end)
      s:go(function() hv.sleep(1) error("on purpose") end)
    end)
    assert.is_false(ended[2])
    local order = {}
    hv.go(function()
      hv.defer(function() order[#order + 1] = "deferred" end)
      order[#order + 1] = "body"
    end):join()
    helper.eventually(function() return #order == 2 end)
    assert.same({ "body", "deferred" }, order)
  end)

  it("has timers, signals and what runs next", function()
    local note, calls = helper.recorder()
    local after, every = hv.after(1, note, "after", 1), nil
    every = hv.every(1, function(word) note(word) every:stop() end, "every")
    hv.next(note, "next")
    local idle
    idle = hv.idle(function() note("idle") idle:stop() end)
    helper.eventually(function() return #calls == 4 end)
    after:reset(1)
    helper.eventually(function() return #calls == 5 end)
    assert.same({ n = 2, "after", 1 }, calls[5])
    local cron = hv.cron("30 1 * * *", nothing)
    assert.matches("cron active", tostring(cron))
    for _, handle in ipairs { after, every, cron, idle } do
      handle:stop()
      handle:stop()
    end
    throws("cron", hv.cron, "61 * * * *", nothing)
    for name in ("term int hup quit usr1 usr2 chld cont alrm winch"):gmatch("%S+") do
      assert(hv.on_signal(name, nothing)):stop()
    end
    throws("nosuch", hv.on_signal, "nosuch", nothing)
  end)

  it("has channels and semaphores", function()
    local ch = hv.channel(2)
    both(ch.send, ch, "value", 10)
    both(ch.recv, ch)
    code_of("ETIMEDOUT", ch:recv(1))
    ch:send(1)
    ch:send(2)
    ch:close()
    local got = {}
    for v in ch:iter() do got[#got + 1] = v end
    assert.same({ 1, 2 }, got)
    code_of("ECLOSED", ch:send(3))
    code_of("ECLOSED", ch:recv())
    local slots = hv.semaphore(2)
    both(slots.acquire, slots)
    code_of("ETIMEDOUT", slots:acquire(1))
    slots:release()
    assert.is_true(slots:acquire())
  end)
end)

-- ---- Streams and datagrams ----

describe("contract: hv.tcp", function()
  it("takes its options", function()
    local path = os.tmpname()
    os.remove(path)
    local server = echo { backlog = 16, reuse_port = true, max_connections = 4, no_delay = true,
      read_timeout = 1000, write_timeout = 1000, idle_timeout = 60000, write_high = "64K" }
    local unix = assert(hv.tcp.listen({ path = path }, function(conn) conn:write("unix") end))
    assert.equal("unix", assert(hv.tcp.connect { path = path }):read())
    local conn = assert(hv.tcp.connect(LOCAL .. ":" .. server:port()))
    both(hv.tcp.connect, { host = LOCAL, port = server:port(), timeout = 1000, bind = LOCAL })
    helper.eventually(function() return server:count() == 3 end)
    assert.equal(server:port(), conn:peer().port)
    assert.equal(LOCAL, conn:local_address().ip)
    assert.is_nil(conn:tls())
    assert.is_number(conn.id)
    assert.is_nil(conn.data)
    conn.data = { 1 }
    assert.same({ 1 }, conn.data)
    unix:close()
    server:close()
    conn:close()
  end)

  it("reads and writes", function()
    local server = echo()
    local conn = connect(server)
    local feed = function(text) assert(conn:write(text)) end
    both(conn.write, conn, { "list ", "of ", "strings\n" })
    assert.equal("list of strings\nlist of strings\n", conn:read(32))
    feed("abcabc")
    both(conn.read, conn, 3)
    feed("key: value key: value ")
    assert.same({ n = 1, "key: " }, pack(conn:read_until(": ", 64)))
    assert.equal("value ", conn:read_until(" "))
    assert.equal("key: value ", conn:read(11))
    feed("line\r\nline\n")
    assert.same({ n = 1, "line" }, (both(conn.read_line, conn)))
    feed("any")
    assert.equal("any", conn:read())
    conn:set_timeout { read = 1, write = 1000, idle = 60000 }
    code_of("ETIMEDOUT", conn:read())
    conn:set_timeout { read = false }
    feed("a\nb\n")
    assert.is_true(conn:shutdown())
    local lines = {}
    for line in conn:lines() do lines[#lines + 1] = line end
    assert.same({ "a", "b" }, lines)
    code_of("EOF", conn:read())
    conn:close()
    local other = connect(server)
    other:write("more than five bytes")
    code_of("ELIMIT", other:read_until("\n", 5))
    other:close()
    server:close()
  end)

  it("cuts packets in every mode", function()
    local settings = {
      { { mode = "fixed", length = 3, max_length = "2M" }, "abcdef", { "abc", "def" } },
      { { mode = "delimiter", delimiter = "\r\n", max_length = "2M" }, "a\r\nb\r\n",
        { "a\r\n", "b\r\n" } },
      { { mode = "length_field", body_offset = 5, length_field_offset = 1, length_field_bytes = 4,
        length_field_coding = "big", length_adjustment = 0, max_length = "2M" },
        "T\0\0\0\1xT\0\0\0\2yz", { "T\0\0\0\1x", "T\0\0\0\2yz" } },
      { { mode = "length_field", body_offset = 2, length_field_bytes = 2,
        length_field_coding = "little" }, "\1\0x\2\0yz", { "\1\0x", "\2\0yz" } },
      { { mode = "length_field", body_offset = 1, length_field_bytes = 1,
        length_field_coding = "varint" }, "\1x\2yz", { "\1x", "\2yz" } },
    }
    local server = echo()
    for _, case in ipairs(settings) do
      local conn, packets = connect(server, { unpack = case[1] }), {}
      assert(conn:write(case[2]))
      conn:shutdown()
      for packet in conn:packets() do packets[#packets + 1] = packet end
      assert.same(case[3], packets)
      conn:close()
    end
    local conn = connect(server)
    conn:set_unpack { mode = "delimiter", delimiter = "\n", max_length = 4 }
    conn:write("longer than that\n")
    code_of("ELIMIT", conn:read())
    server:close()
  end)

  it("speaks TLS, and pipes", function()
    local certs = require("certs").new()
    local mine = certs:issue("localhost", "DNS:localhost,IP:127.0.0.1")
    local server = echo { tls = { cert = mine.cert, key = mine.key, alpn = { "x" },
      min_version = "1.2", ciphers = "ECDHE+AESGCM", client_auth = "none" } }
    local conn = connect(server, { tls = { ca = certs.ca, verify = true, alpn = { "x" },
      server_name = "localhost" } })
    local facts = conn:tls()
    assert.same({ "TLSv1.3", "string", "x", "CN=localhost" }, { facts.version, type(facts.cipher),
      facts.alpn, facts.peer_certificate.subject })
    code_of("ETLS", hv.tcp.connect { host = LOCAL, port = server:port(), tls = true })
    conn:close()
    server:close()

    local back = echo()
    local done = hv.channel(1)
    local front = echo(nil, function(c) done:send(pack(c:pipe(connect(back)))) end)
    conn = connect(front)
    conn:write("abc")
    assert.equal("abc", conn:read(3))
    conn:shutdown()
    code_of("EOF", conn:read())
    assert.same({ n = 2, 3, 3 }, done:recv())
    front:close()
    back:close()

    local clear = echo(nil, function(c)
      c:read_line()
      c:write("go\n")
      assert(c:start_tls { cert = mine.cert, key = mine.key })
      c:write("under TLS")
    end)
    conn = connect(clear)
    conn:write("starttls\n")
    assert.equal("go", conn:read_line())
    assert.is_true(conn:start_tls { ca = certs.ca })
    assert.equal("under TLS", conn:read(9))
    conn:close()
    clear:close()
    certs:remove()
  end)

  it("has the event style, heartbeats, pipes and clients that reconnect", function()
    local events = {}
    local server = assert(hv.tcp.listen { host = LOCAL, port = 0,
      on_open = function() events[#events + 1] = "open" end,
      on_message = function(c, data) c:write(data) end, on_drain = nothing,
      on_close = function() events[#events + 1] = "close" end })
    local conn = connect(server)
    local beats = 0
    conn:heartbeat(1, function(c) beats = beats + 1 c:write("beat") end)
    helper.eventually(function() return beats > 1 end)
    conn:heartbeat(0)
    assert.matches("^beat", conn:read())
    conn:close()
    helper.eventually(function() return #events == 2 end)
    assert.same({ "open", "close" }, events)

    local client
    local got = hv.channel(8)
    client = hv.tcp.client { host = LOCAL, port = server:port(),
      reconnect = { min_delay = 1, max_delay = 10, policy = "linear", max_retries = 3 },
      on_open = function(c) c:write("hello") end, on_message = function(_, data) got:send(data) end,
      on_close = function() got:send("closed") end }
    code_of("ENOTCONN", client:write("x"))
    both(client.write, client, "x")
    assert.equal("hello", got:recv())
    client:close()
    assert.equal("closed", got:recv())
    server:close()
  end)
end)

describe("contract: hv.udp and hv.dns", function()
  it("sends and receives datagrams", function()
    local server = assert(hv.udp.bind { host = LOCAL, port = 0,
      on_message = function(sock, data, peer) sock:send(data, peer.ip, peer.port) end })
    local sock = assert(hv.udp.connect { host = LOCAL, port = server:port() })
    for _ = 1, 2 do assert.is_true(sock:send("x")) end
    local got = both(sock.recv, sock)
    assert.equal("x", got[1])
    assert.same({ ip = LOCAL, port = server:port() }, got[2])
    code_of("ETIMEDOUT", sock:recv(1))
    assert.is_true(sock:set_broadcast(true))
    assert.is_true(server:set_multicast { ttl = 1, loop = true })
    has(server, "join_group leave_group local_address close")
    sock:close()
    server:close()
  end)

  it("resolves names", function()
    local list = assert(hv.dns.resolve("localhost", "a"))
    assert.equal(LOCAL, list[1])
    both(hv.dns.resolve, "localhost", "a")
    both(hv.dns.resolve, LOCAL)
    for _, kind in ipairs { "a", "aaaa", "srv", "txt", "mx", "ns", "cname", "ptr" } do
      local result, message, code = hv.dns.resolve("", kind)
      assert.is_true(result ~= nil or type(message) == "string" and type(code) == "string", kind)
    end
    throws("nosuch", hv.dns.resolve, "localhost", "nosuch")
  end)
end)
