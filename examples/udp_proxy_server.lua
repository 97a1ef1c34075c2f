-- udp_proxy_server.lua - passes datagrams on to another server, and its answers back: every client
-- has a socket of its own towards the server, so that answers find their way.
--
--     hvlua udp_proxy_server.lua 5353 192.0.2.1:53
local hv = require "hv"

io.stdout:setvbuf("line")

local IDLE_MS = 60000 -- a client that is silent for so long is forgotten
local CLIENTS_MAX = 1024

local port = tonumber(arg[1])
local host, backend_port = (arg[2] or ""):match("^(.+):(%d+)$")
if not (port and host) then
  io.stderr:write("Usage: udp_proxy_server.lua port host:port\n")
  os.exit(2)
end

local clients, count = {}, 0 -- "ip:port" -> { sock =, timer = }

local function forget(key)
  local client = clients[key]
  if not client then return end
  clients[key], count = nil, count - 1
  client.timer:stop()
  client.sock:close()
end

local function client_of(front, peer)
  local key = peer.ip .. ":" .. peer.port
  local client = clients[key]
  if client then
    client.timer:reset()
    return client
  end
  if count >= CLIENTS_MAX then return nil end
  client = {}
  client.sock = assert(hv.udp.connect { host = host, port = tonumber(backend_port),
    on_message = function(_, answer)
      client.timer:reset()
      front:send(answer, peer.ip, peer.port)
    end,
    on_close = function() forget(key) end })
  client.timer = hv.after(IDLE_MS, forget, key)
  clients[key], count = client, count + 1
  return client
end

local front = assert(hv.udp.bind { port = port, on_message = function(front, data, peer)
  local client = client_of(front, peer)
  if client then client.sock:send(data) end
end })
print("listening on " .. front:port())
