-- layers.lua - who may look into which room.
--
--   luajit spec/lint/layers.lua [ROOT]
--
-- Reads the #include and require lines, and the few words that only one file may use, of runtime/,
-- bindings/, lua/hv/ and examples/. Prints one line a violation; exit status 1 if there is any.
-- Every rule here is broken on purpose in layers_cases.lua.

package.path = arg[0]:match("^.*/") .. "?.lua"
local tree = require "tree"

-- A room may include private headers of rooms on lower lines only.
local level = {
  base = 0,
  log = 1, poll = 1, frame = 1, crypto = 1, codec = 1, shm = 1, redis = 1,
  loop = 2,
  net = 3,
  http = 4, http2 = 4, ws = 4, mqtt = 4, proc = 4, fs = 4,
}
-- Neighbours that may see each other all the same.
local neighbours = { ws = { http = true }, http2 = { http = true } }

-- Who may include a library's or the kernel's header: patterns of the header, then of the paths.
local doors = {
  { "^lua%.h$", { "^bindings/" } },
  { "^lauxlib%.h$", { "^bindings/" } },
  { "^lualib%.h$", { "^bindings/" } },
  { "^luajit%.h$", { "^bindings/" } },
  { "^openssl/", { "^runtime/net/htls_%w+%.[ch]$", "^runtime/crypto/hcrypto%.c$" } },
  { "^histedit%.h$", { "^bindings/line_editor%.c$" } },
  { "^libpsl%.h$", { "^runtime/http/http_psl%.c$" } },
  { "^ares%.h$", { "^runtime/net/hdns_ares%.c$" } },
  { "^zlib%.h$", { "^runtime/codec/hcodec_zlib%.c$" } },
  { "^brotli/", { "^runtime/codec/hcodec_brotli%.c$" } },
  { "^nghttp2/", { "^runtime/http2/" } },
  { "^llhttp%.h$", { "^runtime/http/h1_parse%.c$", "^runtime/http/h1_reply%.c$" } },
  { "^ini%.h$", { "^runtime/proc/hini%.c$" } },
  { "^liburing%.h$", { "^runtime/poll/hpoll_uring%.c$" } },
  { "^sys/epoll%.h$", { "^runtime/poll/hpoll_epoll%.c$" } },
  { "^sys/event%.h$", { "^runtime/poll/hpoll_kqueue%.c$" } },
}

-- Words of C that only some files may use, comments and strings aside.
local words = {
  {
    what = "the system's allocator",
    names = { "malloc", "calloc", "realloc", "free", "strdup", "strndup", "asprintf", "vasprintf" },
    call = true,
    inside = { "^runtime/", "^bindings/" },
    only = { "^runtime/base/hmem%.c$" },
  },
  {
    what = "errno",
    names = { "errno" },
    inside = { "^runtime/" },
    only = {
      "^runtime/net/hsock%.c$", "^runtime/poll/", "^runtime/proc/", "^runtime/fs/",
      "^runtime/shm/hdict_map%.c$", "^runtime/mqtt/mqtt_log%.c$",
      -- The blocking helpers for programs report as the C library does.
      "^runtime/base/hbase%.c$", "^runtime/base/herr%.c$", "^runtime/base/hmutex%.c$",
      "^runtime/base/hproc%.c$", "^runtime/base/hsocket%.c$", "^runtime/base/hthread%.c$",
      "^runtime/include/hsocket%.h$",
      -- A log that cannot be written to says why.
      "^runtime/log/",
      -- eventfd, signalfd, and hloop_new, whose contract is to set it.
      "^runtime/loop/hloop%.c$", "^runtime/loop/hsignal%.c$", "^runtime/loop/hwake%.c$",
    },
  },
  {
    what = "a platform switch",
    names = { "__linux__", "__APPLE__", "_WIN32", "__FreeBSD__", "__OpenBSD__", "__NetBSD__" },
    inside = { "^runtime/" },
    only = { "^runtime/poll/", "^runtime/net/hsock%.c$", "^runtime/base/hclock%.c$" },
  },
}

