--- hv.tcp - TCP and unix stream sockets: servers, clients, connections.
local limits = require "hv.limits"
local misuse = require("_hv.loop").misuse
local options = require "hv.options"
local raw = require "_hv.tcp"
local shutdown = require "hv.shutdown"
local tls = require "hv.tls"
local unpack_setting = require "hv.unpack"
local wait = require "hv.wait"

---@class hv.tcp
local M = {}

-- ---- Connections ----

local Conn = raw.methods
local field = raw.field

--- `conn.id` and `conn.data` stand beside the methods.
raw.meta.__index = function(self, key)
  local method = Conn[key]
  if method ~= nil then return method end
  return field(self, key)
end

Conn.read = wait.waits(Conn.read)
Conn.read_until = wait.waits(Conn.read_until)
Conn.read_line = wait.waits(Conn.read_line)
Conn.write = wait.waits(Conn.write)

--- A for loop hands the last value back as an argument; these drop it.
local function next_chunk(self) return (Conn.read(self)) end
local function next_line(self) return (Conn.read_line(self)) end

--- `for chunk in conn:chunks()`: what comes, piece by piece (or packet by packet), until the end.
function Conn:chunks()
  return next_chunk, self
end
Conn.packets = Conn.chunks

--- `for line in conn:lines()`: without the line ends.
function Conn:lines()
  return next_line, self
end

local set_unpack = Conn.set_unpack
function Conn:set_unpack(setting)
  if setting ~= nil then setting = unpack_setting.check(setting, "conn:set_unpack") end
  return set_unpack(self, setting)
end

local read_timeouts = options.reader("conn:set_timeout", {
  read = { "ms" }, write = { "ms" }, idle = { "ms" },
})
local set_timeout = Conn.set_timeout
function Conn:set_timeout(timeouts)
  local t = read_timeouts(timeouts)
  return set_timeout(self, t.read, t.write, t.idle)
end

local start_tls = wait.waits(Conn.start_tls)

--- Goes on under TLS, as the protocol has agreed in clear ("STARTTLS"): a client verifies the host
--- that it has connected to, a server shows a certificate. Returns when the handshake is over. What
--- the peer has sent in clear behind the last thing read is not passed on as if it came under TLS.
---@async
---@param opts true|hv.TlsOptions|hv.TlsContext
---@param timeout? integer milliseconds for the handshake; 10000; beyond it the connection closes
---@return true? ok
---@return string? message
---@return hv.ErrCode? code ETLS, ETIMEDOUT, EBUSY (somebody reads, or it is TLS already), ECLOSED
Conn.start_tls = wait.both_forms(function(self, opts, timeout)
  if timeout == nil then timeout = limits.handshake_timeout end
  if type(timeout) ~= "number" or timeout < 1 or timeout > 2 ^ 31 - 1 then
    return misuse("conn:start_tls: timeout must be milliseconds from 1, got " .. tostring(timeout))
  end
  if opts == nil then opts = true end
  if field(self, "_is_client") then
    local ctx, name, code = tls.client("start_tls", opts)
    if not ctx then return nil, name, code end
    return start_tls(self, ctx, name, timeout)
  end
  local ctx, message, code = tls.server("start_tls", opts)
  if not ctx then return nil, message, code end
  return start_tls(self, ctx, nil, timeout)
end)

local pipe = wait.waits(Conn.pipe)

--- What to pipe to: a connection, or a program's ends.
local function ends_of(other)
  if type(other) == "userdata" and getmetatable(other) == raw.meta then return other, other end
  local ok, sink, source = pcall(function() return other.stdin, other.stdout end)
  if ok and (sink or source) then return sink, source end
  return misuse("conn:pipe: a connection or a process with pipes expected, got " ..
    (type(other) == "userdata" and tostring(other) or type(other)))
end

--- Passes on what either side sends, both ways and without Lua, as fast as the slower one takes it;
--- until both have ended or one is closed or fails, and then both are closed. `other` is a
--- connection of any kind, or a process whose stdin and stdout are pipes. An end of a process's has
--- one direction only. Meanwhile nobody else reads or writes (EBUSY).
---@async
---@param other hv.Tcp|hv.Process
---@return integer? sent     bytes from here to `other`
---@return integer|string received or message
---@return hv.ErrCode? code  ECONNRESET ...; ECLOSED where one was closed by hand; EBUSY
---@return integer? sent     of a pipe that has failed
---@return integer? received
Conn.pipe = wait.both_forms(function(self, other)
  return pipe(self, ends_of(other))
end)

-- ---- Options ----

local function unpack_kind(value, where) return unpack_setting.check(value, where) end

local fn = { "function" }

local function stream_options(more)
  local known = {
    host = { "string" }, port = { "port" }, path = { "string" },
    no_delay = { "boolean", true }, unpack = { unpack_kind },
    read_timeout = { "ms", limits.read_timeout },
    write_timeout = { "ms", limits.write_timeout },
    idle_timeout = { "ms", limits.idle_timeout },
    write_high = { "size", limits.write_high }, tls = { "any" },
  }
  for key, entry in pairs(more) do known[key] = entry end
  return known
end

