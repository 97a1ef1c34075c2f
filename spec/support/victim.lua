-- victim.lua - the program that hostile clients are let loose on: servers of every style on free
-- ports, which it prints; ends on SIGTERM with what it still holds.
local hv = require "hv"

local listen = { host = "127.0.0.1", port = 0 }
local flooded = 0

local echo = assert(hv.tcp.listen(listen, function(conn)
  for chunk in conn:chunks() do
    if not conn:write(chunk) then return end
  end
end))

local lines = assert(hv.tcp.listen {
  host = "127.0.0.1", port = 0,
  unpack = { mode = "delimiter", delimiter = "\n", max_length = 4096 },
  on_open = function(conn) conn:write("hello\n") end,
  on_message = function(conn, line)
    if line == "wait\n" then hv.sleep(1) end
    conn:write(line)
  end,
  on_close = function() end,
})

--- Writes without end to whoever connects, as far as it is let.
local flood = assert(hv.tcp.listen(listen, function(conn)
  local piece = ("x"):rep(65536)
  while conn:write(piece) do flooded = flooded + #piece end
end))

local app = hv.http.app { max_body = "64K" }
app:get("/good/:n", function(req) return "good " .. req.params.n end)
app:post("/echo", function(req, res)
  local body = req:body()
  if body then res:send(body) end
end)
app:get("/slow", function()
  hv.sleep(5)
  return "slow"
end)
local big = ("0123456789abcdef"):rep(65536)
app:get("/big", function() return big end)
app:get("/stream", function(_, res)
  while res:write(("y"):rep(16384)) do end
end)
local http = assert(app:listen(listen))

local control_app = hv.http.app()
control_app:get("/", function()
  collectgarbage()
  collectgarbage()
  local refs = 0
  for key, value in pairs(debug.getregistry()) do
    if type(key) == "number" and type(value) ~= "number" then refs = refs + 1 end
  end
  return { json = {
    count = echo:count() + lines:count() + flood:count() + http:count(),
    echo = echo:count(), lines = lines:count(), flood = flood:count(), http = http:count(),
    flooded = flooded, refs = refs,
  } }
end)
local control = assert(control_app:listen(listen))

hv.on_error(function(_, traceback) print("error: " .. traceback) end)
hv.on_signal("term", function()
  for _, server in ipairs { echo, lines, flood, http, control } do server:close() end
end)

print(("ports %d %d %d %d %d"):format(echo:port(), lines:port(), flood:port(), http:port(),
  control:port()))
io.stdout:flush()
