-- protorpc_server.lua - calls of functions by Protocol Buffers: add, sub, mul, div and login, as
-- proto/ describes them.
--
--     hvlua protorpc_server.lua 1234
--     hvlua protorpc_client.lua 127.0.0.1 1234 add 1 2
package.path = (arg[0]:match("^(.*)/") or ".") .. "/?.lua;" .. package.path
local hv = require "hv"
local protorpc = require "protorpc"

local usage = "Usage: protorpc_server.lua port\n"
local port = tonumber(arg[1])
if not port then
  local asked = arg[1] == "-h" or arg[1] == "--help"
  local out = asked and io.stdout or io.stderr
  out:write(usage)
  os.exit(asked and 0 or 2, true)
end
io.stdout:setvbuf("line")

local bad_request = { code = 400, message = "Bad Request" }
local not_found = { code = 404, message = "Not Found" }

-- ---- Methods: take messages as bytes, and return one, or nil and an Error ----

local function calc(fn)
  return function(params)
    if #params ~= 2 then return nil, bad_request end
    local a = protorpc.calc:decode("protorpc.CalcParam", params[1])
    local b = protorpc.calc:decode("protorpc.CalcParam", params[2])
    local num = a and b and fn(a.num, b.num)
    -- What does not fit into 32 bits is no result, and neither is a division by zero.
    if not num or math.abs(num) >= 2 ^ 31 then return nil, bad_request end
    return protorpc.calc:encode("protorpc.CalcResult", { num = num })
  end
end

local methods = {
  add = calc(function(a, b) return a + b end),
  sub = calc(function(a, b) return a - b end),
  mul = calc(function(a, b) return a * b end),
  div = calc(function(a, b)
    if b == 0 then return nil end
    return a / b < 0 and math.ceil(a / b) or math.floor(a / b)
  end),
  login = function(params)
    local login = params[1] and protorpc.login:decode("protorpc.LoginParam", params[1])
    if not login then return nil, bad_request end
    if login.username ~= "admin" or login.password ~= "123456" then
      return nil, { code = 401, message = "Unauthorized" }
    end
    return protorpc.login:encode("protorpc.LoginResult", {
      user_id = 123456, token = login.username .. ":" .. login.password })
  end,
}

-- ---- The server ----

local function answer(packet)
  local request = protorpc.read("protorpc.Request", packet)
  if not request then return { error = bad_request } end
  print("> " .. protorpc.base:text("protorpc.Request", request))
  local method = methods[request.method]
  if not method then return { id = request.id, error = not_found } end
  local result, err = method(request.params)
  return { id = request.id, result = result, error = err }
end

local server = assert(hv.tcp.listen({ host = "0.0.0.0", port = port, unpack = protorpc.unpack },
  function(conn)
    local peer = conn:peer()
    local name, fd = peer.ip .. ":" .. peer.port, conn:fd()
    print(("%s connected! connfd=%d"):format(name, fd))
    for packet in conn:packets() do
      local response = answer(packet)
      print("< " .. protorpc.base:text("protorpc.Response", response))
      conn:write(protorpc.pack(protorpc.base:encode("protorpc.Response", response)))
    end
    print(("%s disconnected! connfd=%d"):format(name, fd))
  end))
print("listenfd=" .. server:fd())
print("listening on " .. server:port())
