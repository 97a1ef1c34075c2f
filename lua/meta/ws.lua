---@meta hv.ws
--- The types of hv.ws and app:ws: what bindings/ws.c and ws_socket.c give, and the tables of
--- options. What Lua adds is documented where it stands.

---@class hv.ReconnectOptions
---@field min_delay? integer before the second attempt; 1000
---@field max_delay? integer 10000
---@field policy? "exponential"|"linear"|"fixed" exponential
---@field max_retries? integer for ever without it

---@class hv.WsDeflate permessage-deflate, RFC 7692
---@field server_context? boolean the server keeps its window between messages: better, but 300 KiB a socket
---@field client_context? boolean the client does
---@field server_window_bits? integer 8..15
---@field client_window_bits? integer 8..15
---@field level? integer 1 fast .. 9 small; 6
---@field min_bytes? integer|string shorter messages are not compressed; 1024

---@class hv.WsCommonOptions
---@field protocols? string|string[] subprotocols, the best first; ws.protocol is the one agreed on
---@field deflate? boolean|hv.WsDeflate false for servers, true for clients
---@field max_message? integer|string of one message, inflated; "16M"; beyond it closed with 1009
---@field max_fragments? integer frames of one message; 131072
---@field ping_interval? integer nothing came for so many ms: a ping is sent; 30000; 0: never
---@field pong_timeout? integer and nothing for so many more: closed with ETIMEDOUT; 20000
---@field close_timeout? integer for the peer to answer a close; 5000
---@field write_high? integer|string send waits above it; "1M"
---@field write_max? integer|string send refuses with ELIMIT, and publish cuts off, beyond it; "16M"
---@field read_ahead? integer|string messages kept while nobody receives; "64K"; then the peer waits
---@field on_message? fun(ws: hv.Ws, data: string, kind: "text"|"binary") in order, one at a time; messages of one wake-up share a task until one waits or uses hv.current or hv.defer
---@field on_close? fun(ws: hv.Ws, code: integer, reason: string) 1006: without a close frame
---@field on_drain? fun(ws: hv.Ws) what was queued above write_high is sent
---@field on_pong? fun(ws: hv.Ws, data: string)

---@class hv.WsOptions: hv.WsCommonOptions
---@field origins? string|string[] who may come, "https://a.example"; anybody where it is not given
---@field on_open? fun(ws: hv.Ws, req: hv.WsRequest)

---@class hv.WsConnectOptions: hv.WsCommonOptions
---@field headers? table<string, string|string[]>
---@field timeout? integer until it is open; 10000
---@field tls? boolean|hv.TlsOptions|hv.TlsContext for wss
---@field proxy? hv.HttpProxy to go through, by CONNECT or SOCKS 5; false
---@field proxy_tls? true|hv.TlsOptions|hv.TlsContext of an https proxy; true
---@field reconnect? boolean|hv.ReconnectOptions
---@field on_open? fun(ws: hv.Ws|hv.WsClient)

---@class hv.WsRequest what is known of the request that a socket was made of
---@field path string
---@field params table<string, string>
---@field query table<string, string>
---@field headers hv.HttpHeaders
---@field cookies table<string, string>
---@field version "1.1"|"2"
---@field target string
---@field host string?
---@field scheme string
---@field peer { ip: string, port: integer }

---@class hv.Ws
---@field id integer? unique number of the connection, while there is one
---@field data any the user's own slot
---@field is_open boolean
---@field protocol string? the subprotocol agreed on
---@field is_deflated boolean permessage-deflate was agreed on
---@field buffered integer bytes that wait to be sent
---@field close_code integer? once it is closed: the peer's, 1005 without one, 1006 without a close
---@field close_reason string? the peer's words
local Ws = {}

--- Sends a message. Returns at once below `write_high`, and waits above it.
---@async
---@param data string
---@param kind? "text"|"binary" text
---@return true? ok
---@return string? message
---@return hv.ErrCode? code ECLOSED, EINVAL (text that is no UTF-8), ELIMIT, EBUSY (another task waits)
function Ws:send(data, kind) end

--- Waits for the next message.
---@async
---@param timeout? integer milliseconds; none without it
---@return string? data
---@return string kind "text" or "binary"; or why there is none
---@return hv.ErrCode? code ECLOSED at the end in good order; EOF, ECONNRESET, ETIMEDOUT, EPROTO, ELIMIT
function Ws:receive(timeout) end

--- Sends a ping; not needed to keep a connection, see ping_interval.
---@param data? string up to 125 bytes
---@return true? ok
---@return string? message
---@return hv.ErrCode? code
function Ws:ping(data) end

--- Begins to close: what is queued is sent, then a close frame; who waits gets ECLOSED. Again:
--- nothing.
---@param code? integer 1000..1003, 1007..1014, 3000..4999; 1000
---@param reason? string up to 123 bytes, UTF-8
---@return true
function Ws:close(code, reason) end

--- Gets what is published on a topic from now on, until it closes or unsubscribes.
---@param topic string 1..1024 bytes
---@return true? ok
---@return string? message
---@return hv.ErrCode? code ECLOSED, ELIMIT (4096 topics)
function Ws:subscribe(topic) end

---@param topic string
---@return true? ok
---@return string? message
---@return hv.ErrCode? code ENOTFOUND
function Ws:unsubscribe(topic) end

---@return { ip?: string, port?: integer, path?: string }? address
---@return string? message
---@return hv.ErrCode? code ECLOSED
function Ws:peer() end

--- Lets it keep the loop running (it does from the start), or not.
---@return hv.Ws self
function Ws:ref() end

---@return hv.Ws self
function Ws:unref() end

---@class hv.WsClient
local WsClient = {}

---@param data? string
---@return true? ok
---@return string? message
---@return hv.ErrCode? code ENOTCONN while it is down
function WsClient:ping(data) end

---@return { ip?: string, port?: integer, path?: string }? address
---@return string? message
---@return hv.ErrCode? code ENOTCONN, ECLOSED
function WsClient:peer() end

--- Of the socket of the moment: to be said again in on_open.
---@param topic string
---@return true? ok
---@return string? message
---@return hv.ErrCode? code ENOTCONN, ECLOSED, ELIMIT
function WsClient:subscribe(topic) end

---@param topic string
---@return true? ok
---@return string? message
---@return hv.ErrCode? code ENOTCONN, ENOTFOUND
function WsClient:unsubscribe(topic) end
