--- hv.http requests over HTTP/2, against a server that says exactly the frames that it is told to.
--- RFC 9113.
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

--- Serves by fn(peer, number of the connection); returns the URL.
local function serve(fn, settings)
  local url, server = h2.listen(fn, settings)
  keep(server)
  return url
end

--- Answers every request by fn(peer, id, number of the request).
local function serve_requests(fn, settings)
  local count = 0
  return serve(function(peer)
    for id in function() return peer:request() end do
      count = count + 1
      fn(peer, id, count)
    end
  end, settings)
end

describe("hv.http requests over HTTP/2", function()
  it("are answered like any other", function()
    local url = serve_requests(function(peer, id)
      peer:send(h2.status(id, 201, 0, { { "x-one", "1" }, { "set-cookie", "a=b" },
        { "set-cookie", "c=d" }, { "content-length", "5" } }), h2.data(id, "hello", h2.END_STREAM))
    end)
    local reply = assert(client:get(url))
    assert.are.same({ 201, "Created", "2", "hello", "1" }, { reply.status, reply.reason,
      reply.version, reply.body, reply.headers["X-One"] })
    assert.are.same({ "a=b", "c=d" }, reply.headers:get_all "set-cookie")
    assert.are.equal("HTTP/2", reply.call:request_head():match "^GET / (%S+)\r\n")
  end)

  it("share one connection, however many there are at once", function()
    local waiting = {}
    local url = serve_requests(function(peer, id)
      waiting[#waiting + 1] = id
      if #waiting < 40 then return end
      for i = #waiting, 1, -1 do peer:send(h2.answer(waiting[i], "body " .. waiting[i])) end
    end)
    local results = helper.at_once(40, function() return client:get(url) end)
    local bodies = {}
    for _, result in ipairs(results) do bodies[assert(result[1]).body] = true end
    for i = 1, 40 do assert.is_true(bodies["body " .. i * 2 - 1]) end
    local counts = client:counts()
    assert.are.same({ 1, 39, 0 }, { counts.opened, counts.reused, counts.repeated })
  end)

  it("wait for their turn where the server takes few at once", function()
    local most, now = 0, 0
    local url = serve_requests(function(peer, id)
      now = now + 1
      most = math.max(most, now)
      hv.go(function()
        hv.sleep(1)
        now = now - 1
        peer:send(h2.answer(id, "ok"))
      end)
    end, { [3] = 3 })
    local one = assert(hv.http.client { http2 = "prior_knowledge", max_connections = 1 })
    assert(one:get(url)) -- its SETTINGS are known from now on
    for _, result in ipairs(helper.at_once(20, function() return one:get(url) end)) do
      assert.are.equal("ok", assert(result[1]).body)
    end
    assert.are.equal(3, most)
    assert.are.equal(1, one:counts().opened)
    one:close()
  end)

  it("open one more connection where the first is full", function()
    local ids = {}
    local url = serve(function(peer, number)
      if number == 1 then peer:send(h2.answer(peer:request(), "settings are known now")) end
      while true do
        local id = peer:request()
        if not id then return end
        ids[#ids + 1] = { peer, id, number }
        if #ids == 5 then
          for _, one in ipairs(ids) do one[1]:send(h2.answer(one[2], "from " .. one[3])) end
        end
      end
    end, { [3] = 2 })
    local from = {}
    assert(client:get(url))
    for _, result in ipairs(helper.at_once(5, function() return client:get(url) end)) do
      local body = assert(result[1]).body
      from[body] = (from[body] or 0) + 1
    end
    assert.are.same({ ["from 1"] = 2, ["from 2"] = 2, ["from 3"] = 1 }, from)
  end)

  it("send bodies of all kinds, within the server's window", function()
    local url = serve_requests(function(peer, id)
      local body = peer:body(id)
      peer:send(h2.answer(id, #body .. body:sub(-3)))
    end, { [4] = 100 })
    assert.are.equal("3000xyz", assert(client:post(url, ("-"):rep(2997) .. "xyz")).body)
    local pieces = { "one", "two", ("-"):rep(1000), "end" }
    local function source() return table.remove(pieces, 1) end
    assert.are.equal("1009end", assert(client:post(url, nil, { body = source })).body)
    assert.are.equal("0", assert(client:post(url, nil, { body = function() end })).body)
  end)

  it("know 1xx, 204, HEAD, empty answers and trailers", function()
    local url = serve_requests(function(peer, id, count)
      if count == 1 then
        peer:send(h2.status(id, 103, 0, { { "link", "</x>" } }), h2.status(id, 100),
          h2.status(id, 200), h2.data(id, "body"),
          h2.headers(id, { { "x-late", "1" } }, h2.END_STREAM))
      elseif count == 2 then
        peer:send(h2.status(id, 204, h2.END_STREAM))
      elseif count == 3 then
        peer:send(h2.status(id, 200, h2.END_STREAM, { { "content-length", "77" } }))
      else
        peer:send(h2.status(id, 200), h2.data(id, ""), h2.data(id, "", h2.END_STREAM))
      end
    end)
    local reply = assert(client:get(url))
    assert.are.same({ 200, "body", nil }, { reply.status, reply.body, reply.headers["x-late"] })
    assert.are.equal(204, assert(client:get(url)).status)
    reply = assert(client:head(url))
    assert.are.same({ "", "77" }, { reply.body, reply.headers["content-length"] })
    assert.are.equal("", assert(client:get(url)).body)
    assert.are.equal(1, client:counts().opened)
  end)

  it("follow redirects and decode bodies", function()
    local packed = hv.codec and hv.codec.gzip and hv.codec.gzip("unpacked")
    local url = serve_requests(function(peer, id, count)
      if count == 1 then
        peer:send(h2.status(id, 302, 0, { { "location", "/next" } }), h2.data(id, "moved",
          h2.END_STREAM))
      elseif packed then
        peer:send(h2.status(id, 200, 0, { { "content-encoding", "gzip" } }),
          h2.data(id, packed, h2.END_STREAM))
      else
        peer:send(h2.answer(id, "unpacked"))
      end
    end)
    local reply = assert(client:get(url))
    assert.are.same({ "unpacked", url .. "next", 1 }, { reply.body, reply.url, #reply.history })
  end)
end)

describe("a streamed response over HTTP/2", function()
  it("slows its server, and nobody else's", function()
    local sent, is_stuck = 0, false
    local slow = assert(hv.http.client { http2 = "prior_knowledge", stream_window = "64K" })
    local url = serve(function(peer)
      local first = peer:request()
      peer:send(h2.status(first, 200))
      for _ = 1, 4 do -- the whole window
        peer:send(h2.data(first, ("x"):rep(16384)))
        sent = sent + 16384
      end
      peer:send(h2.data(first, ""))
      local second = peer:request() -- while the first is not read
      is_stuck = true
      peer:send(h2.answer(second, "quick"))
      while true do -- and it goes on as it is read
        local update = peer:next "WINDOW_UPDATE"
        if update.stream == first then break end
      end
      peer:send(h2.data(first, "end", h2.END_STREAM))
      peer:read()
    end)
    local reply = assert(slow:get(url, { stream = true }))
    assert.are.equal("quick", assert(slow:get(url)).body)
    assert.is_true(is_stuck)
    assert.are.equal(sent + 3, #assert(reply:text()))
    assert.is_true(reply.is_complete)
    slow:close()
  end)

  it("is read to its end although the connection is gone", function()
    local url = serve(function(peer)
      local id = peer:request()
      peer:send(h2.status(id, 200), h2.data(id, ("x"):rep(5000)), h2.data(id, "end", h2.END_STREAM))
      peer.conn:close()
    end)
    local reply = assert(client:get(url, { stream = true }))
    helper.eventually(function() return client:counts().connections == 0 end)
    assert.is_nil(reply:connection())
    assert.are.equal(5003, #assert(reply:text()))
  end)

  it("says what it has got before it says that it was cut short", function()
    local url = serve(function(peer)
      local id = peer:request()
      peer:send(h2.status(id, 200), h2.data(id, "half"))
      peer:send(h2.reset(id, 2))
      peer:read()
    end)
    local reply = assert(client:get(url, { stream = true }))
    assert.are.equal("half", reply:read())
    local chunk, message, code = reply:read()
    assert.are.same({ nil, "EFAILED" }, { chunk, code })
    assert.are.equal("get " .. url .. ": the server has reset the request: INTERNAL_ERROR", message)
    assert.is_false(reply.is_complete)
  end)

  it("ends at any time without harm to the connection", function()
    local resets = {}
    local url = serve(function(peer)
      for _ = 1, 3 do
        local id = peer:request()
        peer:send(h2.status(id, 200), h2.data(id, "first"))
        local reset = peer:next "RST_STREAM"
        resets[#resets + 1] = reset.stream .. ":" .. reset.payload:byte(4)
        peer:send(h2.data(id, "late")) -- it may have been under way
      end
      peer:send(h2.answer(peer:request(), "last"))
      peer:read()
    end)
    for _ = 1, 2 do
      local reply = assert(client:get(url, { stream = true }))
      assert.are.equal("first", reply:read())
      reply:close()
    end
    local task = hv.go(function() client:get(url) end)
    helper.eventually(function() return client:counts().reused == 2 end)
    hv.sleep(1)
    task:cancel()
    assert.are.equal("last", assert(client:get(url)).body)
    assert.are.same({ "1:8", "3:8", "5:8" }, resets)
    assert.are.equal(1, client:counts().opened)
  end)
end)

describe("HTTP/2 requests that a server does not answer", function()
  it("are sent again where it has refused them or is going away", function()
    local seen = {}
    local url = serve(function(peer, number)
      while true do
        local id = peer:request()
        if not id then return end
        seen[#seen + 1] = number .. "/" .. id
        if number == 1 and id == 5 then
          peer:send(h2.reset(1, 7), h2.goaway(3), h2.answer(3, "one"))
        elseif number == 2 then
          peer:send(h2.answer(id, "two"))
        end
      end
    end)
    local results = helper.at_once(3, function() return client:post(url, "body") end)
    local bodies = {}
    for i, result in ipairs(results) do bodies[i] = assert(result[1], result[2]).body end
    table.sort(bodies)
    assert.are.same({ "one", "two", "two" }, bodies)
    assert.are.same({ "1/1", "1/3", "1/5", "2/1", "2/3" }, seen)
    assert.are.equal(2, client:counts().repeated)
  end)

  it("fail where it refuses them for good", function()
    local count = 0
    local url = serve_requests(function(peer, id)
      count = count + 1
      peer:send(h2.reset(id, 7))
    end)
    local reply, message, code = client:get(url)
    assert.are.same({ nil, "ECONNREFUSED", 6 }, { reply, code, count })
    assert.are.equal("get " .. url .. ": the server has reset the request: REFUSED_STREAM", message)
  end)

  it("are not sent again where it may have acted on them", function()
    local count = 0
    local url = serve(function(peer, number)
      peer:send(h2.answer(peer:request(), "first " .. number))
      peer:request()
      count = count + 1
      peer.conn:close()
    end)
    assert.are.equal("first 1", assert(client:get(url)).body)
    local reply, message, code = client:post(url, "once")
    assert.are.same({ nil, "EOF", 1 }, { reply, code, count })
    assert.are.equal("post " .. url ..
      ": the server has closed the connection without a response", message)
    assert.are.equal("first 2", assert(client:get(url)).body)
    assert.are.equal("first 3", assert(client:get(url)).body) -- again, since it is idempotent
  end)

  it("get a connection of their own once there is room for it", function()
    local waiting
    local url = serve(function(peer, number)
      for id in function() return peer:request() end do
        if number == 1 then helper.until_waiting(waiting) end
        peer:send(h2.answer(id, "connection " .. number))
      end
    end)
    local small = assert(hv.http.client { http2 = "prior_knowledge", max_connections = 1 })
    local reply, message
    waiting = hv.go(function()
      hv.sleep(0) -- behind the other one
      reply, message = small:get(url, { fresh = true })
    end)
    assert.are.equal("connection 1", assert(small:get(url)).body)
    waiting:join()
    assert.are.equal("connection 2", assert(reply, message).body)
    small:close()
  end)

  it("fall back to HTTP/1.1 where it insists", function()
    local certs = require("certs").new()
    local mine = certs:issue("localhost", "DNS:localhost,IP:127.0.0.1")
    local seen = {}
    local server = assert(hv.tcp.listen({ host = "127.0.0.1", port = 0,
      tls = { cert = mine.cert, key = mine.key, alpn = { "h2", "http/1.1" } } }, function(conn)
      seen[#seen + 1] = conn:tls().alpn
      if seen[#seen] == "h2" then
        local peer = h2.peer(conn)
        peer:send(h2.reset(peer:request(), 13))
        return peer:read()
      end
      conn:read_until "\r\n\r\n"
      conn:write "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nold"
      conn:read()
    end))
    keep(server)
    local secure = assert(hv.http.client { tls = { ca = certs.ca } })
    local reply = assert(secure:get("https://127.0.0.1:" .. server:port()))
    assert.are.same({ "old", "1.1" }, { reply.body, reply.version })
    assert.are.same({ "h2", "http/1.1" }, seen)
    secure:close()
    certs:remove()
  end)

  it("end where their connection does not answer a PING", function()
    local pings = 0
    local url = serve(function(peer)
      peer:request()
      while peer:next "PING" do pings = pings + 1 end
    end)
    local asker = assert(hv.http.client { http2 = "prior_knowledge", ping_interval = 10,
      pong_timeout = 20 })
    local reply, message, code = asker:post(url, "x")
    assert.are.same({ nil, "ETIMEDOUT" }, { reply, code })
    assert.matches("post http://.*: the connection is dead: no answer to a PING$", message)
    assert.is_true(pings > 0)
    asker:close()
  end)

  it("end in time", function()
    local url = serve(function(peer)
      local id = peer:request()
      peer:send(h2.status(id, 200), h2.data(id, "half"))
      peer:request()
      local reset = peer:next "RST_STREAM"
      peer:send(h2.answer(peer:request(), "alive " .. reset.stream))
      peer:read()
    end)
    local reply = assert(client:get(url, { stream = true, idle_timeout = 60000 }))
    assert.are.equal("half", reply:read())
    local nothing, message, code = client:get(url, { timeout = 30 })
    assert.are.same({ nil, "ETIMEDOUT" }, { nothing, code })
    assert.are.equal("get " .. url .. ": timed out", message)
    reply:close()
  end)
end)
