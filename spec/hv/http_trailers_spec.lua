--- Trailers: fields behind a body, of requests and of answers, over HTTP/1.1 and HTTP/2, between
--- our own client and server. RFC 9110 section 6.5. Others: spec/e2e/http_trailers_spec.lua.
local frames = require "h2_frames"
local hv = require "hv"
local raw = require "raw_http"

local app, server, client, url

before_each(function()
  app = hv.http.app { max_headers = 20 }
  server = raw.listen(app)
  url = "http://127.0.0.1:" .. server:port() .. "/"
end)

after_each(function()
  client:close()
  raw.stop(server)
end)

--- The lines of trailers in order, "name=value" in lower case.
local function lines(trailers)
  local out = {}
  for name, value in trailers:each() do out[#out + 1] = name:lower() .. "=" .. value end
  return table.concat(out, " ")
end

for name, http2 in pairs { ["HTTP/1.1"] = false, ["HTTP/2"] = "prior_knowledge" } do
  describe("trailers over " .. name, function()
    before_each(function() client = assert(hv.http.client { http2 = http2 }) end)

    it("of an answer come behind its pieces", function()
      app:get("/", function(_, res)
        res:write("one")
        res:trailer("X-Count", 2)
        res:write("two")
        res:trailer("x-count", "again")
        res:finish { ["Grpc-Status"] = 0 }
      end)
      local reply = assert(client:get(url))
      assert.are.same({ "onetwo", nil }, { reply.body, reply.headers["x-count"] })
      assert.are.equal("x-count=2 x-count=again grpc-status=0", lines(assert(reply:trailers())))
      assert.are.equal("0", reply:trailers()["grpc-status"])
    end)

    it("go out where the handler just returns, or answers in one piece", function()
      local kinds = {
        function(_, res)
          res:trailer("x-end", "stream")
          return { stream = function(write) write("body") end }
        end,
        function(_, res)
          res:trailer("x-end", "send")
          res:send("body")
        end,
        function(_, res)
          res:trailer("x-end", "string")
          return "body"
        end,
        function(_, res)
          res:write("body")
          res:trailer("x-end", "returns")
        end,
        function(_, res)
          res.headers:set("Content-Type", "text/plain")
          res:trailer("x-end", "compressed")
          for _ = 1, 4 do res:write("body") end
        end,
      }
      local count = 0
      app:use(hv.http.middleware.compress { min = 10 })
      app:get("/", function(...)
        count = count + 1
        return kinds[count](...)
      end)
      for _, wanted in ipairs { "stream", "send", "string", "returns", "compressed" } do
        local reply = assert(client:get(url))
        assert.are.equal("body", reply.body:sub(1, 4))
        assert.are.equal(wanted, reply:trailers()["x-end"])
        if wanted == "compressed" then assert.is_truthy(reply.headers["content-encoding"]) end
      end
    end)

    it("of a streamed answer are known at its end", function()
      app:get("/", function(_, res)
        res:write("body")
        res:finish { ["x-sum"] = "abc" }
      end)
      local reply = assert(client:get(url, { stream = true }))
      local _, message, code = reply:trailers()
      assert.are.equal("EBUSY", code, message)
      assert.are.equal("body", assert(reply:text()))
      assert.are.equal("x-sum=abc", lines(assert(reply:trailers())))
    end)

    it("of a request come behind its body", function()
      app:post("/", function(req)
        local before = select(3, req:trailers())
        local body = assert(req:body())
        return tostring(before) .. " " .. body .. " " .. lines(assert(req:trailers()))
      end)
      app:put("/", function(req)
        repeat local piece = req:read() until not piece
        return lines(assert(req:trailers()))
      end)
      local trailers = { ["X-Sum"] = "abc" }
      local reply = assert(client:post(url, "body", { trailers = trailers }))
      assert.are.equal("EBUSY body x-sum=abc", reply.body)
      local pieces, sum = { "some", " ", "more" }, 0
      reply = assert(client:post(url, nil, {
        body = function()
          local piece = table.remove(pieces, 1)
          sum = sum + #(piece or "")
          return piece
        end,
        trailers = function() return { ["x-sum"] = sum } end,
      }))
      assert.are.equal("EBUSY some more x-sum=9", reply.body)
      assert.are.equal("x-sum=abc", assert(client:put(url, { trailers = trailers })).body)
    end)

    it("of a request are not known while its last piece is read", function()
      app:post("/", function(req)
        hv.sleep(20) -- by then all of it has come; what is told is the same if not
        local piece, early = req:read(), select(3, req:trailers())
        local ended = select(3, req:read())
        return ("%s %s %s %s"):format(piece, early, ended, lines(assert(req:trailers())))
      end)
      local reply = assert(client:post(url, "body", { trailers = { ["x-sum"] = "abc" } }))
      assert.are.equal("body EBUSY EOF x-sum=abc", reply.body)
    end)

    it("pass from one message to the next as they are", function()
      app:post("/", function(req, res)
        res:write(assert(req:body()))
        res:finish(assert(req:trailers()))
      end)
      local first = assert(client:post(url, "body", { trailers = { ["x-sum"] = "abc" } }))
      local second = assert(client:post(url, "body", { trailers = first:trailers() }))
      assert.are.equal("x-sum=abc", lines(second:trailers()))
    end)

    it("that are too many to be sent fail the request at once", function()
      app:post("/", function(req) return req:body() and "taken" end)
      local trailers = {}
      for i = 1, 200 do trailers["x-" .. i] = "y" end
      local reply, message, code = client:post(url, "body", { trailers = trailers, timeout = 0 })
      assert.is_nil(reply)
      assert.matches("the trailers cannot be sent", message)
      assert.are.equal("ELIMIT", code)
    end)

    it("are none where none were sent", function()
      app:get("/", function(req) return lines(assert(req:trailers())) .. "none" end)
      local reply = assert(client:get(url))
      assert.are.same({ "none", "" }, { reply.body, lines(assert(reply:trailers())) })
    end)

    it("are asked for by TE, which is nobody's otherwise", function()
      app:get("/", function(req) return tostring(req:header("te")) end)
      assert.are.equal("trailers", assert(client:get(url, { headers = { TE = "trailers" } })).body)
      assert.are.equal("nil", assert(client:get(url, { headers = { TE = "gzip" } })).body)
      assert.are.equal("nil", assert(client:get(url)).body)
    end)

    it("beyond the limits of headers are refused", function()
      app:post("/", function(req) return req:body() and "taken" end)
      local trailers = {}
      for i = 1, 20 do trailers["x-" .. i] = "y" end
      assert.are.equal("taken", assert(client:post(url, "body", { trailers = trailers })).body)
      trailers["x-21"] = "y"
      assert.are.equal(431, assert(client:post(url, "body", { trailers = trailers })).status)
    end)

    it("may not be of the kind that comes too late", function()
      local problems = {}
      app:get("/", function(_, res)
        res:write("body")
        for _, key in ipairs { "Content-Length", "set-cookie", "Host", "a b" } do
          problems[#problems + 1] = select(2, pcall(res.trailer, res, key, "1"))
        end
        problems[#problems + 1] = select(2, pcall(res.finish, res, { x = "a\r\nb: c" }))
      end)
      assert.are.equal("body", assert(client:get(url)).body)
      assert.matches("res:trailer: Content%-Length may not stand behind a body", problems[1])
      assert.matches("set%-cookie may not", problems[2])
      assert.matches("Host may not", problems[3])
      assert.matches("name is no token", problems[4])
      assert.matches("line end", problems[5])
      local reply, message, code = client:post(url, "x", { trailers = { Host = "y" } })
      assert.are.same({ nil, "EINVAL" }, { reply, code }, message)
    end)
  end)
end

--- What a stream gets whose trailers have these fields: a status, or "reset".
local malformed = {
  { "a name in upper case", { "X-Up", "1" }, "reset" },
  { "a pseudo-header", { ":path", "/" }, "reset" },
  { "a field of the connection", { "connection", "close" }, "reset" },
  { "a value with a line break", { "x", "a\r\nb: c" }, 400 },
  { "a value with a NUL", { "x", "a\0b" }, 400 },
  { "a name with a blank", { "x y", "1" }, 400 },
}

describe("trailers of HTTP/2", function()
  before_each(function()
    client = frames.connect(server)
    app:post("/", function(req) return req:body() and lines(req:trailers()) end)
  end)

  local function send_with_trailers(stream, list, flags)
    client:request(stream, "POST", "/", nil, true)
    client:frame(frames.DATA, 0, stream, "body")
    client:frame(frames.HEADERS, frames.END_HEADERS + (flags or frames.END_STREAM), stream,
      frames.block(list))
    return client:answer(stream)
  end

  for _, case in ipairs(malformed) do
    it("are refused for " .. case[1], function()
      local answer = send_with_trailers(1, case[2])
      if case[3] == "reset" then
        assert.are.same({ nil, frames.codes.PROTOCOL_ERROR }, { answer.status, answer.reset })
      else
        assert.are.equal(case[3], answer.status)
      end
      assert.are.equal("x=1", send_with_trailers(3, { "x", "1" }).body)
    end)
  end

  it("are refused where they do not end the stream", function()
    assert.are.equal(frames.codes.PROTOCOL_ERROR, send_with_trailers(1, { "x", "1" }, 0).reset)
    assert.are.equal("x=1", send_with_trailers(3, { "x", "1" }).body)
  end)

  it("mean nothing behind a request that is answered", function()
    client:request(1, "POST", "/nowhere", nil, true)
    assert.are.equal(404, client:answer(1).status)
    client:frame(frames.HEADERS, frames.END_HEADERS + frames.END_STREAM, 1,
      frames.block { "x", "1" })
    assert.are.equal("x=1", send_with_trailers(3, { "x", "1" }).body)
  end)
end)

describe("trailers", function()
  before_each(function() client = assert(hv.http.client {}) end)

  it("are left out where HTTP/1 has no place for them", function()
    app:get("/", function(_, res)
      res:header("Content-Length", 4)
      res:trailer("x-lost", "1")
      res:write("body")
    end)
    local reply = assert(client:get(url))
    assert.are.same({ "body", "" }, { reply.body, lines(assert(reply:trailers())) })
    local old = raw.connect(server)
    old:send("GET / HTTP/1.0\r\n\r\n")
    local answer = {}
    for piece in old.conn:chunks() do answer[#answer + 1] = piece end
    assert.matches("\r\n\r\nbody$", table.concat(answer))
    old.conn:close()
  end)

  it("that are forbidden are passed over, and never mixed with headers", function()
    app:post("/", function(req)
      assert(req:body())
      return lines(assert(req:trailers())) .. ";" .. tostring(req:header("x-one")) .. ";"
        .. tostring(req:header("authorization")) .. ";" .. req.host
    end)
    local one = raw.connect(server)
    one:send("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n"
      .. "X-One: 1\r\nAuthorization: Basic eDp5\r\nHost: evil\r\nContent-Length: 9\r\n\r\n")
    assert.are.equal("x-one=1;nil;nil;x", one:receive().body)
    one.conn:close()
  end)
end)

describe("trailers through a gateway", function()
  local front

  before_each(function()
    client = assert(hv.http.client())
    local app_in_front = hv.http.app { max_headers = 400 }
    app_in_front:proxy("/", url)
    front = raw.listen(app_in_front)
  end)

  after_each(function() front:close(0) end) -- what is left of it is waited for with the other

  --- Posts "abc" with these lines behind it, and one Connection line in front.
  local function post(trailers)
    local one = raw.connect(front)
    one:send("POST / HTTP/1.1\r\nHost: x\r\nConnection: X-Hop\r\nTransfer-Encoding: chunked\r\n"
      .. "\r\n3\r\nabc\r\n0\r\n" .. trailers .. "\r\n")
    local answer = one:receive()
    one.conn:close()
    return answer
  end

  it("say nothing of who has asked, nor of the connection before it", function()
    app:post("/", function(req)
      assert(req:body())
      return lines(assert(req:trailers()))
    end)
    local answer = post("X-Forwarded-For: 6.6.6.6\r\nX-Sum: 1\r\nForwarded: for=6.6.6.6\r\n"
      .. "X-Real-IP: 6.6.6.6\r\nX-Hop: 1\r\nHTTP2-Settings: x\r\n")
    assert.are.equal("x-sum=1", answer.body)
  end)

  it("are refused where they are too many to go on", function()
    app:post("/", function(req) return req:body() end)
    local list = {}
    for i = 1, 300 do list[i] = ("x-%d: y\r\n"):format(i) end
    assert.are.equal(431, post(table.concat(list)).status)
  end)
end)
