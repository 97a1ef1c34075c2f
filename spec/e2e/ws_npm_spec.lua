--- Against the npm package ws: its client at our server, our client at its server, with every kind
--- of compression. The programs of the other side are in spec/npm/ws_peer.js.
local hv = require "hv"
local helper = require "spec.support.helper"
local ws_peers = require "ws_peers"

local function start(kind, argument)
  return assert(hv.process.spawn { "node", "spec/npm/ws_peer.js", kind, argument, stdout = "pipe" })
end

describe("the client of npm ws", function()
  for _, server in ipairs {
    { "a server without compression", {} },
    { "a server that compresses", { deflate = { min_bytes = 1 } } },
    { "a server that keeps its windows",
      { deflate = { min_bytes = 1, server_context = true, client_context = true } } },
  } do
    it("gets along with " .. server[1], function()
      server[2].max_message = "2M"
      ws_peers.serve(server[2], function(url) return start("client", url) end, 24)
    end)
  end
end)

describe("the server of npm ws", function()
  for _, context in ipairs { "none", "no context", "context", "small windows" } do
    it("gets along with our client, deflate: " .. context, function()
      local peer = start("server", context)
      local url = "ws://127.0.0.1:" .. peer.stdout:read_line()
      local deflate = { min_bytes = 1, server_context = context == "context",
        client_context = context == "context" }
      local ws = assert(hv.ws.connect(url, { protocols = { "other", "chat" }, deflate = deflate }))
      assert.are.equal("chat", ws.protocol)
      assert.are.equal(context ~= "none", ws.is_deflated)
      ws_peers.talk(ws, { 0, 1, 125, 126, 1000, 65535, 65536, 500000 })

      ws = assert(hv.ws.connect(url .. "/ping"))
      assert.are.equal("pong are you there", (ws:receive(10000)))
      ws:close(1000, "bye")
      helper.eventually(function() return ws.close_code == 1000 end)

      ws = assert(hv.ws.connect(url))
      ws:send("cut")
      local data, _, code = ws:receive(10000)
      assert.is_nil(data)
      assert.is_true(code == "EOF" or code == "ECONNRESET")
      helper.eventually(function() return ws.close_code == 1006 end)
      peer:kill("term")
      peer:wait()
    end)
  end
end)
