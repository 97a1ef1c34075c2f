local hv = require "hv"
local raw = require "raw_http"

describe("app:error_page", function()
  local app, server

  before_each(function()
    app = hv.http.app()
    server = assert(app:listen { host = "127.0.0.1", port = 0 })
  end)

  after_each(function()
    server:close(0)
    hv.sleep(1)
  end)

  local function get(host, target)
    local client = raw.connect(server)
    client:send(("GET %s HTTP/1.1\r\nHost: %s\r\n\r\n"):format(target or "/", host))
    local answer = client:receive()
    client.conn:close()
    return answer
  end

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
end)
