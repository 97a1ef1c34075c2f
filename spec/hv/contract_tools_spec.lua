--- The contract of the Lua API: programs, files, workers, small tools, MQTT, Redis and hvlua.
local contract = require "contract"
local helper = require "helper"
local hv = require "hv"

local both = contract.both
local code_of = contract.code_of
local throws = contract.throws

local LOCAL = "127.0.0.1"

local function nothing() end

-- ---- Tools ----

describe("contract: hv.process", function()
  it("starts programs", function()
    local p = assert(hv.process.spawn { "cat", stdin = "pipe", stdout = "pipe", stderr = "null",
      env = { A = "b", PATH = os.getenv "PATH" }, cwd = "/" })
    assert.is_number(p.pid)
    assert.is_nil(p.stderr)
    assert.is_true(p.stdin:write("hello"))
    assert.is_true(p.stdin:shutdown())
    assert.equal("hello", p.stdout:read(5))
    assert.same({ n = 1, 0 }, (both(p.wait, p)))
    code_of("EOF", p.stdout:read())
    p = assert(hv.process.spawn { "sleep", "1000" })
    code_of("ETIMEDOUT", p:wait(1))
    assert.is_true(p:kill("term"))
    code_of("ESIGNAL", p:wait())
    assert.equal("term", p.signal)
    both(p.wait, p)
    p = assert(hv.process.spawn { "sh", "-c", "exit 3", stdin = "inherit" })
    assert.equal(3, p:wait(60000))
    code_of("ENOENT", hv.process.spawn { "no-such-program" })
  end)
end)

describe("contract: hv.fs", function()
  it("works on files", function()
    local dir = assert(hv.fs.tmpdir())
    local path = dir .. "/file"
    local seen = hv.channel(16)
    local watch = assert(hv.fs.watch(dir, function(event) seen:send(event.name) end))
    both(hv.fs.write, path, "one\n")
    assert.equal("file", seen:recv(60000))
    watch:close()
    assert.is_true(hv.fs.append(path, "two\n"))
    assert.same({ n = 1, "one\ntwo\n" }, (both(hv.fs.read, path)))
    local stat = assert(hv.fs.stat(path))
    assert.same({ 8, "file", "number", "number" },
      { stat.size, stat.type, type(stat.mtime), type(stat.mode) })
    both(hv.fs.stat, path)
    assert.is_true(hv.fs.mkdir(dir .. "/sub"))
    local names = {}
    for name, kind in assert(hv.fs.scan(dir)) do names[name] = kind end
    assert.same({ file = "file", sub = "directory" }, names)
    both(hv.fs.scan, dir)
    assert.is_true(hv.fs.rename(path, dir .. "/other"))
    both(hv.fs.rename, path, dir .. "/other")
    both(hv.fs.mkdir, dir .. "/sub")
    local file = assert(hv.fs.open(dir .. "/other"))
    both(file.read, file, 4, 0)
    both(hv.fs.append, dir .. "/other", "")
    both(hv.fs.open, dir .. "/other")
    assert.equal("one\ntwo\n", file:read())
    code_of("EOF", file:read())
    file:close()
    file = assert(hv.fs.tmpfile())
    assert.is_true(file:write("x"))
    assert.is_true(hv.fs.remove(file.path))
    file:close()
    code_of("ENOENT", hv.fs.read(path))
    code_of("ENOENT", hv.fs.stat(path))
    code_of("ENOENT", hv.fs.watch(path, nothing))
    code_of("EEXIST", hv.fs.mkdir(dir))
    code_of("ENOTEMPTY", hv.fs.remove(dir))
    code_of("EISDIR", hv.fs.read(dir))
    code_of("ENOTDIR", hv.fs.scan(dir .. "/other"))
    both(hv.fs.remove, path)
    assert.is_true(hv.fs.remove(dir, { recursive = true }))
  end)
end)

