local hv = require "hv"
local raw = require "raw_http"

describe("hv.http files", function()
  local app, server, dir

  before_each(function()
    dir = assert(hv.fs.tmpdir())
    assert(hv.fs.write(dir .. "/a.txt", "hello"))
    assert(hv.fs.write(dir .. "/ä b.bin", ("x"):rep(300000)))
    assert(hv.fs.mkdir(dir .. "/sub"))
    assert(hv.fs.write(dir .. "/sub/index.html", "<p>index</p>"))
    app = hv.http.app()
    server = raw.listen(app)
  end)

  after_each(function()
    raw.stop(server)
    hv.fs.remove(dir, { recursive = true })
  end)

  it("are served below a prefix", function()
    app:static("/files", dir, { cache_control = "max-age=60" })
    local answer = raw.exchange(server, "GET", "/files/a.txt")
    assert.are.equal("hello", answer.body)
    assert.are.equal("text/plain; charset=utf-8", answer.headers["content-type"])
    assert.are.equal("max-age=60", answer.headers["cache-control"])
    assert.are.equal(300000, #raw.exchange(server, "GET", "/files/%C3%A4%20b.bin").body)
    assert.are.equal("<p>index</p>", raw.exchange(server, "GET", "/files/sub/").body)
    assert.are.equal("/files/sub/", raw.exchange(server, "GET", "/files/sub").headers.location)
    assert.are.equal("/files/", raw.exchange(server, "GET", "/files").headers.location)
    assert.are.equal(404, raw.exchange(server, "GET", "/files/").status)
    assert.are.equal(404, raw.exchange(server, "GET", "/files/missing").status)
    local refused = raw.exchange(server, "DELETE", "/files/a.txt")
    assert.are.equal(405, refused.status)
    assert.are.equal("GET, HEAD, OPTIONS", refused.headers.allow)
  end)

  it("have a fallback for pages that are missing", function()
    app:static("/app", dir, { fallback = "sub/index.html" })
    for _, target in ipairs { "/app/some/view", "/app/deep/er/" .. ("long"):rep(100), "/app/none/",
      "/app/" } do
      local answer = raw.exchange(server, "GET", target)
      assert.are.same({ 200, "<p>index</p>", "text/html; charset=utf-8" },
        { answer.status, answer.body, answer.headers["content-type"] })
    end
    local etag = raw.exchange(server, "GET", "/app/view").headers.etag
    assert.are.equal(304, raw.exchange(server, "GET", "/app/other", { ["If-None-Match"] = etag })
      .status)
    assert.are.equal("hello", raw.exchange(server, "GET", "/app/a.txt").body)
    assert.are.equal(301, raw.exchange(server, "GET", "/app/sub").status)
    for _, target in ipairs { "/app/none.js", "/app/.hidden", "/app/a%2fb", "/app/x/../.x" } do
      assert.are.equal(404, raw.exchange(server, "GET", target).status)
    end
    assert.are.equal(405, raw.exchange(server, "POST", "/app/view", nil, "x").status)
    app:static("/bad", dir, { fallback = "none.html" })
    assert.are.equal(404, raw.exchange(server, "GET", "/bad/view").status)
    app:error_page(function(status) return "page " .. status end)
    assert.are.equal("page 404", raw.exchange(server, "GET", "/bad/view").body)
    app:use(function(_, res, next_handler)
      res.headers:set("X-Own", "1")
      return next_handler()
    end)
    local answer = raw.exchange(server, "GET", "/app/view")
    assert.are.same({ "<p>index</p>", "1" }, { answer.body, answer.headers["x-own"] })
    assert.has_error(function() app:static("/worse", dir, { fallback = "/" }) end)
  end)

  it("are served at the root, behind other routes", function()
    app:get("/api", function() return "api" end)
    app:static("/", dir, { listing = true, index = false })
    assert.are.equal("api", raw.exchange(server, "GET", "/api").body)
    assert.are.equal("hello", raw.exchange(server, "GET", "/a.txt").body)
    assert.is_truthy(raw.exchange(server, "GET", "/").body:find('href="./a.txt"', 1, true))
    assert.is_truthy(raw.exchange(server, "GET", "/sub/").body:find("index.html", 1, true))
  end)

  it("pass through middleware, which adds headers and sees the end", function()
    local seen = {}
    app:use(function(req, res, next)
      res.headers:set("X-Of-Middleware", "yes")
      next()
      seen[#seen + 1] = req.path
    end)
    app:static("/files", dir)
    local answer = raw.exchange(server, "GET", "/files/a.txt")
    assert.are.same({ "hello", "yes" }, { answer.body, answer.headers["x-of-middleware"] })
    assert.are.equal(300000, #raw.exchange(server, "GET", "/files/%C3%A4%20b.bin").body)
    assert.are.same({ "/files/a.txt", "/files/%C3%A4%20b.bin" }, seen)
  end)

  it("follow links only inside, or not at all", function()
    os.execute(("ln -s /etc/passwd '%s/out'; ln -s a.txt '%s/in'"):format(dir, dir))
    app:static("/some", dir)
    app:static("/none", dir, { links = false })
    assert.are.equal("hello", raw.exchange(server, "GET", "/some/in").body)
    assert.are.equal(404, raw.exchange(server, "GET", "/some/out").status)
    assert.are.equal(404, raw.exchange(server, "GET", "/none/in").status)
    assert.are.equal("hello", raw.exchange(server, "GET", "/none/a.txt").body)
  end)

  it("need a directory that is there and known options", function()
    assert.has_error(function() app:static("/x", dir .. "/missing") end,
      ("app:static: %s/missing: no such file or directory"):format(dir))
    assert.has_error(function() app:static("x", dir) end)
    assert.has_error(function() app:static("/x", dir, { lisitng = true }) end)
  end)

  it("are sent by res:file with conditions and ranges", function()
    local waited
    app:get("/file", function(_, res)
      waited = { res:file(dir .. "/a.txt", { download = 'naïve "x".txt' }) }
    end)
    local answer = raw.exchange(server, "GET", "/file")
    assert.are.equal("hello", answer.body)
    assert.are.equal("attachment; filename=\"na__ve _x_.txt\"; "
      .. "filename*=UTF-8''na%C3%AFve%20%22x%22.txt", answer.headers["content-disposition"])
    assert.are.same({ true }, waited)
    answer = raw.exchange(server, "GET", "/file", { Range = "bytes=1-2" })
    assert.are.equal(206, answer.status)
    assert.are.equal("el", answer.body)
    local tag = answer.headers.etag
    assert.are.equal(304, raw.exchange(server, "GET", "/file", { ["If-None-Match"] = tag }).status)
  end)

  it("are what a handler returns", function()
    app:get("/there", function() return { file = dir .. "/a.txt", headers = { ["X-A"] = "1" } } end)
    app:get("/missing", function() return { file = dir .. "/missing" } end)
    app:get("/dir", function() return { file = dir } end)
    app:get("/error", function() return { status = 404, file = dir .. "/a.txt" } end)
    local answer = raw.exchange(server, "GET", "/there")
    assert.are.equal("hello", answer.body)
    assert.are.equal("1", answer.headers["x-a"])
    assert.are.equal(404, raw.exchange(server, "GET", "/missing").status)
    assert.are.equal(404, raw.exchange(server, "GET", "/dir").status)
    answer = raw.exchange(server, "GET", "/error")
    assert.are.equal(404, answer.status)
    assert.are.equal("hello", answer.body)
  end)

  it("that are missing leave the answer to the handler", function()
    local message, code
    app:get("/", function(_, res)
      local ok
      ok, message, code = res:file(dir .. "/missing")
      return ok and "no" or "elsewhere"
    end)
    assert.are.equal("elsewhere", raw.exchange(server, "GET", "/").body)
    assert.are.equal("res:file: no such file or directory", message)
    assert.are.equal("ENOENT", code)
  end)
end)
