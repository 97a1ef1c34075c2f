--- Against python3-autobahn: its client at our server, our client at its server, with and without
--- compression. The programs of the other side are in spec/support/ws_autobahn.py.
local hv = require "hv"
local ws_peers = require "ws_peers"

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
      ws_peers.serve(server[2], function(url) return start("client", url) end, 9)
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
      ws_peers.talk(ws, { 0, 1, 125, 126, 1000, 65535, 65536, 200000 })
      peer:kill("term")
      peer:wait()
    end)
  end
end)
