-- workers.lua - computes on all processors: workers take numbers, count primes below them, and note
-- in shared memory what each has done.
--
--     hvlua workers.lua [WORKERS]
local hv = require "hv"

local worker_count = tonumber(arg[1] or 2)
if not worker_count or worker_count < 1 or worker_count > 64 then
  io.stderr:write("Usage: workers.lua [WORKERS]   (1..64)\n")
  os.exit(2)
end

local done = assert(hv.shared.dict("done", "64K"))

-- The function runs in a state of its own: it sees nothing from out here, so it requires what it
-- needs, and gets the rest as arguments.
local function count_primes(ch, id)
  local mine = require("hv").shared.dict("done")
  for limit in ch:iter() do
    local count = 0
    for n = 2, limit do
      local is_prime = true
      for d = 2, math.floor(math.sqrt(n)) do
        if n % d == 0 then
          is_prime = false
          break
        end
      end
      if is_prime then count = count + 1 end
    end
    mine:incr("jobs of all")
    ch:send { limit = limit, count = count, worker = id }
  end
  return "worker " .. id .. " has nothing left to do"
end

local limits = { 1000, 10000, 50000, 100000, 200000, 20, 300000, 30000 }
local next_job = 0

-- One task a worker: hands it a job, waits for the answer, until there are no more.
local function feed(id)
  local worker = assert(hv.worker.spawn(count_primes, id))
  while next_job < #limits do
    next_job = next_job + 1
    assert(worker:send(limits[next_job]))
    local answer = assert(worker:recv())
    print(("%d primes up to %d"):format(answer.count, answer.limit))
  end
  worker:close() -- its iterator ends
  print(worker:join())
end

local tasks = {}
for id = 1, worker_count do tasks[id] = hv.go(feed, id) end
for _, task in ipairs(tasks) do task:join() end
print(("%d jobs done"):format((done:get("jobs of all"))))
