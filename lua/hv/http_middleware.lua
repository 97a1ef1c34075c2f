--- hv.http.middleware - pieces for app:use that most servers want.
---
---   local mw = hv.http.middleware
---   app:use(mw.logger { format = "combined", file = "logs/access.log" })
---   app:use(mw.request_id(), mw.cors { origins = { "https://example.org" } })
---   app:group("/admin"):use(mw.basic_auth { users = { root = "secret" } })
---
--- A piece that answers by itself (401, 429 ...) does not run what is inside it, so the order
--- matters: what is used first is outermost. A logger sees every exchange wherever it stands.
local access_log = require "hv.http_access_log"
local address = require "hv.http_address"
local content = require "hv.http_content"
local crypto = require "hv.crypto"
local guard = require "hv.http_guard"
local loop = require "_hv.loop"
local misuse = loop.misuse
local options = require "hv.options"
local raw = require "_hv.http"
local shared = require "hv.shared"
local task = require "hv.task"
local timer = require "hv.timer"

local M = {
  logger = access_log.logger, compress = content.compress, etag = content.etag,
  cache_control = content.cache_control, session = guard.session,
  same_origin = guard.same_origin, ip_filter = address.ip_filter, real_ip = address.real_ip,
}

-- ---- Cross-origin requests ----

local function words_of(value, where)
  if type(value) == "string" then value = { value } end
  if type(value) ~= "table" then
    return misuse(where .. ": a list of strings expected, got " .. type(value))
  end
  return value
end

local read_cors = options.reader("middleware.cors", {
  origins = { "any", "*" }, methods = { words_of, {} }, headers = { words_of, {} },
  expose = { words_of, {} }, credentials = { "boolean", false }, max_age = { "ms", 600000 },
})

--- How to tell whether an origin may: from "*", a list, or a function.
local function origin_test(origins)
  if type(origins) == "function" then return origins end
  local set = {}
  for _, origin in ipairs(words_of(origins, "middleware.cors: origins")) do
    if origin == "*" then return function() return true end, true end
    set[origin:lower()] = true
  end
  return function(origin) return set[origin:lower()] end
end

--- Lets pages of other origins use the answers (the Fetch standard, "CORS protocol"). A preflight
--- is answered with 204 here; the answer to an origin that may not has none of these headers, which
--- is how a browser learns of it. `max_age` is milliseconds; without `methods` all that routes are
--- made of may be used, without `headers` those that are asked for.
---@param opts? hv.CorsOptions
---@return hv.HttpMiddleware
function M.cors(opts)
  local t = read_cors(opts or {})
  local may, is_any = origin_test(t.origins)
  if is_any and t.credentials then
    return misuse("middleware.cors: credentials need a list of origins, or a function")
  end
  local methods = #t.methods > 0 and table.concat(t.methods, ", ")
    or "GET, HEAD, POST, PUT, PATCH, DELETE"
  local headers, expose = table.concat(t.headers, ", "), table.concat(t.expose, ", ")
  local max_age = ("%d"):format(t.max_age / 1000)

  local function allow(req, res, origin)
    res.headers:set("Access-Control-Allow-Origin", is_any and "*" or origin)
    if t.credentials then res.headers:set("Access-Control-Allow-Credentials", "true") end
    return req, res
  end

  local function preflight(req, res)
    res.headers:add("Vary", "Access-Control-Request-Method, Access-Control-Request-Headers")
    res.headers:set("Access-Control-Allow-Methods", methods)
    local asked = headers ~= "" and headers or req:header("access-control-request-headers")
    if asked and asked ~= "" then res.headers:set("Access-Control-Allow-Headers", asked) end
    res.headers:set("Access-Control-Max-Age", max_age)
  end

  return function(req, res, next_handler)
    local origin = req:header("origin")
    -- Also without an Origin: a cache must not give that answer to a page of another one.
    if not is_any then res.headers:add("Vary", "Origin") end
    local is_preflight = origin and req.method == "OPTIONS"
      and req:header("access-control-request-method")
    if origin and may(origin, req) then
      allow(req, res, origin)
      if is_preflight then preflight(req, res) end
      if not is_preflight and expose ~= "" then
        res.headers:set("Access-Control-Expose-Headers", expose)
      end
    end
    if is_preflight then return 204 end
    return next_handler()
  end
