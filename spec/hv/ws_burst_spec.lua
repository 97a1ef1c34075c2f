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

  --- A client of a server that does this with a socket.
  local function connect_to(handlers)
    local app = hv.http.app()
    app:ws("/", handlers)
    server = assert(app:listen { host = "127.0.0.1", port = 0 })
    return assert(hv.ws.connect("ws://127.0.0.1:" .. server:port()))
  end

  --- `count` messages to a server with this on_message, which gets their number too.
  local function send_burst(count, on_message)
    seen, close_code = {}, nil
    local ws = connect_to {
      on_message = function(ws, data)
        seen[#seen + 1] = data
        on_message(ws, data, #seen)
      end,
      on_close = function(_, code) close_code = code end,
    }
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

  it("names on_message where all of them together held the loop up", function()
    local text = helper.run([[
      local hv = require "hv"
      hv.slow_callback(20)
      local app, count = hv.http.app(), 0
      app:ws("/", { on_message = function()
        count = count + 1
        local start = hv.hrtime()
        while hv.hrtime() - start < 15e6 do end
        if count == 4 then hv.stop() end
      end })
      local server = assert(app:listen { host = "127.0.0.1", port = 0 })
      local ws = assert(hv.ws.connect("ws://127.0.0.1:" .. server:port()))
      for i = 1, 4 do ws:send("x") end]])
    assert.matches("held up for %d+ ms in the function at %(command line%):4 ", text)
  end)

  --- The same to a server whose task a socket is this function.
  local function send_burst_to_task(count, run)
    local ws = connect_to(run)
    for i = 1, count do ws:send(tostring(i), i % 2 == 0 and "binary" or "text") end
    return ws
  end

  it("gives them to a task that receives, in order and with their kinds", function()
    local ws = send_burst_to_task(9, function(ws)
      for data, kind in ws:messages() do
        if data == "5" then hv.sleep(1) end
        ws:send(data .. " " .. kind)
      end
    end)
    for i = 1, 9 do
      assert.are.equal(i .. (i % 2 == 0 and " binary" or " text"), (ws:receive()))
    end
    ws:close()
  end)

  it("gives a task that has closed nothing more", function()
    local results
    send_burst_to_task(5, function(ws)
      local messages = ws:messages()
      messages(ws)
      ws:close(4002)
      results = { messages(ws) }
    end)
    helper.eventually(function() return results end)
    assert.are.equal("ECLOSED", results[3])
  end)

  it("raises in a task that was cancelled between two of them", function()
    local first, second
    local ws = send_burst_to_task(5, function(ws)
      local messages = ws:messages()
      first = messages(ws)
      hv.current():cancel()
      second = { pcall(messages, ws) }
    end)
    assert.is_nil((ws:receive()))
    assert.are.equal("1", first)
    assert.is_false(second[1])
    assert.matches("task canceled", second[2])
  end)

  it("gives nobody else what on_message is to have", function()
    local first
    local ws = send_burst(3, function(ws, data, n)
      if n == 1 then first = { pcall(ws:messages(), ws) } end
      ws:send(data)
    end)
    for i = 1, 3 do assert.are.equal(tostring(i), (ws:receive())) end
    assert.is_false(first[1])
    assert.matches("on_message reads this socket", first[2], 1, true)
    ws:close()
  end)

  it("sends nothing for a task that was cancelled", function()
    local sent
    local ws = send_burst_to_task(1, function(ws)
      ws:receive()
      hv.current():cancel()
      sent = { pcall(ws.send, ws, "late") }
    end)
    assert.is_nil((ws:receive()))
    assert.is_false(sent[1])
    assert.matches("task canceled", sent[2], 1, true)
  end)

  it("gives the next to another task that receives meanwhile", function()
    local got = {}
    local ws = send_burst_to_task(4, function(ws)
      local messages = ws:messages()
      got[1] = messages(ws)
      hv.go(function() got[2] = messages(ws) end):join()
      got[3] = messages(ws)
      got[4] = messages(ws)
      ws:send("done")
    end)
    assert.are.equal("done", (ws:receive()))
    assert.are.same({ "1", "2", "3", "4" }, got)
  end)
end)
