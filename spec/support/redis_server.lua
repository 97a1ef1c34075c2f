--- redis_server.lua - Redis servers for specs: Debian's, as children, and scripted ones.
local helper = require "helper"
local hv = require "hv"

local M = {}

-- ---- Debian's redis-server ----

local Server = {}
Server.__index = Server

--- Starts one, or starts it again on the same port, and waits until it answers.
function Server:start()
  local command = { "redis-server", "--port", tostring(self.port), "--bind", "127.0.0.1",
    "--save", "", "--dir", self.dir, "--loglevel", "warning", kill = true,
    stdout = "null", stderr = "null",
    "--unixsocket", self.dir .. "/socket", "--enable-debug-command", "yes" }
  for _, word in ipairs(self.more) do command[#command + 1] = word end
  self.process = assert(hv.process.spawn(command))
  for _ = 1, 1000 do
    local conn = hv.tcp.connect { host = "127.0.0.1", port = self.port, timeout = 1000 }
    if conn then
      conn:write("PING\r\n")
      local line = conn:read_line()
      conn:close()
      -- "-NOAUTH" is an answer, too.
      if line and not line:find("LOADING", 1, true) then return self end
    end
    hv.sleep(10)
  end
  error("redis-server does not answer")
end

--- Kills it, as a crash would.
function Server:kill()
  self.process:kill("kill")
  self.process:wait()
end

--- Stops it for a while, and lets it go on: a server that hangs.
function Server:pause() self.process:kill("stop") end
function Server:resume() self.process:kill("cont") end

function Server:stop()
  self:kill()
  os.execute("rm -rf '" .. self.dir .. "'")
end

--- Starts a server with further words of its command line.
function M.start(...)
  local dir = os.tmpname()
  os.remove(dir)
  assert(hv.fs.mkdir(dir))
  return setmetatable({ port = helper.free_port(), dir = dir, more = { ... } }, Server):start()
end

-- ---- Scripted servers ----

--- Reads one command: a list of its words; nil at the end.
local function read_command(conn)
  local line = conn:read_line()
  if not line then return nil end
  local words = {}
  for i = 1, tonumber(line:match("^%*(%d+)$")) do
    local bytes = tonumber(conn:read_line():match("^%$(%d+)$"))
    words[i] = bytes > 0 and conn:read(bytes) or ""
    conn:read(2)
  end
  return words
end

M.HELLO = "%1\r\n+proto\r\n:3\r\n"

--- A server whose answers `answer(words, conn, nth)` gives: bytes, or nil for none. Without a say
--- in it HELLO is welcomed. Returns the server; `.port`, `.commands` (all of them, in order).
function M.fake(answer)
  local self = { commands = {}, connections = 0 }
  self.server = assert(hv.tcp.listen({ host = "127.0.0.1", port = 0 }, function(conn)
    self.connections = self.connections + 1
    local nth = self.connections
    for words in function() return read_command(conn) end do
      words[1] = words[1]:upper()
      self.commands[#self.commands + 1] = words
      local reply = answer(words, conn, nth)
      if reply == nil and words[1] == "HELLO" then reply = M.HELLO end
      if reply then conn:write(reply) end
    end
  end))
  self.port = self.server:port()
  function self.close() self.server:close() end
  return self
end

return M
