local helper = require "helper"
local hv = require "hv"

local handles_before = helper.active()

describe("hv.go", function()
  it("starts in the next pass, in order", function()
    local order = {}
    for i = 1, 3 do hv.go(function() order[#order + 1] = i end) end
    assert.same({}, order)
    hv.sleep(0) -- behind them in the queue; a timer may be due before
    assert.same({ 1, 2, 3 }, order)
  end)

  it("hands its arguments on", function()
    assert.same({ 1, nil, 3 }, { hv.go(function(...) return ... end, 1, nil, 3):join() })
  end)

  it("refuses what is no function", function()
    local ok, message = pcall(hv.go, 1)
    assert.is_false(ok)
    assert.matches("hv.go: function expected, got number", message)
  end)

  it("limits how many arguments and results there are", function()
    -- Lua lets a call have more of them than C may put on a coroutine's stack.
    local list = {}
    for i = 1, 7950 do list[i] = i end
    local few = { unpack(list, 1, 7900) }
    assert.equal(7900, hv.go(function(...) return select("#", ...) end, unpack(few)):join())
    for _, start in ipairs { hv.go, hv.next } do
      local ok, message = pcall(start, print, unpack(list))
      assert.is_false(ok)
      assert.matches("at most 7900 arguments, got 7950", message, 1, true)
    end
    local ok, message = pcall(hv.after, 1, print, unpack(list))
    assert.is_false(ok)
    assert.matches("hv.after: at most 7900 arguments", message, 1, true)

    local task = hv.go(function()
      hv.sleep(0)
      return 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20,
        21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40,
        41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60,
        unpack(list)
    end)
    for _ = 1, 2 do -- one that waits, and one that comes later
      local result, why, code = task:join()
      assert.is_nil(result)
      assert.equal("join: a task may return 7900 values at most", why)
      assert.equal("ELIMIT", code)
    end
  end)

  it("runs many at once", function()
    local sum = 0
    for i = 1, 3000 do
      hv.go(function()
        hv.sleep(i % 3)
        sum = sum + i
      end)
    end
    helper.eventually(function() return sum == 3000 * 3001 / 2 end)
  end)
end)

describe("a task", function()
  it("tells its status", function()
    local task
    task = hv.go(function()
      assert.equal("running", task:status())
      hv.sleep(2)
    end)
    assert.equal("ready", task:status())
    hv.sleep(0)
    assert.equal("waiting", task:status())
    task:join()
    assert.equal("finished", task:status())
    assert.equal("hv.task{finished}", tostring(task))
  end)

  it("can be joined by several, before and after its end", function()
    local task = hv.go(function()
      hv.sleep(2)
      return "a", "b"
    end)
    local got = {}
    for i = 1, 2 do hv.go(function() got[i] = { task:join() } end) end
    assert.same({ "a", "b" }, { task:join() })
    helper.eventually(function() return got[1] and got[2] end)
    assert.same({ { "a", "b" }, { "a", "b" } }, got)
    assert.same({ "a", "b" }, { task:join() })
  end)

  it("gives its error to who joins it", function()
    local task = hv.go(function()
      hv.sleep(1)
      error("oops", 0)
    end)
    assert.same({ nil, "oops", "EFAILED" }, { task:join() })
    assert.same({ nil, "oops", "EFAILED" }, { task:join() })
    assert.equal("failed", task:status())
  end)

  it("times out a join and goes on", function()
    local task = hv.go(function()
      hv.sleep(20)
      return 1
    end)
    local value, message, code = task:join(1)
    assert.is_nil(value)
    assert.equal("join: timed out", message)
    assert.equal("ETIMEDOUT", code)
    assert.equal(1, task:join())
  end)

  it("cannot join itself", function()
    local task
    task = hv.go(function() return pcall(task.join, task) end)
    local ok, message = task:join()
    assert.is_false(ok)
    assert.matches("cannot join itself", message)
  end)

  it("throws at its wait when it is cancelled, and at the next one again", function()
    local record, calls = helper.recorder()
    local task = hv.go(function()
      record(pcall(hv.sleep, 10000))
      record(pcall(hv.sleep, 1))
      hv.sleep(1)
    end)
    hv.sleep(0)
    assert.is_true(task:cancel())
    assert.same({ nil, "task canceled", "ECANCELED" }, { task:join() })
    assert.equal("canceled", task:status())
    assert.same({ n = 2, false, "task canceled" }, calls[1])
    assert.same({ n = 2, false, "task canceled" }, calls[2])
    assert.is_false(task:cancel())
  end)

  it("does not start when it is cancelled before", function()
    local record, calls = helper.recorder()
    local task = hv.go(record)
    task:cancel()
    assert.same({ nil, "task canceled", "ECANCELED" }, { task:join() })
    assert.equal(0, #calls)
  end)

  it("runs what it has deferred at its end, the last first", function()
    local order = {}
    local task = hv.go(function()
      hv.defer(function() order[#order + 1] = "a" end)
      hv.defer(function()
        hv.sleep(1)
        order[#order + 1] = "b"
      end)
      order[#order + 1] = "body"
      error("oops", 0)
    end)
    task:join()
    helper.eventually(function() return #order == 3 end)
    assert.same({ "body", "b", "a" }, order)
  end)

  it("may be dropped and collected while it runs", function()
    local done
    hv.go(function()
      hv.sleep(2)
      done = true
    end)
    collectgarbage()
    collectgarbage()
    helper.eventually(function() return done end)
  end)

  it("fails where it yields to nobody", function()
    local _, message, code = hv.go(function() coroutine.yield(1) end):join()
    assert.matches("yield from outside a coroutine", message)
    assert.equal("EFAILED", code)
  end)
end)

describe("hv.sleep", function()
  it("is never too short", function()
    local t = hv.hrtime()
    hv.sleep(3)
    assert.is_true(hv.hrtime() - t >= 3e6)
    t = hv.hrtime()
    hv.sleep(0.2)
    assert.is_true(hv.hrtime() - t >= 0.2e6)
  end)

  it("takes a function instead of waiting, and never calls it at once", function()
    local record, calls = helper.recorder()
    local task = hv.sleep(0, record)
    assert.equal("hv.task", tostring(task):match("^[%w.]+"))
    assert.equal(0, #calls)
    helper.eventually(function() return calls[1] end)
    assert.same({ n = 1, true }, calls[1])
  end)

  it("refuses wrong arguments at the place of the call", function()
    for _, bad in ipairs { "x", -1, 2 ^ 40, {}, 0 / 0 } do
      local ok, message = pcall(function() hv.sleep(bad) end)
      assert.is_false(ok)
      assert.matches("task_spec.lua:%d+: hv.sleep: ms must be", message)
    end
    local ok, message = pcall(function() hv.sleep("x", print) end)
    assert.is_false(ok)
    assert.matches("task_spec.lua:%d+: hv.sleep: ms must be", message)
  end)

  it("cannot wait under C and says so", function()
    local ok, message = pcall(table.sort, { 2, 1 }, function() hv.sleep(1) end)
    assert.is_false(ok)
    assert.matches("cannot wait inside a function that C has called", message)
    hv.sleep(1)
  end)

  it("waits inside pcall, iterators and metamethods", function()
    local t = setmetatable({}, { __index = function(_, k)
      hv.sleep(1)
      return k
    end })
    assert.equal("x", t.x)
    local function iterator(_, i)
      hv.sleep(0)
      if i < 3 then return i + 1 end
    end
    local n = 0
    for i in iterator, nil, 0 do n = n + i end
    assert.equal(6, n)
    assert.is_true(pcall(hv.sleep, 1))
  end)
end)

describe("hv.all", function()
  it("returns the first result of each", function()
    assert.same({ 1, nil, 3 }, { hv.all(function()
      hv.sleep(2)
      return 1, "more"
    end, function() end, function() return 3 end) })
  end)

  it("returns the first failure and cancels the others", function()
    local canceled
    local value, message, code = hv.all(function()
      local ok, why = pcall(hv.sleep, 10000)
      canceled = not ok and why
      error(why, 0)
    end, function()
      hv.sleep(1)
      return nil, "bad", "EBAD"
    end)
    assert.same({ nil, "bad", "EBAD" }, { value, message, code })
    helper.eventually(function() return canceled == "task canceled" end)
    assert.same({ nil, "thrown", "EFAILED" }, { hv.all(function() error("thrown", 0) end) })
  end)

  it("has a timeout", function()
    local _, _, code = hv.all({ timeout = 1 }, function() hv.sleep(10000) end)
    assert.equal("ETIMEDOUT", code)
    assert.has_error(function() hv.all({ time = 1 }, print) end)
  end)
end)

describe("hv.race and hv.timeout", function()
  it("return what comes first", function()
    assert.equal("fast", (hv.race(function()
      hv.sleep(10000)
      return "slow"
    end, function()
      hv.sleep(1)
      return "fast"
    end)))
    assert.same({ 1, 2 }, { hv.timeout(1000, function(...) return ... end, 1, 2) })
    local _, _, code = hv.timeout(1, function() hv.sleep(10000) end)
    assert.equal("ETIMEDOUT", code)
  end)
end)

describe("hv.timeout", function()
  it("cancels its function when its caller is cancelled", function()
    local begun, why
    local task = hv.go(hv.timeout, 10000, function()
      begun = true
      local _, message = pcall(hv.sleep, 10000)
      why = message
    end)
    helper.eventually(function() return begun end)
    task:cancel()
    helper.eventually(function() return why == "task canceled" end)
  end)

  it("leaves a timeout that its function returns as it is", function()
    assert.same({ nil, "join: timed out", "ETIMEDOUT" }, { hv.timeout(1000, function()
      return nil, "join: timed out", "ETIMEDOUT"
    end) })
  end)
end)

describe("a traceback", function()
  local here = "task_spec.lua:"
  local function line() return debug.getinfo(2, "l").currentline end

  local function started_at(text)
    local lines = {}
    for at in text:gmatch("\n\ttask started at [^\n]*task_spec.lua:(%d+)") do
      lines[#lines + 1] = tonumber(at)
    end
    return lines
  end

  it("shows where a task waits and which lines have started it", function()
    local inner, outer_line, inner_line, wait_line
    local outer = hv.go(function()
      inner = hv.go(function() wait_line = line() hv.sleep(10000) end) inner_line = line()
      hv.sleep(10000)
    end)
    outer_line = line() - 4
    helper.eventually(function() return inner end)
    helper.until_waiting(outer, inner)
    local text = inner:traceback()
    assert.matches(here .. wait_line .. ": in function", text, 1, true)
    assert.same({ inner_line, outer_line }, started_at(text))
    outer:cancel()
    inner:cancel()
    outer:join()
    assert.equal("hv.task{canceled}", outer:traceback())
  end)

  it("comes with an error that nobody joins", function()
    local text
    hv.on_error(function(_, traceback) text = traceback end)
    hv.go(error, "oops") local started = line()
    helper.eventually(function() return text end)
    hv.on_error(nil)
    assert.matches("oops", text)
    assert.same({ started }, started_at(text))
  end)

  it("stays short where tasks start themselves anew", function()
    local text
    local function step(n)
      if n == 0 then
        text = hv.current():traceback()
      else
        hv.go(step, n - 1)
      end
    end
    hv.go(step, 100)
    helper.eventually(function() return text end)
    assert.is_true(#started_at(text) <= 8)
  end)
end)

describe("hv.slow_callback", function()
  local busy = "local hv = require 'hv' local function busy(ms) local t = hv.hrtime()\n" ..
    "while hv.hrtime() - t < ms * 1e6 do end end\n"

  local function count(text, what) return select(2, text:gsub(what, "")) end

  it("warns once of a function that held the loop up", function()
    local text, status = helper.run(busy .. "hv.slow_callback(20)\n" ..
      "for i = 1, 2 do hv.go(busy, 40) hv.sleep(1) end")
    assert.equal(0, status)
    assert.equal(1, count(text, "held up for %d+ ms in a task started at %(command line%):4 "))
    assert.equal(1, count(text, "WARN"))
    text = helper.run(busy .. "hv.slow_callback(20) hv.after(1, busy, 40)")
    assert.equal(1, count(text, "held up for %d+ ms in the function at %(command line%):1 "))
  end)

  it("names the wait up to which a task ran", function()
    local text = helper.run(busy .. "hv.slow_callback(20)\n" ..
      "hv.after(1, function()\nbusy(40)\nhv.sleep(1)\nend)")
    assert.matches("up to its wait at %(command line%):6 ", text)
  end)

  it("leaves the main script alone, and everybody when it is off", function()
    local slow = "busy(40) hv.go(busy, 40)"
    assert.equal("", (helper.run(busy .. "hv.slow_callback(false) " .. slow)))
    assert.equal("", (helper.hvlua { "--slow", "0", "-e", busy .. slow }))
    local text = helper.run(busy .. "hv.slow_callback(20) hv.go(print) busy(40)")
    assert.equal("\n", text)
    assert.equal(1, count(helper.hvlua { "--slow=20", "-e", busy .. slow }, "WARN"))
  end)

  it("tells what was set and refuses what is no time", function()
    assert.equal(200, hv.slow_callback())
    assert.equal(200, hv.slow_callback(300))
    assert.equal(300, hv.slow_callback(200))
    assert.has_error(function() hv.slow_callback(-1) end)
    local text, status = helper.hvlua { "--slow", "x", "-e", "" }
    assert.equal(1, status)
    assert.matches("--slow needs milliseconds", text, 1, true)
  end)
end)

describe("the spec itself", function()
  it("leaves nothing open", function() helper.nothing_left(handles_before) end)
end)
