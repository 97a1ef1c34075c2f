--- certs.lua - a root, and certificates that it has signed, made by the openssl program in a folder
--- of their own. Everything is P-256, so making them takes no time.
---
---   local certs = require("certs").new()
---   local mine = certs:issue("localhost", "DNS:localhost,IP:127.0.0.1")  -- { cert=, key= }, paths
---   certs:remove()
local M = {}

local Certs = {}
local meta = { __index = Certs }

local function run(command, ...)
  local line = command:format(...)
  local pipe = assert(io.popen("(" .. line .. ") 2>&1; echo \"=$?\""))
  local output = pipe:read("*a")
  pipe:close()
  local text, status = output:match("^(.*)=(%d+)\n$")
  if status ~= "0" then error(("%s\n%s"):format(line, text), 2) end
  return text
end

function M.read(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read("*a")
  file:close()
  return text
end

function M.write(path, text)
  local file = assert(io.open(path, "wb"))
  file:write(text)
  file:close()
end

local NEW_KEY = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"

function M.new()
  local self = setmetatable({ dir = run("mktemp -d /tmp/hv_certs_XXXXXX"):match("%S+") }, meta)
  self.ca = self.dir .. "/root.pem"
  self.ca_key = self.dir .. "/root.key"
  run("openssl req -x509 %s -keyout %s -out %s -days 2 -subj /CN=root", NEW_KEY, self.ca_key,
    self.ca)
  return self
end

--- A certificate for a name. `alternative` are its other names, `options.days` how long it is valid
--- (negative: it was), `options.stem` another name for its files.
function Certs:issue(name, alternative, options)
  options = options or {}
  local stem = self.dir .. "/" .. (options.stem or name)
  local made = { cert = stem .. ".pem", key = stem .. ".key" }
  M.write(stem .. ".ext", "subjectAltName=" .. alternative .. "\n")
  run("openssl req -new %s -keyout %s -out %s.csr -subj /CN=%s", NEW_KEY, made.key, stem, name)
  run("openssl x509 -req -in %s.csr -CA %s -CAkey %s -CAcreateserial -days %d -extfile %s.ext " ..
    "-out %s", stem, self.ca, self.ca_key, options.days or 2, stem, made.cert)
  return made
end

function Certs:path(name) return self.dir .. "/" .. name end

function Certs:remove() run("rm -rf %s", self.dir) end

return M
