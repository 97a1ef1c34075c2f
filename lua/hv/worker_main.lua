--- hv.worker_main - the main task of a worker's state: runs what was spawned and sends the outcome
--- back. Private to lua/hv.
local raw = require "_hv.worker"
local wire = require "hv.wire"

require "hv.worker"

local CANCELED = "task canceled"

local function find_main(kind, text)
  if kind == "function" then return assert(loadstring(text)) end
  local main = require(text)
  if type(main) == "function" then return main end
  error(("hv.worker.spawn: module '%s' must return a function, got %s"):format(text, type(main)), 0)
end

local function describe(problem)
  if problem == CANCELED then return problem end
  local message = require("hv.show").error_text(problem)
  return message .. "\0" .. debug.traceback(message, 2)
end

local function send_results(ok, ...)
  if ok then
    local is_sendable, bytes = pcall(wire.pack, "hv.worker", "result %d", ...)
    if is_sendable then return raw.finish("r", bytes) end
    return raw.finish("e", bytes)
  end
  local problem = ...
  if problem == CANCELED then return raw.finish("c", "") end
  return raw.finish("e", problem)
end

local function run(spec)
  local kind, text, path, cpath, arguments = wire.unpack(spec)
  package.path, package.cpath = path, cpath
  local ch = assert(raw.channel())
  return find_main(kind, text)(ch, wire.unpack(arguments))
end

return function(spec)
  require("hv.start")()
  return send_results(xpcall(function() return run(spec) end, describe))
end
