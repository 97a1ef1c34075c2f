-- What `require "hv"` gives in a stock luajit, whose main script is no task. Run by luajit itself:
--
--   luajit stock.lua [first|run|top|errors|cleanup]
local part = arg[1] or "top"

-- Any module may be the first.
if part == "first" then
  local tcp = require "hv.tcp"
  assert(tcp == require("hv").tcp)
  assert(require("hv.json").encode({ 1, 2 }) == "[1,2]")
  assert(require("_hv").version == require("hv").version)
  for _, name in ipairs { "crypto", "dns", "err", "fs", "http", "limits", "log", "metrics",
    "process", "shared", "udp", "unpack", "url", "worker" } do
    assert(type(require("hv")[name]) == "table", name)
  end
  -- Nothing of the state is changed but package.
  assert(debug.getinfo(require, "S").what == "C")
  assert(debug.getinfo(coroutine.resume, "S").what == "C")
  return print("first: fine")
end

local hv = require "hv"

local function echo()
  local server = assert(hv.tcp.listen({ host = "127.0.0.1", port = 0 }, function(conn)
    for line in conn:lines() do conn:write(line:upper() .. "\n") end
  end))
  local conn = assert(hv.tcp.connect { host = "127.0.0.1", port = server:port() })
  conn:write("abc\n")
  assert(conn:read_line() == "ABC")
  conn:close()
  server:close()
end

if part == "run" then
  -- The documented way: the script sets up, hv.run waits.
  local order = {}
  hv.go(function()
    echo()
    order[#order + 1] = "task"
    hv.stop(3)
  end)
  hv.every(100000, function() end)
  order[#order + 1] = "main"
  assert(hv.run() == 3)
  assert(table.concat(order, " ") == "main task", table.concat(order, " "))
  print("run: fine")
elseif part == "top" then
  -- Waits in the main script run the loop until they have ended.
  local before = hv.hrtime()
  hv.sleep(20)
  assert(hv.hrtime() - before >= 20e6)
  echo()
  local a, b = hv.all(function() hv.sleep(2) return 1 end, function() return 2 end)
  assert(a == 1 and b == 2)
  assert(hv.race(function() hv.sleep(100000) end, function() return 5 end) == 5)
  assert(select(3, hv.timeout(5, function() hv.sleep(100000) end)) == "ETIMEDOUT")
  local ch, gate = hv.channel(), hv.semaphore(0)
  hv.go(function() hv.sleep(1) ch:send("sent") gate:release() end)
  assert(ch:recv() == "sent" and gate:acquire())
  assert(hv.scope(function(s) s:go(hv.sleep, 1) return "done" end) == "done")
  assert(hv.worker.spawn(function(_, n) require("hv").sleep(1) return n * 2 end, 21):join() == 42)
  local name = os.tmpname()
  assert(hv.fs.write(name, "text") and hv.fs.read(name) == "text" and hv.fs.remove(name))
  -- Also in a coroutine, where no task is below it, and the callback form.
  assert(coroutine.wrap(function() hv.sleep(1) return 7 end)() == 7)
  local called
  hv.sleep(1, function() called = true end)
  assert(not called)
  hv.run()
  assert(called)
  print("top: fine")
elseif part == "errors" then
  local ok, message = pcall(hv.sleep, "x")
  assert(not ok and message:find("stock.lua:%d+: hv.sleep: ms must be"), message)
  ok, message = pcall(hv.scope, function() error("inside") end)
  assert(not ok and message:find("stock.lua:%d+: inside"), message)
  local gate = hv.semaphore(0)
  ok, message = pcall(function() return gate:acquire() end)
  assert(not ok and message:find("stock.lua:%d+: nothing is left that could end"), message)
  -- The standard coroutines would take a wait for a yield: that is said, not done.
  local told
  hv.go(function()
    ok, message = pcall(coroutine.wrap(function() hv.sleep(1) end))
    told = true
  end)
  hv.run()
  assert(told and not ok and message:find("coroutine of the standard library"), message)
  hv.on_error(function(text) told = text end)
  hv.go(error, "on its own")
  hv.run()
  assert(told == "on its own", told)
  print("errors: fine")
elseif part == "cleanup" then
  -- The state is closed with everything still open.
  assert(hv.tcp.listen({ host = "127.0.0.1", port = 0 }, function() end))
  assert(hv.udp.bind { host = "127.0.0.1", port = 0, on_message = function() end })
  hv.every(1000, function() end)
  hv.worker.spawn(function(ch) ch:recv() end)
  hv.shared.dict("stock", "1M"):set("a", 1)
  local app = hv.http.app()
  app:get("/", function() return "x" end)
  assert(app:listen { host = "127.0.0.1", port = 0 })
  hv.fs.watch(".", function() end)
  hv.process.spawn { "sleep", "0.01" }
  hv.go(hv.sleep, 100000)
  hv.sleep(1)
  print("cleanup: fine")
end
