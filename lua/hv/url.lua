--- hv.url - URLs taken apart and put together, and percent-encoding.
---
---   local u = assert(hv.url.parse("https://user@Example.com/a/../b?x=1#top"))
---   print(u.scheme, u.host, u.port, u.path, u.query)   --> https example.com 443 /b x=1
---
--- Parsing follows the WHATWG URL standard where that matters to a program that connects: scheme
--- and host in lower case, percent-decoded and checked host names, IPv4 in its odd spellings, IPv6,
--- default ports, dot segments, backslashes as slashes, relative references. It differs in two
--- points: host names beyond ASCII are refused (give them in their "xn--" form), and `port` is the
--- effective one. Nothing here waits.
local misuse = require("_hv.loop").misuse
local options = require "hv.options"

local byte, char, find, format, sub = string.byte, string.char, string.find, string.format,
  string.sub

---@class hv.url
local M = {}

--- Schemes whose URLs have an authority and a path of segments, with their default ports.
local special = { http = 80, https = 443, ws = 80, wss = 443, ftp = 21 }
--- What else has a usual port.
local ports = {
  http = 80, https = 443, ws = 80, wss = 443, ftp = 21, mqtt = 1883, mqtts = 8883, redis = 6379,
  rediss = 6380,
}

-- ---- Percent-encoding ----

local function percent(c) return format("%%%02X", byte(c)) end

local function check_string(where, value)
  if type(value) == "string" then return value end
  return misuse(("%s: string expected, got %s"):format(where, type(value)))
end

--- Encodes all but letters, digits and "-._~" (RFC 3986 section 2.3): for one part of a path, one
--- name or value of a query.
---@param text string
---@return string
function M.encode(text)
  return (check_string("hv.url.encode", text):gsub("[^%w%-%._~]", percent))
end

--- Decodes "%41"; what is no complete triple stays as it is.
---@param text string
---@return string
function M.decode(text)
  return (check_string("hv.url.decode", text):gsub("%%(%x%x)", function(hex)
    return char(tonumber(hex, 16))
  end))
end

local function form_decode(text) return M.decode((text:gsub("+", " "))) end

local function scalar(where, value)
  local kind = type(value)
  if kind == "string" or kind == "number" or kind == "boolean" then
    return M.encode(tostring(value))
  end
  return misuse(("%s: string, number or boolean expected, got %s"):format(where, kind))
end

