--- examples/httpd.lua as the tutorials run it: in the background, from a configuration, asked by
--- curl itself and by examples/curl.lua.
local helper = require "helper"
local hv = require "hv"

local hvlua = os.getenv("HVLUA") or "build/bin/hvlua"
local here = assert(io.popen("pwd")):read("*l")
if hvlua:sub(1, 1) ~= "/" then hvlua = here .. "/" .. hvlua end

local dir, port

local function run(...)
  local words = { ... }
  words.cwd, words.stderr, words.timeout = dir, "pipe", 60000
  return assert(hv.process.run(words))
end

--- httpd with options behind the script, as bin/httpd takes them.
local function httpd(...) return run(hvlua, here .. "/examples/httpd.lua", ...) end

local function write_config(more)
  assert(hv.fs.write(dir .. "/httpd.conf", ([[
port = %d
worker_processes = 2
document_root = %s/examples/html
access_log = logs/access.log
access_log_format = json
logfile = logs/httpd.log
%s]]):format(port, here, more or "")))
end

setup(function()
  dir = assert(hv.fs.tmpdir())
  port = helper.free_port()
  write_config()
  local result = httpd("-c", "httpd.conf", "-s", "restart", "-d")
  assert.are.same({ 0, "httpd start/running\n" }, { result.status, result.stdout }, result.stderr)
end)

teardown(function()
  httpd("-c", "httpd.conf", "-s", "stop")
  hv.fs.remove(dir, { recursive = true })
end)

local programs = {
  curl = { "curl", "--noproxy", "*", "-s" },
  ["examples/curl.lua"] = { hvlua, here .. "/examples/curl.lua", "-s" },
}

for name, words in pairs(programs) do
  describe("httpd and " .. name, function()
    local function curl(path, ...)
      local command = { unpack(words) }
      command[#command + 1] = ("127.0.0.1:%d%s"):format(port, path)
      for _, word in ipairs { ... } do command[#command + 1] = word end
      command.timeout, command.cwd = 60000, here
      local result = assert(hv.process.run(command))
      assert.are.equal(0, result.status)
      return result.stdout
    end

    local function json(...) return hv.json.decode(curl(...)) end

    it("get the files and listings of the tutorial", function()
      assert.matches("Welcome to httpd!", curl("/"), 1, true)
      assert.matches("readme.txt", curl("/downloads/"), 1, true)
      assert.matches("listed at /downloads/", curl("/downloads/readme.txt"), 1, true)
      assert.matches("Server: httpd/", curl("/", "-i"), 1, true)
    end)

    it("get what the tutorial asks of the API", function()
      assert.are.equal("pong", curl("/ping"))
      assert.are.equal("0123456789", curl("/data"))
      assert.is_true(#json("/paths") > 10)
      assert.are.equal("hello,world!", curl("/echo", "-d", "hello,world!"))
      assert.are.same({ page_no = "1", page_size = "10" },
        json("/query?page_no=1&page_size=10"))
      local form, as_json = "Content-Type:application/x-www-form-urlencoded",
        "Content-Type:application/json"
      local user = { user = "admin", pswd = "123456" }
      assert.are.same(user, json("/kv", "-H", form, "-d", "user=admin&pswd=123456"))
      assert.are.same(user, json("/json", "-H", as_json, "-d", '{"user":"admin","pswd":"123456"}'))
      assert.are.same(user, json("/form", "-F", "user=admin", "-F", "pswd=123456"))
      local typed = { bool = true, int = 123, float = 3.14, string = "hello" }
      assert.are.same(typed, json("/test", "-H", form, "-d",
        "bool=1&int=123&float=3.14&string=hello"))
      assert.are.same(typed, json("/test", "-H", as_json, "-d",
        '{"bool":true,"int":123,"float":3.14,"string":"hello"}'))
      assert.are.same(typed, json("/test", "-F", "bool=1", "-F", "int=123", "-F", "float=3.14",
        "-F", "string=hello"))
      assert.are.same({ group_name = "test", user_id = "123" },
        json("/group/test/user/123", "-X", "DELETE"))
      assert.are.equal(32, #json("/login", "-H", as_json, "-d",
        '{"username":"admin","password":"123456"}').token)
      assert.are.equal(10002, json("/login", "-d", "username=admin&password=1").code)
      assert.are.equal("404 Not Found\n", curl("/none"))
      assert.matches("<h1>405 Method Not Allowed</h1>",
        curl("/ping", "-X", "DELETE", "-H", "Accept: text/html"), 1, true)
    end)

    it("upload a file", function()
      local size = hv.fs.stat(here .. "/LICENSE").size
      assert.are.same({ files = { { name = "LICENSE", size = size } } },
        json("/upload", "-F", "file=@LICENSE"))
      assert.are.equal(hv.fs.read(here .. "/LICENSE"), hv.fs.read(dir .. "/logs/uploads/LICENSE"))
    end)
  end)
end

describe("httpd", function()
  it("tells how it is used, its version and its status", function()
    assert.matches("^Usage: httpd %[hvc:ts:dp:", httpd("-h").stdout)
    assert.matches("^httpd version ", httpd("-v").stdout)
    assert.matches("^httpd version [%d.]+\n$", httpd("-c", "httpd.conf", "-v").stdout)
    local status = httpd("-c", "httpd.conf", "-s", "status").stdout
    assert.matches("^httpd start/running, pid=%d+\n$", status)
  end)

  it("names the line of a mistake in the configuration", function()
    assert(hv.fs.write(dir .. "/bad.conf", "port = 8080\nworker_processes\n"))
    local result = httpd("-c", "bad.conf", "-t")
    assert.matches("bad.conf:2", result.stderr, 1, true)
    assert.are.equal(1, result.status)
    assert.matches("Test confile %[httpd.conf%] OK!", httpd("-c", "httpd.conf", "-t").stdout)
  end)

  it("reloads under the load of wrk without a failed request", function()
    local load = hv.go(function()
      return run("wrk", "-t1", "-c8", "-d2", ("http://127.0.0.1:%d/ping"):format(port)).stdout
    end)
    hv.sleep(300) -- of load
    write_config("home_page = downloads/readme.txt\n")
    assert.are.equal(0, httpd("-c", "httpd.conf", "-s", "reload").status)
    local text = load:join()
    assert.matches("%d%d+ requests in", text)
    assert.not_matches("Socket errors", text)
    assert.not_matches("Non%-2xx", text)
  end)

  it("has written what it was asked", function()
    helper.eventually(function()
      local text = hv.fs.read(dir .. "/logs/access.log") or ""
      return text:find('"target":"\\/query?page_no=1&page_size=10"', 1, true)
        or text:find('"target":"/query?page_no=1&page_size=10"', 1, true)
    end, 10)
  end)
end)
