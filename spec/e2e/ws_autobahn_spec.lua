--- Against python3-autobahn: its client at our server, our client at its server, with and without
--- compression. The programs of the other side are in spec/support/ws_autobahn.py.
local hv = require "hv"

local function start(kind, argument)
  return assert(hv.process.spawn {
    "/usr/bin/python3", "spec/support/ws_autobahn.py", kind, argument, stdout = "pipe" })
end

describe("the client of autobahn", function()
  for _, server in ipairs {
    { "without compression", {} },
    { "that compresses", { deflate = { min_bytes = 1 } } },
    { "that keeps its windows",
      { deflate = { min_bytes = 1, server_context = true, client_context = true } } },
  } do
    it("gets along with a server " .. server[1], function()
      local app = hv.http.app()
      local opts = server[2]
      opts.on_message = function(ws, data, kind) ws:send(data, kind) end
      app:ws("/", opts)
      local listener = assert(app:listen { host = "127.0.0.1", port = 0 })
      local peer = start("client", "ws://127.0.0.1:" .. listener:port() .. "/")
      local passed = 0
      for line in peer.stdout:lines() do
        assert.matches("^ok ", line)
        passed = passed + 1
      end
      peer:wait()
      assert.are.equal(9, passed)
      listener:close(0)
    end)
  end
end)

describe("the server of autobahn", function()
  for _, deflate in ipairs { "none", "deflate" } do
    it("gets along with our client, compression: " .. deflate, function()
      local peer = start("server", deflate)
      local url = "ws://127.0.0.1:" .. peer.stdout:read_line()
      local ws = assert(hv.ws.connect(url, {
        protocols = { "other", "chat" },
        deflate = deflate ~= "none" and { min_bytes = 1 } or nil,
      }))
      assert.are.equal("chat", ws.protocol)
      assert.are.equal(deflate ~= "none", ws.is_deflated)
      for _, len in ipairs { 0, 1, 125, 126, 1000, 65535, 65536, 200000 } do
        local text = ("lorem ipsum "):rep(len / 12) .. ("x"):rep(len % 12)
        assert(ws:send(text))
        assert.are.same({ text, "text" }, { ws:receive(10000) })
        local bytes = ("\255\0\1"):rep(len / 3)
        assert(ws:send(bytes, "binary"))
        assert.are.same({ bytes, "binary" }, { ws:receive(10000) })
      end
      for i = 1, 100 do assert(ws:send("message " .. i)) end
      for i = 1, 100 do assert.are.equal("message " .. i, (ws:receive(10000))) end
      ws:send("close")
      assert.are.same({ nil, "as you wish", "ECLOSED" }, { ws:receive(10000) })
      assert.are.equal(4001, ws.close_code)
      peer:kill("term")
      peer:wait()
    end)
  end
end)
