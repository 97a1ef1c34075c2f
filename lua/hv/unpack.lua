--- hv.unpack - how a stream is cut into packets: the check of the `unpack` option.
---
---   { mode = "fixed", length = 16 }
---   { mode = "delimiter", delimiter = "\r\n" }
---   { mode = "length_field", body_offset = 5, length_field_offset = 1, length_field_bytes = 4,
---     length_field_coding = "big"|"little"|"varint", length_adjustment = 0 }
---
--- each with max_length = "2M"; a longer packet closes the connection with ELIMIT.
local limits = require "hv.limits"
local misuse = require("_hv.loop").misuse
local options = require "hv.options"

---@class hv.unpack
local M = {}

local function number(value, where)
  if type(value) == "number" and value >= -32768 and value <= 32767 and value % 1 == 0 then
    return value
  end
  return misuse(where .. ": length_adjustment must be an integer of 16 bits, got " ..
    tostring(value))
end

local mode = { "string" }
local max_length = { "size", limits.packet_bytes }

local readers = {
  fixed = options.reader("unpack", { mode = mode, max_length = max_length,
    length = { "integer" } }),
  delimiter = options.reader("unpack", { mode = mode, max_length = max_length,
    delimiter = { "string" } }),
  length_field = options.reader("unpack", { mode = mode, max_length = max_length,
    body_offset = { "integer" }, length_field_offset = { "integer", 0 },
    length_field_bytes = { "integer" }, length_field_coding = { "string", "big" },
    length_adjustment = { number, 0 } }),
}

local codings = { big = true, little = true, varint = true }

local checks = {
  fixed = function(t)
    if not t.length or t.length < 1 or t.length > t.max_length then
      return "length must be 1..max_length, got " .. tostring(t.length)
    end
  end,
  delimiter = function(t)
    if not t.delimiter or #t.delimiter < 1 or #t.delimiter > 8 then
      return "delimiter must be a string of 1..8 bytes"
    end
  end,
  length_field = function(t)
    if not codings[t.length_field_coding] then
      return ("length_field_coding must be \"big\", \"little\" or \"varint\", got %q"):format(
        t.length_field_coding)
    end
    local bytes = t.length_field_bytes
    if not bytes or bytes < 1 or bytes > 8 then
      return "length_field_bytes must be 1..8, got " .. tostring(bytes)
    end
    if not t.body_offset or t.body_offset < t.length_field_offset + bytes then
      return "body_offset must not lie before the end of the length field, got " ..
        tostring(t.body_offset)
    end
    if t.body_offset > 65535 then return "body_offset must be at most 65535" end
  end,
}

--- Checks a setting and fills in its defaults; throws where it is wrong.
---@param setting hv.UnpackSetting
---@param where? string the function that the setting was given to
---@return table checked
function M.check(setting, where)
  where = (where or "hv.unpack") .. ": unpack"
  if type(setting) ~= "table" then
    return misuse(("%s must be a table, got %s"):format(where, type(setting)))
  end
  local read = readers[setting.mode]
  if not read then
    return misuse(("%s.mode must be \"fixed\", \"delimiter\" or \"length_field\", got %s"):format(
      where, tostring(setting.mode)))
  end
  local checked = read(setting)
  local problem = checks[setting.mode](checked)
  if problem then return misuse(where .. "." .. problem) end
  return checked
end

return M