end

-- ---- Who asks ----

local read_auth = options.reader("middleware.basic_auth", {
  realm = { "string", "restricted" }, users = { "table" }, check = { "function" },
})

--- Compares digests, so that the time tells neither where two differ nor how long one is.
local function same(a, b) return crypto.equal(crypto.sha256(a), crypto.sha256(b)) end

--- Asks for a name and a password (RFC 7617); `req.user` is the name. `check(user, password, req)`
--- says whether they are right, and may wait; `users` is { name = password }.
---@param opts hv.BasicAuthOptions
---@return hv.HttpMiddleware
function M.basic_auth(opts)
  local t = read_auth(opts)
  if (t.users == nil) == (t.check == nil) then
    return misuse("middleware.basic_auth: either users or check is needed")
  end
  if t.realm:find('[%c"\\]') then
    return misuse("middleware.basic_auth: the realm has a quote or a control character")
  end
  local nobody = crypto.random(32)
  local check = t.check or function(user, password)
    -- For a name that is not known the same is done.
    local is_right = same(password, t.users[user] or nobody)
    return t.users[user] ~= nil and is_right
  end
  local challenge = ('Basic realm="%s", charset="UTF-8"'):format(t.realm)
  return function(req, res, next_handler)
    local scheme, token = (req:header("authorization") or ""):match("^(%a+) +([%w+/=_-]+)$")
    local text = scheme and scheme:lower() == "basic" and crypto.unbase64(token)
    local user, password = (text or ""):match("^([^:]*):(.*)$")
    if user and check(user, password, req) then
      req.user = user
      return next_handler()
    end
    res.headers:set("WWW-Authenticate", challenge)
    return 401
  end
end

local read_id = options.reader("middleware.request_id", {
  header = { "string", "X-Request-Id" }, trust = { "boolean", false },
})

--- Gives each request an identifier: `req.request_id`, and a header of the answer. With `trust` one
--- that came with the request is kept, where it is 1 to 128 plain characters.
---@param opts? { header?: string, trust?: boolean }
---@return hv.HttpMiddleware
function M.request_id(opts)
  local t = read_id(opts or {})
  return function(req, res, next_handler)
    local id = t.trust and req:header(t.header)
    if not id or #id > 128 or not id:find("^[%w%-_.:/+=]+$") then id = crypto.uuid() end
    req.request_id = id
    res.headers:set(t.header, id)
    return next_handler()
  end
end

-- ---- Limits ----

local function positive(name)
  return function(value, where)
    if type(value) == "number" and value > 0 and value < 2 ^ 31 then return value end
    return misuse(("%s: %s must be a number above 0, got %s"):format(where, name, tostring(value)))
  end
end

local read_rate = options.reader("middleware.rate_limit", {
  rate = { positive "rate" }, window = { positive "window", 1000 }, burst = { "integer", 0 },
  key = { "function" }, dict = { "any", "hv.rate_limit" }, size = { "size", 1048576 },
})

local function peer_of(req) return req.peer and (req.peer.ip or req.peer.path) or "?" end

