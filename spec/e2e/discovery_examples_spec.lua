--- The examples consul.lua, against an agent that speaks the documented API, and nmap.lua, on the
--- loopback network alone.
local agents = require "consul_agent"
local helper = require "helper"
local hv = require "hv"

local hvlua = os.getenv("HVLUA") or "hvlua"

local function run(...)
  local result = assert(hv.process.run { hvlua, ... })
  return result.stdout, result.status, result.stderr
end

describe("consul.lua", function()
  local agent, server, port

  local function consul(...) return run("examples/consul.lua", "-a", agent.address, ...) end

  before_each(function()
    agent = agents.start()
    server = assert(hv.tcp.listen({ host = "127.0.0.1", port = 0 }, function() end))
    port = tostring(server:port())
  end)

  after_each(function()
    server:close()
    agent.close()
  end)

  it("registers, discovers, tells the health, deregisters", function()
    local id = "web-127.0.0.1-" .. port
    assert.are.equal("registered " .. id .. "\n", consul("register", "web", "127.0.0.1", port))
    assert.are.equal("registered mine\n", consul("register", "web", "127.0.0.1", port, "mine"))
    assert.are.equal(("%s 127.0.0.1:%s\nmine 127.0.0.1:%s\n"):format(id, port, port),
      consul("discover", "web"))
    assert.are.equal(
      ("%s 127.0.0.1:%s passing\nmine 127.0.0.1:%s passing\n"):format(id, port, port),
      consul("health", "web"))
    server:close()
    helper.eventually(function()
      return not hv.tcp.connect("127.0.0.1:" .. port)
    end)
    assert.is_truthy(consul("health", "web"):find(
      "mine 127.0.0.1:" .. port .. " critical", 1, true))
    assert.are.equal("deregistered mine\n", consul("deregister", "mine"))
    assert.are.equal(("%s 127.0.0.1:%s\n"):format(id, port), consul("discover", "web"))
    assert.are.equal("", (consul("discover", "other")))
  end)

  it("says what the agent says no to", function()
    local text, status, errors = consul("deregister", "nobody")
    assert.are.equal("", text)
    assert.are.equal(1, status)
    assert.is_truthy(errors:find('404 Unknown service ID "nobody"', 1, true))
    agent.close()
    helper.eventually(function() return not hv.tcp.connect(agent.address) end)
    text, status, errors = consul("discover", "web")
    assert.are.equal("", text)
    assert.are.equal(1, status)
    assert.is_truthy(errors:find("connection refused", 1, true))
    agent = agents.start("secret")
    assert.are.equal(1, (select(2, consul("discover", "web"))))
    assert.are.equal(1, agent.refused)
    assert.are.equal(0, (select(2, consul("-T", "secret", "discover", "web"))))
  end)

  it("keeps a service alive until it is told to end", function()
    local p = assert(hv.process.spawn { hvlua, "examples/consul.lua", "-a", agent.address, "keep",
      "web", "127.0.0.1", port, stdout = "pipe", kill = true })
    assert.are.equal("registered web-127.0.0.1-" .. port, p.stdout:read_line())
    helper.eventually(function()
      return (consul("health", "web")):find("passing", 1, true)
    end)
    p:kill("int")
    assert.are.equal("deregistered web-127.0.0.1-" .. port, p.stdout:read_line())
    assert.are.equal(0, p:wait())
    assert.are.equal("", (consul("discover", "web")))
  end)

  it("is a module, whose watch tells every change", function()
    package.path = "./examples/?.lua;" .. package.path
    local client = assert(require("consul").new(agent.address))
    local seen, step = {}, hv.channel(10)
    local watcher = hv.go(function()
      return client:watch("web", function(services)
        seen[#seen + 1] = #services
        step:send(true)
        return #seen < 4
      end, 5)
    end)
    step:recv()
    assert(client:register { name = "web", address = "127.0.0.1", port = tonumber(port),
      id = "a", tags = { "v1" }, meta = { zone = "x" }, check = "tcp" })
    step:recv()
    assert(client:register { name = "web", address = "127.0.0.1", port = 1, id = "b",
      check = "tcp" })
    step:recv()
    assert(client:deregister("a"))
    assert.is_true((watcher:join(10000)))
    assert.are.same({ 0, 1, 1, 0 }, seen)
    local services = assert(client:health("web"))
    assert.are.equal("critical", services[1].status)

    local app = hv.http.app()
    app:get("/well", function() return "yes" end)
    local http = assert(app:listen { host = "127.0.0.1", port = 0 })
    assert(client:register { name = "api", address = "127.0.0.1", port = http:port(),
      check = ("http://127.0.0.1:%d/well"):format(http:port()) })
    assert.are.equal("passing", assert(client:health("api"))[1].status)
    http:close()
    client:close()
  end)

  it("explains itself", function()
    local text, status = run("examples/consul.lua", "--help")
    assert.is_truthy(text:find("Usage: consul.lua", 1, true))
    assert.are.equal(0, status)
    for _, words in ipairs { {}, { "nonsense" }, { "register", "x" }, { "-x" },
      { "register", "a", "b", "c" } } do
      assert.are.equal(2, (select(2, run("examples/consul.lua", unpack(words)))))
    end
  end)
end)

describe("nmap.lua", function()
  local function nmap(...) return run("examples/nmap.lua", ...) end

  --- Listens on an address of the loopback network.
  local function listen(host)
    return assert(hv.tcp.listen({ host = host, port = 0 }, function() end))
  end

  it("finds open ports of a range of hosts, and only those", function()
    local a, b = listen("127.0.0.21"), listen("127.0.0.23")
    local text, status = nmap("-p", a:port() .. "," .. b:port(), "127.0.0.21-23")
    assert.are.equal(0, status)
    local function part(host, port)
      return ("%s is up, 1 closed, 0 filtered\n  %d/tcp open\n"):format(host, port)
    end
    assert.is_truthy(text:find(part("127.0.0.21", a:port()), 1, true), text)
    assert.is_truthy(text:find("127.0.0.22 is up, 2 closed, 0 filtered\n127", 1, true), text)
    assert.is_truthy(text:find(part("127.0.0.23", b:port()), 1, true), text)
    assert.is_truthy(text:find("3 of 3 hosts up", 1, true))
    a:close()
    b:close()
  end)

  it("takes networks, lists and ranges", function()
    local function hosts(...)
      local list = {}
      for host in (nmap("-sn", "-Pn", ...)):gmatch("([%d.]+) is up\n") do list[#list + 1] = host end
      return list
    end
    assert.are.same({ "127.0.0.1", "127.0.0.2" }, hosts("127.0.0.2/30"))
    assert.are.same({ "127.0.0.2", "127.0.0.3" }, hosts("127.0.0.2/31"))
    assert.are.same({ "127.0.0.9" }, hosts("127.0.0.9/32"))
    assert.are.equal(254, #hosts("127.0.7.0/24"))
    assert.are.same({ "127.0.0.255", "127.0.1.0", "127.0.1.1" }, hosts("127.0.0.255-127.0.1.1"))
    assert.are.same({ "127.0.0.1", "127.0.0.5" }, hosts("localhost", "127.0.0.5"))
  end)

  it("looks for hosts by connecting where it may not ping", function()
    local text = nmap("-n", "-sn", "127.0.0.1-4")
    assert.is_truthy(text:find("4 of 4 hosts up (by connecting)", 1, true))
  end)

  it("shows how far it is", function()
    local _, _, bar = nmap("-b", "-Pn", "-p", "1-50", "127.0.0.1")
    assert.is_truthy(bar:find("\rports [" .. ("#"):rep(40) .. "] 100% 50/50, 0 found\n", 1, true))
    assert.is_truthy(bar:find(" 50% 25/50", 1, true))
    assert.are.equal("", (select(3, nmap("-Pn", "-p", "1-50", "127.0.0.1"))))
  end)

  it("connects no faster than it is told to", function()
    local count = 0
    local server = assert(hv.tcp.listen { host = "127.0.0.1", port = 0,
      on_open = function() count = count + 1 end, on_message = function() end })
    local hosts = {}
    for i = 1, 10 do hosts[i] = "127.0.0.1" end
    local began = hv.hrtime()
    nmap("-Pn", "-r", "20", "-p", tostring(server:port()), unpack(hosts))
    -- Nine pauses of 50 ms lie between ten connections.
    assert.is_true(tonumber(hv.hrtime() - began) / 1e6 >= 450)
    helper.eventually(function() return count == 10 end)
    server:close()
  end)

  it("explains itself", function()
    local text, status = nmap("--help")
    assert.is_truthy(text:find("Usage: nmap.lua", 1, true))
    assert.are.equal(0, status)
    for words in ("|-p|-p 0|-p 9-3|-p x|-x|1.2.3.4/33|10.0.0.0/8|1.2.3.9-3|1.2.3.4-999|-c 0|-r x")
      :gmatch("[^|]*") do
      local list = {}
      for word in words:gmatch("%S+") do list[#list + 1] = word end
      assert.are.equal(2, (select(2, nmap(unpack(list)))), words)
    end
  end)
end)