--- Makes "a=1&b=2" of { a = 1, b = 2 }, in the order of the names; a list as a value gives its
--- name several times. A list of pairs, { { "b", 2 }, { "a", 1 } }, keeps its own order.
---@param params table
---@return string
function M.encode_query(params)
  if type(params) ~= "table" then
    return misuse("hv.url.encode_query: table expected, got " .. type(params))
  end
  local where, parts = "hv.url.encode_query", {}
  local function add(name, value)
    parts[#parts + 1] = scalar(where, name) .. "=" .. scalar(where, value)
  end
  if #params > 0 then
    for _, pair in ipairs(params) do
      if type(pair) ~= "table" then misuse(where .. ": a list must be one of pairs") end
      add(pair[1], pair[2])
    end
    return table.concat(parts, "&")
  end
  local names = {}
  for name in pairs(params) do names[#names + 1] = name end
  table.sort(names, function(a, b) return tostring(a) < tostring(b) end)
  for _, name in ipairs(names) do
    local value = params[name]
    if type(value) == "table" then
      for _, one in ipairs(value) do add(name, one) end
    else
      add(name, value)
    end
  end
  return table.concat(parts, "&")
end

--- Takes "a=1&b=2&a=3" apart: { a = "3", b = "2" } and, as the second result, every pair in order.
--- "+" is a blank; a name without "=" has the value "".
---@param query string without "?"
---@return table<string, string> params the last value of each name
---@return { [1]: string, [2]: string }[] pairs
function M.decode_query(query)
  local params, list = {}, {}
  for piece in check_string("hv.url.decode_query", query):gmatch("[^&]+") do
    local name, value = piece:match("^([^=]*)=(.*)$")
    name, value = form_decode(name or piece), form_decode(value or "")
    params[name] = value
    list[#list + 1] = { name, value }
  end
  return params, list
end

-- ---- Hosts ----

local function parse_number(text)
  if find(text, "^0[xX]%x*$") then return #text > 2 and tonumber(sub(text, 3), 16) or 0 end
  if find(text, "^0[0-7]*$") then return tonumber(text, 8) end
  if find(text, "^[1-9]%d*$") then return tonumber(text, 10) end
end

--- Whether the last label says that this is meant as IPv4.
local function looks_like_ipv4(host)
  local last = host:gsub("%.$", ""):match("[^.]*$")
  return find(last, "^%d+$") or find(last, "^0[xX]%x*$")
end

--- "127.0.0.1" of "127.1", "0x7f.1", "2130706433" ...; nil where it is none.
local function parse_ipv4(host)
  local parts = {}
  for part in (host:gsub("%.$", "") .. "."):gmatch("([^.]*)%.") do
    local number = parse_number(part)
    if not number then return nil end
    parts[#parts + 1] = number
  end
  local count = #parts
  if count > 4 then return nil end
  for i = 1, count - 1 do
    if parts[i] > 255 then return nil end
  end
  local value = parts[count]
  if value >= 256 ^ (5 - count) then return nil end
  for i = 1, count - 1 do value = value + parts[i] * 256 ^ (4 - i) end
  return format("%d.%d.%d.%d", value / 16777216 % 256, value / 65536 % 256, value / 256 % 256,
    value % 256)
end

--- The four numbers of strict dotted decimal, as two 16-bit pieces.
local function embedded_ipv4(text)
  local a, b, c, d = text:match("^(%d+)%.(%d+)%.(%d+)%.(%d+)$")
  if not a then return nil end
  for _, part in ipairs { a, b, c, d } do
    if tonumber(part) > 255 or #part > 1 and sub(part, 1, 1) == "0" then return nil end
  end
  return a * 256 + b, c * 256 + d
end

--- Reads groups parted by ":" into `pieces`. Returns whether they are good.
local function read_groups(text, pieces)
  if text == "" then return true end
  local groups = {}
  for group in (text .. ":"):gmatch("([^:]*):") do groups[#groups + 1] = group end
  for i, group in ipairs(groups) do
    if i == #groups and find(group, ".", 1, true) then
      local high, low = embedded_ipv4(group)
      if not high then return false end
      pieces[#pieces + 1] = high
      pieces[#pieces + 1] = low
    elseif find(group, "^%x%x?%x?%x?$") then
      pieces[#pieces + 1] = tonumber(group, 16)
    else
      return false
    end
  end
  return true
end

--- Writes eight pieces as RFC 5952 says: the longest run of zeros as "::".
local function write_ipv6(pieces)
  local best, best_len, at = nil, 1, 1
  while at <= 8 do
    local stop = at
    while stop <= 8 and pieces[stop] == 0 do stop = stop + 1 end
    if stop - at > best_len then best, best_len = at, stop - at end
    at = stop + 1
  end
  local text = {}
  for i = 1, 8 do text[i] = format("%x", pieces[i]) end
  if not best then return table.concat(text, ":") end
  return table.concat(text, ":", 1, best - 1) .. "::" .. table.concat(text, ":", best + best_len)
end

local function parse_ipv6(text)
  local head, tail = text:match("^(.-)::(.*)$")
  local pieces, behind = {}, {}
  if not read_groups(head or text, pieces) then return nil end
  if head then
    if find(tail, "::", 1, true) or sub(tail, 1, 1) == ":" then return nil end
    if find(head, ".", 1, true) then return nil end
    if not read_groups(tail, behind) or #pieces + #behind > 7 then return nil end
    for _ = 1, 8 - #pieces - #behind do pieces[#pieces + 1] = 0 end
    for _, piece in ipairs(behind) do pieces[#pieces + 1] = piece end
  end
  return #pieces == 8 and write_ipv6(pieces) or nil
end

--- The host of a special URL as it is connected to; nil and the reason where it is none.
local function parse_host(text)
  local inner = text:match("^%[(.*)%]$")
  if inner then
    local ip = parse_ipv6(inner)
    if ip then return ip end
    return nil, "bad IPv6 address"
  end
  local host = M.decode(text):lower()
  if find(host, "[\128-\255]") then return nil, "host is not ASCII" end
  if host == "" or find(host, "[%z\1-\32#/:<>?@%[\\%]^|%%\127]") then return nil, "bad host" end
  if looks_like_ipv4(host) then
    local ip = parse_ipv4(host)
    if ip then return ip end
    return nil, "bad IPv4 address"
  end
  return host
end

--- The host of any other scheme is opaque, but for IPv6.
local function parse_opaque_host(text)
  if find(text, "^%[") then return parse_host(text) end
  if find(text, "[%z\t\n\r #/:<>?@%[\\%]^|]") then return nil, "bad host" end
  return (text:gsub("[^%z\33-\126]", percent))
end

-- ---- Paths ----

local is_single_dot = { ["."] = true, ["%2e"] = true }
local is_double_dot = { [".."] = true, [".%2e"] = true, ["%2e."] = true, ["%2e%2e"] = true }

--- Takes "." and ".." out of a path that begins with "/".
local function remove_dots(path)
  local out = {}
  local last_is_dots = false
  for segment in sub(path, 2):gsub("$", "/"):gmatch("([^/]*)/") do
    local lower = segment:lower()
    last_is_dots = is_double_dot[lower] or is_single_dot[lower] or false
    if is_double_dot[lower] then
      out[#out] = nil
    elseif not is_single_dot[lower] then
      out[#out + 1] = segment
    end
  end
  if last_is_dots then out[#out + 1] = "" end
  return "/" .. table.concat(out, "/")
end

local PATH = "[%z\1-\32\"#<>?`{}^\127-\255]"
local QUERY = "[%z\1-\32\"#<>\127-\255]"
local SPECIAL_QUERY = "[%z\1-\32\"#<>'\127-\255]"
local FRAGMENT = "[%z\1-\32\"<>`\127-\255]"

-- ---- Parsing ----

local function fail(text, reason)
  if #text > 100 then text = sub(text, 1, 100) .. "..." end
  return nil, ("url %q: %s"):format(text, reason), "EINVAL"
end

--- Cuts "?query" and "#fragment" off. Returns what is left.
local function cut_ends(url, rest)
  local text, fragment = rest:match("^([^#]*)#(.*)$")
  if fragment then url.fragment = fragment:gsub(FRAGMENT, percent) end
  rest = text or rest
  local path, query = rest:match("^([^?]*)%?(.*)$")
  if query then
    url.query = query:gsub(special[url.scheme] and SPECIAL_QUERY or QUERY, percent)
  end
  return path or rest
end

--- Fills in user, host and port from "user:password@host:port". Returns the reason of a failure.
local function read_authority(url, text)
  local userinfo, rest = text:match("^(.*)@([^@]*)$")
  if userinfo then
    local user, password = userinfo:match("^([^:]*):(.*)$")
    url.user = M.decode(user or userinfo)
    if password and password ~= "" then url.password = M.decode(password) end
    text = rest
  end
  local host, port = text:match("^(%[[^%]]*%]):?(%d*)$")
  if not host then host, port = text:match("^([^:]*):?(%d*)$") end
  if not host then return "bad host or port" end
  local reason
  if special[url.scheme] then
    url.host, reason = parse_host(host)
  elseif host == "" then
    if userinfo or port ~= "" then return "host is missing" end
    url.host = ""
  else
    url.host, reason = parse_opaque_host(host)
  end
  if not url.host then return reason end
  if port ~= "" then
    if #port:gsub("^0+", "") > 5 or tonumber(port) > 65535 then return "port is not 0..65535" end
    url.port = tonumber(port)
  end
end

local function finish(url)
  if special[url.scheme] or sub(url.path, 1, 1) == "/" then
    if url.path == "" then url.path = "/" end
    url.path = remove_dots(url.path)
  end
  url.path = url.path:gsub(PATH, percent)
  if url.host and not url.port then url.port = ports[url.scheme] end
  return url
end

--- Parses what stands behind "scheme:".
local function parse_absolute(text, scheme, rest)
  local url = { scheme = scheme }
  rest = cut_ends(url, rest)
  if special[scheme] then
    rest = "//" .. rest:gsub("\\", "/"):gsub("^/*", "")
  end
  local authority, path = rest:match("^//([^/]*)(.*)$")
  if authority then
    local reason = read_authority(url, authority)
    if reason then return fail(text, reason) end
    url.path = path
  else
    url.path = rest
  end
  return finish(url)
end

--- Parses a reference relative to a parsed URL (RFC 3986 section 5.2).
local function parse_relative(text, base)
  local url = { scheme = base.scheme }
  local is_special = special[base.scheme]
  local rest = cut_ends(url, text)
  if is_special then rest = rest:gsub("\\", "/") end
  local authority, path = rest:match("^//([^/]*)(.*)$")
  if authority then
    local reason = read_authority(url, authority)
    if reason then return fail(text, reason) end
    url.path = path
    return finish(url)
  end
  if not base.host and sub(base.path, 1, 1) ~= "/" and rest ~= "" then
    return fail(text, "cannot be relative to " .. base.scheme .. ":")
  end
  url.user, url.password, url.host, url.port = base.user, base.password, base.host, base.port
  if rest == "" then
    url.path, url.query = base.path, url.query or base.query
  elseif sub(rest, 1, 1) == "/" then
    url.path = rest
  else
    url.path = (base.path:match("^.*/") or "/") .. rest
  end
  return finish(url)
end

--- Takes a URL apart.
---   scheme, host  in lower case; an IPv6 host without its brackets, as hv.tcp.connect takes it
---   port          the one given, or the scheme's usual one
---   user, password  decoded
---   path, query, fragment  as they stand in the URL (encoded, without "?" and "#"); path at least
---                 "/" for http and its like; query and fragment nil where there is none
---@param text string
---@param base? string|hv.Url what a relative reference is relative to
---@return hv.Url? url
---@return string? message
---@return hv.ErrCode? code EINVAL
function M.parse(text, base)
  check_string("hv.url.parse", text)
  if base ~= nil and type(base) ~= "table" then
    local message, code
    base, message, code = M.parse(base)
    if not base then return nil, message, code end
  end
  local trimmed = text:gsub("^[%z\1-\32]+", ""):gsub("[%z\1-\32]+$", ""):gsub("[\t\n\r]", "")
  local scheme, rest = trimmed:match("^(%a[%w+.-]*):(.*)$")
  if not scheme then
    if base then return parse_relative(trimmed, base) end
    return fail(text, "scheme is missing")
  end
  scheme = scheme:lower()
  -- "http:path" is relative where the base has that scheme, too.
  if base and base.scheme == scheme and special[scheme] and not find(rest, "^[/\\]") then
    return parse_relative(rest, base)
  end
  return parse_absolute(trimmed, scheme, rest)
end

-- ---- Building ----

local read_build = options.reader("hv.url.build", {
  scheme = { "string" }, user = { "string" }, password = { "string" }, host = { "string" },
  port = { "port" }, path = { "string", "" }, query = { "any" }, fragment = { "string" },
})

local function build_authority(t)
  local userinfo = ""
  if t.user or t.password then
    userinfo = M.encode(t.user or "") .. (t.password and ":" .. M.encode(t.password) or "") .. "@"
  end
  local host = find(t.host, ":", 1, true) and not find(t.host, "^%[") and "[" .. t.host .. "]"
    or t.host
  local port = t.port and t.port ~= ports[t.scheme] and ":" .. t.port or ""
  return "//" .. userinfo .. host .. port
end

--- Puts a URL together from what parse gives, or from parts of one. `query` may also be a table, as
--- hv.url.encode_query takes it. The usual port of the scheme is left out.
---@param parts hv.Url
---@return string? url
---@return string? message
---@return hv.ErrCode? code EINVAL where the parts make no URL
function M.build(parts)
  local t = read_build(parts)
  if not t.scheme then return misuse("hv.url.build: scheme is missing") end
  t.scheme = t.scheme:lower()
  if special[t.scheme] and not t.host then return misuse("hv.url.build: host is missing") end
  if t.host and find(t.host, "[/\\?#@]") then return fail(t.host, "bad host") end
  local query, fragment = t.query, t.fragment
  if type(query) == "table" then query = M.encode_query(query) end
  local path = t.path
  if t.host and sub(path, 1, 1) ~= "/" and (path ~= "" or special[t.scheme]) then
    path = "/" .. path
  end
  if not t.host and sub(path, 1, 2) == "//" then path = "/." .. path end
  local text = t.scheme .. ":" .. (t.host and build_authority(t) or "") .. path:gsub(PATH, percent)
  if query then text = text .. "?" .. query:gsub(QUERY, percent) end
  if fragment then text = text .. "#" .. fragment:gsub(FRAGMENT, percent) end
  local parsed, message, code = M.parse(text)
  if not parsed then return nil, message, code end
  return text
end

--- Resolves a reference against a base, as text: `hv.url.resolve("http://h/a/b", "../c")`.
---@param base string
---@param reference string
---@return string? url
---@return string? message
---@return hv.ErrCode? code EINVAL
function M.resolve(base, reference)
  local url, message, code = M.parse(reference, base)
  if not url then return nil, message, code end
  return M.build(url)
end

return M
