-- What is called wrongly says which function, what it expects and what came, at the caller's line.
local helper = require "helper"
local hv = require "hv"

local broker, server, env

--- Runs a line as a user's script would. Returns its results after true, or false and the error.
local function run(line)
  local chunk = assert(loadstring("local a, b, c = " .. line .. "\nreturn a, b, c", "=user"))
  return pcall(setfenv(chunk, env))
end

--- Each line of code throws its message, at the user's line.
local function throw(cases)
  for line, message in pairs(cases) do
    local ok, problem = run(line)
    assert.is_false(ok, line)
    assert.equal("user:1: " .. message, problem)
  end
end

setup(function()
  broker = require("mosquitto").start()
  server = require("redis_server").start()
  env = setmetatable({
    hv = hv, port = broker.port, nothing = function() end,
    client = assert(hv.mqtt.connect { host = "127.0.0.1", port = broker.port }),
    closed = assert(hv.mqtt.connect { host = "127.0.0.1", port = broker.port }),
    r = assert(hv.redis.connect { port = server.port }),
  }, { __index = _G })
  env.closed:close()
  env.pipe, env.script = env.r:pipeline(), env.r:script("return 1")
  env.sub = assert(env.r:subscribe("news"))
end)

teardown(function()
  env.client:close()
  env.r:close()
  broker:stop()
  server:stop()
end)

