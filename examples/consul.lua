-- consul.lua - services that find each other by Consul's HTTP API: register, deregister, discover,
-- health, and watch, which waits for changes.
--
--     hvlua consul.lua register web 127.0.0.1 8080
--     hvlua consul.lua discover web
--     hvlua consul.lua health web
--     hvlua consul.lua deregister web-127.0.0.1-8080
--
-- A program has the same as functions: local consul = require "consul", for this file can be both.
-- Source: developer.hashicorp.com/consul/api-docs (agent/service, agent/check, catalog, health).
local hv = require "hv"

local Consul = {}
Consul.__index = Consul

-- Makes a client of an agent. `address` is "host:port"; options: token, timeout.
local function new(address, options)
  options = options or {}
  local client, message, code = hv.http.client {
    base_url = "http://" .. address .. "/v1/",
    headers = options.token and { ["X-Consul-Token"] = options.token } or nil,
    timeout = options.timeout or 5000,
  }
  if not client then return nil, message, code end
  return setmetatable({ http = client }, Consul)
end

-- What an agent says no to is nil, its words, and the status as the code.
local function checked(reply, message, code)
  if not reply then return nil, message, code end
  if reply.status >= 300 then
    return nil, ("%s: %d %s"):format(reply.url, reply.status, reply.body), tostring(reply.status)
  end
  return reply
end

function Consul:get(path, query, options)
  options = options or {}
  options.query = query
  local reply, message, code = checked(self.http:get(path, options))
  if not reply then return nil, message, code end
  local list
  list, message, code = reply:json()
  if not list then return nil, message, code end
  return list, reply
end

function Consul:put(path, query, body)
  local reply, message, code = checked(self.http:put(path, nil, { query = query, json = body }))
  return reply and true, message, code
end

-- Registers a service with the agent. `service`: name, address, port; id, tags, meta; and what
-- tells whether it is well: check = "tcp" (the agent connects), "http://..." (the agent asks), or
-- { ttl = "10s" } (it says so itself, see pass). Returns its id.
function Consul:register(service)
  local id = service.id
    or ("%s-%s-%d"):format(service.name, service.address, service.port)
  local check
  if service.check == "tcp" then
    check = { TCP = ("%s:%d"):format(service.address, service.port) }
  elseif type(service.check) == "string" then
    check = { HTTP = service.check }
  elseif service.check then
    check = { TTL = service.check.ttl }
  end
  if check and not check.TTL then check.Interval, check.Timeout = "10s", "2s" end
  if check then check.DeregisterCriticalServiceAfter = "1m" end
  local ok, message, code = self:put("agent/service/register",
    { ["replace-existing-checks"] = "true" },
    { ID = id, Name = service.name, Address = service.address, Port = service.port,
      Tags = service.tags, Meta = service.meta, Check = check })
  if not ok then return nil, message, code end
  return id
end

function Consul:deregister(id)
  return self:put("agent/service/deregister/" .. hv.url.encode(id))
end

-- Says that a service with a ttl is well.
function Consul:pass(id)
  return self:put("agent/check/pass/" .. hv.url.encode("service:" .. id))
end

-- All that are registered under a name, well or not: { { id, address, port, tags } ... }.
function Consul:discover(name)
  local list, message, code = self:get("catalog/service/" .. hv.url.encode(name))
  if not list then return nil, message, code end
  local services = {}
  for i, entry in ipairs(list) do
    -- A service without an address of its own is at that of its node.
    local address = entry.ServiceAddress ~= "" and entry.ServiceAddress or entry.Address
    services[i] = { id = entry.ServiceID, address = address, port = entry.ServicePort,
      tags = entry.ServiceTags }
  end
  return services
end

local worse = { passing = 1, warning = 2, critical = 3 }

-- The same with `status`: "passing", "warning" or "critical", the worst of its checks. With
-- `index` it waits until something differs from then, at most `wait` seconds. Returns the list and
-- an index.
function Consul:health(name, only_passing, index, wait)
  local list, reply, code = self:get("health/service/" .. hv.url.encode(name), {
    passing = only_passing and "true" or nil, index = index, wait = index and wait .. "s" or nil,
  }, { timeout = index and (wait + 5) * 1000 or nil })
  if not list then return nil, reply, code end
  local services = {}
  for i, entry in ipairs(list) do
    local status = "passing"
    for _, check in ipairs(entry.Checks) do
      if (worse[check.Status] or 3) > worse[status] then status = check.Status end
    end
    local service = entry.Service
    services[i] = { id = service.ID, port = service.Port, tags = service.Tags, status = status,
      address = service.Address ~= "" and service.Address or entry.Node.Address }
  end
  return services, reply.headers["x-consul-index"]
