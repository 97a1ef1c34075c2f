-- wget.lua - saves what stands behind URLs: with a progress bar, again where it breaks off, from
-- where an earlier attempt has ended (-c), and in several ranges at once (-j).
--
--     hvlua wget.lua -c -j 4 http://127.0.0.1:8080/downloads/big.iso
--     hvlua wget.lua --help
--
-- While a file is not whole, FILE.wget stands beside it and says what it is to become: length and
-- validator, so that what is resumed is the same thing (If-Range, RFC 9110 section 13.1.5), and
-- which ranges are missing.
local hv = require "hv"
local tool = dofile((arg[0]:match("^(.*/)") or "") .. "tool.lua")

local OPTIONS = {
  { "h", "help", "flag", "Print this message." },
  { "V", "version", "flag", "Show version." },
  { "O", "output-document", "value", "Write to this file; - is stdout.", value = "file" },
  { "P", "directory-prefix", "value", "Write below this directory.", value = "dir" },
  { "c", "continue", "flag", "Go on where an earlier attempt has ended." },
  { "j", "jobs", "value", "So many ranges at once; 1.", value = "count" },
  { "t", "tries", "value", "So many attempts; 5, 0 for ever.", value = "count" },
  { nil, "wait-retry", "value", "Milliseconds before the second, doubled each time; 500.",
    value = "ms" },
  { "T", "timeout", "value", "Seconds without a byte; 60.", value = "seconds" },
  { "q", "quiet", "flag", "Print nothing." },
  { nil, "force-progress", "flag", "Show the bar also where stderr is no terminal." },
  { nil, "header", "list", "Add a header.", value = "name: value" },
  { "U", "user-agent", "value", "Call ourselves so.", value = "name" },
  { nil, "user", "value", "Sign in.", value = "name" },
  { nil, "password", "value", "With this password.", value = "word" },
  { nil, "proxy", "value", "http[s]://host:port or socks5://host:port.", value = "url" },
  { nil, "no-check-certificate", "flag", "Take any certificate." },
  { nil, "ca-certificate", "value", "Trust these roots (PEM).", value = "file" },
}

local opts, urls = tool.parse(arg, OPTIONS)
if opts.help then
  print("Usage: wget [options] url...\nOptions:")
  tool.print_options(OPTIONS)
  print("Exit status: 0; 1 other; 2 usage; 3 files; 4 network; 5 TLS; 6 signing in; 7 protocol;\n"
    .. "    8 an error status of the server.")
  return
end
if opts.version then return print("wget.lua of hvlua " .. hv.version) end
if #urls == 0 then tool.usage_error("no URL specified") end

local function number(name, default)
  if not opts[name] then return default end
  local value = tonumber(opts[name])
  if value and value >= 0 then return value end
  return tool.usage_error("--%s needs a number, got %q", name, opts[name])
end

local jobs, tries = math.max(1, number("jobs", 1)), number("tries", 5)
local wait_retry = number("wait-retry", 500)

local headers = hv.http.headers()
for _, line in ipairs(opts.header) do
  local name, value = line:match("^([^:%s]+):%s*(.-)%s*$")
  if not name then tool.usage_error("not a header: %q", line) end
  headers:add(name, value)
end

local client = assert(hv.http.client {
  headers = headers, user_agent = opts["user-agent"], proxy = opts.proxy or "env", cookies = true,
  tls = (opts["no-check-certificate"] or opts["ca-certificate"]) and
    { verify = not opts["no-check-certificate"], ca = opts["ca-certificate"] } or nil,
  auth = opts.user and { opts.user, opts.password or "" } or nil,
  -- What is stored is what was sent: ranges are of that, too.
  decompress = false,
})

local function say(format, ...)
  if not opts.quiet then io.stderr:write(format:format(...), "\n") end
end

--- A failure on its way: { status, message, and whether another attempt may help }.
local function failure(status, message, may_retry)
  return { status = status, message = message, may_retry = may_retry }
