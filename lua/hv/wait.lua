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

--- In a stock luajit the main script is no task, and nobody runs the loop for it: then a function
--- that waits runs as a task, and the loop until that has ended. In hvlua this is `fn` itself.
---
--- Nothing is in the way of it: no task runs, so no coroutine of ours is on the stack below.
function M.at_top(fn)
  if not task.is_guest then return fn end
  local is_idle, drive = task.is_idle, task.drive
  local function give_back(has_ended, ok, ...)
    if not has_ended then
      raise("nothing is left that could end this wait, or hv.stop was called")
    end
    if not ok then
      local problem = ...
      local has_place = type(problem) ~= "string" or problem:find("^[^\n]-:%d+: ")
      if has_place then error(problem, 0) end
      return raise(problem) -- of a function that has looked for the caller in vain
    end
    return ...
  end
  return function(...)
    if is_idle() then return give_back(drive(pcall, fn, ...)) end
    return fn(...)
  end
end

local function has_function(...)
  local count = select("#", ...)
  return count > 0 and type((select(count, ...))) == "function"
end

--- `fn`, which waits, and with a trailing function does not.
local function at_top_unless_dual(fn)
  if not task.is_guest then return fn end
  local waiting = M.at_top(fn)
  return function(...)
    if has_function(...) then return fn(...) end
    return waiting(...)
  end
end

--- The public form of a C function that waits. Its callback form is C's own affair: hvl_dual.
function M.waits(op)
  return at_top_unless_dual(function(...) return finish(op(...)) end)
end

--- The public form of a Lua function that waits: with a trailing function it runs as a task of its
--- own, whose results that function gets.
function M.both_forms(op)
  return at_top_unless_dual(function(...)
    local count = select("#", ...)
    if count > 0 and type((select(count, ...))) == "function" then
      return finish(dual(op, ...))
    end
    return op(...)
  end)
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
