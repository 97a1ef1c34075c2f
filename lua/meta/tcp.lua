---@meta hv.tcp
--- The types of hv.tcp: what bindings/conn.c and tcp.c give, and the tables that lua/hv/tcp.lua
--- takes.

---@class hv.UnpackSetting
---@field mode "fixed"|"delimiter"|"length_field"
---@field max_length? integer|string   bytes of a whole packet; "2M"; beyond it ELIMIT
---@field length? integer              fixed
---@field delimiter? string            1..8 bytes, which belong to the packet
---@field body_offset? integer         where the body begins
---@field length_field_offset? integer 0
---@field length_field_bytes? integer  1..8
---@field length_field_coding? "big"|"little"|"varint"
---@field length_adjustment? integer   added to the field's value

---@class hv.TcpStreamOptions
---@field host? string
---@field port? integer
---@field path? string                 a unix socket instead of host and port
---@field no_delay? boolean            true
---@field unpack? hv.UnpackSetting     read gives whole packets
---@field read_timeout? integer|false  of one waiting read; 300000; the connection stays open
---@field write_timeout? integer|false bytes queued, none taken by the peer; 60000; closes
---@field idle_timeout? integer|false  neither in nor out; none; closes
---@field write_high? integer|string   write waits above it; "1M"
---@field tls? true|hv.TlsOptions|hv.TlsContext true: a client that verifies by the system's roots

---@class hv.TcpListenOptions: hv.TcpStreamOptions
---@field backlog? integer             0: the kernel's maximum
---@field reuse_port? boolean
---@field mode? string                 of a unix socket's file, octal: "660"; a file that nobody listens on is replaced
---@field max_connections? integer     accepting rests above it; 0: no limit
---@field handshake_timeout? integer|false of TLS; 10000
---@field on_open? fun(conn: hv.Tcp)
---@field on_message? fun(conn: hv.Tcp, data: string) a piece, or a packet where unpack is set
---@field on_drain? fun(conn: hv.Tcp)  the queue has fallen to half of write_high
---@field on_close? fun(conn: hv.Tcp, message?: string, code?: hv.ErrCode) nil: we closed it

---@class hv.TcpConnectOptions: hv.TcpStreamOptions
---@field timeout? integer             10000, for TLS as well
---@field bind? string                 the address to connect from: "192.0.2.1", "192.0.2.1:4000"

---@class hv.TcpClientOptions: hv.TcpStreamOptions
---@field on_open? fun(client: hv.TcpClient)
---@field on_message? fun(client: hv.TcpClient, data: string)
---@field on_drain? fun(client: hv.TcpClient)
---@field on_close? fun(client: hv.TcpClient, message?: string, code?: hv.ErrCode, retry_in?: integer) of a connection that has ended or an attempt that has failed; retry_in: milliseconds, nil: it was the last
---@field timeout? integer             of each attempt; 10000
---@field bind? string                 the address to connect from: "192.0.2.1", "192.0.2.1:4000"
---@field reconnect? boolean|{ min_delay?: integer, max_delay?: integer, policy?: "exponential"|"linear"|"fixed", max_retries?: integer }

---@class hv.TcpServer
local Server = {}

---@return integer? port
---@return string? message
---@return hv.ErrCode? code
function Server:port() end
--- The number of its descriptor; as for a connection, only to look at and to set options.
---@return integer? fd
---@return string? message
---@return hv.ErrCode? code ECLOSED
function Server:fd() end
---@return integer open connections
function Server:count() end
--- Takes in who waits to be accepted, then closes the listener; connections go on. hv.shutdown
--- calls it.
function Server:drain() end
---@return { ip: string, port: integer }|{ path: string }
function Server:address() end
--- Ends accepting; connections stay. May be called twice.
---@return true
function Server:close() end
---@return hv.TcpServer self
function Server:ref() end
---@return hv.TcpServer self
function Server:unref() end

---@class hv.Tcp
---@field id integer unique in the process
---@field data any   the user's own
local Conn = {}

