--- hv.redis against Debian's redis-server: calls, values, pipelines, transactions, scripts.
local hv = require "hv"
local certs_of = require "certs"
local helper = require "helper"
local servers = require "redis_server"

local null = hv.redis.null

describe("hv.redis", function()
  local server, r

  setup(function()
    server = servers.start()
    r = assert(hv.redis.connect { port = server.port })
  end)

  teardown(function()
    r:close()
    server:stop()
  end)

  before_each(function() assert(r:flushall()) end)

  describe("calls", function()
    it("are methods by the command's name, in any case by call", function()
      assert.are.equal("OK", r:set("k", "v"))
      assert.are.equal("v", r:get("k"))
      assert.are.equal("v", r:call("GET", "k"))
      assert.are.equal("v", r:call("get", "k"))
    end)

    it("join words by underscores", function()
      assert.are.equal("OK", r:client_setname("spec"))
      assert.are.equal("spec", r:client_getname())
    end)

    it("return null for nothing, which is JSON's", function()
      assert.are.equal(null, r:get("k"))
      assert.are.equal(hv.json.null, null)
      assert.are.same({ null, null }, r:mget("a", "b"))
    end)

    it("carry any bytes", function()
      local bytes = {}
      for i = 0, 255 do bytes[i + 1] = string.char(i) end
      bytes = table.concat(bytes) .. "\r\n$5\r\n"
      r:set("k", bytes)
      assert.are.equal(bytes, r:get("k"))
      r:set("", "")
      assert.are.equal("", r:get(""))
    end)

    it("carry megabytes", function()
      local big = ("0123456789abcdef"):rep(500000)
      assert.are.equal("OK", r:set("k", big))
      assert.is_true(r:get("k") == big)
      assert.are.equal(16, #r:getrange("k", 0, 15))
    end)

    it("take numbers, whole and exact", function()
      r:set("k", 2 ^ 53)
      assert.are.equal("9007199254740992", r:get("k"))
      r:set("k", 0.1)
      assert.are.equal(0.1, tonumber(r:get("k")))
      r:set("k", -7)
      assert.are.equal("-7", r:get("k"))
      r:set("k", 9007199254740993LL)
      assert.are.equal("9007199254740993", r:get("k"))
    end)

    it("take lists as their items, tables as their pairs", function()
      assert.are.equal(3, r:rpush("list", { "a", "b", 3 }))
      assert.are.same({ "a", "b", "3" }, r:lrange("list", 0, -1))
      assert.are.equal(2, r:hset("hash", { a = 1, b = 2 }))
      assert.are.same({ a = "1", b = "2" }, r:hgetall("hash"))
    end)

    it("throw for what cannot be sent", function()
      assert.has_error(function() r:set("k", true) end,
        "hv.redis: SET: argument 2 must be a string, a number or a table of them, got boolean")
      local _, message = pcall(function() r:set("k", true) end)
      assert.is_truthy(message:find("redis_spec.lua:%d+: hv.redis"))
      assert.has_error(function() r:set("k", null) end)
      assert.has_error(function() r:set("k", { { 1 } }) end)
      assert.has_error(function() r:call(1) end)
      assert.are.equal(null, r:get("k"))
    end)

    it("give what the server says no to as nil, message, code, kind", function()
      r:set("k", "text")
      local reply, message, code, kind = r:lpush("k", 1)
      assert.is_nil(reply)
      assert.are.equal("LPUSH: WRONGTYPE Operation against a key holding the wrong kind of value",
        message)
      assert.are.equal("EREDIS", code)
      assert.are.equal("WRONGTYPE", kind)
      assert.are.equal("ERR", (select(4, r:no_such_command())))
    end)

    it("have the form with a function", function()
      local note, calls = helper.recorder()
      r:set("k", "v", note)
      r:get("k", note)
      r:lpush("k", 1, note)
      assert.are.equal(0, #calls)
      helper.eventually(function() return #calls == 3 end)
      assert.are.same({ n = 1, "OK" }, calls[1])
      assert.are.equal("v", calls[2][1])
      assert.are.equal("EREDIS", calls[3][3])
    end)

    it("refuse what would mix replies up", function()
      for _, name in ipairs { "subscribe", "monitor", "hello", "quit", "multi", "watch" } do
        assert.has_error(function() r:call(name, "x") end)
      end
      assert.has_error(function() r:client_reply("OFF") end)
      assert.are.equal("PONG", r:ping())
    end)
  end)

  describe("values", function()
    local function both(fn)
      for version = 2, 3 do
        local c = assert(hv.redis.connect { port = server.port, protocol = version })
        assert.are.equal(version, c:protocol())
        fn(c, version)
        c:close()
      end
    end

    it("of maps are tables under both protocols", function()
      both(function(c)
        c:hset("h", "a", 1)
        assert.are.same({ a = "1" }, c:hgetall("h"))
        assert.are.same({}, c:hgetall("none"))
        assert.are.same({ maxmemory = "0" }, c:config_get("maxmemory"))
        assert.are.same({ { a = "1" }, { maxmemory = "0" } },
          c:pipeline():hgetall("h"):config_get("maxmemory"):exec())
      end)
    end)

    it("of integers beyond 2^53 are 64-bit", function()
      assert.are.equal(9007199254740992, r:incrby("n", "9007199254740992"))
      assert.are.equal(9007199254740993LL, r:incr("n"))
      assert.are.equal("cdata", type(r:incr("n")))
      assert.are.equal(-9223372036854775807LL, r:decrby("m", "9223372036854775807"))
    end)

    it("of RESP3 have types of their own", function()
      assert.are.equal(3.141, r:debug("PROTOCOL", "double"))
      assert.are.equal("1234567999999999999999999999999999999", r:debug("PROTOCOL", "bignum"))
      assert.are.equal(true, r:debug("PROTOCOL", "true"))
      assert.are.equal(false, r:debug("PROTOCOL", "false"))
      assert.are.equal(null, r:debug("PROTOCOL", "null"))
      assert.are.equal("This is a verbatim\nstring", r:debug("PROTOCOL", "verbatim"))
      assert.are.same({ 0, 1, 2 }, r:debug("PROTOCOL", "set"))
      assert.are.same({ [0] = false, [1] = true, [2] = false }, r:debug("PROTOCOL", "map"))
      assert.are.equal("Some real reply following the attribute", r:debug("PROTOCOL", "attrib"))
    end)
  end)

  describe("pipelines", function()
    it("answer 10,000 commands in their order", function()
      local p = r:pipeline()
      for i = 1, 5000 do p:set("k" .. i, i):get("k" .. i) end
      assert.are.equal(10000, p:count())
      local replies = assert(p:exec())
      assert.are.equal(10000, #replies)
      for i = 1, 5000 do
        assert.are.equal("OK", replies[2 * i - 1])
        assert.are.equal(tostring(i), replies[2 * i])
      end
      assert.are.equal(0, p:count())
    end)

    it("hold errors as values", function()
      local replies = r:pipeline():set("k", "v"):lpush("k", 1):call("GET", "k"):exec()
      assert.are.equal("OK", replies[1])
      assert.is_true(hv.redis.is_error(replies[2]))
      assert.are.equal("WRONGTYPE", replies[2].kind)
      assert.are.equal(replies[2].message, tostring(replies[2]))
      assert.are.equal("v", replies[3])
      assert.is_false(hv.redis.is_error(replies[3]))
    end)

    it("join words by underscores, too", function()
      local replies = r:pipeline():client_setname("piped"):client_getname():config_get("save")
        :exec()
      assert.are.same({ "OK", "piped", { save = "" } }, replies)
    end)

    it("may be empty, dropped and used again", function()
      local p = r:pipeline()
      assert.are.same({}, p:exec())
      p:set("k", 1):discard()
      assert.are.same({ null }, p:get("k"):exec())
      assert.are.same({ null }, p:get("k"):exec())
    end)

    it("refuse what has no place there", function()
      assert.has_error(function() r:pipeline():subscribe("x") end)
      assert.has_error(function() r:pipeline():call("multi") end)
      assert.has_error(function() r:pipeline():set("k", false) end)
    end)

    it("are made by themselves of what tasks call at the same time", function()
      local links = {}
      hv.scope(function(s)
        for i = 1, 1000 do
          s:go(function()
            assert.are.equal("OK", r:set("k" .. i, i))
            assert.are.equal(tostring(i), r:get("k" .. i))
            links[i] = true
          end)
        end
      end)
      assert.are.equal(1000, #links)
    end)
  end)

  describe("transactions", function()
    it("run as one", function()
      assert.are.same({ "OK", 6, "6" }, r:multi():set("k", 5):incr("k"):get("k"):exec())
      local tx = r:multi()
      assert.are.same({}, tx:exec())
    end)

    it("say which command was refused", function()
      local reply, message, code = r:multi():set("k"):exec()
      assert.is_nil(reply)
      assert.is_truthy(message:find("wrong number of arguments", 1, true))
      assert.are.equal("EREDIS", code)
      assert.are.equal("PONG", r:ping())
    end)

    it("hold the error of one command as a value", function()
      local replies = r:multi():set("k", "v"):lpush("k", 1):exec()
      assert.are.equal("OK", replies[1])
      assert.is_true(hv.redis.is_error(replies[2]))
    end)

    it("that read first count without losing anything", function()
      r:set("n", 0)
      hv.scope(function(s)
        for _ = 1, 8 do
          s:go(function()
            for _ = 1, 5 do
              assert(r:transaction("n", function(c, tx)
                tx:set("n", tonumber(c:get("n")) + 1)
              end, 1000))
            end
          end)
        end
      end)
      assert.are.equal("40", r:get("n"))
    end)

    it("give up after some tries", function()
      local tries = 0
      local reply, _, code = r:transaction("n", function(_, tx)
        tries = tries + 1
        r:incr("n")
        tx:get("n")
      end, 3)
      assert.is_nil(reply)
      assert.are.equal("EAGAIN", code)
      assert.are.equal(3, tries)
    end)

    it("may decide against it, and may throw", function()
      assert.are.same({}, r:transaction("n", function() return false end))
      assert.has_error(function() r:transaction("n", function() error("mine", 0) end) end, "mine")
      assert.are.equal("PONG", r:ping())
    end)
  end)

  describe("scripts", function()
    it("go by their digest, with the source where it is not known", function()
      local script = r:script("return { KEYS[1], ARGV[1], #KEYS }")
      assert.are.same({ "k", "1", 1 }, script:run("k", 1))
      assert.are.same({ "k", "2", 2 }, script({ "k", "l" }, 2))
      assert.are.equal(1, r:script("return #ARGV")(nil, "a"))
      r:call("SCRIPT", "FLUSH")
      assert.are.same({ "k", "3", 1 }, script:run({ "k" }, 3))
      assert.are.equal(1, r:script_exists(script.sha)[1])
    end)

    it("give their errors", function()
      local _, message, code = r:script("return redis.error_reply('MINE it is so')"):run()
      assert.is_truthy(message:find("MINE it is so", 1, true))
      assert.are.equal("EREDIS", code)
    end)
  end)

  describe("commands that wait on the server", function()
    it("hold nobody else up", function()
      local popped
      local task = hv.go(function() popped = r:blpop("list", 0) end)
      for _ = 1, 10 do assert.are.equal("PONG", r:ping()) end
      assert.is_nil(popped)
      r:rpush("list", "x")
      task:join()
      assert.are.same({ "list", "x" }, popped)
    end)

    it("end after their own time", function()
      assert.are.equal(null, r:blpop("list", 0.01))
      assert.are.equal(null, r:xread("BLOCK", 10, "STREAMS", "s", "$"))
    end)

    it("take nothing once they are cancelled", function()
      local task = hv.go(function() r:blpop("list", 0) end)
      helper.eventually(function()
        return r:info("clients"):match("blocked_clients:(%d+)") == "1"
      end)
      task:cancel()
      helper.eventually(function()
        return r:info("clients"):match("blocked_clients:(%d+)") == "0"
      end)
      r:rpush("list", "x")
      assert.are.equal("x", r:lpop("list"))
    end)
  end)

  describe("borrow", function()
    it("gives a connection of one's own, and keeps it for the next", function()
      local first = r:borrow(function(c)
        assert.are.equal("OK", c:set("k", 1))
        return c:client_id()
      end)
      assert.are_not.equal(first, r:client_id())
    end)

    it("does not hand on one that was changed", function()
      r:borrow(function(c) c:select(3) end)
      r:borrow(function(c)
        c:set("k", "here")
      end)
      assert.are.equal("here", r:get("k"))
    end)

    it("waits where all are taken", function()
      local c = assert(hv.redis.connect { port = server.port, max_borrowed = 1, timeout = 300 })
      c:borrow(function()
        local _, message, code = c:borrow(function() end)
        assert.are.equal("ETIMEDOUT", code)
        assert.is_truthy(message:find("all connections are borrowed", 1, true))
      end)
      assert.are.equal(7, c:borrow(function() return 7 end))
      c:close()
    end)
  end)

  describe("connect", function()
    it("takes host:port, paths and URLs", function()
      for _, given in ipairs {
        "127.0.0.1:" .. server.port, server.dir .. "/socket",
        "unix://" .. server.dir .. "/socket?db=2",
        ("redis://127.0.0.1:%d/2"):format(server.port),
        { url = ("redis://127.0.0.1:%d"):format(server.port), db = 2 },
      } do
        local c = assert(hv.redis.connect(given))
        assert.are.equal("PONG", c:ping())
        c:close()
      end
      local c = hv.redis.connect(("redis://127.0.0.1:%d/2"):format(server.port))
      assert.is_truthy(c:client_info():find(" db=2 ", 1, true))
      c:close()
    end)

    it("throws for options that it does not know", function()
      assert.has_error(function() hv.redis.connect { prot = 1 } end)
      assert.has_error(function() hv.redis.connect { protocol = 4 } end)
      assert.has_error(function() hv.redis.connect "http://x" end)
      assert.has_error(function() hv.redis.connect "nonsense" end)
      assert.has_error(function() hv.redis.connect { size = 0 } end)
    end)

    it("sends a name, a password and a user", function()
      r:config_set("requirepass", "secret")
      r:acl_setuser("ann", "on", ">hers", "~*", "+@all")
      local function try(options)
        options.port = server.port
        local c, message, code, kind = hv.redis.connect(options)
        if c then
          local who = c:acl_whoami()
          c:close()
          return who
        end
        return message, code, kind
      end
      for version = 2, 3 do
        assert.are.equal("default", try { password = "secret", name = "me", protocol = version })
        assert.are.equal("ann", try { username = "ann", password = "hers", protocol = version })
        local message, code = try { password = "wrong", protocol = version }
        assert.is_truthy(message:find("WRONGPASS", 1, true))
        assert.are.equal("EREDIS", code)
      end
      assert.are.equal("ann", try {
        url = ("redis://ann:hers@127.0.0.1:%d"):format(server.port) })
      r:config_set("requirepass", "")
      r:acl_deluser("ann")
    end)

    it("returns why there is no connection", function()
      local c, message, code = hv.redis.connect { port = helper.free_port() }
      assert.is_nil(c)
      assert.is_truthy(message:find("connection refused", 1, true))
      assert.are.equal("ECONNREFUSED", code)
    end)

    it("speaks TLS, and checks who is there", function()
      local certs = certs_of.new()
      local own = certs:issue("localhost", "DNS:localhost,IP:127.0.0.1")
      local port = helper.free_port()
      local secure = servers.start("--tls-port", tostring(port), "--tls-cert-file", own.cert,
        "--tls-key-file", own.key, "--tls-ca-cert-file", certs.ca, "--tls-auth-clients", "no")
      local c = assert(hv.redis.connect {
        url = ("rediss://127.0.0.1:%d"):format(port), tls = { ca = certs.ca } })
      local big = ("x"):rep(300000)
      assert.are.equal("OK", c:set("k", big))
      assert.is_true(c:get("k") == big)
      local note, calls = helper.recorder()
      c:subscribe("news", note)
      c:publish("news", "x")
      helper.eventually(function() return #calls == 1 end)
      c:close()
      local _, _, code = hv.redis.connect(("rediss://127.0.0.1:%d"):format(port))
      assert.are.equal("ETLS", code)
      secure:stop()
      certs:remove()
    end)

    it("may make several connections, which share the calls", function()
      local c = assert(hv.redis.connect { port = server.port, size = 3 })
      local ids = {}
      for _ = 1, 9 do ids[c:client_id()] = true end
      local count = 0
      for _ in pairs(ids) do count = count + 1 end
      assert.are.equal(3, count)
      c:close()
    end)
  end)

  it("leaves nothing open after close", function()
    local before = helper.active()
    local c = assert(hv.redis.connect { port = server.port, size = 2 })
    c:subscribe("x", function() end)
    c:borrow(function() end)
    local waiting = hv.go(function() return c:blpop("never", 0) end)
    hv.sleep(0)
    c:close()
    c:close()
    assert.are.equal("ECLOSED", (select(3, c:get("k"))))
    assert.are.equal("ECLOSED", (select(3, waiting:join())))
    assert.are.equal("ECLOSED", (select(3, c:borrow(function() end))))
    helper.nothing_left(before)
  end)

  it("is shown by examples/redis.lua", function()
    local text, status = helper.hvlua { "examples/redis.lua", "127.0.0.1:" .. server.port }
    assert.are.equal(0, status)
    for _, line in ipairs { "name\tAnn", "nothing\ttrue", "list\ta b c\thash\t1", "sum\t500500",
      "visits\t100", "half\t250250", "first two\ta b", "news\tit works", "queue\tjob",
      "deleted\ttrue" } do
      assert.is_truthy(text:find(line .. "\n", 1, true), text)
    end
    assert.are.equal(0, r:dbsize())
    assert.are.equal(2, (select(2, helper.hvlua { "examples/redis.lua" })))
  end)

  it("shows its state", function()
    assert.are.equal(("hv.redis{open 127.0.0.1:%d, 0 waiting}"):format(server.port), tostring(r))
    assert.are.equal(12182, hv.redis.slot("foo"))
  end)
end)
