--- hv.mqtt - an MQTT client, versions 3.1.1 and 5.0.
---
---   local client = assert(hv.mqtt.connect { host = "127.0.0.1" })
---   client:subscribe("rooms/+/temperature", { qos = 1 }, function(message)
---     print(message.topic, message.payload)
---   end)
---   assert(client:publish("rooms/3/temperature", "21.5", { qos = 1 }))  -- waits for the broker
---
--- A client connects again by itself. What is published or subscribed meanwhile is kept, in memory
--- or in a file (`store`), and sent when it may be; a message of QoS 2 arrives exactly once. Where
--- the broker refuses something, the fourth result is its reason code: nil, message, code, reason.
local channel = require "hv.channel"
local limits = require "hv.limits"
local methods = require "hv.methods"
local misuse = require("_hv.loop").misuse
local mqtt_options = require "hv.mqtt_options"
local options = require "hv.options"
local raw = require "_hv.mqtt"
local topics = require "hv.mqtt_topics"
local wait = require "hv.wait"

---@class hv.mqtt
local M = {}

local open = wait.waits(raw.methods.open)
local publish = wait.waits(raw.methods.publish)
local call = wait.waits(raw.methods.call)
local disconnect = wait.waits(raw.methods.disconnect)
local drop, facts, auth = raw.methods.drop, raw.methods.facts, raw.methods.auth

-- ---- Clients ----

---@class hv.MqttClient
local Client = {}
local meta = { __name = "hv.mqtt", __index = Client }

function meta:__tostring()
  local f = facts(self._raw)
  local state = f.closed and "closed" or f.connected and "open" or "connecting"
  return ("hv.mqtt{%s %s}"):format(state, self._address)
end

