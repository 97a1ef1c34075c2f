local helper = require "helper"

local function spec(text)
  local path = os.tmpname() .. "_spec.lua"
  local file = assert(io.open(path, "w"))
  file:write(text)
  file:close()
  return path
end

local function run(text, ...)
  local path = spec(text)
  local arguments = { "--test", "--output=TAP", ... }
  arguments[#arguments + 1] = path
  local output, status = helper.hvlua(arguments)
  os.remove(path)
  os.remove((path:gsub("_spec.lua$", "")))
  return output, status
end

describe("hvlua --test", function()
  it("lets every part of a spec wait", function()
    local output, status = run [[
local hv = require "hv"
describe("waits", function()
  local server
  setup(function() hv.sleep(1) end)
  before_each(function()
    hv.sleep(1)
    server = assert(hv.tcp.listen({ host = "127.0.0.1", port = 0 }, function(conn)
      conn:write(conn:read())
    end))
  end)
  after_each(function() hv.sleep(1) server:close() end)
  teardown(function() hv.sleep(1) end)
  it("in it", function()
    local conn = assert(hv.tcp.connect { host = "127.0.0.1", port = server:port() })
    conn:write("abc")
    assert.equal("abc", conn:read())
    conn:close()
  end)
  it("in pcall", function() assert.is_true(pcall(hv.sleep, 1)) end)
end)]]
    assert.matches("ok 1 %- waits in it\n.*ok 2 %- waits in pcall\n1%.%.2\n", output)
    assert.equal(0, status)
  end)

  it("ends with 1 where something fails, before and after it has waited", function()
    local output, status = run [[it("a", function() assert.equal(1, 2) end)]]
    assert.matches("not ok 1", output)
    assert.equal(1, status)
    output, status = run [[it("a", function() require("hv").sleep(1) error("x") end)]]
    assert.matches("not ok 1", output)
    assert.equal(1, status)
  end)

  it("ends although a spec leaves things open", function()
    local _, status = run [[it("a", function() require("hv").every(1000, print) end)]]
    assert.equal(0, status)
  end)

  it("hands options on to busted", function()
    assert.matches("%-%-filter", (helper.hvlua { "--test", "--help" }))
    local output, status = run([[it("one", function() error() end) it("two", function() end)]],
      "--filter=two", "-p", "_spec")
    assert.matches("ok 1 %- two\n1%.%.1", output)
    assert.equal(0, status)
  end)

  it("says so where busted is not installed", function()
    local output, status = helper.hvlua({ "-e", "package.path = ''", "--test", "x" })
    assert.matches("needs busted", output)
    assert.equal(2, status)
  end)
end)
