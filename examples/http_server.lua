-- http_server.lua - an HTTP server with the usual kinds of answers, and a page that shows the
-- runtime alive: a chat over WebSocket, a clock by server-sent events, an upload with its progress,
-- and charts of what the server does.
--
--     hvlua http_server.lua [port] [mqtt://broker]
--
-- Where a broker is given the page has a panel for it, too.
local hv = require "hv"

local port = tonumber(arg and arg[1] or 8080)
if not port then
  io.stderr:write("Usage: http_server.lua [port [mqtt://broker]]\n")
  os.exit(2)
end

local app = hv.http.app { max_body = "4G" }

-- ---- The page ----

local folder = (arg and arg[0] or "examples/http_server.lua"):match("^(.*/)") or ""

--- The HTML and the script of a panel, from the folder beside this file.
local function panel(title, name)
  local function read(suffix)
    local file = assert(io.open(folder .. "showcase/" .. name .. suffix))
    local text = file:read("*a")
    file:close()
    return text
  end
  return { title = title, html = read ".html", script = read ".js" }
end

local panels = { panel("Chat", "chat"), panel("Clock", "clock"), panel("Upload", "upload") }
local broker = arg and arg[2]
if broker then table.insert(panels, 2, panel("MQTT", "mqtt")) end

hv.metrics.dashboard(app, "/", { title = "hvlua", panels = panels })

-- Prometheus reads the same numbers here.
app:get("/metrics", hv.metrics.handler)

-- Everybody who is connected gets what anybody says.
local people, names = 0, 0

local function tell(message)
  app:publish("chat", hv.json.encode(message))
end

app:ws("/chat", {
  max_message = "4K",
  on_open = function(ws)
    people, names = people + 1, names + 1
    ws.data = "guest " .. names
    ws:subscribe("chat")
    tell { text = ws.data .. " has come in.", count = people }
  end,
  on_message = function(ws, text)
    tell { from = ws.data, text = text }
  end,
  on_close = function(ws)
    people = people - 1
    tell { text = ws.data .. " has left.", count = people }
  end,
})

-- A client of the broker for each page, as long as its WebSocket is open.
if broker then
  app:ws("/mqtt", { max_message = "64K" }, function(ws)
    local function show(message) return ws:send(hv.json.encode(message)) end
    local client, problem = hv.mqtt.connect {
      url = broker, on_message = function(_, message)
        show { topic = message.topic, payload = message.payload }
      end,
    }
    if not client then return show { state = problem } end
    show { state = "connected to " .. broker }
    for text in ws:messages() do
      local request = hv.json.decode(text)
      local ok, message
      if request.op == "subscribe" then
        ok, message = client:subscribe(request.filter, { qos = 1 })
        if ok then show { note = "subscribed to " .. request.filter } end
      else
        ok, message = client:publish(request.topic, request.payload, { qos = 1 })
      end
      if not ok then show { note = message } end
    end
    client:disconnect()
  end)
end

-- One task a viewer; it ends when the browser has gone.
app:get("/clock", function(_, res)
  local events = res:sse()
  while events:send(os.date("%H:%M:%S"), { event = "tick" }) do hv.sleep(1000) end
end)

-- The file is read piece by piece, however large it is, and only counted.
app:post("/upload", function(req)
  for part in req:multipart() do
    if part.filename then
      local hash, size = hv.crypto.hash "sha256", 0
      for piece in function() return part:read() end do
        hash:update(piece)
        size = size + #piece
      end
      return { json = { name = part.filename, size = size, sha256 = hv.crypto.hex(hash:digest()) } }
    end
  end
  return { status = 400, text = "there is no file in this form\n" }
end)

-- ---- The usual kinds of answers ----

-- A string is the answer.
app:get("/ping", function() return "pong" end)

-- So is a status, or a table that says more.
app:get("/data", function()
  return { body = "0123456789", headers = { ["Content-Type"] = "application/octet-stream" } }
end)

app:get("/paths", function() return { json = app:paths() } end)

-- `res` answers as well; req:body() waits until the whole body is there.
app:post("/echo", function(req, res)
  res:send(assert(req:body()), req:header("content-type"))
end)

app:get("/query", function(req) return { json = req.query } end)

local function decoded(read)
  return function(req)
    local value, message = read(req)
    if value == nil then return { status = 400, body = message .. "\n" } end
    return { json = value }
  end
end

local kv = decoded(function(req) return req:form() end)
app:post("/kv", kv)
app:post("/form", kv)
app:post("/json", decoded(function(req) return req:json() end))

app:delete("/group/:group_name/user/:user_id", function(req) return { json = req.params } end)

local server = assert(app:listen { host = "0.0.0.0", port = port })

local url = ("http://127.0.0.1:%d"):format(server:port())
print("listening, try:")
print(("  curl -v %s/ping"):format(url))
print(("  curl -v %s/data"):format(url))
print(("  curl -v %s/paths"):format(url))
print(("  curl -v %s/echo -d \"hello,world\""):format(url))
print(("  curl -v \"%s/query?page_no=1&page_size=10\""):format(url))
print(("  curl -v %s/kv -d \"user=admin&pswd=123456\""):format(url))
print(("  curl -v %s/json -d '{\"user\":\"admin\",\"pswd\":\"123456\"}'"):format(url))
print(("  curl -v %s/form -F user=admin -F pswd=123456"):format(url))
print(("  curl -v -X DELETE %s/group/test/user/123"):format(url))
print(("or open %s/ in a browser"):format(url))
io.stdout:flush()
