--- hv.help - what the prompt's `.help NAME` tells: the part of the reference that has that name.
--- Private.
---
--- A name is a module ("hv.tcp"), a function ("hv.tcp.listen"), a class ("hv.Tcp", "conn"), or a
--- method or field of one by what an object of it is called in the text ("conn:read",
--- "req.path"). Several classes may share a noun, and then all of them answer.
local options = require "hv.options"
local reference = require "hv.reference"

local M = {}

local WIDTH = 80
local GUESSES_MAX = 8

-- ---- The index ----

--- name with dots only -> { name = as it is written, entries = { function that writes } }
local index
--- The keys in lower case -> key; of "hv.Tcp" and "hv.tcp" the module, which is read first.
local folded

local function add(name, entry, is_alias)
  local key = name:gsub(":", ".")
  local found = index[key]
  if not found then
    found = { name = name, entries = {}, is_alias = is_alias }
    index[key] = found
    folded[key:lower()] = folded[key:lower()] or key
  end
  found.is_alias = found.is_alias and is_alias
  table.insert(found.entries, entry)
end

-- ---- Writing ----

local function write_lines(out, lines)
  for _, line in ipairs(lines or {}) do out[#out + 1] = line == "" and "" or "  " .. line end
end

--- Parameters, results or fields: the name, or the type, in a column.
local function write_list(out, title, list)
  if #list == 0 then return end
  out[#out + 1] = title
  local width = 0
  for _, entry in ipairs(list) do
    local length = #reference.split_entry(entry)
    if length <= 24 then width = math.max(width, length) end
  end
  for _, entry in ipairs(list) do
    local name, rest = reference.split_entry(entry)
    local line = ("  %-" .. width .. "s  %s"):format(name, (rest:gsub("%s%s+", "  ")))
    out[#out + 1] = line:match("^(.-)%s*$")
  end
end

--- Names in lines of words.
local function write_names(out, title, names)
  if #names == 0 then return end
  out[#out + 1] = title
  local line = " "
  for i, name in ipairs(names) do
    local word = name .. (i < #names and "," or "")
    if #line + #word + 1 > WIDTH then
      out[#out + 1] = line
      line = " "
    end
    line = line .. " " .. word
  end
  out[#out + 1] = line
end

--- The fields of a class, its parents' first.
local function fields_of(class, list)
  list = list or {}
  local parent = class.parent and M.classes[class.parent]
  if parent then fields_of(parent, list) end
  for _, field in ipairs(class.fields) do list[#list + 1] = field end
  return list
end

--- What a list of parameters or results names: tables of options are told as well, objects are
--- named for a further `.help`.
local function write_classes(out, fn)
  local seen, objects = {}, {}
  for _, list in ipairs { fn.doc.params, fn.doc.returns } do
    for _, entry in ipairs(list) do
      for name in entry:gmatch("hv%.%u%w*") do
        local class = not seen[name] and M.classes[name]
        seen[name] = true
        if class and #class.functions > 0 then
          objects[#objects + 1] = name
        elseif class then
          write_list(out, name .. ":", fields_of(class))
        end
      end
    end
  end
  write_names(out, "See also:", objects)
end

local function function_writer(prefix, fn)
  return function(out)
    out[#out + 1] = ("%s%s%s%s%s"):format(prefix, fn.dot, fn.name, fn.parameters,
      fn.doc.is_async and "  (waits)" or "")
    write_lines(out, fn.doc.text)
    write_list(out, "Parameters:", fn.doc.params)
    write_list(out, "Returns:", fn.doc.returns)
    write_classes(out, fn)
  end
end

local function class_writer(class)
  return function(out)
    out[#out + 1] = class.name .. (#class.functions > 0 and " (" .. class.noun .. ")" or "")
    write_lines(out, class.text)
    write_list(out, "Fields:", fields_of(class))
    local names = {}
    for i, fn in ipairs(class.functions) do names[i] = class.noun .. fn.dot .. fn.name end
    table.sort(names)
    write_names(out, "Methods:", names)
  end
end

local function field_writer(class, field)
  return function(out)
    write_list(out, class.noun .. "." .. field:match("^[%w_]+") .. ", a field of " .. class.name,
      { field })
  end
end

local function module_writer(module, functions)
  return function(out)
    if not module.intro then out[#out + 1] = module.name end
    write_lines(out, module.intro)
    local names, classes = {}, {}
    for i, fn in ipairs(functions) do names[i] = module.name .. fn.dot .. fn.name end
    for _, class in ipairs(module.classes) do
      if #class.functions > 0 then classes[#classes + 1] = class.name end
    end
    table.sort(classes)
    write_names(out, "Functions:", names)
    write_names(out, "Classes:", classes)
  end
end

local function add_class(class)
  if #class.functions + #class.fields == 0 and not class.parent then return end
  add(class.name, class_writer(class))
  if #class.functions == 0 then return end
  add(class.noun, class_writer(class))
  for _, fn in ipairs(class.functions) do
    local writer = function_writer(class.noun, fn)
    add(class.noun .. ":" .. fn.name, writer)
    add(class.name .. ":" .. fn.name, writer, true)
  end
  for _, field in ipairs(class.fields) do
    local name = field:match("^[%w_]+")
    if name then add(class.noun .. "." .. name, field_writer(class, field)) end
  end
end

--- Reads the reference when it is first asked for: the program carries its sources in itself.
local function build()
  if index then return end
  local all = reference.read(reference.embedded())
  index, folded = {}, {}
  M.classes = all.classes
  for name, module in pairs(all.modules) do
    local functions = reference.public_functions(module)
    add(name, module_writer(module, functions))
    for _, fn in ipairs(functions) do add(name .. fn.dot .. fn.name, function_writer(name, fn)) end
  end
  local names = {}
  for name in pairs(all.classes) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do add_class(all.classes[name]) end
end

-- ---- Looking up ----

--- What may have been meant: names whose last part is that of `key`, or else names spelt alike.
--- Returns the list, and whether it is of the former.
local function guesses(key)
  local last = key:match("[%w_]+$") or key
  local same, alike = {}, {}
  for other, found in pairs(index) do
    local distance = options.distance(key, other:lower())
    local is_same = other:match("[%w_]+$"):lower() == last
    if not found.is_alias and (is_same or distance <= math.max(1, #key / 5)) then
      table.insert(is_same and same or alike, { distance, found.name })
    end
  end
  local best, list = #same > 0 and same or alike, {}
  table.sort(best, function(a, b) return a[1] < b[1] or a[1] == b[1] and a[2] < b[2] end)
  for i = 1, math.min(#best, GUESSES_MAX) do list[i] = best[i][2] end
  return list, #same > 0
end

--- The text for a name, or what else may have been meant.
---@param name string
---@return string text
function M.text(name)
  build()
  local key = name:gsub("%(%s*%)?$", ""):gsub(":", ".")
  local out, found = {}, index[key] or index[folded[key:lower()]]
  if not found then
    local names, are_same = guesses(key:lower())
    if are_same and #names == 1 then return M.text(names[1]) end
    out[1] = ("there is no help on %s"):format(name)
    write_names(out, "Did you mean:", names)
    return table.concat(out, "\n")
  end
  for i, write in ipairs(found.entries) do
    if i > 1 then out[#out + 1] = "" end
    write(out)
  end
  return table.concat(out, "\n")
end

--- The names that go on from `start`, each up to its next dot or colon.
---@param start string
---@return string[] names
function M.names(start)
  build()
  local set, list = {}, {}
  for _, found in pairs(index) do
    local name = found.name
    if not found.is_alias and name:sub(1, #start) == start then
      local stop = name:find("[.:]", #start + 1)
      set[name:sub(1, stop and stop - 1 or #name)] = true
      if stop == #start + 1 then set[name:sub(1, (name:find("[.:]", stop + 1) or 0) - 1)] = true end
    end
  end
  for name in pairs(set) do list[#list + 1] = name end
  table.sort(list)
  return list
end

return M
