--- examples/tinyhttpd.lua against curl, and against requests nobody should send.
local hv = require "hv"

local hvlua = os.getenv("HVLUA") or "build/bin/hvlua"

describe("examples/tinyhttpd.lua", function()
  local dir, process, port
  local large = ("0123456789abcdef"):rep(200000)

  setup(function()
    dir = assert(hv.fs.tmpdir())
    assert(hv.fs.mkdir(dir .. "/site"))
    assert(hv.fs.write(dir .. "/site/index.html", "<h1>home</h1>\n"))
    assert(hv.fs.write(dir .. "/site/a b.txt", "text"))
    assert(hv.fs.write(dir .. "/site/large.bin", large))
    assert(hv.fs.write(dir .. "/secret", "secret"))
    process = assert(hv.process.spawn { hvlua, "examples/tinyhttpd.lua", "127.0.0.1:0",
      dir .. "/site", stdout = "pipe" })
    port = assert(process.stdout:read_line()):match("port (%d+)")
  end)

  teardown(function()
    process:kill("kill")
    process:wait()
    process.stdout:close()
    hv.fs.remove(dir, { recursive = true })
  end)

  local function curl(path, ...)
    local words = { "curl", "-s", "-m", "30", "--noproxy", "*", "--path-as-is", "-w",
      "\n%{http_code}", ("http://127.0.0.1:%s%s"):format(port, path), ... }
    local text, status = assert(hv.process.run(words)).stdout:match("^(.*)\n(%d+)$")
    return text, tonumber(status)
  end

  it("serves files, small and large", function()
    assert.are.same({ "<h1>home</h1>\n", 200 }, { curl "/" })
    assert.are.same({ "text", 200 }, { curl "/a%20b.txt?query=1" })
    assert.is_true(curl "/large.bin" == large)
    assert.matches("Content%-Length: 3200000\r\n", (curl("/large.bin", "-I")))
  end)

  it("refuses what it must not give", function()
    for path, wanted in pairs {
      ["/none"] = 404, ["/../secret"] = 404, ["/%2e%2e/secret"] = 404, ["/..%2fsecret"] = 404,
      ["/%zz"] = 400, ["/index.html%00.txt"] = 400,
    } do
      assert.are.equal(wanted, select(2, curl(path)), path)
    end
    assert.are.equal(405, select(2, curl("/", "-X", "DELETE")))
    assert.are.equal(413, select(2, curl("/", "-d", "body")))
  end)

  it("answers several requests of one connection", function()
    local conn = assert(hv.tcp.connect("127.0.0.1:" .. port))
    conn:write("GET /a%20b.txt HTTP/1.1\r\n\r\nGET /none HTTP/1.1\r\nConnection: close\r\n\r\n")
    local text = ""
    for chunk in conn:chunks() do text = text .. chunk end
    conn:close()
    assert.matches("^HTTP/1.1 200 .*textHTTP/1.1 404 .*\n$", text)
  end)
end)
