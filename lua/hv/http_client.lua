--- hv.http_client - requests: `hv.http.get(url)` and its kin, and sessions of them.
---
---   local reply = assert(hv.http.get("http://127.0.0.1:8080/users", { query = { page = 2 } }))
---   print(reply.status, reply.headers["content-type"], reply.body)
---
---   local api = hv.http.client { base_url = "https://example.org/v1", cookies = true }
---   local user = assert(api:post("users", { json = { name = "x" } })):json()
---
--- Every function waits in the current task, or takes a function as its last argument that gets the
--- results. Connections are kept by scheme, host, port, TLS settings and proxy, which is C's affair
--- (runtime/include/hhttp_client.h); what is done here is what a program means by a request: URLs,
--- bodies, redirects, cookies, credentials.
local body_of = require("hv.http_body").of
local cookies = require "hv.http_cookies"
local exchange = require "hv.http_exchange"
local fs = require "hv.fs"
local loop = require "_hv.loop"
local methods = require "hv.methods"
local options = require "hv.http_options"
local raw = require "_hv.http_client"
local url = require "hv.url"
local wait = require "hv.wait"

local misuse = loop.misuse
local both_forms = wait.both_forms

local M = {}

-- ---- Sessions ----

---@class hv.HttpClient
local Client = {}
local meta = { __name = "hv.http.client", __index = Client }

function meta:__tostring()
  local counts = self._pool:counts()
  return ("hv.http.client{%d connections, %d idle}"):format(counts.connections, counts.idle)
end

local function jar_of(value)
  if value == true then return cookies.new() end
  if not value or getmetatable(value) == cookies.meta then return value or nil end
  return misuse("hv.http.client: cookies must be true or a jar of hv.http.cookies()")
end

--- Makes a session: its own connections, and defaults for its requests.
---@param opts? hv.HttpClientOptions
---@return hv.HttpClient? client
---@return string? message
---@return hv.ErrCode? code
function M.client(opts)
  local t = options.read_client(opts or {})
  if t.base_url and not url.parse(t.base_url) then
    return misuse(("hv.http.client: base_url %q is no URL"):format(t.base_url))
  end
  local pool, message, code = raw.pool(t)
  if not pool then return nil, message, code end
  local self = { _pool = pool, _options = t, _jar = jar_of(t.cookies), _contexts = {} }
  return setmetatable(self, meta)
end

local default_client

--- The session of hv.http.get and its kin; it keeps connections and nothing else.
local function shared_client()
  if not default_client then default_client = assert(M.client {}) end
  return default_client
end

--- The jar of the session, or nil.
function Client:cookies() return self._jar end

--- How many connections there are: { connections, idle, waiting, opened, reused, repeated }.
function Client:counts() return self._pool:counts() end

--- Ends its requests with ECANCELED and closes its connections. Again: nothing.
function Client:close()
  self._pool:close()
  return true
end

-- ---- What a request is made of ----

--- "host:port/path" is taken as http.
local function with_scheme(text)
  return text:find("^%a[%w+.-]*://") and text or "http://" .. text
end

--- Puts a request's URL below the base: "users" and "/users" are both children of it.
local function join(base, text)
  if not base or text:find("^%a[%w+.-]*://") then return with_scheme(text) end
  if text == "" then return base end
  local path, query = base:match("^([^?#]*)(.*)$")
  if text:sub(1, 1) == "?" then return path .. text end
  local joined = path:gsub("/$", "") .. "/" .. text:gsub("^/", "")
  return text:find("?", 1, true) and joined or joined .. query
end

--- The URL as text, without user and password.
local function text_of(parts)
  return url.build { scheme = parts.scheme, host = parts.host, port = parts.port, path = parts.path,
    query = parts.query, fragment = parts.fragment }
end

local TARGETS_MAX = 256

--- URLs that were asked for lately, by their text: { parts, text_of(parts) }. Most programs ask few
--- ones many times, and taking one apart costs as much as all the rest of a request.
local targets, target_count = {}, 0

--- The user of Basic credentials ends at the first colon (RFC 7617 section 2).
local function has_bad_user(parts) return parts.user and parts.user:find(":", 1, true) end

local function parse_target(text)
  local target = targets[text]
  if target then return target end
  local parts, message, code = url.parse(text)
  if not parts then return nil, message, code end
  if parts.scheme ~= "http" and parts.scheme ~= "https" then
    return nil, ("url %q: scheme must be http or https"):format(text), "EINVAL"
  end
  if parts.port == 0 then return nil, ("url %q: port is 0"):format(text), "EINVAL" end
  if has_bad_user(parts) then
    return nil, ('url %q: the user may have no ":"'):format(text), "EINVAL"
  end
  if target_count == TARGETS_MAX then targets, target_count = {}, 0 end
  target = { parts = parts, text = text_of(parts) }
  targets[text], target_count = target, target_count + 1
  return target
