--- hv.history - the lines that were typed at the prompt, kept in a file that only the user reads.
--- Private.
---
--- Each line is appended when it is typed, so that several prompts may share the file and a crash
--- loses nothing. A line that comes again moves to the end; the file is written anew, without what
--- is there twice or beyond the limit, when it is opened.
local raw = require "_hv.private"

local M = {}

local LINES_MAX = 1000
local LINE_BYTES_MAX = 4096

local History = {}
History.__index = History

--- Where it lies: HVLUA_HISTORY ("" or "/dev/null": nowhere), else $XDG_STATE_HOME/hvlua/history,
--- where that folder is known, else ~/.hvlua_history.
function M.path(getenv)
  getenv = getenv or os.getenv
  local path = getenv("HVLUA_HISTORY")
  if path then return path ~= "" and path ~= "/dev/null" and path or nil end
  local state = getenv("XDG_STATE_HOME")
  if state and state:sub(1, 1) == "/" then
    local folder = state .. "/hvlua"
    if raw.directory(folder) then return folder .. "/history" end
  end
  local home = getenv("HOME")
  return home and home:sub(1, 1) == "/" and home .. "/.hvlua_history" or nil
end

local function limit_of(getenv)
  local limit = tonumber(getenv("HVLUA_HISTORY_SIZE") or "")
  if limit and limit >= 0 and limit % 1 == 0 then return math.min(limit, 10000) end
  return LINES_MAX
end

--- Keeps the last of equal lines, and the last `limit` of all. Returns whether any was left out.
local function tidy(lines, limit)
  local seen, kept = {}, {}
  for i = #lines, 1, -1 do
    local line = lines[i]
    if not seen[line] and line ~= "" and #kept < limit then
      seen[line] = true
      kept[#kept + 1] = line
    end
  end
  local result = {}
  for i = #kept, 1, -1 do result[#result + 1] = kept[i] end
  return result, #result < #lines
end

--- Reads the file, if there is one.
---@param getenv? function in place of os.getenv
function M.open(getenv)
  local path, limit = M.path(getenv), limit_of(getenv or os.getenv)
  local history = setmetatable({ path = path, limit = limit, lines = {} }, History)
  local file = path and io.open(path, "rb")
  if not file then return history end
  local lines = {}
  for line in file:lines() do
    if #line <= LINE_BYTES_MAX then lines[#lines + 1] = line end
  end
  file:close()
  local is_untidy
  history.lines, is_untidy = tidy(lines, limit)
  if is_untidy then
    raw.replace(path, table.concat(history.lines, "\n") .. (#history.lines > 0 and "\n" or ""))
  end
  return history
end

--- Takes a line that was typed. Lines of blanks, and such as begin with a blank, are not kept.
--- Returns whether it was.
function History:add(line)
  if not line:find("^%S") or #line > LINE_BYTES_MAX or line:find("[\r\n%z]") then return false end
  local is_new = self.lines[#self.lines] ~= line
  if is_new and self.path then raw.append(self.path, line .. "\n") end
  self.lines[#self.lines + 1] = line
  self.lines = tidy(self.lines, self.limit)
  return true
end

return M
