--- hv.protobuf - Protocol Buffers: messages as tables, by what a .proto file says.
---
---   local schema = assert(hv.protobuf.parse [[
---     syntax = "proto3";
---     message Point { int32 x = 1; int32 y = 2; string name = 3; }
---   ]])
---   local bytes = schema:encode("Point", { x = 1, y = 2 })
---   local point = assert(schema:decode("Point", bytes))
---   print(point.x, point.name)         --> 1 and "": what is not there has its default
---
--- How values look in Lua:
---   int32 ... float, double  numbers             bool    booleans
---   int64, uint64 ...        numbers up to 2^53, cdata (1LL, 1ULL) beyond; both are taken
---   string, bytes            strings             enum    names; numbers that have none
---   repeated                 lists               map     tables
---   message                  tables              oneof   at most one of its fields
--- A field with presence (optional, of a oneof, a message, in proto2 what has no default of its
--- own) is nil where it is absent; any other has its default, by the message's metatable, so that
--- pairs() shows what was there.
--- Fields that the schema does not know are kept, and written again:
--- message[hv.protobuf.unknown]. Keys of maps beyond 2^53 are strings of digits.
---
--- Known: proto3 and proto2, nested types, imports, packed, services. Not: groups, extensions,
--- the JSON form. Nothing here waits.
local misuse = require("_hv.loop").misuse
local reader = require "hv.protobuf_schema"
local wire = require "hv.protobuf_wire"

local byte, sub, concat = string.byte, string.sub, table.concat
local read_varint, varint = wire.read_varint, wire.varint
local of_varint, read_fixed, width = wire.of_varint, wire.read_fixed, wire.width
local to_varint, to_fixed, is_utf8 = wire.to_varint, wire.to_fixed, wire.is_utf8

local DEPTH_MAX = 100 -- messages in messages, as in the other implementations

---@class hv.protobuf
local M = {}

--- The key under which a message keeps the bytes of fields that its schema does not know.
M.unknown = setmetatable({}, { __tostring = function() return "hv.protobuf.unknown" end })
local UNKNOWN = M.unknown

---@class hv.ProtobufSchema
local Schema = {}
local meta = { __name = "hv.protobuf.schema", __index = Schema }

function meta:__tostring()
  local count = 0
  for _ in pairs(self._types) do count = count + 1 end
  return ("hv.protobuf.schema{%s, %d types}"):format(self._file, count)
end

-- ---- Schemas ----

--- The metatable of decoded messages: their defaults.
local function make_metatable(message)
  local defaults = {}
  for _, field in ipairs(message.fields) do
    local has_default = not field.has_presence or field.default_option ~= nil
    if has_default and not field.is_repeated and not field.is_map then
      defaults[field.name] = field.default
    end
  end
  message.metatable = { __name = message.name, __index = defaults }
end

local function make(text, file, import)
  local read, message = reader.read(text, file, import)
  if not read then return nil, message, "EINVAL" end
  for _, definition in pairs(read.types) do
    if definition.kind == "message" then make_metatable(definition) end
  end
  return setmetatable({ _types = read.types, _file = file }, meta)
end

--- Reads the text of a .proto file.
---@param text string
---@param import? fun(name: string): string?, string? gives the text of what it imports
---@return hv.ProtobufSchema? schema
---@return string? message "proto:3: ..."
---@return hv.ErrCode? code EINVAL
function M.parse(text, import)
  if type(text) ~= "string" then
    return misuse("hv.protobuf.parse: string expected, got " .. type(text))
  end
  return make(text, "proto", import or function() return nil, "no imports are given" end)
end

local function read_whole(path)
  local file, message = io.open(path, "rb")
  if not file then return nil, message end
  local text = file:read("*a")
  file:close()
  return text
end

