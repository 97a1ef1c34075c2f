-- A kept connection that the server had closed while the program was busy was used for the next
-- request all the same, because the loop had not looked at it again: a POST, which is not sent
-- twice, failed. The server is a worker, so that it can close while this thread does nothing but
-- compute.
local hv = require "hv"

--- Answers one request a connection as if more might follow, then does as it is told: closes it, or
--- says what nobody has asked for. It tells by a dictionary when it has done so.
local function serve(ch, what)
  local hv = require "hv" -- luacheck: ignore 431
  local board = hv.shared.dict("regress_003", "1M")
  local listener = assert(hv.tcp.listen({ host = "127.0.0.1", port = 0 }, function(conn)
    local ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    conn:read_until "\r\n\r\n"
    conn:write(ok)
    ch:recv()
    if what == "closes" then conn:close() else conn:write((ok:gsub("ok$", "no"))) end
    for _ = 1, 3 do hv.sleep(0) end
    board:set(what, true)
    while conn:read() do end
  end))
  ch:send(listener:port())
  while not board:get(what .. " is over") do hv.sleep(1) end
  listener:close()
end

describe("a kept connection", function()
  for _, what in ipairs { "closes", "says more than it was asked" } do
    it("is not used again where its server " .. what, function()
      local board = assert(hv.shared.dict("regress_003", "1M"))
      local worker = assert(hv.worker.spawn(serve, what))
      local client = hv.http.client { base_url = "http://127.0.0.1:" .. worker:recv() }
      assert.equal("ok", assert(client:get("/")).body)
      worker:send(true)
      worker:send(true) -- for the connection that is to come
      -- The loop of this thread sees nothing meanwhile. What has rested for less than a millisecond
      -- might be used unseen.
      local from = hv.hrtime()
      repeat until board:get(what) and hv.hrtime() - from > 1e6
      local reply, message = client:post("/", { body = "" })
      assert.is_truthy(reply, message)
      assert.equal("ok", reply.body)
      client:close()
      board:set(what .. " is over", true)
      worker:join()
    end)
  end
end)
