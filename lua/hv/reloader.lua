--- hv.reloader - `hvlua --watch`: asks for a reload when a file that the program is made of has
--- changed. Private to lua/hv. One worker watches, for all of them.
---
--- Folders are watched, not files: editors put a new file in the place of the old one. A reload
--- that fails, because of a mistake in the new text, leaves this worker where it is, watching.
local fs = require "hv.fs"
local loading = require "hv.loading"
local log = require "hv.log"
local server = require "_hv.server"
local shutdown = require "hv.shutdown"
local timer = require "hv.timer"

local M = {}

--- Changes come in bursts; the last of them counts.
local SETTLE_MS = 100

local folders = {} -- path -> { names = { name -> true } }
local settling

local function reload(path)
  if shutdown.has_begun() then return end
  log.info("%s has changed", path)
  server.reload()
end

local function on_change(folder, path, event)
  local is_new = event.kind == "written" or event.kind == "created"
  if not (is_new and folder.names[event.name] or event.kind == "overflow") then return end
  if settling then settling:stop() end
  settling = timer.after(SETTLE_MS, reload, path .. "/" .. (event.name or ""))
  settling:unref()
end

--- Watches a file from now on.
function M.add(path)
  local where, name = path:match("^(.*)/([^/]*)$")
  if not where then where, name = ".", path end
  if where == "" then where = "/" end
  local folder = folders[where]
  if not folder then
    folder = { names = {} }
    folders[where] = folder
    local watch, message = fs.watch(where, function(event) on_change(folder, where, event) end)
    if watch then
      watch:unref()
    else
      log.warn("--watch: %s", message)
    end
  end
  folder.names[name] = true
end

--- Watches the files given, and those that are required or run from now on.
function M.start(paths)
  for _, path in ipairs(paths) do M.add(path) end
  loading.on_file(M.add)
end

return M
