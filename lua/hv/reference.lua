--- hv.reference - what the comments of lua/hv and the stubs of lua/meta say, as data: for the
--- prompt's `.help`, and for the reference that spec/docs/reference.lua writes. Private.
---
--- A comment that belongs to nothing known is an error, so that nothing documented can get lost on
--- the way. Files that call themselves private are left out.
local M = {}

--- Variables of lua/hv that hold the methods of a class, by file and name. Others have a comment
--- "---@class hv.Name" right above their `local`.
local owners = {
  ["channel Channel"] = "hv.Channel", ["fs File"] = "hv.File",
  ["http_headers Headers"] = "hv.HttpHeaders", ["http_request Request"] = "hv.HttpRequest",
  ["http_request facts"] = "hv.HttpRequest", ["http_response Response"] = "hv.HttpResponse",
  ["http_response Events"] = "hv.HttpEvents", ["http_router App"] = "hv.HttpApp",
  ["metrics Counter"] = "hv.Counter", ["metrics Gauge"] = "hv.Gauge",
  ["metrics Histogram"] = "hv.Histogram", ["process Process"] = "hv.Process",
  ["scope Scope"] = "hv.Scope", ["semaphore Semaphore"] = "hv.Semaphore",
  ["shared Dict"] = "hv.SharedDict", ["tcp Conn"] = "hv.Tcp",
  ["tcp_client Client"] = "hv.TcpClient",
}

--- Files whose functions stand in another module's section.
local homes = {
  task = "hv", timer = "hv", shutdown = "hv", scope = "hv", channel = "hv", semaphore = "hv",
  core = "hv", http_client = "hv.http", dashboard = "hv.metrics",
  ws_client = "hv.ws", http_middleware = "hv.http.middleware",
  http_access_log = "hv.http.middleware", http_address = "hv.http.middleware",
  http_content = "hv.http.middleware", http_guard = "hv.http.middleware",
}

--- What an object of a class is called in the text, where that is not the class's own name.
local nouns = {
  ["hv.Channel"] = "ch", ["hv.HttpApp"] = "app", ["hv.HttpEvents"] = "events",
  ["hv.HttpHeaders"] = "headers", ["hv.HttpRequest"] = "req", ["hv.HttpResponse"] = "res",
  ["hv.HttpServer"] = "server", ["hv.HttpClient"] = "client", ["hv.HttpReply"] = "reply",
  ["hv.HttpCookies"] = "jar", ["hv.SharedDict"] = "dict", ["hv.Tcp"] = "conn",
  ["hv.TcpClient"] = "client", ["hv.TcpServer"] = "server", ["hv.TlsContext"] = "context",
  ["hv.MqttClient"] = "client", ["hv.Redis"] = "r", ["hv.RedisCluster"] = "r",
  ["hv.RedisPipeline"] = "pipe", ["hv.RedisClusterPipeline"] = "pipe",
  ["hv.RedisSubscription"] = "subscription", ["hv.RedisScript"] = "script",
  ["hv.HttpForm"] = "form", ["hv.HttpPart"] = "part", ["hv.Udp"] = "sock",
  ["hv.WorkerChannel"] = "ch", ["hv.Ws"] = "ws", ["hv.WsClient"] = "client",
}

local Reader = {}
Reader.__index = Reader

function Reader:module_of(name)
  local module = self.modules[name]
  if not module then
    module = { name = name, functions = {}, classes = {}, seen = {} }
    self.modules[name] = module
  end
  return module
end

function Reader:class_of(name, home)
  local class = self.classes[name]
  if not class then
    class = { name = name, fields = {}, functions = {}, seen = {} }
    self.classes[name] = class
    if home then table.insert(home.classes, class) end
  end
  return class
end

-- ---- Reading ----

