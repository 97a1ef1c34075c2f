--- mosquitto.lua - a broker of a spec's own: Debian's mosquitto on a free port of 127.0.0.1, with
--- its folder for what it keeps, that can be stopped, killed and started again on the same port.
---
---   local broker = require("mosquitto").start { persistence = true }
---   hv.mqtt.connect { port = broker.port }
---   broker:restart() broker:stop()
local helper = require "helper"
local hv = require "hv"

local Broker = {}
Broker.__index = Broker

local M = {}

local function config_of(self, opts)
  local lines = {
    "listener " .. self.port .. " 127.0.0.1",
    "allow_anonymous " .. (opts.password_file and "false" or "true"),
    "persistence " .. tostring(opts.persistence or false),
    "persistence_location " .. self.dir .. "/",
    "max_queued_messages 0", "set_tcp_nodelay true", "log_dest file " .. self.dir .. "/log",
    -- Without it a root mosquitto becomes a user that cannot write here.
    "user root",
  }
  for i, line in ipairs(opts.listeners or {}) do
    self.ports[i] = helper.free_port()
    lines[#lines + 1] = ("listener %d 127.0.0.1\n%s"):format(self.ports[i], line)
  end
  if self.path then lines[#lines + 1] = "listener 0 " .. self.path end
  for _, line in ipairs(opts.lines or {}) do lines[#lines + 1] = (line:gsub("@", self.dir)) end
  return table.concat(lines, "\n") .. "\n"
end

--- Waits until it accepts; returns whether it does.
local function await(self, address)
  address.timeout = 5000
  while true do
    local conn = hv.tcp.connect(address)
    if conn then
      conn:close()
      return true
    end
    if self.process:wait(5) then return false end
  end
end

function Broker:run()
  -- It ends with us, also where a spec fails.
  self.process = assert(hv.process.spawn { "setpriv", "--pdeathsig", "KILL", "mosquitto", "-c",
    self.dir .. "/conf", stdout = "null", stderr = "null" })
  if not await(self, { host = "127.0.0.1", port = self.port }) then return false end
  for _, port in ipairs(self.ports) do
    if not await(self, { host = "127.0.0.1", port = port }) then return false end
  end
  return not self.path or await(self, { path = self.path })
end

--- Starts one. opts: persistence, listeners (each the lines of one more; broker.ports has its
--- port), unix (a unix socket; broker.path), lines (of its configuration; "@" is its folder), files
--- (name -> text, into its folder), password_file.
function M.start(opts)
  opts = opts or {}
  local dir = os.tmpname()
  os.remove(dir)
  assert(hv.fs.mkdir(dir))
  for name, text in pairs(opts.files or {}) do assert(hv.fs.write(dir .. "/" .. name, text)) end
  -- Between choosing a port and listening somebody else may take it: then another one.
  for _ = 1, 20 do
    local self = setmetatable({ dir = dir, port = helper.free_port(), ports = {},
      path = opts.unix and dir .. "/socket" }, Broker)
    assert(hv.fs.write(dir .. "/conf", config_of(self, opts)))
    if self:run() then return self end
  end
  return error("mosquitto does not start: " .. (hv.fs.read(dir .. "/log") or ""))
end

--- Ends its process by a signal ("term": it saves what it keeps), and waits for the end.
function Broker:kill(signal)
  self.process:kill(signal or "term")
  self.process:wait()
end

--- The same, and starts it again on the same port.
function Broker:restart(signal)
  self:kill(signal)
  -- Another spec that looks for a free port may have this one for a moment.
  for _ = 1, 200 do
    if self:run() then return end
    hv.sleep(20)
  end
  error("mosquitto does not start again: " .. (hv.fs.read(self.dir .. "/log") or ""))
end

function Broker:stop()
  self:kill("kill")
  assert(hv.fs.remove(self.dir, { recursive = true }))
end

return M