end

-- Calls fn(services) with those that are well, now and at each change, until it returns false.
function Consul:watch(name, fn, wait)
  local index
  while true do
    local services, next_index, code = self:health(name, true, index, wait or 60)
    if not services then return nil, next_index, code end
    if next_index ~= index and fn(services) == false then return true end
    -- An index that has gone back: the agent began anew, and so do we.
    local was, is = tonumber(index) or 0, tonumber(next_index)
    index = is and is >= was and next_index or nil
    if not is then hv.sleep(1000) end
  end
end

function Consul:close() self.http:close() end

-- Loaded by another program it is a module.
if not arg or not tostring(arg[0]):find("consul%.lua$") then return { new = new } end

-- ---- The program ----

local usage = [[
Usage: consul.lua [-a host:port] [-T token] command

  register NAME ADDRESS PORT [ID]   the agent looks by TCP whether it is well
  keep NAME ADDRESS PORT            registers, says that it is well, deregisters at Ctrl-C
  deregister ID
  discover NAME                     all of that name
  health NAME                       and how they are
  watch NAME                        those that are well, at each change
  -a host:port                      of the agent; 127.0.0.1:8500
  -T token                          for an agent that asks for one
  -h, --help                        this text
]]

local function print_services(services)
  for _, s in ipairs(services) do
    print(("%s %s:%d%s"):format(s.id, s.address, s.port, s.status and " " .. s.status or ""))
  end
end

local commands = {}

function commands.register(consul, name, address, port, id)
  local done, message = consul:register {
    name = name, address = address, port = tonumber(port), id = id, check = "tcp" }
  if done then print("registered " .. done) end
  return done, message
end

function commands.keep(consul, name, address, port)
  local id, message = consul:register {
    name = name, address = address, port = tonumber(port), check = { ttl = "10s" } }
  if not id then return nil, message end
  print("registered " .. id)
  local is_over = hv.channel(1)
  hv.on_signal("int", function() is_over:send(true) end)
  hv.on_signal("term", function() is_over:send(true) end)
  repeat
    local ok, why = consul:pass(id)
    if not ok then io.stderr:write(why, "\n") end
  until is_over:recv(3000)
  local ok
  ok, message = consul:deregister(id)
  if ok then print("deregistered " .. id) end
  return ok, message
end

function commands.deregister(consul, id)
  local ok, message = consul:deregister(id)
  if ok then print("deregistered " .. id) end
  return ok, message
end

function commands.discover(consul, name)
  local services, message = consul:discover(name)
  if services then print_services(services) end
  return services, message
end

function commands.health(consul, name)
  local services, message = consul:health(name)
  if services then print_services(services) end
  return services, message
end

function commands.watch(consul, name)
  return consul:watch(name, function(services)
    print(#services .. " well")
    print_services(services)
  end)
end

local wanted = { register = 3, keep = 3, deregister = 1, discover = 1, health = 1, watch = 1 }

local function main()
  local address, token, at = "127.0.0.1:8500", nil, 1
  while arg[at] and arg[at]:sub(1, 1) == "-" do
    if arg[at] == "-h" or arg[at] == "--help" then
      io.write(usage)
      return 0
    elseif arg[at] == "-a" and arg[at + 1] then
      address = arg[at + 1]
    elseif arg[at] == "-T" and arg[at + 1] then
      token = arg[at + 1]
    else
      io.stderr:write(usage)
      return 2
    end
    at = at + 2
  end
  local name = arg[at]
  local is_good = wanted[name] and #arg - at >= wanted[name]
  if not is_good or wanted[name] == 3 and not tonumber(arg[at + 3]) then
    io.stderr:write(usage)
    return 2
  end
  io.stdout:setvbuf("line")
  local consul = assert(new(address, { token = token }))
  local ok, message = commands[name](consul, unpack(arg, at + 1))
  consul:close()
  if ok then return 0 end
  io.stderr:write(message, "\n")
  return 1
end

local status = main()
if status ~= 0 then hv.stop(status) end
