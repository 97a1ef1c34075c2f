--- hv.protobuf_wire - varints, fixed numbers and strings of Protocol Buffers as bytes. Private to
--- lua/hv.
---
--- 64-bit integers are numbers as far as those are exact (2^53), and cdata (int64_t, uint64_t)
--- beyond; both are taken. What is read is narrowed to the smaller form, so that 1 is always 1.
---
--- Source: protobuf.dev/programming-guides/encoding.
local bit = require "bit"
local ffi = require "ffi"

local byte, char, sub = string.byte, string.char, string.sub
local floor = math.floor
local band, bxor, rshift = bit.band, bit.bxor, bit.rshift
local int64_t, uint64_t = ffi.typeof "int64_t", ffi.typeof "uint64_t"

local EXACT = 9007199254740992 -- 2^53

local M = {}

-- ---- Reading ----

--- Reads a varint. Returns its value (a number below 2^49, else a uint64_t) and the place behind
--- it; nil where it does not end before `stop` or has more than ten bytes.
local function read_varint(data, pos, stop)
  local b = byte(data, pos)
  if pos > stop then return nil end
  if b < 128 then return b, pos + 1 end
  local value, scale = b - 128, 128
  for i = 1, 6 do
    if pos + i > stop then return nil end
    b = byte(data, pos + i)
    value = value + b % 128 * scale
    if b < 128 then return value, pos + i + 1 end
    scale = scale * 128
  end
  local long, shift = uint64_t(value), 49
  for i = 7, 9 do
    if pos + i > stop then return nil end
    b = byte(data, pos + i)
    long = long + bit.lshift(uint64_t(b % 128), shift)
    if b < 128 then return long, pos + i + 1 end
    shift = shift + 7
  end
  return nil
end
M.read_varint = read_varint

--- A uint64_t or int64_t as a number where that is exact.
local function narrow(value)
  local number = tonumber(value)
  if number < EXACT and number > -EXACT then return number end
  if number == EXACT and value == 9007199254740992LL then return number end
  return value
end

local function low32(value)
  if type(value) == "number" then return value % 4294967296 end
  return tonumber(band(value, 0xffffffffULL))
end

local function signed32(value)
  value = low32(value)
  return value < 2147483648 and value or value - 4294967296
end

--- type -> what a varint's value is in it.
M.of_varint = {
  int32 = signed32,
  enum = signed32,
  uint32 = low32,
  int64 = function(value)
    if type(value) == "number" then return value end
    return narrow(int64_t(value))
  end,
  uint64 = function(value)
    if type(value) == "number" then return value end
    return narrow(value)
  end,
  sint32 = function(value)
    value = low32(value)
    return value % 2 == 0 and value / 2 or -(value + 1) / 2
  end,
  sint64 = function(value)
    if type(value) == "number" then
      return value % 2 == 0 and value / 2 or -(value + 1) / 2
    end
    return narrow(int64_t(bxor(rshift(value, 1), -band(value, 1ULL))))
  end,
  bool = function(value) return value ~= 0 end,
}

local scratch = ffi.new "union { uint8_t bytes[8]; double d; float f; int64_t i; uint64_t u; }"
assert(ffi.abi "le", "hv.protobuf_wire is written for little-endian machines")

local function read_u32(data, pos)
  local a, b, c, d = byte(data, pos, pos + 3)
  return a + b * 256 + c * 65536 + d * 16777216
end

local function load8(data, pos) ffi.copy(scratch.bytes, sub(data, pos, pos + 7), 8) end

--- type -> function(data, pos) for a number of fixed width.
M.read_fixed = {
  fixed32 = read_u32,
  sfixed32 = function(data, pos) return signed32(read_u32(data, pos)) end,
  float = function(data, pos)
    ffi.copy(scratch.bytes, sub(data, pos, pos + 3), 4)
    return tonumber(scratch.f)
  end,
  double = function(data, pos)
    load8(data, pos)
    return tonumber(scratch.d)
  end,
  fixed64 = function(data, pos)
    load8(data, pos)
    return narrow(scratch.u)
  end,
  sfixed64 = function(data, pos)
    load8(data, pos)
    return narrow(scratch.i)
  end,
}

M.width = { fixed32 = 4, fixed64 = 8 } -- by wire type

-- ---- Writing ----

--- A number from 0 below 2^53, or a 64-bit integer, as a varint.
local function varint(value)
  if type(value) == "number" then
    if value < 128 then return char(value) end
    if value < 16384 then return char(value % 128 + 128, floor(value / 128)) end
  end
  local out, n = {}, 0
  if type(value) == "number" then
    while value >= 128 do
      n = n + 1
      out[n] = char(value % 128 + 128)
      value = floor(value / 128)
    end
  else
    value = uint64_t(value)
    while value >= 128ULL do
      n = n + 1
      out[n] = char(tonumber(band(value, 127ULL)) + 128)
      value = rshift(value, 7)
    end
    value = tonumber(value)
  end
  out[n + 1] = char(value)
  return table.concat(out)
