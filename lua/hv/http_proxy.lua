--- hv.http_proxy - reverse and forward proxies: `app:proxy`, `hv.http.gateway` and
--- `hv.http.forward_proxy`. Requests and answers are streamed in C; a handler only waits.
local misuse = require("_hv.loop").misuse
local options = require "hv.options"
local raw = require "_hv.gateway"
local check_header = require("_hv.http").check_header
local url = require "hv.url"
local wait = require "hv.wait"

local M = {}

local balances = { round_robin = 0, least_busy = 1, client = 2, hash = 3 }

local function balance(value, where)
  local number = type(value) == "string" and balances[value]
  if number then return number end
  return misuse(('%s: balance must be "round_robin", "least_busy", "client" or "hash", got %s')
    :format(where, tostring(value)))
end

--- A table of headers: { name = text, false to take it off, or a function of the request }.
local function headers_of(value, where)
  if type(value) ~= "table" then
    return misuse(("%s: a table of headers expected, got %s"):format(where, type(value)))
  end
  for name, what in pairs(value) do
    local is_right = type(what) == "string" or what == false or type(what) == "function"
    if type(name) ~= "string" or not is_right then
      return misuse(("%s: header %s must be a string, false or a function"):format(where,
        tostring(name)))
    end
    local problem = check_header(name, type(what) == "string" and what or "")
    if problem then return misuse(("%s: header %s: %s"):format(where, name, problem)) end
  end
  return value
end

local retry_bits = { [500] = 1, [502] = 2, [503] = 4, [504] = 8, [429] = 16 }

--- Statuses as bits of C.
local function statuses(value, where)
  local bits = 0
  for _, status in ipairs(type(value) == "table" and value or { value }) do
    local bit = retry_bits[status]
    if not bit then
      return misuse(("%s: retry_on takes 429, 500, 502, 503 and 504, got %s"):format(where,
        tostring(status)))
    end
    if math.floor(bits / bit) % 2 == 0 then bits = bits + bit end
  end
  return bits
end

local function known(where)
  return options.reader(where, {
    balance = { balance, 0 }, hash = { "string" }, request_headers = { headers_of },
    response_headers = { headers_of }, strip_prefix = { "string" },
    retry_on = { statuses, 0 },
    keep_host = { "boolean", false }, trust_forwarded = { "boolean", false },
    forwarded = { "boolean", true },
    verify = { "boolean", true }, via = { "string", "hvlua" }, max_body = { "size", 0 },
    connect_timeout = { "ms", 5000 }, timeout = { "ms", 60000 }, idle_timeout = { "ms", 60000 },
    tunnel_timeout = { "ms", 3600000 }, retries = { "integer", 2 }, max_fails = { "integer", 3 },
    rest = { "ms", 10000 }, health_path = { "string" }, health_interval = { "ms", 5000 },
    max_connections = { "integer", 0 },
  })
end

local function upstream_of(value, where)
  if type(value) == "string" then value = { url = value } end
  if type(value) ~= "table" then
    misuse(("%s: an upstream must be a URL or { url=, weight=, path= }, got %s"):format(where,
      type(value)))
  end
  local t = options.reader(where .. ": upstream", {
    url = { "string" }, weight = { "integer", 1 }, path = { "string" },
    backup = { "boolean", false }, down = { "boolean", false }, connect_timeout = { "ms", 0 },
    timeout = { "ms", 0 },
  })(value)
  local parts = t.url and url.parse(t.url)
  if not parts or parts.scheme ~= "http" and parts.scheme ~= "https" then
    misuse(("%s: %q is no URL of an upstream"):format(where, tostring(t.url)))
  end
  if t.weight < 1 or t.weight > 1000 then
    misuse(("%s: weight must be 1..1000, got %d"):format(where, t.weight))
  end
  return t
end

