-- curl.lua - asks a URL, with the options of the program of that name that are needed most.
--
--     hvlua curl.lua -v localhost:8080/echo -d 'hello,world!'
--     hvlua curl.lua --help
local hv = require "hv"
local tool = dofile((arg[0]:match("^(.*/)") or "") .. "tool.lua")

local OPTIONS = {
  { "h", "help", "flag", "Print this message." },
  { "V", "version", "flag", "Show version." },
  { "v", "verbose", "flag", "Show what is sent and what comes, on stderr." },
  { "X", "method", "value", "Set http method.", value = "method", aliases = { "--request" } },
  { "H", "header", "list", 'Add http headers, -H "Content-Type:application/json Accept:*/*"',
    value = "header" },
  { "d", "data", "list", "Set http body, or @file; several are joined by &.", value = "data",
    aliases = { "--data-ascii", "--data-binary", "--data-raw" } },
  { nil, "json", "value", "The same as application/json.", value = "json" },
  { "F", "form", "list", 'Set http form, -F "name1=content;name2=@filename"', value = "form" },
  { "T", "upload-file", "value", "Send a file by PUT.", value = "file" },
  { "G", "get", "flag", "Put the data of -d into the URL." },
  { "n", "count", "value", "Send request count, used for test keep-alive.", value = "count" },
  { nil, "http2", "flag", "Use http2 where an https server offers it, as is done anyway." },
  { nil, "http2-prior-knowledge", "flag", "Use http2 in any case, also without TLS." },
  { nil, "http1.1", "flag", "Use HTTP/1.1 in any case." },
  { "o", "output", "value", "Write the body to a file.", value = "file" },
  { "O", "remote-name", "flag", "Write it to a file named as in the URL." },
  { "i", "include", "flag", "Print the response head, too." },
  { "I", "head", "flag", "Ask for the head only." },
  { "L", "location", "flag", "Follow redirects." },
  { nil, "max-redirs", "value", "How many; 50.", value = "count" },
  { "k", "insecure", "flag", "Take any certificate." },
  { nil, "cacert", "value", "Trust these roots (PEM).", value = "file" },
  { "E", "cert", "value", "Certificate of our own (PEM).", value = "file" },
  { nil, "key", "value", "And its key.", value = "file" },
  { "x", "proxy", "value", "http[s]://[user:password@]host:port or socks5://...", value = "url" },
  { nil, "proxy-cacert", "value", "Trust these roots (PEM) for an https proxy.", value = "file" },
  { nil, "proxy-insecure", "flag", "Take any certificate of an https proxy." },
  { "u", "user", "value", "Sign in by basic authorization.", value = "user:password" },
  { nil, "oauth2-bearer", "value", "Sign in by a token.", value = "token" },
  { "A", "user-agent", "value", "Call ourselves so.", value = "name" },
  { "e", "referer", "value", "Where the link was.", value = "url" },
  { "b", "cookie", "value", "Send cookies.", value = "name=value; ..." },
  { "r", "range", "value", "Ask for a part: 0-499, 500-.", value = "range" },
  { nil, "compressed", "flag", "Ask for gzip, deflate or br and decode it." },
  { "f", "fail", "flag", "Exit with 22 for a status of 400 or more, without its body." },
  { "s", "silent", "flag", "Print neither progress nor errors." },
  { "S", "show-error", "flag", "Print errors also with -s." },
  { "#", "progress-bar", "flag", "Show a bar also where stderr is no terminal." },
  { "m", "max-time", "value", "Seconds for all of it.", value = "seconds" },
  { nil, "connect-timeout", "value", "Seconds to connect.", value = "seconds" },
  { nil, "unix-socket", "value", "Connect to this path.", value = "path" },
  { "w", "write-out", "value", "Print at the end, %{http_code} and the like filled in.",
    value = "format" },
}

