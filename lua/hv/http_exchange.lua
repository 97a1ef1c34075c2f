--- hv.http_exchange - one request and its response: headers, TLS, proxy, sending the body. Private
--- to lua/hv; hv.http_client decides what is asked, and what follows from the answer.
---
--- A plan is what is known of a request as it goes through its redirects: method, parts (of the
--- URL), url, body, jar, due (when its time is up), is_foreign (it has left the origin that its
--- credentials are for), where (for messages).
local crypto = require "hv.crypto"
local headers_of = require "hv.http_headers"
local http_body = require "hv.http_body"
local loop = require "_hv.loop"
local options = require "hv.http_options"
local raw = require "_hv.http_client"
local reply_of = require "hv.http_reply"
local task = require "hv.task"
local tls = require "hv.tls"
local wait = require "hv.wait"

local finish = wait.finish

local M = {}

-- ---- Headers ----

local function basic(user, password)
  return "Basic " .. crypto.base64(user .. ":" .. (password or ""))
end

local function authorization(t, parts)
  if t.auth then
    if t.auth.bearer then return "Bearer " .. t.auth.bearer end
    return basic(t.auth[1], t.auth[2])
  end
  if parts.user or parts.password then return basic(parts.user or "", parts.password) end
end

--- Names that the client writes itself, dropped from what a program gives: what they ask for has
--- options (close, expect, upgrade), or follows from the body.
local own = { ["content-length"] = true, ["transfer-encoding"] = true, connection = true,
  expect = true, upgrade = true, te = true, ["keep-alive"] = true, ["proxy-connection"] = true }

--- Credentials stay with the origin that they were given for.
--- So does a Host of the program's own: another origin has another one.
local credentials = { authorization = true, cookie = true, ["proxy-authorization"] = true,
  cookie2 = true, host = true }

--- What describes a body that is not sent any more.
local of_body = { ["content-type"] = true, ["content-encoding"] = true,
  ["content-language"] = true, ["content-location"] = true }

