local helper = require "helper"
local hv = require "hv"

--- A server of our own on a free port, closed after the test; and a connection to it.
local servers = {}

local function listen(options, handler)
  options.host, options.port = "127.0.0.1", options.port or 0
  local server = assert(hv.tcp.listen(options, handler))
  servers[#servers + 1] = server
  return server
end

local function connect(server, options)
  options = options or {}
  options.host, options.port = "127.0.0.1", server:port()
  return assert(hv.tcp.connect(options))
end

local function echo(conn)
  for chunk in conn:chunks() do assert(conn:write(chunk)) end
end

local function pair(options, handler)
  local server = listen(options or {}, handler or echo)
  return connect(server), server
end

local handles_before = helper.active()

describe("hv.tcp", function()
  after_each(function()
    for _, server in ipairs(servers) do server:close() end
    for i, server in ipairs(servers) do
      helper.eventually(function() return server:count() == 0 end)
      servers[i] = nil
    end
  end)

  describe("listen", function()
    it("picks a free port and counts connections", function()
      local conn, server = pair()
      assert.is_true(server:port() > 0)
      helper.eventually(function() return server:count() == 1 end)
      conn:close()
      helper.eventually(function() return server:count() == 0 end)
      assert.matches("^hv.tcp_server{listening 127.0.0.1:%d+, 0 connections}$", tostring(server))
      server:close()
      server:close()
      hv.sleep(1)
      assert.matches("closed", tostring(server))
      assert.equal("ECLOSED", select(3, server:port()))
    end)

    it("fails with a reason", function()
      local server = listen({}, echo)
      local port = server:port()
      local value, message, code = hv.tcp.listen({ host = "127.0.0.1", port = port }, echo)
      assert.is_nil(value)
      assert.matches("^listen 127.0.0.1:" .. port .. ": ", message)
      assert.equal("EADDRINUSE", code)
    end)

    it("refuses misuse, naming it", function()
      local function refused(pattern, ...)
        local ok, message = pcall(hv.tcp.listen, ...)
        assert.is_false(ok)
        assert.matches(pattern, message)
      end
      refused("port must be 0..65535, got 70000", { port = 70000 }, echo)
      refused("port is missing", { host = "127.0.0.1" }, echo)
      refused('unknown option "prot", did you mean "port"', { prot = 1 }, echo)
      refused("on_message is missing", { port = 0 })
      refused("not both", { port = 0, on_message = echo }, echo)
      refused("function expected, got number", { port = 0 }, 1)
      refused("table of options expected", true, echo)
      refused('"host:port" expected, got "localhost"', "localhost", echo)
      refused("a function or on_message is missing", 0)
      refused("unpack.mode must be", { port = 0, unpack = { mode = "x" } }, echo)
    end)

    it("takes a port alone, or an address", function()
      for _, short in ipairs { 0, "127.0.0.1:0" } do
        local server = assert(hv.tcp.listen(short, echo))
        local conn = assert(hv.tcp.connect("127.0.0.1:" .. server:port()))
        conn:write("hi")
        assert.equal("hi", conn:read())
        conn:close()
        server:close()
      end
    end)

    it("stops accepting at max_connections and goes on below", function()
      local server = listen({ max_connections = 1 }, echo)
      local first, second = connect(server), connect(server)
      second:write("hello")
      hv.sleep(5)
      assert.equal(1, server:count())
      first:close()
      assert.equal("hello", second:read())
      second:close()
    end)

    it("gives a unix socket its mode, and replaces one that nobody listens on", function()
      local path = os.tmpname()
      os.remove(path)
      for _, mode in ipairs { "600", "666" } do
        local server = assert(hv.tcp.listen({ path = path, mode = mode }, echo))
        assert.equal(tonumber(mode, 8), hv.fs.stat(path).mode % 512)
        local _, _, code = hv.tcp.listen({ path = path }, echo)
        assert.equal("EADDRINUSE", code) -- somebody does listen
        server:close()
        hv.sleep(1)
        assert.equal("ECONNREFUSED", select(3, hv.tcp.connect(path)))
      end
      assert(hv.fs.write(path .. ".text", "not a socket"))
      assert.equal("EADDRINUSE", select(3, hv.tcp.listen({ path = path .. ".text" }, echo)))
      assert.equal("not a socket", hv.fs.read(path .. ".text"))
      os.remove(path)
      os.remove(path .. ".text")
      assert.has_error(function() hv.tcp.listen({ path = path, mode = 438 }, echo) end)
      assert.has_error(function() hv.tcp.listen({ path = path, mode = "999" }, echo) end)
    end)

    it("serves a unix socket", function()
      local path = os.tmpname()
      os.remove(path)
      local server = assert(hv.tcp.listen({ path = path }, echo))
      local conn = assert(hv.tcp.connect { path = path })
      conn:write("x")
      assert.equal("x", conn:read())
      conn:close()
      server:close()
      os.remove(path)
    end)

    it("lives without a reference", function()
      local weak = setmetatable({}, { __mode = "v" })
      weak.server = hv.tcp.listen({ host = "127.0.0.1", port = 0 }, function(conn)
        conn:write("x")
      end)
      for _ = 1, 3 do collectgarbage() end
      local conn = connect(weak.server)
      assert.equal("x", conn:read())
      conn:close()
      weak.server:close()
      helper.collected(weak)
    end)
  end)

  describe("connect", function()
    it("tells why it fails", function()
      local value, message, code = hv.tcp.connect("127.0.0.1:1")
      assert.is_nil(value)
      assert.equal("connect 127.0.0.1:1: connection refused", message)
      assert.equal("ECONNREFUSED", code)
    end)

    it("takes a function", function()
      local got, calls = helper.recorder()
      hv.tcp.connect("127.0.0.1:1", got)
      local server = listen({}, echo)
      hv.tcp.connect({ host = "127.0.0.1", port = server:port() }, got)
      assert.equal(0, #calls)
      helper.eventually(function() return #calls == 2 end)
      local failed = calls[1][1] == nil and calls[1] or calls[2]
      local good = calls[1][1] and calls[1] or calls[2]
      assert.equal("ECONNREFUSED", failed[3])
      good[1]:close()
    end)

    it("connects from the address that it is told", function()
      local from
      local server = listen({}, function(c)
        from = c:peer()
        c:write("x")
      end)
      local conn = connect(server, { bind = "127.0.0.7" })
      assert.equal("x", conn:read())
      assert.equal("127.0.0.7", from.ip)
      conn:close()
      local port = helper.free_port("127.0.0.8")
      conn = connect(server, { bind = "127.0.0.8:" .. port })
      assert.equal("x", conn:read())
      assert.same({ ip = "127.0.0.8", port = port }, from)
      conn:close()
      local _, message, code = hv.tcp.connect { host = "127.0.0.1", port = server:port(),
        bind = "192.0.2.1" }
      assert.matches("^connect 127.0.0.1:", message)
      assert.equal("EADDRNOTAVAIL", code)
    end)

    it("can be cancelled", function()
      local server = listen({}, echo)
      local task = hv.go(hv.tcp.connect, "127.0.0.1:" .. server:port())
      hv.sleep(0)
      task:cancel()
      assert.equal("ECANCELED", select(3, task:join()))
    end)

    it("refuses misuse", function()
      assert.has_error(function() hv.tcp.connect("nonsense") end)
      assert.has_error(function() hv.tcp.connect { port = 1 } end)
      assert.has_error(function() hv.tcp.connect { host = "x", port = 1, timeuot = 2 } end)
    end)
  end)

  describe("conn", function()
    it("reads what has come, exact lengths, up to delimiters, and lines", function()
      local conn = pair()
      conn:write("0123456789;rest")
      assert.equal("0123", conn:read(4))
      assert.equal("456789;", conn:read_until(";"))
      assert.equal("rest", conn:read())
      conn:write { "a\n", "b\r\n", "\n" }
      assert.equal("a", conn:read_line())
      assert.equal("b", conn:read_line())
      assert.equal("", conn:read_line())
      conn:close()
    end)

    it("keeps the rest readable at the end of the stream", function()
      local conn = pair({}, function(c) c:write("abc") end)
      local value, message, code = conn:read(5)
      assert.same({ nil, "read: end of stream", "EOF" }, { value, message, code })
      assert.equal("abc", conn:read())
      assert.equal("EOF", select(3, conn:read()))
      assert.equal("EOF", select(3, conn:read_line()))
      conn:close()
    end)

    it("iterates lines and packets", function()
      local conn = pair({}, function(c) c:write("one\ntwo\nthree\n") end)
      local lines = {}
      for line in conn:lines() do lines[#lines + 1] = line end
      assert.same({ "one", "two", "three" }, lines)
      conn:close()
      conn = pair({}, function(c) c:write("aabbc") end)
      conn:set_unpack { mode = "fixed", length = 2 }
      local packets = {}
      for packet in conn:packets() do packets[#packets + 1] = packet end
      assert.same({ "aa", "bb" }, packets)
      conn:close()
    end)

    it("closes with ELIMIT where a line is too long", function()
      local conn = pair({}, function(c)
        c:write(("x"):rep(100))
        c:read()
      end)
      assert.equal("ELIMIT", select(3, conn:read_line(10)))
      assert.equal("ELIMIT", select(3, conn:read()))
    end)

    it("goes on after a read has timed out", function()
      local conn = pair()
      conn:set_timeout { read = 2 }
      local _, message, code = conn:read()
      assert.equal("read: timed out", message)
      assert.equal("ETIMEDOUT", code)
      conn:write("x")
      assert.equal("x", conn:read())
      conn:close()
    end)

    it("times only reads that wait, each from its own beginning", function()
      local conn = pair()
      conn:set_timeout { read = 30 }
      local began = hv.hrtime()
      conn:write("x")
      assert.equal("x", conn:read())
      hv.sleep(60) -- the time of the first is up, and nobody reads
      local again = hv.hrtime()
      assert.equal("ETIMEDOUT", select(3, conn:read()))
      assert.is_true(hv.hrtime() - again >= 30e6)
      assert.is_true(again - began >= 60e6)
      conn:write("y")
      assert.equal("y", conn:read())
      conn:close()
    end)

    it("lets one reader and one writer wait, and no second", function()
      local is_over = false
      local conn = pair({}, function() helper.eventually(function() return is_over end, 60) end)
      local first = hv.go(conn.read, conn)
      helper.eventually(function() return first:status() == "waiting" end)
      assert.equal("EBUSY", select(3, conn:read()))
      -- The kernel takes some, but nobody reads.
      local writer = hv.go(function()
        local big = ("x"):rep(8 * 2 ^ 20)
        while conn:write(big) do end
      end)
      helper.eventually(function() return writer:status() == "waiting" end)
      local _, message, code = conn:write("y")
      assert.equal("write: busy", message)
      assert.equal("EBUSY", code)
      conn:close()
      is_over = true
      assert.equal("ECLOSED", select(3, first:join()))
      writer:join()
    end)

    it("waits above write_high until the peer has read", function()
      local total = 0
      local server = listen({}, function(c)
        hv.sleep(5)
        for chunk in c:chunks() do total = total + #chunk end
      end)
      local conn = connect(server, { write_high = "64K" })
      local waited = 0
      for _ = 1, 100 do
        local before = hv.now()
        assert(conn:write(("x"):rep(100000)))
        if hv.now() > before then waited = waited + 1 end
      end
      conn:close()
      helper.eventually(function() return total == 1e7 end)
      assert.is_true(waited > 0)
    end)

    it("waits for a mark lower than what one callback collects", function()
      local conn = pair()
      conn:close()
      local server = listen({ write_high = 10 }, function(c)
        for _ = 1, 100 do assert(c:write(("x"):rep(100))) end
      end)
      conn = connect(server)
      assert.equal(10000, #conn:read(10000))
      conn:close()
    end)

    it("is idempotent in closing and wakes who waits", function()
      local conn = pair()
      local reader = hv.go(conn.read, conn)
      hv.sleep(0)
      assert.is_true(conn:close())
      assert.is_true(conn:close())
      assert.same({ nil, "read: closed", "ECLOSED" }, { reader:join() })
      assert.equal("ECLOSED", select(3, conn:write("x")))
      assert.equal("ECLOSED", select(3, conn:read()))
      assert.equal("ECLOSED", select(3, conn:shutdown()))
      helper.eventually(function() return tostring(conn):find("closed", 1, true) end)
      assert.matches("^hv.tcp{closed %-> 127.0.0.1:%d+}$", tostring(conn))
      assert.equal("127.0.0.1", conn:peer().ip)
    end)

    it("half-closes", function()
      local conn = pair({}, function(c)
        local all = {}
        for chunk in c:chunks() do all[#all + 1] = chunk end
        c:write("got " .. table.concat(all))
      end)
      conn:write("x")
      conn:shutdown()
      assert.equal("got x", conn:read())
      assert.equal("EOF", select(3, conn:read()))
      assert.equal("EPIPE", select(3, conn:write("y")))
      conn:close()
    end)

    it("tells its descriptor as long as it has one", function()
      local conn, server = pair()
      for _, handle in ipairs { conn, server } do
        local fd = handle:fd()
        assert.equal("socket", assert(hv.fs.stat("/proc/self/fd/" .. fd)).type)
        handle:close()
        repeat
          hv.sleep(0)
          local now, _, code = handle:fd()
        until not now and code == "ECLOSED"
      end
    end)

    it("knows its addresses, its number and the user's data", function()
      local conn, server = pair()
      assert.same({ ip = "127.0.0.1", port = server:port() }, conn:peer())
      assert.equal("127.0.0.1", conn:local_address().ip)
      assert.equal("number", type(conn.id))
      assert.is_nil(conn.data)
      conn.data = { 1 }
      assert.same({ 1 }, conn.data)
      conn.data = nil
      assert.is_nil(conn.data)
      assert.is_nil(conn.nothing)
      assert.has_error(function() conn.nothing = 1 end)
      assert.matches("^hv.tcp{open 127.0.0.1:%d+ %-> 127.0.0.1:%d+}$", tostring(conn))
      conn:close()
    end)

    it("changes how it cuts packets in the middle of a stream", function()
      local conn = pair({}, function(c) c:write("ab\ncd\n\3xyzrest") c:read() end)
      conn:set_unpack { mode = "delimiter", delimiter = "\n" }
      assert.equal("ab\n", conn:read())
      assert.equal("cd\n", conn:read())
      conn:set_unpack { mode = "length_field", body_offset = 1, length_field_bytes = 1 }
      assert.equal("\3xyz", conn:read())
      conn:set_unpack(nil)
      assert.equal("rest", conn:read())
      conn:close()
    end)

    it("closes where the peer takes nothing for too long", function()
      local closed
      local server = listen { write_timeout = 20, on_message = function(c)
        c:write(("x"):rep(32 * 2 ^ 20))
      end, on_close = function(_, message, code) closed = { message, code } end }
      local conn = connect(server)
      conn:write("go")
      helper.eventually(function() return closed end)
      assert.same({ "timed out", "ETIMEDOUT" }, closed)
      conn:close()
    end)

    it("takes times for writing and idleness while it is open", function()
      local codes = {}
      local server = listen({}, function(c)
        c:set_timeout { idle = 5 }
        codes[1] = select(3, c:read())
      end)
      local conn = connect(server)
      helper.eventually(function() return codes[1] end)
      assert.equal("ETIMEDOUT", codes[1])
      conn:close()
      server = listen({}, function(c)
        c:set_timeout { write = 10 }
        codes[2] = select(3, c:write(("x"):rep(32 * 2 ^ 20)))
      end)
      conn = connect(server)
      helper.eventually(function() return codes[2] end)
      assert.equal("ETIMEDOUT", codes[2])
      conn:close()
    end)

    it("stops beating when it is told to, or closed", function()
      local beats = 0
      local conn = pair()
      conn:heartbeat(1, function() beats = beats + 1 end)
      helper.eventually(function() return beats >= 2 end)
      conn:heartbeat(0)
      local before = beats
      hv.sleep(10)
      assert.equal(before, beats)
      conn:heartbeat(1, function() beats = beats + 1 end)
      conn:close()
      before = beats
      hv.sleep(10)
      assert.equal(before, beats)
      assert.equal("ECLOSED", select(3, conn:heartbeat(1, print)))
    end)

    it("beats", function()
      local conn = pair({}, function(c)
        c:heartbeat(1, function(same)
          assert.equal(c, same)
          same:write(".")
        end)
        c:read()
      end)
      assert.equal(".", conn:read(1))
      assert.equal(".", conn:read(1))
      conn:close()
    end)

    it("refuses misuse", function()
      local conn = pair()
      for _, call in ipairs {
        function() conn:read(0) end, function() conn:read("x") end,
        function() conn:read_until("") end, function() conn:read_until("123456789") end,
        function() conn:write(nil) end, function() conn:write { "a", {} } end,
        function() conn.read({}) end, function() conn:set_timeout { raed = 1 } end,
        function() conn:set_unpack { mode = "fixed" } end, function() conn:heartbeat(1) end,
        function() conn:read(0, print) end,
      } do
        local ok, message = pcall(call)
        assert.is_false(ok)
        assert.matches("tcp_spec.lua:%d+: ", message)
      end
      conn:close()
    end)

    it("closes when its task ends, also by an error", function()
      local errors = helper.expect_errors()
      local conn = pair({}, function(c)
        c:read()
        error("oops")
      end)
      conn:write("x")
      assert.equal("EOF", select(3, conn:read()))
      helper.eventually(function() return errors[1] end)
      assert.matches("oops", errors[1][1])
      conn:close()
    end)

    it("survives the collector at any moment", function()
      local server = listen({ on_message = function(c, data)
        collectgarbage()
        c:write(data)
        collectgarbage()
      end })
      local open = setmetatable({}, { __mode = "k" })
      for i = 1, 20 do
        local conn = connect(server)
        conn:write("x" .. i)
        collectgarbage()
        assert.equal("x" .. i, conn:read())
        if i % 2 == 0 then
          conn:close()
        else
          open[conn] = true
        end
        conn = nil -- luacheck: ignore
        collectgarbage()
      end
      helper.eventually(function() return server:count() == 10 end)
      for conn in pairs(open) do conn:close() end
      helper.eventually(function() return server:count() == 0 end)
      helper.collected(open)
    end)
  end)

  describe("event style", function()
    it("calls on_open, on_message in order, and on_close", function()
      local log = {}
      local server = listen { unpack = { mode = "delimiter", delimiter = "\n" },
        on_open = function(c)
          hv.sleep(2)
          log[#log + 1] = "open"
          c.data = 0
        end,
        on_message = function(c, data)
          hv.sleep(1)
          c.data = c.data + 1
          log[#log + 1] = data
          c:write(tostring(c.data))
        end,
        on_close = function(c, message, code) log[#log + 1] = { c.data, message, code } end,
      }
      local conn = connect(server)
      conn:write("a\nb\nc\n")
      assert.equal("123", conn:read(3))
      conn:close()
      helper.eventually(function() return #log == 5 end)
      assert.same({ "open", "a\n", "b\n", "c\n", { 3, "end of stream", "EOF" } }, log)
    end)

    it("closes the connection after an error, and tells", function()
      local errors = helper.expect_errors()
      for _, name in ipairs { "on_open", "on_message" } do
        local closed
        local options = { on_message = function() end, on_close = function() closed = true end }
        options[name] = function() error("oops in " .. name) end
        local conn = connect(listen(options))
        conn:write("x")
        assert.is_nil((conn:read()))
        helper.eventually(function() return closed end)
        helper.eventually(function()
          return errors[1] and errors[#errors][1]:find("oops in " .. name, 1, true)
        end)
        conn:close()
      end
      local conn = connect(listen {
        on_message = error,
        on_close = function() error("in close") end,
      })
      conn:write("x")
      conn:read()
      helper.eventually(function() return errors[#errors][1]:find("in close", 1, true) end)
      conn:close()
    end)

    it("may close in each function", function()
      for _, name in ipairs { "on_open", "on_message", "on_close" } do
        local options = { on_message = function(c) c:close() end }
        options[name] = function(c)
          c:close()
          hv.sleep(1)
          c:close()
        end
        local conn = connect(listen(options))
        conn:write("x")
        assert.is_nil((conn:read()))
        conn:close()
      end
    end)

    it("is told when what was queued has left", function()
      local drained
      local server = listen { write_high = 1000, on_message = function(c)
        c:write(("x"):rep(8 * 2 ^ 20))
      end, on_drain = function() drained = true end }
      local conn = connect(server)
      conn:write("go")
      assert.equal(8 * 2 ^ 20, #conn:read(8 * 2 ^ 20))
      helper.eventually(function() return drained end)
      conn:close()
    end)

    it("does not let a task read", function()
      local errors = helper.expect_errors()
      local server = listen { on_message = function(c) c:read() end }
      local conn = connect(server)
      conn:write("x")
      conn:read()
      helper.eventually(function() return errors[1] end)
      assert.matches("on_message reads this connection", errors[1][1])
      conn:close()
    end)

    it("closes idle connections", function()
      local server = listen { idle_timeout = 5, on_message = function() end }
      local conn = connect(server)
      assert.equal("EOF", select(3, conn:read()))
      conn:close()
    end)
  end)
end)

describe("the spec itself", function()
  it("leaves nothing open", function() helper.nothing_left(handles_before) end)
end)
