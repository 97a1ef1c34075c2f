-- hvlua HTTP server: the plainest answer, and one that looks at everything in a request.
-- hvlua hv_http.lua PORT
local hv = require "hv"

local app = hv.http.app()

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

assert(app:listen({ host = "127.0.0.1", port = tonumber(arg[1]) }))
