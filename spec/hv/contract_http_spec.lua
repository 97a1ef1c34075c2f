--- The contract of the Lua API: HTTP and WebSocket.
local contract = require "contract"
local helper = require "helper"
local hv = require "hv"
local raw_http = require "raw_http"

local pack = contract.pack
local both = contract.both
local code_of = contract.code_of
local has = contract.has

local LOCAL = "127.0.0.1"

local function nothing() end

-- ---- HTTP ----

local function serve(define, opts)
  local app = hv.http.app(opts)
  define(app)
  local server = assert(app:listen { host = LOCAL, port = 0 })
  return server, "http://" .. LOCAL .. ":" .. server:port(), app
end

describe("contract: hv.http server", function()
  local server, url
  after_each(function()
    if server then server:close(0) end
    server = nil
  end)

  it("answers by what a handler gives", function()
    local path = os.tmpname()
    assert(hv.fs.write(path, "of a file"))
    local results = {
      { "text", 200, "text", "text/plain" }, { 204, 204, "" },
      { { status = 201, headers = { ["X-A"] = "b" }, body = "b" }, 201, "b" },
      { { json = { a = 1 } }, 200, '{"a":1}', "application/json" },
      { { html = "<p>" }, 200, "<p>", "text/html" }, { { file = path }, 200, "of a file" },
      { { stream = function(write) write("a") hv.sleep(1) write("b") end }, 200, "ab" },
    }
    server = serve(function(app)
      for i, case in ipairs(results) do app:get("/" .. i, function() return case[1] end) end
      app:get("/res", function(_, res) res.status = 202 res:send("sent", "text/x") end)
    end)
    for i, case in ipairs(results) do
      local answer = raw_http.exchange(server, "GET", "/" .. i)
      assert.same({ case[2], case[3] }, { answer.status, answer.body })
      if case[4] then assert.matches(case[4], answer.headers["content-type"], 1, true) end
    end
    assert.equal("b", raw_http.exchange(server, "GET", "/3").headers["x-a"])
    local answer = raw_http.exchange(server, "GET", "/res")
    assert.same({ 202, "sent" }, { answer.status, answer.body })
    os.remove(path)
  end)

  it("routes", function()
    local backend = serve(function(app) app:get("/x", function() return "behind" end) end)
    server, url = serve(function(app)
      has(app, [[get post put patch delete head options any route group use static proxy ws on_error
        not_found listen]])
      for _, method in ipairs { "get", "post", "put", "patch", "delete", "options", "any" } do
        app[method](app, "/" .. method, function(req) return req.method end)
      end
      app:head("/head", function() return 204 end)
      app:route("GET", "/p/literal", function() return "literal" end)
      app:get("/p/:name", function(req) return "name " .. req.params.name end)
      app:get("/p/*rest", function(req) return "rest " .. req.params.rest end)
      app:group("/group"):get("/in", function() return "in" end)
      app:use(function(_, res, next) res.headers:set("X-Use", "yes") next() end)
      app:static("/files", "spec/support", { index = "helper.lua", listing = true })
      app:proxy("/api", "http://" .. LOCAL .. ":" .. backend:port())
      app:on_error(function(message) return "sorry " .. tostring(message:match("on purpose")) end)
      app:not_found(function() return "none" end)
      app:get("/throws", function() error("on purpose") end)
    end, { max_body = "8M", request_timeout = 15000, idle_timeout = 75000 })
    local function get(path, method)
      local reply = assert(hv.http.request { url = url .. path, method = method })
      return reply.status .. " " .. reply.body
    end
    for _, method in ipairs { "get", "post", "put", "patch", "delete", "options" } do
      assert.equal("200 " .. method:upper(), get("/" .. method, method:upper()))
    end
    assert.equal("200 PUT", get("/any", "PUT"))
    assert.equal("204 ", get("/head", "HEAD"))
    assert.equal("200 ", get("/get", "HEAD"))
    assert.equal("200 literal", get("/p/literal"))
    assert.equal("200 name x", get("/p/x"))
    assert.equal("200 rest x/y", get("/p/x/y"))
    assert.equal("200 in", get("/group/in"))
    assert.equal("yes", hv.http.get(url .. "/group/in").headers["x-use"])
    assert.matches("^200 %-%-%- helper.lua", get("/files/"))
    assert.equal("200 behind", get("/api/x"))
    assert.equal("404 none", get("/nothing"))
    local errors = raw_http.errors_of(function()
      assert.equal("500 sorry on purpose", get("/throws"))
    end)
    assert.equal(1, #errors)
    local answer = raw_http.exchange(server, "POST", "/get")
    assert.equal(405, answer.status)
    assert.matches("GET", answer.headers.allow)
    assert.equal(204, raw_http.exchange(server, "OPTIONS", "/get").status)
    backend:close(0)
  end)

  it("tells of the request", function()
    local seen
    server, url = serve(function(app)
      app:post("/a/:id", function(req)
        req.headers:add("X-More", "1")
        req.headers:add("X-More", "2")
        req.headers:set("X-Set", "3")
        seen = { req.method, req.path, req.query.q, req.params.id, req.headers["x-name"],
          req.headers:get("X-NAME"), req:header("x-name"), req.headers:get_all("x-more")[2],
          req.headers["x-set"], req.cookies.c, req.peer.ip, req.host, req.scheme, req.version,
          type(req.id) }
        both(req.body, req)
        return { json = req:json() }
      end)
      app:post("/form", function(req) return req:form().name end)
      app:post("/read", function(req)
        local pieces = {}
        for piece in function() return (req:read()) end do pieces[#pieces + 1] = piece end
        return table.concat(pieces)
      end)
      app:post("/parts", function(req)
        local text = {}
        for part in assert(req:multipart()) do
          if part.filename then
            local path = os.tmpname()
            assert(part:save(path))
            text[#text + 1] = part.filename .. "=" .. hv.fs.read(path)
            os.remove(path)
          else
            assert.is_string(part.headers["content-disposition"])
            text[#text + 1] = part.name .. "=" .. part:read()
          end
        end
        return table.concat(text, " ")
      end)
    end)
    local reply = assert(hv.http.post(url .. "/a/7?q=z", { json = { x = { 1 } },
      headers = { ["X-Name"] = "v", Cookie = "c=d" } }))
    assert.same({ x = { 1 } }, reply:json())
    assert.same({ "POST", "/a/7", "z", "7", "v", "v", "v", "2", "3", "d", LOCAL,
      LOCAL .. ":" .. server:port(), "http", "1.1", "number" }, seen)
    assert.equal("v w", assert(hv.http.post(url .. "/form", { form = { name = "v w" } })).body)
    assert.equal("body", assert(hv.http.post(url .. "/read", "body")).body)
    assert.equal("a=1 f.txt=text", assert(hv.http.post(url .. "/parts", { multipart = {
      { name = "a", value = "1" }, { name = "f", value = "text", filename = "f.txt" } } })).body)
  end)

  it("lets a response do it all", function()
    server, url = serve(function(app)
      local ways = {
        text = function(res) res:text("t") end, json = function(res) res:json { 1 } end,
        html = function(res) res:html("<p>") end, file = function(res) res:file("README.md") end,
        redirect = function(res) res:redirect("/text", 303) end,
        write = function(res) res:write("a") res:write("b") res:finish() end,
        sse = function(res)
          local s = res:sse()
          for i = 1, 2 do s:send(i, { event = "tick" }) end
        end,
        cookie = function(res)
          res:set_cookie("n", "v", { path = "/", http_only = true })
          res:header("X-A", "b")
          res.headers:set("X-B", "c")
          res:send("x")
        end,
      }
      for name, way in pairs(ways) do app:get("/" .. name, function(_, res) way(res) end) end
    end)
    local function get(name)
      return assert(hv.http.get(url .. "/" .. name, { redirects = false }))
    end
    assert.equal("t", get("text").body)
    assert.equal("[1]", get("json").body)
    assert.equal("<p>", get("html").body)
    assert.equal(hv.fs.read("README.md"), get("file").body)
    assert.same({ 303, "/text" }, { get("redirect").status, get("redirect").headers.location })
    assert.equal("ab", get("write").body)
    assert.equal("event: tick\ndata: 1\n\nevent: tick\ndata: 2\n\n", get("sse").body)
    local reply = get("cookie")
    assert.matches("^n=v", reply.headers["set-cookie"])
    assert.same({ "b", "c" }, { reply.headers["x-a"], reply.headers["x-b"] })
  end)
end)

describe("contract: hv.http client", function()
  it("sends requests in both forms", function()
    local server, url = serve(function(app)
      app:any("/", function(req) return req.method .. " " .. (req:body() or "") end)
      app:get("/query", function(req) return req.query.a end)
      app:get("/away", function(_, res) res:redirect("/query?a=b") end)
    end)
    for _, method in ipairs { "get", "post", "put", "patch", "delete", "head" } do
      local results = pack(hv.http[method](url, { timeout = 60000 }))
      assert.equal(method == "head" and "" or method:upper() .. " ", results[1].body)
      both(hv.http[method], url)
    end
    assert.equal("PUT x", hv.http.put(url, "x").body)
    local reply = assert(hv.http.request { method = "GET", url = url .. "/query", timeout = 30000,
      query = { a = "c" }, headers = {}, connect_timeout = 1000, redirects = 10, proxy = false,
      decompress = true })
    assert.same({ 200, "OK", "c", url .. "/query?a=c" },
      { reply.status, reply.reason, reply.body, reply.url })
    assert.matches("text/plain", reply.headers["Content-Type"])
    assert.equal(404, hv.http.get(url .. "/none").status)
    assert.equal("b", hv.http.get(url .. "/away").body)
    local progress = 0
    assert(hv.http.post(url, "xyz", { on_progress = function() progress = progress + 1 end }))
    assert.is_true(progress > 0)
    reply = assert(hv.http.get(url, { stream = true }))
    local pieces = {}
    for chunk in reply:chunks() do pieces[#pieces + 1] = chunk end
    assert.equal("GET ", table.concat(pieces))
    reply:close()
    reply:close()
    local session = hv.http.client { base_url = url, headers = { A = "b" }, cookies = true }
    assert.equal("d", session:get("query", { query = { a = "d" } }).body)
    session:close()
    server:close(0)
    hv.sleep(1)
    code_of("ECONNREFUSED", hv.http.get(url))
    both(hv.http.get, url)
  end)
end)

describe("contract: hv.ws", function()
  it("has sockets on both sides", function()
    local closed
    local server, url, app = serve(function(a)
      a:ws("/echo", function(ws) for data, kind in ws:messages() do ws:send(data, kind) end end)
      a:ws("/event", { protocols = "p", deflate = true, max_message = "1M",
        on_open = function(ws) ws:subscribe("news") end,
        on_message = function(ws, data, kind) ws:send(data, kind) end,
        on_close = function(_, code, reason) closed = code .. " " .. reason end })
      a:ws("/bye", function(ws) ws:close(4001, "bye") end)
      a:ws("/origins", { origins = "https://a.example" }, nothing)
    end)
    url = url:gsub("^http", "ws")
    both(hv.ws.connect, url .. "/echo")
    local ws = assert(hv.ws.connect(url .. "/echo", { headers = { A = "b" }, deflate = true,
      max_message = "16M", ping_interval = 30000, timeout = 60000 }))
    both(ws.send, ws, "text", "text")
    assert.same({ n = 2, "text", "text" }, (both(ws.receive, ws)))
    ws:send("\255", "binary")
    assert.same({ "\255", "binary" }, { ws:receive() })
    assert.is_true(ws:ping("x"))
    ws:close()
    ws:close()
    code_of("ECLOSED", ws:receive())
    ws = assert(hv.ws.connect(url .. "/bye"))
    code_of("ECLOSED", ws:receive())
    assert.equal(4001, ws.close_code)
    ws = assert(hv.ws.connect(url .. "/event", { protocols = { "p" } }))
    ws:send("x")
    local next_message, messages = ws:messages()
    assert.equal("x", (next_message(messages)))
    assert.equal(1, app:publish("news", "today"))
    assert.equal("today", (ws:receive()))
    ws:close(4000, "bye")
    helper.eventually(function() return closed end)
    assert.equal("4000 bye", closed)
    both(hv.ws.connect, "ws://" .. LOCAL .. ":1")
    code_of("EPROTO", hv.ws.connect(url .. "/origins",
      { headers = { Origin = "https://b.example" } }))

    local client = assert(hv.ws.connect(url .. "/echo", { reconnect = { min_delay = 1 } }))
    code_of("ENOTCONN", client:send("x"))
    code_of("ENOTCONN", client:peer())
    both(client.send, client, "x")
    code_of("ETIMEDOUT", client:receive(1))
    helper.eventually(function() return client.is_open end)
    assert.equal(LOCAL, client:peer().ip)
    local before = helper.active()
    assert.equal(before - 1, (client:unref() and helper.active()))
    client:ref()
    client:send("y")
    client:send("y")
    both(client.receive, client, 60000)
    client:close()
    server:close(0)
  end)
end)
