-- http_server.lua - an HTTP server with the usual kinds of answers.
--
--     hvlua http_server.lua [port]
local hv = require "hv"

local app = hv.http.app()

app:get("/", function()
  return { html = [[<h1>hvlua</h1>
<p>It works. Try <a href="/ping">/ping</a>, <a href="/data">/data</a>,
<a href="/paths">/paths</a> or <a href="/query?page_no=1&page_size=10">/query</a>.</p>
]] }
end)

-- A string is the answer.
app:get("/ping", function() return "pong" end)

-- So is a status, or a table that says more.
app:get("/data", function()
  return { body = "0123456789", headers = { ["Content-Type"] = "application/octet-stream" } }
end)

app:get("/paths", function() return { json = app:paths() } end)

-- `res` answers as well; req:body() waits until the whole body is there.
app:post("/echo", function(req, res)
  res:send(assert(req:body()), req:header("content-type"))
end)

app:get("/query", function(req) return { json = req.query } end)

local function decoded(read)
  return function(req)
    local value, message = read(req)
    if value == nil then return { status = 400, body = message .. "\n" } end
    return { json = value }
  end
end

local kv = decoded(function(req) return req:form() end)
app:post("/kv", kv)
app:post("/form", kv)
app:post("/json", decoded(function(req) return req:json() end))

app:delete("/group/:group_name/user/:user_id", function(req) return { json = req.params } end)

local server = assert(app:listen { host = "0.0.0.0", port = tonumber(arg and arg[1]) or 8080 })

local url = ("http://127.0.0.1:%d"):format(server:port())
print("listening, try:")
print(("  curl -v %s/ping"):format(url))
print(("  curl -v %s/data"):format(url))
print(("  curl -v %s/paths"):format(url))
print(("  curl -v %s/echo -d \"hello,world\""):format(url))
print(("  curl -v \"%s/query?page_no=1&page_size=10\""):format(url))
print(("  curl -v %s/kv -d \"user=admin&pswd=123456\""):format(url))
print(("  curl -v %s/json -d '{\"user\":\"admin\",\"pswd\":\"123456\"}'"):format(url))
print(("  curl -v %s/form -F user=admin -F pswd=123456"):format(url))
print(("  curl -v -X DELETE %s/group/test/user/123"):format(url))
print(("or open %s/ in a browser"):format(url))
io.stdout:flush()
