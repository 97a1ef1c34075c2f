-- mw.session and mw.same_origin: what is kept, what is not believed, who is turned away.
local hv = require "hv"
local raw = require "raw_http"

local mw = hv.http.middleware
local secret = ("s"):rep(32)

describe("mw.session", function()
  local app, server

  local function start(opts)
    app = hv.http.app()
    server = assert(app:listen { host = "127.0.0.1", port = 0 })
    app:use(mw.session(opts))
    app:get("/set", function(req, res)
      req.session.user = req.query.user
      req.session.list = { 1, "two" }
      res:set_cookie("other", "x")
      return "set"
    end)
    app:get("/get", function(req)
      return { json = { user = req.session.user, list = req.session.list,
        all = req.session:all() } }
    end)
    app:get("/clear", function(req)
      req.session:clear()
      return { json = { user = req.session.user } }
    end)
  end

  after_each(function()
    server:close(0)
    hv.sleep(1)
  end)

  local function ask(target, cookie)
    return raw.exchange(server, "GET", target, cookie and { Cookie = cookie })
  end

  --- The cookie that an answer sets, as a browser would send it.
  local function cookie_of(answer)
    for _, line in ipairs(answer.headers:get_all("set-cookie")) do
      local pair = line:match("^(session=[^;]*)")
      if pair then return pair, line end
    end
  end

  it("keeps values in a cookie that is signed", function()
    start { secret = secret }
    local answer = ask("/set?user=ann")
    assert.are.equal(2, #answer.headers:get_all("set-cookie")) -- one of the session
    local cookie, line = cookie_of(answer)
    assert.matches("; Path=/; Max%-Age=1209600; HttpOnly; SameSite=Lax$", line)
    local got = hv.json.decode(ask("/get", cookie).body)
    assert.are.same({ user = "ann", list = { 1, "two" } }, { user = got.user, list = got.list })
    assert.are.same({ user = "ann", list = { 1, "two" } }, got.all)
    assert.are.same({}, ask("/get", cookie).headers:get_all("set-cookie")) -- nothing has changed
    answer = ask("/clear", cookie)
    assert.are.equal("{}", answer.body)
    cookie, line = cookie_of(answer)
    assert.are.equal("session=", cookie)
    assert.matches("Max%-Age=0", line)
  end)

  it("believes nothing that it has not signed, or that is too old", function()
    start { secret = secret, max_age = 0 }
    local old = cookie_of(ask("/set?user=ann"))
    assert.are.equal('{"all":{}}', ask("/get", old).body)
    server:close(0)
    start { secret = secret }
    local cookie = cookie_of(ask("/set?user=ann"))
    local payload, mac = cookie:match("^session=(.*)%.(.*)$")
    local forged = hv.crypto.base64url('[{"user":"root"},9999999999]')
    for _, wrong in ipairs { forged .. "." .. mac, payload .. "." .. mac:reverse(), payload,
      payload .. ".", "." .. mac, payload .. "." .. mac .. "x", "%00", "x.y" } do
      assert.are.equal('{"all":{}}', ask("/get", "session=" .. wrong).body, wrong)
    end
    -- Another name is another cookie, though the secret is the same.
    server:close(0)
    start { secret = secret, name = "other_session" }
    assert.are.equal('{"all":{}}', ask("/get", "other_session=" .. payload .. "." .. mac).body)
  end)

  it("takes old secrets as long as they are in its list", function()
    start { secret = secret }
    local cookie = cookie_of(ask("/set?user=ann"))
    server:close(0)
    start { secret = { ("n"):rep(32), secret } }
    assert.are.equal("ann", hv.json.decode(ask("/get", cookie).body).user)
    server:close(0)
    start { secret = ("n"):rep(32) }
    assert.is_nil(hv.json.decode(ask("/get", cookie).body).user)
  end)

  it("refuses what could not work", function()
    start { secret = secret }
    for _, opts in ipairs { {}, { secret = "short" }, { secret = {} }, { secret = { secret, 1 } },
      { secret = secret, name = "a b" }, { secret = secret, same_site = "none", secure = false },
      { secret = secret, age = 1 } } do
      assert.has_error(function() mw.session(opts) end)
    end
    app:get("/key", function(req)
      req.session.clear = 1
      return "no"
    end)
    hv.on_error(function() end)
    assert.are.equal(500, ask("/key").status)
    hv.on_error(nil)
  end)
end)

describe("mw.same_origin", function()
  local server

  setup(function()
    local app = hv.http.app()
    app:use(mw.same_origin { trusted = { "https://partner.example" } })
    app:any("/", function() return "done" end)
    server = assert(app:listen { host = "127.0.0.1", port = 0 })
  end)

  teardown(function() server:close(0) end)

  local function status(method, headers)
    return raw.exchange(server, method, "/", headers).status
  end

  it("turns requests of other sites away, but for those that change nothing", function()
    for _, headers in ipairs { { ["Sec-Fetch-Site"] = "cross-site" },
      { ["Sec-Fetch-Site"] = "same-site" }, { Origin = "https://evil.example" },
      { Origin = "null" }, { Origin = "http://x:8080" }, -- another port
      { Origin = "http://x.evil.example" },
      { ["Sec-Fetch-Site"] = "cross-site", Origin = "http://x" } } do
      assert.are.equal(403, status("POST", headers))
      assert.are.equal(403, status("DELETE", headers))
      assert.are.equal(200, status("GET", headers))
      assert.are.equal(200, status("HEAD", headers))
    end
  end)

  it("lets in its own, those it trusts, and who is no browser", function()
    for _, headers in ipairs { { ["Sec-Fetch-Site"] = "same-origin" },
      { ["Sec-Fetch-Site"] = "none" }, { Origin = "http://x" },
      { Origin = "https://X" }, {},
      { Origin = "https://partner.example", ["Sec-Fetch-Site"] = "cross-site" } } do
      assert.are.equal(200, status("POST", headers))
    end
    for _, trusted in ipairs { { "partner.example" }, { "https://a.example/path" }, { 1 } } do
      assert.has_error(function() mw.same_origin { trusted = trusted } end)
    end
  end)
end)
