local hv = require "hv"

describe("hv.semaphore", function()
  it("lets in as many as it says, the first come first", function()
    local slots, inside, most, order = hv.semaphore(2), 0, 0, {}
    local tasks = {}
    for i = 1, 6 do
      tasks[i] = hv.go(function()
        assert.is_true(slots:acquire())
        order[#order + 1] = i
        inside = inside + 1
        most = math.max(most, inside)
        hv.sleep(1)
        inside = inside - 1
        slots:release()
      end)
    end
    for i = 1, 6 do tasks[i]:join() end
    assert.equal(2, most)
    assert.same({ 1, 2, 3, 4, 5, 6 }, order)
    assert.equal("hv.semaphore{2 free, 0 waiting}", tostring(slots))
  end)

  it("gives up after a timeout or a cancel, and takes nothing then", function()
    local slots = hv.semaphore(0)
    assert.same({ "semaphore:acquire: timed out", "ETIMEDOUT" }, { select(2, slots:acquire(1)) })
    local canceled = hv.go(slots.acquire, slots)
    hv.sleep(0)
    canceled:cancel()
    canceled:join()
    slots:release(2)
    assert.equal(2, slots:count())
    assert.is_true(slots:acquire())
  end)

  it("is misused loudly", function()
    for _, count in ipairs { -1, 0.5, "1" } do
      assert.has_error(function() hv.semaphore(count) end)
      assert.has_error(function() hv.semaphore(1):release(count) end)
    end
    assert.has_error(function() hv.semaphore() end)
  end)
end)
