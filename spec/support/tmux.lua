--- tmux.lua - a real terminal for specs: keys go in, the screen is looked at until it shows what is
--- expected or a deadline passes.
local hv = require "hv"
local private = require "_hv.private"

local DEADLINE_MS = 20000 -- only what hangs ever waits so long

local Terminal = {}
Terminal.__index = Terminal

local M = {}

local function quote(text) return "'" .. text:gsub("'", "'\\''") .. "'" end

local function run(command)
  local pipe = assert(io.popen(command .. " 2>&1"))
  local output = pipe:read("*a")
  pipe:close()
  return output
end

function Terminal:tmux(arguments)
  return run("tmux -S " .. quote(self.folder .. "/socket") .. " -f /dev/null " .. arguments)
end

--- Opens a terminal of 100 columns that runs a shell with a fixed prompt, "shell$ ".
---@param environment? table<string, string>
function M.open(environment)
  local folder = run("mktemp -d"):match("%S+")
  local terminal = setmetatable({ folder = folder }, Terminal)
  local words = { "env", "-u", "TMUX", "PS1='shell$ '", "LC_ALL=C.UTF-8",
    "HVLUA_HISTORY=" .. quote(folder .. "/history"), "HVLUA=" .. quote(os.getenv("HVLUA")) }
  for name, value in pairs(environment or {}) do words[#words + 1] = name .. "=" .. quote(value) end
  words[#words + 1] = "bash --norc --noprofile"
  local message = terminal:tmux("new-session -d -x 100 -y 40 " .. quote(table.concat(words, " ")))
  assert(message == "", "tmux: " .. message)
  -- Where the spec is killed before it closes the terminal, this does it.
  os.execute(("(while [ -e %s ] && kill -0 %d; do sleep 1; done; tmux -S %s kill-server) " ..
    ">/dev/null 2>&1 </dev/null &"):format(quote(folder), (private.identity()),
    quote(folder .. "/socket")))
  terminal:expect("shell%$ $")
  return terminal
end

--- The screen, without blanks at the ends of lines and lines at its end.
function Terminal:screen()
  local text = self:tmux("capture-pane -p")
  return (text:gsub("[ \t]+\n", "\n"):gsub("%s+$", ""))
end

--- Waits until the screen matches a pattern; throws with the screen where it never does.
function Terminal:expect(pattern)
  local deadline = hv.hrtime() + DEADLINE_MS * 1e6
  local screen
  repeat
    screen = self:screen()
    if screen:find(pattern) or (screen .. " "):find(pattern) then return screen end
    hv.sleep(20)
  until hv.hrtime() > deadline
  error(("the screen never matched %q:\n%s"):format(pattern, screen), 2)
end

--- Types text as it stands.
function Terminal:type(text)
  self:tmux("send-keys -l " .. quote(text))
end

--- Types a line and Enter.
function Terminal:line(text)
  self:type(text)
  self:tmux("send-keys Enter")
end

--- Types a line at the prompt of hvlua, once that is there: what comes earlier the terminal itself
--- shows, and then the prompt shows it again.
function Terminal:say(text)
  self:expect("\n>>? $")
  self:line(text)
end

--- Types a command for the shell, once its prompt is there.
function Terminal:shell(text)
  self:expect("shell%$ $")
  self:line(text)
end

--- Presses keys by tmux's names: "C-c", "Up", "Tab" ...
function Terminal:press(...)
  for _, key in ipairs { ... } do self:tmux("send-keys " .. key) end
end

function Terminal:close()
  self:tmux("kill-server")
  run("rm -r " .. quote(self.folder))
end

return M
