local history = require "hv.history"

describe("hv.history", function()
  local path, environment
  local function getenv(name) return environment[name] end

  before_each(function()
    path = os.tmpname()
    os.remove(path)
    environment = { HVLUA_HISTORY = path }
  end)
  after_each(function() os.remove(path) end)

  local function content()
    local file = io.open(path)
    if not file then return nil end
    local text = file:read("*a")
    file:close()
    return text
  end

  it("appends what is typed to a file that only its owner reads", function()
    local lines = history.open(getenv)
    assert.is_true(lines:add("x = 1"))
    assert.is_true(lines:add("print(x)"))
    assert.equal("x = 1\nprint(x)\n", content())
    local pipe = io.popen("stat -c %a " .. path)
    assert.equal("600", (pipe:read("*l")))
    pipe:close()
    assert.same({ "x = 1", "print(x)" }, history.open(getenv).lines)
  end)

  it("keeps a line once, where it came last", function()
    local lines = history.open(getenv)
    for _, line in ipairs { "a", "b", "b", "a" } do lines:add(line) end
    assert.same({ "b", "a" }, lines.lines)
    assert.equal("a\nb\na\n", content())
    assert.same({ "b", "a" }, history.open(getenv).lines)
    assert.equal("b\na\n", content())
  end)

  it("has a limit", function()
    environment.HVLUA_HISTORY_SIZE = "3"
    local lines = history.open(getenv)
    for i = 1, 10 do lines:add("line " .. i) end
    assert.same({ "line 8", "line 9", "line 10" }, lines.lines)
    assert.same(lines.lines, history.open(getenv).lines)
    assert.equal("line 8\nline 9\nline 10\n", content())
  end)

  it("leaves out blank lines, lines that begin with a blank, and monsters", function()
    local lines = history.open(getenv)
    assert.is_false(lines:add(""))
    assert.is_false(lines:add("  secret()"))
    assert.is_false(lines:add(("x"):rep(5000)))
    assert.is_nil(content())
  end)

  it("takes care of a file that others may read", function()
    local file = assert(io.open(path, "w"))
    file:write("a\n")
    file:close()
    os.execute("chmod 644 " .. path)
    history.open(getenv):add("b")
    local pipe = io.popen("stat -c %a " .. path)
    assert.equal("600", (pipe:read("*l")))
    pipe:close()
  end)

  it("lies where the environment says", function()
    local folder = os.tmpname()
    os.remove(folder)
    os.execute("mkdir " .. folder)
    environment = { HOME = "/home/x" }
    assert.equal("/home/x/.hvlua_history", history.path(getenv))
    environment.XDG_STATE_HOME = folder
    assert.equal(folder .. "/hvlua/history", history.path(getenv))
    environment.HVLUA_HISTORY = ""
    assert.is_nil(history.path(getenv))
    os.execute("rm -r " .. folder)
  end)

  it("works without a file", function()
    environment = { HVLUA_HISTORY = "/dev/null" }
    local lines = history.open(getenv)
    assert.is_true(lines:add("x"))
    assert.same({ "x" }, lines.lines)
  end)
end)
