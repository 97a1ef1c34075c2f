--- hv.show - values as a person wants to read them: at the prompt, in the log, in errors. Private.
---
--- Tables are written as Lua would read them, with sorted keys; what is too deep, too long or
--- contains itself is cut and says so. A table or object with __tostring is shown by it.
local M = {}

local DEPTH_MAX = 5
local ITEMS_MAX = 100    -- of one table
local BUDGET = 1000      -- items of one value altogether
local STRING_MAX = 2000  -- bytes of one string
local WIDTH = 80

local keywords = {}
for word in ([[and break do else elseif end false for function goto if in local nil not or repeat
  return then true until while]]):gmatch("%a+") do keywords[word] = true end

local escapes = { ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t", ["\\"] = "\\\\", ['"'] = '\\"' }

--- Bytes that a terminal would take for commands are escaped; UTF-8 is left as it is.
local function quote(text)
  local rest = ""
  if #text > STRING_MAX then
    rest = ("...(%d bytes)"):format(#text)
    text = text:sub(1, STRING_MAX)
  end
  text = text:gsub('[%c\\"\127]', function(char)
    return escapes[char] or ("\\%03d"):format(char:byte())
  end)
  -- U+0080 to U+009F are commands as well.
  text = text:gsub("\194([\128-\159])", function(char) return ("\\194\\%d"):format(char:byte()) end)
  return '"' .. text .. '"' .. rest
end

local function show_number(value)
  if value % 1 == 0 and math.abs(value) < 2 ^ 53 then return ("%d"):format(value) end
  return tostring(value)
end

--- "function: 0x..." says nothing; where it stands does.
local function show_function(value)
  local info = debug.getinfo(value, "S")
  if info.what == "C" then return tostring(value) end
  return ("function <%s:%d>"):format(info.short_src, info.linedefined)
end

local function by_tostring(value)
  local ok, text = pcall(tostring, value)
  return ok and tostring(text) or ("<%s whose __tostring fails>"):format(type(value))
end

local ranks = { number = 1, string = 2, boolean = 3 }

local function is_before(a, b)
  local type_a, type_b = type(a), type(b)
  if type_a ~= type_b then
    return (ranks[type_a] or 9) < (ranks[type_b] or 9)
      or not ranks[type_a] and not ranks[type_b] and type_a < type_b
  end
  if type_a == "number" or type_a == "string" then return a < b end
  return by_tostring(a) < by_tostring(b)
end

local show

local function show_key(key, state)
  if type(key) == "string" and key:match("^[%a_][%w_]*$") and not keywords[key] then
    return key .. " = "
  end
  return "[" .. (type(key) == "table" and by_tostring(key) or show(key, state, DEPTH_MAX, "")) ..
    "] = "
end

--- The items of a table as texts: first 1, 2 ..., then the other keys in order.
local function items_of(value, state, depth, indent)
  local items, keys, count = {}, {}, 0
  local length = 0
  while rawget(value, length + 1) ~= nil do length = length + 1 end
  local function is_full()
    if #items < ITEMS_MAX and state.left > 0 then
      state.left = state.left - 1
      return false
    end
    count = count + 1
    return true
  end
  for i = 1, length do
    if not is_full() then items[#items + 1] = show(rawget(value, i), state, depth, indent) end
  end
  for key in next, value do
    local is_listed = type(key) == "number" and key >= 1 and key <= length and key % 1 == 0
    if not is_listed then keys[#keys + 1] = key end
  end
  table.sort(keys, is_before)
  for _, key in ipairs(keys) do
    if not is_full() then
      items[#items + 1] = show_key(key, state) .. show(rawget(value, key), state, depth, indent)
    end
  end
  if count > 0 then items[#items + 1] = ("... %d more"):format(count) end
  return items
end

local function show_table(value, state, depth, indent)
  local meta = debug.getmetatable(value)
  local name = ""
  if type(meta) == "table" then
    local content = rawget(meta, "__content") -- what is in it, as a plain table
    if not content and rawget(meta, "__tostring") then return by_tostring(value) end
    if type(rawget(meta, "__name")) == "string" then name = meta.__name .. " " end
    if content then
      local ok, inner = pcall(content, value)
      if not ok or type(inner) ~= "table" then return by_tostring(value) end
      value = inner
    end
  end
  if state.open[value] then return name .. "<the table around it>" end
  if next(value) == nil then return name .. "{}" end
  if depth >= DEPTH_MAX then return name .. "{...}" end
  state.open[value] = true
  local items = items_of(value, state, depth + 1, indent .. "  ")
  state.open[value] = nil
  local length = #indent + #name
  local is_long = false
  for _, item in ipairs(items) do
    length = length + #item + 2
    is_long = is_long or item:find("\n", 1, true) ~= nil
  end
  if not is_long and length + 2 <= WIDTH then
    return name .. "{ " .. table.concat(items, ", ") .. " }"
  end
  local inner = indent .. "  "
  return name .. "{\n" .. inner .. table.concat(items, ",\n" .. inner) .. "\n" .. indent .. "}"
end

function show(value, state, depth, indent)
  local kind = type(value)
  if kind == "string" then return quote(value) end
  if kind == "number" then return show_number(value) end
  if kind == "table" then return show_table(value, state, depth, indent) end
  if kind == "function" then return show_function(value) end
  return by_tostring(value)
end

--- The text of a value; several lines where one would be too long.
function M.show(value)
  return show(value, { open = {}, left = BUDGET }, 0, "")
end

--- The same in one line.
function M.line(value)
  return (M.show(value):gsub("\n *", " "))
end

local ERROR_MAX = 500 -- bytes of what an error says of itself

--- Cuts a text, between characters.
local function cut(text, max)
  if #text <= max then return text end
  while max > 0 and text:byte(max + 1) >= 0x80 and text:byte(max + 1) < 0xc0 do max = max - 1 end
  return text:sub(1, max) .. "..."
end

--- The text of an error, which in Lua may be any value: a string as it is, an object by its
--- __tostring, anything else as what it holds.
function M.error_text(value)
  if type(value) == "string" or type(value) == "number" then return tostring(value) end
  if value == nil then return "(error object is a nil value)" end
  local meta = debug.getmetatable(value)
  if type(meta) == "table" and rawget(meta, "__tostring") then
    local ok, text = pcall(tostring, value)
    if ok and type(text) == "string" then return text end
  end
  return "error value: " .. cut(M.line(value), ERROR_MAX)
end

return M
