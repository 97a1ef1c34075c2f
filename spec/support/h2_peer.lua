--- h2_peer.lua - a server of HTTP/2 that says exactly the frames a spec wants, in the clear. It does
--- not decode what it is asked: the order of the streams tells.
---
---   local h2 = require "h2_peer"
---   local url, server = h2.listen(function(peer)
---     local id = peer:request()
---     peer:send(h2.headers(id, { { ":status", "200" } }), h2.data(id, "hello", h2.END_STREAM))
---   end)
local bit = require "bit"
local hv = require "hv"

local M = { END_STREAM = 1, ACK = 1, END_HEADERS = 4, PADDED = 8 }

local numbers = { DATA = 0, HEADERS = 1, PRIORITY = 2, RST_STREAM = 3, SETTINGS = 4,
  PUSH_PROMISE = 5, PING = 6, GOAWAY = 7, WINDOW_UPDATE = 8, CONTINUATION = 9 }
local names = {}
for name, number in pairs(numbers) do names[number] = name end

local function be(value, bytes)
  local text = {}
  for i = bytes, 1, -1 do
    text[i] = string.char(value % 256)
    value = math.floor(value / 256)
  end
  return table.concat(text)
end
M.be = be

-- ---- Frames ----

function M.frame(kind, flags, stream, payload)
  payload = payload or ""
  return be(#payload, 3) .. string.char(numbers[kind] or kind, flags or 0) .. be(stream or 0, 4)
    .. payload
end

--- An integer of HPACK with a prefix of 7 bits (RFC 7541 section 5.1).
local function length(value)
  if value < 127 then return string.char(value) end
  local text = { "\127" }
  value = value - 127
  while value >= 128 do
    text[#text + 1] = string.char(value % 128 + 128)
    value = math.floor(value / 128)
  end
  return table.concat(text) .. string.char(value)
end

--- A field block: each one a literal that nobody indexes.
function M.fields(list)
  local text = {}
  for i, field in ipairs(list) do
    text[i] = "\0" .. length(#field[1]) .. field[1] .. length(#field[2]) .. field[2]
  end
  return table.concat(text)
end

function M.headers(stream, list, flags)
  return M.frame("HEADERS", M.END_HEADERS + (flags or 0), stream, M.fields(list))
end

--- :status and what else is given.
function M.status(stream, status, flags, more)
  local list = { { ":status", tostring(status) } }
  for _, field in ipairs(more or {}) do list[#list + 1] = field end
  return M.headers(stream, list, flags)
end

function M.data(stream, text, flags) return M.frame("DATA", flags, stream, text) end

function M.settings(values)
  local text = {}
  for id, value in pairs(values or {}) do text[#text + 1] = be(id, 2) .. be(value, 4) end
  return M.frame("SETTINGS", 0, 0, table.concat(text))
end

function M.reset(stream, reason) return M.frame("RST_STREAM", 0, stream, be(reason, 4)) end

function M.goaway(last, reason, words)
  return M.frame("GOAWAY", 0, 0, be(last, 4) .. be(reason or 0, 4) .. (words or ""))
end

function M.window(stream, bytes) return M.frame("WINDOW_UPDATE", 0, stream, be(bytes, 4)) end

--- A whole answer.
function M.answer(stream, body, status)
  return M.status(stream, status or 200) .. M.data(stream, body, M.END_STREAM)
end

-- ---- A connection ----

local Peer = {}
Peer.__index = Peer

function Peer:send(...) return self.conn:write(table.concat { ... }) end

--- The next frame: { kind=, flags=, stream=, payload= }; nil at the end.
function Peer:read()
  local head = self.conn:read(9)
  if not head then return nil end
  local a, b, c, kind, flags, d, e, f, g = head:byte(1, 9)
  local len = a * 65536 + b * 256 + c
  local stream = bit.band(d, 127) * 16777216 + e * 65536 + f * 256 + g
  local payload = len > 0 and self.conn:read(len) or ""
  if not payload then return nil end
  return { kind = names[kind] or kind, flags = flags, stream = stream, payload = payload }
end

--- The next frame of a kind; those before it are passed over. nil at the end.
function Peer:next(kind)
  while true do
    local frame = self:read()
    if not frame or frame.kind == kind then return frame end
  end
end

--- The next request: its stream, and whether a body is to come. nil at the end.
function Peer:request()
  local frame = self:next "HEADERS"
  if not frame then return nil end
  return frame.stream, bit.band(frame.flags, M.END_STREAM) == 0
end

--- The body of a request up to its end; windows are opened as it comes.
function Peer:body(stream)
  local pieces = {}
  while true do
    local frame = self:next "DATA"
    if not frame then return nil end
    if frame.stream == stream then
      pieces[#pieces + 1] = frame.payload
      if bit.band(frame.flags, M.END_STREAM) ~= 0 then return table.concat(pieces) end
      if #frame.payload > 0 then
        self:send(M.window(0, #frame.payload), M.window(stream, #frame.payload))
      end
    end
  end
end

--- Takes a connection over: reads the preface, says SETTINGS.
function M.peer(conn, settings)
  local self = setmetatable({ conn = conn }, Peer)
  if conn:read(24) ~= "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" then return nil end
  self:send(M.settings(settings))
  return self
end

--- A server that runs fn(peer, number) for each connection. Returns its URL and it.
function M.listen(fn, settings)
  local count = 0
  local server = assert(hv.tcp.listen({ host = "127.0.0.1", port = 0 }, function(conn)
    local peer = M.peer(conn, settings)
    if not peer then return end
    count = count + 1
    return fn(peer, count)
  end))
  return "http://127.0.0.1:" .. server:port() .. "/", server
end

return M