describe("misuse of hv.mqtt", function()
  it("of connect and the functions of the module", function()
    local connect = "hv.mqtt.connect { host = '127.0.0.1', port = port, %s }"
    throw {
      [connect:format "reconnect = 5"] =
        "hv.mqtt.connect: reconnect must be a boolean or a table, got 5",
      [connect:format "will = { topic = 'a/#' }"] =
        "hv.mqtt.connect: will.topic must be a topic name, without +, # and NUL, got \"a/#\"",
      [connect:format "client_id = 'a\\0b'"] =
        "hv.mqtt.connect: client_id must have 65535 bytes at most, and no NUL",
      [connect:format "client_id = 5"] = "hv.mqtt.connect: client_id must be a string, got 5",
      [connect:format "username = ('x'):rep(65536)"] =
        "hv.mqtt.connect: username must have 65535 bytes at most, and no NUL",
      ["hv.mqtt.matches({}, 'x')"] = "hv.mqtt.matches: filter must be a string, got table",
      ["hv.mqtt.matches('x')"] = "hv.mqtt.matches: topic must be a string, got nil",
      ["hv.mqtt.reason_text()"] = "hv.mqtt.reason_text: reason must be 0..255, got nil",
      ["hv.mqtt.reason_text(256)"] = "hv.mqtt.reason_text: reason must be 0..255, got 256",
    }
  end)

  it("of methods that are called with a dot", function()
    for name in ([[publish subscribe unsubscribe messages receive disconnect close reconnect
      reauthenticate unref ref is_connected facts]]):gmatch("%S+") do
      throw {
        [("client.%s()"):format(name)] =
          ("client:%s: hv.mqtt expected, got nil (call methods with ':')"):format(name),
        [("client.%s('a', 'b')"):format(name)] =
          ("client:%s: hv.mqtt expected, got string (call methods with ':')"):format(name),
      }
    end
  end)

  it("of publish", function()
    throw {
      ["client:publish()"] = "client:publish: topic must be a string, got nil",
      ["client:publish('a', {})"] = "client:publish: payload must be a string, got table",
      ["client:publish('a', 'x', 1)"] = "client:publish: options must be a table, got number",
      ["client:publish('a', 'x', { retain = 'no' })"] =
        "client:publish: retain must be a boolean, got string",
      ["client:publish('a', 'x', { qos = 3 })"] = "client:publish: qos must be 0..2, got 3",
      ["client:publish('a', 'x', { retian = true })"] =
        "client:publish: unknown option \"retian\" (qos, retain, properties, timeout)",
      ["client:publish('a', 'x', { true })"] =
        "client:publish: names of options are strings, got number",
      ["client:publish('a', 'x', { properties = { nope = 1 } })"] =
        "client:publish: there is no property \"nope\"",
      ["client:publish('a/+', 'x')"] = "client:publish: \"a/+\" is no topic name: no +, # or NUL, "
        .. "UTF-8, not empty (MQTT 5, 4.7.1)",
      ["client:publish(('x'):rep(70000), 'x')"] =
        "client:publish: a topic has 65535 bytes at most, this has 70000",
    }
    assert.is_true(select(2, run "client:publish('a', 'x', { qos = 1, timeout = 0 })")) -- none
    assert.same({ true, nil, "publish: closed", "ECLOSED" }, { run "closed:publish('a', 'b')" })
  end)

  it("of subscribe, receive and disconnect", function()
    throw {
      ["client:subscribe()"] = "client:subscribe: a filter or a list of filters expected, got nil",
      ["client:subscribe({})"] =
        "client:subscribe: a filter or a list of filters expected, got an empty table",
      ["client:subscribe({ 'a', 5 })"] = "client:subscribe: filter must be a string, got number",
      ["client:subscribe('a', nothing, 5)"] =
        "client:subscribe: the last function expected, got number",
      ["client:subscribe('a/#/b')"] =
        "client:subscribe: \"a/#/b\" is no topic filter (MQTT 5, 4.7.1)",
      ["client:subscribe(('x'):rep(70000))"] =
        "client:subscribe: \"of more than 65535 bytes\" is no topic filter (MQTT 5, 4.7.1)",
      ["client:unsubscribe(5)"] = "client:unsubscribe: filter must be a string, got number",
      ["client:unsubscribe()"] =
        "client:unsubscribe: a filter or a list of filters expected, got nil",
      ["client:receive('x')"] = "client:receive: timeout must be milliseconds, got x",
      ["client:receive(-1)"] = "client:receive: timeout must be milliseconds, got -1",
      ["client:disconnect('bye')"] = "client:disconnect: reason must be 0..255, got string",
      ["client:disconnect(0, 5)"] = "client:disconnect: properties must be a table, got number",
      ["client:reauthenticate({})"] = "client:reauthenticate: data must be a string, got table",
    }
    assert.same({ true, nil, "reauthenticate: there was no `auth` in the options", "EINVAL" },
      { run "client:reauthenticate()" })
    assert.same({ true, nil, "receive: closed", "ECLOSED" }, { run "closed:receive()" })
  end)

  it("receive has both forms, with a timeout too", function()
    local record, calls = helper.recorder()
    env.client:receive(1, record)
    env.closed:receive(record)
    helper.eventually(function() return #calls == 2 end)
    table.sort(calls, function(a, b) return a[3] < b[3] end)
    assert.same({ n = 3, nil, "receive: closed", "ECLOSED" }, calls[1])
    assert.same({ n = 3, nil, "receive: timed out", "ETIMEDOUT" }, calls[2])
  end)
end)

describe("misuse of clients", function()
  it("of methods that are called with a dot", function()
    throw {
      ["hv.http.client {}.close()"] =
        "client:close: hv.http.client expected, got nil (call methods with ':')",
      ["hv.http.client {}.get('http://h/')"] =
        "client:get: hv.http.client expected, got string (call methods with ':')",
      ["hv.http.cookies().get('http://h/')"] =
        "jar:get: hv.http.cookies expected, got string (call methods with ':')",
      ["hv.tcp.client { host = '127.0.0.1', port = 1, reconnect = false }.write('x')"] =
        "client:write: hv.tcp_client expected, got string (call methods with ':')",
      ["hv.tls.context {}.reload()"] =
        "context:reload: hv.tls expected, got nil (call methods with ':')",
    }
  end)
end)

describe("misuse of hv.protobuf", function()
  it("of load and parse", function()
    throw {
      ["hv.protobuf.load()"] = "hv.protobuf.load: path must be a string, got nil",
      ["hv.protobuf.parse()"] = "hv.protobuf.parse: string expected, got nil",
    }
  end)
end)

describe("misuse of hv.redis", function()
  it("of connect and the functions of the module", function()
    throw {
      ["hv.redis.connect('redis://127.0.0.1/x')"] = "hv.redis.connect: the path of the URL must be "
        .. "the number of a database, got \"/x\"",
      ["hv.redis.connect { url = 5 }"] = "hv.redis.connect: url must be a string, got number",
      ["hv.redis.connect { path = 'here' }"] =
        "hv.redis.connect: path must begin with '/', got \"here\"",
      ["hv.redis.cluster { nodes = { { host = 5 } } }"] = "hv.redis.cluster: node 1 must have a "
        .. "host, a string, and a port, a number, got 5 and 6379",
      ["hv.redis.slot()"] = "hv.redis.slot: key must be a string, got nil",
    }
  end)

  it("of methods that are called with a dot", function()
    local dotted = "%s: %s expected, got nil (call methods with ':')"
    for name in ([[get config_get multi call pipeline transaction borrow script subscribe
      unsubscribe pending close ref unref is_open]]):gmatch("%S+") do
      throw { ["r." .. name .. "()"] = dotted:format("r:" .. name, "hv.redis") }
    end
    throw {
      ["r.get('x')"] = "r:get: hv.redis expected, got string (call methods with ':')",
      ["pipe.exec()"] = dotted:format("pipe:exec", "hv.redis.pipeline"),
      ["script.run()"] = dotted:format("script:run", "hv.redis.script"),
      ["sub.receive()"] = dotted:format("subscription:receive", "hv.redis.subscription"),
      ["sub.close()"] = dotted:format("subscription:close", "hv.redis.subscription"),
    }
  end)

  it("of calls, pipelines and transactions", function()
    throw {
      ["r:call()"] = "r:call: the name of a command expected, got nil",
      ["r:call('')"] = "r:call: the name of a command expected, got \"\"",
      ["r:set('k', nil)"] = "hv.redis: SET: argument 2 must be a string, a number or a table of "
        .. "them, got nil",
      ["r:mset({ a = { } })"] = "hv.redis: MSET: argument 1 must be a string, a number or a table "
        .. "of them, got table",
      ["pipe:call(5)"] = "pipe:call: the name of a command expected, got 5",
      ["pipe:exec('x')"] = "pipe:exec: timeout must be milliseconds (0: none), got x",
      ["pipe:exec(-1)"] = "pipe:exec: timeout must be milliseconds (0: none), got -1",
      ["r:transaction({}, nothing)"] =
        "r:transaction: keys must be a string or a list of them, got an empty table",
      ["r:transaction(nil, nothing)"] =
        "r:transaction: keys must be a string or a list of them, got nil",
      ["r:transaction('k', nothing, 'many')"] =
        "r:transaction: tries must be a number from 1, got many",
      ["sub:receive('x')"] = "subscription:receive: timeout must be milliseconds, got x",
    }
  end)

  it("receive has both forms", function()
    local record, calls = helper.recorder()
    env.sub:receive(1, record)
    helper.eventually(function() return #calls == 1 end)
    assert.same({ n = 3, nil, "receive: timed out", "ETIMEDOUT" }, calls[1])
    env.sub:receive(record)
    env.r:publish("news", "hello")
    helper.eventually(function() return #calls == 2 end)
    assert.same({ n = 3, "hello", "news", nil }, calls[2])
  end)
end)
