---@meta hv.log
--- The types of hv.log, hv.json and hv.unpack.

---@class hv.log
local log = {}

---@param format any as of string.format
function log.debug(format, ...) end
---@param format any
function log.info(format, ...) end
---@param format any
function log.warn(format, ...) end
---@param format any
function log.error(format, ...) end

--- Sets the lowest level that is logged.
---@param level? "verbose"|"debug"|"info"|"warn"|"error"|"fatal"|"silent"
---@return string level the one that was set before
function log.level(level) end

--- Lines go to <path>.YYYYMMDD.log, rotated; nil: to stderr.
---@param path? string
---@return true? ok
---@return string? message
---@return hv.ErrCode? code
function log.file(path) end

return log
