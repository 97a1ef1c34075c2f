-- luv HTTP responder with a plain Lua parser (request line, all headers into a table).
-- luajit luv_http.lua PORT [min]   "min": only finds CRLFCRLF
local uv = require "luv"
local port, min = tonumber(arg[1]), arg[2] == "min"
local find, sub, match = string.find, string.sub, string.match
local gmatch, lower = string.gmatch, string.lower
local date = os.date("!%a, %d %b %Y %H:%M:%S GMT")
local t = uv.new_timer()
t:start(1000, 1000, function() date = os.date("!%a, %d %b %Y %H:%M:%S GMT") end)
local function handle()
  local body = "Hello, World!"
  return "HTTP/1.1 200 OK\r\nServer: luv\r\nDate: " .. date ..
    "\r\nContent-Type: text/plain\r\nContent-Length: " .. #body ..
    "\r\nConnection: keep-alive\r\n\r\n" .. body
end
local function parse(buf, from, to)
  local m, target, ver, e = match(buf, "^(%u+) (%S+) HTTP/1%.(%d)\r\n()", from)
  if not m then return nil end
  local h = {}
  for k, v in gmatch(sub(buf, e, to), "([^:\r\n]+):[ \t]*([^\r\n]*)\r\n") do h[lower(k)] = v end
  return { method = m, target = target, version = ver, headers = h }
end
local s = uv.new_tcp()
s:bind("127.0.0.1", port)
s:listen(4096, function()
  local c = uv.new_tcp()
  s:accept(c)
  c:nodelay(true)
  local rest = ""
  c:read_start(function(err, chunk)
    if err or not chunk then c:close() return end
    if rest ~= "" then chunk = rest .. chunk rest = "" end
    local pos, out, n = 1, nil, 0
    while true do
      local _, e = find(chunk, "\r\n\r\n", pos, true)
      if not e then break end
      local r
      if min then r = handle() else
        local q = parse(chunk, pos, e)
        if not q then c:close() return end
        r = handle()
      end
      pos = e + 1
      if n == 0 then out = r n = 1
      else
        if n == 1 then out = { out } end
        n = n + 1
        out[n] = r
      end
    end
    if pos <= #chunk then rest = sub(chunk, pos) end
    if n > 0 then c:write(out) end
  end)
end)
uv.run()
