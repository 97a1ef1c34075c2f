--- hv.attach - `hvlua --attach`: a prompt inside another process, by its admin socket (hv.admin).
--- Private.
local admin = require "hv.admin"
local hv = require "hv"
local raw_loop = require "_hv.loop"
local repl = require "hv.repl"

local M = {}

local ANSWER_MS = 5000

local function frame(kind, payload) return admin.frame(kind, payload) end

--- A socket's path, or a process's number, as a path.
local function find_socket(target)
  if not target:find("^%d+$") then return require("_hv.private").absolute(target) end
  for _, folder in ipairs(admin.folders()) do
    local path = ("%s/%s.sock"):format(folder, target)
    if hv.fs.stat(path) then return path end
  end
  return nil, ("process %s has no admin socket: start it with --admin"):format(target)
end

--- Says who we are, and learns who it is. Returns the connection, pid and token.
local function greet(path)
  local conn, message = hv.tcp.connect { path = path }
  if not conn then return nil, message end
  conn:write("hvlua-attach 1\n")
  conn:set_unpack(admin.unpack)
  conn:set_timeout { read = ANSWER_MS }
  local hello = conn:read()
  local pid, token = (hello or ""):sub(6):match("^(%d+) (%x+)$")
  if not pid then return nil, path .. ": there is no hvlua, or it refuses us" end
  conn:set_timeout { read = 0 }
  return conn, pid, token
end

--- The second connection, on which each byte is a Ctrl-C.
local function open_control(path, token)
  local control = hv.tcp.connect { path = path }
  if not control then return nil end
  control:set_timeout { read = ANSWER_MS }
  control:write("hvlua-interrupt " .. token .. "\n")
  if control:read_line() ~= "ok" then return nil end
  return control
end

--- Takes frames apart until the other side ends.
local function read_frames(conn, states, completions)
  for packet in conn:packets() do
    local kind, payload = packet:sub(1, 1), packet:sub(6)
    if kind == "O" then
      io.stdout:write(payload)
      io.stdout:flush()
    elseif kind == "D" then
      states:send(payload)
    elseif kind == "C" then
      completions:send(payload)
    end
  end
  states:close()
  completions:close()
end

local function refuse(message)
  io.stdout:flush()
  io.stderr:write("hvlua: ", message, "\n")
  return hv.stop(1)
end

--- Attaches, and ends the program when it is over: status 0 where we have left, 1 where we could
--- not attach or the other side has ended.
---@param target string path of a socket, or number of a process
function M.run(target)
  local path, message = find_socket(target)
  if not path then return refuse(message) end
  local conn, pid, token = greet(path)
  if not conn then return refuse(pid) end
  local control = open_control(path, token)
  local states, completions = hv.channel(100), hv.channel(1)
  local is_lost, is_over = false, false
  local is_terminal = raw_loop.is_terminal(0)

  local function handle(line)
    conn:write(frame("L", line))
    local state = states:recv()
    is_lost = state == nil
    return state or "exit"
  end
  local function complete(text, columns)
    conn:write(frame("T", ("%d %s"):format(columns, text)))
    local insert, list = (completions:recv(ANSWER_MS) or "\0"):match("^(.-)%z(.*)$")
    return insert, list
  end

  local editor = is_terminal and repl.open_editor(complete)
  hv.go(function()
    read_frames(conn, states, completions)
    if is_over then return end
    -- Whoever types would never notice.
    if editor then editor:close() end
    refuse("the process has closed the connection")
  end)
  if is_terminal then
    print(("attached to %s; .help helps, Ctrl-D leaves"):format(pid))
    hv.on_signal("int", function()
      if control then control:write("\3") end
      io.stdout:write("\n")
    end)
  end
  if editor then
    repl.run_editor(editor, require("hv.history").open(), handle, function()
      conn:write(frame("R", ""))
    end)
  else
    local stdin = assert(require("_hv.tcp").from_fd(0))
    repl.run_plain(stdin, handle, function(prompt)
      if is_terminal then
        io.stdout:write(prompt)
        io.stdout:flush()
      end
    end)
  end
  if is_lost then return end -- read_frames tells
  is_over = true
  conn:close()
  return hv.stop(0)
end

return M
