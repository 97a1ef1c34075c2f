--- hv.crypto - digests, message authentication, random bytes, hex and base64.
---
---   print(hv.crypto.hex(hv.crypto.sha256("abc")))
---
--- Digests are raw bytes; `hex` and `base64` make text of them. Nothing here waits. An argument of
--- the wrong type throws; text that cannot be decoded is nil, message, "EINVAL".
local raw = require "_hv.crypto"

---@class hv.crypto
local M = {
  --- MD5 and SHA-1 are broken as signatures; they are here for protocols that ask for them.
  md5 = raw.md5, -- 16 bytes
  sha1 = raw.sha1, -- 20 bytes
  sha224 = raw.sha224,
  sha256 = raw.sha256,
  sha384 = raw.sha384,
  sha512 = raw.sha512,

  --- hmac("sha256", key, data): raw bytes (RFC 2104); names are those of the functions above.
  hmac = raw.hmac,

  --- hash("sha256"): a digest of bytes that come in pieces: hash:update(data) any number of times,
  --- then hash:digest() once.
  hash = raw.hash,

  hex = raw.hex, -- lower-case digits
  unhex = raw.unhex, -- digits of either case
  base64 = raw.base64, -- RFC 4648 section 4, with padding
  base64url = raw.base64url, -- section 5, without padding
  unbase64 = raw.unbase64, -- either alphabet, with or without padding

  --- random(n): n bytes fit for keys, 0..64 MiB.
  random = raw.random,
  --- uuid(): a random one (RFC 9562, version 4), 36 characters.
  uuid = raw.uuid,
  --- equal(a, b): in a time that tells nothing of where they differ.
  equal = raw.equal,
}

return M
