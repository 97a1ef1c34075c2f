-- tree.lua - what the judges of this folder share: the files of a tree, their text with and without
-- comments, and the report.
--
-- A judge is called with the folder that it judges, prints one line a violation, and ends with
-- status 1 if there is any; with 2 where there is nothing to judge.

local M = { root = arg[1] or "." }

local violations = {}

--- Notes a violation at a line of a file.
function M.report(path, line, message, ...)
  violations[#violations + 1] = string.format("%s:%d: " .. message, path, line, ...)
end

--- Prints what was noted, or `content` where nothing was, and ends the program.
function M.finish(content)
  for _, violation in ipairs(violations) do print(violation) end
  if #violations > 0 then os.exit(1) end
  print(content)
  os.exit(0)
end

--- Whether one of the patterns is found in a text.
function M.matches(text, patterns)
  for _, pattern in ipairs(patterns) do
    if text:find(pattern) then return true end
  end
  return false
end

--- The files below some folders whose paths match one of the patterns, sorted.
function M.list(folders, patterns)
  local found = {}
  for _, folder in ipairs(folders) do
    local pipe = assert(io.popen(string.format("cd '%s' && find %s -name node_modules -prune -o "
      .. "-type f -print 2>/dev/null | LC_ALL=C sort", M.root, folder)))
    for path in pipe:lines() do
      if M.matches(path, patterns) then found[#found + 1] = path end
    end
    pipe:close()
  end
  return found
end

--- The same for what a judge cannot do without.
function M.sources(folders, patterns)
  local found = M.list(folders, patterns)
  if #found == 0 then
    io.stderr:write(arg[0], ": no sources below ", M.root, "\n")
    os.exit(2)
  end
  return found
end

function M.read(path)
  local file = assert(io.open(M.root .. "/" .. path, "rb"))
  local text = file:read("*a")
  file:close()
  return text
end

--- The text with every comment and literal blanked and every line break kept.
function M.code_of(text)
  local function blank(piece) return (piece:gsub("[^\n]", " ")) end
  local out, pos = {}, 1
  while true do
    local at = text:find("[/\"']", pos)
    if not at then break end
    local two, stop = text:sub(at, at + 1), nil
    if two == "/*" then
      stop = select(2, text:find("*/", at + 2, true)) or #text
    elseif two == "//" then
      stop = (text:find("\n", at, true) or #text + 1) - 1
    elseif two:sub(1, 1) ~= "/" then
      stop = at + 1
      while stop < #text and text:sub(stop, stop) ~= two:sub(1, 1) do
        stop = stop + (text:sub(stop, stop) == "\\" and 2 or 1)
      end
    end
    out[#out + 1] = text:sub(pos, at - 1)
    out[#out + 1] = blank(text:sub(at, stop or at))
    if not stop then out[#out] = "/" end
    pos = (stop or at) + 1
  end
  out[#out + 1] = text:sub(pos)
  return table.concat(out)
end

--- Iterates over the lines of a text with their numbers.
function M.numbered_lines(text)
  local number = 0
  local next_line = text:gmatch("([^\n]*)\n?")
  return function()
    number = number + 1
    local line = next_line()
    if line then return number, line end
  end
end

return M
