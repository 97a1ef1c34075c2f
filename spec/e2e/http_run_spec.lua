-- What `make run` starts: the example answers every route of the tutorial by the real curl, stands
-- the load of wrk and ab without an error, and needs no more memory after many requests than after
-- few. Runs of a tool are left out where it is not installed.
local hv = require "hv"
local json = require "hv.json"

local hvlua = os.getenv("HVLUA") or "build/bin/hvlua"

local pid, base

--- Waits for is_so(); whoever runs the specs limits the time.
local function wait_until(is_so)
  repeat
    local value = is_so()
    if not value then hv.sleep(10) end
  until value
  return true
end

local function output_of(words)
  local result = assert(hv.process.run(words))
  assert.equal(0, result.status, result.stderr)
  return result.stdout
end

local function curl(path, ...)
  local text = output_of { "curl", "-s", "-m", "20", "-w", "\n%{http_code} %{content_type}",
    base .. path, ... }
  return text:match("^(.*)\n(%d+) (.*)$")
end

--- Resident memory in kilobytes, once nothing has changed for a moment.
local function settled_memory()
  local last
  wait_until(function()
    local file = assert(io.open(("/proc/%d/status"):format(pid)))
    local now = tonumber(file:read("*a"):match("VmRSS:%s*(%d+)"))
    file:close()
    local is_settled = now == last
    last = now
    hv.sleep(50)
    return is_settled
  end)
  return last
end

describe("the example that make run starts", function()
  local process

  setup(function()
    -- As make run does, but on a free port, which the example prints.
    local makefile = assert(io.open("Makefile")):read("*a")
    assert.matches("build/bin/hvlua examples/http_server.lua", makefile, 1, true)
    -- What a sanitizer keeps of freed memory would look like growth.
    local sanitizer = (os.getenv("ASAN_OPTIONS") or "") ..
      ":quarantine_size_mb=0:thread_local_quarantine_size_kb=0"
    process = assert(hv.process.spawn { "env", "ASAN_OPTIONS=" .. sanitizer, hvlua,
      "examples/http_server.lua", "0", stdout = "pipe" })
    pid = process.pid
    assert.matches("^listening", (assert(process.stdout:read_line())))
    base = assert(process.stdout:read_line()):match("(http://127%.0%.0%.1:%d+)/ping")
  end)

  teardown(function()
    process:kill("kill")
    process:wait()
    process.stdout:close()
  end)

  it("answers every route by curl", function()
    assert.same({ "pong", "200", "text/plain" }, { curl("/ping") })
    assert.same({ "0123456789", "200", "application/octet-stream" }, { curl("/data") })
    local paths = json.decode((curl("/paths")))
    table.sort(paths)
    assert.same({ "/", "/chat", "/clock", "/dashboard.css", "/dashboard.js", "/data", "/echo",
      "/form", "/group/:group_name/user/:user_id", "/json", "/kv", "/metrics", "/numbers",
      "/panels.js", "/paths", "/ping", "/query", "/upload" }, paths)
    assert.equal("hello,world", (curl("/echo", "-d", "hello,world")))
    assert.same({ page_no = "1", page_size = "10" },
      json.decode((curl("/query?page_no=1&page_size=10"))))
    local expected = { user = "admin", pswd = "123456" }
    assert.same(expected, json.decode((curl("/kv", "-H",
      "Content-Type:application/x-www-form-urlencoded", "-d", "user=admin&pswd=123456"))))
    assert.same(expected, json.decode((curl("/json", "-H", "Content-Type:application/json",
      "-d", '{"user":"admin","pswd":"123456"}'))))
    assert.same(expected, json.decode((curl("/form", "-F", "user=admin", "-F", "pswd=123456"))))
    assert.same({ group_name = "test", user_id = "123" },
      json.decode((curl("/group/test/user/123", "-X", "DELETE"))))
    local page, status, kind = curl("/")
    assert.same({ "200", "text/html; charset=utf-8" }, { status, kind })
    assert.truthy(page:find("<h1>hvlua</h1>", 1, true))
  end)

  it("answers HEAD, many at once and a large body by curl", function()
    local head = output_of { "curl", "-s", "-I", "-m", "20", base .. "/ping" }
    assert.matches("^HTTP/1.1 200 OK\r\n", head)
    assert.matches("[Cc]ontent%-[Ll]ength: 4\r\n", head)
    local many = output_of { "curl", "-s", "-m", "20", "-Z", base .. "/ping?[1-50]" }
    assert.equal(("pong"):rep(50), many)
    local large = ("0123456789abcdef"):rep(65536)
    local echoed = assert(hv.process.run { "curl", "-s", "-m", "60", "--data-binary", "@-",
      base .. "/echo", input = large })
    assert.is_true(echoed.stdout == large)
  end)

  it("stands the load of ab without an error, and needs no memory for it", function()
    local memory = {}
    local requests = 20000
    for run = 1, 5 do
      local report = output_of { "ab", "-q", "-k", "-c", "100", "-n", tostring(requests),
        base .. "/ping" }
      assert.equal(requests, tonumber(report:match("Complete requests:%s*(%d+)")))
      assert.equal(0, tonumber(report:match("Failed requests:%s*(%d+)")))
      assert.is_nil(report:match("Non%-2xx[^\n]*"))
      assert.equal(requests, tonumber(report:match("Keep%-Alive requests:%s*(%d+)")))
      memory[run] = settled_memory()
    end
    -- 16 bytes a request would be 938 KiB more between the second run and the fifth. A table that
    -- grows by doubling does so in between, too, as nothing else has come before.
    local growth = memory[5] - memory[2]
    assert.is_true(growth < 800, ("%d KiB more after %s"):format(growth,
      table.concat(memory, ", ")))
  end)

  it("stands the load of wrk without an error", function()
    local report = output_of { "wrk", "-c", "100", "-t", "1", "-d", "2s", base .. "/ping" }
    assert.is_true(tonumber(report:match("(%d+) requests in")) > 100)
    assert.is_nil(report:match("Socket errors[^\n]*"))
    assert.is_nil(report:match("Non%-2xx[^\n]*"))
  end)
end)
