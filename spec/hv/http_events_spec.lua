local helper = require "helper"
local hv = require "hv"
local raw = require "raw_http"

describe("hv.http events", function()
  local app, server

  before_each(function()
    app = hv.http.app()
    server = raw.listen(app)
  end)

  after_each(function() raw.stop(server) end)

  it("are framed line by line", function()
    app:get("/", function(_, res)
      local events = res:sse { retry = 2000, heartbeat = 0 }
      events:send("one\ntwo\r\nthree", { event = "tick", id = 7 })
      events:send({ 1 })
      events:comment("a\nb")
      assert.has_error(function() events:send("x", { id = "a\nb" }) end)
    end)
    local answer = raw.exchange(server, "GET", "/")
    assert.are.equal("text/event-stream", answer.headers["content-type"])
    assert.are.equal("no-cache", answer.headers["cache-control"])
    assert.are.equal("retry: 2000\n\nevent: tick\nid: 7\ndata: one\ndata: two\ndata: three\n\n"
      .. "data: [1]\n\n: a b\n\n", answer.body)
  end)

  it("know where a client that comes back has been", function()
    local ids = {}
    app:get("/", function(_, res)
      local events = res:sse()
      ids[#ids + 1] = events.last_id or "none"
    end)
    raw.exchange(server, "GET", "/")
    raw.exchange(server, "GET", "/", { ["Last-Event-ID"] = "42" })
    assert.are.same({ "none", "42" }, ids)
  end)

  it("tell by the heartbeat that the client has gone", function()
    local client, states, code = raw.connect(server), {}, nil
    local heartbeat
    app:get("/", function(_, res)
      local events = res:sse { heartbeat = 1 }
      heartbeat = events._timer
      states[1] = events:is_open()
      client.conn:close()
      while events:is_open() do hv.sleep(1) end
      states[2] = events:is_open()
      code = select(3, events:send("x"))
    end)
    client:send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    while code == nil do hv.sleep(1) end
    assert.are.same({ true, false }, states)
    assert.are.equal("ECLOSED", code)
    while not tostring(heartbeat):find("stopped") do hv.sleep(1) end -- it ends by itself
  end)

  it("send heartbeats while nothing happens", function()
    local client, seen = raw.connect(server), ""
    app:get("/", function(_, res)
      res:sse { heartbeat = 1 }
      while not seen:find(": \n\n.*: \n\n.*: \n\n") do hv.sleep(1) end
    end)
    client:send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    while not seen:find(": \n\n.*: \n\n.*: \n\n") do
      seen = seen .. assert(client.conn:read())
    end
    client.conn:close()
  end)

  it("stop their heartbeat once the stream is over, so that they are collected", function()
    local streams, begun = setmetatable({}, { __mode = "k" }), 0
    app:get("/", function(_, res)
      streams[res:sse { heartbeat = 1 }] = true
      begun = begun + 1
    end)
    raw.exchange(server, "GET", "/")
    assert.are.equal(1, begun)
    helper.collected(streams)
  end)
end)
