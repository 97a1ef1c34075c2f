---@meta _hv.crypto
--- What bindings/crypto.c gives; lua/hv/crypto.lua hands it on as hv.crypto.
local M = {}

---@alias hv.Digest "md5"|"sha1"|"sha224"|"sha256"|"sha384"|"sha512"

--- A digest of bytes that come in pieces.
---@class hv.Hash
local Hash = {}

--- Takes the next bytes. Throws behind hash:digest.
---@param data string
---@return hv.Hash self
function Hash:update(data) end

--- The digest of all bytes, once.
---@return string digest raw bytes
function Hash:digest() end

---@param name hv.Digest
---@return hv.Hash
function M.hash(name) end

---@param data string
---@return string digest 16 raw bytes
function M.md5(data) end

---@param data string
---@return string digest 20 raw bytes
function M.sha1(data) end

---@param data string
---@return string digest 28 raw bytes
function M.sha224(data) end

---@param data string
---@return string digest 32 raw bytes
function M.sha256(data) end

---@param data string
---@return string digest 48 raw bytes
function M.sha384(data) end

---@param data string
---@return string digest 64 raw bytes
function M.sha512(data) end

---@param name hv.Digest
---@param key string
---@param data string
---@return string mac raw bytes
function M.hmac(name, key, data) end

---@param data string
---@return string text lower-case digits
function M.hex(data) end

---@param text string
---@return string? data
---@return string? message
---@return hv.ErrCode? code EINVAL
function M.unhex(text) end

---@param data string
---@return string text with padding
function M.base64(data) end

---@param data string
---@return string text of the URL-safe alphabet, without padding
function M.base64url(data) end

---@param text string either alphabet, with or without padding
---@return string? data
---@return string? message
---@return hv.ErrCode? code EINVAL
function M.unbase64(text) end

---@param n integer 0..67108864
---@return string bytes
function M.random(n) end

---@return string uuid 36 characters
function M.uuid() end

---@param a string
---@param b string
---@return boolean
function M.equal(a, b) end

return M
