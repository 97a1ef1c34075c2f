--- WebSocket over TLS, and what hv.shutdown says to open sockets.
local certs_of = require "certs"
local helper = require "helper"
local hv = require "hv"

describe("hv.ws over TLS", function()
  local certs, localhost, server, url

  setup(function()
    certs = certs_of.new()
    localhost = certs:issue("localhost", "DNS:localhost,IP:127.0.0.1")
    local app = hv.http.app()
    app:ws("/", function(ws)
      for data, kind in ws:messages() do ws:send(data, kind) end
    end)
    server = assert(app:listen { host = "127.0.0.1", port = 0,
      tls = { cert = localhost.cert, key = localhost.key } })
    url = "wss://localhost:" .. server:port() .. "/"
  end)

  teardown(function()
    server:close(0)
    certs:remove()
  end)

  it("carries messages of any length", function()
    local ws = assert(hv.ws.connect(url, { tls = { ca = certs.ca } }))
    for _, len in ipairs { 1, 100, 20000, 500000 } do
      ws:send(("x"):rep(len))
      assert.are.equal(len, #ws:receive())
    end
    ws:close(3000)
    helper.eventually(function() return ws.close_code == 3000 end)
  end)

  it("verifies the server, by its name", function()
    local ws, message, code = hv.ws.connect(url, { tls = true })
    assert.is_nil(ws)
    assert.are.equal("ETLS", code)
    assert.is_truthy(message:find("connect wss://[%w.]+:%d+/: .*certificate"), message)
    local address = url:gsub("localhost", "127.0.0.1")
    ws = assert(hv.ws.connect(address, { tls = { ca = certs.ca } }))
    ws:close()
    ws, message, code = hv.ws.connect(address,
      { tls = { ca = certs.ca, server_name = "other.example" } })
    assert.is_nil(ws)
    assert.are.equal("ETLS", code, message)
  end)
end)

describe("hv.shutdown", function()
  it("says 1001 to sockets of servers and of clients", function()
    local server = assert(hv.process.spawn { os.getenv("HVLUA") or "build/bin/hvlua", "-e", [[
      local hv = require "hv"
      io.stdout:setvbuf("line")
      local app = hv.http.app()
      app:ws("/", { on_message = function(ws, data)
        print("client " .. data)
        hv.shutdown { grace = 5000 }
      end })
      local server = assert(app:listen { host = "127.0.0.1", port = 0 })
      print(server:port())
      local peer = io.read("*l")
      local ws = assert(hv.ws.connect(peer, { on_message = print,
        on_close = function(_, code) print("as a client " .. code) end }))
      print("connected")
    ]], stdin = "pipe", stdout = "pipe" })
    local port = server.stdout:read_line()
    local app, codes = hv.http.app(), {}
    app:ws("/", { on_message = function() end,
      on_close = function(_, code) codes.server = code end })
    local listener = assert(app:listen { host = "127.0.0.1", port = 0 })
    server.stdin:write("ws://127.0.0.1:" .. listener:port() .. "/\n")
    assert.are.equal("connected", (server.stdout:read_line()))
    local ws = assert(hv.ws.connect("ws://127.0.0.1:" .. port))
    ws:send("asks it to stop")
    assert.are.equal("client asks it to stop", (server.stdout:read_line()))
    assert.are.same({ nil, "going away", "ECLOSED" }, { ws:receive() })
    assert.are.equal("as a client 1001", (server.stdout:read_line()))
    assert.are.equal(0, (server:wait()))
    helper.eventually(function() return codes.server end)
    assert.are.equal(1001, codes.server)
    assert.are.equal(1001, ws.close_code)
    listener:close(0)
  end)
end)
