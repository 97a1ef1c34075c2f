--- consul_agent.lua - as much of a Consul agent as speaks its documented API about services: the
--- paths, methods, queries, bodies and headers of developer.hashicorp.com/consul/api-docs. What it
--- checks it really checks: it connects (TCP), asks (HTTP), or counts the time (TTL).
local hv = require "hv"
local json = require "hv.json"

local M = {}

local function milliseconds(text)
  local number, unit = tostring(text):match("^(%d+)(%a+)$")
  return tonumber(number) * ({ ms = 1, s = 1000, m = 60000 })[unit]
end

local function status_of(service)
  local check = service.Check
  if not check then return "passing" end
  if check.TTL then
    return hv.now() - service.passed_at <= milliseconds(check.TTL) and "passing" or "critical"
  elseif check.TCP then
    local conn = hv.tcp.connect(check.TCP)
    if conn then conn:close() end
    return conn and "passing" or "critical"
  end
  local reply = hv.http.get(check.HTTP)
  return reply and reply.status < 300 and "passing" or "critical"
end

--- Starts an agent. `token`: what it asks for.
function M.start(token)
  local self = { services = {}, order = {}, index = 7, refused = 0 }
  local app = hv.http.app()

  local function changed() self.index = self.index + 1 end

  local function each_of(name)
    local at = 0
    return function()
      repeat
        at = at + 1
        local service = self.services[self.order[at]]
        if service and service.Name == name then return service end
      until not self.order[at]
    end
  end

  --- Empty lists are [] in JSON.
  local function list(items)
    return #items == 0 and "[]" or json.encode(items)
  end

  local function send(res, items)
    res:header("X-Consul-Index", tostring(self.index))
    res:send(list(items), "application/json")
  end

  app:use(function(req, res, next)
    if token and req:header("x-consul-token") ~= token then
      self.refused = self.refused + 1
      res.status = 403
      return res:send("Permission denied: token with AccessorID 'x' lacks permission")
    end
    return next()
  end)

  app:put("/v1/agent/service/register", function(req, res)
    local service = req:json()
    if type(service.Name) ~= "string" or type(service.Port) ~= "number" then
      res.status = 400
      return res:send("Missing service name")
    end
    service.ID = service.ID or service.Name
    service.passed_at = -1e9 -- a TTL check begins critical
    if not self.services[service.ID] then table.insert(self.order, service.ID) end
    self.services[service.ID] = service
    changed()
    res:send("")
  end)

  app:put("/v1/agent/service/deregister/:id", function(req, res)
    local id = req.params.id
    if not self.services[id] then
      res.status = 404
      return res:send(('Unknown service ID "%s". Ensure that the service ID is passed, not the '
        .. "service name."):format(id))
    end
    self.services[id] = nil
    for i, other in ipairs(self.order) do
      if other == id then table.remove(self.order, i) end
    end
    changed()
    res:send("")
  end)

  app:put("/v1/agent/check/pass/:id", function(req, res)
    local service = self.services[req.params.id:match("^service:(.*)$") or ""]
    if not service then
      res.status = 404
      return res:send("Unknown check ID")
    end
    service.passed_at = hv.now()
    changed()
    res:send("")
  end)

  app:get("/v1/catalog/service/:name", function(req, res)
    local items = {}
    for service in each_of(req.params.name) do
      items[#items + 1] = { Node = "here", Address = "127.0.0.1", ServiceID = service.ID,
        ServiceName = service.Name, ServiceAddress = service.Address or "",
        ServicePort = service.Port, ServiceTags = service.Tags or json.null }
    end
    send(res, items)
  end)

  app:get("/v1/health/service/:name", function(req, res)
    local from = tonumber(req.query.index)
    if from then
      local deadline = hv.now() + milliseconds(req.query.wait or "5m")
      while self.index == from and hv.now() < deadline and not self.is_over do hv.sleep(2) end
    end
    local items = {}
    for service in each_of(req.params.name) do
      local status = status_of(service)
      if status == "passing" or req.query.passing == nil then
        items[#items + 1] = {
          Node = { Node = "here", Address = "127.0.0.1" },
          Service = { ID = service.ID, Service = service.Name, Address = service.Address or "",
            Port = service.Port, Tags = service.Tags or json.null },
          Checks = { { CheckID = "serfHealth", Status = "passing" },
            { CheckID = "service:" .. service.ID, Status = status } },
        }
      end
    end
    send(res, items)
  end)

  self.server = assert(app:listen { host = "127.0.0.1", port = 0 })
  self.address = "127.0.0.1:" .. self.server:port()
  function self.close()
    self.is_over = true
    self.server:close()
  end
  return self
end

return M
