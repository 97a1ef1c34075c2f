--- callbacks.lua - every kind of callback that a script can give away, each in a small program that
--- specs run in a child: what happens where the callback throws, stops the loop, or collects.
---
--- In `source` an @ stands for what the callback does, once a program. With harmless work there the
--- program prints `normal` and nothing else; where it throws, `failed`. A last line "end" is added.
---   errors   how many errors are told where it throws, if not one
---   before   how many are told anyway
---   inside   in a coroutine of the user's own, whose frames a traceback does not show

local M = {}

--- In front of each program, on its first line.
M.prelude = [[local hv = require "hv" ]] ..
  [[local function connect(s) return assert(hv.tcp.connect("127.0.0.1:" .. s:port())) end ]] ..
  [[local function get(s, path) local c = connect(s) ]] ..
  [[c:write("GET " .. path .. " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n") ]] ..
  [[local all = {} for piece in c:chunks() do all[#all + 1] = piece end c:close() ]] ..
  [[local text = table.concat(all) ]] ..
  [[return text:match("^HTTP/1.1 (%d+)"), text:match("\r\n\r\n(.*)$") end ]] ..
  [[local function settle(is_so) while not is_so() do hv.sleep(1) end end]]

M.programs = {
  { name = "hv.after", normal = "ran\nother", failed = "other", source = [[
local called
hv.after(0, function()
  called = true
  @
  print("ran")
end)
settle(function() return called end)
hv.after(0, function() print("other") called = "again" end)
settle(function() return called == "again" end)
]] },

  { name = "hv.after, after a wait", normal = "ran\nother", failed = "other", source = [[
local called
hv.after(0, function()
  hv.sleep(1)
  called = true
  @
  print("ran")
end)
settle(function() return called end)
print("other")
]] },

  { name = "hv.every", normal = "beat 1\nbeat 2", failed = "beat 2", source = [[
local beats = 0
local timer
timer = hv.every(1, function()
  beats = beats + 1
  if beats == 2 then timer:stop() end
  if beats == 1 then
    @
  end
  print("beat " .. beats)
end)
settle(function() return beats == 2 end)
]] },

  { name = "hv.on_signal", normal = "ran\nusr1 again", failed = "usr1 again", source = [[
local count = 0
local watch = hv.on_signal("usr1", function(name)
  count = count + 1
  if count == 1 then
    @
    return print("ran")
  end
  print(name .. " again")
end)
os.execute("kill -USR1 $PPID")
settle(function() return count == 1 end)
os.execute("kill -USR1 $PPID")
settle(function() return count == 2 end)
watch:stop()
]] },

  { name = "hv.go", normal = "ran\nother", failed = "other", source = [[
hv.go(function()
  @
  print("ran")
end)
hv.go(function() print("other") end):join()
]] },

  { name = "hv.go, in a coroutine of the user's", inside = true,
    normal = "ran\nother", failed = "other", source = [[
local called
hv.go(function()
  coroutine.wrap(function()
    hv.sleep(1)
    called = true
    @
    print("ran")
  end)()
end)
settle(function() return called end)
hv.go(function() print("other") end):join()
]] },

  { name = "hv.next", normal = "ran\nother", failed = "other", source = [[
local called
hv.next(function()
  @
  print("ran")
end)
hv.next(function() print("other") called = true end)
settle(function() return called end)
]] },

  { name = "hv.idle", normal = "ran\nagain", failed = "again", source = [[
local count, watch = 0, nil
watch = hv.idle(function()
  count = count + 1
  if count == 2 then watch:stop() end
  if count == 1 then
    @
    return print("ran")
  end
  print("again")
end)
settle(function() return count == 2 end)
]] },

  { name = "hv.defer", normal = "second\nran\nfirst", failed = "second\nfirst", source = [[
local is_over
local task = hv.go(function()
  hv.defer(function() is_over = true end)
  hv.defer(function() print("first") end)
  hv.defer(function()
    @
    print("ran")
  end)
  hv.defer(function() print("second") end)
end)
task:join()
settle(function() return is_over end)
]] },

  { name = "a task that somebody joins", errors = 0,
    normal = "value\tnil", failed = "nil\tEFAILED", source = [[
local task = hv.go(function()
  @
  return "value", "more", nil
end)
local value, _, code = task:join()
print(value, code)
]] },

  { name = "a member of hv.all", errors = 0, normal = "1\t2\tnil", failed = "nil\tmessage\tEFAILED",
    source = [[
local called
local a, b, c = hv.all(function()
  hv.sleep(1)
  called = true
  @
  return 1
end, function()
  settle(function() return called end)
  return 2
end)
print(a, type(b) == "string" and "message" or b, c)
]] },

  { name = "a member of hv.race", errors = 0,
    normal = "1\tnil", failed = "nil\tEFAILED", source = [[
local value, _, code = hv.race(function()
  hv.sleep(1)
  @
  return 1
end, function() hv.sleep(10000) end)
print(value, code)
]] },

  { name = "hv.timeout's function", errors = 0,
    normal = "1\tnil", failed = "nil\tEFAILED", source = [[
local value, _, code = hv.timeout(10000, function()
  hv.sleep(1)
  @
  return 1
end)
print(value, code)
]] },

  { name = "the function of a callback form, after a wait", normal = "ran\nother", failed = "other",
    source = [[
local called
hv.sleep(1, function()
  called = true
  @
  print("ran")
end)
settle(function() return called end)
print("other")
]] },

  { name = "the function of a callback form, at once", normal = "ran\nother", failed = "other",
    source = [[
local server = assert(hv.tcp.listen({ host = "127.0.0.1", port = 0 }, function() end))
local conn = connect(server)
local called
conn:write("x", function()
  called = true
  @
  print("ran")
end)
settle(function() return called end)
print("other")
conn:close()
server:close()
]] },

  { name = "the function of hv.tcp.connect", normal = "ran\nother", failed = "other", source = [[
local calls = 0
hv.tcp.connect("127.0.0.1:1", function()
  calls = calls + 1
  @
  print("ran")
end)
settle(function() return calls == 1 end)
hv.sleep(1)
print("other")
]] },

  { name = "the handler of hv.tcp.listen", normal = "a\tx\t\nb\ty", failed = "a\tnil\tEOF\nb\ty",
    source = [[
local server = assert(hv.tcp.listen({ host = "127.0.0.1", port = 0 }, function(conn)
  for data in conn:chunks() do
    if data == "x" then
      @
    end
    conn:write(data)
  end
end))
local a, b = connect(server), connect(server)
a:write("x")
local data, _, code = a:read()
print("a", data, code or "")
b:write("y")
print("b", (b:read()))
a:close()
b:close()
settle(function() return server:count() == 0 end)
server:close()
]] },

  { name = "on_message of a connection", normal = "a\tx\t\nb\ty\nclosed\nclosed",
    failed = "a\tnil\tEOF\nb\ty\nclosed\nclosed", source = [[
local closed = 0
local server = assert(hv.tcp.listen { host = "127.0.0.1", port = 0,
  on_message = function(conn, data)
    if data == "x" then
      @
    end
    conn:write(data)
  end,
  on_close = function() closed = closed + 1 end,
})
local a, b = connect(server), connect(server)
a:write("x")
local data, _, code = a:read()
print("a", data, code or "")
b:write("y")
print("b", (b:read()))
a:close()
b:close()
settle(function() return closed == 2 end)
print("closed\nclosed")
settle(function() return server:count() == 0 end)
server:close()
]] },

  { name = "on_open of a connection", normal = "a\tx\t\nb\tx", failed = "a\tnil\tEOF\nb\tx",
    source = [[
local opened = 0
local server = assert(hv.tcp.listen { host = "127.0.0.1", port = 0,
  on_open = function()
    opened = opened + 1
    if opened == 1 then
      @
    end
  end,
  on_message = function(conn, data) conn:write(data) end,
})
local a = connect(server)
settle(function() return opened == 1 end)
local b = connect(server)
a:write("x")
local data, _, code = a:read()
print("a", data, code or "")
b:write("x")
print("b", (b:read()))
a:close()
b:close()
settle(function() return server:count() == 0 end)
server:close()
]] },

  { name = "on_close of a connection", normal = "ran\nb\tx", failed = "b\tx", source = [[
local closed = 0
local server = assert(hv.tcp.listen { host = "127.0.0.1", port = 0,
  on_message = function(conn, data) conn:write(data) end,
  on_close = function()
    closed = closed + 1
    if closed == 1 then
      @
      print("ran")
    end
  end,
})
local a, b = connect(server), connect(server)
a:close()
settle(function() return closed == 1 end)
b:write("x")
print("b", (b:read()))
b:close()
settle(function() return server:count() == 0 end)
server:close()
]] },

  { name = "on_drain of a connection", normal = "ran\nend of data\tnil\nb\tx",
    failed = "end of data\tnil\nb\tx", source = [[
local size, drained = 8 * 1048576, 0
local server = assert(hv.tcp.listen { host = "127.0.0.1", port = 0, write_high = "64K",
  on_message = function(conn, data)
    if data ~= "fill" then return conn:write(data) end
    conn:write(("x"):rep(size), function() end)
  end,
  on_drain = function(conn)
    drained = drained + 1
    if drained > 1 then return end
    conn:shutdown()
    @
    print("ran")
  end,
})
local a, b = connect(server), connect(server)
a:write("fill")
local got = 0
for piece in a:chunks() do got = got + #piece end
print("end of data", got < size and got or nil)
b:write("x")
print("b", (b:read()))
a:close()
b:close()
settle(function() return server:count() == 0 end)
server:close()
]] },

  { name = "a heartbeat", normal = "ran\nb\tx", failed = "b\tx", source = [[
local beats = 0
local server = assert(hv.tcp.listen({ host = "127.0.0.1", port = 0 }, function(conn)
  for data in conn:chunks() do
    conn:write(data)
    if data == "beat" then
      conn:heartbeat(1, function()
        beats = beats + 1
        if beats > 1 then return conn:close() end
        @
        print("ran")
      end)
    end
  end
end))
local a, b = connect(server), connect(server)
a:write("beat")
while a:read() do end
b:write("x")
print("b", (b:read()))
a:close()
b:close()
settle(function() return server:count() == 0 end)
server:close()
]] },

  { name = "on_open of a client that reconnects", normal = "ran\nopen 2\tx", failed = "open 2\tx",
    source = [[
local opens, got = 0, nil
local server = assert(hv.tcp.listen({ host = "127.0.0.1", port = 0 }, function(conn)
  got = conn:read()
end))
local client = hv.tcp.client { host = "127.0.0.1", port = server:port(),
  reconnect = { min_delay = 1 },
  on_open = function(client)
    opens = opens + 1
    if opens == 2 then return client:write("x") end
    @
    print("ran")
    client:conn():close()
  end }
settle(function() return got end)
print("open " .. opens, got)
client:close()
server:close()
]] },

  { name = "on_message of a client that reconnects", normal = "ran\nx\ty", failed = "x\ty",
    source = [[
local got = {}
local server = assert(hv.tcp.listen({ host = "127.0.0.1", port = 0 }, function(conn)
  conn:write(#got == 0 and "x" or "y")
  conn:read()
end))
local client = hv.tcp.client { host = "127.0.0.1", port = server:port(),
  reconnect = { min_delay = 1 },
  on_message = function(client, data)
    got[#got + 1] = data
    if data == "y" then return end
    @
    print("ran")
    client:conn():close()
  end }
settle(function() return #got == 2 end)
print(got[1], got[2])
client:close()
server:close()
]] },

  { name = "on_close of a client that reconnects", normal = "ran\nb\tx", failed = "b\tx",
    source = [[
local opens, calls = 0, 0
local server = assert(hv.tcp.listen({ host = "127.0.0.1", port = 0 }, function(conn)
  opens = opens + 1
  if opens > 1 then conn:write(conn:read() or "") end
end))
local client = hv.tcp.client { host = "127.0.0.1", port = server:port(),
  reconnect = { min_delay = 1 },
  on_close = function()
    calls = calls + 1
    if calls > 1 then return end
    @
    print("ran")
  end }
settle(function() return opens == 2 end)
local b = connect(server)
b:write("x")
print("b", (b:read()))
b:close()
client:close()
server:close()
]] },

  { name = "the function of conn:pipe", normal = "ran\nother", failed = "other", source = [[
local called
local server = assert(hv.tcp.listen({ host = "127.0.0.1", port = 0 }, function(conn)
  conn:read()
end))
local a, b = connect(server), connect(server)
a:pipe(b, function()
  called = true
  @
  print("ran")
end)
a:close()
settle(function() return called end)
print("other")
server:close()
]] },

  { name = "hv.fs.watch", normal = "ran\nother", failed = "other", source = [[
local path = os.tmpname()
local called
local watch = assert(hv.fs.watch(path, function()
  if called then return end
  called = true
  @
  print("ran")
end))
assert(hv.fs.write(path, "x"))
settle(function() return called end)
hv.sleep(1)
print("other")
watch:close()
os.remove(path)
]] },

  { name = "on_message of udp", normal = "x\ny", failed = "y", source = [[
local function on_message(sock, data, peer)
  if data == "x" then
    @
  end
  sock:send(data, peer.ip, peer.port)
end
local sock = assert(hv.udp.bind { host = "127.0.0.1", port = 0, on_message = on_message })
local client = assert(hv.udp.connect { host = "127.0.0.1", port = sock:port() })
client:send("x")
client:send("y")
repeat
  local data = client:recv()
  print(data)
until data == "y"
client:close()
sock:close()
]] },

  { name = "on_close of udp", normal = "ran\nother", failed = "other", source = [[
local closed = 0
local sock = assert(hv.udp.bind { host = "127.0.0.1", port = 0, on_close = function()
  closed = closed + 1
  @
  print("ran")
end })
sock:close()
settle(function() return closed == 1 end)
print("other")
]] },

  { name = "an HTTP handler",
    normal = "200\tx\n200\ty", failed = "500\t500 Internal Server Error\n\n200\ty",
    source = [[
local app = hv.http.app()
app:get("/x", function()
  @
  return "x"
end)
app:get("/y", function() return "y" end)
local server = assert(app:listen { host = "127.0.0.1", port = 0 })
print(get(server, "/x"))
print(get(server, "/y"))
server:close()
]] },

  { name = "an HTTP handler, after a wait", normal = "200\tx\n200\ty",
    failed = "500\t500 Internal Server Error\n\n200\ty", source = [[
local app = hv.http.app()
app:get("/x", function(req, res)
  hv.sleep(1)
  @
  res:send("x")
end)
app:get("/y", function() return "y" end)
local server = assert(app:listen { host = "127.0.0.1", port = 0 })
print(get(server, "/x"))
print(get(server, "/y"))
server:close()
]] },

  { name = "an HTTP handler whose answer has begun", normal = "200\tone\n200\ty",
    failed = "200\tcut\n200\ty", source = [[
local app = hv.http.app()
app:get("/x", function(_, res)
  res:write("one")
  hv.sleep(1)
  @
  res:finish()
end)
app:get("/y", function() return "y" end)
local server = assert(app:listen { host = "127.0.0.1", port = 0 })
local status, body = get(server, "/x")
print(status, body == "3\r\none\r\n0\r\n\r\n" and "one" or body == "3\r\none\r\n" and "cut" or body)
print(get(server, "/y"))
server:close()
]] },

  { name = "the stream function of an answer", normal = "200\tone\n200\ty",
    failed = "200\tcut\n200\ty", source = [[
local app = hv.http.app()
app:get("/x", function()
  return { stream = function(write)
    write("one")
    hv.sleep(1)
    @
  end }
end)
app:get("/y", function() return "y" end)
local server = assert(app:listen { host = "127.0.0.1", port = 0 })
local status, body = get(server, "/x")
print(status, body == "3\r\none\r\n0\r\n\r\n" and "one" or body == "3\r\none\r\n" and "cut" or body)
print(get(server, "/y"))
server:close()
]] },

  { name = "middleware",
    normal = "200\tx\n200\ty", failed = "500\t500 Internal Server Error\n\n200\ty",
    source = [[
local app = hv.http.app()
app:use(function(req, _, next)
  if req.path == "/x" then
    @
  end
  next()
end)
app:get("/x", function() return "x" end)
app:get("/y", function() return "y" end)
local server = assert(app:listen { host = "127.0.0.1", port = 0 })
print(get(server, "/x"))
print(get(server, "/y"))
server:close()
]] },

  { name = "middleware, after next", normal = "200\tx\n200\ty",
    failed = "500\t500 Internal Server Error\n\n200\ty", source = [[
local app = hv.http.app()
app:use(function(req, _, next)
  next()
  if req.path == "/x" then
    @
  end
end)
app:get("/x", function() return "x" end)
app:get("/y", function() hv.sleep(1) return "y" end)
local server = assert(app:listen { host = "127.0.0.1", port = 0 })
print(get(server, "/x"))
print(get(server, "/y"))
server:close()
]] },

  { name = "not_found of an app", normal = "404\tnone\n200\ty",
    failed = "500\t500 Internal Server Error\n\n200\ty", source = [[
local app = hv.http.app()
app:not_found(function()
  @
  return "none"
end)
app:get("/y", function() return "y" end)
local server = assert(app:listen { host = "127.0.0.1", port = 0 })
print(get(server, "/x"))
print(get(server, "/y"))
server:close()
]] },

  { name = "on_error of an app", errors = 2, before = 1, normal = "500\tsorry\n200\ty",
    failed = "500\t500 Internal Server Error\n\n200\ty", source = [[
local app = hv.http.app()
app:on_error(function()
  @
  return "sorry"
end)
app:get("/x", function() error("the first error") end)
app:get("/y", function() return "y" end)
local server = assert(app:listen { host = "127.0.0.1", port = 0 })
print(get(server, "/x"))
print(get(server, "/y"))
server:close()
]] },

  { name = "hv.next in hv.go in hv.go", normal = "ran\nother", failed = "other",
    source = [[
local called
hv.go(function() hv.go(function() hv.next(function()
  called = true
  @
  print("ran")
end) end) end)
settle(function() return called end)
print("other")
]] },
}

--- Runs a program with `body` in place of its @. Returns its output without the tracebacks of
--- errors, its exit status, the tracebacks, and where in the program the body stands
--- ("/tmp/lua_x:7:").
function M.run(program, body, environment)
  local helper = require "helper"
  local path = os.tmpname()
  local text = M.prelude .. "\n" .. program.source .. 'print("end")\n'
  local line = 1
  for _ in text:match("^(.-)@"):gmatch("\n") do line = line + 1 end
  local file = assert(io.open(path, "w"))
  file:write((text:gsub("@", function() return body end)))
  file:close()
  local output, status = helper.hvlua({ path }, nil, environment)
  os.remove(path)
  local errors = {}
  local pattern = "hvlua: ([^\n]*\nstack traceback:\n[^\n]*\n?[\t%s%S]-)\n%f[^\t\n]"
  output = output:gsub(pattern, function(trace)
    errors[#errors + 1] = trace
    return ""
  end)
  return output, status, errors, ("%s:%d:"):format(path, line)
end

return M
