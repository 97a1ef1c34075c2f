-- jsonrpc_client.lua - asks a jsonrpc_server one question, prints the answer, and ends.
--
--     hvlua jsonrpc_client.lua 127.0.0.1 1234 add 1 2
--     hvlua jsonrpc_client.lua -2 127.0.0.1 1234 add 1 2 + sub 5 3       # a batch
--
-- The text is shown as it goes over the wire. A program that only wants results has it shorter:
--
--     local client = assert(jsonrpc.connect("127.0.0.1", 1234))
--     print(client:call("add", { 1, 2 }))
package.path = (arg[0]:match("^(.*)/") or ".") .. "/?.lua;" .. package.path
local hv = require "hv"
local json = require "hv.json"
local jsonrpc = require "jsonrpc"

local usage = [=[
Usage: jsonrpc_client.lua [-d] [-2] [-n] host port method [param...] [+ method [param...]]...

  -d           packets are lines that end with CR LF, without a head
  -2           JSON-RPC 2.0
  -n           a notification: there is no answer
  -h, --help   this text

Parameters that look like numbers are numbers. Calls parted by "+" are sent as one batch of 2.0.
]=]

local function fail(text)
  io.stderr:write(text)
  os.exit(2)
end

-- ---- The command line ----

local framing, is_2, is_notification = "head", false, false
local at = 1
while arg[at] and arg[at]:find("^%-%-?%a") or arg[at] == "-2" do
  local word = arg[at]
  if word == "-h" or word == "--help" then
    io.write(usage)
    os.exit(0)
  elseif word == "-d" then
    framing = "line"
  elseif word == "-2" then
    is_2 = true
  elseif word == "-n" then
    is_2, is_notification = true, true
  else
    fail(usage)
  end
  at = at + 1
end
local host, port = arg[at], tonumber(arg[at + 1])
if not port or not arg[at + 2] then fail(usage) end

-- The calls: { { method, param ... }, ... }
local calls = { {} }
for i = at + 2, #arg do
  local word = arg[i]
  local call = calls[#calls]
  if word == "+" then
    calls[#calls + 1] = {}
  elseif #call == 0 then
    call[1] = word
  else
    call[#call + 1] = tonumber(word) or word
  end
end
is_2 = is_2 or #calls > 1

-- ---- The request ----

local function request_text(id, call)
  local params = {}
  for i = 2, #call do params[i - 1] = json.encode(call[i]) end
  return ('{%s%s"method":%s,"params":[%s]}'):format(is_2 and '"jsonrpc":"2.0",' or "",
    is_notification and "" or ('"id":%d,'):format(id), json.encode(call[1]),
    table.concat(params, ","))
end

local texts = {}
for i, call in ipairs(calls) do texts[i] = request_text(i, call) end
local text = #calls > 1 and "[" .. table.concat(texts, ",") .. "]" or texts[1]

local conn, message = hv.tcp.connect { host = host, port = port,
  unpack = jsonrpc.unpack_of(framing), read_timeout = 10000 }
if not conn then
  io.stderr:write(message, "\n")
  os.exit(1)
end
print("on_connect " .. host .. ":" .. port)
print("> " .. text)
assert(conn:write(jsonrpc.pack(text, framing)))
if not is_notification then
  local packet, why = conn:read()
  if not packet then
    io.stderr:write(why, "\n")
    os.exit(1)
  end
  print("< " .. jsonrpc.text_of(packet, framing))
end
conn:close()
print("on_close")
