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
