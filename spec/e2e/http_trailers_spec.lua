--- Trailers with peers that others have written: curl, nghttp and node as clients of our server,
--- node as a server of our client, and through a gateway of ours between them.
local hv = require "hv"
local json = hv.json

local app, server, url

setup(function()
  app = hv.http.app()
  app:post("/", function(req, res)
    res:write(assert(req:body()))
    local lines = {}
    for name, value in assert(req:trailers()):each() do
      lines[#lines + 1] = name:lower() .. "=" .. value
    end
    table.sort(lines)
    res:trailer("X-Got", table.concat(lines, ","))
    res:trailer("Grpc-Status", 0)
  end)
  server = assert(app:listen { host = "127.0.0.1", port = 0 })
  url = "http://127.0.0.1:" .. server:port() .. "/"
end)

teardown(function() server:close(0) end)

local function run(...)
  local result = assert(hv.process.run { timeout = 60000, ... })
  assert.equal(0, result.status, result.stderr .. result.stdout)
  return result.stdout
end

describe("trailers of our server", function()
  it("are seen by curl", function()
    for _, version in ipairs { "--http1.1", "--http2-prior-knowledge" } do
      local seen = run("curl", "-s", "-i", version, "-d", "body", url):lower()
      assert.matches("body", seen)
      assert.matches("\ngrpc%-status: 0\r?\n", seen)
    end
  end)

  it("are sent to nghttp, and taken from it", function()
    local seen = run("nghttp", "-v", "--trailer=x-sum: abc", "--data=README.md", url)
    assert.matches("x%-got: x%-sum=abc", seen)
    assert.matches("grpc%-status: 0", seen)
  end)

  it("go both ways with node", function()
    local first, second = unpack(json.decode(run("node", "spec/e2e/http_trailers.mjs", "client",
      url)))
    local wanted = { body = "body",
      trailers = { ["x-got"] = "x-other=1,x-sum=abc", ["grpc-status"] = "0" } }
    assert.are.same(wanted, first)
    assert.are.same(wanted, second)
  end)
end)

describe("trailers of node's server", function()
  local node, first, second, client

  setup(function()
    node = assert(hv.process.spawn { "node", "spec/e2e/http_trailers.mjs", "server",
      stdin = "pipe", stdout = "pipe" })
    first, second = assert(node.stdout:read_line()):match "^(%d+) (%d+)"
    client = assert(hv.http.client {})
  end)

  teardown(function()
    client:close()
    node.stdin:close()
    node:wait()
  end)

  it("go both ways", function()
    for _, peer in ipairs { { first, false }, { second, "prior_knowledge" } } do
      local reply = assert(client:post("http://127.0.0.1:" .. peer[1] .. "/", "body", {
        http2 = peer[2], trailers = { ["X-Sum"] = "abc" }, headers = { TE = "trailers" },
      }))
      assert.are.equal("body", reply.body)
      assert.are.same({ "abc", "trailers" },
        { reply:trailers()["x-sum"], reply:trailers()["x-te"] })
    end
  end)

  it("go both ways through a gateway", function()
    local front = hv.http.app()
    front:proxy("/", "http://127.0.0.1:" .. first)
    local gateway = assert(front:listen { host = "127.0.0.1", port = 0 })
    local through = "http://127.0.0.1:" .. gateway:port() .. "/"
    for _, http2 in ipairs { false, "prior_knowledge" } do
      local reply = assert(client:post(through, "body", { http2 = http2,
        trailers = { ["X-Sum"] = "abc" }, headers = { TE = "trailers" } }))
      assert.are.equal("body", reply.body)
      assert.are.same({ "abc", "trailers", "x-sum" }, { reply:trailers()["x-sum"],
        reply:trailers()["x-te"], reply.headers.trailer })
    end
    gateway:close(0)
  end)
end)
