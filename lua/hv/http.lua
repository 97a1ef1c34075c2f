--- hv.http - HTTP servers and clients.
---
---   local app = hv.http.app()
---   app:get("/users/:id", function(req) return { json = { id = req.params.id } } end)
---   assert(app:listen { port = 8080 })
---
---   local reply = assert(hv.http.get("http://127.0.0.1:8080/users/1"))
---   print(reply.status, reply:json().id)
---
--- A handler answers by what it returns: a string (200, text/plain), a status, a table { status=,
--- headers=, body=|text=|json=|html=|stream=function(write) end }; or it uses `res`. Requests are
--- described in hv.http_client.
local client = require "hv.http_client"
local cookies = require "hv.http_cookies"
local headers = require "hv.http_headers"
local proxy = require "hv.http_proxy"
local router = require "hv.http_router"

return {
  app = router.app,
  headers = headers.new,
  status_text = require("_hv.http").status_text,

  middleware = require "hv.http_middleware",

  gateway = proxy.gateway,
  forward_proxy = proxy.forward_proxy,

  client = client.client,
  cookies = cookies.new,
  request = client.request,
  get = client.get,
  head = client.head,
  post = client.post,
  put = client.put,
  patch = client.patch,
  delete = client.delete,
  options = client.options,
  download = client.download,
}