-- Files that only turn bytes into facts and back: no loop, no sockets.
local pure = {
  "^runtime/frame/", "^runtime/http/h1_", "^runtime/http/hheaders", "^runtime/http/hurl",
  "^runtime/http/http_query", "^runtime/http/http_url", "^runtime/http/http_multipart",
  "^runtime/http/http_words",
  "^runtime/http/http_router",
  "^runtime/ws/ws_frame", "^runtime/ws/ws_utf8", "^runtime/ws/ws_handshake",
  "^runtime/mqtt/mqtt_packet", "^runtime/mqtt/mqtt_topic",
  "^runtime/net/hdns_packet", "^runtime/crypto/", "^runtime/codec/", "^runtime/redis/",
}
local impure_headers = {
  "^sys/socket%.h$", "^sys/epoll%.h$", "^sys/uio%.h$", "^poll%.h$", "^unistd%.h$", "^netdb%.h$",
  "^pthread%.h$", "^signal%.h$", "^fcntl%.h$", "^hloop%.h$", "^hio%.h$", "^htimer%.h$",
}

-- What a module of lua/hv may require beside hv.* and _hv.*.
local lua_builtins = {
  bit = true, ffi = true, jit = true, cjson = true, ["cjson.safe"] = true, ["table.new"] = true,
  ["table.clear"] = true, ["string.buffer"] = true, ["jit.opt"] = true, ["jit.util"] = true,
}

local list, read, report, matches = tree.list, tree.read, tree.report, tree.matches
local code_of, numbered_lines = tree.code_of, tree.numbered_lines

-- Where each header of the project lives: name -> { path, room }.
local headers = {}
for _, path in ipairs(list({ "runtime", "bindings" }, { "%.h$" })) do
  headers[path:match("[^/]+$")] = {
    path = path,
    -- The header of the embedding API is public, but not for the runtime, which does not know Lua.
    room = path:match("^runtime/([^/]+)/") or path:find("^bindings/include/") and "embedding"
      or "bindings",
  }
end

local function check_room_include(path, line, room, name)
  local target = headers[name]
  if not target or target.room == "include" or target.room == room then return end
  if room == "include" then
    report(path, line, "a public header includes the private %s", target.path)
  elseif target.room == "bindings" or target.room == "embedding" then
    report(path, line, "the runtime does not know Lua, but includes %s", target.path)
  elseif not level[room] then
    report(path, line, "room %s has no level in layers.lua", room)
  elseif level[room] <= (level[target.room] or math.huge)
    and not (neighbours[room] and neighbours[room][target.room]) then
    report(path, line, "room %s must not look into room %s (%s)", room, target.room, name)
  end
end

local function check_c_include(path, line, name)
  local room = path:match("^runtime/([^/]+)/")
  local target = headers[name] or headers[name:match("^hv/(.+)$") or ""]
  if room then
    check_room_include(path, line, room, name)
  elseif target and target.room ~= "include" and target.room ~= "embedding" then
    if path:find("^bindings/") then
      if target.room ~= "bindings" then
        report(path, line, "bindings use public headers only, not %s", target.path)
      end
    else
      report(path, line, "an example uses public headers only, not %s", target.path)
    end
  end
  for _, door in ipairs(doors) do
    if name:find(door[1]) and not matches(path, door[2]) then
      report(path, line, "%s may be included by %s only", name, table.concat(door[2], " "))
    end
  end
  if matches(path, pure) then
    if matches(name, impure_headers) then
      report(path, line, "a pure file must not include %s", name)
    elseif target and target.room ~= room and target.room ~= "include"
      and target.room ~= "base" then
      report(path, line, "a pure file may look into base only, not %s", target.path)
    end
  end
end

