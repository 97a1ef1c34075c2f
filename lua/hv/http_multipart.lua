--- hv.http_multipart - bodies of multipart/form-data (RFC 7578) that are in memory as a whole.
local M = {}

--- The boundary in a Content-Type, or nil.
---@param content_type string?
---@return string? boundary
function M.boundary(content_type)
  if not content_type then return nil end
  if not content_type:lower():find("^multipart/form%-data%s*;") then return nil end
  local at = select(2, content_type:lower():find("boundary%s*=%s*"))
  if not at then return nil end
  local rest = content_type:sub(at + 1)
  local boundary = rest:match('^"([^"]*)"') or rest:match("^[^%s;,]+")
  return boundary ~= "" and boundary or nil
end

--- A parameter of a Content-Disposition; in quotes a backslash takes the next byte as it is.
local function parameter(text, name)
  local rest = text
  while true do
    local key, after = rest:match("^[^;]*;%s*([%w%*%-]+)%s*=%s*()")
    if not key then return nil end
    rest = rest:sub(after)
    local value
    if rest:sub(1, 1) == '"' then
      local stop = 2
      while stop <= #rest and rest:sub(stop, stop) ~= '"' do
        stop = stop + (rest:sub(stop, stop) == "\\" and 2 or 1)
      end
      value = rest:sub(2, stop - 1):gsub("\\(.)", "%1")
      rest = rest:sub(stop + 1)
    else
      value = rest:match("^[^;%s]*")
      rest = rest:sub(#value + 1)
    end
    if key:lower() == name then return value end
  end
end

local function parse_part(head, body)
  local part = { headers = {}, body = body }
  for line in head:gmatch("[^\r\n]+") do
    local name, value = line:match("^([^:]+):%s*(.-)%s*$")
    if name then part.headers[name:lower()] = value end
  end
  local disposition = part.headers["content-disposition"] or ""
  part.name = parameter(disposition, "name")
  part.filename = parameter(disposition, "filename")
  return part
end

--- Cuts a body into its parts.
---@param body string
---@param boundary string
---@return table[]? parts { name, filename, headers, body }
---@return string? message
---@return hv.ErrCode? code EPROTO
function M.parse(body, boundary)
  local parts, mark = {}, "--" .. boundary
  local at
  if body:sub(1, #mark) == mark then
    at = 1
  else
    local first = body:find("\r\n" .. mark, 1, true)
    at = first and first + 2
  end
  while at do
    at = at + #mark
    if body:sub(at, at + 1) == "--" then return parts end
    local head_start = select(2, body:find("^[ \t]*\r\n", at))
    if not head_start then break end
    -- A part without headers begins with the blank line itself.
    local head_end, body_start = body:find("\r\n\r\n", head_start - 1, true)
    if not head_end then break end
    local stop = body:find("\r\n" .. mark, body_start - 1, true)
    if not stop then break end
    local head = body:sub(head_start + 1, head_end - 1)
    local part = parse_part(head, body:sub(body_start + 1, stop - 1))
    if not part.name then break end
    parts[#parts + 1] = part
    at = stop + 2
  end
  return nil, "multipart: malformed body", "EPROTO"
end

return M
