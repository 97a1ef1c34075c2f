--- reference.lua - writes the reference of the Lua API from the comments of lua/hv and lua/meta.
---
---   hvlua spec/docs/reference.lua [ROOT] > reference.md
---
--- One section a module: what its file says at the top, then its functions, then its classes with
--- their fields and methods. A comment that belongs to nothing known is an error, so that nothing
--- documented can get lost on the way. Files that call themselves private are left out, and so is
--- what `hv` and its modules do not have.
local hv = require "hv"

local root = (arg and arg[1] or ".") .. "/"

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
  ws_client = "hv.ws",
}

--- What an object of a class is called in the text, where that is not the class's own name.
local nouns = {
  ["hv.Channel"] = "ch", ["hv.HttpApp"] = "app", ["hv.HttpEvents"] = "events",
  ["hv.HttpHeaders"] = "headers", ["hv.HttpRequest"] = "req", ["hv.HttpResponse"] = "res",
  ["hv.HttpServer"] = "server", ["hv.HttpClient"] = "client", ["hv.HttpReply"] = "reply",
  ["hv.HttpCookies"] = "jar", ["hv.SharedDict"] = "dict", ["hv.Tcp"] = "conn",
  ["hv.TcpClient"] = "client", ["hv.TcpServer"] = "server", ["hv.TlsContext"] = "context",
  ["hv.Udp"] = "sock", ["hv.WorkerChannel"] = "ch", ["hv.Ws"] = "ws", ["hv.WsClient"] = "client",
}

local modules, classes = {}, {}

local function module_of(name)
  local module = modules[name]
  if not module then
    module = { name = name, functions = {}, classes = {}, seen = {} }
    modules[name] = module
  end
  return module
end

local function class_of(name, home)
  local class = classes[name]
  if not class then
    class = { name = name, fields = {}, functions = {}, seen = {} }
    classes[name] = class
    if home then table.insert(home.classes, class) end
  end
  return class
end

-- ---- Reading ----

local function files_of(folder)
  local list = {}
  local pipe = assert(io.popen(("cd '%s%s' && ls *.lua"):format(root, folder)))
  for name in pipe:lines() do list[#list + 1] = name:match("^(.*)%.lua$") end
  pipe:close()
  return list
end

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

--- The blocks of comments of a file, each with the line of code behind it.
local function blocks_of(path)
  local blocks, block = {}, nil
  for line in io.lines(path) do
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

local function read_source(file)
  local blocks = blocks_of(root .. "lua/hv/" .. file .. ".lua")
  local head = blocks[1] and blocks[1].comment
  local head_text = head and table.concat(head, " ") or ""
  if head_text:find("Private", 1, true) then return end
  local name = file == "init" and "hv" or homes[file] or "hv." .. file:gsub("^http_.*", "http")
  local module = module_of(name)
  if head and not homes[file] and not file:find("^http_") then
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
        add_function(class_of(class, module), doc, ":", noun, parameters)
      elseif owner == "M" then
        add_function(module, doc, dot, noun, parameters)
      end
    end
  end
end

local function read_stub(file)
  local module
  local variables, class = {}, nil
  for _, block in ipairs(blocks_of(root .. "lua/meta/" .. file .. ".lua")) do
    local doc = block.comment and read_comment(block.comment)
    if doc and doc.meta then
      module = module_of(homes[file] or "hv." .. file:gsub("^core$", ""))
    end
    if doc and doc.class then
      class = doc.class
      if class ~= module.name then
        local place = class_of(class, module)
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
      local place = variables[owner] == module.name and module or class_of(variables[owner], module)
      add_function(place, doc, dot, name, parameters)
    end
  end
end

-- ---- Writing ----

local out = {}
local function write(format, ...)
  out[#out + 1] = select("#", ...) > 0 and format:format(...) or format
end

--- Prose, with what is indented by two blanks as code.
local function write_text(lines)
  local is_code = false
  for _, line in ipairs(lines) do
    local code = line:match("^  (.*)$")
    if code and not is_code then write "```lua" end
    if is_code and not code and line ~= "" then write "```" end
    is_code = code ~= nil or is_code and line == ""
    write("%s", code or line)
  end
  if is_code then write "```" end
  write ""
end

--- Parts a name, or a type with all that stands in its brackets, from what is said of it.
local function split_entry(entry)
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

local function write_list(title, entries)
  if #entries == 0 then return end
  write("%s:", title)
  for _, entry in ipairs(entries) do
    local name, rest = split_entry(entry)
    write("- `%s` %s", name, (rest:gsub("|", "\\|")))
  end
  write ""
end

local function write_function(prefix, fn)
  local parameters = fn.parameters
  if fn.dot == ":" then -- where a source writes the object down as a parameter
    parameters = parameters:gsub("^%(self%f[,)],?%s*", "(")
      :gsub("^%(" .. prefix .. "%f[,)],?%s*", "(")
  end
  write("### `%s%s%s%s`%s", prefix, fn.dot, fn.name, parameters,
    fn.doc.is_async and " (waits)" or "")
  write ""
  write_text(fn.doc.text)
  write_list("Parameters", fn.doc.params)
  write_list("Returns", fn.doc.returns)
end

--- The functions that users can reach, in order.
local function public_functions(module)
  local there = module.name == "hv" and hv or hv[module.name:match("^hv%.(.*)")] or {}
  local list = {}
  for _, fn in ipairs(module.functions) do
    if there[fn.name] ~= nil then list[#list + 1] = fn end
  end
  table.sort(list, function(a, b) return a.name < b.name end)
  return list
end

local function by_name(a, b) return a.name < b.name end

local function write_module(module)
  write("# %s", module.name)
  write ""
  if module.intro then write_text(module.intro) end
  for _, fn in ipairs(public_functions(module)) do write_function(module.name, fn) end
  table.sort(module.classes, by_name)
  for _, class in ipairs(module.classes) do
    if #class.fields + #class.functions > 0 then
      write("## %s", class.name)
      write ""
      if class.text then write_text(class.text) end
      if class.parent then
        write("The fields of [%s](#%s), and more.", class.parent,
          (class.parent:lower():gsub("%.", "")))
        write ""
      end
      write_list("Fields", class.fields)
      table.sort(class.functions, by_name)
      local noun = nouns[class.name] or class.name:match("[%w_]+$"):lower()
      for _, fn in ipairs(class.functions) do write_function(noun, fn) end
    end
  end
end

for _, file in ipairs(files_of "lua/meta") do read_stub(file) end
for _, file in ipairs(files_of "lua/hv") do read_source(file) end

local names = {}
for name, module in pairs(modules) do
  if #module.functions + #module.classes > 0 then names[#names + 1] = name end
end
table.sort(names)
write "<!-- Made by spec/docs/reference.lua from lua/hv and lua/meta; changes here are lost. -->"
write "A call that waits has two forms: in a task it returns its results; with a trailing function"
write "it returns at once and calls the function with them. Failure is `nil, message, code`; misuse"
write "throws. Times are milliseconds, sizes bytes or text such as `\"64K\"`."
write ""
for _, name in ipairs(names) do write("- [%s](#%s)", name, (name:gsub("%.", ""))) end
write ""
for _, name in ipairs(names) do write_module(modules[name]) end
io.write(table.concat(out, "\n"), "\n")
