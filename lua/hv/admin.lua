--- hv.admin - the admin socket of `hvlua --admin`: whoever attaches gets a prompt inside the
--- running program. Private.
---
--- It is a unix socket that only the same user may open (mode 0600, and the peer is asked for).
--- Nothing of it keeps the program alive or holds a shutdown up. Three kinds of peers, told apart
--- by their first line:
---
---   "hvlua-attach 1"          frames both ways: hvlua --attach (hv.attach)
---   "hvlua-interrupt TOKEN"   each byte that follows interrupts the session of that token
---   anything else             plain lines of Lua, answered in text: nc -U, socat
---
--- A frame is a byte that tells its kind, a length of 4 bytes, big-endian, and the payload.
--- To here: "L" a line, "R" forget what is not complete, "T" columns, a blank, text to complete.
--- From here: "H" pid, a blank, token; "O" output; "D" the state after a line; "C" text to insert,
--- a zero, candidates.
local channel = require "hv.channel"
local crypto = require "hv.crypto"
local limits = require "hv.limits"
local log = require "hv.log"
local private = require "_hv.private"
local raw_tcp = require "_hv.tcp"
local repl = require "hv.repl"
local task = require "hv.task"
require "hv.tcp" -- the methods of connections

local M = {}

local SESSIONS_MAX = 32
local LINE_MAX = 1048576
local WRITE_MS = 30000
local LOOK_MS = 100

--- How frames are cut; hv.attach does the same.
M.unpack = {
  mode = "length_field", body_offset = 5, length_field_offset = 1, length_field_bytes = 4,
  max_length = "16M",
}

function M.frame(kind, payload)
  local n = #payload
  return kind .. string.char(bit.rshift(n, 24), bit.band(bit.rshift(n, 16), 255),
    bit.band(bit.rshift(n, 8), 255), bit.band(n, 255)) .. payload
end

-- ---- Where the socket lies ----

