--- hv.tcp.client: a connection that is made again whenever it is lost.
local helper = require "helper"
local hv = require "hv"

local handles_before = helper.active()
local servers = {}

local function listen(options, handler)
  options.host, options.port = "127.0.0.1", 0
  local server = assert(hv.tcp.listen(options, handler))
  servers[#servers + 1] = server
  return server
end

describe("hv.tcp.client", function()
  after_each(function()
    for i, server in ipairs(servers) do
      server:close()
      helper.eventually(function() return server:count() == 0 end)
      servers[i] = nil
    end
  end)

  it("does not keep the program running where it is not to, also between two attempts", function()
    for _, client in ipairs {
      [[hv.tcp.client { host = "127.0.0.1", port = 1, reconnect = { min_delay = 1e8 } }]],
      [[hv.ws.connect("ws://127.0.0.1:1", { reconnect = { min_delay = 1e8, max_delay = 1e8 } })]],
    } do
      local text, status = helper.run("local hv = require 'hv' local c = " .. client ..
        " c:unref() print('end')")
      assert.same({ "end\n", 0 }, { text, status })
    end
  end)

  it("connects again by itself", function()
    local opens, messages, closes = 0, {}, 0
    local server = listen({}, function(c)
      c:write("hello")
      c:read()
    end)
    local client = hv.tcp.client { host = "127.0.0.1", port = server:port(),
      reconnect = { min_delay = 1, policy = "fixed" },
      on_open = function() opens = opens + 1 end,
      on_message = function(_, data) messages[#messages + 1] = data end,
      on_close = function() closes = closes + 1 end }
    assert.equal("ENOTCONN", select(3, client:write("x")))
    helper.eventually(function() return #messages == 1 end)
    assert.is_true(client:write("x")) -- and the server closes
    helper.eventually(function() return #messages == 2 and opens == 2 and closes == 1 end)
    client:close()
    client:close()
    helper.eventually(function() return closes == 2 end)
    assert.matches("closed", tostring(client))
  end)

  it("may write as soon as it is open, and shows its connection", function()
    local got
    local server = listen({}, function(c) got = c:read() end)
    local client, peer
    client = hv.tcp.client { host = "127.0.0.1", port = server:port(), reconnect = false,
      on_open = function(self)
        assert.is_true(self:is_open())
        peer = self:conn():peer()
        assert(self:write("hello"))
      end }
    assert.is_nil(client:conn())
    helper.eventually(function() return got end)
    assert.equal("hello", got)
    assert.equal(server:port(), peer.port)
    helper.eventually(function() return tostring(client):find("closed", 1, true) end)
  end)

  it("tells of each failure when it will try again, by its policy, and gives up", function()
    local port = helper.free_port()
    local expected = {
      fixed = { 2, 2, 2 }, linear = { 2, 4, 6 }, exponential = { 2, 4, 7 },
    }
    for policy, delays in pairs(expected) do
      local note, calls = helper.recorder()
      local client = hv.tcp.client { host = "127.0.0.1", port = port, on_close = note,
        reconnect = { min_delay = 2, max_delay = 7, policy = policy, max_retries = 3 } }
      helper.eventually(function() return #calls == 4 end)
      for i, call in ipairs(calls) do
        assert.equal(client, call[1])
        assert.matches("connection refused", call[2])
        assert.equal("ECONNREFUSED", call[3])
        assert.equal(delays[i], call[4])
      end
      assert.matches("closed", tostring(client))
      assert.equal("ENOTCONN", select(3, client:write("x")))
    end
  end)

  it("begins its count anew with a connection, and ends in the middle of a wait", function()
    local server = listen({}, function(c) c:write("x") end) -- and closes
    local note, calls = helper.recorder()
    local client = hv.tcp.client { host = "127.0.0.1", port = server:port(), on_close = note,
      reconnect = { min_delay = 3, policy = "exponential", max_retries = 1 } }
    helper.eventually(function() return #calls >= 4 end)
    for i = 1, 4 do assert.same({ client, "end of stream", "EOF", 3, n = 4 }, calls[i]) end
    client:close()
    local before = #calls
    hv.sleep(20)
    assert.is_true(#calls <= before + 1)
  end)

  it("refuses misuse", function()
    assert.has_error(function() hv.tcp.client { host = "x", port = 1, reconnect = { x = 1 } } end)
    assert.has_error(function()
      hv.tcp.client { host = "x", port = 1, reconnect = { policy = "y" } }
    end)
  end)
end)

describe("the spec itself", function()
  it("leaves nothing open", function() helper.nothing_left(handles_before) end)
end)
