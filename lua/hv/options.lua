--- hv.options - checks tables of options. Private to lua/hv.
---
---   local read = options.reader("hv.tcp.listen", { port = { "port" }, host = { "string", "" } })
---   local checked = read(given)
---
--- A reader copies: it fills in defaults, turns "64K" into a number, and throws for a value of the
--- wrong kind and for a key that it does not know, naming the nearest one that it does.
local misuse = require("_hv.loop").misuse

local M = {}

local UNITS = { [""] = 1, K = 1024, M = 1048576, G = 1073741824 }

--- Bytes of 65536, "64K", "8M"; nil where it is no size.
function M.size(value)
  if type(value) == "number" then
    return value >= 0 and value == math.floor(value) and value or nil
  end
  if type(value) ~= "string" then return nil end
  local digits, unit = value:match("^(%d+)([KMG]?)$")
  return digits and tonumber(digits) * UNITS[unit]
end

--- Levenshtein's distance, for the words in messages.
function M.distance(a, b)
  local row = {}
  for j = 0, #b do row[j] = j end
  for i = 1, #a do
    local above_left = row[0]
    row[0] = i
    for j = 1, #b do
      local above = row[j]
      local same = a:byte(i) == b:byte(j)
      row[j] = math.min(above + 1, row[j - 1] + 1, above_left + (same and 0 or 1))
      above_left = above
    end
  end
  return row[#b]
end

--- The known word nearest to one that is not known, and how many letters they differ by.
function M.nearest(word, known)
  local best, best_distance
  for candidate in pairs(known) do
    local d = M.distance(tostring(word), candidate)
    if not best or d < best_distance or d == best_distance and candidate < best then
      best, best_distance = candidate, d
    end
  end
  return best, best_distance
end

--- The options that an address in short stands for: "host:port", "[ip6]:port", the path of a unix
--- socket, or a port alone. What is none of them stays as it is.
function M.address(where, value)
  if type(value) == "number" then return { port = value } end
  if type(value) ~= "string" then return value end
  if value:sub(1, 1) == "/" then return { path = value } end
  local host, port = value:match("^%[(.-)%]:(%d+)$")
  if not host then host, port = value:match("^([^:]+):(%d+)$") end
  if not host then
    return misuse(("%s: \"host:port\" expected, got %q"):format(where, value))
  end
  return { host = host, port = tonumber(port) }
end

local function is_type(name)
  return function(value)
    if type(value) == name then return value end
  end
end

--- kind -> what it is called, and what turns a value into the checked one (nil: refused).
local kinds = {
  string = { "a string", is_type("string") },
  boolean = { "a boolean", is_type("boolean") },
  table = { "a table", is_type("table") },
  ["function"] = { "a function", is_type("function") },
  any = { "a value", function(value) return value end },
  port = { "0..65535", function(value)
    if type(value) == "number" and value >= 0 and value <= 65535 and value % 1 == 0 then
      return value
    end
  end },
  integer = { "an integer from 0", function(value)
    if type(value) == "number" and value >= 0 and value < 2 ^ 31 and value % 1 == 0 then
      return value
    end
  end },
  ms = { "milliseconds (0 or false: none)", function(value)
    if value == false then return 0 end
    if type(value) == "number" and value >= 0 and value < 2 ^ 31 then return math.ceil(value) end
  end },
  age = { "milliseconds from 0", function(value) -- what no timer counts, so it may be years
    if type(value) == "number" and value >= 0 and value < 2 ^ 53 then return math.ceil(value) end
  end },
  size = { "bytes, or a size such as \"64K\"", M.size },
}

local function show(value)
  if type(value) == "string" then return ("%q"):format(value) end
  if type(value) == "number" or type(value) == "boolean" then return tostring(value) end
  return type(value)
end

--- Throws where a time that is no option is neither nil nor milliseconds.
---@param claim string "pipe:exec: timeout must be milliseconds"
function M.check_ms(claim, value)
  if value == nil or type(value) == "number" and value >= 0 then return end
  return misuse(("%s, got %s"):format(claim, tostring(value)))
end

--- Makes the reader of one kind of options.
---   where  the function's name, for messages
---   known  { key = { kind, default } }; kind may be a function(value, where) that checks
function M.reader(where, known)
  return function(given)
    if type(given) ~= "table" then
      misuse(("%s: table of options expected, got %s"):format(where, type(given)))
    end
    local checked = {}
    for key, value in pairs(given) do
      local entry = known[key]
      if not entry then
        misuse(("%s: unknown option %s, did you mean \"%s\"?"):format(where, show(key),
          M.nearest(key, known)))
      end
      local kind = entry[1]
      if type(kind) == "function" then
        checked[key] = kind(value, where)
      else
        local result = kinds[kind][2](value)
        if result == nil then
          misuse(("%s: %s must be %s, got %s"):format(where, key, kinds[kind][1], show(value)))
        end
        checked[key] = result
      end
    end
    for key, entry in pairs(known) do
      if checked[key] == nil then checked[key] = entry[2] end
    end
    return checked
  end
end

return M
