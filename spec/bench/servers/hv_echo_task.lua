-- hvlua echo, one task a connection.
-- hvlua hv_echo_task.lua PORT
local hv = require "hv"

local options = { host = "127.0.0.1", port = tonumber(arg[1]), backlog = 4096 }
assert(hv.tcp.listen(options, function(conn)
  for chunk in conn:chunks() do
    if not conn:write(chunk) then return end
  end
end))