--- Permissions in octal digits, as chmod takes them.
local function octal(value, where)
  local number = type(value) == "string" and value:find("^[0-7]+$") and tonumber(value, 8)
  if number and number <= 511 then return number end
  return misuse(("%s: mode must be octal digits as in \"660\", got %s"):format(where,
    type(value) == "string" and ("%q"):format(value) or tostring(value)))
end

local read_listen = options.reader("hv.tcp.listen", stream_options {
  mode = { octal },
  backlog = { "integer", limits.backlog }, reuse_port = { "boolean", false },
  max_connections = { "integer", limits.max_connections },
  handshake_timeout = { "ms", limits.handshake_timeout },
  on_open = fn, on_message = fn, on_drain = fn, on_close = fn,
})

local read_connect = options.reader("hv.tcp.connect", stream_options {
  timeout = { "ms", limits.connect_timeout }, bind = { "string" },
})

local read_client = options.reader("hv.tcp.client", stream_options {
  timeout = { "ms", limits.connect_timeout }, bind = { "string" }, reconnect = { "any" },
  on_open = fn, on_message = fn, on_drain = fn, on_close = fn,
})

--- The address to connect from, "ip", "ip:port" or "[ip6]:port", in two fields.
local function read_bind(t)
  if not t.bind then return end
  local host, port = t.bind:match("^%[(.-)%]:(%d+)$")
  if not host then host, port = t.bind:match("^([^:]+):(%d+)$") end
  if host then t.bind, t.bind_port = host, tonumber(port) end
  if t.bind_port and t.bind_port > 65535 then
    misuse(("hv.tcp.connect: bind must be an address, got %q"):format(t.bind))
  end
end

--- The address in options: host and port, or path and 0.
local function address_of(where, opts, default_host)
  if opts.path then
    if opts.path:sub(1, 1) ~= "/" then
      misuse(("%s: path must begin with '/', got %q"):format(where, opts.path))
    end
    return opts.path, 0
  end
  local host, port = opts.host or default_host, opts.port
  if default_host then port = port or shutdown.facts.port end
  if not port then misuse(where .. ": port is missing") end
  if not host then misuse(where .. ": host is missing") end
  return host, port
end

-- ---- Servers ----

--- Listens for connections.
---
--- With a function as the second argument each connection runs it as a task of its own, and is
--- closed when it returns. Otherwise the functions in the options are called, one after the other
--- for each connection, and no task is parked per connection.
---@param opts hv.TcpListenOptions|string|integer options, "host:port" or a port
---@param handler? fun(conn: hv.Tcp)
---@return hv.TcpServer? server
---@return string? message
---@return hv.ErrCode? code EADDRINUSE, EACCES, ENOTFOUND (host is no address), ETLS (a file) ...
function M.listen(opts, handler)
  if type(opts) ~= "table" then opts = options.address("hv.tcp.listen", opts) end
  local t = read_listen(opts)
  local host, port = address_of("hv.tcp.listen", t, "")
  if handler ~= nil then
    if type(handler) ~= "function" then
      return misuse("hv.tcp.listen: function expected, got " .. type(handler))
    end
    if t.on_message then
      return misuse("hv.tcp.listen: either a function or on_message, not both")
    end
    t.on_task = handler
  elseif not (t.on_open or t.on_message or t.on_close) then
    return misuse("hv.tcp.listen: a function or on_message is missing")
  end
  if t.tls then
    local ctx, message, code = tls.server("listen", t.tls)
    if not ctx then return shutdown.register(nil, message, code) end
    t.tls = ctx
  end
  return shutdown.register(raw.listen(host, port, t.backlog, t.reuse_port, t.max_connections, t))
end

-- ---- Clients ----

local raw_connect = wait.waits(raw.connect)

--- Makes of the option `tls` what C takes. Returns false, message, code where it cannot.
local function read_tls(t)
  if not t.tls then
    t.tls = nil
    return true
  end
  local ctx, name, code = tls.client("connect", t.tls)
  if not ctx then return false, name, code end
  t.tls, t.tls_name = ctx, name
  return true
end

local function connect(opts)
  if type(opts) == "string" then opts = options.address("hv.tcp.connect", opts) end
  local t = read_connect(opts)
  local host, port = address_of("hv.tcp.connect", t)
  read_bind(t)
  local ok, message, code = read_tls(t)
  if not ok then return nil, message, code end
  return raw_connect(host, port, t.timeout, t)
end

--- Connects and returns once the connection is usable.
---@async
---@param opts hv.TcpConnectOptions|string options, or "host:port"
---@return hv.Tcp? conn
---@return string? message
---@return hv.ErrCode? code ECONNREFUSED, ETIMEDOUT, ENOTFOUND, ECANCELED, ETLS
M.connect = wait.both_forms(connect)

--- A client that connects again by itself; see hv.tcp_client.
---@param opts hv.TcpClientOptions
---@return hv.TcpClient? client
---@return string? message where a certificate cannot be read
---@return hv.ErrCode? code ETLS
function M.client(opts)
  local t = read_client(opts)
  local host, port = address_of("hv.tcp.client", t)
  read_bind(t)
  local ok, message, code = read_tls(t)
  if not ok then return nil, message, code end
  return require("hv.tcp_client").new(host, port, t, raw_connect)
end

return M
