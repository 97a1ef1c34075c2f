-- process.lua - runs other programs: to the end, through pipes, and against the clock.
--
--     hvlua process.lua
local hv = require "hv"

-- To the end, with everything it writes.
local result = assert(hv.process.run { "sh", "-c", "echo hello from $WHO; exit 3",
                                       env = { WHO = "a child" } })
io.write(("status %d: %s"):format(result.status, result.stdout))

-- Through pipes: they are connections like any other.
local sort = assert(hv.process.spawn { "sort", "-n", stdin = "pipe", stdout = "pipe" })
for _, number in ipairs { 30, 4, 100 } do assert(sort.stdin:write(number .. "\n")) end
sort.stdin:close() -- the end of its input
for line in sort.stdout:lines() do print("sorted " .. line) end
print("sort ended with " .. sort:wait())

-- Against the clock: many at once, each with its own limit.
local slow, fast = hv.go(hv.process.run, { "sleep", "60", timeout = 50 }),
  hv.go(hv.process.run, { "true", timeout = 5000 })
print("fast: " .. assert(fast:join()).status)
local _, message, code = slow:join()
print("slow: " .. code .. " (" .. message .. ")")

-- A program that is not there is told at once.
print(select(3, hv.process.spawn { "no-such-program" }))