end

local network = { ELIMIT = 7, EPROTO = 7, ELOOP = 7, EINVAL = 2, ETLS = 5 }

local function of_network(message, code)
  local status = network[code] or 4
  return failure(status, message, status == 4)
end

local function of_status(reply)
  local status = reply.status
  local text = ("ERROR %d: %s"):format(status, reply.reason)
  if status == 401 or status == 403 or status == 407 then return failure(6, text) end
  return failure(8, text, status == 408 or status == 429 or status >= 500)
end

local function of_file(message) return failure(3, message) end

-- ---- Names, and what is known of an earlier attempt ----

local function name_of(url)
  if opts["output-document"] then return opts["output-document"] end
  local parts = hv.url.parse(url:find("://", 1, true) and url or "http://" .. url)
  local name = parts and hv.url.decode(parts.path:match("([^/]*)$")) or ""
  name = name:gsub("[%z\1-\31/]", "_"):gsub("^%.+", "_")
  if name == "" then name = "index.html" end
  return opts["directory-prefix"] and opts["directory-prefix"] .. "/" .. name or name
end

--- { url, length, validator, missing = { { first, last }, ... } }, or nil.
local function read_notes(path)
  local text = opts.continue and hv.fs.read(path .. ".wget", { max = "1M" })
  local ok, notes = pcall(hv.json.decode, text or "")
  if ok and type(notes) == "table" and type(notes.missing) == "table" then return notes end
end

local function write_notes(path, notes)
  return hv.fs.write(path .. ".wget", hv.json.encode(notes), { atomic = true })
end

local function validator_of(reply)
  local etag = reply:header("etag")
  -- A weak one may not stand in If-Range.
  if etag and etag:sub(1, 2) ~= "W/" then return etag end
  return reply:header("last-modified")
end

-- ---- Requests ----

local function ask(url, more)
  local t = { stream = true, idle_timeout = number("timeout", 60) * 1000,
    timeout = number("timeout", 60) * 1000 }
  for key, value in pairs(more or {}) do t[key] = value end
  local reply, message, code = client:get(url, t)
  if not reply then return nil, of_network(message, code) end
  return reply
end

local function ask_range(url, first, last, validator)
  local lines = { Range = ("bytes=%d-%s"):format(first, last and ("%d"):format(last) or "") }
  if validator then lines["If-Range"] = validator end
  return ask(url, { headers = lines })
end

--- The range that a 206 has: first, last, length of all of it or nil.
local function content_range(reply)
  local first, last, length = (reply:header("content-range") or "")
    :match("^bytes (%d+)%-(%d+)/([%d*]+)$")
  return tonumber(first), tonumber(last), tonumber(length)
end

