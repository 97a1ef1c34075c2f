--- hv.scope - tasks that do not outlive the block that has started them.
---
---   hv.scope(function(s)
---     s:go(fetch, "a")
---     s:go(fetch, "b")
---   end) -- here both have ended
---
--- The children are a ring of entries whose head is the scope's own, so that each leaves it without
--- a search. The block runs as a child like the others, so that the error of one can cancel it in
--- the middle of a wait. The caller joins one child after the other; it is the child that fails
--- which cancels the rest, at once. An error of a child is the scope's affair (raw.claim): it is
--- thrown where hv.scope was called, and not told to hv.on_error as well.
local misuse = require("_hv.loop").misuse
local raw = require "_hv.task"
local wait = require "hv.wait"

local join, cancel = raw.methods.join, raw.methods.cancel

local Scope = {}
local meta = { __index = Scope, __name = "hv.scope" }

local function append(ring, entry)
  local last = ring.prev
  entry.prev, entry.next = last, ring
  last.next, ring.prev = entry, entry
end

--- Takes an entry out; one that is out already is left alone.
local function remove(entry)
  local prev, next = entry.prev, entry.next
  if not next then return end
  prev.next, next.prev = next, prev
  entry.prev, entry.next = nil, nil
end

local function cancel_all(self)
  local entry = self._children.next
  while entry ~= self._children do
    cancel(entry.task)
    entry = entry.next
  end
end

local function end_child(self, entry, ok, ...)
  remove(entry)
  if ok then return ... end
  local was_canceled = raw.claim()
  if not was_canceled and not self._failure then
    self._failure = { (...) }
    cancel_all(self)
  end
  error((...), 0)
end

local function run_child(self, entry, fn, ...)
  return end_child(self, entry, pcall(fn, ...))
end

--- Starts fn(...) as a task of the scope.
---@param fn function
---@return hv.Task
function Scope:go(fn, ...)
  if getmetatable(self) ~= meta then misuse("scope:go: call it with ':'") end
  if type(fn) ~= "function" then
    misuse(("scope:go: function expected, got %s"):format(type(fn)))
  end
  if self._has_ended then misuse("scope:go: the scope has ended") end
  local entry = {}
  local child, message, code = raw.go(run_child, self, entry, fn, ...)
  if not child then return nil, message, code end
  entry.task = child
  append(self._children, entry)
  if self._failure then cancel(child) end
  return child
end

function meta:__tostring()
  return ("hv.scope{%s}"):format(self._has_ended and "ended" or "open")
end

--- Joins every child, those too that children start. Returns whether the caller has not been
--- cancelled meanwhile, or false and why.
local function join_all(self)
  local ring = self._children
  while ring.next ~= ring do
    local entry = ring.next
    local ok, message = pcall(join, entry.task)
    if not ok then return false, message end
    remove(entry) -- one that was cancelled before it ran is still there
  end
  return true
end

local M = { methods = Scope }

local function scope(fn)
  if type(fn) ~= "function" then
    misuse(("hv.scope: function expected, got %s"):format(type(fn)))
  end
  local ring = {}
  ring.next, ring.prev = ring, ring
  local self = setmetatable({ _children = ring }, meta)
  local block, why, code = self:go(fn, self)
  if not block then return nil, why, code end
  local ok, message = join_all(self)
  self._has_ended = true
  if not ok then
    cancel_all(self)
    error(message, 0)
  end
  if self._failure then error(self._failure[1], 0) end
  return join(block)
end

--- Calls fn(s) and returns its results once every task of s:go has ended as well. The first error
--- of any of them cancels the others and is thrown here when they have ended. If the caller is
--- cancelled, all of them are.
---@async
---@param fn fun(s: hv.Scope): any
---@return any ... results of fn
function M.scope(fn, on_end)
  if on_end == nil then return scope(fn) end
  if type(on_end) ~= "function" then
    misuse(("hv.scope: function expected, got %s"):format(type(on_end)))
  end
  return wait.finish(raw.dual(scope, fn, on_end))
end

return M
