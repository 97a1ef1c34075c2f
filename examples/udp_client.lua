-- udp_client.lua - sends the time every second as a datagram and prints what comes back.
--
--     hvlua udp_client.lua 1234          # a udp_echo_server's port
local hv = require "hv"

local port = tonumber(arg[1])
if not port then
  io.stderr:write("Usage: udp_client.lua port\n")
  os.exit(2)
end

local sock = assert(hv.udp.connect { host = "127.0.0.1", port = port })
hv.every(1000, function()
  local text = os.date("%Y-%m-%d %H:%M:%S")
  print("> " .. text)
  sock:send(text)
end)

while true do
  local data, message = sock:recv()
  if not data then error(message) end
  print("< " .. data)
end