--- Reads a .proto file; what it imports is looked for beside it, then in `folders`. For the start
--- of a program: it reads files without letting other tasks run.
---@param path string
---@param folders? string[]
---@return hv.ProtobufSchema? schema
---@return string? message
---@return hv.ErrCode? code ENOENT, EINVAL
function M.load(path, folders)
  if type(path) ~= "string" then
    return misuse("hv.protobuf.load: path must be a string, got " .. type(path))
  end
  local text, message = read_whole(path)
  if not text then return nil, "hv.protobuf.load: " .. message, "ENOENT" end
  local places = { path:match("^(.*)/[^/]*$") or "." }
  for _, folder in ipairs(folders or {}) do places[#places + 1] = folder end
  return make(text, path, function(name)
    for _, folder in ipairs(places) do
      local found = read_whole(folder .. "/" .. name)
      if found then return found end
    end
    return nil, "not found in " .. concat(places, ", ")
  end)
end

local function type_of(self, where, name, kind)
  local found = self._types[name]
  if not found or found.kind ~= kind then
    return misuse(("%s: there is no %s %s"):format(where, kind, tostring(name)))
  end
  return found
end

--- The values of an enum: { NAME = number }.
---@param name string with its package
---@return table<string, integer>
function Schema:enum(name) return type_of(self, "schema:enum", name, "enum").by_name end

--- The methods of a service: { Name = { input = "pkg.Request", output = "pkg.Response",
--- client_streaming = false, server_streaming = false } }.
---@param name string
---@return table<string, table>
function Schema:service(name)
  local methods = {}
  for _, method in ipairs(type_of(self, "schema:service", name, "service").list) do
    methods[method.name] = { input = method.input.name, output = method.output.name,
      client_streaming = method.client_streaming, server_streaming = method.server_streaming }
  end
  return methods
end

--- Whether there is a message of that name.
---@param name string
---@return boolean
function Schema:has(name)
  local found = self._types[name]
  return found ~= nil and found.kind == "message"
end

-- ---- Encoding ----

local WIRE_TYPES = { varint = 0, fixed64 = 1, bytes = 2, fixed32 = 5 }

local encode_message

local function wrong(path, expected, value)
  local got = type(value) == "number" and tostring(value) or type(value)
  return misuse(("schema:encode: %s must be %s, got %s"):format(path, expected, got))
end

local function enum_number(field, value, path)
  local number = type(value) == "number" and value or field.of.by_name[value]
  if not number then
    return misuse(("schema:encode: %s: %s has no value %s"):format(path, field.of.name,
      tostring(value)))
  end
  return number
end

--- The bytes of one value, without its tag.
local function encode_value(field, value, path, depth)
  local kind = field.type
  if kind == "message" then
    if type(value) ~= "table" then return wrong(path, "a table", value) end
    local bytes = encode_message(field.of, value, path, depth + 1)
    return varint(#bytes) .. bytes
  elseif kind == "string" or kind == "bytes" then
    if type(value) ~= "string" then return wrong(path, "a string", value) end
    if kind == "string" and not is_utf8(value) then
      return misuse(("schema:encode: %s is not UTF-8"):format(path))
    end
    return varint(#value) .. value
  end
  if kind == "enum" then value = enum_number(field, value, path) end
  local bytes, expected
  if field.wire == "varint" then
    bytes, expected = to_varint[kind](value)
  else
    bytes, expected = to_fixed[kind](value)
  end
  if not bytes then return wrong(path, expected, value) end
  return bytes
end

local function tag_of(field, wire_name)
  return varint(field.number * 8 + WIRE_TYPES[wire_name or field.wire])
end

--- Whether a value is the one that is not sent.
local function is_default(field, value)
  if field.type == "enum" then
    return value == field.default or value == 0
  end
  if field.type == "double" or field.type == "float" then
    return value == 0 and 1 / value > 0 -- minus zero is sent
  end
  return value == field.default
end

local function encode_repeated(out, field, list, path, depth)
  if type(list) ~= "table" then return wrong(path, "a list", list) end
  if #list == 0 then return end
  if field.is_packed then
    local values = {}
    for i = 1, #list do
      values[i] = encode_value(field, list[i], ("%s[%d]"):format(path, i), depth)
    end
    local bytes = concat(values)
    out[#out + 1] = tag_of(field, "bytes") .. varint(#bytes) .. bytes
    return
  end
  local tag = tag_of(field)
  for i = 1, #list do
    out[#out + 1] = tag .. encode_value(field, list[i], ("%s[%d]"):format(path, i), depth)
  end
end

local function encode_map(out, field, map, path, depth)
  if type(map) ~= "table" then return wrong(path, "a table", map) end
  local keys = {}
  for key in pairs(map) do keys[#keys + 1] = key end
  table.sort(keys, function(a, b) -- the same table gives the same bytes
    if type(a) == "number" and type(b) == "number" then return a < b end
    return tostring(a) < tostring(b)
  end)
  local tag, key_tag, value_tag = tag_of(field), tag_of(field.key), tag_of(field.value)
  for _, key in ipairs(keys) do
    local place = ("%s[%s]"):format(path, tostring(key))
    local sent = key
    if type(key) == "string" and field.key.wire ~= "bytes" then sent = wire.parse_integer(key) end
    local entry = key_tag .. encode_value(field.key, sent, place .. ": key", depth)
      .. value_tag .. encode_value(field.value, map[key], place, depth)
    out[#out + 1] = tag .. varint(#entry) .. entry
  end
end

--- What is misspelt, or not meant to be there, is said rather than left out.
local function check_names(message, values, path)
  for key in pairs(values) do
    if key ~= UNKNOWN and not message.by_name[key] then
      return misuse(("schema:encode: %s has no field %s"):format(path, tostring(key)))
    end
  end
end

local function check_oneof(values, field, path)
  for _, other in ipairs(field.oneof) do
    if other ~= field and rawget(values, other.name) ~= nil then
      return misuse(("schema:encode: %s: %s and %s are of the same oneof"):format(path, field.name,
        other.name))
    end
  end
end

function encode_message(message, values, path, depth)
  if depth > DEPTH_MAX then return misuse("schema:encode: messages are nested too deep") end
  check_names(message, values, path)
  local out = {}
  for _, field in ipairs(message.ordered) do
    local value = rawget(values, field.name)
    local place = path .. "." .. field.name
    if value == nil then
      if field.is_required then return misuse(("schema:encode: %s is required"):format(place)) end
    elseif field.is_repeated then
      encode_repeated(out, field, value, place, depth)
    elseif field.is_map then
      encode_map(out, field, value, place, depth)
    elseif field.has_presence or not is_default(field, value) then
      if field.oneof then check_oneof(values, field, path) end
      out[#out + 1] = tag_of(field) .. encode_value(field, value, place, depth)
    end
  end
  out[#out + 1] = rawget(values, UNKNOWN)
  return concat(out)
end

--- Makes bytes of a message. Throws where the table does not fit the schema: that is a mistake of
--- the program.
---@param name string with its package: "protorpc.Request"
---@param values table
---@return string bytes
function Schema:encode(name, values)
  local message = type_of(self, "schema:encode", name, "message")
  if type(values) ~= "table" then return wrong(name, "a table", values) end
  return encode_message(message, values, name, 0)
end

-- ---- Decoding ----

--- A failure is thrown as a string behind this mark, and caught by Schema:decode.
local function bad(text) error({ protobuf = text }, 0) end

local function varint_at(data, pos, stop)
  local value, after = read_varint(data, pos, stop)
  if not value then return bad "a varint does not end" end
  return value, after
end

--- Reads a length and checks it. Returns where the bytes begin and end.
local function span_at(data, pos, stop)
  local len, from = varint_at(data, pos, stop)
  if type(len) ~= "number" or len > stop - from + 1 then
    return bad "a length is beyond the end"
  end
  return from, from + len - 1
end

--- The end of a field of any wire type. Groups are read over as a whole.
local function skip_field(data, pos, stop, wire_type, number, depth)
  if wire_type == 0 then
    return (select(2, varint_at(data, pos, stop)))
  elseif wire_type == 1 or wire_type == 5 then
    local after = pos + (wire_type == 1 and 8 or 4)
    if after > stop + 1 then return bad "a fixed number is cut off" end
    return after
  elseif wire_type == 2 then
    return select(2, span_at(data, pos, stop)) + 1
  elseif wire_type ~= 3 then
    return bad "there is no such wire type"
  end
  if depth >= DEPTH_MAX then return bad "nested too deep" end
  while pos <= stop do
    local tag, after = varint_at(data, pos, stop)
    if type(tag) ~= "number" or tag > 4294967295 or tag < 8 then return bad "a tag is not valid" end
    local inner = tag % 8
    if inner == 4 then
      if (tag - inner) / 8 ~= number then return bad "a group ends that has not begun" end
      return after
    end
    pos = skip_field(data, after, stop, inner, (tag - inner) / 8, depth + 1)
  end
  return bad "a group does not end"
end

local decode_message

--- Reads one value. Returns it and the place behind it.
local function decode_value(field, data, pos, stop, depth, before)
  local wire_name, kind = field.wire, field.type
  if wire_name == "varint" then
    local value, after = varint_at(data, pos, stop)
    value = of_varint[kind](value)
    if kind == "enum" then
      local name = field.of.by_number[value]
      if not name and field.of.is_closed then return nil, after end
      value = name or value
    end
    return value, after
  elseif wire_name == "bytes" then
    local from, to = span_at(data, pos, stop)
    if kind == "message" then
      return decode_message(field.of, data, from, to, depth + 1, before), to + 1
    end
    local text = sub(data, from, to)
    if kind == "string" and not is_utf8(text) then return bad(field.name .. " is not UTF-8") end
    return text, to + 1
  end
  local after = pos + width[wire_name]
  if after > stop + 1 then return bad "a fixed number is cut off" end
  return read_fixed[kind](data, pos), after
end

local function decode_packed(field, data, pos, stop, list)
  local from, to = span_at(data, pos, stop)
  while from <= to do
    local value
    value, from = decode_value(field, data, from, to, 0)
    if value ~= nil then list[#list + 1] = value end
  end
  return to + 1
end

local function decode_map_entry(field, data, pos, stop, depth, map)
  local from, to = span_at(data, pos, stop)
  local key, value = field.key.zero, field.value.zero
  while from <= to do
    local tag, after = varint_at(data, from, to)
    if tag == field.key.number * 8 + WIRE_TYPES[field.key.wire] then
      key, from = decode_value(field.key, data, after, to, depth)
    elseif tag == field.value.number * 8 + WIRE_TYPES[field.value.wire] then
      value, from = decode_value(field.value, data, after, to, depth + 1)
    else
      if type(tag) ~= "number" or tag < 8 then return bad "a tag is not valid" end
      from = skip_field(data, after, to, tag % 8, (tag - tag % 8) / 8, depth)
    end
  end
  if value == nil and field.value.type == "message" then
    value = decode_message(field.value.of, "", 1, 0, depth + 1)
  end
  if type(key) == "cdata" then key = tostring(key):match("^%-?%d+") end -- no key to be found by
  map[key] = value
  return to + 1
end

--- Puts a field's value into the message. Returns the place behind it; nil where the wire type is
--- not the field's, which is then treated as unknown.
local function decode_field(values, field, data, pos, stop, wire_type, depth)
  local name = field.name
  if field.is_map then
    if wire_type ~= 2 then return nil end
    return decode_map_entry(field, data, pos, stop, depth, values[name])
  elseif field.is_repeated then
    local list = values[name]
    if wire_type == 2 and field.wire ~= "bytes" then
      return decode_packed(field, data, pos, stop, list)
    end
    if wire_type ~= WIRE_TYPES[field.wire] then return nil end
    local value, after = decode_value(field, data, pos, stop, depth)
    if value == nil then return nil end
    list[#list + 1] = value
    return after
  end
  if wire_type ~= WIRE_TYPES[field.wire] then return nil end
  local value, after = decode_value(field, data, pos, stop, depth, rawget(values, name))
  if value == nil then return nil end
  if field.oneof then
    for _, other in ipairs(field.oneof) do values[other.name] = nil end
  end
  values[name] = value
  return after
end

--- Reads a message out of data[pos..stop]; into `values` where the field occurs again.
function decode_message(message, data, pos, stop, depth, values)
  if depth > DEPTH_MAX then return bad "messages are nested too deep" end
  if not values then
    values = setmetatable({}, message.metatable)
    for _, field in ipairs(message.fields) do
      if field.is_repeated or field.is_map then values[field.name] = {} end
    end
  end
  local unknown
  while pos <= stop do
    local tag, after = varint_at(data, pos, stop)
    if type(tag) ~= "number" or tag > 4294967295 or tag < 8 then return bad "a tag is not valid" end
    local wire_type = tag % 8
    local number = (tag - wire_type) / 8
    local field = message.by_number[number]
    local next_pos = field and decode_field(values, field, data, after, stop, wire_type, depth)
    if not next_pos then
      next_pos = skip_field(data, after, stop, wire_type, number, depth)
      unknown = unknown or { rawget(values, UNKNOWN) }
      unknown[#unknown + 1] = sub(data, pos, next_pos - 1)
    end
    pos = next_pos
  end
  if unknown then values[UNKNOWN] = concat(unknown) end
  for _, field in ipairs(message.fields) do
    if field.is_required and rawget(values, field.name) == nil then
      return bad(field.name .. " is required")
    end
  end
  return values
end

--- Reads a message.
---@param name string with its package
---@param bytes string the whole message
---@return table? message
---@return string? why
---@return hv.ErrCode? code EPROTO
function Schema:decode(name, bytes)
  local message = type_of(self, "schema:decode", name, "message")
  if type(bytes) ~= "string" then
    return misuse("schema:decode: string expected, got " .. type(bytes))
  end
  local ok, values = pcall(decode_message, message, bytes, 1, #bytes, 0)
  if ok then return values end
  if type(values) == "table" and values.protobuf then
    return nil, ("decode %s: %s"):format(name, values.protobuf), "EPROTO"
  end
  return error(values, 0)
end

-- ---- Text ----

local named_escapes = { ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t", ['"'] = '\\"',
  ["'"] = "\\'", ["\\"] = "\\\\" }

local function quote(text)
  return '"' .. text:gsub("[%z\1-\31\"'\\\127-\255]", function(c)
    return named_escapes[c] or ("\\%03o"):format(byte(c))
  end) .. '"'
end

local function scalar_text(field, value)
  if field.type == "string" or field.type == "bytes" then return quote(value) end
  if type(value) == "number" then
    local text = ("%.15g"):format(value)
    return tonumber(text) == value and text or ("%.17g"):format(value)
  end
  return (tostring(value):gsub("U?LL$", ""))
end

local text_of

local function add_text(lines, field, value, indent)
  if field.type == "message" then
    lines[#lines + 1] = ("%s%s {\n%s%s}\n"):format(indent, field.name,
      text_of(field.of, value, indent .. "  "), indent)
  else
    lines[#lines + 1] = ("%s%s: %s\n"):format(indent, field.name, scalar_text(field, value))
  end
end

local function add_map_text(lines, field, map, indent)
  local keys = {}
  for key in pairs(map) do keys[#keys + 1] = key end
  table.sort(keys, function(a, b) return tostring(a) < tostring(b) end)
  for _, key in ipairs(keys) do
    local entry = {}
    add_text(entry, field.key, key, indent .. "  ")
    add_text(entry, field.value, map[key], indent .. "  ")
    lines[#lines + 1] = ("%s%s {\n%s%s}\n"):format(indent, field.name, concat(entry), indent)
  end
end

function text_of(message, values, indent)
  local lines = {}
  for _, field in ipairs(message.ordered) do
    local value = rawget(values, field.name)
    if value ~= nil and field.is_map then
      add_map_text(lines, field, value, indent)
    elseif value ~= nil and field.is_repeated then
      for _, item in ipairs(value) do add_text(lines, field, item, indent) end
    elseif value ~= nil and (field.has_presence or not is_default(field, value)) then
      add_text(lines, field, value, indent)
    end
  end
  return concat(lines)
end

--- A message for people, in the text format: `id: 1\nmethod: "add"\n`.
---@param name string
---@param values table
---@return string
function Schema:text(name, values)
  return text_of(type_of(self, "schema:text", name, "message"), values, "")
end

M.schema_methods = Schema

return M
