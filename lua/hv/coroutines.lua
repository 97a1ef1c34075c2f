--- hv.coroutines - coroutines of the user's that tasks may wait in. Private to lua/hv.
---
--- A wait suspends the coroutine it happens in with a mark. A plain coroutine.resume would hand
--- that mark to the user; these hand it outward, to the loop, and the answer inward again. So a
--- user's coroutine inside a task may wait like the task itself.
local task = require "_hv.task"

local mark = task.wait_mark
local raw_resume, raw_yield, raw_status = coroutine.resume, coroutine.yield, coroutine.status
local create = coroutine.create

local M = {}

--- Coroutines that wait for the loop: nobody else may resume them.
local waiting = setmetatable({}, { __mode = "k" })

local pass

local function go_on(co, ...)
  waiting[co] = nil
  return pass(co, raw_resume(co, ...))
end

function pass(co, ...)
  local _, first = ...
  if first == mark then
    waiting[co] = true
    return go_on(co, raw_yield(mark))
  end
  return ...
end

function M.resume(co, ...)
  if waiting[co] then return false, "cannot resume waiting coroutine" end
  return pass(co, raw_resume(co, ...))
end

local function unwrap(ok, ...)
  if ok then return ... end
  error((...), 0)
end

function M.wrap(fn)
  local co = create(fn)
  return function(...) return unwrap(M.resume(co, ...)) end
end

function M.status(co)
  if waiting[co] then return "normal" end
  return raw_status(co)
end

function M.install()
  task.pass_waits()
  local library = getfenv(0).coroutine
  library.resume, library.wrap, library.status = M.resume, M.wrap, M.status
end

return M
