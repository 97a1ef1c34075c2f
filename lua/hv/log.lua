--- hv.log - lines with a level and the time, on stderr or in a rotated file.
---
---   hv.log.info("listening on %d", port)
---
--- Arguments are formatted as by string.format; a line below the level costs no formatting. A
--- format that does not fit its arguments is logged as it is: logging never throws for it.
local raw = require "_hv.log"

local pcall, select, tostring = pcall, select, tostring
local format = string.format

local M = {
  level = raw.level,
  file = raw.file,
}

local function text_of(fmt, ...)
  if select("#", ...) == 0 then return tostring(fmt) end
  local ok, text = pcall(format, tostring(fmt), ...)
  if ok then return text end
  local parts = { tostring(fmt) }
  for i = 1, select("#", ...) do parts[i + 1] = tostring((select(i, ...))) end
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
