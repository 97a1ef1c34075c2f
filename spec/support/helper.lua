--- helper.lua - what several specs need: child processes of hvlua, and functions that must be
--- called an exact number of times.
local M = {}

local function quote(text) return "'" .. text:gsub("'", "'\\''") .. "'" end

--- Runs hvlua with the given arguments; `stdin` is its input, `environment` one variable ("A=b").
--- It does not warn of slow callbacks: on a loaded machine any may be one. Returns what it wrote to
--- stdout and stderr together, and its exit status.
function M.hvlua(arguments, stdin, environment)
  local words = { quote(os.getenv("HVLUA") or "hvlua"), "--slow=0" }
  for _, argument in ipairs(arguments) do words[#words + 1] = quote(argument) end
  local input = os.tmpname()
  local file = assert(io.open(input, "w"))
  file:write(stdin or "")
  file:close()
  if environment then table.insert(words, 1, "env " .. quote(environment)) end
  local pipe = io.popen(table.concat(words, " ") .. " <" .. quote(input) ..
    " 2>&1; echo \"=$?\"")
  local output = pipe:read("*a")
  pipe:close()
  os.remove(input)
  local text, status = output:match("^(.*)=(%d+)\n$")
  return text, tonumber(status)
end

--- Runs a statement in a child.
function M.run(code) return M.hvlua { "-e", code } end

--- A function that notes its calls: `calls[i]` holds the arguments of the i-th.
function M.recorder()
  local calls = {}
  return function(...) calls[#calls + 1] = { n = select("#", ...), ... } end, calls
end

local last_port

--- A port that nobody listens on, for a program that wants to be told its own, and for connections
--- that are to be refused. It lies below the ports that the kernel gives to connections and to
--- those who ask for any (ip_local_port_range), so that no other test gets it meanwhile; where to
--- begin is by chance, since several specs ask at the same time. `host` is 127.0.0.1 unless given.
function M.free_port(host)
  local hv = require "hv"
  local first, count = 20000, 12000
  if not last_port then
    local high, low = hv.crypto.random(2):byte(1, 2)
    last_port = first + (high * 256 + low) % count
  end
  for _ = 1, count do
    last_port = first + (last_port + 1 - first) % count
    local server = hv.tcp.listen({ host = host or "127.0.0.1", port = last_port }, function() end)
    if server then
      server:close()
      hv.sleep(1) -- what is closed is free after the next pass of the loop
      return last_port
    end
  end
  error("no port is free", 2)
end

--- Lets errors that nobody catches pass until the end of the test, which fails for them otherwise
--- (uncaught.lua). Returns the list of them: { message, traceback } each.
function M.expect_errors()
  local record, errors = M.recorder()
  require("hv").on_error(record)
  return errors
end

--- Waits in short steps until `is_so()` holds; throws after ten seconds, or as many as are given.
--- Returns what it gave.
function M.eventually(is_so, seconds)
  local hv = require "hv"
  for _ = 1, (seconds or 10) * 500 do
    local value = is_so()
    if value then return value end
    hv.sleep(2)
  end
  error(("it did not become so within %d seconds"):format(seconds or 10), 2)
end

--- Waits until every one of some tasks waits for something.
function M.until_waiting(...)
  for _, task in ipairs { ... } do
    M.eventually(function() return task:status() == "waiting" end)
  end
end

--- Waits until what `amount()` gives is above 0 and grows no more: a stream whose buffers are full.
--- Returns it.
function M.stands_still(amount)
  local hv = require "hv"
  local before, looks = amount(), 0
  repeat -- one look more might find a process that was not given its turn
    hv.sleep(30)
    local now = amount()
    looks = now > 0 and now == before and looks + 1 or 0
    before = now
  until looks == 5
  return before
end

--- Collects garbage until a weak table is empty; throws where something is kept.
function M.collected(weak)
  M.eventually(function()
    collectgarbage()
    return next(weak) == nil
  end)
end

--- Runs fn(i) for 1..n at once. Returns the list of { its results }.
function M.at_once(n, fn)
  local hv = require "hv"
  local tasks, results = {}, {}
  for i = 1, n do tasks[i] = hv.go(function() results[i] = { fn(i) } end) end
  for i = 1, n do tasks[i]:join() end
  return results
end

--- Two functions: keep(handle), which returns the handle, and one for after_each, which closes all
--- that was kept, the last first and at once.
function M.keeper()
  local open = {}
  local function keep(handle)
    open[#open + 1] = handle
    return handle
  end
  local function close_kept()
    for i = #open, 1, -1 do
      open[i]:close(0)
      open[i] = nil
    end
  end
  return keep, close_kept
end

--- Waits until no more handles keep the loop running than `before` did (a result of M.active), and
--- throws where some never go: a spec closes what it opens.
function M.nothing_left(before)
  local hv = require "hv"
  M.eventually(function()
    hv.sleep(0) -- leave the callback of eventually's own timer, which counts until it returns
    return M.active() <= before
  end)
end

--- The number of handles that keep the loop running.
function M.active()
  return (require("_hv.loop").counts())
end

return M
