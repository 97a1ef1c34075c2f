local complete = require "hv.complete"

local function names(text, env, commands)
  return table.concat(complete.names(text, env or _G, commands), " ")
end

describe("hv.complete", function()
  local base = { shared = 1, run = function() end }
  local object = setmetatable({ own = 1, go = function() end, _hidden = 1 }, { __index = base })
  local env = setmetatable({ object = object, other = { deep = { er = 1 } } }, { __index = _G })

  it("completes globals, keywords and fields", function()
    assert.equal("object", names("obj", env))
    assert.equal("object other", names("x = o", { object = 1, other = 1 }):gsub(" or", ""))
    assert.equal("while", names("wh", {}))
    assert.equal("string", names("print(stri", env))
    assert.equal("deep", names("other.d", env))
    assert.equal("er", names("f(other.deep.", env))
    assert.equal("", names("other.none.x", env))
  end)

  it("completes what .help can tell of", function()
    assert.equal("hv.tcp.listen", names(".help hv.tcp.l"))
    assert.equal("conn:read conn:read_line conn:read_until conn:ref", names("  .help conn:r"))
    assert.equal("", names(".help nothing"))
    assert.equal("", names(".help hv.tcp.listen "))
  end)

  it("follows tables in __index, and offers methods after a colon", function()
    assert.equal("go own run shared", names("object.", env))
    assert.equal("go run", names("object:", env))
    assert.equal("_hidden", names("object._", env))
    assert.matches("byte.*upper", names("('x'):"))
    assert.equal("find format", names('"x":f'))
    assert.equal("find format", names("text:f", { text = "abc" }))
  end)

  it("knows the modules of hv and the methods of its classes", function()
    local hv = require "hv"
    local scope = { hv = hv }
    assert.equal("sleep", names("hv.sle", scope))
    assert.equal("tcp", names("hv.tc", scope))
    assert.equal("client connect", names("hv.tcp.c", scope))
    local server = hv.tcp.listen({ host = "127.0.0.1", port = 0 }, function() end)
    local conn = hv.tcp.connect { host = "127.0.0.1", port = server:port() }
    assert.matches("read read_line read_until", names("conn:", { conn = conn }))
    assert.matches("close.*port", names("server:", { server = server }))
    conn:close()
    server:close()
  end)

  it("completes names of modules inside require", function()
    assert.equal("hv.tcp", names('local tcp = require "hv.tc'))
    assert.matches("hv.http", names("require('hv.ht"))
    assert.equal("string.buffer", (function()
      package.preload["string.buffer"] = package.preload["string.buffer"] or function() end
      return names('require("string.b')
    end)())
    local path = package.path
    package.path = "./examples/?.lua"
    assert.matches("tcp_echo_server", names('require "tcp_'))
    package.path = path
  end)

  it("completes commands", function()
    assert.equal(".help", names(".h", {}, { [".help"] = true, [".exit"] = true }))
  end)

  it("runs nothing of the user's", function()
    local trap = setmetatable({}, { __index = function() error("called") end })
    assert.equal("", names("trap.x", { trap = trap }))
    assert.equal("", names("trap.x.y", { trap = trap }))
  end)

  it("says nothing where a name cannot be", function()
    assert.equal("", names("f().x", env))
    assert.equal("", names("1 ", env))
    assert.equal("", names("t[1].x", { t = { { x = 1 } } }))
  end)

  it("inserts what all candidates share and lists them in columns", function()
    local insert, list = complete.complete("t.a", { t = { abc1 = 1, abc2 = 2 } }, 80)
    assert.equal("bc", insert)
    assert.equal("abc1  abc2", list)
    insert, list = complete.complete("t.abc", { t = { abc1 = 1, abc2 = 2 } }, 8)
    assert.equal("", insert)
    assert.equal("abc1\nabc2", list)
    assert.equal("", (complete.complete("nothing.", {}, 80)))
  end)
end)
