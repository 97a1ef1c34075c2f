--- hv.tls - certificates and rules of TLS, for whatever takes an option `tls`.
---
---   hv.tcp.connect { host = "example.org", port = 443, tls = true }
---   hv.tcp.listen({ port = 8443, tls = { cert = "cert.pem", key = "key.pem" } }, handler)
---
--- `tls` is `true`, a table of options, or a context that was made of such a table. A table is
--- read, with its files, at each call that it is given to; a context is read once, may serve many
--- listeners and connections, and reads its files again when it is told to:
---
---   local context = assert(hv.tls.context { cert = "cert.pem", key = "key.pem" })
---   hv.on_signal("hup", function() assert(context:reload()) end)
local methods = require "hv.methods"
local misuse = require("_hv.loop").misuse
local options = require "hv.options"
local raw = require "_hv.tls"

---@class hv.tls
local M = {}

-- ---- Options ----

--- A path, or PEM text.
local function source(value, where)
  if type(value) == "string" and value ~= "" and not value:find("\0", 1, true) then return value end
  return misuse(("%s: cert, key and ca are paths or PEM text, got %s"):format(where,
    type(value) == "string" and "a string that is neither" or type(value)))
end

--- A list of names as "h2,http/1.1" (RFC 7301).
local function alpn_list(value, where)
  local bytes = 0
  if type(value) ~= "table" then
    return misuse(("%s: alpn must be a list of names, got %s"):format(where, type(value)))
  end
  for i, name in ipairs(value) do
    if type(name) ~= "string" or #name < 1 or #name > 255 or name:find("[,%z]") then
      return misuse(("%s: alpn[%d] must be a name of 1..255 bytes"):format(where, i))
    end
    bytes = bytes + #name + 1
  end
  if bytes > 255 then return misuse(where .. ": alpn is longer than 255 bytes") end
  return #value > 0 and table.concat(value, ",") or nil
end

local function one_of(key, ...)
  local known, words = {}, {}
  for i, word in ipairs { ... } do
    known[word], words[i] = true, ("%q"):format(word)
  end
  return function(value, where)
    if known[value] then return value end
    return misuse(("%s: %s must be one of %s, got %s"):format(where, key, table.concat(words, ", "),
      type(value) == "string" and ("%q"):format(value) or tostring(value)))
  end
end

local read = options.reader("tls", {
  cert = { source }, key = { source }, ca = { source }, verify = { "boolean", true },
  server_name = { "string" }, alpn = { alpn_list },
  min_version = { one_of("min_version", "1.2", "1.3"), "1.2" }, ciphers = { "string" },
  client_auth = { one_of("client_auth", "none", "request", "require"), "none" },
  names = { "table" },
})

--- HSSL_VERIFY_* of runtime/include/hssl.h.
local VERIFY_DEFAULT, VERIFY_NONE = 0, -1
local client_auth = { none = VERIFY_NONE, require = 1, request = 2 }

-- ---- Contexts ----

---@class hv.TlsContext
local Context = {}
local meta = { __name = "hv.tls", __index = Context }

local function make_client(t)
  return raw.context(true, t.verify and VERIFY_DEFAULT or VERIFY_NONE, t.cert, t.key, t.ca, t.alpn,
    t.min_version, t.ciphers)
end

local make_context

--- The context of a name: one of its own, or a table that takes over what it does not say.
local function context_of_name(t, name, value)
  if getmetatable(value) == meta then return value end
  if type(value) ~= "table" then
    return misuse(("tls: names[%q] must be a table or a context, got %s"):format(name, type(value)))
  end
  local own = read(value)
  if own.names then return misuse(("tls: names[%q] has names itself"):format(name)) end
  own.alpn, own.ciphers = own.alpn or t.alpn, own.ciphers or t.ciphers
  return make_context(own, "server")
end

