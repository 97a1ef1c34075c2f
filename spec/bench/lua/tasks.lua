-- tasks.lua - what tasks cost: `hvlua spec/bench/lua/tasks.lua [ROUNDS]`
--
--   spawn   hv.go of a function that does not wait, until it has finished; the best of some rounds,
--           beside a call of the same function through pcall (interpreted and compiled)
--   sleep   100,000 tasks that sleep: bytes of each, by the process and by Lua
local hv = require "hv"

local ROUNDS = tonumber(arg and arg[1]) or 15
local COUNT, BATCH, SLEEPERS = 300000, 1000, 100000

local function best(fn)
  local least = math.huge
  for _ = 1, ROUNDS do
    local began = hv.hrtime()
    fn()
    least = math.min(least, (hv.hrtime() - began) / COUNT)
    collectgarbage()
  end
  return least
end

local function noop() end

local function spawn()
  local go = hv.go
  for _ = 1, COUNT / BATCH do
    for _ = 1, BATCH do go(noop) end
    hv.sleep(0)
  end
end

local function call()
  local pcall = pcall
  for _ = 1, COUNT do pcall(noop) end
end

local function interpreted_call()
  local pcall = pcall
  for _ = 1, COUNT do pcall(noop) end
end
jit.off(interpreted_call)

local function resident()
  local file = assert(io.open("/proc/self/statm"))
  local pages = tonumber(file:read("*l"):match("^%d+ (%d+)"))
  file:close()
  return pages * 4096
end

local function sleep()
  collectgarbage()
  collectgarbage()
  local before, lua_before = resident(), collectgarbage("count") * 1024
  for _ = 1, SLEEPERS do hv.go(hv.sleep, 100000) end
  hv.sleep(1)
  collectgarbage()
  return (resident() - before) / SLEEPERS, (collectgarbage("count") * 1024 - lua_before) / SLEEPERS
end

local spawn_ns, call_ns, interpreted_ns = best(spawn), best(call), best(interpreted_call)
print(("spawn and finish  %6.1f ns"):format(spawn_ns))
print(("call by pcall     %6.1f ns compiled, %.1f ns interpreted"):format(call_ns, interpreted_ns))
print(("aim               %6.1f ns (1.5 interpreted calls and 100 ns)"):format(
  interpreted_ns * 1.5 + 100))
local bytes, lua_bytes = sleep()
print(("asleep            %6.0f bytes of the process, %.0f of Lua"):format(bytes, lua_bytes))
hv.stop()
