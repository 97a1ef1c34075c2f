--- hv.http_access_log - lines about requests that have been answered. Private to lua/hv; public as
--- hv.http.middleware.logger.
local ending = require "hv.ending"
local fs = require "hv.fs"
local json = require "hv.json"
local misuse = require("_hv.loop").misuse
local options = require "hv.options"
local timer = require "hv.timer"

local concat, date, time = table.concat, os.date, os.time

local M = {}

-- ---- Lines ----

local escapes = { ['"'] = '\\"', ["\\"] = "\\\\" }

--- What a client sends must not end a line, or look like another field.
local function plain(text)
  if not text or text == "" then return "-" end
  return (text:gsub('[%c"\\\127-\255]', function(byte)
    return escapes[byte] or ("\\x%02x"):format(byte:byte())
  end))
end

local stamp, stamp_second

--- "25/Nov/2026:11:35:39 +0000"; made once a second.
local function clock()
  local now = time()
  if now ~= stamp_second then
    stamp, stamp_second = date("%d/%b/%Y:%H:%M:%S %z", now), now
  end
  return stamp
end

local function address(req)
  local peer = req.peer
  return peer and peer.ip or "-"
end

--- 499 is what nginx calls an exchange whose client left before there was an answer.
local function status_of(res) return res.status ~= 0 and res.status or 499 end

local function common(req, res)
  return ('%s - %s [%s] "%s %s HTTP/%s" %d %s'):format(address(req), plain(req.user), clock(),
    plain(req.method), plain(req.target), req.version, status_of(res),
    res.bytes > 0 and ("%d"):format(res.bytes) or "-")
end

local formats = {
  common = common,
  combined = function(req, res)
    return ('%s "%s" "%s"'):format(common(req, res), plain(req:header("referer")),
      plain(req:header("user-agent")))
  end,
  json = function(req, res)
    return json.encode {
      time = date("!%Y-%m-%dT%H:%M:%SZ"), peer = address(req), user = req.user,
      method = req.method, target = req.target, version = req.version, status = status_of(res),
      bytes = res.bytes, duration = math.floor(res.duration * 1000 + 0.5) / 1000,
      complete = res.is_complete, request_id = req.request_id, host = req.host,
      user_agent = req:header("user-agent"), referer = req:header("referer"),
    }
  end,
}

-- ---- Where they go ----

local FLUSH_MS = 1000
local BUFFER_BYTES = 65536 -- when they are written at once

--- Lines of one file. A thread opens it, appends, and closes it: the loop does not wait for a disk,
--- and whoever has renamed the file finds it made anew. There is one such write at a time, so lines
--- stay in order; more than `most` bytes are not kept meanwhile.
local function file_writer(path, most)
  local lines, bytes, alarm = {}, 0, nil
  local writing -- what is being written
  local lost, has_complained = 0, false
  local flush

  local function complain(format, ...)
    if not has_complained then require("hv.log").error("access log: " .. format, ...) end
    has_complained = true
  end

  local function flush_later()
    if alarm or writing then return end
    alarm = timer.after(FLUSH_MS, flush)
    alarm:unref()
  end

  local function on_written(ok, message)
    local text = writing
    writing = nil
    if not ok then
      complain("%s", message)
      table.insert(lines, 1, text) -- once more, later
      bytes = bytes + #text
      return flush_later()
    end
    if lost > 0 then require("hv.log").warn("access log: %d lines of %s were lost", lost, path) end
    lost, has_complained = 0, false
    if bytes >= BUFFER_BYTES then return flush() end
    if bytes > 0 then flush_later() end
  end

  function flush()
    if alarm then alarm:stop() end
    alarm = nil
    if bytes == 0 or writing then return end
    writing = concat(lines)
    lines, bytes = {}, 0
    fs.append(path, writing, on_written)
  end

  --- The program ends: nobody waits for anything any more.
  ending.add(function()
    local file = bytes > 0 and io.open(path, "a")
    if not file then return end
    file:setvbuf("full", bytes + 1) -- in one piece, so that lines of several workers do not mix
    file:write(concat(lines))
    file:close()
    lines, bytes = {}, 0
  end)

  return function(line)
    local waiting = bytes + (writing and #writing or 0)
    if waiting + #line + 1 > most then
      lost = lost + 1
      return complain("%s takes no more; lines are lost", path)
    end
    lines[#lines + 1] = line
    lines[#lines + 1] = "\n"
    bytes = bytes + #line + 1
    if bytes >= BUFFER_BYTES then return flush() end
    flush_later()
  end
end

local function write_out(line) io.stdout:write(line, "\n") end

local read_logger = options.reader("middleware.logger", {
  format = { "any", "common" }, file = { "string" }, write = { "function" },
  buffer = { "size", 1048576 },
})

--- Writes a line for each exchange that has ended, with what was really sent.
---
--- `format` is "common" or "combined" (as Apache and nginx write them), "json", or a function(req,
--- res) that returns the line, or nil for none. Lines go to `write(line)`, or into `file`: buffered
--- for a second at most, appended by a thread in whole lines, opened anew each time, so that
--- logrotate may rename it without a signal, and written when the program ends. Where the disk is
--- slower than the requests, `buffer` bytes are kept; lines beyond are lost, and hv.log tells how
--- many. Without either they go to standard output.
---@param opts? hv.LoggerOptions
---@return hv.HttpObserver
function M.logger(opts)
  local t = read_logger(opts or {})
  local line_of = type(t.format) == "function" and t.format or formats[t.format]
  if not line_of then
    return misuse(('middleware.logger: format must be "common", "combined", "json" or a function, '
      .. "got %s"):format(tostring(t.format)))
  end
  if t.file and t.write then return misuse("middleware.logger: either file or write") end
  local write = t.write or t.file and file_writer(t.file, t.buffer) or write_out
  return { on_response = function(req, res)
    local line = line_of(req, res)
    if line then write(line) end
  end }
end

return M
