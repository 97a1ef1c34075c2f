-- chat_cluster.lua - a chat on as many hosts as you like, whose rooms are one through Redis.
--
--     hvlua chat_cluster.lua 8081 127.0.0.1:6379 a
--     hvlua chat_cluster.lua 8082 127.0.0.1:6379 b      # and so on; any of them is as good
--     hvlua chat_cluster.lua --haproxy 8080 8081 8082 8083 >haproxy.cfg
--
-- A browser opens http://127.0.0.1:8081/#room. Other clients open ws://HOST/chat/ROOM?name=NAME,
-- send {"text":"hello","ref":1}, and get {"id":"...","from":"NAME","text":"hello","ref":1,
-- "host":"a"}: ids grow, the same on all hosts. One that has lost its connection comes back, to any
-- host, with ?after=ID and gets what it has missed.
--
-- How it works. A message is appended to the room's stream and published, in one script of Redis,
-- so that all hosts see all messages in one order. A host subscribes to the rooms of its members.
-- What it misses while Redis is away, and what a member misses while it is away, is read from the
-- stream.
local hv = require "hv"
local json = require "hv.json"

local usage = [[
Usage: chat_cluster.lua port redis [name]
       chat_cluster.lua --haproxy port host-port...

  port           to listen on; 0: any
  redis          "host:port" or "redis://..."
  name           of this host, for those who look; "host"
  --haproxy      prints a configuration of HAProxy for hosts on these ports
  -h, --help     this text
]]

local HISTORY = 1000 -- messages that a room keeps
local RECENT = 200 -- of them in the memory of a host
local TEXT_MAX = 4000

-- ---- Ids of streams: "milliseconds-number" ----

local function is_later(a, b)
  if not b then return true end
  local a_ms, a_number = a:match("^(%d+)%-(%d+)$")
  local b_ms, b_number = b:match("^(%d+)%-(%d+)$")
  if a_ms ~= b_ms then return tonumber(a_ms) > tonumber(b_ms) end
  return tonumber(a_number) > tonumber(b_number)
end

local function is_id(text) return type(text) == "string" and text:find("^%d+%-%d+$") ~= nil end

-- ---- Rooms ----

-- name -> { name, key, members, last_id, recent = { { id, text } ... }, subscription, ready }
local rooms = {}
local app = hv.http.app()
local redis, say_script

-- A message for the room's members here; what was seen before is left out.
local function deliver(room, id, text)
  if not is_later(id, room.last_id) then return end
  room.last_id = id
  table.insert(room.recent, { id, text })
  if #room.recent > RECENT then table.remove(room.recent, 1) end
  app:publish("room:" .. room.name, '{"id":"' .. id .. '",' .. text:sub(2))
end

-- Entries of a stream behind an id: { { id, text }, ... }.
local function read_stream(room, after)
  local entries, message = redis:xrange(room.key, after and "(" .. after or "-", "+")
  if not entries then return nil, message end
  local list = {}
  for i, entry in ipairs(entries) do list[i] = { entry[1], entry[2][2] } end
  return list
end

-- Reads what came while nobody told us, and then what did come meanwhile.
local function fill(room)
  local held = room.held or {}
  room.held = held
  local list, message = read_stream(room, room.last_id)
  if room.held ~= held then return nil, "somebody else fills it" end
  room.held = nil
  for _, entry in ipairs(list or {}) do deliver(room, entry[1], entry[2]) end
  for _, entry in ipairs(held) do deliver(room, entry[1], entry[2]) end
  return list and true, message
end

-- Makes a room ready, once for all who wait for it: true, or nil and why not.
local function open_room(name)
  local room = rooms[name]
  if not room then
    room = { name = name, key = "chat:" .. name, members = 0, recent = {}, held = {} }
    rooms[name] = room
    room.opening = hv.go(function()
      local sub, message = redis:subscribe(room.key, function(payload)
        local id, text = payload:match("^(%S+) (.*)$")
        if room.held then
          table.insert(room.held, { id, text })
        else
          deliver(room, id, text)
        end
      end)
      room.subscription = sub
      if not sub then return nil, message end
      -- Members ask for the past themselves; here it is where the present begins.
      local last
      last, message = redis:xrevrange(room.key, "+", "-", "COUNT", 1)
      if not last then return nil, message end
      if last[1] then room.last_id = last[1][1] end
      return fill(room)
    end)
  end
  local ok, message = room.opening:join()
  if ok then return room end
  if rooms[name] == room then rooms[name] = nil end
  if room.subscription then room.subscription:close() end
  return nil, message
end

local function leave(room)
  room.members = room.members - 1
  if room.members > 0 or rooms[room.name] ~= room then return end
  rooms[room.name] = nil
  room.subscription:close()
end

-- After Redis was away: the subscriptions are back, the gap is filled.
local function on_redis()
  for _, room in pairs(rooms) do
    if room.subscription then
      room.held = room.held or {}
      hv.go(fill, room)
    end
  end
end

-- ---- Members ----

local host_name

