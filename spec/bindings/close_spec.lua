-- Closing, stopping and cancelling from inside the very callback that belongs to what is closed,
-- and from inside one that came in the same pass.
local callbacks = require "callbacks"
local helper = require "helper"
local hv = require "hv"

local function connect(server, options)
  options = options or {}
  options.host, options.port = "127.0.0.1", server:port()
  return assert(hv.tcp.connect(options))
end

local function listen(options, handler)
  options.host, options.port = "127.0.0.1", 0
  return assert(hv.tcp.listen(options, handler))
end

--- Closes a server and waits until nothing of it is left.
local function finish(server)
  server:close()
  helper.eventually(function() return server:count() == 0 end)
end

describe("hv.stop", function()
  for _, program in ipairs(callbacks.programs) do
    it("in " .. program.name .. " ends the program with its status", function()
      local body = "hv.after(1, function() print('too late') end) hv.stop(7)"
      local output, status, errors = callbacks.run(program, body)
      assert.equal(7, status)
      assert.is_nil(output:find("too late", 1, true))
      assert.equal(program.before or 0, #errors)
      assert.is_nil(output:find("hvlua:", 1, true))
    end)

    it("may be os.exit in " .. program.name, function()
      -- The state is not taken down then, and what it alone holds looks leaked.
      local output, status, errors = callbacks.run(program, "os.exit(8)",
        "ASAN_OPTIONS=detect_leaks=0")
      assert.equal(8, status)
      assert.is_nil(output:find("end\n", 1, true))
      assert.equal(program.before or 0, #errors)
      assert.is_nil(output:find("hvlua:", 1, true))
    end)
  end

  it("before the loop runs leaves the rest of the main script to run, and nothing else", function()
    local output, status = helper.run [[
      local hv = require "hv"
      hv.go(print, "never")
      hv.stop(3)
      print("main")]]
    assert.equal(3, status)
    assert.equal("main\n", (output:gsub("never\n", "")))
  end)
end)

describe("a handle", function()
  local handles_before

  before_each(function() handles_before = helper.active() end)

  after_each(function() helper.nothing_left(handles_before) end)

  it("of a timer is stopped in its own function", function()
    local beats, timer = 0, nil
    timer = hv.every(1, function()
      beats = beats + 1
      timer:stop()
      timer:stop()
      hv.sleep(1)
      timer:stop()
    end)
    local once
    local fired = 0
    once = hv.after(1, function()
      fired = fired + 1
      once:stop()
    end)
    helper.eventually(function() return beats == 1 and fired == 1 end)
    hv.sleep(5)
    assert.equal(1, beats)
    assert.equal(1, fired)
  end)

  it("of a timer is stopped in the function of another that is due at once", function()
    local fired, timers = 0, {}
    local function stop_others()
      fired = fired + 1
      for i = 1, #timers do timers[i]:stop() end
    end
    for i = 1, 10 do timers[i] = hv.after(1, stop_others) end
    local from = hv.hrtime()
    while hv.hrtime() - from < 3e6 do from = from + 0 end -- all of them are due now
    helper.eventually(function() return fired > 0 end)
    hv.sleep(3)
    assert.equal(1, fired)
  end)

  it("of a timer is reset in its own function", function()
    local fired, timer = 0, nil
    timer = hv.after(1, function()
      fired = fired + 1
      if fired < 5 then timer:reset(fired % 2) end
    end)
    helper.eventually(function() return fired == 5 end)
    hv.sleep(3)
    assert.equal(5, fired)
  end)

  it("of a signal or of idle work is stopped in its own function", function()
    local idle_count, signal_count, idle, watch = 0, 0, nil, nil
    idle = hv.idle(function()
      idle_count = idle_count + 1
      idle:stop()
      hv.sleep(1)
      idle:stop()
    end)
    watch = hv.on_signal("usr2", function()
      signal_count = signal_count + 1
      watch:stop()
      hv.sleep(1)
      watch:stop()
    end)
    local kept_count = 0
    local keep = hv.on_signal("usr2", function() kept_count = kept_count + 1 end)
    os.execute("kill -USR2 $PPID")
    helper.eventually(function() return signal_count == 1 and idle_count == 1 end)
    helper.eventually(function() return kept_count == 1 end)
    os.execute("kill -USR2 $PPID")
    helper.eventually(function() return kept_count == 2 end)
    assert.equal(1, signal_count)
    assert.equal(1, idle_count)
    keep:stop()
  end)

  it("of a task is cancelled by itself: its next wait throws, its results count without", function()
    local task
    task = hv.go(function()
      task:cancel()
      local ok, message = pcall(hv.sleep, 1)
      local again = pcall(hv.sleep, 1)
      return ok, message, again
    end)
    local ok, message, again = task:join()
    assert.is_false(ok)
    assert.equal("task canceled", message)
    assert.is_false(again)
    task = hv.go(function()
      task:cancel()
      hv.sleep(1)
    end)
    assert.equal("ECANCELED", select(3, task:join()))
  end)

  it("of a task is cancelled by its joiner, its child, and one that is ready in the same pass",
    function()
      local parent, child
      parent = hv.go(function()
        child = hv.go(function()
          parent:cancel()
          return "child"
        end)
        return child:join()
      end)
      assert.equal("ECANCELED", select(3, parent:join()))
      assert.equal("child", child:join())
      local ran, tasks = 0, {}
      for i = 1, 2 do
        tasks[i] = hv.go(function()
          ran = ran + 1
          tasks[3 - i]:cancel()
        end)
      end
      hv.sleep(1)
      assert.equal(1, ran)
      assert.equal("finished", tasks[1]:status())
      assert.equal("canceled", tasks[2]:status())
    end)

  describe("of a connection", function()
    --- Runs a server whose event `name` runs fn(conn) once, with a client that sends three packets
    --- and takes whatever comes. Returns how often each event came.
    local function run(name, fn, more)
      local counts = { on_open = 0, on_message = 0, on_drain = 0, on_close = 0 }
      local options = { write_high = "16K", unpack = { mode = "delimiter", delimiter = "\n" } }
      for event in pairs(counts) do
        options[event] = function(conn, data)
          counts[event] = counts[event] + 1
          if event == "on_open" and more then more(conn) end
          if event == name and counts[event] == 1 then fn(conn, data) end
        end
      end
      local server = listen(options)
      local client = connect(server)
      client:write("1\n2\n3\n")
      if name ~= "on_drain" then client:shutdown() end
      while client:read() do hv.sleep(0) end
      client:close()
      helper.eventually(function() return server:count() == 0 end)
      finish(server)
      hv.sleep(1)
      return counts
    end

    local function fill(conn) conn:write(("x"):rep(4194304), function() end) end

    local ways = {
      ["closed"] = function(conn) conn:close() end,
      ["closed twice"] = function(conn) conn:close() conn:close() end,
      ["closed after a wait"] = function(conn) hv.sleep(1) conn:close() hv.sleep(1) end,
      ["closed with its last words"] = function(conn) conn:write("bye") conn:close() end,
      ["closed by another task"] = function(conn)
        hv.go(function() conn:close() end):join()
      end,
      ["closed and collected"] = function(conn)
        conn:close()
        collectgarbage()
        collectgarbage()
      end,
    }

    for way, close in pairs(ways) do
      it("is " .. way .. " in on_open", function()
        assert.same({ on_open = 1, on_message = 0, on_drain = 0, on_close = 1 },
          run("on_open", close))
      end)

      it("is " .. way .. " in on_message: the packets behind do not come", function()
        assert.same({ on_open = 1, on_message = 1, on_drain = 0, on_close = 1 },
          run("on_message", close))
      end)

      it("is " .. way .. " in on_close", function()
        assert.same({ on_open = 1, on_message = 3, on_drain = 0, on_close = 1 },
          run("on_close", close))
      end)

      it("is " .. way .. " in on_drain", function()
        local counts = run("on_drain", close, fill)
        assert.equal(1, counts.on_drain)
        assert.equal(1, counts.on_close)
      end)
    end

    it("is closed in its heartbeat and in its own task", function()
      local beats, after = 0, nil
      local server = listen({}, function(conn)
        conn:heartbeat(1, function()
          beats = beats + 1
          conn:close()
        end)
        local data, _, code = conn:read()
        conn:close()
        after = { data, code }
      end)
      local client = connect(server)
      assert.is_nil((client:read()))
      helper.eventually(function() return after end)
      assert.same({ nil, "ECLOSED" }, after)
      client:close()
      finish(server)
      assert.equal(1, beats)
    end)

    it("is closed by the function of another whose data came in the same pass", function()
      local first, second, messages = nil, nil, 0
      local server = listen {
        on_open = function(conn)
          if first then second = conn else first = conn end
        end,
        on_message = function()
          messages = messages + 1
          first:close()
          second:close()
        end,
      }
      local a = connect(server)
      local b = connect(server)
      helper.eventually(function() return second end)
      a:write("x")
      b:write("x") -- both lie in the kernel before the loop looks again
      assert.is_nil((a:read()))
      assert.is_nil((b:read()))
      assert.equal(1, messages)
      a:close()
      b:close()
      finish(server)
    end)

    it("is closed while a task reads and another writes: both are woken, once", function()
      local is_over
      local server = listen({}, function()
        while not is_over do hv.sleep(1) end
      end)
      local client = connect(server, { write_high = "16K" })
      local got, calls = helper.recorder()
      client:read(got)
      client:write(("x"):rep(33554432), got)
      hv.sleep(1)
      assert.equal(0, #calls)
      client:close()
      client:close()
      helper.eventually(function() return #calls == 2 end)
      assert.equal("ECLOSED", calls[1][3])
      assert.equal("ECLOSED", calls[2][3])
      is_over = true
      finish(server)
      assert.equal(2, #calls)
    end)
  end)

  it("of a server is closed in its own handler, in on_open, on_message and on_close", function()
    for _, event in ipairs { "task", "on_open", "on_message", "on_close" } do
      local server
      local function close()
        server:close()
        server:close()
      end
      local options = event ~= "task" and {
        on_open = function() end,
        on_message = function(conn, data)
          conn:write(data)
          conn:shutdown()
        end,
      } or {}
      local handler
      if event == "task" then
        handler = function(conn)
          close()
          conn:write(conn:read())
        end
      else
        local inner = options[event] or function() end
        options[event] = function(...)
          close()
          return inner(...)
        end
      end
      server = listen(options, handler)
      local client = connect(server)
      client:write("x")
      assert.equal("x", (client:read()))
      client:close()
      helper.eventually(function() return server:count() == 0 end)
      helper.eventually(function()
        return tostring(server):find("closed, 0 connections", 1, true)
      end)
    end
  end)

  it("of a datagram socket is closed in on_message and on_close", function()
    local got, closed = 0, 0
    local sock = assert(hv.udp.bind {
      host = "127.0.0.1", port = 0,
      on_message = function(self)
        got = got + 1
        self:close()
        self:close()
      end,
      on_close = function(self)
        closed = closed + 1
        self:close()
      end,
    })
    local client = assert(hv.udp.connect { host = "127.0.0.1", port = sock:port() })
    for _ = 1, 3 do client:send("x") end
    helper.eventually(function() return closed == 1 end)
    client:close()
    hv.sleep(1)
    assert.equal(1, got)
    assert.equal(1, closed)
  end)

  it("of an HTTP server is closed in a handler: the answer still comes", function()
    local app, server = hv.http.app(), nil
    app:get("/", function()
      server:close()
      server:close()
      return "last words"
    end)
    app:get("/later", function(_, res)
      server:close()
      hv.sleep(2)
      res:write("last ")
      hv.sleep(2)
      res:write("words")
      res:finish()
    end)
    for _, path in ipairs { "/", "/later" } do
      server = assert(app:listen { host = "127.0.0.1", port = 0 })
      local client = connect(server)
      client:write(("GET %s HTTP/1.1\r\nHost: x\r\n\r\n"):format(path))
      local pieces = {}
      for piece in client:chunks() do pieces[#pieces + 1] = piece end
      client:close()
      local text = table.concat(pieces)
      assert.matches("^HTTP/1.1 200 OK\r\n", text)
      assert.matches("[Cc]onnection: close", text)
      assert.matches("last ", text)
      assert.matches("words", text)
      helper.eventually(function() return server:count() == 0 end)
    end
  end)
end)
