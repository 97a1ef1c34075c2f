-- httpd.lua - a whole web server by a configuration: hosts with files, certificates, logs and pages
-- of errors of their own, proxies, passwords, rates, compression; worker processes; and an API.
--
--     hvlua httpd.lua -c httpd.conf -s restart -d
--     hvlua httpd.lua --help
--
-- httpd.conf says all that can be configured. The options are hvlua's own, which stand before the
-- script (hvlua -c httpd.conf -d httpd.lua); given behind it, as above, they are put there.
local hv = require "hv"

local USAGE = [[
Usage: httpd [hvc:ts:dp:w:]
Options:

  -h|--help                 Print this information
  -v|--version              Print version
  -c|--confile <confile>    Set configure file, default etc/{program}.conf
  -t|--test                 Test configure file and exit: names, values, folders, certificates
  -s|--signal <signal>      Send <signal> to process,
                            <signal>=[start,stop,restart,status,reload]
  -d|--daemon               Daemonize
  -p|--port <port>          Set listen port
  -w|--workers <count>      Set the number of worker processes, or auto

A reload (-s reload, SIGHUP, SIGUSR1) takes a changed configuration and new certificates without
losing a request; where the configuration is bad, the old one stays in force and the log says why.
Access logs are opened for each batch of lines: rename them, and they are made anew.]]

local here = arg[0]:match("^(.*/)") or ""
local load_config, add_api = dofile(here .. "httpd_config.lua"), dofile(here .. "httpd_api.lua")

-- ---- Options behind the script ----

