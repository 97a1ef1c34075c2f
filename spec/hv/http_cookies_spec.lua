--- hv.http.cookies: RFC 6265 section 5, and of its revision prefixes and public suffixes.
local cookies = require "hv.http_cookies"
local hv = require "hv"

local function jar_with(...)
  local jar = hv.http.cookies()
  for _, entry in ipairs { ... } do jar:set(entry[1], entry[2]) end
  return jar
end

describe("hv.http.cookies", function()
  it("gives back what a host has set, to that host alone", function()
    local jar = jar_with({ "http://a.example.com/", "n=v" })
    assert.are.equal("n=v", jar:get("http://a.example.com/x"))
    assert.is_nil(jar:get("http://example.com/"))
    assert.is_nil(jar:get("http://b.a.example.com/"))
    assert.are.equal("n=v", jar:get("http://a.example.com:8080/"))
  end)

  it("shares a cookie with the domain it names, if the host is within it", function()
    local jar = jar_with({ "http://a.example.com/", "n=v; Domain=.EXAMPLE.com" })
    assert.are.equal("n=v", jar:get("http://example.com/"))
    assert.are.equal("n=v", jar:get("http://b.example.com/"))
    assert.is_nil(jar:get("http://badexample.com/"))
    assert.is_false(jar:set("http://a.example.com/", "n=v; Domain=other.com"))
    assert.is_false(jar:set("http://example.com/", "n=v; Domain=a.example.com"))
    assert.is_false(jar:set("http://127.0.0.1/", "n=v; Domain=0.0.1"))
    assert.is_true(jar:set("http://127.0.0.1/", "n=v; Domain=127.0.0.1"))
    assert.are.equal("n=v", jar:get("http://127.0.0.1/"))
  end)

  it("tells a cookie of one host from that of its domain (RFC 6265bis section 5.7)", function()
    local jar = jar_with({ "http://example.com/", "n=host" },
      { "http://example.com/", "n=domain; Domain=example.com" })
    assert.are.equal("n=host; n=domain", jar:get("http://example.com/"))
    assert.are.equal("n=domain", jar:get("http://a.example.com/"))
    jar:set("http://example.com/", "n=; Max-Age=0")
    assert.are.equal("n=domain", jar:get("http://example.com/"))
  end)

  it("takes none for a public suffix", function()
    local jar = hv.http.cookies()
    for _, domain in ipairs { "com", "co.uk", "github.io" } do
      assert.is_false(jar:set("http://me." .. domain .. "/", "n=v; Domain=" .. domain), domain)
    end
    assert.is_true(jar:set("http://github.io/", "n=v; Domain=github.io"))
    assert.is_nil(jar:get("http://me.github.io/"))
  end)

  it("sends by path, longer ones first, then older ones", function()
    local jar = jar_with({ "http://h/a/b/c", "one=1" }, { "http://h/", "two=2; Path=/" },
      { "http://h/", "three=3; Path=/a" }, { "http://h/x", "four=4" })
    assert.are.equal("one=1; three=3; two=2; four=4", jar:get("http://h/a/b/d"))
    assert.are.equal("three=3; two=2; four=4", jar:get("http://h/a"))
    assert.are.equal("two=2; four=4", jar:get("http://h/ab"))
  end)

  it("keeps secure ones to safe connections, both ways", function()
    local jar = jar_with({ "https://h/", "s=1; Secure" })
    assert.is_nil(jar:get("http://h/"))
    assert.are.equal("s=1", jar:get("https://h/"))
    assert.are.equal("s=1", jar:get("wss://h/"))
    assert.is_false(jar:set("http://h/", "t=1; Secure"))
    assert.is_false(jar:set("http://h/", "s=2"))
    assert.are.equal("s=1", jar:get("https://h/"))
  end)

  it("honours the prefixes of names", function()
    local jar = hv.http.cookies()
    assert.is_false(jar:set("http://h/", "__Secure-a=1"))
    assert.is_false(jar:set("https://h/", "__Secure-a=1"))
    assert.is_true(jar:set("https://h/", "__Secure-a=1; Secure"))
    assert.is_false(jar:set("https://h.example.com/",
      "__Host-a=1; Secure; Domain=example.com; Path=/"))
    assert.is_false(jar:set("https://h/", "__Host-a=1; Secure"))
    assert.is_true(jar:set("https://h/", "__Host-a=1; Secure; Path=/"))
  end)

  it("ends them by Max-Age before Expires, and replaces by name, domain and path", function()
    local jar = jar_with({ "http://h/", "a=1" }, { "http://h/", "a=2" })
    assert.are.equal("a=2", jar:get("http://h/"))
    jar:set("http://h/", "a=3; Max-Age=0; Expires=Wed, 09 Jun 2100 10:18:14 GMT")
    assert.is_nil(jar:get("http://h/"))
    jar:set("http://h/", "b=1; Expires=Wed, 09 Jun 2001 10:18:14 GMT")
    assert.is_nil(jar:get("http://h/"))
    jar:set("http://h/", "c=1; Max-Age=1000; Expires=Wed, 09 Jun 2001 10:18:14 GMT")
    assert.are.equal("c=1", jar:get("http://h/"))
    jar:set("http://h/", "d=1; Expires=nonsense")
    assert.are.equal("c=1; d=1", jar:get("http://h/"))
  end)

  it("reads dates as they are written", function()
    for _, text in ipairs { "Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT",
      "Sun Nov  6 08:49:37 1994", "6 nov 1994 8:49:37" } do
      assert.are.equal(784111777, cookies.parse_date(text), text)
    end
    assert.are.equal(951782400, cookies.parse_date("Tue, 29 Feb 2000 00:00:00 GMT"))
    for _, text in ipairs { "", "Sun, 06 Nov 1994", "32 Nov 1994 08:49:37", "6 Nov 1994 24:00:00",
      "6 Nov 1500 08:00:00", "08:49:37" } do
      assert.is_nil(cookies.parse_date(text), text)
    end
  end)

  it("refuses what could not be sent, and keeps to its limits", function()
    local jar = hv.http.cookies()
    assert.is_false(jar:set("http://h/", "a=\1"))
    assert.is_false(jar:set("http://h/", "a=" .. ("x"):rep(5000)))
    assert.is_false(jar:set("http://h/", ""))
    assert.is_true(jar:set("http://h/", "no-name"))
    assert.are.equal("no-name", jar:get("http://h/"))
    for i = 1, 300 do jar:set("http://h/", "n" .. i .. "=1") end
    assert.are.equal(180, #jar:all())
    for i = 1, 3100 do jar:set("http://h" .. i .. "/", "n=1") end
    assert.are.equal(3000, #jar:all())
    jar:clear("h3100")
    assert.are.equal(2999, #jar:all())
    jar:clear()
    assert.are.equal("hv.http.cookies{0}", tostring(jar))
  end)

  it("is kept by a client through redirects, and shared where it is given", function()
    local app = hv.http.app()
    app:get("/login", function(_, res)
      res.headers:add("set-cookie", "sid=7; Path=/; HttpOnly")
      res:redirect("/me")
    end)
    app:get("/me", function(req) return req:header("cookie") or "nobody" end)
    local server = assert(app:listen { host = "127.0.0.1", port = 0 })
    local base = "http://127.0.0.1:" .. server:port()
    local client = hv.http.client { base_url = base, cookies = true }
    assert.are.equal("nobody", client:get("me").body)
    assert.are.equal("sid=7", client:get("login").body)
    assert.are.equal("sid=7", client:get("me").body)
    assert.are.equal("nobody", client:get("me", { cookies = false }).body)
    local other = hv.http.client { cookies = client:cookies() }
    assert.are.equal("sid=7", other:get("http://127.0.0.1:" .. server:port() .. "/me").body)
    assert.is_true(client:cookies():all()[1].http_only)
    client:close()
    other:close()
    server:close(0)
  end)
end)
