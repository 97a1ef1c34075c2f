--- The programs of spec/bench say what is wrong with their arguments, and which there are.
local hv = require "hv"

local source = debug.getinfo(1, "S").source:sub(2)
local folder = source:gsub("spec/docs/[^/]*$", "spec/bench/")

local function run(program, ...)
  local result = assert(hv.process.run { "python3", folder .. program, ... })
  return result.status, result.stdout .. result.stderr
end

describe("spec/bench", function()
  it("names the servers that there are", function()
    local status, text = run("bench.py", "nhttp", "nosuchserver")
    assert.equal(2, status)
    assert.matches("there is no server nosuchserver\nknown are: .*hv%-http.*nginx", text)
    status, text = run("syscalls.py", "1", "hv-htp")
    assert.equal(2, status)
    assert.matches("there is no server hv%-htp, did you mean hv%-http%?", text)
  end)

  it("knows every kind that its help tells of", function()
    local _, help = run("bench.py", "--help")
    local status, text = run("bench.py", "nosuchkind", "limit")
    assert.equal(2, status)
    local count = 0
    for kind in assert(text:match "choose from ([^)]*)"):gmatch "%w+" do
      count = count + 1
      assert.matches("\n[KIND ]+ " .. kind .. " +%a", help)
    end
    assert.equal(10, count)
    assert.equal(2, (run("bench.py", "http", "mine=./server")))
  end)

  it("explains the others", function()
    for _, program in ipairs { "mqtt/mqtt.py", "redis/redis.py" } do
      assert.matches(program:match "[^/]+$", select(2, run(program, "--help")), 1, true)
    end
  end)
end)
