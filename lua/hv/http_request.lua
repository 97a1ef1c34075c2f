--- hv.http_request - what a handler asks of its request. The facts (`req.method`, `req.path` ...)
--- and the body come from C; here is what is made of them.
local cookies = require "hv.http_set_cookie"
local ffi = require "ffi"
local json = require "hv.json"
local leaf = require "hv.leaf"
local misuse = require("_hv.loop").misuse
local multipart = require "hv.http_multipart"
local options = require "hv.options"
local raw = require "_hv.http"
local wait = require "hv.wait"

local headers_of = require "hv.http_headers"

local Request = raw.request_methods
local read_form = options.reader("req:multipart", {
  max_parts = { "integer", 1000 }, max_part_header = { "size", 8192 },
  max_field = { "size", 1048576 }, max_form = { "size", 8388608 }, max_file = { "size", 0 },
})
local facts = raw.request_facts

-- ---- What is asked most, by leaves: bindings/http_leaf.c ----

local meta, header = raw.request_meta, Request.header
local index = meta.__index
local leaf_fact = ffi.cast("int (*)(void *, int)", raw.leaf_fact)
local leaf_header = ffi.cast("int (*)(void *, const char *, int)", raw.leaf_header)
local found = leaf.texts(raw.leaf_text)
local text_of, getmetatable, type = leaf.text, getmetatable, type

local text_facts = {}
for name, number in pairs(facts) do
  if type(number) == "number" and number <= raw.last_text_fact then text_facts[name] = number end
end

meta.__index = function(self, key)
  local method = Request[key]
  if method ~= nil then return method end
  local fact = text_facts[key]
  if fact and getmetatable(self) == meta and leaf_fact(self, fact) == 1 then
    return text_of(found)
  end
  return index(self, key)
end

function Request:header(name)
  if type(name) == "string" and getmetatable(self) == meta then
    local outcome = leaf_header(self, name, #name)
    if outcome == -1 then return nil end
    if outcome == 1 then return text_of(found) end
  end
  return header(self, name)
end

-- ---- What is made of it ----

--- The cookies that the client sent, by name; percent-encoded values are decoded.
function facts.cookies(req) return cookies.parse(req.headers:get_all("cookie")) end

--- The whole body, once it has arrived.
---@async
---@return string? body
---@return string? message
---@return hv.ErrCode? code ELIMIT (a 413 was sent), EPROTO, ETIMEDOUT, ECLOSED
Request.body = wait.waits(Request.body)

local body_of = Request.body

--- The next piece of the body, as it arrives. Nothing more is read from the client until it is
--- asked for, so a body of any length needs the memory of one piece.
---@async
---@return string? piece
---@return string? message
---@return hv.ErrCode? code EOF at the end; ECLOSED: cut short; else as req:body
Request.read = wait.waits(Request.read)

--- The fields that came behind the body (RFC 9110 section 6.5), once it has come to its end: when
--- req:body() has returned, or req:read() has said EOF.
---@return hv.HttpHeaders? trailers mostly none
---@return string? message
---@return hv.ErrCode? code EBUSY before the end of the body; ECLOSED
function Request:trailers()
  local lines, message, code = raw.request_trailers(self)
  if not lines then return nil, message, code end
  return setmetatable(lines, headers_of.meta)
end

--- Sets max_body for this request alone, before its body is read.
---@param max integer|string bytes, or "1G"; 0: none
function Request:set_max_body(max)
  local bytes = options.size(max)
  if not bytes then return misuse("req:set_max_body: bytes expected, got " .. tostring(max)) end
  raw.set_max_body(self, bytes > 0 and bytes or nil)
end

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

--- The parts of a multipart form as a stream; see hv.http_multipart.
---
---   for part in assert(req:multipart { max_file = "1G" }) do
---     if part.filename then part:save("uploads/" .. part.filename) end
---   end
---@param opts? hv.HttpFormOptions
---@return hv.HttpForm? form
---@return string? message
---@return hv.ErrCode? code EPROTO where the Content-Type is none of a form
function Request:multipart(opts)
  return multipart.new(self, read_form(opts or {}))
end

--- The fields of a form: urlencoded or multipart, in memory as a whole. Of several values with one
--- name the first counts; a file is a table { filename, headers, body }.
---@async
---@param opts? hv.HttpFormOptions
---@return table<string, string|table>? fields
---@return string? message
---@return hv.ErrCode? code EPROTO where the body is malformed, ELIMIT; else as req:body
function Request:form(opts)
  local t = read_form(opts or {})
  local form, message, code = multipart.new(self, t)
  if form then return form:fields() end
  if code ~= "ENOTFOUND" then return nil, "req:form: " .. message, "EPROTO" end
  local body
  body, message, code = body_of(self)
  if not body then return nil, message, code end
  return raw.parse_pairs(body, t.max_parts)
end
Request.form = wait.both_forms(Request.form)

return Request
