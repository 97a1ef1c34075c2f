--- hv.redis where things go wrong: servers that die, hang, talk nonsense or come back; calls that
--- are cancelled or take too long. No reply may reach another caller than its own.
local hv = require "hv"
local helper = require "helper"
local servers = require "redis_server"

local quick = { min_delay = 1, max_delay = 20 }

--- Every reply of both protocols, and what it is in Lua.
local null = hv.redis.null
local replies = {
  { "+OK\r\n", "OK" }, { "$5\r\nhe\r\no\r\n", "he\r\no" }, { "$0\r\n\r\n", "" },
  { ":-12\r\n", -12 },
  { "$-1\r\n", null }, { "*-1\r\n", null }, { "_\r\n", null }, { "#t\r\n", true },
  { "#f\r\n", false }, { ",1.25\r\n", 1.25 }, { ",inf\r\n", math.huge },
  { ",-inf\r\n", -math.huge }, { "(12345678901234567890\r\n", "12345678901234567890" },
  { "=8\r\ntxt:text\r\n", "text" }, { "*0\r\n", {} },
  { "*3\r\n:1\r\n*1\r\n+a\r\n$-1\r\n", { 1, { "a" }, null } },
  { "%2\r\n+a\r\n:1\r\n:2\r\n%1\r\n+b\r\n_\r\n", { a = 1, [2] = { b = null } } },
  { "~2\r\n+a\r\n+b\r\n", { "a", "b" } },
  { "|1\r\n+ttl\r\n:3\r\n*1\r\n|1\r\n+x\r\n*0\r\n+v\r\n", { "v" } },
  { "$?\r\n;2\r\nab\r\n;3\r\ncde\r\n;0\r\n", "abcde" }, { "*?\r\n:1\r\n+x\r\n.\r\n", { 1, "x" } },
  { "%?\r\n+a\r\n$?\r\n;0\r\n.\r\n", { a = "" } },
}

