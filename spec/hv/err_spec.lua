local hv = require "hv"

describe("hv.err", function()
  it("has a constant for each code", function()
    assert.equal("ECONNREFUSED", hv.err.ECONNREFUSED)
    assert.equal("EOF", hv.err.EOF)
    assert.equal("ENOTEMPTY", hv.err.ENOTEMPTY)
    assert.equal("ESIGNAL", hv.err.ESIGNAL)
    for name, code in pairs(hv.err) do assert.equal(name, code) end
  end)

  it("throws for a name that is none", function()
    local ok, message = pcall(function() return hv.err.ECONREFUSED end)
    assert.is_false(ok)
    assert.matches("err_spec.lua:%d+: hv.err: there is no code ECONREFUSED", message)
  end)
end)
