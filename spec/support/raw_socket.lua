--- raw_socket.lua - a client without manners, for specs that play a hostile one: sockets of the C
--- library, which can be reset (RST) as well as closed, and know nothing of the loop.
local ffi = require "ffi"
local bit = require "bit"

ffi.cdef [[
typedef struct { uint16_t family; uint16_t port; uint32_t addr; char zero[8]; } raw_address;
typedef struct { int onoff; int linger; } raw_linger;
int socket(int domain, int type, int protocol);
int connect(int fd, const raw_address *addr, unsigned len);
int setsockopt(int fd, int level, int name, const void *value, unsigned len);
int shutdown(int fd, int how);
int close(int fd);
ssize_t send(int fd, const void *data, size_t len, int flags);
ssize_t recv(int fd, void *data, size_t len, int flags);
]]

local AF_INET, SOCK_STREAM, SOCK_CLOEXEC = 2, 1, 524288
local SOL_SOCKET, SO_RCVBUF, SO_LINGER = 1, 8, 13
local MSG_DONTWAIT, MSG_NOSIGNAL = 64, 16384

local Socket = {}
Socket.__index = Socket

local M = {}

--- Connects to a port of 127.0.0.1. A small receive buffer makes a slow reader slower.
function M.connect(port, receive_buffer)
  local fd = ffi.C.socket(AF_INET, SOCK_STREAM + SOCK_CLOEXEC, 0)
  assert(fd >= 0, "socket")
  if receive_buffer then
    local size = ffi.new("int[1]", receive_buffer)
    ffi.C.setsockopt(fd, SOL_SOCKET, SO_RCVBUF, size, 4)
  end
  local address = ffi.new "raw_address"
  address.family = AF_INET
  address.port = bit.bor(bit.lshift(bit.band(port, 255), 8), bit.rshift(port, 8))
  address.addr = 0x0100007f
  assert(ffi.C.connect(fd, address, ffi.sizeof(address)) == 0, "connect")
  return setmetatable({ fd = fd }, Socket)
end

--- Sends what fits now; returns how many bytes that was, -1 where the peer has gone.
function Socket:send(data)
  return tonumber(ffi.C.send(self.fd, data, #data, bit.bor(MSG_DONTWAIT, MSG_NOSIGNAL)))
end

--- What is there now: "" at the end, nil where there is nothing yet or the peer has reset.
function Socket:receive(bytes)
  bytes = bytes or 65536
  local buffer = ffi.new("char[?]", bytes)
  local len = tonumber(ffi.C.recv(self.fd, buffer, bytes, MSG_DONTWAIT))
  return len >= 0 and ffi.string(buffer, len) or nil
end

--- Ends the sending side only.
function Socket:half_close()
  ffi.C.shutdown(self.fd, 1)
end

function Socket:close()
  if self.fd then ffi.C.close(self.fd) end
  self.fd = nil
end

--- Closes with an RST instead of a FIN.
function Socket:reset()
  local linger = ffi.new("raw_linger", 1, 0)
  ffi.C.setsockopt(self.fd, SOL_SOCKET, SO_LINGER, linger, ffi.sizeof(linger))
  self:close()
end

return M
