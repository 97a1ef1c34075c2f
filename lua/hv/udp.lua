--- hv.udp - datagram sockets.
local misuse = require("_hv.loop").misuse
local options = require "hv.options"
local raw = require "_hv.udp"
local shutdown = require "hv.shutdown"
local wait = require "hv.wait"

---@class hv.udp
local M = {}

raw.methods.recv = wait.waits(raw.methods.recv)

local known = {
  host = { "string" }, port = { "port" }, broadcast = { "boolean", false },
  on_message = { "function" }, on_close = { "function" },
}
local read_multicast = options.reader("sock:set_multicast", {
  ttl = { "integer" }, loop = { "boolean" }, interface = { "string" },
})
local set_multicast = raw.methods.set_multicast

--- How datagrams to groups are sent: the hops that they may take (1), whether they come back to
--- this host (true), and the interface that they leave by.
---@param opts { ttl?: integer, loop?: boolean, interface?: string }
function raw.methods:set_multicast(opts)
  local t = read_multicast(opts)
  if t.ttl and t.ttl > 255 then
    return misuse("sock:set_multicast: ttl must be 0..255, got " .. t.ttl)
  end
  return set_multicast(self, t.ttl, t.loop, t.interface)
end

local known_bind = { reuse_port = { "boolean", false } }
for key, entry in pairs(known) do known_bind[key] = entry end
local read_bind = options.reader("hv.udp.bind", known_bind)
local read_connect = options.reader("hv.udp.connect", known)

local function open(is_client, host, port, t)
  local sock, message, code = raw.open(is_client, host, port, t)
  if sock and t.broadcast then
    local ok
    ok, message, code = sock:set_broadcast(true)
    if not ok then
      sock:close()
      return nil, message, code
    end
  end
  return sock, message, code
end

--- Binds a socket that gets datagrams from everybody. With on_message each begins a task;
--- otherwise `recv` waits for the next one.
---@param opts hv.UdpBindOptions
---@return hv.Udp? sock
---@return string? message
---@return hv.ErrCode? code EADDRINUSE, EACCES, ENOTFOUND
function M.bind(opts)
  local t = read_bind(opts)
  local port = t.port or shutdown.facts.port
  if not port then return misuse("hv.udp.bind: port is missing") end
  return shutdown.register(open(false, t.host or "", port, t))
end

--- A socket whose peer is host:port: `send(data)` needs no address, and only its datagrams come.
---@param opts hv.UdpOptions
---@return hv.Udp? sock
---@return string? message
---@return hv.ErrCode? code ENOTFOUND ...
function M.connect(opts)
  local t = read_connect(opts)
  if not t.host then return misuse("hv.udp.connect: host is missing") end
  if not t.port then return misuse("hv.udp.connect: port is missing") end
  return open(true, t.host, t.port, t)
end

return M