describe("hv.redis", function()
  local function fake(answer, options)
    local server = servers.fake(answer)
    options = options or {}
    options.port = server.port
    if options.reconnect == nil then options.reconnect = quick end
    return server, assert(hv.redis.connect(options))
  end

  it("reads every reply at every split", function()
    local reply, split
    local server, r = fake(function(words, conn)
      if words[1] ~= "GET" then return end
      local head, rest = reply:sub(1, split), reply:sub(split + 1)
      conn:write(head)
      hv.sleep(0)
      return rest
    end)
    for _, case in ipairs(replies) do
      reply = case[1]
      for at = 1, #reply do
        split = at
        assert.are.same(case[2], (r:get("k")))
      end
    end
    reply = ",nan\r\n"
    local nan = r:get("k")
    assert.is_true(nan ~= nan)
    reply = "-ERR no\r\n"
    assert.are.same({ nil, "GET: ERR no", "EREDIS", "ERR" }, { r:get("k") })
    reply = "!6\r\nMINE x\r\n"
    assert.are.equal("MINE", (select(4, r:get("k"))))
    r:close()
    server.close()
  end)

  it("takes what is no reply for a failure, and connects again", function()
    local nonsense = true
    local server, r = fake(function(words)
      if words[1] ~= "GET" then return end
      return nonsense and "HTTP/1.1 400 Bad Request\r\n" or "+fine\r\n"
    end)
    local reply, message, code = r:get("k")
    assert.is_nil(reply)
    assert.are.equal("EPROTO", code)
    assert.is_truthy(message:find("^GET: "))
    nonsense = false
    helper.eventually(function() return r:is_open() end)
    assert.are.equal("fine", r:get("k"))
    assert.are.equal(2, server.connections)
    r:close()
    server.close()
  end)

  it("takes a reply that nobody has asked for as the same", function()
    local lost
    local server, r = fake(function(words)
      if words[1] == "GET" then return "+one\r\n+two\r\n" end
    end, { reconnect = false, on_disconnect = function(_, _, code) lost = code end })
    assert.are.equal("one", r:get("k"))
    helper.eventually(function() return lost end)
    assert.are.equal("EPROTO", lost)
    r:close()
    server.close()
  end)

  it("keeps to its limits", function()
    local reply
    local server, r = fake(function(words)
      if words[1] == "GET" then return reply end
    end, { max_bulk = 10, max_reply = 100, max_depth = 2 })
    local function try(text)
      reply = text
      helper.eventually(function() return r:is_open() end)
      local value, _, code = r:get("k")
      return value or code
    end
    assert.are.equal("0123456789", try "$10\r\n0123456789\r\n")
    assert.are.equal("ELIMIT", try "$11\r\n01234567890\r\n")
    assert.are.same({ { 1 } }, try "*1\r\n*1\r\n:1\r\n")
    assert.are.equal("ELIMIT", try "*1\r\n*1\r\n*1\r\n:1\r\n")
    assert.are.equal("ELIMIT", try("*10\r\n" .. ("$10\r\n0123456789\r\n"):rep(10)))
    assert.are.equal("ELIMIT", try "*999999999999\r\n")
    r:close()
    server.close()
  end)

  it("keeps no more messages than max_messages for a function that waits", function()
    local lost, lost_message
    local gate = hv.channel()
    local server, r = fake(function(words)
      if words[1] == "SUBSCRIBE" then return ">3\r\n+subscribe\r\n+c\r\n:1\r\n" end
      if words[1] == "GET" then
        return (">3\r\n+message\r\n+c\r\n+x\r\n"):rep(tonumber(words[2])) .. "+v\r\n"
      end
    end, { max_messages = 20, reconnect = false,
      on_disconnect = function(_, message, code) lost, lost_message = code, message end })
    local heard = 0
    assert(r:subscribe("c", function()
      gate:recv()
      heard = heard + 1
    end))
    -- One is being handled, 20 are kept. Each call has its reply read, whatever comes before it.
    for _ = 1, 7 do assert.are.equal("v", r:get(3)) end
    assert.is_nil(lost)
    local value, _, code = r:get(1)
    assert.is_nil(value)
    assert.are.equal("ELIMIT", code)
    helper.eventually(function() return lost end)
    assert.are.equal("ELIMIT", lost)
    assert.is_truthy(lost_message:find("max_messages", 1, true))
    gate:close()
    helper.eventually(function() return heard >= 21 end) -- what was kept is not lost
    r:close()
    server.close()
    assert.has_error(function() hv.redis.connect { max_messages = 0 } end)
  end)

  it("sends 64-bit integers, refuses other cdata, and keeps a pipeline whole", function()
    local ffi = require "ffi"
    local server, r = fake(function(words)
      if words[1] ~= "HELLO" then return "+" .. table.concat(words, " ") .. "\r\n" end
    end)
    assert.are.equal("INCRBY k -9223372036854775808 18446744073709551615",
      r:incrby("k", -9223372036854775807LL - 1, 18446744073709551615ULL))
    -- What tostring says of it may be code of the user's, which would run in the middle of writing.
    local called = false
    local odd = ffi.metatype("struct { int odd_redis_argument; }", {
      __tostring = function() called = true error "inside" end })
    local p = r:pipeline():set("a", 1)
    for _, bad in ipairs { odd(1), ffi.new("int[1]"), ffi.new("void *") } do
      assert.error_matches(function() r:set("k", bad) end, "must be a string, a number")
      assert.error_matches(function() r:mset { k = bad } end, "must be a string, a number")
      assert.error_matches(function() p:set("k", { "x", bad }) end, "must be a string, a number")
    end
    assert.is_false(called)
    assert.are.equal(1, p:count())
    assert.are.same({ "SET a 1", "GET b" }, p:get("b"):exec())
    r:close()
    server.close()
  end)

  it("subscribes over a new connection where the one for it was lost for good", function()
    local subscriber
    local server, r = fake(function(words, conn)
      if words[1] == "HELLO" then return "-ERR unknown command 'HELLO'\r\n" end
      if words[1] == "SUBSCRIBE" then
        subscriber = conn
        return "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n"
      end
    end, { reconnect = false })
    local note, calls = helper.recorder()
    assert(r:subscribe("c", note))
    subscriber:close()
    helper.eventually(function() return r._subscriber.is_closed end)
    assert(r:subscribe("c", note))
    assert.are.equal(3, server.connections)
    subscriber:write "*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nx\r\n"
    helper.eventually(function() return #calls > 0 end)
    r:close()
    server.close()
  end)

  it("refuses CLIENT REPLY in every form", function()
    local server, r = fake(function() end)
    for _, call in ipairs {
      function() r:call("client", "reply", "off") end,
      function() r:call("CLIENT", { "REPLY", "OFF" }) end,
      function() r:client_reply("off") end,
      function() r:pipeline():client({ "reply", "skip" }) end,
    } do
      assert.error_matches(call, "lose their order")
    end
    r:close()
    server.close()
  end)

  it("lends no connection of a client that was closed meanwhile", function()
    local gate = hv.channel()
    local server, r = fake(function(words, conn, nth)
      if nth == 2 and words[1] == "HELLO" then
        gate:recv()
        conn:write(servers.HELLO)
        return ""
      end
    end)
    local was_run = false
    local borrowing = hv.go(function() return r:borrow(function() was_run = true end) end)
    helper.eventually(function() return server.connections == 2 end)
    r:close()
    gate:close()
    local ok, _, code = borrowing:join()
    assert.is_nil(ok)
    assert.are.equal("ECLOSED", code)
    assert.is_false(was_run)
    server.close()
  end)

  it("believes no cluster that talks nonsense", function()
    local slots
    local server = servers.fake(function(words)
      if words[1] == "CLUSTER" then return slots end
      if words[1] == "GET" then return "-MOVED " .. words[2] .. "\r\n" end
    end)
    local good = ("*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n+127.0.0.1\r\n:%d\r\n"):format(server.port)
    for _, bad in ipairs {
      good:gsub(":16383", ":9007199254740991"), good:gsub(":0", ":-1"), good:gsub(":0", "+x"),
      good:gsub("%+127.0.0.1", ":1"), good:gsub(":" .. server.port, ":70000"),
      good:gsub("%*2\r\n.*", "+x\r\n"), "*1\r\n+x\r\n", "*1\r\n*0\r\n",
    } do
      slots = bad
      local cluster, _, code = hv.redis.cluster { nodes = { "127.0.0.1:" .. server.port } }
      assert.is_nil(cluster)
      assert.are.equal("EPROTO", code, bad)
    end
    slots = "*0\r\n"
    assert.are.equal("EREDIS",
      (select(3, hv.redis.cluster { nodes = { "127.0.0.1:" .. server.port } })))
    slots = good
    local cluster = assert(hv.redis.cluster { nodes = { "127.0.0.1:" .. server.port } })
    for _, target in ipairs { "1 nowhere", "99999 127.0.0.1:1", "1 127.0.0.1:70000", "1 :", "x" } do
      local reply, _, code, kind = cluster:get(target)
      assert.is_nil(reply)
      assert.are.same({ "EREDIS", "MOVED" }, { code, kind })
    end
    cluster:close()
    server.close()
    assert.has_error(function() hv.redis.cluster { nodes = { 5 } } end)
  end)

  it("falls back to RESP2 where HELLO is not known", function()
    local server, r = fake(function(words)
      if words[1] == "HELLO" then return "-ERR unknown command 'HELLO'\r\n" end
      if words[1] == "HGETALL" then return "*2\r\n+a\r\n+1\r\n" end
      return "+OK\r\n"
    end, { password = "x", db = 3, name = "me" })
    assert.are.equal(2, r:protocol())
    assert.are.same({ a = "1" }, r:hgetall("h"))
    assert.are.same({ "AUTH", "x" }, server.commands[2])
    assert.are.same({ "CLIENT", "SETNAME", "me" }, server.commands[3])
    assert.are.same({ "SELECT", "3" }, server.commands[4])
    r:close()
    server.close()
  end)

  it("hands what RESP3 pushes otherwise to on_push", function()
    local note, calls = helper.recorder()
    local server, r = fake(function(words)
      if words[1] == "GET" then return ">2\r\n+invalidate\r\n*1\r\n+k\r\n+v\r\n" end
    end, { on_push = note })
    assert.are.equal("v", r:get("k"))
    helper.eventually(function() return #calls == 1 end)
    assert.are.same({ "invalidate", { "k" } }, calls[1][2])
    r:close()
    server.close()
  end)

  describe("calls in time", function()
    it("end with ETIMEDOUT, and their late reply reaches nobody", function()
      local gate = hv.channel()
      local server, r = fake(function(words)
        if words[1] ~= "ECHO" then return end
        if words[2] == "late" then gate:recv() end
        return "+" .. words[2] .. "\r\n"
      end, { timeout = 20, reconnect = false })
      -- Something must come meanwhile, or else the connection is given up.
      local slow = hv.go(function() return r:echo("late") end)
      local fast = hv.go(function() return r:call("ECHO", "x") end)
      local _, message, code = slow:join()
      assert.are.equal("ETIMEDOUT", code)
      assert.is_truthy(message:find("^ECHO: timed out"))
      fast:join()
      gate:close()
      r:close()
      server.close()
    end)

    it("give a server up that says nothing, and find the new one", function()
      local hangs = true
      local server, r = fake(function(words)
        if words[1] == "HELLO" then return servers.HELLO end
        if hangs then return nil end
        return "+PONG\r\n"
      end, { timeout = 300 })
      assert.are.equal("ETIMEDOUT", (select(3, r:ping())))
      hangs = false
      helper.eventually(function() return r:is_open() end)
      assert.are.equal("PONG", r:ping())
      assert.are.equal(2, server.connections)
      r:close()
      server.close()
    end)

    it("that are cancelled leave no reply to others", function()
      local gate = hv.channel()
      local server, r = fake(function(words)
        if words[2] == "first" then gate:recv() end
        if words[1] == "ECHO" then return "+" .. words[2] .. "\r\n" end
      end)
      local first = hv.go(function() return r:echo("first") end)
      local second = hv.go(function() return r:echo("second") end)
      local third = hv.go(function() return r:pipeline():echo("3a"):echo("3b"):exec() end)
      helper.until_waiting(first, second, third)
      first:cancel()
      third:cancel()
      gate:send(true)
      assert.are.equal("second", second:join())
      assert.are.equal("fourth", r:echo("fourth"))
      r:close()
      server.close()
    end)
  end)

  describe("where the server dies", function()
    it("tells calls in flight ECONNRESET, and calls while it is away ENOTCONN", function()
      local server = servers.start()
      local down
      local r = assert(hv.redis.connect { port = server.port,
        reconnect = { min_delay = 10000, max_delay = 10000 },
        on_disconnect = function(_, _, code) down = code end })
      server:pause()
      local calls = {}
      for i = 1, 10 do calls[i] = hv.go(function() return r:incr("n") end) end
      calls[11] = hv.go(function() return r:pipeline():incr("n"):exec() end)
      helper.until_waiting(unpack(calls))
      server:kill()
      for i = 1, 11 do
        local reply, message, code = calls[i]:join()
        assert.is_nil(reply)
        assert.are.equal("ECONNRESET", code)
        assert.is_truthy(message:find("was lost before the reply", 1, true))
      end
      helper.eventually(function() return down end)
      helper.eventually(function() return tostring(r):find("waiting", 1, true) end)
      local _, message, code
      helper.eventually(function()
        _, message, code = r:ping()
        return code == "ENOTCONN"
      end)
      assert.is_truthy(message:find("not connected: ", 1, true))
      r:close()
      server:stop()
    end)

    it("gives up after max_retries", function()
      local server = servers.start()
      local r = assert(hv.redis.connect { port = server.port,
        reconnect = { min_delay = 1, max_delay = 1, max_retries = 2 } })
      server:kill()
      helper.eventually(function() return tostring(r):find("closed", 1, true) end)
      assert.are.equal("ENOTCONN", (select(3, r:ping())))
      r:close()
      server:stop()
    end)

    it("works again after each of several kills under load, and mixes nothing up", function()
      local server = servers.start()
      local r = assert(hv.redis.connect { port = server.port, reconnect = quick, size = 2 })
      local is_over, answered, failed, wrong = false, 0, 0, 0
      local codes = {}
      local tasks = {}
      for t = 1, 50 do
        tasks[t] = hv.go(function()
          local i = 0
          while not is_over do
            i = i + 1
            local word = t .. ":" .. i
            local reply, _, code = r:echo(word)
            if reply == word then
              answered = answered + 1
            elseif reply ~= nil then
              wrong = wrong + 1
            else
              failed = failed + 1
              codes[code] = true
              hv.sleep(1)
            end
          end
        end)
      end
      for _ = 1, 4 do
        local before = answered
        helper.eventually(function() return answered > before + 500 end)
        local failed_before = failed
        server:kill()
        helper.eventually(function() return failed > failed_before end)
        server:start()
      end
      local before = answered
      helper.eventually(function() return answered > before + 500 end)
      is_over = true
      for t = 1, 50 do tasks[t]:join() end
      assert.are.equal(0, wrong)
      codes.ECONNRESET, codes.ENOTCONN, codes.EPIPE = nil, nil, nil
      assert.are.same({}, codes)
      r:close()
      server:stop()
    end)
  end)

  it("waits with writing where the server takes nothing, and sends all of it later", function()
    local server = servers.start()
    local r = assert(hv.redis.connect { port = server.port, timeout = 0 })
    server:pause()
    local value = ("x"):rep(100000)
    local tasks = {}
    for i = 1, 200 do
      tasks[i] = hv.go(function() return r:set("k" .. i, value) end)
    end
    for _ = 1, 20 do hv.sleep(1) end
    -- 1 MiB is the high-water mark; the rest waits in its tasks, not in memory.
    assert.is_true(r:pending() < 150, r:pending())
    server:resume()
    for i = 1, 200 do assert.are.equal("OK", (tasks[i]:join())) end
    assert.are.equal(200, r:dbsize())
    r:close()
    server:stop()
  end)

  it("notices a peer that has gone without a word, by PING", function()
    local server, r = fake(function() end, { keepalive = 20, timeout = 1000 })
    helper.eventually(function()
      local last = server.commands[#server.commands]
      return last and last[1] == "PING"
    end)
    r:close()
    server.close()
  end)
end)
