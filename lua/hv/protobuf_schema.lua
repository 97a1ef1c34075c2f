--- hv.protobuf_schema - reads .proto text: messages, enums, services, nested ones, oneof, map,
--- imports, proto2 and proto3. Private to lua/hv.
---
--- Source: the language specifications of proto2 and proto3 (protobuf.dev). Options are read and,
--- but for packed, default and allow_alias, left aside. Groups and extensions are not supported:
--- groups are refused, "extend" blocks are read over (what they add arrives as unknown fields).
local M = {}

local SCALARS = {
  double = "fixed64", float = "fixed32", int32 = "varint", int64 = "varint", uint32 = "varint",
  uint64 = "varint", sint32 = "varint", sint64 = "varint", fixed32 = "fixed32",
  fixed64 = "fixed64", sfixed32 = "fixed32", sfixed64 = "fixed64", bool = "varint",
  string = "bytes", bytes = "bytes",
}
M.SCALARS = SCALARS

local MAP_KEYS = { int32 = true, int64 = true, uint32 = true, uint64 = true, sint32 = true,
  sint64 = true, fixed32 = true, fixed64 = true, sfixed32 = true, sfixed64 = true, bool = true,
  string = true }

local NUMBER_MAX = 536870911

-- ---- Words ----

--- A failure is thrown as a table, and caught by M.read.
local function fail(self, message, ...)
  error({ message = ("%s:%d: "):format(self.file, self.line) .. message:format(...) }, 0)
end

local escapes = { n = "\n", r = "\r", t = "\t", a = "\a", b = "\b", f = "\f", v = "\v" }

