---@meta _hv.redis
--- What bindings/redis.c gives, and the types of hv.redis. Functions of clients, pipelines and
--- subscriptions are documented where they stand (lua/hv/redis*.lua); every command of Redis is a
--- method beside them: r:get(key), p:set(key, value), r:client_list().
local M = {}

---@class hv.RedisOptions
---@field host? string              "127.0.0.1"
---@field port? integer             6379
---@field path? string              a unix socket instead
---@field url? string               "redis[s]://user:password@host:port/db?timeout=1000", "unix:///path"
---@field username? string
---@field password? string
---@field db? integer               0
---@field name? string              CLIENT SETNAME
---@field protocol? 2|3             3; a server that knows only 2 is spoken to in 2
---@field tls? boolean|table        as of hv.tcp.connect
---@field timeout? integer|false    of each call; 5000; where not a byte came for so long the
---  connection is made anew
---@field connect_timeout? integer  of connecting, and of each step of the greeting; 10000
---@field keepalive? integer|false  nothing came for so long: a PING; 60000
---@field reconnect? boolean|{ min_delay?: integer, max_delay?: integer, max_retries?: integer }
---  true: at once, then after 50 ms, doubled up to 5000, for ever
---@field size? integer             connections that share the calls; 1
---@field max_borrowed? integer     connections of one's own at a time, see r:borrow; 32
---@field max_bulk? integer|string  bytes of one string of a reply; "512M"; beyond it ELIMIT
---@field max_reply? integer|string bytes of a reply; "1G"
---@field max_depth? integer        lists in lists; 32, at most 128
---@field max_messages? integer     messages kept while the function that gets them waits; 65536.
---  From 1024 on nothing more is read, unless a call waits for its reply; beyond max_messages the
---  connection is lost with ELIMIT
---@field on_connect? fun(r: hv.Redis) each time that a connection has been made
---@field on_disconnect? fun(r: hv.Redis, message: string, code: hv.ErrCode)
---@field on_push? fun(r: hv.Redis, message: any[]) of RESP3, what is no message of a subscription:
---  { "invalidate", keys } ...

---@class hv.RedisClusterOptions: hv.RedisOptions
---@field nodes string[]            "host:port" of some nodes; the others are asked for
---@field redirects? integer        how often a call follows MOVED and ASK; 5

---@class hv.RedisError
---@field message string "WRONGTYPE Operation against a key holding the wrong kind of value"
---@field kind string    "WRONGTYPE"
---@field code "EREDIS"

--- A script that is run by its digest.
---@class hv.RedisScript
---@field sha string
---@field source string
---@overload fun(keys?: string|string[], ...: string|number): any, string?, hv.ErrCode?, string?

--- The state of a connection: who waits for which reply.
---@class hv.RedisLink
local Link = {}

--- Reads a connection from now on.
---@param conn hv.Tcp
---@return true? ok
---@return string? message
---@return hv.ErrCode? code
function Link:attach(conn) end
--- Ends all calls that wait.
---@param message string
---@param code hv.ErrCode
---@return integer calls
function Link:fail(message, code) end
---@async
---@param timeout integer 0: none
---@param name string
---@return any reply
---@return string? message
---@return hv.ErrCode? code EAGAIN: too much waits to be sent
---@return string? kind
function Link:call(timeout, name, ...) end
---@async
---@param timeout integer
---@param pipe hv.RedisPipe
---@return any[]? replies
---@return string? message
---@return hv.ErrCode? code
function Link:exec(timeout, pipe) end
---@async
---@param timeout integer
---@param name string
---@param channels string[]
---@return true? ok
---@return string? message
---@return hv.ErrCode? code
---@return string? kind
function Link:subscribe(timeout, name, channels) end
---@return integer replies that are to come
function Link:pending() end
---@return number ms since something came
function Link:silence() end
---@return string? message why this side has ended the connection
---@return hv.ErrCode? code
function Link:error() end
---@return boolean
function Link:is_high() end
--- Whether lists may be messages (RESP2).
---@param is_subscriber boolean
function Link:set_subscriber(is_subscriber) end

--- Commands as bytes.
---@class hv.RedisPipe
local Pipe = {}

---@param name string
function Pipe:add(name, ...) end
---@return integer
function Pipe:count() end
function Pipe:clear() end

---@param on_push fun(message: any[])
---@param on_drain fun()
---@param on_lost fun(message: string, code: hv.ErrCode)
---@param error_meta table
---@param int64 fun(high: number, low: number): any
---@param bulk_bytes integer
---@param reply_bytes integer
---@param depth integer
---@return hv.RedisLink
function M.link(on_push, on_drain, on_lost, error_meta, int64, bulk_bytes, reply_bytes, depth) end
---@return hv.RedisPipe
function M.pipe() end
---@param key string
---@return integer
function M.slot(key) end

return M
