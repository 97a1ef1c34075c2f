--- tutorial_app.lua - the routes that the tutorials ask with curl, for specs: what each answers
--- tells what has arrived.
local hv = require "hv"

local M = {}

local function sorted(fields)
  local names, pieces = {}, {}
  for name in pairs(fields) do names[#names + 1] = name end
  table.sort(names)
  for i, name in ipairs(names) do
    local value = fields[name]
    if type(value) == "table" then value = value.filename .. ":" .. #value.body end
    pieces[i] = name .. "=" .. tostring(value)
  end
  return table.concat(pieces, "&")
end

--- The fields of a body of any kind.
local function fields_of(req)
  local kind = req:header("content-type") or ""
  if kind:find("json", 1, true) then return assert(req:json()) end
  return assert(req:form())
end

--- Makes the app; `folder` stands below /downloads/.
function M.new(folder)
  local app = hv.http.app { max_body = "64M" }
  app:get("/", function() return { html = "<h1>Welcome to httpd!</h1>\n" } end)
  app:get("/ping", function() return "pong" end)
  app:get("/data", function() return "0123456789" end)
  app:get("/paths", function() return { json = { "/ping", "/data", "/paths", "/echo" } } end)
  app:get("/downloads/:name", function(req)
    local data = hv.fs.read(folder .. "/" .. req.params.name)
    return data and { body = data } or 404
  end)
  app:post("/echo", function(req, res) res:send(req:body(), req:header("content-type")) end)
  app:get("/query", function(req) return sorted(req.query) end)
  app:post("/kv", function(req) return sorted(fields_of(req)) end)
  app:post("/json", function(req) return sorted(fields_of(req)) end)
  app:post("/form", function(req) return sorted(fields_of(req)) end)
  app:post("/upload", function(req) return sorted(fields_of(req)) end)
  app:post("/test", function(req) return sorted(fields_of(req)) end)
  app:delete("/group/:group_name/user/:user_id", function(req)
    return { json = { group_name = req.params.group_name, user_id = req.params.user_id } }
  end)
  app:put("/put/:name", function(req) return req.params.name .. ":" .. #req:body() end)
  app:get("/moved", function(_, res) res:redirect("/ping") end)
  app:get("/round", function(_, res) res:redirect("/round") end)
  app:get("/secret", function(req)
    local is_mine = req:header("authorization") == "Basic " .. hv.crypto.base64("me:word")
    return is_mine and "yours" or 401
  end)
  app:get("/headers", function(req)
    local names = {}
    for name, value in req.headers:each() do names[#names + 1] = name .. ": " .. value end
    return table.concat(names, "\n")
  end)
  app:get("/silence", function() hv.sleep(60000) end)
  return app
end

return M
