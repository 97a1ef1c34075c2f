--- hv.redis.cluster against three servers of Debian's in cluster mode, and against scripted ones.
local hv = require "hv"
local helper = require "helper"
local servers = require "redis_server"

--- Three masters that know of each other, each with a third of the slots.
local function start_cluster()
  local nodes = {}
  for i = 1, 3 do
    local bus = helper.free_port()
    nodes[i] = servers.start("--cluster-enabled", "yes", "--cluster-port", tostring(bus),
      "--cluster-node-timeout", "2000")
    nodes[i].bus = bus
  end
  local first = { 0, 5461, 10923, 16384 }
  for i, node in ipairs(nodes) do
    node.admin = assert(hv.redis.connect { port = node.port })
    assert(node.admin:call("CLUSTER", "ADDSLOTSRANGE", first[i], first[i + 1] - 1))
    node.id = node.admin:cluster_myid()
    if i > 1 then assert(node.admin:cluster_meet("127.0.0.1", nodes[1].port, nodes[1].bus)) end
  end
  for _, node in ipairs(nodes) do
    for _ = 1, 2000 do
      local info = node.admin:cluster_info()
      if info:find("cluster_state:ok", 1, true) and info:find("cluster_known_nodes:3", 1, true) then
        break
      end
      hv.sleep(10)
    end
  end
  return nodes
end

