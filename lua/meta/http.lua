---@meta hv.http
--- The types of hv.http: what bindings/http.c and http_message.c give, and the tables that
--- lua/hv/http*.lua take. Methods written in Lua are documented where they stand.

---@class hv.HttpAppOptions
---@field max_body? integer|string        bytes of one request's body; "8M"; beyond it 413; 0: none
---@field max_request_line? integer|string "8K"; beyond it 414
---@field max_header? integer|string      all header lines together; "64K"; beyond it 431
---@field max_headers? integer            their number; 100; beyond it 431
---@field max_requests? integer           of one connection; 0: no limit
---@field max_connections? integer        beyond it connections wait to be accepted; 0: no limit.
---                                       Over TLS counted from before the handshake
---@field max_handshakes? integer         of TLS, under way; 1024; beyond it connections wait; 0: no limit
---@field handshake_timeout? integer      of TLS; 10000; the connection closes
---@field request_timeout? integer        from the first byte of a head to its end; 15000; 408;
---                                      and until the first byte of a connection, which closes
---@field body_timeout? integer           between two pieces of a body; 30000; 408
---@field min_body_rate? integer|string   bytes a second of a body, on the whole and after 5 seconds;
---                                       slower: 408; 0: none
---@field idle_timeout? integer           between two requests; 75000
---@field write_timeout? integer          output waits and the peer takes none; 60000
---@field server_name? string             the Server header; none is sent without it
---@field http2? boolean|"tls"            true: where a TLS client agrees to it, and in the clear where
---                                       a client begins with it; "tls": there only; false: never
---@field max_streams? integer            requests at once on a connection of HTTP/2; 128
---@field max_glitches? integer           frames of HTTP/2 that bring nothing (pings, settings, requests
---                                       cancelled) beyond 50 a second; 1000; then it closes

---@class hv.HttpFormOptions
---@field max_parts? integer               of a form; 1000
---@field max_part_header? integer|string  header lines of a part; "8K"
---@field max_field? integer|string        a part without file name; "1M"
---@field max_form? integer|string         all parts without file name; "8M"
---@field max_file? integer|string         a part with one; none (max_body is the limit of all)

---@class hv.HttpStaticOptions
---@field index? string|false    what stands for a directory; "index.html"; false: none
---@field listing? boolean       directories without index are listed
---@field hidden? boolean        names that begin with '.' are served, too
---@field links? boolean         false: no link is followed, not even one that stays inside
---@field precompressed? boolean false: name.br and name.gz are not looked for
---@field compress? boolean      false: text is not compressed on its way
---@field cache_control? string  the Cache-Control header
---@field fallback? string       a file below the directory that is sent for pages that are missing (GET
---                              of names without an ending): for programs in one page; "index.html"

---@class hv.HttpFileOptions
---@field type? string           Content-Type; by the ending of the name
---@field download? boolean|string the browser saves it, under this name or its own
---@field status? integer        200; with another one ranges and conditions are not looked at

---@class hv.HttpListenOptions
---@field host? string        address; every IPv4 address if none is given
---@field port? integer       0..65535; 0: a free one
---@field path? string        of a unix socket, in place of host and port
---@field reuse_port? boolean several processes may listen on the port
---@field tls? hv.TlsOptions|hv.TlsContext HTTPS; alpn is { "h2", "http/1.1" } where it says none

---@alias hv.HttpResult string|integer|hv.HttpResultTable|nil
---@alias hv.HttpMiddleware fun(req: hv.HttpRequest, res: hv.HttpResponse, next: fun(): any): any

---@class hv.CorsOptions
---@field origins? string|string[]|fun(origin: string, req: hv.HttpRequest): boolean? "*"
---@field methods? string[]      those of a preflight; all that routes are made of
---@field headers? string[]      that requests may have; those that are asked for
---@field expose? string[]       that pages may read
---@field credentials? boolean   cookies and authorization too; false
---@field max_age? number        milliseconds that a preflight holds; 600000

---@class hv.BasicAuthOptions
---@field realm? string          "restricted"
---@field users? table<string, string> name = password
---@field check? fun(user: string, password: string, req: hv.HttpRequest): boolean?

---@class hv.RateLimitOptions
---@field rate number            requests in a window
---@field window? number         milliseconds; 1000
---@field burst? integer         how many more; 0
---@field key? fun(req: hv.HttpRequest): string? whose requests are counted together; the address
---@field dict? string|hv.SharedDict where the counters lie; "hv.rate_limit"
---@field size? integer|string   of that dictionary; "1M"

