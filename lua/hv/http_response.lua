--- hv.http_response - how a handler answers: the methods of `res`, and what becomes of a table that
--- a handler returns.
local cookies = require "hv.http_set_cookie"
local ffi = require "ffi"
local json = require "hv.json"
local misuse = require("_hv.loop").misuse
local options = require "hv.options"
local raw = require "_hv.http"
local wait = require "hv.wait"

local headers_of = require "hv.http_headers"

local Response = raw.response_methods

--- Sends a piece of an answer, chunked where no Content-Length was set; waits while too much is
--- queued. The answer ends with res:finish(), or when the handler returns.
---@async
---@param chunk string
---@return boolean? ok
---@return string? message
---@return hv.ErrCode? code ECLOSED, ELIMIT, EBUSY
Response.write = wait.waits(Response.write)

-- ---- In one piece ----

local meta, send = raw.response_meta, Response.send
local index = meta.__index
local leaf_send = ffi.cast("int (*)(void *, const char *, int, const char *)", raw.leaf_send)
local getmetatable, type = getmetatable, type

meta.__index = function(self, key)
  local method = Response[key]
  if method ~= nil then return method end
  return index(self, key)
end

--- Sends the whole answer. Throws where a header or the type cannot be sent.
---@param body string
---@param content_type? string "text/plain" if none is given; a Content-Type header goes before it
---@return boolean? ok
---@return string? message
---@return hv.ErrCode? code ECLOSED, EBUSY: an answer has begun
function Response:send(body, content_type)
  local kind = content_type == nil and "text/plain" or content_type
  if type(body) == "string" and type(kind) == "string" and getmetatable(self) == meta then
    -- The common case: no header is set.
    if leaf_send(self, body, #body, kind) == 1 then return true end
  end
  return send(self, body, content_type)
end

--- Sends text. res:send(body, type) takes any type, text/plain if none is given.
---@param text string
function Response:text(text)
  return self:send(text, "text/plain; charset=utf-8")
end

---@param html string
function Response:html(html)
  return self:send(html, "text/html; charset=utf-8")
end

--- Sends a value as JSON. Throws where it cannot be encoded.
---@param value any
function Response:json(value)
  return self:send(json.encode(value), "application/json")
end

local send_file = wait.waits(raw.send_file)
local read_file = options.reader("res:file", {
  type = { "string" }, download = { "any" }, status = { "integer" },
})

--- What a Content-Disposition may say of a name (RFC 6266): plain in quotes, and where that is not
--- all of it, encoded beside it.
local function disposition(name)
  local plain = name:gsub('[^%w%-%._ ()+,]', "_")
  if plain == name then return ('attachment; filename="%s"'):format(plain) end
  local encoded = name:gsub("[^%w%-%._~]", function(byte)
    return ("%%%02X"):format(byte:byte())
  end)
  return ("attachment; filename=\"%s\"; filename*=UTF-8''%s"):format(plain, encoded)
end

--- Sends a file of the program's choice, with conditions and ranges, and waits until all of it has
--- been handed on. Never give it a path that a client has made: app:static is for those.
---@async
---@param path string
---@param opts? hv.HttpFileOptions
---@return true? ok
---@return string? message
---@return hv.ErrCode? code ENOENT, EACCES, EISDIR ...: nothing was answered yet; ECLOSED
function Response:file(path, opts)
  local t = read_file(opts or {})
  if type(path) ~= "string" or path:find("%z") then
    return misuse("res:file: path must be a string without NUL, got " .. type(path))
  end
  if t.status then self.status = t.status end
  if t.download then
    local name = t.download == true and path:match("[^/]*$") or t.download
    self.headers:set("Content-Disposition", disposition(name))
  end
  return send_file(self, path, t.type)
end
Response.file = wait.both_forms(Response.file)

--- Sends the client elsewhere.
---@param url string
---@param status? integer 302 if none is given
function Response:redirect(url, status)
  status = status or 302
  if type(status) ~= "number" or status < 300 or status > 399 then
    return misuse("res:redirect: status must be 300..399, got " .. tostring(status))
  end
  self.headers:set("Location", url)
  self.status = status
  return self:send("", "text/plain")
end

-- ---- Headers ----

--- What the server writes by itself.
local reserved = { ["transfer-encoding"] = true, connection = true, date = true }

--- Sets a header of the answer, to a value or a list of them; without a value, returns it.
---@param name string
---@param value? string|number|string[]
---@return string? value of the header, where none was given
function Response:header(name, ...)
  if select("#", ...) == 0 then
    local headers = self.headers
    return headers and headers:get(name)
  end
  local value = ...
  local lower = type(name) == "string" and name:lower()
  if lower == "content-length" then return raw.set_length(self, tonumber(value)) end
  if reserved[lower] then
    return misuse(("res:header: the server writes %s itself"):format(name))
  end
  if self.is_over == nil then return end
  self.headers:set(name, value)
end

--- Adds a Set-Cookie header. Bytes that a cookie cannot hold are percent-encoded; what browsers
--- would silently drop throws.
---@param name string
---@param value string
---@param opts? hv.HttpCookieOptions
function Response:set_cookie(name, value, opts)
  local text = cookies.format(name, value, opts)
  if self.is_over ~= nil then self.headers:add("Set-Cookie", text) end
end

-- ---- Trailers ----

--- Adds a trailer: a field behind the body (RFC 9110 section 6.5), for what is known only then: a
--- checksum, the status of gRPC. They go out with the end of the answer, by HTTP/2 and in chunks;
--- where there is no place for them (HTTP/1.0, HEAD, a Content-Length by HTTP/1.1) they are left
--- out.
---@param name string none of framing, routing, conditions, authentication or the content's form
---@param value string|number
function Response:trailer(name, value)
  if type(name) == "string" and not raw.may_trail(name) then
    return misuse(("res:trailer: %s may not stand behind a body"):format(name))
  end
  local headers = self.headers
  if not headers then return end -- it is over
  local trailers = rawget(headers, "_trailers") or headers_of.new()
  trailers:add(name, value)
  rawset(headers, "_trailers", trailers)
  raw.note_trailers(self)
end

local finish = Response.finish

--- Ends an answer in pieces.
---@param trailers? table<string, string|number>|hv.HttpHeaders as by res:trailer, before it ends
---@return boolean? ok
---@return string? message
---@return hv.ErrCode? code ECLOSED, EPROTO where less than Content-Length was written
function Response:finish(trailers)
  if trailers then
    if type(trailers) ~= "table" then
      return misuse("res:finish: trailers must be a table, got " .. type(trailers))
    end
    for name, value in headers_of.of(trailers):each() do self:trailer(name, value) end
  end
  return finish(self)
end

-- ---- What a handler returns ----

local known = {
  status = true, headers = true, body = true, json = true, html = true, text = true, stream = true,
  file = true,
}

local function stream(res, fn)
  fn(function(chunk) return res:write(chunk) end)
  if not res.is_over then res:finish() end
end

raw.set_json(json)

--- Answers with a table: { status=, headers=, body=|text=|json=|html=|stream=function(write) end }.
--- Runs as a task of its own; what it throws is the handler's error. Plain ones never come here:
--- bindings/http_result.c answers them.
local function deliver(result, req, res)
  for key in pairs(result) do
    if not known[key] then
      error(("hv.http: %s %s: unknown key %s in a handler's result, did you mean \"%s\"?"):format(
        req.method, req.path, tostring(key), (options.nearest(key, known))), 0)
    end
  end
  if result.status ~= nil then res.status = result.status end
  for name, value in pairs(result.headers or {}) do res:header(name, value) end
  if result.json ~= nil then
    res:json(result.json)
  elseif result.html ~= nil then
    res:html(result.html)
  elseif result.text ~= nil then
    res:text(result.text)
  elseif result.body ~= nil then
    if type(result.body) ~= "string" and type(result.body) ~= "number" then
      error(("hv.http: %s %s: the body of a handler's result must be a string, got %s"):format(
        req.method, req.path, type(result.body)), 0)
    end
    res:send(result.body, "text/plain")
  elseif result.file ~= nil then
    local ok, message, code = res:file(result.file)
    if ok or code == "ECLOSED" then return end
    if code == "ENOENT" or code == "ENOTDIR" or code == "EISDIR" then return 404 end
    error(message, 0)
  elseif result.stream ~= nil then
    stream(res, result.stream)
  else
    return res.status
  end
end

return { deliver = deliver }
