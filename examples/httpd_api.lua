-- httpd_api.lua - the API of httpd.lua: what the tutorials ask. Gives a function that adds it.
local hv = require "hv"

--- The fields of a body of any kind: a form, either way it is encoded, or JSON.
local function fields_of(req)
  if (req:header("content-type") or ""):find("json", 1, true) then return req:json() end
  return req:form()
end

local function answer_fields(req)
  local fields, message = fields_of(req)
  if fields == nil then return { status = 400, json = { code = 400, message = message } } end
  return { json = fields }
end

return function(app, config)
  app:get("/ping", function() return "pong" end)

  app:get("/data", function()
    return { body = "0123456789", headers = { ["Content-Type"] = "application/octet-stream" } }
  end)

  app:get("/paths", function() return { json = app:paths() } end)

  app:get("/query", function(req) return { json = req.query } end)

  app:any("/echo", function(req, res)
    res:send(assert(req:body()), req:header("content-type") or "text/plain")
  end)

  app:post("/kv", answer_fields)
  app:post("/json", answer_fields)
  app:post("/form", answer_fields)

  --- Values have types in JSON, and are text in a form.
  app:post("/test", function(req)
    local fields, message = fields_of(req)
    if type(fields) ~= "table" then
      return { status = 400, json = { code = 400, message = message or "no fields" } }
    end
    return { json = {
      bool = fields.bool == true or fields.bool == "1" or fields.bool == "true",
      int = tonumber(fields.int), float = tonumber(fields.float), string = fields.string,
    } }
  end)

  -- Files go to the disk piece by piece; only the last part of a name counts.
  app:post("/upload", function(req)
    local form, message = req:multipart { max_file = config.max_body }
    if not form then return { status = 400, json = { code = 400, message = message } } end
    assert(hv.fs.mkdir(config.upload_dir, { recursive = true }))
    local files = {}
    for part in form do
      local name = part.filename and part.filename:match("[^/\\]+$")
      if name and not name:find("^%.") then
        local path = config.upload_dir .. "/" .. name
        assert(part:save(path))
        files[#files + 1] = { name = name, size = hv.fs.stat(path).size }
      end
    end
    if #files == 0 then return { status = 400, json = { code = 400, message = "no file" } } end
    return { json = { files = files } }
  end)

  app:post("/login", function(req)
    local fields = fields_of(req)
    if type(fields) ~= "table" or not fields.username or not fields.password then
      return { status = 400, json = { code = 10001, message = "username and password, please" } }
    end
    if fields.username ~= "admin" or not hv.crypto.equal(tostring(fields.password), "123456") then
      return { status = 401, json = { code = 10002, message = "wrong name or password" } }
    end
    return { json = { token = hv.crypto.hex(hv.crypto.random(16)) } }
  end)

  app:delete("/group/:group_name/user/:user_id", function(req) return { json = req.params } end)
end
