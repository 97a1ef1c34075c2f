--- hv.fs - files and directories, without ever blocking the loop.
---
---   local text = assert(hv.fs.read("config.json"))
---   for name, kind in assert(hv.fs.scan(".")) do print(name, kind) end
---
--- What waits for a disk runs in a few threads beside the loop. Every function but `watch` waits in
--- the current task, or takes a function as its last argument that gets the results. Codes are the
--- names of errno ("ENOENT", "EACCES", "EEXIST" ...) and "ELIMIT".
local misuse = require("_hv.loop").misuse
local options = require "hv.options"
local raw = require "_hv.fs"
local task = require "hv.task"
local wait = require "hv.wait"

---@class hv.fs
local M = {}

local both_forms, finish = wait.both_forms, wait.finish

-- ---- Whole files ----

local read_read = options.reader("hv.fs.read", { max = { "size", 1073741824 } })
local read_write = options.reader("hv.fs.write", {
  exclusive = { "boolean", false }, atomic = { "boolean", false }, sync = { "boolean", false },
  append = { "boolean", false },
})
local no_read_options, no_write_options = read_read({}), read_write({})

local function check_data(where, data)
  if type(data) == "string" then return data end
  if type(data) ~= "table" then
    return misuse(("%s: string or list of strings expected, got %s"):format(where, type(data)))
  end
  for i = 1, #data do
    if type(data[i]) ~= "string" then
      misuse(("%s: string expected at [%d] of the list, got %s"):format(where, i, type(data[i])))
    end
  end
  return table.concat(data)
end

--- Reads a file from its start to its end; a fifo or device until it ends.
---@async
---@param path string
---@param opts? hv.FsReadOptions { max = "1G" }: more is ELIMIT
---@return string? data
---@return string? message
---@return hv.ErrCode? code ENOENT, EACCES, EISDIR, ELIMIT ...
M.read = both_forms(function(path, opts)
  local t = opts == nil and no_read_options or read_read(opts)
  return finish(raw.read(path, t.max))
end)

local function write(where, path, data, t)
  data = check_data(where, data)
  if t.atomic and (t.append or t.exclusive) then
    return misuse(where .. ": atomic goes neither with append nor with exclusive")
  end
  return finish(raw.write(path, data, t.append, t.exclusive, t.atomic, t.sync))
end

--- Makes a file or overwrites what it holds.
---   atomic     readers see the old content or the new one, never a part of it
---   exclusive  EEXIST where there is a file
---   append     behind what it holds
---   sync       done only when it is on the disk
---@async
---@param path string
---@param data string|string[]
---@param opts? hv.FsWriteOptions
---@return true? ok
---@return string? message
---@return hv.ErrCode? code ENOENT (the directory), EACCES, EEXIST, ENOSPC, EROFS ...
M.write = both_forms(function(path, data, opts)
  return write("hv.fs.write", path, data, opts == nil and no_write_options or read_write(opts))
end)

local append_options = read_write({ append = true })

--- Writes behind what a file holds; makes it where there is none.
---@async
---@param path string
---@param data string|string[]
---@return true? ok
---@return string? message
---@return hv.ErrCode? code
M.append = both_forms(function(path, data)
  return write("hv.fs.append", path, data, append_options)
end)

-- ---- Names and directories ----

local read_stat = options.reader("hv.fs.stat", { link = { "boolean", false } })

--- Facts about a file.
---@async
---@param path string
---@param opts? hv.FsStatOptions { link = true }: of a link itself, not of what it points to
---@return hv.FsStat? stat times are seconds since the epoch, with fractions
---@return string? message
---@return hv.ErrCode? code ENOENT ...
M.stat = both_forms(function(path, opts)
  return finish(raw.stat(path, opts ~= nil and read_stat(opts).link))
end)

--- Whether there is a file, directory or anything of that name.
---@async
---@param path string
---@return boolean? is_there nil where that cannot be told
---@return string? message
---@return hv.ErrCode? code EACCES ...
M.exists = both_forms(function(path)
  local stat, message, code = finish(raw.stat(path))
  if stat then return true end
  if code == "ENOENT" or code == "ENOTDIR" then return false end
  return nil, message, code
end)

--- The entries of a directory but for "." and "..", in byte order:
--- `for name, kind in assert(hv.fs.scan(dir)) do`. kind is "file", "directory", "link", "fifo",
--- "socket", "character", "block" or "unknown".
---@async
---@param path string
---@return (fun(): string?, hv.FsType?)? next
---@return string? message
---@return hv.ErrCode? code ENOENT, ENOTDIR, EACCES, ELIMIT (above a million)
M.scan = both_forms(function(path)
  local names, kinds, code = finish(raw.scan(path))
  if not names then return nil, kinds, code end
  local i = 0
  return function()
    i = i + 1
    return names[i], kinds[i]
  end
end)

local function octal(value, where)
  if type(value) == "string" and value:match("^[0-7]+$") then value = tonumber(value, 8) end
  if type(value) ~= "number" or value % 1 ~= 0 or value < 0 or value > 4095 then
    return misuse(("%s: mode must be octal digits as in \"755\", got %s"):format(where,
      tostring(value)))
  end
  return value
end

local read_mkdir = options.reader("hv.fs.mkdir", {
  recursive = { "boolean", false }, mode = { octal, 511 },
})
local no_mkdir_options = read_mkdir({})

--- Makes a directory.
---@async
---@param path string
---@param opts? hv.FsMkdirOptions recursive: makes what is missing on the way, and is content where
---                               the directory exists; mode: "777", less the umask
---@return true? ok
---@return string? message
---@return hv.ErrCode? code EEXIST, ENOENT, EACCES ...
M.mkdir = both_forms(function(path, opts)
  local t = opts == nil and no_mkdir_options or read_mkdir(opts)
  return finish(raw.mkdir(path, t.mode, t.recursive))
end)

