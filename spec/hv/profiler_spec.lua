local helper = require "helper"
local profiler = require "hv.profiler"

local WORK = [[
local hv = require "hv"
local function burn()
  local x, till = 0, hv.hrtime() + %d * 1e6
  while hv.hrtime() < till do
    for i = 1, 1000 do x = x + i end
  end
  return x
end
local function outer() return (burn()) end
hv.go(function() outer() end):join()
hv.sleep(%d)
]]

--- What a stop of the profiler would give.
local function data(stacks)
  local list = {}
  for _, stack in ipairs(stacks) do
    list[#list + 1] = { text = stack[1], N = stack[2], I = stack[3], C = 0, G = 0, J = 0 }
  end
  return { stacks = list, loop = 10, threads = 0, other = 0, interval = 10, wall_ms = 2000,
    cpu_ms = 1000 }
end

local function script(text)
  local path = os.tmpname()
  local file = assert(io.open(path, "w"))
  file:write(text)
  file:close()
  return path
end

local function content(path)
  local file = assert(io.open(path))
  local text = file:read("*a")
  file:close()
  return text
end

describe("hv.profiler", function()
  it("reads its option", function()
    assert.same({ nil, 10 }, { profiler.parse("") })
    assert.same({ "out.txt", 10 }, { profiler.parse("=out.txt") })
    assert.same({ "out.txt", 2 }, { profiler.parse("=out.txt,2") })
    assert.same({ nil, 5 }, { profiler.parse(",5") })
    assert.matches("1..10000", (select(3, profiler.parse("=x,0"))))
    assert.matches("1..10000", (select(3, profiler.parse("=x,much"))))
  end)

  it("adds up self and total time by function and line", function()
    local report = profiler.report(data {
      { "/a.lua:0\t/a.lua:9\nf\t/a.lua:2\n", 30, 0 },
      { "/a.lua:0\t/a.lua:9\nf\t/a.lua:3\nf\t/a.lua:3\n", 0, 20 },
      { "/a.lua:0\t/a.lua:9\nsort\t@0x1234\n/a.lua:7\t/a.lua:8\n", 40, 0 },
    })
    assert.matches("2.00 s, of which 1.00 s on the processor; 100 samples", report)
    assert.matches(" 50.0 %%  idle", report)
    assert.matches(" 70.0 %%  compiled Lua", report)
    assert.matches(" 20.0 %%  interpreted Lua", report)
    assert.matches(" 10.0 %%  the loop itself", report)
    assert.matches("  50.0 %%    50.0 %%  f  /a.lua\n", report)
    assert.matches("   0.0 %%    90.0 %%  main chunk  /a.lua\n", report)
    assert.matches("   0.0 %%    40.0 %%  sort\n", report)
    assert.matches("  40.0 %%    40.0 %%  function:7  /a.lua\n", report)
    assert.matches("  30.0 %%    30.0 %%  /a.lua:2  in f\n", report)
    assert.matches("  20.0 %%    20.0 %%  /a.lua:3  in f\n", report)
  end)

  it("writes stacks for flame graphs", function()
    assert.equal("main chunk /a.lua:9;f /a.lua:2 5\nthe loop in C 10\n", profiler.folded(data {
      { "/a.lua:0\t/a.lua:9\nf\t/a.lua:2\n", 2, 3 },
    }))
  end)

  it("tells at the end of hvlua where the time went", function()
    local path = script(WORK:format(300, 300))
    local output, status = helper.hvlua { "--slow", "0", "--profile", path }
    os.remove(path)
    assert.equal(0, status)
    assert.matches("^profile: %d", output)
    -- Only burn works; whatever else is seen is start and end of the program.
    local self = output:match("functions\n.-\n%s+([%d.]+) %%%s+[%d.]+ %%  burn ")
    assert.is_true(tonumber(self) > 50, output)
    local total = output:match("%s+[%d.]+ %%%s+([%d.]+) %%  outer ")
    assert.is_true(tonumber(total) > 50, output)
    local idle = output:match("([%d.]+) %%  idle")
    assert.is_true(tonumber(idle) > 10, output)
  end)

  it("writes into files, also where the script calls os.exit", function()
    local path, out = script(WORK:format(1000, 1) .. "os.exit(3)"), os.tmpname()
    local output, status = helper.hvlua { "--slow=0", "--profile=" .. out .. ",5", path }
    assert.equal("", output)
    assert.equal(3, status)
    assert.matches("^profile: ", content(out))
    assert.matches("outer [^\n;]+;burn [^\n;]+ %d+\n", content(out .. ".folded"))
    os.remove(path)
    os.remove(out)
    os.remove(out .. ".folded")
  end)

  it("refuses what it does not understand", function()
    local output, status = helper.hvlua { "--profile=,x", "-e", "print(1)" }
    assert.matches("interval of %-%-profile must be", output)
    assert.equal(1, status)
  end)
end)
