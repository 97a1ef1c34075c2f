--- hv.dns - addresses and records of the name system, asked without blocking.
---
---   for _, ip in ipairs(assert(hv.dns.resolve("example.org"))) do print(ip) end
---
--- Connecting by name needs none of this: hv.tcp.connect resolves by itself.
local misuse = require("_hv.loop").misuse
local options = require "hv.options"
local raw = require "_hv.dns"
local wait = require "hv.wait"

---@class hv.dns
local M = {}

--- The protocol's numbers (RFC 1035, 2782, 3596); 0 is our own for both families.
local types = {
  address = 0, a = 1, ns = 2, cname = 5, ptr = 12, mx = 15, txt = 16, aaaa = 28, srv = 33,
}
local NO_CACHE = 1

local read_resolve = options.reader("hv.dns.resolve", {
  timeout = { "ms", 0 }, cache = { "boolean", true },
})
local read_configure = options.reader("hv.dns.configure", {
  servers = { "string" }, search = { "string" }, attempt_timeout = { "ms", 0 },
  rounds = { "integer", 0 }, cache = { "integer" },
})

local defaults = read_resolve({})

local resolve = wait.both_forms(function(name, type_number, flags, timeout)
  return wait.finish(raw.resolve(name, type_number, flags, timeout))
end)

--- The number of a type, and the checked options, which may stand in its place.
local function read_arguments(name, kind, opts)
  if type(name) ~= "string" then
    return misuse(("hv.dns.resolve: name must be a string, got %s"):format(type(name)))
  end
  if type(kind) == "table" and opts == nil then kind, opts = nil, kind end
  local number = types[kind == nil and "address" or type(kind) == "string" and kind:lower()]
  if not number then
    return misuse(("hv.dns.resolve: type must be a, aaaa, cname, mx, ns, ptr, srv or txt, got %s")
      :format(tostring(kind)))
  end
  return number, opts == nil and defaults or read_resolve(opts)
end

--- Asks for the addresses of a name, or for its records of one type. Literals, kept answers and
--- the hosts file are answered without a question; the search list counts for addresses only.
--- With a function as the last argument it does not wait, and the function gets the results.
---@async
---@param name string    for "ptr" also a literal address
---@param kind? "a"|"aaaa"|"cname"|"mx"|"ns"|"ptr"|"srv"|"txt" without it: of both families
---@param opts? hv.DnsOptions { timeout = 10000, cache = true }
---@return hv.DnsList? list   strings, addresses in the order to try them; for "mx" tables
---                           { name=, priority=, ttl= }, for "srv" also weight= and port=;
---                           list.ttl is in seconds, 0 for local answers
---@return string? message
---@return hv.ErrCode? code   ENOTFOUND, ETIMEDOUT, EREMOTEIO (no server could tell), EINVAL, EPROTO
--- Source: runtime/include/hdns.h hdns_resolve.
function M.resolve(name, kind, opts, on_result)
  if type(kind) == "function" then kind, on_result = nil, kind end
  if type(opts) == "function" then opts, on_result = nil, opts end
  local number, checked = read_arguments(name, kind, opts)
  local flags = checked.cache and 0 or NO_CACHE
  if on_result ~= nil then return resolve(name, number, flags, checked.timeout, on_result) end
  return resolve(name, number, flags, checked.timeout)
end

--- Changes how names are looked up from now on, and forgets the answers kept. What is left out is
--- the system's setting or the default.
---   servers          "ip[:port],[ip6]:port"
---   search           domains parted by blanks, "" for none
---   attempt_timeout  milliseconds for one question to one server, 2000; doubled each round
---   rounds           how often each server is asked, 3
---   cache            answers kept, 128; 0 keeps none
---@param opts? hv.DnsConfig
---@return true? ok
---@return string? message
---@return hv.ErrCode? code EBUSY while names are being looked up, EINVAL
function M.configure(opts)
  local t = read_configure(opts or {})
  local cache = t.cache == nil and 0 or t.cache == 0 and -1 or t.cache
  return raw.configure(t.servers, t.search, t.attempt_timeout, t.rounds, cache)
end

return M