local read_remove = options.reader("hv.fs.remove", { recursive = { "boolean", false } })

--- Removes a file, a link or an empty directory; with `recursive` a directory and all in it. Links
--- are removed, never followed.
---@async
---@param path string
---@param opts? hv.FsRemoveOptions
---@return true? ok
---@return string? message
---@return hv.ErrCode? code ENOENT, ENOTEMPTY, EACCES, EBUSY ...
M.remove = both_forms(function(path, opts)
  return finish(raw.remove(path, opts ~= nil and read_remove(opts).recursive))
end)

--- Puts a file or directory in the place of `to`, within one file system.
---@async
---@param from string
---@param to string
---@return true? ok
---@return string? message
---@return hv.ErrCode? code ENOENT, EXDEV, ENOTEMPTY ...
M.rename = both_forms(function(from, to) return finish(raw.rename(from, to)) end)

--- Makes a new file that only this user may read, and opens it for reading and writing. Its name
--- is file.path; removing it is yours.
---@async
---@param prefix? string with a directory, or a name within $TMPDIR or /tmp; "hv-"
---@return hv.File? file
---@return string? message
---@return hv.ErrCode? code
M.tmpfile = both_forms(function(prefix) return finish(raw.tmpfile(prefix)) end)

--- The same with a directory; returns its path.
---@async
---@param prefix? string
---@return string? path
---@return string? message
---@return hv.ErrCode? code
M.tmpdir = both_forms(function(prefix) return finish(raw.tmpdir(prefix)) end)

-- ---- Open files ----

local File = raw.file_methods
local field = raw.file_field

raw.file_meta.__index = function(self, key)
  local method = File[key]
  if method ~= nil then return method end
  return field(self, key)
end

--- read([n[, offset]]): the next bytes, at most n (65536); at the end nil, message, "EOF". With
--- an offset from the start of the file it leaves the file's own position as it is.
File.read = wait.waits(File.read)
--- write(data[, offset]): all of it.
File.write = wait.waits(File.write)
File.sync = wait.waits(File.sync)
File.truncate = wait.waits(File.truncate)
File.stat = wait.waits(File.stat)

local function next_chunk(self) return (File.read(self)) end

--- `for chunk in file:chunks()`: what is left, piece by piece.
function File:chunks() return next_chunk, self end

--- `for line in file:lines()`: what is left, without the line ends.
function File:lines()
  local kept, at, is_over = "", 1, false
  return function()
    while true do
      local stop = kept:find("\n", at, true)
      if stop then
        local line = kept:sub(at, stop - 1)
        at = stop + 1
        return (line:gsub("\r$", ""))
      end
      if is_over then break end
      local chunk = File.read(self)
      kept, at, is_over = kept:sub(at) .. (chunk or ""), 1, chunk == nil
    end
    if at > #kept then return nil end
    local line = kept:sub(at)
    at = #kept + 1
    return line
  end
end

--- Opens a file.
---   mode  "r" to read (default), "w" to overwrite, "a" to append, "x" to make a new one; "+"
---         behind it for both reading and writing
---@async
---@param path string
---@param mode? string
---@param permissions? string|integer of a file that is made: "666", less the umask
---@return hv.File? file close it, or it is closed when it is collected
---@return string? message
---@return hv.ErrCode? code ENOENT, EACCES, EEXIST, EISDIR, EMFILE ...
M.open = both_forms(function(path, mode, permissions)
  local flags = raw.modes[mode == nil and "r" or mode]
  if not flags then
    return misuse(("hv.fs.open: mode must be r, w, a or x, with + or without, got %s"):format(
      tostring(mode)))
  end
  return finish(raw.open(path, flags, permissions and octal(permissions, "hv.fs.open") or 438))
end)

-- ---- Watching ----

local QUEUE_MAX = 4096

--- Runs a function for each event, one after the other, also where it waits. An error in it is
--- reported and ends nothing.
local function one_by_one(fn)
  local queue, first, last, is_running = {}, 1, 0, false
  --- A task an event, so that an error is told with its own traceback and ends no other.
  local function run_next()
    if first > last then
      is_running = false
      return
    end
    local current = queue[first]
    queue[first] = nil
    first = first + 1
    task.defer(function() task.next(run_next) end)
    return fn(current)
  end
  return function(event)
    if last - first + 1 >= QUEUE_MAX then
      queue[last] = { kind = "overflow", name = "", is_directory = false }
      return
    end
    last = last + 1
    queue[last] = event
    if is_running then return end
    is_running = true
    return run_next()
  end
end

--- Calls `fn(event)` for every change of a file, or of a directory and its entries (not of what is
--- in directories below). event.kind is "created", "deleted", "changed" (content), "written"
--- (closed by who wrote it), "attrib", "gone" (the watched thing itself: the last event) or
--- "overflow" (events were lost: look for yourself); event.name the entry, "" for the watched
--- thing; event.is_directory; event.rename a number that the "deleted" and the "created" of one
--- rename share.
--- Events come one after the other, also where the function waits.
---@param path string
---@param fn fun(event: hv.FsEvent)
---@return hv.FsWatch? watch close(), ref(), unref()
---@return string? message
---@return hv.ErrCode? code ENOENT, EACCES, ENOSPC (the user's limit of watches)
function M.watch(path, fn)
  if type(fn) ~= "function" then
    return misuse("hv.fs.watch: function expected, got " .. type(fn))
  end
  return raw.watch(path, one_by_one(fn))
end

return M
