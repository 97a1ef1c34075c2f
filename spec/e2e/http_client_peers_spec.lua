--- hv.http's requests through proxies and TLS: an HTTP proxy of this spec, the SOCKS 5 proxy of the
--- examples, servers with certificates of their own.
local certs_of = require "certs"
local helper = require "helper"
local hv = require "hv"
local nginx_of = require "nginx"

local build = os.getenv("HV_BUILD_DIR") or "build"

local certs, localhost
local keep, close_kept = helper.keeper()

setup(function()
  certs = certs_of.new()
  localhost = certs:issue("localhost", "DNS:localhost,DNS:test.example,IP:127.0.0.1")
end)

teardown(function() certs:remove() end)

after_each(close_kept)

--- A server that tells what it has been asked; with certificates where `tls` is given.
local function serve(tls)
  local app = hv.http.app()
  app:any("/*all", function(req)
    return { json = { req.method, req.target, req:header("host"),
      req:header("proxy-authorization") } }
  end)
  local server = keep(assert(app:listen { host = "127.0.0.1", port = 0,
    tls = tls and { cert = localhost.cert, key = localhost.key } or nil }))
  return server:port()
end

--- A proxy that leads every host to 127.0.0.1; heads are noted. `answer` may refuse.
local function proxy(answer)
  local heads = {}
  local server = keep(assert(hv.tcp.listen({ host = "127.0.0.1", port = 0 }, function(conn)
    while true do
      local head = conn:read_until("\r\n\r\n")
      if not head then return end
      heads[#heads + 1] = head
      local refusal = answer and answer(head)
      if refusal then return conn:write(refusal) end
      local port = head:match("^CONNECT [^ ]*:(%d+) ")
      if port then
        local up = assert(hv.tcp.connect("127.0.0.1:" .. port))
        conn:write("HTTP/1.1 200 Established\r\n\r\n")
        return conn:pipe(up)
      end
      local method, host_port, path, rest = head:match("^(%S+) http://[^:/]+:(%d+)(%S*)( .*)$")
      local up = assert(hv.tcp.connect("127.0.0.1:" .. host_port))
      up:write(method .. " " .. path .. rest)
      local reply = up:read_until("\r\n\r\n")
      local length = tonumber(reply:match("Content%-Length: (%d+)"))
      conn:write(reply .. (length > 0 and up:read(length) or ""))
      up:close()
    end
  end)))
  return "127.0.0.1:" .. server:port(), heads
end

describe("an HTTP proxy", function()
  it("gets the whole URL for http, and keeps its connection", function()
    local port = serve()
    local via, heads = proxy()
    local client = keep(hv.http.client { proxy = "http://me:word@" .. via })
    local url = ("http://test.example:%d/a?b"):format(port)
    local told = assert(client:get(url)):json()
    assert.are.same({ "GET", "/a?b", "test.example:" .. port }, { told[1], told[2], told[3] })
    assert.matches("^GET " .. url:gsub("[%.%?%-]", "%%%0") .. " HTTP/1.1\r\n", heads[1])
    assert.matches("Proxy%-Authorization: Basic " .. hv.crypto.base64("me:word") .. "\r\n",
      heads[1])
    assert(client:get(url))
    assert.are.equal(1, client:counts().opened)
    -- None, or another one, is another connection.
    assert(client:get(("http://127.0.0.1:%d/"):format(port), { proxy = false }))
    assert.are.equal(2, client:counts().opened)
  end)

  it("gives tunnels for https, whose end is verified", function()
    local port = serve("tls")
    local via, heads = proxy()
    local client = keep(hv.http.client { proxy = "http://me@" .. via, tls = { ca = certs.ca } })
    local url = ("https://test.example:%d/x"):format(port)
    local told = assert(client:get(url)):json()
    assert.are.equal("/x", told[2])
    assert.is_nil(told[4]) -- the proxy's word is not the server's
    assert(client:get(url))
    assert.are.equal(1, #heads)
    assert.matches(("^CONNECT test.example:%d HTTP/1.1\r\nHost: test.example:%d\r\n" ..
      "Proxy%%-Authorization: Basic "):format(port, port), heads[1])
    local _, message, code = client:get(("https://other.example:%d/"):format(port))
    assert.are.equal("ETLS", code)
    assert.matches("tls failure: ", message)
  end)

  it("that refuses says so", function()
    local via = proxy(function() return "HTTP/1.1 407 Sign In\r\nContent-Length: 0\r\n\r\n" end)
    local _, message, code = hv.http.get("https://test.example/", { proxy = via })
    assert.are.equal("EACCES", code)
    assert.matches("the proxy answered 407 Sign In$", message)
    via = proxy(function() return "HTTP/1.1 504 Late\r\n\r\n" end)
    assert.are.equal("ETIMEDOUT", select(3, hv.http.get("https://test.example/", { proxy = via })))
    via = proxy(function() return "nonsense\r\n\r\n" end)
    assert.are.equal("EPROTO", select(3, hv.http.get("https://test.example/", { proxy = via })))
    via = proxy(function()
      hv.sleep(5000)
      return "too late"
    end)
    assert.are.equal("ETIMEDOUT",
      select(3, hv.http.get("https://test.example/", { proxy = via, connect_timeout = 50 })))
  end)

  it("is taken from the environment only where that is asked for", function()
    local port = serve()
    local via, heads = proxy()
    local function child(host, proxy_option, no_proxy)
      local code = "print(require('hv').http.get('http://%s:%d/', { proxy = %s, timeout = 5000 }))"
      code = code:format(host, port, proxy_option)
      local result = hv.process.run { os.getenv("HVLUA") or "build/bin/hvlua", "-e", code,
        env = { http_proxy = "http://" .. via, no_proxy = no_proxy or "" } }
      return result.stdout
    end
    assert.matches("200 OK", child("test.example", '"env"'))
    assert.are.equal(1, #heads)
    assert.matches("200 OK", child("127.0.0.1", "nil"))
    assert.matches("200 OK", child("127.0.0.1", '"env"', "x.example, 127.0.0.1"))
    assert.matches("200 OK", child("127.0.0.1", '"env"', "*"))
    assert.are.equal(1, #heads)
    assert.matches("200 OK", child("127.0.0.1", '"env"', "example,127.0.0.1:1"))
    assert.are.equal(2, #heads)
  end)
end)

local socks_program = build .. "/bin/examples/socks5_proxy_server"

-- Lanes that leave the C examples out have no such proxy.
local describe_socks = hv.fs.exists(socks_program) and describe or function() end

describe_socks("a SOCKS 5 proxy", function()
  --- Starts the example; port 0 would not tell which one it is.
  local function socks(...)
    for _ = 1, 20 do
      local port = helper.free_port()
      local words = { socks_program, ... }
      words[#words + 1] = "127.0.0.1:" .. port
      local process = assert(hv.process.spawn(words))
      for _ = 1, 200 do
        local conn = hv.tcp.connect("127.0.0.1:" .. port)
        if conn then
          conn:close()
          keep { close = function()
            process:kill("term")
            process:wait()
          end }
          return "127.0.0.1:" .. port
        end
        if process:wait(10) then break end
      end
    end
    error("the proxy does not listen")
  end

  it("carries http and https", function()
    local via = socks()
    local port, tls_port = serve(), serve("tls")
    local client = keep(hv.http.client { proxy = "socks5://" .. via, tls = { ca = certs.ca } })
    for _ = 1, 2 do
      assert.are.equal("/a", assert(client:get(("http://127.0.0.1:%d/a"):format(port))):json()[2])
      local reply = assert(client:get(("https://localhost:%d/b"):format(tls_port)))
      assert.are.equal("/b", reply:json()[2])
    end
    assert.are.equal(2, client:counts().opened)
    local _, message, code = client:get("http://127.0.0.1:1/")
    assert.are.equal("ECONNREFUSED", code)
    assert.matches("the host refused the proxy", message)
  end)

  it("wants user and password", function()
    local via = socks("-u", "me", "-p", "word")
    local url = ("http://127.0.0.1:%d/a"):format(serve())
    assert.are.equal(200, assert(hv.http.get(url, { proxy = "socks5://me:word@" .. via })).status)
    assert.are.equal("EACCES", select(3, hv.http.get(url, { proxy = "socks5://me:no@" .. via })))
    assert.are.equal("EACCES", select(3, hv.http.get(url, { proxy = "socks5://" .. via })))
  end)
end)

describe("https", function()
  it("is verified, by name and by chain, unless it is told not to", function()
    local port = serve("tls")
    local function get(host, tls)
      local reply, message, code = hv.http.get(("https://%s:%d/"):format(host, port), { tls = tls })
      return reply and reply.status, code, message
    end
    assert.are.equal(200, (get("127.0.0.1", { ca = certs.ca })))
    assert.are.equal("ETLS", select(2, get("127.0.0.1")))
    assert.are.equal(200, (get("127.0.0.1", { verify = false })))
    assert.are.equal("ETLS", select(2, get("127.0.0.1", { ca = certs.ca, server_name = "other" })))
    assert.are.equal(200, (get("127.0.0.1", { ca = certs.ca, server_name = "test.example" })))
    local _, code, message = get("127.0.0.1", { ca = "/no/such/file" })
    assert.are.equal("ETLS", code)
    assert.matches("/no/such/file", message)
  end)

  it("keeps connections of equal settings, and only those", function()
    local port = serve("tls")
    local client = keep(hv.http.client {})
    local url = ("https://127.0.0.1:%d/"):format(port)
    for _ = 1, 3 do assert(client:get(url, { tls = { ca = certs.ca } })) end
    assert.are.equal(1, client:counts().opened)
    assert(client:get(url, { tls = { verify = false } }))
    assert(client:get(url, { tls = { ca = certs.ca, server_name = "localhost" } }))
    assert.are.equal(3, client:counts().opened)
    local context = assert(hv.tls.context { ca = certs.ca })
    for _ = 1, 2 do assert(client:get(url, { tls = context })) end
    assert.are.equal(4, client:counts().opened)
  end)

  it("does not take an end without a farewell for the end of a body", function()
    local server = keep(assert(hv.tcp.listen({ host = "127.0.0.1", port = 0,
      tls = { cert = localhost.cert, key = localhost.key } }, function(conn)
      conn:read_until("\r\n\r\n")
      conn:write("HTTP/1.1 200 OK\r\n\r\n" .. ("x"):rep(10000))
      conn:read()
    end)))
    local cuts = true
    local front = keep(assert(hv.tcp.listen({ host = "127.0.0.1", port = 0 }, function(conn)
      local up = assert(hv.tcp.connect("127.0.0.1:" .. server:port()))
      hv.go(function()
        for chunk in conn:chunks() do up:write(chunk) end
        up:close()
      end)
      local got = 0
      for chunk in up:chunks() do
        got = got + #chunk
        conn:write(chunk)
        if cuts and got > 10000 then break end
      end
    end)))
    local reply, message, code = hv.http.get(("https://127.0.0.1:%d/"):format(front:port()),
      { tls = { ca = certs.ca }, timeout = 5000 })
    assert.is_nil(reply)
    assert.are.equal("EOF", code)
    assert.is_string(message)
  end)

  it("tells of the connection", function()
    local port = serve("tls")
    local reply = assert(hv.http.get(("https://127.0.0.1:%d/"):format(port),
      { tls = { ca = certs.ca, alpn = { "http/1.1" } }, stream = true }))
    local facts = reply:connection()
    assert.are.equal(port, facts.peer.port)
    assert.matches("^TLSv1", facts.tls.version)
    assert.are.equal("http/1.1", facts.tls.alpn)
    assert.is_string(reply:text())
  end)
end)

describe("a pool", function()
  it("survives servers that close whenever they like", function()
    local answered = 0
    local server = keep(assert(hv.tcp.listen({ host = "127.0.0.1", port = 0 }, function(conn)
      local left = math.random(1, 4)
      while conn:read_until("\r\n\r\n") do
        left = left - 1
        if left == 0 and math.random() < 0.5 then return end -- just as the request has come
        answered = answered + 1
        conn:write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        if left == 0 then return end
      end
    end)))
    local client = keep(hv.http.client { max_connections = 8 })
    local url, failures = "http://127.0.0.1:" .. server:port(), {}
    hv.scope(function(s)
      for _ = 1, 20 do
        s:go(function()
          for _ = 1, 20 do
            local reply, message = client:get(url)
            if not reply then failures[#failures + 1] = message end
          end
        end)
      end
    end)
    -- Only a connection that has never answered may be lost with its request.
    for _, message in ipairs(failures) do assert.matches("without a response", message) end
    assert.is_true(client:counts().repeated > 0)
    assert.are.equal(400, answered + #failures)
  end)

  it("loses no request to an nginx that closes what rests", function()
    local nginx = nginx_of.start [[
      server {
        listen unix:@/http;
        keepalive_timeout 3ms;
        keepalive_requests 7;
        location / { return 200 "ok"; }
      }
    ]]
    local client = keep(hv.http.client { unix_socket = nginx.dir .. "/http", max_connections = 4 })
    local failures = {}
    hv.scope(function(s)
      for _ = 1, 8 do
        s:go(function()
          for i = 1, 60 do
            local reply, message = client:get("http://nginx/")
            if not reply or reply.body ~= "ok" then failures[#failures + 1] = message or "?" end
            if i % 2 == 0 then hv.sleep(math.random(2, 4)) end -- about when nginx closes
          end
        end)
      end
    end)
    assert.are.same({}, failures)
    assert.is_true(client:counts().opened > 4)
    nginx:stop()
  end)

  it("leaves nothing behind", function()
    local before = helper.active()
    local port = serve()
    local client = hv.http.client {}
    for _ = 1, 50 do assert(client:get("http://127.0.0.1:" .. port .. "/")) end
    local reply = assert(client:get("http://127.0.0.1:" .. port .. "/", { stream = true }))
    assert.is_string(tostring(reply))
    client:close()
    close_kept()
    helper.nothing_left(before)
  end)
end)
