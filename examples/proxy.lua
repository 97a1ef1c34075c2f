-- proxy.lua - a proxy in front of HTTP servers, or in front of browsers.
--
--     hvlua proxy.lua [options] URL...      a reverse proxy: requests go to one of the URLs
--     hvlua proxy.lua [options] --forward   a forward proxy, for `curl -x` and browsers
local hv = require "hv"

local USAGE = [[
Usage: proxy.lua [options] URL...
       proxy.lua [options] --forward

  -p, --port PORT         listen there (8080; 0: any)
  -a, --address ADDRESS   on that address only (127.0.0.1)
      --prefix PATH       take what is below PATH, and put the URL's path in its place (/)
      --balance HOW       round_robin, least_busy or client (round_robin)
      --health PATH       ask the upstreams for PATH every five seconds
      --keep-host         pass the client's Host on
      --forward           go where the requests say; CONNECT makes tunnels
      --connect PORT,...  the ports that CONNECT may name (443)
      --user NAME:WORD    let only this user through; may be given again
  -q, --quiet             say nothing of the requests
  -h, --help              show this help
]]

local function fail(message)
  io.stderr:write("proxy.lua: ", message, "\n", USAGE)
  os.exit(2)
end

local short = { p = "port", a = "address", q = "quiet", h = "help" }
local flags = { ["keep-host"] = true, forward = true, quiet = true, help = true }
local valued = { port = true, address = true, prefix = true, balance = true, health = true,
  connect = true, user = true }

local function parse(words)
  local options, urls, users, i = {}, {}, nil, 1
  while words[i] do
    local word = words[i]
    local name = word:match("^%-%-(.+)$") or short[word:match("^%-(%a)$")]
    if not name and word:sub(1, 1) == "-" then fail("unknown option " .. word) end
    if not name then
      urls[#urls + 1] = word
    elseif flags[name] then
      options[name] = true
    elseif valued[name] then
      i = i + 1
      if not words[i] then fail(word .. " needs a value") end
      options[name] = words[i]
      if name == "user" then
        local user, password = words[i]:match("^([^:]+):(.*)$")
        if not user then fail("--user wants NAME:WORD") end
        users = users or {}
        users[user] = password
      end
    else
      fail("unknown option " .. word)
    end
    i = i + 1
  end
  return options, urls, users
end

local function list_of_ports(text)
  local ports = {}
  for port in (text or "443"):gmatch("%d+") do ports[#ports + 1] = tonumber(port) end
  return ports
end

local options, urls, users = parse(arg)
if options.help then
  io.write(USAGE)
  os.exit(0)
end
local port = tonumber(options.port or 8080)
if not port then fail("--port wants a number") end

-- Bodies of any size pass through: they are streamed and never kept.
local app = hv.http.app { max_body = 0 }
if not options.quiet then
  app:use(function(req, _, next_handler)
    local began, peer, method, target = hv.now(), req.peer, req.method, req.target
    local result = next_handler()
    hv.log.info("%s %s %s %d ms", peer.ip or "-", method, target, hv.now() - began)
    return result
  end)
end

if options.forward then
  app:not_found(hv.http.forward_proxy {
    users = users, connect_ports = list_of_ports(options.connect),
  })
elseif #urls == 0 then
  fail("where shall the requests go?")
else
  local ok, message = pcall(app.proxy, app, options.prefix or "/", urls, {
    balance = options.balance, health_path = options.health, keep_host = options["keep-host"],
  })
  if not ok then fail(tostring(message)) end
end

local server, message = app:listen { host = options.address or "127.0.0.1", port = port }
if not server then fail(message) end
print(("listening on http://%s:%d"):format(options.address or "127.0.0.1", server:port()))
io.stdout:flush()
