local helper = require "helper"
local hv = require "hv"

local spawn, run = hv.process.spawn, hv.process.run

local function sh(text, more)
  local opts = { "/bin/sh", "-c", text }
  for key, value in pairs(more or {}) do opts[key] = value end
  return opts
end

describe("hv.process", function()
  it("runs a program and tells its exit status", function()
    local p = assert(spawn(sh "exit 7"))
    assert.is_number(p.pid)
    assert.is_nil(p.status)
    assert.is_nil(p.stdin)
    assert.matches("^hv.process{%d+ running}$", tostring(p))
    assert.equal(7, p:wait())
    assert.equal(7, p:wait())
    assert.equal(7, p.status)
    assert.is_nil(p.signal)
    assert.matches("^hv.process{%d+ ended with status 7}$", tostring(p))
    assert.equal("ESRCH", select(3, p:kill("term")))
  end)

  it("tells the signal that ended it", function()
    local p = assert(spawn { "sleep", 1000 })
    assert.is_true(p:kill("term"))
    local status, message, code = p:wait()
    assert.is_nil(status)
    assert.equal("process " .. p.pid .. ": ended by signal term", message)
    assert.equal("ESIGNAL", code)
    assert.equal("term", p.signal)
    assert.is_nil(p.status)
  end)

  it("wakes everybody who waits, and gives up after a timeout", function()
    local p = assert(spawn(sh("read line; exit 3", { stdin = "pipe" })))
    assert.equal("ETIMEDOUT", select(3, p:wait(1)))
    local waiters = {}
    for i = 1, 3 do waiters[i] = hv.go(p.wait, p) end
    local note, calls = helper.recorder()
    p:wait(note)
    p.stdin:write("x\n")
    for i = 1, 3 do assert.equal(3, waiters[i]:join()) end
    helper.eventually(function() return #calls == 1 end)
    assert.same({ n = 1, 3 }, calls[1])
    p.stdin:close()
  end)

  it("carries pipes both ways", function()
    local p = assert(spawn { "sort", "-n", stdin = "pipe", stdout = "pipe" })
    assert(p.stdin:write("30\n1\n"))
    assert(p.stdin:write("2\n"))
    p.stdin:close()
    local lines = {}
    for line in p.stdout:lines() do lines[#lines + 1] = line end
    assert.same({ "1", "2", "30" }, lines)
    assert.equal(0, p:wait())
    p.stdout:close()
  end)

  it("ends its input by shutdown, once all is sent", function()
    local p = assert(spawn { "cat", stdin = "pipe", stdout = "pipe" })
    local text = ("0123456789abcdef"):rep(16384)
    local writer = hv.go(function()
      assert(p.stdin:write(text))
      return p.stdin:shutdown()
    end)
    assert.equal(text, p.stdout:read(#text))
    assert.is_true(writer:join())
    assert.equal("EOF", select(3, p.stdout:read()))
    assert.equal(0, p:wait())
  end)

  it("carries more than a pipe holds, with back-pressure", function()
    local p = assert(spawn { "cat", stdin = "pipe", stdout = "pipe" })
    local piece = ("0123456789abcdef"):rep(4096)
    local writer = hv.go(function()
      for _ = 1, 64 do assert(p.stdin:write(piece)) end
      p.stdin:close()
    end)
    local bytes = 0
    for chunk in p.stdout:chunks() do bytes = bytes + #chunk end
    assert(writer:join() == nil)
    assert.equal(64 * #piece, bytes)
    assert.equal(0, p:wait())
    p.stdout:close()
  end)

  it("returns errno's name for what cannot be started", function()
    local p, message, code = spawn { "no-such-program-here" }
    assert.is_nil(p)
    assert.equal("spawn no-such-program-here: no such file or directory", message)
    assert.equal("ENOENT", code)
    local path = os.tmpname() -- which nobody may execute
    assert.equal("EACCES", select(3, spawn { path }))
    os.remove(path)
    assert.equal("ENOENT", select(3, spawn { "true", cwd = "/no/such/directory" }))
  end)

  it("gives the program its environment and directory", function()
    local result = assert(run(sh("echo $WORD, $HOME, $(pwd)",
      { env = { WORD = "given", N = 5 }, cwd = "/proc" })))
    assert.equal("given, , /proc\n", result.stdout)
    local env = hv.process.env()
    assert.is_string(env.PATH)
    env.HV_WORD = "more"
    assert.equal("more " .. env.PATH .. "\n",
      run(sh("echo $HV_WORD $PATH", { env = env })).stdout)
  end)

  it("collects both outputs and the status of a run", function()
    assert.same({ status = 3, stdout = "out\n", stderr = "err\n" },
      run(sh "echo out; echo err >&2; exit 3"))
    assert.same({ status = 0, stdout = "some input", stderr = "" },
      run { "cat", input = "some input" })
    assert.same({ status = 0, stdout = "1\n2\n" },
      run(sh("echo 1; echo 2 >&2", { stderr = "stdout" })))
    assert.same({ signal = "kill", stdout = "", stderr = "" }, run(sh "kill -9 $$"))
    assert.equal("", run { "cat" }.stdout)
  end)

  it("takes a function instead of waiting", function()
    local note, calls = helper.recorder()
    run(sh("echo 1"), note)
    assert.equal(0, #calls)
    helper.eventually(function() return #calls == 1 end)
    assert.equal("1\n", calls[1][1].stdout)
  end)

  it("kills a run that takes too long or says too much", function()
    local result, message, code = run(sh("sleep 1000 & sleep 1000", { timeout = 20 }))
    assert.is_nil(result)
    assert.equal("run /bin/sh: timed out", message)
    assert.equal("ETIMEDOUT", code)
    result, message, code = run { "yes", max_output = "64K" }
    assert.is_nil(result)
    assert.equal("run yes: limit exceeded", message)
    assert.equal("ELIMIT", code)
    local task = hv.go(run, { "sleep", "1000" })
    helper.until_waiting(task)
    task:cancel()
    assert.equal("ECANCELED", select(3, task:join()))
  end)

  it("kills a group as a whole", function()
    local p = assert(spawn(sh("sleep 1000 & echo begun; wait", { stdout = "pipe", group = true })))
    assert.equal("begun", p.stdout:read_line())
    assert.is_true(p:kill())
    assert.equal("EOF", select(3, p.stdout:read())) -- the grandchild has it, too
    assert.equal("ESIGNAL", select(3, p:wait()))
    p.stdout:close()
  end)

  it("throws for wrong arguments", function()
    assert.has_error(function() spawn {} end)
    assert.has_error(function() spawn("true") end)
    assert.has_error(function() spawn { "true", {} } end)
    assert.has_error(function() spawn { "true", "a\0b" } end)
    assert.has_error(function() spawn { "true", stdin = "stdout" } end)
    assert.has_error(function() spawn { "true", env = { "A=1" } } end)
    assert.has_error(function() spawn { "true", [3] = "x" } end)
    local p = assert(spawn { "true" })
    assert.has_error(function() p:kill("no") end)
    assert.has_error(function() p:kill(1000) end)
    p:wait()
    local _, message = pcall(function() spawn { "true", stdot = "pipe" } end)
    assert.matches("process_spec.lua:%d+: hv.process.spawn: unknown option \"stdot\", did you mean "
      .. "\"stdout\"", message)
  end)

  it("keeps the program running, unless it is unreferenced", function()
    local output, status = helper.run([[
      local hv = require "hv"
      hv.process.spawn { "sleep", "1000", kill = true }:unref()
      hv.process.spawn { "sh", "-c", "exit 5" }:wait(function(s) print("ended", s) end)]])
    assert.equal("ended\t5\n", output)
    assert.equal(0, status)
  end)

  it("lets the program end though a pipe was not read to its end", function()
    local output, status = helper.run([[
      local hv = require "hv"
      local p = hv.process.spawn { "sh", "-c", "echo 1; echo 2; echo 3 >&2", stdin = "pipe",
                                   stdout = "pipe", stderr = "pipe" }
      print(p.stdout:read_line())
      print(p:wait())
      hv.sleep(1)
      print(p.stdout:read_line(), p.stdout:read())
      print(p.stdout:read())]])
    assert.equal("1\n0\n2\tnil\tread: end of stream\tEOF\nnil\tread: end of stream\tEOF\n", output)
    assert.equal(0, status)
  end)

  it("leaves no zombie where nobody waits", function()
    local p = assert(spawn { "true" })
    local pid = p.pid
    p = nil -- luacheck: ignore
    helper.eventually(function() return not hv.fs.exists("/proc/" .. pid) end)
  end)

  it("kills what must not outlive the program", function()
    local output = helper.run([[
      local hv = require "hv"
      print(hv.process.spawn { "sleep", "1000", kill = true }.pid)
      hv.stop()]])
    local pid = assert(output:match("^(%d+)\n$"))
    helper.eventually(function()
      local stat = hv.fs.read("/proc/" .. pid .. "/stat")
      return not stat or stat:match("%) Z")
    end)
  end)

  it("is shown by examples/process.lua", function()
    local output, status = helper.hvlua { "examples/process.lua" }
    assert.equal(0, status)
    assert.equal(table.concat({ "status 3: hello from a child", "sorted 4", "sorted 30",
      "sorted 100", "sort ended with 0", "fast: 0", "slow: ETIMEDOUT (run sleep: timed out)",
      "ENOENT", "" }, "\n"), output)
  end)
end)
