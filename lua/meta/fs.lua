---@meta _hv.fs
--- What bindings/fs.c gives; lua/hv/fs.lua checks arguments before. And the types of hv.fs.
local M = {}

---@alias hv.FsType "file"|"directory"|"link"|"fifo"|"socket"|"character"|"block"|"unknown"

---@class hv.FsReadOptions
---@field max? integer|string bytes; "1G", which is the most; more is ELIMIT

---@class hv.FsWriteOptions
---@field append? boolean
---@field atomic? boolean
---@field exclusive? boolean
---@field sync? boolean

---@class hv.FsStatOptions
---@field link? boolean

---@class hv.FsMkdirOptions
---@field recursive? boolean
---@field mode? string|integer octal digits; "777"

---@class hv.FsRemoveOptions
---@field recursive? boolean

---@class hv.FsStat
---@field type hv.FsType
---@field size integer  bytes
---@field mode integer  permission bits
---@field mtime number  seconds since the epoch: last change of the content
---@field atime number  last read
---@field ctime number  last change of content, owner, mode or links
---@field uid integer
---@field gid integer
---@field links integer
---@field inode integer
---@field device integer

---@class hv.FsEvent
---@field kind "created"|"deleted"|"changed"|"written"|"attrib"|"gone"|"overflow"
---@field name string
---@field is_directory boolean
---@field rename? integer

---@class hv.FsWatch
local Watch = {}
---@return true
function Watch:close() end
---@return hv.FsWatch
function Watch:ref() end
---@return hv.FsWatch
function Watch:unref() end

---@class hv.File
---@field path string
local File = {}

---@async
---@param n? integer      bytes at most; 65536
---@param offset? integer from the start; without it from the file's own position
---@return string? data
---@return string? message
---@return hv.ErrCode? code EOF, ECLOSED, EBUSY (another task moves the position), EISDIR, EIO ...
function File:read(n, offset) end

---@async
---@param data string
---@param offset? integer
---@return true? ok
---@return string? message
---@return hv.ErrCode? code ECLOSED, EBUSY, ENOSPC, EBADF (not open for writing) ...
function File:write(data, offset) end

---@async
---@return true? ok it is on the disk
---@return string? message
---@return hv.ErrCode? code
function File:sync() end

---@async
---@param size integer
---@return true? ok
---@return string? message
---@return hv.ErrCode? code
function File:truncate(size) end

---@async
---@return hv.FsStat? stat
---@return string? message
---@return hv.ErrCode? code
function File:stat() end

--- Closes it once what works on it has ended. May be called again.
---@return true
function File:close() end

---@async
---@param path string
---@param max integer
---@return string? data
---@return string? message
---@return hv.ErrCode? code
function M.read(path, max) end

---@async
---@param path string
---@param data string
---@param append boolean
---@param exclusive boolean
---@param atomic boolean
---@param sync boolean
---@return true? ok
---@return string? message
---@return hv.ErrCode? code
function M.write(path, data, append, exclusive, atomic, sync) end

---@async
---@param path string
---@param is_link? boolean
---@return hv.FsStat? stat
---@return string? message
---@return hv.ErrCode? code
function M.stat(path, is_link) end

---@async
---@param path string
---@return string[]? names
---@return hv.FsType[]|string|nil types or the message
---@return hv.ErrCode? code
function M.scan(path) end

---@async
---@param path string
---@param mode integer
---@param is_recursive boolean
---@return true? ok
---@return string? message
---@return hv.ErrCode? code
function M.mkdir(path, mode, is_recursive) end

---@async
---@param path string
---@param is_recursive? boolean
---@return true? ok
---@return string? message
---@return hv.ErrCode? code
function M.remove(path, is_recursive) end

---@async
---@param from string
---@param to string
---@return true? ok
---@return string? message
---@return hv.ErrCode? code
function M.rename(from, to) end

---@async
---@param path string
---@param flags integer of M.modes
---@param mode integer
---@return hv.File? file
---@return string? message
---@return hv.ErrCode? code
function M.open(path, flags, mode) end

---@async
---@param prefix? string
---@return hv.File? file
---@return string? message
---@return hv.ErrCode? code
function M.tmpfile(prefix) end

---@async
---@param prefix? string
---@return string? path
---@return string? message
---@return hv.ErrCode? code
function M.tmpdir(prefix) end

---@param path string
---@param fn fun(event: hv.FsEvent)
---@return hv.FsWatch? watch
---@return string? message
---@return hv.ErrCode? code
function M.watch(path, fn) end

---@param file hv.File
---@param key string
---@return any
function M.file_field(file, key) end

---@type table<string, integer>
M.modes = {}

return M