--- The next bytes; exactly `n`; or the next packet where unpack is set. After a timeout, and after
--- an end that came too early, the bytes that are there stay readable.
---@async
---@param n? integer
---@return string? data
---@return string? message
---@return hv.ErrCode? code EOF, ECLOSED, ETIMEDOUT, EBUSY (another task reads), ELIMIT ...
function Conn:read(n) end

--- Up to the delimiter, which belongs to the result.
---@async
---@param delimiter string 1..8 bytes
---@param max? integer     bytes; 2 MiB; beyond it the connection closes with ELIMIT
---@return string? data
---@return string? message
---@return hv.ErrCode? code
function Conn:read_until(delimiter, max) end

--- A line without its end, "\n" or "\r\n".
---@async
---@param max? integer
---@return string? line
---@return string? message
---@return hv.ErrCode? code
function Conn:read_line(max) end

---@return fun(): string?
function Conn:chunks() end
---@return fun(): string?
function Conn:packets() end
---@return fun(): string?
function Conn:lines() end

--- Sends. Returns at once while less than write_high is queued, else when the peer has caught up.
---@async
---@param data string|string[]
---@return true? ok
---@return string? message
---@return hv.ErrCode? code ECLOSED, EBUSY (another task waits to write), EPIPE, ELIMIT ...
function Conn:write(data) end

--- Ends our side when all is sent; reading goes on. A program's stdin closes then.
---@return true? ok
---@return string? message
---@return hv.ErrCode? code
function Conn:shutdown() end

--- Closes when all is sent; whoever waits gets ECLOSED. May be called twice.
---@return true
function Conn:close() end

---@return { ip: string, port: integer }|{ path: string }
function Conn:peer() end
---@return { ip: string, port: integer }|{ path: string }|nil
function Conn:local_address() end
--- The number of its descriptor, for what only the system can tell or set (getsockopt by ffi).
--- It stays the connection's: whoever closes, reads or writes it pulls it from under the loop.
---@return integer? fd
---@return string? message
---@return hv.ErrCode? code ECLOSED
function Conn:fd() end

---@param setting? hv.UnpackSetting nil: bytes as they come
function Conn:set_unpack(setting) end
---@param timeouts { read?: integer|false, write?: integer|false, idle?: integer|false }
function Conn:set_timeout(timeouts) end
--- Calls fn every `ms` while it is connected, to send what keeps it alive; 0 ends it.
---@param ms integer
---@param fn? fun(conn: hv.Tcp)
function Conn:heartbeat(ms, fn) end

--- Goes on under TLS ("STARTTLS"); a client verifies the host that it has connected to.
---@async
---@param opts true|hv.TlsOptions|hv.TlsContext
---@param timeout? integer milliseconds; 10000
---@return true? ok
---@return string? message
---@return hv.ErrCode? code ETLS, ETIMEDOUT, EBUSY, ECLOSED; but for EBUSY the connection has closed
function Conn:start_tls(opts, timeout) end

--- Passes on what either side sends, both ways and in the core, until both have ended; then both
--- are closed. A process is piped to by its stdin and stdout.
---@async
---@param other hv.Tcp|hv.Process
---@return integer? sent bytes from here to `other`
---@return integer|string received or message
---@return hv.ErrCode? code ECONNRESET, ECLOSED (closed by hand), EBUSY ...
---@return integer? sent of a pipe that has failed
---@return integer? received
function Conn:pipe(other) end

--- What TLS has agreed on; nil where the connection is in clear.
---@return hv.TlsFacts?
function Conn:tls() end

---@return hv.Tcp self
function Conn:ref() end
---@return hv.Tcp self
function Conn:unref() end

---@class hv.TcpClient
local Client = {}
--- Waits above write_high, as conn:write does.
---@async
---@param data string|string[]
---@return true? ok
---@return string? message
---@return hv.ErrCode? code ENOTCONN while it is down
function Client:write(data) end
---@return boolean
function Client:is_open() end
---@return hv.Tcp? conn the connection of the moment
function Client:conn() end
---@return true
function Client:close() end
---@return hv.TcpClient self
function Client:ref() end
---@return hv.TcpClient self
function Client:unref() end

return {}
