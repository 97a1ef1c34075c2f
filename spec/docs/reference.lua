-- reference.lua - writes the reference of the Lua API from the comments of lua/hv and lua/meta.
--
--   hvlua spec/docs/reference.lua [ROOT] > reference.md
--
-- One section a module: what its file says at the top, then its functions, then its classes with
-- their fields and methods. What `hv` and its modules do not have is left out.
local reference = require "hv.reference"

local root = (arg and arg[1] or ".") .. "/"

local function add_files(list, folder, is_stub)
  local pipe = assert(io.popen(("cd '%s%s' && ls *.lua"):format(root, folder)))
  for name in pipe:lines() do
    local file = assert(io.open(root .. folder .. "/" .. name))
    list[#list + 1] = { name = name:match("^(.*)%.lua$"), text = file:read "*a", is_stub = is_stub }
    file:close()
  end
  pipe:close()
  return list
end

-- ---- Writing ----

local out = {}
local function write(format, ...)
  out[#out + 1] = select("#", ...) > 0 and format:format(...) or format
end

--- Prose, with what is indented by two blanks as code.
local function write_text(lines)
  local is_code = false
  for _, line in ipairs(lines) do
    local code = line:match("^  (.*)$")
    if code and not is_code then write "```lua" end
    if is_code and not code and line ~= "" then write "```" end
    is_code = code ~= nil or is_code and line == ""
    write("%s", code or line)
  end
  if is_code then write "```" end
  write ""
end

local function write_list(title, entries)
  if #entries == 0 then return end
  write("%s:", title)
  for _, entry in ipairs(entries) do
    local name, rest = reference.split_entry(entry)
    write("- `%s` %s", name, (rest:gsub("|", "\\|")))
  end
  write ""
end

local function write_function(prefix, fn)
  write("### `%s%s%s%s`%s", prefix, fn.dot, fn.name, fn.parameters,
    fn.doc.is_async and " (waits)" or "")
  write ""
  write_text(fn.doc.text)
  write_list("Parameters", fn.doc.params)
  write_list("Returns", fn.doc.returns)
end

local function by_name(a, b) return a.name < b.name end

local function write_module(module)
  write("# %s", module.name)
  write ""
  if module.intro then write_text(module.intro) end
  for _, fn in ipairs(reference.public_functions(module)) do write_function(module.name, fn) end
  table.sort(module.classes, by_name)
  for _, class in ipairs(module.classes) do
    if #class.fields + #class.functions > 0 then
      write("## %s", class.name)
      write ""
      if class.text then write_text(class.text) end
      if class.parent then
        write("The fields of [%s](#%s), and more.", class.parent,
          (class.parent:lower():gsub("%.", "")))
        write ""
      end
      write_list("Fields", class.fields)
      table.sort(class.functions, by_name)
      for _, fn in ipairs(class.functions) do write_function(class.noun, fn) end
    end
  end
end

local files = add_files(add_files({}, "lua/meta", true), "lua/hv", false)
local modules = reference.read(files).modules
local names = {}
for name in pairs(modules) do names[#names + 1] = name end
table.sort(names)
write "<!-- Made by spec/docs/reference.lua from lua/hv and lua/meta; changes here are lost. -->"
write "A call that waits has two forms: in a task it returns its results; with a trailing function"
write "it returns at once and calls the function with them. Failure is `nil, message, code`; misuse"
write "throws. Times are milliseconds, sizes bytes or text such as `\"64K\"`."
write ""
for _, name in ipairs(names) do write("- [%s](#%s)", name, (name:gsub("%.", ""))) end
write ""
for _, name in ipairs(names) do write_module(modules[name]) end
io.write(table.concat(out, "\n"), "\n")
