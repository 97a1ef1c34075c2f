-- tinyhttpd.lua - serves the files of a folder over HTTP/1.1, on nothing but hv.tcp: what a web
-- server is at its smallest. Programs use hv.http, which knows far more.
--
--     hvlua tinyhttpd.lua 8080 examples/html
--     curl -v http://127.0.0.1:8080/
--
-- One task a connection: it reads a head, answers, and begins again. A file goes out piece by
-- piece, and write() waits while the client is slow, so large files cost no memory. Requests with a
-- body are refused and end the connection.
local hv = require "hv"

if not arg[1] or arg[1] == "-h" or arg[1] == "--help" then
  print("Usage: tinyhttpd.lua [host:]port [folder]")
  os.exit(arg[1] and 0 or 2)
end

local host, port = arg[1]:match("^(.*):(%d+)$")
port = tonumber(port or arg[1])
local root = arg[2] or "."

local HEAD_MAX = 8192

local types = {
  html = "text/html; charset=utf-8", css = "text/css", js = "text/javascript",
  txt = "text/plain; charset=utf-8", png = "image/png", jpg = "image/jpeg", svg = "image/svg+xml",
  json = "application/json",
}

local reasons = {
  [200] = "OK", [400] = "Bad Request", [403] = "Forbidden", [404] = "Not Found",
  [405] = "Method Not Allowed", [413] = "Content Too Large", [505] = "HTTP Version Not Supported",
}

local function head(status, kind, length, keeps_alive)
  return ("HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %d\r\nConnection: %s\r\n\r\n")
    :format(status, reasons[status], kind, length, keeps_alive and "keep-alive" or "close")
end

--- The file of a target; nil and a status where there is none to be had.
local function path_of(target)
  local path = target:match("^(/[^?#]*)")
  if not path or path:gsub("%%%x%x", ""):find("%", 1, true) then return nil, 400 end
  path = path:gsub("%%(%x%x)", function(hex) return string.char(tonumber(hex, 16)) end)
  if path:find("%z") then return nil, 400 end
  for segment in path:gmatch("[^/]+") do
    if segment:sub(1, 1) == "." then return nil, 404 end -- hidden, or on the way out
  end
  path = root .. path
  if path:sub(-1) == "/" then path = path .. "index.html" end
  return path
end

--- Sends a file, or the head alone. Returns whether the connection is still good.
local function send_file(conn, path, is_head, keeps_alive)
  local stat = hv.fs.stat(path)
  if not stat then return nil, 404 end
  if stat.type ~= "file" then return nil, 403 end
  local file = hv.fs.open(path)
  if not file then return nil, 403 end
  local kind = types[path:match("%.(%w+)$")] or "application/octet-stream"
  local ok, left = conn:write(head(200, kind, stat.size, keeps_alive)), stat.size
  while ok and not is_head and left > 0 do
    local piece = file:read(math.min(left, 65536))
    ok = piece and conn:write(piece) -- a file that has become shorter: the client is to see it
    left = left - #(piece or "")
  end
  file:close()
  return ok ~= nil
end

--- Answers one request. Returns whether another one may follow.
local function answer(conn, text)
  local method, target, version = text:match("^(%u+) (%S+) HTTP/(%d%.%d)\r\n")
  local fields = ("\n" .. text):lower()
  local connection = fields:match("\nconnection:%s*(%S+)") or ""
  local keeps_alive = version == "1.1" and connection ~= "close"
    or version == "1.0" and connection == "keep-alive"
  local has_body = fields:find("\ntransfer%-encoding:")
    or (tonumber(fields:match("\ncontent%-length:%s*(%d+)")) or 0) > 0
  local status, path, ok
  if not method then
    status = 400
  elseif version ~= "1.1" and version ~= "1.0" then
    status = 505
  elseif has_body then
    status = 413
  elseif method ~= "GET" and method ~= "HEAD" then
    status = 405
  else
    path, status = path_of(target)
    if path then
      ok, status = send_file(conn, path, method == "HEAD", keeps_alive)
      if not status then return ok and keeps_alive end
    end
  end
  keeps_alive = keeps_alive and (status == 404 or status == 403)
  local body = method == "HEAD" and "" or ("%d %s\n"):format(status, reasons[status])
  return conn:write(head(status, types.txt, #body, keeps_alive) .. body) and keeps_alive
end

local server = assert(hv.tcp.listen({
  host = host or "", port = port, read_timeout = 30000, no_delay = true,
}, function(conn)
  repeat
    local text = conn:read_until("\r\n\r\n", HEAD_MAX)
  until not text or not answer(conn, text)
end))

print(("tinyhttpd listens on port %d"):format(server:port()))
io.stdout:flush()
