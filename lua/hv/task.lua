--- hv.task - tasks: `hv.go`, `hv.sleep`, and what runs several at once. The public names stand in
--- `hv` itself.
local raw = require "_hv.task"
local loop = require "_hv.loop"
local wait = require "hv.wait"

local waits, misuse = wait.waits, loop.misuse

local M = {
  go = raw.go,
  next = raw.next,
  defer = raw.defer,
  current = raw.current,
  slow_callback = raw.slow_callback,
}

--- Waits; other tasks run meanwhile. Never less than `ms`; parts of a millisecond count as one.
M.sleep = waits(raw.sleep)

--- Waits for the end of a task and returns what its function has returned.
raw.methods.join = waits(raw.methods.join)
local join = raw.methods.join

--- Splits an optional table of options off the front of a list of functions.
local function split_options(where, first, ...)
  local functions, timeout
  if type(first) == "table" then
    timeout = first.timeout
    for key in pairs(first) do
      if key ~= "timeout" then
        misuse(("%s: unknown option %q, did you mean \"timeout\"?"):format(where, tostring(key)))
      end
    end
    functions = { ... }
  else
    functions = { first, ... }
  end
  for i = 1, #functions do
    if type(functions[i]) ~= "function" then
      misuse(("%s: function expected, got %s"):format(where, type(functions[i])))
    end
  end
  return functions, timeout
end

M.park = waits(raw.park)
M.unpark = raw.unpark

--- Runs functions as tasks until on_end(i, ok, ...) has returned something, or all have ended. The
--- calling task is parked meanwhile. Then whatever still runs is cancelled.
local run_together = wait.at_top(function(functions, timeout, on_end)
  local me, tasks, left, outcome = raw.current(), {}, #functions, nil
  local function report(i, ...)
    if not me then return end
    left = left - 1
    if not outcome then outcome = on_end(i, ...) end
    if outcome or left == 0 then raw.unpark(me) end
  end
  local function body(i, fn) report(i, pcall(fn)) end
  for i = 1, #functions do tasks[i] = raw.go(body, i, functions[i]) end
  local ok, _, message, code = pcall(M.park, timeout)
  me = nil
  for i = 1, #tasks do tasks[i]:cancel() end
  if not ok then error(_, 0) end
  return outcome, message and code == "ETIMEDOUT"
end)

--- Runs all functions at once and waits for all of them.
--- Returns the first result of each, or `nil, message, code` of the first that failed (threw, or
--- returned nil and a message); the others are then cancelled.
function M.all(...)
  local functions, timeout = split_options("hv.all", ...)
  local count = #functions
  if count == 0 then return end
  local results = {}
  local failure, timed_out = run_together(functions, timeout, function(i, ok, first, message, code)
    if not ok then return { require("hv.show").error_text(first), "EFAILED" } end
    if first == nil and type(message) == "string" then return { message, code } end
    results[i] = first
  end)
  if failure then return nil, failure[1], failure[2] end
  if timed_out then return nil, "hv.all: timed out", "ETIMEDOUT" end
  return unpack(results, 1, count)
end

--- Runs all functions at once and returns what the first to end has returned; the others are
--- cancelled.
function M.race(...)
  local functions, timeout = split_options("hv.race", ...)
  if #functions == 0 then return misuse("hv.race: at least one function expected") end
  local winner, timed_out = run_together(functions, timeout, function(_, ok, ...)
    if not ok then return { n = 3, nil, require("hv.show").error_text((...)), "EFAILED" } end
    return { n = select("#", ...), ... }
  end)
  if timed_out then return nil, "hv.race: timed out", "ETIMEDOUT" end
  return unpack(winner, 1, winner.n)
end

--- Runs `fn(...)` as a task that is cancelled after `ms`; then `nil, "... timed out", "ETIMEDOUT"`.
function M.timeout(ms, fn, ...)
  if type(ms) ~= "number" or not (ms >= 0 and ms < 2 ^ 32 - 1) then
    return misuse("hv.timeout: ms must be 0..4294967294, got " .. tostring(ms))
  end
  if type(fn) ~= "function" then
    return misuse("hv.timeout: function expected, got " .. type(fn))
  end
  local child = raw.go(fn, ...)
  local function give_back(ok, ...)
    -- It runs on where the time has passed, or where we were cancelled ourselves.
    local was_running = child:cancel()
    if not ok then error((...), 0) end
    if was_running then return nil, "hv.timeout: timed out", "ETIMEDOUT" end
    return ...
  end
  return give_back(pcall(join, child, math.ceil(ms)))
end

return M
