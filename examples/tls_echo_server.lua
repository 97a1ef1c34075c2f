-- tls_echo_server.lua - sends back what it gets, under TLS; reads its certificate anew at SIGHUP
-- while connections go on.
--
--     openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost \
--         -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -keyout key.pem -out cert.pem
--     hvlua tls_echo_server.lua 8443 cert.pem key.pem
--     openssl s_client -connect localhost:8443 -CAfile cert.pem -quiet
local hv = require "hv"

io.stdout:setvbuf("line")

local port, cert, key = tonumber(arg[1]), arg[2], arg[3]
if not (port and cert and key) then
  io.stderr:write("Usage: tls_echo_server.lua port cert.pem key.pem\n")
  os.exit(2)
end

local context = assert(hv.tls.context { cert = cert, key = key })

hv.on_signal("hup", function()
  local ok, message = context:reload()
  print(ok and "certificate read anew" or message)
end):unref()

local server = assert(hv.tcp.listen({ port = port, tls = context }, function(conn)
  local facts = conn:tls()
  print(("connected: %s, %s"):format(facts.version, facts.cipher))
  for chunk in conn:chunks() do
    assert(conn:write(chunk))
  end
end))
print("listening on " .. server:port())
