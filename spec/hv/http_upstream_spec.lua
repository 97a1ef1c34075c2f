--- Which upstream a gateway asks, when, and with which headers: backups, hashes, rests with one
--- probe, tunnels, times and headers.
local helper = require "helper"
local hv = require "hv"
local raw_http = require "raw_http"

local exchange = raw_http.exchange

describe("upstreams", function()
  local keep, close_kept = helper.keeper()

  after_each(function()
    close_kept()
    hv.sleep(1)
  end)

  local function listen(app) return keep(assert(app:listen { host = "127.0.0.1", port = 0 })) end
  local function url_of(server) return ("http://127.0.0.1:%d"):format(server:port()) end

  --- An upstream that answers with its name.
  local function named(name)
    local app = hv.http.app()
    app:any("/*rest", function() return name end)
    return listen(app)
  end

  local function dead_url()
    local server = assert(hv.tcp.listen({ host = "127.0.0.1", port = 0 }, function() end))
    local url = url_of(server)
    server:close()
    return url
  end

  --- A server before a gateway; both.
  local function front(upstreams, opts)
    local gateway = keep(hv.http.gateway(upstreams, opts))
    local app = hv.http.app()
    app:any("/*rest", function(req, res) gateway:pass(res, req) end)
    return listen(app), gateway
  end

  it("ask backups only where no other is up, and never those that are down", function()
    local first, backup, down = named("first"), named("backup"), named("down")
    local server = front { { url = url_of(down), down = true },
      { url = url_of(backup), backup = true }, url_of(first) }
    for _ = 1, 4 do assert.equal("first", exchange(server, "GET", "/").body) end
    first:close(0)
    hv.sleep(1)
    for _ = 1, 4 do assert.equal("backup", exchange(server, "GET", "/").body) end
    backup:close(0)
    hv.sleep(1)
    assert.equal(502, exchange(server, "GET", "/").status)
  end)

  it("stay with a header, a cookie or a path", function()
    local list = {}
    for i = 1, 4 do list[i] = url_of(named(tostring(i))) end
    local header = front(list, { hash = "header:X-User" })
    local cookie = front(list, { balance = "hash", hash = "cookie:sid" })
    local path = front(list, { hash = "path" })
    local seen = { header = {}, cookie = {}, path = {} }
    for i = 1, 40 do
      local function same(kind, server, target, headers)
        local body = exchange(server, "GET", target, headers).body
        assert.equal(body, exchange(server, "GET", target, headers).body)
        seen[kind][body] = true
      end
      same("header", header, "/" .. i % 3, { ["X-User"] = "user" .. i })
      same("cookie", cookie, "/", { Cookie = ("a=sid; sid=%d; b=%d"):format(i, i % 2) })
      same("path", path, "/" .. i, { ["X-User"] = "same" })
    end
    -- Cookies may come in several lines, as HTTP/2 sends them.
    for i = 0, 1 do
      local one = exchange(cookie, "GET", "/", { Cookie = "sid=" .. i }).body
      local client = raw_http.connect(cookie)
      client:send(("GET / HTTP/1.1\r\nHost: x\r\nCookie: a=1\r\nCookie: sid=%d\r\n\r\n"):format(i))
      assert.equal(one, client:receive().body)
      client:close()
    end
    for _, names in pairs(seen) do -- each of the four has its share
      for i = 1, 4 do assert.is_true(names[tostring(i)]) end
    end
    -- Who has none of it goes by his address, and not all to one by accident of an empty value.
    local body = exchange(header, "GET", "/").body
    assert.equal(body, exchange(header, "GET", "/").body)
    for _, hash in ipairs { "", "X-User", "header:", "cookie:" } do
      assert.has_error(function() hv.http.gateway(list, { hash = hash }) end)
    end
    assert.has_error(function() hv.http.gateway(list, { balance = "hash" }) end)
  end)

  it("are tried by one request after a rest, and by others when that has been answered", function()
    local asked, held = 0, nil
    local app = hv.http.app()
    app:get("/*rest", function()
      asked = asked + 1
      held = hv.current()
      hv.sleep(60000)
      return "back"
    end)
    -- What fails is the connection: it is closed without an answer.
    local failing = true
    local behind = listen(app)
    local gate = keep(assert(hv.tcp.listen({ host = "127.0.0.1", port = 0 }, function(conn)
      if failing then return conn:close() end
      local upstream = assert(hv.tcp.connect { host = "127.0.0.1", port = behind:port() })
      conn:pipe(upstream)
    end)))
    local good = named("good")
    local server, gateway = front({ url_of(gate), url_of(good) },
      { max_fails = 1, rest = 50, retries = 1 })
    for _ = 1, 4 do assert.equal("good", exchange(server, "GET", "/").body) end
    assert.is_false(gateway:state()[1].is_up)
    failing = false
    helper.eventually(function() return gateway:state()[1].is_up end)
    -- Of many at once one tries it; the others do not wait for what may be broken.
    local answers = {}
    local function ask()
      local body = exchange(server, "GET", "/").body
      answers[#answers + 1] = body
    end
    local tasks = {}
    for i = 1, 12 do tasks[i] = hv.go(ask) end
    helper.eventually(function() return #answers == 11 end)
    assert.equal(1, asked)
    for _, body in ipairs(answers) do assert.equal("good", body) end
    assert.equal(1, gateway:state()[1].busy)
    held:cancel()
    for _, task in ipairs(tasks) do task:join() end
    -- It has answered, if only with a 500: it is whole, and gets its turns.
    local before = asked
    hv.go(ask)
    hv.go(ask)
    helper.eventually(function() return asked > before end)
    held:cancel()
  end)

  it("are busy while a tunnel to them lasts", function()
    local back = hv.http.app()
    back:ws("/", function(ws) for data in ws:messages() do ws:send(data) end end)
    local one, two = listen(back), listen(back)
    local server, gateway = front({ url_of(one), url_of(two) }, { balance = "least_busy" })
    local url = ("ws://127.0.0.1:%d/"):format(server:port())
    local sockets = {}
    for i = 1, 4 do
      sockets[i] = assert(hv.ws.connect(url))
      sockets[i]:send("x")
      assert.equal("x", (sockets[i]:receive()))
    end
    local function busy()
      local states = gateway:state()
      return states[1].busy, states[2].busy
    end
    assert.are.same({ 2, 2 }, { busy() })
    -- The next two go where two have left, wherever that is.
    sockets[1]:close()
    sockets[3]:close()
    helper.eventually(function()
      local first, second = busy()
      return first + second == 2
    end)
    for _ = 1, 2 do assert(hv.ws.connect(url)) end
    assert.are.same({ 2, 2 }, { busy() })
    gateway:close() -- tunnels go on
    sockets[2]:send("still")
    assert.equal("still", (sockets[2]:receive()))
  end)

  it("have times of their own", function()
    local app = hv.http.app()
    app:get("/", function()
      hv.sleep(60000)
      return "late"
    end)
    local slow = listen(app)
    local server = front({ { url = url_of(slow), timeout = 30 } }, { timeout = 60000 })
    assert.equal(504, exchange(server, "GET", "/").status)
  end)

  it("are asked in turn where one answers with a status that is not wanted", function()
    local asked = {}
    local function failing(status, name)
      local app = hv.http.app()
      app:any("/*rest", function(req)
        asked[#asked + 1] = name .. req.method
        req:body()
        return { status = status, text = name }
      end)
      return url_of(listen(app))
    end
    local first, second = failing(503, "first"), failing(502, "second")
    local server, gateway = front({ first, second }, { retry_on = { 502, 503 }, max_fails = 0 })
    -- The last answer is passed on where all of them fail.
    local answer = exchange(server, "GET", "/")
    assert.are.same({ 502, "second" }, { answer.status, answer.body })
    assert.are.same({ "firstGET", "secondGET" }, asked)
    assert.are.same({ 1, 1 }, { gateway:state()[1].failures, gateway:state()[2].failures })
    -- What may not be sent twice is not; nor is a body that has gone.
    asked = {}
    exchange(server, "POST", "/", nil, "x")
    exchange(server, "POST", "/")
    exchange(server, "PUT", "/", nil, "x")
    assert.are.equal(3, #asked)
    local good = named("good")
    server = front({ first, url_of(good) }, { retry_on = 503, max_fails = 1, rest = 60000 })
    for _ = 1, 4 do
      answer = exchange(server, "GET", "/")
      assert.are.same({ 200, "good" }, { answer.status, answer.body })
    end
    assert.are.equal(4, #asked) -- it rests after its failure
    for _, wrong in ipairs { 404, { 200 }, "503" } do
      assert.has_error(function() hv.http.gateway(first, { retry_on = wrong }) end)
    end
  end)

  it("get the headers that are said, and so do clients", function()
    local back = hv.http.app()
    back:get("/*rest", function(req, res)
      res.headers:set("X-Powered-By", "secret")
      res.headers:set("Vary", "Origin")
      res:header("Set-Cookie", "a=1")
      return { json = { token = req:header("x-token"), path = req:header("x-path"),
        gone = req:header("x-gone"), host = req:header("host"),
        via = req:header("via") } }
    end)
    local mw = hv.http.middleware
    local app = hv.http.app()
    app:use(mw.security_headers())
    app:use(function(_, res, next_handler)
      res.headers:add("Vary", "X-Own")
      res.headers:add("Set-Cookie", "b=2")
      return next_handler()
    end)
    app:proxy("/", url_of(listen(back)), {
      request_headers = { ["X-Token"] = "word", ["X-Gone"] = false, Via = false,
        Host = "there.example", ["X-Path"] = function(req) return req.path end },
      response_headers = { ["X-Powered-By"] = false, ["X-Answer"] = function() return "yes" end },
    })
    local server = listen(app)
    local answer = exchange(server, "GET", "/a", { ["X-Gone"] = "1", ["X-Token"] = "forged" })
    assert.are.same({ token = "word", path = "/a", host = "there.example" },
      hv.json.decode(answer.body))
    assert.is_nil(answer.headers:get("x-powered-by"))
    assert.equal("yes", answer.headers:get("x-answer"))
    assert.equal("nosniff", answer.headers:get("x-content-type-options"))
    assert.are.same({ "a=1", "b=2" }, answer.headers:get_all("set-cookie"))
    assert.are.same({ "Origin", "X-Own" }, answer.headers:get_all("vary"))
    for _, headers in ipairs { { ["X A"] = "x" }, { ["X-A"] = "a\r\nb" }, { ["X-A"] = 1 },
      { "x" } } do
      assert.has_error(function() hv.http.gateway("http://a", { request_headers = headers }) end)
    end
  end)

  it("never get headers of the connection by that way", function()
    local app = hv.http.app()
    app:proxy("/", dead_url(), { request_headers = { ["Transfer-Encoding"] = "chunked" } })
    hv.on_error(function() end)
    assert.equal(500, exchange(listen(app), "GET", "/").status)
    hv.on_error(nil)
  end)
end)
