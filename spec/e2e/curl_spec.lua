--- Every example command of the tutorials on HTTP servers and clients, by examples/curl.lua and by
--- curl itself, against a server of ours; and examples/curl.lua against nginx.
local certs_of = require "certs"
local hv = require "hv"
local nginx_of = require "nginx"
local tutorial_app = require "tutorial_app"

local hvlua = os.getenv("HVLUA") or "build/bin/hvlua"
local programs = {
  ["examples/curl.lua"] = { hvlua, "examples/curl.lua" },
  curl = { "curl", "--noproxy", "*" },
}

local dir, server, host

--- Runs a program; "@/" in its arguments is our server, "%/" the scratch folder.
local function run(program, ...)
  local words = { unpack(programs[program]) }
  for _, word in ipairs { ... } do
    words[#words + 1] = word:gsub("^@/", host .. "/"):gsub("%%/", dir .. "/")
  end
  words.timeout = 20000
  words.env = { http_proxy = "", https_proxy = "", all_proxy = "" }
  return assert(hv.process.run(words))
end

local function expect(status, stdout, result)
  assert.are.same({ status, stdout }, { result.status, result.stdout },
    result.stderr)
end

setup(function()
  dir = assert(hv.fs.tmpdir())
  assert(hv.fs.write(dir .. "/file.txt", ("some line\n"):rep(1000)))
  server = assert(tutorial_app.new(dir):listen { host = "127.0.0.1", port = 0 })
  host = "127.0.0.1:" .. server:port()
end)

teardown(function()
  server:close(0)
  hv.fs.remove(dir, { recursive = true })
end)

for program in pairs(programs) do
  describe(program .. " and our server", function()
    local function curl(...) return run(program, ...) end

    it("get what the tutorial gets", function()
      expect(0, "<h1>Welcome to httpd!</h1>\n", curl("-v", "@/"))
      expect(0, "pong", curl("-v", "@/ping"))
      expect(0, "0123456789", curl("-v", "@/data"))
      expect(0, '["/ping","/data","/paths","/echo"]', (function()
        local result = curl("-v", "@/paths")
        result.stdout = result.stdout:gsub("\\/", "/")
        return result
      end)())
      expect(0, ("some line\n"):rep(1000), curl("-v", "@/downloads/file.txt"))
      expect(0, "page_no=1&page_size=10", curl("-v", "@/query?page_no=1&page_size=10"))
    end)

    it("post what the tutorial posts", function()
      expect(0, "hello,world!", curl("-v", "@/echo", "-d", "hello,world!"))
      expect(0, "pswd=123456&user=admin", curl("-v", "@/kv", "-H",
        "Content-Type:application/x-www-form-urlencoded", "-d", "user=admin&pswd=123456"))
      expect(0, "pswd=123456&user=admin", curl("-v", "@/json", "-H",
        "Content-Type:application/json", "-d", '{"user":"admin","pswd":"123456"}'))
      expect(0, "file=file.txt:10000", curl("-v", "@/form", "-F", "file=@%/file.txt"))
      expect(0, "file=file.txt:10000", curl("-v", "@/upload", "-F", "file=@%/file.txt"))
      expect(0, "bool=1&float=3.14&int=123&string=hello", curl("-v", "@/test", "-H",
        "Content-Type:application/x-www-form-urlencoded",
        "-d", "bool=1&int=123&float=3.14&string=hello"))
      expect(0, "bool=true&float=3.14&int=123&string=hello", curl("-v", "@/test", "-H",
        "Content-Type:application/json",
        "-d", '{"bool":true,"int":123,"float":3.14,"string":"hello"}'))
    end)

    it("delete what the tutorial deletes", function()
      local result = curl("-v", "-X", "DELETE", "@/group/test/user/123")
      assert.are.same({ group_name = "test", user_id = "123" }, hv.json.decode(result.stdout))
    end)

    it("show heads, follow, sign in, write files, send files", function()
      local result = curl("-s", "-i", "@/ping")
      assert.matches("^HTTP/1.1 200 OK\r\n.*\r\n\r\npong$", result.stdout)
      result = curl("-s", "-I", "@/ping")
      assert.matches("^HTTP/1.1 200 OK\r\n.*\r\n\r\n$", result.stdout)
      result = curl("-s", "-L", "-w", "\\n%{http_code} %{num_redirects}", "@/moved")
      expect(0, "pong\n200 1", result)
      expect(0, "302", curl("-s", "-o", "/dev/null", "-w", "%{http_code}", "@/moved"))
      expect(0, "yours", curl("-s", "-u", "me:word", "@/secret"))
      expect(22, "", curl("-s", "-f", "@/secret"))
      expect(0, "", curl("-s", "-o", "%/out", "@/downloads/file.txt"))
      assert.are.equal(10000, hv.fs.stat(dir .. "/out").size)
      expect(0, "file.txt:10000", curl("-s", "-T", "%/file.txt", "@/put/"))
      expect(0, "a=1&b=2", curl("-s", "-G", "-d", "a=1", "-d", "b=2", "@/query"))
      result = curl("-s", "-A", "me", "-e", "there", "-b", "c=d", "-H", "X-Own: x", "@/headers")
      for _, line in ipairs { "User-Agent: me", "Referer: there", "Cookie: c=d", "X-Own: x" } do
        assert.is_truthy(result.stdout:lower():find(line:lower(), 1, true), line)
      end
    end)

    it("speak HTTP/2", function()
      local result = curl("-s", "-i", "-w", "%{http_version}", "--http2-prior-knowledge", "@/ping")
      assert.matches("^HTTP/2 200 \r\n.*\r\n\r\npong2$", result.stdout)
      result = curl("-v", "--http2-prior-knowledge", "-d", "hello", "@/echo")
      expect(0, "hello", result)
      assert.matches("POST /echo HTTP/2\r?\n", result.stderr)
    end)

    it("exit with a status that says why", function()
      expect(7, "", curl("-s", "http://127.0.0.1:1/"))
      expect(28, "", curl("-s", "--max-time", "0.2", "@/silence"))
      expect(47, "", curl("-s", "-o", "/dev/null", "-L", "--max-redirs", "3", "@/round"))
      assert.are.equal(2, curl("--no-such-option", "@/").status)
    end)
  end)
end

describe("examples/curl.lua", function()
  local function curl(...) return run("examples/curl.lua", ...) end

  it("takes several fields and headers in one argument, as the tutorial gives them", function()
    expect(0, "pswd=123456&user=admin", curl("-v", "@/form", "-F", "user=admin pswd=123456"))
    expect(0, "bool=1&float=3.14&int=123&string=hello",
      curl("-v", "@/test", "-F", "bool=1 int=123 float=3.14 string=hello"))
    expect(0, "file=file.txt:10000&name=x",
      curl("@/form", "-F", "name=x;file=@%/file.txt;type=text/plain"))
    local seen = curl("@/headers", "-H", "X-A:1 X-B:2", "-H", "X-C: 3 D:4").stdout
    assert.matches("X%-A: 1\n", seen)
    assert.matches("X%-B: 2\n", seen)
    assert.matches("X%-C: 3 D:4\n", seen)
  end)

  it("prints the conversation as the tutorial does", function()
    local result = curl("-v", "@/echo", "-d", "hello,world!")
    assert.are.equal("hello,world!", result.stdout)
    assert.matches("^POST /echo HTTP/1.1\nHost: " .. host:gsub("%.", "%%.") .. "\n.*" ..
      "Content%-Length: 12\n\nhello,world!\n\n", result.stderr)
    assert.matches("\nHTTP/1.1 200 OK\n.*Content%-Length: 12\n\n$", result.stderr)
  end)

  it("keeps its connection over -n requests", function()
    local before = server:requests()
    local result = curl("-v", "-n", "3", "@/ping")
    assert.are.equal("pongpongpong", result.stdout)
    assert.are.equal(3, server:requests() - before)
    assert.are.equal(2, select(2, result.stderr:gsub("%(kept%)", "")))
  end)

  it("goes through a proxy, and says whose word it is that it could not", function()
    local heads = {}
    local proxy = assert(hv.tcp.listen({ host = "127.0.0.1", port = 0 }, function(conn)
      heads[#heads + 1] = conn:read_until("\r\n\r\n")
      conn:write("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nproxy")
    end))
    local via = "http://me:word@127.0.0.1:" .. proxy:port()
    expect(0, "proxy", curl("-x", via, "http://test.example/a"))
    assert.matches("^GET http://test.example/a HTTP/1.1\r\n", heads[1])
    assert.matches("Proxy%-Authorization: Basic ", heads[1])
    proxy:close()
  end)

  it("draws a bar, and prints its help", function()
    local result = curl("-#", "-o", "%/out", "@/downloads/file.txt")
    assert.matches("100%%%[=+>%]", result.stderr)
    assert.matches("9.8K", result.stderr)
    result = curl("--help")
    assert.matches("^Usage: curl %[options%] url", result.stdout)
    assert.are.equal(0, result.status)
  end)
end)

describe("examples/curl.lua and nginx", function()
  local nginx, certs
  local text = ("nginx says this\n"):rep(2000)

  setup(function()
    certs = certs_of.new()
    local localhost = certs:issue("localhost", "DNS:localhost,IP:127.0.0.1")
    assert(hv.fs.mkdir(dir .. "/www/downloads", { recursive = true }))
    assert(hv.fs.write(dir .. "/www/index.html", "welcome\n"))
    assert(hv.fs.write(dir .. "/www/downloads/big.txt", text))
    nginx = nginx_of.start(([[
      server {
        listen unix:@/http;
        root WWW;
        location / { }
        location /downloads/ { autoindex on; gzip on; gzip_types text/plain; gzip_min_length 1; }
        location /ping { return 200 "pong"; }
        location /echo { proxy_pass http://unix:@/answer; }
        location /moved { return 302 /ping; }
        location /gone { return 410; }
        location /secret { auth_basic "x"; auth_basic_user_file WWW/users; }
      }
      server { listen unix:@/answer; location / { return 200 "$request_method $content_length"; } }
      server {
        listen unix:@/https ssl;
        ssl_certificate CERT;
        ssl_certificate_key KEY;
        location / { return 200 "over $ssl_protocol"; }
      }
    ]]):gsub("WWW", dir .. "/www"):gsub("CERT", localhost.cert):gsub("KEY", localhost.key))
  end)

  teardown(function()
    nginx:stop()
    certs:remove()
  end)

  local function curl(...)
    return run("examples/curl.lua", "-s", "--unix-socket", nginx.dir .. "/http", ...)
  end

  it("get pages, listings, parts, and what is compressed", function()
    expect(0, "welcome\n", curl("-v", "localhost:8080"))
    assert.matches("<a href=\"big.txt\">", curl("localhost/downloads/").stdout)
    expect(0, "pong", curl("localhost/ping"))
    expect(0, text, curl("localhost/downloads/big.txt"))
    expect(0, text, curl("--compressed", "localhost/downloads/big.txt"))
    local result = curl("--compressed", "-i", "localhost/downloads/big.txt")
    assert.matches("Content%-Encoding: gzip", result.stdout)
    expect(0, "nginx", curl("-r", "0-4", "localhost/downloads/big.txt"))
    expect(0, "pong", curl("-L", "localhost/moved"))
    expect(22, "", curl("-f", "localhost/gone"))
  end)

  it("send bodies of every kind", function()
    expect(0, "POST 12", curl("localhost/echo", "-d", "hello,world!"))
    expect(0, "PUT 10000", curl("-T", "%/file.txt", "localhost/echo"))
    assert.matches("^POST %d+$", curl("localhost/echo", "-F", "a=1 file=@%/file.txt").stdout)
    expect(0, "DELETE ", curl("-X", "DELETE", "localhost/echo"))
  end)

  it("speak TLS, verified unless it is told not to", function()
    local socket = nginx.dir .. "/https"
    local function https(...) return run("examples/curl.lua", "--unix-socket", socket, ...) end
    assert.matches("^over TLSv1", https("--cacert", certs.ca, "https://localhost/").stdout)
    assert.matches("^over TLSv1", https("-k", "https://localhost/").stdout)
    local result = https("https://localhost/")
    assert.are.equal(60, result.status)
    assert.matches("tls failure: ", result.stderr)
    result = https("--cacert", certs.ca, "https://other.example/")
    assert.are.equal(60, result.status)
  end)
end)
