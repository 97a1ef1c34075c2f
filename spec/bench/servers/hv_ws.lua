-- hv_ws.lua PORT [task] - WebSocket echo, by on_message or by a task a socket.
local hv = require "hv"

local app = hv.http.app()
if arg[2] == "task" then
  app:ws("/", function(ws)
    for data, kind in ws:messages() do ws:send(data, kind) end
  end)
else
  app:ws("/", { on_message = function(ws, data, kind) ws:send(data, kind) end })
end
assert(app:listen { host = "127.0.0.1", port = tonumber(arg[1]) })
