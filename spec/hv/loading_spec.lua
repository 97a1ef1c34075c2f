local helper = require "helper"
local hv = require "hv"

local handles_before = helper.active()

describe("require", function()
  local directory, path

  setup(function()
    directory = os.tmpname()
    os.remove(directory)
    assert(os.execute("mkdir " .. directory) == 0)
    path = package.path
    package.path = directory .. "/?.lua;" .. path
  end)

  teardown(function()
    package.path = path
    os.execute("rm -r " .. directory)
  end)

  local function module(name, text)
    local file = assert(io.open(directory .. "/" .. name .. ".lua", "w"))
    file:write(text)
    file:close()
  end

  it("lets a module wait while it is loaded, and loads it once", function()
    module("waits_mod", [[
      loads_of_waits_mod = (loads_of_waits_mod or 0) + 1
      require("hv").sleep(2)
      return { name = ... }]])
    local other
    hv.go(function() other = require "waits_mod" end)
    local mine = require "waits_mod"
    helper.eventually(function() return other end)
    assert.equal(mine, other)
    assert.equal("waits_mod", mine.name)
    assert.equal(1, rawget(_G, "loads_of_waits_mod"))
    rawset(_G, "loads_of_waits_mod", nil)
  end)

  it("is true for a module that returns nothing", function()
    module("nothing_mod", "")
    assert.is_true(require "nothing_mod")
    assert.is_true(package.loaded.nothing_mod)
  end)

  it("says where it has looked", function()
    local ok, message = pcall(require, "no_such_mod")
    assert.is_false(ok)
    assert.matches("module 'no_such_mod' not found:", message)
    assert.matches("no field package.preload", message)
    assert.matches("no embedded module", message)
    assert.matches("no_such_mod.lua'", message)
  end)

  it("finds a loop, and an error before", function()
    module("loop_mod", [[return require "loop_mod"]])
    local ok, message = pcall(require, "loop_mod")
    assert.is_false(ok)
    assert.matches("loop or previous error loading module 'loop_mod'", message)
    module("bad_mod", [[error("oops", 0)]])
    assert.has_error(function() require "bad_mod" end, "oops")
    assert.has_error(function() require "bad_mod" end)
  end)

  it("knows package.preload and C modules", function()
    package.preload.preload_mod = function(name) return { name } end
    assert.same({ "preload_mod" }, require "preload_mod")
    assert.equal("table", type(require "cjson"))
  end)

  it("refuses what is no name", function()
    assert.has_error(function() require {} end)
  end)

  it("has a dofile that may wait", function()
    module("do_mod", [[require("hv").sleep(1) return 7]])
    assert.equal(7, dofile(directory .. "/do_mod.lua"))
    assert.has_error(function() dofile(directory .. "/none.lua") end)
  end)
end)

describe("the spec itself", function()
  it("leaves nothing open", function() helper.nothing_left(handles_before) end)
end)
