-- protorpc_client.lua - logs in to a protorpc_server, has it compute something, and ends.
--
--     hvlua protorpc_client.lua 127.0.0.1 1234 add 1 2
package.path = (arg[0]:match("^(.*)/") or ".") .. "/?.lua;" .. package.path
local protorpc = require "protorpc"

local usage = [[
Usage: protorpc_client.lua [-u user] [-p password] host port method num1 num2

  -h, --help   this text

Methods are add, sub, mul and div; the user is admin, the password 123456.
]]

local options, at = { ["-u"] = "admin", ["-p"] = "123456" }, 1
while arg[at] and arg[at]:find("^%-%-?%a") do
  if arg[at] == "-h" or arg[at] == "--help" then
    io.write(usage)
    os.exit(0, true)
  end
  if not options[arg[at]] or not arg[at + 1] then break end
  options[arg[at]] = arg[at + 1]
  at = at + 2
end
local host, port, method = arg[at], tonumber(arg[at + 1]), arg[at + 2]
local a, b = tonumber(arg[at + 3]), tonumber(arg[at + 4])
if not (host and port and method and a and b) then
  io.stderr:write(usage)
  os.exit(2, true)
end
io.stdout:setvbuf("line")

local client, message = protorpc.connect(host, port)
if not client then
  io.stderr:write(message, "\n")
  os.exit(1, true)
end
local where = host .. ":" .. port
where = where .. "! connfd=" .. client.conn:fd()
print("connected to " .. where)
function client.on_request(request)
  print(protorpc.base:text("protorpc.Request", request))
end

-- Calls, and tells what goes wrong: by the server's word, or on the way.
local function call(name, ...)
  local result, err = client:call(name, ...)
  if result then return result end
  if type(err) == "table" then
    print(("RPC error:\ncode: %d\nmessage: %q\n"):format(err.code, err.message))
  else
    print(err)
  end
end

local status = 1
local result = call("login", protorpc.login:encode("protorpc.LoginParam", {
  username = options["-u"], password = options["-p"] }))
if result then
  local login = assert(protorpc.login:decode("protorpc.LoginResult", result))
  print("login success!")
  print(protorpc.login:text("protorpc.LoginResult", login))
  local param = function(num)
    return protorpc.calc:encode("protorpc.CalcParam", { num = num })
  end
  result = call(method, param(a), param(b))
  if result then
    print("calc success!")
    print(("%d %s %d = %d"):format(a, method, b,
      assert(protorpc.calc:decode("protorpc.CalcResult", result)).num))
    status = 0
  else
    print("calc failed!")
  end
else
  print("login failed!")
end
client:close()
print("disconnected to " .. where)
os.exit(status, true)
