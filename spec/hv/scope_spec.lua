local helper = require "helper"
local hv = require "hv"

local handles_before = helper.active()

describe("hv.scope", function()
  it("ends when its children have ended, and returns what its function has", function()
    local ended = {}
    assert.same({ "a", nil, "b" }, { hv.scope(function(s)
      for i = 1, 3 do
        s:go(function(ms)
          hv.sleep(ms)
          ended[#ended + 1] = i
          if i == 1 then s:go(function() ended[#ended + 1] = "grandchild" end) end
        end, 4 - i)
      end
      return "a", nil, "b"
    end) })
    assert.equal(4, #ended)
    assert.equal("grandchild", ended[4])
  end)

  it("gives tasks that can be joined", function()
    hv.scope(function(s)
      assert.same({ 1, 2 }, { s:go(function(...) return ... end, 1, 2):join() })
    end)
  end)

  it("cancels the others on an error, throws it, and reports it to nobody else", function()
    local reported, why = false, {}
    hv.on_error(function() reported = true end)
    local thrown = { "an error" }
    local ok, message = pcall(hv.scope, function(s)
      s:go(function()
        hv.sleep(1)
        error(thrown)
      end)
      s:go(function()
        local _, text = pcall(hv.sleep, 10000)
        why[1] = text
      end)
      local _, text = pcall(hv.sleep, 10000)
      why[2] = text
    end)
    assert.is_false(ok)
    assert.equal(thrown, message)
    assert.same({ "task canceled", "task canceled" }, why)
    hv.sleep(2)
    hv.on_error(nil)
    assert.is_false(reported)
  end)

  it("throws the error of its own function and cancels the children", function()
    local child
    local ok, message = pcall(hv.scope, function(s)
      child = s:go(hv.sleep, 10000)
      error("own", 0)
    end)
    assert.same({ false, "own" }, { ok, message })
    assert.equal("canceled", child:status())
  end)

  it("cancels its children when its caller is cancelled", function()
    local children = {}
    local caller = hv.go(hv.scope, function(s)
      for i = 1, 3 do children[i] = s:go(hv.sleep, 10000) end
      hv.scope(function(inner)
        children[4] = inner:go(hv.sleep, 10000)
      end)
    end)
    helper.eventually(function() return children[4] end)
    helper.until_waiting(caller, unpack(children))
    caller:cancel()
    assert.equal("ECANCELED", select(3, caller:join()))
    for i = 1, 4 do
      assert.equal("ECANCELED", select(3, children[i]:join()))
    end
  end)

  it("does not wait for a child that was cancelled, and takes it for no error", function()
    assert.equal("fine", hv.scope(function(s)
      s:go(print):cancel()
      local waiting = s:go(hv.sleep, 10000)
      hv.sleep(0)
      waiting:cancel()
      return "fine"
    end))
  end)

  it("hands an error outward through scopes", function()
    local sibling
    local ok, message = pcall(hv.scope, function(outer)
      sibling = outer:go(hv.sleep, 10000)
      hv.scope(function(inner)
        inner:go(function()
          hv.sleep(1)
          error("deep", 0)
        end)
      end)
    end)
    assert.same({ false, "deep" }, { ok, message })
    assert.equal("canceled", sibling:status())
  end)

  it("starts nothing after its end", function()
    local kept
    hv.scope(function(s) kept = s end)
    local ok, message = pcall(function() kept:go(print) end)
    assert.is_false(ok)
    assert.matches("scope_spec.lua:%d+: scope:go: the scope has ended", message)
    assert.equal("hv.scope{ended}", tostring(kept))
  end)

  it("takes a function instead of waiting", function()
    local record, calls = helper.recorder()
    hv.scope(function(s)
      s:go(hv.sleep, 1)
      return "x"
    end, record)
    assert.equal(0, #calls)
    helper.eventually(function() return calls[1] end)
    assert.same({ n = 1, "x" }, calls[1])
  end)

  it("refuses what is no function", function()
    for _, bad in ipairs { 1, "x", {} } do
      assert.has_error(function() hv.scope(bad) end)
      assert.has_error(function() hv.scope(print, bad) end)
      assert.has_error(function() hv.scope(function(s) s:go(bad) end) end)
    end
  end)
end)

describe("the spec itself", function()
  it("leaves nothing open", function() helper.nothing_left(handles_before) end)
end)
