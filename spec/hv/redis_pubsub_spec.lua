--- hv.redis: subscriptions, under both protocols.
local hv = require "hv"
local helper = require "helper"
local servers = require "redis_server"

for version = 2, 3 do
  describe("hv.redis subscriptions, RESP" .. version, function()
    local server, r, publisher

    setup(function()
      server = servers.start()
      r = assert(hv.redis.connect { port = server.port, protocol = version })
      publisher = assert(hv.redis.connect { port = server.port })
    end)

    teardown(function()
      r:close()
      publisher:close()
      server:stop()
    end)

    it("give messages in their order, and calls go on beside them", function()
      local note, calls = helper.recorder()
      local sub = assert(r:subscribe("news", note))
      for i = 1, 100 do assert.are.equal(1, publisher:publish("news", i)) end
      assert.are.equal("PONG", r:ping())
      helper.eventually(function() return #calls == 100 end)
      for i = 1, 100 do assert.are.same({ n = 3, tostring(i), "news" }, calls[i]) end
      assert.is_true(sub:close())
      assert.is_true(sub:close())
      assert.are.equal(0, publisher:publish("news", "unheard"))
    end)

    it("match patterns", function()
      local note, calls = helper.recorder()
      local sub = r:psubscribe("news.*", note)
      publisher:publish("news.uk", "rain")
      helper.eventually(function() return #calls == 1 end)
      assert.are.same({ n = 3, "rain", "news.uk", "news.*" }, calls[1])
      sub:close()
    end)

    it("have shards", function()
      local note, calls = helper.recorder()
      local sub = assert(r:ssubscribe("part", note))
      publisher:spublish("part", "x")
      helper.eventually(function() return #calls == 1 end)
      assert.is_true(r:sunsubscribe("part", note))
      assert.are.equal(0, publisher:spublish("part", "y"))
      sub:close()
    end)

    it("take lists of channels", function()
      local note, calls = helper.recorder()
      local names = {}
      for i = 1, 2500 do names[i] = "c" .. i end
      local sub = assert(r:subscribe(names, note))
      publisher:publish("c1", "a")
      publisher:publish("c2500", "b")
      helper.eventually(function() return #calls == 2 end)
      assert.are.equal("c2500", calls[2][2])
      sub:close()
      sub = assert(r:subscribe({ "twice", "twice" }, note))
      publisher:publish("twice", "c")
      assert.are.equal("PONG", r:ping())
      helper.eventually(function() return #calls >= 3 end)
      assert.are.equal(3, #calls)
      sub:close()
      assert.are.equal(0, publisher:publish("c7", "x"))
    end)

    it("may be several of one channel, which end one by one", function()
      local note_a, a = helper.recorder()
      local note_b, b = helper.recorder()
      r:subscribe("x", note_a)
      local second = r:subscribe("x", note_b)
      publisher:publish("x", 1)
      helper.eventually(function() return #a == 1 and #b == 1 end)
      r:unsubscribe("x", note_a)
      publisher:publish("x", 2)
      helper.eventually(function() return #b == 2 end)
      assert.are.equal(1, #a)
      second:close()
      assert.are.equal(0, publisher:publish("x", 3))
    end)

    it("without a function are received", function()
      local sub = assert(r:subscribe("queue"))
      for i = 1, 5 do publisher:publish("queue", i) end
      local message, channel = sub:receive()
      assert.are.equal("1", message)
      assert.are.equal("queue", channel)
      local sum = 0
      for text in sub:messages() do
        sum = sum + tonumber(text)
        if sum == 14 then sub:close() end
      end
      assert.are.equal(14, sum)
      assert.are.equal("ECLOSED", (select(3, sub:receive())))
      assert.are.equal("ETIMEDOUT", (select(3, assert(r:subscribe("empty")):receive(1))))
      r:unsubscribe "empty"
    end)

    it("run a function that waits one message after the other, and calls go on", function()
      local order, running = {}, 0
      local sub = r:subscribe("slow", function(message)
        running = running + 1
        assert(running == 1)
        order[#order + 1] = message
        assert.are.equal("PONG", r:ping()) -- on the same client
        running = running - 1
      end)
      for i = 1, 50 do publisher:publish("slow", i) end
      helper.eventually(function() return #order == 50 end)
      for i = 1, 50 do assert.are.equal(tostring(i), order[i]) end
      sub:close()
    end)

    it("hold a fast publisher back where a function is slow, and lose nothing", function()
      local gate, count, last = hv.channel(), 0, nil
      local sub = r:subscribe("flood", function(message)
        if count == 0 then gate:recv() end
        count = count + 1
        assert(tonumber(message) == count)
        last = message
      end)
      local payload = publisher:pipeline()
      for i = 1, 20000 do payload:publish("flood", i) end
      assert(payload:exec(60000))
      gate:send(true)
      helper.eventually(function() return count == 20000 end)
      assert.are.equal("20000", last)
      sub:close()
    end)

    it("tell errors of functions to hv.on_error, and go on", function()
      local note, errors = helper.recorder()
      hv.on_error(note)
      local _, calls = nil, 0
      r:subscribe("bad", function()
        calls = calls + 1
        error("mine")
      end)
      publisher:publish("bad", 1)
      publisher:publish("bad", 2)
      helper.eventually(function() return calls == 2 and #errors == 2 end)
      hv.on_error(nil)
      assert.is_truthy(errors[1][1]:find("mine", 1, true))
      r:unsubscribe "bad"
    end)

    it("that the server refuses return why", function()
      publisher:acl_setuser("deaf", "on", "nopass", "~*", "+@all", "resetchannels")
      local c = assert(hv.redis.connect { port = server.port, username = "deaf", password = "x",
        protocol = version })
      local sub, message, code, kind = c:subscribe("news", function() end)
      assert.is_nil(sub)
      assert.is_truthy(message:find("NOPERM", 1, true))
      assert.are.equal("EREDIS", code)
      assert.are.equal("NOPERM", kind)
      assert.are.equal("PONG", c:ping())
      c:close()
    end)

    it("come back after the server was killed and started again", function()
      local before = helper.active()
      local lost, opened = 0, 0
      local c = assert(hv.redis.connect { port = server.port, protocol = version,
        -- A program that dies may lose its connections before its listener: who comes back at once
        -- is let in, and lost again.
        reconnect = { min_delay = 200, max_delay = 200 },
        on_disconnect = function() lost = lost + 1 end,
        on_connect = function() opened = opened + 1 end })
      local note, calls = helper.recorder()
      c:subscribe({ "one", "two" }, note)
      c:psubscribe("t*", note)
      local gone = c:subscribe("gone", note)
      gone:close()
      server:kill()
      helper.eventually(function() return lost > 0 end)
      assert.are.equal(1, lost)
      server:start()
      helper.eventually(function() return opened >= 2 end)
      local p = assert(hv.redis.connect { port = server.port })
      helper.eventually(function() return p:publish("two", "back") == 2 end)
      helper.eventually(function() return #calls >= 2 end)
      assert.are.equal(1, p:publish("one", "x"))
      assert.are.equal(0, p:publish("gone", "x"))
      p:close()
      c:close()
      -- Those of the other specs are connected again, too.
      helper.eventually(function() return r:is_open() and publisher:is_open() end)
      helper.nothing_left(before)
    end)

    it("throw for what is no channel and no function", function()
      assert.has_error(function() r:subscribe() end)
      assert.has_error(function() r:subscribe({}) end)
      assert.has_error(function() r:subscribe("x", 1) end)
      assert.has_error(function() r:subscribe({ 1 }, print) end)
    end)
  end)
end