--- What `request_headers` or `response_headers` come to for a request: a function of it that gives
--- a list for C. Without functions among them the list is always the same.
local function lister(headers)
  if not headers or next(headers) == nil then return function() end end
  local fixed, functions = {}, {}
  for name, value in pairs(headers) do
    if type(value) == "function" then
      functions[#functions + 1] = { name, value }
    else
      fixed[#fixed + 1] = name
      fixed[#fixed + 1] = value
    end
  end
  if #functions == 0 then return function() return fixed end end
  return function(req)
    local list = { unpack(fixed) }
    for _, entry in ipairs(functions) do
      local value = entry[2](req)
      list[#list + 1] = entry[1]
      list[#list + 1] = value ~= nil and value or false
    end
    return list
  end
end

local function make(where, upstreams, opts, keeps_prefix)
  local t = known(where)(opts or {})
  if t.hash and t.balance == 0 then t.balance = balances.hash end
  if t.balance == balances.hash and not t.hash then
    misuse(where .. ': hash is missing: "header:NAME", "cookie:NAME" or "path"')
  end
  t.keeps_prefix = keeps_prefix
  if type(upstreams) == "string" or type(upstreams) == "table" and upstreams.url then
    upstreams = { upstreams }
  end
  if type(upstreams) ~= "table" then
    misuse(("%s: a URL or a list of them expected, got %s"):format(where, type(upstreams)))
  end
  local list = {}
  for i, value in ipairs(upstreams) do list[i] = upstream_of(value, where) end
  local made, message, code = raw.new(list, t)
  if not made then
    if code == "EINVAL" then misuse(("%s: %s"):format(where, message)) end
    error(("%s: %s"):format(where, message), 0)
  end
  return made, list, lister(t.request_headers), lister(t.response_headers)
end

-- ---- Reverse proxies ----

---@class hv.Gateway
local Gateway = {}
local gateway_meta = {
  __name = "hv.http.gateway",
  __index = Gateway,
  __tostring = function(self) return ("hv.http.gateway{%d upstreams}"):format(#self._list) end,
}

local pass = wait.waits(raw.methods.pass)

--- Passes the request of a running handler on, and the answer back; bodies stream both ways, and an
--- upgrade that the upstream agrees to, such as WebSocket's, becomes a tunnel. Where no upstream
--- answers, the client gets 502, 503 or 504.
---@async
---@param res hv.HttpResponse
---@param req? hv.HttpRequest for functions among `request_headers` and `response_headers`
---@return integer? upstream number of the one that has answered
---@return string? message the request has been answered all the same
---@return hv.ErrCode? code ECLOSED (the client went away), ECONNREFUSED, ETIMEDOUT ...
function Gateway:pass(res, req)
  return pass(self._raw, res, self._request(req), self._response(req))
end

--- What is known of the upstreams, in their order.
---@return hv.UpstreamState[] states
function Gateway:state()
  local states = {}
  for i, upstream in ipairs(self._list) do
    local is_up, busy, passed, failures = raw.methods.upstream(self._raw, i)
    states[i] = { url = upstream.url, is_up = is_up or false, busy = busy or 0,
      passed = passed or 0, failures = failures or 0 }
  end
  return states
end

--- Ends it: requests under way get 503, connections to upstreams close; tunnels go on.
function Gateway:close() return raw.methods.close(self._raw) end

--- Makes a set of upstream servers that handlers pass requests on to: `gateway:pass(res)`.
---@param upstreams string|hv.Upstream|(string|hv.Upstream)[] "http://127.0.0.1:9000/prefix" ...
---@param opts? hv.GatewayOptions
---@return hv.Gateway gateway
function M.gateway(upstreams, opts)
  local made, list, request, response = make("hv.http.gateway", upstreams, opts)
  if #list == 0 then return misuse("hv.http.gateway: there is no upstream") end
  return setmetatable({ _raw = made, _list = list, _request = request,
    _response = response }, gateway_meta)
end

--- Passes everything below a prefix on. The prefix is replaced by the path of the upstream's URL:
--- with `app:proxy("/api", "http://10.0.0.1/v1")` a request for /api/users asks for /v1/users.
---@param app hv.HttpApp
---@param prefix string "/api"; "/" for everything that no other route takes
---@param upstreams string|hv.Upstream|(string|hv.Upstream)[]
---@param opts? hv.ProxyOptions `strip = false` keeps the prefix; the others are hv.GatewayOptions
---@return hv.HttpApp app
function M.proxy(app, prefix, upstreams, opts)
  if type(prefix) ~= "string" or prefix:sub(1, 1) ~= "/" then
    return misuse("app:proxy: prefix must begin with '/', got " .. tostring(prefix))
  end
  local base = prefix:gsub("/+$", "")
  local copy = {}
  for key, value in pairs(opts or {}) do copy[key] = value end
  local keeps_prefix = copy.strip == false and not copy.strip_prefix
  if copy.strip ~= false or keeps_prefix then copy.strip_prefix = app._prefix .. base end
  copy.strip = nil
  if copy.strip_prefix == "" then copy.strip_prefix = nil end
  local gateway, _, request, response = make("app:proxy", upstreams, copy, keeps_prefix)
  local function handler(req, res) pass(gateway, res, request(req), response(req)) end
  if base ~= "" then app:any(base, handler) end
  return app:any(base .. "/*rest", handler)
end

-- ---- Forward proxies ----

local forward = wait.waits(raw.methods.forward)

--- The host and port that a request for a forward proxy is about.
local function place_of(req)
  if req.method == "CONNECT" then
    local host, port = req.target:match("^%[?(.-)%]?:(%d+)$")
    return host, tonumber(port)
  end
  local parts = url.parse(req.target)
  if parts and parts.host then
    return parts.host, parts.port or parts.scheme == "https" and 443 or 80
  end
end

local function ports_of(value, where)
  if type(value) ~= "table" then
    misuse(where .. ": connect_ports must be a list of ports, got " .. type(value))
  end
  local set = {}
  for _, port in ipairs(value) do set[port] = true end
  return set
end

local function check_user(users, text)
  local crypto = require "hv.crypto"
  local encoded = text and text:match("^[Bb]asic +(%S+)$")
  local user, password = (encoded and crypto.unbase64(encoded) or ""):match("^([^:]*):(.*)$")
  local wanted = user and users[user]
  -- Digests, so that neither the content nor the length is told by the time.
  return wanted ~= nil and crypto.equal(crypto.sha256(wanted), crypto.sha256(password))
end

--- A handler that serves as a forward proxy, for browsers and `curl -x`: requests with an absolute
--- target go where it says, CONNECT makes a tunnel. Use it where no route takes a request:
---
---   app:not_found(hv.http.forward_proxy { users = { ann = "secret" } })
---
---@param opts? hv.ForwardProxyOptions
---@return fun(req: hv.HttpRequest, res: hv.HttpResponse): any
function M.forward_proxy(opts)
  local where = "hv.http.forward_proxy"
  local own = options.reader(where, {
    allow = { "function" }, users = { "table" }, via = { "string", "hvlua" },
    connect_ports = { ports_of, { [443] = true } }, max_body = { "size", 0 },
    connect_timeout = { "ms", 10000 }, timeout = { "ms", 60000 }, idle_timeout = { "ms", 60000 },
    tunnel_timeout = { "ms", 3600000 },
  })
  local t = own(opts or {})
  local gateway = make(where, {}, { via = t.via, max_body = t.max_body,
    connect_timeout = t.connect_timeout, timeout = t.timeout, idle_timeout = t.idle_timeout,
    tunnel_timeout = t.tunnel_timeout })
  return function(req, res)
    local host, port = place_of(req)
    if not host then
      return { status = 400, text = "a proxy wants an absolute target\n" }
    end
    if t.users and not check_user(t.users, req:header("proxy-authorization")) then
      return { status = 407, text = "who are you?\n",
        headers = { ["Proxy-Authenticate"] = 'Basic realm="proxy"' } }
    end
    local is_refused = req.method == "CONNECT" and not t.connect_ports[port]
    if is_refused or t.allow and not t.allow(host, port, req) then
      return { status = 403, text = "not through this proxy\n" }
    end
    forward(gateway, res)
  end
end

return M
