--- h2_peer.lua - a server of HTTP/2 that says exactly the frames a spec wants, in the clear. It
--- decodes nothing of what it is asked: the order of the streams tells.
---
---   local h2 = require "h2_peer"
---   local url, server = h2.listen(function(peer)
---     local id = peer:request()
---     peer:send(h2.headers(id, { { ":status", "200" } }), h2.data(id, "hello", h2.END_STREAM))
---   end)
local bit = require "bit"
local frames = require "h2_frames"
local hv = require "hv"

local M = { END_STREAM = frames.END_STREAM, ACK = frames.ACK, END_HEADERS = frames.END_HEADERS }

local names = {}
for name, number in pairs(frames) do
  if type(number) == "number" and not M[name] and name ~= "PADDED" then names[number] = name end
end

local u32 = frames.u32

-- ---- Frames ----

function M.frame(kind, flags, stream, payload)
  return frames.frame(frames[kind] or kind, flags or 0, stream or 0, payload)
end

--- A field block of { { name, value }, ... }: each one a literal that nobody indexes.
function M.fields(list)
  local flat = {}
  for i, field in ipairs(list) do flat[2 * i - 1], flat[2 * i] = field[1], field[2] end
  return frames.block(flat)
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
  for id, value in pairs(values or {}) do text[#text + 1] = u32(id):sub(3) .. u32(value) end
  return M.frame("SETTINGS", 0, 0, table.concat(text))
end

function M.reset(stream, reason) return M.frame("RST_STREAM", 0, stream, u32(reason)) end

function M.goaway(last, reason, words)
  return M.frame("GOAWAY", 0, 0, u32(last) .. u32(reason or 0) .. (words or ""))
end

function M.window(stream, bytes) return M.frame("WINDOW_UPDATE", 0, stream, u32(bytes)) end

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

--- Takes a connection over: reads the preface, says SETTINGS, and that the client's are in force.
function M.peer(conn, settings)
  local self = setmetatable({ conn = conn }, Peer)
  if conn:read(24) ~= "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" then return nil end
  self:send(M.settings(settings), M.frame("SETTINGS", M.ACK, 0))
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
