---@meta hv.http
--- The types of requests. Functions and methods are documented where they stand, in
--- lua/hv/http_client.lua, http_reply.lua and http_cookies.lua.

---@alias hv.HttpProxy string|false "http[s]://[user:password@]host:port" (https: TLS with the proxy), "socks5://..." (the proxy resolves names), "env" for the one the environment names; false: none

---@class hv.HttpRequestOptions
---@field method? string        "GET"
---@field url? string           http or https; "host:port/path" is taken as http; user:password@ become basic authorization. Given by position in hv.http.get and its kin
---@field headers? table<string, string|number|string[]>|hv.HttpHeaders Connection, Content-Length, Transfer-Encoding, Expect and Upgrade are the client's own and left out, and so is TE but for "trailers"
---@field query? table          added to the URL's, as hv.url.encode_query takes it
---@field body? string|fun(): string?|{ file: string, type?: string } a function gives piece after piece, nil at the end (sent in chunks); a file is streamed
---@field json? any             encoded, application/json
---@field form? table|string    application/x-www-form-urlencoded
---@field multipart? table      multipart/form-data: { name = value | { file = path } } or a list of { name=, value= | file=, filename=, type= }; files are streamed
---@field trailers? table<string, string|number>|hv.HttpHeaders|fun(): table<string, string|number>? fields behind the body, which is then sent in chunks (HTTP/1.1); the function is asked when the body has ended
---@field stream? boolean       the body is read by reply:read() or reply:chunks(), slowly if need be
---@field on_progress? fun(direction: "up"|"down", bytes: integer, total: integer?)
---@field timeout? integer      ms for all of it, redirects included; 30000; with stream up to the head; 0: none
---@field connect_timeout? integer ms for name, connect, proxy and TLS; 10000
---@field idle_timeout? integer ms between two pieces of a streamed body; 60000; 0: none
---@field redirects? integer|boolean how many are followed; 10; false: none, the 3xx is the reply
---@field proxy? hv.HttpProxy   false
---@field proxy_tls? true|hv.TlsOptions|hv.TlsContext of an https proxy; true
---@field tls? boolean|hv.TlsOptions|hv.TlsContext verified by the system's roots unless it says otherwise
---@field decompress? boolean   asks for gzip, deflate and br and decodes them; true
---@field auth? { [1]: string, [2]: string }|{ bearer: string } basic user and password, or a token
---@field max_body? integer|string of the decoded body; "64M", none for a stream; 0: none; beyond it ELIMIT
---@field unix_socket? string   connects to that path in place of the URL's host
---@field user_agent? string
---@field expect? integer|string bodies from that size on are announced by Expect: 100-continue; "1M"; 0: none is
---@field close? boolean        Connection: close
---@field fresh? boolean        takes no kept connection
---@field http2? boolean|"prior_knowledge" HTTP/2: over TLS where the server chooses it (true); never; or as known to be spoken, also in the clear. A list `alpn` among the TLS options is offered as it is
---@field upgrade? string       asks for another protocol; a 101 is then a reply whose call holds the connection
---@field cookies? boolean|hv.HttpCookies false: none of the client's; a jar: for this request
---@field on_request? fun(head: string, call: userdata) gets each request's head as it is sent; call:request_head() names its version once there is an answer

---@class hv.HttpClientOptions
---@field base_url? string      requests are below it: "users" and "/users" alike
---@field headers? table<string, string|number|string[]>
---@field query? table
---@field cookies? boolean|hv.HttpCookies true: a jar of its own
---@field timeout? integer
---@field connect_timeout? integer
---@field idle_timeout? integer
---@field redirects? integer|boolean
---@field proxy? hv.HttpProxy
---@field proxy_tls? true|hv.TlsOptions|hv.TlsContext
---@field tls? boolean|hv.TlsOptions|hv.TlsContext
---@field decompress? boolean
---@field auth? { [1]: string, [2]: string }|{ bearer: string }
---@field max_body? integer|string
---@field unix_socket? string
---@field user_agent? string
---@field max_connections? integer   to one host; 64; further requests wait
---@field max_waiting? integer       requests that wait; 10000; beyond it ELIMIT
---@field max_idle? integer          kept connections of all hosts; 256
---@field max_idle_per_host? integer 64
---@field keep_alive? integer        ms that an unused connection is kept; 30000
---@field max_header? integer|string of a response; "64K"
---@field max_headers? integer       200
---@field max_status_line? integer|string "8K"
---@field http2? boolean|"prior_knowledge"
---@field max_streams? integer       requests at once on a connection of HTTP/2, if the server takes as many; 1000
---@field stream_window? integer|string what a server may send of a response that is not read, by HTTP/2; "1M"
---@field ping_interval? integer     ms without a byte on a connection of HTTP/2 that has requests, then it is asked by a PING; 0: never, as by default
---@field pong_timeout? integer      ms to answer it; then the connection is closed, and its requests are sent again where that is safe, or fail with ETIMEDOUT; 20000
---@field max_interim? integer       responses of 1xx before the final one; 16

---@class hv.HttpClient
local HttpClient = {}

---@async
---@param url string
---@param body? string
---@param opts? hv.HttpRequestOptions
---@return hv.HttpReply? reply
---@return string? message
---@return hv.ErrCode? code
function HttpClient:get(url, body, opts) end

---@async
---@param url string
---@param body? string
---@param opts? hv.HttpRequestOptions
---@return hv.HttpReply? reply
---@return string? message
---@return hv.ErrCode? code
function HttpClient:head(url, body, opts) end

---@async
---@param url string
---@param body? string
---@param opts? hv.HttpRequestOptions
---@return hv.HttpReply? reply
---@return string? message
---@return hv.ErrCode? code
function HttpClient:post(url, body, opts) end

---@async
---@param url string
---@param body? string
---@param opts? hv.HttpRequestOptions
---@return hv.HttpReply? reply
---@return string? message
---@return hv.ErrCode? code
function HttpClient:put(url, body, opts) end

---@async
---@param url string
---@param body? string
---@param opts? hv.HttpRequestOptions
---@return hv.HttpReply? reply
---@return string? message
---@return hv.ErrCode? code
function HttpClient:patch(url, body, opts) end

---@async
---@param url string
---@param body? string
---@param opts? hv.HttpRequestOptions
---@return hv.HttpReply? reply
---@return string? message
---@return hv.ErrCode? code
function HttpClient:delete(url, body, opts) end

---@async
---@param url string
---@param body? string
---@param opts? hv.HttpRequestOptions
---@return hv.HttpReply? reply
---@return string? message
---@return hv.ErrCode? code
function HttpClient:options(url, body, opts) end

---@class hv.HttpCookies
local HttpCookies = {}
