-- shape.lua - how long lines, functions and files may be.
--
--   luajit spec/lint/shape.lua [ROOT]
--
-- Lines have 100 columns. In runtime/, bindings/, lua/ and examples/ functions of C have 70 lines
-- and files 620. A function that cannot be cut says why in a comment before it: "long: it is one
-- switch over ...". Every rule here is broken on purpose in shape_cases.lua.

package.path = arg[0]:match("^.*/") .. "?.lua"
local tree = require "tree"

local COLUMNS_MAX, FUNCTION_MAX = 100, 70
local FILE_MAX = 620

-- Columns of a line in UTF-8: bytes that continue a character take no place.
local function columns(line)
  return #line - select(2, line:gsub("[\128-\191]", ""))
end

local function check_lines(path, text)
  local count = 0
  for number, line in tree.numbered_lines(text) do
    count = number
    -- What the language server reads (---@param) cannot be broken into two lines.
    if columns(line) > COLUMNS_MAX and not line:find("^%s*%-%-%-@") then
      tree.report(path, number, "%d columns, %d at the most", columns(line), COLUMNS_MAX)
    end
    if line:find("%s$") then tree.report(path, number, "white space at the end") end
    if line:find("\t", 1, true) then tree.report(path, number, "a tab") end
  end
  if count - 1 > FILE_MAX and not path:find("^spec/") then
    tree.report(path, count, "%d lines, %d at the most: tell two stories in two files", count - 1,
      FILE_MAX)
  end
end

-- A function begins with a line at the margin that ends in "{" and holds "(", and ends with "}".
local function check_functions(path, text)
  local start, name, is_excused, excuse
  for number, line in tree.numbered_lines(text) do
    if line:find("long:", 1, true) then excuse = number end
    if line:find("^[%a_].*[%)%s]{$") and not line:find("=") then
      start, name = number, line:match("([%w_]+)%(") or "what begins here"
      is_excused = excuse ~= nil and number - excuse < 12
    elseif line == "}" and start then
      local lines = number - start + 1
      if lines > FUNCTION_MAX and not is_excused then
        tree.report(path, start, "%s has %d lines, %d at the most", name, lines, FUNCTION_MAX)
      end
      start, excuse = nil, nil
    end
  end
end

local paths = tree.sources({ "runtime", "bindings", "lua", "examples", "spec" },
  { "%.[ch]$", "%.lua$" })
for _, path in ipairs(paths) do
  local text = tree.read(path)
  check_lines(path, text)
  if path:find("%.c$") and not path:find("^spec/") then check_functions(path, text) end
end
tree.finish(#paths .. " files are in shape")
