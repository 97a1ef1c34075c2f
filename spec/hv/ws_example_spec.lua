--- The examples of WebSocket, in C and in Lua, each as a program: what the tutorials show, an echo,
--- a chat, and a client that comes back.
local hv = require "hv"
local helper = require "spec.support.helper"

local hvlua = os.getenv("HVLUA") or "build/bin/hvlua"
local build = os.getenv("HV_BUILD_DIR") or "build"

local function exists(path)
  local file = io.open(path)
  if file then file:close() end
  return file ~= nil
end

local languages = {
  { "lua", { hvlua, "examples/ws_server.lua" }, { hvlua, "examples/ws_client.lua" } },
}
if exists(build .. "/bin/examples/ws_server") then
  local folder = build .. "/bin/examples/"
  languages[2] = { "c", { folder .. "ws_server" }, { folder .. "ws_client" } }
end

--- Starts a program with its output as lines to read.
local function start(command, argument)
  local args = { stdout = "pipe" }
  for i, word in ipairs(command) do args[i] = word end
  args[#args + 1] = argument
  return assert(hv.process.spawn(args))
end

local function connect(port, path, opts)
  return helper.eventually(function()
    return (hv.ws.connect(("ws://127.0.0.1:%d%s"):format(port, path), opts))
  end)
end

for _, language in ipairs(languages) do
  local name, server_command, client_command = unpack(language)

  describe("examples/ws_server." .. name, function()
    local server, port

    setup(function()
      local line
      repeat -- somebody else may take the port meanwhile
        port = helper.free_port()
        server = start(server_command, tostring(port))
        line = server.stdout:read_line()
      until line
      assert.is_truthy(line:find("listening on"))
    end)

    teardown(function()
      server:kill("term")
      server:wait()
    end)

    it("tells the time every second, and prints what it gets", function()
      local ws = connect(port, "/")
      assert.is_truthy(server.stdout:read_line():find("open"))
      ws:send("hello")
      assert.are.equal("message: hello", (server.stdout:read_line()))
      local time, kind = ws:receive(5000)
      assert.is_truthy(time:find("^%d%d%d%d%-%d%d%-%d%d %d%d:%d%d:%d%d"))
      assert.are.equal("text", kind)
      ws:close()
      assert.is_truthy(server.stdout:read_line():find("^closed: 1000"))
    end)

    it("echoes, compressed", function()
      local ws = connect(port, "/echo")
      assert.is_true(ws.is_deflated)
      local text = ("echo "):rep(10000)
      ws:send(text)
      assert.are.equal(text, (ws:receive(5000)))
      ws:send("\0\255", "binary")
      assert.are.same({ "\0\255", "binary" }, { ws:receive(5000) })
      ws:close()
    end)

    it("lets everybody in a chat hear everybody", function()
      local path = name == "lua" and "/chat/blue" or "/chat"
      local a, b = connect(port, path .. "?name=ann"), connect(port, path .. "?name=bob")
      if name == "lua" then
        assert.are.equal("ann has come", (a:receive(5000)))
        assert.are.equal("bob has come", (a:receive(5000)))
        assert.are.equal("bob has come", (b:receive(5000)))
      end
      a:send("hello")
      local said = name == "lua" and "ann: hello" or "hello"
      assert.are.equal(said, (a:receive(5000)))
      assert.are.equal(said, (b:receive(5000)))
      a:close()
      if name == "lua" then assert.are.equal("ann has gone", (b:receive(5000))) end
      b:send(("x"):rep(5000))
      assert.is_nil((b:receive(5000)))
      helper.eventually(function() return b.close_code end)
      assert.are.equal(1009, b.close_code)
    end)
  end)

  describe("examples/ws_client." .. name, function()
    it("says hello, prints what comes, and comes back", function()
      local app, seen = hv.http.app(), {}
      app:ws("/", function(ws)
        seen[#seen + 1] = ws:receive()
        ws:send("number " .. #seen)
        ws:close(4000, "next")
      end)
      local server = assert(app:listen { host = "127.0.0.1", port = 0 })
      local client = start(client_command, "ws://127.0.0.1:" .. server:port() .. "/")
      for i = 1, 2 do
        assert.are.equal("open", (client.stdout:read_line()))
        assert.are.equal("message: number " .. i, (client.stdout:read_line()))
        assert.are.equal("closed: 4000 next", (client.stdout:read_line()))
      end
      assert.are.same({ "hello", "hello" }, seen)
      client:kill("term")
      client:wait()
      server:close(0)
    end)

    it("says how it is used", function()
      local result = assert(hv.process.run(client_command))
      assert.matches("Usage: .* url", result.stderr)
      assert.are.equal(2, result.status)
    end)
  end)
end
