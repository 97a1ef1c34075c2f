--- hv.http_router - applications: routes, groups, middleware, and the server that answers by them.
---
--- A chain of middleware is composed when a route or a piece of middleware is registered, not when
--- a request comes: each piece has one `next` for ever, which asks C for the request and response
--- of the running task.
local deliver = require("hv.http_response").deliver
local limits = require "hv.limits"
local methods = require "hv.methods"
local misuse = require("_hv.loop").misuse
local options = require "hv.options"
local raw = require "_hv.http"
local shutdown = require "hv.shutdown"
local wait = require "hv.wait"
local tls = require "hv.tls"

require "hv.http_events"
require "hv.http_request"

local current, hold = raw.current, raw.hold
local serve = wait.waits(raw.serve)

local M = {}

-- ---- Chains ----

--- How many of (req, res) a function looks at: what it does not look at is not made.
local function arg_count(fn)
  local info = debug.getinfo(fn, "u")
  return info.isvararg and 2 or math.min(info.nparams, 2)
end

local function link(middleware, following)
  local function next_link() return following(current()) end
  return function(req, res)
    local result = middleware(req, res, next_link)
    if result ~= nil then hold(result) end
    return result
  end
end

--- One function of (req, res) that runs the middleware from the outside in.
local function compose(middleware, handler)
  local chain = function(req, res)
    local result = handler(req, res)
    if result ~= nil then hold(result) end
    return result
  end
  for i = #middleware, 1, -1 do chain = link(middleware[i], chain) end
  return chain
end

-- ---- Applications and groups ----

