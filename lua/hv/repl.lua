--- hv.repl - the prompt: what is typed is compiled, runs as a task of its own and shows its values,
--- while the loop goes on. Private.
---
--- A session is one conversation, wherever its lines come from: a terminal with the line editor, a
--- plain stream of lines, or a process that has attached itself (hv.admin). It knows the lines that
--- are not complete yet, the environment, where text goes, and the aim that Ctrl-C is to hit.
local hv = require "hv"
local raw_loop = require "_hv.loop"
local raw_task = require "_hv.task"
local show = require "hv.show"

local M = {}

-- ---- Compiling ----

local function pass(...) return ... end

--- Compiles a text as an expression whose values are shown, or as a statement. Returns nil, message
--- where it is wrong, and nil where more lines are needed. What is returned is to be called with
--- `pass`: an expression hands its values through it, because a call that `return` stands before
--- leaves no trace of its line.
local function compile(text, name)
  local chunk = loadstring("return " .. text, name)
  if chunk then
    return loadstring("local __pass = ... return __pass(" .. text .. "\n)", name) or chunk
  end
  local message
  chunk, message = loadstring(text, name)
  if chunk then return chunk end
  if message:find("'<eof>'", 1, true) then return nil end
  return nil, message
end

--- The traceback without what the prompt itself has on the stack, and without addresses in C.
local function traceback(message)
  local text = debug.traceback(show.error_text(message), 2)
  return (text:gsub("\n%s+%[C%]: in function 'xpcall'\n.*$", "")
    :gsub("\n%s+%[C%]: at 0x%x+", ""):gsub("\n%s+%[builtin#%d+%]: at 0x%x+", "")
    :gsub("\nstack traceback:$", ""))
end

-- ---- Sessions ----

local Session = {}
Session.__index = Session

---@param opts table { write = function(text), env = table, name = chunk name, aim = aim|nil,
---  echoes = whether the terminal shows ^C itself }
function M.session(opts)
  return setmetatable({
    write = opts.write, env = opts.env, name = opts.name or "=stdin", aim = opts.aim,
    echoes = opts.echoes,
  }, Session)
end

--- Forgets the lines that were not complete.
function Session:reset() self.text = nil end

--- Words of others stand in errors: what a terminal would take for commands is not passed on.
function Session:say(format, ...)
  local text = select("#", ...) > 0 and format:format(...) or format
  text = text:gsub("[%c\127]", function(char)
    if char ~= "\n" and char ~= "\t" then return ("\\%03d"):format(char:byte()) end
  end)
  self.write(text .. "\n")
end

function Session:show_values(values)
  if values.n > 0 then rawset(self.env, "_", values[1]) end
  for i = 1, values.n do
    local ok, text = pcall(show.show, values[i])
    self:say("%s", ok and text or show.error_text(text))
  end
end

local function pack(...) return { n = select("#", ...), ... } end

--- The body of the task that runs what was typed. Never throws.
local function run_body(session, fn)
  raw_task.unwatch()
  raw_task.claim()
  local aim = session.aim
  session.task = hv.current()
  if session.on_task then session.on_task(session.task) end
  if aim then aim:take() end
  local results = pack(xpcall(fn, traceback, pass))
  local is_interrupted = aim and aim:release()
  session.task = nil
  return results, is_interrupted
end

--- Runs a function as the session's task and waits for it. Returns whether it ran to its end, and
--- its values. Errors are told.
function Session:run(fn)
  local task = hv.go(run_body, self, fn)
  local ok, results, is_interrupted = pcall(task.join, task)
  if not ok then
    task:cancel() -- we are cancelled ourselves
    error(results, 0)
  end
  if type(results) ~= "table" then return false end
  if results[1] then return true, pack(unpack(results, 2, results.n)) end
  local message = tostring(results[2])
  if message:find("^task canceled") and is_interrupted then
    message = message:gsub("^task canceled", "interrupted")
  end
  self:say(is_interrupted and self.echoes and "\n%s" or "%s", message)
  return false
end

