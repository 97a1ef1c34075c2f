--- hv.mqtt_options - what hv.mqtt.connect and hv.mqtt.client may be told, checked and turned into
--- what bindings/mqtt.c reads. Private to lua/hv.
local limits = require "hv.limits"
local misuse = require("_hv.loop").misuse
local options = require "hv.options"
local tls = require "hv.tls"

local M = {}

function M.in_range(key, min, max)
  return function(value, where)
    if type(value) == "number" and value >= min and value <= max and value % 1 == 0 then
      return value
    end
    return misuse(("%s: %s must be %d..%d, got %s"):format(where, key, min, max, tostring(value)))
  end
end

local function version(value, where)
  if value == 3 or value == 4 or value == 5 then return value end
  return misuse(("%s: version must be 4 (3.1.1) or 5, got %s"):format(where, tostring(value)))
end

local function sync(value, where)
  if value == "never" or value == "always" then return value end
  return misuse(("%s: store_sync must be \"never\" or \"always\", got %s"):format(where,
    tostring(value)))
end

--- A text of MQTT (5 1.5.4). Whether it is UTF-8 is told by C.
local function text(key)
  return function(value, where)
    if type(value) ~= "string" then
      return misuse(("%s: %s must be a string, got %s"):format(where, key, tostring(value)))
    end
    if #value > 65535 or value:find("%z") then
      return misuse(("%s: %s must have 65535 bytes at most, and no NUL"):format(where, key))
    end
    return value
  end
end

local in_range = M.in_range
local fn = { "function" }

local known = {
  host = { "string" }, port = { "port" }, path = { "string" }, url = { "string" },
  version = { version, 5 }, client_id = { text("client_id") }, clean_start = { "boolean", true },
  session_expiry = { "ms", limits.mqtt_session_expiry }, keep_session = { "boolean", false },
  keepalive = { "ms", limits.mqtt_keepalive },
  username = { text("username") }, password = { "string" },
  will = { "table" }, properties = { "table" }, tls = { "any" }, reconnect = { "any", true },
  timeout = { "ms", limits.connect_timeout }, ping_timeout = { "ms", limits.mqtt_ping_timeout },
  max_packet = { "size", limits.mqtt_packet },
  receive_maximum = { in_range("receive_maximum", 1, 65535), 1000 },
  max_inflight = { in_range("max_inflight", 1, 65535), 0 },
  queue = { in_range("queue", 1, 60000), limits.mqtt_queue },
  queue_bytes = { "size", limits.mqtt_queue_bytes },
  write_high = { "size", limits.write_high },
  topic_aliases = { in_range("topic_aliases", 0, 65535), 16 },
  max_subscriptions = { in_range("max_subscriptions", 1, 60000), 10000 },
  max_kept = { in_range("max_kept", 1, 1048576), limits.mqtt_kept },
  max_kept_bytes = { "size", limits.mqtt_kept_bytes },
  store = { "string" }, store_sync = { sync, "never" }, auth = { "table" },
  on_message = fn, on_connect = fn, on_close = fn,
}

local read_will = options.reader("hv.mqtt.connect: will", {
  topic = { "string" }, payload = { "string", "" }, qos = { in_range("qos", 0, 2), 0 },
  retain = { "boolean", false }, properties = { "table" },
})

local read_reconnect = options.reader("hv.mqtt.connect: reconnect", {
  min_delay = { "ms", 1000 }, max_delay = { "ms", 60000 }, policy = { "string", "exponential" },
  max_retries = { "integer" },
})

local read_auth = options.reader("hv.mqtt.connect: auth", {
  method = { "string" }, data = { "string" }, on_auth = fn,
})

local policies = { fixed = 0, linear = 1, exponential = 2 }

--- scheme -> port, whether it is under TLS, whether it is a WebSocket.
local schemes = { mqtt = { 1883 }, tcp = { 1883 }, mqtts = { 8883, true }, ssl = { 8883, true },
  ws = { 80, false, true }, wss = { 443, true, true } }

--- Whole seconds, as the wire has them; a part of one counts as one.
local function seconds(ms) return math.ceil(ms / 1000) end

