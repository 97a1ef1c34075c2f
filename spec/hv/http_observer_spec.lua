-- app:on_response: one call for each exchange, with what was really sent.
local helper = require "helper"
local hv = require "hv"
local raw = require "raw_http"

describe("app:on_response", function()
  local app, server, seen

  before_each(function()
    app = hv.http.app { max_body = 100 }
    server = raw.listen(app)
    seen = {}
  end)

  after_each(function() raw.stop(server) end)

  local function note(req, res)
    seen[#seen + 1] = {
      line = ("%s %s %d %d"):format(req.method, req.target, res.status, res.bytes),
      is_complete = res.is_complete, duration = res.duration, ip = req.peer and req.peer.ip,
      agent = req:header("user-agent"), mark = req.mark, scheme = req.scheme,
    }
  end

  --- The lines of all calls so far, once there are as many.
  local function lines(count)
    helper.eventually(function() return #seen >= count end)
    hv.sleep(1) -- for one too many
    local list = {}
    for i, entry in ipairs(seen) do list[i] = entry.line end
    return list
  end

  it("tells what was sent, whichever way it was answered", function()
    app:on_response(note)
    app:get("/text", function() return "hello" end)
    app:get("/status", function() return 404 end)
    app:get("/table", function() return { status = 201, body = "made" } end)
    app:get("/stream", function(_, res)
      for _ = 1, 3 do res:write("abc") end
    end)
    app:get("/function", function() return { stream = function(write) write("12") end } end)
    app:get("/sent", function(_, res)
      res:send("early")
      hv.sleep(5)
    end)
    app:post("/echo", function(req) return req:body() end)
    for _, path in ipairs { "/text", "/status", "/table", "/stream", "/function", "/no" } do
      raw.exchange(server, "GET", path)
    end
    raw.exchange(server, "PUT", "/text?a=1")
    raw.exchange(server, "GET", "/sent")
    assert.are.same({
      "GET /text 200 5", "GET /status 404 14", "GET /table 201 4", "GET /stream 200 9",
      "GET /function 200 2", "GET /no 404 14", "PUT /text?a=1 405 23", "GET /sent 200 5",
    }, lines(8))
    for _, entry in ipairs(seen) do
      assert.is_true(entry.is_complete)
      assert.are.equal("127.0.0.1", entry.ip)
      assert.are.equal("http", entry.scheme)
    end
    assert.is_true(seen[8].duration >= 4)
  end)

  it("tells of handlers that threw, were cancelled or returned nonsense", function()
    local reported = {}
    hv.on_error(function(message) reported[#reported + 1] = message end)
    app:on_response(note)
    app:get("/throw", function() error("on purpose") end)
    app:get("/later", function()
      hv.sleep(1)
      error("on purpose, later")
    end)
    app:get("/half", function(_, res)
      res:write("half")
      error("on purpose, in the middle")
    end)
    app:get("/nothing", function() end)
    app:get("/cancelled", function()
      local task = hv.current()
      hv.after(1, function() task:cancel() end)
      hv.sleep(10000)
    end)
    for _, path in ipairs { "/throw", "/later", "/nothing", "/cancelled" } do
      raw.exchange(server, "GET", path)
    end
    local conn = assert(hv.tcp.connect { host = "127.0.0.1", port = server:port() })
    conn:write("GET /half HTTP/1.1\r\nHost: h\r\n\r\n")
    repeat until not conn:read()
    conn:close()
    assert.are.same({
      "GET /throw 500 26", "GET /later 500 26", "GET /nothing 500 26", "GET /cancelled 500 26",
      "GET /half 200 4",
    }, lines(5))
    hv.on_error(nil)
    assert.is_true(seen[4].is_complete)
    assert.is_false(seen[5].is_complete)
    assert.are.equal(4, #reported)
  end)

  it("tells of refusals by the server, and of clients that leave", function()
    app:on_response(note)
    app:post("/body", function(req) return (req:body()) or 400 end)
    app:get("/wait", function(_, res)
      repeat hv.sleep(1) until not res:write("x")
    end)
    raw.exchange(server, "POST", "/body", nil, ("x"):rep(200))
    local conn = assert(hv.tcp.connect { host = "127.0.0.1", port = server:port() })
    conn:write("GET /wait HTTP/1.1\r\nHost: h\r\nUser-Agent: me\r\n\r\n")
    assert(conn:read())
    conn:close()
    local got = lines(2)
    assert.are.equal("POST /body 413 22", got[1])
    assert.matches("^GET /wait 200 %d+$", got[2])
    assert.is_true(seen[1].is_complete)
    assert.is_false(seen[2].is_complete)
    assert.are.equal("me", seen[2].agent)
    assert.are.equal("127.0.0.1", seen[2].ip)
  end)

  it("sees files, which without it have no handler", function()
    local dir = assert(hv.fs.tmpdir())
    assert(hv.fs.write(dir .. "/a.txt", "0123456789"))
    app:static("/files", dir)
    app:on_response(note)
    local more = { Range = "bytes=2-4" }
    raw.exchange(server, "GET", "/files/a.txt")
    raw.exchange(server, "GET", "/files/a.txt", more)
    raw.exchange(server, "GET", "/files/none")
    hv.fs.remove(dir, { recursive = true })
    local got = lines(3)
    assert.are.equal("GET /files/a.txt 200 10", got[1])
    assert.are.equal("GET /files/a.txt 206 3", got[2])
    assert.are.equal("GET /files/none 404 14", got[3])
  end)

  it("finds in req what the handler has put there", function()
    app:get("/mark", function(req)
      req.mark = "red"
      return "x"
    end)
    app:on_response(note)
    raw.exchange(server, "GET", "/mark")
    lines(1)
    assert.are.equal("red", seen[1].mark)
  end)

  it("may wait, and reports what it throws, and calls each of several", function()
    local reported, order = {}, {}
    hv.on_error(function(message) reported[#reported + 1] = message end)
    app:on_response(function()
      order[#order + 1] = "first"
      hv.sleep(1)
    end)
    app:on_response(function()
      order[#order + 1] = "second"
      error("on purpose")
    end)
    app:get("/", function() return "x" end)
    assert.are.equal("x", raw.exchange(server, "GET", "/").body)
    helper.eventually(function() return #reported == 1 end)
    assert.are.same({ "first", "second" }, order)
    assert.are.equal("x", raw.exchange(server, "GET", "/").body)
    helper.eventually(function() return #reported == 2 end)
    hv.on_error(nil)
  end)

  it("is for a group alone where the group uses it", function()
    local group = app:group("/in")
    group:use { on_response = note }
    group:get("/a", function() return "a" end)
    app:get("/out", function() return "b" end)
    raw.exchange(server, "GET", "/out")
    raw.exchange(server, "GET", "/in/a")
    assert.are.same({ "GET /in/a 200 1" }, lines(1))
  end)

  it("refuses what is no function", function()
    assert.has_error(function() app:on_response(1) end)
    assert.has_error(function() app:use { on_request = note } end)
  end)
end)