--- Puts this program in the place of this one, with the options before the script.
local function run_again(options)
  local ffi = require "ffi"
  ffi.cdef "int execv(const char *path, const char *const argv[]);"
  local words = { "hvlua", unpack(options) }
  words[#words + 1] = arg[0]
  io.stdout:flush()
  local argv = ffi.new("const char *[?]", #words + 1)
  for i, word in ipairs(words) do argv[i - 1] = word end
  ffi.C.execv("/proc/self/exe", argv)
  error("cannot run /proc/self/exe again: errno " .. ffi.errno())
end

--- The value of an option such as -c among those behind the script.
local function option(short, long)
  for i, word in ipairs(arg) do
    if word == short or word == long then return arg[i + 1] or true end
    local value = word:match("^" .. long:gsub("%-", "%%-") .. "=(.*)")
      or #word > 2 and word:sub(1, 2) == short and word:sub(3)
    if value then return value end
  end
end

if option("-h", "--help") then
  print(USAGE)
  return
elseif option("-v", "--version") then
  print("httpd version " .. hv.version)
  return
elseif option("-t", "--test") then
  local path = option("-c", "--confile")
  if not path and hv.fs.exists("etc/httpd.conf") then path = "etc/httpd.conf" end
  local config, message = load_config(path)
  if not config then
    io.stderr:write("httpd: ", message, "\n")
    os.exit(1)
  end
  print(("Test confile [%s] OK!"):format(path or "none"))
  return
elseif arg[1] then
  run_again(arg)
end

local config, tls = load_config()
if not config then error("httpd: " .. tls, 0) end
local mw = hv.http.middleware

-- ---- Hosts ----

--- What a host takes from the top of the file where it does not say it.
local inherited = {
  home_page = true, index_of = true, cache_control = true, compress = true, access_log = true,
  access_log_format = true, rate_limit = true, allow = true, deny = true,
  security_headers = true, hsts = true,
  error_page_403 = true, error_page_404 = true, error_page_429 = true, error_page_500 = true,
  error_page_502 = true, error_page_503 = true, error_page_504 = true,
}

local loggers = {}

--- One logger for each file, whoever writes there.
local function logger_of(site)
  local file = site.access_log
  if not loggers[file] then
    assert(hv.fs.mkdir(file:match("^(.*)/") or ".", { recursive = true }))
    loggers[file] = mw.logger { file = file, format = site.access_log_format or "common" }
  end
  return loggers[file]
end

--- To the same address by HTTPS, but for what certificates are ordered by (RFC 8555 section 8.3).
local function redirect_https(req, res, next_handler)
  if req.scheme == "https" or req.path:find("^/%.well%-known/acme%-challenge/") then
    return next_handler()
  end
  local host = (req.host or "localhost"):gsub(":%d+$", "")
  local port = config.https and config.https.port or 443
  if port ~= 443 then host = host .. ":" .. port end
  return res:redirect(("https://%s%s"):format(host, req.target), 301)
end

--- A path as servers behind us may read it: decoded, without "." and "..".
local function resolved(path)
  local parts = {}
  for part in hv.url.decode(path):gsub("\\", "/"):gmatch("[^/]+") do
    if part == ".." then
      table.remove(parts)
    elseif part ~= "." then
      parts[#parts + 1] = part
    end
  end
  return "/" .. table.concat(parts, "/")
end

--- Passwords of a path and all below it: [auth /admin] or [auth example.org/admin].
local function add_passwords(app, name)
  for place, users in pairs(config.auth or {}) do
    local host, path = place:match("^([^/]*)(/.*)$")
    if host == (name or "") then
      local ask = mw.basic_auth { users = users, realm = place }
      local prefix = path:gsub("/+$", "") .. "/"
      app:use(function(req, res, next_handler)
        local inside = resolved(req.path) .. "/"
        if inside:sub(1, #prefix) ~= prefix then return next_handler() end
        return ask(req, res, next_handler)
      end)
    end
  end
end

local function add_middleware(app, site, name)
  if site.access_log then app:use(logger_of(site)) end
  if config.trusted_proxies then app:use(mw.real_ip { trusted = config.trusted_proxies }) end
  if site.allow or site.deny then
    app:use(mw.ip_filter { allow = site.allow, deny = site.deny })
  end
  if site.redirect_https then app:use(redirect_https) end
  if site.redirect then
    app:use(function(req, res) return res:redirect(site.redirect .. req.target, 301) end)
  end
  if site.rate_limit then app:use(mw.rate_limit(site.rate_limit)) end
  if site.security_headers or site.hsts then app:use(mw.security_headers { hsts = site.hsts }) end
  if name and site.max_body then app:use(mw.body_limit(site.max_body)) end
  add_passwords(app, name)
  if site.compress then app:use(mw.compress()) end
end

local function page_of(status, req)
  local title = ("%d %s"):format(status, hv.http.status_text(status))
  if (req:header("accept") or ""):find("text/html", 1, true) then
    return ("<!DOCTYPE html>\n<title>%s</title>\n<center><h1>%s</h1></center>\n"):format(title,
      title)
  end
  return { status = status, text = title .. "\n" }
end

local function add_pages(app, site)
  app:error_page(function(status, req)
    local file = site["error_page_" .. status]
    if file then return { status = status, html = assert(hv.fs.read(file)) } end
    return page_of(status, req)
  end)
end

--- Makes an app serve what a part of the configuration says.
local function build(app, site, name, proxies)
  add_middleware(app, site, name)
  for prefix, t in pairs(proxies or {}) do
    if prefix:sub(1, 1) == "/" then app:proxy(prefix, t.upstreams, t.options) end
  end
  if site.document_root and not (proxies and proxies["/"]) then
    app:static("/", site.document_root, {
      index = site.home_page or "index.html", listing = site.index_of ~= false,
      cache_control = site.cache_control, fallback = site.fallback,
    })
  end
  add_pages(app, site)
  return app
end

-- ---- Listening ----

local app = hv.http.app {
  max_body = config.max_body, server_name = config.server_name or "httpd/" .. hv.version,
  max_connections = config.max_connections, request_timeout = config.request_timeout,
  idle_timeout = config.idle_timeout, http2 = config.http2,
  handshake_timeout = config.https and config.https.handshake_timeout,
  max_handshakes = config.https and config.https.max_handshakes,
}

if not config.document_root and not config.host then config.document_root = "examples/html" end
if config.api then add_api(app, config) end
build(app, config, nil, config.proxy)

for name, site in pairs(config.host or {}) do
  setmetatable(site, { __index = function(_, key) return inherited[key] and config[key] end })
  build(app:host(name), site, name, (config.proxy or {})[name])
end

assert(app:listen { port = hv.port or 8080 })
if tls then assert(app:listen { port = config.https.port, tls = tls }) end
