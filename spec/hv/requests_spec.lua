--- hv.requests: the conversations of the tutorial on HTTP clients.
local helper = require "helper"
local hv = require "hv"
local requests = require "hv.requests"

describe("hv.requests", function()
  local server, host

  before_each(function()
    local app = hv.http.app()
    app:get("/", function(req) return "agent " .. (req:header("x-agent") or "-") end)
    app:any("/echo", function(req) return { body = req.method .. " " .. req:body(),
      headers = { ["content-type"] = req:header("content-type") or "text/plain" } } end)
    server = assert(app:listen { host = "127.0.0.1", port = 0 })
    host = "127.0.0.1:" .. server:port()
  end)

  after_each(function() server:close(0) end)

  it("gets and posts, waiting", function()
    local resp = requests.get("http://" .. host)
    assert.are.same({ 200, "OK", "agent -", "agent -" },
      { resp.status_code, resp.status_message(), resp.body, resp.content })
    resp = requests.post(host .. "/echo", "hello,world!")
    assert.are.same({ 200, "POST hello,world!" }, { resp.status_code, resp.body })
    assert.are.equal("PUT x", requests.put(host .. "/echo", "x").body)
    assert.are.equal("DELETE ", requests.delete(host .. "/echo").body)
    assert.are.equal("PATCH y", requests.request("PATCH", host .. "/echo", "y").body)
    resp = requests.request { method = "POST", url = host .. "/echo", body = "z" }
    assert.are.equal("POST z", resp.body)
    assert.are.equal(200, requests.head(host).status_code)
  end)

  it("takes headers or options", function()
    assert.are.equal("agent me", requests.get(host, { ["X-Agent"] = "me" }).body)
    local resp = requests.post(host .. "/echo", "{}", { ["Content-Type"] = "application/json" })
    assert.are.equal("application/json", resp.headers["content-type"])
    assert.are.equal("POST a=1", requests.post(host .. "/echo", { form = { a = 1 } }).body)
    assert.is_false(pcall(requests.get, host, { timout = 1 }))
  end)

  it("calls a trailing function instead of waiting", function()
    local note, calls = helper.recorder()
    requests.request({ method = "POST", url = host .. "/echo", body = "this is an async request.",
      timeout = 10000 }, note)
    assert.are.equal(0, #calls)
    helper.eventually(function() return #calls == 1 end)
    assert.are.same({ 200, "POST this is an async request." },
      { calls[1][1].status_code, calls[1][1].body })
  end)

  it("gives nil and why where a request failed", function()
    local resp, message, code = requests.get("http://127.0.0.1:1/")
    assert.is_nil(resp)
    assert.matches("connection refused", message)
    assert.are.equal("ECONNREFUSED", code)
  end)

  it("uploads and downloads files", function()
    local dir = assert(hv.fs.tmpdir())
    assert(hv.fs.write(dir .. "/a", "content"))
    local sent = requests.upload(host .. "/echo", dir .. "/a").body
    assert.matches('name="file"; filename="a"\r\n.-\r\n\r\ncontent\r\n', sent)
    sent = requests.upload(host .. "/echo", { x = dir .. "/a" }, { n = "v" }).body
    assert.matches('name="x"; filename="a"\r\n.-\r\n\r\ncontent\r\n', sent)
    assert.matches('name="n"\r\n\r\nv\r\n', sent)
    assert.are.equal("ENOENT", select(3, requests.upload(host .. "/echo", dir .. "/none")))
    assert.are.equal(7, requests.download(host, dir .. "/b").bytes)
    assert.are.equal("agent -", hv.fs.read(dir .. "/b"))
    hv.fs.remove(dir, { recursive = true })
  end)
end)
