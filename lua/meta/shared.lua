---@meta _hv.shared
--- What bindings/shared.c gives, and the types of hv.shared.
local M = {}

---@class hv.SharedStats
---@field size integer      bytes, as it was made
---@field free integer      bytes
---@field count integer     entries, with some that have expired
---@field evictions integer entries that made room before their time, ever
---@field resets integer    times it began anew after a process had died in the middle of a change

---@class hv.SharedDict
local SharedDict = {}

---@param key string
---@return string|number|boolean|table? value nil where there is none
function SharedDict:get(key) end

---@param key string 1..65535 bytes
---@param value string|number|boolean|table
---@param ttl? number milliseconds that it lives; 0 or nil: until it is deleted or makes room
---@return true? ok
---@return boolean|string evicted whether something made room for it; or a message
---@return hv.ErrCode? code ELIMIT (larger than half of the dictionary)
function SharedDict:set(key, value, ttl) end

--- The same only where there is none.
---@param key string
---@param value string|number|boolean|table
---@param ttl? number
---@return true? ok
---@return boolean|string evicted
---@return hv.ErrCode? code EEXIST, ELIMIT
function SharedDict:add(key, value, ttl) end

--- The same only where there is one.
---@param key string
---@param value string|number|boolean|table
---@param ttl? number
---@return true? ok
---@return boolean|string evicted
---@return hv.ErrCode? code ENOTFOUND, ELIMIT
function SharedDict:replace(key, value, ttl) end

--- Adds to a number, in one step for all threads and processes. A key that is not there counts as
--- 0 and begins to be: `incr(key)` is 1 then, and `incr(key, by, init)` is init + by. (The
--- dictionaries of nginx refuse where no init is given; here `false` asks for that.) A time to live
--- stays as it is; to count within a time, begin with `add(key, 0, ttl)`, which does nothing where
--- the key is there.
---
---   dict:add(ip, 0, 60000)
---   if dict:incr(ip) > 100 then return 429 end
---@param key string
---@param by? number 1; it may be negative, or no integer
---@param init? number|false what a missing one counts as: 0; false: ENOTFOUND where there is none
---@return number? sum
---@return boolean|string evicted whether something made room for it; or a message
---@return hv.ErrCode? code ENOTFOUND, EINVAL (what is there is no number)
function SharedDict:incr(key, by, init) end

---@param key string
---@return boolean was_there
function SharedDict:delete(key) end

---@param key string
---@return number? ttl milliseconds; 0: it has no end
---@return string? message
---@return hv.ErrCode? code ENOTFOUND
function SharedDict:ttl(key) end

---@param key string
---@param ttl? number milliseconds from now; 0 or nil: no end
---@return true? ok
---@return string? message
---@return hv.ErrCode? code ENOTFOUND
function SharedDict:expire(key, ttl) end

--- Keys in no order.
---@param max? integer
---@return string[]
function SharedDict:keys(max) end

--- Removes everything.
---@return true
function SharedDict:flush() end

---@return hv.SharedStats
function SharedDict:stats() end

--- Lets go of one whose name begins with "/"; of others nothing.
function SharedDict:close() end

return M
