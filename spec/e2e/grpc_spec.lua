--- gRPC stands on streams of HTTP/2 with trailers: what a program would write on top of ours is
--- understood by gRPC's own library, as a client and as a server. Only the frame of a message (a
--- flag and four bytes of length) is written here; see gRPC's PROTOCOL-HTTP2.
local bit = require "bit"
local hv = require "hv"

local function run_peer(...)
  return assert(hv.process.spawn { stdin = "pipe", stdout = "pipe", "/usr/bin/python3",
    "spec/support/grpc_peer.py", ... })
end

local function framed(message)
  local len = #message
  return "\0" .. string.char(bit.rshift(len, 24), bit.band(bit.rshift(len, 16), 255),
    bit.band(bit.rshift(len, 8), 255), bit.band(len, 255)) .. message
end

--- The messages in what `read` gives piece by piece.
local function messages(read)
  local kept = ""
  local function fill(count)
    while #kept < count do
      local piece = read()
      if not piece then return false end
      kept = kept .. piece
    end
    return true
  end
  return function()
    if not fill(5) then return nil end
    local a, b, c, d = kept:byte(2, 5)
    local stop = 5 + ((a * 256 + b) * 256 + c) * 256 + d
    if not fill(stop) then return nil end
    local message = kept:sub(6, stop)
    kept = kept:sub(stop + 1)
    return message
  end
end

-- ---- Our server ----

local methods = {}

function methods.Unary(next_message, res, req)
  res.headers:set("X-Key", req:header("x-key"))
  local message = next_message()
  res:write(framed("echo " .. message))
  res:trailer("x-count", #message)
end

function methods.Count(next_message, res)
  for i = 1, tonumber(next_message()) do res:write(framed("number " .. i)) end
end

function methods.Chat(next_message, res)
  for message in next_message do res:write(framed("echo " .. message)) end
end

function methods.Fail() return 5, "no such thing" end

local function serve()
  local app = hv.http.app()
  app:post("/test.Echo/:method", function(req, res)
    res.headers:set("Content-Type", "application/grpc")
    local method = methods[req.params.method]
    local status, words = 12, "no such method"
    if method then
      status, words = method(messages(function() return req:read() end), res, req)
    end
    res:finish { ["grpc-status"] = status or 0, ["grpc-message"] = words or "" }
  end)
  return assert(app:listen { host = "127.0.0.1", port = 0 })
end

-- ---- Our client ----

--- Calls a method with the messages of a list. Returns the answers and the fields that end them.
local function call(client, url, name, list)
  local sent = 0
  local reply = assert(client:post(url .. name, nil, {
    stream = true, expect = 0, headers = { ["Content-Type"] = "application/grpc", TE = "trailers" },
    body = function()
      sent = sent + 1
      return list[sent] and framed(list[sent])
    end,
  }))
  local answers = {}
  for message in messages(function() return reply:read() end) do
    answers[#answers + 1] = message
  end
  local last = assert(reply:trailers())
  return answers, last["grpc-status"] and last or reply.headers
end

describe("gRPC", function()
  it("asks our server, in all four ways", function()
    local server = serve()
    local peer = run_peer("client", tostring(server:port()))
    local line = assert(peer.stdout:read_line())
    local got = hv.json.decode(line)
    assert.are.same({
      unary = "echo hello", initial = "value", trailing = "5", large = 1000005,
      counted = { "number 1", "number 2", "number 3" },
      chat = { "echo one", "echo two", "echo three" },
      failures = { "NOT_FOUND: no such thing", "UNIMPLEMENTED: no such method" },
    }, got)
    peer:wait()
    server:close(0)
  end)

  it("answers our client, in all four ways", function()
    local peer = run_peer "server"
    local url = ("http://127.0.0.1:%s/test.Echo/"):format(assert(peer.stdout:read_line()))
    local client = assert(hv.http.client { http2 = "prior_knowledge" })
    local answers, last = call(client, url, "Unary", { "hello" })
    assert.are.same({ { "echo hello" }, "0", "5" },
      { answers, last["grpc-status"], last["x-length"] })
    answers, last = call(client, url, "Unary", { ("x"):rep(1000000) })
    assert.are.same({ 1000005, "0" }, { #answers[1], last["grpc-status"] })
    answers, last = call(client, url, "Chat", { "one", "two", "three" })
    assert.are.same({ { "echo one", "echo two", "echo three" }, "0" },
      { answers, last["grpc-status"] })
    answers, last = call(client, url, "Fail", { "" })
    assert.are.same({ {}, "5", "no such thing" },
      { answers, last["grpc-status"], last["grpc-message"] })
    assert.are.equal(1, client:counts().opened)
    client:close()
    peer.stdin:close()
    peer:wait()
  end)
end)
