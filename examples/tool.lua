-- tool.lua - what the command line tools written in Lua share: options, sizes, a progress bar.
--
--     local tool = dofile((arg[0]:match("^(.*/)") or "") .. "tool.lua")
local hv = require "hv"

local M = {}

-- ---- Options ----

--- Complains about how the program was called, and ends it with status 2.
function M.usage_error(format, ...)
  io.stderr:write(arg[0]:match("[^/]*$"), ": ", format:format(...), "; try --help\n")
  os.exit(2)
end

--- Reads arguments by a list of { short or nil, long, kind, help }: kind is "flag", "count",
--- "value" or "list". Short flags may stand together ("-vs"), and a value behind its letter
--- ("-ofile") or behind "=" ("--output=file"). Returns { long name = value } and the other words.
function M.parse(arguments, known)
  local by_name, values, rest = {}, {}, {}
  for _, option in ipairs(known) do
    if option[1] then by_name["-" .. option[1]] = option end
    by_name["--" .. option[2]] = option
    for _, alias in ipairs(option.aliases or {}) do by_name[alias] = option end
    if option[3] == "list" then values[option[2]] = {} end
  end
  local function take(option, value)
    local name = option[2]
    if option[3] == "list" then
      table.insert(values[name], value)
    elseif option[3] == "count" then
      values[name] = (values[name] or 0) + 1
    else
      values[name] = option[3] == "flag" or value
    end
  end
  local i = 1
  local function next_value(word)
    i = i + 1
    return arguments[i] or M.usage_error("option %s needs a value", word)
  end
  local function takes_value(option) return option[3] == "value" or option[3] == "list" end
  while i <= #arguments do
    local word = arguments[i]
    local name, value = word:match("^(%-%-[^=]+)=(.*)$")
    local option = by_name[name or word]
    if word == "--" then
      for j = i + 1, #arguments do rest[#rest + 1] = arguments[j] end
      break
    elseif option and (word:sub(1, 2) == "--" or #word == 2) then
      take(option, takes_value(option) and (value or next_value(word)))
    elseif word:find("^%-[^%-]") then
      local at = 2
      while at <= #word do
        local letter = "-" .. word:sub(at, at)
        option = by_name[letter] or M.usage_error("unknown option %s", letter)
        at = at + 1
        if takes_value(option) then
          take(option, at <= #word and word:sub(at) or next_value(letter))
          break
        end
        take(option)
      end
    elseif word:find("^%-%-") then
      M.usage_error("unknown option %s", name or word)
    else
      rest[#rest + 1] = word
    end
    i = i + 1
  end
  return values, rest
end

--- Prints the options of such a list.
function M.print_options(known)
  for _, option in ipairs(known) do
    local names = (option[1] and "-" .. option[1] .. "|" or "   ") .. "--" .. option[2]
    if option[3] ~= "flag" and option[3] ~= "count" then
      names = names .. " <" .. (option.value or "value") .. ">"
    end
    print(("    %-32s %s"):format(names, option[4]))
  end
end

-- ---- Words ----

--- "1.5M" of 1572864.
function M.bytes(n)
  local units = { "", "K", "M", "G", "T" }
  local unit = 1
  while n >= 1024 and unit < #units do n, unit = n / 1024, unit + 1 end
  return unit == 1 and ("%d"):format(n) or ("%.1f%s"):format(n, units[unit])
end

--- "1h05m", "3m20s", "45s".
function M.seconds(n)
  n = math.ceil(n)
  if n >= 3600 then return ("%dh%02dm"):format(n / 3600, n % 3600 / 60) end
  if n >= 60 then return ("%dm%02ds"):format(n / 60, n % 60) end
  return ("%ds"):format(n)
end

-- ---- The terminal ----

--- Whether stderr is one.
function M.is_terminal() return os.execute("test -t 2") == 0 end

--- Its columns; 80 where it does not say.
function M.columns()
  local pipe = io.popen("stty size 2>/dev/null </dev/tty 2>/dev/null")
  local columns = pipe and tonumber((pipe:read("*a") or ""):match("%d+%s+(%d+)"))
  if pipe then pipe:close() end
  return columns or tonumber(os.getenv("COLUMNS")) or 80
end

local Bar = {}
Bar.__index = Bar

--- A bar on stderr: name, percent, bytes, rate, time left. It is drawn at most ten times a second.
function M.bar(name, total, start_bytes)
  return setmetatable({ name = name, total = total, bytes = start_bytes or 0, columns = M.columns(),
    start = hv.now(), first = start_bytes or 0, drawn_at = 0, rate = 0, rate_at = hv.now(),
    rate_bytes = start_bytes or 0 }, Bar)
end

--- One line of at most `columns` characters.
function Bar:line()
  local rate = self.rate > 0 and self.rate or (self.bytes - self.first) /
    math.max(0.001, (hv.now() - self.start) / 1000)
  local facts = (" %8s  %8s/s"):format(M.bytes(self.bytes), M.bytes(rate))
  local left = self.total and rate > 0 and (self.total - self.bytes) / rate
  facts = facts .. (left and left > 0 and ("  eta %-7s"):format(M.seconds(left)) or "             ")
  local name_width = math.max(8, math.min(24, self.columns - #facts - 20))
  local name = #self.name > name_width and self.name:sub(1, name_width - 1) .. "~"
    or self.name .. (" "):rep(name_width - #self.name)
  local percent = self.total and self.total > 0
    and math.min(100, math.floor(self.bytes * 100 / self.total)) or self.total and 100
  local width = self.columns - #facts - name_width - 10
  local bar = ""
  if width >= 5 and percent then
    local filled = math.floor(width * percent / 100)
    bar = "[" .. ("="):rep(math.max(0, filled - 1)) .. (filled > 0 and ">" or "")
      .. (" "):rep(width - filled) .. "]"
  elseif width >= 5 then
    local at = math.floor((hv.now() - self.start) / 100) % (width - 2)
    bar = "[" .. (" "):rep(at) .. "<=>" .. (" "):rep(width - 3 - at) .. "]"
  end
  local line = ("%s %4s%s%s"):format(name, percent and percent .. "%" or "", bar, facts)
  return line:sub(1, self.columns - 1)
end

--- Says how far it has come.
function Bar:set(bytes)
  self.bytes = bytes
  local now = hv.now()
  if now - self.rate_at >= 500 then
    local current = (bytes - self.rate_bytes) * 1000 / (now - self.rate_at)
    self.rate = self.rate == 0 and current or self.rate * 0.7 + current * 0.3
    self.rate_at, self.rate_bytes = now, bytes
  end
  if now - self.drawn_at < 100 then return end
  self.drawn_at = now
  io.stderr:write("\r", self:line())
  io.stderr:flush()
end

--- Draws it for the last time, with the rate over all.
function Bar:finish()
  self.rate = 0
  io.stderr:write("\r", self:line(), "\n")
  io.stderr:flush()
end

return M
