local helper = require "helper"

--- What the programs, each run in a child, have: an app, its server, and a raw client. What the
--- client still does after hv.shutdown stands in a function of hv.on_shutdown: every other task is
--- cancelled as soon as the server has nothing left to do.
local prelude = [[
local hv = require "hv"
local app = hv.http.app()
app:get("/", function() return "hello" end)
local begun = 0
local function until_begun() while begun == 0 do hv.sleep(1) end end
app:get("/slow", function() begun = begun + 1 hv.sleep(100) return "late" end)
app:get("/endless", function() begun = begun + 1 hv.sleep(600000) return "never" end)
local server = assert(app:listen { host = "127.0.0.1", port = 0 })
local port = server:port()
local function ask(path)
  local conn = assert(hv.tcp.connect { host = "127.0.0.1", port = port })
  assert(conn:write("GET " .. path .. " HTTP/1.1\r\nHost: x\r\n\r\n"))
  return conn
end
local function read_all(conn)
  local text = ""
  for chunk in conn:chunks() do text = text .. chunk end
  return text
end
]]

local function run(code) return helper.run(prelude .. code) end

describe("hv.shutdown", function()
  it("ends a program that would go on, with status 0", function()
    local text, status = run [[ hv.shutdown() print "returned" ]]
    assert.equal("returned\n", text)
    assert.equal(0, status)
  end)

  it("ends with the status that is asked for", function()
    assert.equal(7, select(2, run [[ hv.shutdown { status = 7 } ]]))
  end)

  it("answers what is in flight, with Connection: close", function()
    local text, status = run [[
      local conn = ask "/slow"
      until_begun()
      hv.on_shutdown(function()
        local answer = read_all(conn)
        print(answer:match "^HTTP/1.1 (%d+)", answer:match "Connection: (%a+)",
          answer:match "late$")
      end)
      hv.shutdown()
    ]]
    assert.equal("200\tclose\tlate\n", text)
    assert.equal(0, status)
  end)

  it("answers who has connected, and accepts nobody later", function()
    local text = run [[
      local conn = ask "/"
      hv.on_shutdown(function()
        print(read_all(conn):match "^HTTP/1.1 (%d+).*hello$")
        print(select(3, hv.tcp.connect { host = "127.0.0.1", port = port }))
      end)
      hv.shutdown()
    ]]
    assert.equal("200\nECONNREFUSED\n", text)
  end)

  it("answers one more request on a connection that is idle", function()
    local text = run [[
      local conn = ask "/"
      local first = conn:read_until "hello"
      hv.on_shutdown(function()
        hv.sleep(20)
        assert(conn:write "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        print(first:match "Connection: (%a+)", read_all(conn):match "Connection: (%a+)")
      end)
      hv.shutdown()
    ]]
    assert.equal("nil\tclose\n", text)
  end)

  it("cancels what has not ended after the grace", function()
    local text, status = run [[
      hv.go(function()
        local ok, problem = pcall(hv.sleep, 600000)
        print(ok, problem)
        hv.defer(function() print "deferred" end)
      end)
      ask "/endless"
      until_begun()
      hv.shutdown { grace = 50 }
    ]]
    assert.matches("^false\ttask canceled\n", text)
    assert.matches("deferred\n$", text)
    assert.equal(0, status)
  end)

  it("lets handlers of TCP connections finish", function()
    local text = run [[
      local tcp = assert(hv.tcp.listen({ host = "127.0.0.1", port = 0 }, function(conn)
        local line = conn:read_line()
        begun = begun + 1
        hv.sleep(60)
        conn:write(line .. "!")
      end))
      local conn = assert(hv.tcp.connect { host = "127.0.0.1", port = tcp:port() })
      conn:write "one\n"
      until_begun()
      hv.on_shutdown(function() print(read_all(conn)) end)
      hv.shutdown()
    ]]
    assert.equal("one!\n", text)
  end)

  it("lets handlers of datagrams finish, and reads no more", function()
    local text = run [[
      local sock
      sock = assert(hv.udp.bind { host = "127.0.0.1", port = 0, on_message = function(s, data, from)
        begun = begun + 1
        hv.sleep(60)
        assert(s:send(data .. "!", from.ip, from.port))
      end })
      local client = assert(hv.udp.connect { host = "127.0.0.1", port = sock:port() })
      client:send "one"
      until_begun()
      hv.on_shutdown(function()
        client:send "two"
        print(client:recv(10000))
      end)
      hv.shutdown()
    ]]
    assert.matches("^one!\t", text)
  end)

  it("runs hv.on_shutdown's functions and waits for them", function()
    local text = run [[
      hv.on_shutdown(function() hv.sleep(30) print "saved" end)
      hv.shutdown()
    ]]
    assert.equal("saved\n", text)
  end)

  it("can be called again to shorten the grace", function()
    local text, status = run [[
      ask "/endless"
      until_begun()
      hv.shutdown { grace = 600000 }
      hv.shutdown { grace = 20 }
    ]]
    assert.equal("", text)
    assert.equal(0, status)
  end)

  it("refuses unknown options and wrong values", function()
    local hv = require "hv"
    assert.error_matches(function() hv.shutdown { gracee = 1 } end, "did you mean \"grace\"")
    assert.error_matches(function() hv.shutdown { grace = "x" } end, "grace must be milliseconds")
    assert.error_matches(function() hv.on_shutdown(1) end, "function expected, got number")
  end)
end)

describe("a program without server options", function()
  it("is worker 0 of 1, without a port, with an empty configuration", function()
    local hv = require "hv"
    assert.equal(0, hv.worker_id)
    assert.equal(1, hv.worker_count)
    assert.is_nil(hv.port)
    assert.same({}, hv.config)
  end)
end)