describe("hv.redis.cluster", function()
  local nodes, c

  setup(function()
    nodes = start_cluster()
    c = assert(hv.redis.cluster { nodes = { "127.0.0.1:" .. nodes[1].port } })
  end)

  teardown(function()
    c:close()
    for _, node in ipairs(nodes) do
      node.admin:close()
      node:stop()
    end
  end)

  before_each(function() c:each_master(function(node) node:flushall() end) end)

  it("sends each key to its server", function()
    for i = 1, 100 do assert.are.equal("OK", c:set("k" .. i, i)) end
    for i = 1, 100 do assert.are.equal(tostring(i), c:get("k" .. i)) end
    local sum = 0
    for _, node in ipairs(nodes) do
      local size = node.admin:dbsize()
      assert.is_true(size > 10)
      sum = sum + size
    end
    assert.are.equal(100, sum)
  end)

  it("finds the key where it is not first", function()
    assert.are.equal(3, c:eval("return ARGV[1] + ARGV[2]", 1, "k9", 1, 2))
    assert.are.equal("k7", c:script("return KEYS[1]")({ "k7" }))
    c:xadd("s", "*", "a", 1)
    assert.are.equal("s", next(c:xread("COUNT", 1, "STREAMS", "s", 0)))
    c:sadd("{t}a", 1)
    c:sadd("{t}b", 1)
    assert.are.equal(1, c:sintercard(2, "{t}a", "{t}b"))
    assert.are.equal("CROSSSLOT", (select(4, c:mget("a", "b", "c"))))
    assert.are.equal("PONG", c:ping())
  end)

  it("runs pipelines on all servers at once, in order", function()
    local p = c:pipeline()
    for i = 1, 1000 do p:set("k" .. i, i):get("k" .. i) end
    local replies = p:exec()
    assert.are.equal(2000, #replies)
    for i = 1, 1000 do assert.are.equal(tostring(i), replies[2 * i]) end
    replies = c:pipeline():set("x", 1):lpush("x", 1):exec()
    assert.are.equal("WRONGTYPE", replies[2].kind)
  end)

  it("runs transactions in one slot", function()
    assert.are.same({ "OK", 2 }, c:multi("n"):set("n", 1):incr("n"):exec())
    assert.are.same({ "OK" }, c:transaction("n", function(node, tx)
      tx:set("n", node:get("n") * 10)
    end))
    assert.are.equal("20", c:get("n"))
  end)

  it("subscribes", function()
    local heard = {}
    local function note(message) heard[message] = true end
    local sub = assert(c:subscribe("news", note))
    local shard = assert(c:ssubscribe("part", note))
    -- Published at any server; what two of them tell each other is lost until they have connected.
    helper.eventually(function()
      c:publish("news", "a")
      return heard.a
    end)
    c:call("SPUBLISH", "part", "b")
    helper.eventually(function() return heard.b end)
    sub:close()
    shard:close()
  end)

  it("follows slots that move while it works", function()
    local key = "moving"
    local slot = hv.redis.slot(key)
    local from, to
    for _, node in ipairs(nodes) do
      if node.admin:set(key, "v") then from = node elseif not to then to = node end
    end
    local is_over, count = false, 0
    local worker = hv.go(function()
      while not is_over do
        assert(c:incr("{" .. key .. "}n"))
        assert(c:get(key) == "v")
        count = count + 1
      end
    end)
    --- Waits until it has worked on for a while.
    local function works_on()
      local before = count
      helper.eventually(function()
        if worker:status() == "failed" then error(select(2, worker:join()), 0) end
        return count > before + 20
      end)
    end
    local note, calls = helper.recorder()
    assert(c:ssubscribe(key, note))
    assert(to.admin:cluster_setslot(slot, "IMPORTING", from.id))
    assert(from.admin:cluster_setslot(slot, "MIGRATING", to.id))
    works_on()
    for _, moved in ipairs(from.admin:cluster_getkeysinslot(slot, 100)) do
      assert(from.admin:migrate("127.0.0.1", to.port, moved, 0, 5000))
      works_on()
    end
    for _, node in ipairs { to, from, nodes[1], nodes[2], nodes[3] } do
      node.admin:cluster_setslot(slot, "NODE", to.id)
    end
    works_on()
    is_over = true
    assert.is_nil(select(2, worker:join()))
    assert.are.equal(tostring(count), c:get("{" .. key .. "}n"))
    assert.are.equal("v", to.admin:get(key))
    -- The subscription has moved along.
    helper.eventually(function()
      to.admin:call("SPUBLISH", key, "x")
      return #calls > 0
    end)
    c:sunsubscribe(key)
  end)
end)

describe("hv.redis.cluster, scripted", function()
  --- Two servers; a has all slots in its own opinion.
  local function pair(answer_a, answer_b)
    local a, b
    local function with_map(answer)
      return function(words, conn)
        if words[1] == "CLUSTER" then
          return ("*1\r\n*3\r\n:0\r\n:16383\r\n*3\r\n$0\r\n\r\n:%d\r\n$1\r\na\r\n"):format(a.port)
        end
        return answer(words, conn)
      end
    end
    a = servers.fake(with_map(function(...) return answer_a(b, ...) end))
    b = servers.fake(with_map(function(...) return answer_b(a, ...) end))
    local c = assert(hv.redis.cluster { nodes = { "127.0.0.1:" .. a.port }, redirects = 3 })
    return c, a, b
  end

  local function close(c, a, b)
    c:close()
    a.close()
    b.close()
  end

  it("asks after ASK for one command only", function()
    local c, a, b = pair(function(b, words)
      if words[1] == "GET" then return ("-ASK 5 127.0.0.1:%d\r\n"):format(b.port) end
    end, function(_, words)
      return words[1] == "ASKING" and "+OK\r\n" or words[1] == "GET" and "+there\r\n" or nil
    end)
    assert.are.equal("there", c:get("k"))
    assert.are.equal("there", c:get("k"))
    local asked = 0
    for i, words in ipairs(b.commands) do
      if words[1] == "GET" then
        asked = asked + 1
        assert.are.equal("ASKING", b.commands[i - 1][1])
      end
    end
    assert.are.equal(2, asked)
    close(c, a, b)
  end)

  it("tries again after TRYAGAIN", function()
    local tries = 0
    local c, a, b = pair(function(_, words)
      if words[1] ~= "MGET" then return end
      tries = tries + 1
      return tries < 3 and "-TRYAGAIN in the middle\r\n" or "*1\r\n+v\r\n"
    end, function() end)
    assert.are.same({ "v" }, c:mget("k"))
    close(c, a, b)
  end)

  it("does not go round for ever", function()
    local function to(other, words)
      if words[1] == "GET" then return ("-MOVED 5 127.0.0.1:%d\r\n"):format(other.port) end
    end
    local c, a, b = pair(to, to)
    local reply, _, code, kind = c:get("k")
    assert.is_nil(reply)
    assert.are.equal("EREDIS", code)
    assert.are.equal("MOVED", kind)
    close(c, a, b)
  end)

  it("finds the new master where the old one is gone", function()
    local has_failed_over = false
    local a, b
    local function map()
      local port = has_failed_over and b.port or a.port
      return ("*1\r\n*3\r\n:0\r\n:16383\r\n*3\r\n$0\r\n\r\n:%d\r\n$1\r\nx\r\n"):format(port)
    end
    --- Answers for the map, and for keys where it is the master; the old one dies at a key "die".
    local function answer(is_new)
      return function(words, conn)
        if words[1] == "CLUSTER" then return map() end
        if words[1] ~= "GET" then return end
        if words[2] ~= "die" then return is_new and "+new\r\n" or "+old\r\n" end
        has_failed_over = true
        a.close()
        conn:close()
      end
    end
    a, b = servers.fake(answer(false)), servers.fake(answer(true))
    local c = assert(hv.redis.cluster {
      nodes = { "127.0.0.1:" .. a.port, "127.0.0.1:" .. b.port } })
    assert.are.equal("old", c:get("k"))
    -- What was on the way may have been carried out: it is not sent again.
    assert.are.equal("ECONNRESET", (select(3, c:get("die"))))
    assert.are.equal("new", c:get("k"))
    assert.are.same({ "new", "new" }, c:pipeline():get("k"):get("l"):exec())
    c:close()
    b.close()
  end)

  it("returns why there is none", function()
    local port = helper.free_port()
    local c, message, code = hv.redis.cluster { nodes = { "127.0.0.1:" .. port } }
    assert.is_nil(c)
    assert.is_truthy(message:find("connection refused", 1, true))
    assert.are.equal("ECONNREFUSED", code)
    assert.has_error(function() hv.redis.cluster { nodes = {} } end)
    assert.has_error(function() hv.redis.cluster { nodes = { "x:1" }, db = 1 } end)
  end)
end)