end
M.varint = varint

local function is_integer(value, min, max)
  return type(value) == "number" and value >= min and value <= max and value % 1 == 0
end

--- A 64-bit integer of a number or a cdata; nil where it is none.
local function to_int64(value)
  if is_integer(value, -9223372036854775808, 9223372036854774784) then return int64_t(value) end
  if ffi.istype(int64_t, value) then return value end
  if ffi.istype(uint64_t, value) and value <= 0x7fffffffffffffffULL then return int64_t(value) end
end

local function to_uint64(value)
  if is_integer(value, 0, 18446744073709549568) then
    -- A number beyond 2^63 does not go through int64_t.
    if value < EXACT then return value end
    return value < 9223372036854775808 and uint64_t(value)
      or uint64_t(value - 9223372036854775808) + 0x8000000000000000ULL
  end
  if ffi.istype(uint64_t, value) then return value end
  if ffi.istype(int64_t, value) and value >= 0LL then return uint64_t(value) end
end

--- "-12" as a 64-bit integer; what is none stays as it is.
function M.parse_integer(text)
  local sign, digits = text:match("^(-?)(%d+)$")
  if not digits or #digits > 20 then return text end
  local value = 0ULL
  for i = 1, #digits do value = value * 10ULL + uint64_t(byte(digits, i) - 48) end
  return sign == "-" and -int64_t(value) or value
end

local function int32_bytes(value)
  if not is_integer(value, -2147483648, 2147483647) then return nil, "a 32-bit integer" end
  if value >= 0 then return varint(value) end
  return varint(uint64_t(int64_t(value))) -- ten bytes: as 64 bits, so that int64 can read it
end

--- type -> function(value) that gives its bytes; nil and what is expected where it is none.
M.to_varint = {
  int32 = int32_bytes,
  enum = int32_bytes,
  uint32 = function(value)
    if is_integer(value, 0, 4294967295) then return varint(value) end
    return nil, "0..4294967295"
  end,
  int64 = function(value)
    if is_integer(value, 0, EXACT - 1) then return varint(value) end
    local long = to_int64(value)
    if long then return varint(uint64_t(long)) end
    return nil, "a 64-bit integer"
  end,
  uint64 = function(value)
    local long = to_uint64(value)
    if long then return varint(long) end
    return nil, "an integer from 0 of 64 bits"
  end,
  sint32 = function(value)
    if not is_integer(value, -2147483648, 2147483647) then return nil, "a 32-bit integer" end
    return varint(value >= 0 and value * 2 or -value * 2 - 1)
  end,
  sint64 = function(value)
    local long = to_int64(value)
    if not long then return nil, "a 64-bit integer" end
    return varint(uint64_t(bxor(bit.lshift(long, 1), bit.arshift(long, 63))))
  end,
  bool = function(value)
    if type(value) == "boolean" then return value and "\1" or "\0" end
    return nil, "a boolean"
  end,
}

local function u32_bytes(value)
  return char(value % 256, floor(value / 256) % 256, floor(value / 65536) % 256,
    floor(value / 16777216))
end

local function store8() return ffi.string(scratch.bytes, 8) end

M.to_fixed = {
  fixed32 = function(value)
    if is_integer(value, 0, 4294967295) then return u32_bytes(value) end
    return nil, "0..4294967295"
  end,
  sfixed32 = function(value)
    if is_integer(value, -2147483648, 2147483647) then return u32_bytes(value % 4294967296) end
    return nil, "a 32-bit integer"
  end,
  float = function(value)
    if type(value) ~= "number" then return nil, "a number" end
    scratch.f = value
    return ffi.string(scratch.bytes, 4)
  end,
  double = function(value)
    if type(value) ~= "number" then return nil, "a number" end
    scratch.d = value
    return store8()
  end,
  fixed64 = function(value)
    local long = to_uint64(value)
    if not long then return nil, "an integer from 0 of 64 bits" end
    scratch.u = long
    return store8()
  end,
  sfixed64 = function(value)
    local long = to_int64(value)
    if not long then return nil, "a 64-bit integer" end
    scratch.i = long
    return store8()
  end,
}

-- ---- Text ----

--- Whether a string is UTF-8 (RFC 3629): no overlong forms, no surrogates, nothing beyond 10FFFF.
function M.is_utf8(text)
  local pos = text:find("[\128-\255]")
  while pos do
    local rest = text:match("^[\194-\223][\128-\191]()", pos)
      or text:match("^\224[\160-\191][\128-\191]()", pos)
      or text:match("^[\225-\236\238\239][\128-\191][\128-\191]()", pos)
      or text:match("^\237[\128-\159][\128-\191]()", pos)
      or text:match("^\240[\144-\191][\128-\191][\128-\191]()", pos)
      or text:match("^[\241-\243][\128-\191][\128-\191][\128-\191]()", pos)
      or text:match("^\244[\128-\143][\128-\191][\128-\191]()", pos)
    if not rest then return false end
    pos = text:find("[\128-\255]", rest)
  end
  return true
end

return M
