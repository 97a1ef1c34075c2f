local hv = require "hv"
local helper = require "helper"
local raw_http = require "raw_http"
local raw_socket = require "raw_socket"

local exchange = raw_http.exchange

describe("hv.http proxies", function()
  local before
  local keep, close_kept = helper.keeper()

  before_each(function() before = helper.active() end)

  after_each(close_kept)

  local function listen(app) return keep(assert(app:listen { host = "127.0.0.1", port = 0 })) end

  local function url_of(server) return ("http://127.0.0.1:%d"):format(server:port()) end

  --- A server that answers with what it has read.
  local function mirror(name)
    local app = hv.http.app { max_body = "64M" }
    app:any("/*rest", function(req)
      local headers = {}
      for key, value in req.headers:each() do headers[#headers + 1] = key .. "=" .. value end
      return { json = { name = name, method = req.method, target = req.target,
        body = req:body(), headers = headers } }
    end)
    return listen(app)
  end

  --- A server of plain TCP that does with each connection what `fn` says.
  local function plain(fn)
    return keep(assert(hv.tcp.listen({ host = "127.0.0.1", port = 0 }, fn)))
  end

  local function front(...)
    local app = hv.http.app { max_body = "64M" }
    app:proxy(...)
    return listen(app)
  end

  local function seen(answer) return hv.json.decode(answer.body) end

  --- A port that nobody listens on.
  local function dead_url()
    return ("http://127.0.0.1:%d"):format(helper.free_port())
  end

  it("puts the path of the upstream in the place of the prefix", function()
    local back = mirror()
    for _, case in ipairs {
      { "/api", "/v1", nil, "/api/users?x=1&y=%20", "/v1/users?x=1&y=%20" },
      { "/api", "/v1/", nil, "/api", "/v1/" },
      { "/api", "", nil, "/api/a//b/../c", "/a//b/../c" },
      { "/api/", "/", nil, "/api/", "/" },
      { "/", "/deep/er", nil, "/x", "/deep/er/x" },
      { "/api", "/v1", { strip = false }, "/api/users", "/v1/api/users" },
    } do
      local prefix, path, opts, asked, wanted = unpack(case, 1, 5)
      local server = front(prefix, url_of(back) .. path, opts)
      assert.equal(wanted, seen(exchange(server, "GET", asked)).target)
    end
  end)

  it("passes on what concerns the other end, and nothing that concerns the connection", function()
    local back = mirror()
    local server = front("/", url_of(back))
    local facts = seen(exchange(server, "GET", "/", {
      Connection = "X-Hop, keep-alive", ["X-Hop"] = "1", ["Keep-Alive"] = "9", TE = "trailers",
      ["Proxy-Authorization"] = "x", ["X-End"] = "2", ["X-Forwarded-For"] = "6.6.6.6",
      Forwarded = "for=6.6.6.6", Cookie = "a=b" }))
    local headers = table.concat(facts.headers, "\n"):lower()
    for _, name in ipairs { "x-hop", "keep-alive", "te=", "proxy-authorization", "6.6.6.6" } do
      assert.not_matches(name, headers, 1, true)
    end
    for _, line in ipairs { "x-end=2", "cookie=a=b", "via=1.1 hvlua", "x-forwarded-for=127.0.0.1",
      "x-forwarded-proto=http", "x-forwarded-host=x", "host=127.0.0.1:" .. back:port() } do
      assert.matches(line, headers, 1, true)
    end
  end)

  it("keeps the Host and adds to forwarded addresses where it is told to", function()
    local back = mirror()
    local server = front("/", url_of(back), { keep_host = true, trust_forwarded = true })
    local facts = seen(exchange(server, "GET", "/", { ["X-Forwarded-For"] = "1.2.3.4",
      ["X-Forwarded-Proto"] = "https" }))
    local headers = table.concat(facts.headers, "\n"):lower()
    assert.matches("host=x", headers, 1, true)
    assert.matches("x-forwarded-for=1.2.3.4, 127.0.0.1", headers, 1, true)
    assert.matches("x-forwarded-proto=https", headers, 1, true)
  end)

  it("passes bodies on both ways, counted and in chunks", function()
    local back = mirror()
    local server = front("/", url_of(back))
    local large = hv.crypto.hex(hv.crypto.random(1024 * 1024))
    local facts = seen(exchange(server, "POST", "/", nil, large))
    assert.is_true(facts.body == large)
    local client = raw_http.connect(server)
    client:send("PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" ..
      "5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n")
    assert.equal("hello world", seen(client:receive()).body)
    client:send "GET /next HTTP/1.1\r\nHost: x\r\n\r\n"
    assert.equal("/next", seen(client:receive()).target)
    client:close()
  end)

  it("passes status, reasons without a body, HEAD and streams on", function()
    local app = hv.http.app()
    app:get("/none", function() return { status = 204 } end)
    app:get("/same", function() return { status = 304, headers = { ETag = '"a"' } } end)
    app:get("/text", function() return { status = 404, text = "nothing" } end)
    app:get("/stream", function()
      return { stream = function(write)
        for i = 1, 3 do write("piece " .. i .. "\n") end
      end }
    end)
    app:get("/cookies", function(_, res)
      res.headers:add("Set-Cookie", "a=1")
      res.headers:add("Set-Cookie", "b=2")
      return "two"
    end)
    local server = front("/", url_of(listen(app)))
    assert.equal(204, exchange(server, "GET", "/none").status)
    local same = exchange(server, "GET", "/same")
    assert.same({ 304, '"a"' }, { same.status, (same.headers:get "etag") })
    local text = exchange(server, "GET", "/text")
    assert.same({ 404, "nothing" }, { text.status, text.body })
    local head = exchange(server, "HEAD", "/text")
    assert.same({ 404, "7", "" }, { head.status, (head.headers:get "content-length"), head.body })
    assert.equal("piece 1\npiece 2\npiece 3\n", exchange(server, "GET", "/stream").body)
    assert.same({ "a=1", "b=2" }, exchange(server, "GET", "/cookies").headers:get_all "set-cookie")
  end)

  it("names its own path where the upstream names its own", function()
    local app = hv.http.app()
    local back
    app:get("/v1/own", function(_, res) return res:redirect(url_of(back) .. "/v1/there?x") end)
    app:get("/v1/other", function(_, res) return res:redirect("http://example.com/v1/") end)
    back = listen(app)
    local server = front("/api", url_of(back) .. "/v1")
    assert.equal("/api/there?x", (exchange(server, "GET", "/api/own").headers:get "location"))
    assert.equal("http://example.com/v1/",
      (exchange(server, "GET", "/api/other").headers:get "location"))
  end)

  it("keeps connections to the upstream", function()
    local back = mirror()
    local server = front("/", url_of(back))
    for _ = 1, 5 do exchange(server, "GET", "/") end
    assert.equal(1, back:count())
  end)

  it("takes turns by weight, and leaves out who does not answer", function()
    local one, two = mirror "one", mirror "two"
    local server = front("/", { url_of(one), { url = url_of(two), weight = 3 }, dead_url() })
    local counts = { one = 0, two = 0 }
    for _ = 1, 40 do
      local name = seen(exchange(server, "GET", "/")).name
      counts[name] = counts[name] + 1
    end
    assert.equal(40, counts.one + counts.two)
    -- The dead one has had some turns, whose retries count for the others.
    assert.is_true(counts.two > 2 * counts.one, counts.one .. " against " .. counts.two)
  end)

  it("has a client stay with its upstream", function()
    local one, two = mirror "one", mirror "two"
    local server = front("/", { url_of(one), url_of(two) }, { balance = "client" })
    local name = seen(exchange(server, "GET", "/")).name
    for _ = 1, 5 do assert.equal(name, seen(exchange(server, "GET", "/")).name) end
  end)

  it("asks the one that has the least to do", function()
    local app = hv.http.app()
    local gate = hv.channel()
    app:get("/*rest", function()
      gate:recv()
      return "slow"
    end)
    local slow, quick = listen(app), mirror "quick"
    local server = front("/", { url_of(slow), url_of(quick) }, { balance = "least_busy" })
    local first = hv.go(exchange, server, "GET", "/")
    while slow:count() == 0 do hv.sleep(1) end
    for _ = 1, 3 do assert.equal("quick", seen(exchange(server, "GET", "/")).name) end
    gate:send(true)
    assert.equal("slow", assert(first:join()).body)
  end)

  it("tries another upstream only where that is safe", function()
    local asked = 0
    local rude = plain(function(conn)
      conn:read_until "\r\n\r\n"
      asked = asked + 1 -- and closes without an answer
    end)
    local good = mirror "good"
    local rude_url = ("http://127.0.0.1:%d"):format(rude:port())
    local options = { max_fails = 0 }
    local server = front("/", { rude_url, url_of(good) }, options)
    for _ = 1, 4 do assert.equal("good", seen(exchange(server, "GET", "/")).name) end
    assert.is_true(asked > 0)
    local only = front("/", { rude_url, rude_url }, options)
    asked = 0
    assert.equal(502, exchange(only, "POST", "/", nil, "pay 5").status)
    assert.equal(1, asked)
    -- Nobody has heard of a request that found no connection.
    local dead = front("/", { dead_url(), url_of(good) }, options)
    for _ = 1, 4 do assert.equal("good", seen(exchange(dead, "POST", "/", nil, "pay")).name) end
  end)

  it("answers by itself where nobody else does", function()
    assert.equal(502, exchange(front("/", dead_url()), "GET", "/").status)
    local silent = plain(function(conn) conn:read_until "never" end)
    local silent_url = ("http://127.0.0.1:%d"):format(silent:port())
    assert.equal(504, exchange(front("/", silent_url, { timeout = 50 }), "GET", "/").status)
    local garbage = plain(function(conn)
      conn:read_until "\r\n\r\n"
      conn:write "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"
    end)
    local garbage_url = ("http://127.0.0.1:%d"):format(garbage:port())
    assert.equal(502, exchange(front("/", garbage_url), "GET", "/").status)
    local small = front("/", url_of(mirror()), { max_body = 3 })
    assert.equal(413, exchange(small, "POST", "/", nil, "long").status)
  end)

  it("waits for an upload that takes longer than an answer may", function()
    local server = front("/", url_of(mirror()), { timeout = 300 })
    local client = raw_http.connect(server)
    client:send "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nab"
    hv.sleep(400)
    client:send "cd"
    assert.equal("abcd", seen(client:receive()).body)
    client:close()
  end)

  it("cuts an answer off that the upstream has cut off", function()
    local broken = plain(function(conn)
      conn:read_until "\r\n\r\n"
      conn:write "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"
    end)
    local server = front("/", ("http://127.0.0.1:%d"):format(broken:port()))
    local conn = assert(hv.tcp.connect { host = "127.0.0.1", port = server:port() })
    conn:write "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    assert(conn:read_until "half")
    assert.is_nil((conn:read()))
    conn:close()
  end)

  it("lets the upstream know that the client has gone", function()
    local gone = hv.channel()
    local back = plain(function(conn)
      conn:read_until "\r\n\r\n"
      conn:read()
      gone:send(true)
    end)
    local server = front("/", ("http://127.0.0.1:%d"):format(back:port()))
    local client = raw_socket.connect(server:port())
    client:send "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    while back:count() == 0 do hv.sleep(1) end
    client:reset()
    assert.is_true(gone:recv(10000))
  end)

  it("reads no faster from one side than the other takes", function()
    local sent = 0
    local back = plain(function(conn)
      conn:read_until "\r\n\r\n"
      conn:write "HTTP/1.1 200 OK\r\n\r\n"
      local piece = ("x"):rep(65536)
      for _ = 1, 2048 do
        if not conn:write(piece) then return end
        sent = sent + #piece
      end
    end)
    local server = front("/", ("http://127.0.0.1:%d"):format(back:port()))
    local conn = assert(hv.tcp.connect { host = "127.0.0.1", port = server:port() })
    conn:write "GET / HTTP/1.0\r\n\r\n"
    conn:read_until "\r\n\r\n"
    helper.stands_still(function() return sent end)
    assert.is_true(sent < 64 * 1024 * 1024, sent .. " bytes are somewhere on the way")
    local count = 0
    for chunk in conn:chunks() do count = count + #chunk end
    assert.equal(2048 * 65536, count)
    conn:close()
  end)

  it("tunnels WebSockets", function()
    local app = hv.http.app()
    app:ws("/v1/ws", function(ws)
      for message, kind in ws:messages() do ws:send(message, kind) end
    end)
    local server = front("/api", url_of(listen(app)) .. "/v1")
    local ws = assert(hv.ws.connect(("ws://127.0.0.1:%d/api/ws"):format(server:port())))
    for _, text in ipairs { "one", ("two"):rep(50000) } do
      assert(ws:send(text))
      assert.is_true(ws:receive() == text)
    end
    ws:close()
  end)

  it("asks after its upstreams' health", function()
    local is_well = true
    local app = hv.http.app()
    app:get("/health", function() return is_well and 200 or 503 end)
    local gateway = keep(hv.http.gateway(url_of(listen(app)), {
      health_path = "/health", health_interval = 10 }))
    local function state() return gateway:state()[1].is_up end
    helper.eventually(state)
    is_well = false
    helper.eventually(function() return not state() end)
    is_well = true
    helper.eventually(state)
  end)

  it("lets an upstream rest that fails, and comes back to it", function()
    local gateway = keep(hv.http.gateway({ dead_url(), dead_url() }, { max_fails = 2, rest = 500 }))
    local app = hv.http.app()
    local codes, states = {}, nil
    app:get("/", function(_, res)
      local upstream, message, code = gateway:pass(res)
      states = gateway:state()
      codes[#codes + 1] = upstream or message and code
    end)
    local server = listen(app)
    exchange(server, "GET", "/")
    exchange(server, "GET", "/")
    helper.eventually(function() return #codes == 2 end)
    assert.same({ "ECONNREFUSED", "ECONNREFUSED" }, codes)
    assert.same({ false, false }, { states[1].is_up, states[2].is_up })
    assert.equal(4, states[1].failures + states[2].failures)
    helper.eventually(function() return gateway:state()[1].is_up end)
  end)

  it("answers what is under way when it is closed", function()
    local silent = plain(function(conn) conn:read_until "never" end)
    local gateway = hv.http.gateway(("http://127.0.0.1:%d"):format(silent:port()))
    local app = hv.http.app()
    app:get("/", function(_, res) gateway:pass(res) end)
    local server = listen(app)
    local asked = hv.go(exchange, server, "GET", "/")
    while silent:count() == 0 do hv.sleep(1) end
    gateway:close()
    assert.equal(503, asked:join().status)
    local status
    local errors = raw_http.errors_of(function() status = exchange(server, "GET", "/").status end)
    assert.same({ 500, 1 }, { status, #errors })
  end)

  it("refuses upstreams and options that make no sense", function()
    local app = hv.http.app()
    for _, case in ipairs {
      { "api", "http://a" }, { "/api", "ftp://a" }, { "/api", 1 }, { "/api", {} , { x = 1 } },
      { "/api", { { url = "http://a", weight = 0 } } }, { "/api", "http://a/?q" },
      { "/api", "http://a", { balance = "luck" } },
    } do
      assert.has_error(function() app:proxy(unpack(case, 1, 3)) end)
    end
    assert.has_error(function() hv.http.gateway {} end)
  end)

  describe("a forward proxy", function()
    local function proxy(opts)
      local app = hv.http.app()
      app:not_found(hv.http.forward_proxy(opts))
      return listen(app)
    end

    local function curl(...)
      return assert(hv.process.run { "curl", "-s", "-m", "20", "-w", "%{http_code}", "--noproxy",
        "", ... }).stdout
    end

    it("goes where the target says, by curl", function()
      local back, server = mirror "far", proxy()
      local text = curl("-x", url_of(server), url_of(back) .. "/x?y", "-d", "body")
      local facts = hv.json.decode((text:match "^{.*}"))
      assert.same({ "far", "POST", "/x?y", "body" },
        { facts.name, facts.method, facts.target, facts.body })
      assert.matches("via=1.1 hvlua", table.concat(facts.headers, "\n"):lower(), 1, true)
      assert.not_matches("forwarded", table.concat(facts.headers, "\n"):lower())
      assert.equal("502", curl("-x", url_of(server), dead_url()):match "%d+$")
      assert.equal("400", curl(url_of(server) .. "/own"):match "%d+$")
    end)

    it("makes tunnels by CONNECT, where the port may be named", function()
      local back = mirror "far"
      local open_proxy = proxy { connect_ports = { back:port() } }
      local text = curl("-p", "-x", url_of(open_proxy), url_of(back) .. "/x")
      assert.equal("far", hv.json.decode((text:match "{.*}")).name)
      assert.equal("000", curl("-p", "-x", url_of(proxy()), url_of(back) .. "/x"):match "%d+$")
    end)

    it("asks who wants to go through, and where to", function()
      local back = mirror "far"
      local server = proxy { users = { ann = "secret" }, connect_ports = { back:port() },
        allow = function(host, port) return host == "127.0.0.1" and port == back:port() end }
      local target = url_of(back) .. "/"
      assert.equal("407", curl("-x", url_of(server), target):match "%d+$")
      assert.equal("407", curl("-x", url_of(server), "-U", "ann:wrong", target):match "%d+$")
      assert.equal("200", curl("-x", url_of(server), "-U", "ann:secret", target):match "%d+$")
      assert.equal("403", curl("-x", url_of(server), "-U", "ann:secret", dead_url()):match "%d+$")
      assert.equal("200",
        curl("-p", "-x", url_of(server), "-U", "ann:secret", target):match "%d+$")
    end)
  end)

  it("leaves nothing behind", function()
    local server = front("/", url_of(mirror()))
    exchange(server, "GET", "/")
    close_kept()
    collectgarbage()
    collectgarbage()
    helper.nothing_left(before)
  end)
end)