--- A local of a line is gone with its line, which surprises everybody once.
local function local_hint(session, text)
  if session.has_hinted then return end
  local name = text:match("^%s*local%s+function%s+([%a_][%w_]*)")
    or text:match("^%s*local%s+([%a_][%w_]*)")
  if not name or text:find("[;%s]do%s") then return end
  if text:find("\n", 1, true) and not text:find("^%s*local%s+function")
    and not text:find("^[^\n]*=%s*{[^\n]*\n") then return end
  session.has_hinted = true
  session:say("-- the local %s ends with its line; without `local` it stays", name)
end

--- Takes a line. Returns "more" where it begins something, "exit" where it ends the session, else
--- "ready". Waits while the line runs.
function Session:line(line)
  if not self.text then
    local name, rest = line:match("^%s*(%.%a+)%s*(.-)%s*$")
    if name then
      local command = M.commands[name]
      if command then return command.run(self, rest) or "ready" end
      self:say("no command %s; .help tells which there are", name)
      return "ready"
    end
    line = line:gsub("^%s*=", "return ")
  end
  local text = self.text and self.text .. "\n" .. line or line
  if not text:find("%S") then return "ready" end
  local chunk, message = compile(text, self.name)
  if not chunk and not message then
    self.text = text
    return "more"
  end
  self.text = nil
  if message then
    self:say("%s", message)
    return "ready"
  end
  local ok, values = self:run(setfenv(chunk, self.env))
  if ok then
    self:show_values(values)
    local_hint(self, text)
  end
  return "ready"
end

--- Interrupts what runs, by its waits only; the aim does the rest.
function Session:cancel()
  if self.task then self.task:cancel() end
end

function Session:complete(text, columns)
  return require("hv.complete").complete(text, self.env, columns, M.commands)
end

-- ---- Commands ----

local commands = {}
M.commands = commands

local function command(name, usage, text, run)
  commands[name] = { usage = name .. usage, text = text, run = run }
end

