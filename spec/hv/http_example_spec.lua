-- The examples, each as a program of its own, asked with curl as the tutorials do.
local helper = require "helper"
local hv = require "hv"
local json = require "hv.json"

local hvlua = os.getenv("HVLUA") or "build/bin/hvlua"
local build = os.getenv("HV_BUILD_DIR") or "build"

local function exists(path)
  local file = io.open(path)
  if file then file:close() end
  return file ~= nil
end

local function run(command)
  local pipe = assert(io.popen(command))
  local text = pipe:read("*a")
  pipe:close()
  return text
end

--- Starts a program that is given its port where the command has a %d, and waits until it listens.
local function start(command)
  local port = helper.free_port()
  local pid = run((command .. " >/dev/null 2>&1 & echo $!"):format(port)):match("%d+")
  for _ = 1, 500 do
    local conn = hv.tcp.connect { host = "127.0.0.1", port = port, timeout = 1000 }
    if conn then
      conn:close()
      return pid, port
    end
    hv.sleep(10)
  end
  error("does not listen: " .. command)
end

local function each_example(name, command, more)
  describe(name, function()
    local pid, port

    setup(function()
      pid, port = start(command)
    end)

    teardown(function()
      os.execute("kill " .. pid)
    end)

    local function url_of(path) return ("http://127.0.0.1:%d%s"):format(port, path) end

    --- The body and the status and type of what curl gets.
    local function curl(path, arguments)
      local text = run(("curl -s -m 10 -w '\\n%%{http_code} %%{content_type}' %s '%s'"):format(
        arguments or "", url_of(path)))
      return text:match("^(.*)\n(%d+) (.*)$")
    end

    it("says pong", function()
      assert.are.same({ "pong", "200", "text/plain" }, { curl("/ping") })
    end)

    it("gives data", function()
      assert.are.same({ "0123456789", "200", "application/octet-stream" }, { curl("/data") })
    end)

    it("lists its paths", function()
      local body, status, kind = curl("/paths")
      assert.are.same({ "200", "application/json" }, { status, kind })
      local found = {}
      for _, path in ipairs(json.decode(body)) do found[path] = true end
      for _, path in ipairs { "/ping", "/data", "/paths", "/echo" } do
        assert.is_true(found[path])
      end
    end)

    it("echoes a body with its type", function()
      assert.are.same({ "hello,world", "200", "application/x-www-form-urlencoded" },
        { curl("/echo", "-d 'hello,world'") })
    end)

    it("echoes a body that curl asks leave for", function()
      local body = curl("/echo", "-H 'Expect: 100-continue' -H 'Transfer-Encoding: chunked' -d abc")
      assert.are.equal("abc", body)
    end)

    it("says 404 and 405", function()
      assert.are.equal("404", (select(2, curl("/none"))))
      assert.are.equal("405", (select(2, curl("/ping", "-X PUT"))))
    end)

    if more then more(curl, url_of) end
  end)
end

each_example("examples/http_server.lua", hvlua .. " examples/http_server.lua %d", function(curl)
  it("decodes a query", function()
    assert.are.same({ page_no = "1", page_size = "10" },
      json.decode((curl("/query?page_no=1&page_size=10"))))
  end)

  it("decodes forms of both kinds and JSON", function()
    local expected = { user = "admin", pswd = "123456" }
    assert.are.same(expected, json.decode((curl("/kv",
      "-H 'Content-Type:application/x-www-form-urlencoded' -d 'user=admin&pswd=123456'"))))
    assert.are.same(expected, json.decode((curl("/form", "-F user=admin -F pswd=123456"))))
    assert.are.same({ user = "admin pswd=123456" },
      json.decode((curl("/form", "-F 'user=admin pswd=123456'"))))
    assert.are.same(expected, json.decode((curl("/json",
      [[-H 'Content-Type:application/json' -d '{"user":"admin","pswd":"123456"}']]))))
    assert.are.equal("400", (select(2, curl("/json", "-d '{'"))))
  end)

  it("takes values from the path", function()
    assert.are.same({ group_name = "test", user_id = "123" },
      json.decode((curl("/group/test/user/123", "-X DELETE"))))
  end)

  it("has a page for browsers", function()
    local body, _, kind = curl("/")
    assert.are.equal("text/html; charset=utf-8", kind)
    assert.is_truthy(body:find("<h1>", 1, true))
  end)
end)

local c_example = build .. "/bin/examples/http_server"
if exists(c_example) then
  each_example("examples/http_server.c", c_example .. " %d examples", function(curl, url_of)
    it("takes values from the path", function()
      assert.are.equal("group_name=test\nuser_id=123\n",
        (curl("/group/test/user/123", "-X DELETE")))
    end)

    it("counts what is uploaded", function()
      local file = assert(io.open("examples/http_server.lua"))
      local size = #file:read("*a")
      file:close()
      local twice = "-F note=x -F a=@examples/http_server.lua -F b=@examples/http_server.lua"
      assert.are.same({ ("files=2\nbytes=%d\n"):format(2 * size), "200", "text/plain" },
        { curl("/upload", twice) })
      assert.are.equal("415", (select(2, curl("/upload", "-d x"))))
      assert.are.equal("400", (select(2, curl("/upload",
        "-H 'Content-Type: multipart/form-data; boundary=b' -d 'no boundary in it'"))))
    end)

    it("answers in pieces, however slowly they are taken", function()
      local last = 120000 -- more than the queue holds
      local digest = run(("seq %d | sha256sum"):format(last))
      assert.are.equal(digest, run(("curl -s -m 60 --limit-rate 8M '%s' | sha256sum"):format(
        url_of("/numbers/" .. last))))
      run(("curl -s -m 10 '%s' | head -c 100"):format(url_of("/numbers/9000000")))
      assert.are.equal("1\n2\n", (curl("/numbers/2")))
      assert.are.equal("", (curl("/numbers/none")))
    end)

    it("serves files", function()
      local body, status = curl("/files/http_server.c", "-r 0-15")
      assert.are.same({ "/* http_server.c", "206" }, { body, status })
      assert.are.equal("404", (select(2, curl("/files/../README.md", "--path-as-is"))))
    end)
  end)
end
