local helper = require "helper"
local hv = require "hv"

local spawn = hv.worker.spawn

--- Runs fn with hv.on_error noting into a list.
local function with_errors(fn)
  local note, calls = helper.recorder()
  hv.on_error(note)
  local ok, problem = pcall(fn, calls)
  hv.on_error(nil)
  if not ok then error(problem, 0) end
end

describe("hv.worker", function()
  it("runs a function in a state of its own and returns its results", function()
    _G.only_here = true -- luacheck: ignore 111
    local w = assert(spawn(function(ch, a, b)
      return tostring(ch), a + b.n, rawget(_G, "only_here"), nil
    end, 1, { n = 2 }))
    _G.only_here = nil -- luacheck: ignore 111
    assert.equal("hv.worker{running}", tostring(w))
    local results = { n = select("#", w:join()), w:join() }
    assert.same({ n = 4, "hv.worker.channel{open}", 3 }, results)
    assert.equal("hv.worker{ended}", tostring(w))
    assert.is_false(w:stop())
  end)

  it("carries every kind of value both ways, in order", function()
    local w = assert(spawn(function(ch)
      while true do
        local value, _, code = ch:recv()
        if code then return code end
        ch:send({ kind = type(value), value = value })
      end
    end))
    local values = { true, false, 0, -1.5, 2 ^ 53, math.huge, "", "a\0b", ("x"):rep(100000), {},
      { 1, { a = { b = "c" } }, [true] = 1, [2.5] = "half" } }
    for _, value in ipairs(values) do
      assert.is_true(w:send(value))
      assert.same({ kind = type(value), value = value }, w:recv())
    end
    w:send(nil)
    assert.same({ kind = "nil" }, w:recv())
    w:close()
    w:close()
    assert.equal("ECLOSED", w:join())
    assert.same({ n = 3, "send: closed", "ECLOSED" }, { n = select("#", w:send(1)),
      select(2, w:send(1)) })
    assert.equal("ECLOSED", select(3, w:recv()))
  end)

  it("names what cannot be sent, and where", function()
    local w = assert(spawn(function(ch) ch:recv() end))
    local cyclic = {}
    cyclic.me = { cyclic }
    local deep = {}
    for _ = 1, 200 do deep = { deep } end
    for text, value in pairs {
      ["worker:send: value: a function cannot be sent"] = print,
      ["worker:send: value.list[2].f: a thread cannot be sent"] =
        { list = { 1, { f = coroutine.create(print) } } },
      ["worker:send: value[\"two words\"]: a userdata cannot be sent"] = { ["two words"] = w },
      ["worker:send: value: a cdata cannot be sent"] = 1LL,
      ["worker:send: value: a table cannot be a key"] = { [{}] = 1 },
      ["worker:send: value.me[1]: a table that contains itself cannot be sent"] = cyclic,
      ["nested deeper than 90"] = deep,
    } do
      local ok, message = pcall(w.send, w, value)
      assert.is_false(ok)
      assert.matches(text, message, 1, true)
      assert.matches("worker_spec.lua:%d+: ", message)
    end
    assert.has_error(function() spawn(function() end, print) end)
    w:stop()
    w:join()
  end)

  it("refuses functions with upvalues, by name, and functions of C", function()
    local ok, message = pcall(spawn, function() return helper end)
    assert.is_false(ok)
    assert.matches("must not use the upvalue 'helper' of ", message, 1, true)
    assert.matches("function of C", select(2, pcall(spawn, print)))
    assert.matches("module name or function expected, got nil", select(2, pcall(spawn)))
  end)

  it("runs the function that a module returns", function()
    local dir = assert(hv.fs.tmpdir())
    assert(hv.fs.write(dir .. "/hv_worker_module.lua",
      "local n = 40\nreturn function(ch, m) return n + m end\n"))
    assert(hv.fs.write(dir .. "/hv_worker_none.lua", "return {}\n"))
    local before = package.path
    package.path = dir .. "/?.lua;" .. before
    assert.equal(42, assert(spawn("hv_worker_module", 2)):join())
    with_errors(function(calls)
      local _, message, code = assert(spawn "hv_worker_none"):join()
      assert.equal("EFAILED", code)
      assert.matches("module 'hv_worker_none' must return a function, got table", message, 1, true)
      assert.matches("module 'hv_no_such' not found", select(2, assert(spawn "hv_no_such"):join()))
      helper.eventually(function() return #calls == 2 end)
    end)
    package.path = before
    assert(hv.fs.remove(dir, { recursive = true }))
  end)

  it("tells an error to join and, once, to hv.on_error", function()
    with_errors(function(calls)
      local w = assert(spawn(function()
        require("hv").sleep(1)
        local function deep() error("went wrong") end
        deep()
      end))
      local joiner = hv.go(w.join, w)
      for _ = 1, 2 do
        local value, message, code = w:join()
        assert.is_nil(value)
        assert.matches("worker_spec.lua:%d+: went wrong$", message)
        assert.equal("EFAILED", code)
      end
      assert.equal("EFAILED", select(3, joiner:join()))
      helper.eventually(function() return #calls > 0 end)
      hv.sleep(5)
      assert.equal(1, #calls)
      assert.matches("went wrong", calls[1][1])
      assert.matches("in function 'deep'", calls[1][2])
    end)
  end)

  it("tells an error value that is no string, and results that cannot be sent", function()
    with_errors(function(calls)
      local _, message = assert(spawn(function() error({}) end)):join()
      assert.matches("^error value: {}", message)
      _, message = assert(spawn(function() return 1, print end)):join()
      assert.matches("hv.worker: result 2: a function cannot be sent", message, 1, true)
      helper.eventually(function() return #calls == 2 end)
    end)
  end)

  it("stops: cancels the main task and ends the loop", function()
    local w = assert(spawn(function(ch)
      local inside = require "hv"
      inside.every(1000, function() end)
      ch:send("ready")
      pcall(ch.recv, ch)
      ch:send(select(2, pcall(ch.recv, ch)))
      inside.sleep(100000)
    end))
    assert.equal("ready", w:recv())
    assert.is_true(w:stop())
    assert.is_true(w:stop())
    assert.same({ "worker canceled", "ECANCELED" }, { select(2, w:join()) })
    -- One whose function has returned lives for its timer, until it is stopped.
    w = assert(spawn(function(ch)
      require("hv").every(1000, function() end)
      ch:send("ready")
      return 7
    end))
    assert.equal("ready", w:recv())
    assert.equal("ETIMEDOUT", select(3, w:join(20)))
    w:stop()
    assert.equal(7, w:join())
  end)

  it("stops one that has hardly begun", function()
    for _ = 1, 20 do
      local w = assert(spawn(function(ch) ch:recv() end))
      w:stop()
      assert.equal("ECANCELED", select(3, w:join()))
    end
  end)

  it("says so where the function can never go on", function()
    with_errors(function(calls)
      local w = assert(spawn(function() require("hv").channel():recv() end))
      assert.matches("nothing is left that could wake it", select(2, w:join()))
      helper.eventually(function() return #calls == 1 end)
    end)
  end)

  it("makes a sender wait while too much was not taken", function()
    local w = assert(spawn(function(ch)
      ch:recv() -- the go
      local sum = 0
      for n in ch:iter() do sum = sum + n end
      return sum
    end))
    local limit = hv.limits.worker_queue
    w:send("not yet taken")
    local sent = 0
    local writer = hv.go(function()
      for i = 1, 3 * limit do
        assert(w:send(i))
        sent = i
      end
      w:close()
    end)
    writer:join()
    assert.equal(3 * limit, sent)
    assert.equal(3 * limit * (3 * limit + 1) / 2, w:join())

    w = assert(spawn(function(ch)
      ch:send("ready")
      require("hv").sleep(100000)
    end))
    assert.equal("ready", w:recv())
    for i = 1, limit do assert.is_true(w:send(i)) end
    assert.same({ "send: timed out", "ETIMEDOUT" }, { select(2, w:send(0, 5)) })
    local waiting = hv.go(w.send, w, 1)
    helper.until_waiting(waiting)
    w:stop()
    assert.equal("ECLOSED", select(3, waiting:join()))
    w:join()
  end)

  it("serves receivers in order, with timeouts and cancels between", function()
    local w = assert(spawn(function(ch)
      for v in ch:iter() do ch:send(v) end
    end))
    assert.equal("ETIMEDOUT", select(3, w:recv(1)))
    local note, calls = helper.recorder()
    local canceled = hv.go(w.recv, w)
    w:recv(function(v) note(1, v) end)
    helper.until_waiting(canceled, hv.go(function() note(2, w:recv()) end))
    canceled:cancel()
    w:send("a")
    w:send("b")
    helper.eventually(function() return #calls == 2 end)
    assert.same({ { n = 2, 1, "a" }, { n = 2, 2, "b" } }, calls)
    w:close()
    w:join()
  end)

  it("runs tcp servers, timers and workers inside a worker", function()
    local w = assert(spawn(function(ch)
      local inside = require "hv"
      local server = assert(inside.tcp.listen({ host = "127.0.0.1", port = 0 }, function(conn)
        conn:write(conn:read_line() .. " from inside\n")
      end))
      ch:send(server:port())
      ch:recv()
      server:close()
      return inside.worker.spawn(function() return "nested" end):join()
    end))
    local conn = assert(hv.tcp.connect { host = "127.0.0.1", port = assert(w:recv()) })
    conn:write("hello\n")
    assert.equal("hello from inside", conn:read_line())
    conn:close()
    w:send(true)
    assert.equal("nested", w:join())
  end)

  it("keeps the program running, unless it says otherwise", function()
    local code = [[
      local hv = require "hv"
      local w = hv.worker.spawn(function() require("hv").sleep(30) io.write("slept ") end)
      %s
      hv.defer(function() io.write("over ") end)]]
    assert.same({ "over slept ", 0 }, { helper.run(code:format "") })
    assert.same({ "over ", 0 }, { helper.run(code:format "w:unref()") })
    assert.same({ "over slept ", 0 }, { helper.run(code:format "w:unref():ref()") })
  end)

  it("is ended with the program, whatever it does", function()
    assert.same({ "", 3 }, { helper.run [[
      local hv = require "hv"
      for i = 1, 4 do
        local w = hv.worker.spawn(function(ch)
          require("hv").every(1, function() end)
          while true do ch:send("x") end
        end)
        w:recv()
      end
      hv.worker.spawn(function(ch) pcall(ch.recv, ch) end)
      hv.stop(3)]] })
    local text, status = helper.run [[
      local hv = require "hv"
      hv.worker.spawn(function() require("hv").sleep(10000) end)
      hv.sleep(1)
      error "main fails"]]
    assert.matches("main fails", text)
    assert.equal(1, status)
    assert.same({ "", 5 }, { helper.run [[
      local hv = require "hv"
      local w = hv.worker.spawn(function(ch) ch:send(1) require("hv").sleep(10000) end)
      w:recv()
      os.exit(5)]] })
  end)

  it("may be dropped: what nobody refers to is collected after its end", function()
    for _ = 1, 10 do spawn(function(ch) ch:send("into the void") end) end
    local weak = setmetatable({ spawn(function() end) }, { __mode = "v" })
    weak[1]:join()
    helper.eventually(function()
      collectgarbage()
      return weak[1] == nil
    end)
  end)
end)
