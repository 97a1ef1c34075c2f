-- hv.http.middleware: each piece against real requests.
local helper = require "helper"
local hv = require "hv"
local raw = require "raw_http"

local mw = hv.http.middleware

describe("hv.http.middleware", function()
  local app, server

  before_each(function()
    app = hv.http.app()
    server = raw.listen(app)
    app:get("/", function() return "hello" end)
    app:post("/", function(req) return (req:body()) or 400 end)
  end)

  after_each(function() raw.stop(server) end)

  local function ask(method, target, headers, body)
    return raw.exchange(server, method, target, headers, body)
  end

  local function basic(text) return { Authorization = "Basic " .. hv.crypto.base64(text) } end

  describe("logger", function()
    it("writes common, combined and JSON lines", function()
      local lines = {}
      local function write(line) lines[#lines + 1] = line end
      for _, format in ipairs { "common", "combined", "json" } do
        app:use(mw.logger { format = format, write = write })
      end
      app:use(mw.basic_auth { users = { me = "word" } })
      local headers = basic "me:word"
      headers["User-Agent"], headers.Referer = 'a "quoted" one', "http://there/"
      ask("GET", "/?a=1", headers)
      helper.eventually(function() return #lines == 3 end)
      local stamp = "%[%d+/%a+/%d+:%d+:%d+:%d+ [+-]%d+%]"
      local line = '^127%.0%.0%.1 %- me ' .. stamp .. ' "GET /%?a=1 HTTP/1%.1" 200 5'
      assert.matches(line .. "$", lines[1])
      assert.matches(line .. ' "http://there/" "a \\"quoted\\" one"$', lines[2])
      local entry = hv.json.decode(lines[3])
      assert.are.same({ "GET", "/?a=1", 200, 5, "me", true },
        { entry.method, entry.target, entry.status, entry.bytes, entry.user, entry.complete })
      assert.is_true(entry.duration >= 0)
    end)

    it("appends to a file that is renamed meanwhile, and writes the rest at the end", function()
      local dir = assert(hv.fs.tmpdir())
      local path = dir .. "/access.log"
      app:use(mw.logger { file = path })
      ask("GET", "/one")
      helper.eventually(function() return hv.fs.exists(path) end, 5)
      assert(hv.fs.rename(path, path .. ".1"))
      ask("GET", "/two")
      helper.eventually(function() return hv.fs.exists(path) end, 5)
      assert.matches("GET /one ", hv.fs.read(path .. ".1"), 1, true)
      assert.matches("GET /two ", hv.fs.read(path), 1, true)
      assert.not_matches("GET /one ", hv.fs.read(path), 1, true)
      local text, status = helper.run(([[
        local hv = require "hv"
        local app = hv.http.app()
        app:use(hv.http.middleware.logger { file = %q })
        app:get("/", function() return "x" end)
        local server = assert(app:listen { host = "127.0.0.1", port = 0 })
        assert(hv.http.get("http://127.0.0.1:" .. server:port() .. "/last"))
        server:close(0)]]):format(path))
      assert.are.same({ "", 0 }, { text, status })
      assert.matches("GET /last ", hv.fs.read(path), 1, true)
      hv.fs.remove(dir, { recursive = true })
    end)

    it("keeps lines in order while a file cannot be written, and tells of those lost", function()
      local dir = assert(hv.fs.tmpdir())
      local logged = dir .. "/program"
      assert(hv.log.file(logged))
      app:use(mw.logger { file = dir .. "/later/access.log", buffer = 1000,
        format = function(req) return req.target .. (" "):rep(93) end })
      for i = 1, 20 do ask("GET", ("/%05d"):format(i)) end
      assert(hv.fs.mkdir(dir .. "/later"))
      local text
      helper.eventually(function()
        text = hv.fs.read(dir .. "/later/access.log")
        return text
      end, 10)
      local lines = {}
      for target in text:gmatch("(/%d+) +\n") do lines[#lines + 1] = target end
      assert.are.equal(10, #lines)
      for i = 1, 10 do assert.are.equal(("/%05d"):format(i), lines[i]) end
      ask("GET", "/after")
      helper.eventually(function()
        return hv.fs.read(dir .. "/later/access.log"):find("/after ", 1, true)
      end, 10)
      hv.log.file(nil)
      for name in hv.fs.scan(dir) do
        if name:find("^program") then logged = dir .. "/" .. name end
      end
      local messages = hv.fs.read(logged)
      assert.matches("later/access.log", messages, 1, true)
      assert.matches("10 lines of", messages, 1, true)
      hv.fs.remove(dir, { recursive = true })
    end)
  end)

  describe("cors", function()
    local there = "https://there.example"
    local function of(answer, name) return answer.headers:get("access-control-" .. name) end

    it("lets the origins of its list in, and says that the answer depends on it", function()
      app:use(mw.cors { origins = { there }, credentials = true, expose = { "X-Own" } })
      local answer = ask("GET", "/", { Origin = there })
      assert.are.same({ there, "true", "X-Own", "hello" }, { of(answer, "allow-origin"),
        of(answer, "allow-credentials"), of(answer, "expose-headers"), answer.body })
      assert.are.equal("Origin", answer.headers:get("vary"))
      answer = ask("GET", "/", { Origin = "https://elsewhere.example" })
      assert.is_nil(of(answer, "allow-origin"))
      assert.are.equal("Origin", answer.headers:get("vary"))
      assert.are.equal("Origin", ask("GET", "/").headers:get("vary"))
    end)

    it("answers a preflight, which reaches no handler", function()
      app:use(mw.cors { origins = { there }, methods = { "GET", "PUT" }, max_age = 5000 })
      local answer = ask("OPTIONS", "/", { Origin = there,
        ["Access-Control-Request-Method"] = "PUT", ["Access-Control-Request-Headers"] = "x-a" })
      assert.are.same({ 204, there, "GET, PUT", "x-a", "5" }, { answer.status,
        of(answer, "allow-origin"), of(answer, "allow-methods"), of(answer, "allow-headers"),
        of(answer, "max-age") })
      answer = ask("OPTIONS", "/", { Origin = "https://elsewhere.example",
        ["Access-Control-Request-Method"] = "PUT" })
      assert.is_nil(of(answer, "allow-methods"))
      assert.is_truthy(ask("OPTIONS", "/", { Origin = there }).headers:get("allow"))
    end)

    it("gives everybody a star, but no credentials with it", function()
      app:use(mw.cors())
      local answer = ask("GET", "/", { Origin = there })
      assert.are.equal("*", of(answer, "allow-origin"))
      assert.is_nil(answer.headers:get("vary"))
      assert.has_error(function() mw.cors { credentials = true } end)
    end)
  end)

  it("basic_auth asks for a name and a password", function()
    app:use(mw.basic_auth { realm = "here", users = { me = "wo:rd" } })
    app:get("/who", function(req) return req.user end)
    local answer = ask("GET", "/who")
    assert.are.same({ 401, 'Basic realm="here", charset="UTF-8"' },
      { answer.status, answer.headers:get("www-authenticate") })
    assert.are.equal("me", ask("GET", "/who", basic "me:wo:rd").body)
    for _, wrong in ipairs { "me:word", "me:", "you:wo:rd", ":", "me", "" } do
      assert.are.equal(401, ask("GET", "/who", basic(wrong)).status)
    end
    assert.are.equal(401, ask("GET", "/who", { Authorization = "Bearer bWU6d286cmQ=" }).status)
    assert.has_error(function() mw.basic_auth {} end)
  end)

  it("request_id makes one, and keeps a plain one that it may trust", function()
    app:use(mw.request_id { trust = true })
    app:get("/id", function(req) return req.request_id end)
    local answer = ask("GET", "/id")
    assert.are.equal(36, #answer.body)
    assert.are.equal(answer.body, answer.headers:get("x-request-id"))
    assert.are.equal("abc-1", ask("GET", "/id", { ["X-Request-Id"] = "abc-1" }).body)
    assert.are.equal(36, #ask("GET", "/id", { ["X-Request-Id"] = "a b" }).body)
    assert.are.equal(36, #ask("GET", "/id", { ["X-Request-Id"] = ("a"):rep(129) }).body)
  end)

  it("rate_limit lets so many of a key through, and says when to come again", function()
    app:use(mw.rate_limit {
      rate = 2, burst = 1, window = 3600000, dict = "rate spec " .. hv.hrtime(),
      key = function(req) return req.query.key end,
    })
    for _ = 1, 3 do assert.are.equal(200, ask("GET", "/?key=a").status) end
    local answer = ask("GET", "/?key=a")
    assert.are.equal(429, answer.status)
    local seconds = tonumber(answer.headers:get("retry-after"))
    assert.is_true(seconds >= 1 and seconds <= 3600)
    assert.are.equal(200, ask("GET", "/?key=b").status)
    for _ = 1, 5 do assert.are.equal(200, ask("GET", "/").status) end
  end)

  it("rate_limit forgets in the end", function()
    app:use(mw.rate_limit { rate = 1, window = 20, dict = "rate spec " .. hv.hrtime() })
    assert.are.equal(200, ask("GET", "/").status)
    helper.eventually(function() return ask("GET", "/").status == 200 end)
  end)

  it("timeout answers 503 and cancels what is inside", function()
    local ended = {}
    app:use(mw.timeout(20))
    app:get("/slow", function()
      hv.defer(function() ended[#ended + 1] = "slow" end)
      hv.sleep(60000)
      return "late"
    end)
    app:get("/half", function(_, res)
      res:write("half")
      hv.sleep(60000)
    end)
    assert.are.equal(503, ask("GET", "/slow").status)
    helper.eventually(function() return #ended == 1 end)
    assert.are.equal("hello", ask("GET", "/").body)
    local conn = assert(hv.tcp.connect { host = "127.0.0.1", port = server:port() })
    conn:write("GET /half HTTP/1.1\r\nHost: h\r\n\r\n")
    local text = ""
    for chunk in conn:chunks() do text = text .. chunk end
    conn:close()
    assert.matches("4\r\nhalf\r\n$", text)
  end)

  it("body_limit refuses long bodies, also in chunks", function()
    app:use(mw.body_limit "1K")
    assert.are.equal(1024, #ask("POST", "/", nil, ("x"):rep(1024)).body)
    assert.are.equal(413, ask("POST", "/", nil, ("x"):rep(1025)).status)
    local function chunked(count)
      local client = raw.connect(server)
      client:send("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
      for _ = 1, count do client:send("200\r\n" .. ("x"):rep(512) .. "\r\n") end
      client:send("0\r\n\r\n")
      local status = client:receive().status
      client:close()
      return status
    end
    assert.are.equal(200, chunked(2))
    assert.are.equal(413, chunked(3))
  end)

  it("body_limit 0 takes no body at all", function()
    app:use(mw.body_limit(0))
    assert.are.equal(200, ask("GET", "/").status)
    assert.are.equal(413, ask("POST", "/", nil, "x").status)
    local client = raw.connect(server)
    client:send("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
    client:send("1\r\nx\r\n0\r\n\r\n")
    assert.are.equal(413, client:receive().status)
    client:close()
  end)

  it("etag answers 304 to who has the same", function()
    local count = 0
    local site = app:group("/tagged")
    site:use(mw.etag(), mw.compress { min = 1 })
    site:get("/page", function(_, res)
      count = count + 1
      res.headers:set("X-Own", "kept")
      return "the same"
    end)
    site:get("/own", function(_, res)
      res.headers:set("ETag", '"own"')
      res:send("something")
    end)
    site:get("/dated", function(_, res)
      res.headers:set("Last-Modified", "Wed, 25 Nov 2026 10:00:00 GMT")
      return { json = { a = 1 } }
    end)
    site:get("/failed", function() return { status = 500, text = "no" } end)
    site:post("/page", function() return "posted" end)
    local first = ask("GET", "/tagged/page")
    local etag = first.headers.etag
    assert.matches('^"%x+"$', etag)
    assert.are.equal(34, #etag)
    local again = ask("GET", "/tagged/page", { ["If-None-Match"] = '"other", W/' .. etag })
    assert.are.same({ 304, "", etag, "kept", 2 },
      { again.status, again.body, again.headers.etag, again.headers["x-own"], count })
    local coded = ask("GET", "/tagged/page", { ["Accept-Encoding"] = "gzip",
      ["If-None-Match"] = '"other"' })
    assert.are.same({ 200, "Accept-Encoding" }, { coded.status, coded.headers.vary })
    assert.are.equal(304, ask("HEAD", "/tagged/page", { ["If-None-Match"] = etag }).status)
    assert.are.equal(412, ask("GET", "/tagged/page", { ["If-Match"] = '"other"' }).status)
    assert.are.equal(304, ask("GET", "/tagged/own", { ["If-None-Match"] = '"own"' }).status)
    assert.are.equal(304, ask("GET", "/tagged/dated",
      { ["If-Modified-Since"] = "Wed, 25 Nov 2026 10:00:00 GMT" }).status)
    assert.are.equal(200, ask("GET", "/tagged/dated",
      { ["If-Modified-Since"] = "Wed, 25 Nov 2026 09:59:59 GMT" }).status)
    assert.is_nil(ask("GET", "/tagged/failed").headers.etag)
    assert.is_nil(ask("POST", "/tagged/page", nil, "x").headers.etag)
  end)

  it("cache_control says what is said, where the handler says nothing", function()
    app:use(mw.cache_control { max_age = 60000, public = true, stale = 5000 })
    app:get("/own", function(_, res)
      res:header("Cache-Control", "no-store")
      return "x"
    end)
    assert.are.equal("max-age=60, public, stale-while-revalidate=5",
      ask("GET", "/").headers["cache-control"])
    assert.are.equal("no-store", ask("GET", "/own").headers["cache-control"])
    app:get("/long", mw.cache_control { max_age = 365 * 86400000 }, function() return "x" end)
    assert.are.equal("no-store", ask("GET", "/own").headers["cache-control"])
    assert.are.equal("max-age=60, public, stale-while-revalidate=5",
      ask("GET", "/long").headers["cache-control"]) -- the outer one has said it
    assert.has_error(function() mw.cache_control {} end)
    assert.has_error(function() mw.cache_control { public = true, private = true } end)
  end)

  it("security_headers sets what browsers heed", function()
    app:use(mw.security_headers { frame = false, csp = "default-src 'self'", hsts = 1000 })
    local headers = ask("GET", "/").headers
    assert.are.same({ "nosniff", "no-referrer", "default-src 'self'" }, {
      headers:get("x-content-type-options"), headers:get("referrer-policy"),
      headers:get("content-security-policy") })
    assert.is_nil(headers:get("x-frame-options"))
    assert.is_nil(headers:get("strict-transport-security"))
  end)
end)
