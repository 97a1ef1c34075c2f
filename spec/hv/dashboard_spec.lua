local hv = require "hv"
local raw_http = require "raw_http"

describe("hv.metrics.dashboard", function()
  local server, app

  before_each(function()
    app = hv.http.app()
  end)

  after_each(function() server:close(0) end)

  local function mount(prefix, opts)
    assert.equal(app, hv.metrics.dashboard(app, prefix, opts))
    server = assert(app:listen { host = "127.0.0.1", port = 0 })
  end

  local function get(path) return raw_http.exchange(server, "GET", path) end

  it("serves a page that loads nothing from elsewhere", function()
    mount("/dashboard", { title = "Jobs & <co>" })
    local page = get "/dashboard/"
    assert.equal(200, page.status)
    assert.matches("<title>Jobs &amp; &lt;co&gt;</title>", page.body, 1, true)
    assert.not_matches("https?://", page.body)
    assert.not_matches("{{", page.body, 1, true)
    assert.matches("default-src 'self'", page.headers:get("content-security-policy"), 1, true)
    for _, path in ipairs { "dashboard.css", "dashboard.js", "panels.js" } do
      assert.matches('="' .. path .. '"', page.body, 1, true)
      assert.equal(200, get("/dashboard/" .. path).status, path)
    end
    assert.equal("text/css", get("/dashboard/dashboard.css").headers:get("content-type"))
    assert.equal("text/javascript", get("/dashboard/dashboard.js").headers:get("content-type"))
  end)

  it("leads from the name without a slash to the page", function()
    mount "/a/b"
    local answer = get "/a/b"
    assert.is_true(answer.status >= 301 and answer.status <= 308)
    assert.equal("b/", answer.headers:get("location"))
  end)

  it("may be the page of the root", function()
    mount "/"
    assert.equal(200, get("/").status)
    assert.equal(200, get("/dashboard.js").status)
  end)

  it("has the app's panels, whose titles are text and whose scripts are modules", function()
    mount("/d", { panels = {
      { title = "<b>", html = "<p>one</p>" },
      { title = "Two", html = "<p>two</p>", script = "panel.dataset.ran = 1", wide = true },
    } })
    local page = get("/d/").body
    assert.matches('id="panel-1-title">&lt;b&gt;</h2><p>one</p>', page, 1, true)
    assert.matches('<section class="panel wide" id="panel-2"', page, 1, true)
    local script = get("/d/panels.js").body
    assert.matches('run("panel-2", async (panel) => {\npanel.dataset.ran = 1\n});', script, 1, true)
    assert.not_matches("panel-1", script, 1, true)
  end)

  it("streams numbers that move", function()
    mount("/d", { interval = 5 })
    local conn = assert(hv.tcp.connect { host = "127.0.0.1", port = server:port() })
    conn:write "GET /d/numbers HTTP/1.1\r\nHost: h\r\n\r\n"
    local function next_numbers()
      assert(conn:read_until "data: ")
      return hv.json.decode((assert(conn:read_line())))
    end
    local first = next_numbers()
    for _, name in ipairs { "now", "requests", "cpu", "lag", "connections", "tasks", "memory",
      "lua_memory" } do
      assert.equal("number", type(first[name]), name)
    end
    assert.is_true(first.connections >= 1)
    get "/d/"
    local later
    repeat later = next_numbers() until later.requests > first.requests
    assert.is_true(later.now > first.now)
    conn:close()
  end)

  it("refuses panels and options that it does not know", function()
    mount "/d"
    assert.has_error(function() hv.metrics.dashboard(app, 1) end)
    assert.has_error(function() hv.metrics.dashboard(app, "/e", { panel = {} }) end)
    assert.has_error(function() hv.metrics.dashboard(app, "/e", { panels = { 1 } }) end)
    assert.has_error(function()
      hv.metrics.dashboard(app, "/e", { panels = { { name = "x" } } })
    end)
  end)
end)
