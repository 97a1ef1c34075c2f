local helper = require "helper"
local hv = require "hv"

local function script(text)
  local path = os.tmpname()
  local file = assert(io.open(path, "w"))
  file:write(text)
  file:close()
  return path
end

describe("hvlua", function()
  it("runs statements, modules and scripts in order, with arg", function()
    local path = script [[print(..., arg[0] ~= nil, arg[1], arg[2], #arg, arg[-1])]]
    local text, status = helper.hvlua { "-e", "print(1)", "-l", "hv", path, "a", "-b" }
    os.remove(path)
    assert.equal("1\na\ttrue\ta\t-b\t2\thv\n", text)
    assert.equal(0, status)
  end)

  it("says how many arguments a script may have", function()
    local path = script "print(select('#', ...), #arg)"
    local argv = { path }
    for i = 1, 7000 do argv[i + 1] = "x" end
    assert.equal("7000\t7000\n", (helper.hvlua(argv)))
    argv[#argv + 1] = "x"
    local text, status = helper.hvlua(argv)
    os.remove(path)
    assert.matches("too many arguments to script: 7001, of which Lua takes 7000 at most", text)
    assert.equal(1, status)
  end)

  it("takes a first line that begins with #", function()
    local path = script "#!/usr/bin/env hvlua\nprint('ok')"
    assert.equal("ok\n", (helper.hvlua { path }))
    os.remove(path)
  end)

  it("runs stdin for - and without arguments", function()
    assert.equal("x\n", (helper.hvlua({ "-", "x" }, "print(...)")))
    assert.equal("y\n", (helper.hvlua({}, "print('y')")))
  end)

  it("does not give a socket the number of a stream that is closed", function()
    local path = script [[
      local hv = require "hv"
      local server = hv.tcp.listen({ host = "127.0.0.1", port = 0 }, function(conn)
        print("to standard output")
        io.stderr:write("to standard error\n")
        conn:write("to the peer")
      end)
      local conn = hv.tcp.connect { host = "127.0.0.1", port = server:port() }
      local text = conn:read(11)
      os.exit(io.read() == nil and text == "to the peer" and conn:read() == nil and 3 or 4)]]
    local command = ("%s %s <&- >&- 2>&-"):format(os.getenv("HVLUA") or "hvlua", path)
    local pipe = io.popen(command .. "; echo $?")
    assert.equal("3\n", pipe:read "*a")
    pipe:close()
    os.remove(path)
  end)

  it("says what is wrong with a statement, and no more", function()
    local text, status = helper.hvlua { "-e", "x =", "-e", "print('not reached')" }
    assert.equal("hvlua: (command line):1: unexpected symbol near '<eof>'\n", text)
    assert.equal(1, status)
  end)

  it("may open as many files as the hard limit allows", function()
    local text = helper.run [[
      for line in io.lines("/proc/self/limits") do
        local soft, hard = line:match("^Max open files%s+(%S+)%s+(%S+)")
        if soft then print(soft == hard) end
      end]]
    assert.equal("true\n", text)
  end)

  it("shows version and help", function()
    assert.matches("^hvlua %d+%.%d+%.%d+ %(LuaJIT", (helper.hvlua { "-v" }))
    assert.matches("^usage: hvlua", (helper.hvlua { "-h" }))
  end)

  it("ends with 1 and a traceback where the script fails, before and after waiting", function()
    for _, text in ipairs { "error('oops')", "require('hv').sleep(1) error('oops')",
      "require('hv').every(1, print) error('oops')" } do
      local path = script(text)
      local output, status = helper.hvlua { path }
      os.remove(path)
      assert.matches("^hvlua: .*oops\nstack traceback:", output)
      assert.matches(":1: in main chunk\n$", output)
      assert.equal(1, status)
    end
  end)

  it("ends with 1 for syntax errors, missing files and wrong options", function()
    local output, status = helper.hvlua { "/no/such/file.lua" }
    assert.matches("^hvlua: cannot open /no/such/file.lua", output)
    assert.equal(1, status)
    output, status = helper.hvlua { "-e", "x x" }
    assert.matches("^hvlua: ", output)
    assert.equal(1, status)
    output, status = helper.hvlua { "-Z" }
    assert.matches("unknown option %-Z", output)
    assert.equal(1, status)
    assert.equal(1, select(2, helper.hvlua { "-e" }))
    for option, nearest in pairs { ["--profil"] = "--profile", ["--prot=80"] = "--port" } do
      output = helper.hvlua { option }
      assert.equal(("hvlua: unknown option %s, did you mean %s? (hvlua -h tells which there are)\n")
        :format(option, nearest), output)
    end
    assert.equal("hvlua: unknown option --fantasy (hvlua -h tells which there are)\n",
      (helper.hvlua { "--fantasy" }))
  end)

  it("tells where the script can never go on", function()
    local output, status = helper.run [[
      local hv = require "hv"
      local main = hv.current()
      hv.go(function() main:join() end):join()]]
    assert.matches("still waits", output)
    assert.equal(1, status)
  end)

  it("ends with 1 and why, where a listen was refused and nothing else is to do", function()
    local taker = assert(hv.tcp.listen({ host = "127.0.0.1", port = 0 }, print))
    local head = ([[
      local hv = require "hv"
      local app = hv.http.app()
      local taken = { host = "127.0.0.1", port = %d }
      ]]):format(taker:port())
    for text, told in pairs {
      ["app:listen(taken)"] = "listen 127.0.0.1:%d+: .- %(EADDRINUSE%)",
      ["local server = hv.tcp.listen(taken, print)"] = "listen 127.0.0.1:%d+: .- %(EADDRINUSE%)",
      ["hv.sleep(1) hv.go(function() app:listen(taken) end)"] = "listen .-%(EADDRINUSE%)",
      ["app:listen { port = 0, tls = { cert = '/none.pem', key = '/none.pem' } }"]
        = "listen: certificate /none.pem: .- %(ETLS%)",
      ["hv.tcp.listen({ port = 0, tls = { cert = '/none.pem', key = '/none.pem' } }, print)"]
        = "listen: certificate /none.pem: .- %(ETLS%)",
      ["hv.udp.bind { host = '192.0.2.1', port = 0 }"] = "bind 192.0.2.1:0: .- %(EADDRNOTAVAIL%)",
      -- What was open before does not count; what cannot keep the program alive neither.
      ["hv.tcp.listen({ port = 0 }, print):close() hv.on_signal('hup', print) app:listen(taken)"]
        = "listen .-%(EADDRINUSE%)",
    } do
      local output, status = helper.run(head .. text)
      assert.matches("^hvlua: nothing to do: " .. told .. "\n$", output)
      assert.equal(1, status)
    end
    for _, text in ipairs {
      "app:listen(taken) hv.tcp.listen({ port = 0 }, print):close()",
      "app:listen(taken) hv.sleep(1)",
      "app:listen(taken) hv.after(1, function() end)",
      "app:listen(taken) os.exit(0)",
      "app:listen(taken) hv.stop()",
      "app:listen(taken) hv.shutdown()",
    } do
      -- At os.exit the state is not taken down, and what it alone holds looks leaked.
      local output, status = helper.hvlua({ "-e", head .. text }, nil,
        "ASAN_OPTIONS=detect_leaks=0")
      assert.same({ "", 0 }, { output, status }, text)
    end
    local output, status = helper.run(head .. "assert(app:listen(taken))")
    assert.equal(1, status)
    assert.is_nil(output:find("nothing to do", 1, true))
    taker:close()
  end)

  it("does not keep back what it has printed, and loses nothing of it", function()
    local path = script [[
      local hv = require "hv"
      local w = hv.worker.spawn(function(ch) print("from a worker") ch:send(true) ch:recv() end)
      print("started")
      w:recv()
      hv.after(1, function() io.write("late") end)
      hv.sleep(100000)]]
    local p = assert(hv.process.spawn { os.getenv("HVLUA") or "hvlua", path, stdout = "pipe",
      kill = true })
    local lines = { p.stdout:read_line(), p.stdout:read_line() }
    table.sort(lines)
    assert.same({ "from a worker", "started" }, lines)
    assert.equal("late", p.stdout:read(4))
    p:kill("kill")
    p:wait()
    p.stdout:close()
    os.remove(path)
  end)

  it("passes os.exit's status on", function()
    assert.equal(5, select(2, helper.run "os.exit(5, true)"))
    assert.equal(6, select(2, helper.run "require('hv').sleep(1) os.exit(6)"))
  end)

  it("is interactive with -i: shows values, goes on after errors, waits", function()
    local output = helper.hvlua({ "-i" }, [[
1 + 1
x = 5
=x
error("oops", 0)
for i = 1, 2 do
print(i)
end
require("hv").sleep(1)
"last"]])
    assert.matches("2\n", output)
    assert.matches("5\n", output)
    assert.matches("oops", output)
    assert.matches("1\n2\ntrue\n\"last\"\n$", output)
  end)
end)
