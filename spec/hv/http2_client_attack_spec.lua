--- What a server of HTTP/2 does wrong, by accident or to do harm: a request then fails with a
--- reason, in time, and the next one is none the worse for it. RFC 9113, RFC 7541.
local h2 = require "h2_peer"
local helper = require "helper"
local hv = require "hv"

local client
local keep, close_kept = helper.keeper()

before_each(function() client = assert(hv.http.client { http2 = "prior_knowledge" }) end)

after_each(function()
  client:close()
  close_kept()
end)

--- The first request gets the bytes, and what is asked later "good"; returns the URL.
local function serve(bytes)
  local is_first = true
  local url, server = h2.listen(function(peer)
    for id in function() return peer:request() end do
      if is_first then
        is_first = false
        peer:send(type(bytes) == "function" and bytes(id) or bytes)
      else
        peer:send(h2.answer(id, "good"))
      end
    end
  end)
  keep(server)
  return url
end

--- Asks such a server, expects the code, and that it is well again afterwards.
local function expect_failure(expected, bytes, options)
  local url = serve(bytes)
  local reply, message, code = client:get(url, options)
  assert.are.same({ nil, expected }, { reply, code }, message)
  assert.matches("^get http://127.0.0.1:%d+/: .", message)
  assert.are.equal("good", assert(client:get(url)).body)
  return message
end

local function status(list, flags)
  table.insert(list, 1, { ":status", "200" })
  return h2.headers(1, list, flags)
end

describe("a server of HTTP/2 that breaks the rules", function()
  local frame, u32 = h2.frame, require("h2_frames").u32

  local of_connection = {
    ["DATA of no stream"] = frame("DATA", 0, 0, "x"),
    ["HEADERS of no stream"] = frame("HEADERS", 4, 0, "\136"),
    ["HEADERS of a stream nobody began"] = frame("HEADERS", 4, 3, "\136"),
    ["HEADERS of a stream of its own"] = frame("HEADERS", 4, 2, "\136"),
    ["SETTINGS cut short"] = frame("SETTINGS", 0, 0, "12345"),
    ["SETTINGS of a stream"] = frame("SETTINGS", 0, 1, ""),
    ["an acknowledgement with a payload"] = frame("SETTINGS", 1, 0, "123456"),
    ["a window that is no window"] = frame("SETTINGS", 0, 0, "\0\4\255\255\255\255"),
    ["a push"] = frame("PUSH_PROMISE", 4, 1, u32(2) .. "\136"),
    ["a window opened by nothing"] = h2.window(0, 0),
    ["a window beyond 2^31"] = h2.window(0, 2147483647),
    ["a frame longer than agreed"] = frame("DATA", 0, 1, ("x"):rep(16385)),
    ["a field that is not in the table"] = frame("HEADERS", 4, 1, "\255\255\3"),
    ["the field 0"] = frame("HEADERS", 4, 1, "\128"),
    ["a field cut short"] = frame("HEADERS", 4, 1, "\0\127"),
    ["padding longer than the frame"] = frame("DATA", 8, 1, "\9x"),
    ["CONTINUATION of nothing"] = frame("CONTINUATION", 4, 1, "\136"),
    ["another frame inside a head"] = frame("HEADERS", 0, 1, "\136")
      .. frame("PING", 0, 0, "12345678"),
    ["PING cut short"] = frame("PING", 0, 0, "1234"),
    ["GOAWAY of a stream"] = frame("GOAWAY", 0, 1, u32(0) .. u32(0)),
    ["RST_STREAM cut short"] = frame("RST_STREAM", 0, 1, "12"),
    ["RST_STREAM of a stream nobody began"] = h2.reset(9, 8),
    ["a body before a head"] = h2.data(1, "x"),
    ["HTTP/1.1"] = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
  }
  for what, bytes in pairs(of_connection) do
    it("by " .. what .. " loses the connection", function()
      expect_failure("EPROTO", bytes)
      assert.are.equal(2, client:counts().opened)
    end)
  end

  local of_stream = {
    ["no status"] = h2.headers(1, { { "x", "y" } }),
    ["a status below 100"] = h2.status(1, "099"),
    ["a status of letters"] = h2.headers(1, { { ":status", "abc" } }),
    ["a status too many"] = h2.headers(1, { { ":status", "200" }, { ":status", "200" } }),
    ["a status behind the fields"] = h2.headers(1, { { "x", "y" }, { ":status", "200" } }),
    ["a pseudo-field of requests"] = status { { ":path", "/" } },
    ["a name in capitals"] = status { { "X-One", "y" } },
    ["a name with a blank"] = status { { "x one", "y" } },
    ["no name"] = status { { "", "y" } },
    ["a value with a line end"] = status { { "x", "a\r\nset-cookie: b" } },
    ["a value with NUL"] = status { { "x", "a\0" } },
    ["a field of the connection"] = status { { "connection", "close" } },
    ["a coding of the connection"] = status { { "transfer-encoding", "chunked" } },
    ["a length that is none"] = status { { "content-length", "1x" } },
    ["two lengths"] = status { { "content-length", "1" }, { "content-length", "1" } },
    ["less than it has said"] = status { { "content-length", "2" } } .. h2.data(1, "x", 1),
    ["more than it has said"] = status { { "content-length", "2" } } .. h2.data(1, "xyz", 1),
    ["an interim head that is the end"] = h2.status(1, 103, h2.END_STREAM),
    ["a change of protocol"] = h2.status(1, 101),
    ["a reset"] = h2.reset(1, 1),
  }
  for what, bytes in pairs(of_stream) do
    it("by " .. what .. " loses the response", function()
      expect_failure("EPROTO", bytes)
      assert.are.equal(1, client:counts().opened)
    end)
  end

  it("says so in its own words", function()
    local codes = { [0] = "ECONNRESET", [2] = "EFAILED", [8] = "ECONNRESET", [11] = "ELIMIT" }
    for reason, code in pairs(codes) do expect_failure(code, h2.reset(1, reason)) end
    assert.are.equal("the server has ended the connection for an error",
      expect_failure("ELIMIT", h2.goaway(1, 11) .. h2.frame(99) .. h2.frame("SETTINGS", 0, 0, "x"))
        :match ": (the .*)$")
  end)
end)

