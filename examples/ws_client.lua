-- ws_client.lua - connects to a WebSocket server, says hello, prints what comes, and connects again
-- whenever it is cut off: after 1, 2, 4, 8, 10, 10 ... seconds.
--
--     hvlua ws_server.lua 8888
--     hvlua ws_client.lua ws://127.0.0.1:8888/
local hv = require "hv"

io.stdout:setvbuf("line")

local url = arg[1]
if not url or not url:find "^wss?://" then
  io.stderr:write("Usage: ws_client.lua url [text...]\n")
  os.exit(2)
end

hv.ws.connect(url, {
  reconnect = { min_delay = 1000, max_delay = 10000, policy = "exponential" },
  on_open = function(ws)
    print("open")
    if #arg == 1 then ws:send("hello") end
    for i = 2, #arg do ws:send(arg[i]) end
  end,
  on_message = function(_, data, kind)
    print(kind == "text" and "message: " .. data or "message of " .. #data .. " bytes")
  end,
  on_close = function(_, code, reason)
    print(("closed: %d %s"):format(code, reason))
  end,
})
