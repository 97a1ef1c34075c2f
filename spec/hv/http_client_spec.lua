--- hv.http.get and its kin, and hv.http.client, against servers of this process: hv.http.app for
--- what a server does, and hv.tcp for what no server should.
local helper = require "helper"
local hv = require "hv"

local keep, close_kept = helper.keeper()

--- A server of routes; returns the URL of its root.
local function serve(define)
  local app = hv.http.app()
  define(app)
  local server = keep(assert(app:listen { host = "127.0.0.1", port = 0 }))
  return "http://127.0.0.1:" .. server:port(), server
end

--- Answers the n-th connection with the n-th of the texts, each time a head has come; "" closes.
local function script(...)
  local answers, seen = { ... }, {}
  local server = keep(assert(hv.tcp.listen({ host = "127.0.0.1", port = 0 }, function(conn)
    while #answers > 0 do
      local head = conn:read_until("\r\n\r\n")
      if not head then return end
      seen[#seen + 1] = head
      local answer = table.remove(answers, 1)
      if answer == "" then return end
      if type(answer) == "function" then return answer(conn) end
      conn:write(answer)
    end
    conn:read()
  end)))
  return "http://127.0.0.1:" .. server:port(), seen
end

local function reply_with(body, head)
  return ("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n%s\r\n%s"):format(#body, head or "", body)
end

after_each(close_kept)

describe("hv.http.get and its kin", function()
  it("wait in a task, and call a trailing function with the same values", function()
    local base = serve(function(app) app:get("/", function() return "hello\n" end) end)
    local reply = assert(hv.http.get(base))
    assert.are.same({ 200, "OK", "hello\n", base .. "/", "text/plain" },
      { reply.status, reply.reason, reply.body, reply.url, reply.headers["Content-Type"] })
    local note, calls = helper.recorder()
    hv.http.get(base, note)
    assert.are.equal(0, #calls)
    helper.eventually(function() return #calls == 1 end)
    assert.are.equal("hello\n", calls[1][1].body)
    assert.are.same({ "hv.http.reply{200 OK " .. base .. "/}" }, { tostring(reply) })
  end)

  it("have both forms, whatever waits", function()
    local base = serve(function(app) app:get("/", function() return { json = { 7 } } end) end)
    local client = keep(hv.http.client {})
    local path = os.tmpname()
    local forms = {
      function(fn) hv.http.request({ url = base }, fn) end,
      function(fn) client:get(base, fn) end,
      function(fn) client:request({ url = base, stream = true }, fn) end,
      function(fn) hv.http.download(base, path, fn) end,
    }
    for _, form in ipairs(forms) do
      local note, calls = helper.recorder()
      form(note)
      assert.are.equal(0, #calls)
      helper.eventually(function() return #calls == 1 end)
      assert.are.equal(200, calls[1][1].status)
      local got = {}
      calls[1][1]:json(function(...) got = { n = select("#", ...), ... } end)
      helper.eventually(function() return got.n end)
      if form ~= forms[4] then assert.are.same({ 7 }, got[1]) end
    end
    os.remove(path)
    local note, calls = helper.recorder()
    assert(client:get(base, { stream = true })):read(note)
    helper.eventually(function() return #calls == 1 end)
    assert.are.equal("[7]", calls[1][1])
    base = serve(function(app) app:get("/", function() return "no json" end) end)
    local value, message, code = client:get(base):json()
    assert.is_nil(value)
    assert.matches("^get " .. base .. "/: ", message)
    assert.are.equal("EPROTO", code)
  end)

  it("send their method, and a body where one is given", function()
    local base = serve(function(app)
      app:any("/", function(req)
        return req.method .. " " .. (req:body() or "") .. " " .. (req:header("content-type") or "-")
      end)
    end)
    assert.are.equal("PUT a -", hv.http.put(base, "a").body)
    assert.are.equal("PATCH b -", hv.http.patch(base, "b").body)
    assert.are.equal("DELETE  -", hv.http.delete(base).body)
    assert.are.equal("POST [1] application/json", hv.http.post(base, { json = { 1 } }).body)
    assert.are.equal("POST a=1+2 application/x-www-form-urlencoded",
      hv.http.post(base, { form = { a = "1 2" } }).body)
    assert.are.equal("POST x text/y",
      hv.http.post(base, "x", { headers = { ["content-type"] = "text/y" } }).body)
    assert.are.equal("", hv.http.head(base).body)
    assert.are.equal("REPORT  -", hv.http.request { method = "REPORT", url = base }.body)
  end)

  it("give a failure as nil, message, code, and a status as a reply", function()
    local base = serve(function(app) app:get("/", function() return 500 end) end)
    assert.are.equal(500, hv.http.get(base).status)
    assert.are.equal(404, hv.http.get(base .. "/none").status)
    local port = helper.free_port()
    local reply, message, code = hv.http.get("http://127.0.0.1:" .. port .. "/x")
    assert.is_nil(reply)
    assert.are.equal("get http://127.0.0.1:" .. port .. "/x: connection refused", message)
    assert.are.equal("ECONNREFUSED", code)
    assert.are.equal("EINVAL", select(3, hv.http.get("ftp://h/")))
    assert.are.equal("EINVAL", select(3, hv.http.get("http://h:99999/")))
    -- RFC 7617 section 2: the user ends at the first colon.
    assert.are.same({ nil, 'url "http://a%3Ab:c@h/": the user may have no ":"', "EINVAL" },
      { hv.http.get("http://a%3Ab:c@h/") })
    local misled = serve(function(app)
      app:get("/", function(req, res)
        res:redirect("http://a%3Ab:c@" .. req:header("host") .. "/there")
      end)
    end)
    reply, message, code = hv.http.get(misled .. "/")
    assert.is_nil(reply)
    assert.matches('redirect to a user with ":"$', message)
    assert.are.equal("EPROTO", code)
  end)

  it("throw for what is misuse", function()
    local function refuses(pattern, ...)
      local ok, message = pcall(...)
      assert.is_false(ok)
      assert.matches(pattern, message)
    end
    refuses("url expected", hv.http.get, nil)
    refuses('unknown option "timout", did you mean "timeout"', hv.http.get, "h", { timout = 1 })
    refuses("either %w+ or %w+, not both", hv.http.post, "h", { json = 1, form = { a = 1 } })
    refuses("bad method", hv.http.request, { url = "h", method = "G T" })
    refuses("proxy must be", hv.http.get, "h", { proxy = "ftp://x" })
    refuses('^[^:]+:%d+: .*auth: the user may have no ":", got "me:you"$', hv.http.get, "h",
      { auth = { "me:you", "secret" } })
    refuses("auth: the password must be a string, got table", hv.http.get, "h",
      { auth = { "me", {} } })
    refuses('proxy: the user may have no ":", got "me:you"', hv.http.get, "h",
      { proxy = "http://me%3Ayou:secret@h" })
    refuses("line end", hv.http.get, "h", { headers = { a = "b\r\nc: d" } })
    refuses("base_url", hv.http.client, { base_url = "::" })
  end)

  it("keep connections, and send again what a closed one has lost", function()
    local base, seen = script(reply_with "a", "", reply_with "b")
    local client = keep(hv.http.client {})
    assert.are.equal("a", client:get(base).body)
    assert.are.equal("b", client:get(base .. "/again").body)
    assert.are.equal(3, #seen)
    assert.are.same({ 2, 1, 1 },
      { client:counts().opened, client:counts().reused, client:counts().repeated })
  end)

  it("send many at once, no more than max_connections to a host", function()
    local most, now = 0, 0
    local base = serve(function(app)
      app:get("/", function()
        now = now + 1
        most = math.max(most, now)
        hv.sleep(1)
        now = now - 1
        return "x"
      end)
    end)
    local client = keep(hv.http.client { max_connections = 3 })
    local done = 0
    hv.scope(function(s)
      for _ = 1, 20 do
        s:go(function()
          assert(client:get(base))
          done = done + 1
        end)
      end
    end)
    assert.are.same({ 20, 3 }, { done, most })
    assert.are.equal(3, client:counts().opened)
  end)

  it("do not keep the program running by what they keep", function()
    local text, status = helper.run [[
      local hv = require "hv"
      local app = hv.http.app()
      app:get("/", function() return "x" end)
      local server = assert(app:listen { host = "127.0.0.1", port = 0 })
      print(hv.http.get("http://127.0.0.1:" .. server:port()).body)
      server:close(0)]]
    assert.are.same({ "x\n", 0 }, { text, status })
  end)
end)

describe("a request's URL", function()
  it("is joined to base_url, gets queries, and gives up its user", function()
    local base = serve(function(app)
      app:get("/*all", function(req)
        return { json = { req.target, req:header("authorization") } }
      end)
    end)
    local client = keep(hv.http.client { base_url = base .. "/v1/", query = { k = "x y" } })
    local function target(path, opts) return client:get(path, opts):json()[1] end
    assert.are.equal("/v1/users?k=x%20y", target "users")
    assert.are.equal("/v1/users?k=x%20y", target "/users")
    assert.are.equal("/v1/users?a=1&k=x%20y&b=2", target("users?a=1", { query = { b = 2 } }))
    assert.are.equal("/other?k=x%20y", target(base .. "/other"))
    local plain = base:gsub("http://", "")
    assert.are.same({ "/a", "Basic " .. hv.crypto.base64("me:p:w") },
      hv.http.get("http://me:p%3Aw@" .. plain .. "/a"):json())
    assert.are.same({ "/a", "Bearer t" },
      hv.http.get(plain .. "/a", { auth = { bearer = "t" } }):json())
  end)

  it("may have an IPv6 address", function()
    local app = hv.http.app()
    app:get("/", function(req) return req:header("host") end)
    local server = keep(assert(app:listen { host = "::1", port = 0 }))
    local host = "[::1]:" .. server:port()
    assert.are.equal(host, assert(hv.http.get("http://" .. host .. "/")).body)
  end)

  it("leads to a unix socket where that is asked for", function()
    local dir = assert(hv.fs.tmpdir())
    local server = keep(assert(hv.tcp.listen({ path = dir .. "/s" }, function(conn)
      conn:read_until("\r\n\r\n")
      conn:write(reply_with "unix")
    end)))
    assert.is_truthy(server)
    local reply = assert(hv.http.get("http://any.host/", { unix_socket = dir .. "/s" }))
    assert.are.equal("unix", reply.body)
    hv.fs.remove(dir, { recursive = true })
  end)
end)

describe("a body that is sent", function()
  local function echo(app) app:post("/", function(req) return req:body() end) end

  it("comes from a function, in chunks", function()
    local base = serve(echo)
    local pieces = { "a", "bc", ("d"):rep(100000) }
    local function next_piece() return table.remove(pieces, 1) end
    local reply = assert(hv.http.post(base, { body = next_piece }))
    assert.are.equal("abc" .. ("d"):rep(100000), reply.body)
  end)

  it("fails with the failure of its function", function()
    local base = serve(echo)
    local reply, message, code = hv.http.post(base, {
      body = function() return nil, "no more paper", "EIO" end })
    assert.is_nil(reply)
    assert.matches("^post http.*: no more paper$", message)
    assert.are.equal("EIO", code)
    code = select(3, hv.http.post(base, { body = function() error("oops") end }))
    assert.are.equal("EFAILED", code)
  end)

  it("comes from a file, and as parts of a form", function()
    local path = assert(hv.fs.tmpdir()) .. "/some.txt"
    assert(hv.fs.write(path, ("line\n"):rep(30000)))
    local base = serve(function(app)
      echo(app)
    end)
    assert.are.equal(150000, #hv.http.post(base, { body = { file = path } }).body)
    assert.are.equal("ENOENT", select(3, hv.http.post(base, { body = { file = path .. "x" } })))
    assert.are.equal("ENOENT",
      select(3, hv.http.post(base, { multipart = { a = { file = path .. "x" } } })))
    local seen = {}
    local reply = assert(hv.http.post(base, {
      multipart = { { name = 'q"\n', value = "1" }, { name = "f", file = path } },
      on_progress = function(direction, bytes, total)
        if direction == "up" then seen[#seen + 1] = { bytes, total } end
      end,
    }))
    assert.matches('name="q%%22%%0A"\r\n\r\n1\r\n%-%-hv', reply.body)
    assert.matches('name="f"; filename="some.txt"\r\nContent%-Type: text/plain\r\n\r\nline\n',
      reply.body)
    assert.are.equal(#reply.body, seen[#seen][1])
    assert.are.equal(#reply.body, seen[#seen][2])
    hv.fs.remove(path:match("^(.*)/"), { recursive = true })
  end)

  it("is held back until the server says so", function()
    local base, seen = script(function(conn)
      conn:write("HTTP/1.1 100 Continue\r\n\r\n")
      local body = conn:read(4)
      conn:write(reply_with(body))
    end)
    assert.are.equal("body", hv.http.post(base, "body", { expect = 1 }).body)
    assert.matches("Expect: 100%-continue", seen[1])
  end)
end)

describe("a body that comes", function()
  it("is streamed with back-pressure, and can be given up", function()
    local written = 0
    local base = serve(function(app)
      app:get("/", function()
        return { stream = function(write)
          for _ = 1, 2000 do
            if not write(("x"):rep(65536)) then return end
            written = written + 65536
          end
        end }
      end)
    end)
    local reply = assert(hv.http.get(base, { stream = true }))
    assert.is_nil(reply.body)
    assert.are.equal("x", assert(reply:read()):sub(1, 1))
    -- Far less than the 125 MiB that would have come: socket buffers and queues are full.
    helper.stands_still(function() return written end)
    assert.is_true(written < 64 * 1048576)
    reply:close()
    reply:close()
    local chunk, message, code = reply:read()
    assert.is_nil(chunk)
    assert.is_string(message)
    assert.are.equal("ECLOSED", code)
    assert.is_false(reply.is_complete)
  end)

  it("is decoded: gzip, deflate, brotli, whole or streamed", function()
    local dir = assert(hv.fs.tmpdir())
    local text = ("hello compressed world\n"):rep(5000)
    assert(hv.fs.write(dir .. "/t", text))
    local coded = {
      gzip = hv.process.run { "gzip", "-c", dir .. "/t" }.stdout,
      deflate = hv.process.run { "python3", "-c",
        "import zlib,sys;sys.stdout.buffer.write(zlib.compress(open(sys.argv[1],'rb').read()))",
        dir .. "/t" }.stdout,
      br = hv.crypto.unbase64 "WzfBgURaYaztTQ7SyWOpmd2UlncpeBs3AAE=",
    }
    local base = serve(function(app)
      app:get("/:coding", function(req)
        local coding = req.params.coding
        return { body = coded[coding], headers = { ["content-encoding"] = coding,
          ["content-type"] = "text/plain" } }
      end)
      app:get("/cut/:coding", function(req)
        local coding = req.params.coding
        return { body = coded[coding]:sub(1, -10), headers = { ["content-encoding"] = coding } }
      end)
    end)
    for coding, bytes in pairs(coded) do
      assert.are.equal(text, hv.http.get(base .. "/" .. coding).body)
      assert.are.equal(bytes, hv.http.get(base .. "/" .. coding, { decompress = false }).body)
      assert.are.equal(text, hv.http.get(base .. "/" .. coding, { stream = true }):text())
      assert.are.equal("EPROTO", select(3, hv.http.get(base .. "/cut/" .. coding)))
      local reply = hv.http.get(base .. "/cut/" .. coding, { stream = true })
      assert.are.equal("EPROTO", select(3, reply:text()))
      assert.are.equal("ELIMIT", select(3, hv.http.get(base .. "/" .. coding, { max_body = "1K" })))
      -- Few bytes that become many stop at the limit, wherever it is.
      assert.are.equal("ELIMIT",
        select(3, hv.http.get(base .. "/" .. coding, { max_body = #text - 1 })))
      assert.are.equal(text, hv.http.get(base .. "/" .. coding, { max_body = #text }).body)
    end
    hv.fs.remove(dir, { recursive = true })
  end)

  it("is not decoded where it is a part", function()
    local base, seen = script("HTTP/1.1 206 Partial Content\r\nContent-Encoding: gzip\r\n" ..
      "Content-Length: 3\r\n\r\nabc")
    assert.are.equal("abc", hv.http.get(base, { headers = { Range = "bytes=5-7" } }).body)
    assert.is_nil(seen[1]:find("Accept-Encoding", 1, true))
  end)

  it("has one reader at a time, who is woken where it is closed", function()
    local base = script(function(conn)
      conn:write("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")
      conn:read()
    end)
    local reply = assert(hv.http.get(base, { stream = true }))
    assert.are.equal("abc", reply:read())
    local code
    local reader = hv.go(function() code = select(3, reply:read()) end)
    helper.until_waiting(reader)
    assert.are.equal("EBUSY", select(3, reply.call:read()))
    reply:close()
    reader:join()
    assert.are.equal("ECLOSED", code)
  end)

  it("that nobody holds any more is given up", function()
    local is_closed
    local base = script(function(conn)
      conn:write("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")
      conn:read()
      is_closed = true
    end)
    hv.go(function() hv.http.get(base, { stream = true }) end):join()
    helper.eventually(function()
      collectgarbage()
      return is_closed
    end)
  end)

  it("has limits", function()
    local base = serve(function(app) app:get("/", function() return ("x"):rep(1000) end) end)
    assert.are.equal("ELIMIT", select(3, hv.http.get(base, { max_body = 999 })))
    assert.are.equal(1000, #hv.http.get(base, { max_body = 1000 }).body)
    local client = keep(hv.http.client { max_header = 50 })
    assert.are.equal("ELIMIT", select(3, client:get(base)))
    client = keep(hv.http.client { max_headers = 1 })
    assert.are.equal("ELIMIT", select(3, client:get(base)))
    client = keep(hv.http.client { max_status_line = 10 })
    assert.are.equal("ELIMIT", select(3, client:get(base)))
    local interim = script(("HTTP/1.1 103 Early Hints\r\n\r\n"):rep(2) .. reply_with "late",
      ("HTTP/1.1 103 Early Hints\r\n\r\n"):rep(2) .. reply_with "late")
    client = keep(hv.http.client { max_interim = 1 })
    assert.are.equal("ELIMIT", select(3, client:get(interim)))
    client = keep(hv.http.client { max_interim = 2 })
    assert.are.equal("late", client:get(interim).body)
  end)

  it("that ends too soon is a failure, and the chunks tell", function()
    local function cut(head)
      return script(function(conn) conn:write("HTTP/1.1 200 OK\r\n" .. head) end)
    end
    local counted, chunked = "Content-Length: 5\r\n\r\nabc",
      "Transfer-Encoding: chunked\r\n\r\n5\r\nabc"
    for _, head in ipairs { counted, chunked } do
      assert.are.equal("EOF", select(3, hv.http.get(cut(head))))
      local reply = assert(hv.http.get(cut(head), { stream = true }))
      local got = ""
      for chunk in reply:chunks() do got = got .. chunk end
      assert.are.same({ "abc", false }, { got, reply.is_complete })
      assert.are.equal("EOF", select(3, reply:read()))
    end
    local reply = assert(hv.http.get(cut("\r\nall of it"), { stream = true }))
    assert.are.same({ "all of it", true }, { reply:text(), reply.is_complete })
  end)

  it("is saved in a file, whole or not at all", function()
    local dir = assert(hv.fs.tmpdir())
    local base = serve(function(app)
      app:get("/", function() return ("y"):rep(200000) end)
    end)
    local reply = assert(hv.http.download(base, dir .. "/f"))
    assert.are.same({ 200, dir .. "/f", 200000 }, { reply.status, reply.path, reply.bytes })
    assert.are.equal(200000, hv.fs.stat(dir .. "/f").size)
    assert.are.equal(404, hv.http.download(base .. "/none", dir .. "/g").status)
    assert.is_false(hv.fs.exists(dir .. "/g"))
    local cut = script(function(conn)
      conn:write("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")
    end)
    assert.are.equal("EOF", select(3, hv.http.download(cut, dir .. "/h")))
    local names = {}
    for name in hv.fs.scan(dir) do names[#names + 1] = name end
    assert.are.same({ "f" }, names)
    hv.fs.remove(dir, { recursive = true })
  end)

  it("is told of while it comes", function()
    local base = serve(function(app) app:get("/", function() return ("x"):rep(300000) end) end)
    local last, count = 0, 0
    local reply = assert(hv.http.get(base, { on_progress = function(direction, bytes, total)
      assert.are.same({ "down", 300000 }, { direction, total })
      assert.is_true(bytes > last)
      last, count = bytes, count + 1
    end }))
    assert.are.equal(300000, #reply.body)
    assert.are.equal(300000, last)
    assert.is_true(count > 1)
  end)
end)

describe("redirects", function()
  local function mirror(app)
    app:any("/target", function(req)
      return { json = { req.method, req:body() or "", req:header("authorization") or "-",
        req:header("cookie") or "-", req:header("x-own") or "-",
        req:header("content-type") or "-" } }
    end)
    app:any("/:status", function(req, res)
      res:redirect(req.query.to or "/target", tonumber(req.params.status))
    end)
  end

  it("keep or change the method as RFC 9110 section 15.4 says", function()
    local base = serve(mirror)
    local cases = {
      { 301, "GET", "GET", "" }, { 301, "POST", "GET", "" }, { 301, "PUT", "PUT", "b" },
      { 302, "POST", "GET", "" }, { 302, "DELETE", "DELETE", "" },
      { 303, "POST", "GET", "" }, { 303, "PUT", "GET", "" }, { 303, "DELETE", "GET", "" },
      { 307, "POST", "POST", "b" }, { 308, "POST", "POST", "b" }, { 308, "PUT", "PUT", "b" },
    }
    for _, case in ipairs(cases) do
      local status, method, wanted, body = unpack(case)
      local sent = (method == "POST" or method == "PUT") and "b" or nil
      local reply = assert(hv.http.request { method = method, url = base .. "/" .. status,
        body = sent, headers = { ["content-type"] = sent and "text/x" } })
      local got = reply:json()
      assert.are.same({ wanted, body }, { got[1], got[2] }, status .. " " .. method)
      assert.are.equal(body ~= "" and "text/x" or "-", got[6])
      assert.are.equal(1, #reply.history)
      assert.are.equal(status, reply.history[1].status)
      assert.are.equal(base .. "/target", reply.url)
    end
    assert.are.equal(200, hv.http.head(base .. "/303").status)
  end)

  it("leave credentials with their origin", function()
    local base = serve(mirror)
    local other = serve(mirror)
    local opts = { auth = { "me", "word" }, headers = { Cookie = "a=b", ["X-Own"] = "x" } }
    local here = hv.http.get(base .. "/302", opts):json()
    assert.are.same({ "Basic " .. hv.crypto.base64("me:word"), "a=b", "x" },
      { here[3], here[4], here[5] })
    local there = hv.http.get(base .. "/302?to=" .. hv.url.encode(other .. "/target"), opts):json()
    assert.are.same({ "-", "-", "x" }, { there[3], there[4], there[5] })
    -- Also when the way leads back.
    local back = other .. "/302?to=" .. hv.url.encode(base .. "/target")
    local round = hv.http.get(base .. "/302?to=" .. hv.url.encode(back), opts):json()
    assert.are.same({ "-", "-", "x" }, { round[3], round[4], round[5] })
    -- What the location itself brings is not believed either.
    local with_user = other:gsub("://", "://user:word@") .. "/target"
    assert.are.equal("-", hv.http.get(base .. "/302?to=" .. hv.url.encode(with_user)):json()[3])
  end)

  it("have a limit, find circles, and may be left to the program", function()
    local base = serve(function(app)
      app:get("/round", function(_, res) res:redirect("/about") end)
      app:get("/about", function(_, res) res:redirect("/round") end)
      app:get("/n/:n", function(req, res) res:redirect("/n/" .. req.params.n + 1) end)
      app:get("/away", function(_, res) res:redirect("mailto:a@b") end)
    end)
    assert.are.equal("ELOOP", select(3, hv.http.get(base .. "/round")))
    local _, message, code = hv.http.get(base .. "/n/1")
    assert.are.same({ "get " .. base .. "/n/11: too many redirects", "ELIMIT" }, { message, code })
    assert.are.equal("ELIMIT", select(3, hv.http.get(base .. "/n/1", { redirects = 1 })))
    assert.are.equal("EPROTO", select(3, hv.http.get(base .. "/away")))
    local reply = assert(hv.http.get(base .. "/n/1", { redirects = false }))
    assert.are.same({ 302, "/n/2" }, { reply.status, reply.headers.location })
  end)

  it("are not followed with a body that is gone", function()
    local base = serve(mirror)
    local pieces = { "x" }
    local _, message, code = hv.http.post(base .. "/307", { body = function()
      return table.remove(pieces, 1)
    end })
    assert.matches("cannot be sent again", message)
    assert.are.equal("EPROTO", code)
  end)
end)

describe("timeouts", function()
  local function silent() return script(function(conn) conn:read() end) end

  it("end a request that nobody answers", function()
    local reply, message, code = hv.http.get(silent(), { timeout = 30 })
    assert.is_nil(reply)
    assert.matches("^get http.*: timed out$", message)
    assert.are.equal("ETIMEDOUT", code)
    assert.are.equal("ETIMEDOUT", select(3, hv.http.get(silent(), { timeout = 30, stream = true })))
  end)

  it("end a stream that stops", function()
    local base = script(function(conn)
      conn:write("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")
      conn:read()
    end)
    local reply = assert(hv.http.get(base, { stream = true, idle_timeout = 300 }))
    assert.are.equal("abc", reply:read())
    local chunk, _, code = reply:read()
    assert.are.same({ nil, "ETIMEDOUT" }, { chunk, code })
    assert.are.equal("ETIMEDOUT", select(3, reply:read()))
  end)

  it("go on through redirects", function()
    local base = script("HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n",
      function(conn) conn:read() end)
    assert.are.equal("ETIMEDOUT", select(3, hv.http.get(base, { timeout = 50 })))
  end)

  it("and a task that is cancelled gives its request up", function()
    local asked, closed
    local base = script(function(conn)
      asked = true
      conn:read()
      closed = true
    end)
    local t = hv.go(function() hv.http.get(base) end)
    helper.eventually(function() return asked end)
    t:cancel()
    helper.eventually(function() return closed end)
    local client = keep(hv.http.client {})
    local code
    helper.until_waiting(hv.go(function() code = select(3, client:get(silent())) end))
    client:close()
    helper.eventually(function() return code end)
    assert.are.equal("ECLOSED", code)
    assert.are.equal("ECLOSED", select(3, client:get(base)))
  end)
end)

describe("an upgrade", function()
  it("gives a reply of 101, or what the server says instead", function()
    local base, seen = script(
      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: chat\r\nConnection: upgrade\r\n\r\nhello")
    local reply = assert(hv.http.get(base, { upgrade = "chat" }))
    assert.are.equal(101, reply.status)
    assert.matches("Upgrade: chat\r\nConnection: Upgrade\r\n", seen[1])
    local conn = assert(reply:take())
    assert.are.equal("hello", conn:read())
    conn:close()
    assert.are.equal("ECLOSED", select(3, reply:take()))
    reply:close()
    base = script("HTTP/1.1 426 No\r\nContent-Length: 2\r\n\r\nno")
    reply = assert(hv.http.get(base, { upgrade = "chat" }))
    assert.are.same({ 426, "no" }, { reply.status, reply:text() })
  end)
end)
