-- tcp_chat_server.lua - what one says, all the others read, line by line.
--
--     hvlua tcp_chat_server.lua 1234
--     nc 127.0.0.1 1234          # in several terminals
local hv = require "hv"

local port = tonumber(arg[1])
if not port then
  io.stderr:write("Usage: tcp_chat_server.lua port\n")
  os.exit(2)
end

local room = {} -- conn -> name

local function tell_others(from, text)
  for conn in pairs(room) do
    if conn ~= from then conn:write(text) end
  end
end

local server = assert(hv.tcp.listen {
  host = "0.0.0.0",
  port = port,
  unpack = { mode = "delimiter", delimiter = "\n", max_length = 1024 },
  on_open = function(conn)
    local peer = conn:peer()
    room[conn] = peer.ip .. ":" .. peer.port
    tell_others(conn, "* " .. room[conn] .. " joined\n")
  end,
  on_message = function(conn, line)
    tell_others(conn, room[conn] .. ": " .. line)
  end,
  on_close = function(conn)
    local name = room[conn]
    room[conn] = nil
    tell_others(conn, "* " .. name .. " left\n")
  end,
})
print("listening on " .. server:port())
