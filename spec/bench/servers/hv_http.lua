-- hvlua HTTP server: the plainest answer, one that looks at everything in a request, files, and
-- requests that are passed on to the limit server.
-- hvlua hv_http.lua PORT [CERT KEY]
local hv = require "hv"

local app = hv.http.app()
local files = "/tmp/hvlua-bench/files"

assert(hv.fs.mkdir(files, { recursive = true }))
assert(hv.fs.write(files .. "/16k", ("0123456789abcdef"):rep(1024)))

app:get("/hello", function()
  return "Hello, World!"
end)

app:get("/users/:id", function(req)
  return { json = {
    id = req.params.id,
    verbose = req.query.verbose,
    agent = req:header("user-agent"),
    trace = req:header("x-trace"),
  } }
end)

app:static("/files", files)
app:proxy("/proxied", "http://127.0.0.1:17101")

assert(app:listen({ host = "127.0.0.1", port = tonumber(arg[1]),
  tls = arg[2] and { cert = arg[2], key = arg[3] } or nil }))
