local helper = require "helper"
local hv = require "hv"
local raw = require "raw_http"

describe("hv.http", function()
  local app, server

  before_each(function()
    app = hv.http.app()
  end)

  after_each(function()
    if server then raw.stop(server) end
    server = nil
  end)

  local function serve()
    server = raw.listen(app)
    return server
  end

  local function get(target, lines)
    return raw.exchange(server or serve(), "GET", target, lines)
  end

  it("answers with the string a handler returns", function()
    app:get("/", function() return "hello\n" end)
    local answer = get("/")
    assert.are.equal(200, answer.status)
    assert.are.equal("text/plain", answer.headers:get("content-type"))
    assert.are.equal("hello\n", answer.body)
    assert.is_truthy(answer.headers:get("date"))
    assert.are.equal(1, server:requests())
  end)

  it("answers with the status a handler returns", function()
    app:get("/gone", function() return 410 end)
    app:get("/empty", function() return 204 end)
    assert.are.equal("410 Gone\n", get("/gone").body)
    local answer = get("/empty")
    assert.are.equal(204, answer.status)
    assert.is_nil(answer.headers:get("content-length"))
  end)

  it("answers with the table a handler returns", function()
    app:get("/json", function() return { json = { 1, 2 }, status = 201 } end)
    app:get("/html", function() return { html = "<p>", headers = { ["X-A"] = { "1", "2" } } } end)
    app:get("/body", function()
      return { body = "x", headers = { ["content-type"] = "image/png" } }
    end)
    app:get("/text", function() return { text = "\195\164" } end)
    app:get("/status", function() return { status = 404 } end)
    local answer = get("/json")
    assert.are.same({ 201, "application/json", "[1,2]" },
      { answer.status, answer.headers:get("content-type"), answer.body })
    answer = get("/html")
    assert.are.equal("text/html; charset=utf-8", answer.headers:get("content-type"))
    assert.are.same({ "1", "2" }, answer.headers:get_all("x-a"))
    assert.are.same({ "image/png" }, get("/body").headers:get_all("content-type"))
    assert.are.equal("\195\164", get("/text").body)
    assert.are.equal("404 Not Found\n", get("/status").body)
  end)

  it("streams what a handler writes", function()
    app:get("/", function()
      return { stream = function(write)
        write("one")
        hv.sleep(1)
        write("two")
      end }
    end)
    assert.are.same({ "one", "two" }, get("/").pieces)
  end)

  it("lets a handler wait, and others run meanwhile", function()
    app:get("/slow", function()
      hv.sleep(30)
      return "slow"
    end)
    app:get("/fast", function() return "fast" end)
    serve()
    local order = {}
    local function ask(path)
      return function()
        local body = raw.exchange(server, "GET", path).body
        order[#order + 1] = body
        return true
      end
    end
    hv.all({}, ask("/slow"), ask("/fast"))
    assert.are.same({ "fast", "slow" }, order)
  end)

  it("answers pipelined requests in order, also when the first waits", function()
    app:get("/:n", function(req)
      local n = tonumber(req.params.n)
      if n % 2 == 1 then hv.sleep(5) end
      return "answer " .. n
    end)
    local client = raw.connect(serve())
    local text = {}
    for n = 1, 8 do text[n] = raw.request("GET", "/" .. n) end
    client:send(table.concat(text))
    for n = 1, 8 do assert.are.equal("answer " .. n, client:receive().body) end
    client:close()
  end)

  it("turns an error into 500 and reports it", function()
    app:get("/", function() error("boom") end)
    app:get("/late", function()
      hv.sleep(1)
      error({})
    end)
    serve()
    local errors = raw.errors_of(function()
      assert.are.equal(500, get("/").status)
      assert.are.equal("500 Internal Server Error\n", get("/late").body)
    end)
    assert.are.equal(2, #errors)
    assert.is_truthy(errors[1]:find("boom", 1, true))
  end)

  it("cuts the connection where an answer has begun before the error", function()
    local has_come
    app:get("/", function(_, res)
      res:write("part")
      helper.eventually(function() return has_come end)
      error("boom")
    end)
    local client = raw.connect(serve())
    local errors = raw.errors_of(function()
      client:send(raw.request("GET", "/"))
      local text = client.conn:read_until("part\r\n")
      assert.matches("^HTTP/1.1 200 OK\r\n", text)
      has_come = true
      assert.is_nil((client.conn:read())) -- neither the end of the body nor another answer
    end)
    assert.are.equal(1, #errors)
    client:close()
  end)

  it("reports a handler that gives no answer, or a strange one", function()
    app:get("/nothing", function() end)
    app:get("/boolean", function() return true end)
    app:get("/number", function() return 42 end)
    app:get("/key", function() return { jsn = 1 } end)
    serve()
    local errors = raw.errors_of(function()
      for _, path in ipairs { "/nothing", "/boolean", "/number", "/key" } do
        assert.are.equal(500, get(path).status)
      end
    end)
    assert.are.equal(4, #errors)
    assert.is_truthy(errors[1]:find("GET /nothing", 1, true))
    assert.is_truthy(errors[4]:find('did you mean "json"', 1, true))
  end)

  it("has on_error answer in place of the 500", function()
    app:get("/", function() error("boom", 0) end)
    app:on_error(function(message, req, res)
      res.status = 503
      return "sorry: " .. message .. " at " .. req.path
    end)
    raw.errors_of(function()
      local answer = get("/")
      assert.are.equal(503, answer.status)
      assert.are.equal("sorry: boom at /", answer.body)
    end)
  end)

  it("falls back to 500 where on_error throws", function()
    app:get("/", function() error("boom", 0) end)
    app:on_error(function() error("again", 0) end)
    local errors = raw.errors_of(function()
      assert.are.equal(500, get("/").status)
    end)
    assert.are.equal(2, #errors)
  end)

  it("refuses a body over its limit", function()
    app = hv.http.app { max_body = "1K" }
    app:post("/", function(req)
      local body, _, code = req:body()
      return body and "body" or code
    end)
    serve()
    assert.are.equal(200, raw.exchange(server, "POST", "/", nil, ("x"):rep(1024)).status)
    assert.are.equal(413, raw.exchange(server, "POST", "/", nil, ("x"):rep(1025)).status)
  end)

  it("finishes the answer in flight when it closes", function()
    local begun
    app:get("/", function()
      begun = true
      hv.sleep(20)
      return "done"
    end)
    local client = raw.connect(serve())
    local idle = raw.connect(server)
    client:send(raw.request("GET", "/"))
    helper.eventually(function() return begun end)
    server:close(5000)
    assert.are.equal("hv.http_server{closed}", tostring(server))
    assert.is_true(idle:is_at_end())
    local answer = client:receive()
    assert.are.equal("done", answer.body)
    assert.are.equal("close", answer.headers:get("connection"))
    assert.is_true(client:is_at_end())
    assert.is_true(server:close())
    assert.are.same({ nil, "port: closed", "ECLOSED" }, { server:port() })
    client:close()
    idle:close()
  end)

  it("shows its address", function()
    serve()
    local expected = "hv.http_server{listening 127.0.0.1:%d, 0 connections}"
    assert.are.equal(expected:format(server:port()), tostring(server))
    assert.are.equal("127.0.0.1", server:address().ip)
  end)

  it("returns why it cannot listen", function()
    serve()
    local other, message, code = app:listen { host = "127.0.0.1", port = server:port() }
    assert.is_nil(other)
    assert.is_truthy(message:find("listen 127.0.0.1:", 1, true))
    assert.are.equal("EADDRINUSE", code)
  end)

  it("listens on a port alone, or an address", function()
    app:get("/", function() return "hi" end)
    for _, short in ipairs { 0, "127.0.0.1:0" } do
      local other = assert(app:listen(short))
      assert.are.equal("hi", hv.http.get("http://127.0.0.1:" .. other:port()).body)
      other:close(0)
    end
    assert.has_error(function() app:listen("8080") end,
      'app:listen: "host:port" expected, got "8080"')
    assert.has_error(function() app:listen() end, "app:listen: port is missing")
  end)

  it("tells what is wrong with a handler's result", function()
    app:get("/failure", function() return nil, "no luck" end)
    app:get("/key", function() return { stauts = 200 } end)
    app:get("/body", function() return { body = { 1 } } end)
    local told = {}
    hv.on_error(function(message) told[#told + 1] = message end)
    for _, path in ipairs { "/failure", "/key", "/body" } do
      assert.are.equal(500, get(path).status)
    end
    helper.eventually(function() return #told == 3 end)
    hv.on_error(nil)
    assert.are.same({
      "hv.http: GET /failure: the handler failed: no luck",
      'hv.http: GET /key: unknown key stauts in a handler\'s result, did you mean "status"?',
      "hv.http: GET /body: the body of a handler's result must be a string, got table",
    }, told)
  end)

  it("tells where a method was called with a dot", function()
    for name, call in pairs {
      get = function() app.get("/", print) end, use = function() app.use(print) end,
      ws = function() app.ws("/", print) end, static = function() app.static("/", ".") end,
      publish = function() app.publish("topic", "data") end, paths = function() app.paths() end,
      on_error = function() app.on_error(print) end, host = function() app.host("a.example") end,
      error_page = function() app.error_page(print) end,
      not_found = function() app.not_found(print) end,
      on_response = function() app.on_response(print) end,
      subscribers = function() app.subscribers("topic") end,
    } do
      local ok, message = pcall(call)
      assert.is_false(ok)
      assert.matches("http_spec.lua:%d+: app:" .. name ..
        ": hv.http.app expected, got %a+ %(call methods with ':'%)$", message)
    end
    assert.has_error(function() app.listen { port = 0 } end)
  end)

  it("throws for misuse", function()
    assert.has_error(function() hv.http.app { max_bdy = 1 } end)
    assert.has_error(function() app:listen {} end)
    assert.has_error(function() app:listen { port = 70000 } end)
    assert.has_error(function() app:get("/") end)
    assert.has_error(function() app:get("no slash", print) end)
    assert.has_error(function() app:get(nil, print) end)
    assert.has_error(function() app:route("BREW", "/", print) end)
    assert.has_error(function() app:use(1) end)
    app:get("/twice", print)
    assert.has_error(function() app:get("/twice", print) end)
  end)

  it("lets go of handlers when a closed server and its app are dropped", function()
    local kept = setmetatable({}, { __mode = "k" })
    do
      local other = hv.http.app()
      local witness = {}
      kept[witness] = true
      other:get("/", function() return witness end)
      local listening = assert(other:listen { host = "127.0.0.1", port = 0 })
      listening:close(0)
    end
    helper.collected(kept)
  end)
end)
