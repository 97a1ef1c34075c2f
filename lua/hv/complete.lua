--- hv.complete - what a name that somebody has begun to type may become. Private.
---
--- Nothing of the user's runs for it: fields are looked up raw, along tables in __index. Classes
--- whose __index is a function name their methods in the metatable's `__names` (bindings/bind.c),
--- and so does `hv` its modules.
local M = {}

local CHAIN_MAX = 10

local keywords = {}
for word in ([[and break do else elseif end false for function goto if in local nil not or repeat
  return then true until while]]):gmatch("%a+") do keywords[word] = true end

local function names_of(value)
  local meta = debug.getmetatable(value)
  local names = type(meta) == "table" and rawget(meta, "__names")
  return type(names) == "table" and names or nil, meta
end

--- The field of a value, or nil where only a function could tell it.
local function field(value, name)
  for _ = 1, CHAIN_MAX do
    if type(value) == "table" then
      local found = rawget(value, name)
      if found ~= nil then return found end
    end
    local names, meta = names_of(value)
    if type(meta) ~= "table" then return nil end
    if names and names[name] then
      local ok, found = pcall(function() return value[name] end)
      return ok and found or nil
    end
    value = rawget(meta, "__index")
    if type(value) ~= "table" then return nil end
  end
end

--- Calls visit(name, value) for each string key that the value has or inherits.
local function each_name(value, visit)
  for _ = 1, CHAIN_MAX do
    if type(value) == "table" then
      for key, found in next, value do
        if type(key) == "string" then visit(key, found) end
      end
    end
    local names, meta = names_of(value)
    if type(meta) ~= "table" then return end
    for key, found in next, names or {} do visit(key, found) end
    value = rawget(meta, "__index")
    if type(value) ~= "table" then return end
  end
end

local function sorted(set)
  local list = {}
  for name in pairs(set) do list[#list + 1] = name end
  table.sort(list)
  return list
end

--- Names of `value` that begin with `start`; those that begin with _ only where start does.
local function matching(value, start, is_method)
  local found = {}
  each_name(value, function(name, member)
    local fits = name:sub(1, #start) == start and name:find("^[%a_][%w_]*$")
    local is_hidden = name:sub(1, 1) == "_" and start:sub(1, 1) ~= "_"
    if fits and not is_hidden and not keywords[name]
      and not (is_method and type(member) ~= "function") then
      found[name] = true
    end
  end)
  return found
end

local function global_names(env, start)
  local found = matching(env, start)
  for word in pairs(keywords) do
    if start ~= "" and word:sub(1, #start) == start then found[word] = true end
  end
  return sorted(found)
end

--- "a.b:c" -> names that c may become.
local function path_names(env, path)
  local value, at = env, 1
  while true do
    local name, separator, next_at = path:match("^([%a_][%w_]*)([.:])()", at)
    if not name then break end
    value = field(value, name)
    if value == nil then return {}, "" end
    if separator == ":" and path:find("[.:]", next_at) then return {}, "" end
    at = next_at
  end
  local start = path:sub(at)
  if at == 1 then return global_names(env, start), start end
  return sorted(matching(value, start, path:sub(at - 1, at - 1) == ":")), start
end

--- Modules in files of package.path whose name begins with `start`.
local function file_modules(start, found)
  local fs = require "hv.fs"
  local folder, partial = start:match("^(.*%.)([^.]*)$")
  folder, partial = folder or "", partial or start
  for template in package.path:gmatch("[^;]+") do
    local head, tail = template:match("^([^?]*)%?(.*)$")
    local path = head and head .. folder:gsub("%.", "/")
    local scan = path and tail:sub(1, 1) ~= "/" and fs.scan(path == "" and "." or path)
    for name, kind in scan or function() end do
      local module = kind ~= "directory" and name:sub(-#tail) == tail and name:sub(1, -#tail - 1)
      local is_found = module and module:sub(1, #partial) == partial and folder ~= "hv."
      if is_found then found[folder .. module] = true end
    end
  end
end

local function module_names(start)
  local found = {}
  local public = names_of(require "hv")
  for _, loaded in ipairs { package.loaded, package.preload } do
    for name in pairs(loaded) do
      local is_private = name:sub(1, 4) == "_hv." or name:sub(1, 3) == "hv." -- listed below
      if not is_private and name:sub(1, #start) == start then found[name] = true end
    end
  end
  for name in pairs(public) do
    if ("hv." .. name):sub(1, #start) == start then found["hv." .. name] = true end
  end
  file_modules(start, found)
  found._G = nil
  return sorted(found)
end

local function common_start(list)
  local start = list[1]
  for i = 2, #list do
    while list[i]:sub(1, #start) ~= start do start = start:sub(1, -2) end
  end
  return start
end

--- The names that fit the end of a line, and how many bytes of it they replace.
---@param text string     what stands before the cursor
---@param env table       where globals are looked up
---@param commands? table names of commands that begin with a dot
---@return string[] names
---@return string start
function M.names(text, env, commands)
  local command = text:match("^%s*(%.%a*)$")
  if command then
    local found = {}
    for name in pairs(commands or {}) do
      if name:sub(1, #command) == command then found[name] = true end
    end
    return sorted(found), command
  end
  local topic = text:match("^%s*%.help%s+([%w_.:]*)$")
  if topic then return require("hv.help").names(topic), topic end
  local module = text:match("require%s*%(?%s*[\"']([%w_.%-]*)$")
  if module then return module_names(module), module end
  local method = text:match("[\"']%s*%)?%s*:([%w_]*)$")
  if method then return sorted(matching("", method, true)), method end
  local before, path = text:match("^(.-)([%a_][%w_.:]*)$")
  if not path then
    -- After an operator or a bracket anything may come; after a value nothing does.
    if text:find("[%w_.:\"'%])}]%s*$") then return {}, "" end
    return global_names(env, ""), ""
  end
  if before:find("[%])\"'][.:]?$") or before:find("[%w_.:]$") then return {}, "" end
  return path_names(env, path)
end

--- Names in columns.
local function in_columns(names, columns)
  local width = 0
  for _, name in ipairs(names) do width = math.max(width, #name + 2) end
  local per_row = math.max(1, math.floor(columns / width))
  local rows = math.ceil(#names / per_row)
  local lines = {}
  for row = 1, rows do
    local cells = {}
    for column = 0, per_row - 1 do
      local name = names[column * rows + row]
      if name then cells[#cells + 1] = name .. (" "):rep(width - #name) end
    end
    lines[row] = (table.concat(cells):gsub("%s+$", ""))
  end
  return table.concat(lines, "\n")
end

--- What Tab does at the end of `text`.
---@return string insert what to put in at the cursor; "" where that is not decided
---@return string list   the candidates for the eye, in columns
function M.complete(text, env, columns, commands)
  local names, start = M.names(text, env, commands)
  if #names == 0 then return "", "" end
  return common_start(names):sub(#start + 1), in_columns(names, columns)
end

return M