--- The facts of a comment: { text = lines, params =, returns =, fields =, class =, is_async = }. A
--- line far to the right, below a tag, goes on with what the tag says.
local function read_comment(lines)
  local doc = { text = {}, params = {}, returns = {}, fields = {} }
  local lists = { param = doc.params, ["return"] = doc.returns, field = doc.fields }
  local list
  for _, line in ipairs(lines) do
    local tag, rest = line:match("^@(%w+)%s*(.*)$")
    local more = not tag and list and line:match("^%s%s%s%s%s%s%s%s+(%S.*)$")
    list = more and list or lists[tag]
    if more then
      list[#list] = list[#list] .. " " .. more
    elseif not tag then
      if line ~= "" or #doc.text > 0 then doc.text[#doc.text + 1] = line end
    elseif tag == "param" then
      table.insert(doc.params, rest)
    elseif tag == "return" then
      table.insert(doc.returns, rest)
    elseif tag == "field" then
      table.insert(doc.fields, rest)
    elseif tag == "class" then
      doc.class, doc.parent = rest:match("^[%w_.]+"), rest:match("^[%w_.]+%s*:%s*([%w_.]+)")
    elseif tag == "async" then
      doc.is_async = true
    elseif tag == "meta" then
      doc.meta = rest
    end
  end
  return doc
end

--- What a line of code defines: the variable that holds it, ".", ":" or nil, name, parameters.
local function read_definition(line)
  local owner, dot, name, parameters = line:match("^function ([%w_]+)([.:])([%w_]+)(%b())")
  if owner then return owner, dot, name, parameters end
  owner, name = line:match("^([%w_]+)%.([%w_]+) = ")
  if not owner then
    name = line:match("^  ([%w_]+) = ")
    owner = name and "M"
  end
  if not owner then return nil end
  return owner, ".", name, line:match("function(%b())")
end

--- Notes a function of a module or class. Stubs are read before sources: where both describe one,
--- the source is right, because a stub may tell of the C function behind it; what the source leaves
--- out is taken from the stub if both have the same parameters.
local function add_function(place, doc, dot, name, parameters)
  if #doc.text + #doc.params + #doc.returns == 0 then return end
  local fn = place.seen[name]
  if not fn then
    fn = { name = name, dot = dot, parameters = parameters, doc = doc }
    place.seen[name] = fn
    table.insert(place.functions, fn)
  elseif #doc.text > 0 then
    local before = fn.doc
    if not parameters or parameters == fn.parameters then
      if #doc.params == 0 then doc.params = before.params end
      if #doc.returns == 0 then doc.returns = before.returns end
    end
    doc.is_async = doc.is_async or before.is_async
    fn.doc = doc
    fn.parameters = parameters or fn.parameters
  end
  if not fn.parameters then
    local names = {}
    for i, param in ipairs(fn.doc.params) do names[i] = param:match("^[%w_.]+") end
    fn.parameters = "(" .. table.concat(names, ", ") .. ")"
  end
end

--- The blocks of comments of a text, each with the line of code behind it.
local function blocks_of(text_of_file)
  local blocks, block = {}, nil
  for line in text_of_file:gmatch("([^\n]*)\n") do
    local text = line:match("^%s*%-%-%-%s?(.*)$")
    if text then
      block = block or {}
      block[#block + 1] = text
    else
      blocks[#blocks + 1] = { comment = block, code = line }
      block = nil
    end
  end
  return blocks
end

function Reader:read_source(file, source)
  local head_end = source:find("\n[^-]") or #source
  if not homes[file] and source:sub(1, head_end):find("Private", 1, true) then return end
  local blocks = blocks_of(source)
  local head = blocks[1] and blocks[1].comment
  local name = file == "init" and "hv" or homes[file] or "hv." .. file:gsub("^http_.*", "http")
  local module = self:module_of(name)
  if head and (not homes[file] and not file:find("^http_") or file == "http_middleware") then
    module.intro = read_comment(head).text
  end
  local variables = {}
  for i = 2, #blocks do
    local comment = blocks[i].comment
    local variable = blocks[i].code:match("^local ([%w_]+) = ")
    local class_name = comment and variable and read_comment(comment).class
    if class_name and class_name ~= name then variables[variable] = class_name end
    local owner, dot, noun, parameters
    if comment then owner, dot, noun, parameters = read_definition(blocks[i].code) end
    if owner and not noun:find("^_") then
      local doc = read_comment(comment)
      local class = variables[owner] or owners[file .. " " .. owner]
      if not class and owner ~= "M" and owner:find("^%u") then
        error(("lua/hv/%s.lua: %s.%s is documented, but of which class? Write ---@class above "
          .. "the local %s"):format(file, owner, noun, owner), 0)
      end
      if class then
        add_function(self:class_of(class, module), doc, ":", noun, parameters)
      elseif owner == "M" then
        add_function(module, doc, dot, noun, parameters)
      end
    end
  end
end

function Reader:read_stub(file, source)
  local module
  local variables, class = {}, nil
  for _, block in ipairs(blocks_of(source)) do
    local doc = block.comment and read_comment(block.comment)
    if doc and doc.meta then
      module = self:module_of(homes[file] or "hv." .. file:gsub("^core$", ""))
    end
    if doc and doc.class then
      class = doc.class
      if class ~= module.name then
        local place = self:class_of(class, module)
        place.text = #doc.text > 0 and doc.text or place.text
        place.parent = doc.parent or place.parent
        for _, field in ipairs(doc.fields) do table.insert(place.fields, field) end
      end
    end
    local variable = block.code:match("^local ([%w_]+) = {}")
    if variable then
      variables[variable] = class or module.name
      class = nil
    end
    local owner, dot, name, parameters = read_definition(block.code)
    if owner and doc and variables[owner] then
      local name_of = variables[owner]
      local place = name_of == module.name and module or self:class_of(name_of, module)
      add_function(place, doc, dot, name, parameters)
    end
  end
end

--- Whether `hv` has a module, which need not be loaded for it.
local function is_public(name)
  local names = getmetatable(require "hv").__names
  return name == "hv" or names[name:match("^hv%.(.*)")] ~= nil
end

--- Reads the comments of `files`, a list of { name = "tcp", text =, is_stub = }; the stubs first.
---@return table reference { modules = { [name] = module }, classes = { [name] = class } }; both
---  have `name`, `functions` and `text` or `intro`, a class has `fields`, `noun` and `parent`
function M.read(files)
  local reader = setmetatable({ modules = {}, classes = {} }, Reader)
  for _, file in ipairs(files) do
    if file.is_stub then
      reader:read_stub(file.name, file.text)
    else
      reader:read_source(file.name, file.text)
    end
  end
  for name, module in pairs(reader.modules) do
    local is_told = module.intro and is_public(name)
    local is_empty = #module.functions + #module.classes == 0
    if is_empty and not is_told then reader.modules[name] = nil end
  end
  for name, class in pairs(reader.classes) do
    class.noun = nouns[name] or name:match("[%w_]+$"):lower()
    for _, fn in ipairs(class.functions) do -- a source may write the object down as a parameter
      fn.parameters = fn.parameters:gsub("^%(self%f[,)],?%s*", "(")
        :gsub("^%(" .. class.noun .. "%f[,)],?%s*", "(")
    end
  end
  return reader
end

--- Parts a name, or a type with all that stands in its brackets, from what is said of it.
function M.split_entry(entry)
  local depth = 0
  for at = 1, #entry do
    local letter = entry:sub(at, at)
    if letter:find("[%(%[{<]") then
      depth = depth + 1
    elseif letter:find("[%)%]}>]") then
      depth = depth - 1
    elseif letter == " " and depth == 0 and not entry:find("^[:,]", at - 1) then
      return entry:sub(1, at - 1), entry:match("^%s*(.*)$", at)
    end
  end
  return entry, ""
end

--- What the program carries in itself, as M.read takes it.
function M.embedded()
  local embedded = require "_hv.embedded"
  local stubs, sources = {}, {}
  for _, name in ipairs(embedded.names()) do
    local stub = name:match("^hv%.meta%.(.*)$")
    local text = embedded.text(name)
    if stub then
      stubs[#stubs + 1] = { name = stub, text = text, is_stub = true }
    elseif text:find("^%-%-%- hv") then
      sources[#sources + 1] = { name = name:match("^hv%.(.*)$") or "init", text = text }
    end
  end
  for _, source in ipairs(sources) do stubs[#stubs + 1] = source end
  return stubs
end

--- The functions of a module that users can reach, in order.
function M.public_functions(module)
  local there, list = require "hv", {}
  for part in module.name:gmatch("%.([^.]+)") do there = there and there[part] end
  there = there or {}
  for _, fn in ipairs(module.functions) do
    if there[fn.name] ~= nil then list[#list + 1] = fn end
  end
  table.sort(list, function(a, b) return a.name < b.name end)
  return list
end

return M
