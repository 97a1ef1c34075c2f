--- hv.shutdown - the gentle end: servers accept no more, what was asked is answered, then tasks are
--- cancelled and the loop stops. Public as `hv.shutdown` and `hv.on_shutdown`.
local loop = require "_hv.loop"
local options = require "hv.options"
local raw_task = require "_hv.task"
local server = require "_hv.server"
local task = require "hv.task"

local misuse = loop.misuse

local M = {
  --- What the program's server options say; see bindings/server.c.
  facts = server.facts(),
}

--- Open servers and sockets; each has drain(grace) and count(), the work it still has.
local servers = setmetatable({}, { __mode = "k" })
local functions = {}

--- Until when the running shutdown waits, in ms of hv.now(); nil: there is none.
local deadline
local LOOK_MS = 10
local CLEAN_UP_MS = 1000

local has_listened = false

--- Notes what listen() has made, or why it has made nothing, and passes it on. The first listener
--- makes a worker ready: once the running task has had its turn. A master that stops refuses by
--- ECANCELED, which is nobody's mistake.
function M.register(made, message, code)
  local is_refused = not made and code ~= "ECANCELED"
  loop.refused(is_refused and ("%s (%s)"):format(message, code) or nil)
  if made then
    servers[made] = true
    if not has_listened then
      has_listened = true
      if M.facts.is_worker then raw_task.next(server.ready) end
    end
    if deadline then made:drain(0) end
  end
  return made, message, code
end

--- What is listening, or has connections: a set, { [server] = true }. Not to be changed.
function M.servers() return servers end

--- Has drain(grace) of something that is no listener called when a shutdown begins, and waits for
--- its count().
function M.attend(made)
  servers[made] = true
  if deadline then made:drain(0) end
  return made
end

--- Calls `fn` when a shutdown begins, as a task that is waited for: to say good-bye, to write down
--- what must not be lost.
---@param fn fun()
function M.on_shutdown(fn)
  if type(fn) ~= "function" then
    return misuse("hv.on_shutdown: function expected, got " .. type(fn))
  end
  functions[#functions + 1] = fn
end

--- Waits until is_over() or the time.
local function wait_until(is_over, time)
  while not is_over() do
    local left = time() - loop.now()
    if left <= 0 then return end
    task.sleep(math.min(LOOK_MS, left))
  end
end

local function work_left()
  local count = 0
  for open in pairs(servers) do count = count + open:count() end
  return count
end

local function begin(grace)
  local tasks = {}
  for open in pairs(servers) do open:drain(grace) end
  for i, fn in ipairs(functions) do tasks[i] = task.go(fn) end
  return tasks
end

local function is_ended(tasks)
  for _, running in ipairs(tasks) do
    local status = running:status()
    if status == "running" or status == "waiting" or status == "ready" then return false end
  end
  return true
end

local function finish(grace, status)
  local tasks = begin(grace)
  task.sleep(0) -- who waits to be accepted is taken in now
  wait_until(function() return work_left() == 0 and is_ended(tasks) end, function()
    return deadline
  end)
  raw_task.others(true)
  local last = loop.now() + CLEAN_UP_MS
  wait_until(function() return raw_task.others() == 0 end, function() return last end)
  loop.stop(status)
end

local read = options.reader("hv.shutdown", {
  grace = { "ms", M.facts.grace }, status = { "integer" },
})

--- Ends the program gently. Returns at once; the rest happens beside what still runs: listeners
--- close, requests in flight are answered with `Connection: close`, handlers of connections and
--- hv.on_shutdown's functions may finish; after `grace`, or as soon as all that is done, every task
--- is cancelled and the loop stops. Called again it can only shorten the grace.
---@param opts? { grace?: integer, status?: integer } milliseconds, 10000; the exit status, 0
function M.shutdown(opts)
  local t = read(opts or {})
  local is_first = not deadline
  local until_ms = loop.now() + t.grace
  if is_first or until_ms < deadline then deadline = until_ms end
  if is_first then task.go(finish, t.grace, t.status) end
end

--- Whether it has begun.
function M.has_begun() return deadline ~= nil end

return M
