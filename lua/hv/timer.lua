--- hv.timer - `hv.after`, `hv.every`, `hv.cron`. The public names stand in `hv` itself.
local misuse = require("_hv.loop").misuse
local raw = require "_hv.timer"

local M = {
  after = raw.after,
  every = raw.every,
}

local FIELDS = {
  { name = "minute", min = 0, max = 59 },
  { name = "hour", min = 0, max = 23 },
  { name = "day", min = 1, max = 31 },
  { name = "month", min = 1, max = 12,
    words = { jan = 1, feb = 2, mar = 3, apr = 4, may = 5, jun = 6, jul = 7, aug = 8, sep = 9,
      oct = 10, nov = 11, dec = 12 } },
  { name = "weekday", min = 0, max = 7,
    words = { sun = 0, mon = 1, tue = 2, wed = 3, thu = 4, fri = 5, sat = 6 } },
}

local MOMENTS_MAX = 4096

local function refuse(line, field, part)
  return misuse(("hv.cron: %q: %s must be *, a number %d..%d, a range, a step or a list, got %q")
    :format(line, field.name, field.min, field.max, part))
end

local function value_of(field, text)
  local value = field.words and field.words[text:lower()] or tonumber(text)
  if value and value >= field.min and value <= field.max and value % 1 == 0 then return value end
end

--- The values of one field, in order; { -1 } for every.
local function parse_field(line, field, text)
  if text == "*" then return { -1 } end
  local seen, values = {}, {}
  for part in text:gmatch("[^,]+") do
    local range, step = part:match("^(.-)/(%d+)$")
    range, step = range or part, tonumber(step or 1)
    local first, last
    if range == "*" then
      first, last = field.min, field.name == "weekday" and 6 or field.max
    else
      local a, b = range:match("^(%w+)%-(%w+)$")
      first = value_of(field, a or range)
      last = b and value_of(field, b) or not b and (range == part and first or field.max)
    end
    if not first or not last or first > last or step < 1 then refuse(line, field, part) end
    for value = first, last, step do
      if field.name == "weekday" and value == 7 then value = 0 end
      if not seen[value] then
        seen[value] = true
        values[#values + 1] = value
      end
    end
  end
  if #values == 0 or text:find(",,", 1, true) or text:match("^,") or text:match(",$") then
    refuse(line, field, text)
  end
  return values
end

--- Appends each combination of minute, hour, day, weekday and month.
local function combine(moments, minutes, hours, days, weekdays, months)
  for _, month in ipairs(months) do
    for _, day in ipairs(days) do
      for _, weekday in ipairs(weekdays) do
        for _, hour in ipairs(hours) do
          for _, minute in ipairs(minutes) do
            moments[#moments + 1] = { minute, hour, day, weekday, month }
            if #moments > MOMENTS_MAX then
              misuse("hv.cron: the line stands for too many different moments")
            end
          end
        end
      end
    end
  end
end

--- What a crontab line means, as a list of single moments. As in crontab(5), a line that limits
--- both day and weekday means either of them.
local function parse(line)
  if type(line) ~= "string" then
    misuse("hv.cron: crontab line expected, got " .. type(line))
  end
  local texts = {}
  for text in line:gmatch("%S+") do texts[#texts + 1] = text end
  if #texts ~= 5 then
    misuse(("hv.cron: %q: five fields expected (minute hour day month weekday), got %d"):format(
      line, #texts))
  end
  local f = {}
  for i, field in ipairs(FIELDS) do f[i] = parse_field(line, field, texts[i]) end
  local minutes, hours, days, months, weekdays = f[1], f[2], f[3], f[4], f[5]
  local every, moments = { -1 }, {}
  if days[1] ~= -1 and weekdays[1] ~= -1 then
    combine(moments, minutes, hours, days, every, months)
    combine(moments, minutes, hours, every, weekdays, months)
  else
    combine(moments, minutes, hours, days, weekdays, months)
  end
  return moments
end

--- Calls `fn` at the times of a crontab line: minute hour day month weekday, local time.
--- Fields take *, numbers, ranges 1-5, steps */5 and 8-18/2, lists 0,30, and English names of
--- months and weekdays. Where daylight saving skips the hour, the call comes at the first moment
--- after the gap; where it repeats the hour, once.
---@param line string "30 1 * * *"
---@param fn fun(...) runs as a task; a beat is skipped while the last run still waits
---@return hv.Timer timer
function M.cron(line, fn, ...)
  local moments = parse(line)
  if type(fn) ~= "function" then
    return misuse("hv.cron: function expected, got " .. type(fn))
  end
  return raw.cron(moments, fn, ...)
end

return M
