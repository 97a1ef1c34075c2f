--- Against the npm package ws: its client at our server, our client at its server, with every kind
--- of compression. The programs of the other side are in spec/npm/ws_peer.js.
local hv = require "hv"
local helper = require "spec.support.helper"

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
      local app = hv.http.app()
      local opts = server[2]
      opts.max_message = "2M"
      opts.on_message = function(ws, data, kind) ws:send(data, kind) end
      app:ws("/", opts)
      local listener = assert(app:listen { host = "127.0.0.1", port = 0 })
      local peer = start("client", "ws://127.0.0.1:" .. listener:port() .. "/")
      local passed = 0
      for line in peer.stdout:lines() do
        assert.is_truthy(line:find("^ok "), line)
        passed = passed + 1
      end
      peer:wait()
      assert.are.equal(24, passed)
      listener:close(0)
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
      for _, len in ipairs { 0, 1, 125, 126, 1000, 65535, 65536, 500000 } do
        local text = ("lorem ipsum "):rep(len / 12) .. ("x"):rep(len % 12)
        assert(ws:send(text))
        assert.are.same({ text, "text" }, { ws:receive(10000) })
        local bytes = ("\255\0\1"):rep(len / 3)
        assert(ws:send(bytes, "binary"))
        assert.are.same({ bytes, "binary" }, { ws:receive(10000) })
      end
      for i = 1, 100 do assert(ws:send('{"n":' .. i .. "}")) end
      for i = 1, 100 do assert.are.equal('{"n":' .. i .. "}", (ws:receive(10000))) end
      ws:send("close")
      assert.are.same({ nil, "as you wish", "ECLOSED" }, { ws:receive(10000) })
      assert.are.equal(4001, ws.close_code)

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
