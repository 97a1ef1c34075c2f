--- What Ctrl-C rests on: an aim that a thread fires while Lua runs and looks at nothing.
local helper = require "helper"
local hv = require "hv"
local interrupt = require "_hv.interrupt"

describe("an aim that is closed", function()
  it("leaves descriptors alone that have its numbers since", function()
    local aim = assert(interrupt.aim())
    aim:close()
    local file = assert(io.open("/dev/null", "w"))
    aim:close()
    aim = nil -- luacheck: ignore 311
    collectgarbage()
    collectgarbage()
    assert(file:write("x"))
    assert(file:close())
  end)
end)

describe("an aim", function()
  local aim, presser

  -- Somebody who presses Ctrl-C again and again.
  before_each(function()
    aim = assert(interrupt.aim())
    presser = assert(hv.process.spawn { "sh", "-c", "while printf x; do sleep 0.02; done",
      stdout = "pipe", stderr = "null" })
    assert.is_true(aim:watch(presser.stdout))
  end)
  after_each(function()
    aim:close()
    presser:kill("kill")
    presser:wait()
    presser.stdout:close()
  end)

  --- Runs a function as the aim's task. Returns whether it ran to its end, why not, and whether the
  --- aim was hit: perhaps just before the function began, or behind it.
  local function run(fn)
    local task = hv.go(function()
      aim:take()
      local ok, message = pcall(fn)
      return ok, message, aim:release()
    end)
    local ok, message, is_hit_or_code = task:join(60000)
    if ok == nil and is_hit_or_code ~= "ETIMEDOUT" then return false, message, true end
    return ok, message, is_hit_or_code
  end

  local endless = {
    ["an empty loop"] = function() while true do end end,
    ["a counting loop"] = function() for _ = 1, 1e18 do end end, -- luacheck: ignore 512
    ["nested loops"] = function()
      local sum = 0
      while true do for i = 1, 100 do sum = sum + i end end
    end,
    ["a recursion without end"] = function()
      local function f(n) return f(n + 1) end
      return f(0)
    end,
    ["calls of a closure"] = function()
      local t = setmetatable({}, { __index = function(_, key) return key end })
      local x
      while true do x = t[x or 1] end
    end,
    ["a function that C calls"] = function()
      table.sort({ 1, 2, 3 }, function() while true do end end)
    end,
    ["a coroutine"] = function()
      coroutine.wrap(function() while true do end end)()
    end,
    ["allocation"] = function()
      local t
      while true do t = { 1, t and #t } end
    end,
    ["a wait"] = function() hv.sleep(1e6) end,
    ["waits in a row"] = function() while true do hv.sleep(1) end end,
  }
  for name, fn in pairs(endless) do
    it("interrupts " .. name, function()
      local ok, message, is_fired = run(fn)
      assert.is_false(ok)
      assert.is_true(message:find("interrupted") ~= nil or message:find("task canceled") ~= nil,
        message)
      assert.is_true(is_fired)
    end)
  end

  it("interrupts compiled code also after a script has used the profiler", function()
    local profile = require "jit.profile"
    profile.start("f", function() end)
    for _ = 1, 1e5 do end -- luacheck: ignore 542
    profile.stop()
    assert.is_false((run(endless["an empty loop"])))
  end)

  it("leaves a profile alone that runs already", function()
    local output = helper.run [[
      local hv, profile = require "hv", require "jit.profile"
      local count = 0
      profile.start("li5", function(_, samples) count = count + samples end)
      local aim = require("_hv.interrupt").aim()
      local till = hv.hrtime() + 10e9
      while count == 0 and hv.hrtime() < till do end
      aim:close()
      local before = count
      while count == before and hv.hrtime() < till do end
      profile.stop()
      print(before > 0, count > before)
      hv.stop()]]
    assert.equal("true\ttrue\n", (output:gsub("[^\n]*held up[^\n]*\n", "")))
  end)

  it("leaves other tasks alone", function()
    local is_done = false
    local other = hv.go(function()
      local till = hv.hrtime() + 30e6
      while hv.hrtime() < till do end
      is_done = true
    end)
    run(function() hv.sleep(1e6) end)
    other:join()
    assert.is_true(is_done)
  end)

  it("does nothing where nobody is aimed at", function()
    assert.is_true(hv.sleep(50))
    local task = hv.go(function()
      local till = hv.hrtime() + 50e6
      while hv.hrtime() < till do end
      return "whole"
    end)
    assert.equal("whole", task:join())
  end)

  it("cannot be caught by who is insisted on", function()
    local task = hv.go(function()
      aim:take()
      pcall(function()
        while true do pcall(function() while true do end end) end
      end)
      aim:release()
      return "out"
    end)
    -- What the third interrupt hits it hits until the task has ended, whoever catches it.
    local _, message, code = task:join(60000)
    assert.equal("EFAILED", code)
    assert.matches("interrupted", message)
  end)

  it("watches one source, and is closed more than once without harm", function()
    assert.equal("EBUSY", (select(3, aim:watch(presser.stdout))))
    aim:close()
    aim:close()
    assert.equal("EBUSY", (select(3, aim:watch(presser.stdout))))
  end)
end)
