--- hv.http_access_log - lines about requests that have been answered. Private to lua/hv; public as
--- hv.http.middleware.logger.
local ending = require "hv.ending"
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
local BUFFER_BYTES = 65536
local LOST_BYTES = 1048576 -- what is kept for a file that cannot be written

--- Lines of one file, which is opened for each flush: whoever renames it finds it made anew.
local function file_writer(path)
  local lines, bytes, has_complained, alarm = {}, 0, false, nil
  local function flush()
    if alarm then alarm:stop() end
    alarm = nil
    if bytes == 0 then return end
    local file, message = io.open(path, "a")
    if file then
      -- In one piece, so that lines of several workers do not mix.
      file:setvbuf("full", bytes + 1)
      file:write(concat(lines))
      file:close()
      has_complained = false
    elseif not has_complained then
      has_complained = true
      require("hv.log").error("access log: %s", message)
    end
    if file or bytes > LOST_BYTES then lines, bytes = {}, 0 end
  end
  ending.add(flush)
  return function(line)
    lines[#lines + 1] = line
    lines[#lines + 1] = "\n"
    bytes = bytes + #line + 1
    if bytes >= BUFFER_BYTES then return flush() end
    if not alarm then
      alarm = timer.after(FLUSH_MS, flush)
      alarm:unref()
    end
  end
end

local function write_out(line) io.stdout:write(line, "\n") end

local read_logger = options.reader("middleware.logger", {
  format = { "any", "common" }, file = { "string" }, write = { "function" },
})

--- Writes a line for each exchange that has ended, with what was really sent.
---
--- `format` is "common" or "combined" (as Apache and nginx write them), "json", or a function(req,
--- res) that returns the line, or nil for none. Lines go to `write(line)`, or into `file`: buffered
--- for a second at most, appended in whole lines, opened anew each time, so that logrotate may
--- rename it, and written when the program ends. Without either they go to standard output.
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
  local write = t.write or t.file and file_writer(t.file) or write_out
  return { on_response = function(req, res)
    local line = line_of(req, res)
    if line then write(line) end
  end }
end

return M
