-- jsonrpc.lua - what jsonrpc_server.lua and jsonrpc_client.lua share: the framing, and a client
-- that may have many calls on the way at once.
--
-- A packet is a head of five bytes (one of flags, four of length, big endian) and JSON text; or,
-- with the framing "line", the text alone, ended by CR LF.
local bit = require "bit"
local hv = require "hv"
local json = require "hv.json"

local M = {}

local framings = {
  head = { mode = "length_field", body_offset = 5, length_field_offset = 1,
    length_field_bytes = 4, length_field_coding = "big", max_length = "1M" },
  line = { mode = "delimiter", delimiter = "\r\n", max_length = "1M" },
}

-- The unpack option of hv.tcp for a framing.
function M.unpack_of(framing) return framings[framing] end

-- A text as a packet.
function M.pack(text, framing)
  if framing == "line" then return text .. "\r\n" end
  local n = #text
  return string.char(0, bit.rshift(n, 24), bit.band(bit.rshift(n, 16), 255),
    bit.band(bit.rshift(n, 8), 255), bit.band(n, 255)) .. text
end

-- The text of a packet.
function M.text_of(packet, framing)
  return framing == "line" and packet:sub(1, -3) or packet:sub(6)
end

-- ---- The client ----

local Client = {}
Client.__index = Client

-- Hands each answer to who waits for its id.
local function take_answer(self, answer)
  local waiting = type(answer) == "table" and self.waiting[answer.id]
  if waiting then waiting:send(answer) end
end

local function read_answers(self)
  for packet in self.conn:packets() do
    local ok, answer = pcall(json.decode, M.text_of(packet, self.framing))
    if ok and type(answer) == "table" and answer[1] ~= nil then
      for _, one in ipairs(answer) do take_answer(self, one) end -- of a batch, in any order
    elseif ok then
      take_answer(self, answer)
    end
  end
  for _, waiting in pairs(self.waiting) do waiting:close() end
end

-- Connects. Returns the client, or nil, message, code.
function M.connect(host, port, framing)
  framing = framing or "head"
  local conn, message, code = hv.tcp.connect {
    host = host, port = port, unpack = M.unpack_of(framing), read_timeout = 0 }
  if not conn then return nil, message, code end
  local self = setmetatable({ conn = conn, framing = framing, waiting = {}, last_id = 0 }, Client)
  hv.go(read_answers, self)
  return self
end

-- A list even where it is empty: JSON tells [] from {}.
local function params_text(params)
  if params == nil then return "" end
  return ',"params":' .. (next(params) == nil and "[]" or json.encode(params))
end

local function request_text(self, method, params, is_notification)
  local id = ""
  if not is_notification then
    self.last_id = self.last_id + 1
    id = ',"id":' .. self.last_id
    self.waiting[self.last_id] = hv.channel(1)
  end
  return ('{"jsonrpc":"2.0"%s,"method":%s%s}'):format(id, json.encode(method),
    params_text(params)), not is_notification and self.last_id or nil
end

-- The result of an answer; nil, message and the error's code where it has none.
local function wait_for(self, id, timeout)
  local answer, message, code = self.waiting[id]:recv(timeout or 10000)
  self.waiting[id] = nil
  if not answer then return nil, "no answer: " .. message, code end
  if answer.error then return nil, answer.error.message, answer.error.code end
  return answer.result
end

-- Calls a method and waits for its result.
function Client:call(method, params, timeout)
  local text, id = request_text(self, method, params)
  local ok, message, code = self.conn:write(M.pack(text, self.framing))
  if not ok then return nil, message, code end
  return wait_for(self, id, timeout)
end

-- Calls a method that nobody answers.
function Client:notify(method, params)
  return self.conn:write(M.pack((request_text(self, method, params, true)), self.framing))
end

-- Sends several as one: { { method, params }, { method, params, notify = true }, ... }. Returns
-- a list of { result } or { nil, message, code } in the order of the calls, notifications left out.
function Client:batch(calls, timeout)
  local texts, ids, results = {}, {}, {}
  for i, call in ipairs(calls) do
    texts[i], ids[#ids + 1] = request_text(self, call[1], call[2], call.notify)
  end
  local ok, message, code =
    self.conn:write(M.pack("[" .. table.concat(texts, ",") .. "]", self.framing))
  if not ok then return nil, message, code end
  for i, id in ipairs(ids) do results[i] = { wait_for(self, id, timeout) } end
  return results
end

function Client:close() return self.conn:close() end

return M
