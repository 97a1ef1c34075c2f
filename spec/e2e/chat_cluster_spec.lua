--- examples/chat_cluster.lua: three hosts behind HAProxy whose rooms are one through Redis, with
--- 300 clients by npm's ws. One host is killed while all talk: only its own connections are lost,
--- its clients come back on another host, and nobody misses a message or gets one twice.
local helper = require "helper"
local hv = require "hv"
local json = require "hv.json"
local servers = require "redis_server"

local hvlua = os.getenv("HVLUA") or "hvlua"

local function start_host(redis_port, name)
  local p = assert(hv.process.spawn { hvlua, "examples/chat_cluster.lua", "0",
    "127.0.0.1:" .. redis_port, name, stdout = "pipe", kill = true })
  local port = assert(tonumber(assert(p.stdout:read_line()):match("^listening on (%d+)$")))
  return { process = p, port = port, name = name }
end

local function stop(p)
  p:kill("kill")
  p:wait()
end

local function start_haproxy(hosts)
  local port = helper.free_port()
  local ports = {}
  for i, host in ipairs(hosts) do ports[i] = tostring(host.port) end
  local text = helper.hvlua { "examples/chat_cluster.lua", "--haproxy", tostring(port),
    unpack(ports) }
  local path = os.tmpname()
  assert(hv.fs.write(path, text))
  local p = assert(hv.process.spawn { "/usr/sbin/haproxy", "-f", path, stdout = "null",
    stderr = "null", kill = true })
  helper.eventually(function()
    local reply = hv.http.get(("http://127.0.0.1:%d/health"):format(port))
    return reply and reply.status == 200
  end)
  os.remove(path)
  return p, port
end

--- The node program; ask(command) gives its answer.
local function start_clients(port, count, rooms)
  local p = assert(hv.process.spawn { "node", "spec/support/chat_clients.js", tostring(port),
    tostring(count), tostring(rooms), stdin = "pipe", stdout = "pipe", kill = true })
  local self = { process = p }
  function self.ask(command)
    p.stdin:write(command .. "\n")
    return json.decode((assert(p.stdout:read_line())))
  end
  --- Asks for the status until it is so.
  function self.wait_until(is_so)
    for _ = 1, 6000 do
      local status = self.ask("status")
      if is_so(status) then return status end
      hv.sleep(10)
    end
    error("the clients never came so far", 2)
  end
  return self
end

describe("chat_cluster.lua", function()
  local redis, hosts, haproxy, port
  local clients

  setup(function()
    redis = servers.start()
    hosts = {}
    for i, name in ipairs { "a", "b", "c" } do hosts[i] = start_host(redis.port, name) end
    haproxy, port = start_haproxy(hosts)
  end)

  teardown(function()
    stop(haproxy)
    for _, host in ipairs(hosts) do stop(host.process) end
    redis:stop()
  end)

  after_each(function()
    if clients then stop(clients.process) end
    clients = nil
  end)

  it("keeps 300 clients in their rooms while a host is killed", function()
    clients = start_clients(port, 300, 6)
    local before = clients.wait_until(function(s) return s.open == 300 and s.heard > 5000 end)
    for _, name in ipairs { "a", "b", "c" } do assert.is_true(before.hosts[name] > 0) end
    clients.ask("killing b")
    local at_kill = clients.ask("status")
    hosts[2].process:kill("kill")
    local after = clients.wait_until(function(s)
      return s.open == 300 and not s.hosts.b and s.heard > at_kill.heard + 10000
    end)
    assert.are.equal(300, after.hosts.a + after.hosts.c)
    local result = clients.ask("stop")
    assert.is_true(result.quiet)
    assert.are.equal(0, result.lost)
    assert.are.equal(0, result.doubled)
    assert.are.equal(0, result.disordered)
    assert.are.equal(0, result.foreign)
    assert.are.equal(0, result.refused)
    assert.are.same({ b = at_kill.hosts.b }, result.reconnected)
    assert.is_true(result.messages > 100)
  end)

  it("loses nothing that was said while Redis was away for a host", function()
    local ws = {}
    for i, host in ipairs { hosts[1], hosts[3] } do
      ws[i] = assert(hv.ws.connect(("ws://127.0.0.1:%d/chat/x?name=n%d"):format(host.port, i)))
      assert.are.equal("n" .. i, json.decode((ws[i]:receive())).hello)
    end
    local function hears(i)
      local message = json.decode((assert(ws[i]:receive(20000))))
      return message.text or message.error
    end
    ws[1]:send '{"text":"one"}'
    assert.are.equal("one", hears(1))
    assert.are.equal("one", hears(2))
    -- All connections of the hosts are cut, and before any is back something is said that nobody
    -- publishes: it is in the stream alone.
    local admin = assert(hv.redis.connect { port = redis.port })
    local cut = assert(admin:multi():client_kill("TYPE", "normal", "SKIPME", "yes")
      :client_kill("TYPE", "pubsub"):xadd("chat:x", "*", "m", '{"from":"z","text":"two"}'):exec())
    assert.is_true(cut[1] + cut[2] >= 2)
    assert.are.equal("two", hears(1))
    assert.are.equal("two", hears(2))
    helper.eventually(function()
      ws[2]:send '{"text":"three"}'
      return hears(2) == "three"
    end)
    assert.are.equal("three", hears(1))
    admin:close()
    for i = 1, 2 do ws[i]:close() end
  end)

  it("refuses what is no message, and tells its health", function()
    local ws = assert(hv.ws.connect(("ws://127.0.0.1:%d/chat/y"):format(hosts[1].port)))
    ws:receive()
    for _, text in ipairs { "nonsense", "{}", '{"text":1}', "[]" } do
      ws:send(text)
      assert.is_truthy(json.decode((ws:receive())).error)
    end
    ws:send(json.encode { text = ("x"):rep(5000) })
    assert.are.equal("too long", json.decode((ws:receive())).error)
    ws:close()
    local base = ("http://127.0.0.1:%d"):format(hosts[1].port)
    assert.are.equal(200, hv.http.get(base .. "/health").status)
    assert.is_truthy(hv.http.get(base .. "/").body:find("WebSocket", 1, true))
    local text, status = helper.hvlua { "examples/chat_cluster.lua", "--help" }
    assert.is_truthy(text:find("Usage: chat_cluster.lua", 1, true))
    assert.are.equal(0, status)
    assert.are.equal(2, (select(2, helper.hvlua { "examples/chat_cluster.lua" })))
    assert.are.equal(1, (select(2, helper.hvlua { "examples/chat_cluster.lua", "0",
      "127.0.0.1:1" })))
  end)
end)
