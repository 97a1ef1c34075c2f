--- Clients of HTTP and of WebSocket through proxies: hvlua's own forward proxy with and without TLS
--- (curl goes through it as well), and the SOCKS 5 proxy of the examples.
local certs_of = require "certs"
local helper = require "helper"
local hv = require "hv"

local build = os.getenv("HV_BUILD_DIR") or "build"

local certs, localhost
local keep, close_kept = helper.keeper()

setup(function()
  certs = certs_of.new()
  localhost = certs:issue("localhost", "DNS:localhost,IP:127.0.0.1")
end)

teardown(function() certs:remove() end)

after_each(function()
  close_kept()
  hv.sleep(1)
end)

local function listen(app, is_secure)
  return keep(assert(app:listen { host = "127.0.0.1", port = 0,
    tls = is_secure and { cert = localhost.cert, key = localhost.key } or nil })):port()
end

--- A server that echoes by WebSocket, and tells what it was asked.
local function serve(is_secure)
  local app = hv.http.app { max_body = "64M" }
  app:ws("/ws", function(ws) for data, kind in ws:messages() do ws:send(data, kind) end end)
  app:any("/*all", function(req)
    return { json = { req.method, req.target, #(req:body() or "") } }
  end)
  return listen(app, is_secure)
end

--- A proxy, with what it was asked for.
local function proxy(is_secure, users, ports)
  local seen = {}
  local app = hv.http.app { max_body = "64M" }
  app:not_found(hv.http.forward_proxy { users = users, connect_ports = ports,
    allow = function(host, port, req)
      seen[#seen + 1] = ("%s %s:%d %s"):format(req.method, host, port, req.scheme)
      return true
    end })
  local port = listen(app, is_secure)
  return ("http%s://%%slocalhost:%d"):format(is_secure and "s" or "", port), seen
end

describe("a proxy spoken to by TLS", function()
  it("gets whole URLs for http, and keeps its connection", function()
    local port = serve()
    local via, seen = proxy(true, { me = "word" }, { port })
    local client = keep(hv.http.client { proxy = via:format("me:word@"),
      proxy_tls = { ca = certs.ca } })
    for _ = 1, 2 do
      local reply = assert(client:post(("http://127.0.0.1:%d/a?b"):format(port),
        { body = ("x"):rep(100000) }))
      assert.are.same({ "POST", "/a?b", 100000 }, reply:json())
    end
    assert.are.equal(1, client:counts().opened)
    assert.are.equal(("POST 127.0.0.1:%d https"):format(port), seen[1])
  end)

  it("gives tunnels for https: TLS inside of TLS, each verified for itself", function()
    local port = serve(true)
    local via, seen = proxy(true, { me = "word" }, { port })
    local url = ("https://127.0.0.1:%d/big"):format(port)
    local client = keep(hv.http.client { proxy = via:format("me:word@"),
      proxy_tls = { ca = certs.ca }, tls = { ca = certs.ca } })
    local body = ("0123456789"):rep(300000)
    for _ = 1, 2 do
      local reply = assert(client:post(url, { body = body }))
      assert.are.same({ "POST", "/big", #body }, reply:json())
    end
    assert.are.same({ ("CONNECT 127.0.0.1:%d https"):format(port) }, seen)
    -- What is not trusted is told, of either.
    local _, message, code = hv.http.get(url, { proxy = via:format("me:word@"),
      tls = { ca = certs.ca } })
    assert.are.equal("ETLS", code, message)
    _, message, code = hv.http.get(url, { proxy = via:format("me:word@"),
      proxy_tls = { ca = certs.ca } })
    assert.are.equal("ETLS", code, message)
    _, _, code = hv.http.get(url, { proxy = via:format("me:wrong@"),
      proxy_tls = { ca = certs.ca }, tls = { ca = certs.ca } })
    assert.are.equal("EACCES", code)
  end)

  it("is as good as what curl does with it", function()
    local port = serve(true)
    local via = proxy(true, { me = "word" }, { port })
    local result = assert(hv.process.run { "curl", "-s", "-m", "30", "-x", via:format("me:word@"),
      "--proxy-cacert", certs.ca, "--cacert", certs.ca, ("https://127.0.0.1:%d/c"):format(port) })
    assert.are.same({ "GET", "/c", 0 }, hv.json.decode(result.stdout))
    result = assert(hv.process.run { os.getenv("HVLUA") or "build/bin/hvlua", "examples/curl.lua",
      "-s", "-x", via:format("me:word@"), "--proxy-cacert", certs.ca, "--cacert", certs.ca,
      ("https://127.0.0.1:%d/c"):format(port) })
    assert.are.same({ "GET", "/c", 0 }, hv.json.decode(result.stdout))
  end)

  it("that goes away ends what is under way", function()
    local tunnel
    local gone = keep(assert(hv.tcp.listen({ host = "127.0.0.1", port = 0,
      tls = { cert = localhost.cert, key = localhost.key } }, function(conn)
        conn:read_until("\r\n\r\n")
        conn:write("HTTP/1.1 200 OK\r\n\r\n")
        tunnel = true
        conn:read() -- the hello of what should be inside
      end)))
    local _, _, code = hv.http.get("https://127.0.0.1:1/", { tls = { ca = certs.ca },
      proxy = "https://localhost:" .. gone:port(), proxy_tls = { ca = certs.ca } })
    assert.is_true(tunnel)
    assert.are.equal("ETLS", code)
  end)
end)

describe("WebSockets", function()
  local function check(url, options)
    local ws, message = hv.ws.connect(url, options)
    assert(ws, message)
    for _, text in ipairs { "hello", ("long "):rep(50000) } do
      assert(ws:send(text))
      assert.is_true(text == ws:receive())
    end
    ws:close()
  end

  it("go through proxies of both kinds, in the clear and by TLS", function()
    for _, is_secure in ipairs { false, true } do
      local port = serve(is_secure)
      local url = ("ws%s://127.0.0.1:%d/ws"):format(is_secure and "s" or "", port)
      for _, by_tls in ipairs { false, true } do
        local via, seen = proxy(by_tls, { me = "word" }, { port })
        check(url, { proxy = via:format("me:word@"), proxy_tls = { ca = certs.ca },
          tls = is_secure and { ca = certs.ca } or nil })
        assert.are.same({ ("CONNECT 127.0.0.1:%d http%s"):format(port, by_tls and "s" or "") },
          seen)
      end
    end
  end)

  it("are told why a proxy does not let them through", function()
    local port = serve()
    local via = proxy(false, { me = "word" }, { port })
    local url = ("ws://127.0.0.1:%d/ws"):format(port)
    local ws, message, code = hv.ws.connect(url, { proxy = via:format("") })
    assert.are.same({ nil, ("connect %s: the proxy answered 407 Proxy Authentication Required")
      :format(url), "EACCES" }, { ws, message, code })
    assert.are.equal("ECONNREFUSED", select(3, hv.ws.connect(url,
      { proxy = "socks5://127.0.0.1:" .. helper.free_port() })))
    local silent = keep(assert(hv.tcp.listen({ host = "127.0.0.1", port = 0 }, function(conn)
      conn:read()
      hv.sleep(60000)
    end)))
    assert.are.equal("ETIMEDOUT", select(3, hv.ws.connect(url, { timeout = 50,
      proxy = "http://127.0.0.1:" .. silent:port() })))
    assert.has_error(function() hv.ws.connect(url, { proxy = "ftp://a" }) end)
  end)

  it("heed the environment where that is asked for", function()
    local port = serve()
    local via, seen = proxy(false, nil, { port })
    local code = ("local hv = require 'hv' local url = 'ws://127.0.0.1:%d/ws' local ws = " ..
      "assert(hv.ws.connect(url, { proxy = 'env' })) ws:send('x') print(ws:receive()) ws:close()")
      :format(port)
    for _, case in ipairs { { "", 1 }, { "127.0.0.1", 1 } } do
      local result = hv.process.run { os.getenv("HVLUA") or "build/bin/hvlua", "-e", code,
        env = { http_proxy = via:format(""), no_proxy = case[1] } }
      assert.matches("^x\t", result.stdout)
      assert.are.equal(case[2], #seen)
    end
  end)

  it("go through SOCKS 5", function()
    local program = build .. "/bin/examples/socks5_proxy_server"
    if not hv.fs.exists(program) then return end -- built without examples
    local socks_port = helper.free_port()
    local p = assert(hv.process.spawn { program, tostring(socks_port), stdout = "null",
      stderr = "null" })
    local is_up
    repeat
      is_up = hv.tcp.connect("127.0.0.1:" .. socks_port)
      if is_up then is_up:close() else hv.sleep(10) end
    until is_up
    for _, is_secure in ipairs { false, true } do
      local port = serve(is_secure)
      check(("ws%s://localhost:%d/ws"):format(is_secure and "s" or "", port), {
        proxy = "socks5://127.0.0.1:" .. socks_port, tls = is_secure and { ca = certs.ca } or nil })
    end
    p:kill()
    p:wait()
  end)
end)