local function add_lines(list, seen, from, plan)
  local names = {}
  for i = 1, #from, 2 do
    local name = from[i]:lower()
    local is_dropped = own[name] or seen[name] or plan.is_foreign and credentials[name]
      or plan.has_lost_body and of_body[name]
    if not is_dropped then
      list[#list + 1], list[#list + 2] = from[i], from[i + 1]
      names[name] = true
    end
  end
  for name in pairs(names) do seen[name] = true end
end

--- A line that the program has not given itself.
local function add_default(list, seen, name, lower, value)
  if not value or seen[lower] then return end
  local count = #list
  list[count + 1], list[count + 2] = name, value
end

local nothing_seen = {}

--- The header lines of one request, a flat list.
local function header_lines(self, t, plan)
  local list, seen = {}, nothing_seen
  local given, of_client = t.headers, self._options.headers
  if given or of_client then
    seen = {}
    if given then add_lines(list, seen, given, plan) end
    if of_client then add_lines(list, seen, of_client, plan) end
  end
  add_default(list, seen, "User-Agent", "user-agent", t.user_agent)
  add_default(list, seen, "Accept", "accept", "*/*")
  if not plan.is_foreign then
    add_default(list, seen, "Authorization", "authorization", authorization(t, plan.parts))
  end
  if plan.jar then add_default(list, seen, "Cookie", "cookie", plan.jar:get(plan.parts)) end
  if plan.body then add_default(list, seen, "Content-Type", "content-type", plan.body.type) end
  return list
end

-- ---- TLS and proxies ----

--- A table of options as text, so that equal ones share a context, and with it connections.
local function key_of(value)
  if type(value) ~= "table" then return type(value) .. tostring(value) end
  local keys, pieces = {}, {}
  for key in pairs(value) do keys[#keys + 1] = key end
  table.sort(keys, function(a, b) return tostring(a) < tostring(b) end)
  for i, key in ipairs(keys) do pieces[i] = tostring(key) .. "=" .. key_of(value[key]) end
  return "{" .. table.concat(pieces, "\0") .. "}"
end

local CONTEXTS_MAX = 16

--- What C takes: a context or nil for the default, and the name to verify.
local function tls_of(self, value)
  if value == nil or value == true then return nil end
  if type(value) ~= "table" or getmetatable(value) then return tls.client("tls", value) end
  local key = key_of(value)
  for i, entry in ipairs(self._contexts) do
    if entry.key == key then
      table.insert(self._contexts, 1, table.remove(self._contexts, i))
      return entry.ctx, entry.name
    end
  end
  local ctx, name, code = tls.client("tls", value)
  if not ctx then return nil, name, code end
  table.insert(self._contexts, 1, { key = key, ctx = ctx, name = name })
  self._contexts[CONTEXTS_MAX + 1] = nil
  return ctx, name
end

local function proxy_of(t, parts)
  if t.proxy == "env" then return options.proxy_of_environment(parts) end
  return t.proxy or nil
end

-- ---- One exchange ----

--- The one word of TE that is not the client's own: a program asks for trailers by it (gRPC does).
local function wants_trailers(self, t)
  local te = t.headers and t.headers:get("te")
    or self._options.headers and self._options.headers:get("te")
  return te ~= nil and te:lower() == "trailers"
end

local function remaining(plan)
  if plan.due == 0 then return 0 end
  return math.max(1, plan.due - loop.now())
end

--- What C gets. Returns nil, message, code where TLS cannot be set up.
local function spec_of(self, t, plan)
  local parts = plan.parts
  local target = parts.path .. (parts.query and "?" .. parts.query or "")
  local spec = {
    method = plan.method, is_https = parts.scheme == "https", host = parts.host, port = parts.port,
    target = target, unix_path = t.unix_socket, headers = header_lines(self, t, plan),
    upgrade = t.upgrade, closes = t.close, fresh = t.fresh, max_body = t.max_body,
    connect_timeout = t.connect_timeout, decode = t.decompress, expect = t.expect or 0,
    http2 = t.http2, collect = not plan.is_streamed, wants_trailers = wants_trailers(self, t),
  }
  if spec.expect == 0 and t.expect == 0 then spec.expect = -1 end
  if not t.unix_socket then spec.proxy = proxy_of(t, parts) end
  if spec.proxy and t.proxy_tls ~= nil then
    local ctx, name, code = tls_of(self, t.proxy_tls)
    if code then return nil, name, code end
    spec.proxy_tls = ctx
  end
  if spec.is_https then
    local ctx, name, code = tls_of(self, t.tls)
    if code then return nil, name, code end
    spec.tls, spec.server_name = ctx, name
  end
  local left = remaining(plan)
  if plan.is_streamed then
    spec.head_timeout, spec.idle_timeout = left, t.idle_timeout
  else
    spec.total_timeout = left
  end
  local body = plan.body
  if body and body.text and not t.trailers and not (t.on_progress and #body.text > 0) then
    spec.body = body.text
  elseif body then
    spec.streamed, spec.length = true, body.text and #body.text or body.length
  end
  -- Behind a body with a length HTTP/1.1 has no place for trailers.
  if t.trailers and body then
    if body.text and #body.text < 1048576 and t.expect == nil then spec.expect = -1 end
    spec.length = -1
  end
  return spec
end

--- What the body ends with, as C takes it: a flat list.
local function trailer_lines(trailers)
  if type(trailers) == "function" then trailers = trailers() end
  return trailers and headers_of.of(trailers)
end

--- Sends the pieces of a source. Runs as a task beside the one that reads the answer, since a
--- server may answer while it is sent to.
local function upload(call, source, plan, t, total)
  local on_progress = t.on_progress
  local function give_up(message, code)
    plan.upload_failure = { message, code }
    call:cancel()
  end
  if not finish(call:ready()) then return end
  local sent = 0
  while true do
    local piece, message, code = source()
    if piece == nil then
      if message then return give_up(message, code) end
      break
    end
    if type(piece) ~= "string" then
      return give_up("the body's function returned " .. type(piece), "EINVAL")
    end
    local ok, _, write_code = finish(call:write(piece))
    if not ok then
      if write_code == "ELIMIT" then give_up("the body is longer than was said", "EPROTO") end
      return
    end
    sent = sent + #piece
    if on_progress then on_progress("up", sent, total) end
  end
  local _, message, code = finish(call:finish(t.trailers and trailer_lines(t.trailers)))
  -- After any other failure the call has ended by itself.
  if code == "EINVAL" then
    give_up("a trailer cannot be sent", code)
  elseif code == "ELIMIT" or code == "ENOMEM" then
    give_up("the trailers cannot be sent: " .. message, code)
  end
end

local function upload_safely(call, source, plan, t, total)
  local ok, problem = pcall(upload, call, source, plan, t, total)
  if not ok and not plan.is_over then
    plan.upload_failure = { require("hv.show").error_text(problem), "EFAILED" }
    call:cancel()
  end
end

--- Begins to send the body where it is streamed. Returns false, message, code where it cannot.
local function begin_upload(call, t, plan, spec)
  if not spec.streamed then return true end
  local source, message, code
  if plan.body.text then
    source = http_body.open_text(plan.body.text)
  else
    source, message, code = plan.body.open()
    if not source then
      call:cancel()
      return false, message, code
    end
  end
  local total = spec.length >= 0 and spec.length or nil
  plan.uploader = task.go(upload_safely, call, source, plan, t, total)
  return true
end

--- nil, message, code; of the body's source where that was the reason.
function M.fail(plan, message, code)
  if plan.upload_failure then message, code = plan.upload_failure[1], plan.upload_failure[2] end
  return nil, plan.where .. ": " .. message, code
end

--- The response is there, or will not come: nobody needs the rest of the body.
function M.end_upload(plan)
  plan.is_over = true
  if plan.uploader then plan.uploader:cancel() end
end

--- Sends one request and gets its response, or its head where it is streamed.
function M.run(self, t, plan)
  local spec, message, code = spec_of(self, t, plan)
  if not spec then return M.fail(plan, message, code) end
  local call
  call, message, code = raw.start(self._pool, spec)
  if not call then return M.fail(plan, message, code) end
  if t.on_request then t.on_request(call:request_head(), call) end
  local ok
  ok, message, code = begin_upload(call, t, plan, spec)
  if not ok then return M.fail(plan, message, code) end
  local get = plan.is_streamed and call.head or call.perform
  local status, reason, version, lines, length, body = finish(get(call))
  if not status then
    M.end_upload(plan)
    return M.fail(plan, reason, version)
  end
  if body then M.end_upload(plan) end
  return setmetatable({
    status = status, reason = reason, version = version, url = plan.url, body = body, call = call,
    headers = setmetatable(lines, headers_of.meta), is_complete = body ~= nil,
    history = plan.history, _where = plan.where, _received = 0, _length = length,
    _on_progress = t.on_progress, _uploader = plan.uploader,
  }, reply_of.meta)
end

return M
