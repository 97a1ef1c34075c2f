--- `hvlua --admin` and `hvlua --attach`: from outside, through plain sockets and a real terminal.
local admin = require "hv.admin"
local hv = require "hv"
local tmux = require "tmux"

local HVLUA = os.getenv("HVLUA")

local SCRIPT = [[
local hv = require "hv"
ticks = 0
hv.every(5, function() ticks = ticks + 1 end)
-- Where the spec is killed, nobody else ends this.
hv.every(1000, function() if not io.open("/proc/PARENT/stat") then os.exit() end end)
function dump() print("dumped") end
io.stdout:setvbuf("no")
print("ready")
]]

describe("hvlua --admin", function()
  local folder, path, server, terminal

  before_each(function()
    local pipe = io.popen("mktemp -d")
    folder = pipe:read("*l")
    pipe:close()
    path = folder .. "/admin.sock"
    local file = assert(io.open(folder .. "/server.lua", "w"))
    file:write((SCRIPT:gsub("PARENT", (require("_hv.private").identity()))))
    file:close()
    server = assert(hv.process.spawn { HVLUA, "--admin=" .. path, folder .. "/server.lua",
      stdout = "pipe", stderr = "null" })
    assert.equal("ready", server.stdout:read_line())
  end)
  after_each(function()
    if terminal then terminal:close() end
    terminal = nil
    server:kill("kill")
    server:wait()
    server.stdout:close()
    os.execute("rm -r " .. folder)
  end)

  local function connect()
    local conn = assert(hv.tcp.connect { path = path })
    conn:set_timeout { read = 20000 }
    return conn
  end

  --- A session of frames, with its second connection for interrupts.
  local function attach()
    local conn, session = connect(), {}
    conn:write("hvlua-attach 1\n")
    conn:set_unpack(admin.unpack)
    local pid, token = conn:read():sub(6):match("^(%d+) (%x+)$")
    assert.equal(server.pid, tonumber(pid))
    local control = connect()
    control:write("hvlua-interrupt " .. token .. "\n")
    assert.equal("ok", control:read_line())
    function session.send(text) conn:write(admin.frame("L", text)) end
    --- Reads up to the end of a line's work: what it wrote, and the state.
    function session.answer()
      local output = {}
      while true do
        local packet = assert(conn:read())
        local kind = packet:sub(1, 1)
        if kind == "D" then return table.concat(output), packet:sub(6) end
        output[#output + 1] = packet:sub(6)
      end
    end
    function session.complete(text)
      conn:write(admin.frame("T", "80 " .. text))
      return assert(conn:read()):sub(6):match("^(.-)%z(.*)$")
    end
    function session.interrupt() control:write("\3") end
    function session.close()
      conn:close()
      control:close()
    end
    return session
  end

  --- Runs hvlua --attach without a terminal.
  local function run(input, target)
    return hv.process.run { HVLUA, "--attach", target or path, input = input }
  end

  it("opens a socket that only its user may use", function()
    local stat = assert(hv.fs.stat(path))
    assert.equal("socket", stat.type)
    assert.equal(384, stat.mode % 512) -- 0600
  end)

  it("answers plain lines", function()
    local conn = connect()
    conn:write("ticks > -1\n")
    assert.equal("true\n> ", conn:read_until("> "))
    conn:write("x = 20 +\n")
    assert.equal(">> ", conn:read_until(">> "))
    conn:write("22\nx\n")
    assert.equal("> 42\n> ", conn:read_until("> ") .. conn:read_until("> "))
    conn:write(".exit\n")
    assert.equal("EOF", (select(3, conn:read())))
    conn:close()
  end)

  it("answers who writes everything at once and then only reads", function()
    local conn = connect()
    conn:write("require('hv').sleep(50) return 'late'\n6 * 7\n")
    conn:shutdown()
    local text = conn:read_until("42\n")
    assert.equal('"late"\n> 42\n', text)
    conn:close()
  end)

  it("cancels what runs for a plain peer that has gone", function()
    local conn = connect()
    conn:write("pcall(require('hv').sleep, 1e6) left = true\n")
    conn:close()
    local watcher = attach()
    repeat
      watcher.send("return left == true")
    until watcher.answer() == "true\n"
    watcher.close()
  end)

  it("shows results, prints and errors to who is attached, not to the server", function()
    local result = assert(run('dump()\nprint("mine")\nio.write("too\\n")\nerror("oops", 0)\n' ..
      'local t = nil\nreturn (nil).x\n_ == nil\n{ 1, 2 }\n'))
    assert.equal(0, result.status)
    assert.matches("^dumped\nmine\ntoo\ntrue\noops\n", result.stdout)
    assert.matches("attached:1: attempt to index.-stack traceback:\n\tattached:1:", result.stdout)
    assert.matches("{ 1, 2 }\n$", result.stdout)
    server.stdout:set_timeout { read = 50 }
    assert.is_nil((server.stdout:read()))
  end)

  it("keeps the server going while an attached line waits", function()
    local session = attach()
    session.send("before = ticks; require('hv').sleep(200); return ticks - before > 3")
    assert.equal("true\n", (session.answer()))
    session.close()
  end)

  it("completes with the server's names", function()
    local session = attach()
    assert.equal("mp", (session.complete("du")))
    session.close()
  end)

  it("interrupts the attached line only, running or waiting", function()
    local one, two = attach(), attach()
    two.send("require('hv').sleep(400) return 'untouched'")
    one.send("while true do end")
    -- Until it runs there is nothing to interrupt, so press until it answers.
    local text
    local pressing = hv.go(function()
      while not text do
        one.interrupt()
        hv.sleep(20)
      end
    end)
    text = one.answer()
    pressing:join()
    assert.matches("interrupted", text)
    assert.equal('"untouched"\n', (two.answer()))
    one.send("require('hv').sleep(1e6)")
    text = nil
    pressing = hv.go(function()
      while not text do
        one.interrupt()
        hv.sleep(20)
      end
    end)
    text = one.answer()
    pressing:join()
    assert.matches("interrupted", text)
    one.send("1 + 1")
    assert.equal("2\n", (one.answer()))
    one.close()
    two.close()
  end)

  it("cancels what a session runs when it is left, and serves the others", function()
    local one, two = attach(), attach()
    one.send("pcall(require('hv').sleep, 1e6) left = true")
    two.send("left")
    two.answer()
    one.close()
    local output
    repeat
      two.send("return left == true")
      output = two.answer()
    until output == "true\n"
    two.close()
  end)

  it("tells why it cannot attach", function()
    local result = run("", folder .. "/none.sock")
    assert.equal(1, result.status)
    assert.matches("hvlua: connect .*none.sock", result.stderr)
    result = run("", "999999999")
    assert.equal(1, result.status)
    assert.matches("no admin socket: start it with %-%-admin", result.stderr)
  end)

  it("is off without the option, and its socket goes with the program", function()
    local code = "assert(not package.loaded['hv.admin'])"
    assert.equal(0, hv.process.run({ HVLUA, "-e", code }).status)
    local other = folder .. "/other.sock"
    local result = hv.process.run { HVLUA, "--admin=" .. other, "-e",
      "print(io.open('" .. other .. "') == nil) local s = require('hv').fs.stat('" .. other ..
      "') print(s.type)" }
    assert.equal(0, result.status)
    assert.equal("true\nsocket\n", result.stdout)
    assert.is_nil((hv.fs.stat(other)))
  end)

  it("is found by the number of the process", function()
    local by_number = assert(hv.process.spawn { HVLUA, "--admin", folder .. "/server.lua",
      stdout = "pipe", stderr = "null",
      env = { XDG_RUNTIME_DIR = folder, PATH = os.getenv("PATH") } })
    assert.equal("ready", by_number.stdout:read_line())
    local result = hv.process.run { HVLUA, "--attach", tostring(by_number.pid), input = "6 * 7",
      env = { XDG_RUNTIME_DIR = folder } }
    assert.equal("42\n", result.stdout)
    by_number:kill("kill")
    by_number:wait()
    by_number.stdout:close()
  end)

  if not require("_hv.line_editor").open then return end -- built without libedit

  it("gives a terminal the whole prompt", function()
    terminal = tmux.open { ADMIN = path }
    terminal:shell("clear; $HVLUA --attach $ADMIN")
    terminal:expect("attached to %d+; .help helps, Ctrl%-D leaves\n> $")
    terminal:type("du")
    terminal:press("Tab")
    terminal:expect("\n> dump$")
    terminal:type("()")
    terminal:press("Enter")
    terminal:expect("\ndumped\n> $")
    terminal:say("print('begin') require('hv').sleep(1) while true do end")
    terminal:expect("\nbegin$")
    terminal:press("C-c")
    terminal:expect("interrupted.*\n> $")
    terminal:say("print('begin') require('hv').sleep(1e6)")
    terminal:expect("\nbegin$")
    terminal:press("C-c")
    terminal:expect("interrupted.*interrupted.*\n> $")
    terminal:type("for i = 1, 2 do")
    terminal:press("Enter")
    terminal:expect("\n>> $")
    terminal:press("C-c")
    terminal:expect("%^C\n> $")
    terminal:press("C-d")
    terminal:shell("echo status $?")
    terminal:expect("\nstatus 0\n")
    -- The server is as it was; when it ends, whoever is attached is told.
    terminal:shell("clear; $HVLUA --attach $ADMIN")
    terminal:expect("leaves\n> $")
    terminal:type("half a l")
    server:kill("kill")
    terminal:expect("hvlua: the process has closed the connection\nshell%$ $")
  end)
end)
