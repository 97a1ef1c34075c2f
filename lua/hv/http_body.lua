--- hv.http_body - what a request carries: text, JSON, forms, files, functions. Private to lua/hv.
---
--- A body is { text } where it is in memory, or { length, open } where it is streamed: `open` gives
--- a function that returns piece after piece, nil at the end, and nil, message, code on failure. It
--- may be opened again for a request that is sent again, but for one that a function makes.
local crypto = require "hv.crypto"
local fs = require "hv.fs"
local json = require "hv.json"
local misuse = require("_hv.loop").misuse
local url = require "hv.url"

--- Large, since each piece of a file costs a way to a thread and back.
local PIECE_BYTES = 524288
--- Small enough to see a text go out.
local TEXT_PIECE_BYTES = 65536

local M = {}

-- ---- Files ----

--- Opens a file as a source; it must still have the length that was announced.
local function open_file(path)
  local file, message, code = fs.open(path)
  if not file then return nil, message, code end
  return function()
    local chunk, problem, why = file:read(PIECE_BYTES)
    if chunk then return chunk end
    file:close()
    if why == "EOF" then return nil end
    return nil, problem, why
  end
end

local function size_of(path)
  local stat, message, code = fs.stat(path)
  if not stat then return nil, message, code end
  -- What has no length of its own (a fifo, a device) is sent in chunks.
  return stat.type == "file" and stat.size or -1
end

local function file_body(path)
  local length, message, code = size_of(path)
  if not length then return nil, message, code end
  return { length = length, open = function() return open_file(path) end }
end

-- ---- multipart/form-data (RFC 7578) ----

--- In a quoted parameter, as browsers write it.
local function quote(text)
  return '"' .. text:gsub('[\r\n"]', { ["\r"] = "%0D", ["\n"] = "%0A", ['"'] = "%22" }) .. '"'
end

local types = {
  html = "text/html", htm = "text/html", txt = "text/plain", css = "text/css",
  js = "text/javascript", json = "application/json", png = "image/png", jpg = "image/jpeg",
  jpeg = "image/jpeg", gif = "image/gif", svg = "image/svg+xml", pdf = "application/pdf",
  zip = "application/zip", gz = "application/gzip", xml = "application/xml",
}

local function type_of(name)
  return types[(name:match("%.(%w+)$") or ""):lower()] or "application/octet-stream"
end

local part_keys = { name = true, value = true, file = true, filename = true, type = true }

local function check_part(part)
  if type(part) ~= "table" or type(part.name) ~= "string" then
    return misuse("multipart: each part is a table with a name")
  end
  for key in pairs(part) do
    if not part_keys[key] then
      return misuse(("multipart: unknown key %q of a part; name, value, file, filename, type")
        :format(tostring(key)))
    end
  end
  if part.value == nil and type(part.file) ~= "string" then
    return misuse(("multipart: part %q has neither value nor file"):format(part.name))
  end
  if part.type and part.type:find("[%c]") then
    return misuse(("multipart: part %q: bad type"):format(part.name))
  end
  return part
end

--- { a = "1", b = { file = "x" } } as a list of parts, in the order of the names.
local function list_parts(given)
  if type(given) ~= "table" then
    return misuse("multipart: table expected, got " .. type(given))
  end
  local parts = {}
  if #given > 0 then
    for i, part in ipairs(given) do parts[i] = check_part(part) end
    return parts
  end
  local names = {}
  for name in pairs(given) do names[#names + 1] = name end
  table.sort(names)
  for i, name in ipairs(names) do
    local value = given[name]
    local part = { name = name }
    if type(value) == "table" then
      for key, of in pairs(value) do part[key] = of end
    else
      part.value = value
    end
    parts[i] = check_part(part)
  end
  return parts
end

local function part_head(part, boundary, is_first)
  local filename = part.filename or part.file and part.file:match("[^/]*$")
  local lines = { (is_first and "--" or "\r\n--") .. boundary,
    "Content-Disposition: form-data; name=" .. quote(part.name)
      .. (filename and "; filename=" .. quote(filename) or "") }
  local kind = part.type or filename and type_of(filename)
  if kind then lines[#lines + 1] = "Content-Type: " .. kind end
  return table.concat(lines, "\r\n") .. "\r\n\r\n"
end

--- The pieces of a multipart body: texts and { file = path }.
local function multipart_pieces(parts, boundary)
  local pieces, length = {}, 0
  local function add(text)
    pieces[#pieces + 1] = text
    length = length + #text
  end
  for i, part in ipairs(parts) do
    add(part_head(part, boundary, i == 1))
    if part.value ~= nil then
      add(tostring(part.value))
    else
      local size, message, code = size_of(part.file)
      if not size then return nil, message, code end
      pieces[#pieces + 1] = { file = part.file }
      length = size < 0 and -math.huge or length + size
    end
  end
  add((#parts > 0 and "\r\n--" or "--") .. boundary .. "--\r\n")
  return pieces, length < 0 and -1 or length
end

local function open_pieces(pieces)
  local at, file = 0, nil
  return function()
    while true do
      if file then
        local chunk, message, code = file()
        if chunk then return chunk end
        file = nil
        if message then return nil, message, code end
      end
      at = at + 1
      local piece = pieces[at]
      if type(piece) ~= "table" then return piece end
      local message, code
      file, message, code = open_file(piece.file)
      if not file then return nil, message, code end
    end
  end
end

local function multipart_body(given)
  local boundary = "hv-" .. crypto.hex(crypto.random(16))
  local pieces, length, code = multipart_pieces(list_parts(given), boundary)
  if not pieces then return nil, length, code end
  local body = { type = "multipart/form-data; boundary=" .. boundary }
  for _, piece in ipairs(pieces) do
    if type(piece) == "table" then
      body.length, body.open = length, function() return open_pieces(pieces) end
      return body
    end
  end
  body.text = table.concat(pieces)
  return body
end

-- ---- All of them ----

local kinds = {}

function kinds.body(value)
  if type(value) == "string" then return { text = value } end
  if type(value) == "function" then
    local is_open = false
    return { length = -1, open = function()
      if is_open then
        return nil, "the body came from a function and cannot be sent again", "EPROTO"
      end
      is_open = true
      return value
    end }
  end
  if type(value) == "table" and type(value.file) == "string" then
    local body, message, code = file_body(value.file)
    if body then body.type = value.type or type_of(value.file) end
    return body, message, code
  end
  return misuse("body must be a string, a function or { file = path }, got " .. type(value))
end

function kinds.json(value)
  return { text = json.encode(value), type = "application/json" }
end

function kinds.form(value)
  local text = type(value) == "string" and value or url.encode_query(value):gsub("%%20", "+")
  return { text = text, type = "application/x-www-form-urlencoded" }
end

kinds.multipart = multipart_body

--- The body that checked options ask for: nil where there is none, false, message, code where it
--- cannot be had.
function M.of(where, t)
  local found
  for kind in pairs(kinds) do
    if t[kind] ~= nil then
      if found then misuse(("%s: either %s or %s, not both"):format(where, found, kind)) end
      found = kind
    end
  end
  if not found then return nil end
  local body, message, code = kinds[found](t[found])
  if not body then return false, message, code end
  return body
end

--- Cuts a text into pieces as a source, to tell how far it has come.
function M.open_text(text)
  local at = 1
  return function()
    if at > #text then return nil end
    local piece = text:sub(at, at + TEXT_PIECE_BYTES - 1)
    at = at + #piece
    return piece
  end
end

return M
