-- Clients whose peers talk nonsense: pieces of their protocols in any order, cut off, with bytes
-- changed, in packets of any size, and connections that end in the middle. Whatever comes, each
-- call ends, and a failure says why; nothing is reported as an error of a task.
local hv = require "hv"

local ROUNDS = 40
local random = math.random

local words = {
  redis = {
    "+OK\r\n", "$5\r\nhello\r\n", "*2\r\n:1\r\n+a\r\n", ">3\r\n+message\r\n+c\r\n+x\r\n",
    ">3\r\n+subscribe\r\n+c\r\n:1\r\n", "%1\r\n+a\r\n:1\r\n", "$?\r\n;2\r\nab\r\n;0\r\n",
    "*?\r\n.\r\n", "|1\r\n+a\r\n+b\r\n", "-ERR x\r\n", "!5\r\nERR x\r\n", ",1.5\r\n", "_\r\n",
    "#t\r\n", "(123\r\n", "=7\r\ntxt:abc\r\n", ">2\r\n*0\r\n%0\r\n", ":9223372036854775807\r\n",
  },
  mqtt = {
    "\32\3\0\0\0", "\32\2\0\0", "\64\2\0\1", "\80\2\0\1", "\98\2\0\1", "\112\2\0\1",
    "\144\4\0\1\0\1", "\176\4\0\1\0\0", "\48\5\0\1t\0m", "\50\7\0\1t\0\5\0m", "\52\7\0\1t\0\6\0m",
    "\208\0", "\224\0", "\224\2\151\0", "\240\2\24\0", "\48\8\0\0\3\35\0\1mm",
    "\48\8\0\1t\3\35\0\1m",
  },
  proxy = {
    "\5\0", "\5\2", "\1\0", "\5\0\0\1\127\0\0\1\0\80", "\5\0\0\3\3abc\0\80",
    "\5\1\0\1\0\0\0\0\0\0", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "HTTP/1.1 407 No\r\n\r\n", "HTTP/1.1 100 Continue\r\n\r\n",
  },
}
--- What a good peer begins with; mostly ours does, too.
local greetings = {
  redis = "%1\r\n+proto\r\n:3\r\n", mqtt = "\32\3\0\0\0", proxy = "\5\0\5\0\0\1\127\0\0\1\0\80",
}

local function one_of(list) return list[random(#list)] end

local function spoil(text)
  local dice, at = random(10), random(#text)
  if dice == 1 then return text:sub(1, at) end
  local byte = string.char(random(0, 255))
  if dice == 2 then return text:sub(1, at - 1) .. byte .. text:sub(at + 1) end
  if dice == 3 then return hv.crypto.random(random(12)) end
  return text
end

local function babble(what)
  local pieces = { random(3) > 1 and greetings[what] or nil }
  for _ = 1, random(12) do pieces[#pieces + 1] = spoil(one_of(words[what])) end
  return table.concat(pieces)
end

--- A server that babbles on each connection.
local function listen(what)
  return assert(hv.tcp.listen({ host = "127.0.0.1", port = 0 }, function(conn)
    local text, at = babble(what), 1
    while at <= #text do
      local len = random(2) == 1 and #text or random(9)
      if not conn:write(text:sub(at, at + len - 1)) then break end
      at = at + len
      if random(3) == 1 then hv.sleep(0) end
    end
    conn:close()
  end))
end

local function check(value, message, code)
  if value ~= nil then return end
  assert(type(message) == "string" and type(code) == "string", "a failure without a reason")
end

--- What a task has failed with would stay with who joins it.
local function join(task)
  local ok, message, code = task:join()
  if not ok and code == "EFAILED" then error(message, 0) end
end

--- Runs some of the functions at once, and mostly cancels one of them.
local function at_once(functions)
  local tasks = {}
  for i = 1, 4 do tasks[i] = hv.go(one_of(functions)) end
  if random(3) > 1 then one_of(tasks):cancel() end
  for i = 1, 4 do join(tasks[i]) end
end

local function reconnect()
  return random(2) == 1 and { min_delay = 1, max_delay = 2, max_retries = 2 } or false
end

local rounds = {
  redis = function(port)
    local r, message, code = hv.redis.connect { port = port, timeout = 100, connect_timeout = 100,
      reconnect = reconnect(), max_messages = 50 }
    if not r then return check(r, message, code) end
    at_once {
      function() check(r:subscribe("c", function() hv.sleep(random(0, 1)) end)) end,
      function() check(r:pipeline():get("a"):hgetall("b"):exec()) end,
      function() check(r:borrow(function(c) return c:get("x") end)) end,
      function() check(r:multi():set("a", 1):exec()) end,
      function() check(r:get("k")) end,
      function() r:close() end,
    }
    r:close()
  end,
  mqtt = function(port)
    local client, message, code = hv.mqtt.connect { host = "127.0.0.1", port = port, timeout = 100,
      ping_timeout = 100, reconnect = reconnect(), version = one_of { 4, 5 } }
    if not client then return check(client, message, code) end
    at_once {
      function() check(client:subscribe("t", function() hv.sleep(random(0, 1)) end)) end,
      function() check(client:publish("t", "x", { qos = 1, timeout = 50 })) end,
      function() check(client:publish("t", "x", { qos = 2, timeout = 50 })) end,
      function() check(client:publish("t", "x")) end,
      function() client:disconnect() end,
    }
    client:disconnect()
    client._raw:drop()
  end,
  proxy = function(port)
    local address = one_of { "socks5://u:p@", "socks5://", "http://u:p@" } .. "127.0.0.1:" .. port
    check(hv.http.get(one_of { "https://x.test/", "http://x.test/" }, {
      proxy = address, timeout = 200 }))
  end,
}

describe("a client whose peer talks nonsense", function()
  for what, round in pairs(rounds) do
    it("ends each call with a value or a reason: " .. what, function()
      local problems = {}
      local seed = os.time()
      math.randomseed(seed)
      hv.on_error(function(_, traceback) problems[#problems + 1] = traceback end)
      local server = listen(what)
      for _ = 1, ROUNDS do
        local one, two = hv.go(round, server:port()), hv.go(round, server:port())
        join(one)
        join(two)
      end
      server:close()
      hv.sleep(1)
      hv.on_error(nil)
      assert.are.same({}, problems, "seed " .. seed)
    end)
  end
end)
