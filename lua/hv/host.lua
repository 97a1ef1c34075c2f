--- hv.host - what the hvlua program does with its command line. Runs as the main task. Private.
local ending = require "hv.ending"
local loop = require "_hv.loop"
local raw_task = require "_hv.task"
local server = require "_hv.server"

local USAGE = [==[
usage: hvlua [options] [script [args]]
       hvlua --test [options of busted] [files]
       hvlua --attach SOCKET|PID

  -e stat   run the statement `stat`
  -l name   require the module `name`
  -i        enter interactive mode after running the script
  -v        show version
  -h        show this help
  --        stop handling options
  -         run stdin as a script and stop handling options

Without a script, hvlua is interactive on a terminal (.help tells more), and else runs stdin.

Looking inside:

  --admin[=SOCKET]     let --attach in, by a socket that only this user may open
  --attach SOCKET|PID  open a prompt in a program that runs with --admin
  --profile[=FILE][,MS]
                       at the end tell where the time went, with a sample each MS (10) of the
                       processor's time; into FILE, with stacks for flame graphs in FILE.folded
  --slow MS            warn of functions that hold the loop up for longer (200; 0: never)
  --test               run busted's specs, which may wait; what follows is for busted

Servers, of a master and workers that each run the script:

%s
Listeners belong to the master: a reload (-s reload, SIGUSR1, SIGHUP) loses no connection.

Environment: HVLUA_HISTORY is the file of what was typed ("": none), HVLUA_HISTORY_SIZE how many
lines it keeps (1000).
]==]

local function usage() return USAGE:format(server.usage()) end

local function version()
  return ("hvlua %s (%s, %s %s)"):format(loop.version, jit.version, jit.os, jit.arch)
end

--- Ends the program with a message, as for a mistake in the command line.
local function refuse(message, status)
  io.stdout:flush()
  server.complain(message)
  loop.stop(status or 1)
end

local long_options = {
  ["--admin"] = true, ["--attach"] = true, ["--confile"] = true, ["--daemon"] = true,
  ["--help"] = true, ["--log"] = true, ["--pidfile"] = true, ["--port"] = true,
  ["--profile"] = true, ["--signal"] = true, ["--slow"] = true, ["--test"] = true,
  ["--test-config"] = true, ["--version"] = true, ["--watch"] = true, ["--workers"] = true,
}

--- The message for an option that there is not, with the one that may have been meant.
local function unknown_option(option)
  local message = "unknown option " .. option
  if option:sub(1, 2) ~= "--" then return message end
  local nearest, difference = require("hv.options").nearest(option:match("^[^=]*"), long_options)
  if difference > 2 then return message end
  return ("%s, did you mean %s?"):format(message, nearest)
end

