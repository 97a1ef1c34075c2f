--- conn:pipe: two connections, or a connection and a program, that serve each other without Lua.
local certs_of = require "certs"
local helper = require "helper"
local hv = require "hv"
local raw_socket = require "raw_socket"

local certs, localhost

setup(function()
  certs = certs_of.new()
  localhost = certs:issue("localhost", "DNS:localhost,IP:127.0.0.1")
end)

teardown(function() certs:remove() end)

local open = {}

local function keep(handle)
  open[#open + 1] = handle
  return handle
end

local function listen(options, handler)
  options.host, options.port = "127.0.0.1", options.port or 0
  return keep(assert(hv.tcp.listen(options, handler)))
end

local function connect(server, options)
  options = options or {}
  options.host, options.port = "127.0.0.1", server:port()
  return keep(assert(hv.tcp.connect(options)))
end

local function echo(conn)
  for chunk in conn:chunks() do assert(conn:write(chunk)) end
end

--- A proxy to `target`; `outcome` gets what pipe returns.
local function proxy(target, outcome, options, upstream)
  return listen(options or {}, function(conn)
    local other = connect(target, upstream)
    outcome[1] = { conn:pipe(other) }
  end)
end

local function read_all(conn)
  local parts = {}
  for chunk in conn:chunks() do parts[#parts + 1] = chunk end
  return table.concat(parts)
end

describe("conn:pipe", function()
  after_each(function()
    for i, handle in ipairs(open) do
      handle:close()
      open[i] = nil
    end
  end)

  it("passes on both ways, ends with the ends, and counts", function()
    local outcome = {}
    local target = listen({}, function(conn)
      local got = read_all(conn)
      conn:write("you said " .. got)
    end)
    local conn = connect(proxy(target, outcome))
    conn:write("hello")
    conn:shutdown()
    assert.equal("you said hello", read_all(conn))
    helper.eventually(function() return outcome[1] end)
    assert.same({ 5, 14 }, outcome[1])
  end)

  it("takes TLS on either side", function()
    local rules = { cert = localhost.cert, key = localhost.key }
    local outcome = {}
    local target = listen({ tls = rules }, echo)
    local front = proxy(target, outcome, { tls = rules }, { tls = { ca = certs.ca } })
    local conn = connect(front, { tls = { ca = certs.ca } })
    local data = ("0123456789abcdef"):rep(65536)
    hv.go(function()
      conn:write(data)
      conn:shutdown()
    end)
    assert.is_true(read_all(conn) == data)
    helper.eventually(function() return outcome[1] end)
    assert.same({ #data, #data }, outcome[1])
  end)

  it("takes unix sockets", function()
    local path = certs:path("sock")
    local target = keep(assert(hv.tcp.listen({ path = path }, echo)))
    local outcome = {}
    local front = listen({}, function(conn)
      outcome[1] = { conn:pipe(assert(hv.tcp.connect { path = path })) }
    end)
    local conn = connect(front)
    conn:write("over")
    assert.equal("over", conn:read(4))
    conn:close()
    helper.eventually(function() return outcome[1] end)
    assert.same({ 4, 4 }, outcome[1])
    target:close()
  end)

  it("passes on first what was read too far", function()
    local target = listen({}, echo)
    local front = listen({}, function(conn)
      local line = conn:read_line()
      local other = connect(target)
      other:write(line:upper() .. "\n")
      conn:pipe(other)
    end)
    local conn = connect(front)
    conn:write("head\nbody")
    assert.equal("HEAD\nbody", conn:read(9))
  end)

  it("goes on where a read was given up before", function()
    local target, is_given_up = listen({}, echo), false
    local front = listen({}, function(conn)
      conn:set_timeout { read = 1 }
      assert.equal("ETIMEDOUT", select(3, conn:read(100)))
      is_given_up = true
      conn:pipe(connect(target))
    end)
    local conn = connect(front)
    helper.eventually(function() return is_given_up end)
    for _ = 1, 3 do
      conn:write("x")
      assert.equal("x", conn:read())
    end
  end)

  it("serves a program: its input and its output", function()
    local outcome = {}
    local front = listen({}, function(conn)
      local p = assert(hv.process.spawn { "tr", "a-z", "A-Z", stdin = "pipe", stdout = "pipe" })
      outcome[1] = { conn:pipe(p) }
      outcome[2] = p:wait()
    end)
    local conn = connect(front)
    local data = ("hello "):rep(100000)
    hv.go(function()
      conn:write(data)
      conn:shutdown()
    end)
    assert.is_true(read_all(conn) == data:upper())
    helper.eventually(function() return outcome[2] end)
    assert.same({ { #data, #data }, 0 }, outcome)
  end)

  it("serves one end of a program's", function()
    local outcome = {}
    local front = listen({}, function(conn)
      local p = assert(hv.process.spawn { "printf", "three words more", stdout = "pipe" })
      outcome[1] = { p.stdout:pipe(conn) }
      outcome[2] = p:wait()
    end)
    local conn = connect(front)
    assert.equal("three words more", read_all(conn))
    helper.eventually(function() return outcome[2] end)
    assert.same({ { 16, 0 }, 0 }, outcome)
  end)

  it("ends where the program does, though its input goes on", function()
    local outcome = {}
    local front = listen({}, function(conn)
      local p = assert(hv.process.spawn { "head", "-c", "5", stdin = "pipe", stdout = "pipe" })
      outcome[1] = { conn:pipe(p) }
      p:wait()
    end)
    local conn = connect(front)
    conn:write("hello")
    assert.equal("hello", read_all(conn))
    helper.eventually(function() return outcome[1] end)
    assert.same({ 5, 5 }, outcome[1])
  end)

  it("holds a fast sender back", function()
    local sent = 0
    local sink -- reads nothing until it is told to
    local target = listen({}, function(conn)
      sink = conn
      hv.channel():recv()
    end)
    local outcome = {}
    local conn = connect(proxy(target, outcome, { write_high = "64K" }, { write_high = "64K" }),
      { write_high = "64K" })
    local sender = hv.go(function()
      for _ = 1, 1024 do
        if not conn:write(("x"):rep(65536)) then break end
        sent = sent + 1
      end
      conn:shutdown()
    end)
    -- Buffers of the kernel and three queues are finite: it stands still far before the end.
    helper.stands_still(function() return sent end)
    assert.is_true(sent < 700)
    local total = 0
    for chunk in sink:chunks() do total = total + #chunk end
    sender:join()
    assert.equal(1024 * 65536, total)
    sink:close()
  end)

  it("lets nobody else read or write meanwhile", function()
    local target = listen({}, echo)
    local front = listen({}, function(conn)
      local other = connect(target)
      local got
      conn:pipe(other, function(...) got = { ... } end)
      assert.equal("EBUSY", select(3, conn:read()))
      assert.equal("EBUSY", select(3, conn:write("x")))
      assert.equal("EBUSY", select(3, other:read_line()))
      assert.equal("EBUSY", select(3, other:pipe(conn)))
      assert.equal("EBUSY", select(3, conn:start_tls { verify = false, cert = localhost.cert,
        key = localhost.key }))
      helper.eventually(function() return got end)
      assert.same({ 1, 1 }, got)
    end)
    local conn = connect(front)
    conn:write("x")
    assert.equal("x", conn:read())
    conn:close()
    helper.eventually(function() return front:count() == 0 end)
    local pair = connect(target)
    local reader = hv.go(pair.read, pair)
    hv.sleep(0)
    assert.equal("EBUSY", select(3, pair:pipe(connect(target))))
    pair:close()
    reader:join()
    assert.equal("ECLOSED", select(3, pair:pipe(connect(target))))
  end)

  it("takes connections of the event style", function()
    local target = listen({}, echo)
    local front = keep(assert(hv.tcp.listen { host = "127.0.0.1", port = 0,
      on_message = function(conn, data)
        local other = connect(target)
        other:write("[" .. data .. "]")
        conn:pipe(other)
      end }))
    local conn = connect(front)
    conn:write("first")
    assert.equal("[first]", conn:read(7))
    conn:write("second")
    assert.equal("second", conn:read(6))
  end)

  it("tells what has failed, and what had been sent by then", function()
    local outcome = {}
    local target = listen({}, echo)
    local front = proxy(target, outcome)
    local rude = raw_socket.connect(front:port())
    assert(rude:send("hello"))
    helper.eventually(function() return target:count() == 1 end)
    rude:reset()
    helper.eventually(function() return outcome[1] end)
    local sent, message, code, bytes = unpack(outcome[1])
    assert.is_nil(sent)
    assert.equal("pipe: connection reset by peer", message)
    assert.equal("ECONNRESET", code)
    assert.equal("number", type(bytes))
    helper.eventually(function() return target:count() == 0 end)
  end)

  it("ends by hand, and with its task", function()
    local outcome, conns = {}, {}
    local target = listen({}, echo)
    local front = listen({}, function(conn)
      conns[1] = conn
      outcome[1] = { conn:pipe(connect(target)) }
    end)
    local conn = connect(front)
    conn:write("x")
    assert.equal("x", conn:read())
    conns[1]:close()
    assert.equal("EOF", select(3, conn:read()))
    helper.eventually(function() return outcome[1] end)
    assert.same({ nil, "pipe: closed", "ECLOSED", 1, 1 }, outcome[1])

    local one, two = connect(target), connect(target)
    local task = hv.go(function() one:pipe(two) end)
    helper.until_waiting(task)
    task:cancel()
    task:join()
    helper.eventually(function()
      return tostring(one):find("closed", 1, true) and tostring(two):find("closed", 1, true)
    end)
    helper.eventually(function() return target:count() == 0 end)
  end)

  it("refuses what is neither", function()
    local target = listen({}, echo)
    local conn = connect(target)
    for _, other in ipairs { 1, "x", {}, conn, hv.channel() } do
      local ok, message = pcall(conn.pipe, conn, other)
      assert.is_false(ok)
      assert.matches("conn:pipe: ", message, 1, true)
    end
    assert.is_false((pcall(conn.pipe, conn)))
  end)
end)
