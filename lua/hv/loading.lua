--- hv.loading - `require` and `dofile` in Lua, so that a module may wait while it is loaded.
--- Private to lua/hv. What they do is what Lua 5.1 says, and where two tasks want the same module
--- the second waits until the first has loaded it.
local task = require "hv.task"

local M = {}

--- Stands in package.loaded while a module is being loaded.
local in_progress = require("_hv.task").wait_mark
local owners = {} -- name -> task

--- Is told each file that is loaded, by its path.
local tell_file

--- Calls `fn(path)` for each file that is loaded from now on.
function M.on_file(fn) tell_file = fn end

local function tell_module(name)
  local path = tell_file and package.searchpath(name, package.path)
  if path then tell_file(path) end
end

local function find_loader(name)
  local tried = {}
  for _, searcher in ipairs(package.loaders) do
    local ok, found = pcall(searcher, name)
    -- A searcher in C gives its caller's position, which is ours and helps nobody.
    if not ok then
      error(type(found) == "string" and found:gsub("^%[hv%.loading%]:%d+: ", "") or found, 0)
    end
    if type(found) == "function" then return found end
    if type(found) == "string" then tried[#tried + 1] = found end
  end
  error(("module '%s' not found:%s"):format(name, table.concat(tried)), 3)
end

local function wait_for_other(name)
  local owner, me = owners[name], task.current()
  while package.loaded[name] == in_progress do
    local status = owner and owner:status() or "failed"
    if owner == me or status == "failed" or status == "finished" or status == "canceled" then
      -- 2 is who requires: require has left its place to us by a tail call.
      error(("loop or previous error loading module '%s'"):format(name), 2)
    end
    task.sleep(1)
  end
  return package.loaded[name]
end

function M.require(name)
  if type(name) == "number" then name = tostring(name) end
  if type(name) ~= "string" then
    error(("bad argument #1 to 'require' (string expected, got %s)"):format(type(name)), 2)
  end
  local loaded = package.loaded[name]
  if loaded == in_progress then return wait_for_other(name) end
  if loaded then return loaded end
  local loader = find_loader(name)
  tell_module(name)
  package.loaded[name] = in_progress
  owners[name] = task.current()
  local result = loader(name)
  owners[name] = nil
  if result ~= nil then package.loaded[name] = result end
  if package.loaded[name] == in_progress then package.loaded[name] = true end
  return package.loaded[name]
end

function M.dofile(path)
  if tell_file and path then tell_file(path) end
  local chunk, message = loadfile(path)
  if not chunk then error(message, 0) end
  return chunk()
end

--- Makes both global.
function M.install()
  local globals = getfenv(0)
  globals.require, globals.dofile = M.require, M.dofile
end

return M
