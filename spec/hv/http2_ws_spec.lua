--- WebSocket over a stream of HTTP/2 (RFC 8441), and tunnels by CONNECT (RFC 9113 section 8.5): the
--- app does not know the difference.
local bit = require "bit"
local frames = require "h2_frames"
local helper = require "helper"
local hv = require "hv"

local app, server, log

local CONNECT = { ":method", "CONNECT", ":protocol", "websocket", ":scheme", "http", ":path",
  "/echo?room=blue", ":authority", "x.test", "sec-websocket-version", "13" }

--- A masked frame of WebSocket.
local function message(opcode, text)
  local mask = "\1\2\3\4"
  local masked = text:gsub("()(.)", function(at, char)
    return string.char(bit.bxor(char:byte(), mask:byte((at - 1) % 4 + 1)))
  end)
  local len = #text < 126 and string.char(128 + #text)
    or string.char(254, math.floor(#text / 256), #text % 256)
  return string.char(128 + opcode) .. len .. mask .. masked
end

local function open(client, stream, fields)
  client:frame(frames.HEADERS, frames.END_HEADERS, stream, frames.block(fields or CONNECT))
  return client:expect(frames.HEADERS, stream)
end

local function say(client, stream, ...) client:frame(frames.DATA, 0, stream, message(...)) end

local function heard(client, stream) return client:expect(frames.DATA, stream).payload end

setup(function()
  app = hv.http.app()
  app:ws("/echo", {
    on_open = function(ws, req)
      local ip = ws:peer().ip
      log[#log + 1] = ("open %s %s %s"):format(req.version, req.query.room, ip)
      ws:subscribe("all")
    end,
    on_message = function(ws, text)
      if text == "close" then return ws:close(4000, "asked") end
      if text == "big" then
        for _ = 1, 20 do ws:send(("b"):rep(50000)) end
        return
      end
      ws:send("echo " .. text)
    end,
    on_close = function(_, code) log[#log + 1] = "close " .. code end,
  })
  app:get("/plain", function() return "plain" end)
  server = assert(app:listen { host = "127.0.0.1", port = 0 })
end)

teardown(function() server:close(0) end)

before_each(function() log = {} end)

describe("WebSocket over HTTP/2", function()
  it("opens, talks and closes in order, beside other streams", function()
    local before = helper.active()
    local client = frames.connect(server)
    assert.equal(200, open(client, 1).status)
    say(client, 1, 1, "one")
    assert.equal("\129\8echo one", heard(client, 1))
    client:request(3, "GET", "/plain")
    assert.equal("plain", client:answer(3).body)
    open(client, 5)
    say(client, 5, 1, "two")
    assert.equal("\129\8echo two", heard(client, 5))
    app:publish("all", "to all")
    assert.equal("\129\6to all", heard(client, 1))
    assert.equal("\129\6to all", heard(client, 5))
    say(client, 1, 8, "\3\232")
    assert.equal("\136\2\3\232", heard(client, 1))
    local last = client:expect(frames.DATA, 1)
    assert.are.same({ "", frames.END_STREAM }, { last.payload, last.flags })
    helper.eventually(function() return log[3] end)
    assert.are.same({ "open 2 blue 127.0.0.1", "open 2 blue 127.0.0.1", "close 1000" }, log)
    say(client, 5, 1, "close")
    assert.equal("\136\7\15\160asked", heard(client, 5))
    say(client, 5, 8, "\15\160asked")
    client:frame(frames.DATA, frames.END_STREAM, 5)
    helper.eventually(function() return log[4] end)
    assert.equal("close 4000", log[4])
    client:request(7, "GET", "/plain")
    assert.equal("plain", client:answer(7).body)
    client:close()
    helper.nothing_left(before)
  end)

  it("takes messages that come in pieces, and with the head", function()
    local client = frames.connect(server)
    local text = message(1, "hello")
    client:send(frames.frame(frames.HEADERS, frames.END_HEADERS, 1, frames.block(CONNECT))
      .. frames.frame(frames.DATA, 0, 1, text:sub(1, 3)))
    for i = 4, #text do client:frame(frames.DATA, 0, 1, text:sub(i, i)) end
    assert.equal("\129\10echo hello", heard(client, 1))
    client:close()
    helper.eventually(function() return log[2] end)
    assert.equal("close 1006", log[2])
  end)

  it("sends as the windows allow", function()
    local client = frames.connect(server)
    open(client, 1)
    say(client, 1, 1, "big")
    local bytes, wanted = 0, 20 * 50004
    while bytes < wanted do
      local len = #heard(client, 1)
      bytes = bytes + len
      client:frame(frames.WINDOW_UPDATE, 0, 0, frames.u32(len))
      client:frame(frames.WINDOW_UPDATE, 0, 1, frames.u32(len))
    end
    assert.equal(wanted, bytes)
    say(client, 1, 1, "still there")
    assert.equal("\129\16echo still there", heard(client, 1))
    client:close()
  end)

  it("takes more than its window", function()
    local client = frames.connect(server)
    open(client, 1)
    local text = ("x"):rep(10000)
    for _ = 1, 40 do
      say(client, 1, 1, text)
      local got = 0
      while got < 10009 do got = got + #heard(client, 1) end
      client:frame(frames.WINDOW_UPDATE, 0, 0, frames.u32(got))
      client:frame(frames.WINDOW_UPDATE, 0, 1, frames.u32(got))
    end
    client:close()
  end)

  it("tells of a stream that is reset", function()
    local client = frames.connect(server)
    open(client, 1)
    client:frame(frames.RST_STREAM, 0, 1, frames.u32(frames.codes.CANCEL))
    helper.eventually(function() return log[2] end)
    assert.equal("close 1006", log[2])
    client:request(3, "GET", "/plain")
    assert.equal("plain", client:answer(3).body)
    client:close()
  end)

  it("refuses what is no WebSocket, and where there is none", function()
    local client = frames.connect(server)
    local fields = { unpack(CONNECT) }
    fields[#fields] = "7"
    assert.equal(426, open(client, 1, fields).status)
    fields = { unpack(CONNECT) }
    fields[8] = "/plain"
    assert.equal(200, open(client, 3, fields).status) -- a GET, as of HTTP/1.1 that asks for more
    fields[8] = "/nowhere"
    assert.equal(404, open(client, 5, fields).status)
    client:request(7, "GET", "/plain")
    assert.equal("plain", client:answer(7).body)
    client:close()
    assert.are.same({}, log)
  end)

  it("says good-bye when the server ends", function()
    local other = assert(app:listen { host = "127.0.0.1", port = 0 })
    local client = frames.connect(other)
    open(client, 1)
    other:close(5000)
    assert.equal("\136\12\3\233going away", heard(client, 1))
    say(client, 1, 8, "\3\233")
    client:frame(frames.DATA, frames.END_STREAM, 1)
    assert.equal(frames.codes.NO_ERROR, client:read_to_end())
    helper.eventually(function() return log[2] end)
    client:close()
  end)
end)

describe("CONNECT over HTTP/2", function()
  it("makes a tunnel where a forward proxy stands", function()
    local far = assert(hv.tcp.listen({ host = "127.0.0.1", port = 0 }, function(conn)
      for line in conn:lines() do conn:write(line:upper() .. "\n") end
      conn:write("bye\n")
    end))
    local proxy = hv.http.app()
    proxy:not_found(hv.http.forward_proxy { connect_ports = { far:port() } })
    local front = assert(proxy:listen { host = "127.0.0.1", port = 0 })
    local client = frames.connect(front)
    local head = open(client, 1, { ":method", "CONNECT", ":authority",
      "127.0.0.1:" .. far:port() })
    assert.equal(200, head.status)
    client:frame(frames.DATA, 0, 1, "hello\n")
    assert.equal("HELLO\n", heard(client, 1))
    client:frame(frames.DATA, frames.END_STREAM, 1, "last\n")
    local rest = client:answer(1)
    assert.equal("LAST\nbye\n", rest.body)
    client:close()
    front:close(0)
    far:close()
  end)
end)
