--- Our server of HTTP/2 and what others make: node, Chromium, nginx (as a proxy that speaks HTTP/2
--- to us) and h2load.
local certs_of = require "certs"
local hv = require "hv"
local nginx_of = require "nginx"

local dir, certs, app, plain, secure

setup(function()
  dir = assert(hv.fs.tmpdir())
  certs = certs_of.new()
  app = hv.http.app()
  app:get("/", function() return { html = "<title>here</title>" } end)
  app:get("/number", function(req) return req.version .. " " .. req.query.n end)
  app:post("/echo", function(req, res) res:send(assert(req:body())) end)
  app:get("/slow", function() hv.sleep(200) return "slow" end)
  app:get("/events", function(_, res)
    local events = res:sse()
    for i = 1, 3 do events:send(i) end
  end)
  local versions = {}
  app:ws("/ws", {
    on_open = function(ws, req) versions[ws] = req.version end,
    on_message = function(ws, text) ws:send(text .. " over " .. versions[ws]) end,
    on_close = function(ws) versions[ws] = nil end,
  })
  local mine = certs:issue("localhost", "DNS:localhost,IP:127.0.0.1")
  plain = assert(app:listen { path = dir .. "/plain" })
  secure = assert(app:listen { host = "127.0.0.1", port = 0, tls = mine })
end)

teardown(function()
  plain:close(0)
  secure:close(0)
  certs:remove()
  hv.fs.remove(dir, { recursive = true })
end)

local function run(...)
  local result = assert(hv.process.run { timeout = 60000, ... })
  assert.equal(0, result.status, result.stderr .. result.stdout)
  return result.stdout
end

local function secure_url() return ("https://localhost:%d/"):format(secure:port()) end

describe("our server of HTTP/2", function()
  it("serves node, WebSocket included", function()
    run("node", "spec/e2e/http2_node.mjs", secure_url(), certs.ca)
    local clear = assert(app:listen { host = "127.0.0.1", port = 0 })
    run("node", "spec/e2e/http2_node.mjs", ("http://127.0.0.1:%d"):format(clear:port()))
    clear:close(0)
  end)

  it("serves Chromium, WebSocket included", function()
    run("node", "spec/e2e/http2_chromium.mjs", secure_url())
  end)

  it("stands behind nginx", function()
    local nginx = nginx_of.start(([[
      upstream us { server unix:%s/plain; keepalive 4; }
      server { listen unix:@/front; location / { grpc_pass grpc://us; } }]]):format(dir))
    local front = { "curl", "-sS", "--unix-socket", nginx.dir .. "/front" }
    local function curl(...)
      local words = { unpack(front) }
      for _, word in ipairs { ... } do words[#words + 1] = word end
      return run(unpack(words))
    end
    assert.equal("2 5", curl("http://x/number?n=5"))
    local body = ("0123456789"):rep(20000)
    assert(hv.fs.write(dir .. "/body", body))
    assert.equal(body, curl("--data-binary", "@" .. dir .. "/body", "http://x/echo"))
    assert.equal("404 Not Found\n", curl("http://x/nowhere"))
    nginx:stop()
  end)

  it("loses nothing under load", function()
    local out = run("h2load", "-n", "20000", "-c", "10", "-m", "50", secure_url() .. "number?n=1")
    assert.matches("20000 succeeded, 0 failed, 0 errored, 0 timeout", out, 1, true)
  end)
end)
