--- hv.http requests over HTTP/2 against servers that others have written, node and nginx, and
--- against our own: over TLS as ALPN has it, in the clear, and through proxies.
local certs_of = require "certs"
local h2_peer = require "h2_peer"
local helper = require "helper"
local hv = require "hv"
local nginx_of = require "nginx"

local certs, localhost, client

setup(function()
  certs = certs_of.new()
  localhost = certs:issue("localhost", "DNS:localhost,IP:127.0.0.1")
end)

teardown(function() certs:remove() end)

before_each(function() client = assert(hv.http.client { tls = { ca = certs.ca } }) end)

after_each(function() client:close() end)

describe("node's server of HTTP/2", function()
  local node, secure, clear
  local prior = { http2 = "prior_knowledge" }

  setup(function()
    node = assert(hv.process.spawn { "node", "spec/support/http2_server.js", localhost.cert,
      localhost.key, stdin = "pipe", stdout = "pipe" })
    local one, other = assert(node.stdout:read_line()):match "^(%d+) (%d+)"
    secure, clear = "https://localhost:" .. one, "http://127.0.0.1:" .. other
  end)

  teardown(function()
    node.stdin:close()
    node:wait()
  end)

  it("is spoken to as ALPN and the options have it", function()
    assert.are.equal("2", assert(client:get(secure .. "/echo")).version)
    local reply = assert(client:get(secure .. "/echo", { http2 = false }))
    assert.are.same({ "1.1", "by HTTP/1.1" }, { reply.version, reply.body })
    reply = assert(client:get(secure .. "/echo", { tls = { ca = certs.ca,
      alpn = { "http/1.1" } } }))
    assert.are.equal("1.1", reply.version)
    assert.are.equal("2", assert(client:get(secure .. "/echo", prior)).version)
    assert.are.equal("2", assert(client:get(clear .. "/echo", prior)).version)
    assert.are.equal("h2", assert(client:get(secure .. "/slow", { stream = true }))
      :connection().tls.alpn)
    assert.is_truthy(tostring(select(2, pcall(client.get, client, secure, { http2 = 2 })))
      :find('http2 must be true, false or "prior_knowledge", got 2', 1, true))
  end)

  it("gets the fields of a request", function()
    local reply = assert(client:get(secure .. "/headers?a=b", { headers = { ["X-One"] = "1",
      ["Keep-Alive"] = "5" }, cookies = false }))
    local fields = reply:json()
    assert.are.same({ "GET", "https", "/headers?a=b", secure:sub(9), "1" }, { fields[":method"],
      fields[":scheme"], fields[":path"], fields[":authority"], fields["x-one"] })
    assert.is_nil(fields["keep-alive"])
    assert.is_nil(fields.host)
  end)

  it("answers all over one connection, or as many as its limit says", function()
    for _, result in ipairs(helper.at_once(20, function(i)
      return client:post(secure .. "/echo", "number " .. i)
    end)) do
      assert.matches("^number %d+$", assert(result[1]).body)
    end
    assert.are.equal(1, client:counts().opened)
    local slow = helper.at_once(100, function() return client:get(secure .. "/slow") end)
    for _, result in ipairs(slow) do
      assert.matches("piece 5\n$", assert(result[1]).body)
    end
    assert.is_true(client:counts().opened <= 5)
  end)

  it("takes and sends bodies through windows of any size", function()
    local body = ("0123456789"):rep(30000)
    local reply = assert(client:post(secure .. "/echo", body))
    assert.is_true(reply.body == body)
    reply = assert(client:post(clear .. "/echo", body:sub(1, 3000), prior)) -- 16 bytes at a time
    assert.is_true(reply.body == body:sub(1, 3000))
    assert.are.equal(5000000, #assert(client:get(secure .. "/big?5000000")).body)
    local bytes = 0
    reply = assert(client:get(secure .. "/big?3000000", { stream = true }))
    for piece in reply:chunks() do
      bytes = bytes + #piece
      if bytes % 7 == 0 then hv.sleep(1) end
    end
    assert.are.same({ 3000000, true }, { bytes, reply.is_complete })
  end)

  it("sends 1xx and trailers, and may answer before it has the body", function()
    assert.are.equal("after 103", assert(client:get(secure .. "/interim")).body)
    local body = ("x"):rep(2000000)
    assert.are.equal("2000000", assert(client:post(secure .. "/expect", body)).body)
    assert.are.equal(413, assert(client:post(secure .. "/early", body)).status)
    assert.are.equal("after 103", assert(client:get(secure .. "/interim")).body)
    assert.are.equal(1, client:counts().opened)
  end)

  it("resets requests, each by itself", function()
    local slow = assert(client:get(secure .. "/slow", { stream = true }))
    local codes = {}
    for _, reason in ipairs { 1, 2, 8, 11 } do
      codes[#codes + 1] = select(3, client:get(secure .. "/reset?" .. reason))
    end
    assert.are.same({ "EPROTO", "EFAILED", "ECONNRESET", "ELIMIT" }, codes)
    assert.are.equal(5, select(2, assert(slow:text()):gsub("piece", "")))
    assert.are.equal(1, client:counts().opened)
  end)

  it("refuses requests, and goes away, without harm", function()
    assert.are.equal("after all", assert(client:post(secure .. "/refused", "x")).body)
    assert.are.equal(2, client:counts().repeated)
    local results = helper.at_once(4, function(i)
      return client:get(secure .. (i == 1 and "/goaway" or "/slow"))
    end)
    assert.are.equal("the last", assert(results[1][1]).body)
    for i = 2, 4 do assert.matches("piece 5", assert(results[i][1], results[i][2]).body) end
    assert.are.equal(2, client:counts().opened)
    local reply, message, code = client:post(secure .. "/destroy", "x")
    assert.is_nil(reply)
    assert.is_true(code == "EOF" or code == "ECONNRESET", message)
    assert.are.equal(200, assert(client:get(secure .. "/slow")).status)
  end)

  it("is reached through proxies as before", function()
    local server = assert(hv.tcp.listen({ host = "127.0.0.1", port = 0 }, function(conn)
      local port = assert(conn:read_until "\r\n\r\n"):match "^CONNECT [^ ]*:(%d+) "
      local up = assert(hv.tcp.connect("127.0.0.1:" .. port))
      conn:write "HTTP/1.1 200 Established\r\n\r\n"
      return conn:pipe(up)
    end))
    local via = { proxy = "http://127.0.0.1:" .. server:port() }
    local slow = helper.at_once(5, function() return client:get(secure .. "/slow", via) end)
    for _, result in ipairs(slow) do
      assert.are.equal("2", assert(result[1], result[2]).version)
    end
    assert.are.equal(1, client:counts().opened)
    via.http2 = "prior_knowledge"
    assert.are.equal("2", assert(client:get(clear .. "/slow", via)).version)
    server:close()
  end)
end)

describe("nginx's HTTP/2", function()
  local nginx

  teardown(function() nginx:stop() end)

  it("is spoken to over TLS and in the clear, to a unix socket", function()
    nginx = nginx_of.start(([[
      server {
        listen unix:@/tls ssl http2;
        ssl_certificate %s;
        ssl_certificate_key %s;
        keepalive_requests 50;
        location / { return 200 "$server_protocol $request_method\n"; }
        location /file { alias @/conf; }
        location /up { client_max_body_size 10m; proxy_pass http://unix:@/back; }
      }
      server { listen unix:@/clear http2; location / { return 200 "$server_protocol\n"; } }
      server {
        listen unix:@/back;
        client_max_body_size 10m;
        location / { return 200 "$content_length\n"; }
      }
    ]]):format(localhost.cert, localhost.key))
    local function get(path, socket, opts)
      opts = opts or {}
      opts.url, opts.unix_socket = path, nginx.dir .. socket
      opts.http2 = socket ~= "/clear" or "prior_knowledge"
      return client:request(opts)
    end
    assert.are.equal("HTTP/2.0 GET\n", assert(get("https://localhost/", "/tls")).body)
    assert.are.equal("HTTP/2.0\n", assert(get("http://localhost/", "/clear")).body)
    assert.are.equal(#hv.fs.read(nginx.dir .. "/conf"), #assert(get("https://localhost/file",
      "/tls")).body)
    assert.are.equal("3000000\n", assert(get("https://localhost/up", "/tls", {
      method = "POST", body = ("x"):rep(3000000) })).body)
    -- It goes away after 50 requests, whatever is under way.
    local results = helper.at_once(200, function() return get("https://localhost/", "/tls") end)
    for _, result in ipairs(results) do
      assert.are.equal("HTTP/2.0 GET\n", assert(result[1], result[2]).body)
    end
    assert.is_nil(nginx:errors():find "%[error%]")
  end)
end)

describe("our own HTTP/2", function()
  local app, server, url

  setup(function()
    app = hv.http.app()
    app:any("/echo", function(req) return req:body() end)
    app:get("/version", function(req) return req.version end)
    app:get("/stream", function(_, res)
      for _ = 1, 100 do res:write(("x"):rep(10000)) end
    end)
    server = assert(app:listen { host = "127.0.0.1", port = 0,
      tls = { cert = localhost.cert, key = localhost.key } })
    url = "https://localhost:" .. server:port()
  end)

  teardown(function() server:close() end)

  it("answers a thousand requests at once", function()
    local count = 0
    for _, result in ipairs(helper.at_once(1000, function(i)
      return client:post(url .. "/echo", tostring(i))
    end)) do
      count = count + tonumber(assert(result[1], result[2]).body)
    end
    assert.are.equal(500500, count)
    assert.is_true(client:counts().opened <= 8)
  end)

  it("streams to many who read at their own pace", function()
    local results = helper.at_once(10, function(i)
      local reply = assert(client:get(url .. "/stream", { stream = true }))
      local bytes = 0
      for piece in reply:chunks() do
        bytes = bytes + #piece
        if i % 3 == 0 and bytes % 5 == 0 then hv.sleep(1) end
      end
      return bytes
    end)
    for _, result in ipairs(results) do assert.are.equal(1000000, result[1]) end
    assert.are.equal(1, client:counts().opened)
  end)

  it("stands behind a gateway", function()
    local front = hv.http.app()
    front:proxy("/", url, { verify = false })
    local gate = assert(front:listen { host = "127.0.0.1", port = 0 })
    local reply = assert(client:post("http://127.0.0.1:" .. gate:port() .. "/echo", "through"))
    assert.are.equal("through", reply.body)
    reply = assert(client:get("http://127.0.0.1:" .. gate:port() .. "/version"))
    assert.are.equal("2", reply.body)
    gate:close()
  end)

end)

describe("a server that offers HTTP/2 and says nothing", function()
  it("takes the time of a request, not more", function()
    local server = assert(hv.tcp.listen({ host = "127.0.0.1", port = 0,
      tls = { cert = localhost.cert, key = localhost.key, alpn = { "h2" } } }, function(conn)
      local peer = h2_peer.peer(conn)
      peer:next "never"
    end))
    local results = helper.at_once(3, function()
      return client:get("https://localhost:" .. server:port(), { timeout = 50 })
    end)
    for _, result in ipairs(results) do assert.are.equal("ETIMEDOUT", result[3]) end
    assert.are.equal(1, client:counts().opened)
    server:close()
  end)
end)
