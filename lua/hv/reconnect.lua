--- hv.reconnect - how long to wait before the next attempt, and the wait. Private to lua/hv: the
--- option `reconnect` of whatever connects again by itself.
local misuse = require("_hv.loop").misuse
local options = require "hv.options"
local task = require "hv.task"
local timer = require "hv.timer"

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
  return math.min(policies[rules.policy](rules, try), math.max(rules.max_delay, rules.min_delay))
end

-- ---- Clients: { _task, _is_unref, _pause } ----

--- Waits in the client's task, and keeps the program running meanwhile only if the client does.
function M.pause(client, ms)
  client._pause = timer.after(ms, function() task.unpark(client._task) end)
  if client._is_unref then client._pause:unref() end
  task.park()
  client._pause = nil
end

--- Ends the wait for good, with the client.
function M.stop(client)
  if client._pause then client._pause:stop() end
  client._task:cancel()
end

--- Whether a client, whose handle of the moment may be nil, keeps the program running.
function M.set_referenced(client, handle, is_referenced)
  client._is_unref = not is_referenced
  local method = is_referenced and "ref" or "unref"
  if client._pause then client._pause[method](client._pause) end
  if handle then handle[method](handle) end
  return client
end

return M
