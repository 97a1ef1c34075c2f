-- starttls_server.lua - a protocol of lines that begins in clear and goes on under TLS: a little of
-- SMTP, which takes letters and throws them away (RFC 5321, RFC 3207).
--
--     hvlua starttls_server.lua 2525 cert.pem key.pem
--     openssl s_client -connect localhost:2525 -starttls smtp -CAfile cert.pem -quiet -crlf
local hv = require "hv"

io.stdout:setvbuf("line")

local port, cert, key = tonumber(arg[1]), arg[2], arg[3]
if not (port and cert and key) then
  io.stderr:write("Usage: starttls_server.lua port cert.pem key.pem\n")
  os.exit(2)
end

local context = assert(hv.tls.context { cert = cert, key = key })
local LETTER_BYTES_MAX = 1048576

local commands = {}

function commands.EHLO(conn)
  local extension = conn:tls() and "250 8BITMIME\r\n" or "250-8BITMIME\r\n250 STARTTLS\r\n"
  return conn:write("250-localhost\r\n" .. extension)
end

function commands.STARTTLS(conn)
  if conn:tls() then return conn:write("503 we do already\r\n") end
  conn:write("220 go ahead\r\n")
  return conn:start_tls(context)
end

function commands.DATA(conn)
  if not conn:tls() then return conn:write("530 STARTTLS first\r\n") end
  conn:write("354 end with a dot\r\n")
  local letter, message, code = conn:read_until("\r\n.\r\n", LETTER_BYTES_MAX)
  if not letter then return nil, message, code end
  print(("a letter of %d bytes"):format(#letter - 3))
  return conn:write("250 thrown away\r\n")
end

function commands.QUIT(conn)
  conn:write("221 bye\r\n")
  return nil, "quit"
end

local function fine(conn) return conn:write("250 fine\r\n") end
for _, name in ipairs { "HELO", "MAIL", "RCPT", "RSET", "NOOP" } do commands[name] = fine end

local server = assert(hv.tcp.listen({ port = port, read_timeout = 60000 }, function(conn)
  conn:write("220 localhost ready\r\n")
  for line in conn:lines() do
    local command = commands[(line:match("^%a+") or ""):upper()]
    local ok, message
    if command then
      ok, message = command(conn)
    else
      ok, message = conn:write("500 what?\r\n")
    end
    if not ok then return message ~= "quit" and print(message) end
  end
end))
print("listening on " .. server:port())
