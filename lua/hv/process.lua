--- hv.process - other programs: started, fed, read and waited for without blocking the loop.
---
---   local p = assert(hv.process.spawn { "sort", "-n", stdin = "pipe", stdout = "pipe" })
---   p.stdin:write("3\n1\n2\n")
---   p.stdin:close()
---   for line in p.stdout:lines() do print(line) end
---   print(p:wait())
---
--- No shell stands between: arguments are passed on as they are. A program that ends while nobody
--- waits leaves no zombie.
local limits = require "hv.limits"
local misuse = require("_hv.loop").misuse
local options = require "hv.options"
local raw = require "_hv.process"
local task = require "hv.task"
local wait = require "hv.wait"

require "hv.tcp" -- whose connections the ends of pipes are

---@class hv.process
local M = {}

-- ---- Processes ----

local Process = raw.methods
local field = raw.field

--- `p.pid`, `p.stdin`, `p.stdout`, `p.stderr`, and after the end `p.status` or `p.signal`.
raw.meta.__index = function(self, key)
  local method = Process[key]
  if method ~= nil then return method end
  return field(self, key)
end

--- wait([timeout]): the exit status, also long after the end and for several tasks; where a signal
--- ended it nil, message, "ESIGNAL", with the signal's name in p.signal. Without a timeout it waits
--- as long as the program runs.
Process.wait = wait.waits(Process.wait)

-- ---- Starting ----

local function stream(name, more)
  local words = { inherit = raw.INHERIT, pipe = raw.PIPE, null = raw.NULL, stdout = more }
  return function(value, where)
    local number = type(value) == "string" and words[value]
    if number then return number end
    return misuse(("%s: %s must be \"inherit\", \"pipe\" or \"null\"%s, got %s"):format(where, name,
      more and " or \"stdout\"" or "", tostring(value)))
  end
end

local named = {
  stdin = { stream("stdin"), raw.INHERIT },
  stdout = { stream("stdout"), raw.INHERIT },
  stderr = { stream("stderr", raw.TO_STDOUT), raw.INHERIT },
  env = { "table" }, cwd = { "string" },
  group = { "boolean", false }, session = { "boolean", false }, kill = { "boolean", false },
}

--- Parts the list of words from the named options.
local function split(where, given)
  if type(given) ~= "table" then
    local got = type(given) == "string" and ("%q"):format(given) or type(given)
    return misuse(('%s: { "program", "argument" ... } expected, got %s'):format(where, got))
  end
  local argv, rest = {}, {}
  for i, word in ipairs(given) do
    if type(word) == "number" then word = tostring(word) end
    if type(word) ~= "string" then
      return misuse(("%s: arguments must be strings, got %s"):format(where, type(word)))
    end
    argv[i] = word
  end
  if #argv == 0 then return misuse(where .. ": the program is missing") end
  for key, value in pairs(given) do
    if type(key) ~= "number" or argv[key] == nil then rest[key] = value end
  end
  return argv, rest
end

