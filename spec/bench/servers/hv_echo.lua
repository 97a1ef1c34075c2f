-- hvlua echo, event style: no task is parked for a connection.
-- hvlua hv_echo.lua PORT
local hv = require "hv"

assert(hv.tcp.listen({
  host = "127.0.0.1",
  port = tonumber(arg[1]),
  backlog = 4096,
  on_message = function(conn, data)
    conn:write(data)
  end,
}))