local function check_words(path, number, line)
  for _, rule in ipairs(words) do
    if matches(path, rule.inside) and not matches(path, rule.only) then
      for _, name in ipairs(rule.names) do
        local pattern = "%f[%w_%.>]" .. name .. "%f[^%w_]" .. (rule.call and "%s*%(" or "")
        if line:find(pattern) then report(path, number, "%s is used here: %s", rule.what, name) end
      end
    end
  end
end

-- A call through a member that holds a user's function: x->on_read(...), ev->cb(...). Outside the
-- dispatcher it stands inside HV_DISPATCH, which marks the loop as dispatching; calls of the
-- runtime's own functions, the loop's wake-up and a watched descriptor's owner, need no mark. The
-- master of worker processes has no loop that could be marked.
local function check_user_calls(path, number, line)
  if not path:find("^runtime/") or path == "runtime/loop/hdispatch.c" then return end
  if path == "runtime/proc/hmaster.c" then return end
  if line:find("HV_DISPATCH(", 1, true) or line:find("wake_watcher.node.ev.cb(", 1, true)
    or line:find("watch->on_ready(", 1, true) then
    return
  end
  for name in line:gmatch("[%.>]%s*([%w_]+)%s*%)?%s*%(") do
    if name == "cb" or name:find("^on_") or name:find("_cb$") then
      report(path, number, "a user's function is called outside HV_DISPATCH: %s", name)
    end
  end
end

local function check_c(path)
  local text = read(path)
  local code = code_of(text)
  local raw = {}
  for number, line in numbered_lines(text) do raw[number] = line end
  for number, line in numbered_lines(code) do
    if line:find("^%s*#%s*include") then
      local name = raw[number]:match("^%s*#%s*include%s*[<\"]([^>\"]+)[>\"]")
      if name then check_c_include(path, number, name) end
    else
      check_words(path, number, line)
      check_user_calls(path, number, line)
    end
  end
end

local function each_require(path, visit)
  for number, line in numbered_lines(read(path)) do
    if not line:find("^%s*%-%-") then
      for name in line:gmatch("%f[%w_]require%s*%(?%s*[\"']([%w_%.%-]+)[\"']") do
        visit(name, number, line:find("^%s") == nil)
      end
    end
  end
end

-- Modules that require each other while they load cannot be loaded at all; a require inside a
-- function is late and therefore free.
local function check_cycles(graph)
  local state = {}
  local function visit(name, trail)
    if state[name] == "done" or not graph[name] then return end
    if state[name] == "open" then
      report(graph[name].path, 1, "modules require each other: %s", trail .. " -> " .. name)
      return
    end
    state[name] = "open"
    for _, target in ipairs(graph[name]) do visit(target, trail .. " -> " .. name) end
    state[name] = "done"
  end
  local names = {}
  for name in pairs(graph) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do visit(name, "") end
end

local function check_lua()
  local graph = {}
  for _, path in ipairs(list({ "lua/hv" }, { "%.lua$" })) do
    local name = path:gsub("^lua/", ""):gsub("%.lua$", ""):gsub("/init$", ""):gsub("/", ".")
    local edges = { path = path }
    graph[name] = edges
    each_require(path, function(target, line, at_load)
      if not (target == "hv" or target:find("^hv%.") or target:find("^_hv%f[^%w_]")
        or lua_builtins[target]) then
        report(path, line, "lua/hv requires hv.* and _hv.* only, not %s", target)
      end
      if at_load then edges[#edges + 1] = target end
    end)
  end
  check_cycles(graph)
  for _, path in ipairs(list({ "examples" }, { "%.lua$" })) do
    each_require(path, function(target, line)
      if target:find("^_hv%f[^%w_]") then
        report(path, line, "an example requires public modules only, not %s", target)
      end
    end)
  end
end

local sources = tree.sources({ "runtime", "bindings", "examples" }, { "%.[ch]$" })
for _, path in ipairs(sources) do check_c(path) end
check_lua()
tree.finish(#sources .. " C files keep to their rooms")
