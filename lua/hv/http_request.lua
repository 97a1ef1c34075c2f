--- hv.http_request - what a handler asks of its request. The facts (`req.method`, `req.path` ...)
--- and the body come from C; here is what is made of them.
local json = require "hv.json"
local multipart = require "hv.http_multipart"
local raw = require "_hv.http"
local wait = require "hv.wait"

require "hv.http_headers"

local Request = raw.request_methods
local facts = raw.request_facts

--- The cookies that the client sent, by name; percent-encoded values are decoded.
function facts.cookies(req)
  local cookies = {}
  for _, line in ipairs(req.headers:get_all("cookie")) do
    for name, value in line:gmatch("([^%s=;]+)%s*=%s*([^;]*)") do
      value = value:gsub("%s+$", ""):match('^"(.*)"$') or value:gsub("%s+$", "")
      if cookies[name] == nil then
        cookies[name] = value:gsub("%%(%x%x)", function(hex)
          return string.char(tonumber(hex, 16))
        end)
      end
    end
  end
  return cookies
end

--- The whole body, once it has arrived.
---@async
---@return string? body
---@return string? message
---@return hv.ErrCode? code ELIMIT (a 413 was sent), EPROTO, ETIMEDOUT, ECLOSED
Request.body = wait.waits(Request.body)

local body_of = Request.body

--- The body piece by piece; nil at its end.
---@async
function Request:read()
  if self._is_read then return nil, "req:read: end of stream", "EOF" end
  local body, message, code = body_of(self)
  if not body then return nil, message, code end
  self._is_read = true
  if body == "" then return nil, "req:read: end of stream", "EOF" end
  return body
end
Request.read = wait.both_forms(Request.read)

--- The body decoded from JSON.
---@async
---@return any value
---@return string? message
---@return hv.ErrCode? code EPROTO where it is no JSON; else as req:body
function Request:json()
  local body, message, code = body_of(self)
  if not body then return nil, message, code end
  local ok, value = pcall(json.decode, body)
  if not ok then return nil, "req:json: " .. tostring(value), "EPROTO" end
  return value
end
Request.json = wait.both_forms(Request.json)

--- The fields of a form: urlencoded or multipart. Of several values with one name the first counts;
--- a file is a table { filename, headers, body }.
---@async
---@return table<string, string|table>? fields
---@return string? message
---@return hv.ErrCode? code EPROTO where the body is malformed; else as req:body
function Request:form()
  local body, message, code = body_of(self)
  if not body then return nil, message, code end
  local boundary = multipart.boundary(self:header("content-type"))
  if not boundary then return raw.parse_pairs(body) end
  local parts
  parts, message, code = multipart.parse(body, boundary)
  if not parts then return nil, "req:form: " .. message, code end
  local fields = {}
  for _, part in ipairs(parts) do
    if fields[part.name] == nil then
      fields[part.name] = part.filename and part or part.body
    end
  end
  return fields
end
Request.form = wait.both_forms(Request.form)

return Request
