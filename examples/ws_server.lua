-- ws_server.lua - WebSocket: an echo, a clock, and a chat in rooms.
--
--     hvlua ws_server.lua 8888
--
-- /        every second the time, as long as the client stays; what it sends is printed
-- /echo    sends back what it gets; no task is parked for a connection
-- /chat/x  everybody in room x gets what anybody there says
local hv = require "hv"

io.stdout:setvbuf("line")

local port = tonumber(arg[1])
if not port then
  io.stderr:write("Usage: ws_server.lua port\n")
  os.exit(2)
end

local app = hv.http.app()

app:ws("/", function(ws, req)
  print("open: GET " .. req.target)
  hv.go(function()
    while ws:send(os.date("%Y-%m-%d %H:%M:%S")) do hv.sleep(1000) end
  end)
  for message in ws:messages() do print("message: " .. message) end
  print("closed: " .. ws.close_code)
end)

app:ws("/echo", {
  deflate = true,
  on_message = function(ws, data, kind) ws:send(data, kind) end,
})

app:ws("/chat/:room", {
  max_message = "4K",
  on_open = function(ws, req)
    ws.data = { room = req.params.room, name = req.query.name or "guest" }
    ws:subscribe(ws.data.room)
    app:publish(ws.data.room, ws.data.name .. " has come")
  end,
  on_message = function(ws, text)
    app:publish(ws.data.room, ws.data.name .. ": " .. text)
  end,
  on_close = function(ws)
    app:publish(ws.data.room, ws.data.name .. " has gone")
  end,
})

local server = assert(app:listen { port = port })
print("listening on " .. server:port())
