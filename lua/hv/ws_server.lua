--- hv.ws_server - `app:ws` and `app:publish`: routes whose requests become WebSockets. Private to
--- lua/hv.
local misuse = require("_hv.loop").misuse
local raw = require "_hv.ws"
local read_server = require("hv.ws_options").read_server

require "hv.ws"

local M = {}

--- What a handler may know of the request, which is over once the socket is open.
local request_meta = {
  __name = "hv.ws.request",
  __index = { header = function(self, name) return (self.headers:get(name)) end },
}

local function snapshot(req)
  return setmetatable({
    path = req.path, query = req.query, params = req.params, headers = req.headers,
    target = req.target, host = req.host, peer = req.peer, scheme = req.scheme,
    cookies = req.cookies, version = req.version,
  }, request_meta)
end

local function looks_at_request(fn)
  if not fn then return false end
  local info = debug.getinfo(fn, "u")
  return info.isvararg or info.nparams >= 2
end

local function read_arguments(opts, fn)
  if type(opts) == "function" and fn == nil then opts, fn = {}, opts end
  if type(opts) ~= "table" then
    misuse("app:ws: options or function expected, got " .. type(opts))
  end
  if fn ~= nil and type(fn) ~= "function" then
    misuse("app:ws: function expected, got " .. type(fn))
  end
  local t = read_server(opts)
  if fn and (t.on_open or t.on_message) then
    misuse("app:ws: either a function or on_open and on_message, not both")
  end
  if not fn and not t.on_message and not t.on_open then
    misuse("app:ws: function or on_message expected")
  end
  t.on_task = fn
  return t
end

local function hub_of(root)
  if not root._ws_hub then root._ws_hub = raw.hub() end
  return root._ws_hub
end

--- The handler of a route.
function M.handler(root, opts, fn)
  local t = read_arguments(opts, fn)
  local endpoint = assert(raw.endpoint(hub_of(root), t))
  local accept = raw.accept
  if looks_at_request(t.on_task or t.on_open) then
    return function(req) accept(endpoint, req, snapshot(req)) end
  end
  return function(req) accept(endpoint, req) end
end

--- Sends to the subscribers of a topic. Returns how many there were.
function M.publish(root, ...)
  return hub_of(root):publish(...)
end

function M.subscribers(root, topic)
  return hub_of(root):subscribers(topic)
end

return M