--- Folders for sockets named by the process, the best first; only those that are there and ours.
function M.folders()
  local found = {}
  local runtime = os.getenv("XDG_RUNTIME_DIR")
  local _, uid = private.identity()
  local candidates = { ("/tmp/hvlua-%d"):format(uid) }
  if runtime and runtime:sub(1, 1) == "/" then table.insert(candidates, 1, runtime .. "/hvlua") end
  for _, folder in ipairs(candidates) do
    if private.directory(folder) then found[#found + 1] = folder end
  end
  return found
end

--- Sockets of processes that were killed.
local function remove_old(folder)
  for name in require("hv.fs").scan(folder) or function() end do
    local pid = name:match("^(%d+)%.sock$")
    local file = pid and io.open("/proc/" .. pid .. "/stat")
    if file then file:close() elseif pid then os.remove(folder .. "/" .. name) end
  end
end

local function choose_path(path, worker_id)
  if path and path ~= "" then
    local message
    path, message = private.absolute(path)
    if not path then return nil, message end
    return worker_id and ("%s.%d"):format(path, worker_id) or path
  end
  local folder = M.folders()[1]
  if not folder then return nil, "no folder for it is ours alone: name a path" end
  remove_old(folder)
  return ("%s/%d.sock"):format(folder, (private.identity()))
end

-- ---- print in a session ----

local sessions = setmetatable({}, { __mode = "k" }) -- task -> session
local attached = {}                                 -- token -> session
local attached_count = 0
local original_print

local function print_text(...)
  local texts = {}
  for i = 1, select("#", ...) do texts[i] = tostring((select(i, ...))) end
  return table.concat(texts, "\t") .. "\n"
end

--- What a session's task prints, also in functions of the server's, goes to who is attached.
local function install_print()
  if original_print then return end
  local globals = getfenv(0)
  original_print = globals.print
  function globals.print(...)
    local current = attached_count > 0 and task.current()
    local session = current and sessions[current]
    if not session then return original_print(...) end
    session.write(print_text(...))
  end
end

--- Globals are the program's; only `_`, io.write and, where the program has none, `hv` are the
--- session's own.
local function environment(write)
  local globals = getfenv(0)
  local own = setmetatable({}, { __index = io })
  function own.write(...)
    local texts = {}
    for i = 1, select("#", ...) do texts[i] = tostring((select(i, ...))) end
    write(table.concat(texts))
    return true
  end
  local hv = rawget(globals, "hv") == nil and require "hv" or nil
  return setmetatable({ io = own, hv = hv }, { __index = globals, __newindex = globals })
end

-- ---- Sessions ----

local function open_session(write)
  local aim = require("_hv.interrupt").aim(false)
  local session = repl.session { write = write, env = environment(write), aim = aim,
    name = "=attached" }
  function session.on_task(running) sessions[running] = session end
  session.token = crypto.hex(crypto.random(16))
  attached[session.token] = session
  attached_count = attached_count + 1
  install_print()
  return session
end

local function close_session(session)
  attached[session.token] = nil
  attached_count = attached_count - 1
  session:cancel()
  if session.aim then session.aim:close() end
end

--- Runs lines one after the other, beside their reader, which so sees when the peer goes.
local function run_lines(session, lines, tell)
  for line in lines:iter() do
    local ok, state = pcall(session.line, session, line)
    tell(ok and state or "ready")
    if state == "exit" then return end
  end
end

local function complete(session, conn, payload)
  local columns, text = payload:match("^(%d+) (.*)$")
  if not columns then return end
  local ok, insert, list = pcall(session.complete, session, text, tonumber(columns))
  conn:write(M.frame("C", ok and insert .. "\0" .. list or "\0"))
end

local function serve_frames(conn)
  conn:set_unpack(M.unpack)
  local function write(text) pcall(conn.write, conn, M.frame("O", text)) end
  local session = open_session(write)
  local lines = channel.new(1000)
  conn:write(M.frame("H", ("%d %s"):format(private.identity(), session.token)))
  local runner = task.go(run_lines, session, lines, function(state)
    pcall(conn.write, conn, M.frame("D", state))
  end)
  for packet in conn:packets() do
    local kind, payload = packet:sub(1, 1), packet:sub(6)
    if kind == "L" then
      lines:send(payload)
    elseif kind == "R" then
      session:reset()
    elseif kind == "T" then
      complete(session, conn, payload)
    end
  end
  lines:close()
  close_session(session)
  runner:cancel()
end

--- The bytes are read by a thread, because the loop may be what is to be interrupted.
local function serve_interrupts(conn, token)
  local session = attached[token]
  if not session or not session.aim or not session.aim:watch(conn) then return end
  conn:write("ok\n")
  while attached[token] do task.sleep(1000) end
end

--- Whoever has ended his side may still read (echo ... | nc -NU). Who is gone altogether has what
--- he wrote done, but leaves nothing that waits.
local function serve_text(conn, line)
  local function write(text) pcall(conn.write, conn, text) end
  local session = open_session(write)
  local lines = channel.new(1000)
  local is_over = false
  local runner = task.go(function()
    run_lines(session, lines, function(state)
      if state ~= "exit" then write(state == "more" and ">> " or "> ") end
    end)
    is_over = true
    conn:close() -- ends the loop below, where it still reads
  end)
  while line do
    lines:send(line)
    line = conn:read_line()
  end
  lines:close()
  repeat task.sleep(LOOK_MS) until is_over or private.is_gone(conn)
  close_session(session)
  runner:cancel()
end

local function serve(conn)
  conn:unref()
  local peer, own = private.peer_uid(conn)
  if peer ~= own then return log.warn("admin: user %s was refused", tostring(peer)) end
  if attached_count >= SESSIONS_MAX then return conn:write("too many are attached\n") end
  local line = conn:read_until("\n", LINE_MAX)
  line = line and line:gsub("\r?\n$", "")
  if not line then return end
  if line == "hvlua-attach 1" then return serve_frames(conn) end
  local token = line:match("^hvlua%-interrupt (%x+)$")
  if token then return serve_interrupts(conn, token) end
  return serve_text(conn, line)
end

--- Opens the socket.
---@param path? string where; else XDG_RUNTIME_DIR/hvlua/PID.sock, or /tmp/hvlua-UID/PID.sock
---@param worker_id? integer is appended to a path that was given
---@return string? path
---@return string? message
function M.open(path, worker_id)
  local message
  path, message = choose_path(path, worker_id)
  if not path then return nil, message end
  local before = private.umask(127) -- 0177: the socket is born with 0600
  local server
  -- With reuse_port it is this process's own, also in a worker.
  server, message = raw_tcp.listen(path, 0, 16, true, SESSIONS_MAX * 2 + 8, {
    on_task = serve, no_delay = true, write_high = limits.write_high, write_timeout = WRITE_MS,
    read_timeout = 0, idle_timeout = 0,
  })
  private.umask(before)
  if not server then return nil, message end
  server:unref()
  M.path, M.server = path, server
  return path
end

--- Takes the socket away: at the end of the program.
function M.close()
  if M.path then os.remove(M.path) end
  M.path = nil
end

return M
