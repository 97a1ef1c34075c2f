local helper = require "helper"
local hv = require "hv"
local raw = require "raw_http"

describe("app:host", function()
  local app, server

  before_each(function()
    app = hv.http.app()
    server = raw.listen(app)
  end)

  after_each(function() raw.stop(server) end)

  local function get(host, target) return raw.get(server, target or "/", host) end

  it("chooses by the name, exact before the longest below", function()
    app:get("/", function() return "main" end)
    app:host("One.test.", function(site)
      site:get("/", function() return "one" end)
      site:get("/:id", function(req) return "one " .. req.params.id end)
    end)
    app:host("*.test"):get("/", function() return "any" end)
    app:host("*.two.test"):get("/", function() return "below two" end)
    app:host("[::1]"):get("/", function() return "v6" end)
    collectgarbage()
    assert.are.equal("main", get("other").body)
    assert.are.equal("one", get("one.TEST:8080").body)
    assert.are.equal("one 7", get("one.test.", "/7").body)
    assert.are.equal("one", get("one.test.:80").body)
    assert.are.equal("any", get("x.test").body)
    assert.are.equal("any", get("x.one.test").body)
    assert.are.equal("any", get("two.test").body)
    assert.are.equal("below two", get("x.two.test").body)
    assert.are.equal("below two", get("x.y.two.test").body)
    assert.are.equal("main", get("test").body)
    assert.are.equal("main", get(".test").body)
    assert.are.equal("v6", get("[::1]:80").body)
    assert.are.equal("main", get("[::2]:80").body)
    assert.are.equal(404, get("x.test", "/7").status)
  end)

  it("believes an absolute target before the header", function()
    app:get("/", function() return "main" end)
    app:host("one.test"):get("/", function() return "one" end)
    assert.are.equal("one", get("other", "http://one.test:81/").body)
    assert.are.equal("main", get("one.test", "http://other/").body)
  end)

  it("answers HTTP/1.0 without a host itself", function()
    app:get("/", function() return "main" end)
    app:host("*.test"):get("/", function() return "any" end)
    local client = raw.connect(server)
    client:send("GET / HTTP/1.0\r\n\r\n")
    assert.are.equal("main", client:receive().body)
    client.conn:close()
  end)

  it("keeps middleware, pages and observers apart", function()
    local seen = {}
    local function watch(name)
      return function(_, res) seen[#seen + 1] = name .. " " .. res.status end
    end
    local site = hv.http.app()
    site:get("/", function() return { text = "site" } end)
    site:get("/broken", function() error("no") end)
    site:error_page(function(status) return "site " .. status end)
    site:on_response(watch "site")
    app:use(function(_, res, next_handler)
      res.headers:set("X-Main", "1")
      return next_handler()
    end)
    app:on_response(watch "main")
    assert.are.equal(site, app:host("site.test", site))
    assert.are.equal(site, app:host("www.site.test", site))
    local answer = get("www.site.test")
    assert.are.equal("site", answer.body)
    assert.is_nil(answer.headers["x-main"])
    assert.are.equal("site 404", get("site.test", "/none").body)
    hv.on_error(function() end)
    assert.are.equal("site 500", get("site.test", "/broken").body)
    hv.on_error(nil)
    assert.are.equal("1", get("other").headers["x-main"])
    hv.sleep(1)
    assert.are.same({ "site 200", "site 404", "site 500", "main 404" }, seen)
  end)

  it("serves files of a host, and its page for those that are missing", function()
    app:host("files.test", function(site)
      site:static("/", "spec/hv")
      site:error_page(function(status, req) return status .. " " .. req.path end)
    end)
    assert.is_truthy(get("files.test", "/http_host_spec.lua").body:find("app:host", 1, true))
    assert.are.equal("404 /none", get("files.test", "/none").body)
    assert.are.equal("404 /none", get("files.test", "/none").body)
    assert.are.equal("404 Not Found\n", get("other", "/http_host_spec.lua").body)
  end)

  it("lets go of its apps when the last server is closed", function()
    local kept = setmetatable({}, { __mode = "k" })
    local function listen_twice()
      local main = hv.http.app()
      local token = {}
      kept[token] = true
      main:host("one.test"):get("/", function() return token and "one" end)
      local servers = {}
      for i = 1, 2 do servers[i] = assert(main:listen { host = "127.0.0.1", port = 0 }) end
      return servers
    end
    local function close_one_by_one()
      local servers = listen_twice()
      servers[1]:close(0)
      hv.sleep(1)
      collectgarbage()
      collectgarbage()
      assert.is_truthy(next(kept))
      local client = raw.connect(servers[2])
      client:send("GET / HTTP/1.1\r\nHost: one.test\r\n\r\n")
      assert.are.equal("one", client:receive().body)
      client.conn:close()
      servers[2]:close(0)
    end
    close_one_by_one()
    helper.collected(kept)
  end)

  it("refuses what is no name, and hosts within hosts", function()
    local bad_names = { "", ".", "a:80", "*", "*.", "a.*", "*a.b", "a b", "a..b", "[x]", "a/b" }
    for _, bad in ipairs(bad_names) do
      assert.has_error(function() app:host(bad) end,
        ('app:host: %q is neither a name without port nor "*." before one'):format(bad))
    end
    local site = app:host("a.test")
    assert.has_error(function() app:host "A.test." end, 'app:host: there is "a.test" already')
    assert.has_error(function() app:host(1) end, "app:host: name must be a string, got number")
    assert.has_error(function() app:host("b", 1) end,
      "app:host: an app or a function expected, got number")
    assert.has_error(function() app:group("/g"):host "b" end, "app:host: not in a group")
    for _, nested in ipairs { function() site:host "b" end, function() app:host("b", app) end,
      function() hv.http.app():host("b", app) end } do
      assert.has_error(nested, "app:host: the app of a host cannot have hosts of its own")
    end
  end)
end)
