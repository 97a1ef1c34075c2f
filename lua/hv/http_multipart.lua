--- hv.http_multipart - multipart/form-data (RFC 7578) as it arrives: part by part, piece by piece.
---
--- The client is read only as fast as the parts are; what a handler does not read of a part is
--- skipped when it goes on to the next one. Private but for its objects: req:multipart makes them.
local fs = require "hv.fs"
local headers = require "hv.http_headers"
local misuse = require("_hv.loop").misuse
local raw = require "_hv.http"
local wait = require "hv.wait"

local M = {}

---@class hv.HttpForm
local Form = {}
---@class hv.HttpPart
---@field name string
---@field filename? string safe as the name of a file: no directories, no control characters
---@field headers hv.HttpHeaders
local Part = {}

--- Notes the error that ends the form.
local function fail(form, message, code)
  form._failure = { message, code }
  return nil, message, code
end

--- Goes on until the parser has found something. Returns its event, or nil, message, code.
local function pump(form)
  if form._failure then return nil, unpack(form._failure) end
  while true do
    if form._at > #form._data then
      local data, message, code = form._req:read()
      if data then
        form._data, form._at = data, 1
      elseif code ~= "EOF" then
        return fail(form, message, code)
      elseif form._parser:has_ended() then
        return "end"
      else
        return fail(form, "req:multipart: the form is cut short", "EPROTO")
      end
    end
    local event, at, piece = form._parser:next(form._data, form._at)
    if not event then
      local what = piece == "EPROTO" and "malformed form" or at
      return fail(form, "req:multipart: " .. what, piece)
    end
    form._at = at
    if event ~= "more" then return event, piece end
  end
end

local part_meta = {
  __name = "hv.http.part",
  __index = Part,
  __tostring = function(part)
    local file = part.filename and (" %q"):format(part.filename) or ""
    return ("hv.http.part{%q%s}"):format(part.name, file)
  end,
}

--- The next part.
---@async
---@return hv.HttpPart? part
---@return string? message
---@return hv.ErrCode? code EOF after the last one; EPROTO, ELIMIT; else as req:read
function Form:next()
  if self._is_over then return nil, "req:multipart: end of form", "EOF" end
  self._part = nil
  while true do
    local event, message, code = pump(self)
    if not event then return nil, message, code end
    if event == "end" then
      self._is_over = true
      return nil, "req:multipart: end of form", "EOF"
    end
    if event == "part" then
      local name, filename, lines = self._parser:part()
      self._part = setmetatable({
        name = name, filename = filename, headers = setmetatable(lines, headers.meta), _form = self,
      }, part_meta)
      return self._part
    end
  end
end
Form.next = wait.both_forms(Form.next)

--- What ended the loop over the parts before the form did.
---@return string? message
---@return hv.ErrCode? code
function Form:error()
  if self._failure then return unpack(self._failure) end
end

--- The fields as a table, files with their bodies in memory: what req:form returns.
---@async
function Form:fields()
  local fields = {}
  while true do
    local part, message, code = self:next()
    if not part then
      if code == "EOF" then return fields end
      return nil, message, code
    end
    local body
    body, message, code = part:body()
    if not body then return nil, message, code end
    if fields[part.name] == nil then
      fields[part.name] = part.filename
        and { filename = part.filename, headers = part.headers, body = body } or body
    end
  end
end
Form.fields = wait.both_forms(Form.fields)

--- `for part in form do`: a form that is malformed or passes a limit is refused here, with a 400 or
--- a 413, as the server refuses what is malformed; the loop ends, and form:error() tells why.
local function next_in_loop(form)
  local part, _, code = form:next()
  if not part and code ~= "EOF" then raw.refuse(form._req, code == "ELIMIT" and 413 or 400) end
  return part
end

local form_meta = {
  __name = "hv.http.form", __index = Form, __call = next_in_loop,
}

--- The next piece of the part.
---@async
---@return string? piece
---@return string? message
---@return hv.ErrCode? code EOF at its end; else as form:next
function Part:read()
  local form = self._form
  if form._part ~= self then
    if form._failure then return nil, unpack(form._failure) end
    return nil, "part:read: end of part", "EOF"
  end
  local event, piece, code = pump(form)
  if event == "data" then return piece end
  form._part = nil
  if not event then return nil, piece, code end
  return nil, "part:read: end of part", "EOF"
end
Part.read = wait.both_forms(Part.read)

--- All of the part, or the rest of it.
---@async
---@return string? body
---@return string? message
---@return hv.ErrCode? code
function Part:body()
  local pieces = {}
  while true do
    local piece, message, code = self:read()
    if piece then
      pieces[#pieces + 1] = piece
    elseif code == "EOF" then
      return table.concat(pieces)
    else
      return nil, message, code
    end
  end
end
Part.body = wait.both_forms(Part.body)

local function write_all(part, file)
  local bytes = 0
  while true do
    local piece, message, code = part:read()
    if not piece then
      if code == "EOF" then return bytes end
      return nil, message, code
    end
    local ok
    ok, message, code = file:write(piece)
    if not ok then return nil, message, code end
    bytes = bytes + #piece
  end
end

--- Writes the part to a file, over what stands there. Where that fails the file is removed.
---@async
---@param path string part.filename is a safe last component of it
---@return integer? bytes
---@return string? message
---@return hv.ErrCode? code ENOENT, ENOSPC ...; else as part:read
function Part:save(path)
  if type(path) ~= "string" then
    return misuse("part:save: path must be a string, got " .. type(path))
  end
  local file, message, code = fs.open(path, "w")
  if not file then return nil, message, code end
  local bytes
  bytes, message, code = write_all(self, file)
  file:close()
  if not bytes then
    fs.remove(path)
    return nil, message, code
  end
  return bytes
end
Part.save = wait.both_forms(Part.save)

M.form_methods, M.part_methods = Form, Part

--- Begins with the body of a request.
---   t  checked options: max_parts ...
function M.new(req, t)
  local parser, message, code = raw.multipart_parser(req:header("content-type"), t)
  if not parser then return nil, message, code end
  return setmetatable({ _req = req, _parser = parser, _data = "", _at = 1 }, form_meta)
end

return M
