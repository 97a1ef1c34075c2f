local helper = require "helper"
local hv = require "hv"

describe("hv.log", function()
  it("writes level and text to stderr", function()
    local text = helper.run [[
      local log = require "hv".log
      log.debug("unseen") log.info("%d of %s", 1, "two") log.warn("50%") log.error(nil)]]
    assert.is_nil(text:find("unseen", 1, true))
    assert.matches("INFO +1 of two\n", text)
    assert.matches("WARN +50%%\n", text)
    assert.matches("ERROR +nil\n", text)
  end)

  it("does not throw for a format that does not fit", function()
    local text, status = helper.run [[require "hv".log.info("%d", "x")]]
    assert.matches("%%d x\n", text)
    assert.equal(0, status)
  end)

  it("shows what tables hold, in one line", function()
    local text = helper.run [[
      local log = require "hv".log
      log.info({ 1, a = { b = "x\ny" } })
      log.info("%s of %d and %s", { 1 }, 2, nil)
      local long = {} for i = 1, 50 do long[i] = i * 1000 end
      log.info(long)
      log.info(setmetatable({}, { __tostring = function() error("no") end }))]]
    assert.matches('INFO +{ 1, a = { b = "x\\ny" } }\n', text)
    assert.matches("INFO +{ 1 } of 2 and nil\n", text)
    assert.matches("INFO +{ 1000, 2000, [%d, ]*, 50000 }\n", text)
    assert.equal(4, select(2, text:gsub("\n", "")))
  end)

  it("has levels", function()
    local text = helper.run [[
      local log = require "hv".log
      print(log.level("error")) print(log.level()) log.warn("unseen") io.stdout:flush()
      log.level("debug") log.debug("seen")]]
    assert.matches("^info\nerror\n.*DEBUG +seen", text)
    assert.is_nil(text:find("unseen", 1, true))
    assert.has_error(function() hv.log.level("loud") end)
  end)
end)
