-- Two readers of the same bytes must not see two different things: that is how requests are
-- smuggled. Each stream of bytes goes straight to our server, to an nginx in front of the same
-- server, and to our proxy with that nginx behind it. Where both take a request they must have read
-- the same method, target and body; where one takes more requests out of a stream than the other,
-- the other must have refused the rest.
local hv = require "hv"
local nginx = require "nginx"
local wire = require "wire"

-- ---- The streams ----

local SENTINEL = "GET /sentinel HTTP/1.1\r\nHost: s\r\n\r\n"

--- Every pair of the fields that say how long a body is, before bodies that each fit some reading.
local function framing_streams()
  local codings = {
    "", "Transfer-Encoding: chunked\r\n", "Transfer-Encoding : chunked\r\n",
    "Transfer-Encoding:\tchunked\r\n", "Transfer-Encoding: \vchunked\r\n",
    "Transfer-Encoding: xchunked\r\n", "Transfer-Encoding: chunked, identity\r\n",
    "Transfer-Encoding: identity\r\n", "Transfer-Encoding: gzip, chunked\r\n",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n", "Transfer_Encoding: chunked\r\n",
    "X: y\nTransfer-Encoding: chunked\r\n", "X: y\rTransfer-Encoding: chunked\r\n",
    "X: y\r\n Transfer-Encoding: chunked\r\n", "Transfer-Encoding:\r\n chunked\r\n",
    "Transfer-Encoding: \"chunked\"\r\n", "TRANSFER-ENCODING: CHUNKED\r\n",
    "Transfer-Encoding: chunked;q=1\r\n", "\0Transfer-Encoding: chunked\r\n",
    "Connection: transfer-encoding\r\nTransfer-Encoding: chunked\r\n",
  }
  local lengths = {
    "", "Content-Length: 5\r\n", "Content-Length: 0\r\n", "Content-Length: 5, 5\r\n",
    "Content-Length: 5\r\nContent-Length: 0\r\n", "Content-Length: +5\r\n",
    "Content-Length: 0x5\r\n", "Content-Length : 5\r\n", "Content-Length: 5 \r\n",
    "Content-Length: 05\r\n", "Content_Length: 5\r\n", "Content-Length: 5\n",
    "Content-Length: -1\r\n", "Content-Length:\r\n", "Content-Length: 18446744073709551621\r\n",
    "Content-Length: 5\r\n 0\r\n", "Connection: content-length\r\nContent-Length: 5\r\n",
  }
  local bodies = { "5\r\nhello\r\n0\r\n\r\n", "hello", "0\r\n\r\n",
    "5;a=\"\n\"\r\nhello\r\n0\r\n\r\n" }
  local list = {}
  for _, coding in ipairs(codings) do
    for _, length in ipairs(lengths) do
      for _, body in ipairs(bodies) do
        list[#list + 1] = "POST /first HTTP/1.1\r\nHost: h\r\n" .. coding .. length .. "\r\n" ..
          body .. SENTINEL
      end
    end
  end
  return list
end

--- Chunked bodies in every doubtful spelling.
local function chunk_streams()
  local list = {}
  for _, size in ipairs { "5", "05", "0x5", " 5", "5 ", "5\t", "+5", "5;", "5 ;a", "5;a=b", "5,",
    "100000000000000005", "5\r", "5\n", "", "-5", "5;\ra" } do
    for _, last in ipairs { "0\r\n\r\n", "00\r\n\r\n", "0\n\n", "0\r\nA: b\r\n\r\n",
      "0\r\nContent-Length: 9\r\n\r\n", "0;x\r\n\r\n", "\r\n", "0\r\n A: b\r\n\r\n" } do
      for _, stop in ipairs { "\r\n", "\n", "", "xx\r\n" } do
        list[#list + 1] = "POST /first HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" ..
          size .. "\r\nhello" .. stop .. last .. SENTINEL
      end
    end
  end
  return list
end

--- Request lines and line ends in every doubtful spelling.
local function line_streams()
  local list = {}
  for _, line in ipairs { "GET /a HTTP/1.1", "GET  /a HTTP/1.1", "GET /a  HTTP/1.1",
    "GET\t/a HTTP/1.1",
    "GET /a HTTP/1.1 ", " GET /a HTTP/1.1", "GET /a b HTTP/1.1", "GET /a", "GET /a HTTP/1.0",
    "GET /a HTTP/0.9", "GET /a HTTP/01.1", "GET /a HTTP/1.10", "GET /a?b#c HTTP/1.1",
    "GET http://other/a HTTP/1.1", "GET /%00 HTTP/1.1", "GET /%2e%2e/ HTTP/1.1", "GET /\0 HTTP/1.1",
    "GET //a HTTP/1.1", "GET \\a HTTP/1.1", "get /a HTTP/1.1", "G\"T /a HTTP/1.1",
    "GET /a\127 HTTP/1.1", "GET /a\200 HTTP/1.1", "\r\nGET /a HTTP/1.1", "\nGET /a HTTP/1.1" } do
    for _, line_end in ipairs { "\r\n", "\n", "\r", "\r\r\n" } do
      for _, field in ipairs { "Host: h\r\n", "Host: h\n", "Host: h\r\nHost: h\r\n", "",
        "Host : h\r\n",
        "Host: h\r\n\tx\r\n", "Host: h/x\r\n", "Host: h\r\nX\r\n", "Host: h\r\n: y\r\n" } do
        list[#list + 1] = line .. line_end .. field .. "\r\n" .. SENTINEL
      end
    end
  end
  return list
end

local function all_streams()
  local list = {}
  for _, case in ipairs(wire.cases("spec/wire/http1")) do list[#list + 1] = case.input end
  for _, make in ipairs { framing_streams, chunk_streams, line_streams } do
    for _, stream in ipairs(make()) do list[#list + 1] = stream end
  end
  return list
end

-- ---- The readers ----

--- An application that answers with what it has read.
local function mirror(path)
  local app = hv.http.app { max_body = "64K" }
  app:not_found(function(req, res)
    local body = req:body()
    if not body then return end
    -- An absolute target names its path; nginx passes on no more than that.
    local target = req.target:gsub("^[Hh][Tt][Tt][Pp][Ss]?://[^/?]*", "")
    if target == "" or target:sub(1, 1) == "?" then target = "/" .. target end
    local facts = ("%s %s %d [%s]"):format(req.method, target, #body, hv.crypto.hex(body))
    res:header("X-Facts", (facts:gsub("[^%g ]", "?")))
    return 200
  end)
  return assert(app:listen { path = path })
end

--- Sends a stream and reads to the end. Returns for each request the facts, or false where it was
--- refused, then whether one was, and the answers' bytes.
local function ask(path, stream)
  local conn = assert(hv.tcp.connect { path = path })
  conn:write(stream)
  conn:shutdown()
  local pieces = {}
  for piece in conn:chunks() do pieces[#pieces + 1] = piece end
  conn:close()
  local text = table.concat(pieces)
  local facts, has_refused = {}, false
  for status, head in text:gmatch("HTTP/1%.[01] (%d%d%d)(.-)\r\n\r\n") do
    local read = head:match("\r\nX%-Facts: ([^\r]*)")
    if read then
      facts[#facts + 1] = read
    elseif status ~= "100" then
      facts[#facts + 1] = false
      has_refused = true
    end
  end
  return facts, has_refused, text
end

--- Why two readings cannot both stand, or nil.
local function difference(ours, theirs)
  local shared = math.min(#ours.facts, #theirs.facts)
  for i = 1, shared do
    local is_shared = ours.facts[i] and theirs.facts[i]
    if is_shared and ours.facts[i] ~= theirs.facts[i] then
      return ("request %d was read as %q and as %q"):format(i, ours.facts[i], theirs.facts[i])
    end
  end
  local fewer = #ours.facts < #theirs.facts and ours or theirs
  local more, has_more = fewer == ours and theirs or ours, false
  for i = shared + 1, #more.facts do has_more = has_more or more.facts[i] end
  if not has_more then return nil end
  -- A stream that ends in the middle of a request is no request for anybody; one that was cut off
  -- by the word "close" is none either. Otherwise who has seen less must have refused the rest.
  local has_closed = fewer.text:lower():find("\r\nconnection: close", 1, true)
  if fewer.has_refused or has_closed then return nil end
  return ("%d requests against %d, and no refusal"):format(#ours.facts, #theirs.facts)
end

describe("an ambiguous stream of requests", function()
  local front, direct, behind, proxy

  setup(function()
    front = nginx.start [[
    upstream back { server unix:@/back; keepalive 8; }
    server {
        listen unix:@/front;
        client_max_body_size 64k;
        client_header_timeout 10s;
        lingering_timeout 1s;
        client_body_timeout 10s;
        proxy_ignore_client_abort on;
        underscores_in_headers on;
        ignore_invalid_headers off;
        location / {
            proxy_pass http://back;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
        }
    }
]]
    direct = mirror(front.dir .. "/direct")
    behind = mirror(front.dir .. "/back")
    local app = hv.http.app { max_body = "64K" }
    app:proxy("/", { url = "http://nginx", path = front.dir .. "/front" }, { keep_host = true })
    proxy = assert(app:listen { path = front.dir .. "/ours" })
  end)

  teardown(function()
    front:stop()
    direct:close()
    behind:close()
    proxy:close()
  end)

  --- Compares what our server reads with what comes to it through `others`.
  local function compare(others)
    local streams, problems, taken, refused = all_streams(), {}, 0, 0
    local next_stream = 0
    local function compare_some()
      while next_stream < #streams do
        next_stream = next_stream + 1
        local stream = streams[next_stream]
        local ours, theirs = {}, {}
        ours.facts, ours.has_refused, ours.text = ask(front.dir .. "/direct", stream)
        theirs.facts, theirs.has_refused, theirs.text = ask(front.dir .. others, stream)
        taken = taken + math.min(#ours.facts, #theirs.facts)
        refused = refused + (ours.has_refused and 1 or 0)
        local problem = difference(ours, theirs)
        if problem then problems[#problems + 1] = ("%q: %s"):format(stream, problem) end
      end
      return true
    end
    local tasks = {}
    for i = 1, 8 do tasks[i] = hv.go(compare_some) end
    for _, task in ipairs(tasks) do assert(task:join()) end
    -- The comparison is worth something only where both have read plenty.
    assert.is_true(taken > 200, taken .. " requests were taken by both")
    assert.is_true(refused > 500, refused .. " streams were refused by us")
    assert.equal("", table.concat(problems, "\n"))
  end

  it("is read alike by us and by an nginx in front of us", function() compare "/front" end)

  it("is read alike by us and by an nginx behind our proxy", function() compare "/ours" end)
end)
