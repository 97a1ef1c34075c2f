local hv = require "hv"

describe("hv.json", function()
  it("encodes and decodes", function()
    assert.equal('[1,"a",true]', hv.json.encode { 1, "a", true })
    assert.same({ a = { 1, 2 }, b = "x" }, hv.json.decode '{"a":[1,2],"b":"x"}')
    assert.equal(hv.json.null, hv.json.decode "[null]"[1])
    assert.equal("null", hv.json.encode(hv.json.null))
  end)

  it("throws for what is none", function()
    assert.has_error(function() hv.json.decode "{" end)
    assert.has_error(function() hv.json.encode(print) end)
  end)
end)
