-- Clients that are slow on purpose, as slowhttptest plays them, and clients by the thousand:
-- whoever behaves well is served all the while, and in the end nothing is left of the others.
local hv = require "hv"
local json = require "hv.json"

local hvlua = os.getenv("HVLUA") or "build/bin/hvlua"

local SERVER = [[
  local hv = require "hv"
  local app = hv.http.app { request_timeout = %d, body_timeout = 2000, idle_timeout = 600000,
    write_timeout = 2000, max_connections = 20000 }
  local server
  local large = ("x"):rep(4 * 1024 * 1024)
  app:get("/", function() return "hello" end)
  app:get("/large", function() return large end)
  app:get("/count", function() return { json = { count = server:count() } } end)
  app:post("/", function(req) return { json = { length = #(req:body() or "") } } end)
  server = assert(app:listen { host = "127.0.0.1", port = 0 })
  print(server:port())
  io.stdout:flush()
]]

local function exchange(conn, request)
  assert(conn:write(request))
  local head = assert(conn:read_until("\r\n\r\n"))
  local length = tonumber(head:match("[Cc]ontent%-[Ll]ength: (%d+)"))
  return tonumber(head:match("^HTTP/1.1 (%d+)")), length > 0 and assert(conn:read(length)) or ""
end

describe("a server", function()
  local process, port

  local function connect()
    return assert(hv.tcp.connect { host = "127.0.0.1", port = port, timeout = 30000 })
  end

  local function ask(request)
    local conn = connect()
    local status, body = exchange(conn, request)
    conn:close()
    assert.equal(200, status)
    return body
  end

  local function count()
    return json.decode(ask "GET /count HTTP/1.1\r\nHost: h\r\n\r\n").count
  end

  local function start(request_timeout)
    process = assert(hv.process.spawn { hvlua, "-e", SERVER:format(request_timeout),
      stdout = "pipe" })
    port = tonumber((assert(process.stdout:read_line())))
  end

  after_each(function()
    process:kill("kill")
    process:wait()
    process.stdout:close()
  end)

  it("serves the others while slowhttptest attacks in four ways at once", function()
    start(2000)
    local url = ("http://127.0.0.1:%d/"):format(port)
    local attacks, running = {
      { "-H" }, -- slowloris: heads that never end
      { "-B", "-s", "8192" }, -- bodies that trickle
      { "-R", "-a", "10", "-b", "3000" }, -- many overlapping ranges
      { "-X", "-w", "16", "-y", "32", "-n", "1", "-z", "8", "-u", url .. "large" }, -- slow readers
    }, 0
    for _, attack in ipairs(attacks) do
      local words = { "slowhttptest", "-c", "150", "-r", "150", "-i", "1", "-l", "4", "-p", "20",
        stdout = "null", stderr = "null" }
      for _, word in ipairs(attack) do words[#words + 1] = word end
      if attack[1] ~= "-X" then
        words[#words + 1] = "-u"
        words[#words + 1] = url
      end
      local tool = assert(hv.process.spawn(words))
      running = running + 1
      hv.go(function()
        tool:wait()
        running = running - 1
      end)
    end
    local rounds, most = 0, 0
    while running > 0 do
      assert.equal("hello", ask "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
      assert.equal(5, json.decode(ask(
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello")).length)
      rounds, most = rounds + 1, math.max(most, count())
      hv.sleep(10)
    end
    assert.is_true(rounds > 0 and most > 100, most .. " connections at the most: no attack")
    while count() > 1 do hv.sleep(50) end
  end)

  it("serves 1,000 active connections beside 10,000 idle ones", function()
    start(600000) -- all of them are opened before the first asks
    local idle, active = {}, {}
    for i = 1, 10000 do
      idle[i] = connect()
    end
    for i = 1, 1000 do active[i] = connect() end
    for _, conn in ipairs(idle) do
      assert(conn:write "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
    end
    for _, conn in ipairs(idle) do assert(conn:read_until "hello") end
    local tasks = {}
    for i, conn in ipairs(active) do
      tasks[i] = hv.go(function()
        for _ = 1, 10 do
          local status, body = exchange(conn, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
          assert(status == 200 and body == "hello")
        end
        return true
      end)
    end
    for _, task in ipairs(tasks) do assert(task:join()) end
    assert.equal(11001, count())
    for _, conn in ipairs(idle) do conn:close() end
    for _, conn in ipairs(active) do conn:close() end
    while count() > 1 do hv.sleep(50) end
  end)
end)
