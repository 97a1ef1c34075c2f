-- tcp_client.lua - sends the time every second and prints what comes back.
--
--     hvlua tcp_client.lua 1234          # a tcp_echo_server's port
local hv = require "hv"

local port = tonumber(arg[1])
if not port then
  io.stderr:write("Usage: tcp_client.lua port\n")
  os.exit(2)
end

local conn = assert(hv.tcp.connect { host = "127.0.0.1", port = port })
hv.every(1000, function()
  local text = os.date("%Y-%m-%d %H:%M:%S")
  print("> " .. text)
  conn:write(text)
end):unref()

for chunk in conn:chunks() do
  print("< " .. chunk)
end
