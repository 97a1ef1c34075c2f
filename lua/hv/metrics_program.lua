--- hv.metrics_program - the numbers that every program has (loop lag, memory, connections, files),
--- and the sum over the workers of a master. Private to hv.metrics.
local loop = require "_hv.loop"
local raw_task = require "_hv.task"
local shutdown = require "hv.shutdown"
local timer = require "hv.timer"

local M = {}

local LAG_MS = 250 -- how often the lag is looked at

local function first_number(path, pattern)
  local file = io.open(path)
  if not file then return nil end
  local text = file:read("*a")
  file:close()
  return tonumber(text:match(pattern))
end

--- How late a timer fires is how long a new event would have waited.
local function watch_lag(metrics)
  local lag = metrics.histogram("hv_loop_lag_seconds", {
    help = "How late the loop is with what is due",
    buckets = { 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5 },
  })
  local last = metrics.gauge("hv_loop_lag_last_seconds", { help = "The lag seen last" })
  local due = loop.hrtime() + LAG_MS * 1e6
  timer.every(LAG_MS, function()
    local late = math.max(0, loop.hrtime() - due) / 1e9
    due = loop.hrtime() + LAG_MS * 1e6
    lag:observe(late)
    last:set(late)
  end):unref()
end

--- Sets what a function returns, or nothing where it returns nil.
local function computed(metrics, name, help, fn)
  local gauge = metrics.gauge(name, { help = help })
  return function()
    local value = fn()
    if value then gauge:set(value) end
  end
end

local function resident_bytes()
  local pages = first_number("/proc/self/statm", "^%d+ (%d+)")
  return pages and pages * 4096
end

--- Requests that servers have answered; one that was closed stays counted.
local function requests_counter(metrics)
  local counter = metrics.counter("hv_http_requests_total", { help = "HTTP requests answered" })
  local seen = setmetatable({}, { __mode = "k" })
  return function()
    for server in pairs(shutdown.servers()) do
      local count = server.requests and server:requests() or 0
      if count > (seen[server] or 0) then
        counter:inc(count - (seen[server] or 0))
        seen[server] = count
      end
    end
  end
end

local function count_connections()
  local count = 0
  for server in pairs(shutdown.servers()) do count = count + server:count() end
  return count
end

local has_started = false

--- Registers the numbers, once.
function M.start()
  if has_started then return end
  has_started = true
  local metrics = require "hv.metrics"
  watch_lag(metrics)
  local cpu = metrics.counter("process_cpu_seconds_total", { help = "CPU time used" })
  local all = {
    function() cpu.value = os.clock() end,
    requests_counter(metrics),
    computed(metrics, "hv_connections", "Connections that servers have open", count_connections),
    computed(metrics, "hv_tasks", "Tasks that run or wait", raw_task.others),
    computed(metrics, "hv_handles", "Handles that keep the loop running", loop.counts),
    computed(metrics, "hv_lua_memory_bytes", "Memory that Lua's collector manages", function()
      return collectgarbage("count") * 1024
    end),
    computed(metrics, "process_resident_memory_bytes", "Resident memory", resident_bytes),
    computed(metrics, "process_open_fds", "Open file descriptors", function()
      return select(2, loop.counts())
    end),
    computed(metrics, "process_max_fds", "Limit of open files", function()
      return first_number("/proc/self/limits", "Max open files%s+(%d+)")
    end),
  }
  metrics.gauge("process_start_time_seconds", { help = "Start time since the epoch" })
    :set(os.time() - os.clock())
  for _, fn in ipairs(all) do metrics.collect(fn) end
end

-- ---- Workers of a master ----

local PUBLISH_MS = 1000
local board, publisher
local has_warned = false

--- What is missing in the sum is said once: the others' numbers go on.
local function warn(message)
  if has_warned then return end
  has_warned = true
  require("hv.log").warn("hv.metrics: the numbers of this worker are not in the sum: %s", message)
end

--- Lets the other workers know this one's numbers, now and every second.
local function publish(snapshot)
  if not publisher then
    local message
    board, message = require("hv.shared").dict("hv.metrics", "4M")
    if not board then warn(message) end
    publisher = timer.every(PUBLISH_MS, function()
      if not board then return end
      local ok, why = board:set("w" .. shutdown.facts.worker_id, snapshot(), 5 * PUBLISH_MS)
      if not ok then warn(why) end
    end):unref() or true
  end
  return board
end

local function add_worker_label(labels, id)
  local own = ('worker="%s"'):format(id)
  return labels == "" and own or labels .. "," .. own
end

--- Adds one worker's families to the sum.
local function add(sum, index, families, id)
  for _, family in ipairs(families) do
    local target = index[family.name]
    if not target then
      target = { name = family.name, kind = family.kind, help = family.help, samples = {}, at = {} }
      index[family.name] = target
      sum[#sum + 1] = target
    end
    for _, sample in ipairs(family.samples) do
      local labels = sample[2]
      if family.kind == "gauge" then labels = add_worker_label(labels, id) end
      local key = sample[1] .. "\0" .. labels
      local known = target.at[key]
      if known then
        known[3] = known[3] + sample[3]
      else
        known = { sample[1], labels, sample[3] }
        target.at[key] = known
        target.samples[#target.samples + 1] = known
      end
    end
  end
end

--- The snapshot of this process, or the sum over all workers where it is one of several.
function M.of_all_workers(snapshot)
  local facts = shutdown.facts
  local own = snapshot()
  if not facts.is_worker or facts.worker_count < 2 then return own end
  local shared = publish(snapshot)
  if not shared then return own end
  local sum, index = {}, {}
  for id = 0, facts.worker_count - 1 do
    local families = id == facts.worker_id and own or shared:get("w" .. id)
    if families then add(sum, index, families, id) end
  end
  table.sort(sum, function(a, b) return a.name < b.name end)
  return sum
end

--- In a worker: begins to publish, so that whoever is asked knows all.
function M.share(snapshot)
  if shutdown.facts.is_worker and shutdown.facts.worker_count > 1 then publish(snapshot) end
end

return M
