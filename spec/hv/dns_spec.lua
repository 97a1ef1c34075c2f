-- hv.dns against a name server of a few lines on hv.udp.
local bit = require "bit"
local helper = require "helper"
local hv = require "hv"

local A, NS, CNAME, PTR, MX, TXT, AAAA, SRV = 1, 2, 5, 12, 15, 16, 28, 33

local function u16(n) return string.char(bit.rshift(n, 8), bit.band(n, 255)) end

local function wire_name(name)
  return (name:gsub("([^.]+)%.?", function(label) return string.char(#label) .. label end)) .. "\0"
end

local function record(kind, ttl, data)
  return "\192\12" .. u16(kind) .. u16(1) .. u16(0) .. u16(ttl) .. u16(#data) .. data
end

--- What is known: name -> type -> list of records. A type of `false` is never answered.
local zone = {
  ["two.test"] = { [A] = { record(A, 60, "\127\0\0\2"), record(A, 30, "\127\0\0\3") } },
  ["six.test"] = { [AAAA] = { record(AAAA, 60, ("\0"):rep(15) .. "\1") } },
  ["mail.test"] = { [MX] = { record(MX, 60, u16(20) .. wire_name("b.test")),
                             record(MX, 60, u16(10) .. wire_name("a.test")) } },
  ["_x._tcp.test"] = {
    [SRV] = { record(SRV, 9, u16(1) .. u16(2) .. u16(80) .. wire_name("h.test")) },
  },
  ["zone.test"] = { [NS] = { record(NS, 60, wire_name("ns1.test")),
                             record(NS, 60, wire_name("ns2.test")) } },
  ["alias.test"] = { [CNAME] = { record(CNAME, 60, wire_name("two.test")) } },
  ["5.2.0.192.in-addr.arpa"] = { [PTR] = { record(PTR, 60, wire_name("five.test")) } },
  ["text.test"] = { [TXT] = { record(TXT, 60, "\3a\0b") } },
  ["mute.test"] = { [A] = false, [AAAA] = false },
}

local questions

local function answer(data)
  local labels, at = {}, 13
  while data:byte(at) ~= 0 do
    local len = data:byte(at)
    labels[#labels + 1] = data:sub(at + 1, at + len)
    at = at + 1 + len
  end
  questions = questions + 1
  local known = zone[table.concat(labels, "."):lower()]
  local records = known and known[data:byte(at + 1) * 256 + data:byte(at + 2)]
  if records == false then return nil end
  records = records or {}
  return data:sub(1, 2) .. (known and "\129\128" or "\129\131") .. u16(1) .. u16(#records) ..
    "\0\0\0\0" .. data:sub(13, at + 4) .. table.concat(records)
end

describe("hv.dns", function()
  local server

  before_each(function()
    questions = 0
    server = assert(hv.udp.bind {
      host = "127.0.0.1", port = 0,
      on_message = function(sock, data, peer)
        local reply = answer(data)
        if reply then assert(sock:send(reply, peer.ip, peer.port)) end
      end,
    })
    assert(hv.dns.configure { servers = "127.0.0.1:" .. server:port(), search = "", rounds = 1,
                              attempt_timeout = 500 })
  end)

  after_each(function() server:close() end)

  it("resolves a name to a list of addresses", function()
    local list = assert(hv.dns.resolve("two.test"))
    assert.equal(2, #list)
    table.sort(list)
    assert.same({ "127.0.0.2", "127.0.0.3", ttl = 30 }, list)
    assert.same({ "::1", ttl = 60 }, hv.dns.resolve("six.test", "aaaa"))
    assert.same({ "::1", ttl = 60 }, hv.dns.resolve("six.test", "AAAA"))
  end)

  it("gives tables for mx and srv, and bytes for txt", function()
    assert.same({ { name = "a.test", priority = 10, ttl = 60 },
                  { name = "b.test", priority = 20, ttl = 60 }, ttl = 60 },
      hv.dns.resolve("mail.test", "mx"))
    assert.same({ { name = "h.test", priority = 1, weight = 2, port = 80, ttl = 9 }, ttl = 9 },
      hv.dns.resolve("_x._tcp.test", "srv"))
    assert.same({ "a\0b", ttl = 60 }, hv.dns.resolve("text.test", "txt"))
  end)

  it("gives names for ns, cname and ptr", function()
    local servers = assert(hv.dns.resolve("zone.test", "ns"))
    table.sort(servers)
    assert.same({ "ns1.test", "ns2.test", ttl = 60 }, servers)
    assert.same({ "two.test", ttl = 60 }, hv.dns.resolve("alias.test", "cname"))
    assert.same({ "five.test", ttl = 60 }, hv.dns.resolve("5.2.0.192.in-addr.arpa", "ptr"))
    assert.equal("five.test", hv.dns.resolve("192.0.2.5", "ptr")[1])
  end)

  it("answers literals without a question", function()
    assert.same({ "127.0.0.1", ttl = 0 }, hv.dns.resolve("127.0.0.1"))
    assert.same({ "::1", ttl = 0 }, hv.dns.resolve("::1"))
    assert.equal(0, questions)
  end)

  it("keeps answers, unless told otherwise", function()
    assert(hv.dns.resolve("two.test", "a"))
    assert(hv.dns.resolve("two.test", "a"))
    assert.equal(1, questions)
    assert(hv.dns.resolve("two.test", "a", { cache = false }))
    assert.equal(2, questions)
  end)

  it("tells what failed", function()
    local list, message, code = hv.dns.resolve("none.test", "a")
    assert.is_nil(list)
    assert.matches("resolve none.test: ", message, 1, true)
    assert.equal(hv.err.ENOTFOUND, code)
    assert.equal("ENOTFOUND", select(3, hv.dns.resolve("two.test", "aaaa")))
    assert.equal("EINVAL", select(3, hv.dns.resolve("")))
    assert.equal("ETIMEDOUT", select(3, hv.dns.resolve("mute.test", { timeout = 5 })))
  end)

  it("lets other tasks run meanwhile, and many ask at once", function()
    local lists = {}
    for i = 1, 20 do
      hv.go(function() lists[i] = hv.dns.resolve("two.test", "a", { cache = false }) end)
    end
    helper.eventually(function() return #lists == 20 end)
    assert.equal(20, questions)
  end)

  it("takes a function instead of waiting, called once and later", function()
    local note, calls = helper.recorder()
    hv.dns.resolve("two.test", "a", note)
    hv.dns.resolve("127.0.0.1", note)
    hv.dns.resolve("none.test", "a", { cache = false }, note)
    assert.equal(0, #calls)
    helper.eventually(function() return #calls == 3 end)
    hv.sleep(5)
    assert.equal(3, #calls)
  end)

  it("ends the question with its task", function()
    local ran_on
    local task = hv.go(function()
      hv.dns.resolve("mute.test")
      ran_on = true
    end)
    helper.eventually(function() return questions > 0 end)
    task:cancel()
    hv.sleep(2)
    assert.is_nil(ran_on)
    -- Nothing is being looked up any more, so the settings may change.
    assert.is_true(hv.dns.configure())
  end)

  it("survives a collection while it waits", function()
    local list
    hv.go(function() list = hv.dns.resolve("two.test", "a") end)
    helper.eventually(function()
      collectgarbage()
      return list
    end)
    assert.equal(2, #list)
  end)

  it("serves hv.tcp.connect", function()
    local listener = assert(hv.tcp.listen({ host = "127.0.0.2", port = 0 }, function(conn)
      conn:write(conn:read() or "")
    end))
    local conn = assert(hv.tcp.connect { host = "two.test", port = listener:port() })
    assert(conn:write("hello"))
    assert.equal("hello", conn:read())
    conn:close()
    listener:close()
    local none, _, code = hv.tcp.connect { host = "none.test", port = 80 }
    assert.is_nil(none)
    assert.equal("ENOTFOUND", code)
  end)

  it("throws for wrong arguments", function()
    for _, arguments in ipairs { { n = 1 }, { 1 }, { "a.test", "soa" }, { "a.test", 1 },
                                 { "a.test", "a", { timeot = 1 } } } do
      assert.has_error(function() hv.dns.resolve(unpack(arguments)) end)
    end
    assert.has_error(function() hv.dns.configure { server = "127.0.0.1" } end)
    assert.equal("EINVAL", select(3, hv.dns.configure { servers = "not an address" }))
  end)

  it("ends with the program while it still asks", function()
    local output, status = helper.run [[
      local hv = require "hv"
      local mute = assert(hv.udp.bind { host = "127.0.0.1", port = 0 })
      hv.dns.configure { servers = "127.0.0.1:" .. mute:port() }
      hv.go(function() hv.dns.resolve("a.test") end)
      hv.after(5, function() hv.stop() end)
    ]]
    assert.equal("", output)
    assert.equal(0, status)
  end)
end)
