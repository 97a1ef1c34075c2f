--- hv.ws_options - what servers and clients of WebSocket take. Private to lua/hv.
local limits = require "hv.limits"
local misuse = require("_hv.loop").misuse
local options = require "hv.options"

local M = {}

local read_deflate = options.reader("deflate", {
  server_context = { "boolean", false }, client_context = { "boolean", false },
  server_window_bits = { "integer", 15 }, client_window_bits = { "integer", 15 },
  level = { "integer", 6 }, min_bytes = { "size", 1024 },
})

local function deflate(value, where)
  if value == true then value = {} end
  if not value then return false end
  if type(value) ~= "table" then
    return misuse(("%s: deflate must be true, false or a table, got %s"):format(where, type(value)))
  end
  local t = read_deflate(value)
  for _, key in ipairs { "server_window_bits", "client_window_bits" } do
    if t[key] < 8 or t[key] > 15 then misuse(("%s: %s must be 8..15"):format(where, key)) end
  end
  if t.level < 1 or t.level > 9 then misuse(where .. ": level must be 1..9") end
  return t
end

--- "a, b" of a string or a list of strings; `pattern` is what each may be.
local function list_of(key, pattern, words)
  return function(value, where)
    if type(value) == "string" then value = { value } end
    if type(value) ~= "table" then
      return misuse(("%s: %s must be a string or a list of strings"):format(where, key))
    end
    local seen = {}
    for _, item in ipairs(value) do
      if type(item) ~= "string" or not item:find(pattern) or seen[item] then
        misuse(("%s: %s must be %s, got %s"):format(where, key, words, tostring(item)))
      end
      seen[item] = true
    end
    if #value == 0 then return misuse(("%s: %s is empty"):format(where, key)) end
    return table.concat(value, ", ")
  end
end

local protocols = list_of("protocols", "^[%w!#$%%&'*+%-.^_`|~]+$", "different tokens")
local origins = list_of("origins", "^[^,%s]+$", "different origins such as \"https://a.example\"")

local fn = { "function" }

local function common(more)
  local known = {
    protocols = { protocols }, deflate = { deflate, false },
    max_message = { "size", limits.ws_message }, max_fragments = { "integer", limits.ws_fragments },
    ping_interval = { "ms", limits.ws_ping_interval },
    pong_timeout = { "ms", limits.ws_pong_timeout },
    close_timeout = { "ms", limits.ws_close_timeout },
    write_high = { "size", limits.write_high }, write_max = { "size", limits.ws_write_max },
    read_ahead = { "size", limits.ws_read_ahead },
    on_open = fn, on_message = fn, on_close = fn, on_drain = fn, on_pong = fn,
  }
  for key, entry in pairs(more) do known[key] = entry end
  return known
end

M.read_server = options.reader("app:ws", common { origins = { origins } })

M.read_connect = options.reader("hv.ws.connect", common {
  deflate = { deflate, deflate(true) }, headers = { "table" },
  timeout = { "ms", limits.connect_timeout }, tls = { "any" }, reconnect = { "any" },
  proxy = { require("hv.http_options").proxy_kind }, proxy_tls = { "any" },
})

return M
