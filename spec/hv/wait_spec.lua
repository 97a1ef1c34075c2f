local helper = require "helper"
local hv = require "hv"
local wait = require "hv.wait"

describe("hv.wait", function()
  local function add(a, b)
    hv.sleep(1)
    return a + b, nil, "last"
  end

  it("leaves the waiting form as it is", function()
    local op = wait.both_forms(add)
    local sum, hole, last = op(1, 2)
    assert.are.same({ 3, nil, "last" }, { sum, hole, last })
  end)

  it("gives a trailing function exactly what the waiting form returns, later", function()
    local op = wait.both_forms(add)
    local count, sum, last
    op(3, 4, function(...)
      count, sum, last = select("#", ...), ..., (select(3, ...))
    end)
    assert.is_nil(count)
    helper.eventually(function() return count end)
    assert.are.same({ 3, 7, "last" }, { count, sum, last })
  end)

  it("raises at the wait where the task was cancelled", function()
    local op = wait.waits(require("_hv.task").sleep or hv.sleep)
    local caught
    local task = hv.go(function()
      local _, message = pcall(op, 60000)
      caught = message
    end)
    helper.until_waiting(task)
    task:cancel()
    task:join()
    assert.is_truthy(tostring(caught):find("canceled", 1, true))
  end)
end)
