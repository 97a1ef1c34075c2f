-- TLS handshakes that do not come to an end: how many there may be, how long, what they count for.
local certs_of = require "certs"
local helper = require "helper"
local hv = require "hv"

local certs, localhost

setup(function()
  certs = certs_of.new()
  localhost = certs:issue("localhost", "DNS:localhost,IP:127.0.0.1")
end)

teardown(function() certs:remove() end)

local keep, close_kept = helper.keeper()

after_each(close_kept)

local function tls() return { cert = localhost.cert, key = localhost.key } end

local function https(options)
  local app = hv.http.app(options)
  app:get("/", function() return "here" end)
  return keep(assert(app:listen { host = "127.0.0.1", port = 0, tls = tls() }))
end

--- A connection that says nothing.
local function silent(server)
  return keep(assert(hv.tcp.connect { host = "127.0.0.1", port = server:port() }))
end

--- Waits until a server counts so many.
local function until_count(server, count)
  for _ = 1, 500 do
    if server:count() == count then return end
    hv.sleep(2)
  end
  error(("%d connections, not %d"):format(server:count(), count))
end

local function ask(server, done)
  return hv.go(function()
    local reply, message = hv.http.get(("https://localhost:%d/"):format(server:port()),
      { tls = { ca = certs.ca }, fresh = true })
    done[#done + 1] = reply and reply.body or message
  end)
end

describe("TLS handshakes", function()
  it("count as connections of an HTTPS server before they end", function()
    local server = https { max_connections = 2 }
    local first = silent(server)
    silent(server)
    until_count(server, 2)
    local done = {}
    local asking = ask(server, done)
    hv.sleep(20)
    assert.are.same({}, done)
    assert.equal(2, server:count()) -- the third waits to be accepted
    first:close()
    asking:join()
    assert.are.same({ "here" }, done)
  end)

  it("are as many as max_handshakes allows", function()
    local server = https { max_handshakes = 1 }
    local first = silent(server)
    until_count(server, 1)
    local second = silent(server)
    local done = {}
    local asking = ask(server, done)
    hv.sleep(20)
    assert.equal(1, server:count())
    first:close()
    hv.sleep(20)
    assert.are.same({}, done) -- the second has its place
    second:close()
    asking:join()
    assert.are.same({ "here" }, done)
    -- Who has been let in is in nobody's way.
    local conn = assert(hv.tcp.connect { host = "localhost", port = server:port(),
      tls = { ca = certs.ca } })
    local again = {}
    ask(server, again):join()
    assert.are.same({ "here" }, again)
    conn:close()
  end)

  it("end after handshake_timeout", function()
    local server = https { handshake_timeout = 300 }
    local conn = silent(server)
    assert.is_nil((conn:read()))
    until_count(server, 0)
    -- A second time limit does not lie behind it: a fresh one counts from its own beginning.
    local done = {}
    ask(server, done):join()
    assert.are.same({ "here" }, done)
  end)

  it("are ended by a server that closes, and waited for by one that drains", function()
    local server = https {}
    local conn = silent(server)
    until_count(server, 1)
    server:close(0)
    assert.is_nil((conn:read()))

    server = https {}
    conn = silent(server)
    until_count(server, 1)
    server:drain(5000)
    assert(conn:start_tls { ca = certs.ca, server_name = "localhost" })
    conn:write("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    local head = conn:read()
    assert.truthy(head and head:find("^HTTP/1.1 200 OK\r\n"))
    assert.truthy(head:lower():find("\r\nconnection: close\r\n", 1, true))
  end)

  it("count as connections of a TCP server, too", function()
    local server = keep(assert(hv.tcp.listen({ host = "127.0.0.1", port = 0, tls = tls(),
      max_connections = 1 }, function(conn)
        for chunk in conn:chunks() do conn:write(chunk) end
      end)))
    local first = silent(server)
    until_count(server, 1)
    local echoed = {}
    local asking = hv.go(function()
      local conn = keep(assert(hv.tcp.connect { host = "localhost", port = server:port(),
        tls = { ca = certs.ca } }))
      conn:write("hello")
      echoed[1] = conn:read()
    end)
    hv.sleep(20)
    assert.equal(1, server:count())
    first:close()
    asking:join()
    assert.are.same({ "hello" }, echoed)
    server:close()
  end)

  it("may outlast a TCP server, which then takes nobody in", function()
    local server = assert(hv.tcp.listen({ host = "127.0.0.1", port = 0, tls = tls() },
      function(conn) conn:write("late") end))
    local conn = silent(server)
    until_count(server, 1)
    server:close()
    server = nil -- luacheck: ignore
    hv.sleep(1)
    for _ = 1, 3 do collectgarbage() end
    local is_begun = conn:start_tls { ca = certs.ca, server_name = "localhost" }
    assert.is_nil((is_begun and conn:read())) -- nobody is there to answer
  end)
end)
