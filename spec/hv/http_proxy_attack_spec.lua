local helper = require "helper"
local hv = require "hv"
local raw_http = require "raw_http"

local exchange = raw_http.exchange

--- What somebody tries who means harm to what lies behind a gateway.
describe("hv.http proxies under attack", function()
  local keep, close_kept = helper.keeper()

  after_each(close_kept)

  local function listen(app) return keep(assert(app:listen { host = "127.0.0.1", port = 0 })) end

  local function url_of(server) return ("http://127.0.0.1:%d"):format(server:port()) end

  --- A server of plain TCP that does with each connection what `fn` says.
  local function plain(fn)
    return keep(assert(hv.tcp.listen({ host = "127.0.0.1", port = 0 }, fn)))
  end

  --- An upstream that keeps the heads it has read, and answers each with its number.
  local function recorder(answer)
    local heads = {}
    local server = plain(function(conn)
      while true do
        local head = conn:read_until "\r\n\r\n"
        if not head then return end
        heads[#heads + 1] = head
        conn:write(answer or "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
      end
    end)
    return server, heads
  end

  local function front(...)
    local app = hv.http.app()
    app:proxy(...)
    return listen(app)
  end

  --- Sends the text and returns the answer.
  local function ask(server, text)
    local client = keep(raw_http.connect(server))
    client:send(text)
    return client:receive()
  end

  local function occurrences(text, what)
    local count, at = 0, 1
    while true do
      local first, last = text:find(what, at, true)
      if not first then return count end
      count, at = count + 1, last + 1
    end
  end

  it("sends a POST without a body once, whatever became of it", function()
    local asked = 0
    local rude = plain(function(conn)
      conn:read_until "\r\n\r\n"
      asked = asked + 1 -- has acted on it, and closes without an answer
    end)
    local server = front("/", { url_of(rude), url_of(rude), url_of(rude) }, { max_fails = 0 })
    assert.equal(502, exchange(server, "POST", "/pay", { ["Content-Length"] = 0 }).status)
    assert.equal(1, asked)
    assert.equal(502, exchange(server, "PATCH", "/pay").status)
    assert.equal(2, asked)
    local silent = plain(function(conn)
      asked = asked + 1
      conn:read_until "never"
    end)
    asked = 0
    local slow = front("/", { url_of(silent), url_of(silent) }, { timeout = 50, max_fails = 0 })
    assert.equal(504, exchange(slow, "POST", "/pay").status)
    assert.equal(1, asked)
  end)

  it("does not pass an upgrade to HTTP/2 or TLS on, which would lead past its routes", function()
    local back, heads = recorder()
    local server = front("/", url_of(back))
    for _, protocol in ipairs { "h2c", "websocket, H2C", "TLS/1.0", "HTTP/2.0" } do
      ask(server, ("GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\n" ..
        "Upgrade: %s\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n"):format(protocol))
      assert.not_matches("upgrade", heads[#heads]:lower(), 1, true)
    end
    ask(server, "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
    assert.matches("upgrade: websocket", heads[#heads]:lower(), 1, true)
  end)

  it("drops what any of several Connection lines names, both ways", function()
    local back, heads = recorder("HTTP/1.1 200 OK\r\nConnection: keep-alive\r\n" ..
      "Connection: X-Secret\r\nX-Secret: 1\r\nX-Plain: 1\r\nContent-Length: 2\r\n\r\nok")
    local server = front("/", url_of(back))
    local answer = ask(server, "GET / HTTP/1.1\r\nHost: x\r\nConnection: X-One\r\n" ..
      "Connection: X-Two\r\nX-One: 1\r\nX-Two: 2\r\nX-Three: 3\r\n\r\n")
    assert.not_matches("x-one", heads[1]:lower(), 1, true)
    assert.not_matches("x-two", heads[1]:lower(), 1, true)
    assert.matches("x-three", heads[1]:lower(), 1, true)
    assert.is_nil((answer.headers:get "x-secret"))
    assert.equal("1", (answer.headers:get "x-plain"))
  end)

  it("keeps every line of X-Forwarded-For of a proxy that is trusted", function()
    local back, heads = recorder()
    local server = front("/", url_of(back), { trust_forwarded = true })
    -- The second line is the word of the proxy before us, the first one its client's.
    ask(server, "GET / HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 6.6.6.6\r\n" ..
      "X-Forwarded-For: 10.0.0.1\r\nX-Forwarded-For: \r\n\r\n")
    assert.matches("X-Forwarded-For: 6.6.6.6, 10.0.0.1, 127.0.0.1\r\n", heads[1], 1, true)
    -- Of a list that is too long the end stays, which trusted proxies have written.
    ask(server, "GET / HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: " .. ("6.6.6.6, "):rep(200) ..
      "10.0.0.1\r\n\r\n")
    assert.matches(", 10.0.0.1, 127.0.0.1\r\n", heads[2], 1, true)
    assert.equal(1, occurrences(heads[2]:lower(), "x-forwarded-for:"))
  end)

  it("passes one Host on, that of an absolute target", function()
    local back, heads = recorder()
    local server = front("/", url_of(back), { keep_host = true })
    ask(server, "GET http://good.test/x HTTP/1.1\r\nHost: evil.test\r\n\r\n")
    assert.matches("\r\nHost: good.test\r\n", heads[1], 1, true)
    assert.not_matches("evil.test", heads[1], 1, true)
    ask(server, "GET /x HTTP/1.1\r\nHost: a.test\r\nConnection: Host, X-Forwarded-For\r\n\r\n")
    assert.matches("\r\nHost: a.test\r\n", heads[2], 1, true)
    assert.matches("\r\nX-Forwarded-For: 127.0.0.1\r\n", heads[2], 1, true)
  end)

  it("makes no Location that leads to another host", function()
    local back
    back = plain(function(conn)
      conn:read_until "\r\n\r\n"
      conn:write("HTTP/1.1 301 Moved\r\nConnection: close\r\nContent-Length: 0\r\nLocation: " ..
        url_of(back) .. "//evil.test/\r\n\r\n")
    end)
    local answer = exchange(front("/", url_of(back)), "GET", "//evil.test")
    assert.equal("/.//evil.test/", (answer.headers:get "location"))
    answer = exchange(front("/api", url_of(back)), "GET", "/api//evil.test")
    assert.equal("/api//evil.test/", (answer.headers:get "location"))
  end)

  it("strips a prefix that is encoded, and lets no dots lead above the upstream's path", function()
    local back, heads = recorder()
    local server = front("/api", url_of(back) .. "/v1")
    ask(server, "GET /%61pi/x%2fy HTTP/1.1\r\nHost: x\r\n\r\n")
    assert.matches("^GET /v1/x%%2fy HTTP", heads[1])
    for _, path in ipairs { "/api/../admin", "/api/%2e%2E/admin", "/api/a/../../admin",
      "/api/.%2e", "/api/x/..%2f..%2f../admin", "/api/..;x/admin", "/api/a\\..\\..\\admin" } do
      local answer = ask(server, ("GET %s HTTP/1.1\r\nHost: x\r\n\r\n"):format(path))
      assert.equal(400, answer.status, path)
    end
    assert.equal(1, #heads)
    for _, path in ipairs { "/api/a/../b", "/api/...", "/api/a..b/..c", "/api/a/./b" } do
      local answer = ask(server, ("GET %s HTTP/1.1\r\nHost: x\r\n\r\n"):format(path))
      assert.equal(200, answer.status, path)
    end
  end)

  it("guards a prefix that is kept, too", function()
    local back, heads = recorder()
    local server = front("/public", url_of(back), { strip = false })
    assert.equal(400, exchange(server, "GET", "/public/%2e./admin").status)
    assert.equal(400, exchange(server, "GET", "/public/a/../..").status)
    assert.equal(200, exchange(server, "GET", "/public/a/../b").status)
    assert.matches("^GET /public/a/%.%./b HTTP", heads[1])
  end)

  it("answers at once for a head that is too large, or before an upload is whole", function()
    local big = plain(function(conn)
      conn:read_until "\r\n\r\n"
      conn:write("HTTP/1.1 200 OK\r\nX: " .. ("x"):rep(200000) .. "\r\n\r\n")
    end)
    assert.equal(502, exchange(front("/", url_of(big)), "GET", "/").status)
    local early = plain(function(conn)
      conn:read_until "\r\n\r\n"
      conn:write "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno"
      conn:read_until "never"
    end)
    local answer = ask(front("/", url_of(early)),
      "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\nonly this")
    assert.same({ 403, "no" }, { answer.status, answer.body })
  end)

  it("refuses a body whose chunks exceed the limit, though it has begun to pass it on", function()
    local ended
    local back = plain(function(conn)
      conn:read_until "\r\n\r\n"
      while conn:read() do end
      ended = true
    end)
    local server = front("/", url_of(back), { max_body = 10 })
    local client = keep(raw_http.connect(server))
    client:send "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
    client:send "6\r\nworld!\r\n"
    assert.equal(413, client:receive().status)
    while not ended do hv.sleep(1) end
  end)

  it("answers where a middleware has read the body already", function()
    local back = hv.http.app()
    back:post("/*rest", function(req) return req:body() end)
    local app = hv.http.app()
    app:use(function(req, _, next)
      req:body()
      return next()
    end)
    app:proxy("/", url_of(listen(back)), { timeout = 1000 })
    local answer = ask(listen(app),
      "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello")
    assert.same({ 200, "hello" }, { answer.status, answer.body })
  end)

  it("ends with the task of its handler", function()
    local ended, began
    local back = plain(function(conn)
      conn:read_until "\r\n\r\n"
      began = true
      while conn:read() do end
      ended = true
    end)
    local gateway = hv.http.gateway(url_of(back))
    local app = hv.http.app()
    app:get("/", function(_, res)
      local passing = hv.go(function() return gateway:pass(res) end)
      while not began do hv.sleep(1) end
      passing:cancel()
      return { status = 200, text = "mine" }
    end)
    local client = keep(raw_http.connect(listen(app)))
    client:send "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    assert.equal(200, client:receive().status)
    while not ended do hv.sleep(1) end
    gateway:close()
  end)

  it("asks the same host as the one that it is allowed to ask", function()
    local app = hv.http.app()
    local asked = {}
    app:not_found(hv.http.forward_proxy { allow = function(host, port)
      asked[#asked + 1] = host .. ":" .. port
      return false
    end })
    local server = listen(app)
    for _, case in ipairs {
      { "http://a.test@evil.test/", 400 }, { "http://evil.test\\@a.test/", 400 },
      { "http://evil.test#@a.test/", 400 }, { "https://evil.test/", 403, "evil.test:443" },
      { "http://[::1]:81/", 403, "::1:81" }, { "http://EVIL.test:080/", 403, "evil.test:80" },
    } do
      asked = {}
      local answer = ask(server, ("GET %s HTTP/1.1\r\nHost: x\r\n\r\n"):format(case[1]))
      assert.equal(case[2], answer.status, case[1])
      assert.same({ case[3] }, asked)
    end
  end)
end)
