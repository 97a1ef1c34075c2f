--- hv.repl - the prompt: reads lines of stdin over the loop, so servers and timers go on while it
--- waits, and what is typed may wait itself. Private.
local hv = require "hv"
local raw = require "_hv.tcp"

--- Compiles a line as an expression whose values are shown, or as a statement. Returns nil, message
--- where it is wrong, and nil, nil where more lines are needed.
local function compile(text)
  local chunk = loadstring("return " .. text, "=stdin")
  if chunk then return chunk end
  local message
  chunk, message = loadstring(text, "=stdin")
  if chunk then return chunk end
  if message:find("'<eof>'", 1, true) then return nil end
  return nil, message
end

local function show(ok, ...)
  if not ok then
    io.stdout:flush()
    io.stderr:write(tostring((...)), "\n")
  elseif select("#", ...) > 0 then
    print(...)
  end
end

local function traceback(message)
  return debug.traceback(tostring(message), 2)
end

return function(is_terminal)
  local stdin = assert(raw.from_fd(0))
  local text
  while true do
    if is_terminal then
      io.write(text and ">> " or "> ")
      io.flush()
    end
    local line = stdin:read_line()
    if not line then
      line = stdin:read() -- a last line without its end
      if not line then break end
    end
    text = text and text .. "\n" .. line or line:gsub("^=", "return ")
    local chunk, message = compile(text)
    if chunk then
      show(xpcall(chunk, traceback))
      text = nil
    elseif message then
      show(false, message)
      text = nil
    end
  end
  if is_terminal then print() end
  return hv.stop()
end
