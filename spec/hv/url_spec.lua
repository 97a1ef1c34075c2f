-- Cases follow the WHATWG URL standard and RFC 3986 section 5.4.
local hv = require "hv"

local parse, build, resolve = hv.url.parse, hv.url.build, hv.url.resolve

describe("hv.url", function()
  it("takes a whole URL apart", function()
    assert.same({ scheme = "https", user = "us er", password = "p:w", host = "example.com",
      port = 8443, path = "/a/b", query = "x=1&y", fragment = "top" },
      parse "HTTPS://us%20er:p%3Aw@Example.COM:8443/a/b?x=1&y#top")
    assert.same({ scheme = "http", host = "h", port = 80, path = "/" }, parse "http://h")
    assert.same({ scheme = "http", host = "h", port = 80, path = "/", query = "", fragment = "" },
      parse " http://h?# ")
    assert.same({ scheme = "mailto", path = "a@b" }, parse "mailto:a@b")
    assert.same({ scheme = "file", host = "", path = "/etc/x" }, parse "file:///etc/x")
    assert.same({ scheme = "mqtt", host = "broker", port = 1883, path = "" }, parse "mqtt://broker")
  end)

  it("knows the usual ports", function()
    for url, port in pairs { ["http://h"] = 80, ["https://h"] = 443, ["ws://h"] = 80,
      ["wss://h"] = 443, ["redis://h"] = 6379, ["mqtts://h"] = 8883, ["http://h:"] = 80,
      ["http://h:0080"] = 80, ["http://h:0"] = 0, ["http://h:65535"] = 65535 } do
      assert.equal(port, parse(url).port, url)
    end
    assert.is_nil(parse("other://h").port)
  end)

  it("checks and normalizes hosts", function()
    local hosts = {
      ["EXAMPLE.com"] = "example.com", ["ex%61mple.com"] = "example.com", ["a_b"] = "a_b",
      ["127.1"] = "127.0.0.1", ["0x7f.1"] = "127.0.0.1", ["2130706433"] = "127.0.0.1",
      ["0177.0.0.1"] = "127.0.0.1", ["1.2.3.4."] = "1.2.3.4", ["a.b."] = "a.b.",
      ["[::1]"] = "::1", ["[2001:DB8:0:0:1:0:0:1]"] = "2001:db8::1:0:0:1",
      ["[0:0:0:0:0:0:0:0]"] = "::", ["[1:2:3:4:5:6:7:8]"] = "1:2:3:4:5:6:7:8",
      ["[::ffff:1.2.3.4]"] = "::ffff:102:304", ["[1::]"] = "1::", ["[1:0:3:0:5:0:7:0]"] =
        "1:0:3:0:5:0:7:0", ["xn--bcher-kva.example"] = "xn--bcher-kva.example",
    }
    for text, host in pairs(hosts) do
      local url, message = parse("http://" .. text .. "/")
      assert.equal(host, url and url.host or message)
    end
  end)

  it("refuses what is no URL", function()
    for _, text in ipairs { "", "x", "//h/p", "http://", "http:///", "http://h:65536/",
      "http://h:1x/", "http://a b/", "http://a%20b/", "http://a%2Fb/", "http://a<b/",
      "http://1.2.3.4.5/", "http://256.256.256.256/", "http://1.2.3.256/", "http://09.1/",
      "http://a%00b/", "http://[::1", "http://[1:2]/", "http://[:1]/",
      "http://[1::2::3]/", "http://[1:2:3:4:5:6:7::8]/", "http://[::1.2.3]/", "http://[g::]/",
      "http://[::01.2.3.4]/", "http://b\195\188cher/", "1http://h/", "http://@/", "http://h%",
      "http://user@:80/", "other://:80/" } do
      local url, message, code = parse(text)
      if url then error(("taken: %q as %s"):format(text, url.host)) end
      assert.equal("EINVAL", code)
      assert.matches("^url ", message)
    end
  end)

  it("takes dot segments and backslashes out", function()
    for text, path in pairs {
      ["http://h/a/./b/../c"] = "/a/c", ["http://h/../../x"] = "/x", ["http://h/a/.."] = "/",
      ["http://h/a/."] = "/a/", ["http://h/a/%2e%2E/b"] = "/b", ["http://h\\a\\..\\b"] = "/b",
      ["http:h/p"] = "/p", ["http:/h/p"] = "/p", ["http:////h/p"] = "/p",
      ["http://h/a b\"<>`{}"] = "/a%20b%22%3C%3E%60%7B%7D", ["http://h/%zz"] = "/%zz",
      ["http://h//a//b/"] = "//a//b/", ["other://h/a/../b"] = "/b", ["http://h/\195\188"] =
        "/%C3%BC", ["http://h/a\tb\nc"] = "/abc",
    } do
      assert.equal(path, assert(parse(text)).path, text)
    end
    assert.equal("a'b", parse("other://h/?a'b").query)
    assert.equal("a%27b", parse("http://h/?a'b").query)
  end)

  it("parses user information", function()
    assert.equal("a@b", parse("http://a@b@h/").user)
    assert.equal("a", parse("http://a:@h/").user)
    assert.is_nil(parse("http://a:@h/").password)
    assert.equal("b:c", parse("http://a:b:c@h/").password)
    assert.equal("evil.com", parse("http://good.com@evil.com/").host)
    assert.equal("evil.com", parse("http://good.com\\@evil.com/x") and "evil.com")
    assert.equal("good.com", parse("http://good.com\\@evil.com/x").host)
  end)

  it("resolves references as RFC 3986 section 5.4 does", function()
    local base = "http://a/b/c/d;p?q"
    for reference, url in pairs {
      ["g"] = "http://a/b/c/g", ["./g"] = "http://a/b/c/g", ["g/"] = "http://a/b/c/g/",
      ["/g"] = "http://a/g", ["//g"] = "http://g/", ["?y"] = "http://a/b/c/d;p?y",
      ["g?y"] = "http://a/b/c/g?y", ["#s"] = "http://a/b/c/d;p?q#s", ["g#s"] = "http://a/b/c/g#s",
      [";x"] = "http://a/b/c/;x", [""] = "http://a/b/c/d;p?q", ["."] = "http://a/b/c/",
      [".."] = "http://a/b/", ["../g"] = "http://a/b/g", ["../.."] = "http://a/",
      ["../../../g"] = "http://a/g", ["/./g"] = "http://a/g", ["/../g"] = "http://a/g",
      ["g."] = "http://a/b/c/g.", ["..g"] = "http://a/b/c/..g", ["./../g"] = "http://a/b/g",
      ["g;x=1/../y"] = "http://a/b/c/y", ["g?y/./x"] = "http://a/b/c/g?y/./x",
      ["https://x"] = "https://x/", ["mailto:x"] = "mailto:x", ["http:g"] = "http://a/b/c/g",
    } do
      assert.equal(url, resolve(base, reference), reference)
    end
    assert.equal("EINVAL", select(3, resolve("mailto:x", "y")))
    assert.equal("EINVAL", select(3, resolve("no base", "y")))
    assert.equal("/b/x", parse("x", parse("http://a/b/c")).path)
  end)

  it("builds what it parsed", function()
    for _, text in ipairs { "https://us%20er:p%3Aw@example.com:8443/a/b?x=1#top", "http://h/",
      "http://[::1]:8080/", "mailto:a@b", "file:///etc/x", "mqtt://broker", "http://h/?#" } do
      assert.equal(text, build(parse(text)))
    end
    assert.equal("http://h/a%20b?x=1&y=a%26b#f%20g",
      build { scheme = "HTTP", host = "h", port = 80, path = "a b", query = { y = "a&b", x = 1 },
              fragment = "f g" })
    assert.equal("http://h/?a%23b", build { scheme = "http", host = "h", query = "a#b" })
    assert.equal("EINVAL", select(3, build { scheme = "http", host = "a b" }))
    assert.equal("EINVAL", select(3, build { scheme = "http", host = "a/b" }))
    assert.has_error(function() build { host = "h" } end)
    assert.has_error(function() build { scheme = "http" } end)
    assert.has_error(function() build { scheme = "http", hots = "h" } end)
  end)

  it("encodes and decodes", function()
    assert.equal("a%20b%2Fc~%C3%BC%00", hv.url.encode "a b/c~\195\188\0")
    assert.equal("a b/c+%zz%4", hv.url.decode "a%20b%2fc+%zz%4")
    assert.equal("a=1&a=2&b=x%20y&c=true",
      hv.url.encode_query { c = true, b = "x y", a = { 1, 2 } })
    assert.equal("b=2&a=1", hv.url.encode_query { { "b", 2 }, { "a", 1 } })
    assert.equal("", hv.url.encode_query {})
    local params, list = hv.url.decode_query "a=1&b=x+y%26&a=2&c&=d"
    assert.same({ a = "2", b = "x y&", c = "", [""] = "d" }, params)
    assert.same({ { "a", "1" }, { "b", "x y&" }, { "a", "2" }, { "c", "" }, { "", "d" } }, list)
    assert.has_error(function() hv.url.encode_query { a = print } end)
    assert.has_error(function() parse(nil) end)
  end)
end)
