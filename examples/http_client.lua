-- http_client.lua - asks several URLs over one pool of connections, and prints what they say.
--
--     hvlua http_client.lua http://127.0.0.1:8080/ping http://127.0.0.1:8080/data
--     hvlua http_client.lua -d 'hello,world!' http://127.0.0.1:8080/echo
local hv = require "hv"

local body, first = nil, 1
if arg[1] == "-d" and #arg > 2 then body, first = arg[2], 3 end
if not arg[first] or arg[first]:sub(1, 1) == "-" then
  io.stderr:write("Usage: http_client [-d BODY] URL...\n")
  return hv.stop(arg[1] == "--help" and 0 or 2)
end

local client = assert(hv.http.client { timeout = 30000 })
local failures = 0
for i = first, #arg do
  local reply, message = client:request {
    method = body and "POST" or "GET", url = arg[i], body = body,
  }
  if reply then
    print(("%d %s (%s)"):format(reply.status, reply.reason, reply:header("content-type") or ""))
    print(reply.body)
  else
    io.stderr:write(message, "\n")
    failures = failures + 1
  end
end
hv.stop(failures > 0 and 1 or 0)
