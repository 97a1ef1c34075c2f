local helper = require "helper"
local hv = require "hv"

local handles_before = helper.active()

describe("hv", function()
  it("has a version", function() assert.matches("^%d+%.%d+%.%d+$", hv.version) end)

  it("loads a module when it is first used", function()
    assert.equal(require "hv.tcp", hv.tcp)
    assert.is_nil(hv.no_such_module)
  end)

  it("makes no globals", function()
    local text = helper.run [[
      local before = {} for k in pairs(_G) do before[k] = true end
      local hv = require "hv" local _ = hv.tcp, hv.udp, hv.log, hv.json, hv.err
      for k in pairs(_G) do if not before[k] then print(k) end end]]
    assert.equal("", text)
  end)

  it("has a clock of milliseconds that stands still in a pass", function()
    local t = hv.now()
    assert.equal(t, hv.now())
    hv.sleep(2)
    assert.is_true(hv.now() - t >= 1)
  end)

  it("has a clock of nanoseconds", function()
    local t = hv.hrtime()
    hv.sleep(1)
    assert.is_true(hv.hrtime() - t >= 1e6)
  end)

  it("calls hv.next functions in the next pass, in order", function()
    local order = {}
    hv.next(function(v) order[#order + 1] = v end, 1)
    hv.next(function(v) order[#order + 1] = v end, 2)
    assert.same({}, order)
    hv.sleep(1)
    assert.same({ 1, 2 }, order)
  end)

  it("calls an idle function until it is stopped", function()
    local count, watcher = 0, nil
    watcher = hv.idle(function()
      count = count + 1
      if count == 3 then watcher:stop() end
    end)
    helper.eventually(function() return count == 3 end)
    hv.sleep(2)
    assert.equal(3, count)
    assert.matches("stopped", tostring(watcher))
    watcher:stop()
  end)

  it("ends with the status given to hv.stop", function()
    local _, status = helper.run [[require "hv".stop(7)]]
    assert.equal(7, status)
  end)

  it("ends when nothing is left to wait for", function()
    local text, status = helper.run [[require "hv".after(1, print, "done")]]
    assert.equal("done\n", text)
    assert.equal(0, status)
  end)

  describe("on_signal", function()
    it("calls the function with the name", function()
      local text, status = helper.run [[
        local hv, ffi = require "hv", require "ffi"
        ffi.cdef "int raise(int)"
        hv.on_signal("usr1", function(name) print(name) hv.stop(3) end)
        ffi.C.raise(10)
        hv.sleep(5000)]]
      assert.equal("usr1\n", text)
      assert.equal(3, status)
    end)

    it("does not keep the program running", function()
      local _, status = helper.run [[require "hv".on_signal("hup", print)]]
      assert.equal(0, status)
    end)

    it("can be stopped", function()
      local watcher = hv.on_signal("usr2", error)
      assert.equal("hv.watcher{usr2 active}", tostring(watcher))
      watcher:stop()
      watcher:stop()
      assert.equal("hv.watcher{usr2 stopped}", tostring(watcher))
    end)

    it("refuses what is no signal", function()
      assert.has_error(function() hv.on_signal("foo", print) end)
      assert.has_error(function() hv.on_signal(15, print) end)
      assert.has_error(function() hv.on_signal("term") end)
    end)
  end)

  describe("on_error", function()
    after_each(function() hv.on_error(nil) end)

    it("gets message, traceback and task", function()
      local record, calls = helper.recorder()
      hv.on_error(record)
      local task = hv.go(function() error("oops") end)
      helper.eventually(function() return calls[1] end)
      assert.matches("init_spec.lua:%d+: oops$", calls[1][1])
      assert.matches("stack traceback", calls[1][2])
      assert.equal(task, calls[1][3])
    end)

    it("gets errors that are no strings", function()
      local record, calls = helper.recorder()
      hv.on_error(record)
      hv.go(function() error({}) end)
      hv.go(function() error(setmetatable({}, { __tostring = function() return "mine" end })) end)
      helper.eventually(function() return calls[2] end)
      assert.matches("^error value: {}$", calls[1][1])
      assert.equal("mine", calls[2][1])
    end)

    it("does not recurse where the function itself fails", function()
      local text, status = helper.run [[
        local hv = require "hv"
        hv.on_error(function() print("once") error("again") end)
        hv.go(error, "first")]]
      assert.matches("^once\nhvlua: error in a task: .*again", text)
      assert.equal(1, status)
    end)

    it("is stderr by default, and the program goes on", function()
      local text, status = helper.run [[
        local hv = require "hv"
        hv.go(function() hv.next(print, "on") error("oops", 0) end)]]
      assert.matches("error in a task: oops", text)
      assert.matches("on\n$", text)
      assert.equal(1, status, "nobody was told but stderr")
    end)

    it("leaves the status alone where somebody was told, or where it was given", function()
      for _, more in ipairs { "hv.on_error(print)", "hv.after(2, hv.stop)" } do
        local text, status = helper.run(("local hv = require 'hv' hv.go(error, 'oops') %s")
          :format(more))
        assert.matches("oops", text)
        assert.equal(0, status, more)
      end
    end)

    it("is told of the line of an error that Lua itself raises", function()
      local text = helper.run [[local hv = require "hv"
        local function inner(x) local y = x.a.b return y end
        hv.go(function() local y = inner({}) return y end)]]
      assert.matches("%(command line%):2: attempt to index.-\n.-\n\t%(command line%):2: in "
        .. "function 'inner'\n\t%(command line%):3: in function", text)
    end)

    it("is told of no frames that are ours around the user's", function()
      local text = helper.run [[local hv = require "hv"
        local app = hv.http.app():use(hv.http.middleware.cors(), hv.http.middleware.etag())
        app:get("/", function() error("boom") end)
        local server = app:listen { host = "127.0.0.1", port = 0 }
        hv.http.get("http://127.0.0.1:" .. server:port() .. "/")
        hv.stop()]]
      assert.matches(":3: boom\nstack traceback:\n[^\n]+\n\t%(command line%):3: in [^\n]+\n$",
        text)
      text = helper.run "hv = require 'hv' hv.go(function() hv.go(5) end)"
      assert.matches("\n\t%(command line%):1: in function", text)
    end)
  end)
end)

describe("the spec itself", function()
  it("leaves nothing open", function() helper.nothing_left(handles_before) end)
end)