describe("contract: hv.worker and hv.shared", function()
  it("passes values to a thread and back", function()
    local w = assert(hv.worker.spawn(function(ch, ...)
      ch:send { n = select("#", ...), ... }
      for value in ch:iter() do ch:send(value) end
      return "end", 1
    end, 1, nil, "three"))
    assert.same({ n = 3, 1, nil, "three" }, w:recv())
    both(w.send, w, { deep = { true, "x", 1.5 } }, 60000)
    for _ = 1, 2 do assert.same({ deep = { true, "x", 1.5 } }, w:recv()) end
    code_of("ETIMEDOUT", w:recv(1))
    w:close()
    assert.same({ n = 2, "end", 1 }, (both(w.join, w)))
    code_of("ECLOSED", w:recv())
    code_of("ECLOSED", w:send(1))
    throws("outside", function()
      local outside = 1
      hv.worker.spawn(function() return outside end)
    end)
    local stopped = assert(hv.worker.spawn(function(ch) ch:recv() end))
    assert.is_true(stopped:stop())
    code_of("ECANCELED", stopped:join())
    throws("function", w.send, w, nothing)
  end)

  it("shares a dictionary", function()
    local d = assert(hv.shared.dict("contract", "1M"))
    assert.is_true(d:set("k", "v"))
    assert.equal("v", d:get("k"))
    assert.is_true(d:set("k", { 1, { 2 } }, 100000))
    assert.same({ 1, { 2 } }, d:get("k"))
    code_of("EEXIST", d:add("k", 1))
    assert.equal(1, d:incr("n"))
    assert.equal(3, d:incr("n", 2))
    code_of("ENOTFOUND", d:incr("none", 1, false))
    assert.is_true(d:delete("k"))
    assert.is_false(d:delete("k"))
    assert.is_nil(d:get("k"))
  end)
end)