describe("a server of HTTP/2 that sends too much", function()
  it("of a head loses the response", function()
    local many = {}
    for i = 1, 201 do many[i] = { "x-" .. i, "y" } end
    expect_failure("ELIMIT", h2.status(1, 200, 0, many))
    assert.are.equal(1, client:counts().opened)
  end)

  it("of a head in CONTINUATION frames loses the connection", function()
    local frames = { h2.frame("HEADERS", 0, 1, h2.fields { { ":status", "200" } }) }
    for i = 1, 100 do
      frames[i + 1] = h2.frame("CONTINUATION", 0, 1, h2.fields { { "x", ("y"):rep(1000) } })
    end
    expect_failure("EPROTO", table.concat(frames))
  end)

  it("of one field, again and again by its number, loses the response", function()
    -- A literal that is indexed, 4000 bytes long; then its index as often as there is room.
    local entry = "\64\1x\127" .. string.char(128 + 3873 % 128, math.floor(3873 / 128))
      .. ("y"):rep(4000)
    local block = h2.fields { { ":status", "200" } } .. entry .. ("\190"):rep(12000)
    expect_failure("ELIMIT", h2.frame("HEADERS", 4, 1, block))
    assert.are.equal(1, client:counts().opened)
  end)

  it("interim heads loses the response", function()
    expect_failure("ELIMIT", h2.status(1, 103):rep(17))
    expect_failure("ELIMIT", h2.status(1, 103):rep(1000))
  end)

  it("of a body loses the response", function()
    expect_failure("ELIMIT", h2.status(1, 200) .. h2.data(1, ("x"):rep(1001)), { max_body = 1000 })
    assert.are.equal(1, client:counts().opened)
  end)

  it("of a body that nobody reads loses the response", function()
    local has_reset
    local url, server = h2.listen(function(peer)
      peer:request()
      peer:send(h2.status(1, 200) .. h2.data(1, ("x"):rep(16384)):rep(65))
      has_reset = peer:next "RST_STREAM"
      peer:send(h2.answer(peer:request(), "good"))
      peer:read()
    end)
    keep(server)
    local reply = assert(client:get(url, { stream = true }))
    helper.eventually(function() return has_reset end)
    local text, _, code = reply:text()
    assert.are.same({ nil, "EPROTO" }, { text, code })
    assert.are.equal("good", assert(client:get(url)).body)
  end)

  it("of what is to be answered, and reads nothing, loses the connection", function()
    local url, server = h2.listen(function(peer, number)
      local id = peer:request()
      if number == 2 then return peer:send(h2.answer(id, "good")) end
      local pings = h2.frame("PING", 0, 0, "12345678"):rep(4096)
      for _ = 1, 200 do
        if not peer:send(pings) then return end
      end
      peer.conn:read_until "never"
    end)
    keep(server)
    local reply, message, code = client:get(url)
    assert.are.same({ nil, "ELIMIT" }, { reply, code }, message)
    assert.are.equal("good", assert(client:get(url)).body)
  end)

  it("of nothing at all does not get more time for it", function()
    local url, server = h2.listen(function(peer)
      local id = peer:request()
      peer:send(h2.status(id, 200))
      while peer:send(h2.data(id, "")) do hv.sleep(1) end
    end)
    keep(server)
    local reply = assert(client:get(url, { stream = true, idle_timeout = 300 }))
    local chunk, _, code = reply:read()
    assert.are.same({ nil, "ETIMEDOUT" }, { chunk, code })
  end)
end)

describe("frames of a server of HTTP/2", function()
  it("are understood at every place where bytes may be parted", function()
    local function answer(id)
      return h2.frame("PING", 0, 0, "12345678") .. h2.status(id, 103)
        .. h2.frame("HEADERS", 0, id, h2.fields { { ":status", "200" } })
        .. h2.frame("CONTINUATION", 4, id, h2.fields { { "content-length", "8" }, { "x-y", "z" } })
        .. h2.data(id, "bo") .. h2.data(id, "") .. h2.frame("DATA", 8, id, "\2dy\0\0")
        .. h2.frame(77, 3, id, "unknown") .. h2.data(id, " end")
        .. h2.headers(id, { { "x-late", "1" } }, h2.END_STREAM)
    end
    local url, server = h2.listen(function(peer, number)
      for id in function() return peer:request() end do
        local bytes = answer(id)
        peer:send(bytes:sub(1, number))
        hv.sleep(0)
        peer:send(bytes:sub(number + 1))
      end
    end)
    keep(server)
    for _ = 1, #answer(1) do
      local reply = assert(client:get(url, { fresh = true, stream = true }))
      assert.are.same({ "body end", "z" }, { reply:text(), reply.headers["x-y"] })
    end
    assert.are.equal(#answer(1), client:counts().opened)
  end)

  it("are understood a byte at a time", function()
    local url, server = h2.listen(function(peer)
      local id = peer:request()
      for byte in (h2.status(id, 200) .. h2.data(id, "body", h2.END_STREAM)):gmatch "." do
        peer:send(byte)
        hv.sleep(0)
      end
      peer:read()
    end)
    keep(server)
    assert.are.equal("body", assert(client:get(url)).body)
  end)
end)