local help_text = "this list; or what hv.tcp.listen, ws:send, hv.http ... is"
command(".help", " [NAME]", help_text, function(session, topic)
  if topic ~= "" then
    local known = commands[topic]
    if known then return session:say("%s  %s", known.usage, known.text) end
    return session:say("%s", require("hv.help").text(topic))
  end
  local names = {}
  for name in pairs(commands) do names[#names + 1] = name end
  table.sort(names)
  session:say("What you type is Lua: expressions show their values, and _ is the last of them; "
    .. "hv is there.")
  session:say("Whatever waits may wait here (hv.sleep, conn:read ...); the loop goes on meanwhile.")
  for _, name in ipairs(names) do
    session:say("  %-14s %s", commands[name].usage, commands[name].text)
  end
  session:say("Tab completes names, Ctrl-R searches what was typed before, Ctrl-C interrupts, "
    .. "Ctrl-D ends.")
end)

command(".exit", "", "end the session, as Ctrl-D does", function() return "exit" end)

command(".load", " FILE", "run a Lua file here", function(session, path)
  if path == "" then return session:say(".load needs the name of a file") end
  local chunk, message = loadfile(path)
  if not chunk then return session:say("%s", message) end
  local ok, values = session:run(setfenv(chunk, session.env))
  if ok then session:show_values(values) end
end)

command(".time", " EXPR", "run it and tell how long it took", function(session, text)
  local chunk, message = compile(text, session.name)
  if not chunk then return session:say("%s", message or "the expression is not complete") end
  local began = hv.hrtime()
  local ok, values = session:run(setfenv(chunk, session.env))
  local ms = (hv.hrtime() - began) / 1e6
  if ok then session:show_values(values) end
  session:say("-- %.3f ms", ms)
end)

--- The first line of the user's on a traceback, and which line has started the task.
local function where(task)
  local text = task:traceback()
  local at, started
  for line in text:gmatch("\n%s+([^\n]+)") do
    if line:find("^task started at ") then
      started = started or line:match("^task (.*)")
    elseif not at and not line:find("^%[") then
      at = line:match("^(.-:%d+):")
    end
  end
  return (at and " at " .. at or "") .. (started and ", " .. started or "")
end

command(".tasks", "", "what waits, and where", function(session)
  local count = 0
  for _, task in ipairs(raw_task.list()) do
    local place = where(task)
    if place ~= "" then
      count = count + 1
      session:say("  %s%s", tostring(task), place)
    end
  end
  session:say("-- %d task%s", count, count == 1 and "" or "s")
end)

command(".handles", "", "open servers, connections, timers ...", function(session)
  local lines = {}
  for key, value in pairs(debug.getregistry()) do
    local meta = type(key) == "number" and type(value) == "userdata" and debug.getmetatable(value)
    local name = type(meta) == "table" and rawget(meta, "__name")
    if type(name) == "string" and name:find("^hv%.") and rawget(meta, "__tostring")
      and name ~= "hv.task" then
      lines[#lines + 1] = "  " .. tostring(value)
    end
  end
  table.sort(lines)
  for _, line in ipairs(lines) do session:say("%s", line) end
  local active, ios, timers = raw_loop.counts()
  session:say("-- %d keep the loop running; %d streams and datagram sockets, %d timers in all",
    active, ios, timers)
end)

command(".memory", "", "what Lua holds, after a collection", function(session)
  local before = collectgarbage("count")
  collectgarbage()
  collectgarbage()
  session:say("-- %.0f KiB before, %.0f KiB after", before, collectgarbage("count"))
end)

-- ---- Where lines come from ----

local PROMPT, MORE = "> ", ">> "

--- Feeds a session from the line editor until Ctrl-D.
--- `handle(line)` is the session's line, or that of a session elsewhere.
function M.run_editor(editor, history, handle, reset)
  local state = "ready"
  editor:set_history(history.lines)
  while state ~= "exit" do
    local line, _, code = editor:read(state == "more" and MORE or PROMPT)
    if line then
      if history:add(line) then editor:set_history(history.lines) end
      state = handle(line)
    elseif code == "EINTR" then
      reset()
      state = "ready"
    else
      break
    end
  end
  editor:close()
end

--- Feeds a session from a stream, such as stdin where it is no terminal.
function M.run_plain(stream, handle, prompt)
  local state = "ready"
  while state ~= "exit" do
    prompt(state == "more" and MORE or PROMPT)
    local line = stream:read_line()
    if not line then
      line = stream:read() -- a last line without its end
      if not line then break end
    end
    state = handle(line)
  end
end

--- Opens the line editor on this terminal, or returns nil where there is none.
function M.open_editor(complete, aim)
  local is_there, raw = pcall(require, "_hv.line_editor")
  if not is_there or not raw.open then return nil end
  if not raw.is_wrapped then
    raw.is_wrapped = true
    raw.methods.read = require("hv.wait").waits(raw.methods.read)
  end
  local editor = raw.open(complete, aim)
  if editor then
    io.stdout:setvbuf("line")
    raw_loop.on_signal("winch", function() editor:resize() end)
  end
  return editor
end

local function plain_prompt(is_terminal)
  return function(prompt)
    if not is_terminal then return end
    io.stdout:write(prompt)
    io.stdout:flush()
  end
end

local function write(text)
  io.stdout:write(text)
  io.stdout:flush()
end

--- The prompt of the program itself. Ends the program when it ends.
function M.run(is_terminal)
  local globals = getfenv(0)
  if globals.hv == nil then globals.hv = hv end -- nobody wants to type it
  local aim = is_terminal and require("_hv.interrupt").aim(true) or nil
  local session = M.session {
    write = write, env = globals, aim = aim, echoes = is_terminal,
  }
  local function handle(line) return session:line(line) end
  local editor = is_terminal and M.open_editor(function(text, columns)
    return session:complete(text, columns)
  end, aim)
  if aim then aim:watch() end
  if editor then
    M.run_editor(editor, require("hv.history").open(), handle, function() session:reset() end)
  else
    local stdin = assert(require("_hv.tcp").from_fd(0))
    M.run_plain(stdin, handle, plain_prompt(is_terminal))
    if is_terminal then io.stdout:write("\n") end
  end
  return hv.stop()
end

return M
