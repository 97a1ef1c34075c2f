-- Clients that break off, reset, half-close, send garbage, dawdle or never read, while well-behaved
-- ones go on getting every answer right; and in the end nothing is left of any of them.
local helper = require "helper"
local hv = require "hv"
local json = require "hv.json"
local raw_socket = require "raw_socket"

local hvlua = os.getenv("HVLUA") or "build/bin/hvlua"

local victim, ports, idle_fds, idle_refs

local function fetch(conn, request)
  assert(conn:write(request))
  local head = assert(conn:read_until("\r\n\r\n"))
  local length = tonumber(head:match("[Cc]ontent%-[Ll]ength: (%d+)"))
  local body = length > 0 and assert(conn:read(length)) or ""
  return tonumber(head:match("^HTTP/1.1 (%d+)")), body
end

local function connect(port)
  return assert(hv.tcp.connect { host = "127.0.0.1", port = port, timeout = 20000 })
end

local function ask_victim()
  local conn = connect(ports.control)
  local status, body = fetch(conn, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
  conn:close()
  assert(status == 200)
  return json.decode(body)
end

local function count_fds()
  local pipe = io.popen(("ls /proc/%d/fd | wc -l"):format(victim.pid))
  local count = tonumber(pipe:read("*l"))
  pipe:close()
  return count
end

--- Waits until is_so() holds, as long as ctest lets us.
local function wait_until(is_so)
  repeat
    local value = is_so()
    if not value then hv.sleep(5) end
  until value
end

local function wait_until_empty()
  wait_until(function() return ask_victim().count == 0 end)
end

--- Runs attack() while well-behaved clients of each kind talk to the victim, and then looks whether
--- every answer was right and nobody is left.
local function under(attack)
  local is_over, answers = false, 0
  local function http_client()
    local conn = connect(ports.http)
    repeat
      answers = answers + 1
      local request = ("GET /good/%d HTTP/1.1\r\nHost: x\r\n\r\n"):format(answers)
      local expected = "good " .. answers
      local status, body = fetch(conn, request)
      assert(status == 200 and body == expected, body)
      body = ("body %d "):format(answers):rep(50)
      local head = "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"
      status, expected = fetch(conn, head:format(#body) .. body)
      assert(status == 200 and body == expected)
    until is_over
    conn:close()
  end
  local function echo_client()
    local conn = connect(ports.echo)
    repeat
      answers = answers + 1
      local text = ("text %d"):format(answers):rep(20)
      assert(conn:write(text))
      assert(assert(conn:read(#text)) == text)
    until is_over
    conn:close()
  end
  local function line_client()
    local conn = connect(ports.lines)
    assert(assert(conn:read_line()) == "hello")
    repeat
      answers = answers + 1
      local text = ("line %d"):format(answers)
      assert(conn:write(text .. "\n"))
      assert(assert(conn:read_line()) == text)
    until is_over
    conn:close()
  end
  local good = { hv.go(pcall, http_client), hv.go(pcall, echo_client), hv.go(pcall, line_client) }
  local ok, message = pcall(attack)
  is_over = true
  for _, task in ipairs(good) do
    local is_fine, problem = task:join()
    assert.is_true(is_fine, problem)
  end
  assert(ok, message)
  assert.is_true(answers >= 3)
  wait_until_empty()
end

local endings = {
  close = function(socket) socket:close() end,
  reset = function(socket) socket:reset() end,
  ["half-close"] = function(socket)
    socket:half_close()
    repeat
      local data = socket:receive()
      if not data then hv.sleep(1) end
    until data == ""
    socket:close()
  end,
}

--- What has been sent when a client breaks off: which server, and the bytes.
local phases = {
  { "at once", "http", "" },
  { "in the request line", "http", "GET /go" },
  { "in a header", "http", "GET /good/1 HTTP/1.1\r\nHost: x\r\nX-Half" },
  { "before the end of the head", "http", "GET /good/1 HTTP/1.1\r\nHost: x\r\n" },
  { "before the body", "http", "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n" },
  { "in the body", "http", "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12345" },
  { "in a chunk", "http",
    "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\na\r\n12345" },
  { "before the answer", "http", "GET /slow HTTP/1.1\r\nHost: x\r\n\r\n" },
  { "before the answers to a pipeline", "http",
    ("GET /slow HTTP/1.1\r\nHost: x\r\n\r\n"):rep(20) },
  { "in a pipeline cut in two", "http",
    ("GET /good/2 HTTP/1.1\r\nHost: x\r\n\r\n"):rep(20) .. "GET /go" },
  { "before a big answer", "http", "GET /big HTTP/1.1\r\nHost: x\r\n\r\n" },
  { "in the middle of a packet", "lines", "half a li" },
  { "behind packets", "lines", ("line\n"):rep(100) .. "half" },
  { "while a packet is being dealt with", "lines", "wait\nwait\nbehind\n" },
  { "with an echo on its way", "echo", ("x"):rep(60000) },
}

describe("hostile clients", function()
  setup(function()
    victim = assert(hv.process.spawn { hvlua, "spec/support/victim.lua", stdout = "pipe" })
    ports = {}
    local line = assert(victim.stdout:read_line())
    ports.echo, ports.lines, ports.flood, ports.http, ports.control =
      line:match("^ports (%d+) (%d+) (%d+) (%d+) (%d+)$")
    for name, port in pairs(ports) do ports[name] = tonumber(port) end
    under(function() end)
    idle_fds, idle_refs = count_fds(), ask_victim().refs
  end)

  teardown(function()
    if victim and not victim.status then victim:kill("kill") end
  end)

  for _, phase in ipairs(phases) do
    for ending, finish in pairs(endings) do
      it(("that %s %s hurt nobody else"):format(ending, phase[1]), function()
        under(function()
          for _ = 1, 10 do
            local sockets = {}
            for i = 1, 10 do
              sockets[i] = raw_socket.connect(ports[phase[2]])
              sockets[i]:send(phase[3])
            end
            -- Half of them break off before the server has looked, half at some time later.
            for i = 1, 5 do finish(sockets[i]) end
            hv.sleep(1)
            for i = 6, 10 do finish(sockets[i]) end
          end
        end)
      end)
    end
  end

  for _, ending in ipairs { "close", "reset" } do
    it(("that %s in the middle of an endless answer end it"):format(ending), function()
      under(function()
        for _, target in ipairs { { "http", "GET /stream HTTP/1.1\r\nHost: x\r\n\r\n" },
          { "flood", "" } } do
          local sockets = {}
          for i = 1, 10 do
            sockets[i] = raw_socket.connect(ports[target[1]])
            sockets[i]:send(target[2])
          end
          for i = 1, 10 do
            wait_until(function() return sockets[i]:receive(1000) end)
            endings[ending](sockets[i])
          end
        end
      end)
    end)
  end

  it("that never read are held back, and let go when they leave", function()
    under(function()
      local before = ask_victim().flooded
      local sockets = {}
      for i = 1, 10 do sockets[i] = raw_socket.connect(ports.flood, 4096) end
      for i = 11, 20 do
        sockets[i] = raw_socket.connect(ports.http, 4096)
        sockets[i]:send("GET /stream HTTP/1.1\r\nHost: x\r\n\r\n")
      end
      -- Writing has come to rest when the sum stays as it is.
      local last
      wait_until(function()
        local now = ask_victim()
        local is_at_rest = now.flood == 10 and now.flooded == last
        last = now.flooded
        hv.sleep(20)
        return is_at_rest
      end)
      -- The queue is high at 1 MiB; what the kernel takes comes on top.
      assert.is_true(last - before < 10 * 12 * 1048576)
      for _, socket in ipairs(sockets) do socket:reset() end
    end)
  end)

  it("that ask for much and read nothing keep neither answers nor descriptors", function()
    under(function()
      local sockets = {}
      for i = 1, 20 do
        sockets[i] = raw_socket.connect(ports.http, 4096)
        sockets[i]:send(("GET /big HTTP/1.1\r\nHost: x\r\n\r\n"):rep(50))
      end
      hv.sleep(20)
      for i, socket in ipairs(sockets) do endings[i % 2 == 0 and "close" or "reset"](socket) end
    end)
  end)

  it("that send garbage are refused or dropped", function()
    local chunked = "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
    local garbage = {
      "\0", "\r\n\r\n\r\n\r\n", "GET\r\n\r\n", "GET / HTTP/9.9\r\n\r\n",
      "\22\3\1\2\0\1\0\1\252\3\3",
      "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
      "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
      "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n",
      chunked .. "\r\nffffffffffffffff1\r\n", chunked .. "\r\nx\r\n",
      chunked .. "Content-Length: 3\r\n\r\n0\r\n",
      "GET /" .. ("a"):rep(100000) .. " HTTP/1.1\r\n\r\n",
      "GET / HTTP/1.1\r\n" .. ("X: y\r\n"):rep(10000) .. "\r\n",
      "GET / HTTP/1.1\r\nX: " .. ("y"):rep(200000) .. "\r\n\r\n",
      "GET / HTTP/1.1\r\nHost: x\r\nX\0: y\r\n\r\n", "get / http/1.1\r\n\r\n",
      "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n" .. ("z"):rep(200000),
    }
    math.randomseed(11)
    for _ = 1, 50 do
      local bytes = {}
      for k = 1, math.random(1, 2000) do bytes[k] = string.char(math.random(0, 255)) end
      garbage[#garbage + 1] = table.concat(bytes)
    end
    under(function()
      for _, text in ipairs(garbage) do
        for _, kind in ipairs { "http", "lines", "echo" } do
          local socket = raw_socket.connect(ports[kind])
          socket:send(text)
          socket:half_close()
          -- To its end: an answer of 400 or more, a redirect to nowhere, or nothing.
          local pieces = {}
          repeat
            local data = socket:receive()
            pieces[#pieces + 1] = data
            if not data then
              hv.sleep(1)
              if socket:send("") < 0 then break end
            end
          until data == "" or not data and #pieces > 0 and ask_victim()[kind] <= 1
          local answer = table.concat(pieces)
          if kind == "http" and answer ~= "" then
            assert.matches("^HTTP/1.1 [45]%d%d ", answer)
          end
          socket:close()
        end
      end
    end)
  end)

  it("that send byte by byte are answered all the same", function()
    under(function()
      local function dawdle(port, text, answer)
        local conn = connect(port)
        for i = 1, #text do
          assert(conn:write(text:sub(i, i)))
          hv.sleep(0)
        end
        assert(assert(conn:read(#answer)) == answer)
        conn:close()
        return true
      end
      local function http_dawdle(request, body)
        local conn = connect(ports.http)
        for i = 1, #request - 1 do
          assert(conn:write(request:sub(i, i)))
          hv.sleep(0)
        end
        local status, got = fetch(conn, request:sub(-1))
        assert(status == 200 and got == body, got)
        conn:close()
        return true
      end
      local post = "POST /echo HTTP/1.1\r\nHost: x\r\n"
      local results = { hv.all(
        function() return dawdle(ports.lines, "one\ntwo\n", "hello\none\ntwo\n") end,
        function() return dawdle(ports.echo, "byte by byte", "byte by byte") end,
        function()
          return http_dawdle("GET /good/7 HTTP/1.1\r\nHost: x\r\nX-Slow: very\r\n\r\n", "good 7")
        end,
        function()
          return http_dawdle(post .. "Content-Length: 5\r\n\r\nhello", "hello")
        end,
        function()
          return http_dawdle(post .. "Transfer-Encoding: chunked\r\n\r\n" ..
            "2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\nT: z\r\n\r\n", "hello")
        end) }
      assert.same({ true, true, true, true, true }, results)
    end)
  end)

  it("that send a thousand requests at once get a thousand answers in order", function()
    under(function()
      local function pipeline(n)
        local requests = {}
        for i = 1, 1000 do
          requests[i] = i % 100 == 0 and "GET /slow HTTP/1.1\r\nHost: x\r\n\r\n"
            or ("GET /good/%d HTTP/1.1\r\nHost: x\r\n\r\n"):format(n * i)
        end
        local conn = connect(ports.http)
        local writer = hv.go(function() return conn:write(table.concat(requests)) end)
        for i = 1, 1000 do
          local status, body = fetch(conn, "")
          assert(status == 200)
          assert(body == (i % 100 == 0 and "slow" or "good " .. n * i), body)
        end
        assert(writer:join())
        conn:close()
        return true
      end
      assert.is_true(pipeline(1))
      local a, b, c = hv.all(function() return pipeline(2) end, function() return pipeline(3) end,
        function() return pipeline(5) end)
      assert.is_true(a and b and c, b)
    end)
  end)

  it("that come and go ten thousand times leave nothing behind", function()
    local targets = { "http", "echo", "lines", "flood" }
    under(function()
      for batch = 1, 100 do
        local sockets = {}
        for i = 1, 100 do
          sockets[i] = raw_socket.connect(ports[targets[(i + batch) % 4 + 1]])
          if i % 3 == 0 then sockets[i]:send("GET /good/1 HTTP/1.1\r\nHost: x\r\n\r\n") end
        end
        for i, socket in ipairs(sockets) do
          if i % 2 == 0 then socket:reset() else socket:close() end
        end
        hv.sleep(0)
      end
    end)
  end)

  it("have left nothing: no connection, descriptor, reference or error", function()
    wait_until_empty()
    wait_until(function() return count_fds() <= idle_fds end)
    -- Pools keep what they have grown to; what each client costs would be in the thousands.
    assert.is_true(ask_victim().refs < idle_refs + 1000)
    victim:kill("term")
    assert.equal(0, victim:wait(30000))
    assert.is_nil((victim.stdout:read())) -- no error was told
    victim.stdout:close()
  end)

  it("of its own loop cannot hurt a server either", function()
    local server = assert(hv.tcp.listen({ host = "127.0.0.1", port = 0 }, function(conn)
      for chunk in conn:chunks() do assert(conn:write(chunk)) end
    end))
    for _, finish in pairs(endings) do
      for i = 1, 50 do
        local socket = raw_socket.connect(server:port())
        if i % 2 == 0 then socket:send("hello") end
        if i % 3 == 0 then hv.sleep(0) end
        finish(socket)
      end
    end
    helper.eventually(function() return server:count() == 0 end)
    server:close()
  end)
end)
