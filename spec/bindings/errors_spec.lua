-- An error thrown in any callback is told once, with the place where it was thrown, and has the
-- consequence that is documented for that callback and no other.
local callbacks = require "callbacks"
local helper = require "helper"

--- Runs a script; returns its output, status and path.
local function run(source)
  local path = os.tmpname()
  local file = assert(io.open(path, "w"))
  file:write(source)
  file:close()
  local output, status = helper.hvlua { path }
  os.remove(path)
  return (output:gsub(path:gsub("%p", "%%%0"), "script.lua")), status
end

local function occurrences(text, part)
  local count, at = 0, 1
  while true do
    local first, last = text:find(part, at, true)
    if not first then return count end
    count, at = count + 1, last + 1
  end
end

describe("an error", function()
  for _, program in ipairs(callbacks.programs) do
    describe("in " .. program.name, function()
      it("is told once, and nothing else is lost", function()
        local output, status, errors, place = callbacks.run(program, 'error("boom")')
        assert.equal(program.failed .. "\nend\n", output)
        assert.equal(program.errors or 1, #errors)
        assert.equal(#errors > 0 and 1 or 0, status)
        local last = errors[#errors]
        if not last then return end
        assert.equal(1, occurrences(last, "stack traceback:"))
        assert.equal(1, occurrences(last, "boom"))
        assert.truthy(last:find("error in a task: " .. place .. " boom\nstack traceback:", 1, true))
        -- The trace names the line too, not only the message.
        assert.truthy(program.inside or last:find(place .. " in function", 1, true))
      end)

      it("is thrown by misuse of the API just as well", function()
        local _, _, errors, place = callbacks.run(program, "hv.sleep(-1)")
        assert.equal(program.errors or 1, #errors)
        if errors[1] then
          assert.truthy(errors[#errors]:find(place .. " hv.sleep: ms must be", 1, true))
        end
      end)

      it("is not there where it does nothing", function()
        local output, status, errors = callbacks.run(program, "")
        assert.equal(program.normal .. "\nend\n", output)
        assert.equal(program.before or 0, #errors)
        assert.equal(#errors > 0 and 1 or 0, status)
      end)
    end)
  end
end)

describe("an error in the main script", function()
  it("ends the program with 1 and one traceback, whatever else is open", function()
    for _, before in ipairs {
      "", "hv.sleep(1)", "hv.every(1, function() end)",
      "assert(hv.tcp.listen({ port = 0 }, function() end))", "hv.go(hv.sleep, 100000)",
      "hv.on_error(function() print('told') end)", "hv.on_signal('term', print)",
      "hv.defer(function() hv.sleep(100000) end)",
    } do
      local output, status = run(('local hv = require "hv"\n%s\nerror("boom")\n'):format(before))
      assert.equal(1, status)
      assert.equal(1, occurrences(output, "stack traceback:"))
      assert.matches("^hvlua: script.lua:3: boom\nstack traceback:", output)
    end
  end)

  it("names the value where it is no string", function()
    assert.matches("^hvlua: error value: { 1, code = 7 }\n", (run "error({ 1, code = 7 })"))
    assert.matches("^hvlua: error value: true\n", (run "error(true)"))
    assert.matches("^hvlua: %(error object is a nil value%)\n", (run "error(nil)"))
    assert.matches("^hvlua: text\n",
      (run "error(setmetatable({}, { __tostring = function() return 'text' end }))"))
    assert.matches("^hvlua: error value: <table whose __tostring fails>\n",
      (run "error(setmetatable({}, { __tostring = function() error('again') end }))"))
    assert.matches("^hvlua: 12\n", (run "error(12, 0)"))
    assert.matches("^hvlua: error value: { \"x[^\n]*x%.%.%.\n", (run "error { ('x'):rep(999) }"))
    -- Where nothing of ours can be called, as the `lua` program says it.
    assert.matches("^hvlua: %(error object is a table value%)\n", (run "require = nil error({})"))
  end)

  it("comes from modules, at every depth of require, with their place", function()
    local directory = os.tmpname()
    os.remove(directory)
    os.execute("mkdir " .. directory)
    local function write(name, text)
      local file = assert(io.open(directory .. "/" .. name, "w"))
      file:write(text)
      file:close()
    end
    write("outer.lua", "\nlocal inner = require('inner')\nreturn inner\n")
    write("inner.lua", "\n\nrequire('hv').sleep(1)\nerror('boom')\n")
    write("broken.lua", "x x\n")
    local path = ("package.path = %q\n"):format(directory .. "/?.lua")
    local output, status = run(path .. "require('outer')")
    assert.equal(1, status)
    assert.equal(1, occurrences(output, "stack traceback:"))
    assert.matches("^hvlua: [^\n]*inner.lua:4: boom\n", output)
    assert.matches("outer.lua:2:", output)

    output, status = run(path .. [[
local hv = require "hv"
local function load(name) local module = require(name) return module end
local first = hv.go(pcall, load, "inner")
local second = hv.go(pcall, load, "inner")
local function show(_, message) print((message:match("^[^\n]*"))) end
show(first:join())
show(second:join())
show(pcall(load, "inner"))
show(pcall(load, "broken"))
show(pcall(load, "none"))
]])
    assert.equal(0, status)
    local lines = {}
    for line in output:gmatch("[^\n]+") do lines[#lines + 1] = line:gsub(directory, "DIR") end
    assert.same({
      "DIR/inner.lua:4: boom",
      "script.lua:3: loop or previous error loading module 'inner'",
      "script.lua:3: loop or previous error loading module 'inner'",
      "error loading module 'broken' from file 'DIR/broken.lua':",
      "script.lua:3: module 'none' not found:",
    }, lines)
    os.execute("rm -r " .. directory)
  end)
end)

describe("an error in a worker", function()
  it("is told once, and to who joins it; one in a callback of its loop ends nothing", function()
    local output, status = run [[
local hv = require "hv"
local first = hv.worker.spawn(function()
  error("boom")
end)
print(first:join())
local second = hv.worker.spawn(function()
  local inside = require "hv"
  inside.after(0, function() error("bang") end)
  inside.sleep(3)
  return "fine"
end)
print(second:join())
]]
    assert.equal(1, status)
    assert.equal(2, occurrences(output, "stack traceback:"))
    assert.equal(1, occurrences(output, "error in a task: script.lua:3: boom\nstack traceback:"))
    assert.equal(1, occurrences(output, "error in a task: script.lua:8: bang\nstack traceback:"))
    assert.equal(1, occurrences(output, "nil\tscript.lua:3: boom\tEFAILED\n"))
    assert.equal(1, occurrences(output, "fine\n"))
  end)
end)

describe("an error in a function of hv.on_shutdown", function()
  it("is told once, and the shutdown goes on", function()
    local output, status = run [[
local hv = require "hv"
hv.on_shutdown(function()
  error("boom")
end)
hv.on_shutdown(function() print("other") end)
hv.shutdown { grace = 100, status = 3 }
hv.sleep(100000)
]]
    assert.equal(3, status)
    assert.equal(1, occurrences(output, "stack traceback:"))
    assert.equal(1, occurrences(output, "error in a task: script.lua:3: boom"))
    assert.equal(1, occurrences(output, "other\n"))
  end)
end)

describe("hv.on_error", function()
  it("gets each error once, with its traceback and task, instead of stderr", function()
    local output, status = run [[
local hv = require "hv"
local failed, told = nil, 0
hv.on_error(function(message, traceback, task)
  print(message, select(2, traceback:gsub("stack traceback:", "")), task == failed, task:status())
  told = told + 1
end)
failed = hv.go(function() error("one") end)
while told < 1 do hv.sleep(1) end
failed = nil
hv.after(0, function() failed = hv.current() error({}) end)
while told < 2 do hv.sleep(1) end
hv.on_error(nil)
hv.go(function() error("two") end)
]]
    assert.equal(1, status)
    local lines = {}
    for line in output:gmatch("[^\n]+") do lines[#lines + 1] = line end
    assert.equal("script.lua:7: one\t1\ttrue\tfailed", lines[1])
    assert.equal("error value: {}\t1\ttrue\tfailed", lines[2])
    assert.equal("hvlua: error in a task: script.lua:13: two", lines[3])
  end)

  it("may fail itself: then stderr gets its error and the one it was given", function()
    local output, status = run [[
local hv = require "hv"
hv.on_error(function(message)
  hv.sleep(1)
  error("second")
end)
hv.go(function() error("first") end)
hv.sleep(3)
print("end")
]]
    assert.equal(1, status)
    assert.equal(1, occurrences(output, "script.lua:4: second"))
    assert.equal(1, occurrences(output, "script.lua:6: first"))
    assert.equal(1, occurrences("\n" .. output, "\nend\n"))
  end)

  it("may replace itself, and start what fails again", function()
    local output = run [[
local hv = require "hv"
local depth = 0
hv.on_error(function(message)
  depth = depth + 1
  print(depth, message)
  if depth < 3 then hv.go(function() error("again", 0) end) end
  if depth == 2 then hv.on_error(function(text) print("other", text) end) end
end)
hv.go(function() error("first", 0) end)
hv.sleep(5)
]]
    assert.equal("1\tfirst\n2\tagain\nother\tagain\n", output)
  end)

  it("does not get what pcall has caught, nor what a cancelled task throws", function()
    local output = run [[
local hv = require "hv"
hv.on_error(print)
hv.go(function() pcall(error, "caught") end)
local task = hv.go(function() hv.sleep(100000) end)
hv.sleep(1)
task:cancel()
local never = hv.go(function() print("never") end)
never:cancel()
hv.sleep(1)
print("end")
]]
    assert.equal("end\n", output)
  end)

  it("gets what a task throws while it is being cancelled", function()
    local output = run [[
local hv = require "hv"
hv.on_error(function(message) print("told", message) end)
local task = hv.go(function()
  local ok = pcall(hv.sleep, 100000)
  if not ok then error("in the end", 0) end
end)
hv.sleep(1)
task:cancel()
hv.sleep(1)
]]
    assert.equal("told\tin the end\n", output)
  end)
end)

describe("an error of the engine", function()
  it("in a callback is like any other", function()
    local output, status = run [[
local hv = require "hv"
local told = 0
hv.on_error(function(message)
  told = told + 1
  print(message)
end)
local function deep() return 1 + deep() end
hv.after(0, deep)
hv.after(2, function() local t = nil; return t.x end)
hv.after(3, function() return coroutine.wrap(deep)() end)
hv.after(4, function() coroutine.yield("to nobody") end)
hv.after(5, function() return table.sort({ 3, 2, 1 }, function() hv.sleep(1) end) end)
hv.sleep(20)
for _ = 1, 100 do hv.go(deep) end
while told < 105 do hv.sleep(1) end
print("end")
]]
    assert.equal(0, status)
    assert.equal(1, occurrences(output, "attempt to yield from outside a coroutine"))
    assert.equal(1, occurrences(output, "attempt to index"))
    assert.equal(102, occurrences(output, "stack overflow"))
    assert.equal(1, occurrences(output, "cannot wait inside a function that C has called"))
    assert.matches("\nend\n$", output)
  end)
end)
