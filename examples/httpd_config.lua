-- httpd_config.lua - the configuration of httpd.lua: what may stand in it, read and checked. Gives
-- a function(path) that returns it and its certificates, or nil and what is wrong, with its line.
local hv = require "hv"

--- Text that tells what is wrong, for rules below.
local function bad(format, ...) return nil, format:format(...) end

--- "100/s" or "600/m": requests of one client's address.
local function rate(text)
  local count, unit = text:match("^(%d+)/([smh])$")
  if not count or count == "0" then return bad("a rate is a number a time, as 100/s or 600/m") end
  return { rate = tonumber(count), window = ({ s = 1000, m = 60000, h = 3600000 })[unit] }
end

local function one_of(...)
  local known, list = {}, table.concat({ ... }, ", ")
  for _, word in ipairs { ... } do known[word] = true end
  return function(text, name)
    if known[text] then return text end
    return bad("%s must be one of %s, not %q", name, list, text)
  end
end

local function directory(text)
  local facts, message = hv.fs.stat(text)
  if not facts then return bad("%s", message) end
  if facts.type ~= "directory" then return bad("%s is no directory", text) end
  return text
end

local function readable(text)
  local file, message = io.open(text)
  if not file then return bad("%s", message) end
  file:close()
  return text
end

--- "10.0.0.0/8 127.0.0.1": addresses and networks.
local function networks(text, name)
  local list = {}
  for word in text:gmatch("[^%s,]+") do list[#list + 1] = word end
  local ok, message = pcall(hv.http.middleware.ip_filter, { allow = list })
  if not ok then return bad("%s: %s", name, tostring(message):gsub("^.-: ", "", 1)) end
  return list
end

local upstream_options = { weight = tonumber, backup = function(text) return text == "true" end }
local proxy_options = {
  balance = tostring, hash = tostring, timeout = tonumber, connect_timeout = tonumber,
  idle_timeout = tonumber, retry_on = tonumber,
  retries = tonumber, max_fails = tonumber, rest = tonumber,
  health_path = tostring, health_interval = tonumber, keep_host = true, strip = true,
  trust_forwarded = true, verify = true,
}

--- "http://a:9000 weight=3 http://b:9000 balance=least_busy": upstreams and the options of hv.http.
local function proxy(text)
  local upstreams, options = {}, {}
  for word in text:gmatch("%S+") do
    local key, value = word:match("^([%w_]+)=(.*)$")
    if not key then
      upstreams[#upstreams + 1] = { url = word }
    elseif upstream_options[key] and #upstreams > 0 then
      upstreams[#upstreams][key] = upstream_options[key](value)
    elseif proxy_options[key] then
      local read = proxy_options[key]
      if read == true then read = function(flag) return flag == "true" or flag == "on" end end
      options[key] = read(value)
    else
      return bad("unknown option %q of a proxy", key)
    end
  end
  if #upstreams == 0 then return bad("a proxy needs the URL of an upstream") end
  local ok, message = pcall(hv.http.gateway, upstreams, (function()
    local copy = {}
    for key, value in pairs(options) do if key ~= "strip" then copy[key] = value end end
    return copy
  end)())
  if not ok then return bad("%s", tostring(message):gsub("^.-: ", "", 1)) end
  message:close()
  return { upstreams = upstreams, options = options }
end

--- What a host may say; what it does not say it takes from the top of the file.
local SITE = {
  document_root = { directory }, home_page = { "string" }, index_of = { "boolean" },
  fallback = { "string" }, cache_control = { "string" }, compress = { "boolean" },
  access_log = { "string" }, access_log_format = { one_of("common", "combined", "json") },
  redirect_https = { "boolean" }, redirect = { "string" }, rate_limit = { rate },
  allow = { networks }, deny = { networks }, max_body = { "size" },
  security_headers = { "boolean" }, hsts = { "time" },
  error_page_403 = { readable }, error_page_404 = { readable }, error_page_429 = { readable },
  error_page_500 = { readable }, error_page_502 = { readable }, error_page_503 = { readable },
  error_page_504 = { readable },
}

local function with(base, more)
  for key, rule in pairs(base) do more[key] = more[key] or rule end
  return more
end

local RULES = with(SITE, {
  -- of hvlua itself
  port = { "port" }, worker_processes = { "string" }, logfile = { "string" },
  loglevel = { "string" }, pidfile = { "string" }, worker_grace = { "string" },
  shutdown_grace = { "string" },

  trusted_proxies = { networks },
  api = { "boolean", true }, upload_dir = { "string", "logs/uploads" },
  max_body = { "size", 64 * 1048576 }, max_connections = { "integer" },
  request_timeout = { "time" }, idle_timeout = { "time" }, server_name = { "string" },
  http2 = { "boolean", true },
  sections = {
    https = { port = { "port", 8443 }, certificate = { readable }, key = { readable },
      min_version = { one_of("1.2", "1.3") }, handshake_timeout = { "time" },
      max_handshakes = { "integer" } },
    ["host *"] = with(SITE, { certificate = { readable }, key = { readable } }),
    proxy = { ["*"] = { proxy } }, ["proxy *"] = { ["*"] = { proxy } },
    ["auth *"] = { ["*"] = { "string" } },
  },
})

--- The option `tls` of the listener: the certificates of [https] and of the hosts.
local function tls_of(config)
  local https = config.https
  if not https then return nil end
  if not https.certificate then return nil, "[https] needs a certificate and its key" end
  local names = {}
  for name, host in pairs(config.host or {}) do
    if host.certificate then names[name] = { cert = host.certificate, key = host.key } end
  end
  local tls = { cert = https.certificate, key = https.key, names = names,
    min_version = https.min_version }
  local context, message = hv.tls.context(tls) -- to see whether they can be used
  return context and tls, message
end

return function(path)
  local config, message = hv.read_config(RULES, path)
  if not config then return nil, message end
  local tls
  tls, message = tls_of(config)
  if message then return nil, message end
  return config, tls
end
