--- hv.http_cookies - a cookie jar, as a browser keeps one (RFC 6265, and of its revision: prefixes,
--- limits, no cookie for a public suffix). `hv.http.cookies()` makes one.
---
---   local jar = hv.http.cookies()
---   local client = hv.http.client { cookies = jar }
---
--- Cookies lie in one list, in order of creation. A jar is of this state alone and is not saved;
--- `jar:all()` gives what a program may save itself.
local methods = require "hv.methods"
local misuse = require("_hv.loop").misuse
local raw = require "_hv.http_client"
local url = require "hv.url"

local COOKIE_BYTES, PER_DOMAIN, IN_ALL = 4096, 180, 3000

---@class hv.HttpCookies
local Jar = {}
local meta = { __name = "hv.http.cookies", __index = Jar }

function meta:__tostring() return ("hv.http.cookies{%d}"):format(#self._list) end

local M = {}

-- ---- Dates ----

local months = { jan = 1, feb = 2, mar = 3, apr = 4, may = 5, jun = 6, jul = 7, aug = 8, sep = 9,
  oct = 10, nov = 11, dec = 12 }

--- Days since 1970-01-01 of a date in the Gregorian calendar.
local function days_of(year, month, day)
  if month <= 2 then year, month = year - 1, month + 12 end
  local era = math.floor(year / 400)
  local year_of_era = year - era * 400
  local day_of_year = math.floor((153 * (month - 3) + 2) / 5) + day - 1
  local day_of_era = year_of_era * 365 + math.floor(year_of_era / 4) -
    math.floor(year_of_era / 100) + day_of_year
  return era * 146097 + day_of_era - 719468
end

--- Seconds since the epoch of a date in any of the forms that servers write; nil where it is none
--- (RFC 6265 section 5.1.1).
local function parse_date(text)
  local hour, minute, second, day, month, year
  for token in text:gmatch("[^\9 -/;-@%[-`{-~]+") do
    local h, m, s = token:match("^(%d%d?):(%d%d?):(%d%d?)%D?")
    local number = token:match("^(%d+)%D?.*$")
    local name = token:sub(1, 3):lower()
    if h and not hour then
      hour, minute, second = tonumber(h), tonumber(m), tonumber(s)
    elseif number and #number <= 2 and not day then
      day = tonumber(number)
    elseif months[name] and not month then
      month = months[name]
    elseif number and (#number == 2 or #number == 4) and not year then
      year = tonumber(number)
    end
  end
  if not (hour and day and month and year) then return nil end
  if year < 70 then year = year + 2000 elseif year < 100 then year = year + 1900 end
  if day < 1 or day > 31 or year < 1601 then return nil end
  if hour > 23 or minute > 59 or second > 59 then return nil end
  return days_of(year, month, day) * 86400 + hour * 3600 + minute * 60 + second
end

-- ---- Matching ----

local function is_address(host) return host:find(":", 1, true) or host:find("^[%d.]+$") end

--- Whether a host is a domain or lies below it.
local function domain_matches(host, domain)
  if host == domain then return true end
  return #host > #domain and host:sub(-#domain - 1) == "." .. domain and not is_address(host)
end

local function path_matches(path, of)
  if path == of then return true end
  return path:sub(1, #of) == of and (of:sub(-1) == "/" or path:sub(#of + 1, #of + 1) == "/")
end

local function default_path(path)
  local folder = path:match("^(/.*)/[^/]*$")
  return folder or "/"
end

-- ---- Setting ----

local function parse_line(line)
  if line:find("[%z\1-\8\10-\31\127]") then return nil end
  local pair, rest = line:match("^([^;]*)(.*)$")
  local name, value = pair:match("^%s*(.-)%s*=%s*(.-)%s*$")
  if not name then name, value = "", pair:match("^%s*(.-)%s*$") end
  if #name + #value > COOKIE_BYTES or name .. value == "" then return nil end
  local attributes = {}
  for attribute in rest:gmatch(";([^;]*)") do
    local key, of = attribute:match("^%s*(.-)%s*=%s*(.-)%s*$")
    if not key then key, of = attribute:match("^%s*(.-)%s*$"), "" end
    if #of <= 1024 then attributes[key:lower()] = of end
  end
  return name, value, attributes
end

--- Seconds since the epoch; nil for the end of the session.
local function expiry(attributes, now)
  local age = (attributes["max-age"] or ""):match("^%-?%d+$")
  if age then
    age = tonumber(age)
    return age <= 0 and 0 or now + math.min(age, 400 * 86400)
  end
  local date = attributes.expires and parse_date(attributes.expires)
  return date and math.min(date, now + 400 * 86400)
end

--- The domain that a cookie is for, and whether for the host alone; nil where it is refused.
local function read_domain(host, given)
  local domain = (given or ""):lower():gsub("^%.", "")
  if domain == "" then return host, true end
  if not is_address(host) and raw.is_public_suffix(domain) then
    -- A host that is itself one may set cookies for itself.
    if domain == host then return host, true end
    return nil
  end
  if not domain_matches(host, domain) then return nil end
  return domain, is_address(host) and true or false
end

local function prefix_allows(name, cookie, had_path)
  local lower = name:lower()
  if lower:find("^__secure%-") then return cookie.secure end
  if lower:find("^__host%-") then
    return cookie.secure and cookie.host_only and cookie.path == "/" and had_path
  end
  return true
end

local function remove_if(list, is_out)
  local kept = 0
  for i = 1, #list do
    local cookie = list[i]
    list[i] = nil
    if not is_out(cookie) then
      kept = kept + 1
      list[kept] = cookie
    end
  end
end

--- Whether one takes the place of the other. A cookie of this very host and one of the same name
--- that is also for the hosts below are two (RFC 6265bis section 5.7; RFC 6265 did not tell them
--- apart).
local function is_same(a, b)
  return a.name == b.name and a.domain == b.domain and a.path == b.path
    and a.host_only == b.host_only
end

--- Makes room: of one domain, then of all, the oldest goes first.
local function limit(list, domain)
  local count = 0
  for i = #list, 1, -1 do
    if list[i].domain == domain then
      count = count + 1
      if count > PER_DOMAIN then table.remove(list, i) end
    end
  end
  while #list > IN_ALL do table.remove(list, 1) end
end

local function parts_of(where, address)
  if type(address) == "table" then return address end
  local parts, message = url.parse(address)
  if not parts then return misuse(where .. ": " .. message) end
  return parts
end

--- Takes in a Set-Cookie line of a response from `address`. What is malformed or not its to set is
--- left out, as browsers do.
---@param address string|hv.Url
---@param line string
---@return boolean is_taken
function Jar:set(address, line)
  local parts = parts_of("jar:set", address)
  local now = os.time()
  local name, value, attributes = parse_line(line)
  if not name then return false end
  local domain, host_only = read_domain(parts.host, attributes.domain)
  if not domain then return false end
  local is_secure_origin = parts.scheme == "https" or parts.scheme == "wss"
  local path = attributes.path
  local cookie = {
    name = name, value = value, domain = domain, host_only = host_only,
    path = path and path:sub(1, 1) == "/" and path or default_path(parts.path),
    secure = attributes.secure ~= nil, http_only = attributes.httponly ~= nil,
    same_site = attributes.samesite, expires = expiry(attributes, now),
  }
  if cookie.secure and not is_secure_origin then return false end
  if not prefix_allows(name, cookie, path ~= nil) then return false end
  local list, at = self._list, nil
  for i = 1, #list do
    local other = list[i]
    if is_same(other, cookie) then at = i end
    -- What was set in safety is not overwritten from outside of it.
    if other.secure and not is_secure_origin and other.name == name
      and (domain_matches(other.domain, domain) or domain_matches(domain, other.domain))
      and path_matches(cookie.path, other.path) then
      return false
    end
  end
  if cookie.expires and cookie.expires <= now then
    if at then table.remove(list, at) end
    return true
  end
  list[at or #list + 1] = cookie
  limit(list, domain)
  return true
end

-- ---- Asking ----

--- The value of the Cookie header for a request to `address`, or nil.
---@param address string|hv.Url
---@return string? header
function Jar:get(address)
  local parts = parts_of("jar:get", address)
  local now = os.time()
  local is_secure = parts.scheme == "https" or parts.scheme == "wss"
  local found = {}
  remove_if(self._list, function(cookie) return cookie.expires and cookie.expires <= now end)
  for i, cookie in ipairs(self._list) do
    local is_host = cookie.host_only and cookie.domain == parts.host
      or not cookie.host_only and domain_matches(parts.host, cookie.domain)
    if is_host and path_matches(parts.path, cookie.path) and (is_secure or not cookie.secure) then
      found[#found + 1] = { i, cookie }
    end
  end
  if #found == 0 then return nil end
  -- Longer paths first, then older ones (RFC 6265 section 5.4).
  table.sort(found, function(a, b)
    if #a[2].path ~= #b[2].path then return #a[2].path > #b[2].path end
    return a[1] < b[1]
  end)
  local pairs_ = {}
  for i, entry in ipairs(found) do
    local cookie = entry[2]
    pairs_[i] = cookie.name == "" and cookie.value or cookie.name .. "=" .. cookie.value
  end
  return table.concat(pairs_, "; ")
end

--- Every cookie: { name, value, domain, path, expires, secure, http_only, host_only, same_site }.
---@return table[] cookies copies
function Jar:all()
  local copies = {}
  for i, cookie in ipairs(self._list) do
    copies[i] = {}
    for key, value in pairs(cookie) do copies[i][key] = value end
  end
  return copies
end

--- Forgets every cookie, or those of one domain.
---@param domain? string
function Jar:clear(domain)
  remove_if(self._list, function(cookie) return not domain or cookie.domain == domain end)
end

--- Makes an empty jar.
---@return hv.HttpCookies jar
function M.new() return setmetatable({ _list = {} }, meta) end

M.meta = meta
M.parse_date = parse_date

methods.guard(Jar, "jar", "hv.http.cookies")

return M
