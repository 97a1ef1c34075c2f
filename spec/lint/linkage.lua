-- linkage.lua - who uses the functions that can be seen from outside their file.
--
--   luajit spec/lint/linkage.lua [ROOT]
--
-- A function of runtime/ or bindings/ that is not static is used by another file there. One that
-- only its own file uses is to be static, unless a test calls it; one that nothing but tests uses
-- says so in the header ("For tests"). A function of the public headers is used by the bindings, by
-- an example or by a test. Words are compared, no objects: this needs no build. Every rule here is
-- broken on purpose in linkage_cases.lua.

package.path = arg[0]:match("^.*/") .. "?.lua"
local tree = require "tree"

-- name -> { path = file that defines it, line = }
local defined = {}
-- name -> path -> how often it is named there
local named_in = {}

local function note_words(path, code)
  for word in code:gmatch("%f[%w_][%a_][%w_]*") do
    local places = named_in[word]
    if not places then
      places = {}
      named_in[word] = places
    end
    places[path] = (places[path] or 0) + 1
  end
end

-- A definition begins at the margin and is followed by a block that does, too.
local function note_definitions(path, code)
  local number = 0
  local head, head_line
  for line in (code .. "\n"):gmatch("([^\n]*)\n") do
    number = number + 1
    if head then
      head = head .. " " .. line
    elseif line:find("^[%a_][%w_%s%*]*[%s%*]([%a_][%w_]*)%(") and not line:find("^static")
      and not line:find("^typedef") and not line:find("^else") then
      head, head_line = line, number
    end
    if head and (head:find("{", 1, true) or head:find(";", 1, true)) then
      local name = head:match("^[%a_][%w_%s%*]*[%s%*]([%a_][%w_]*)%(")
      if name and head:find("{", 1, true) and not head:match("^[^{]*;") then
        defined[name] = { path = path, line = head_line }
      end
      head = nil
    end
  end
end

local declared_for_tests, declared_public = {}, {}

local function note_for_tests(block)
  for name in tree.code_of("/*" .. block):gmatch("%f[%w_]([%a_][%w_]*)%s*%(") do
    declared_for_tests[name] = true
  end
end

local function note_header(path, text)
  local is_public = path:find("^runtime/include/") or path:find("^bindings/include/")
  local code = tree.code_of(text)
  for name in code:gmatch("%f[%w_]([%a_][%w_]*)%s*%(") do
    if is_public then declared_public[name] = path end
  end
  -- A comment that begins so is about the declarations up to the next blank line, a heading about
  -- all of its section.
  for block in (text .. "\n\n"):gmatch("/%* For tests.-\n\n") do note_for_tests(block) end
  local sections = text:gsub("/%* %-%-%-%- ", "\0%0")
  for heading, block in sections:gmatch("%z([^\n]*)([^%z]*)") do
    if heading:find("for tests", 1, true) then note_for_tests(block) end
  end
end

local sources = { "%.[ch]$" }
for _, path in ipairs(tree.sources({ "runtime", "bindings" }, sources)) do
  local text = tree.read(path)
  local code = tree.code_of(text)
  if path:find("%.h$") then note_header(path, text) else note_definitions(path, code) end
  note_words(path, code)
end
for _, path in ipairs(tree.list({ "examples", "spec" }, sources)) do
  note_words(path, tree.code_of(tree.read(path)))
end

-- Names that the preprocessor puts together (HVL_EACH_MODULE), and what the linker calls.
local function is_called_by_name(name)
  return name:find("^hvl_open_") or name:find("^luaopen_") or name == "main"
end

-- Whether our code, and whether anything else, uses what `at.path` defines. Its definition names it
-- once, and so does a header's declaration.
local function users(name, at)
  local by_itself, by_own, by_others = false, false, false
  for path, count in pairs(named_in[name]) do
    if path == at.path then
      by_itself = count > 1
    elseif not path:find("^runtime/") and not path:find("^bindings/") then
      by_others = true
    elseif not path:find("%.h$") or count > 1 then
      by_own = true
    end
  end
  return by_itself, by_own, by_others
end

local names = {}
for name in pairs(defined) do names[#names + 1] = name end
table.sort(names)
for _, name in ipairs(names) do
  local at = defined[name]
  local by_itself, by_own, by_others = users(name, at)
  local message
  if is_called_by_name(name) or by_own then
    message = nil
  elseif declared_public[name] then
    message = not by_others and "%s is public, and neither used nor tested"
  elseif not by_others then
    message = "%s is used by this file only: make it static"
  elseif not by_itself and not declared_for_tests[name] then
    message = "%s is used by tests only"
  end
  if message then tree.report(at.path, at.line, message, name) end
end
tree.finish(#names .. " functions are where they are needed")
