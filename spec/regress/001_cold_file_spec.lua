-- A file that was not in the page cache was sent by way of a thread that reads it first; its last
-- piece then did not own the descriptor, which was closed while the piece still waited for a slow
-- reader: the answer was cut off, or went on with whatever had got the number next. Hostile builds
-- send files byte by byte, so that there every reader is slow.
local hv = require "hv"
local raw_socket = require "raw_socket"

describe("a file that is not in the page cache", function()
  it("reaches a slow reader whole", function()
    local dir = assert(hv.fs.tmpdir())
    local data = hv.crypto.random(255 * 1024) -- one piece
    assert(hv.fs.write(dir .. "/file", data, { sync = true }))
    local app = hv.http.app()
    app:static("/", dir)
    local server = assert(app:listen { host = "127.0.0.1", port = 0 })
    for _ = 1, 3 do
      -- Drops what the kernel keeps of it.
      assert(hv.process.run { "dd", "if=" .. dir .. "/file", "iflag=nocache", "count=0" })
      local client = raw_socket.connect(server:port(), 4096)
      client:send "GET /file HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
      for _ = 1, 20 do hv.sleep(1) end -- the server sends what it can
      local pieces = {}
      local piece
      repeat
        piece = client:receive()
        if piece then pieces[#pieces + 1] = piece else hv.sleep(1) end
      until piece == ""
      local answer = table.concat(pieces)
      assert.is_true(answer:match("\r\n\r\n(.*)") == data)
      client:close()
    end
    server:close(0)
    assert(hv.fs.remove(dir, { recursive = true }))
  end)
end)
