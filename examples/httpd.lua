-- httpd.lua - a whole web server: files, an API, an access log, a configuration, worker processes.
--
--     hvlua httpd.lua -c httpd.conf -s restart -d
--     hvlua httpd.lua --help
--
-- The options are hvlua's own, which stand before the script (hvlua -c httpd.conf -d httpd.lua);
-- given behind it, as above, they are put there.
local hv = require "hv"

local USAGE = [[
Usage: httpd [hvc:ts:dp:w:]
Options:

  -h|--help                 Print this information
  -v|--version              Print version
  -c|--confile <confile>    Set configure file, default etc/{program}.conf
  -t|--test                 Test configure file and exit
  -s|--signal <signal>      Send <signal> to process,
                            <signal>=[start,stop,restart,status,reload]
  -d|--daemon               Daemonize
  -p|--port <port>          Set listen port
  -w|--workers <count>      Set the number of worker processes, or auto]]

-- ---- Options behind the script ----

--- Puts this program in the place of this one, with the options before the script.
local function run_again(options)
  local ffi = require "ffi"
  ffi.cdef "int execv(const char *path, const char *const argv[]);"
  local words = { "hvlua" }
  for _, option in ipairs(options) do
    words[#words + 1] = option == "--test" and "--test-config" or option
  end
  words[#words + 1] = arg[0]
  io.stdout:flush()
  local argv = ffi.new("const char *[?]", #words + 1)
  for i, word in ipairs(words) do argv[i - 1] = word end
  ffi.C.execv("/proc/self/exe", argv)
  error("cannot run /proc/self/exe again: errno " .. ffi.errno())
end

for _, option in ipairs(arg) do
  if option == "-h" or option == "--help" then
    print(USAGE)
    return
  elseif option == "-v" or option == "--version" then
    print("httpd version " .. hv.version)
    return
  end
end
if arg[1] then run_again(arg) end

-- ---- Configuration ----

local config = hv.config
local root = config.document_root or "examples/html"
local uploads = config.upload_dir or "logs/uploads"
local mw = hv.http.middleware

local app = hv.http.app {
  max_body = config.max_body or "64M", server_name = "httpd/" .. hv.version,
}

if config.access_log then
  assert(hv.fs.mkdir(config.access_log:match("^(.*)/") or ".", { recursive = true }))
  app:use(mw.logger { file = config.access_log, format = config.access_log_format or "common" })
end

-- ---- The API ----

app:get("/ping", function() return "pong" end)

app:get("/data", function()
  return { body = "0123456789", headers = { ["Content-Type"] = "application/octet-stream" } }
end)

app:get("/paths", function() return { json = app:paths() } end)

app:get("/query", function(req) return { json = req.query } end)

app:any("/echo", function(req, res)
  res:send(assert(req:body()), req:header("content-type") or "text/plain")
end)

--- The fields of a body of any kind: a form, either way it is encoded, or JSON.
local function fields_of(req)
  if (req:header("content-type") or ""):find("json", 1, true) then return req:json() end
  return req:form()
end

local function answer_fields(req)
  local fields, message = fields_of(req)
  if fields == nil then return { status = 400, json = { code = 400, message = message } } end
  return { json = fields }
end

app:post("/kv", answer_fields)
app:post("/json", answer_fields)
app:post("/form", answer_fields)

--- Values have types in JSON, and are text in a form.
app:post("/test", function(req)
  local fields, message = fields_of(req)
  if type(fields) ~= "table" then
    return { status = 400, json = { code = 400, message = message or "no fields" } }
  end
  return { json = {
    bool = fields.bool == true or fields.bool == "1" or fields.bool == "true",
    int = tonumber(fields.int), float = tonumber(fields.float), string = fields.string,
  } }
end)

-- Files go to the disk piece by piece; only the last part of a name counts.
app:post("/upload", function(req)
  local form, message = req:multipart { max_file = config.max_body or "64M" }
  if not form then return { status = 400, json = { code = 400, message = message } } end
  assert(hv.fs.mkdir(uploads, { recursive = true }))
  local files = {}
  for part in form do
    local name = part.filename and part.filename:match("[^/\\]+$")
    if name and not name:find("^%.") then
      local path = uploads .. "/" .. name
      assert(part:save(path))
      files[#files + 1] = { name = name, size = hv.fs.stat(path).size }
    end
  end
  if #files == 0 then return { status = 400, json = { code = 400, message = "no file" } } end
  return { json = { files = files } }
end)

app:post("/login", function(req)
  local fields = fields_of(req)
  if type(fields) ~= "table" or not fields.username or not fields.password then
    return { status = 400, json = { code = 10001, message = "username and password, please" } }
  end
  if fields.username ~= "admin" or not hv.crypto.equal(tostring(fields.password), "123456") then
    return { status = 401, json = { code = 10002, message = "wrong name or password" } }
  end
  return { json = { token = hv.crypto.hex(hv.crypto.random(16)) } }
end)

app:delete("/group/:group_name/user/:user_id", function(req) return { json = req.params } end)

-- ---- Other servers, files, pages of errors ----

for prefix, url in pairs(config.proxy or {}) do app:proxy(prefix, url) end

app:static("/", root, {
  index = config.home_page or "index.html", listing = config.index_of ~= false,
})

app:error_page(function(status, req)
  local title = ("%d %s"):format(status, hv.http.status_text(status))
  if (req:header("accept") or ""):find("text/html", 1, true) then
    return ("<!DOCTYPE html>\n<title>%s</title>\n<center><h1>%s</h1></center>\n"):format(title,
      title)
  end
  return { status = status, text = title .. "\n" }
end)

assert(app:listen { port = hv.port or 8080 })

local https = config.https
if https then
  assert(app:listen { port = https.port or 8443,
    tls = { cert = https.certificate, key = https.key } })
end
