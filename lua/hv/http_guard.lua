--- hv.http_guard - who a browser is, and whose page it comes from: sessions in signed cookies, and
--- requests that other sites make a browser send. Private to lua/hv; public in hv.http.middleware.
local cookies = require "hv.http_set_cookie"
local crypto = require "hv.crypto"
local json = require "hv.json"
local misuse = require("_hv.loop").misuse
local options = require "hv.options"
local url = require "hv.url"

local M = {}

-- ---- Sessions ----

local SECRET_BYTES_MIN = 32

local function secrets_of(value, where)
  local list = type(value) == "string" and { value } or value
  if type(list) ~= "table" or #list == 0 then
    return misuse(where .. ": secret must be a string, or a list of them, the newest first")
  end
  for _, secret in ipairs(list) do
    if type(secret) ~= "string" or #secret < SECRET_BYTES_MIN then
      return misuse(("%s: a secret has %d bytes at least"):format(where, SECRET_BYTES_MIN))
    end
  end
  return list
end

local read_session = options.reader("middleware.session", {
  secret = { secrets_of }, name = { "string", "session" }, max_age = { "age", 14 * 86400000 },
  path = { "string", "/" }, domain = { "string" }, secure = { "boolean" },
  same_site = { "string", "lax" },
})

local function mac_of(t, secret, payload)
  return crypto.base64url(crypto.hmac("sha256", secret, t.name .. "=" .. payload))
end

local function sign(t, data)
  local payload = crypto.base64url(json.encode { data, os.time() + t.max_age / 1000 })
  return payload .. "." .. mac_of(t, t.secret[1], payload)
end

--- The data of a cookie's value; nil where it is not ours, or too old.
local function verify(t, value)
  local payload, mac = (value or ""):match("^([%w_-]+)%.([%w_-]+)$")
  if not payload then return nil end
  local is_ours = false
  for _, secret in ipairs(t.secret) do
    local wanted = mac_of(t, secret, payload)
    if #wanted == #mac and crypto.equal(wanted, mac) then is_ours = true end
  end
  local text = is_ours and crypto.unbase64(payload)
  local ok, content = pcall(json.decode, text or "")
  if not ok or type(content) ~= "table" or type(content[1]) ~= "table" then return nil end
  if type(content[2]) ~= "number" or content[2] <= os.time() then return nil end
  return content[1]
end

--- Puts a cookie in the place of one of the same name that this answer sets already.
local function put_cookie(t, req, res, value, max_age)
  local headers = res.headers
  if not headers then return end -- the answer is over
  local others = headers:get_all("set-cookie")
  headers:remove("set-cookie")
  for _, line in ipairs(others) do
    if line:sub(1, #t.name + 1) ~= t.name .. "=" then headers:add("Set-Cookie", line) end
  end
  local is_secure = t.secure
  if is_secure == nil then is_secure = req.scheme == "https" end
  headers:add("Set-Cookie", cookies.format(t.name, value, { path = t.path, domain = t.domain,
    max_age = max_age, secure = is_secure, http_only = true, same_site = t.same_site }))
end

--- A session: reading gives what is there, writing sets the cookie of the answer.
local function new_session(t, req, res, data)
  local session, methods = {}, {}
  --- Forgets all of it.
  function methods.clear()
    data = {}
    put_cookie(t, req, res, "", 0)
  end
  --- All of it, as a table of its own.
  function methods.all()
    local copy = {}
    for key, value in pairs(data) do copy[key] = value end
    return copy
  end
  return setmetatable(session, {
    __name = "hv.http.session",
    __index = function(_, key)
      local value = data[key]
      if value == nil then return methods[key] end
      return value
    end,
    __newindex = function(_, key, value)
      if type(key) ~= "string" or methods[key] then
        return misuse("req.session: a key must be a string, and not clear or all, got "
          .. tostring(key))
      end
      data[key] = value
      put_cookie(t, req, res, sign(t, data), t.max_age)
    end,
  })
end

--- Keeps a session for each browser: `req.session`, a table whose values go into a cookie of the
--- answer, signed with `secret` (HMAC-SHA256), so that nobody but the server can change them; they
--- can be read by their browser. What can be JSON can be a value, 4 KB in all. Assign before the
--- answer begins, and assign a table as a whole: what changes inside of one is not seen.
---
---   app:use(mw.session { secret = os.getenv "SESSION_SECRET" })
---   app:post("/login", function(req)
---     req.session.user = "ann" -- req.session:clear() forgets it
---     return 204
---   end)
---
--- It lasts for `max_age` milliseconds (14 days) from its last change. A list of secrets lets the
--- first one sign and all of them verify, for a change of secrets.
---@param opts hv.SessionOptions
---@return hv.HttpMiddleware
function M.session(opts)
  local t = read_session(opts)
  if not t.secret then return misuse("middleware.session: secret is missing") end
  -- Here, and not at the first request: what browsers would drop.
  cookies.format(t.name, "x", { path = t.path, domain = t.domain, secure = t.secure or nil,
    same_site = t.same_site })
  return function(req, res, next_handler)
    req.session = new_session(t, req, res, verify(t, req.cookies[t.name]) or {})
    return next_handler()
  end
end

-- ---- Requests of other sites ----

local safe = { GET = true, HEAD = true, OPTIONS = true }

local read_origin = options.reader("middleware.same_origin", { trusted = { "table", {} } })

--- Whether an Origin is that of the host that was asked: browsers leave the usual port out of both.
--- The scheme is not compared, for TLS may end before us.
local function is_own(origin, req)
  local host = origin:match("^https?://(.+)$")
  return host ~= nil and req.host ~= nil and host:lower() == req.host:lower()
end

--- Answers 403 to requests that pages of other sites make a browser send (CSRF), but for GET, HEAD
--- and OPTIONS, which must change nothing. Browsers say where a request comes from (Sec-Fetch-Site,
--- or Origin); who says neither is no browser, and has no cookies of somebody else to misuse. No
--- token is needed. `trusted` lists origins of others that may: "https://partner.example".
---@param opts? { trusted?: string[] }
---@return hv.HttpMiddleware
function M.same_origin(opts)
  local t = read_origin(opts or {})
  local trusted = {}
  for _, origin in ipairs(t.trusted) do
    local parts = type(origin) == "string" and url.parse(origin)
    if not parts or not parts.host or origin:find("/", #parts.scheme + 4, true) then
      return misuse(('middleware.same_origin: %s is no origin such as "https://a.example"'):format(
        tostring(origin)))
    end
    trusted[origin:lower()] = true
  end
  return function(req, _, next_handler)
    if safe[req.method] then return next_handler() end
    local site, origin = req:header("sec-fetch-site"), req:header("origin")
    local is_fine = origin and trusted[origin:lower()]
    if not is_fine and site then
      is_fine = site == "same-origin" or site == "none"
    elseif not is_fine then
      is_fine = origin == nil or is_own(origin, req)
    end
    if not is_fine then return 403 end
    return next_handler()
  end
end

return M
