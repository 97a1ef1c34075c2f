--- HTTP/2 on the side of the server (RFC 9113): the same app answers as over HTTP/1.1, seen by
--- curl, by nghttp and by frames.
local certs_of = require "certs"
local frames = require "h2_frames"
local helper = require "helper"
local hv = require "hv"

local dir, certs, app, server, secure
local big = ("0123456789abcdef"):rep(65536) -- 1 MiB, more than any window

local function curl_of(flags, base)
  return function(path, ...)
    local words = { "curl", "-sS", "--noproxy", "*", "--max-time", "20", unpack(flags) }
    for _, word in ipairs { ... } do words[#words + 1] = word end
    words[#words + 1] = base() .. path
    words.max_output = 16777216
    local result = assert(hv.process.run(words))
    assert.equal(0, result.status, result.stderr)
    return result.stdout
  end
end

local function add_routes()
  app:get("/hello", function() return "hello\n" end)
  app:get("/facts", function(req)
    return { json = { req.version, req.method, req.path, req.query.a, req.host, req.scheme,
      req:header("host"), req:header("cookie") } }
  end)
  app:get("/later", function() hv.sleep(5) return "later" end)
  app:get("/big", function() return big end)
  app:post("/echo", function(req, res) res:send(assert(req:body())) end)
  app:post("/count", function(req)
    local bytes = 0
    for piece in function() return req:read() end do bytes = bytes + #piece end
    return ("%d"):format(bytes)
  end)
  app:post("/ignore", function() return "not read" end)
  app:get("/events", function(_, res)
    local events = res:sse()
    for i = 1, 3 do
      events:send(i)
      hv.sleep(1)
    end
  end)
  app:get("/stream", function()
    return { stream = function(write)
      for _ = 1, 64 do write(big:sub(1, 16384)) end
    end }
  end)
  app:get("/empty", function() return 204 end)
  app:static("/files", dir)
  app:post("/form", function(req)
    local form = assert(req:form())
    return { json = { form.name, form.file.filename, #form.file.body } }
  end)
  local squeezed = app:group("/squeezed")
  squeezed:use(hv.http.middleware.compress())
  squeezed:get("/text", function() return big end)
  app:get("/gone", function(_, res)
    res:write("half")
    error("in the middle")
  end)
end

setup(function()
  dir = assert(hv.fs.tmpdir())
  certs = certs_of.new()
  assert(hv.fs.write(dir .. "/small.txt", "small\n"))
  assert(hv.fs.write(dir .. "/big.bin", big))
  app = hv.http.app()
  add_routes()
  server = assert(app:listen { host = "127.0.0.1", port = 0 })
  local mine = certs:issue("localhost", "DNS:localhost,IP:127.0.0.1")
  secure = assert(app:listen { host = "127.0.0.1", port = 0,
    tls = hv.tls.context { cert = mine.cert, key = mine.key } })
end)

teardown(function()
  server:close(0)
  secure:close(0)
  hv.fs.remove(dir, { recursive = true })
  certs:remove()
end)

local ways = {
  ["prior knowledge"] = function()
    return curl_of({ "--http2-prior-knowledge" },
      function() return "http://127.0.0.1:" .. server:port() end)
  end,
  ["TLS"] = function()
    return curl_of({ "--http2", "--cacert", certs.ca },
      function() return "https://127.0.0.1:" .. secure:port() end)
  end,
}

for way, make in pairs(ways) do
  describe("HTTP/2 by " .. way, function()
    local curl
    setup(function() curl = make() end)

    it("is what a request says", function()
      local port = way == "TLS" and secure:port() or server:port()
      local host = "127.0.0.1:" .. port
      local facts = hv.json.decode(curl("/facts?a=b%20c", "-H", "cookie: a=1; b=2"))
      assert.are.same({ "2", "GET", "/facts", "b c", host, way == "TLS" and "https" or "http", host,
        "a=1; b=2" }, facts)
      assert.equal("hello\n2", curl("/hello", "-w", "%{http_version}"))
    end)

    it("answers now and later, and with nothing", function()
      assert.equal("later", curl("/later"))
      assert.equal("204", curl("/empty", "-w", "%{http_code}"))
      assert.equal("404 Not Found\n", curl("/nowhere"))
      assert.matches("^HTTP/2 200 \r\n.*content%-length: 6\r\n", curl("/hello", "-I"))
    end)

    it("sends more than the windows let through", function()
      assert.equal(big, curl("/big"))
      assert.equal(#big, #curl("/stream"))
      assert.equal("id", curl("/events"):match("data: 1\n\ndata: 2\n\ndata: 3\n\n") and "id")
    end)

    it("sends files, parts of them, and compressed", function()
      assert.equal("small\n", curl("/files/small.txt"))
      assert.equal(big, curl("/files/big.bin"))
      assert.equal(big:sub(100001, 200000), curl("/files/big.bin", "-r", "100000-199999"))
      assert.equal("small\n", curl("/files/small.txt", "--compressed"))
    end)

    it("takes bodies, as a whole and in pieces", function()
      assert.equal(big, curl("/echo", "--data-binary", "@" .. dir .. "/big.bin"))
      assert.equal(tostring(#big), curl("/count", "--data-binary", "@" .. dir .. "/big.bin"))
      assert.equal(tostring(#big), curl("/count", "-X", "POST", "-T", dir .. "/big.bin",
        "-H", "expect: 100-continue"))
      assert.equal("", curl("/echo", "-X", "POST"))
    end)

    it("takes forms, and compresses what programs say", function()
      assert.are.same({ "ann", "big.bin", #big }, hv.json.decode(curl("/form", "-F", "name=ann",
        "-F", "file=@" .. dir .. "/big.bin")))
      assert.equal(big, curl("/squeezed/text", "--compressed"))
      assert.matches("\r\ncontent%-encoding: gzip\r\n", curl("/squeezed/text", "-H",
        "accept-encoding: gzip", "-o", "/dev/null", "-D", "-"))
    end)

    it("answers before a body has come that nobody reads", function()
      assert.equal("not read", curl("/ignore", "--data-binary", "@" .. dir .. "/small.txt"))
    end)
  end)
end

describe("HTTP/2", function()
  it("is left alone where a TLS client does not offer it, or the app does not", function()
    local base = "https://127.0.0.1:" .. secure:port()
    local curl = curl_of({ "--http1.1", "--cacert", certs.ca }, function() return base end)
    assert.equal("hello\n1.1", curl("/hello", "-w", "%{http_version}"))
    for value, expected in pairs { [false] = "1.1", tls = "2" } do
      local other = hv.http.app { http2 = value }
      other:get("/", function() return "x" end)
      local mine = certs:issue("localhost", "IP:127.0.0.1")
      local tls = assert(other:listen { host = "127.0.0.1", port = 0, tls = mine })
      local plain = assert(other:listen { host = "127.0.0.1", port = 0 })
      local get = curl_of({ "--http2", "--cacert", certs.ca },
        function() return "https://127.0.0.1:" .. tls:port() end)
      assert.equal("x" .. expected, get("/", "-w", "%{http_version}"))
      local client = frames.open(plain)
      client:send(frames.PREFACE)
      assert.matches("^HTTP/1.1 505 ", client.conn:read_line())
      client:close()
      tls:close(0)
      plain:close(0)
    end
    assert.has_error(function() hv.http.app { http2 = "clear" } end,
      'hv.http.app: http2 must be true, false or "tls", got clear')
  end)

  it("answers many requests of a connection at once, and out of order", function()
    local client = frames.connect(server)
    client:request(1, "GET", "/later")
    client:request(3, "GET", "/hello")
    assert.equal("hello\n", client:answer(3).body)
    assert.equal("later", client:answer(1).body)
    client:close()
  end)

  it("takes what an answer leaves of a body, or asks the peer to stop", function()
    local client = frames.connect(server)
    client:request(1, "POST", "/ignore", { "content-length", "100" }, true)
    assert.equal("not read", client:answer(1).body)
    client:frame(frames.DATA, frames.END_STREAM, 1, ("x"):rep(100))
    client:request(3, "POST", "/ignore", { "content-length", "2000000" }, true)
    assert.equal("not read", client:answer(3).body)
    assert.equal(frames.codes.NO_ERROR, client:expect(frames.RST_STREAM).code)
    client:request(5, "GET", "/hello")
    assert.equal("hello\n", client:answer(5).body)
    client:close()
    local url = ("http://127.0.0.1:%d/ignore"):format(server:port())
    local result = assert(hv.process.run { "nghttp", "-d", dir .. "/big.bin", url })
    assert.are.same({ 0, "not read" }, { result.status, result.stdout })
  end)

  it("is passed on to servers of HTTP/1.1, and answers what they say", function()
    local front_app = hv.http.app { max_body = "8M" }
    front_app:proxy("/", ("http://127.0.0.1:%d"):format(server:port()))
    local front = assert(front_app:listen { host = "127.0.0.1", port = 0 })
    local curl = curl_of({ "--http2-prior-knowledge" },
      function() return "http://127.0.0.1:" .. front:port() end)
    assert.equal("1.1", hv.json.decode(curl("/facts"))[1])
    assert.equal(big, curl("/echo", "--data-binary", "@" .. dir .. "/big.bin"))
    assert.equal(big, curl("/files/big.bin"))
    assert.equal(#big, #curl("/stream"))
    assert.equal("404 Not Found\n", curl("/nowhere"))
    front:close(0)
  end)

  it("resets a stream whose handler fails in the middle, and only that", function()
    local client = frames.connect(server)
    client:request(1, "GET", "/later")
    client:request(3, "GET", "/gone")
    local errors = require("raw_http").errors_of(function()
      local answer = client:answer(3)
      assert.are.same({ 200, "half", frames.codes.INTERNAL_ERROR },
        { answer.status, answer.body, answer.reset })
    end)
    assert.equal(1, #errors)
    assert.equal("later", client:answer(1).body)
    client:close()
  end)

  it("is understood at every place where bytes may be parted", function()
    local text = frames.PREFACE .. frames.frame(frames.SETTINGS, 0, 0)
      .. frames.frame(frames.HEADERS, frames.END_HEADERS, 1,
        frames.block(frames.fields("POST", "/echo")))
      .. frames.frame(frames.DATA, 0, 1, "hel")
      .. frames.frame(frames.DATA, frames.END_STREAM + frames.PADDED, 1, "\2lo\0\0")
    local before = helper.active()
    for at = 1, #text - 1 do
      local client = frames.open(server)
      client:send(text:sub(1, at))
      hv.sleep(0)
      client:send(text:sub(at + 1))
      assert.equal("hello", client:answer(1).body, at)
      client:close()
    end
    helper.nothing_left(before)
  end)

  it("stands behind observers and access logs as any other", function()
    local lines, seen = {}, {}
    local other = hv.http.app()
    other:use(hv.http.middleware.logger { write = function(line) lines[#lines + 1] = line end })
    other:on_response(function(req, res)
      seen[#seen + 1] = { req.version, res.status, res.bytes, res.is_complete }
    end)
    other:get("/", function() return "logged" end)
    local logged = assert(other:listen { host = "127.0.0.1", port = 0 })
    local client = frames.connect(logged)
    client:request(1, "GET", "/")
    assert.equal("logged", client:answer(1).body)
    helper.eventually(function() return #lines == 1 end)
    assert.matches('"GET / HTTP/2" 200 6', lines[1])
    assert.are.same({ { "2", 200, 6, true } }, seen)
    client:close()
    logged:close(0)
  end)
end)
