-- tcp_proxy_server.lua - passes every connection on to another server, with TLS on either side.
--
--     hvlua tcp_proxy_server.lua 1234 127.0.0.1:8080
--
-- conn:pipe does it: it copies both ways in the core, only as fast as the slower side takes it,
-- passes the end of each direction on, and closes both sides together.
local hv = require "hv"

io.stdout:setvbuf("line")

local usage = [[
Usage: tcp_proxy_server.lua [options] port host:port

Listens on the first and passes each connection on to the second.

  -s           speak TLS with the server behind, and verify it
  --ca FILE    by these roots
  --cert FILE  speak TLS with clients, with this certificate,
  --key FILE   and this key
  -v           print a line for every connection
  -h, --help   this text
]]

local function fail(text)
  io.stderr:write(text)
  os.exit(2)
end

local takes_value = { ["--ca"] = true, ["--cert"] = true, ["--key"] = true }
local options, rest = {}, {}
local i = 1
while arg[i] do
  if takes_value[arg[i]] then
    options[arg[i]] = arg[i + 1] or fail(usage)
    i = i + 1
  elseif arg[i] == "-s" or arg[i] == "-v" then
    options[arg[i]] = true
  elseif arg[i] == "-h" or arg[i] == "--help" then
    io.write(usage)
    os.exit(0)
  else
    rest[#rest + 1] = arg[i]
  end
  i = i + 1
end

local port = tonumber(rest[1])
local host, backend_port = (rest[2] or ""):match("^(.+):(%d+)$")
if not (port and host and #rest == 2) then fail(usage) end

local backend = { host = host, port = tonumber(backend_port) }
if options["-s"] or options["--ca"] then
  backend.tls = assert(hv.tls.context { ca = options["--ca"] })
end

local listen = { port = port }
if options["--cert"] then listen.tls = { cert = options["--cert"], key = options["--key"] } end

local function note(...)
  if options["-v"] then print(string.format(...)) end
end

local server = assert(hv.tcp.listen(listen, function(conn)
  local id = conn.id
  local upstream, message = hv.tcp.connect(backend)
  if not upstream then return note("%d: %s", id, message) end
  local sent, received, _, sent_by_then, received_by_then = conn:pipe(upstream)
  if sent then
    note("%d: %d bytes there, %d bytes back", id, sent, received)
  else
    note("%d: %s, after %d bytes there, %d bytes back", id, received, sent_by_then,
      received_by_then)
  end
end))
print("listening on " .. server:port())