--- "mqtts://user:secret@host:8883", "ws://host/path" into options that are not given otherwise.
local function read_url(where, t)
  local url, message = require("hv.url").parse(t.url)
  local scheme = url and schemes[url.scheme]
  if not scheme then
    return misuse(("%s: url must be mqtt[s]|ws[s]://host[:port], got %q%s"):format(where, t.url,
      message and " (" .. message .. ")" or ""))
  end
  t.host, t.port = t.host or url.host, t.port or url.port or scheme[1]
  t.username, t.password = t.username or url.username, t.password or url.password
  if scheme[2] and t.tls == nil then t.tls = true end
  if scheme[3] then
    local path = url.path ~= "" and url.path or "/"
    t.is_ws, t.ws_path = true, path .. (url.query and "?" .. url.query or "")
  end
end

local function read_address(where, t)
  if t.url then read_url(where, t) end
  if t.path then
    if t.path:sub(1, 1) ~= "/" then
      return misuse(("%s: path must begin with '/', got %q"):format(where, t.path))
    end
    t.host, t.port = t.path, 0
  end
  if not t.host then return misuse(where .. ": host is missing") end
  t.port = t.port or (t.tls and 8883 or 1883)
end

local function read_session(where, t)
  if t.store and not t.client_id then
    return misuse(where .. ": store needs a client_id, by which the broker knows the session")
  end
  if t.version < 5 and t.password and not t.username then
    return misuse(where .. ": password needs a username in version 4")
  end
  if not t.clean_start and not t.client_id then
    return misuse(where .. ": clean_start = false needs a client_id")
  end
  t.keepalive_s, t.session_expiry_s = seconds(t.keepalive), seconds(t.session_expiry)
  if t.keepalive_s > 65535 then return misuse(where .. ": keepalive is at most 65535000") end
  t.keeps_session, t.store_sync = t.keep_session, t.store_sync == "always"
  if t.will then
    local will = read_will(t.will)
    if not will.topic then return misuse(where .. ": will.topic is missing") end
    if will.topic == "" or will.topic:find("[#+%z]") then
      return misuse(("%s: will.topic must be a topic name, without +, # and NUL, got %q"):format(
        where, will.topic))
    end
    t.will_topic, t.will_payload, t.will_qos = will.topic, will.payload, will.qos
    t.will_retain, t.will_properties = will.retain, will.properties
  end
end

local function read_retries(where, t)
  t.reconnects = t.reconnect ~= false
  if type(t.reconnect) ~= "table" and type(t.reconnect) ~= "boolean" then
    return misuse(("%s: reconnect must be a boolean or a table, got %s"):format(where,
      tostring(t.reconnect)))
  end
  local given = type(t.reconnect) == "table" and t.reconnect or {}
  local r = read_reconnect(given)
  if not policies[r.policy] then
    return misuse(("%s: policy must be \"exponential\", \"linear\" or \"fixed\", got %q"):format(
      where, r.policy))
  end
  t.min_delay, t.max_delay, t.delay_policy = r.min_delay, r.max_delay, policies[r.policy]
  t.max_retries = r.max_retries or 4294967295
end

local function read_enhanced_auth(where, t)
  if not t.auth then return end
  local a = read_auth(t.auth)
  if not a.method then return misuse(where .. ": auth.method is missing") end
  if t.version < 5 then return misuse(where .. ": auth needs version 5") end
  local properties = {}
  for key, value in pairs(t.properties or {}) do properties[key] = value end
  properties.auth_method, properties.auth_data = a.method, a.data
  t.properties, t.on_auth = properties, a.on_auth
end

--- Makes of the option `tls` what C takes. Returns nil, message, code where it cannot.
function M.read_tls(t)
  if not t.tls then
    t.tls = nil
    return true
  end
  local ctx, name, code = tls.client("connect", t.tls)
  if not ctx then return nil, name, code end
  t.tls, t.tls_name = ctx, name
  return true
end

local readers = {}
for _, where in ipairs { "hv.mqtt.connect", "hv.mqtt.client" } do
  readers[where] = options.reader(where, known)
end

function M.read(where, given)
  if type(given) == "string" then given = { url = given } end
  local t = readers[where](given)
  read_address(where, t)
  read_session(where, t)
  read_retries(where, t)
  read_enhanced_auth(where, t)
  return t
end

return M
