-- tcp_echo_server.lua - sends back what it gets: one task a connection, written as if it blocked.
--
--     hvlua tcp_echo_server.lua 1234
--     nc 127.0.0.1 1234
local hv = require "hv"

local port = tonumber(arg[1])
if not port then
  io.stderr:write("Usage: tcp_echo_server.lua port\n")
  os.exit(2)
end

local server = assert(hv.tcp.listen({ host = "0.0.0.0", port = port }, function(conn)
  local peer = conn:peer()
  print(("connected: %s:%d"):format(peer.ip, peer.port))
  for chunk in conn:chunks() do
    assert(conn:write(chunk))
  end
  print(("disconnected: %s:%d"):format(peer.ip, peer.port))
end))
print("listening on " .. server:port())
