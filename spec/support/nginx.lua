--- nginx.lua - an nginx of a spec's own: one process that listens on unix sockets in a scratch
--- folder, so that no two specs want the same port.
local hv = require "hv"

local Nginx = {}
Nginx.__index = Nginx

local M = {}

local CONF = [[
daemon off;
master_process off;
error_log %s/error.log warn;
pid %s/pid;
events { worker_connections 512; }
http {
    access_log off;
    client_body_temp_path %s/body;
    proxy_temp_path %s/proxy;
    fastcgi_temp_path %s/fastcgi;
    uwsgi_temp_path %s/uwsgi;
    scgi_temp_path %s/scgi;
    keepalive_requests 100000;
%s
}
]]

--- Starts nginx. `servers` is what stands inside its http block, where "@" is the scratch folder:
--- "server { listen unix:@/front; ... }". Returns when each socket that it names accepts.
function M.start(servers)
  local dir = assert(hv.fs.tmpdir and hv.fs.tmpdir() or os.tmpname())
  os.remove(dir)
  assert(hv.fs.mkdir(dir))
  local text = servers:gsub("@", dir)
  assert(hv.fs.write(dir .. "/conf", CONF:format(dir, dir, dir, dir, dir, dir, dir, text)))
  local process = assert(hv.process.spawn { "nginx", "-p", dir, "-c", dir .. "/conf", "-e",
    dir .. "/error.log" })
  local self = setmetatable({ dir = dir, process = process }, Nginx)
  for path in text:gmatch("listen unix:([^ ;]+)") do self:await(path) end
  return self
end

--- Waits until something accepts at the path; throws where nginx has ended before.
function Nginx:await(path)
  while true do
    local conn = hv.tcp.connect { path = path }
    if conn then return conn:close() end
    local status = self.process:wait(5)
    if status then
      error(("nginx ended with %s: %s"):format(status, hv.fs.read(self.dir .. "/error.log")))
    end
  end
end

--- What nginx has complained of.
function Nginx:errors() return assert(hv.fs.read(self.dir .. "/error.log")) end

function Nginx:stop()
  self.process:kill("quit")
  self.process:wait()
  assert(hv.fs.remove(self.dir, { recursive = true }))
end

return M