-- Sends a new member what it has missed, then what the room says from now on.
local function welcome(ws, room, after)
  ws:send(json.encode { hello = ws.data.name, host = host_name })
  local last = after
  while true do
    local list, message = read_stream(room, last)
    if not list then return nil, message end
    local first = last and 1 or math.max(1, #list - 49) -- a new one gets the last 50
    for i = first, #list do ws:send('{"id":"' .. list[i][1] .. '",' .. list[i][2]:sub(2)) end
    if #list > 0 then last = list[#list][1] end
    -- While the stream was read the room went on; what it has said since lies in its memory, unless
    -- that was too much.
    local oldest = room.recent[1]
    local is_all = not oldest or not last or not is_later(oldest[1], last)
    if is_all or #room.recent < RECENT then break end
  end
  for _, entry in ipairs(room.recent) do
    if is_later(entry[1], last) then ws:send('{"id":"' .. entry[1] .. '",' .. entry[2]:sub(2)) end
  end
  return ws:subscribe("room:" .. room.name)
end

local function on_open(ws, req)
  local name = req.query.name or "guest"
  local after = is_id(req.query.after) and req.query.after or nil
  ws.data = { name = name:sub(1, 64) }
  local room, message = open_room(req.params.room)
  if not room then return ws:close(1013, ("try again later: " .. message):sub(1, 120)) end
  if not ws.is_open then return end
  room.members = room.members + 1
  ws.data.room = room
  local ok
  ok, message = welcome(ws, room, after)
  if not ok then ws:close(1013, ("try again later: " .. message):sub(1, 120)) end
end

local function on_message(ws, data)
  local room = ws.data and ws.data.room
  local ok, said = pcall(json.decode, data)
  if not room or not ok or type(said) ~= "table" or type(said.text) ~= "string" then
    return ws:send '{"error":"{\\"text\\":\\"...\\"} expected"}'
  elseif #said.text > TEXT_MAX then
    return ws:send '{"error":"too long"}'
  end
  local id, message = say_script:run(room.key, json.encode {
    from = ws.data.name, text = said.text, ref = said.ref, host = host_name })
  -- A message that may not have been taken is the sender's again.
  if not id then ws:send(json.encode { error = message, ref = said.ref }) end
end

local function on_close(ws)
  local room = ws.data and ws.data.room
  if room then leave(room) end
end

-- ---- The server ----

local page = [[
<!DOCTYPE html><meta charset="utf-8"><title>Chat</title>
<style>body{font:16px sans-serif;max-width:40em;margin:2em auto}li{list-style:none}
li i{color:#999;font-size:smaller}input{font:inherit;width:100%}</style>
<h1 id="title"></h1><ul id="said"></ul><form id="form"><input id="text" autofocus></form>
<script>
var room = location.hash.slice(1) || 'lobby', name = prompt('Your name?') || 'guest', after, socket;
title.textContent = room;
function open() {
  var url = location.origin.replace(/^http/, 'ws') + '/chat/' + encodeURIComponent(room) +
    '?name=' + encodeURIComponent(name) + (after ? '&after=' + after : '');
  socket = new WebSocket(url);
  socket.onmessage = function (event) {
    var m = JSON.parse(event.data), line = document.createElement('li'),
      host = document.createElement('i');
    if (m.id) after = m.id;
    line.textContent = m.text ? m.from + ': ' + m.text + ' ' : m.error || 'connected to ';
    host.textContent = m.host || '';
    line.appendChild(host);
    said.appendChild(line);
  };
  socket.onclose = function () { setTimeout(open, 500 + Math.random() * 1000); };
}
form.onsubmit = function (event) {
  event.preventDefault();
  socket.send(JSON.stringify({ text: text.value }));
  text.value = '';
};
open();
</script>
]]

local function serve(port, address)
  local message
  redis, message = hv.redis.connect(type(address) == "string" and address:find("://", 1, true)
    and { url = address, on_connect = on_redis }
    or { host = address:match("^(.*):"), port = tonumber(address:match(":(%d+)$")),
      on_connect = on_redis })
  if not redis then
    io.stderr:write(message, "\n")
    return 1
  end
  say_script = redis:script(([[
    local id = redis.call('XADD', KEYS[1], 'MAXLEN', '~', %d, '*', 'm', ARGV[1])
    redis.call('PUBLISH', KEYS[1], id .. ' ' .. ARGV[1])
    return id
  ]]):format(HISTORY))

  app:get("/", function() return { html = page } end)
  -- For HAProxy: a host that has lost Redis is no good to anybody.
  app:get("/health", function() return redis:is_open() and 200 or 503 end)
  app:ws("/chat/:room", { on_open = on_open, on_message = on_message, on_close = on_close })
  local server
  server, message = app:listen { port = port }
  if not server then
    io.stderr:write(message, "\n")
    return 1
  end
  hv.on_shutdown(function() redis:close() end)
  hv.on_signal("term", function() hv.shutdown { grace = 2000 } end)
  hv.on_signal("int", function() hv.shutdown { grace = 2000 } end)
  io.stdout:setvbuf("line")
  print("listening on " .. server:port())
  return 0
end

-- A configuration of HAProxy: each new connection to the host with the fewest, none to one that
-- does not answer /health; a WebSocket stays where it is.
local function haproxy(port, ports)
  local lines = {}
  for i, host_port in ipairs(ports) do
    lines[i] = ("    server host%d 127.0.0.1:%s check inter 250ms fall 2 rise 1"):format(i,
      host_port)
  end
  return ([[
defaults
    mode http
    timeout connect 2s
    timeout client 60s
    timeout server 60s
    timeout tunnel 1h
    timeout check 2s
    retries 3
    option redispatch

frontend chat
    bind 127.0.0.1:%s
    default_backend hosts

backend hosts
    balance leastconn
    option httpchk GET /health
%s
]]):format(port, table.concat(lines, "\n"))
end

local function main()
  if arg[1] == "-h" or arg[1] == "--help" then
    io.write(usage)
    return 0
  elseif arg[1] == "--haproxy" and tonumber(arg[2]) and tonumber(arg[3]) then
    io.write(haproxy(arg[2], { unpack(arg, 3) }))
    return 0
  end
  local port = tonumber(arg[1])
  if not port or not arg[2] or not arg[2]:find(":%d+") then
    io.stderr:write(usage)
    return 2
  end
  host_name = arg[3] or "host"
  return serve(port, arg[2])
end

local status = main()
if status ~= 0 then hv.stop(status) end
