local helper = require "helper"
local hv = require "hv"
local raw = require "raw_http"

describe("hv.http response", function()
  local app, server

  before_each(function()
    app = hv.http.app()
    server = raw.listen(app)
  end)

  after_each(function() raw.stop(server) end)

  --- The answer of a handler.
  local function answer_of(fn)
    app:get("/*rest", fn)
    return raw.exchange(server, "GET", "/")
  end

  it("sends a body with a type", function()
    local kept, again
    local answer = answer_of(function(_, res)
      kept = res
      assert.are.equal("hv.http.response{open 200}", tostring(res))
      assert.is_true(res:send("x", "image/png"))
      again = { res:send("y") }
    end)
    assert.are.equal("x", answer.body)
    assert.are.equal("image/png", answer.headers:get("content-type"))
    assert.are.equal("EBUSY", again[3])
    assert.are.equal("ECLOSED", (select(3, kept:send("z"))))
    assert.are.equal("hv.http.response{over}", tostring(kept))
  end)

  it("has a status and headers", function()
    local answer = answer_of(function(_, res)
      res.status = 201
      res:header("X-One", "a")
      res:header("x-one", "b")
      res:header("X-List", { "1", "2" })
      res.headers:add("X-List", 3)
      assert.are.equal("b", res:header("X-ONE"))
      assert.are.equal("b", res.headers["x-one"])
      assert.are.equal(201, res.status)
      return "made"
    end)
    assert.are.equal(201, answer.status)
    assert.are.equal("Created", answer.reason)
    assert.are.same({ "b" }, answer.headers:get_all("x-one"))
    assert.are.same({ "1", "2", "3" }, answer.headers:get_all("x-list"))
    assert.are.equal("made", answer.body)
  end)

  it("refuses headers that would break the answer", function()
    local problems = 0
    local answer = answer_of(function(_, res)
      for _, bad in ipairs {
        { "X-A", "a\r\nSet-Cookie: b" }, { "X-A", "a\nb" }, { "X-A", "a\0b" }, { "X A", "a" },
        { "", "a" }, { "X-A", {} }, { "Date", "now" }, { "Transfer-Encoding", "x" },
        { "Connection", "x" }, { "X-A", true },
      } do
        if not pcall(res.header, res, bad[1], bad[2]) then problems = problems + 1 end
      end
      if not pcall(function() res.status = 99 end) then problems = problems + 1 end
      if not pcall(function() res.headers = {} end) then problems = problems + 1 end
      if not pcall(res.redirect, res, "/a\r\nb: c") then problems = problems + 1 end
      if not pcall(res.send, res, "x", "a\r\nb: c") then problems = problems + 1 end
      return "fine"
    end)
    assert.are.equal("fine", answer.body)
    assert.are.equal(13, problems) -- an empty list removes, all others throw
    assert.is_nil(answer.headers:get("set-cookie"))
    assert.is_nil(answer.headers:get("b"))
  end)

  it("answers with a failure where it cannot be sent", function()
    local function with_too_many(result)
      return function(_, res)
        for i = 1, 130 do res:header("X-" .. i, "v") end
        return result
      end
    end
    local function with_a_bad_one(_, res)
      res.headers[1], res.headers[2] = "X", 5
      return 404
    end
    local handlers = {
      with_too_many("x"), with_too_many(404), with_too_many { text = "x" },
      with_too_many { text = "x", headers = {} }, with_a_bad_one,
    }
    for i, handler in ipairs(handlers) do
      app:get("/" .. i, handler)
      local errors = raw.errors_of(function()
        local answer = raw.exchange(server, "GET", "/" .. i)
        assert.are.equal(500, answer.status, i)
        assert.are.equal("500 Internal Server Error\n", answer.body, i)
      end)
      assert.are.equal(1, #errors, i)
    end
  end)

  it("refuses a type that is none", function()
    local ok
    local answer = answer_of(function(_, res)
      ok = pcall(res.send, res, "x", false)
      return "fine"
    end)
    assert.is_false(ok)
    assert.are.equal("fine", answer.body)
  end)

  it("sends text, html and json", function()
    app:get("/text", function(_, res) res:text("t") end)
    app:get("/html", function(_, res) res:html("<p>") end)
    app:get("/json", function(_, res) res:json({ a = 1 }) end)
    local function ask(path)
      local answer = raw.exchange(server, "GET", path)
      return answer.headers:get("content-type") .. " " .. answer.body
    end
    assert.are.equal("text/plain; charset=utf-8 t", ask("/text"))
    assert.are.equal("text/html; charset=utf-8 <p>", ask("/html"))
    assert.are.equal('application/json {"a":1}', ask("/json"))
  end)

  describe("from a table", function()
    local function answer_by(result) return answer_of(function() return result end) end

    it("is plain or not, which nobody can tell", function()
      local lists = {
        { { json = { 1, 2 } }, 200, "application/json", "[1,2]" },
        { { json = "x", status = 201 }, 201, "application/json", '"x"' },
        { { json = false }, 200, "application/json", "false" },
        { { text = "t" }, 200, "text/plain; charset=utf-8", "t" },
        { { html = "<p>" }, 200, "text/html; charset=utf-8", "<p>" },
        { { body = "b", status = 404 }, 404, "text/plain", "b" },
        { { body = "b", headers = { ["Content-Type"] = "a/b" } }, 200, "a/b", "b" },
        { { json = { 1 }, headers = { ["X-A"] = "1" } }, 200, "application/json", "[1]" },
        { { text = 7 }, 200, "text/plain; charset=utf-8", "7" },
        { { status = 202 }, 202, "text/plain", "202 Accepted\n" },
      }
      for i, case in ipairs(lists) do
        app:get("/case" .. i, function() return case[1] end)
        local answer = raw.exchange(server, "GET", "/case" .. i)
        assert.are.equal(case[2], answer.status, i)
        assert.are.equal(case[3], answer.headers:get("content-type"), i)
        assert.are.equal(case[4], answer.body, i)
      end
    end)

    it("keeps the headers and the status that were set", function()
      local answer = answer_of(function(_, res)
        res.status = 203
        res:header("X-A", "1")
        return { json = {} }
      end)
      assert.are.equal(203, answer.status)
      assert.are.equal("1", answer.headers:get("x-a"))
      assert.are.equal("{}", answer.body)
    end)

    it("has a metatable that is asked as well", function()
      local result = setmetatable({ text = "t" }, { __index = { status = 404 } })
      local answer = answer_by(result)
      assert.are.same({ 404, "t" }, { answer.status, answer.body })
    end)

    it("with a header that cannot be sent is a failure of the handler", function()
      local seen
      app:on_error(function(message, _, res)
        seen = message
        res.headers:remove("X")
        return { text = "told" }
      end)
      local errors = raw.errors_of(function()
        local answer = answer_of(function(_, res)
          res.headers[1], res.headers[2] = "X", 5
          return { json = {} }
        end)
        assert.are.same({ 500, "told" }, { answer.status, answer.body })
      end)
      assert.matches("a header or the type cannot be sent", seen, 1, true)
      assert.are.same({ seen }, errors)
    end)

    it("goes by an encoder that was put in the place of hv.json's", function()
      local encode, calls = hv.json.encode, 0
      hv.json.encode = function(value)
        calls = calls + 1
        hv.sleep(1)
        return "mine: " .. encode(value)
      end
      local answer = answer_by { json = { 1 } }
      hv.json.encode = encode
      assert.are.equal("mine: [1]", answer.body)
      assert.are.equal(1, calls)
    end)

    it("tells what is wrong with it", function()
      local cases = {
        { { json = print }, "Cannot serialise function" },
        { { jsno = 1 }, '/bad2: unknown key jsno in a handler\'s result, did you mean "json"' },
        { { "x" }, "unknown key 1 in a handler's result" },
        { { body = "b", status = 99 }, "res.status" },
        { { body = "b", status = 200.5 }, "res.status" },
        { { body = "b", status = 0 }, "res.status" },
        { { body = "b", status = "404" }, "res.status" },
        { { body = "b", status = false }, "res.status" },
        { { body = {} }, "must be a string, got table" },
      }
      for i, case in ipairs(cases) do
        app:get("/bad" .. i, function() return case[1] end)
        local errors = raw.errors_of(function()
          assert.are.equal(500, raw.exchange(server, "GET", "/bad" .. i).status)
        end)
        assert.are.equal(1, #errors)
        assert.matches(case[2], errors[1], 1, true)
      end
    end)

    it("is warned of where its JSON held the loop up", function()
      local text = helper.run([[
        local hv = require "hv"
        hv.slow_callback(1)
        local app, rows = hv.http.app(), {}
        for i = 1, 200000 do rows[i] = i + 0.5 end
        app:get("/", function() return { json = rows } end)
        local server = assert(app:listen { host = "127.0.0.1", port = 0 })
        hv.http.get("http://127.0.0.1:" .. server:port())
        server:close()]])
      assert.matches("in encoding what a handler returned as JSON", text)
    end)
  end)

  it("redirects", function()
    app:get("/moved", function(_, res) res:redirect("/there", 301) end)
    local answer = answer_of(function(_, res) res:redirect("/here") end)
    assert.are.equal(302, answer.status)
    assert.are.equal("/here", answer.headers:get("location"))
    assert.are.equal(301, raw.exchange(server, "GET", "/moved").status)
  end)

  it("sets cookies", function()
    local answer = answer_of(function(_, res)
      res:set_cookie("a", "1")
      res:set_cookie("b", "x; y\195\164", {
        path = "/p", domain = "example.com", max_age = 60000, expires = 0, secure = true,
        http_only = true, same_site = "Lax",
      })
      assert.has_error(function() res:set_cookie("a b", "1") end)
      assert.has_error(function() res:set_cookie("a", "1", { pth = "/" }) end)
      assert.has_error(function() res:set_cookie("a", "1", { path = "/\r\nX: y" }) end)
      return "ok"
    end)
    assert.are.same({
      "a=1; Path=/",
      "b=x%3B%20y%C3%A4; Path=/p; Domain=example.com; Max-Age=60; "
        .. "Expires=Thu, 01 Jan 1970 00:00:00 GMT; Secure; HttpOnly; SameSite=Lax",
    }, answer.headers:get_all("set-cookie"))
  end)

  it("writes pieces, chunked or of a known length", function()
    app:get("/known", function(_, res)
      res:header("Content-Length", 6)
      assert.is_true(res:write("abc"))
      assert.are.equal("ELIMIT", (select(3, res:write("defg"))))
      res:write("def")
      assert.is_true(res:finish())
      assert.are.equal("ECLOSED", (select(3, res:finish())))
      assert.are.equal("ECLOSED", (select(3, res:write("x"))))
    end)
    local answer = answer_of(function(_, res)
      res:write("one")
      res:write("")
      res:write("two") -- the end comes with the handler's
    end)
    assert.are.same({ "one", "two" }, answer.pieces)
    answer = raw.exchange(server, "GET", "/known")
    assert.are.equal("6", answer.headers:get("content-length"))
    assert.are.equal("abcdef", answer.body)
  end)

  it("waits for a slow reader above the high-water mark", function()
    local written, chunk = 0, ("x"):rep(262144)
    app:get("/", function(_, res)
      for _ = 1, 64 do
        assert(res:write(chunk))
        written = written + 1
      end
    end)
    local client = raw.connect(server)
    client:send(raw.request("GET", "/"))
    helper.stands_still(function() return written end)
    assert.is_true(written < 64)
    assert.are.equal(64 * 262144, #client:receive().body)
    assert.are.equal(64, written)
    client:close()
  end)

  it("wakes a writer whose peer goes away", function()
    local begun, code
    app:get("/", function(_, res)
      begun = true
      for _ = 1, 1000 do
        local ok, _, why = res:write(("x"):rep(262144))
        if not ok then
          code = why
          return
        end
      end
    end)
    local client = raw.connect(server)
    client:send(raw.request("GET", "/"))
    helper.eventually(function() return begun end)
    client:close()
    helper.eventually(function() return code end)
    assert.are.equal("ECLOSED", code)
  end)

  it("streams server-sent events", function()
    local answer = answer_of(function(_, res)
      local events = res:sse()
      events:send("one\ntwo", { event = "tick", id = 7, retry = 1000 })
      events:send({ a = 1 })
      events:comment("still\nhere")
      assert.has_error(function() events:send("x", { event = "a\nb" }) end)
      events:close()
    end)
    assert.are.equal("text/event-stream", answer.headers:get("content-type"))
    assert.are.equal("event: tick\nid: 7\nretry: 1000\ndata: one\ndata: two\n\n"
      .. 'data: {"a":1}\n\n: still here\n\n', answer.body)
  end)

  it("may be collected at any moment", function()
    local answer = answer_of(function(req, res)
      res:header("X-A", "1")
      for _ = 1, 3 do
        collectgarbage()
        hv.sleep(1)
      end
      return req.path
    end)
    assert.are.equal("/", answer.body)
    assert.are.equal("1", answer.headers:get("x-a"))
  end)
end)
