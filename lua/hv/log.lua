--- hv.log - lines with a level and the time, on stderr or in a rotated file.
---
---   hv.log.info("listening on %d", port)
---
--- Arguments are formatted as by string.format, tables as what they hold; a line below the level
--- costs no formatting. A format that does not fit its arguments is logged as it is: logging never
--- throws for it.
local raw = require "_hv.log"

local pcall, select, tostring = pcall, select, tostring
local format = string.format

local M = {
  level = raw.level,
  file = raw.file,
}

--- A table is logged as what it holds.
local function plain(value)
  if type(value) ~= "table" then return value end
  local ok, text = pcall(require("hv.show").line, value)
  return ok and text or tostring(value)
end

local function text_of(fmt, ...)
  local count = select("#", ...)
  if count == 0 then return tostring(plain(fmt)) end
  for i = 1, count do
    if type((select(i, ...))) == "table" then
      local values = { ... }
      for k = i, count do values[k] = plain(values[k]) end
      return text_of(fmt, unpack(values, 1, count))
    end
  end
  local ok, text = pcall(format, tostring(fmt), ...)
  if ok then return text end
  local parts = { tostring(fmt) }
  for i = 1, count do parts[i + 1] = tostring((select(i, ...))) end
  return table.concat(parts, " ")
end

local function writer(level)
  return function(...)
    if raw.is_on(level) then raw.write(level, text_of(...)) end
  end
end

M.debug = writer(1)
M.info = writer(2)
M.warn = writer(3)
M.error = writer(4)

return M
