-- hv_tasks.lua - GETs of 100 tasks that share a connection, each waiting for its own reply. PORT N
local hv = require "hv"

local TASKS, KEYS = 100, 100
local each = math.floor(tonumber(arg[2]) / TASKS)
local r = assert(hv.redis.connect { port = tonumber(arg[1]) })
local keys = {}
for i = 0, KEYS - 1 do
  keys[i] = "bench:" .. i
  assert(r:set(keys[i], "value-of-16-byte"))
end

local wall, cpu = hv.hrtime(), os.clock()
hv.scope(function(s)
  for t = 0, TASKS - 1 do
    s:go(function()
      for i = 1, each do assert(#r:get(keys[(t + i) % KEYS]) == 16) end
    end)
  end
end)
local n = each * TASKS
print(("hv, %d tasks %.0f op/s, %.0f ns CPU"):format(TASKS,
  n / (tonumber(hv.hrtime() - wall) / 1e9), (os.clock() - cpu) / n * 1e9))
r:close()
