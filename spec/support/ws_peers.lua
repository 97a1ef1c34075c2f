--- ws_peers.lua - what specs of e2e ask of WebSocket in other hands.
local assert = require "luassert"
local hv = require "hv"

local M = {}

--- Has a client of others talk to an echo of ours, which has the options; it prints "ok NAME" for
--- each of so many cases.
---   start  fn(url) -> hv.Process, its stdout a pipe
function M.serve(options, start, cases)
  local app = hv.http.app()
  options.on_message = function(ws, data, kind) ws:send(data, kind) end
  app:ws("/", options)
  local listener = assert(app:listen { host = "127.0.0.1", port = 0 })
  local peer = start("ws://127.0.0.1:" .. listener:port() .. "/")
  local passed = 0
  for line in peer.stdout:lines() do
    assert.is_truthy(line:find("^ok "), line)
    passed = passed + 1
  end
  peer:wait()
  assert.are.equal(cases, passed)
  listener:close(0)
end

--- Sends text and bytes of many lengths to an echo, then many messages at once; at last "close",
--- which has it close with 4001 and "as you wish".
function M.talk(ws, lengths)
  for _, len in ipairs(lengths) do
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
end

return M
