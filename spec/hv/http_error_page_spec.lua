local hv = require "hv"
local raw = require "raw_http"

describe("app:error_page", function()
  local app, server

  before_each(function()
    app = hv.http.app()
    server = raw.listen(app)
  end)

  after_each(function() raw.stop(server) end)

  local function get(host, target) return raw.get(server, target or "/", host) end

  it("answers for errors", function()
    local seen = {}
    hv.on_error(function() end)
    app:error_page(function(status, req)
      seen[#seen + 1] = status .. " " .. req.path
      return ("<h1>%d</h1>"):format(status)
    end)
    app:get("/gone", function() return 410 end)
    app:get("/fine", function() return 204 end)
    app:get("/throws", function() error("no") end)
    app:get("/own", function() return { status = 404, text = "own" } end)
    local answer = get("x", "/gone")
    assert.are.equal(410, answer.status)
    assert.are.equal("<h1>410</h1>", answer.body)
    assert.are.equal("text/html; charset=utf-8", answer.headers["content-type"])
    assert.are.equal(204, get("x", "/fine").status)
    assert.are.equal("<h1>500</h1>", get("x", "/throws").body)
    assert.are.equal("<h1>404</h1>", get("x", "/missing").body)
    assert.are.equal("own", get("x", "/own").body)
    hv.on_error(nil)
    assert.are.same({ "410 /gone", "500 /throws", "404 /missing" }, seen)
  end)

  -- What is not in memory is looked for by a thread, so each is asked for twice.
  local function check_static(prefix, expected)
    for _, path in ipairs { "/none", "/none", "/.hidden", "/..%2fREADME.md", "/", "/hv/" } do
      local answer = get("x", prefix .. path)
      assert.are.equal(404, answer.status)
      assert.are.equal(expected .. prefix .. path, answer.body)
    end
    assert.is_truthy(get("x", prefix .. "/hv/http_error_page_spec.lua").body:find("error_page"))
    assert.are.equal(405, raw.exchange(server, "POST", prefix .. "/none").status)
  end

  it("answers for files that are not there, with middleware or without", function()
    app:error_page(function(status, req) return status .. " of " .. req.path end)
    app:static("/files", "spec")
    app:group("/inside"):use(function(_, _, next_handler) return next_handler() end)
      :static("/files", "spec")
    check_static("/files", "404 of ")
    check_static("/inside/files", "404 of ")
    app:on_response(function() end)
    check_static("/files", "404 of ")
  end)

  it("leaves files that are not there to app:not_found", function()
    app:static("/files", "spec")
    assert.are.equal("404 Not Found\n", get("x", "/files/none").body)
    app:not_found(function(req, res) return "no " .. res.status .. " " .. req.path end)
    check_static("/files", "no 404 ")
    app:use(function(_, _, next_handler) return next_handler() end)
    check_static("/files", "no 404 ")
  end)
end)
