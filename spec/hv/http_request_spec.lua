local helper = require "helper"
local hv = require "hv"
local raw = require "raw_http"

describe("hv.http request", function()
  local app, server

  before_each(function()
    app = hv.http.app()
    server = raw.listen(app)
  end)

  after_each(function() raw.stop(server) end)

  --- Runs fn as the handler of one request and returns what it returned.
  local function inside(fn, method, target, lines, body)
    local results
    app:any("/*rest", function(req, res)
      results = { n = 3, fn(req, res) }
      return "ok"
    end)
    local answer = raw.exchange(server, method or "GET", target or "/", lines, body)
    assert.are.equal("ok", answer.body)
    return unpack(results, 1, results.n)
  end

  it("has its parts", function()
    local kept
    local t = inside(function(req)
      kept = req
      return {
        req.method, req.path, req.target, req.query_string, req.version, req.scheme, req.host,
        req.id, req.peer.ip, tostring(req),
      }
    end, "PUT", "/a%20b?x=1")
    assert.are.same({
      "PUT", "/a%20b", "/a%20b?x=1", "x=1", "1.1", "http", "x", 1, "127.0.0.1",
      "hv.http.request{PUT /a%20b?x=1}",
    }, t)
    assert.is_nil(kept.path)
    assert.are.equal("hv.http.request{over}", tostring(kept))
    assert.are.equal("ECLOSED", (select(3, kept:body())))
  end)

  it("decodes its query", function()
    local query = inside(function(req)
      assert.are.equal(req.query, req.query)
      return req.query
    end, "GET", "/?a=1&b=x+y%21&a=2&c&=d&&e=")
    assert.are.same({ a = "1", b = "x y!", c = "", [""] = "d", e = "" }, query)
    app = hv.http.app()
  end)

  it("has no query where there is none", function()
    assert.are.same({}, inside(function(req) return req.query end))
  end)

  it("finds headers in any case", function()
    local t = inside(function(req)
      return {
        req:header("X-ONE"), req.headers["x-one"], req.headers:get("X-One"), req:header("none"),
        #req.headers:get_all("x-one"),
      }
    end, "GET", "/", { ["X-One"] = " a b " })
    assert.are.same({ "a b", "a b", "a b", nil, 1 }, t)
  end)

  it("reads cookies", function()
    local cookies = inside(function(req) return req.cookies end, "GET", "/",
      { Cookie = 'a=1; b="two words"; c=%C3%A4; a=again; d=' })
    assert.are.same({ a = "1", b = "two words", c = "\195\164", d = "" }, cookies)
  end)

  it("waits for its body", function()
    local lengths, begun = {}, 0
    app:post("/", function(req)
      begun = begun + 1
      lengths[#lengths + 1] = #assert(req:body())
      assert.are.equal(#req:body(), lengths[#lengths])
      return "ok"
    end)
    local client = raw.connect(server)
    client:send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\nabc")
    helper.eventually(function() return begun == 1 end)
    client:send("def")
    client:receive()
    client:send("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n")
    helper.eventually(function() return begun == 2 end)
    client:send("3\r\ncde\r\n0\r\n\r\n")
    client:receive()
    client:send(raw.request("POST", "/"))
    client:receive()
    client:close()
    assert.are.same({ 6, 5, 0 }, lengths)
  end)

  it("calls a trailing function with the body, later", function()
    local order = {}
    app:post("/", function(req, res)
      req:body(function(body)
        order[#order + 1] = "body " .. body
        res:send(body)
      end)
      order[#order + 1] = "returned"
      hv.sleep(5)
    end)
    assert.are.equal("abc", raw.exchange(server, "POST", "/", nil, "abc").body)
    assert.are.same({ "returned", "body abc" }, order)
  end)

  it("reads piece by piece to the end", function()
    local first, second, code = inside(function(req)
      local data = req:read()
      local rest, _, why = req:read()
      return data, rest, why
    end, "POST", "/", nil, "abc")
    assert.are.same({ "abc", nil, "EOF" }, { first, second, code })
  end)

  it("tells a body that is cut short", function()
    local begun, code
    app:post("/", function(req)
      begun = true
      code = select(3, req:body())
      return "unheard"
    end)
    local client = raw.connect(server)
    client:send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\nabc")
    helper.eventually(function() return begun end)
    client:close()
    helper.eventually(function() return code end)
    assert.are.equal("EOF", code)
  end)

  it("decodes JSON", function()
    local value = inside(function(req) return req:json() end, "POST", "/", nil, '{"a":[1]}')
    assert.are.same({ a = { 1 } }, value)
  end)

  it("tells what is no JSON", function()
    local value, message, code = inside(function(req) return req:json() end, "POST", "/", nil, "{")
    assert.is_nil(value)
    assert.is_truthy(message:find("^req:json: "))
    assert.are.equal("EPROTO", code)
  end)

  it("decodes an urlencoded form", function()
    local form = inside(function(req) return req:form() end, "POST", "/",
      { ["Content-Type"] = "application/x-www-form-urlencoded" }, "user=a+b&pswd=%31")
    assert.are.same({ user = "a b", pswd = "1" }, form)
  end)

  it("decodes a multipart form with a file", function()
    local body = table.concat({
      "preamble", "--b\"1", 'Content-Disposition: form-data; name="text"', "", "line 1", "line 2",
      "--b\"1", 'content-disposition: form-data; filename="a \\"b\\".txt"; name=file',
      "Content-Type: text/x", "", "--not the end", "--b\"1--", "epilogue",
    }, "\r\n")
    local form = inside(function(req) return req:form() end, "POST", "/",
      { ["Content-Type"] = 'multipart/form-data; boundary="b"1' }, (body:gsub('b"1', "b")))
    assert.are.equal("line 1\r\nline 2", form.text)
    assert.are.equal("a _b_.txt", form.file.filename)
    assert.are.equal("--not the end", form.file.body)
    assert.are.equal("text/x", form.file.headers["content-type"])
  end)

  it("tells a malformed multipart form", function()
    local form, _, code = inside(function(req) return req:form() end, "POST", "/",
      { ["Content-Type"] = "multipart/form-data; boundary=b" }, "--b\r\nno end")
    assert.is_nil(form)
    assert.are.equal("EPROTO", code)
  end)

  -- A finalizer may run wherever something is made, and ask another request for a header.
  it("mixes nothing up where finalizers ask too", function()
    local text = helper.run([[
      local hv = require "hv"
      jit.off()
      local app, other, wrong = hv.http.app(), nil, 0
      app:get("/other", function(req) other = req hv.sleep(60000) return "" end)
      app:get("/", function(req)
        for _ = 1, 3000 do
          getmetatable(newproxy(true)).__gc = function() other:header("x-long") end
          if req:header("x-short") ~= "ab" then wrong = wrong + 1 end
        end
        return ""
      end)
      local server = assert(app:listen { host = "127.0.0.1", port = 0 })
      local url = "http://127.0.0.1:" .. server:port()
      hv.go(hv.http.get, url .. "/other", { headers = { ["x-long"] = ("L"):rep(7000) } })
      while not other do hv.sleep(1) end
      collectgarbage("setpause", 50)
      collectgarbage("setstepmul", 1000)
      assert(hv.http.get(url, { headers = { ["x-short"] = "ab" } }))
      print("wrong: " .. wrong)
      hv.stop()]])
    assert.are.equal("wrong: 0\n", text)
  end)

  it("is the same to compiled code", function()
    local seen = {}
    local function look(req)
      seen.method, seen.path, seen.query = req.method, req.path, req.query_string
      seen.host, seen.target = req.host, req.target
      seen.header, seen.missing = req:header("X-One"), req:header("x-none")
      seen.number = req:header(1)
    end
    local kept
    inside(function(req)
      kept = req
      for _ = 1, 300 do look(req) end
      req.path = "mine"
      for _ = 1, 300 do look(req) end
    end, "GET", "/a?b", { ["X-One"] = "1", ["1"] = "one" })
    assert.are.same({ method = "GET", path = "mine", query = "b", host = "x",
      target = "/a?b", header = "1", number = "one" }, seen)
    local ended = {}
    for i = 1, 300 do ended = { kept.method, i, select("#", kept:header("x")) } end
    assert.are.equal(300, ended[2])
    assert.are.equal(3, ended[3])
    assert.is_nil(ended[1])
    local header = kept.header
    for _ = 1, 300 do
      assert.is_false((pcall(header, io.stdout, "x")))
      assert.is_false((pcall(header, newproxy(), "x")))
    end
  end)

  it("keeps values of the user's", function()
    local value = inside(function(req)
      req.anything = { 1 }
      collectgarbage()
      return req.anything[1]
    end)
    assert.are.equal(1, value)
  end)
end)
