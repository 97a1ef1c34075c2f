local hv = require "hv"

local crypto = hv.crypto
local hex = crypto.hex

describe("hv.crypto", function()
  it("digests pieces as it does the whole", function()
    local text = ("hvlua "):rep(1000)
    for _, name in ipairs { "md5", "sha1", "sha224", "sha256", "sha384", "sha512" } do
      local hash = hv.crypto.hash(name)
      for at = 1, #text, 7 do assert.equal(hash, hash:update(text:sub(at, at + 6))) end
      assert.equal(hv.crypto[name](text), hash:digest())
      assert.has_error(function() hash:update "more" end)
      assert.has_error(function() hash:digest() end)
    end
    assert.equal(hv.crypto.sha256 "", hv.crypto.hash("sha256"):digest())
    assert.has_error(function() hv.crypto.hash "crc32" end)
    assert.has_error(function() hv.crypto.hash("md5"):update(1) end)
  end)

  it("digests as the standards' examples", function()
    assert.equal("900150983cd24fb0d6963f7d28e17f72", hex(crypto.md5("abc"))) -- RFC 1321 A.5
    assert.equal("a9993e364706816aba3e25717850c26c9cd0d89d", hex(crypto.sha1("abc"))) -- FIPS 180
    assert.equal("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
      hex(crypto.sha256("")))
    assert.equal(28, #crypto.sha224("abc"))
    assert.equal(48, #crypto.sha384("abc"))
    assert.equal(64, #crypto.sha512("abc"))
  end)

  it("authenticates as RFC 4231's case 2", function()
    assert.equal("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
      hex(crypto.hmac("sha256", "Jefe", "what do ya want for nothing?")))
    assert.equal(16, #crypto.hmac("md5", "", ""))
  end)

  it("writes and reads hex and base64", function()
    local bytes = "\0\1\254\255 text"
    assert.equal(bytes, crypto.unhex(hex(bytes)))
    assert.equal(bytes, crypto.unhex(hex(bytes):upper()))
    assert.equal(bytes, crypto.unbase64(crypto.base64(bytes)))
    assert.equal(bytes, crypto.unbase64(crypto.base64url(bytes)))
    assert.equal("Zm9vYg==", crypto.base64("foob")) -- RFC 4648 section 10
    assert.equal("-__-Zg", crypto.base64url("\251\255\254f"))
    assert.equal("", crypto.base64(""))
    assert.equal("", crypto.unbase64(""))
  end)

  it("returns an error for text that cannot be decoded", function()
    local data, message, code = crypto.unhex("0g")
    assert.is_nil(data)
    assert.equal("unhex: invalid argument", message)
    assert.equal("EINVAL", code)
    assert.equal("EINVAL", select(3, crypto.unbase64("Zg=")))
    assert.equal("EINVAL", select(3, crypto.unbase64("Zm9v\n")))
  end)

  it("gives random bytes and identifiers", function()
    assert.equal(32, #crypto.random(32))
    assert.equal("", crypto.random(0))
    assert.not_equal(crypto.random(16), crypto.random(16))
    assert.matches("^%x+%-%x%x%x%x%-4%x%x%x%-[89ab]%x%x%x%-%x+$", crypto.uuid())
    assert.equal(36, #crypto.uuid())
  end)

  it("compares whole strings", function()
    assert.is_true(crypto.equal("abc", "abc"))
    assert.is_false(crypto.equal("abc", "abd"))
    assert.is_false(crypto.equal("abc", "ab"))
    assert.is_true(crypto.equal("", ""))
  end)

  it("throws for wrong arguments", function()
    assert.has_error(function() crypto.sha256(5) end)
    assert.has_error(function() crypto.hmac("sha9", "k", "d") end)
    assert.has_error(function() crypto.hmac("sha1", "k") end)
    assert.has_error(function() crypto.random(-1) end)
    assert.has_error(function() crypto.equal("a") end)
    local _, message = pcall(crypto.md5)
    assert.matches("crypto_spec.lua:%d+: hv.crypto.md5: string expected, got no value",
      select(2, pcall(function() crypto.md5() end)))
    assert.matches("string expected", message)
  end)
end)
