local hv = require "hv"
local repl = require "hv.repl"

describe("hv.repl", function()
  local session, output

  before_each(function()
    output = {}
    session = repl.session {
      write = function(text) output[#output + 1] = text end,
      env = setmetatable({}, { __index = _G }),
    }
  end)

  --- Types lines and returns what came of them.
  local function type_in(...)
    output = {}
    local state
    for _, line in ipairs { ... } do state = session:line(line) end
    return table.concat(output), state
  end

  it("shows the values of expressions, each on a line", function()
    assert.equal("2\n", (type_in("1 + 1")))
    assert.equal('1\nnil\n"x"\n', (type_in('1, nil, "x"')))
    assert.equal("nil\n", (type_in("nil")))
    assert.equal("5\n", (type_in("=5")))
    assert.equal("", (type_in("x = 5")))
    assert.equal('{ a = "b" }\n', (type_in("{ a = 'b' }")))
    assert.equal("", (type_in("   ")))
  end)

  it("passes no commands to the terminal that stand in an error of somebody's", function()
    local text = type_in([[error("\27]0;title\7\tword", 0)]])
    assert.is_nil(text:find("[\27\7]"))
    assert.is_truthy(text:find("\\027]0;title\\007\tword", 1, true))
  end)

  it("keeps globals and the last value", function()
    type_in("x = 20")
    assert.equal("22\n", (type_in("x + 2")))
    assert.equal("44\n", (type_in("_ * 2")))
    assert.equal("", (type_in("y = 1")))
    assert.equal("44\n", (type_in("_")))
  end)

  it("takes more lines where one is not enough", function()
    assert.equal("more", (select(2, type_in("do"))))
    assert.equal("more", (select(2, type_in("  z = 1"))))
    assert.equal("ready", (select(2, type_in("end"))))
    assert.equal('"a\\nb"\n', (type_in("[[a", "b]]")))
    assert.equal("more", (select(2, type_in("f("))))
    session:reset()
    assert.equal("1\n", (type_in("1")))
  end)

  it("tells errors with a traceback of what was typed, and nothing of the prompt's own", function()
    assert.matches("^stdin:1: .*near", (type_in("x x")))
    local text = type_in("local function f() error('oops') end  f()  x = 1")
    assert.matches("^stdin:1: oops\nstack traceback:\n%s+%[C%]: in function 'error'\n", text)
    assert.is_nil(text:find("hv.repl", 1, true))
    assert.is_nil(text:find("xpcall", 1, true))
    assert.matches("^error value: { code = 7 }\n", (type_in("error({ code = 7 })")))
    assert.matches("^me\n", (type_in(
      "error(setmetatable({}, { __tostring = function() return 'me' end }))")))
    assert.equal("2\n", (type_in("1 + 1")))
    assert.matches("^stdin:1: oops\nstack traceback:.*stdin:1: in main chunk\n$",
      (type_in("error('oops') -- a comment")))
    assert.matches("^stdin:1: hv.sleep: ms must be", (type_in("require('hv').sleep('x')")))
  end)

  it("waits, in expressions and statements", function()
    assert.equal("true\n7\n", (type_in("hv = require 'hv'; hv.sleep(1) return true, 7")))
    local ticks = 0
    local timer = hv.every(1, function() ticks = ticks + 1 end)
    type_in("require('hv').sleep(30)")
    timer:stop()
    assert.is_true(ticks > 3)
  end)

  it("cancels what waits", function()
    hv.after(5, function() session:cancel() end)
    assert.matches("^task canceled", (type_in("require('hv').sleep(1e6)")))
  end)

  it("says once that locals do not stay", function()
    assert.equal("-- the local a ends with its line; without `local` it stays\n",
      (type_in("local a = 1")))
    assert.equal("", (type_in("local b = 1")))
    for _, text in ipairs { "local function a()\nend", "local a = {\n}" } do
      session.has_hinted = false
      assert.equal("-- the local a ends with its line; without `local` it stays\n", (type_in(text)))
    end
    session.has_hinted = false
    assert.equal("", (type_in("local a = 1 if a == 1 then\na = 3 end")))
  end)

  it("has commands", function()
    assert.matches("%.tasks .*Ctrl%-D ends", (type_in(".help")))
    assert.matches("^hv%.tcp%.listen%(", (type_in(".help hv.tcp.listen")))
    assert.equal(".load FILE  run a Lua file here\n", (type_in(".help .load")))
    assert.matches("^there is no help on nothing\n", (type_in(".help nothing")))
    assert.equal("exit", (select(2, type_in(".exit"))))
    assert.equal("no command .nothing; .help tells which there are\n", (type_in(".nothing")))
    assert.matches("^3\n%-%- [%d.]+ ms\n$", (type_in(".time 1 + 2")))
    assert.matches("not complete", (type_in(".time f(")))
    assert.matches("KiB before", (type_in(".memory")))
  end)

  it("runs a file", function()
    local path = os.tmpname()
    local file = assert(io.open(path, "w"))
    file:write("loaded = 42\nreturn 'done'\n")
    file:close()
    assert.equal('"done"\n', (type_in(".load " .. path)))
    assert.equal("42\n", (type_in("loaded")))
    os.remove(path)
    assert.matches("cannot open", (type_in(".load " .. path)))
    assert.matches("needs the name", (type_in(".load")))
  end)

  it("lists what waits and what is open", function()
    local server = hv.tcp.listen({ host = "127.0.0.1", port = 0 }, function() end)
    local waiting = hv.go(function() hv.sleep(1e6) end)
    hv.sleep(0)
    assert.matches("hv.task{waiting.- at .-repl_spec.lua:%d+, started at .-repl_spec.lua:%d+\n",
      (type_in(".tasks")))
    assert.matches("hv.tcp_server{.-127.0.0.1:" .. server:port(), (type_in(".handles")))
    waiting:cancel()
    server:close()
  end)
end)
