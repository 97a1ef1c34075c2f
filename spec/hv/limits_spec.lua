local hv = require "hv"

describe("hv.limits", function()
  it("holds numbers", function()
    for name, value in pairs(hv.limits) do
      assert.equal("number", type(value), name)
      assert.is_true(value >= 0)
    end
  end)
end)