local App = {}
local app_meta = {
  __name = "hv.http.app",
  __index = App,
  __tostring = function(self)
    return ("hv.http.app{%d routes}"):format(#self._root._routes)
  end,
}

--- The middleware in force for a group, that of its parents first.
local function middleware_of(group)
  local list = group._parent and middleware_of(group._parent) or {}
  for _, fn in ipairs(group._middleware) do list[#list + 1] = fn end
  return list
end

--- What answers where nothing is: 404, or 403 for files that may not be read.
local function answer_missing(root, status, req, res)
  local not_found = root._not_found
  if status ~= 404 or not not_found then return status end
  res.status = 404
  return not_found(req, res)
end

local missing = { ENOTFOUND = 404, EACCES = 403 }

--- A handler is a function, or files, which C answers from by itself where nobody is around who
--- would like to know.
local function install(root, number, middleware, handler)
  local router = root._router
  local is_function = type(handler) == "function"
  if #middleware == 0 and not is_function and #root._observers == 0 then
    router:set(number, handler, 0, false)
  elseif not is_function then
    router:set(number, compose(middleware, function(req, res)
      local _, _, code = serve(res, handler)
      if missing[code] then return answer_missing(root, missing[code], req, res) end
    end), 2, true)
  elseif #middleware == 0 then
    -- An observer is to find in `req` and `res` what the handler has put there.
    local is_observed = #root._observers > 0
    router:set(number, handler, is_observed and 2 or arg_count(handler), is_observed)
  else
    router:set(number, compose(middleware, handler), 2, true)
  end
end

local function install_route(root, route)
  local middleware = middleware_of(route.group)
  for _, fn in ipairs(route.middleware) do middleware[#middleware + 1] = fn end
  install(root, route.number, middleware, route.handler)
end

--- What answers where no route does. C does it alone unless there is something of the user's.
local function install_fallback(root)
  local is_needed = root._not_found or root._has_page or #root._middleware > 0
  if not is_needed and #root._observers == 0 then return end
  install(root, 0, root._middleware, function(req, res)
    local allowed, detail = raw.allowed(res)
    if not allowed then return answer_missing(root, detail, req, res) end
    res.headers:set("Allow", allowed)
    return detail and 204 or 405
  end)
end

local function check_functions(where, ...)
  local count = select("#", ...)
  if count == 0 then misuse(where .. ": function expected, got no value") end
  for i = 1, count do
    local fn = select(i, ...)
    if type(fn) ~= "function" then
      misuse(("%s: function expected, got %s"):format(where, type(fn)))
    end
  end
  return { ... }
end

local known_methods = {
  GET = true, POST = true, PUT = true, PATCH = true, DELETE = true, HEAD = true, OPTIONS = true,
  CONNECT = true, TRACE = true, ANY = true,
}

local problems = {
  EINVAL = "bad pattern %q (it begins with '/'; ':name' takes one segment, '*name' the rest)",
  EBUSY = "%q has a route for %s already",
  ELIMIT = "%q has too many names",
}

local function add_route(self, where, method, pattern, functions)
  if type(pattern) ~= "string" then
    return misuse(("%s: pattern must be a string, got %s"):format(where, type(pattern)))
  end
  local root = self._root
  local path = self._prefix .. pattern
  local number, message, code = root._router:add(method, path)
  if not number then
    local problem = problems[code]
    return misuse(("%s: %s"):format(where, problem and problem:format(path, method) or message))
  end
  local route = {
    number = number, group = self, method = method, path = path,
    handler = table.remove(functions), middleware = functions,
  }
  root._routes[#root._routes + 1] = route
  install_route(root, route)
  return self
end

--- Adds a route: the last function is the handler, those before it are its own middleware.
---
--- A segment of the pattern is literal, `:name` (one segment) or, last, `*name` (the rest). Literal
--- beats name beats rest. A GET route also answers HEAD.
---@param method string "GET" ... or "ANY"
---@param pattern string
---@param ... fun(req: hv.HttpRequest, res: hv.HttpResponse, next: function): any
---@return hv.HttpApp self
function App:route(method, pattern, ...)
  local where = "app:" .. (type(method) == "string" and method:lower() or "route")
  if type(method) ~= "string" or not known_methods[method:upper()] then
    return misuse("app:route: unknown method " .. tostring(method))
  end
  return add_route(self, where, method:upper(), pattern, check_functions(where, ...))
end

for _, method in ipairs { "get", "post", "put", "patch", "delete", "head", "options", "any" } do
  App[method] = function(self, pattern, ...) return self:route(method, pattern, ...) end
end

local read_static = options.reader("app:static", {
  index = { "any", "index.html" }, listing = { "boolean", false }, hidden = { "boolean", false },
  links = { "boolean", true }, precompressed = { "boolean", true }, compress = { "boolean", true },
  cache_control = { "string" }, fallback = { "string" },
})

--- Serves the files below a directory: GET and HEAD, with ranges, conditions, ETag, compression.
--- What is hidden, no file, or outside the directory is 404, whatever links and ".." say.
---@param prefix string as of a pattern: "/" or "/files"
---@param dir string
---@param opts? hv.HttpStaticOptions
---@return hv.HttpApp self
function App:static(prefix, dir, opts)
  local t = read_static(opts or {})
  if type(prefix) ~= "string" or prefix:sub(1, 1) ~= "/" then
    return misuse("app:static: prefix must begin with '/', got " .. tostring(prefix))
  end
  if t.index ~= false and type(t.index) ~= "string" then
    return misuse("app:static: index must be a name or false, got " .. type(t.index))
  end
  if type(dir) ~= "string" then
    return misuse("app:static: directory must be a string, got " .. type(dir))
  end
  local files, message = raw.files(dir, t)
  if not files then return misuse("app:static: " .. message) end
  local bare = prefix:gsub("/$", "")
  add_route(self, "app:static", "GET", bare .. "/*path", { files })
  if bare ~= "" then add_route(self, "app:static", "GET", bare, { files }) end -- to be redirected
  return self
end

local function pass_on(_, _, next_handler) return next_handler() end

--- Puts an observer into force. Returns the middleware that goes with it: in a group one that marks
--- what is to be observed.
local function observe(self, piece)
  local root, on_response = self._root, piece.on_response
  if self == root then
    root:on_response(on_response)
    return pass_on
  end
  local mark = {}
  root:on_response(function(req, res)
    if res[mark] then return on_response(req, res) end
  end)
  return function(_, res, next_handler)
    res[mark] = true
    return next_handler()
  end
end

--- Adds middleware to this app or group: a function(req, res, next) around every handler of it,
--- whether its route is registered before or after. `next()` runs what is inside and returns its
--- result; the answer is what the outermost function returns, or else what `next()` returned.
---
--- A piece may also be a table { on_response = fn }, as loggers are: see app:on_response. Given to
--- a group its function is called for the exchanges of the group alone.
---@param ... hv.HttpMiddleware|hv.HttpObserver
---@return hv.HttpApp self
function App:use(...)
  local root, pieces = self._root, { ... }
  for i, piece in ipairs(pieces) do
    if type(piece) == "table" and type(piece.on_response) == "function" then
      pieces[i] = observe(self, piece)
    end
  end
  for _, fn in ipairs(check_functions("app:use", unpack(pieces, 1, select("#", ...)))) do
    self._middleware[#self._middleware + 1] = fn
  end
  for _, route in ipairs(root._routes) do install_route(root, route) end
  install_fallback(root)
  return self
end

local function new_group(root, parent, prefix)
  local group = setmetatable({ _parent = parent, _prefix = prefix, _middleware = {} }, app_meta)
  group._root = root or group
  return group
end

--- Routes below a common prefix, with middleware of their own.
---@param prefix string begins with '/' and does not end with it
---@param fn? fun(group: hv.HttpApp) called at once, to register them
---@return hv.HttpApp group
function App:group(prefix, fn)
  if type(prefix) ~= "string" or prefix:sub(1, 1) ~= "/" or prefix:sub(-1) == "/" then
    return misuse("app:group: prefix must begin with '/' and not end with it, got "
      .. tostring(prefix))
  end
  if fn ~= nil then check_functions("app:group", fn) end
  local group = new_group(self._root, self, self._prefix .. prefix)
  if fn then fn(group) end
  return group
end

--- Passes everything below a prefix on to other servers, WebSockets too. The prefix is replaced by
--- the path of the upstream's URL; see hv.http.gateway for the options.
---@param prefix string "/api"; "/" for everything that no other route takes
---@param upstreams string|hv.Upstream|(string|hv.Upstream)[] "http://127.0.0.1:9000" ...
---@param opts? hv.ProxyOptions
---@return hv.HttpApp self
function App:proxy(prefix, upstreams, opts)
  return require("hv.http_proxy").proxy(self, prefix, upstreams, opts)
end

--- Answers where no handler did because it threw: fn(message, req, res), as a handler. The error
--- reaches hv.on_error all the same.
---@param fn fun(message: string, req: hv.HttpRequest, res: hv.HttpResponse): any
---@return hv.HttpApp self
function App:on_error(fn)
  check_functions("app:on_error", fn)
  self._root._router:set(-1, fn, 2, false)
  return self
end

--- Calls fn(req, res) when an exchange has ended: once for every request that came to a handler,
--- also where it failed, was cancelled, answered with a stream or a file, or where no route took it
--- (what the server itself refuses as malformed never comes here). The facts are then as they
--- really were: `res.status` is what was sent (0: nothing was), `res.bytes` how much of the body,
--- `res.duration` the milliseconds since the head had come, `res.is_complete` whether all of the
--- answer was handed to the connection; `req.peer`, headers and the rest can still be read. It runs
--- as a task of its own; what it throws reaches hv.on_error. Several functions are called in turn.
---@param fn fun(req: hv.HttpRequest, res: hv.HttpResponse)
---@return hv.HttpApp self
function App:on_response(fn)
  check_functions("app:on_response", fn)
  local root = self._root
  local observers = root._observers
  observers[#observers + 1] = fn
  root._router:set(-4, #observers == 1 and fn or function(req, res)
    for _, observer in ipairs(observers) do observer(req, res) end
  end, 2, false)
  for _, route in ipairs(root._routes) do install_route(root, route) end
  install_fallback(root)
  return self
end

--- Answers what no route matches and what app:static does not find; the status is 404 unless it
--- sets another.
---@param fn fun(req: hv.HttpRequest, res: hv.HttpResponse): any
---@return hv.HttpApp self
function App:not_found(fn)
  check_functions("app:not_found", fn)
  self._root._not_found = fn
  install_fallback(self._root)
  return self
end

--- Adds a route whose requests become WebSockets; middleware runs before, and may refuse.
---
--- With a function each socket runs it as a task of its own, and is closed when it returns: code
--- 1000, or 1011 where it failed. Without one, `on_message(ws, data, kind)` of the options is
--- called for each message, one after the other for each socket, and no task is parked. A second
--- parameter of the function, or of `on_open`, gets what is known of the request: path, params,
--- headers ...
---@param pattern string
---@param opts hv.WsOptions|fun(ws: hv.Ws, req: hv.WsRequest)
---@param fn? fun(ws: hv.Ws, req: hv.WsRequest)
---@return hv.HttpApp self
function App:ws(pattern, opts, fn)
  return add_route(self, "app:ws", "GET", pattern,
    { require("hv.ws_server").handler(self._root, opts, fn) })
end

--- Sends a message to every WebSocket of this app that has subscribed to a topic. The frame is
--- built once. Never waits: a socket that does not read, and whose queue would pass its
--- `write_max`, is cut off.
---@param topic string
---@param data string
---@param kind? "text"|"binary" text
---@param except? hv.Ws who does not get it
---@return integer? count how many got it
---@return string? message
---@return hv.ErrCode? code EINVAL: text that is no UTF-8
function App:publish(topic, data, kind, except)
  return require("hv.ws_server").publish(self._root, topic, data, kind, except)
end

--- How many WebSockets have subscribed to a topic.
---@param topic string
---@return integer
function App:subscribers(topic)
  return require("hv.ws_server").subscribers(self._root, topic)
end

--- Makes the pages of errors: fn(status, req, res) for every status from 400 on that a handler
--- returns as a number, for what no route matches or app:static does not find, and for handlers
--- that threw. What it returns is sent with that status; a string is HTML.
---@param fn fun(status: integer, req: hv.HttpRequest, res: hv.HttpResponse): any
---@return hv.HttpApp self
function App:error_page(fn)
  check_functions("app:error_page", fn)
  local root = self._root
  root._router:set(-3, function(status, req, res)
    res.status = status
    local page = fn(status, req, res)
    return type(page) == "string" and { status = status, html = page } or page
  end, 2, false)
  root._has_page = true
  install_fallback(root)
  return self
end

local max_name = 253 -- RFC 1035 section 2.3.4

--- Tells whether it is a name that a Host header may have, perhaps with "*." before it.
local function is_host_name(name)
  if #name > max_name then return false end
  if name:find("^%[[%x:.]+%]$") then return true end
  for label in (name:gsub("^%*%.", "", 1) .. "."):gmatch("([^.]*)%.") do
    if not label:find("^[%w_-]+$") then return false end
  end
  return true
end

local function check_site(root, site)
  if getmetatable(site) ~= app_meta or site._root ~= site then
    return misuse("app:host: an app or a function expected, got " .. type(site))
  end
  if site == root or next(site._hosts) then
    return misuse("app:host: the app of a host cannot have hosts of its own")
  end
  site._is_site = true
  return site
end

--- Has another app answer the requests for a host, and returns it: its routes, middleware, pages
--- of errors, topics and observers are its own; limits and times are those of the app that listens.
---
--- An exact name beats "*.example.com" (every name below, at any depth, not example.com itself),
--- and the longest of those the others; this app answers for all other hosts. Neither case, port
--- nor a final dot matter. Of "GET http://host/path" the host in the target counts (RFC 9112
--- section 3.2.2).
---@param name string "example.com", "*.example.com", "192.0.2.1", "[::1]"; IDN as "xn--..."
---@param site? hv.HttpApp|fun(site: hv.HttpApp) an app, or what makes a new one's routes at once
---@return hv.HttpApp site
function App:host(name, site)
  local root = self._root
  if self ~= root then return misuse("app:host: not in a group") end
  if root._is_site then
    return misuse("app:host: the app of a host cannot have hosts of its own")
  end
  if type(name) ~= "string" then
    return misuse("app:host: name must be a string, got " .. type(name))
  end
  local key = name:lower():gsub("%.$", "")
  if not is_host_name(key) then
    return misuse(('app:host: %q is neither a name without port nor "*." before one'):format(name))
  end
  if root._hosts[key] then return misuse(("app:host: there is %q already"):format(key)) end
  local make = type(site) == "function" and site
  if make or site == nil then site = M.app() end
  check_site(root, site)
  if make then make(site) end
  assert(root._router:host(key, site._router))
  root._hosts[key] = site
  return site
end

--- The patterns of all routes, each once, in order of registration.
---@return string[] paths
function App:paths()
  local list, seen = {}, {}
  for _, route in ipairs(self._root._routes) do
    if not seen[route.path] then
      seen[route.path] = true
      list[#list + 1] = route.path
    end
  end
  return list
end

-- ---- Servers ----

local HTTP2_ON, HTTP2_TLS, HTTP2_OFF = 0, 1, 2

local read_listen = options.reader("app:listen", {
  host = { "string", "" }, port = { "port" }, path = { "string" },
  reuse_port = { "boolean", false }, tls = { "any" },
})

--- Listens and answers by this app's routes; routes may be added while it runs.
---@param opts? hv.HttpListenOptions|string|integer options, "host:port" or a port; 0: a free one
---@return hv.HttpServer? server
---@return string? message
---@return hv.ErrCode? code EADDRINUSE, EACCES, ENOTFOUND, ETLS (a certificate) ...
function App:listen(opts)
  if type(opts) ~= "table" then opts = options.address("app:listen", opts) end
  local t = read_listen(opts or {})
  local root = self._root
  local ctx, message, code
  if t.tls then
    local alpn = root._options.http2 ~= HTTP2_OFF and { "h2", "http/1.1" } or { "http/1.1" }
    ctx, message, code = tls.server("listen", t.tls, alpn)
    if not ctx then return shutdown.register(nil, message, code) end
  end
  if t.path then
    if t.path:sub(1, 1) ~= "/" then
      return misuse(("app:listen: path must begin with '/', got %q"):format(t.path))
    end
    return shutdown.register(raw.listen(root._router, root._options, t.path, 0, false, ctx))
  end
  local port = t.port or shutdown.facts.port
  if not port then return misuse("app:listen: port is missing") end
  return shutdown.register(
    raw.listen(root._router, root._options, t.host, port, t.reuse_port, ctx))
end

--- Checked to HHTTP_HTTP2_* of runtime/include/hhttp.h.
local function http2_kind(value, where)
  if value == true then return HTTP2_ON end
  if value == false then return HTTP2_OFF end
  if value == "tls" then return HTTP2_TLS end
  return misuse(('%s: http2 must be true, false or "tls", got %s'):format(where, tostring(value)))
end

local read_app = options.reader("hv.http.app", {
  max_body = { "size", limits.http_body }, max_header = { "size", limits.http_header },
  max_headers = { "integer", limits.http_headers },
  max_request_line = { "size", limits.http_request_line },
  max_requests = { "integer", 0 }, max_connections = { "integer", limits.max_connections },
  max_handshakes = { "integer", limits.http_handshakes },
  handshake_timeout = { "ms", limits.handshake_timeout },
  request_timeout = { "ms", limits.http_request_timeout },
  body_timeout = { "ms", limits.http_body_timeout }, min_body_rate = { "size", 0 },
  idle_timeout = { "ms", limits.http_idle_timeout },
  write_timeout = { "ms", limits.write_timeout },
  server_name = { "string" },
  http2 = { http2_kind, HTTP2_ON }, max_streams = { "integer", limits.http2_streams },
  max_glitches = { "integer", limits.http2_glitches },
})

--- Makes an application: routes that one or more servers answer by.
---@param opts? hv.HttpAppOptions
---@return hv.HttpApp app
function M.app(opts)
  local app = new_group(nil, nil, "")
  app._options = read_app(opts or {})
  app._router = raw.router(deliver)
  app._routes, app._observers, app._hosts = {}, {}, {}
  return app
end

methods.guard(App, "app", "hv.http.app")

return M
