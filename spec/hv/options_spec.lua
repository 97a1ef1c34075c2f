local options = require "hv.options"

describe("hv.options", function()
  local read = options.reader("f", {
    port = { "port" }, name = { "string", "x" }, size = { "size" }, wait = { "ms" },
    on = { "boolean" }, fn = { "function" }, count = { "integer" },
  })

  it("fills in defaults and copies", function()
    local given = { port = 1 }
    local checked = read(given)
    assert.same({ port = 1, name = "x" }, checked)
    assert.is_nil(given.name)
  end)

  it("reads sizes", function()
    assert.equal(0, options.size(0))
    assert.equal(65536, options.size("64K"))
    assert.equal(8 * 2 ^ 20, options.size("8M"))
    assert.equal(2 ^ 30, options.size("1G"))
    assert.equal(12, options.size("12"))
    for _, bad in ipairs { "64k", "K", "-1", "1.5M", "", "1 M", -1, 1.5 } do
      assert.is_nil(options.size(bad))
    end
  end)

  it("takes false for no time, and rounds up", function()
    assert.equal(0, read({ wait = false }).wait)
    assert.equal(2, read({ wait = 1.2 }).wait)
  end)

  it("names the value that is wrong", function()
    for key, value in pairs { port = 70000, name = 1, size = "big", wait = "1", on = 1, fn = 1,
      count = 1.5 } do
      local ok, message = pcall(read, { [key] = value })
      assert.is_false(ok)
      assert.matches("f: " .. key .. " must be ", message)
    end
  end)

  it("names the nearest known key", function()
    local ok, message = pcall(read, { prot = 1 })
    assert.is_false(ok)
    assert.matches('f: unknown option "prot", did you mean "port"%?', message)
    assert.has_error(function() read { "x" } end)
    assert.has_error(function() read(nil) end)
  end)
end)