--- { NAME = "value" } as a list of "NAME=value".
local function env_list(where, env)
  if not env then return nil end
  local list = {}
  for name, value in pairs(env) do
    local kind = type(value)
    if type(name) ~= "string" or name == "" or name:find("=", 1, true)
      or kind ~= "string" and kind ~= "number" then
      return misuse(where .. ": env must map names to strings")
    end
    list[#list + 1] = name .. "=" .. value
  end
  table.sort(list)
  return list
end

local function start(where, argv, t)
  local flags = (t.group and raw.NEW_GROUP or 0) + (t.session and raw.NEW_SESSION or 0) +
    (t.kill and raw.KILL or 0)
  return raw.spawn(argv, env_list(where, t.env), t.cwd, t.stdin, t.stdout, t.stderr, flags)
end

local read_spawn = options.reader("hv.process.spawn", named)

--- Starts a program. It runs when this returns.
---   stdin, stdout, stderr  "inherit" (default), "pipe" or "null"; stderr also "stdout"
---   env      the whole environment as { NAME = "value" }; without it ours (see hv.process.env)
---   cwd      where it runs
---   group    in a process group of its own, which kill() then kills as a whole
---   session  in a session of its own, without a terminal
---   kill     it is killed where it still runs when this program ends
--- Pipes are connections that go one way. They close by themselves at their end, and once the
--- program has ended they keep the loop running only while somebody reads them.
---@param opts hv.SpawnOptions { "program", "argument", ..., stdin = ... }
---@return hv.Process? process
---@return string? message
---@return hv.ErrCode? code ENOENT (program or cwd), EACCES, E2BIG, EMFILE ...
function M.spawn(opts)
  local argv, rest = split("hv.process.spawn", opts)
  return start("hv.process.spawn", argv, read_spawn(rest))
end

-- ---- Running to the end ----

local run_options = {
  input = { "string" }, timeout = { "ms", 0 }, max_output = { "size", limits.process_output },
  stdout = { named.stdout[1], raw.PIPE }, stderr = { named.stderr[1], raw.PIPE },
  env = named.env, cwd = named.cwd,
}
local read_run = options.reader("hv.process.run", run_options)

--- Reads a pipe to its end. Returns the bytes and whether there were more than the limit.
local function read_all(conn, max)
  local pieces, bytes = {}, 0
  for chunk in conn:chunks() do
    bytes = bytes + #chunk
    if bytes > max then
      conn:close()
      return table.concat(pieces), true
    end
    pieces[#pieces + 1] = chunk
  end
  return table.concat(pieces), false
end

local function feed(conn, input)
  conn:write(input)
  conn:close()
end

--- Reads both outputs and waits for the end. Returns the result, or nil and why there is none.
local function collect(p, t)
  local readers = {}
  if t.input then task.go(feed, p.stdin, t.input) end
  for _, name in ipairs { "stdout", "stderr" } do
    if p[name] then readers[name] = task.go(read_all, p[name], t.max_output) end
  end
  local result = {}
  for name, reader in pairs(readers) do
    local is_over
    result[name], is_over = reader:join()
    if is_over then return nil, "run: limit exceeded", "ELIMIT" end
  end
  result.status = p:wait()
  result.signal = p.signal
  return result
end

local function close_all(p)
  for _, name in ipairs { "stdin", "stdout", "stderr" } do
    if p[name] then p[name]:close() end
  end
end

--- Runs a program to its end and collects what it writes.
---   input       is what it reads; without it nothing
---   timeout     milliseconds; 0 (default): as long as it takes. Beyond it the program and what it
---               has started are killed, as beyond the limit
---   max_output  of stdout and of stderr, 16 MiB
---   stdout, stderr  "pipe" (default: into the result), "inherit", "null", stderr also "stdout"
---@async
---@param opts hv.RunOptions { "program", "argument", ... }
---@return hv.RunResult? result { status=, signal=, stdout=, stderr= }: a status other than 0 is
---                             no error; status is nil where a signal ended the program
---@return string? message
---@return hv.ErrCode? code ENOENT, ETIMEDOUT, ELIMIT ...
M.run = wait.both_forms(function(opts)
  local argv, rest = split("hv.process.run", opts)
  local t = read_run(rest)
  t.stdin = t.input and raw.PIPE or raw.NULL
  t.group, t.kill = true, true
  local p, message, code = start("hv.process.run", argv, t)
  if not p then return nil, message, code end
  local ok, result
  if t.timeout > 0 then
    ok, result, message, code = pcall(task.timeout, t.timeout, collect, p, t)
  else
    ok, result, message, code = pcall(collect, p, t)
  end
  if not ok then -- the task was cancelled
    p:kill("kill")
    close_all(p)
    return error(result, 0)
  end
  if not result then
    p:kill("kill")
    close_all(p)
    return nil, ("run %s: %s"):format(argv[1], (message:gsub("^%S+: ", ""))), code
  end
  return result
end)

-- ---- Ours ----

--- Our own environment as a table of its own, to be changed and handed to spawn.
---@return table<string, string>
function M.env()
  local env = {}
  for _, entry in ipairs(raw.environ()) do
    local name, value = entry:match("^([^=]+)=(.*)$")
    if name then env[name] = value end
  end
  return env
end

return M
