--- hv.http_content - what an answer is on its way: compressed, tagged, cached. Private to lua/hv;
--- public in hv.http.middleware.
local misuse = require("_hv.loop").misuse
local options = require "hv.options"
local raw = require "_hv.http"

local M = {}

-- ---- Compression ----

--- Levels of a coding: its default, one of the user's, or none.
local function level_of(most)
  return function(value, where)
    if value == false then return -1 end
    if value == true then return 0 end
    if type(value) == "number" and value % 1 == 0 and value >= 1 and value <= most then
      return value
    end
    return misuse(("%s: a level must be 1..%d, true or false, got %s"):format(where, most,
      tostring(value)))
  end
end

--- "text/*" becomes "text/", which stands for all of a kind.
local function types_of(value, where)
  local list = type(value) == "string" and { value } or value
  if type(list) ~= "table" then
    return misuse(where .. ": a list of media types expected, got " .. type(value))
  end
  local kinds = {}
  for i, name in ipairs(list) do
    if type(name) ~= "string" or not name:find("^[%w!#$&^_.+-]+/[%w!#$&^_.+-]*%*?$") then
      return misuse(('%s: types are media types such as "text/html" or "text/*", got %s'):format(
        where, tostring(name)))
    end
    kinds[i] = name:gsub("%*$", "")
  end
  return kinds
end

local read_compress = options.reader("middleware.compress", {
  types = { types_of }, min = { "size", 1024 }, gzip = { level_of(9), 0 }, br = { level_of(11), 0 },
})

--- Compresses answers for those who accept it (gzip, or brotli, which wins where both are liked
--- alike): strings, tables, streams, server-sent events, what app:proxy passes on and the files of
--- res:file. They have Content-Encoding, Vary and a weak ETag then. What is shorter than `min`
--- (where that is known), of a type that is not among `types` (text, JSON and their like without
--- that), has a Content-Encoding or a range, or says no-transform, goes out as it is. Each
--- res:write can be read by the client at once. A page that shows what a stranger has sent beside a
--- secret should not be compressed (the attack called BREACH): leave its route out, or set
--- Cache-Control: no-transform there.
---@param opts? hv.CompressOptions
---@return hv.HttpMiddleware
function M.compress(opts)
  local t = read_compress(opts or {})
  local types = t.types and table.concat(t.types, " ") or nil
  local min = math.max(t.min, 1)
  return function(_, res, next_handler)
    raw.compress(res, min, t.gzip, t.br, types)
    return next_handler()
  end
end

local function tag(_, res, next_handler)
  raw.tag(res)
  return next_handler()
end

--- Gives answers of 200 to GET and HEAD that come in one piece an ETag, a digest of their bytes
--- where the handler has set none, and answers 304 where the client has it (If-None-Match), or
--- where nothing is newer than a Last-Modified of the handler's. The handler runs all the same:
--- what is saved is the way. With mw.compress either may stand outside.
---@return hv.HttpMiddleware
function M.etag() return tag end

local read_cache = options.reader("middleware.cache_control", {
  max_age = { "age" }, s_maxage = { "age" }, stale = { "age" }, public = { "boolean", false },
  private = { "boolean", false }, no_store = { "boolean", false }, no_cache = { "boolean", false },
  immutable = { "boolean", false }, must_revalidate = { "boolean", false },
})

--- Sets Cache-Control (RFC 9111 section 5.2.2) on answers that have none: times are milliseconds,
--- as everywhere; `stale` is stale-while-revalidate (RFC 5861).
---
---   app:group("/assets"):use(mw.cache_control { max_age = 365 * 86400000, immutable = true })
---
---@param opts hv.CacheControlOptions
---@return hv.HttpMiddleware
function M.cache_control(opts)
  local t = read_cache(opts)
  local words = {}
  for _, name in ipairs { "public", "private", "no_store", "no_cache", "must_revalidate",
    "immutable" } do
    if t[name] then words[#words + 1] = (name:gsub("_", "-")) end
  end
  for name, word in pairs { max_age = "max-age", s_maxage = "s-maxage",
    stale = "stale-while-revalidate" } do
    if t[name] then words[#words + 1] = ("%s=%d"):format(word, t[name] / 1000) end
  end
  if #words == 0 then return misuse("middleware.cache_control: nothing is said") end
  if t.public and t.private then
    return misuse("middleware.cache_control: either public or private")
  end
  table.sort(words)
  local value = table.concat(words, ", ")
  return function(_, res, next_handler)
    local headers = res.headers
    if not headers:get("Cache-Control") then headers:set("Cache-Control", value) end
    return next_handler()
  end
end

return M
