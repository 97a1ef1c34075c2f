local helper = require "helper"
local hv = require "hv"

local function refused(pattern, setting)
  local ok, message = pcall(hv.unpack.check, setting)
  assert.is_false(ok)
  assert.matches(pattern, message)
end

local handles_before = helper.active()

describe("hv.unpack", function()
  it("fills in defaults", function()
    assert.same({ mode = "fixed", length = 4, max_length = 2097152 },
      hv.unpack.check { mode = "fixed", length = 4 })
    local t = hv.unpack.check { mode = "length_field", body_offset = 2, length_field_bytes = 2,
      max_length = "64K" }
    assert.equal(65536, t.max_length)
    assert.equal(0, t.length_field_offset)
    assert.equal("big", t.length_field_coding)
    assert.equal(0, t.length_adjustment)
  end)

  it("names what is wrong", function()
    refused("must be a table", 1)
    refused("unpack.mode must be", {})
    refused('did you mean "length"', { mode = "fixed", lenght = 1 })
    refused("length must be 1..max_length", { mode = "fixed" })
    refused("length must be 1..max_length", { mode = "fixed", length = 10, max_length = 5 })
    refused("delimiter must be", { mode = "delimiter" })
    refused("delimiter must be", { mode = "delimiter", delimiter = "123456789" })
    refused("length_field_bytes must be 1..8", { mode = "length_field", body_offset = 4 })
    refused("body_offset must not lie before",
      { mode = "length_field", body_offset = 1, length_field_bytes = 2 })
    refused("body_offset must be at most 65535",
      { mode = "length_field", body_offset = 65536, length_field_bytes = 2 })
    refused("length_field_coding must be", { mode = "length_field", body_offset = 2,
      length_field_bytes = 2, length_field_coding = "middle" })
    refused("length_adjustment", { mode = "length_field", body_offset = 2,
      length_field_bytes = 2, length_adjustment = 1e6 })
  end)

  local function packets_of(setting, bytes)
    local server = assert(hv.tcp.listen({ host = "127.0.0.1", port = 0 }, function(conn)
      for i = 1, #bytes do
        conn:write(bytes:sub(i, i))
        if i % 3 == 0 then hv.sleep(0) end
      end
    end))
    local conn = assert(hv.tcp.connect { host = "127.0.0.1", port = server:port(),
      unpack = setting })
    local packets = {}
    for packet in conn:packets() do packets[#packets + 1] = packet end
    local code = select(3, conn:read())
    conn:close()
    server:close()
    return packets, code
  end

  it("cuts by each mode", function()
    assert.same({ "abc", "def" }, (packets_of({ mode = "fixed", length = 3 }, "abcdefg")))
    assert.same({ "a\r\n", "\r\n", "b\r\n" },
      (packets_of({ mode = "delimiter", delimiter = "\r\n" }, "a\r\n\r\nb\r\n")))
    assert.same({ "\0\2hi", "\0\0" }, (packets_of({ mode = "length_field", body_offset = 2,
      length_field_bytes = 2 }, "\0\2hi\0\0")))
    assert.same({ "\2\0hi" }, (packets_of({ mode = "length_field", body_offset = 2,
      length_field_bytes = 2, length_field_coding = "little" }, "\2\0hi")))
    assert.same({ "\2hi" }, (packets_of({ mode = "length_field", body_offset = 1,
      length_field_bytes = 1, length_field_coding = "varint" }, "\2hi")))
  end)

  it("closes with ELIMIT beyond max_length", function()
    local packets, code = packets_of({ mode = "delimiter", delimiter = "\n", max_length = 4 },
      "ab\nabcdefgh\n")
    assert.same({ "ab\n" }, packets)
    assert.equal("ELIMIT", code)
  end)
end)

describe("the spec itself", function()
  it("leaves nothing open", function() helper.nothing_left(handles_before) end)
end)
