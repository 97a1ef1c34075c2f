--- on_message where a client's messages reach the server in one read: order, errors, ends, tasks.
local hv = require "hv"
local helper = require "spec.support.helper"
local raw_http = require "spec.support.raw_http"

describe("hv.ws with several messages in one read", function()
  local server, seen, close_code

  after_each(function()
    if server then server:close(0) end
    server = nil
    hv.on_error(nil)
  end)

  --- `count` messages to a server with this on_message, which gets their number too.
  local function send_burst(count, on_message)
    seen, close_code = {}, nil
    local app = hv.http.app()
    app:ws("/", {
      on_message = function(ws, data)
        seen[#seen + 1] = data
        on_message(ws, data, #seen)
      end,
      on_close = function(_, code) close_code = code end,
    })
    server = assert(app:listen { host = "127.0.0.1", port = 0 })
    local ws = assert(hv.ws.connect("ws://127.0.0.1:" .. server:port()))
    for i = 1, count do ws:send(tostring(i)) end
    return ws
  end

  it("goes on with the next after one that waited, and keeps their order", function()
    local ws = send_burst(9, function(ws, data, n)
      if n % 3 == 0 then hv.sleep(1) end
      ws:send(data)
    end)
    for i = 1, 9 do assert.are.equal(tostring(i), (ws:receive())) end
    ws:close()
  end)

  it("drops those behind an error, which is told once, at its place", function()
    local errors = raw_http.errors_of(function()
      local ws = send_burst(8, function(_, _, n) if n == 3 then error("third is bad") end end)
      assert.are.same({ nil, "internal error", "ECLOSED" }, { ws:receive() })
      helper.eventually(function() return close_code end)
    end)
    assert.are.same({ "1", "2", "3" }, seen)
    assert.are.equal(1, #errors)
    assert.is_truthy(errors[1]:find("ws_burst_spec.lua:%d+: third is bad"))
  end)

  it("drops those behind a close", function()
    local ws = send_burst(8, function(ws, _, n) if n == 2 then ws:close(4001) end end)
    assert.is_nil((ws:receive()))
    assert.are.equal(4001, ws.close_code)
    assert.are.same({ "1", "2" }, seen)
  end)

  it("gives one a task of its own where it asks for it, and runs its defers", function()
    local tasks = {}
    local ws = send_burst(6, function(ws, data, n)
      if n == 2 or n == 3 then tasks[#tasks + 1] = hv.current() end
      if n == 4 then hv.defer(function() ws:send("deferred") end) end
      ws:send(data)
    end)
    local got = {}
    for i = 1, 7 do got[i] = ws:receive() end
    assert.are_not.equal(tasks[1], tasks[2])
    table.sort(got)
    assert.are.same({ "1", "2", "3", "4", "5", "6", "deferred" }, got)
    ws:close()
  end)

  it("ends the socket with a task that is cancelled", function()
    local ws = send_burst(6, function(_, _, n)
      if n ~= 3 then return end
      hv.current():cancel()
      hv.sleep(1)
    end)
    assert.is_nil((ws:receive()))
    assert.are.equal(1001, ws.close_code)
    assert.are.same({ "1", "2", "3" }, seen)
  end)
end)
