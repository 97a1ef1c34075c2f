--- hv.http - HTTP servers.
---
---   local app = hv.http.app()
---   app:get("/users/:id", function(req) return { json = { id = req.params.id } } end)
---   assert(app:listen { port = 8080 })
---
--- A handler answers by what it returns: a string (200, text/plain), a status, a table { status=,
--- headers=, body=|text=|json=|html=|stream=function(write) end }; or it uses `res`.
local headers = require "hv.http_headers"
local router = require "hv.http_router"

return {
  app = router.app,
  headers = headers.new,
  status_text = require("_hv.http").status_text,
}
