-- The collector may run in a callback of the loop, where no Lua code could catch the error of a
-- finalizer: LuaJIT then ended the whole program ("PANIC: unprotected error"). And where it ran
-- while results were pushed to a task that waits, an error, even one that the finalizer had caught
-- itself, left the coroutine unfit to go on: the program crashed.
local helper = require "helper"
local hv = require "hv"

local PROGRAM = [[
local hv = require "hv"
local ffi = require "ffi"
ffi.cdef "typedef struct { int n; } finalized_t;"
local kind = ffi.metatype("finalized_t", { __gc = function() error("of a metatype") end })
local count = 0
hv.on_error(function(message)
  if message:find("in a finalizer: ", 1, true) then count = count + 1 end
end)
local function litter()
  ffi.gc(ffi.new("int[1]"), function() error("of ffi.gc") end)
  getmetatable(newproxy(true)).__gc = function() pcall(error, "caught") end
  kind(1)
  getmetatable(newproxy(true)).__gc = function() error("of a proxy") end
end
hv.go(function()
  local server = assert(hv.tcp.listen({ host = "127.0.0.1", port = 0 }, function(conn)
    for data in conn:chunks() do conn:write(data) end
  end))
  local conn = assert(hv.tcp.connect { host = "127.0.0.1", port = server:port() })
  for _ = 1, 300 do
    for _ = 1, 10 do litter() end
    conn:write(("x"):rep(1000))
    assert(conn:read())
  end
  conn:close()
  server:close()
  hv.sleep(1)
  print(count > 0 and "told" or "not told")
end)
]]

describe("an error in a finalizer", function()
  it("is told and ends no program", function()
    local result = assert(hv.process.run { os.getenv("HVLUA"), "-e", PROGRAM })
    assert.equal("told\n", result.stdout)
    assert.equal(0, result.status)
  end)

  it("is not raised in what happens to run, and others still run", function()
    local record, errors = helper.recorder()
    hv.on_error(record)
    local ran = 0
    for i = 1, 3 do
      local meta = getmetatable(newproxy(true))
      meta.__gc = function()
        ran = ran + 1
        if i == 2 then error { "no string" } end
      end
    end
    collectgarbage()
    collectgarbage()
    hv.sleep(1)
    hv.on_error(nil)
    assert.equal(3, ran)
    assert.equal(1, #errors)
    assert.equal("error in a finalizer: error value: { \"no string\" }", errors[1][1])
  end)
end)
