--- hv.ws - WebSocket: clients, and what servers and clients share. Servers are made by `app:ws`.
---
---   local ws = assert(hv.ws.connect("ws://127.0.0.1:8080/chat"))
---   ws:send("hello")
---   for message, kind in ws:messages() do print(kind, message) end
local ffi = require "ffi"
local leaf = require "hv.leaf"
local misuse = require("_hv.loop").misuse
local raw = require "_hv.ws"
local read_connect = require("hv.ws_options").read_connect
local reconnecting = require "hv.ws_client"
local rules = require "hv.reconnect"
local shutdown = require "hv.shutdown"
local tls = require "hv.tls"
local url = require "hv.url"
local wait = require "hv.wait"

local text_of, getmetatable, type = leaf.text, getmetatable, type

---@class hv.ws
local M = {}

-- ---- Sockets ----

---@class hv.Ws
local Ws = raw.methods
local field = raw.field

--- `ws.id`, `ws.data`, `ws.close_code` ... stand beside the methods.
raw.meta.__index = function(self, key)
  local method = Ws[key]
  if method ~= nil then return method end
  return field(self, key)
end

-- The common case of each goes by a leaf: a C function that compiled code calls itself, so that a
-- loop of messages stays one trace. It returns 0 where the case is another one, and did nothing.
local send, receive, wait_for_room, meta = Ws.send, Ws.receive, raw.room, raw.meta
local finish = wait.finish
local leaf_send = ffi.cast("int (*)(void *, int, const char *, int)", raw.leaf_send)
local leaf_next = ffi.cast("int (*)(void *)", raw.leaf_next)
local leaf_receive = ffi.cast("int (*)(void *)", raw.leaf_receive)
local found = leaf.texts(raw.message)
local kinds = { "text", "binary" }
local kind_numbers = { text = 1, binary = 2 }

function Ws:send(data, kind, fn)
  if fn == nil and getmetatable(self) == meta and type(data) == "string" then
    local number = kind_numbers[kind or "text"]
    local sent = number and leaf_send(self, number, data, #data) or 0
    if sent == 1 then return true end
    if sent == 2 then return finish(wait_for_room(self)) end
  end
  if type(kind) == "function" then kind, fn = nil, kind end
  return finish(send(self, data, kind, fn))
end

function Ws:receive(timeout, fn)
  if type(timeout) == "function" then timeout, fn = nil, timeout end
  return finish(receive(self, timeout, fn))
end

local function next_message(self)
  if getmetatable(self) == meta then
    local number = leaf_receive(self)
    if number ~= 0 then return text_of(found), kinds[number] end
  end
  return finish(receive(self))
end

--- Runs on_message for a message and for those behind it in the same read, in one task: an entry
--- for each would cost more than an echo does.
raw.set_driver(function(on_message, self, data, kind)
  while true do
    on_message(self, data, kind)
    local number = leaf_next(self)
    if number == 0 then return end
    data, kind = text_of(found), kinds[number]
  end
end)

--- `for data, kind in ws:messages()`: until the end; ws.close_code then tells which.
function Ws:messages()
  return next_message, self
end

-- ---- Clients ----

local connect = wait.waits(raw.connect)

--- Header lines as C takes them: { name, value, name, value ... }.
local function header_list(headers)
  local list = {}
  for name, value in pairs(headers or {}) do
    if type(name) ~= "string" or not name:find("^[%w!#$%%&'*+%-.^_`|~]+$") then
      misuse("hv.ws.connect: bad header name " .. tostring(name))
    end
    local lower = name:lower()
    if lower:find("^sec%-websocket%-") or lower == "upgrade" or lower == "connection" then
      misuse(("hv.ws.connect: header %s is the handshake's own"):format(name))
    end
    for _, one in ipairs(type(value) == "table" and value or { value }) do
      local text = tostring(one)
      if text:find("[%c]") then
        misuse(("hv.ws.connect: header %s has control characters"):format(name))
      end
      list[#list + 1], list[#list + 2] = name, text
    end
  end
  return list
end

local function check_url(text)
  local parts = type(text) == "string" and url.parse(text)
  if not parts or parts.scheme ~= "ws" and parts.scheme ~= "wss" then
    misuse(("hv.ws.connect: \"ws://host[:port]/path\" expected, got %s"):format(
      type(text) == "string" and ("%q"):format(text) or type(text)))
  end
  local host = parts.host:find(":", 1, true) and not parts.host:find("^%[") and
    "[" .. parts.host .. "]" or parts.host
  local port = parts.port and ":" .. parts.port or ""
  local query = parts.query and "?" .. parts.query or ""
  local target = parts.scheme .. "://" .. host .. port .. (parts.path or "/") .. query
  return target, parts.scheme == "wss"
end

--- The results of connecting, with a message that names the address (without its query, where
--- secrets are).
local function name_target(target, ws, message, code)
  if ws then return ws end
  local name = target:match("^[^?]*")
  return nil, (message:gsub("^connect", function() return "connect " .. name end)), code
end

--- The proxy to go through, with what TLS takes for it: { proxy=, proxy_context= }.
local function proxy_of(address, t)
  local proxy = t.proxy
  if proxy == "env" then
    proxy = require("hv.http_options").proxy_of_environment(url.parse(address))
  end
  if not proxy or t.proxy_tls == nil or t.proxy_tls == true then return { proxy = proxy } end
  local ctx, message, code = tls.client("connect", t.proxy_tls)
  if not ctx then return nil, message, code end
  return { proxy = proxy, proxy_context = ctx }
end

--- One attempt, by checked options.
local function connect_once(address, is_secure, t)
  local ctx, name, code
  if is_secure and t.tls ~= nil then
    ctx, name, code = tls.client("connect", t.tls)
    if not ctx then return nil, name, code end
  end
  local through, problem
  through, problem, code = proxy_of(address, t)
  if not through then return nil, problem, code end
  local hub = shutdown.attend(raw.hub())
  local endpoint, message
  endpoint, message, code = raw.endpoint(hub, t)
  if not endpoint then return nil, message, code end
  return name_target(address, connect(endpoint, address, t.header_list, t.timeout, ctx, name,
    through))
end

local function connect_to(address, opts)
  local t = read_connect(opts or {})
  local target, is_secure = check_url(address)
  t.header_list = header_list(t.headers)
  if t.tls == false and is_secure then misuse("hv.ws.connect: wss needs tls") end
  if t.tls == true then t.tls = nil end
  if not t.reconnect then return connect_once(target, is_secure, t) end
  return reconnecting.new(address, t, rules.read("hv.ws.connect", t.reconnect), function()
    return connect_once(target, is_secure, t)
  end)
end

--- Connects to a server of WebSocket, and returns the socket once it is open.
---
--- With `reconnect` it returns at once a client that connects by itself, again and again, and has
--- the same methods; what is sent while it is down is refused with ENOTCONN.
---@async
---@param address string "ws[s]://host[:port][/path][?query]"
---@param opts? hv.WsConnectOptions
---@return hv.Ws? ws
---@return string? message
---@return hv.ErrCode? code EPROTO (the server refused, or is none), ECONNREFUSED, ETIMEDOUT ...
M.connect = wait.both_forms(connect_to)

return M
