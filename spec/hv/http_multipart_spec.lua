local hv = require "hv"
local raw = require "raw_http"

local function part(disposition, body, more)
  return "--x\r\nContent-Disposition: " .. disposition .. "\r\n" .. (more or "") ..
    "\r\n" .. body .. "\r\n"
end

local TYPE = { ["Content-Type"] = "multipart/form-data; boundary=x" }

describe("hv.http multipart", function()
  local app, server, dir

  before_each(function()
    app = hv.http.app { max_body = "64M" }
    server = raw.listen(app)
    dir = assert(hv.fs.tmpdir())
  end)

  after_each(function()
    raw.stop(server)
    hv.fs.remove(dir, { recursive = true })
  end)

  --- Runs fn(req) as the handler of one request; returns what it returned, and the answer.
  local function inside(fn, body, lines)
    local results
    app:post("/", function(req)
      results = { fn(req) }
      return "ok"
    end)
    local answer = raw.exchange(server, "POST", "/", lines or TYPE, body)
    return results, answer
  end

  it("gives the parts one after the other", function()
    local body = "preamble\r\n" .. part('form-data; name="a"', "1") ..
      part('form-data; name="f"; filename="C:\\\\d\\\\q.txt"', "-x is no\r\n-- boundary",
        "Content-Type: text/plain\r\n") .. part("form-data; name=e", "") .. "--x--\r\nepilogue"
    local seen = inside(function(req)
      local list = {}
      for p in assert(req:multipart()) do
        list[#list + 1] = { p.name, p.filename or "", p:body(), p.headers["content-type"] or "",
          tostring(p) }
      end
      return list
    end, body)[1]
    assert.are.same({
      { "a", "", "1", "", 'hv.http.part{"a"}' },
      { "f", "q.txt", "-x is no\r\n-- boundary", "text/plain", 'hv.http.part{"f" "q.txt"}' },
      { "e", "", "", "", 'hv.http.part{"e"}' },
    }, seen)
  end)

  it("skips what is not read, and ends", function()
    local results = inside(function(req)
      local form = assert(req:multipart())
      local first = assert(form:next())
      local second = assert(form:next())
      local piece, _, code = first:read()
      local body = second:body()
      local again = { second:read() }
      local last = { form:next() }
      return second.name, body, piece == nil and code, again[3], last[3], form:error()
    end, part("form-data; name=a", ("long"):rep(1000)) .. part("form-data; name=b", "2") .. "--x--")
    assert.are.same({ "b", "2", "EOF", "EOF", "EOF" }, results)
  end)

  it("saves files as they come", function()
    local data = ("0123456789abcdef"):rep(1024 * 64)
    local results, answer = inside(function(req)
      local p = assert(assert(req:multipart()):next())
      return p:save(dir .. "/" .. p.filename)
    end, part('form-data; name=f; filename="../up.bin"', data) .. "--x--")
    assert.are.equal("ok", answer.body)
    assert.are.same({ #data }, results)
    assert.is_true(hv.fs.read(dir .. "/up.bin") == data)
  end)

  it("removes what it could not save", function()
    local results = inside(function(req)
      local form = assert(req:multipart { max_file = 1000 })
      local p = assert(form:next())
      local bytes, message, code = p:save(dir .. "/half")
      return bytes or "nil", message, code, (hv.fs.exists(dir .. "/half"))
    end, part("form-data; name=f; filename=f", ("x"):rep(5000)) .. "--x--")
    assert.are.same({ "nil", "req:multipart: multipart: limit exceeded", "ELIMIT", false }, results)
  end)

  it("tells where it cannot save to", function()
    local results = inside(function(req)
      local p = assert(assert(req:multipart()):next())
      return select(3, p:save(dir .. "/missing/f"))
    end, part("form-data; name=f; filename=f", "x") .. "--x--")
    assert.are.same({ "ENOENT" }, results)
  end)

  it("refuses a malformed form in a loop with a 400", function()
    local seen, failure = {}, nil
    local _, answer = inside(function(req)
      local form = assert(req:multipart())
      for p in form do seen[#seen + 1] = p.name end
      failure = { form:error() }
    end, part("form-data; name=a", "1") .. "--x\r\nno colon\r\n\r\n")
    assert.are.equal(400, answer.status)
    assert.are.same({ "a" }, seen)
    assert.are.same({ "req:multipart: malformed form", "EPROTO" }, failure)
  end)

  it("refuses a form beyond a limit in a loop with a 413", function()
    local _, answer = inside(function(req)
      for _ in assert(req:multipart { max_parts = 1 }) do end -- luacheck: ignore 542
    end, part("form-data; name=a", "1") .. part("form-data; name=b", "2") .. "--x--")
    assert.are.equal(413, answer.status)
  end)

  it("tells a form that is cut off anywhere", function()
    local whole = part('form-data; name="a"', "value") .. "--x--"
    local codes = {}
    app:post("/cut", function(req)
      local fields, _, code = req:form()
      codes[#codes + 1] = fields and "whole" or code
      return "ok"
    end)
    local client = raw.connect(server)
    for stop = 1, #whole do
      client:send(("POST /cut HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\n"
        .. "Content-Length: %d\r\n\r\n%s"):format(TYPE["Content-Type"], stop, whole:sub(1, stop)))
      client:receive()
    end
    client.conn:close()
    assert.are.equal(#whole, #codes)
    for stop = 1, #whole - 1 do assert.are.equal("EPROTO", codes[stop], "cut at " .. stop) end
    assert.are.equal("whole", codes[#whole])
  end)

  it("is no form where the type is none", function()
    local results = inside(function(req)
      local form, message, code = req:multipart()
      return form or "nil", message, code
    end, "x", { ["Content-Type"] = "text/plain" })
    assert.are.same({ "nil", "multipart: not found", "ENOTFOUND" }, results)
  end)

  it("is malformed without a boundary", function()
    assert.are.same({ "EPROTO" }, inside(function(req)
      return select(3, req:form())
    end, "x", { ["Content-Type"] = "multipart/form-data" }))
  end)

  it("limits the fields of an urlencoded form", function()
    local results = inside(function(req)
      return select(3, req:form { max_parts = 2 })
    end, "a=1&b=2&c=3", { ["Content-Type"] = "application/x-www-form-urlencoded" })
    assert.are.same({ "ELIMIT" }, results)
  end)
end)

describe("hv.http req:read", function()
  local app, server

  before_each(function()
    app = hv.http.app()
    server = raw.listen(app)
  end)

  after_each(function() raw.stop(server) end)

  it("gives pieces as they arrive and then the end", function()
    local client, pieces, code = raw.connect(server), {}, nil
    app:post("/", function(req)
      while true do
        local piece, _, reason = req:read()
        if not piece then
          code = reason
          return "done"
        end
        pieces[#pieces + 1] = piece
        if table.concat(pieces) == "abc" then client:send("def") end
      end
    end)
    client:send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\nabc")
    assert.are.equal("done", client:receive().body)
    assert.are.equal("abcdef", table.concat(pieces))
    assert.is_true(#pieces >= 2)
    assert.are.equal("EOF", code)
    client.conn:close()
  end)

  it("loses no piece that nobody waited for any more", function()
    local client, got = raw.connect(server), nil
    app:post("/", function(req)
      local first = { hv.timeout(10, function() return req:read() end) }
      client:send("late")
      -- Another task waits meanwhile: the piece that comes is for nobody.
      hv.sleep(50)
      got = { first[3], req:read() }
      return "ok"
    end)
    client:send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n")
    client:receive()
    assert.are.same({ "ETIMEDOUT", "late" }, got)
    client.conn:close()
  end)

  it("has such a piece in front of the rest", function()
    local client, body = raw.connect(server), nil
    app:post("/", function(req)
      hv.timeout(10, function() return req:read() end)
      client:send("late ")
      hv.after(30, function() client:send("and more") end) -- in any order
      local code, _
      repeat -- EBUSY while that piece is still awaited
        hv.sleep(1)
        body, _, code = req:body()
      until code ~= "EBUSY"
      return "ok"
    end)
    client:send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 13\r\n\r\n")
    client:receive()
    assert.are.equal("late and more", body)
    client.conn:close()
  end)

  it("has the limit that the handler sets", function()
    app = hv.http.app { max_body = 4 }
    local small = assert(app:listen { host = "127.0.0.1", port = 0 })
    app:post("/", function(req)
      req:set_max_body("1K")
      return req:body()
    end)
    app:post("/small", function(req) return (select(3, req:read())) end)
    assert.are.equal("hello", raw.exchange(small, "POST", "/", {}, "hello").body)
    assert.are.equal(413, raw.exchange(small, "POST", "/small", {}, "hello").status)
    small:close(0)
  end)

  it("leaves the rest to req:body", function()
    local client, got = raw.connect(server), nil
    app:post("/", function(req)
      local first = req:read()
      client:send("rest")
      got = { first, req:body(), select(3, req:read()) }
      return "ok"
    end)
    client:send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n1")
    client:receive()
    assert.are.same({ "1", "rest", "EOF" }, got)
    client.conn:close()
  end)

  it("tells a body that is cut short from its end", function()
    local client, got = raw.connect(server), nil
    app:post("/", function(req)
      req:read()
      client.conn:close()
      got = { req:read() }
    end)
    client:send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n1")
    while not got do hv.sleep(1) end
    assert.are.equal("ECLOSED", got[3])
  end)
end)
