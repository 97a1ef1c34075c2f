--- hv.http_events - server-sent events (WHATWG HTML, section 9.2): res:sse(). Private but for its
--- objects.
local json = require "hv.json"
local misuse = require("_hv.loop").misuse
local options = require "hv.options"
local raw = require "_hv.http"
local timer = require "hv.timer"
local wait = require "hv.wait"

local Response = raw.response_methods

---@class hv.HttpEvents
---@field last_id? string the id of the last event that a client which comes back has seen
local Events = {}
local events_meta = {
  __name = "hv.http.events",
  __index = Events,
  __tostring = function(self)
    return ("hv.http.events{%s}"):format(self:is_open() and "open" or "over")
  end,
}

local function field(lines, key, value)
  if value == nil then return end
  value = tostring(value)
  if value:find("[\r\n%z]") then return misuse(("events:send: line end in %s"):format(key)) end
  lines[#lines + 1] = key .. ": " .. value
end

--- Sends one event; a table is sent as JSON. Waits as res:write does: a slow client slows the
--- handler.
---@async
---@param data any
---@param opts? { event?: string, id?: string|integer, retry?: integer }
---@return boolean? ok
---@return string? message
---@return hv.ErrCode? code ECLOSED once the client has gone
function Events:send(data, opts)
  local lines = {}
  if opts then
    field(lines, "event", opts.event)
    field(lines, "id", opts.id)
    field(lines, "retry", opts.retry)
  end
  if type(data) == "table" then data = json.encode(data) end
  for line in (tostring(data):gsub("\r\n?", "\n") .. "\n"):gmatch("(.-)\n") do
    lines[#lines + 1] = "data: " .. line
  end
  return self._res:write(table.concat(lines, "\n") .. "\n\n")
end
Events.send = wait.both_forms(Events.send)

--- Sends a comment, which keeps the connection alive and nobody sees.
---@async
function Events:comment(text)
  return self._res:write(": " .. tostring(text or ""):gsub("[\r\n]", " ") .. "\n\n")
end
Events.comment = wait.both_forms(Events.comment)

--- Whether the client is still there.
---@return boolean
function Events:is_open()
  return self._res.is_over == false
end

--- Ends the stream. The client comes back unless it is told to go away by a 204.
function Events:close()
  if self._timer then self._timer:stop() end
  return self._res:finish()
end

local read = options.reader("res:sse", { retry = { "integer" }, heartbeat = { "ms", 15000 } })

--- A comment now and then shows proxies that the stream lives, and us that the client has gone.
local function start_heartbeat(events, ms)
  if ms == 0 then return end
  events._timer = timer.every(ms, function()
    if not events:is_open() then return events._timer:stop() end
    events:comment()
  end)
  events._timer:unref()
end

--- Begins a stream of server-sent events. It ends with events:close(), or when the handler returns.
---@param opts? { retry?: integer, heartbeat?: integer } milliseconds: after which a client that has
---   lost the stream comes back; between comments that keep it alive (15000; 0: none)
---@return hv.HttpEvents events
function Response:sse(opts)
  local t = read(opts or {})
  self.headers:set("Content-Type", "text/event-stream")
  self.headers:set("Cache-Control", "no-cache")
  self.headers:set("X-Accel-Buffering", "no") -- for nginx before us
  local events = setmetatable({ _res = self, last_id = raw.last_event_id(self) }, events_meta)
  self:write(t.retry and ("retry: %d\n\n"):format(t.retry) or "") -- the head leaves in any case
  start_heartbeat(events, t.heartbeat)
  return events
end

return events_meta