--- Lets `rate` requests of one key through in `window` milliseconds (1000), and `burst` more;
--- others get 429 with Retry-After. The count slides: the window before counts for as much of it as
--- is still within reach. The counters lie in a dictionary that all workers share, of `size` bytes
--- at most: where it is full, who has not asked for longest is forgotten. `key(req)` is the
--- client's address unless it is given; nil lets a request through.
---@param opts hv.RateLimitOptions
---@return hv.HttpMiddleware
function M.rate_limit(opts)
  local t = read_rate(opts)
  if not t.rate then return misuse("middleware.rate_limit: rate is missing") end
  local dict = t.dict
  if type(dict) == "string" then dict = assert(shared.dict(dict, t.size)) end
  local window, most, key_of = t.window, t.rate + t.burst, t.key or peer_of
  -- Limits of their own where several share a dictionary.
  local prefix = ("%g/%g+%d:"):format(t.rate, window, t.burst)
  return function(req, res, next_handler)
    local key = key_of(req)
    if key == nil then return next_handler() end
    local now = loop.now() -- of the one clock that all processes of a machine have
    local index = math.floor(now / window)
    local name = prefix .. tostring(key):sub(1, 256) .. "#"
    local count = dict:incr(name .. index, 1, 0) or 1
    if count == 1 then dict:expire(name .. index, 2 * window) end
    local before = dict:get(name .. (index - 1)) or 0
    local passed = now / window - index
    if count + before * (1 - passed) <= most then return next_handler() end
    dict:incr(name .. index, -1, 0)
    res.headers:set("Retry-After", ("%d"):format(math.max(1, math.ceil((1 - passed)
      * window / 1000))))
    return 429
  end
end

--- Answers 503 where what is inside has not returned after `ms`, and cancels it: it throws at its
--- wait, and its hv.defer functions run. An answer that has begun is cut off.
---@param ms number
---@return hv.HttpMiddleware
function M.timeout(ms)
  if type(ms) ~= "number" or not (ms > 0 and ms < 2 ^ 31) then
    return misuse("middleware.timeout: milliseconds above 0 expected, got " .. tostring(ms))
  end
  local function expire(res, running)
    if not res.is_over then
      res.status = 503
      res:send("503 Service Unavailable\n", "text/plain") -- fails where an answer has begun
    end
    running:cancel()
  end
  return function(_, res, next_handler)
    local alarm = timer.after(ms, expire, res, task.current())
    task.defer(function() alarm:stop() end)
    local result = next_handler()
    alarm:stop()
    return result
  end
end

--- Answers 413 where a body is longer than `size`: at once where the request says so, and else (it
--- comes in chunks) when that much of it has been read.
---@param size integer|string bytes, or "8M"; 0: no body at all
---@return hv.HttpMiddleware
function M.body_limit(size)
  local bytes = options.size(size)
  if not bytes then
    return misuse("middleware.body_limit: bytes expected, got " .. tostring(size))
  end
  return function(req, _, next_handler)
    local length = tonumber(req:header("content-length"))
    if length and length > bytes then return 413 end
    raw.set_max_body(req, bytes) -- also 0, which to req:set_max_body is no limit
    return next_handler()
  end
end

-- ---- Headers for browsers ----

local read_security = options.reader("middleware.security_headers", {
  frame = { "any", "DENY" }, referrer = { "any", "no-referrer" }, csp = { "string" },
  hsts = { "age", 0 },
})

--- Sets X-Content-Type-Options, X-Frame-Options (`frame`), Referrer-Policy (`referrer`), and where
--- they are given Content-Security-Policy (`csp`) and, over TLS, Strict-Transport-Security for
--- `hsts` milliseconds. `false` leaves one out.
---@param opts? hv.SecurityHeadersOptions
---@return hv.HttpMiddleware
function M.security_headers(opts)
  local t = read_security(opts or {})
  local hsts = t.hsts > 0 and ("max-age=%d"):format(t.hsts / 1000)
  return function(req, res, next_handler)
    local headers = res.headers
    headers:set("X-Content-Type-Options", "nosniff")
    if t.frame then headers:set("X-Frame-Options", t.frame) end
    if t.referrer then headers:set("Referrer-Policy", t.referrer) end
    if t.csp then headers:set("Content-Security-Policy", t.csp) end
    if hsts and req.scheme == "https" then headers:set("Strict-Transport-Security", hsts) end
    return next_handler()
  end
end

return M
