--- hv.redis_values - what replies are made of beside Lua's own values. Private to lua/hv.
local ffi = require "ffi"
local raw = require "_hv.redis"

local M = {
  --- What stands for "nothing": the same light userdata as hv.json.null.
  null = raw.null,
}

--- An error inside of a reply.
M.error_meta = {
  __name = "hv.redis.error",
  __tostring = function(self) return self.message end,
}

--- Whether a value is an error that came inside of a reply: of a pipeline, a transaction.
function M.is_error(value)
  return type(value) == "table" and getmetatable(value) == M.error_meta
end

local int64_t, uint64_t = ffi.typeof("int64_t"), ffi.typeof("uint64_t")
local is_of, tostring, match = ffi.istype, tostring, string.match

-- A 64-bit integer as an argument: its digits. Other cdata is refused.
raw.set_integer_text(function(value)
  if not is_of(int64_t, value) and not is_of(uint64_t, value) then return nil end
  return match(tostring(value), "^-?%d+")
end)

--- A 64-bit integer of its halves; beyond 2^53 a number would not be exact.
function M.int64(high, low)
  return int64_t(high) * 4294967296LL + int64_t(low)
end

--- { "a", 1, "b", 2 } as { a = 1, b = 2 }: maps of RESP2.
function M.pairs_to_map(list)
  if type(list) ~= "table" or M.is_error(list) or list[1] == nil then return list end
  local map = {}
  for i = 1, #list, 2 do map[list[i]] = list[i + 1] end
  return map
end

return M
