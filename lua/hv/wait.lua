--- hv.wait - how a function of C that waits becomes one of the public API. Private to lua/hv.
---
--- C never raises after it has resumed a task. Where a call must raise (the task was cancelled, or
--- there is nobody who could wait), it returns a mark and a message, and `finish` raises here.
local task = require "_hv.task"

local throw_mark, raise, settle, dual = task.throw_mark, task.raise, task.settle, task.dual
local select, type = select, type

local M = {}

local function finish(...)
  local first, message = ...
  if first == throw_mark then return raise(message) end
  return ...
end
M.finish = finish

--- The public form of a C function that waits. Its callback form is C's own affair: hvl_dual.
function M.waits(op)
  return function(...) return finish(op(...)) end
end

--- The public form of a Lua function that waits: with a trailing function it runs as a task of its
--- own, whose results that function gets.
function M.both_forms(op)
  return function(...)
    local count = select("#", ...)
    if count > 0 and type((select(count, ...))) == "function" then
      return finish(dual(op, ...))
    end
    return op(...)
  end
end

local function call(fn, ...)
  return fn(...)
end

--- The body of a task that carries a callback form out.
local function dual_body(op, fn, ...)
  return call(settle(fn, finish(op(...))))
end

task.set_dual_body(dual_body)

return M