--- The value of a quoted string, escapes and all.
local function string_value(text)
  local out, pos = {}, 1
  while pos <= #text do
    local c = text:sub(pos, pos)
    if c ~= "\\" then
      out[#out + 1] = c
      pos = pos + 1
    else
      local hex = text:match("^[xX](%x%x?)", pos + 1)
      local octal = text:match("^[0-7][0-7]?[0-7]?", pos + 1)
      if hex then
        out[#out + 1] = string.char(tonumber(hex, 16))
        pos = pos + 2 + #hex
      elseif octal then
        out[#out + 1] = string.char(tonumber(octal, 8) % 256)
        pos = pos + 1 + #octal
      else
        local letter = text:sub(pos + 1, pos + 1)
        out[#out + 1] = escapes[letter] or letter
        pos = pos + 2
      end
    end
  end
  return table.concat(out)
end

--- Skips blanks and comments, counting lines.
local function skip(self)
  local text = self.text
  while true do
    local stop = select(2, text:find("^%s+", self.pos))
    if text:find("^//", self.pos) then
      stop = (text:find("\n", self.pos, true) or #text + 1) - 1
    elseif text:find("^/%*", self.pos) then
      stop = select(2, text:find("*/", self.pos + 2, true))
      if not stop then fail(self, "a comment does not end") end
    end
    if not stop then return end
    self.line = self.line + select(2, text:sub(self.pos, stop):gsub("\n", ""))
    self.pos = stop + 1
  end
end

local patterns = { "^[%a_][%w_]*", "^%.?%d[%w%.]*[eE][+-]%d+", "^%.?%d[%w%.]*" }

--- The next word, not taken: its text, and "name", "number", "string", "symbol" or "end".
local function peek(self)
  if self.word then return self.word, self.kind end
  skip(self)
  local text, pos = self.text, self.pos
  local word, kind
  for i, pattern in ipairs(patterns) do
    word = text:match(pattern, pos)
    if word then
      kind = i == 1 and "name" or "number"
      break
    end
  end
  local quote = text:match("^[\"']", pos)
  if quote then
    local at = pos + 1
    while text:sub(at, at) ~= quote do
      if at > #text or text:sub(at, at) == "\n" then fail(self, "a string does not end") end
      at = at + (text:sub(at, at) == "\\" and 2 or 1)
    end
    word, kind = text:sub(pos, at), "string"
  end
  if not word then
    word = text:sub(pos, pos)
    kind = word == "" and "end" or "symbol"
  end
  self.word, self.kind = word, kind
  return word, kind
end

local function take(self)
  local word, kind = peek(self)
  self.pos = self.pos + #word
  self.word = nil
  return word, kind
end

local function accept(self, wanted)
  if peek(self) ~= wanted then return false end
  take(self)
  return true
end

local function expect(self, wanted)
  local word = peek(self)
  if word ~= wanted then
    fail(self, "%q expected, got %s", wanted, word == "" and "the end" or ("%q"):format(word))
  end
  take(self)
end

local function take_name(self, what)
  local word, kind = take(self)
  if kind ~= "name" then fail(self, "%s expected, got %q", what, word) end
  return word
end

--- "a.b.C", ".a.b.C"
local function take_type(self)
  local name = accept(self, ".") and "." or ""
  name = name .. take_name(self, "a type")
  while accept(self, ".") do name = name .. "." .. take_name(self, "a name") end
  return name
end

local function take_string(self)
  local word, kind = take(self)
  if kind ~= "string" then fail(self, "a string expected, got %q", word) end
  local value = string_value(word:sub(2, -2))
  while select(2, peek(self)) == "string" do
    value = value .. string_value((take(self)):sub(2, -2))
  end
  return value
end

local function take_integer(self, what, min, max)
  local sign = accept(self, "-") and -1 or 1
  local word, kind = take(self)
  local number = kind == "number" and (word:find("^0[0-7]+$") and tonumber(word, 8)
    or tonumber(word))
  if not number or number % 1 ~= 0 or number * sign < min or number * sign > max then
    fail(self, "%s must be %d..%d, got %q", what, min, max, word)
  end
  return number * sign
end

-- ---- Options ----

--- Reads over "{ ... }" of an option's value.
local function skip_braces(self)
  local depth = 1
  while depth > 0 do
    local word, kind = take(self)
    if kind == "end" then fail(self, "'}' is missing") end
    if word == "{" then depth = depth + 1 elseif word == "}" then depth = depth - 1 end
  end
end

local function take_constant(self)
  local word, kind = peek(self)
  if kind == "string" then return take_string(self) end
  if accept(self, "{") then return skip_braces(self) end
  local sign = 1
  if word == "-" or word == "+" then
    take(self)
    sign = word == "-" and -1 or 1
    word, kind = peek(self)
  end
  if kind == "number" then
    take(self)
    return sign * (word:find("^0[0-7]+$") and tonumber(word, 8) or tonumber(word)
      or fail(self, "a number expected, got %q", word))
  end
  if word == "inf" or word == "nan" then
    take(self)
    return word == "inf" and sign * math.huge or 0 / 0
  end
  word = take_type(self)
  if word == "true" then return true elseif word == "false" then return false end
  return word -- the name of an enum's value
end

--- "name = value"; name may be "(a.b).c".
local function take_option(self)
  local name = ""
  repeat
    if accept(self, "(") then
      name = name .. "(" .. take_type(self) .. ")"
      expect(self, ")")
    else
      name = name .. take_name(self, "an option")
    end
    local more = accept(self, ".")
    if more then name = name .. "." end
  until not more
  expect(self, "=")
  return name, take_constant(self)
end

local function option_statement(self)
  local name, value = take_option(self)
  expect(self, ";")
  return name, value
end

--- "[packed = true, deprecated = true]"
local function field_options(self)
  local options = {}
  if not accept(self, "[") then return options end
  repeat
    local name, value = take_option(self)
    options[name] = value
  until not accept(self, ",")
  expect(self, "]")
  return options
end

-- ---- Definitions ----

local function define(self, name, definition)
  local full = self.scope == "" and name or self.scope .. "." .. name
  if self.schema.types[full] then fail(self, "%s is defined twice", full) end
  definition.name = full
  self.schema.types[full] = definition
  return full
end

--- Runs fn with the scope one name deeper.
local function inside(self, full, fn, ...)
  local scope = self.scope
  self.scope = full
  fn(self, ...)
  self.scope = scope
end

local function skip_statement(self)
  while true do
    local word, kind = take(self)
    if kind == "end" then fail(self, "';' is missing") end
    if word == ";" then return end
    if word == "{" then return skip_braces(self) end
  end
end

local function add_field(self, message, field)
  if field.number >= 19000 and field.number <= 19999 then
    fail(self, "%s.%s: numbers 19000..19999 are the protocol's own", message.name, field.name)
  end
  if message.by_number[field.number] then
    fail(self, "%s: number %d is given twice", message.name, field.number)
  end
  if message.by_name[field.name] then
    fail(self, "%s: field %s is defined twice", message.name, field.name)
  end
  field.scope = self.scope
  field.line, field.file = self.line, self.file
  message.by_number[field.number] = field
  message.by_name[field.name] = field
  message.fields[#message.fields + 1] = field
end

--- The rest of "type name = 1 [options];".
local function field_statement(self, message, label, oneof)
  local type_name = take_type(self)
  if type_name == "group" then fail(self, "groups are not supported") end
  local field = { type_name = type_name, label = label, oneof = oneof }
  field.name = take_name(self, "a field's name")
  expect(self, "=")
  field.number = take_integer(self, "a field's number", 1, NUMBER_MAX)
  local options = field_options(self)
  expect(self, ";")
  field.is_repeated = label == "repeated"
  field.is_required = label == "required"
  field.packed_option, field.default_option = options.packed, options.default
  add_field(self, message, field)
end

local function map_statement(self, message)
  expect(self, "<")
  local key = take_type(self)
  if not MAP_KEYS[key] then fail(self, "a map's key cannot be %s", key) end
  expect(self, ",")
  local value = take_type(self)
  expect(self, ">")
  local field = { is_map = true, name = take_name(self, "a field's name") }
  expect(self, "=")
  field.number = take_integer(self, "a field's number", 1, NUMBER_MAX)
  field_options(self)
  expect(self, ";")
  field.key = { name = "key", number = 1, type_name = key, scope = self.scope }
  field.value = { name = "value", number = 2, type_name = value, scope = self.scope,
    line = self.line, file = self.file }
  add_field(self, message, field)
end

local function enum_definition(self)
  local enum = { kind = "enum", by_name = {}, by_number = {}, is_closed = self.syntax == 2 }
  define(self, take_name(self, "an enum's name"), enum)
  local is_aliased
  expect(self, "{")
  while not accept(self, "}") do
    if accept(self, "option") then
      local name, value = option_statement(self)
      if name == "allow_alias" then is_aliased = value end
    elseif accept(self, "reserved") then
      skip_statement(self)
    elseif not accept(self, ";") then
      local name = take_name(self, "a value's name")
      expect(self, "=")
      local number = take_integer(self, "a value", -2147483648, 2147483647)
      field_options(self)
      expect(self, ";")
      if enum.by_name[name] then fail(self, "%s: %s is defined twice", enum.name, name) end
      if enum.by_number[number] and not is_aliased then
        fail(self, "%s: %d is given twice", enum.name, number)
      end
      enum.by_name[name] = number
      enum.by_number[number] = enum.by_number[number] or name
      enum.first = enum.first or name
    end
  end
  if not enum.first then fail(self, "%s: an enum needs a value", enum.name) end
  if self.syntax == 3 and enum.by_name[enum.first] ~= 0 then
    fail(self, "%s: the first value of an enum must be 0", enum.name)
  end
end

local message_definition

local function oneof_definition(self, message)
  local oneof = { name = take_name(self, "a oneof's name") }
  expect(self, "{")
  while not accept(self, "}") do
    if accept(self, "option") then
      option_statement(self)
    elseif not accept(self, ";") then
      field_statement(self, message, nil, oneof)
    end
  end
  for _, field in ipairs(message.fields) do
    if field.oneof == oneof then oneof[#oneof + 1] = field end
  end
end

local labels = { optional = true, required = true, repeated = true }

local function message_body(self, message)
  expect(self, "{")
  while not accept(self, "}") do
    local word, kind = peek(self)
    if word == "message" then
      take(self)
      message_definition(self)
    elseif word == "enum" then
      take(self)
      enum_definition(self)
    elseif word == "oneof" then
      take(self)
      oneof_definition(self, message)
    elseif word == "map" then
      take(self)
      map_statement(self, message)
    elseif word == "option" then
      take(self)
      option_statement(self)
    elseif word == "reserved" or word == "extensions" or word == "extend" then
      take(self)
      skip_statement(self)
    elseif word == ";" then
      take(self)
    elseif kind == "name" or word == "." then
      local label = labels[word] and take(self) or nil
      if label == "required" and self.syntax == 3 then
        fail(self, "\"required\" is of proto2")
      elseif not label and self.syntax == 2 then
        fail(self, "%q: optional, required or repeated expected (or syntax = \"proto3\")", word)
      end
      field_statement(self, message, label)
    else
      fail(self, "a field expected, got %s", kind == "end" and "the end" or ("%q"):format(word))
    end
  end
end

function message_definition(self)
  local message = { kind = "message", fields = {}, by_number = {}, by_name = {},
    syntax = self.syntax }
  local full = define(self, take_name(self, "a message's name"), message)
  inside(self, full, message_body, message)
end

local function take_rpc_type(self)
  expect(self, "(")
  local is_stream = false
  local name = take_type(self)
  if name == "stream" and peek(self) ~= ")" then
    is_stream, name = true, take_type(self)
  end
  expect(self, ")")
  return name, is_stream
end

local function rpc_statement(self, service)
  local method = { name = take_name(self, "a method's name"), scope = self.scope,
    line = self.line, file = self.file }
  method.input_name, method.client_streaming = take_rpc_type(self)
  expect(self, "returns")
  method.output_name, method.server_streaming = take_rpc_type(self)
  if accept(self, "{") then skip_braces(self) else expect(self, ";") end
  if service.methods[method.name] then fail(self, "%s is defined twice", method.name) end
  service.methods[method.name] = method
  service.list[#service.list + 1] = method
end

local function service_definition(self)
  local service = { kind = "service", methods = {}, list = {} }
  define(self, take_name(self, "a service's name"), service)
  expect(self, "{")
  while not accept(self, "}") do
    if accept(self, "rpc") then
      rpc_statement(self, service)
    elseif accept(self, "option") then
      option_statement(self)
    else
      expect(self, ";")
    end
  end
end

-- ---- Files ----

local read_file

local function import_statement(self)
  if not accept(self, "public") then accept(self, "weak") end
  local name = take_string(self)
  expect(self, ";")
  if self.schema.files[name] then return end
  local text, message = self.schema.import(name)
  if not text then fail(self, "import %q: %s", name, message or "not found") end
  read_file(self.schema, text, name)
end

local function statement(self)
  local word = take_name(self, "a definition")
  if word == "package" then
    self.scope = take_type(self)
    expect(self, ";")
  elseif word == "import" then
    import_statement(self)
  elseif word == "option" then
    option_statement(self)
  elseif word == "message" then
    message_definition(self)
  elseif word == "enum" then
    enum_definition(self)
  elseif word == "service" then
    service_definition(self)
  elseif word == "extend" then
    skip_statement(self)
  else
    fail(self, "a definition expected, got %q", word)
  end
end

function read_file(schema, text, file)
  local self = { schema = schema, text = text, file = file, pos = 1, line = 1, scope = "",
    syntax = 2 }
  schema.files[file] = true
  if accept(self, "syntax") then
    expect(self, "=")
    local syntax = take_string(self)
    if syntax ~= "proto2" and syntax ~= "proto3" then
      fail(self, "syntax %q is not known", syntax)
    end
    self.syntax = syntax == "proto3" and 3 or 2
    expect(self, ";")
  end
  while select(2, peek(self)) ~= "end" do
    if not accept(self, ";") then statement(self) end
  end
end

-- ---- Names into types ----

--- Looks a name up from the innermost scope outward.
local function resolve(schema, name, at)
  if name:sub(1, 1) == "." then return schema.types[name:sub(2)] end
  local scope = at.scope
  while true do
    local found = schema.types[scope == "" and name or scope .. "." .. name]
    if found then return found end
    if scope == "" then return nil end
    scope = scope:match("^(.*)%.[^.]*$") or ""
  end
end

local zero = { string = "", bytes = "", bool = false }

local function finish_field(schema, message, field)
  local scalar = SCALARS[field.type_name]
  if scalar then
    field.type, field.wire = field.type_name, scalar
    field.zero = zero[field.type]
    if field.zero == nil then field.zero = 0 end
  else
    local found = resolve(schema, field.type_name, field)
    if not found or found.kind == "service" then
      fail(field, "%s is not defined", field.type_name)
    end
    field.type, field.of = found.kind, found
    field.wire = found.kind == "enum" and "varint" or "bytes"
    field.zero = found.kind == "enum" and found.first or nil
  end
  field.default = field.zero
  if field.default_option ~= nil then field.default = field.default_option end
  if field.is_repeated and field.wire ~= "bytes" then
    field.is_packed = field.packed_option
    if field.is_packed == nil then field.is_packed = message.syntax == 3 end
  end
  -- Whether "not there" differs from the default value.
  field.has_presence = message.syntax == 2 or field.label == "optional" or field.oneof ~= nil
    or field.type == "message"
end

local function finish_message(schema, message)
  for _, field in ipairs(message.fields) do
    if field.is_map then
      finish_field(schema, message, field.key)
      finish_field(schema, message, field.value)
      field.value.has_presence = field.value.type == "message"
      field.key.has_presence = false
      field.wire = "bytes"
    else
      finish_field(schema, message, field)
    end
  end
  message.ordered = {}
  for i, field in ipairs(message.fields) do message.ordered[i] = field end
  table.sort(message.ordered, function(a, b) return a.number < b.number end)
end

local function finish_service(schema, service)
  for _, method in ipairs(service.list) do
    method.input = resolve(schema, method.input_name, method)
    method.output = resolve(schema, method.output_name, method)
    if not method.input or not method.output then
      fail(method, "%s is not defined", method.input and method.output_name or method.input_name)
    end
  end
end

--- Reads a file's text and what it imports.
---   import(name) gives the text of an imported file, or nil, message
--- Returns { name = type } and so on; nil, message where the text is wrong.
function M.read(text, file, import)
  local schema = { types = {}, files = {}, import = import }
  local ok, err = pcall(function()
    read_file(schema, text, file)
    for _, definition in pairs(schema.types) do
      if definition.kind == "message" then
        finish_message(schema, definition)
      elseif definition.kind == "service" then
        finish_service(schema, definition)
      end
    end
  end)
  if ok then return schema end
  if type(err) == "table" and err.message then return nil, err.message end
  error(err, 0)
end

return M
