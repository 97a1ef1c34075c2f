--- The stubs of lua/meta against what is there: each function that they declare exists, and each
--- public function is declared there or documented where it stands in lua/hv.
local hv = require "hv"

local root = debug.getinfo(1, "S").source:match("^@(.*)spec/hv/") or ""
if root == "" then root = "./" end

local function lines_of(pattern)
  local pipe = assert(io.popen("ls " .. root .. pattern))
  local lines = {}
  for path in pipe:lines() do
    local before = ""
    for line in io.lines(path) do
      lines[#lines + 1] = { path = path, text = line, before = before }
      before = line
    end
  end
  pipe:close()
  assert.is_true(#lines > 0)
  return lines
end

--- The table of methods of a class of C: what __index is, or was before Lua took it over.
local function methods_of(name)
  for _, meta in pairs(debug.getregistry()) do
    if type(meta) == "table" and rawget(meta, "__name") == name then return meta.__index end
  end
end

--- A local of a module that one of its functions uses.
local function upvalue(fn, wanted)
  for i = 1, math.huge do
    local name, value = debug.getupvalue(fn, i)
    if name == wanted then return value end
    if name == nil then return nil end
  end
end

--- The modules whose names stand in hv, a line each.
local nouns = {
  "crypto",
  "dns",
  "err",
  "fs",
  "http",
  "limits",
  "log",
  "metrics",
  "mqtt",
  "process",
  "protobuf",
  "redis",
  "requests",
  "shared",
  "tcp",
  "tls",
  "udp",
  "unpack",
  "url",
  "worker",
  "ws",
}

--- What Lua adds to the classes is there once their modules are.
for _, noun in ipairs(nouns) do assert(hv[noun]) end
local http, tcp, fs = require "_hv.http", require "_hv.tcp", require "_hv.fs"

--- The methods of a kind of metric, those of its series and `with`.
local function metrics_of(kind)
  local methods = { with = hv.metrics[kind]("meta_spec_" .. kind, { labels = { "a" } }).with }
  local series = hv.metrics[kind]("meta_spec_" .. kind .. "_alone")
  for name, value in pairs(getmetatable(series).__index) do methods[name] = value end
  return methods
end

--- Where the functions of each class of the stubs are. A stub file whose functions belong to no
--- class is checked against the module that it is named after.
local places = {
  hv = hv,
  ["hv.log"] = hv.log, ["hv.http"] = hv.http,
  ["hv.Task"] = require("_hv.task").methods,
  ["hv.Scope"] = require("hv.scope").methods,
  ["hv.Timer"] = methods_of("hv.timer"), ["hv.Watcher"] = methods_of("hv.watcher"),
  ["hv.Tcp"] = tcp.methods, ["hv.TcpServer"] = tcp.server_methods,
  ["hv.Ws"] = require("_hv.ws").methods, ["hv.WsClient"] = require "hv.ws_client",
  ["hv.TcpClient"] = require "hv.tcp_client", ["hv.Udp"] = require("_hv.udp").methods,
  ["hv.HttpApp"] = getmetatable(hv.http.app()).__index,
  ["hv.HttpClient"] = require("hv.http_client").methods,
  ["hv.HttpReply"] = require("hv.http_reply").methods,
  ["hv.HttpCookies"] = require("hv.http_cookies").meta.__index,
  ["hv.HttpServer"] = methods_of("hv.http_server"),
  ["hv.HttpRequest"] = http.request_methods, ["hv.HttpResponse"] = http.response_methods,
  ["hv.HttpHeaders"] = upvalue(getmetatable(hv.http.headers()).__index, "Headers"),
  ["hv.HttpEvents"] = upvalue(http.response_methods.sse, "events_meta").__index,
  ["hv.File"] = fs.file_methods, ["hv.FsWatch"] = methods_of("hv.fs.watch"),
  ["hv.Process"] = require("_hv.process").methods,
  ["hv.Worker"] = require("_hv.worker").worker_methods,
  ["hv.WorkerChannel"] = require("_hv.worker").channel_methods,
  ["hv.TlsContext"] = getmetatable(assert(hv.tls.context {})).__index,
  ["hv.SharedDict"] = require("_hv.shared").methods,
  ["hv.ProtobufSchema"] = hv.protobuf.schema_methods,
  ["hv.Redis"] = require "hv.redis_client",
  ["hv.RedisPipeline"] = require("hv.redis_pipeline").methods,
  ["hv.RedisSubscription"] = require("hv.redis_pubsub").subscription_methods,
  ["hv.RedisScript"] = require("hv.redis_client").script_methods,
  ["hv.RedisLink"] = require("_hv.redis").link_methods,
  ["hv.RedisPipe"] = require("_hv.redis").pipe_methods,
  ["hv.Hash"] = getmetatable(hv.crypto.hash "md5").__index,
  ["hv.Counter"] = metrics_of "counter",
  ["hv.Gauge"] = metrics_of "gauge",
  ["hv.Histogram"] = metrics_of "histogram",
}

--- Functions that a module of lua/hv shows and nobody is to call: constructors, the checks of other
--- modules; and json, which is lua-cjson with a manual of its own.
local private = { ["hv.TcpClient.new"] = true, ["hv.WsClient.new"] = true,
  ["hv.Redis.new"] = true, ["hv.Redis.open"] = true,
  ["hv.Redis.index_of"] = true }

local function read_stubs()
  local declared = {}
  local module, class, classes
  for _, line in ipairs(lines_of("lua/meta/*.lua")) do
    local text = line.text
    if text:find("^%-%-%-@meta") then
      module, class, classes = text:match("@meta%s+(%S+)"), nil, {}
    end
    class = text:match("^%-%-%-@class ([%w_.]+)") or class
    local variable = text:match("^local (%w+) = {}")
    if variable then
      classes[variable] = class or module
      class = nil
    end
    local owner, name = text:match("^function (%w+)[.:]([%w_]+)%(")
    if owner then
      local of = classes[owner]
      declared[of] = declared[of] or {}
      declared[of][name] = true
    end
  end
  return declared
end

--- Names defined in lua/hv with a comment right above them.
local function read_sources()
  local documented = {}
  for _, line in ipairs(lines_of("lua/hv/*.lua")) do
    local name = line.text:match("^function %w+[.:]([%w_]+)%(")
      or line.text:match("^%w+%.([%w_]+) = ")
    if name and line.before:find("^%-%-%-") then documented[name] = true end
  end
  return documented
end

local function place_of(class)
  local place = places[class]
  if place then return place end
  local ok, module = pcall(require, class)
  return ok and type(module) == "table" and module or nil
end

describe("lua/meta", function()
  local declared = read_stubs()

  it("declares nothing that is not there", function()
    local wrong = {}
    for class, names in pairs(declared) do
      local place = place_of(class)
      for name in pairs(names) do
        if place and place[name] == nil then wrong[#wrong + 1] = class .. "." .. name end
      end
    end
    table.sort(wrong)
    assert.are.same({}, wrong)
  end)

  it("leaves out nothing that is not documented where it stands", function()
    local documented, missing = read_sources(), {}
    local function check(class, place)
      for name, value in pairs(place) do
        local key = class .. "." .. tostring(name)
        local is_public = type(value) == "function" and type(name) == "string"
          and not name:find("^_") and not private[key]
        -- A module may hand on what C gives; the core has all of its names in one stub.
        local stubs = declared[class] or declared["_" .. class]
        local is_told = stubs and stubs[name] or class ~= "hv" and documented[name]
        if is_public and not is_told then
          missing[#missing + 1] = key
        end
      end
    end
    for class, place in pairs(places) do check(class, place) end
    for _, noun in ipairs(nouns) do
      check("hv." .. noun, hv[noun])
    end
    table.sort(missing)
    assert.are.same({}, missing)
  end)

  it("has no class with functions that this spec does not know", function()
    for class in pairs(declared) do assert(place_of(class), class) end
  end)

  it("names every module of hv among the fields of hv", function()
    local fields = {}
    for _, line in ipairs(lines_of("lua/meta/core.lua")) do
      local name = line.text:match("^%-%-%-@field (%w+) ")
      if name then fields[name] = true end
    end
    for _, noun in ipairs(nouns) do
      assert.is_true(fields[noun], noun)
    end
  end)
end)
