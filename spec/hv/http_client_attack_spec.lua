local hv = require "hv"

--- What a server tries that means harm to its client.
describe("hv.http requests under attack", function()
  it("leaves credentials and Host with the origin that they are for", function()
    local heads = {}
    local function listen(answer)
      local server
      server = assert(hv.tcp.listen({ host = "127.0.0.1", port = 0 }, function(conn)
        heads[#heads + 1] = conn:read_until "\r\n\r\n"
        conn:write(answer())
      end))
      return server
    end
    local other = listen(function()
      return "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"
    end)
    local first = listen(function()
      return ("HTTP/1.1 307 Moved\r\nConnection: close\r\nContent-Length: 0\r\n" ..
        "Location: http://user:word@127.0.0.1:%d/\r\n\r\n"):format(other:port())
    end)
    local reply = assert(hv.http.get(("http://me:secret@127.0.0.1:%d/"):format(first:port()), {
      headers = { Host = "inner.test", Cookie = "a=b", ["Proxy-Authorization"] = "Basic x",
        ["X-Mine"] = "1" } }))
    assert.equal("ok", reply.body)
    assert.matches("\r\nHost: inner.test\r\n", heads[1], 1, true)
    assert.matches("\r\nAuthorization: Basic ", heads[1], 1, true)
    assert.matches(("\r\nHost: 127.0.0.1:%d\r\n"):format(other:port()), heads[2], 1, true)
    assert.matches("\r\nX-Mine: 1\r\n", heads[2], 1, true)
    for _, name in ipairs { "inner.test", "authorization", "cookie" } do
      assert.not_matches(name, heads[2]:lower(), 1, true)
    end
    first:close()
    other:close()
  end)
end)
