local multipart = require "hv.http_multipart"

local function part(disposition, body, more)
  return "--x\r\nContent-Disposition: " .. disposition .. "\r\n" .. (more or "") ..
    "\r\n" .. body .. "\r\n"
end

describe("hv.http_multipart", function()
  it("reads the boundary, quoted or not", function()
    assert.are.equal("x y", multipart.boundary('multipart/form-data; boundary="x y"'))
    assert.are.equal("xY", multipart.boundary("Multipart/Form-Data; charset=a; Boundary=xY; a=b"))
    assert.is_nil(multipart.boundary("multipart/form-data"))
    assert.is_nil(multipart.boundary("multipart/form-data; boundary="))
    assert.is_nil(multipart.boundary("text/plain; boundary=x"))
    assert.is_nil(multipart.boundary(nil))
  end)

  it("cuts a body into its parts", function()
    local body = "preamble\r\n" .. part('form-data; name="a"', "1") ..
      part('form-data; name="f"; filename="q\\"uote.txt"', "-x is no\r\n-- boundary",
        "Content-Type: text/plain\r\n") .. "--x--\r\nepilogue"
    local parts = assert(multipart.parse(body, "x"))
    assert.are.equal(2, #parts)
    assert.are.equal("a", parts[1].name)
    assert.are.equal("1", parts[1].body)
    assert.are.equal('q"uote.txt', parts[2].filename)
    assert.are.equal("text/plain", parts[2].headers["content-type"])
    assert.are.equal("-x is no\r\n-- boundary", parts[2].body)
  end)

  it("keeps empty parts and a form without parts", function()
    assert.are.same({}, multipart.parse("--x--", "x"))
    local parts = assert(multipart.parse(part('form-data; name="a"', "") .. "--x--", "x"))
    assert.are.equal("", parts[1].body)
  end)

  it("refuses a body that is cut off anywhere", function()
    local whole = part('form-data; name="a"', "value") .. "--x--"
    assert.is_truthy(multipart.parse(whole, "x"))
    for stop = 1, #whole - 1 do
      local parts, message, code = multipart.parse(whole:sub(1, stop), "x")
      assert.is_nil(parts, "cut at " .. stop)
      assert.are.equal("multipart: malformed body", message)
      assert.are.equal("EPROTO", code)
    end
  end)

  it("refuses a part without a name", function()
    assert.is_nil(multipart.parse(part("form-data", "1") .. "--x--", "x"))
  end)
end)
