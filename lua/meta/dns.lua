---@meta _hv.dns
--- What bindings/dns.c gives; lua/hv/dns.lua checks arguments before. And the types of hv.dns.
local M = {}

---@class hv.DnsOptions
---@field timeout? integer milliseconds for the whole query; 10000
---@field cache? boolean   take a kept answer, and keep this one; true

---@class hv.DnsConfig
---@field servers? string          "ip[:port],[ip6]:port"; the system's
---@field search? string           domains parted by blanks; the system's
---@field attempt_timeout? integer milliseconds; 2000
---@field rounds? integer          3
---@field cache? integer           answers kept; 128, 0 for none

---@class hv.DnsRecord
---@field name string
---@field priority integer
---@field ttl integer      seconds
---@field weight? integer  "srv"
---@field port? integer    "srv"

---@class hv.DnsList: { [integer]: string|hv.DnsRecord }
---@field ttl integer the least of all records, in seconds

---@async
---@param name string
---@param type integer
---@param flags integer   1: no cache
---@param timeout integer milliseconds; 0 for the default
---@return hv.DnsList? list
---@return string? message
---@return hv.ErrCode? code
function M.resolve(name, type, flags, timeout) end

---@param servers? string
---@param search? string
---@param attempt_timeout integer
---@param rounds integer
---@param cache integer 0 for the default, negative for none
---@return true? ok
---@return string? message
---@return hv.ErrCode? code
function M.configure(servers, search, attempt_timeout, rounds, cache) end

return M
