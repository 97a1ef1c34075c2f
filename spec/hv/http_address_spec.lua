-- mw.ip_filter and mw.real_ip: networks, forged headers, and what goes by the address after them.
local helper = require "helper"
local hv = require "hv"
local raw = require "raw_http"

local mw = hv.http.middleware

describe("addresses of clients", function()
  local server

  after_each(function()
    server:close(0)
    hv.sleep(1)
  end)

  local function start(...)
    local app = hv.http.app()
    server = assert(app:listen { host = "127.0.0.1", port = 0 })
    app:use(...)
    app:get("/", function(req) return req.peer.ip .. " " .. req.scheme end)
  end

  local function ask(headers) return raw.exchange(server, "GET", "/", headers) end

  it("are let in or not by networks", function()
    for _, case in ipairs {
      { 200, { allow = { "127.0.0.1" } } }, { 200, { allow = { "10.0.0.0/8", "127.0.0.0/8" } } },
      { 200, { allow = { "::ffff:127.0.0.1" } } }, { 200, { allow = "0.0.0.0/0" } },
      { 403, { allow = { "127.0.0.2" } } }, { 403, { allow = { "127.0.0.128/25" } } },
      { 403, { allow = { "::1", "::/0" } } }, { 403, { deny = { "127.0.0.0/30" } } },
      { 200, { deny = { "127.0.0.4/30" } } },
      { 403, { allow = { "127.0.0.1" }, deny = { "127.0.0.1" } } },
    } do
      start(mw.ip_filter(case[2]))
      assert.are.equal(case[1], ask().status)
      server:close(0)
    end
    for _, list in ipairs { { "10.0.0.0/33" }, { "::/129" }, { "10.0.0" }, { "host" }, { 1 },
      { "10.0.0.0/" }, { "10.0.0.0/-1" } } do
      assert.has_error(function() mw.ip_filter { allow = list } end)
    end
    assert.has_error(function() mw.ip_filter {} end)
  end)

  it("are what trusted proxies say", function()
    start(mw.real_ip { trusted = { "127.0.0.1", "10.0.0.0/8" } })
    local function seen(list, more)
      local headers = more or {}
      headers["X-Forwarded-For"] = list
      return ask(headers).body
    end
    assert.are.equal("127.0.0.1 http", ask().body)
    assert.are.equal("192.0.2.7 http", seen("192.0.2.7"))
    -- Before the first who is not trusted anything may have been written.
    assert.are.equal("192.0.2.7 http", seen("198.51.100.1, 192.0.2.7, 10.1.2.3"))
    assert.are.equal("10.9.9.9 http", seen("10.9.9.9, 10.1.2.3")) -- all are
    assert.are.equal("2001:db8::1 https", seen("[2001:db8::1]:443",
      { ["X-Forwarded-Proto"] = "https" }))
    assert.are.equal("192.0.2.7 http", seen("192.0.2.7:4711"))
    assert.are.equal("127.0.0.1 http", seen("unknown", { ["X-Forwarded-Proto"] = "gopher" }))
    assert.are.equal("10.1.2.3 http", seen("192.0.2.7, forged, 10.1.2.3"))
    assert.has_error(function() mw.real_ip {} end)
  end)

  it("are the peer's where that is not trusted", function()
    start(mw.real_ip { trusted = { "10.0.0.0/8" } })
    assert.are.equal("127.0.0.1 http", ask({ ["X-Forwarded-For"] = "192.0.2.7",
      ["X-Forwarded-Proto"] = "https" }).body)
  end)

  it("are what logs, limits and filters after it go by", function()
    local lines = {}
    start(mw.logger { write = function(line) lines[#lines + 1] = line end },
      mw.real_ip { trusted = { "127.0.0.1" } }, mw.rate_limit { rate = 1, window = 3600000,
        dict = "http_address_spec" }, mw.ip_filter { deny = { "192.0.2.9" } })
    local function status(ip) return ask({ ["X-Forwarded-For"] = ip }).status end
    assert.are.equal(200, status("192.0.2.7"))
    assert.are.equal(429, status("192.0.2.7"))
    assert.are.equal(200, status("192.0.2.8"))
    assert.are.equal(403, status("192.0.2.9"))
    helper.eventually(function() return #lines == 4 end)
    assert.matches("^192%.0%.2%.7 %- %- ", lines[1])
    assert.matches("^192%.0%.2%.9 %- %- ", lines[4])
  end)
end)
