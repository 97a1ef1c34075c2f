--- The examples of sockets in Lua, each as a program of its own against real peers.
local certs_of = require "certs"
local helper = require "helper"
local hv = require "hv"

local hvlua = os.getenv("HVLUA") or "hvlua"
local certs, localhost

setup(function()
  certs = certs_of.new()
  localhost = certs:issue("localhost", "DNS:localhost,IP:127.0.0.1")
end)

teardown(function() certs:remove() end)

local running = {}

--- Starts an example on a free port; it has `port` and `lines`, what it has printed.
local function start(name, ...)
  local p = assert(hv.process.spawn { hvlua, "examples/" .. name, stdout = "pipe", kill = true,
    ... })
  local program = { process = p, lines = {} }
  running[#running + 1] = program
  program.port = tonumber(assert(p.stdout:read_line()):match("^listening on (%d+)$"))
  program.reader = hv.go(function()
    for line in p.stdout:lines() do program.lines[#program.lines + 1] = line end
  end)
  function program.printed(pattern)
    return helper.eventually(function()
      for _, line in ipairs(program.lines) do
        if line:find(pattern) then return line end
      end
    end)
  end
  return program
end

local function connect(program, tls)
  return assert(hv.tcp.connect { host = "127.0.0.1", port = program.port, tls = tls })
end

local function refuses(name, ...)
  local _, status = helper.hvlua { "examples/" .. name, ... }
  assert.equal(2, status)
end

describe("examples/", function()
  after_each(function()
    for i, program in ipairs(running) do
      program.process:kill("kill")
      program.process:wait()
      program.reader:join()
      running[i] = nil
    end
  end)

  it("tls_echo_server.lua echoes under TLS and reads its certificate anew", function()
    refuses("tls_echo_server.lua")
    local cert, key = certs:path("live.pem"), certs:path("live.key")
    certs_of.write(cert, certs_of.read(localhost.cert))
    certs_of.write(key, certs_of.read(localhost.key))
    local program = start("tls_echo_server.lua", "0", cert, key)
    local conn = connect(program, { ca = certs.ca })
    conn:write("hello")
    assert.equal("hello", conn:read())
    program.printed("^connected: TLSv1.3, TLS_")
    local fresh = certs:issue("fresh", "DNS:fresh,IP:127.0.0.1")
    certs_of.write(cert, certs_of.read(fresh.cert))
    certs_of.write(key, certs_of.read(fresh.key))
    program.process:kill("hup")
    program.printed("^certificate read anew$")
    local other = connect(program, { ca = certs.ca })
    assert.equal("CN=fresh", other:tls().peer_certificate.subject)
    conn:write("still there")
    assert.equal("still there", conn:read())
    certs_of.write(key, "nonsense")
    program.process:kill("hup")
    program.printed("^private key " .. key:gsub("%p", "%%%0"))
    conn:close()
    other:close()
  end)

  it("tcp_proxy_server.lua passes on, with TLS on either side", function()
    refuses("tcp_proxy_server.lua", "0")
    local behind = start("tls_echo_server.lua", "0", localhost.cert, localhost.key)
    local proxy = start("tcp_proxy_server.lua", "-v", "--ca", certs.ca, "--cert", localhost.cert,
      "--key", localhost.key, "0", "127.0.0.1:" .. behind.port)
    local conn = connect(proxy, { ca = certs.ca })
    local data = ("0123456789"):rep(50000)
    hv.go(function()
      conn:write(data)
      conn:shutdown()
    end)
    assert.is_true(conn:read(#data) == data)
    conn:close()
    proxy.printed(": 500000 bytes there, 500000 bytes back$")
    local strict = start("tcp_proxy_server.lua", "-v", "-s", "0", "127.0.0.1:" .. behind.port)
    conn = connect(strict)
    assert.equal("EOF", select(3, conn:read()))
    strict.printed("unable to get local issuer certificate$")
    conn:close()
  end)

  it("udp_proxy_server.lua gives every client its own answers", function()
    refuses("udp_proxy_server.lua", "0")
    local behind = assert(hv.udp.bind { host = "127.0.0.1", port = 0,
      on_message = function(sock, data, peer) sock:send(data, peer.ip, peer.port) end })
    local proxy = start("udp_proxy_server.lua", "0", "127.0.0.1:" .. behind:port())
    local socks = {}
    for i = 1, 3 do
      socks[i] = assert(hv.udp.connect { host = "127.0.0.1", port = proxy.port })
      socks[i]:send("from " .. i)
    end
    for i = 3, 1, -1 do
      assert.equal("from " .. i, (socks[i]:recv(5000)))
      socks[i]:close()
    end
    behind:close()
  end)

  it("starttls_server.lua takes a letter under TLS only", function()
    refuses("starttls_server.lua", "0")
    local program = start("starttls_server.lua", "0", localhost.cert, localhost.key)
    local conn = connect(program)
    local function ask(line, pattern)
      if line then conn:write(line .. "\r\n") end
      local answer
      repeat answer = assert(conn:read_line()) until not answer:find("^%d+%-")
      assert.matches(pattern, answer)
    end
    ask(nil, "^220 ")
    ask("EHLO me", "^250 STARTTLS")
    ask("DATA", "^530 ")
    ask("STARTTLS", "^220 ")
    assert(conn:start_tls { ca = certs.ca })
    ask("EHLO me", "^250 8BITMIME")
    ask("STARTTLS", "^503 ")
    ask("nonsense", "^500 ")
    ask("DATA", "^354 ")
    ask("Subject: x\r\n\r\nhello\r\n.", "^250 thrown away")
    program.printed("^a letter of 21 bytes$")
    ask("QUIT", "^221 ")
    assert.equal("EOF", select(3, conn:read()))
    conn:close()
  end)
end)
