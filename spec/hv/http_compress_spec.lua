-- mw.compress: which answers are compressed, by what, and that clients read what was written.
local helper = require "helper"
local hv = require "hv"

local mw = hv.http.middleware
local text = ("It was the best of times, it was the worst of times. "):rep(100)
--- 2 MiB that are not the same everywhere.
local long
do
  local lines = {}
  for i = 1, 40000 do lines[i] = ("%06d a quick brown fox jumps over a lazy dog\n"):format(i) end
  long = table.concat(lines)
end

--- What curl prints; the loop goes on meanwhile.
local function curl(...)
  return assert(hv.process.run({ "curl", "-s", "--compressed", ... })).stdout
end

--- All that comes until the peer closes.
local function all_of(conn)
  local pieces = {}
  for piece in conn:chunks() do pieces[#pieces + 1] = piece end
  conn:close()
  return table.concat(pieces)
end

describe("mw.compress", function()
  local app, server, before

  before_each(function()
    before = helper.active()
    app = hv.http.app()
    server = assert(app:listen { host = "127.0.0.1", port = 0 })
  end)

  after_each(function()
    server:close(0)
    helper.nothing_left(before)
  end)

  --- The reply as it came, without decoding.
  local function ask(target, accept, method)
    return assert(hv.http.request { method = method or "GET", decompress = false, fresh = true,
      url = ("http://127.0.0.1:%d%s"):format(server:port(), target),
      headers = { ["Accept-Encoding"] = accept } })
  end

  local function facts(reply)
    return { reply.status, reply.headers:get("content-encoding"), reply.headers:get("vary") }
  end

  it("compresses strings and tables by what the client likes best", function()
    app:use(mw.compress())
    app:get("/text", function() return text end)
    app:get("/json", function() return { json = { text = text } } end)
    for accept, coding in pairs { gzip = "gzip", br = "br", ["gzip, br"] = "br",
      ["br;q=0.5, gzip"] = "gzip", ["*"] = "br" } do
      local reply = ask("/text", accept)
      assert.are.same({ 200, coding, "Accept-Encoding" }, facts(reply))
      assert.are.equal(#reply.body, tonumber(reply.headers:get("content-length")))
      assert.is_true(#reply.body < #text / 5)
    end
    for _, accept in ipairs { "identity", "gzip;q=0, br;q=0", "deflate" } do
      local reply = ask("/text", accept)
      assert.are.same({ 200, nil, "Accept-Encoding" }, { reply.status,
        reply.headers:get("content-encoding"), reply.headers:get("vary") })
      assert.are.equal(text, reply.body)
    end
    local url = ("http://127.0.0.1:%d/json"):format(server:port())
    assert.are.equal(text, assert(hv.http.get(url)):json().text)
    assert.are.equal(text, hv.json.decode(curl(url)).text)
  end)

  it("leaves alone what is short, fixed, of another type, or has no content", function()
    app:use(mw.compress())
    app:get("/short", function() return "short" end)
    app:get("/image", function(_, res) res:send(text, "image/png") end)
    app:get("/coded", function(_, res)
      res.headers:set("Content-Encoding", "x-own")
      res:send(text)
    end)
    app:get("/fixed", function(_, res)
      res.headers:set("Cache-Control", "public, no-transform")
      res:send(text)
    end)
    app:get("/part", function(_, res)
      res.headers:set("Content-Range", "bytes 0-9/100")
      res.status = 206
      res:send(text)
    end)
    app:get("/none", function() return 204 end)
    for _, target in ipairs { "/short", "/image", "/fixed", "/part", "/none" } do
      local reply = ask(target, "gzip")
      assert.is_nil(reply.headers:get("content-encoding"))
      assert.is_nil(reply.headers:get("vary"))
    end
    assert.are.equal("x-own", ask("/coded", "gzip").headers:get("content-encoding"))
    assert.are.equal(text, ask("/coded", "gzip").body)
  end)

  it("knows types, sizes and levels", function()
    app:use(mw.compress { types = { "image/*", "application/x-own" }, min = 10, br = false,
      gzip = 9 })
    app:get("/image", function(_, res) res:send(("x"):rep(50), "image/bmp; a=b") end)
    app:get("/own", function(_, res) res:send(("x"):rep(50), "Application/X-Own") end)
    app:get("/text", function() return text end)
    assert.are.equal("gzip", ask("/image", "br, gzip").headers:get("content-encoding"))
    assert.are.equal("gzip", ask("/own", "br, gzip").headers:get("content-encoding"))
    assert.is_nil(ask("/text", "br, gzip").headers:get("content-encoding"))
    assert.has_error(function() mw.compress { types = { "text" } } end)
    assert.has_error(function() mw.compress { gzip = 10 } end)
    assert.has_error(function() mw.compress { level = 1 } end)
  end)

  it("weakens an ETag, says nothing of ranges, and keeps other headers", function()
    app:use(mw.compress())
    app:get("/", function(_, res)
      res.headers:set("ETag", '"abc"')
      res.headers:set("Accept-Ranges", "bytes")
      res.headers:set("Vary", "Origin, Accept-Encoding")
      res.headers:set("X-Own", "kept")
      res:send(text)
    end)
    local reply = ask("/", "gzip")
    assert.are.same({ 'W/"abc"', nil, "Origin, Accept-Encoding", "kept" }, {
      reply.headers:get("etag"), reply.headers:get("accept-ranges"), reply.headers:get("vary"),
      reply.headers:get("x-own") })
    assert.are.equal('"abc"', ask("/", "identity").headers:get("etag"))
  end)

  it("sends long answers piece by piece, and tells observers when all is out", function()
    local seen = {}
    app:use(mw.compress())
    app:on_response(function(_, res) seen[#seen + 1] = { res.bytes, res.is_complete } end)
    local after
    app:get("/", function(_, res)
      res:send(long)
      after = { select(3, res:write("more")) } -- the answer was given
      assert(res:finish())
    end)
    app:get("/throws", function(_, res)
      res:send(long)
      error("too late")
    end)
    local reply = ask("/", "gzip")
    assert.are.same({ 200, "gzip", "Accept-Encoding" }, facts(reply))
    assert.is_nil(reply.headers:get("content-length"))
    assert.are.same({ "ECLOSED" }, after)
    helper.eventually(function() return #seen == 1 end)
    assert.are.same({ { #reply.body, true } }, seen)
    local url = ("http://127.0.0.1:%d/"):format(server:port())
    for _, coding in ipairs { "gzip", "br" } do
      assert.is_true(long == curl("-H", "Accept-Encoding: " .. coding, url))
    end
    local errors = {}
    hv.on_error(function(message) errors[#errors + 1] = message end)
    local again = assert(hv.http.get(url .. "throws"))
    hv.on_error(nil)
    assert.is_true(long == again.body)
    assert.are.equal(1, #errors)
  end)

  it("keeps the loop free meanwhile: long bodies are compressed in threads", function()
    app:use(mw.compress { br = 9 })
    app:get("/", function() return long end)
    local passes, is_over = 0, false
    hv.go(function()
      while not is_over do
        hv.sleep(0)
        passes = passes + 1
      end
    end)
    ask("/", "br")
    is_over = true
    -- 2 MiB are sixteen pieces, each of them some passes while a thread works on it: that it is
    -- another one is asserted there in builds for tests.
    assert.is_true(passes > 16)
  end)

  it("gives each piece of a stream when it is written", function()
    app:use(mw.compress())
    local go_on
    app:get("/stream", function(_, res)
      res.headers:set("Content-Type", "text/plain")
      res:write("first\n")
      while not go_on do hv.sleep(1) end
      res:write("second\n")
    end)
    for _, coding in ipairs { "gzip", "br" } do
      go_on = false
      local reply = assert(hv.http.get(("http://127.0.0.1:%d/stream"):format(server:port()),
        { stream = true, headers = { ["Accept-Encoding"] = coding } }))
      assert.are.equal(coding, reply.headers:get("content-encoding"))
      local first = reply:read()
      assert.is_true(#first > 0) -- not kept until there is more
      go_on = true
      reply:text()
    end
    go_on = false
    -- And it is all there to be decoded: curl prints the line before the rest is written.
    local p = assert(hv.process.spawn { "curl", "-sN", "--compressed", stdout = "pipe",
      ("http://127.0.0.1:%d/stream"):format(server:port()) })
    assert.are.equal("first\n", p.stdout:read())
    go_on = true
    assert.are.equal("second\n", p.stdout:read())
    p:wait()
  end)

  it("gives server-sent events one by one", function()
    app:use(mw.compress())
    local events
    app:get("/events", function(_, res)
      events = res:sse { heartbeat = 0 }
      events:send("one")
      while events:is_open() do hv.sleep(1) end
    end)
    local p = assert(hv.process.spawn { "curl", "-sN", "--compressed", stdout = "pipe",
      ("http://127.0.0.1:%d/events"):format(server:port()) })
    assert.are.equal("data: one\n\n", p.stdout:read())
    events:send("two")
    assert.are.equal("data: two\n\n", p.stdout:read())
    p:kill()
    p:wait()
  end)

  it("holds a stream to the length that was announced", function()
    app:use(mw.compress())
    local code
    app:get("/long", function(_, res)
      res.headers:set("Content-Type", "text/plain")
      res:header("Content-Length", 2000)
      res:write(("x"):rep(1500))
      code = select(3, res:write(("x"):rep(600)))
      res:write(("x"):rep(500))
    end)
    app:get("/short", function(_, res)
      res.headers:set("Content-Type", "text/plain")
      res:header("Content-Length", 2000)
      res:write(("x"):rep(1500))
    end)
    local url = ("http://127.0.0.1:%d"):format(server:port())
    assert.are.equal(("x"):rep(2000), assert(hv.http.get(url .. "/long")).body)
    assert.are.equal("ELIMIT", code)
    assert.is_nil((hv.http.get(url .. "/short")))
  end)

  it("compresses files that a handler sends, and what a proxy passes on", function()
    local dir = assert(hv.fs.tmpdir())
    assert(hv.fs.write(dir .. "/a.txt", long))
    assert(hv.fs.write(dir .. "/b.bin", long))
    local back = hv.http.app()
    back:get("/text", function() return text end)
    local upstream = assert(back:listen { host = "127.0.0.1", port = 0 })
    app:use(mw.compress())
    app:get("/file", function() return { file = dir .. "/a.txt" } end)
    app:get("/binary", function() return { file = dir .. "/b.bin" } end)
    app:static("/dir", dir)
    app:proxy("/back", "http://127.0.0.1:" .. upstream:port())
    for target, body in pairs { ["/file"] = long, ["/dir/a.txt"] = long, ["/back/text"] = text } do
      local reply = ask(target, "gzip")
      assert.are.same({ 200, "gzip", "Accept-Encoding" }, facts(reply))
      assert.are.equal(body, assert(hv.http.get(
        ("http://127.0.0.1:%d%s"):format(server:port(), target))).body)
    end
    assert.is_nil(ask("/binary", "gzip").headers:get("content-encoding"))
    upstream:close(0)
    hv.fs.remove(dir, { recursive = true })
  end)

  it("answers HEAD as GET, but for the length, and HTTP/1.0 without chunks", function()
    app:use(mw.compress())
    app:get("/", function() return text end)
    app:get("/stream", function(_, res)
      res.headers:set("Content-Type", "text/plain")
      res:write(text)
    end)
    local reply = ask("/", "gzip", "HEAD")
    assert.are.same({ 200, "gzip", "Accept-Encoding" }, facts(reply))
    assert.are.equal("", reply.body)
    local conn = assert(hv.tcp.connect { host = "127.0.0.1", port = server:port() })
    conn:write("GET / HTTP/1.0\r\nAccept-Encoding: gzip\r\n\r\n")
    local answer = all_of(conn)
    assert.truthy(answer:find("\r\nContent-Encoding: gzip\r\n", 1, true))
    assert.truthy(answer:find("\r\nContent-Length: ", 1, true))
    conn = assert(hv.tcp.connect { host = "127.0.0.1", port = server:port() })
    conn:write("GET /stream HTTP/1.0\r\nAccept-Encoding: gzip\r\n\r\n")
    answer = all_of(conn)
    assert.is_nil(answer:find("Content-Encoding", 1, true))
    assert.are.equal(text, answer:match("\r\n\r\n(.*)$"))
  end)

  it("goes with HTTP/2 as well", function()
    app:use(mw.compress())
    app:get("/text", function() return text end)
    app:get("/long", function() return long end)
    app:get("/stream", function(_, res)
      res.headers:set("Content-Type", "text/plain")
      for _ = 1, 3 do res:write(text) end
    end)
    local base = ("http://127.0.0.1:%d"):format(server:port())
    for target, body in pairs { ["/text"] = text, ["/long"] = long, ["/stream"] = text:rep(3) } do
      assert.is_true(body == curl("--http2-prior-knowledge", base .. target))
      assert.matches("\r\ncontent%-encoding: [bg][rz]", curl("--http2-prior-knowledge", "-I", "-X",
        "GET", base .. target, "-o", "/dev/null", "-D", "-"))
    end
  end)

  it("reads all lines of Accept-Encoding as one list (RFC 9110 section 5.3)", function()
    app:use(mw.compress())
    app:get("/", function() return text end)
    local function coding_of(...)
      local conn = assert(hv.tcp.connect { host = "127.0.0.1", port = server:port() })
      local lines = {}
      for i, value in ipairs { ... } do lines[i] = "Accept-Encoding: " .. value .. "\r\n" end
      conn:write("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n" .. table.concat(lines)
        .. "\r\n")
      return all_of(conn):match("\r\nContent%-Encoding: (%w+)\r\n")
    end
    assert.are.equal("gzip", coding_of("identity", "gzip"))
    assert.are.equal("br", coding_of("gzip;q=0.5", "", "deflate", "br"))
    assert.are.equal("gzip", coding_of("*", "br;q=0"))
    assert.are.equal("gzip", coding_of("br;q=0", "*"))
    assert.is_nil(coding_of("gzip;q=0", "gzip")) -- the first that names it counts, as in one line
    local many = {}
    for i = 1, 60 do many[i] = "x" .. i end
    many[61] = "gzip"
    assert.are.equal("gzip", coding_of(unpack(many)))
  end)

  it("stops where the client goes away", function()
    local seen = {}
    app:use(mw.compress())
    app:on_response(function(_, res) seen[#seen + 1] = res.is_complete end)
    app:get("/", function() return long end)
    local conn = assert(hv.tcp.connect { host = "127.0.0.1", port = server:port() })
    conn:write("GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: br\r\n\r\n")
    assert(conn:read())
    conn:close()
    helper.eventually(function() return #seen == 1 end)
  end)
end)