local function print_help()
  print("Usage: curl [options] url...\nOptions:")
  tool.print_options(OPTIONS)
  print([[
Examples:
    curl -v localhost:8080
    curl -v --http2-prior-knowledge localhost:8080
    curl -v localhost:8080/query?page_no=1\&page_size=10
    curl -v localhost:8080/echo  -d 'hello,world!'
    curl -v localhost:8080/kv    -H "Content-Type:application/x-www-form-urlencoded" \
                                 -d 'user=admin&pswd=123456'
    curl -v localhost:8080/json  -H "Content-Type:application/json" \
                                 -d '{"user":"admin","pswd":"123456"}'
    curl -v localhost:8080/form  -F 'file=@filename'
Exit status: 0, or as curl's: 2 usage, 3 URL, 5 proxy, 6 name, 7 connect, 18 cut short, 22 with -f,
    23 write, 26 read, 28 time, 47 redirects, 52 no answer, 56 receive, 60 TLS, 63 too large.]])
end

local opts, urls = tool.parse(arg, OPTIONS)
if opts.help then return print_help() end
if opts.version then return print("curl.lua of hvlua " .. hv.version) end
if #urls == 0 then tool.usage_error("no URL specified") end

-- ---- What is asked for ----

--- "Name: value" each; or several in one, "A:b C:d", where none has a blank behind its colon.
local function read_headers(lines)
  local headers = hv.http.headers()
  local function add(name, value)
    -- As in curl: an empty value takes a header away, which is what not adding it does here.
    if value ~= "" then headers:add(name, value) end
  end
  for _, line in ipairs(lines) do
    local pieces = {}
    for piece in line:gmatch("%S+") do pieces[#pieces + 1] = piece:match("^[%w%-]+:%S+$") end
    local _, words = line:gsub("%S+", "")
    if words > 1 and #pieces == words then
      for _, piece in ipairs(pieces) do add(piece:match("^([^:]+):(.*)$")) end
    else
      local name, value = line:match("^([^:%s]+):%s*(.-)%s*$")
      if not name then tool.usage_error("not a header: %q", line) end
      add(name, value)
    end
  end
  return headers
end

local function read_file(path)
  local data, message
  if path == "-" then return io.read("*a") end
  data, message = hv.fs.read(path)
  if data then return data end
  io.stderr:write("curl: (26) ", message, "\n")
  os.exit(26)
end

local function read_data(list)
  local pieces = {}
  for i, data in ipairs(list) do
    pieces[i] = data:sub(1, 1) == "@" and read_file(data:sub(2)) or data
  end
  return table.concat(pieces, "&")
end

--- One "name=value" or "name=@file;type=...;filename=...".
local function read_part(text)
  local name, value = text:match("^([^=]*)=(.*)$")
  local part = { name = name }
  if value:sub(1, 1) == "@" or value:sub(1, 1) == "<" then
    local path, attributes = value:match("^.([^;]*)(.*)$")
    for key, of in attributes:gmatch(";%s*(%a+)=([^;]*)") do
      if key == "type" or key == "filename" then part[key] = of end
    end
    if value:sub(1, 1) == "@" then part.file = path else part.value = read_file(path) end
  else
    part.value = value
  end
  return part
end

--- Several parts in one argument stand behind blanks or semicolons: "a=1 b=2", "a=1;b=@file".
local function read_form(list)
  local parts = {}
  for _, text in ipairs(list) do
    local at = 1
    while at <= #text do
      local stop, search = nil, at
      while not stop do
        local from, to, key = text:find("[; ]([%w_%-%.%[%]]+)=", search)
        if not from then break end
        if key ~= "type" and key ~= "filename" then stop = from end
        search = to + 1
      end
      local piece = text:sub(at, stop and stop - 1 or #text)
      if not piece:find("=", 1, true) then tool.usage_error("not a form field: %q", piece) end
      parts[#parts + 1] = read_part(piece)
      at = stop and stop + 1 or #text + 1
    end
  end
  return parts
end

local function number(name)
  if not opts[name] then return nil end
  return tonumber(opts[name]) or tool.usage_error("--%s needs a number, got %q", name, opts[name])
end

local function ms(name)
  local seconds = number(name)
  return seconds and math.floor(seconds * 1000)
end

local function tls_options()
  if not (opts.insecure or opts.cacert or opts.cert) then return nil end
  return { verify = not opts.insecure, ca = opts.cacert, cert = opts.cert, key = opts.key }
end

local function proxy_tls_options()
  local ca, takes_any = opts["proxy-cacert"], opts["proxy-insecure"]
  if ca or takes_any then return { verify = not takes_any, ca = ca } end
end

--- The options of hv.http.request that those of the command line mean.
local function request_options(url)
  local headers = read_headers(opts.header)
  local function default(name, value)
    if value and not headers:get(name) then headers:set(name, value) end
  end
  local t = {
    url = url, headers = headers, stream = true, redirects = opts.location and
      (number "max-redirs" or 50) or false, proxy = opts.proxy or "env", tls = tls_options(),
      proxy_tls = proxy_tls_options(),
    decompress = opts.compressed or false, unix_socket = opts["unix-socket"],
    timeout = ms "max-time" or 0, connect_timeout = ms "connect-timeout",
    idle_timeout = 0, user_agent = opts["user-agent"],
    http2 = opts["http2-prior-knowledge"] and "prior_knowledge" or not opts["http1.1"],
  }
  if #opts.data > 0 and opts.get then
    local data = read_data(opts.data)
    t.url = url .. (url:find("?", 1, true) and "&" or "?") .. data
  elseif #opts.data > 0 then
    t.body = read_data(opts.data)
    default("Content-Type", "application/x-www-form-urlencoded")
  elseif opts.json then
    t.body = opts.json
    default("Content-Type", "application/json")
    default("Accept", "application/json")
  elseif #opts.form > 0 then
    t.multipart = read_form(opts.form)
  elseif opts["upload-file"] then
    t.body = { file = opts["upload-file"] }
    if url:sub(-1) == "/" then t.url = url .. opts["upload-file"]:match("[^/]*$") end
  end
  t.method = opts.method or opts.head and "HEAD" or opts["upload-file"] and "PUT"
    or (t.body or t.multipart) and "POST" or "GET"
  if opts.user then
    local user, password = opts.user:match("^([^:]*):?(.*)$")
    t.auth = { user, password }
  elseif opts["oauth2-bearer"] then
    t.auth = { bearer = opts["oauth2-bearer"] }
  end
  default("Cookie", opts.cookie)
  default("Referer", opts.referer)
  default("Range", opts.range and "bytes=" .. opts.range)
  return t
end

-- ---- What is shown ----

local function head_of(reply)
  -- HTTP/2 has no words for a status; reply.reason has the usual ones.
  local reason = reply.version == "2" and "" or reply.reason
  local lines = { ("HTTP/%s %d %s"):format(reply.version, reply.status, reason) }
  for name, value in reply.headers:each() do lines[#lines + 1] = name .. ": " .. value end
  return table.concat(lines, "\r\n") .. "\r\n\r\n"
end

local function show_connection(call)
  local connection = call:connection()
  local peer = connection and connection.peer
  if peer then
    io.stderr:write(("* Connected to %s%s%s\n"):format(peer.ip or peer.path,
      peer.port and " port " .. peer.port or "", call:is_reused() and " (kept)" or ""))
  end
  local facts = connection and connection.tls
  if facts then
    io.stderr:write(("* %s, %s%s\n"):format(facts.version, facts.cipher,
      facts.alpn ~= "" and ", ALPN " .. facts.alpn or ""))
  end
end

--- What the tutorial shows: the request as it is sent, a body of text behind it. Which version of
--- HTTP that is in, nobody knows before there is an answer.
local function show_request(call, t)
  if not call then return end
  io.stderr:write((call:request_head():gsub("\r", "")))
  local body = t.body
  if type(body) == "string" and #body <= 4096 and not body:find("[%z\1-\8]") then
    io.stderr:write(body, "\n")
  end
  io.stderr:write("\n")
end

-- ---- What can go wrong ----

local statuses = {
  ENOTFOUND = 6, EREMOTEIO = 6, ECONNREFUSED = 7, EHOSTUNREACH = 7, ENETUNREACH = 7, ENOENT = 26,
  ETIMEDOUT = 28, ELOOP = 47, ETLS = 60, EACCES = 97, EINVAL = 3, EFAILED = 26, EPIPE = 55,
}

local function exit_status(message, code)
  if code == "ELIMIT" then return message:find("redirects", 1, true) and 47 or 63 end
  if code == "EOF" then return message:find("without a response", 1, true) and 52 or 18 end
  return statuses[code] or 56
end

local function complain(status, message)
  if not opts.silent or opts["show-error"] then
    io.stderr:write(("curl: (%d) %s\n"):format(status, message))
  end
  return status
end

-- ---- One request ----

--- The file to write to, or nil for stdout; and its name.
local function open_output(url)
  local path = opts.output
  if opts["remote-name"] then
    path = url:gsub("[?#].*$", ""):gsub("^%a+://", ""):match("/([^/]+)$")
    if not path then tool.usage_error("the URL has no file name") end
  end
  if not path or path == "-" then return nil end
  local file, message = io.open(path, "wb")
  if not file then return nil, nil, message end
  return file, path
end

local function write_out(format, reply, bytes, started)
  local values = {
    http_code = reply.status, response_code = reply.status, size_download = bytes,
    url_effective = reply.url, content_type = reply:header("content-type") or "",
    num_redirects = #reply.history, http_version = reply.version,
    time_total = ("%.6f"):format((hv.now() - started) / 1000),
  }
  local text = format:gsub("%%{([%w_]+)}", function(name) return tostring(values[name] or "") end)
  io.write((text:gsub("\\n", "\n"):gsub("\\t", "\t"):gsub("\\r", "\r")))
end

--- Copies the body. Returns its bytes, or nil, exit status, message.
local function copy_body(reply, file, path)
  local total = tonumber((reply:header("content-length")))
  local wants_bar = file and not opts.silent and (opts["progress-bar"] or tool.is_terminal())
  local bar = wants_bar and tool.bar(path, total)
  local out, bytes = file or io.stdout, 0
  for chunk in reply:chunks() do
    local ok, message = out:write(chunk)
    if not ok then return nil, 23, "write: " .. message end
    bytes = bytes + #chunk
    if bar then bar:set(bytes) end
  end
  if bar then bar:finish() end
  if not reply.is_complete then
    local _, message, code = reply:read()
    return nil, exit_status(message, code), message
  end
  if not out:flush() then return nil, 23, "write failed" end
  return bytes
end

local function print_heads(reply)
  for _, before in ipairs(reply.history) do
    if opts.include or opts.head then io.write(head_of(before)) end
  end
  if opts.include or opts.head then io.write(head_of(reply)) end
  if opts.verbose then io.stderr:write((head_of(reply):gsub("\r", ""))) end
end

local function transfer(client, url)
  local started = hv.now()
  local t = request_options(url)
  local last_call
  if opts.verbose then
    t.on_request = function(_, call)
      show_request(last_call, t)
      last_call = call
    end
  end
  local reply, message, code = client:request(t)
  show_request(last_call, t)
  if not reply then return complain(exit_status(message, code), message) end
  if opts.verbose and last_call then show_connection(last_call) end
  if opts.fail and reply.status >= 400 then
    reply:close()
    return complain(22, ("The requested URL returned error: %d"):format(reply.status))
  end
  local file, path, problem = open_output(url)
  if problem then return complain(23, problem) end
  print_heads(reply)
  local bytes, status
  bytes, status, message = copy_body(reply, file, path)
  if file then file:close() end
  if not bytes then return complain(status, message) end
  if opts["write-out"] then write_out(opts["write-out"], reply, bytes, started) end
  return 0
end

local client = assert(hv.http.client { cookies = opts.location and true or nil })
local status = 0
for _, url in ipairs(urls) do
  for _ = 1, number "count" or 1 do
    local result = transfer(client, url)
    if result ~= 0 then status = result end
  end
end
client:close()
hv.stop(status)
