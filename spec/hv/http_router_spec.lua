local hv = require "hv"
local raw = require "raw_http"

describe("hv.http routes", function()
  local app, server

  before_each(function()
    app = hv.http.app()
    server = raw.listen(app)
  end)

  after_each(function() raw.stop(server) end)

  local function ask(method, target)
    return raw.exchange(server, method, target)
  end

  local function body(target)
    return ask("GET", target).body
  end

  it("takes routes while it listens", function()
    assert.are.equal(404, ask("GET", "/late").status)
    app:get("/late", function() return "now" end)
    assert.are.equal("now", body("/late"))
  end)

  it("prefers literals to names and names to the rest", function()
    app:get("/a/b", function() return "literal" end)
    app:get("/a/:x", function(req) return "name " .. req.params.x end)
    app:get("/a/*x", function(req) return "rest " .. req.params.x end)
    assert.are.equal("literal", body("/a/b"))
    assert.are.equal("name c", body("/a/c"))
    assert.are.equal("rest c/d", body("/a/c/d"))
  end)

  it("decodes parameters", function()
    app:get("/:first/:second", function(req)
      return req.params.first .. "|" .. req.params.second
    end)
    assert.are.equal("a b+c|d/e", body("/a%20b+c/d%2Fe"))
  end)

  it("knows every method", function()
    for _, method in ipairs { "get", "post", "put", "patch", "delete", "options" } do
      app[method](app, "/m", function(req) return req.method end)
    end
    app:any("/any", function(req) return req.method end)
    for _, method in ipairs { "GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS" } do
      assert.are.equal(method, ask(method, "/m").body)
      assert.are.equal(method, ask(method, "/any").body)
    end
    assert.are.equal("BREW", ask("BREW", "/any").body)
  end)

  it("says 405 with Allow, 404 without a route, and answers OPTIONS and HEAD by itself", function()
    app:get("/m", function() return "body" end)
    app:post("/m", function() return "" end)
    local answer = ask("DELETE", "/m")
    assert.are.equal(405, answer.status)
    assert.are.equal("GET, HEAD, POST, OPTIONS", answer.headers:get("allow"))
    answer = ask("OPTIONS", "/m")
    assert.are.equal(204, answer.status)
    assert.are.equal("GET, HEAD, POST, OPTIONS", answer.headers:get("allow"))
    assert.are.equal(204, ask("OPTIONS", "*").status)
    assert.are.equal(404, ask("OPTIONS", "/none").status)
    answer = ask("HEAD", "/m")
    assert.are.equal(200, answer.status)
    assert.are.equal("4", answer.headers:get("content-length"))
  end)

  it("groups routes below a prefix", function()
    local api = app:group("/api", function(group)
      group:get("/one", function() return "1" end)
    end)
    api:group("/v2"):get("/two", function() return "2" end)
    assert.are.equal("1", body("/api/one"))
    assert.are.equal("2", body("/api/v2/two"))
    assert.are.same({ "/api/one", "/api/v2/two" }, app:paths())
    assert.has_error(function() app:group("api") end)
    assert.has_error(function() app:group("/api/") end)
  end)

  describe("middleware", function()
    it("runs around every handler, the outer first", function()
      local log = {}
      local function named(name)
        return function(_, _, next)
          log[#log + 1] = name .. ">"
          next()
          log[#log + 1] = "<" .. name
        end
      end
      app:get("/", named("own"), function()
        log[#log + 1] = "handler"
        return "ok"
      end)
      app:use(named("a"), named("b"))
      assert.are.equal("ok", body("/"))
      assert.are.equal("a> b> own> handler <own <b <a", table.concat(log, " "))
    end)

    it("sees the result and the status, and may answer in its place", function()
      local seen
      app:use(function(req, res, next)
        local result = next()
        seen = res.status
        if req.query.replace then return "replaced " .. tostring(result) end
      end)
      app:get("/string", function() return "text" end)
      app:get("/status", function() return 418 end)
      app:get("/table", function() return { status = 202, body = "x" } end)
      assert.are.equal("text", body("/string"))
      assert.are.equal(200, seen)
      assert.are.equal("replaced text", body("/string?replace=1"))
      assert.are.equal(418, ask("GET", "/status").status)
      assert.are.equal(418, seen)
      assert.are.equal(202, ask("GET", "/table").status)
      assert.are.equal(202, seen)
    end)

    it("may answer without going on", function()
      local called = false
      app:use(function(req)
        if req:header("x-token") ~= "secret" then return 401 end
        return nil
      end)
      app:get("/", function()
        called = true
        return "in"
      end)
      assert.are.equal(401, ask("GET", "/").status)
      assert.is_false(called)
    end)

    it("hands values on in the request, and headers in the response", function()
      app:use(function(req, res, next)
        req.user = "ann"
        res:header("X-Before", "1")
        local result = next()
        res:header("X-After", "2")
        return result
      end)
      app:get("/", function(req) return "hello " .. req.user end)
      local answer = ask("GET", "/")
      assert.are.equal("hello ann", answer.body)
      assert.are.equal("1", answer.headers:get("x-before"))
      assert.are.equal("2", answer.headers:get("x-after"))
    end)

    it("may wait on both sides of next, many at a time", function()
      app:use(function(req, _, next)
        req.tag = req.query.n
        hv.sleep(2)
        local result = next()
        hv.sleep(2)
        return result .. req.tag
      end)
      app:get("/", function(req)
        hv.sleep(2)
        return req.tag .. ":"
      end)
      local asks = {}
      for n = 1, 20 do
        asks[n] = function() return body("/?n=" .. n) == n .. ":" .. n end
      end
      local results = { hv.all({}, unpack(asks)) }
      for n = 1, 20 do assert.is_true(results[n]) end
    end)

    it("belongs to its group, and that of the app also sees what no route takes", function()
      local seen = {}
      app:use(function(req, res, next)
        next()
        seen[#seen + 1] = req.path .. " " .. res.status
      end)
      local group = app:group("/g")
      group:use(function(_, res, next)
        res:header("X-Group", "yes")
        return next()
      end)
      group:get("/in", function() return "in" end)
      app:get("/out", function() return "out" end)
      assert.are.equal("yes", ask("GET", "/g/in").headers:get("x-group"))
      assert.is_nil(ask("GET", "/out").headers:get("x-group"))
      assert.are.equal(404, ask("GET", "/none").status)
      assert.are.equal(405, ask("PUT", "/out").status)
      assert.are.same({ "/g/in 200", "/out 200", "/none 404", "/out 405" }, seen)
    end)

    it("refuses next outside the request's own task", function()
      app:use(function(_, _, next)
        local task = hv.go(next)
        local _, message = task:join()
        return message
      end)
      app:get("/", function() return "never" end)
      assert.is_truthy(body("/"):find("only in the task of the request", 1, true))
    end)
  end)

  it("has not_found answer in place of the 404", function()
    app:not_found(function(req) return "no " .. req.path end)
    app:get("/m", function() return "x" end)
    local answer = ask("GET", "/x")
    assert.are.equal(404, answer.status)
    assert.are.equal("no /x", answer.body)
    assert.are.equal(405, ask("PUT", "/m").status)
  end)
end)
