--- h2_frames.lua - a client of HTTP/2 for specs that sends frames as they are given, also wrong
--- ones, and shows what comes back (RFC 9113). Header blocks are literals without compression; of
--- answers the status is read (RFC 7541), and everything else left as it is.
local bit = require "bit"
local hv = require "hv"

local M = {
  DATA = 0, HEADERS = 1, PRIORITY = 2, RST_STREAM = 3, SETTINGS = 4, PUSH_PROMISE = 5, PING = 6,
  GOAWAY = 7, WINDOW_UPDATE = 8, CONTINUATION = 9,
  END_STREAM = 1, ACK = 1, END_HEADERS = 4, PADDED = 8,
  PREFACE = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
}

local NO_ERROR, PROTOCOL_ERROR, CANCEL, CALM = 0, 1, 8, 11
M.codes = { NO_ERROR = NO_ERROR, PROTOCOL_ERROR = PROTOCOL_ERROR, INTERNAL_ERROR = 2,
  FLOW_CONTROL_ERROR = 3, STREAM_CLOSED = 5, FRAME_SIZE_ERROR = 6, REFUSED_STREAM = 7,
  CANCEL = CANCEL, COMPRESSION_ERROR = 9, ENHANCE_YOUR_CALM = CALM }

-- ---- Bytes ----

function M.u32(number)
  return string.char(bit.band(bit.rshift(number, 24), 255), bit.band(bit.rshift(number, 16), 255),
    bit.band(bit.rshift(number, 8), 255), bit.band(number, 255))
end

local function read_u32(text, at)
  local a, b, c, d = text:byte(at, at + 3)
  return ((a * 256 + b) * 256 + c) * 256 + d
end

--- A frame as bytes.
function M.frame(kind, flags, stream, payload)
  payload = payload or ""
  return M.u32(#payload):sub(2) .. string.char(kind, flags) .. M.u32(stream) .. payload
end

local function integer(value, prefix_max, first)
  if value < prefix_max then return string.char(first + value) end
  local out = { string.char(first + prefix_max) }
  value = value - prefix_max
  while value >= 128 do
    out[#out + 1] = string.char(value % 128 + 128)
    value = math.floor(value / 128)
  end
  out[#out + 1] = string.char(value)
  return table.concat(out)
end

--- A header block of { name, value, name, value ... }, without indexing.
function M.block(list)
  local out = {}
  for i = 1, #list, 2 do
    out[#out + 1] = "\0" .. integer(#list[i], 127, 0) .. list[i]
      .. integer(#list[i + 1], 127, 0) .. list[i + 1]
  end
  return table.concat(out)
end

--- The fields of a request, with more behind them.
function M.fields(method, path, more)
  local list = { ":method", method, ":scheme", "http", ":authority", "x.test", ":path", path }
  for _, word in ipairs(more or {}) do list[#list + 1] = word end
  return list
end

local static_status = { [8] = 200, [9] = 204, [10] = 206, [11] = 304, [12] = 400, [13] = 404,
  [14] = 500 }

--- Digits in the code of RFC 7541 appendix B.
local function digits_of(bytes)
  local bits = {}
  for i = 1, #bytes do
    for place = 7, 0, -1 do
      bits[#bits + 1] = bit.band(bit.rshift(bytes:byte(i), place), 1)
    end
  end
  local at, out = 1, ""
  local function take(count)
    local value = 0
    for _ = 1, count do value, at = value * 2 + (bits[at] or 1), at + 1 end
    return value
  end
  while #out < 3 do
    local five = take(5)
    out = out .. (five <= 2 and five or (five * 2 + take(1)) - 22)
  end
  return tonumber(out)
end

local function status_of(block)
  local first, len = block:byte(1, 2)
  if first >= 128 then return static_status[first - 128] end
  assert(first == 0x48 or first == 0x08, "no status first")
  if len < 128 then return tonumber(block:sub(3, 2 + len)) end
  return digits_of(block:sub(3, 2 + len - 128))
end

-- ---- Connections ----

local Client = {}
Client.__index = Client

--- Connects; sends nothing yet.
function M.open(server)
  local conn = assert(hv.tcp.connect { host = "127.0.0.1", port = server:port(), timeout = 5000 })
  return setmetatable({ conn = conn, seen = {} }, Client)
end

--- Connects, and begins with the preface and these settings ({ id, value, ... }).
function M.connect(server, settings)
  local client = M.open(server)
  local payload = ""
  for i = 1, #(settings or {}), 2 do
    payload = payload .. M.u32(settings[i]):sub(3) .. M.u32(settings[i + 1])
  end
  client:send(M.PREFACE .. M.frame(M.SETTINGS, 0, 0, payload))
  return client
end

--- Sends bytes. Returns as conn:write: an attack may be cut off.
function Client:send(text) return self.conn:write(text) end

function Client:frame(kind, flags, stream, payload)
  return self:send(M.frame(kind, flags, stream, payload))
end

--- Sends a request whose head is all, or with a body to come.
function Client:request(stream, method, path, more, has_body)
  local flags = M.END_HEADERS + (has_body and 0 or M.END_STREAM)
  return self:frame(M.HEADERS, flags, stream, M.block(M.fields(method, path, more)))
end

--- The next frame: { kind=, flags=, stream=, payload= }; nil, message, code at the end.
function Client:receive()
  local head, message, code = self.conn:read(9)
  if not head then return nil, message, code end
  local len = read_u32("\0" .. head:sub(1, 3), 1)
  local frame = { kind = head:byte(4), flags = head:byte(5),
    stream = bit.band(read_u32(head, 6), 0x7fffffff), payload = "" }
  if len > 0 then frame.payload = assert(self.conn:read(len)) end
  if frame.kind == M.GOAWAY then
    self.goaway = { last = read_u32(frame.payload, 1), code = read_u32(frame.payload, 5) }
  elseif frame.kind == M.RST_STREAM then
    frame.code = read_u32(frame.payload, 1)
  elseif frame.kind == M.HEADERS then
    frame.status = status_of(frame.payload)
  end
  return frame
end

--- Reads on to a frame of that kind, of that stream where one is given; all others are dropped.
function Client:expect(kind, stream)
  while true do
    local frame = assert(self:receive())
    if frame.kind == kind and (not stream or frame.stream == stream) then return frame end
  end
end

--- The whole answer of a stream: { status=, body=, reset= }. Answers of others that come meanwhile
--- are kept for their turn.
function Client:answer(stream)
  local function of(id)
    local answer = self.seen[id] or { body = "" }
    self.seen[id] = answer
    return answer
  end
  while not of(stream).is_over do
    local frame, message, code = self:receive()
    if not frame then return nil, message, code end
    local answer = of(frame.stream)
    if frame.kind == M.HEADERS and frame.status ~= 100 then answer.status = frame.status end
    if frame.kind == M.HEADERS and frame.status == 100 then answer.has_continued = true end
    if frame.kind == M.DATA then answer.body = answer.body .. frame.payload end
    if frame.kind == M.RST_STREAM then answer.reset, answer.is_over = frame.code, true end
    local is_of_answer = frame.kind == M.HEADERS or frame.kind == M.DATA
    if is_of_answer and bit.band(frame.flags, M.END_STREAM) ~= 0 then answer.is_over = true end
  end
  return of(stream)
end

--- Reads to the end of the connection. Returns the code of GOAWAY, or nil where none came.
function Client:read_to_end()
  repeat
    local frame = self:receive()
  until not frame
  return self.goaway and self.goaway.code
end

function Client:close() self.conn:close() end

return M
