--- The examples of remote calls: the dialogues of their documentation, JSON-RPC 2.0 by its
--- specification's own examples, Protocol Buffers against Google's implementation.
local helper = require "helper"
local hv = require "hv"
local json = require "hv.json"

local hvlua = os.getenv("HVLUA") or "hvlua"
local build = os.getenv("HV_BUILD_DIR") or "build"

local function start(...)
  local p = assert(hv.process.spawn { kill = true, stdout = "pipe", ... })
  local port
  for line in p.stdout:lines() do
    port = tonumber(line:match("^listening on .-(%d+)$"))
    if port then break end
  end
  local reader = hv.go(function()
    for _ in p.stdout:lines() do end -- luacheck: ignore 542
  end)
  return {
    port = assert(port),
    stop = function()
      p:kill("kill")
      p:wait()
      reader:join()
    end,
  }
end

local function run(...)
  local result = assert(hv.process.run { ... })
  return result.stdout, result.status
end

local function has_example(name)
  local file = io.open(build .. "/bin/examples/" .. name)
  if file then file:close() end
  return file ~= nil
end

describe("jsonrpc", function()
  --- Asks by a client and gives the lines that go over the wire.
  local function dialogue(server, client, ...)
    local words = { ... }
    for i, word in ipairs(client) do table.insert(words, i, word) end
    local at = #client + 1
    while words[at] and words[at]:find("^%-") do at = at + 1 end
    table.insert(words, at, "127.0.0.1")
    table.insert(words, at + 1, tostring(server.port))
    local text = run(unpack(words))
    return text:match("\n(> [^\n]*)"), text:match("\n(< [^\n]*)")
  end

  local lua_client = { hvlua, "examples/jsonrpc_client.lua" }
  local pairs_of_programs = { { "examples/jsonrpc_server.lua", lua_client } }
  if has_example("jsonrpc_client") then
    table.insert(pairs_of_programs, { "examples/jsonrpc_server.lua",
      { build .. "/bin/examples/jsonrpc_client" } })
    table.insert(pairs_of_programs, { build .. "/bin/examples/jsonrpc_server", lua_client })
  end

  for _, pair in ipairs(pairs_of_programs) do
    local name = pair[1]:match("[^/]+$") .. " and " .. pair[2][#pair[2]]:match("[^/]+$")
    for _, framing in ipairs { "head", "line" } do
      it("holds the dialogues: " .. name .. ", " .. framing, function()
        local words = pair[1]:find("%.lua$") and { hvlua, pair[1] } or { pair[1] }
        if framing == "line" then table.insert(words, "-d") end
        table.insert(words, "0")
        local server = start(unpack(words))
        for _, case in ipairs {
          { "add 1 2", '"result":3' }, { "sub 1 2", '"result":-1' }, { "mul 2 3", '"result":6' },
          { "div 5 2", '"result":2.5' },
          { "div 1 0", '"error":{"code":400,"message":"Bad Request"}' },
          { "xyz 1 2", '"error":{"code":404,"message":"Not Found"}' },
        } do
          local method, a, b = case[1]:match("^(%S+) (%S+) (%S+)$")
          local asked, answered
          if framing == "line" then
            asked, answered = dialogue(server, pair[2], "-d", method, a, b)
          else
            asked, answered = dialogue(server, pair[2], method, a, b)
          end
          assert.are.equal(('> {"id":1,"method":"%s","params":[%s,%s]}'):format(method, a, b),
            asked)
          assert.are.equal('< {"id":1,' .. case[2] .. "}", answered)
        end
        server.stop()
      end)
    end
  end

  describe("2.0", function()
    local server, conn

    setup(function()
      server = start(hvlua, "examples/jsonrpc_server.lua", "-d", "0")
      conn = assert(hv.tcp.connect { host = "127.0.0.1", port = server.port,
        unpack = { mode = "delimiter", delimiter = "\r\n" } })
    end)

    teardown(function()
      conn:close()
      server.stop()
    end)

    local function ask(text)
      conn:write(text .. "\r\n")
      return json.decode((conn:read()))
    end

    local function error_of(text)
      local answer = ask(text)
      assert.are.equal("2.0", answer.jsonrpc)
      assert.is_nil(answer.result)
      return answer.error.code, answer.id
    end

    it("answers by position and by name", function()
      assert.are.same({ jsonrpc = "2.0", id = 1, result = 19 },
        ask '{"jsonrpc": "2.0", "method": "sub", "params": [42, 23], "id": 1}')
      assert.are.same({ jsonrpc = "2.0", id = "x", result = "Hello, Ann" },
        ask '{"jsonrpc":"2.0","method":"greet","params":{"name":"Ann"},"id":"x"}')
      assert.are.same({ jsonrpc = "2.0", id = 5, result = 0 },
        ask '{"jsonrpc":"2.0","method":"sum","id":5}')
    end)

    it("tells errors apart", function()
      assert.are.same({ -32601, "1" },
        { error_of '{"jsonrpc": "2.0", "method": "foobar", "id": "1"}' })
      assert.are.same({ -32700, json.null },
        { error_of '{"jsonrpc": "2.0", "method": "foobar, "params": "bar", "baz]' })
      assert.are.same({ -32600, json.null },
        { error_of '{"jsonrpc": "2.0", "method": 1, "params": "bar"}' })
      assert.are.same({ -32602, 3 },
        { error_of '{"jsonrpc": "2.0", "method": "add", "params": ["a", 1], "id": 3}' })
      assert.are.same({ -32602, 3 },
        { error_of '{"jsonrpc": "2.0", "method": "add", "params": 7, "id": 3}' })
      assert.are.same({ -32600, 4 }, { error_of '{"jsonrpc":"1.1","method":"add","id":4}' })
      assert.are.same({ -32600, json.null },
        { error_of '{"jsonrpc":"2.0","method":"add","id":{}}' })
    end)

    it("answers no notification", function()
      conn:write '{"jsonrpc": "2.0", "method": "sum", "params": [1,2,3]}\r\n'
      conn:write '{"jsonrpc": "2.0", "method": "nothing"}\r\n'
      conn:write '[{"jsonrpc":"2.0","method":"sum"},{"jsonrpc":"2.0","method":"nothing"}]\r\n'
      assert.are.equal(9, ask('{"jsonrpc":"2.0","method":"add","params":[4,5],"id":9}').id)
    end)

    it("answers batches", function()
      local answers = ask [==[[
        {"jsonrpc": "2.0", "method": "greet", "params": {"name": "slow", "after": 20}, "id": "1"},
        {"jsonrpc": "2.0", "method": "sum", "params": [7]},
        {"jsonrpc": "2.0", "method": "sub", "params": [42,23], "id": "2"},
        {"foo": "boo"},
        {"jsonrpc": "2.0", "method": "foo.get", "params": {"name": "myself"}, "id": "5"},
        1
      ]]==]
      assert.are.equal(5, #answers)
      assert.are.equal("Hello, slow", answers[1].result)
      assert.are.equal(19, answers[2].result)
      assert.are.equal(-32600, answers[3].error.code)
      assert.are.equal(json.null, answers[3].id)
      assert.are.equal(-32601, answers[4].error.code)
      assert.are.equal(-32600, answers[5].error.code)
      assert.are.equal(-32600, ask("[]").error.code)
    end)

    it("is spoken by the client: results, batches, notifications, many at once", function()
      local own = start(hvlua, "examples/jsonrpc_server.lua", "0")
      local asked, answered = dialogue(own, lua_client, "-2", "add", "1", "2", "+", "nope")
      assert.are.equal('> [{"jsonrpc":"2.0","id":1,"method":"add","params":[1,2]},'
        .. '{"jsonrpc":"2.0","id":2,"method":"nope","params":[]}]', asked)
      assert.are.equal('< [{"jsonrpc":"2.0","id":1,"result":3},'
        .. '{"jsonrpc":"2.0","id":2,"error":{"code":-32601,"message":"Method not found"}}]',
        answered)
      asked, answered = dialogue(own, lua_client, "-n", "add", "1", "2")
      assert.is_truthy(asked)
      assert.is_nil(answered)

      package.path = "./examples/?.lua;" .. package.path
      local client = assert(require("jsonrpc").connect("127.0.0.1", own.port))
      local results = {}
      hv.scope(function(s)
        for i = 1, 100 do
          s:go(function() results[i] = client:call("add", { i, i }) end)
        end
      end)
      for i = 1, 100 do assert.are.equal(2 * i, results[i]) end
      assert.are.same({ nil, "Method not found", -32601 }, { client:call("nope", {}) })
      assert.is_true(client:notify("sum", { 1 }))
      local batch = client:batch { { "add", { 1, 2 } }, { "sum", { 1 }, notify = true },
        { "sub", { 1, 2 } } }
      assert.are.same({ { 3 }, { -1 } }, batch)
      client:close()
      own.stop()
    end)
  end)

  it("explains itself, and refuses what makes no sense", function()
    for _, name in ipairs { "jsonrpc_server", "jsonrpc_client", "protorpc_server",
      "protorpc_client" } do
      local program = "examples/" .. name .. ".lua"
      local text, status = helper.hvlua { program, "--help" }
      assert.are.equal(0, status)
      assert.is_truthy(text:find("Usage: " .. name, 1, true))
      text, status = helper.hvlua { program }
      assert.are.equal(2, status)
      assert.is_truthy(text:find("Usage: ", 1, true))
    end
    assert.are.equal(1, (select(2, helper.hvlua { "examples/jsonrpc_client.lua", "127.0.0.1", "1",
      "add", "1", "2" })))
    assert.are.equal(1, (select(2, helper.hvlua { "examples/protorpc_client.lua", "127.0.0.1", "1",
      "add", "1", "2" })))
  end)
end)

describe("protorpc", function()
  local server

  setup(function() server = start(hvlua, "examples/protorpc_server.lua", "0") end)
  teardown(function() server.stop() end)

  local function client(...)
    local text, status = run(hvlua, "examples/protorpc_client.lua", ...)
    return text:gsub("127%.0%.0%.1:%d+", "ADDRESS"):gsub("connfd=%d+", "connfd=FD"), status
  end

  local LOGIN = [[
connected to ADDRESS! connfd=FD
id: 1
method: "login"
params: "\n\005admin\022\006123456"

login success!
user_id: 123456
token: "admin:123456"

]]

  local function calc(method, first, second)
    return ("id: 2\nmethod: \"%s\"\nparams: \"%s\"\nparams: \"%s\"\n\n"):format(method, first,
      second)
  end

  local function expect(expected, wanted_status, ...)
    local text, status = client(...)
    assert.are.equal(expected .. "disconnected to ADDRESS! connfd=FD\n", text)
    assert.are.equal(wanted_status, status)
  end

  it("holds the dialogues of its documentation", function()
    local port = tostring(server.port)
    expect(LOGIN .. calc("add", "\\010\\001", "\\010\\002") .. "calc success!\n1 add 2 = 3\n", 0,
      "127.0.0.1", port, "add", "1", "2")
    expect(LOGIN .. calc("div", "\\010\\001", "")
      .. 'RPC error:\ncode: 400\nmessage: "Bad Request"\n\ncalc failed!\n', 1,
      "127.0.0.1", port, "div", "1", "0")
    expect(LOGIN .. calc("xyz", "\\010\\001", "\\010\\002")
      .. 'RPC error:\ncode: 404\nmessage: "Not Found"\n\ncalc failed!\n', 1,
      "127.0.0.1", port, "xyz", "1", "2")
    local text, status = client("-p", "wrong", "127.0.0.1", port, "add", "1", "2")
    assert.is_truthy(text:find("code: 401", 1, true))
    assert.is_truthy(text:find("login failed!", 1, true))
    assert.are.equal(1, status)
    for words, sum in pairs { ["sub 5 7"] = "5 sub 7 = -2", ["mul -3 4"] = "-3 mul 4 = -12",
      ["div -7 2"] = "-7 div 2 = -3" } do
      local method, a, b = words:match("^(%S+) (%S+) (%S+)$")
      assert.is_truthy(client("127.0.0.1", port, method, a, b):find(sum, 1, true))
    end
  end)

  it("answers what Google's implementation sends, and what nobody should", function()
    local folder = os.tmpname()
    os.remove(folder)
    assert(hv.fs.mkdir(folder))
    assert.are.equal(0, assert(hv.process.run { "protoc", "--proto_path=examples/proto",
      "--python_out=" .. folder, "base.proto", "calc.proto", "login.proto" }).status)
    local result = assert(hv.process.run { "/usr/bin/python3", "-", tostring(server.port),
      cwd = folder, stderr = "stdout", input = [[
import socket, struct, sys
sys.path.insert(0, ".")
import base_pb2, calc_pb2, login_pb2
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=30)
f = s.makefile("rb")
def ask_bytes(body):
    s.sendall(struct.pack(">BI", 0, len(body)) + body)
    flags, length = struct.unpack(">BI", f.read(5))
    answer = base_pb2.Response()
    answer.ParseFromString(f.read(length))
    return answer
def ask(method, *params, id=7):
    request = base_pb2.Request(id=id, method=method)
    request.params.extend(p.SerializeToString() for p in params)
    return ask_bytes(request.SerializeToString())
def num(n): return calc_pb2.CalcParam(num=n)
answer = ask("add", num(40), num(2), id=2**64 - 1)
assert answer.id == 2**64 - 1 and not answer.HasField("error")
assert calc_pb2.CalcResult.FromString(answer.result).num == 42
answer = ask("sub", num(-2**31), num(0))
assert calc_pb2.CalcResult.FromString(answer.result).num == -2**31 or answer.error.code == 400
answer = ask("sub", num(3), num(3))
assert answer.HasField("result") and calc_pb2.CalcResult.FromString(answer.result).num == 0
answer = ask("login", login_pb2.LoginParam(username="admin", password="123456"))
login = login_pb2.LoginResult.FromString(answer.result)
assert login.user_id == 123456 and login.token == "admin:123456"
assert ask("login", login_pb2.LoginParam(username="x")).error.code == 401
assert ask("xyz").error.code == 404 and ask("xyz").error.message == "Not Found"
assert ask("add").error.code == 400 and ask("add", num(1)).error.code == 400
assert ask("mul", num(2**30), num(2**30)).error.code == 400
for body in (b"\xff", b"\x0a\xff\x01", b"\x12\x05ab"):
    answer = ask_bytes(body)
    assert answer.error.code == 400 and answer.error.message == "Bad Request", body
assert ask_bytes(b"").error.code == 404
print("agreed")
]] })
    os.execute("rm -rf '" .. folder .. "'")
    assert.are.equal("agreed\n", result.stdout)
  end)
end)
