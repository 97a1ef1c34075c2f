-- udp_echo_server.lua - sends every datagram back to its sender.
--
--     hvlua udp_echo_server.lua 1234
--     nc -u 127.0.0.1 1234
local hv = require "hv"

local port = tonumber(arg[1])
if not port then
  io.stderr:write("Usage: udp_echo_server.lua port\n")
  os.exit(2)
end

assert(hv.udp.bind {
  host = "0.0.0.0",
  port = port,
  on_message = function(sock, data, peer)
    print(("[%s:%d] %d bytes"):format(peer.ip, peer.port, #data))
    sock:send(data, peer.ip, peer.port)
  end,
})
print("bound to " .. port)
