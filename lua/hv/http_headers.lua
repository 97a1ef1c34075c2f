--- hv.http_headers - a list of header lines that is asked by name, in any case.
---
--- The array part is flat, in order: name, value, name, value ... C fills and reads it that way.
--- `headers["content-type"]` is `headers:get("content-type")`.
local misuse = require("_hv.loop").misuse
local raw = require "_hv.http"

local Headers = {}

--- The first value of a name, or nil.
---@param name string
---@return string? value
function Headers:get(name)
  local wanted = name:lower()
  for i = 1, #self, 2 do
    if self[i]:lower() == wanted then return self[i + 1] end
  end
end

--- Every value of a name, in order.
---@param name string
---@return string[] values
function Headers:get_all(name)
  local wanted, values = name:lower(), {}
  for i = 1, #self, 2 do
    if self[i]:lower() == wanted then values[#values + 1] = self[i + 1] end
  end
  return values
end

--- Removes every line of a name.
---@param name string
function Headers:remove(name)
  local wanted, kept = name:lower(), 0
  local count = #self
  for i = 1, count, 2 do
    local key, value = self[i], self[i + 1]
    if key:lower() ~= wanted then
      self[kept + 1], self[kept + 2] = key, value
      kept = kept + 2
    end
  end
  for i = count, kept + 1, -1 do self[i] = nil end
end

--- Adds a line. Throws for a name that is no token and for line ends in the value.
---@param name string
---@param value string|number
function Headers:add(name, value)
  if type(value) == "number" then value = tostring(value) end
  if type(name) ~= "string" or type(value) ~= "string" then
    return misuse(("headers: strings expected, got %s and %s"):format(type(name), type(value)))
  end
  local problem = raw.check_header(name, value)
  if problem then return misuse(("headers: %q: %s"):format(name, problem)) end
  local count = #self
  self[count + 1], self[count + 2] = name, value
end

--- Replaces every line of a name by one, or by one for each value of a list; nil removes them.
---@param name string
---@param value string|number|string[]|nil
function Headers:set(name, value)
  if type(name) ~= "string" then
    return misuse("headers: string expected, got " .. type(name))
  end
  self:remove(name)
  if type(value) ~= "table" then
    if value ~= nil then self:add(name, value) end
    return
  end
  for _, one in ipairs(value) do self:add(name, one) end
end

--- `for name, value in headers:each()`: every line, in order.
function Headers:each()
  local i = -1
  return function()
    i = i + 2
    return self[i], self[i + 1]
  end
end

local meta = {
  __name = "hv.http.headers",
  __index = function(self, key)
    local method = Headers[key]
    if method ~= nil then return method end
    if type(key) == "string" then return Headers.get(self, key) end
  end,
  __tostring = function(self) return ("hv.http.headers{%d lines}"):format(#self / 2) end,
  __content = function(self) -- for the prompt
    local lines = {}
    for name, value in Headers.each(self) do lines[#lines + 1] = name .. ": " .. value end
    return lines
  end,
}

raw.request_facts[0] = meta
raw.response_facts[0] = meta

local M = { meta = meta }

--- Makes headers from a table of name = value or name = { value, ... }.
---@param lines? table<string, string|number|string[]>
---@return hv.HttpHeaders headers
function M.new(lines)
  local headers = setmetatable({}, meta)
  for name, value in pairs(lines or {}) do headers:set(name, value) end
  return headers
end

--- The headers that a table is, or makes.
---@param lines hv.HttpHeaders|table<string, string|number|string[]>
---@return hv.HttpHeaders headers
function M.of(lines)
  if getmetatable(lines) == meta then return lines end
  return M.new(lines)
end

return M
