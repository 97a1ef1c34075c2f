--- hv.ws and app:ws, one against the other: messages both ways, ends, topics, limits, options.
local hv = require "hv"
local helper = require "spec.support.helper"
local raw_http = require "spec.support.raw_http"

local function serve(fn)
  local app = hv.http.app()
  fn(app)
  local server = assert(app:listen { host = "127.0.0.1", port = 0 })
  return server, "ws://127.0.0.1:" .. server:port(), app
end

local function echo(ws)
  for data, kind in ws:messages() do ws:send(data, kind) end
end

--- Every close code that a socket has told.
local function closes()
  local seen = {}
  return function(_, code, reason) seen[#seen + 1] = code .. " " .. reason end, seen
end

describe("hv.ws", function()
  local server, url, app

  local function start(fn)
    server, url, app = serve(fn)
    return server
  end

  after_each(function()
    if server then server:close(0) end
    server = nil
    hv.on_error(nil)
  end)

  for _, style in ipairs { "task", "event" } do
    describe("in " .. style .. " style", function()
      before_each(function()
        start(function(a)
          if style == "task" then
            a:ws("/", echo)
          else
            a:ws("/", { on_message = function(ws, data, kind) ws:send(data, kind) end })
          end
        end)
      end)

      it("carries text and binary of any length both ways", function()
        local ws = assert(hv.ws.connect(url))
        for _, len in ipairs { 0, 1, 125, 126, 127, 65535, 65536, 300000 } do
          local text = ("é*"):rep(len / 3) .. ("x"):rep(len % 3)
          assert.is_true(ws:send(text))
          assert.are.same({ text, "text" }, { ws:receive() })
          local bytes = ("\255\0"):rep(len / 2)
          assert.is_true(ws:send(bytes, "binary"))
          assert.are.same({ bytes, "binary" }, { ws:receive() })
        end
        ws:close()
      end)

      it("keeps the order of many messages sent at once", function()
        local ws = assert(hv.ws.connect(url))
        for i = 1, 500 do assert(ws:send("message " .. i)) end
        for i = 1, 500 do assert.are.equal("message " .. i, (ws:receive())) end
        ws:close()
      end)

      it("closes with the code and the reason of who closes", function()
        local ws = assert(hv.ws.connect(url))
        assert.is_true(ws:close(3001, "enough"))
        assert.is_true(ws:close())
        assert.are.same({ nil, "closed", "ECLOSED" }, { ws:receive() })
        helper.eventually(function() return ws.close_code end)
        assert.are.equal(3001, ws.close_code)
        assert.are.same({ nil, "send: closed", "ECLOSED" }, { ws:send("x") })
      end)
    end)
  end

  it("says how a socket of a task ends", function()
    local on_close, seen = closes()
    start(function(a)
      a:ws("/returns", function() end)
      a:ws("/fails", function() error("boom") end)
      a:ws("/says", function(ws) ws:close(1008, "no") end)
    end)
    local errors = raw_http.errors_of(function()
      for _, path in ipairs { "returns", "fails", "says" } do
        local ws = assert(hv.ws.connect(url .. "/" .. path,
          { on_message = print, on_close = on_close }))
        helper.eventually(function() return ws.close_code end)
      end
    end)
    assert.are.same({ "1000 ", "1011 internal error", "1008 no" }, seen)
    assert.are.equal(1, #errors)
    assert.is_truthy(errors[1]:find("boom"))
  end)

  it("reports an error of on_message and closes with 1011", function()
    start(function(a)
      a:ws("/", { on_message = function() error("bad message") end })
    end)
    local errors = raw_http.errors_of(function()
      local ws = assert(hv.ws.connect(url))
      ws:send("x")
      assert.are.same({ nil, "internal error", "ECLOSED" }, { ws:receive() })
      helper.eventually(function() return ws.close_code == 1011 end)
    end)
    assert.is_truthy(errors[1]:find("bad message"))
  end)

  it("delivers messages of one socket one after the other while on_message waits", function()
    local running, most, seen = 0, 0, {}
    start(function(a)
      a:ws("/", { on_message = function(ws, data)
        running = running + 1
        most = math.max(most, running)
        hv.sleep(1)
        seen[#seen + 1] = data
        running = running - 1
        if data == "3" then ws:send("done") end
      end })
    end)
    local ws = assert(hv.ws.connect(url))
    for i = 1, 3 do ws:send(tostring(i)) end
    assert.are.equal("done", (ws:receive()))
    assert.are.same({ "1", "2", "3" }, seen)
    assert.are.equal(1, most)
    ws:close()
  end)

  it("refuses reasons that cannot be sent, and closes all the same later", function()
    start(function(a)
      a:ws("/", function(ws) for data, kind in ws:messages() do ws:send(data, kind) end end)
    end)
    local ws = assert(hv.ws.connect(url))
    for _, reason in ipairs { "caf\233", "a\0b" } do
      assert.is_false((pcall(ws.close, ws, 1000, reason)))
      assert.is_true(ws:send(reason, "binary"))
      assert.are.equal(reason, (ws:receive()))
    end
    ws:close(1000, "café")
    helper.eventually(function() return ws.close_code == 1000 end)
  end)

  it("keeps what came before a close for whoever receives late", function()
    local got = {}
    start(function(a)
      a:ws("/", function(ws)
        helper.eventually(function() return not ws.is_open end)
        for data in ws:messages() do got[#got + 1] = data end
        got.code = ws.close_code
      end)
    end)
    local ws = assert(hv.ws.connect(url))
    ws:send("a")
    ws:send("b")
    ws:close(4000)
    helper.eventually(function() return got.code end)
    assert.are.same({ "a", "b", code = 4000 }, got)
  end)

  it("slows down a peer that sends faster than anybody receives", function()
    local socket
    start(function(a)
      a:ws("/", { read_ahead = "16K" }, function(ws)
        socket = ws
        helper.eventually(function() return socket.data == "go" end)
        local total = 0
        for data in ws:messages() do
          total = total + #data
          if data == "end" then ws:send(tostring(total)) end
        end
      end)
    end)
    local ws = assert(hv.ws.connect(url, { write_high = "64K" }))
    local piece, sent = ("x"):rep(32768), 0
    local sender = hv.go(function()
      for _ = 1, 400 do
        assert(ws:send(piece))
        sent = sent + 1
      end
      ws:send("end")
    end)
    -- It gets stuck: what the kernel and the two queues hold is less than 13 MB.
    helper.stands_still(function() return sent end)
    assert.is_true(sent < 400)
    socket.data = "go"
    assert.are.equal(tostring(400 * 32768 + 3), (ws:receive()))
    assert.are.equal("finished", sender:status())
    ws:close()
  end)

  it("gives what is known of the request to a second parameter", function()
    local seen = {}
    start(function(a)
      a:ws("/task/:name", function(_, req) seen[#seen + 1] = req end)
      a:ws("/event/:name", { on_open = function(ws, req)
        seen[#seen + 1] = req
        ws:close()
      end })
    end)
    for _, style in ipairs { "task", "event" } do
      local ws = assert(hv.ws.connect(url .. "/" .. style .. "/bob?x=1", {
        headers = { Cookie = "a=b", ["X-Trace"] = "42" } }))
      helper.eventually(function() return ws.close_code end)
    end
    assert.are.equal(2, #seen)
    for i, style in ipairs { "task", "event" } do
      local req = seen[i]
      assert.are.equal("/" .. style .. "/bob", req.path)
      assert.are.same({ name = "bob" }, req.params)
      assert.are.same({ x = "1" }, req.query)
      assert.are.equal("42", req:header("x-trace"))
      assert.are.same({ a = "b" }, req.cookies)
      assert.are.equal("127.0.0.1", req.peer.ip)
    end
  end)

  it("runs middleware before, which may refuse", function()
    start(function(a)
      a:use(function(req, _, next)
        if req.query.key ~= "secret" then return 401 end
        return next()
      end)
      a:ws("/", echo)
    end)
    local ws, message, code = hv.ws.connect(url)
    assert.is_nil(ws)
    assert.matches("^connect ws://127%.0%.0%.1:%d+/[^?]*: the server answered 401 Unauthorized$",
      message)
    assert.are.equal("EPROTO", code)
    ws = assert(hv.ws.connect(url .. "/?key=secret"))
    ws:send("in")
    assert.are.equal("in", (ws:receive()))
    ws:close()
  end)

  describe("topics", function()
    local function join(count, opts)
      start(function(a)
        local t = { on_open = function(ws) ws:subscribe("news") end, on_message = function() end }
        for key, value in pairs(opts or {}) do t[key] = value end
        a:ws("/", t)
      end)
      local sockets = {}
      for i = 1, count do sockets[i] = assert(hv.ws.connect(url)) end
      helper.eventually(function() return app:subscribers("news") == count end)
      return sockets
    end

    it("reach every subscriber, with one kind or the other", function()
      local sockets = join(20)
      assert.are.equal(20, app:publish("news", "hello"))
      assert.are.equal(20, app:publish("news", "\255", "binary"))
      for _, ws in ipairs(sockets) do
        assert.are.same({ "hello", "text" }, { ws:receive() })
        assert.are.same({ "\255", "binary" }, { ws:receive() })
        ws:close()
      end
    end)

    it("forget who has gone or has unsubscribed", function()
      local sockets = join(3, { on_message = function(ws)
        assert.is_true(ws:unsubscribe("news"))
        assert.are.equal("ENOTFOUND", (select(3, ws:unsubscribe("news"))))
      end })
      sockets[1]:close()
      helper.eventually(function() return app:subscribers("news") == 2 end)
      sockets[2]:send("leave me alone")
      helper.eventually(function() return app:subscribers("news") == 1 end)
      assert.are.equal(1, app:publish("news", "x"))
      assert.are.equal(0, app:publish("olds", "x"))
      assert.are.equal("x", (sockets[3]:receive()))
      for _, ws in ipairs(sockets) do ws:close() end
    end)

    it("leave out the one that is named", function()
      start(function(a)
        a:ws("/", { on_open = function(ws) ws:subscribe("room") end,
          on_message = function(ws, data) a:publish("room", data, "text", ws) end })
      end)
      local first, second = assert(hv.ws.connect(url)), assert(hv.ws.connect(url))
      helper.eventually(function() return app:subscribers("room") == 2 end)
      first:send("from the first")
      assert.are.equal("from the first", (second:receive()))
      second:send("from the second")
      assert.are.equal("from the second", (first:receive()))
      first:close()
      second:close()
    end)

    it("cut off a subscriber that does not read, and no other", function()
      local on_close, seen = closes()
      join(2, { write_max = "256K", on_close = on_close })
      local piece = ("x"):rep(65536)
      local count
      for _ = 1, 2000 do
        count = app:publish("news", piece)
        if count < 2 then break end
        hv.sleep(0)
      end
      assert.is_true(count < 2)
      helper.eventually(function() return #seen > 0 end)
      assert.is_truthy(seen[1]:find("^1006 "))
      assert.is_truthy(seen[1]:find("limit"))
    end)

    it("are compressed once for all that take it so", function()
      local sockets = join(5, { deflate = { min_bytes = 100 } })
      local text = ("all work and no play "):rep(100)
      assert.are.equal(5, app:publish("news", text))
      for _, ws in ipairs(sockets) do
        assert.is_true(ws.is_deflated)
        assert.are.equal(text, (ws:receive()))
        ws:close()
      end
    end)
  end)

  describe("limits", function()
    it("close a socket whose message is too long with 1009", function()
      local on_close, seen = closes()
      start(function(a)
        a:ws("/", { max_message = 1000, on_message = function() end, on_close = on_close })
      end)
      local ws = assert(hv.ws.connect(url, { deflate = false }))
      ws:send(("x"):rep(1001))
      local data, _, code = ws:receive()
      assert.is_nil(data)
      assert.are.equal("ECLOSED", code)
      helper.eventually(function() return ws.close_code and seen[1] end)
      assert.are.equal(1009, ws.close_code)
      assert.is_truthy(seen[1]:find("^1009 "))
    end)

    it("refuse what would pass write_max, and take nothing of it", function()
      start(function(a) a:ws("/", echo) end)
      local ws = assert(hv.ws.connect(url,
        { write_max = "64K", write_high = "1M", deflate = false }))
      local ok, _, code = ws:send(("x"):rep(100000))
      assert.is_nil(ok)
      assert.are.equal("ELIMIT", code)
      ws:send("small")
      assert.are.equal("small", (ws:receive()))
      ws:close()
    end)

    it("refuse text that is no UTF-8", function()
      start(function(a) a:ws("/", echo) end)
      local ws = assert(hv.ws.connect(url))
      assert.are.same({ nil, 'send: text must be UTF-8; other bytes go as "binary"', "EINVAL" },
        { ws:send("\255") })
      assert.is_true(ws:send("\255", "binary"))
      assert.are.equal("EINVAL", (select(3, app:publish("t", "\255"))))
      ws:close()
    end)
  end)

  describe("heartbeats", function()
    it("keep a silent peer that answers pings", function()
      local pongs, heartbeats = 0, 0
      start(function(a)
        a:ws("/", { ping_interval = 8, pong_timeout = 2000, on_message = function() end,
          on_pong = function() heartbeats = heartbeats + 1 end })
      end)
      local ws = assert(hv.ws.connect(url, { on_message = function() end,
        on_pong = function(_, data)
          assert.are.equal("mine", data)
          pongs = pongs + 1
        end }))
      ws:ping("mine")
      helper.eventually(function() return pongs == 1 end)
      helper.eventually(function() return heartbeats >= 4 end)
      assert.is_true(ws.is_open)
      ws:close()
    end)

    it("give a peer up that answers nothing", function()
      local on_close, seen = closes()
      start(function(a)
        a:ws("/", { ping_interval = 10, pong_timeout = 20, on_message = function() end,
          on_close = on_close })
      end)
      local client = raw_http.connect(server)
      client:send(raw_http.request("GET", "/", { Upgrade = "websocket", Connection = "Upgrade",
        ["Sec-WebSocket-Version"] = "13", ["Sec-WebSocket-Key"] = "dGhlIHNhbXBsZSBub25jZQ==" }))
      assert.are.equal(101, client:receive().status)
      helper.eventually(function() return seen[1] end)
      assert.is_truthy(seen[1]:find("^1006 .*timed out"))
      client:close()
    end)

    it("give up who does not answer a close", function()
      start(function(a)
        a:ws("/", { close_timeout = 20 }, function(ws)
          ws:receive()
        end)
      end)
      local client = raw_http.connect(server)
      client:send(raw_http.request("GET", "/", { Upgrade = "websocket", Connection = "Upgrade",
        ["Sec-WebSocket-Version"] = "13", ["Sec-WebSocket-Key"] = "dGhlIHNhbXBsZSBub25jZQ==" })
        .. "\129\129\0\0\0\0x")
      assert.are.equal(101, client:receive().status)
      assert.are.equal("\136\2\3\232", (client.conn:read(4)))
      local data = client.conn:read()
      assert.is_nil(data)
      client:close()
    end)
  end)

  describe("handshakes", function()
    local function ask(lines)
      local all = { Upgrade = "websocket", Connection = "Upgrade", ["Sec-WebSocket-Version"] = "13",
        ["Sec-WebSocket-Key"] = "dGhlIHNhbXBsZSBub25jZQ==" }
      for name, value in pairs(lines) do all[name] = value or nil end
      return raw_http.exchange(server, "GET", "/", all)
    end

    it("answer as RFC 6455 section 4.2 says", function()
      start(function(a)
        a:ws("/", { origins = "https://a.example", protocols = { "v2", "v1" } }, echo)
      end)
      local answer = ask { Origin = "https://a.example", ["Sec-WebSocket-Protocol"] = "v1, v2" }
      assert.are.equal(101, answer.status)
      assert.are.equal("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", answer.headers:get("sec-websocket-accept"))
      assert.are.equal("v2", answer.headers:get("sec-websocket-protocol"))
      assert.are.equal("websocket", answer.headers:get("upgrade"))
      assert.is_nil(answer.headers:get("sec-websocket-extensions"))
      assert.are.equal(403, ask { Origin = "https://b.example" }.status)
      assert.are.equal(403, ask {}.status)
      assert.are.equal(400,
        ask { Origin = "https://a.example", ["Sec-WebSocket-Key"] = "x" }.status)
      answer = ask { Origin = "https://a.example", ["Sec-WebSocket-Version"] = "8" }
      assert.are.equal(426, answer.status)
      assert.are.equal("13", answer.headers:get("sec-websocket-version"))
      answer = raw_http.exchange(server, "GET", "/")
      assert.are.equal(426, answer.status)
      assert.are.equal("websocket", answer.headers:get("upgrade"))
      assert.are.equal(405, raw_http.exchange(server, "POST", "/").status)
    end)

    it("agree on a subprotocol and on compression, which both sides then know", function()
      local seen
      start(function(a)
        a:ws("/", { protocols = "chat", deflate = true }, function(ws)
          seen = { ws.protocol, ws.is_deflated }
          echo(ws)
        end)
      end)
      local ws = assert(hv.ws.connect(url, { protocols = { "other", "chat" } }))
      assert.are.equal("chat", ws.protocol)
      assert.is_true(ws.is_deflated)
      assert.are.same({ "chat", true }, seen)
      local text = ("compress me "):rep(1000)
      ws:send(text)
      assert.are.equal(text, (ws:receive()))
      ws:close()
      ws = assert(hv.ws.connect(url, { deflate = false }))
      assert.is_nil(ws.protocol)
      assert.is_false(ws.is_deflated)
      ws:close()
    end)

    for _, deflate in ipairs { { server_context = true, client_context = true },
      { server_context = true }, { client_context = true }, { server_window_bits = 9, level = 1 },
      { client_window_bits = 9, level = 9 }, { server_window_bits = 8, client_window_bits = 8 } } do
      it("compress by " .. hv.json.encode(deflate), function()
        deflate.min_bytes = 1
        start(function(a) a:ws("/", { deflate = deflate }, echo) end)
        local ws = assert(hv.ws.connect(url, { deflate = deflate }))
        assert.is_true(ws.is_deflated)
        for i = 1, 30 do
          local text = ('{"n":%d,"text":"the same words again and again"}'):format(i):rep(i)
          ws:send(text)
          assert.are.equal(text, (ws:receive()))
        end
        ws:close()
      end)
    end

    it("fail with a reason where the other end is no WebSocket", function()
      start(function(a) a:get("/", function() return "hello" end) end)
      assert.are.same({ nil, "connect " .. url .. "/: the server answered 200 OK", "EPROTO" },
        { hv.ws.connect(url) })
      assert.are.same({ nil, "connect ws://127.0.0.1:1/a: connection refused", "ECONNREFUSED" },
        { hv.ws.connect("ws://127.0.0.1:1/a?token=secret") })
      local silent = assert(hv.tcp.listen({ host = "127.0.0.1", port = 0 }, function(conn)
        while conn:read() do hv.sleep(0) end
      end))
      local slow = ("ws://127.0.0.1:%d/"):format(silent:port())
      assert.are.same({ nil, "connect " .. slow .. ": timed out", "ETIMEDOUT" },
        { hv.ws.connect(slow, { timeout = 20 }) })
      silent:close()
    end)
  end)

  describe("clients that reconnect", function()
    it("come back, say so, and receive over all connections", function()
      local opened = 0
      local function listen(port)
        local a = hv.http.app()
        a:ws("/", function(ws)
          ws:send("hello")
          ws:receive()
        end)
        return assert(a:listen { host = "127.0.0.1", port = port })
      end
      server = listen(0)
      local port = server:port()
      local client = hv.ws.connect("ws://127.0.0.1:" .. port, {
        reconnect = { min_delay = 5, policy = "fixed" },
        on_open = function(self)
          opened = opened + 1
          assert.is_true(self:send("from on_open"))
        end,
      })
      assert.are.equal("hello", (client:receive()))
      server:close(0)
      helper.eventually(function() return not client.is_open end)
      assert.are.equal("ENOTCONN", (select(3, client:send("x"))))
      server = listen(port)
      assert.are.equal("hello", (client:receive()))
      assert.are.equal(2, opened)
      assert.is_true(client.is_open)
      client:close()
      assert.is_nil((client:receive()))
    end)

    it("give up after max_retries", function()
      local client = hv.ws.connect("ws://127.0.0.1:1",
        { reconnect = { min_delay = 1, max_retries = 2 } })
      local data, message, code = client:receive()
      assert.is_nil(data)
      assert.are.equal("connect ws://127.0.0.1:1/: connection refused", message)
      assert.are.equal("ECONNREFUSED", code)
    end)
  end)

  it("takes a trailing function in place of waiting", function()
    start(function(a) a:ws("/", echo) end)
    local results = {}
    hv.ws.connect(url, function(ws)
      ws:receive(function(data, kind) results[#results + 1] = { data, kind } end)
      ws:send("x", function(ok) results.sent = ok end)
      helper.eventually(function() return results[1] end)
      ws:close()
    end)
    helper.eventually(function() return results[1] end)
    assert.are.same({ { "x", "text" }, sent = true }, results)
  end)

  it("lets one task receive and one send at a time", function()
    start(function(a) a:ws("/", echo) end)
    local ws = assert(hv.ws.connect(url))
    local first = hv.go(function() return ws:receive() end)
    hv.sleep(0)
    assert.are.equal("EBUSY", (select(3, ws:receive())))
    assert.are.equal("ETIMEDOUT", (select(3, hv.timeout(5, function() return first:join() end))))
    ws:send("x")
    assert.are.equal("x", (first:join()))
    assert.are.equal("ETIMEDOUT", (select(3, ws:receive(5))))
    ws:send("y")
    assert.are.equal("y", (ws:receive()))
    ws:close()
  end)

  it("throws for misuse", function()
    local function fails(pattern, fn, ...)
      local ok, message = pcall(fn, ...)
      assert.is_false(ok)
      assert.is_truthy(message:find(pattern, 1, true), message)
    end
    start(function(a) a:ws("/", echo) end)
    fails("did you mean \"protocols\"", hv.ws.connect, url, { protocol = "x" })
    fails("ws://host", hv.ws.connect, "http://x")
    fails("ws://host", hv.ws.connect, 7)
    fails("different tokens", hv.ws.connect, url, { protocols = { "a", "a" } })
    fails("8..15", hv.ws.connect, url, { deflate = { server_window_bits = 7 } })
    fails("handshake's own", hv.ws.connect, url, { headers = { ["Sec-WebSocket-Key"] = "x" } })
    fails("policy", hv.ws.connect, url, { reconnect = { policy = "never" } })
    fails("function or on_message", app.ws, app, "/x", {})
    fails("not both", app.ws, app, "/x", { on_message = print }, echo)
    fails('app:ws: "/" has a route for GET already', app.ws, app, "/", echo)
    fails("topic", app.publish, app, "", "x")
    fails("kind", app.publish, app, "t", "x", "json")
    local ws = assert(hv.ws.connect(url))
    fails("kind", ws.send, ws, "x", "json")
    fails("string expected", ws.send, ws, {})
    fails("1000..4999", ws.close, ws, 999)
    fails("cannot be sent", ws.close, ws, 1006)
    fails("no field", function() ws.foo = 1 end)
    fails("at most 125", ws.ping, ws, ("x"):rep(126))
    ws.data = "mine"
    assert.are.equal("mine", ws.data)
    assert.is_truthy(tostring(ws):find("hv.ws{open 127.0.0.1:", 1, true))
    ws:close()
  end)

  it("leaves nothing behind", function()
    local before = helper.active()
    start(function(a) a:ws("/", echo) end)
    for _ = 1, 5 do
      local ws = assert(hv.ws.connect(url))
      ws:send("x")
      ws:receive()
      ws:close()
    end
    server:close(1000)
    server = nil
    helper.nothing_left(before)
  end)
end)
