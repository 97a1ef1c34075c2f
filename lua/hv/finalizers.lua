--- hv.finalizers - errors of finalizers go to hv.on_error, and harm nobody. Private to lua/hv.
---
--- The collector runs in the middle of anything, also while the loop works and no Lua code does. An
--- error that leaves a finalizer there finds nobody who could catch it, and LuaJIT ends the process
--- (since 2023 it prints the error instead). So the finalizers of ffi.gc, of metatables given to
--- ffi.metatype, and of newproxy are called by way of C, in a state of their own: see
--- bindings/task_finalize.c.
local finalize = require("_hv.task").finalize

local M = {}

--- finalizer -> what is called in its place. Weak values: an entry, and with it the finalizer, goes
--- when nothing is left that it would be called for.
local guards = setmetatable({}, { __mode = "v" })

local guardable = { ["function"] = true, table = true, userdata = true }

--- What calls a finalizer in protected mode. Functions of C's own, which are cdata, do not raise.
function M.guard(finalizer)
  if not guardable[type(finalizer)] then return finalizer end
  local guard = guards[finalizer]
  if not guard then
    guard = function(object) finalize(finalizer, object) end
    guards[finalizer] = guard
  end
  return guard
end

local function guard_ffi(ffi)
  local gc, metatype = ffi.gc, ffi.metatype
  ffi.gc = function(object, finalizer) return gc(object, M.guard(finalizer)) end
  ffi.metatype = function(ctype, meta)
    if type(meta) == "table" and meta.__gc ~= nil then meta.__gc = M.guard(meta.__gc) end
    return metatype(ctype, meta)
  end
end

--- The metatable of a proxy gets its __gc later, as any other field.
local proxy_meta = {
  __newindex = function(meta, key, value)
    rawset(meta, key, key == "__gc" and M.guard(value) or value)
  end,
}

local function guard_proxies(globals)
  local newproxy = globals.newproxy
  globals.newproxy = function(like)
    local proxy = newproxy(like)
    if like == true then setmetatable(getmetatable(proxy), proxy_meta) end
    return proxy
  end
end

function M.install()
  local is_there, ffi = pcall(require, "ffi")
  if is_there then guard_ffi(ffi) end
  local globals = getfenv(0)
  if globals.newproxy then guard_proxies(globals) end
end

return M
