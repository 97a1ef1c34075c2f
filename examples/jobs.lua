-- jobs.lua - runs programs for others: a job comes by HTTP and waits for its turn, WebSockets
-- follow what it prints, a page shows the numbers, and Ctrl-C ends everything in order.
--
--     hvlua jobs.lua [port]
--     curl http://127.0.0.1:8080/jobs --json '{"job":"count"}'
--     hvlua ws_client.lua ws://127.0.0.1:8080/jobs/1/log
--     curl http://127.0.0.1:8080/jobs/1 -X DELETE
local hv = require "hv"

local port = tonumber(arg[1] or 8080)
if not port or #arg > 1 then
  io.stderr:write("Usage: jobs.lua [port]\n")
  os.exit(2)
end

-- What may be run: nobody's words reach a shell.
local programs = {
  count = { "sh", "-c", "for i in 1 2 3 4 5; do echo step $i of 5; sleep 0.2; done" },
  disk = { "df", "-h" },
  fail = { "sh", "-c", "echo trying; echo no luck >&2; exit 3" },
  hang = { "sleep", "1000" },
}
local AT_ONCE, LINES_KEPT, TIMEOUT = 2, 1000, 60000

local jobs = {}
local slots = hv.semaphore(AT_ONCE)
local app = hv.http.app { max_body = "64K" }
local ended = hv.metrics.counter("jobs_total", { help = "Ended jobs", labels = { "state" } })

-- ---- Jobs ----

local function facts(job)
  return { id = job.id, job = job.name, state = job.state, status = job.status, lines = #job.lines }
end

--- Says something to everybody who follows the job.
local function tell(job, event)
  app:publish("job " .. job.id, hv.json.encode(event))
end

local function set_state(job, state, status)
  job.state, job.status = state, status
  if state ~= "running" then ended:with(state):inc() end
  tell(job, { state = state, status = status })
end

--- The life of a job, as a task: it waits for a slot, and gives it back however it ends.
local function run(job)
  slots:acquire()
  hv.defer(function() slots:release() end)
  if job.is_cancelled then return set_state(job, "cancelled") end
  local words = { unpack(programs[job.name]) }
  words.stdin, words.stdout, words.stderr = "null", "pipe", "stdout"
  words.group, words.kill = true, true -- what it starts ends with it, and it ends with us
  local process, message = hv.process.spawn(words)
  if not process then return set_state(job, "failed", message) end
  job.process = process
  set_state(job, "running")
  local timer = hv.after(TIMEOUT, function() process:kill() end)
  for line in process.stdout:lines() do
    if #job.lines < LINES_KEPT then table.insert(job.lines, line) end
    tell(job, { line = line })
  end
  local status, why = process:wait()
  timer:stop()
  job.process = nil
  set_state(job, job.is_cancelled and "cancelled" or status == 0 and "done" or "failed",
    status or why)
end

local function cancel(job)
  job.is_cancelled = true
  if job.process then job.process:kill() end
end

-- ---- What is asked of it ----

app:post("/jobs", hv.http.middleware.rate_limit { rate = 10, burst = 10 }, function(req)
  local wanted, message = req:json()
  local name = type(wanted) == "table" and wanted.job
  if not programs[name] then
    return { status = 400, json = { error = message or "there is no such job" } }
  end
  local job = { id = #jobs + 1, name = name, state = "queued", lines = {} }
  jobs[job.id] = job
  hv.go(run, job)
  return { status = 201, headers = { Location = "/jobs/" .. job.id }, json = facts(job) }
end)

app:get("/jobs", function()
  local list = {}
  for i, job in ipairs(jobs) do list[i] = facts(job) end
  return { json = { jobs = list, free = slots:count() } }
end)

app:get("/jobs/:id", function(req)
  local job = jobs[tonumber(req.params.id)]
  return job and { json = facts(job) } or 404
end)

app:delete("/jobs/:id", function(req)
  local job = jobs[tonumber(req.params.id)]
  if not job then return 404 end
  cancel(job)
  return 202
end)

-- Who comes late gets what was kept first. Nothing waits between the end of that and the
-- subscription, so no line is lost, and none comes twice.
app:ws("/jobs/:id/log", function(ws, req)
  local job = jobs[tonumber(req.params.id)]
  if not job then return ws:close(4404, "no such job") end
  for _, line in ipairs(job.lines) do ws:send(hv.json.encode { line = line }) end
  ws:subscribe("job " .. job.id)
  ws:send(hv.json.encode { state = job.state, status = job.status })
  for _ in ws:messages() do end -- luacheck: ignore 542
end)

hv.metrics.dashboard(app, "/", { title = "jobs" })
app:get("/metrics", hv.metrics.handler)

-- ---- Beginning and end ----

local server = assert(app:listen { host = "127.0.0.1", port = port })
print("listening on " .. server:port())

for _, name in ipairs { "int", "term" } do
  hv.on_signal(name, function() hv.shutdown { grace = 5000 } end)
end
hv.on_shutdown(function()
  for _, job in ipairs(jobs) do cancel(job) end
end)