local function add_names(self, ctx, t, alpn)
  self._named = {}
  for name, value in pairs(t.names or {}) do
    if type(name) ~= "string" then
      return misuse("tls: the keys of names are host names, got " .. type(name))
    end
    local named, message, code = context_of_name(t, name, value)
    if not named then return nil, message, code end
    local other
    other, message, code = named:_side("server", alpn)
    if not other then return nil, message, code end
    self._named[#self._named + 1] = named
    ctx:add_name(name, other)
  end
  return ctx
end

local function make_server(t, self, alpn)
  if not t.cert then return misuse("tls: cert is missing, a server needs one") end
  if t.client_auth ~= "none" and not t.ca then
    return misuse("tls: ca is missing: it says whose clients' certificates are taken")
  end
  local ctx, message, code = raw.context(false, client_auth[t.client_auth], t.cert, t.key, t.ca,
    t.alpn or alpn, t.min_version, t.ciphers)
  if not ctx then return nil, message, code end
  return add_names(self, ctx, t, alpn)
end

--- What C takes for one side; made when it is first asked for. A server that prefers protocols,
--- where the options name none, has a side of its own.
function Context:_side(side, alpn)
  local key = alpn and not self._options.alpn and side .. " " .. alpn or side
  local ctx = self._sides[key]
  if ctx then return ctx end
  local message, code
  if side == "client" then
    ctx, message, code = make_client(self._options)
  else
    ctx, message, code = make_server(self._options, self, alpn)
  end
  self._sides[key] = ctx
  return ctx, message, code
end

function make_context(t, side)
  local self = setmetatable({ _options = t, _sides = {} }, meta)
  local ctx, message, code = self:_side(side)
  if not ctx then return nil, message, code end
  return self
end

--- Reads certificates, keys and roots again, also those of `names`, for the handshakes that follow;
--- connections that exist go on as they are. Of what cannot be read the old stays in force.
---@return true? ok
---@return string? message the file, and why it cannot be taken
---@return hv.ErrCode? code ETLS
function Context:reload()
  local first_message, first_code
  local function note(ok, message, code)
    if not ok and not first_code then first_message, first_code = message, code end
  end
  for _, ctx in pairs(self._sides) do note(ctx:reload()) end
  for _, named in ipairs(self._named or {}) do note(named:reload()) end
  if first_code then return nil, first_message, first_code end
  return true
end

function meta:__tostring()
  local sides = {}
  for side in pairs(self._sides) do sides[#sides + 1] = side end
  table.sort(sides)
  return ("hv.tls{%s}"):format(table.concat(sides, ", "))
end

--- Reads certificates and rules once, for many listeners and connections.
---@param opts hv.TlsOptions
---@return hv.TlsContext? context
---@return string? message the file, and why it cannot be taken
---@return hv.ErrCode? code ETLS
function M.context(opts)
  local t = read(opts)
  return make_context(t, t.cert and "server" or "client")
end

--- The name and version of the library below: "OpenSSL 3.0.15 ...".
---@return string
function M.backend() return raw.backend() end

-- ---- For those who take an option `tls` ----

local default_client

--- The context of an option's value.
local function context_of(where, value, side)
  if getmetatable(value) == meta then return value end
  if type(value) == "table" then
    return make_context(read(value), side)
  end
  if value == true and side == "client" then
    if default_client then return default_client end
    local message, code
    default_client, message, code = make_context(read {}, side)
    return default_client, message, code
  end
  if value == true then return misuse(where .. ": tls.cert is missing, a server needs one") end
  return misuse(("%s: tls must be %sa table or a context, got %s"):format(where,
    side == "client" and "true, " or "", tostring(value)))
end

local function side_of(where, value, side, alpn)
  local context, message, code = context_of(where, value, side)
  local ctx
  if context then ctx, message, code = context:_side(side, alpn and alpn_list(alpn, where)) end
  if not ctx then return nil, where .. ": " .. message, code end
  return ctx, context._options.server_name
end

--- What C takes for a client, and the name to verify, where the option says one.
---@param where string the operation, for messages
---@param value true|hv.TlsOptions|hv.TlsContext
---@return userdata? ctx
---@return string? name_or_message
---@return hv.ErrCode? code
function M.client(where, value) return side_of(where, value, "client") end

--- What C takes for a server.
---@param where string the operation, for messages
---@param value hv.TlsOptions|hv.TlsContext
---@param alpn? string[] where the option says none
---@return userdata? ctx
---@return string? message
---@return hv.ErrCode? code
function M.server(where, value, alpn) return side_of(where, value, "server", alpn) end

methods.guard(Context, "context", "hv.tls")

return M