---@class hv.SecurityHeadersOptions
---@field frame? string|false    "DENY"
---@field referrer? string|false "no-referrer"
---@field csp? string            none
---@field hsts? number           milliseconds; 0: none

---@class hv.CompressOptions
---@field types? string[]        "text/html", "text/*" ...; text, JSON, XML and their like
---@field min? integer|string    bytes; 1024
---@field gzip? integer|boolean  level 1 .. 9; 5; false: none
---@field br? integer|boolean    level 1 .. 11; 4; false: none

---@class hv.CacheControlOptions
---@field max_age? integer          milliseconds
---@field s_maxage? integer         milliseconds, for caches that many share
---@field stale? integer            milliseconds that an old answer may be used while a new one is fetched
---@field public? boolean
---@field private? boolean          for the browser only
---@field no_store? boolean
---@field no_cache? boolean         to be asked for again each time
---@field immutable? boolean
---@field must_revalidate? boolean

---@class hv.SessionOptions
---@field secret string|string[] 32 bytes at least; of several the first one signs
---@field name? string           of the cookie; "session"
---@field max_age? integer       milliseconds from its last change; 14 days
---@field path? string           "/"
---@field domain? string
---@field secure? boolean        over TLS only; where the request came by it
---@field same_site? string      "lax"

---@class hv.LoggerOptions
---@field format? "common"|"combined"|"json"|fun(req: hv.HttpRequest, res: hv.HttpResponse): string?
---@field file? string           appended to; standard output without it
---@field write? fun(line: string)
---@field buffer? integer|string  bytes kept while the disk is slower; "1M"; lines beyond are lost

---@class hv.HttpObserver for app:use
---@field on_response fun(req: hv.HttpRequest, res: hv.HttpResponse)

---@alias hv.HttpHandler fun(req: hv.HttpRequest, res: hv.HttpResponse, next?: fun(): hv.HttpResult): hv.HttpResult

---@class hv.HttpResultTable
---@field status? integer 200 if none is given
---@field headers? table<string, string|number|string[]>
---@field body? string    text/plain unless the headers say otherwise
---@field text? string
---@field html? string
---@field json? any
---@field file? string    its path; 404 where there is none
---@field stream? fun(write: fun(chunk: string): boolean?, string?, hv.ErrCode?)

---@class hv.HttpApp
local App = {}

--- Adds a route for GET and HEAD; patterns and handlers as in app:route.
---@param pattern string
---@param ... hv.HttpHandler
---@return hv.HttpApp self
function App:get(pattern, ...) end

--- Adds a route for POST; patterns and handlers as in app:route.
---@param pattern string
---@param ... hv.HttpHandler
---@return hv.HttpApp self
function App:post(pattern, ...) end

--- Adds a route for PUT; patterns and handlers as in app:route.
---@param pattern string
---@param ... hv.HttpHandler
---@return hv.HttpApp self
function App:put(pattern, ...) end

--- Adds a route for PATCH; patterns and handlers as in app:route.
---@param pattern string
---@param ... hv.HttpHandler
---@return hv.HttpApp self
function App:patch(pattern, ...) end

--- Adds a route for DELETE; patterns and handlers as in app:route.
---@param pattern string
---@param ... hv.HttpHandler
---@return hv.HttpApp self
function App:delete(pattern, ...) end

--- Adds a route for HEAD; patterns and handlers as in app:route.
---@param pattern string
---@param ... hv.HttpHandler
---@return hv.HttpApp self
function App:head(pattern, ...) end

--- Adds a route for OPTIONS, which is answered by itself without one; as in app:route.
---@param pattern string
---@param ... hv.HttpHandler
---@return hv.HttpApp self
function App:options(pattern, ...) end

--- Adds a route for every method; patterns and handlers as in app:route.
---@param pattern string
---@param ... hv.HttpHandler
---@return hv.HttpApp self
function App:any(pattern, ...) end

---@class hv.HttpServer
local Server = {}

--- Ends as close does, but loses no request that is on its way: connections that wait are taken in,
--- idle ones may ask once more within a second. hv.shutdown calls it.
---@param grace? integer milliseconds, 10000
---@return true
function Server:drain(grace) end

---@return integer? port
---@return string? message
---@return hv.ErrCode? code ECLOSED
function Server:port() end