end

--- The same with more of a query; what is kept stays as it is.
local function with_query(target, query)
  local text = query and url.encode_query(query) or ""
  if text == "" then return target end
  local parts = {}
  for key, value in pairs(target.parts) do parts[key] = value end
  parts.query = parts.query and parts.query .. "&" .. text or text
  return { parts = parts, text = text_of(parts) }
end

-- ---- Redirects ----

local is_redirect = { [301] = true, [302] = true, [303] = true, [307] = true, [308] = true }

local function same_origin(a, b)
  return a.scheme == b.scheme and a.host == b.host and a.port == b.port
end

--- Turns the plan to where a response points. Returns false, message, code where it cannot.
local function follow(plan, reply, location)
  local next_parts, message, code = url.parse(location, plan.parts)
  if next_parts and next_parts.scheme ~= "http" and next_parts.scheme ~= "https" then
    next_parts, message, code = nil, "redirect to " .. next_parts.scheme .. ":", "EPROTO"
  end
  if next_parts and has_bad_user(next_parts) and same_origin(plan.parts, next_parts) then
    next_parts, message, code = nil, 'redirect to a user with ":"', "EPROTO"
  end
  if not next_parts then return false, message, code == "EINVAL" and "EPROTO" or code end
  if not next_parts.fragment then next_parts.fragment = plan.parts.fragment end
  -- RFC 9110 section 15.4: 303 becomes GET; so do 301 and 302 after POST, as all clients do.
  local status, method = reply.status, plan.method
  local is_get_now = status == 303 and method ~= "HEAD" and method ~= "GET"
    or (status == 301 or status == 302) and method == "POST"
  if is_get_now then plan.method, plan.body, plan.has_lost_body = "GET", nil, true end
  if not same_origin(plan.parts, next_parts) then
    plan.is_foreign = true
    next_parts.user, next_parts.password = nil, nil
  end
  plan.parts, plan.url = next_parts, text_of(next_parts)
  plan.where = plan.method:lower() .. " " .. plan.url
  plan.history[#plan.history + 1] = reply
  return true
end

--- What makes two requests of a chain the same, so that it would never end.
local function fingerprint(plan)
  return plan.method .. " " .. plan.url .. " " .. (plan.jar and plan.jar:get(plan.parts) or "")
end

--- Whether the body can be sent once more; a response of 307 and 308 asks for it.
local function drop_reply(reply)
  if reply.body then return end
  -- A short body is read to keep the connection.
  if reply._length and reply._length <= 65536 then
    local progress = reply._on_progress
    reply._on_progress = nil
    reply:text(65536)
    reply._on_progress = progress
  else
    reply:close()
  end
end

local function store_cookies(plan, reply)
  if not plan.jar then return end
  for _, line in ipairs(reply.headers:get_all("set-cookie")) do plan.jar:set(plan.parts, line) end
end

local function perform(self, t, plan)
  local seen = {}
  while true do
    local reply, message, code = exchange.run(self, t, plan)
    if not reply then return nil, message, code end
    local location = is_redirect[reply.status] and reply.headers:get("location")
    -- With the cookies that were sent: those that have come may lead elsewhere.
    if location then seen[fingerprint(plan)] = true end
    store_cookies(plan, reply)
    if not location or t.redirects == 0 then return reply end
    drop_reply(reply)
    exchange.end_upload(plan)
    plan.is_over, plan.uploader = false, nil
    if #plan.history >= t.redirects then
      return exchange.fail(plan, "too many redirects", "ELIMIT")
    end
    local ok
    ok, message, code = follow(plan, reply, location)
    if not ok then return exchange.fail(plan, message, code) end
    if seen[fingerprint(plan)] then return exchange.fail(plan, "redirects in a circle", "ELOOP") end
  end
end

--- Reads a streamed response to its end: for requests that want to see how far it has come.
local function collect(reply, t)
  local body, message, code = reply:text(t.max_body > 0 and t.max_body or nil)
  if not body then return nil, message, code end
  reply.body, reply.is_complete = body, true
  return reply
end

-- ---- Requests ----

local function with_defaults(self, given)
  local t = options.read_request(given)
  local own_options = self._options
  for key, value in pairs(options.defaults) do
    if t[key] == nil then t[key] = own_options[key] end
    if t[key] == nil then t[key] = value end
  end
  for _, key in ipairs { "tls", "proxy_tls", "auth", "unix_socket" } do
    if t[key] == nil then t[key] = own_options[key] end
  end
  -- How much of a stream is read is its reader's affair.
  if t.stream and given.max_body == nil and own_options.max_body == nil then t.max_body = 0 end
  return t
end

local function request(self, given)
  local t = with_defaults(self, given)
  if not t.url then return misuse("hv.http.request: url is missing") end
  local method = t.method or "GET"
  if not method:find("^[%w!#$%%&'*+.^_`|~-]+$") or method:upper() == "CONNECT" then
    return misuse(("hv.http.request: bad method %q"):format(method))
  end
  local target, message, code = parse_target(join(self._options.base_url, t.url))
  if not target then return nil, message, code end
  target = with_query(with_query(target, self._options.query), t.query)
  local body
  body, message, code = body_of("hv.http.request", t)
  if body == false then return nil, method:lower() .. " " .. t.url .. ": " .. message, code end
  if t.trailers and not body then body = { text = "" } end
  local plan = {
    method = method, parts = target.parts, url = target.text, body = body, history = {},
    due = t.timeout > 0 and loop.now() + t.timeout or 0,
    jar = t.cookies and jar_of(t.cookies) or t.cookies == nil and self._jar or nil,
    is_streamed = t.stream or t.upgrade ~= nil or t.on_progress ~= nil,
  }
  plan.where = method:lower() .. " " .. plan.url
  local reply
  reply, message, code = perform(self, t, plan)
  if not reply then return nil, message, code end
  if plan.is_streamed and not t.stream and not t.upgrade then return collect(reply, t) end
  return reply
end

--- Sends any request; see hv.HttpRequestOptions.
---@async
---@param opts hv.HttpRequestOptions
---@return hv.HttpReply? reply a status of 400 or more is no failure
---@return string? message
---@return hv.ErrCode? code ECONNREFUSED, ETIMEDOUT, ENOTFOUND, ETLS, EPROTO, ELIMIT, EOF ...
Client.request = both_forms(function(self, opts) return request(self, opts) end)

--- Options of the short forms: (url[, body][, opts]).
local function short(name, method, address, body, opts)
  if type(address) ~= "string" then
    return misuse(("%s: url expected, got %s"):format(name, type(address)))
  end
  if type(body) == "table" and opts == nil then body, opts = nil, body end
  local t = {}
  for key, value in pairs(opts or {}) do t[key] = value end
  if t.url or t.method then return misuse(name .. ": url and method are given already") end
  t.url, t.method = address, method
  if body ~= nil then t.body = body end
  return t
end

for _, name in ipairs { "get", "head", "post", "put", "patch", "delete", "options" } do
  local method = name:upper()
  --- client:get(url[, body][, opts]) and so on.
  Client[name] = both_forms(function(self, address, body, opts)
    return request(self, short("client:" .. name, method, address, body, opts))
  end)
  M[name] = both_forms(function(address, body, opts)
    return request(shared_client(), short("hv.http." .. name, method, address, body, opts))
  end)
end

M.request = both_forms(function(opts) return request(shared_client(), opts) end)

-- ---- Downloads ----

local function write_all(reply, file)
  for chunk in reply:chunks() do
    local ok, message, code = file:write(chunk)
    if not ok then return nil, message, code end
  end
  if not reply.is_complete then return reply:read() end
  return true
end

local function download(self, address, path, opts)
  local t = short("hv.http.download", "GET", address, nil, opts or {})
  t.stream = true
  local reply, message, code = request(self, t)
  if not reply or not reply:ok() then return reply, message, code end
  local part = path .. ".part"
  local file
  file, message, code = fs.open(part, "w")
  if not file then
    reply:close()
    return nil, message, code
  end
  local ok
  ok, message, code = write_all(reply, file)
  file:close()
  if ok then ok, message, code = fs.rename(part, path) end
  if not ok then
    reply:close()
    fs.remove(part)
    return nil, message, code
  end
  reply.path, reply.bytes = path, reply._received
  return reply
end

--- Saves a response in a file, piece by piece. The file appears whole or not at all; a status
--- outside of 200..299 writes none.
---@async
---@param address string
---@param path string
---@param opts? hv.HttpRequestOptions
---@return hv.HttpReply? reply with path and bytes; or, where the status says so, to be read
---@return string? message
---@return hv.ErrCode? code
Client.download = both_forms(function(self, address, path, opts)
  return download(self, address, path, opts)
end)

--- The same without a session.
---@async
---@param address string
---@param path string
---@param opts? hv.HttpRequestOptions
---@return hv.HttpReply? reply
---@return string? message
---@return hv.ErrCode? code
M.download = both_forms(function(address, path, opts)
  return download(shared_client(), address, path, opts)
end)

methods.guard(Client, "client", "hv.http.client")
M.methods = Client

return M
