local helper = require "helper"
local hv = require "hv"

local handles_before = helper.active()

describe("coroutines of the user's", function()
  it("may wait inside a task", function()
    local co = coroutine.wrap(function(a)
      for i = 1, 3 do
        hv.sleep(1)
        a = coroutine.yield(a + i)
      end
      return "end"
    end)
    assert.equal(11, co(10))
    assert.equal(22, co(20))
    assert.equal(33, co(30))
    assert.equal("end", co())
  end)

  it("may wait several levels deep, and hand results through", function()
    local inner = coroutine.create(function()
      local task = hv.go(function()
        hv.sleep(1)
        return "x", nil, "z"
      end)
      coroutine.yield(select("#", task:join()))
      return "done"
    end)
    local outer = coroutine.wrap(function()
      coroutine.yield(select(2, coroutine.resume(inner)))
      coroutine.yield(select(2, coroutine.resume(inner)))
    end)
    assert.equal(3, outer())
    assert.equal("done", outer())
    assert.equal("dead", coroutine.status(inner))
  end)

  it("keep the number of values", function()
    local co = coroutine.create(function() coroutine.yield() end)
    assert.equal(1, select("#", coroutine.resume(co)))
    assert.equal(3, select("#", coroutine.resume(coroutine.create(function()
      return nil, nil
    end))))
  end)

  it("cannot be resumed by others while they wait", function()
    local co = coroutine.create(function() hv.sleep(3) end)
    hv.go(function() coroutine.resume(co) end)
    hv.sleep(0)
    assert.equal("normal", coroutine.status(co))
    local ok, message = coroutine.resume(co)
    assert.is_false(ok)
    assert.matches("cannot resume waiting coroutine", message)
    helper.eventually(function() return coroutine.status(co) == "dead" end)
  end)

  it("report errors as ever", function()
    local ok, message = coroutine.resume(coroutine.create(function()
      hv.sleep(1)
      error("oops", 0)
    end))
    assert.is_false(ok)
    assert.equal("oops", message)
    assert.has_error(coroutine.wrap(function()
      hv.sleep(1)
      error("oops", 0)
    end), "oops")
  end)

  it("throw inside when their task is cancelled", function()
    local seen
    local task = hv.go(function()
      coroutine.wrap(function()
        local _, message = pcall(hv.sleep, 10000)
        seen = message
      end)()
    end)
    hv.sleep(0)
    task:cancel()
    task:join()
    assert.equal("task canceled", seen)
  end)
end)

describe("the spec itself", function()
  it("leaves nothing open", function() helper.nothing_left(handles_before) end)
end)
