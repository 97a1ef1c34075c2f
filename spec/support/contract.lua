--- contract.lua - what the specs of the contract ask again and again: results in both forms, codes,
--- names.
local assert = require "luassert"
local helper = require "helper"

local function pack(...) return { n = select("#", ...), ... } end

--- Handles are the same where they tell the same state of themselves.
local function comparable(values)
  local shown = { n = values.n }
  for i = 1, values.n do
    local kind = type(values[i])
    shown[i] = (kind == "userdata" or getmetatable(values[i]) and kind == "table")
      and tostring(values[i]):gsub("%d+", "N") or kind == "function" and kind or values[i]
  end
  return shown
end

--- Calls a function that waits in both forms; the second gives exactly what the first has given.
--- Returns the results of both.
local function both(fn, ...)
  local waited = pack(fn(...))
  local note, calls = helper.recorder()
  local arguments = pack(...)
  arguments[arguments.n + 1] = note
  local at_once = pack(fn(unpack(arguments, 1, arguments.n + 1)))
  assert.equal(0, #calls) -- never from inside of the call
  helper.eventually(function() return #calls == 1 end)
  assert.same(comparable(waited), comparable(calls[1]))
  return waited, calls[1], at_once
end

local function code_of(code, ...)
  local result, message, got = ...
  assert.is_nil(result)
  assert.is_string(message)
  assert.equal(code, got)
end

local function throws(pattern, fn, ...)
  local ok, message = pcall(fn, ...)
  assert.is_false(ok)
  assert.matches(pattern, message)
end

local function has(object, names)
  for name in names:gmatch("%S+") do
    assert.equal("function", type(object[name]), name)
  end
end

return { pack = pack, both = both, code_of = code_of, throws = throws, has = has }
