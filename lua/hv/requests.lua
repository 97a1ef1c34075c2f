--- hv.requests - HTTP in one line, in the manner of the module of that name.
---
---   local requests = require "hv.requests"
---   local resp = requests.get("http://127.0.0.1:8080/ping")
---   if not resp then print("request failed!") else print(resp.status_code, resp.body) end
---   requests.post("127.0.0.1:8080/echo", "hello,world!", function(resp) print(resp.body) end)
---
--- Functions wait in the current task, or call the function given last. A failed request is nil,
--- message, code. It is hv.http with other names: `status_code`, `status_message()`, `content`, and
--- headers as the third argument.
local client = require "hv.http_client"
local misuse = require("_hv.loop").misuse
local wait = require "hv.wait"

local both_forms = wait.both_forms

---@class hv.requests
local M = {}

--- Adds the names of the module to a reply.
local function dress(reply, message, code)
  if not reply then return nil, message, code end
  local status, reason = reply.status, reply.reason
  reply.status_code, reply.content = status, reply.body
  reply.status_message = function() return reason end
  return reply
end

--- (url[, body][, headers or options]): a table that has keys of options is one of options.
local function options_of(where, body, more)
  if type(body) == "table" and more == nil and body[1] == nil then body, more = nil, body end
  local t = {}
  for key, value in pairs(more or {}) do
    if type(key) ~= "string" then
      return misuse(where .. ": a table of options or headers expected")
    end
    t[key] = value
  end
  -- Header names begin with a capital or have a dash, as no option does.
  local headers
  for key, value in pairs(t) do
    if key:find("^%u") or key:find("-", 1, true) then
      headers = headers or {}
      headers[key] = value
    end
  end
  for key in pairs(headers or {}) do t[key] = nil end
  if headers then t.headers = headers end
  return body, t
end

for _, name in ipairs { "get", "head", "post", "put", "patch", "delete", "options" } do
  M[name] = both_forms(function(url, body, more)
    local t
    body, t = options_of("requests." .. name, body, more)
    return dress(client[name](url, body, t))
  end)
end

--- requests.request(method, url[, body][, headers or options]), or one table of options.
M.request = both_forms(function(method, url, body, more)
  if type(method) == "table" then return dress(client.request(method)) end
  local t
  body, t = options_of("requests.request", body, more)
  t.method, t.url = method, url
  if body ~= nil then t.body = body end
  return dress(client.request(t))
end)

--- Sends one or more files as multipart/form-data.
---@async
---@param url string
---@param files string|table<string, string> a path, sent as "file"; or name = path
---@param fields? table<string, string> beside the files
---@return hv.HttpReply? reply
---@return string? message
---@return hv.ErrCode? code ENOENT ...
M.upload = both_forms(function(url, files, fields)
  local parts = {}
  for name, value in pairs(fields or {}) do parts[#parts + 1] = { name = name, value = value } end
  if type(files) == "string" then files = { file = files } end
  for name, path in pairs(files) do parts[#parts + 1] = { name = name, file = path } end
  return dress(client.post(url, { multipart = parts }))
end)

--- Saves what is there in a file; see hv.http.download.
---@async
---@param url string
---@param path string
---@param opts? hv.HttpRequestOptions
---@return hv.HttpReply? reply
---@return string? message
---@return hv.ErrCode? code
M.download = both_forms(function(url, path, opts)
  return dress(client.download(url, path, opts))
end)

return M
