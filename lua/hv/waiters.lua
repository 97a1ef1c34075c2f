--- hv.waiters - tasks in a queue, the first come the first served. Private to lua/hv.
---
--- An entry leaves its queue in one of two ways: served, by `serve`, which hands it values and
--- wakes its task; or given up, when its time has passed or its task was cancelled.
local task = require "hv.task"
local wait = require "hv.wait"

local park, unpark, current = task.park, task.unpark, task.current

local M = {}

function M.new()
  return { count = 0 }
end

local function remove(queue, entry)
  if entry.before then entry.before.after = entry.after else queue.first = entry.after end
  if entry.after then entry.after.before = entry.before else queue.last = entry.before end
  queue.count = queue.count - 1
end

local function give_back(queue, entry, ok, first, ...)
  if not entry.is_served then remove(queue, entry) end
  if not ok then return error(first, 0) end -- the task was cancelled, or cannot wait here
  return first, ...
end

--- Waits at the end of the queue. Returns what `serve` hands over; nil, message, code where the
--- time has passed.
M.wait = wait.at_top(function(queue, value, timeout)
  local entry = { task = current(), value = value, before = queue.last }
  if queue.last then queue.last.after = entry else queue.first = entry end
  queue.last = entry
  queue.count = queue.count + 1
  return give_back(queue, entry, pcall(park, timeout))
end)

--- Wakes the first and hands it values. Returns whether there was one, and its value. A task that
--- was cancelled a moment ago, and has not run since, is passed over: nothing handed to it would
--- arrive.
function M.serve(queue, ...)
  local entry = queue.first
  while entry do
    entry.is_served = true
    remove(queue, entry)
    if unpark(entry.task, ...) then return true, entry.value end
    entry = queue.first
  end
  return false
end

return M
