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

-- ---- The command line ----

-- { framing, is_2, is_notification, host, port, calls = { { method, param ... }, ... } }; nil where
-- it makes no sense.
local function read_arguments()
  local t = { framing = "head", calls = { {} } }
  local at = 1
  while arg[at] and arg[at]:find("^%-%-?[%a2]") do
    local word = arg[at]
    if word == "-d" then
      t.framing = "line"
    elseif word == "-2" then
      t.is_2 = true
    elseif word == "-n" then
      t.is_2, t.is_notification = true, true
    else
      t.is_help = word == "-h" or word == "--help"
      return t.is_help and t or nil
    end
    at = at + 1
  end
  t.host, t.port = arg[at], tonumber(arg[at + 1])
  if not t.port or not arg[at + 2] then return nil end
  for i = at + 2, #arg do
    local word, call = arg[i], t.calls[#t.calls]
    if word == "+" then
      t.calls[#t.calls + 1] = {}
    elseif #call == 0 then
      call[1] = word
    else
      call[#call + 1] = tonumber(word) or word
    end
  end
  t.is_2 = t.is_2 or #t.calls > 1
  return t
end

-- ---- The request ----

local function request_text(t, id, call)
  local params = {}
  for i = 2, #call do params[i - 1] = json.encode(call[i]) end
  return ('{%s%s"method":%s,"params":[%s]}'):format(t.is_2 and '"jsonrpc":"2.0",' or "",
    t.is_notification and "" or ('"id":%d,'):format(id), json.encode(call[1]),
    table.concat(params, ","))
end

local function whole_text(t)
  local texts = {}
  for i, call in ipairs(t.calls) do texts[i] = request_text(t, i, call) end
  return #texts > 1 and "[" .. table.concat(texts, ",") .. "]" or texts[1]
end

-- Sends it and prints the answer. Returns the exit status.
local function ask(t)
  local conn, message = hv.tcp.connect { host = t.host, port = t.port,
    unpack = jsonrpc.unpack_of(t.framing), read_timeout = 10000 }
  if not conn then
    io.stderr:write(message, "\n")
    return 1
  end
  local text, status = whole_text(t), 0
  local fd = conn:fd()
  print("on_connect fd=" .. fd)
  print("> " .. text)
  assert(conn:write(jsonrpc.pack(text, t.framing)))
  if not t.is_notification then
    local packet, why = conn:read()
    if packet then
      print("< " .. jsonrpc.text_of(packet, t.framing))
    else
      io.stderr:write(why, "\n")
      status = 1
    end
  end
  conn:close()
  print("on_close fd=" .. fd)
  return status
end

local arguments = read_arguments()
if not arguments then
  io.stderr:write(usage)
  hv.stop(2)
elseif arguments.is_help then
  io.write(usage)
else
  local status = ask(arguments)
  if status ~= 0 then hv.stop(status) end
end
