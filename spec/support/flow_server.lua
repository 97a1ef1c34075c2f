-- flow_server.lua - a server whose memory a spec watches: it counts what it gets and what it gives.
local hv = require "hv"

local app = hv.http.app { max_body = 0, write_timeout = 0 }
local written = 0

app:put("/up", function(req)
  local bytes = 0
  for piece in function() return (req:read()) end do bytes = bytes + #piece end
  return ("%d"):format(bytes)
end)

app:get("/down", function(_, res)
  local piece = ("x"):rep(65536)
  repeat
    written = written + #piece
  until not res:write(piece)
end)

app:get("/written", function() return ("%d"):format(written) end)

local server = assert(app:listen { host = "127.0.0.1", port = 0 })
print(server:port())
io.stdout:flush()
