-- Where tasks may wait: everywhere that Lua code runs, and what becomes of a task that is cancelled
-- or fails there. Several tasks do the same at once, so that they get in each other's way.
local helper = require "helper"
local hv = require "hv"

local handles_before = helper.active()

--- Runs fn(i) in five tasks at once; returns what the first has returned, after comparing all.
local function interleaved(fn)
  local tasks, results = {}, {}
  for i = 1, 5 do tasks[i] = hv.go(fn, i) end
  for i = 1, 5 do results[i] = assert(tasks[i]:join()) end
  for i = 2, 5 do assert.same(results[1], results[i]) end
  return results[1]
end

local function wait_and(value)
  hv.sleep(1)
  return value
end

describe("a task may wait", function()
  it("inside pcall and xpcall, before an error and in the handler's caller", function()
    assert.same({ false, "one", false, "handled two", true, 3 }, interleaved(function()
      local ok1, e1 = pcall(function() wait_and() error("one", 0) end)
      local ok2, e2 = xpcall(function() wait_and() error("two", 0) end,
        function(e) return "handled " .. e end)
      local ok3, three = xpcall(wait_and, debug.traceback, 3)
      return { ok1, e1, ok2, e2, ok3, three }
    end))
  end)

  it("in iterators, plain and made of coroutines, and in the body of the loop", function()
    assert.same({ 1, 2, 3, 10, 20, 30 }, interleaved(function()
      local seen = {}
      for n in function(_, n) return n < 3 and wait_and(n + 1) or nil end, nil, 0 do
        seen[#seen + 1] = wait_and(n)
      end
      for n in coroutine.wrap(function()
        for i = 10, 30, 10 do
          hv.sleep(1)
          coroutine.yield(i)
        end
      end) do
        seen[#seen + 1] = wait_and(n)
      end
      return seen
    end))
  end)

  it("in metamethods", function()
    local result = interleaved(function()
      local meta = {
        __index = function(_, key) return wait_and(key .. "!") end,
        __newindex = function(t, key, value) rawset(t, wait_and(key), value) end,
        __call = function(_, a, b) return wait_and(a), b end,
        __add = function(_, b) return wait_and(b) end,
        __concat = function(a) return wait_and(a) end,
        __eq = function() return wait_and(true) end,
        __lt = function() return wait_and(true) end,
        __le = function() return wait_and(false) end,
        __unm = function() return wait_and("minus") end,
        __len = function() return wait_and(7) end,
      }
      local t, other = setmetatable({}, meta), setmetatable({}, meta)
      t.field = 1
      local a, b = t("x", "y")
      return { t.any, rawget(t, "field"), a, b, t + 5, "left" .. t, t == other, t < other,
        t <= other, -t }
    end)
    assert.same({ "any!", 1, "x", "y", 5, "left", true, true, false, "minus" }, result)
  end)

  it("at the top of modules that require each other's friends", function()
    for _, name in ipairs { "outer", "inner", "leaf" } do
      package.preload["waits." .. name] = function()
        hv.sleep(1)
        local below = name == "outer" and "inner" or name == "inner" and "leaf"
        return { name = name, below = below and require("waits." .. below) }
      end
    end
    local chain = interleaved(function()
      local outer = require "waits.outer"
      return { outer.name, outer.below.name, outer.below.below.name }
    end)
    assert.same({ "outer", "inner", "leaf" }, chain)
    for _, name in ipairs { "outer", "inner", "leaf" } do
      package.preload["waits." .. name], package.loaded["waits." .. name] = nil, nil
    end
  end)

  it("not where C is in the way, which is said, and leaves the task whole", function()
    local result = interleaved(function()
      local said = {}
      for _, fn in ipairs {
        function() table.sort({ 2, 1 }, function() hv.sleep(1) end) end,
        function() ("x"):gsub("x", function() hv.sleep(1) end) end,
      } do
        local ok, message = pcall(fn)
        local text = "cannot wait inside a function that C has called"
        said[#said + 1] = not ok and message:find(text, 1, true) ~= nil
      end
      return { said[1], said[2], wait_and(4) }
    end)
    assert.same({ true, true, 4 }, result)
  end)
end)

describe("coroutines of the user's", function()
  it("may be passed from task to task, and wait for whom they run", function()
    local co = coroutine.create(function(a)
      for _ = 1, 3 do
        hv.sleep(1)
        a = coroutine.yield(a * 2)
      end
      return "end"
    end)
    local seen = {}
    for i = 1, 4 do
      local _, value = coroutine.resume(co, i)
      seen[i] = value
      hv.go(function() end):join()
    end
    assert.same({ 2, 4, 6, "end" }, seen)
    assert.equal("dead", coroutine.status(co))
  end)

  it("belong to nobody else while they wait", function()
    local gate = hv.semaphore(0)
    local co = coroutine.create(function() gate:acquire() return "mine" end)
    local owner = hv.go(function() return select(2, coroutine.resume(co)) end)
    helper.until_waiting(owner)
    local ok, message = coroutine.resume(co)
    assert.is_false(ok)
    assert.equal("cannot resume waiting coroutine", message)
    gate:release()
    assert.equal("mine", owner:join())
  end)

  it("are cancelled with their task at every depth, and may clean up", function()
    local trace = {}
    local task = hv.go(function()
      coroutine.wrap(function()
        local ok, message = pcall(coroutine.wrap(function()
          local inner_ok, inner = pcall(hv.sleep, 100000)
          trace[#trace + 1] = { inner_ok, inner }
          hv.sleep(1) -- throws again
        end))
        trace[#trace + 1] = { ok, message }
        error("cleanup is over", 0)
      end)()
    end)
    helper.until_waiting(task)
    task:cancel()
    local _, message, code = task:join()
    assert.same({ { false, "task canceled" }, { false, "task canceled" } }, trace)
    assert.same({ "cleanup is over", "EFAILED" }, { message, code })
  end)

  it("may start tasks, and join them inside", function()
    assert.equal(42, coroutine.wrap(function()
      return hv.go(function() return coroutine.wrap(wait_and)(42) end):join()
    end)())
  end)
end)

describe("a task that is cancelled", function()
  local function cancelled_in(wait)
    local task = hv.go(wait)
    helper.until_waiting(task)
    assert.is_true(task:cancel())
    local value, message, code = task:join()
    assert.same({ nil, "task canceled", "ECANCELED" }, { value, message, code })
    assert.equal("canceled", task:status())
    assert.is_false(task:cancel())
  end

  it("leaves what it has waited for in order, so that others go on", function()
    local ch, gate = hv.channel(), hv.semaphore(0)
    cancelled_in(function() ch:recv() end)
    cancelled_in(function() ch:send(1) end)
    cancelled_in(function() gate:acquire() end)
    local joined = hv.go(hv.sleep, 100000)
    cancelled_in(function() joined:join() end)
    assert.is_true(joined:cancel())
    cancelled_in(function() hv.all(function() hv.sleep(100000) end) end)
    cancelled_in(function() hv.timeout(100000, hv.sleep, 100000) end)
    hv.go(function() ch:send("sent") gate:release() end)
    assert.equal("sent", ch:recv())
    assert.is_true(gate:acquire())
  end)

  it("leaves sockets, processes and workers in order", function()
    local server = assert(hv.tcp.listen({ host = "127.0.0.1", port = 0 }, function(conn)
      conn:write(assert(conn:read_line()))
      conn:read()
    end))
    local conn = assert(hv.tcp.connect { host = "127.0.0.1", port = server:port() })
    cancelled_in(function() conn:read(4) end)
    conn:write("late\n")
    assert.equal("late", conn:read(4))
    conn:close()
    server:close()
    local sock = assert(hv.udp.bind { host = "127.0.0.1", port = 0 })
    cancelled_in(function() sock:recv() end)
    sock:close()
    local process = assert(hv.process.spawn { "sleep", "100" })
    cancelled_in(function() process:wait() end)
    process:kill("kill")
    assert.equal("ESIGNAL", (select(3, process:wait())))
    local worker = hv.worker.spawn(function(ch) ch:send(ch:recv() + 1) end)
    cancelled_in(function() worker:recv() end)
    worker:send(1)
    assert.equal(2, worker:recv())
    worker:join()
  end)
end)

describe("the error of a task", function()
  --- What is told while fn(told) runs, and after it until there are `count`: what is told too often
  --- is told soon after.
  local function told_by(count, fn)
    local told = {}
    hv.on_error(function(message, traceback) told[#told + 1] = { message, traceback } end)
    local ok, problem = pcall(fn, told)
    if ok then
      ok, problem = pcall(helper.eventually, function() return #told >= count end, 10)
    end
    hv.sleep(1)
    hv.on_error(nil)
    assert(ok, problem)
    return told
  end

  it("is told once where nobody joins, also when its handle is long gone", function()
    local told = told_by(3, function()
      for i = 1, 3 do hv.go(function() hv.sleep(1) error("lost " .. i, 0) end) end
      collectgarbage()
    end)
    collectgarbage()
    assert.equal(3, #told)
    assert.equal("lost 1", told[1][1])
  end)

  it("is told once and given to who joins later", function()
    local told = told_by(1, function(told)
      local task = hv.go(error, "early", 0)
      helper.eventually(function() return told[1] end)
      for _ = 1, 2 do assert.same({ nil, "early", "EFAILED" }, { task:join() }) end
    end)
    assert.equal(1, #told)
  end)

  it("is told to nobody else where somebody joins", function()
    assert.same({}, told_by(0, function()
      local gate = hv.semaphore(0)
      local task = hv.go(function() gate:acquire() error("known", 0) end)
      local function join() return (select(2, task:join())) end
      local first, second = hv.go(join), hv.go(join)
      helper.until_waiting(first, second)
      gate:release()
      assert.equal("known", first:join())
      assert.equal("known", second:join())
    end))
  end)

  it("is told where those who joined have given up", function()
    local told = told_by(1, function()
      local gate = hv.semaphore(0)
      local task = hv.go(function() gate:acquire() error("abandoned", 0) end)
      assert.equal("ETIMEDOUT", (select(3, task:join(1))))
      local joiner = hv.go(task.join, task)
      helper.until_waiting(joiner)
      joiner:cancel()
      gate:release()
    end)
    assert.same({ "abandoned" }, { told[1][1], told[2] })
  end)

  it("is told from hv.defer, and from what runs while a task is cancelled", function()
    local told = told_by(2, function()
      hv.go(function() hv.defer(function() error("in defer", 0) end) end)
      local task = hv.go(function()
        pcall(hv.sleep, 100000)
        error("in cleanup", 0)
      end)
      helper.until_waiting(task)
      task:cancel()
    end)
    assert.equal(2, #told)
  end)

  it("is not told for a task that was only cancelled, before or after it began", function()
    assert.same({}, told_by(0, function()
      hv.go(hv.sleep, 100000):cancel()
      local task = hv.go(hv.sleep, 100000)
      helper.until_waiting(task)
      task:cancel()
    end))
  end)

  it("may be anything", function()
    local told = told_by(5, function()
      hv.go(error, nil)
      hv.go(error, {})
      hv.go(error, setmetatable({}, { __tostring = function() return "by itself" end }))
      hv.go(error, setmetatable({}, { __tostring = function() error("worse") end }))
      hv.go(error, 12, 0)
    end)
    local messages = {}
    for i, entry in ipairs(told) do messages[i] = entry[1] end
    assert.same({ "(error object is a nil value)", "error value: {}", "by itself",
      "error value: <table whose __tostring fails>", "12" }, messages)
  end)

  it("comes with the point, the line that has started the task, and its parents", function()
    local told = told_by(1, function()
      local function fail()
        hv.sleep(1)
        error("deep")
      end
      local function child() hv.go(function() fail() end) end
      local function parent() hv.go(child) end
      hv.go(parent)
    end)
    local traceback = told[1][2]
    local lines = {}
    for line in traceback:gmatch("task_waits_spec.lua:(%d+)") do
      lines[#lines + 1] = tonumber(line)
    end
    local started = {}
    for line in traceback:gmatch("task started at [^\n]-task_waits_spec.lua:(%d+)") do
      started[#started + 1] = tonumber(line)
    end
    -- error, fail, its caller; then hv.go in child, in parent, and here
    assert.is_true(#lines >= 6, traceback)
    assert.is_true(#started >= 3, traceback)
    local base = lines[1]
    assert.same({ base + 2, base + 3, base + 4 }, { started[1], started[2], started[3] })
  end)
end)

local function is_sanitized()
  for line in io.lines("/proc/self/maps") do
    if line:find("lib[at]san") then return true end
  end
  return false
end

-- All must be asleep before the first wakes, also where code is many times slower.
local COUNT = is_sanitized() and 5000 or 100000

describe(COUNT .. " tasks", function()
  local function resident()
    local file = assert(io.open("/proc/self/statm"))
    local pages = tonumber(file:read("*l"):match("^%d+ (%d+)"))
    file:close()
    return pages * 4096
  end

  it("sleep in at most 1.5 KiB each, and wake in order", function()
    collectgarbage()
    collectgarbage()
    local before, lua_before = resident(), collectgarbage("count") * 1024
    local count, seed, too_short, last = 0, 1, 0, {}
    -- Those of one duration wake in the order in which they fell asleep, and nobody too early.
    local function sleeper(ms, i)
      local began = hv.hrtime()
      hv.sleep(ms)
      if hv.hrtime() - began < ms * 1e6 then too_short = too_short + 1 end
      if (last[ms] or 0) > i then too_short = too_short + 1e6 end
      last[ms] = i
      count = count + 1
    end
    for i = 1, COUNT do
      seed = (seed * 16807) % 2147483647
      hv.go(sleeper, 3000 + seed % 50, i)
    end
    hv.sleep(0)
    hv.sleep(0)
    assert.equal(0, count)
    assert.is_true(collectgarbage("count") * 1024 - lua_before <= 1.5 * 1024 * COUNT)
    -- A sanitizer puts its own beside every block.
    if not is_sanitized() then
      assert.is_true(resident() - before <= 1.5 * 1024 * COUNT, resident() - before)
    end
    while count < COUNT do hv.sleep(10) end
    assert.equal(0, too_short)
  end)
end)

describe("tasks that wait anywhere", function()
  it("leave nothing open", function() helper.nothing_left(handles_before) end)
end)