---@return { ip?: string, port?: integer, path?: string }? address
---@return string? message
---@return hv.ErrCode? code ECLOSED
function Server:address() end

--- Open connections.
---@return integer
function Server:count() end

--- Requests answered since the start.
---@return integer
function Server:requests() end

--- Stops listening; idle connections close at once, busy ones after their answer or after `grace`
--- milliseconds (10000). May be called again, with a shorter grace.
---@param grace? integer
---@return boolean ok
function Server:close(grace) end

--- Lets it keep the loop running (it does from the start), or not; connections do it anyway.
---@return hv.HttpServer self
function Server:ref() end

---@return hv.HttpServer self
function Server:unref() end

---@class hv.HttpHeaders
---@field [string] string the first value of a name
local Headers = {}

---@param name string any case
---@return string? value
function Headers:get(name) end

---@param name string
---@return string[] values
function Headers:get_all(name) end

---@param name string
---@param value string|number|string[]|nil
function Headers:set(name, value) end

---@param name string
---@param value string|number
function Headers:add(name, value) end

---@param name string
function Headers:remove(name) end

---@return fun(): string?, string?
function Headers:each() end

--- A request. It is over once its answer is complete and its handler has ended; facts are nil then.
---@class hv.HttpRequest
---@field method string
---@field path string              as sent, still percent-encoded, without the query
---@field target string            as sent, whole
---@field query table<string, string> decoded; of several with one name the first
---@field query_string string?     as sent
---@field params table<string, string> of the route's pattern, decoded
---@field headers hv.HttpHeaders
---@field cookies table<string, string>
---@field peer { ip?: string, port?: integer, path?: string }
---@field host string?             the authority: name and port as the client gave them
---@field scheme "http"|"https"
---@field version "1.0"|"1.1"|"2"
---@field id integer               counts the requests of a server
---@field is_over boolean?         answered, or the peer is gone
---@field [any] any                the user's own values
local Request = {}

---@param name string any case
---@return string? value the first
function Request:header(name) end

---@async
---@return string? body
---@return string? message
---@return hv.ErrCode? code
function Request:body() end

---@async
---@return string? piece
---@return string? message
---@return hv.ErrCode? code EOF at the end
function Request:read() end

--- The fields that came behind the body, once it has come to its end.
---@return hv.HttpHeaders? trailers
---@return string? message
---@return hv.ErrCode? code EBUSY before the end of the body
function Request:trailers() end

---@async
---@return any value
---@return string? message
---@return hv.ErrCode? code EPROTO
function Request:json() end

---@async
---@return table<string, string|hv.HttpFile>? fields
---@return string? message
---@return hv.ErrCode? code EPROTO
function Request:form() end

---@class hv.HttpFile
---@field name string
---@field filename string
---@field headers table<string, string> names in lower case
---@field body string

---@class hv.HttpCookieOptions
---@field path? string       "/"
---@field domain? string
---@field max_age? integer   milliseconds
---@field expires? integer   seconds since the epoch
---@field secure? boolean
---@field http_only? boolean
---@field same_site? "strict"|"lax"|"none"  "none" needs secure
---@field partitioned? boolean   CHIPS; needs secure

---@class hv.HttpResponse
---@field status integer     of the answer to come; 200
---@field headers hv.HttpHeaders
---@field is_over boolean?   complete, or the peer is gone
---@field bytes integer      of the body that were handed to the connection so far
---@field is_complete boolean whether all of the answer was
---@field duration number?   milliseconds from the head of the request to its end; for app:on_response
local Response = {}

--- Answers in one piece.
---@param body string
---@param content_type? string text/plain
---@return boolean? ok
---@return string? message
---@return hv.ErrCode? code ECLOSED, EBUSY where an answer has begun
function Response:send(body, content_type) end

---@async
---@param chunk string
---@return boolean? ok
---@return string? message
---@return hv.ErrCode? code ECLOSED, ELIMIT, EBUSY
function Response:write(chunk) end

--- Adds a field behind the body; left out where there is no place for it (HTTP/1.0, a length).
---@param name string
---@param value string|number
function Response:trailer(name, value) end

---@param trailers? table<string, string|number>|hv.HttpHeaders as by res:trailer
---@return boolean? ok
---@return string? message
---@return hv.ErrCode? code ECLOSED, EPROTO where less than Content-Length was written
function Response:finish(trailers) end

---@class hv.HttpEvents
---@field last_id? string of the last event that a client which comes back has seen
local Events = {}

