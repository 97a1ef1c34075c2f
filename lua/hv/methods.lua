--- hv.methods - methods of classes in Lua that say so where they are called with a dot. Private to
--- lua/hv. Those of classes in C do it by themselves (hvl_check).
local misuse = require("_hv.loop").misuse

local getmetatable, type = getmetatable, type

local M = {}

--- Whether a value is of a class, by the name in its metatable.
---@param names table { ["hv.redis"] = true, ... }
local function is_one(value, names)
  local meta = getmetatable(value)
  return type(meta) == "table" and names[meta.__name] or false
end

M.is_one = is_one

--- Throws for a method that was called for something else.
---@param noun string what an object is called in the text: "r"
---@param method string
---@param expected string the name of the class
function M.refuse(noun, method, expected, value)
  return misuse(("%s:%s: %s expected, got %s (call methods with ':')"):format(noun, method,
    expected, type(value)))
end

--- Has the methods of a class refuse whatever is no object of it.
---@param class table<string, function>
---@param noun string
---@param expected string the __name of the metatable
---@param others? table { ["hv.redis.cluster"] = true }: other classes that have these methods
---@param statics? table { new = true }: functions of the class that are no methods
function M.guard(class, noun, expected, others, statics)
  local names = { [expected] = true }
  for name in pairs(others or {}) do names[name] = true end
  for key, fn in pairs(class) do
    if type(fn) == "function" and not (statics and statics[key]) then
      class[key] = function(self, ...)
        if is_one(self, names) then return fn(self, ...) end
        return M.refuse(noun, key, expected, self)
      end
    end
  end
end

return M
