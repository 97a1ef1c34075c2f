--- hv.reconnect - how long to wait before the next attempt. Private to lua/hv: the option
--- `reconnect` of whatever connects again by itself.
local misuse = require("_hv.loop").misuse
local options = require "hv.options"

local M = {}

local policies = {
  fixed = function(r) return r.min_delay end,
  linear = function(r, try) return r.min_delay * try end,
  exponential = function(r, try) return r.min_delay * 2 ^ math.min(try - 1, 30) end,
}

--- The rules of an option: true for the defaults, a table, or false for none.
function M.read(where, value)
  if not value then return nil end
  local rules = options.reader(where .. ": reconnect", {
    min_delay = { "ms", 1000 }, max_delay = { "ms", 10000 },
    policy = { "string", "exponential" }, max_retries = { "integer" },
  })(value == true and {} or value)
  if not policies[rules.policy] then
    return misuse(("%s: policy must be \"exponential\", \"linear\" or \"fixed\", got %q")
      :format(where, rules.policy))
  end
  return rules
end

--- Milliseconds before attempt `try` (1, 2 ...) after the one that failed.
function M.delay(rules, try)
  return math.min(policies[rules.policy](rules, try), rules.max_delay)
end

return M
