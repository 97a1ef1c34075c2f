-- hv_get.lua - GETs in pipelines by hv.redis; see hiredis_get.c. PORT ROUNDS
local hv = require "hv"

local BATCH, KEYS = 10000, 100
local rounds = tonumber(arg[2])
local r = assert(hv.redis.connect { port = tonumber(arg[1]), timeout = 60000 })
local keys = {}
for i = 0, KEYS - 1 do
  keys[i] = "bench:" .. i
  assert(r:set(keys[i], "value-of-16-byte"))
end

local wall, cpu = hv.hrtime(), os.clock()
local bytes = 0
for _ = 1, rounds do
  local p = r:pipeline()
  for i = 0, BATCH - 1 do p:get(keys[i % KEYS]) end
  local replies = assert(p:exec())
  for i = 1, BATCH do bytes = bytes + #replies[i] end
end
local n = rounds * BATCH
assert(bytes == n * 16)
print(("hv %.0f op/s, %.0f ns CPU"):format(n / (tonumber(hv.hrtime() - wall) / 1e9),
  (os.clock() - cpu) / n * 1e9))
r:close()
