--- What a hostile peer of HTTP/2 may send: no handler sees it, nobody else suffers (RFC 9113).
--- Floods and time are in spec/c/test_h2_server.c.
local frames = require "h2_frames"
local hv = require "hv"

local codes = frames.codes
local calls, app, server

setup(function()
  app = hv.http.app { max_header = 2000, max_headers = 20, max_request_line = 200, max_body = 1000 }
  app:get("/good", function() return "good" end)
  app:use(function(req, _, next)
    if req.path ~= "/good" then calls[#calls + 1] = req.method .. " " .. req.target end
    return next()
  end)
  server = assert(app:listen { host = "127.0.0.1", port = 0 })
end)

teardown(function() server:close(0) end)

before_each(function() calls = {} end)

--- A good request still works, on that connection or on a new one.
local function still_serves(client, stream)
  client = client or frames.connect(server)
  client:request(stream or 1, "GET", "/good")
  assert.equal("good", client:answer(stream or 1).body)
  client:close()
end

local function fields(list, ...)
  local out = {}
  for _, word in ipairs(list) do out[#out + 1] = word end
  for _, word in ipairs { ... } do out[#out + 1] = word end
  return out
end

local GET = { ":method", "GET", ":scheme", "http", ":path", "/x", ":authority", "x" }

--- What is refused, and how: a status, or "reset" of the stream.
local malformed = {
  { "a name in upper case", fields(GET, "X-Up", "1"), "reset" },
  { "a name with a blank", fields(GET, "x y", "1"), 400 },
  { "a value with a line break", fields(GET, "x", "a\r\nb: c"), 400 },
  { "a value with a NUL", fields(GET, "x", "a\0b"), 400 },
  { "a value that begins with a blank", fields(GET, "x", " a"), 400 },
  { "a field of a connection", fields(GET, "connection", "keep-alive"), "reset" },
  { "transfer-encoding", fields(GET, "transfer-encoding", "chunked"), "reset" },
  { "upgrade", fields(GET, "upgrade", "websocket"), "reset" },
  { "te that is not trailers", fields(GET, "te", "gzip"), "reset" },
  { "a pseudo-header behind others", fields({ ":method", "GET", ":scheme", "http", "x", "y",
    ":path", "/x" }), "reset" },
  { "a pseudo-header twice", fields(GET, ":path", "/y"), "reset" },
  { "an unknown pseudo-header", fields(GET, ":nonsense", "y"), "reset" },
  { "one of an answer", fields(GET, ":status", "200"), "reset" },
  { "no :method", { ":scheme", "http", ":path", "/x", ":authority", "x" }, "reset" },
  { "no :path", { ":method", "GET", ":scheme", "http", ":authority", "x" }, "reset" },
  { "no :scheme", { ":method", "GET", ":path", "/x", ":authority", "x" }, "reset" },
  { "an empty :path", { ":method", "GET", ":scheme", "http", ":path", "", ":authority", "x" },
    "reset" },
  { "a :path that is no path", { ":method", "GET", ":scheme", "http", ":path", "x",
    ":authority", "x" }, "reset" },
  { "a :path with a blank", { ":method", "GET", ":scheme", "http", ":path", "/x y HTTP/1.1",
    ":authority", "x" }, "reset" },
  { "a :method with a blank", { ":method", "GET /y", ":scheme", "http", ":path", "/x",
    ":authority", "x" }, "reset" },
  { "no host at all", { ":method", "GET", ":scheme", "http", ":path", "/x" }, "reset" },
  { "two hosts", fields(GET, "host", "y"), 400 },
  { "a host that is none", { ":method", "GET", ":scheme", "http", ":path", "/x", ":authority",
    "user@x" }, 400 },
  { "CONNECT with a path", { ":method", "CONNECT", ":scheme", "http", ":path", "/x", ":authority",
    "x:80" }, "reset" },
  { "two lengths", fields(GET, "content-length", "0", "content-length", "0"), "reset" },
  { "a length that is none", fields(GET, "content-length", "-1"), "reset" },
  { "a length without a body", fields(GET, "content-length", "5"), "reset" },
  { "an expectation that nobody knows", fields(GET, "expect", "wonders"), 417 },
  { "too many fields", (function()
    local list = fields(GET)
    for i = 1, 30 do list = fields(list, "x" .. i, "y") end
    return list
  end)(), 431 },
  { "fields that are too long", fields(GET, "x", ("y"):rep(3000)), 431 },
  { "a path that is too long", { ":method", "GET", ":scheme", "http", ":path",
    "/" .. ("y"):rep(300), ":authority", "x" }, 414 },
}

describe("a malformed request", function()
  for _, case in ipairs(malformed) do
    it("is refused: " .. case[1], function()
      local client = frames.connect(server)
      client:frame(frames.HEADERS, frames.END_HEADERS + frames.END_STREAM, 1,
        frames.block(case[2]))
      local answer = client:answer(1)
      if case[3] == "reset" then
        assert.is_nil(answer.status)
        assert.equal(codes.PROTOCOL_ERROR, answer.reset)
      else
        assert.equal(case[3], answer.status, answer.reset)
      end
      assert.are.same({}, calls)
      still_serves(client, 3)
    end)
  end

  it("may not smuggle a field in by its name or value", function()
    local client = frames.connect(server)
    client:request(1, "GET", "/x", { "x", "a: b", "y", "" })
    assert.equal(404, client:answer(1).status)
    assert.are.same({ "GET /x" }, calls)
    client:close()
  end)
end)

--- What ends the connection, with its code.
local broken = {
  { "a header block that cannot be read", function(c)
    c:frame(frames.HEADERS, frames.END_HEADERS + frames.END_STREAM, 1, "\255\255\255\255\15")
  end, codes.COMPRESSION_ERROR },
  { "an index that does not exist", function(c)
    c:frame(frames.HEADERS, frames.END_HEADERS + frames.END_STREAM, 1, "\255\0")
  end, codes.COMPRESSION_ERROR },
  { "DATA without a stream", function(c) c:frame(frames.DATA, 0, 0, "x") end,
    codes.PROTOCOL_ERROR },
  { "DATA of a stream that never began", function(c) c:frame(frames.DATA, 0, 5, "x") end,
    codes.PROTOCOL_ERROR },
  { "a stream of the server's", function(c) c:request(2, "GET", "/x") end, codes.PROTOCOL_ERROR },
  { "a PING of another length", function(c) c:frame(frames.PING, 0, 0, "1234567") end,
    codes.FRAME_SIZE_ERROR },
  { "SETTINGS of no whole number of entries", function(c)
    c:frame(frames.SETTINGS, 0, 0, "12345")
  end, codes.FRAME_SIZE_ERROR },
  { "SETTINGS of a stream", function(c) c:frame(frames.SETTINGS, 0, 1) end, codes.PROTOCOL_ERROR },
  { "a window beyond its limit by a setting", function(c)
    c:frame(frames.SETTINGS, 0, 0, "\0\4\255\255\255\255")
  end, codes.FLOW_CONTROL_ERROR },
  { "a window beyond its limit", function(c)
    c:frame(frames.WINDOW_UPDATE, 0, 0, "\127\255\255\255")
  end, codes.FLOW_CONTROL_ERROR },
  { "a window opened by nothing", function(c)
    c:frame(frames.WINDOW_UPDATE, 0, 0, "\0\0\0\0")
  end, codes.PROTOCOL_ERROR },
  { "a frame that is too long", function(c)
    c:send("\1\0\0\0\0" .. frames.u32(1) .. ("x"):rep(200))
  end, codes.FRAME_SIZE_ERROR },
  { "something between the pieces of a head", function(c)
    c:frame(frames.HEADERS, frames.END_STREAM, 1, frames.block(GET))
    c:frame(frames.PING, 0, 0, "12345678")
  end, codes.PROTOCOL_ERROR },
  { "a piece of a head that never began", function(c)
    c:frame(frames.CONTINUATION, frames.END_HEADERS, 1, frames.block(GET))
  end, codes.PROTOCOL_ERROR },
  { "a promise of the client's", function(c)
    c:frame(frames.PUSH_PROMISE, frames.END_HEADERS, 1, frames.u32(2))
  end, codes.PROTOCOL_ERROR },
  { "padding that is longer than its frame", function(c)
    c:request(1, "POST", "/good", nil, true)
    c:frame(frames.DATA, frames.PADDED, 1, "\9x")
  end, codes.PROTOCOL_ERROR },
}

describe("a connection", function()
  for _, case in ipairs(broken) do
    it("is ended by " .. case[1], function()
      local client = frames.connect(server)
      case[2](client)
      assert.equal(case[3], client:read_to_end())
      client:close()
      assert.are.same({}, calls)
      still_serves()
    end)
  end

  it("is ended where the preface is cut or false", function()
    for _, text in ipairs { frames.PREFACE:sub(1, 20), "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n" } do
      local client = frames.open(server)
      client:send(text)
      client.conn:shutdown()
      client:read_to_end()
      client:close()
      still_serves()
    end
  end)

  it("cannot send more of a body than its window", function()
    local client = frames.connect(server)
    client:frame(frames.SETTINGS, frames.ACK, 0)
    client:request(1, "POST", "/nowhere", nil, true)
    for _ = 1, 100 do
      if not client:frame(frames.DATA, 0, 1, ("x"):rep(16384)) then break end
    end
    -- The answer (404) is there, and the stream is stopped or the connection ended.
    local answer = client:answer(1)
    assert.equal(404, answer.status)
    client:close()
    still_serves()
  end)

  it("gives memory to no head that it is not going to read", function()
    -- An entry of 4000 bytes in the table, named by one byte each, again and again.
    local client = frames.connect(server)
    local value = ("v"):rep(3900)
    local block = frames.block(GET) .. "\64\1x" .. "\127\189\29" .. value .. ("\190"):rep(10000)
    client:frame(frames.HEADERS, frames.END_HEADERS + frames.END_STREAM, 1, block)
    assert.equal(431, client:answer(1).status)
    assert.are.same({}, calls)
    still_serves(client, 3)
  end)
end)
