--- hv.leaf - the texts that leaves give. Private to lua/hv; bindings/bind.h says what a leaf is.
local ffi = require "ffi"

local ffi_string = ffi.string

local M = {}

local text_type = ffi.typeof "struct { const char *data; int32_t len; } *" -- hvl_leaf_text_t

--- Where leaves leave their texts, by its address.
function M.texts(address) return ffi.cast(text_type, address) end

--- The text that the leaf called last has left.
---
--- The length is read first. Reading the pointer makes an object, so the collector may run, and
--- with it a finalizer that calls a leaf too: its length does not go with our pointer. The end is
--- no tail call, since one of the FFI's is not compiled.
function M.text(found)
  local len = found.len
  local text = ffi_string(found.data, len)
  return text
end

return M
