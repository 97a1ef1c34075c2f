local helper = require "helper"
local hv = require "hv"

local handles_before = helper.active()

describe("hv.after", function()
  it("fires once, not before its time, with its arguments", function()
    local record, calls = helper.recorder()
    local t = hv.hrtime()
    hv.after(3, function(...)
      assert(hv.hrtime() - t >= 3e6)
      record(...)
    end, 1, nil, 3)
    helper.eventually(function() return #calls > 0 end)
    hv.sleep(5) -- for one too many
    assert.same({ { n = 3, 1, nil, 3 } }, calls)
  end)

  it("fires in the next pass for 0", function()
    local record, calls = helper.recorder()
    hv.after(0, record)
    assert.equal(0, #calls)
    hv.sleep(1)
    assert.equal(1, #calls)
  end)

  it("does not fire after stop", function()
    local record, calls = helper.recorder()
    local timer = hv.after(1, record)
    timer:stop()
    timer:stop()
    hv.sleep(4)
    assert.equal(0, #calls)
    assert.equal("hv.timer{after 1 ms stopped}", tostring(timer))
  end)

  it("can be reset while it is armed and after it has fired", function()
    local record, calls = helper.recorder()
    local timer = hv.after(10000, record)
    timer:reset(1)
    helper.eventually(function() return #calls == 1 end)
    timer:reset()
    helper.eventually(function() return #calls == 2 end)
  end)

  it("lives without a reference", function()
    local record, calls = helper.recorder()
    hv.after(3, record)
    for _ = 1, 3 do collectgarbage() end
    helper.eventually(function() return calls[1] end)
  end)

  it("may wait in its function", function()
    local done
    hv.after(0, function()
      hv.sleep(1)
      done = true
    end)
    helper.eventually(function() return done end)
  end)

  it("refuses wrong arguments", function()
    local wrong = { { "x", print }, { -1, print }, { 1 }, { 1, 2 }, { 2 ^ 33, print } }
    for _, arguments in ipairs(wrong) do
      local ok, message = pcall(hv.after, unpack(arguments))
      assert.is_false(ok)
      assert.matches("hv.after: ", message)
    end
  end)
end)

describe("hv.every", function()
  it("fires again and again until it is stopped in its own function", function()
    local count, timer = 0, nil
    timer = hv.every(1, function()
      count = count + 1
      if count == 3 then timer:stop() end
    end)
    helper.eventually(function() return count == 3 end)
    hv.sleep(4)
    assert.equal(3, count)
  end)

  it("skips beats while a run waits", function()
    local running, overlaps, runs = 0, 0, 0
    local timer = hv.every(1, function()
      running = running + 1
      if running > 1 then overlaps = overlaps + 1 end
      hv.sleep(5)
      running = running - 1
      runs = runs + 1
    end)
    helper.eventually(function() return runs >= 2 end)
    timer:stop()
    hv.sleep(8)
    assert.equal(0, overlaps)
  end)

  it("goes on after an error", function()
    local record, calls = helper.recorder()
    hv.on_error(record)
    local timer = hv.every(1, function() error("beat") end)
    helper.eventually(function() return #calls >= 2 end)
    timer:stop()
    hv.on_error(nil)
  end)

  it("refuses 0", function() assert.has_error(function() hv.every(0, print) end) end)

  it("does not keep the program running after unref", function()
    local text, status = helper.run [[
      local hv = require "hv"
      hv.every(10000, print):unref()
      local t = hv.every(10000, print):unref():ref() t:stop()
      print "end"]]
    assert.equal("end\n", text)
    assert.equal(0, status)
  end)
end)

describe("hv.cron", function()
  it("takes numbers, ranges, steps, lists and names", function()
    for _, line in ipairs { "* * * * *", "30 1 * * *", "*/5 8-18/2 * jan-mar mon,fri", "0 0 1 1 7",
      "0,15,30,45 * 1,15 * *", "0 0 13 * 5" } do
      local timer = hv.cron(line, error)
      assert.equal("hv.timer{cron active}", tostring(timer))
      timer:stop()
      assert.equal("hv.timer{cron stopped}", tostring(timer))
    end
  end)

  it("names the field that is wrong", function()
    local function refused(line)
      local ok, message = pcall(hv.cron, line, print)
      assert.is_false(ok)
      return message
    end
    assert.matches("minute", refused "60 * * * *")
    assert.matches("hour", refused "* 24 * * *")
    assert.matches("day", refused "* * 0 * *")
    assert.matches("month", refused "* * * 13 *")
    assert.matches("weekday", refused "* * * * 8")
    assert.matches("minute", refused "5-1 * * * *")
    assert.matches("minute", refused "*/0 * * * *")
    assert.matches("minute", refused ", * * * *")
    assert.matches("minute", refused "x * * * *")
    assert.matches("five fields", refused "* * * *")
    assert.has_error(function() hv.cron("* * * * *") end)
    assert.has_error(function() hv.cron(1, print) end)
    local timer = hv.cron("* * * * *", print)
    assert.has_error(function() timer:reset(1) end)
    timer:stop()
  end)
end)

describe("the spec itself", function()
  it("leaves nothing open", function() helper.nothing_left(handles_before) end)
end)
