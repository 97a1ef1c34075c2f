--- hv.http_set_cookie - cookies of requests and answers (RFC 6265bis). Private; req.cookies and
--- res:set_cookie are what users see.
local misuse = require("_hv.loop").misuse
local options = require "hv.options"

local M = {}

local PAIR_BYTES_MAX = 4096 -- name and value; browsers drop what is longer
local ATTRIBUTE_BYTES_MAX = 1024

-- ---- What clients send ----

local cookies_meta = { __call = function(self) return self end } -- req:cookies() is req.cookies

local function decode(value)
  value = value:match('^"(.*)"$') or value
  return (value:gsub("%%(%x%x)", function(hex) return string.char(tonumber(hex, 16)) end))
end

--- Reads Cookie headers: a table by name. Of several with one name the first counts: it has the
--- longer path. Percent-encoded values are decoded, as res:set_cookie encodes them.
function M.parse(lines)
  local cookies = setmetatable({}, cookies_meta)
  for _, line in ipairs(lines) do
    for pair in line:gmatch("[^;]+") do
      local name, value = pair:match("^%s*([^=]-)%s*=%s*(.-)%s*$")
      if name and name ~= "" and cookies[name] == nil then cookies[name] = decode(value) end
    end
  end
  return cookies
end

-- ---- What servers set ----

local read = options.reader("res:set_cookie", {
  path = { "string", "/" }, domain = { "string" }, max_age = { "age" },
  expires = { "age" }, secure = { "boolean" }, http_only = { "boolean" },
  same_site = { "string" }, partitioned = { "boolean" },
})

local same_sites = { strict = "Strict", lax = "Lax", none = "None" }

local function encode(value)
  return (value:gsub('[%c%s",;\\%%\128-\255]', function(byte)
    return ("%%%02X"):format(byte:byte())
  end))
end

local function refuse(name, why) return misuse(("res:set_cookie: %s: %s"):format(name, why)) end

local function check_attribute(name, what, text)
  if text == nil then return end
  if text:find("[%c;]") or #text > ATTRIBUTE_BYTES_MAX then
    return refuse(name, what .. " must have no ';', no control characters, and be no longer than "
      .. ATTRIBUTE_BYTES_MAX)
  end
end

--- What browsers would silently drop is a mistake here: rules of the name's prefix (section 4.1.3),
--- SameSite=None and Partitioned without Secure.
local function check_rules(name, t, same_site)
  local lower = name:lower()
  if lower:find("^__secure%-") and not t.secure then
    return refuse(name, "the prefix __Secure- needs secure = true")
  end
  if lower:find("^__host%-") and (not t.secure or t.domain or t.path ~= "/") then
    return refuse(name, 'the prefix __Host- needs secure = true, path = "/" and no domain')
  end
  if same_site == "None" and not t.secure then
    return refuse(name, 'same_site = "none" needs secure = true')
  end
  if t.partitioned and not t.secure then
    return refuse(name, "partitioned needs secure = true")
  end
end

--- The value of a Set-Cookie header. Throws where a browser would not take the cookie.
function M.format(name, value, opts)
  if type(name) ~= "string" or name == "" or name:find('[%c%s"(),/:;<=>?@%[\\%]{}\128-\255]') then
    return misuse("res:set_cookie: bad name " .. tostring(name))
  end
  local t = read(opts or {})
  local pair = name .. "=" .. encode(tostring(value))
  if #pair > PAIR_BYTES_MAX then
    return refuse(name, ("name and value have %d bytes, at most %d are kept"):format(#pair,
      PAIR_BYTES_MAX))
  end
  local same_site = t.same_site and same_sites[t.same_site:lower()]
  if t.same_site and not same_site then
    return refuse(name, ('same_site must be "strict", "lax" or "none", got %q'):format(t.same_site))
  end
  check_attribute(name, "path", t.path)
  check_attribute(name, "domain", t.domain)
  check_rules(name, t, same_site)
  local parts = { pair, "Path=" .. t.path }
  local function add(text) if text then parts[#parts + 1] = text end end
  add(t.domain and "Domain=" .. t.domain)
  add(t.max_age and ("Max-Age=%d"):format(math.floor(t.max_age / 1000)))
  add(t.expires and os.date("!Expires=%a, %d %b %Y %H:%M:%S GMT", t.expires))
  add(t.secure and "Secure")
  add(t.http_only and "HttpOnly")
  add(same_site and "SameSite=" .. same_site)
  add(t.partitioned and "Partitioned")
  return table.concat(parts, "; ")
end

return M
