--- hv.worker - threads, each with a loop and a Lua state of its own, and messages to and from them.
---
---   local w = assert(hv.worker.spawn(function(ch, base)
---     for n in ch:iter() do ch:send(base ^ n) end
---   end, 2))
---   w:send(10)
---   print(w:recv())  --> 1024
---   w:close()
---   w:join()
---
--- Nothing is shared but messages, and what hv.shared holds. Nil, booleans, numbers, strings and
--- tables of them can be sent; they are copied. Signals are the main thread's affair.
local limits = require "hv.limits"
local misuse = require("_hv.loop").misuse
local raw = require "_hv.worker"
local task = require "hv.task"
local wait = require "hv.wait"
local wire = require "hv.wire"

local finish = wait.finish

---@class hv.worker
local M = {}

-- ---- Messages ----

--- After so many messages in a row that did not have to be waited for, other tasks get their turn.
local IN_A_ROW = 256
local in_a_row = 0

local function received(bytes, ...)
  if bytes == nil then return nil, ... end
  return wire.decode(bytes)
end

local function add_methods(methods)
  local raw_send, raw_recv = methods.send, methods.recv

  local function send(self, value, timeout)
    return finish(raw_send(self, wire.encode("worker:send", "value", value), timeout))
  end
  local send_in_both_forms = wait.both_forms(send)

  --- send(value[, timeout]): waits while hv.limits.worker_queue messages, or so many bytes, have
  --- not been taken. A single argument is the value, also where it is a function, and refused.
  function methods:send(...)
    if select("#", ...) < 2 then return send(self, ...) end
    return send_in_both_forms(self, ...)
  end

  --- recv([timeout]): ECLOSED where nothing more can come and all has been taken.
  methods.recv = wait.both_forms(function(self, timeout)
    in_a_row = in_a_row + 1
    if in_a_row >= IN_A_ROW then
      in_a_row = 0
      task.sleep(0)
    end
    return received(finish(raw_recv(self, timeout)))
  end)

  --- `for value in ch:iter()`: until nothing more can come; a nil is left out.
  function methods:iter()
    return function()
      while true do
        local value, _, code = self:recv()
        if value ~= nil or code then return value end
      end
    end
  end
end

add_methods(raw.worker_methods)
add_methods(raw.channel_methods)

-- ---- Workers ----

---@class hv.Worker
local Worker = raw.worker_methods
local raw_join = Worker.join

local function results(bytes, ...)
  if bytes == nil then return nil, ... end
  return wire.unpack(bytes)
end

--- join([timeout]): what the function has returned, once the worker has ended; also long after.
Worker.join = wait.both_forms(function(self, timeout)
  return results(finish(raw_join(self, timeout)))
end)

local function check_function(fn)
  local info = debug.getinfo(fn, "S")
  if info.what == "C" then
    return misuse("hv.worker.spawn: a function of C cannot be sent to a worker")
  end
  local name = debug.getupvalue(fn, 1)
  if name then
    return misuse(("hv.worker.spawn: the function must not use the upvalue '%s' of %s:%d; " ..
      "require what it needs inside, or pass values as arguments"):format(
        name == "" and "?" or name, info.short_src, info.linedefined))
  end
end

--- Starts a thread that calls main(ch, ...). It ends when that has returned and nothing is left
--- to wait for, as a program does; until then it keeps this one running (see unref).
---@param main string|fun(ch: hv.WorkerChannel, ...) a function without upvalues, or the name of
---                                                 a module that returns one
---@param ... any nil, booleans, numbers, strings and tables of them
---@return hv.Worker? worker
---@return string? message
---@return hv.ErrCode? code EAGAIN (threads), ENOMEM
function M.spawn(main, ...)
  local kind = type(main)
  if kind ~= "string" and kind ~= "function" then
    return misuse("hv.worker.spawn: module name or function expected, got " .. kind)
  end
  if kind == "function" then check_function(main) end
  local arguments = wire.pack("hv.worker.spawn", "argument %d", ...)
  local spec = wire.pack("hv.worker.spawn", "", kind, kind == "string" and main or
    string.dump(main), package.path, package.cpath, arguments)
  return raw.spawn(spec, limits.worker_queue, limits.worker_queue_bytes)
end

return M
