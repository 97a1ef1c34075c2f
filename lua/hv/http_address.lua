--- hv.http_address - who a request is from, by address. Private to lua/hv; public in
--- hv.http.middleware.
local address_bytes = require("_hv.dns").address_bytes
local misuse = require("_hv.loop").misuse
local options = require "hv.options"

local M = {}

-- ---- Networks ----

--- The bytes of an address, those of IPv4 also where it is written as IPv6; nil where it is none.
local function bytes_of(text)
  local bytes = type(text) == "string" and address_bytes(text)
  if not bytes then return nil end
  return bytes:match("^%z%z%z%z%z%z%z%z%z%z\255\255(....)$") or bytes
end

--- { bytes, bits } of "10.0.0.0/8" or of one address; nil where it is neither.
local function net_of(text)
  if type(text) ~= "string" then return nil end
  local address, bits = text:match("^(.-)/(%d+)$")
  local bytes = bytes_of(address or text)
  if not bytes then return nil end
  bits = tonumber(bits) or #bytes * 8
  if bits > #bytes * 8 then return nil end
  return { bytes, bits }
end

local function contains(net, bytes)
  local own, bits = net[1], net[2]
  if #own ~= #bytes then return false end
  local whole = math.floor(bits / 8)
  if own:sub(1, whole) ~= bytes:sub(1, whole) then return false end
  local rest = bits % 8
  if rest == 0 then return true end
  local unit = 2 ^ (8 - rest)
  return math.floor(own:byte(whole + 1) / unit) == math.floor(bytes:byte(whole + 1) / unit)
end

local function nets_of(value, where)
  local list = type(value) == "string" and { value } or value
  if type(list) ~= "table" then
    return misuse(where .. ": a list of addresses expected, got " .. type(value))
  end
  local nets = {}
  for i, text in ipairs(list) do
    nets[i] = net_of(text)
    if not nets[i] then
      return misuse(('%s: %s is no address or network such as "10.0.0.0/8"'):format(where,
        tostring(text)))
    end
  end
  return nets
end

local function is_in(nets, text)
  local bytes = bytes_of(text)
  if not bytes then return false end
  for _, net in ipairs(nets) do
    if contains(net, bytes) then return true end
  end
  return false
end

local function ip_of(req) return req.peer and req.peer.ip end

-- ---- Who may ----

local read_filter = options.reader("middleware.ip_filter", {
  allow = { nets_of }, deny = { nets_of },
})

--- Answers 403 to addresses that are among `deny`, or are not among `allow` where that is given:
--- lists of addresses and networks, "10.0.0.0/8", "2001:db8::/32". A deny counts before an allow.
--- Behind a proxy it wants mw.real_ip before it; clients of a unix socket have no address, and are
--- let in.
---@param opts { allow?: string[], deny?: string[] }
---@return hv.HttpMiddleware
function M.ip_filter(opts)
  local t = read_filter(opts)
  if not t.allow and not t.deny then
    return misuse("middleware.ip_filter: either allow or deny is needed")
  end
  return function(req, _, next_handler)
    local ip = ip_of(req)
    if ip and (t.deny and is_in(t.deny, ip) or t.allow and not is_in(t.allow, ip)) then
      return 403
    end
    return next_handler()
  end
end

-- ---- Behind a proxy ----

local read_real = options.reader("middleware.real_ip", {
  trusted = { nets_of }, header = { "string", "X-Forwarded-For" },
})

--- The nearest address of a list that is not a trusted proxy's: what is before it may be forged.
local function client_of(lines, trusted)
  local found
  for i = #lines, 1, -1 do
    local list = {}
    for item in lines[i]:gmatch("[^,]+") do list[#list + 1] = item:match("^%s*(.-)%s*$") end
    for k = #list, 1, -1 do
      local ip = list[k]:match("^%[(.-)%]") or list[k]:match("^([%d.]+):%d+$") or list[k]
      if not bytes_of(ip) then return found end
      found = ip
      if not is_in(trusted, ip) then return found end
    end
  end
  return found
end

--- Believes what trusted proxies say of their clients: where the peer is among `trusted` (addresses
--- and networks), `req.peer.ip` becomes the address that X-Forwarded-For names, as seen by the
--- outermost trusted proxy, and `req.scheme` what X-Forwarded-Proto says. Logs, rate limits,
--- filters and redirects that are used after it go by that. The peer at a unix socket is always
--- trusted: who may connect there is for its mode to say.
---
---   app:use(mw.real_ip { trusted = { "127.0.0.1", "10.0.0.0/8" } })
---
---@param opts { trusted: string[], header?: string }
---@return hv.HttpMiddleware
function M.real_ip(opts)
  local t = read_real(opts)
  if not t.trusted then return misuse("middleware.real_ip: trusted is missing") end
  return function(req, _, next_handler)
    local ip = ip_of(req)
    if not ip or is_in(t.trusted, ip) then
      local client = client_of(req.headers:get_all(t.header), t.trusted)
      if client then req.peer = { ip = client } end
      local scheme = (req:header("x-forwarded-proto") or ""):lower()
      if scheme == "http" or scheme == "https" then req.scheme = scheme end
    end
    return next_handler()
  end
end

return M
