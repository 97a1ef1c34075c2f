-- jsonrpc_server.lua - answers {"id":1,"method":"add","params":[1,2]} with {"id":1,"result":3}, and
-- JSON-RPC 2.0 as its specification says: batches, notifications, errors.
--
--     hvlua jsonrpc_server.lua 1234
--     hvlua jsonrpc_client.lua 127.0.0.1 1234 add 1 2
--
-- The option unpack cuts the stream: each packet is one whole request, however it came.
package.path = (arg[0]:match("^(.*)/") or ".") .. "/?.lua;" .. package.path
local hv = require "hv"
local json = require "hv.json"
local jsonrpc = require "jsonrpc"

local usage = [[
Usage: jsonrpc_server.lua [-d] port

  -d           packets are lines that end with CR LF, without a head
  -h, --help   this text
]]

-- ---- Methods. What they throw is the error: a table with code and message ----

local bad_params = { code = -32602, message = "Invalid params" }

local function check_numbers(...)
  for i = 1, select("#", ...) do
    if type((select(i, ...))) ~= "number" then error(bad_params) end
  end
end

-- Two numbers in, one out; JSON has no infinity.
local function binary(fn)
  return function(...)
    if select("#", ...) ~= 2 then error(bad_params) end
    check_numbers(...)
    local result = fn(...)
    if result ~= result or math.abs(result) == math.huge then error(bad_params) end
    return result
  end
end

local methods = {
  add = binary(function(a, b) return a + b end),
  sub = binary(function(a, b) return a - b end),
  mul = binary(function(a, b) return a * b end),
  div = binary(function(a, b) return a / b end),
  -- Any number of parameters.
  sum = function(...)
    check_numbers(...)
    local total = 0
    for i = 1, select("#", ...) do total = total + select(i, ...) end
    return total
  end,
  -- Parameters by name arrive as one table; and a method may wait.
  greet = function(params)
    if type(params) ~= "table" or type(params.name) ~= "string" then error(bad_params) end
    hv.sleep(params.after or 0)
    return "Hello, " .. params.name
  end,
}

-- ---- Requests ----

-- Errors of requests without "jsonrpc":"2.0" have short names of their own.
local plain_errors = {
  [-32601] = { code = 404, message = "Not Found" },
}
local plain_bad = { code = 400, message = "Bad Request" }

-- The members of an answer in a fixed order, which JSON does not ask for but people like.
local function answer_text(request, is_2, member, value)
  local id = type(request) == "table" and request.id
  local parts = {}
  if is_2 then parts[#parts + 1] = '"jsonrpc":"2.0"' end
  if id ~= nil and id ~= false then
    parts[#parts + 1] = '"id":' .. json.encode(id)
  elseif is_2 then
    parts[#parts + 1] = '"id":null'
  end
  parts[#parts + 1] = ('"%s":%s'):format(member, value)
  return "{" .. table.concat(parts, ",") .. "}"
end

local function error_text(request, is_2, err)
  if not is_2 then err = plain_errors[err.code] or plain_bad end
  return answer_text(request, is_2, "error",
    ('{"code":%d,"message":%s}'):format(err.code, json.encode(err.message)))
end

local function is_id(id)
  return id == nil or id == json.null or type(id) == "string" or type(id) == "number"
end

-- Runs the method. Returns whether it went well, and the result or the error.
local function run(request)
  local method = methods[request.method]
  if not method then return false, { code = -32601, message = "Method not found" } end
  local params = request.params
  local ok, result
  if params == nil then
    ok, result = pcall(method)
  elseif type(params) ~= "table" then
    return false, bad_params
  elseif params[1] == nil and next(params) ~= nil then
    ok, result = pcall(method, params)
  else
    ok, result = pcall(method, unpack(params))
  end
  if ok then return true, result == nil and json.null or result end
  if type(result) == "table" and result.code then return false, result end
  io.stderr:write(tostring(result), "\n")
  return false, { code = -32603, message = "Internal error" }
end

-- The answer to one request; nil to a notification.
local function answer_one(request, is_in_batch)
  local is_table = type(request) == "table"
  local is_2 = is_in_batch or is_table and request.jsonrpc ~= nil
  local is_good = is_table and type(request.method) == "string" and is_id(request.id)
    and (not is_2 or request.jsonrpc == "2.0")
  if not is_good then
    return error_text(is_table and is_id(request.id) and request or nil, is_2,
      { code = -32600, message = "Invalid Request" })
  end
  local ok, result = run(request)
  if is_2 and request.id == nil then return nil end
  if not ok then return error_text(request, is_2, result) end
  return answer_text(request, is_2, "result", json.encode(result))
end

-- The members of a batch run at the same time; their answers come in the order of the requests.
local function answer_batch(batch)
  local answers, tasks = {}, {}
  for i, request in ipairs(batch) do tasks[i] = hv.go(answer_one, request, true) end
  for _, task in ipairs(tasks) do answers[#answers + 1] = task:join() end
  return #answers > 0 and "[" .. table.concat(answers, ",") .. "]" or nil
end

local function answer(text)
  local ok, request = pcall(json.decode, text)
  if not ok then
    -- Which protocol it was meant in can only be guessed.
    return error_text(nil, text:find('"jsonrpc"', 1, true) ~= nil,
      { code = -32700, message = "Parse error" })
  end
  if not text:find("^%s*%[") then return answer_one(request) end
  if #request > 0 then return answer_batch(request) end
  return answer_one(nil, true) -- an empty batch is no request
end

-- ---- The server ----

local function serve(port, framing)
  io.stdout:setvbuf("line")
  local server = assert(hv.tcp.listen({ host = "0.0.0.0", port = port,
    unpack = jsonrpc.unpack_of(framing) }, function(conn)
      local fd = conn:fd()
      print("on_accept connfd=" .. fd)
      for packet in conn:packets() do
        local text = jsonrpc.text_of(packet, framing)
        print("> " .. text)
        local reply = answer(text)
        if reply then
          print("< " .. reply)
          conn:write(jsonrpc.pack(reply, framing))
        end
      end
      print("on_close fd=" .. fd)
    end))
  print("listenfd=" .. server:fd())
  print("listening on " .. server:port())
end

local framing, port, is_help = "head", nil, false
for _, word in ipairs(arg) do
  if word == "-h" or word == "--help" then
    is_help = true
  elseif word == "-d" then
    framing = "line"
  else
    port = tonumber(word)
  end
end
if is_help then
  io.write(usage)
elseif not port then
  io.stderr:write(usage)
  hv.stop(2)
else
  serve(port, framing)
end
