--- hv.http_reply - the response of a request of ours. Private to lua/hv.
local headers_of = require "hv.http_headers"
local json = require "hv.json"
local misuse = require("_hv.loop").misuse
local wait = require "hv.wait"

local finish = wait.finish

---@class hv.HttpReply
---@field status integer
---@field reason string
---@field version string "1.0", "1.1" or "2"
---@field headers hv.HttpHeaders
---@field url string where it came from in the end
---@field body? string whole, but for stream = true
---@field history hv.HttpReply[] the redirects on the way, oldest first
---@field is_complete boolean whether the body came to its end; with stream = true, so far
---@field call userdata for other bindings
local Reply = {}
local meta = { __name = "hv.http.reply", __index = Reply }

function meta:__tostring()
  return ("hv.http.reply{%d %s %s}"):format(self.status, self.reason, self.url)
end

--- The first header of a name, in any case, or nil.
---@param name string
---@return string?
function Reply:header(name) return self.headers:get(name) end

--- Whether the status is 200..299.
---@return boolean
function Reply:ok() return self.status >= 200 and self.status < 300 end

--- The next piece of a streamed body; nil at its end; nil, message, code where it was cut short.
---@async
---@return string? chunk
---@return string? message
---@return hv.ErrCode? code ETIMEDOUT, ECONNRESET, EOF (it ended too soon), EPROTO, ELIMIT
Reply.read = wait.both_forms(function(self)
  if self.body then return misuse("reply:read: the body is whole; use stream = true") end
  if self.is_complete then return nil end
  if self._failure then return nil, self._failure[1], self._failure[2] end
  local chunk, words, code = finish(self.call:read())
  if chunk then
    self._received = self._received + #chunk
    if self._on_progress then self._on_progress("down", self._received, self._length) end
    return chunk
  end
  if not words then
    self.is_complete = true
    return nil
  end
  self._failure = { self._where .. ": " .. words, code }
  return nil, self._failure[1], code
end)

local function next_chunk(self) return (Reply.read(self)) end

local function once(state)
  local body = state.body
  state.body = nil
  return body
end

--- `for chunk in reply:chunks()`: the body piece by piece. Where it was cut short the loop ends as
--- well: reply.is_complete tells, and reply:read() says why.
function Reply:chunks()
  if self.body then return once, { body = self.body ~= "" and self.body or nil } end
  return next_chunk, self
end

--- The rest of a streamed body in one string, or the whole body.
---@async
---@param max? integer bytes; beyond them ELIMIT
---@return string? body
---@return string? message
---@return hv.ErrCode? code
Reply.text = wait.both_forms(function(self, max)
  if self.body then return self.body end
  local pieces, bytes = {}, 0
  while true do
    local chunk, message, code = Reply.read(self)
    if not chunk then
      if message then return nil, message, code end
      return table.concat(pieces)
    end
    bytes = bytes + #chunk
    if max and bytes > max then
      self:close()
      return nil, self._where .. ": the body is longer than allowed", "ELIMIT"
    end
    pieces[#pieces + 1] = chunk
  end
end)

--- The body as JSON.
---@async
---@return any value
---@return string? message
---@return hv.ErrCode? code EPROTO where it is none; else as of reply:read
Reply.json = wait.both_forms(function(self)
  local text, message, code = Reply.text(self)
  if not text then return nil, message, code end
  local ok, value = pcall(json.decode, text)
  if not ok then return nil, self._where .. ": " .. tostring(value), "EPROTO" end
  return value
end)

--- The fields that came behind the body (RFC 9110 section 6.5); of a stream once it is read to its
--- end.
---@return hv.HttpHeaders? trailers mostly none
---@return string? message
---@return hv.ErrCode? code EBUSY before the end of the body, and where that was cut short
function Reply:trailers()
  local lines, message, code = self.call:trailers()
  if not lines then return nil, message, code end
  return setmetatable(lines, headers_of.meta)
end

--- Addresses and TLS facts of the connection: { peer=, local_address=, tls= }; nil once it is gone.
function Reply:connection() return self.call:connection() end

--- The connection of a reply of 101, to speak the protocol that was asked for (option `upgrade`).
--- What the server has sent behind its head is read first.
---@return hv.Tcp? conn
---@return string? message
---@return hv.ErrCode? code ECLOSED where there is none any more, or it was taken already
function Reply:take() return self.call:take() end

--- Gives the rest of a streamed body up, and with it the connection. Again: nothing.
function Reply:close()
  if not self.body and not self.is_complete then self.call:cancel() end
  return true
end

return { meta = meta, methods = Reply }