--- Splits the command line. Returns steps to take first ({ "-e"|"-l", text }), flags, and the index
--- of the script (nil: none), or nil and what is wrong.
local function parse(argv)
  local steps, flags, i = {}, {}, 1
  while argv[i] do
    local option = argv[i]
    local is_taken = server.is_taken(i)
    if not is_taken and (option:sub(1, 1) ~= "-" or option == "-") then return steps, flags, i end
    if option == "--" then return steps, flags, argv[i + 1] and i + 1 end
    local letter, rest = option:sub(1, 2), option:sub(3)
    if is_taken then
      flags.server = true -- or its value: dealt with before there was a Lua state
    elseif letter == "-e" or letter == "-l" then
      if rest == "" then
        i = i + 1
        rest = argv[i]
      end
      if not rest then return nil, ("option %s needs an argument"):format(letter) end
      steps[#steps + 1] = { letter, rest }
    elseif option == "-i" or option == "-v" or option == "-h" then
      flags[option:sub(2)] = true
    elseif option == "--slow" or option:find("^%-%-slow=") then
      local value = option:match("=(.*)")
      if not value then
        i = i + 1
        value = argv[i]
      end
      if not (value or ""):find("^%d+$") then return nil, "option --slow needs milliseconds" end
      flags.slow = tonumber(value)
    elseif option == "--test" then
      flags.test = { unpack(argv, i + 1) }
      return steps, flags
    elseif option:find("^%-%-profile%f[=,%z]") then
      flags.profile = option:sub(10)
    elseif option:find("^%-%-admin%f[=%z]") then
      flags.admin = option:sub(9)
    elseif option == "--attach" or option:find("^%-%-attach=") then
      flags.attach = option:match("=(.*)") or argv[i + 1]
      if not flags.attach then return nil, "option --attach needs a socket or a process" end
      return steps, flags
    elseif option == "--help" then
      flags.h = true
    elseif option == "--version" then
      flags.v = true
    else
      return nil, unknown_option(option)
    end
    i = i + 1
  end
  return steps, flags
end

--- The table `arg`: 0 is the script, positive its arguments, negative what stands before it.
local function shift_arguments(argv, script)
  local shifted = {}
  for i = 0, #argv do shifted[i - script] = argv[i] end
  return shifted
end

--- Does -e or -l; false where it cannot be compiled, which has been said.
local function take(step)
  if step[1] == "-l" then
    local globals = getfenv(0)
    globals[step[2]] = require(step[2])
    return true
  end
  local chunk, message = loadstring(step[2], "=(command line)")
  if not chunk then return refuse(message) end
  chunk()
  return true
end

local function load_script(name)
  if name == "-" then return loadfile() end
  return loadfile(name)
end

--- What `...` of a script may hold: LuaJIT lets C put 8000 values on a stack.
local ARGUMENTS_MAX = 7000

--- A worker that neither listens nor comes to its end counts as ready after this time.
local READY_MS = 3000

--- Signals in a process without a master: first gently, then at once.
local function watch_signals(shutdown)
  for _, name in ipairs { "term", "int" } do
    loop.on_signal(name, function()
      if shutdown.has_begun() then return loop.stop() end
      shutdown.shutdown()
    end)
  end
end

--- What the server options ask of the script's process.
local function begin_server(facts, script)
  local shutdown = require "hv.shutdown"
  server.on_drain(function() shutdown.shutdown() end)
  if not facts.is_worker then return watch_signals(shutdown) end
  require("hv.timer").after(READY_MS, server.ready):unref()
  if facts.is_watching and facts.worker_id == 0 then
    require("hv.reloader").start { script, facts.confile }
  end
end

--- `--profile`: from here to the end of the program.
local function begin_profile(text)
  local profiler = require "hv.profiler"
  local file, interval, message = profiler.parse(text)
  if message then return refuse(message) end
  assert(profiler.start(file, interval, server.facts().is_worker))
  ending.add(profiler.finish)
end

--- `--admin`: a socket for those who attach themselves.
local function begin_admin(path)
  local admin = require "hv.admin"
  local facts = server.facts()
  local opened, message = admin.open(path, facts.is_worker and facts.worker_id or nil)
  if not opened then return refuse("admin socket: " .. message) end
  ending.add(admin.close)
  require("hv.log").info("admin socket %s", opened)
end

--- os.exit must not close the state under the loop's feet: the process just ends.
local function replace_exit()
  local exit = os.exit
  os.exit = function(status) -- luacheck: ignore 122
    io.stdout:flush()
    ending.run()
    return exit(status)
  end
end

return function(argv)
  require("hv.start")()
  replace_exit()
  local steps, flags, script = parse(argv)
  local globals = getfenv(0)
  globals.arg = shift_arguments(argv, script or 0)
  if not steps then return refuse(flags .. " (hvlua -h tells which there are)", 1) end
  if flags.h then return io.write(usage()) end
  if flags.v then print(version()) end
  if flags.slow then raw_task.slow_callback(flags.slow) end
  if flags.profile then begin_profile(flags.profile) end
  if flags.admin then begin_admin(flags.admin) end
  for _, step in ipairs(steps) do
    if not take(step) then return end
  end
  if flags.attach then return require("hv.attach").run(flags.attach) end
  if flags.test then return require("hv.test_runner")(flags.test) end
  local is_terminal = require("_hv.loop").is_terminal(0)
  local has_work = script or #steps > 0 or flags.v
  if not has_work and not is_terminal and not flags.i then script = #argv + 1 end
  if script then
    local count = math.max(0, #argv - script)
    if count > ARGUMENTS_MAX then
      return refuse(("too many arguments to script: %d, of which Lua takes %d at most")
        :format(count, ARGUMENTS_MAX))
    end
    local chunk, message = load_script(argv[script] or "-")
    if not chunk then return refuse(message) end
    if flags.server then begin_server(server.facts(), argv[script]) end
    -- A tail call: tracebacks end with the script. The program tells the master when it has ended.
    if not flags.i then return chunk(unpack(argv, script + 1)) end
    chunk(unpack(argv, script + 1))
  end
  if flags.i or not has_work and is_terminal then
    if not flags.v and is_terminal then print(version() .. "; .help helps") end
    return require("hv.repl").run(is_terminal)
  end
end