--- The functions that a message is for: by the identifiers that the broker has sent along (5), or
--- by its topic.
local function handlers_of(self, message)
  local ids = message.properties and message.properties.subscription_ids
  if not ids then return topics.find(self._tree, message.topic) end
  local found = {}
  for _, id in ipairs(ids) do found[#found + 1] = self._by_id[id] end
  return found
end

local function deliver(self, message)
  local has_functions = self._tree.count > 0
  local found = has_functions and handlers_of(self, message)
  if found and #found > 0 then
    for i = 1, #found do found[i](message) end
  elseif self._on_message then
    self._on_message(self, message)
  else
    self._inbox:send(message)
  end
end

local told = {}

function told.connect(self, session_present, properties)
  if self._on_connect then self._on_connect(self, session_present, properties) end
end

function told.close(self, retry, properties, _, message, code, reason)
  if retry < 0 then self._inbox:close() end
  self.close_reason, self.close_properties = reason, properties
  if self._on_close then
    self._on_close(self, message, code, reason, retry >= 0 and retry or nil)
  end
end

function told.auth(self, reason, properties)
  local on_auth = self._on_auth
  if reason ~= 0x18 or not on_auth then return end
  local data = on_auth(self, properties and properties.auth_data)
  return auth(self._raw, 0x18, data)
end

local function new_client(where, t)
  local ok, message, code = mqtt_options.read_tls(t)
  if not ok then return nil, message, code end
  local self = setmetatable({
    _address = t.path or ("%s:%d"):format(t.host, t.port), _tree = topics.new(), _by_id = {},
    _ids = {}, _last_id = 0, _version = t.version, _inbox = channel.new(limits.mqtt_inbox),
    _on_message = t.on_message, _on_connect = t.on_connect, _on_close = t.on_close,
    _on_auth = t.on_auth,
  }, meta)
  self._raw, message, code = raw.new(t, function(m) return deliver(self, m) end,
    function(what, ...) return told[what](self, ...) end)
  if not self._raw then
    if code == "EINVAL" then
      return misuse(where .. ": client_id, username, will or properties are not valid UTF-8, " ..
        "too long, or do not belong there")
    end
    return nil, ("%s: %s"):format(t.store or "mqtt", message), code
  end
  return self
end

local function connect(given)
  local t = mqtt_options.read("hv.mqtt.connect", given)
  local self, message, code = new_client("hv.mqtt.connect", t)
  if not self then return nil, message, code end
  local ok, reason, properties
  ok, message, code, reason, properties = open(self._raw)
  if ok then return self end
  drop(self._raw)
  self._inbox:close()
  message = message:gsub("^connect", "connect " .. self._address)
  return nil, message, code, reason, properties
end

--- Connects, and returns a client once the broker has said yes. A first attempt that fails ends it;
--- later the client comes back by itself.
---@async
---@param opts hv.MqttOptions|string options, or "mqtt://host:port"
---@return hv.MqttClient? client
---@return string? message
---@return hv.ErrCode? code ECONNREFUSED, ETIMEDOUT, EACCES (not authorized), ETLS ...
---@return integer? reason the broker's reason code, where it gave one
---@return hv.MqttProperties? properties of the refusal: server_reference, reason_string ...
M.connect = wait.both_forms(connect)

--- Returns a client at once, which connects, and tries again, as `reconnect` says; what is
--- published before is kept. on_connect and on_close tell how it goes.
---@param opts hv.MqttOptions|string
---@return hv.MqttClient? client
---@return string? message where the store cannot be read, or certificates
---@return hv.ErrCode? code
function M.client(opts)
  local t = mqtt_options.read("hv.mqtt.client", opts)
  local self, message, code = new_client("hv.mqtt.client", t)
  if not self then return nil, message, code end
  raw.methods.start(self._raw)
  return self
end

--- Publishes. Of QoS 0 it returns when the message is taken, and waits only while more is written
--- than the broker reads; of QoS 1 and 2 when the broker has acknowledged it. A time that has
--- passed ends the wait, not the message.
---@async
---@param topic string
---@param payload string
---@param opts? hv.MqttPublishOptions
---@return true? ok
---@return string|integer? message_or_reason of the acknowledgement
---@return hv.ErrCode? code ELIMIT (queue full), ETIMEDOUT, ECLOSED, EACCES, EPROTO ...
---@return integer? reason
function Client:publish(topic, payload, opts, ...)
  if type(opts) == "function" then return publish(self._raw, topic, payload, nil, opts) end
  return publish(self._raw, topic, payload, opts, ...)
end

local read_subscribe = options.reader("client:subscribe", {
  qos = { mqtt_options.in_range("qos", 0, 2), 0 }, no_local = { "boolean", false },
  retain_as_published = { "boolean", false },
  retain_handling = { mqtt_options.in_range("retain_handling", 0, 2), 0 },
  properties = { "table" }, timeout = { "ms", 60000 },
})

local function list_of(where, filter)
  local list = type(filter) == "table" and filter or { filter }
  if #list == 0 then
    return misuse(("%s: a filter or a list of filters expected, got %s"):format(where,
      type(filter) == "table" and "an empty table" or type(filter)))
  end
  for i = 1, #list do
    if type(list[i]) ~= "string" then
      return misuse(("%s: filter must be a string, got %s"):format(where, type(list[i])))
    end
  end
  return list
end

--- An identifier for a filter that has a function, where the broker takes them.
local function identify(self, filters, handler)
  if self._version < 5 or not handler then return 0 end
  local server = facts(self._raw).server
  if server and server.subscription_ids_available == false then return 0 end
  if not server and not facts(self._raw).connected then return 0 end
  self._last_id = self._last_id + 1
  for _, filter in ipairs(filters) do
    local old = self._ids[filter]
    if old then self._by_id[old] = nil end
    self._ids[filter] = self._last_id
  end
  self._by_id[self._last_id] = handler
  return self._last_id
end

local function forget(self, filter)
  topics.remove(self._tree, filter)
  local id = self._ids[filter]
  if not id then return end
  self._ids[filter] = nil
  for _, other in pairs(self._ids) do
    if other == id then return end
  end
  self._by_id[id] = nil
end

--- The answer to each filter: its granted QoS, or the first failure of all.
local function granted(self, filters, reasons)
  for i, filter in ipairs(filters) do
    local reason = reasons:byte(i)
    if reason >= 0x80 then
      forget(self, filter)
      return nil, ("subscribe %s: %s"):format(filter, raw.reason_text(reason)),
        reason == 0x87 and "EACCES" or reason == 0x97 and "ELIMIT" or "EPROTO", reason
    end
  end
  if #filters == 1 then return reasons:byte(1) end
  local all = {}
  for i, filter in ipairs(filters) do all[filter] = reasons:byte(i) end
  return all
end

local function subscribe(self, filter, opts, handler)
  local t = read_subscribe(opts or {})
  local filters = list_of("client:subscribe", filter)
  local bits = t.qos + (t.no_local and 4 or 0) + (t.retain_as_published and 8 or 0) +
    t.retain_handling * 16
  -- Set before the broker knows of it, since a retained message may come before the answer.
  local id = identify(self, filters, handler)
  if handler then
    for _, each in ipairs(filters) do topics.set(self._tree, each, handler) end
  end
  local ok, reasons, code, reason = call(self._raw, filters, bits, id, t.properties,
    t.timeout > 0 and t.timeout or -1, false)
  if ok then return granted(self, filters, reasons) end
  if code ~= "ETIMEDOUT" then
    for _, each in ipairs(filters) do forget(self, each) end
  end
  return nil, reasons, code, reason
end

local subscribe_in_both_forms = wait.both_forms(subscribe)

--- Subscribes to a filter, or a list of them, now and whenever the broker has lost the session.
--- With a function the messages are its; otherwise they are on_message's or messages()'s.
---@async
---@param filter string|string[]
---@param opts? hv.MqttSubscribeOptions
---@param handler? fun(message: hv.MqttMessage) runs as a task; one message after the other
---@param callback? fun(...) the callback form: called with the results
---@return integer|table<string, integer>? qos granted; of a list, by filter
---@return string? message
---@return hv.ErrCode? code EACCES, EPROTO, ELIMIT, ETIMEDOUT, ECLOSED
---@return integer? reason
function Client:subscribe(filter, opts, handler, callback)
  if type(opts) == "function" then opts, handler, callback = nil, opts, handler end
  if handler ~= nil and type(handler) ~= "function" then
    return misuse("client:subscribe: function expected, got " .. type(handler))
  end
  if callback ~= nil and type(callback) ~= "function" then
    return misuse("client:subscribe: the last function expected, got " .. type(callback))
  end
  if callback then return subscribe_in_both_forms(self, filter, opts, handler, callback) end
  return subscribe(self, filter, opts, handler)
end

local read_unsubscribe = options.reader("client:unsubscribe", {
  properties = { "table" }, timeout = { "ms", 60000 },
})

local function unsubscribe(self, filter, opts)
  local t = read_unsubscribe(opts or {})
  local filters = list_of("client:unsubscribe", filter)
  local ok, reasons, code, reason = call(self._raw, filters, 0, 0, t.properties,
    t.timeout > 0 and t.timeout or -1, true)
  if not ok then return nil, reasons, code, reason end
  for _, each in ipairs(filters) do forget(self, each) end
  for i = 1, #reasons do
    reason = reasons:byte(i)
    if reason >= 0x80 then
      return nil, "unsubscribe: " .. raw.reason_text(reason), "EPROTO", reason
    end
  end
  return true
end

local unsubscribe_in_both_forms = wait.both_forms(unsubscribe)

--- Ends subscriptions.
---@async
---@param filter string|string[]
---@param opts? { properties: hv.MqttProperties?, timeout: integer? }
---@return true? ok
---@return string? message
---@return hv.ErrCode? code
---@return integer? reason
function Client:unsubscribe(filter, opts, ...)
  if type(opts) == "function" then return unsubscribe_in_both_forms(self, filter, nil, opts) end
  return unsubscribe_in_both_forms(self, filter, opts, ...)
end

local function next_message(self) return (self._inbox:recv()) end

--- `for message in client:messages()`: those that no function is for, until the client is closed.
--- Up to hv.limits.mqtt_inbox of them wait to be taken; then the broker is slowed.
function Client:messages()
  return next_message, self
end

--- The next of them.
---@async
---@param timeout? integer milliseconds; none by default
---@return hv.MqttMessage? message
---@return string? text
---@return hv.ErrCode? code ECLOSED, ETIMEDOUT
Client.receive = wait.both_forms(function(self, timeout)
  options.check_ms("client:receive: timeout must be milliseconds", timeout)
  local message, text, code = self._inbox:recv(timeout)
  if message == nil then text = text:gsub("^channel:recv", "receive") end
  return message, text, code
end)

--- Between two attempts to connect nothing is told that could end messages().
local function ended(self, ...)
  if facts(self._raw).closed then self._inbox:close() end
  return ...
end

--- Ends the connection behind what is published, and the client with it; what was not acknowledged
--- stays in the store. Returns when the broker has been told.
---@async
---@param reason? integer 0 by default; 4: with the will (5)
---@param properties? hv.MqttProperties session_expiry, user, reason_string
---@return true? ok
---@return string? message
---@return hv.ErrCode? code
Client.disconnect = wait.both_forms(function(self, reason, properties)
  return ended(self, disconnect(self._raw, reason, properties, true))
end)

--- The same without waiting. May be called again.
function Client:close()
  disconnect(self._raw, nil, nil, false)
  return ended(self, true)
end

--- Drops the connection of the moment and makes a new one.
---@return true? ok
---@return string? message
---@return hv.ErrCode? code ECLOSED
function Client:reconnect() return raw.methods.reconnect(self._raw) end

--- Authenticates anew on the open connection (5 4.12.1); on_auth is asked what follows.
---@param data? string
---@return true? ok
---@return string? message
---@return hv.ErrCode? code ENOTCONN, EINVAL (no `auth` in the options)
function Client:reauthenticate(data)
  local ok, message, code = auth(self._raw, 0x19, data)
  if code == "EINVAL" then message = "reauthenticate: there was no `auth` in the options" end
  return ok, message, code
end

--- The client alone does not keep the program running any more.
---@return hv.MqttClient self
function Client:unref()
  raw.methods.unref(self._raw)
  return self
end

--- It does again.
---@return hv.MqttClient self
function Client:ref()
  raw.methods.ref(self._raw)
  return self
end

--- Whether the broker's CONNACK is the last that was heard.
function Client:is_connected() return facts(self._raw).connected end

--- { connected, closed, version, client_id, inflight, queued, queued_bytes, received,
--- store_dropped, server = properties of CONNACK }
---@return hv.MqttFacts
function Client:facts() return facts(self._raw) end

methods.guard(Client, "client", "hv.mqtt")

--- Whether a topic is one that a filter asks for.
---@param filter string
---@param topic string
---@return boolean
function M.matches(filter, topic) return raw.matches(filter, topic) end

--- Words for a reason code.
---@param reason integer
---@return string
function M.reason_text(reason) return raw.reason_text(reason) end

return M
