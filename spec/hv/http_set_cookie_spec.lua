local cookies = require "hv.http_set_cookie"

describe("hv.http_set_cookie", function()
  it("reads what clients send", function()
    local all = cookies.parse { 'a=1; b="two"; c=x%3By ;d=; a=9', "e=f=g; bad; =x" }
    assert.are.equal("1", all.a)
    assert.are.equal("two", all.b)
    assert.are.equal("x;y", all.c)
    assert.are.equal("", all.d)
    assert.are.equal("f=g", all.e)
    assert.is_nil(all.bad)
    assert.is_nil(all[""])
    assert.are.equal(all, all(), "req:cookies() is req.cookies")
  end)

  it("writes every attribute", function()
    assert.are.equal("a=1; Path=/", cookies.format("a", 1))
    assert.are.equal("a=x%3By%20%25; Path=/p; Domain=x.test; Max-Age=60; "
      .. "Expires=Thu, 01 Jan 1970 00:00:10 GMT; Secure; HttpOnly; SameSite=Lax; Partitioned",
      cookies.format("a", "x;y %", {
        path = "/p", domain = "x.test", max_age = 60000, expires = 10, secure = true,
        http_only = true, same_site = "Lax", partitioned = true,
      }))
    assert.are.equal("__Host-a=1; Path=/; Secure; SameSite=None",
      cookies.format("__Host-a", "1", { secure = true, same_site = "none" }))
  end)

  it("reads back what it wrote", function()
    local value = 'a "b"; c,\\%\1\195\164'
    local pair = cookies.format("x", value):match("^[^;]*")
    assert.are.equal(value, cookies.parse({ pair }).x)
  end)

  it("refuses what browsers would drop, and ways to smuggle attributes in", function()
    local bad = {
      { "", "1" }, { "a b", "1" }, { "a;b", "1" }, { "a=b", "1" }, { "\195\164", "1" },
      { "a", ("x"):rep(4096) }, { "a", "1", { path = "/; Secure" } },
      { "a", "1", { path = "/\n" } },
      { "a", "1", { domain = "x; HttpOnly" } }, { "a", "1", { same_site = "sometimes" } },
      { "a", "1", { same_site = "none" } }, { "a", "1", { partitioned = true } },
      { "__Secure-a", "1" }, { "__Host-a", "1" },
      { "__host-a", "1", { secure = true, path = "/x" } },
      { "__Host-a", "1", { secure = true, domain = "x.test" } }, { "a", "1", { max_aeg = 1 } },
    }
    for i, case in ipairs(bad) do
      assert.is_false(pcall(cookies.format, case[1], case[2], case[3]), "case " .. i)
    end
  end)
end)
