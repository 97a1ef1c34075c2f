--- hv.config_file - configuration files that are checked: hv.read_config. Private to lua/hv.
local misuse = require("_hv.loop").misuse
local nearest = require("hv.options").nearest
local server = require "_hv.server"
local size = require("hv.options").size

local M = {}

-- ---- Kinds ----

local words = {
  ["1"] = true, on = true, yes = true, ["true"] = true, enable = true,
  ["0"] = false, off = false, no = false, ["false"] = false, disable = false,
}

local units = { ms = 1, s = 1000, m = 60000, h = 3600000, d = 86400000 }

--- Milliseconds of "30", "500ms", "1m30s".
local function time(text)
  if text:find("^%d+$") then return tonumber(text) * 1000 end
  local ms, at = 0, 1
  while at <= #text do
    local number, unit, stop = text:match("^(%d+)(%a+)()", at)
    if not number or not units[unit] then return nil end
    ms, at = ms + tonumber(number) * units[unit], stop
  end
  return #text > 0 and ms < 2 ^ 53 and ms or nil
end

local function integer(least, most)
  return function(text)
    local number = text:find("^%-?%d+$") and tonumber(text)
    return number and number >= least and number <= most and number or nil
  end
end

--- kind -> what it is called, and what turns a text into the value (nil: refused).
local kinds = {
  string = { "a text", function(text) return text ~= "" and text or nil end },
  boolean = { "on or off", function(text) return words[text:lower()] end },
  integer = { "a whole number from 0", integer(0, 2 ^ 31 - 1) },
  port = { "a port, 0..65535", integer(0, 65535) },
  size = { "a size such as 64K or 8M", size },
  time = { "a time such as 30s, 500ms or 1m30s", time },
}

-- ---- Entries ----

local function refuse(name, line, format, ...)
  error({ ("%s:%d: "):format(name, line) .. format:format(...) })
end

--- The value of an entry by its rule.
local function value_of(rule, entry, name)
  local kind = rule[1]
  if type(kind) == "function" then
    local value, message = kind(entry[3], entry[2])
    if value == nil then refuse(name, entry[4], "%s: %s", entry[2], message or "bad value") end
    return value
  end
  local value = kinds[kind][2](entry[3])
  if value == nil then
    refuse(name, entry[4], "%s must be %s, not %q", entry[2], kinds[kind][1], entry[3])
  end
  return value
end

--- The rules of a section: by its name, or by its first word ("host *" for "host example.org").
local function section_rules(sections, section)
  if sections[section] then return sections[section], section end
  local word, rest = section:match("^(%S+)%s+(.-)%s*$")
  if word and sections[word .. " *"] then return sections[word .. " *"], word, rest end
end

local function section_names(sections)
  local names = {}
  for name in pairs(sections) do names[name] = true end
  return names
end

--- The table of the result that an entry belongs into, and its rules.
local function place_of(result, rules, entry, name)
  local section = entry[1]
  if section == "" then return result, rules end
  local own, key, rest = section_rules(rules.sections or {}, section)
  if not own then
    local best = nearest(section, section_names(rules.sections or {}))
    refuse(name, entry[4], "unknown section [%s]%s", section,
      best and (", did you mean [%s]?"):format(best) or "")
  end
  result[key] = result[key] or {}
  local place = result[key]
  if rest then
    place[rest] = place[rest] or {}
    place = place[rest]
  end
  return place, own
end

local function fill_defaults(place, rules)
  for key, rule in pairs(rules) do
    if key ~= "sections" and key ~= "*" and place[key] == nil then place[key] = rule[2] end
  end
end

local function read(rules, entries, name)
  local result = {}
  for _, entry in ipairs(entries) do
    local place, own = place_of(result, rules, entry, name)
    local rule = entry[2] ~= "sections" and own[entry[2]] or own["*"]
    if not rule then
      local known = {}
      for key in pairs(own) do known[key] = key ~= "sections" or nil end
      refuse(name, entry[4], "unknown name %q, did you mean %q?", entry[2],
        nearest(entry[2], known))
    end
    place[entry[2]] = value_of(rule, entry, name)
  end
  fill_defaults(result, rules)
  return result
end

local function check_rules(rules)
  if type(rules) ~= "table" then
    return misuse("hv.read_config: a table of rules expected, got " .. type(rules))
  end
  for key, rule in pairs(rules) do
    if key == "sections" then
      for _, own in pairs(rule) do check_rules(own) end
    elseif type(rule) ~= "table" or not (kinds[rule[1]] or type(rule[1]) == "function") then
      return misuse(("hv.read_config: the rule of %s must be { kind, default }"):format(key))
    end
  end
end

--- As hv.read_config says.
function M.read(rules, path)
  check_rules(rules)
  local entries, name, code = server.config_entries(path)
  if not entries then return nil, name, code end
  local ok, result = pcall(read, rules, entries, name)
  if ok then return result end
  if type(result) ~= "table" then error(result, 0) end
  return nil, result[1], "EINVAL"
end

return M
