--- nginx on both sides of our gateway and compression: as an upstream that compresses, fails and
--- serves files, and in front of an app that compresses and streams.
local hv = require "hv"
local nginx_of = require "nginx"
local raw_http = require "raw_http"

local mw = hv.http.middleware
local text = ("the same line again and again\n"):rep(400)

local nginx, server, front_dir

setup(function()
  local app = hv.http.app()
  app:use(mw.compress { br = false }, mw.etag())
  app:get("/text", function() return text end)
  app:get("/stream", function(_, res)
    res.headers:set("Content-Type", "text/plain")
    res.headers:set("X-Accel-Buffering", "no")
    for i = 1, 3 do
      res:write("piece " .. i .. "\n")
      hv.sleep(5)
    end
  end)
  front_dir = assert(hv.fs.tmpdir())
  server = assert(app:listen { path = front_dir .. "/app" })
  nginx = nginx_of.start(([[
    server {
        listen unix:@/front;
        gunzip on;
        location / {
            proxy_http_version 1.1;
            proxy_set_header Accept-Encoding gzip;
            proxy_pass http://unix:%s/app;
        }
    }
    server {
        listen unix:@/back;
        root @;
        gzip on;
        gzip_types text/plain;
        gzip_min_length 10;
        gzip_proxied any;
        location /busy { return 503; }
        location / { types { text/plain conf; } default_type text/plain; }
    }]]):format(front_dir))
end)

teardown(function()
  server:close(0)
  nginx:stop()
  hv.fs.remove(front_dir, { recursive = true })
end)

--- The reply to a GET at a unix socket, decoded where it is compressed.
local function get(path, target, headers)
  return assert(hv.http.get("http://there" .. target, { unix_socket = path, headers = headers }))
end

describe("nginx", function()
  it("unpacks what an app behind it has compressed", function()
    -- Of a client that takes no coding: gunzip has to read our stream.
    local reply = assert(hv.http.get("http://there/text", { unix_socket = nginx.dir .. "/front",
      decompress = false, headers = { ["Accept-Encoding"] = "identity" } }))
    assert.is_nil(reply.headers:get("content-encoding"))
    assert.is_true(text == reply.body)
    reply = assert(hv.http.get("http://there/stream", { unix_socket = nginx.dir .. "/front",
      decompress = false, headers = { ["Accept-Encoding"] = "identity" } }))
    assert.are.equal("piece 1\npiece 2\npiece 3\n", reply.body)
  end)

  it("passes it on as it is, with conditions that are answered by 304", function()
    local reply = assert(hv.http.get("http://there/text", { unix_socket = nginx.dir .. "/front",
      decompress = false, headers = { ["Accept-Encoding"] = "gzip" } }))
    assert.are.equal("gzip", reply.headers:get("content-encoding"))
    local etag = reply.headers:get("etag")
    assert.matches('^W/"%x+"$', etag)
    assert.are.equal(304, get(nginx.dir .. "/front", "/text", { ["If-None-Match"] = etag }).status)
  end)

  it("is an upstream by its socket, whose compression is not done again", function()
    local app = hv.http.app()
    app:use(mw.compress { min = 10 })
    app:proxy("/", { url = "http://there", path = nginx.dir .. "/back" }, {
      request_headers = { Host = "there" }, response_headers = { Server = false } })
    local front = assert(app:listen { host = "127.0.0.1", port = 0 })
    local conf = assert(hv.fs.read(nginx.dir .. "/conf"))
    for _, coding in ipairs { "gzip", "br" } do -- nginx has only one of them
      local reply = assert(hv.http.get(("http://127.0.0.1:%d/conf"):format(front:port()),
        { decompress = false, headers = { ["Accept-Encoding"] = coding } }))
      assert.are.equal(coding, reply.headers:get("content-encoding"))
      assert.is_nil(reply.headers:get("server"))
      assert.is_true(#reply.body < #conf / 1.5)
      assert.is_true(conf == assert(hv.http.get(("http://127.0.0.1:%d/conf"):format(front:port())))
        .body)
    end
    local answer = raw_http.exchange(front, "GET", "/conf", { Range = "bytes=0-3",
      ["Accept-Encoding"] = "br" }) -- a part stays as it is
    assert.are.same({ 206, conf:sub(1, 4) }, { answer.status, answer.body })
    front:close(0)
  end)

  it("that says 503 has another one asked", function()
    local good = hv.http.app()
    good:any("/*rest", function() return "good" end)
    local other = assert(good:listen { host = "127.0.0.1", port = 0 })
    local app = hv.http.app()
    app:proxy("/", { { url = "http://there", path = nginx.dir .. "/back" },
      { url = "http://127.0.0.1:" .. other:port(), backup = true } }, { retry_on = { 503 } })
    local front = assert(app:listen { host = "127.0.0.1", port = 0 })
    assert.are.equal("good", raw_http.exchange(front, "GET", "/busy").body)
    assert.are.equal(503, raw_http.exchange(front, "POST", "/busy", nil, "x").status)
    front:close(0)
    other:close(0)
  end)
end)
