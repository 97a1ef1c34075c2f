-- raw_http.lua - an HTTP client for specs that shows exactly what is on the wire: it sends text as
-- it is given and reads one answer at a time. And the server of a spec: M.listen and M.stop.
local helper = require "helper"
local hv = require "hv"
local headers = require "hv.http_headers"

local M = {}

local handles_before = setmetatable({}, { __mode = "k" })

--- Lets an app listen, on a port of its own.
function M.listen(app)
  local before = helper.active()
  local server = assert(app:listen { host = "127.0.0.1", port = 0 })
  handles_before[server] = before
  return server
end

--- Closes a server of M.listen at once, and waits until nothing that began since then is left.
function M.stop(server)
  server:close(0)
  helper.nothing_left(handles_before[server])
end

local Client = {}
Client.__index = Client

--- Opens a connection to a server of this process.
function M.connect(server)
  local conn = assert(hv.tcp.connect { host = "127.0.0.1", port = server:port(), timeout = 5000 })
  return setmetatable({ conn = conn }, Client)
end

function Client:send(text)
  assert(self.conn:write(text))
end

local function read_line(self)
  return assert(self.conn:read_line(5000))
end

local function read_chunks(self)
  local pieces = {}
  while true do
    local size = tonumber(read_line(self), 16)
    if size > 0 then pieces[#pieces + 1] = assert(self.conn:read(size)) end
    assert(read_line(self) == "")
    if size == 0 then return table.concat(pieces), pieces end
  end
end

local function read_to_end(self)
  local pieces = {}
  for piece in self.conn:chunks() do pieces[#pieces + 1] = piece end
  return table.concat(pieces)
end

--- Reads one answer: { status=, reason=, headers=, body=, pieces= }.
function Client:receive(without_body)
  local status, reason = read_line(self):match("^HTTP/1%.1 (%d%d%d) (.*)$")
  local answer = { status = tonumber(status), reason = reason, headers = headers.new() }
  while true do
    local line = read_line(self)
    if line == "" then break end
    answer.headers:add(line:match("^([^:]+): ?(.*)$"))
  end
  local length = tonumber((answer.headers:get("content-length")))
  if without_body or answer.status < 200 or answer.status == 204 or answer.status == 304 then
    answer.body = ""
  elseif length then
    answer.body = length == 0 and "" or assert(self.conn:read(length))
  elseif answer.headers:get("transfer-encoding") then
    answer.body, answer.pieces = read_chunks(self)
  else
    answer.body = read_to_end(self)
  end
  return answer
end

--- Whether the server has closed in order, with nothing left to read.
function Client:is_at_end()
  local data, _, code = self.conn:read()
  return data == nil and code == "EOF"
end

function Client:close()
  self.conn:close()
end

--- The text of a request.
function M.request(method, target, lines, body)
  local text = { ("%s %s HTTP/1.1\r\nHost: x\r\n"):format(method, target) }
  for name, value in pairs(lines or {}) do text[#text + 1] = ("%s: %s\r\n"):format(name, value) end
  if body then text[#text + 1] = ("Content-Length: %d\r\n"):format(#body) end
  return table.concat(text) .. "\r\n" .. (body or "")
end

--- One request on a connection of its own.
function M.exchange(server, method, target, lines, body)
  local client = M.connect(server)
  client:send(M.request(method, target, lines, body))
  local answer = client:receive(method == "HEAD")
  client:close()
  return answer
end

--- One GET for a host, with no other header.
function M.get(server, target, host)
  local client = M.connect(server)
  client:send(("GET %s HTTP/1.1\r\nHost: %s\r\n\r\n"):format(target, host))
  local answer = client:receive()
  client:close()
  return answer
end

--- Collects what reaches hv.on_error while fn runs.
function M.errors_of(fn)
  local errors = {}
  hv.on_error(function(message) errors[#errors + 1] = message end)
  local ok, message = pcall(fn)
  hv.sleep(0)
  hv.on_error(nil)
  if not ok then error(message, 0) end
  return errors
end

return M
