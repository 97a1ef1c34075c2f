-- protorpc.lua - what protorpc_server.lua and protorpc_client.lua share: the messages of proto/,
-- the framing, and a client.
local bit = require "bit"
local hv = require "hv"

local folder = (arg[0]:match("^(.*)/") or ".") .. "/proto/"

-- Three files, one after the other: each defines messages of the package protorpc.
local M = {
  base = assert(hv.protobuf.load(folder .. "base.proto")),
  calc = assert(hv.protobuf.load(folder .. "calc.proto")),
  login = assert(hv.protobuf.load(folder .. "login.proto")),
  unpack = { mode = "length_field", body_offset = 5, length_field_offset = 1,
    length_field_bytes = 4, length_field_coding = "big", max_length = "2M" },
}

-- Bytes as a packet: one byte of flags, four of length.
function M.pack(bytes)
  local n = #bytes
  return string.char(0, bit.rshift(n, 24), bit.band(bit.rshift(n, 16), 255),
    bit.band(bit.rshift(n, 8), 255), bit.band(n, 255)) .. bytes
end

-- The message in a packet: its table, or nil, message, code.
function M.read(name, packet) return M.base:decode(name, packet:sub(6)) end

local Client = {}
Client.__index = Client

-- Connects. Returns the client, or nil, message, code.
function M.connect(host, port)
  local conn, message, code = hv.tcp.connect {
    host = host, port = port, unpack = M.unpack, read_timeout = 10000 }
  if not conn then return nil, message, code end
  return setmetatable({ conn = conn, last_id = 0 }, Client)
end

-- Calls a method with messages as bytes. Returns the result's bytes; nil and the Error where the
-- server says no; nil, message, code where the connection fails.
function Client:call(method, ...)
  self.last_id = self.last_id + 1
  local request = { id = self.last_id, method = method, params = { ... } }
  if self.on_request then self.on_request(request) end
  local ok, message, code = self.conn:write(M.pack(M.base:encode("protorpc.Request", request)))
  if not ok then return nil, message, code end
  local packet
  packet, message, code = self.conn:read()
  if not packet then return nil, message, code end
  local response
  response, message, code = M.read("protorpc.Response", packet)
  if not response then return nil, message, code end
  if response.id ~= request.id then return nil, "an answer to something else", "EPROTO" end
  if response.error then return nil, response.error end
  return response.result or ""
end

function Client:close() return self.conn:close() end

return M