--- Writes a body at an offset. `on_bytes(n)` is told of each piece. Returns true, or nil, failure.
local function copy(reply, file, offset, on_bytes)
  for chunk in reply:chunks() do
    local ok, message = file:write(chunk, offset)
    if not ok then
      reply:close()
      return nil, of_file(message)
    end
    if offset then offset = offset + #chunk end
    on_bytes(#chunk)
  end
  if reply.is_complete then return true end
  local _, message, code = reply:read()
  return nil, of_network(message, code)
end

-- ---- Downloads ----

--- One file on its way.
local Download = {}
Download.__index = Download

--- Notes are written every second, so that also a killed program leaves true ones behind.
function Download:note()
  local notes = self.notes
  if not notes.length or notes.length < 1048576 and jobs == 1 then return end
  self.noted_at = hv.now()
  write_notes(self.path, notes)
end

function Download:advance(bytes)
  self.bytes = self.bytes + bytes
  if hv.now() - (self.noted_at or 0) > 1000 then self:note() end
  if self.bar then self.bar:set(self.bytes) end
end

function Download:begin_bar()
  local wants_bar = not opts.quiet and (opts["force-progress"] or tool.is_terminal())
  if self.bar or not wants_bar then return end
  self.bar = tool.bar(self.path:match("[^/]*$"), self.notes.length, self.bytes)
end

--- Cuts what is missing into ranges for the jobs.
local function cut(missing, count)
  local ranges = {}
  for _, range in ipairs(missing) do
    local first, last = range[1], range[2]
    local size = math.ceil((last - first + 1) / count)
    while first <= last do
      ranges[#ranges + 1] = { first, math.min(last, first + size - 1) }
      first = first + size
    end
  end
  return ranges
end

--- Gets one range into the file; what has come is taken off the range even where it breaks off.
function Download:get_range(range)
  local reply, why = ask_range(self.url, range[1], range[2], self.notes.validator)
  if not reply then return nil, why end
  if reply.status ~= 206 then
    reply:close()
    if reply.status == 200 then return nil, failure(7, "the file has changed meanwhile") end
    return nil, of_status(reply)
  end
  local first, last, length = content_range(reply)
  if first ~= range[1] or last ~= range[2] or length and length ~= self.notes.length then
    reply:close()
    return nil, failure(7, "the server sent another range than was asked for")
  end
  return copy(reply, self.file, first, function(bytes)
    range[1] = range[1] + bytes
    self:advance(bytes)
  end)
end

--- Gets what is missing, several ranges at once.
function Download:get_missing()
  local ranges = cut(self.notes.missing, jobs)
  self.notes.missing = ranges
  self:note()
  local next_range, why = 0, nil
  local function work()
    while not why do
      next_range = next_range + 1
      local range = ranges[next_range]
      if not range then return end
      local ok, problem = self:get_range(range)
      if not ok then why = why or problem end
    end
  end
  hv.scope(function(s)
    for _ = 1, math.min(jobs, #ranges) do s:go(work) end
  end)
  local left = {}
  for _, range in ipairs(ranges) do
    if range[1] <= range[2] then left[#left + 1] = range end
  end
  self.notes.missing = left
  if why then return nil, why end
  return true
end

--- What the server says of the file, by its first byte or by all of it.
function Download:probe()
  local reply, why
  if jobs > 1 then
    reply, why = ask_range(self.url, 0, 0)
  else
    reply, why = ask(self.url)
  end
  if not reply then return nil, why end
  if reply.status == 416 then -- an empty file has no first byte
    reply:close()
    reply, why = ask(self.url)
    if not reply then return nil, why end
  end
  if not reply:ok() then
    reply:close()
    return nil, of_status(reply)
  end
  local _, _, length = content_range(reply)
  if reply.status == 200 then length = tonumber((reply:header("content-length"))) end
  local notes = { url = self.url, length = length, validator = validator_of(reply), missing = {} }
  if length and length > 0 then notes.missing = { { 0, length - 1 } } end
  return reply, notes
end

--- From the start, in one piece: the whole body is on its way already.
function Download:get_all(reply)
  self.bytes = 0
  self:note()
  self:begin_bar()
  local ok, why = copy(reply, self.file, 0, function(bytes)
    local range = self.notes.missing[1]
    if range then range[1] = range[1] + bytes end
    self:advance(bytes)
  end)
  if ok then self.notes.missing = {} end
  return ok, why
end

function Download:open(mode)
  local file, message = hv.fs.open(self.path, mode)
  if not file then return nil, of_file(message) end
  if self.file then self.file:close() end
  self.file = file
  return true
end

--- The bytes of a file without notes, as another program has left it.
local function size_of(path)
  local stat = hv.fs.stat(path)
  return stat and stat.type == "file" and stat.size or 0
end

--- Notes for such a file, if the server has more of it. Nothing tells that it is the same file.
function Download:adopt(size)
  local reply, why = ask_range(self.url, size)
  if not reply then return nil, why end
  reply:close()
  if reply.status == 416 then
    local length = tonumber((reply:header("content-range") or ""):match("^bytes %*/(%d+)$"))
    if length == size then return { length = size, missing = {} } end
    return false
  end
  local first, _, length = content_range(reply)
  if reply.status ~= 206 or first ~= size or not length then return false end
  return { url = self.url, length = length, validator = validator_of(reply),
    missing = { { size, length - 1 } } }
end

--- What is left of an earlier attempt. Returns whether there is something to go on with, or nil and
--- a failure.
function Download:resume()
  if not self.notes and opts.continue and not self.was_looked_at then
    self.was_looked_at = true
    self.notes = read_notes(self.path)
    local size = size_of(self.path)
    if not self.notes and size > 0 then
      local notes, why = self:adopt(size)
      if notes == nil then
        self.was_looked_at = false
        return nil, why
      end
      self.notes = notes or nil
    end
  end
  local notes = self.notes
  if not notes or not notes.length then return false end
  if #notes.missing > 0 and not notes.validator and not opts.continue then return false end
  local missing = 0
  for _, range in ipairs(notes.missing) do missing = missing + range[2] - range[1] + 1 end
  self.bytes = notes.length - missing
  return true
end

function Download:attempt()
  local goes_on, why = self:resume()
  if goes_on == nil then return nil, why end
  if goes_on then
    if #self.notes.missing == 0 then return true end
    local ok
    ok, why = self:open("r+")
    if not ok then return nil, why end
    self:begin_bar()
    ok, why = self:get_missing()
    if not ok and why.status == 7 then self.notes = nil end -- it is another file now
    return ok, why
  end
  local reply, notes = self:probe()
  if not reply then return nil, notes end
  self.notes = notes
  local ok
  ok, why = self:open("w")
  if not ok then
    reply:close()
    return nil, why
  end
  if reply.status == 200 then return self:get_all(reply) end
  reply:text()
  self.bytes = 0
  self:begin_bar()
  return self:get_missing()
end

function Download:finish()
  if self.bar then self.bar:finish() end
  if self.file then self.file:close() end
  hv.fs.remove(self.path .. ".wget")
  say("%s saved [%d]", self.path, self.bytes)
  return 0
end

--- Attempts until it is there, or may not be tried again. Returns an exit status.
function Download:run()
  local attempt = 0
  while true do
    attempt = attempt + 1
    local ok, why = self:attempt()
    if ok then return self:finish() end
    if self.notes and self.notes.length and #self.notes.missing > 0 then
      write_notes(self.path, self.notes)
    end
    local changed = why.status == 7 and not self.notes
    if not (why.may_retry or changed) or tries > 0 and attempt >= tries then
      if self.bar then self.bar:finish() end
      if self.file then self.file:close() end
      say("wget: %s", why.message)
      return why.status
    end
    say("wget: %s; trying again (%d)", why.message, attempt + 1)
    hv.sleep(wait_retry * 2 ^ math.min(attempt - 1, 6))
  end
end

--- Without a file: what comes is passed on.
local function to_stdout(url)
  local reply, why = ask(url)
  if reply and not reply:ok() then
    reply:close()
    why = of_status(reply)
    reply = nil
  end
  if reply then
    local ok, problem = copy(reply, {
      write = function(_, chunk) return io.stdout:write(chunk) end }, nil, function() end)
    if ok then return 0 end
    why = problem
  end
  say("wget: %s", why.message)
  return why.status
end

local current

--- What has come so far is not lost where the user gives up.
hv.on_signal("int", function()
  if current and current.notes and current.notes.length and #current.notes.missing > 0 then
    write_notes(current.path, current.notes)
  end
  io.stderr:write("\n")
  os.exit(130)
end)

local status = 0
for _, url in ipairs(urls) do
  local path = name_of(url)
  current = setmetatable({ url = url, path = path, bytes = 0 }, Download)
  local result = path == "-" and to_stdout(url) or current:run()
  if result ~= 0 then status = result end
end
client:close()
hv.stop(status)