---@async
---@param data any
---@param opts? { event?: string, id?: string|integer, retry?: integer }
---@return boolean? ok
---@return string? message
---@return hv.ErrCode? code
function Events:send(data, opts) end

---@async
---@param text? string
function Events:comment(text) end

--- Whether the client is still there.
---@return boolean
function Events:is_open() end

function Events:close() end

---@class hv.http
local M = {}

---@param opts? hv.HttpAppOptions
---@return hv.HttpApp app
function M.app(opts) end

--- Makes a map of headers from { name = value or list of values }; names are equal in any case.
---@param lines? table<string, string|number|string[]>
---@return hv.HttpHeaders headers
function M.headers(lines) end

--- The phrase of a status: "Not Found" of 404.
---@param status integer
---@return string phrase "Unknown" where there is none
function M.status_text(status) end

--- Asks for a document. Options may stand right behind the URL: get(url, { query = { page = 2 } }).
---@async
---@param url string
---@param body? string
---@param opts? hv.HttpRequestOptions
---@return hv.HttpReply? reply a status of 400 or more is no failure
---@return string? message
---@return hv.ErrCode? code ECONNREFUSED, ETIMEDOUT, ENOTFOUND, ETLS, EPROTO, ELIMIT, EOF, ELOOP
function M.get(url, body, opts) end

--- Asks what a document is like, by a HEAD request: status and headers, no body.
---@async
---@param url string
---@param body? string
---@param opts? hv.HttpRequestOptions
---@return hv.HttpReply? reply a status of 400 or more is no failure
---@return string? message
---@return hv.ErrCode? code ECONNREFUSED, ETIMEDOUT, ENOTFOUND, ETLS, EPROTO, ELIMIT, EOF, ELOOP
function M.head(url, body, opts) end

--- Sends a body, or what the options make of one: post(url, { json = {} }), form =, multipart =.
---@async
---@param url string
---@param body? string
---@param opts? hv.HttpRequestOptions
---@return hv.HttpReply? reply a status of 400 or more is no failure
---@return string? message
---@return hv.ErrCode? code ECONNREFUSED, ETIMEDOUT, ENOTFOUND, ETLS, EPROTO, ELIMIT, EOF, ELOOP
function M.post(url, body, opts) end

--- Sends a document to be put in the place of the URL; as hv.http.post.
---@async
---@param url string
---@param body? string
---@param opts? hv.HttpRequestOptions
---@return hv.HttpReply? reply a status of 400 or more is no failure
---@return string? message
---@return hv.ErrCode? code ECONNREFUSED, ETIMEDOUT, ENOTFOUND, ETLS, EPROTO, ELIMIT, EOF, ELOOP
function M.put(url, body, opts) end

--- Sends a change of a document; as hv.http.post.
---@async
---@param url string
---@param body? string
---@param opts? hv.HttpRequestOptions
---@return hv.HttpReply? reply a status of 400 or more is no failure
---@return string? message
---@return hv.ErrCode? code ECONNREFUSED, ETIMEDOUT, ENOTFOUND, ETLS, EPROTO, ELIMIT, EOF, ELOOP
function M.patch(url, body, opts) end

--- Asks for the document to be removed.
---@async
---@param url string
---@param body? string
---@param opts? hv.HttpRequestOptions
---@return hv.HttpReply? reply a status of 400 or more is no failure
---@return string? message
---@return hv.ErrCode? code ECONNREFUSED, ETIMEDOUT, ENOTFOUND, ETLS, EPROTO, ELIMIT, EOF, ELOOP
function M.delete(url, body, opts) end

--- Asks what may be done there, by an OPTIONS request.
---@async
---@param url string
---@param body? string
---@param opts? hv.HttpRequestOptions
---@return hv.HttpReply? reply a status of 400 or more is no failure
---@return string? message
---@return hv.ErrCode? code ECONNREFUSED, ETIMEDOUT, ENOTFOUND, ETLS, EPROTO, ELIMIT, EOF, ELOOP
function M.options(url, body, opts) end

--- Sends any request: { method =, url =, headers =, json =, timeout = ... }.
---@async
---@param opts hv.HttpRequestOptions
---@return hv.HttpReply? reply
---@return string? message
---@return hv.ErrCode? code
function M.request(opts) end

--- Makes a jar of cookies, for clients to share.
---@return hv.HttpCookies jar
function M.cookies() end

return M
