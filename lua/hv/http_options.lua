--- hv.http_options - what requests and clients take, and what they take where nothing is said.
--- Private to lua/hv.
local headers_of = require "hv.http_headers"
local limits = require "hv.limits"
local loop = require "_hv.loop"
local misuse = loop.misuse
local options = require "hv.options"
local url = require "hv.url"

local M = {}

local function headers_kind(value, where)
  if type(value) ~= "table" then
    return misuse(("%s: headers must be a table, got %s"):format(where, type(value)))
  end
  return headers_of.of(value)
end

local function redirects_kind(value, where)
  if value == false then return 0 end
  if value == true then return 10 end
  local is_number = type(value) == "number" and value >= 0 and value <= 1000
  if is_number and value % 1 == 0 then return value end
  return misuse(where .. ": redirects must be a number of 0..1000 or false")
end

local function trailers_kind(value, where)
  if type(value) == "table" then return headers_of.of(value) end
  if type(value) == "function" then return value end
  return misuse(("%s: trailers must be a table, or a function that gives one, got %s"):format(where,
    type(value)))
end

local function tls_kind(value) return value end

local function auth_kind(value, where)
  local user = type(value) == "table" and value[1]
  local is_bearer = type(value) == "table" and type(value.bearer) == "string"
  if not is_bearer and type(user) ~= "string" then
    return misuse(where .. ': auth must be { user, password } or { bearer = token }')
  end
  if is_bearer then return value end
  if user:find(":", 1, true) then -- RFC 7617 section 2: the password begins behind the first
    return misuse(('%s: auth: the user may have no ":", got %q'):format(where, user))
  end
  if value[2] ~= nil and type(value[2]) ~= "string" then
    return misuse(("%s: auth: the password must be a string, got %s"):format(where,
      type(value[2])))
  end
  return value
end

--- Makes { kind, host, port, user, password } of "http://user:password@host:port", "socks5://...".
function M.proxy_kind(value, where)
  if value == false or value == "env" then return value end
  local parts = type(value) == "string"
    and url.parse(value:find("://", 1, true) and value or "http://" .. value)
  local kinds = { http = 1, socks5 = 2, socks5h = 2, https = 3 } -- HHTTP_PROXY_*
  local kind = parts and kinds[parts.scheme]
  if not kind or not parts.host or parts.host == "" then
    return misuse(('%s: proxy must be "http[s]://host:port", "socks5://host:port", "env" or '
      .. 'false, got %s'):format(where, tostring(value)))
  end
  if kind ~= kinds.socks5 and parts.user and parts.user:find(":", 1, true) then
    return misuse(('%s: proxy: the user may have no ":", got %q'):format(where, parts.user))
  end
  local port = parts.port or parts.scheme == "https" and 443 or 1080 -- as curl
  return { kind = kind, host = parts.host, port = port, user = parts.user,
    password = parts.password }
end

--- What C takes: where HTTP/2 is offered, never, or known to be spoken.
local http2_values = { [true] = 0, [false] = 1, prior_knowledge = 2 }

local function http2_kind(value, where)
  local number = http2_values[value]
  if number then return number end
  return misuse(('%s: http2 must be true, false or "prior_knowledge", got %s'):format(where,
    tostring(value)))
end

--- Known to both.
local shared_options = {
  headers = { headers_kind }, query = { "table" }, timeout = { "ms" },
  connect_timeout = { "ms" }, idle_timeout = { "ms" }, redirects = { redirects_kind },
  proxy = { M.proxy_kind }, tls = { tls_kind }, proxy_tls = { tls_kind },
  decompress = { "boolean" }, auth = { auth_kind },
  max_body = { "size" }, unix_socket = { "string" }, user_agent = { "string" },
  http2 = { http2_kind },
}

local function with(base, more)
  for key, entry in pairs(base) do more[key] = more[key] or entry end
  return more
end

--- What a request takes.
M.read_request = options.reader("hv.http.request", with(shared_options, {
  method = { "string" }, url = { "string" }, body = { "any" }, json = { "any" }, form = { "any" },
  multipart = { "table" }, stream = { "boolean" }, on_progress = { "function" },
  expect = { "size" }, close = { "boolean" }, fresh = { "boolean" }, upgrade = { "string" },
  cookies = { "any" }, on_request = { "function" }, trailers = { trailers_kind },
}))

--- What a client takes: its own limits, and defaults for its requests.
M.read_client = options.reader("hv.http.client", with(shared_options, {
  base_url = { "string" }, cookies = { "any" }, max_connections = { "integer" },
  max_idle = { "integer" }, max_idle_per_host = { "integer" }, max_waiting = { "integer" },
  keep_alive = { "ms" }, max_header = { "size" }, max_headers = { "integer" },
  max_status_line = { "size" }, max_interim = { "integer" }, max_streams = { "integer" },
  stream_window = { "size" }, ping_interval = { "ms" }, pong_timeout = { "ms" },
}))

--- What neither the request nor the client says.
M.defaults = {
  timeout = limits.http_client_timeout, connect_timeout = limits.connect_timeout,
  idle_timeout = limits.http_client_idle_timeout, max_body = limits.http_client_body,
  redirects = limits.http_client_redirects,
  decompress = true, proxy = false, http2 = 0, user_agent = "hvlua/" .. loop.version,
}

-- ---- Proxies of the environment ----

--- Whether a host is in a list such as "localhost,.example.org,10.0.0.1:8080" or "*".
local function is_exempt(list, parts)
  for entry in list:gmatch("[^%s,]+") do
    local name, port = entry:lower():match("^(.-):(%d+)$")
    name = (name or entry:lower()):gsub("^%*?%.", "")
    if entry == "*" then return true end
    local is_host = parts.host == name or parts.host:sub(-#name - 1) == "." .. name
    if is_host and (not port or tonumber(port) == parts.port) then return true end
  end
  return false
end

local function env(name)
  local value = os.getenv(name)
  return value ~= "" and value or nil
end

--- The proxy that the environment names for a URL, as curl reads it (HTTP_PROXY in capitals is left
--- alone: a CGI program's client can set it).
function M.proxy_of_environment(parts)
  local no_proxy = env("no_proxy") or env("NO_PROXY")
  if no_proxy and is_exempt(no_proxy, parts) then return nil end
  local schemes = { ws = "http", wss = "https" }
  local scheme = schemes[parts.scheme] or parts.scheme
  local value = scheme == "https" and (env("https_proxy") or env("HTTPS_PROXY"))
    or scheme == "http" and env("http_proxy") or env("all_proxy") or env("ALL_PROXY")
  return value and M.proxy_kind(value, "proxy of the environment")
end

return M