describe("contract: small tools", function()
  it("hv.log", function()
    local level = hv.log.level("silent")
    for _, name in ipairs { "debug", "info", "warn", "error" } do hv.log[name]("%s %d", name, 1) end
    hv.log.level(level)
  end)

  it("hv.json", function()
    assert.same({ a = { 1, 2 } }, hv.json.decode(hv.json.encode { a = { 1, 2 } }))
    assert.equal("null", hv.json.encode(hv.json.null))
    assert.equal(hv.json.null, hv.json.decode("null"))
  end)

  it("hv.url", function()
    local parts = assert(hv.url.parse("http://u:p@example.org:8080/a/b?c=d#e"))
    assert.same({ "http", "u", "p", "example.org", 8080, "/a/b", "c=d", "e" }, { parts.scheme,
      parts.user, parts.password, parts.host, parts.port, parts.path, parts.query, parts.fragment })
    assert.equal("http://u:p@example.org:8080/a/b?c=d#e", hv.url.build(parts))
  end)

  it("hv.crypto", function()
    local c = hv.crypto
    for name, size in pairs { md5 = 16, sha1 = 20, sha256 = 32, sha512 = 64 } do
      assert.equal(size, #c[name]("data"))
      assert.equal(size, #c.hmac(name, "key", "data"))
    end
    assert.equal("5031fe3d989c6d1537a013fa6e739da23463fdaec3b70137d828e36ace221bd0",
      c.hex(c.hmac("sha256", "key", "data")))
    assert.equal("a\0b", c.unhex(c.hex("a\0b")))
    assert.equal("a\0b", c.unbase64(c.base64("a\0b")))
    code_of("EINVAL", c.unhex("zz"))
    code_of("EINVAL", c.unbase64("*"))
    assert.equal(5, #c.random(5))
    assert.matches("^%x+%-%x+%-4%x+%-%x+%-%x+$", c.uuid())
    assert.same({ true, false }, { c.equal("a", "a"), c.equal("a", "b") })
  end)

  it("hv.metrics", function()
    hv.metrics.counter("contract_total", { help = "x" }):inc()
    hv.metrics.gauge("contract_level"):set(2)
    hv.metrics.histogram("contract_seconds"):observe(0.1)
    local text = hv.metrics.text()
    assert.matches("\ncontract_total 1\n", text)
    assert.matches("\ncontract_level 2\n", text)
    assert.matches("\ncontract_seconds_count 1\n", text)
    for _, word in ipairs { "lag", "connections", "memory" } do assert.matches(word, text) end
  end)
end)

-- ---- Other protocols ----

describe("contract: hv.mqtt", function()
  it("publishes and subscribes", function()
    local broker = require("mosquitto").start()
    local client = assert(hv.mqtt.connect { url = "mqtt://" .. LOCAL .. ":" .. broker.port,
      version = 5, client_id = "contract", clean_start = true, session_expiry = 1000,
      keepalive = 60000, will = { topic = "w", payload = "x", qos = 0, retain = false },
      reconnect = { min_delay = 1 }, queue = 1000, max_inflight = 10 })
    local got = hv.channel(8)
    assert.equal(1, client:subscribe("a/+", { qos = 1 }, function(m) got:send(m) end))
    assert.equal(0, client:subscribe("b", { qos = 0 }))
    assert.is_true(client:publish("a/b", "payload", { qos = 1 }))
    local message = got:recv()
    assert.same({ "a/b", "payload", 1 }, { message.topic, message.payload, message.qos })
    both(client.publish, client, "c", "x", { qos = 2 })
    assert.is_true(client:publish("b", "queued"))
    local next_message, messages = client:messages()
    assert.equal("queued", next_message(messages).payload)
    both(client.unsubscribe, client, "b")
    assert.is_true(client:disconnect())
    code_of("ECLOSED", client:publish("a/b", "x", { qos = 1 }))
    local four = assert(hv.mqtt.connect { host = LOCAL, port = broker.port, version = 4 })
    four:disconnect(0)
    broker:stop()
    code_of("ECONNREFUSED", hv.mqtt.connect { host = LOCAL, port = broker.port })
    both(hv.mqtt.connect, { host = LOCAL, port = broker.port })
  end)
end)

describe("contract: hv.redis", function()
  it("calls, pipelines and subscribes", function()
    local server = require("redis_server").start()
    local r = assert(hv.redis.connect { host = LOCAL, port = server.port, size = 2 })
    assert.equal("OK", r:call("SET", "k", "v"))
    assert.equal("v", r:get("k"))
    both(r.get, r, "k")
    both(hv.redis.connect, { host = LOCAL, port = 1, reconnect = false })
    local p = r:pipeline()
    p:set("a", 1)
    p:incr("a")
    assert.same({ "OK", 2 }, p:exec())
    local got = hv.channel(1)
    local sub = assert(r:subscribe("news", function(message) got:send(message) end))
    r:publish("news", "today")
    assert.equal("today", got:recv())
    sub:close()
    r:close()
    code_of("ECLOSED", r:get("k"))
    server:stop()
  end)
end)

-- ---- The program ----

describe("contract: hvlua", function()
  it("takes the options of lua", function()
    local text = helper.hvlua({ "-e", "print(1)", "-l", "hv", "-", "x" }, "print(..., arg[1])")
    assert.equal("1\nx\tx\n", text)
    assert.matches("^hvlua ", (helper.hvlua { "-v" }))
    local interactive = helper.hvlua({ "-i", "-e", "x = 7" }, "print(x * 6)\n")
    assert.matches("42", interactive)
    assert.equal(1, select(2, helper.hvlua { "--", "no-such-script" }))
    assert.same({ "", 3 }, { helper.run "require('hv').stop(3)" })
    assert.equal(1, select(2, helper.run "error('x')"))
  end)

  it("takes the options of servers", function()
    local text, status = helper.hvlua { "-h" }
    assert.equal(0, status)
    for _, option in ipairs { "-c", "-t", "-s", "-d", "-p", "-w", "-h", "--watch", "--pidfile",
      "--log" } do
      assert.is_truthy(text:find("\n  " .. option, 1, true), option)
    end
    local script, config = os.tmpname(), os.tmpname()
    assert(hv.fs.write(script, "print(require('hv').port, require('hv').config.key)\n"))
    assert(hv.fs.write(config, "port = 7\nkey = v\n"))
    assert.equal(0, select(2, helper.hvlua { "-t", "-c", config, script }))
    assert.matches("1234\tnil", (helper.hvlua { "-p", "1234", script }))
    os.remove(script)
    os.remove(config)
  end)
end)
