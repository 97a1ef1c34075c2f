--- What examples/httpd.conf can say, asked for by curl: hosts, certificates by name, proxies, pages
--- of errors, fallbacks, passwords, rates, redirects, logs; and a reload that takes all of it anew.
local certs_of = require "certs"
local helper = require "helper"
local hv = require "hv"

local hvlua = os.getenv("HVLUA") or "build/bin/hvlua"
local here = assert(io.popen("pwd")):read("*l")
if hvlua:sub(1, 1) ~= "/" then hvlua = here .. "/" .. hvlua end

local dir, port, https_port, certs, back, main_cert, own_cert, new_cert

local function run(...)
  local words = { ... }
  words.cwd, words.stderr, words.timeout = dir, "pipe", 60000
  return assert(hv.process.run(words))
end

local function httpd(...) return run(hvlua, here .. "/examples/httpd.lua", ...) end

local function write(name, text) assert(hv.fs.write(dir .. "/" .. name, text)) end

local function write_config(own_host)
  write("httpd.conf", ([[
port = %d
worker_processes = 1
document_root = root
access_log = logs/main.log
logfile = logs/httpd.log
compress = on
error_page_404 = missing.html
max_body = 1M
trusted_proxies = 127.0.0.1
[https]
port = %d
certificate = %s
key = %s
[host own.example]
document_root = own
fallback = /index.html
cache_control = max-age=7
access_log = logs/own.log
%s
[host safe.example]
document_root = root
redirect_https = on
[host old.example]
redirect = https://own.example
[host slow.example]
document_root = root
rate_limit = 2/h
max_body = 10
deny = 192.0.2.0/24
[proxy]
/back = http://127.0.0.1:%d balance=least_busy
[proxy own.example]
/api = http://127.0.0.1:%d keep_host=true
[auth /secret]
ann = word
[auth own.example/]
bob = word
]]):format(port, https_port, main_cert.cert, main_cert.key, own_host, back:port(), back:port()))
end

local function own_lines(cert)
  return ("certificate = %s\nkey = %s"):format(cert.cert, cert.key)
end

--- Body, status and the headers, their names in lower case.
local function curl(host, path, ...)
  local words = { "curl", "-s", "-m", "30", "--path-as-is", "-i", "--cacert", certs.ca,
    "--resolve", ("*:%d:127.0.0.1"):format(port),
    "--resolve", ("*:%d:127.0.0.1"):format(https_port),
    ("http://%s:%d%s"):format(host, port, path), ... }
  local result = assert(hv.process.run(words))
  local head, body = result.stdout:match("^(.-)\r\n\r\n(.*)$")
  assert(head, result.stdout)
  local headers = {}
  for name, value in head:gmatch("\n([^:\r\n]+): ([^\r\n]*)") do headers[name:lower()] = value end
  return body, tonumber(head:match("^HTTP/%S+ (%d+)")), headers
end

local function subject(name)
  local p = assert(hv.process.run { "openssl", "s_client", "-connect", "127.0.0.1:" .. https_port,
    "-servername", name, "-CAfile", certs.ca, input = "", stderr = "pipe" })
  return p.stdout:match("subject=%s*CN%s*=%s*([%w.-]+)")
end

setup(function()
  dir = assert(hv.fs.tmpdir())
  certs = certs_of.new()
  main_cert = certs:issue("main.example", "DNS:main.example")
  own_cert = certs:issue("own.example", "DNS:own.example")
  new_cert = certs:issue("new.example", "DNS:own.example")
  port, https_port = helper.free_port(), helper.free_port()
  for _, name in ipairs { "root/secret", "own", "logs" } do
    assert(hv.fs.mkdir(dir .. "/" .. name, { recursive = true }))
  end
  write("root/index.html", "<h1>main</h1>")
  write("root/secret/index.html", "<h1>secret</h1>")
  write("own/index.html", "<h1>own</h1>")
  write("missing.html", "<h1>nothing here</h1>")
  local app = hv.http.app()
  app:get("/whoami", function(req) return req.host .. " " .. req.path end)
  back = assert(app:listen { host = "127.0.0.1", port = 0 })
  write_config(own_lines(own_cert))
  local result = httpd("-c", "httpd.conf", "-s", "restart", "-d")
  assert.are.same({ 0, "httpd start/running\n" }, { result.status, result.stdout }, result.stderr)
end)

teardown(function()
  httpd("-c", "httpd.conf", "-s", "stop")
  back:close(0)
  certs:remove()
  hv.fs.remove(dir, { recursive = true })
end)

describe("httpd.conf", function()
  it("has hosts with files and pages of their own", function()
    assert.are.same({ "<h1>main</h1>", 200 }, { (curl("main.example", "/")), 200 })
    local body, status = curl("main.example", "/none", "-H", "Accept: text/html")
    assert.are.same({ "<h1>nothing here</h1>", 404 }, { body, status })
    local headers
    body, status, headers = curl("own.example", "/", "-u", "bob:word")
    assert.are.same({ "<h1>own</h1>", 200, "max-age=7" },
      { body, status, headers["cache-control"] })
  end)

  it("has a fallback for programs in one page", function()
    local body, status = curl("own.example", "/some/view", "-u", "bob:word")
    assert.are.same({ "<h1>own</h1>", 200 }, { body, status })
    assert.are.equal(404, (select(2, curl("own.example", "/none.js", "-u", "bob:word"))))
    assert.are.equal(404, (select(2, curl("main.example", "/some/view"))))
  end)

  it("has passwords, which no other spelling of a path goes around", function()
    for _, path in ipairs { "/secret", "/secret/", "/secret/index.html", "/%73ecret/", "//secret/",
      "/x/../secret/", "/./secret/" } do
      local _, status, headers = curl("main.example", path)
      assert.are.equal(401, status, path)
      assert.matches("^Basic realm=", headers["www-authenticate"])
    end
    assert.are.same({ "<h1>secret</h1>", 200 }, { curl("main.example", "/secret/",
      "-u", "ann:word"), 200 })
    assert.are.equal(401, (select(2, curl("main.example", "/secret/", "-u", "bob:word"))))
    assert.are.equal(200, (select(2, curl("main.example", "/secrets"))) == 404 and 200)
  end)

  it("has redirects to HTTPS and to other hosts", function()
    local _, status, headers = curl("safe.example", "/a?b=c")
    assert.are.same({ 301, ("https://safe.example:%d/a?b=c"):format(https_port) },
      { status, headers.location })
    assert.are.equal(404, (select(2, curl("safe.example", "/.well-known/acme-challenge/x"))))
    _, status, headers = curl("old.example", "/a?b=c")
    assert.are.same({ 301, "https://own.example/a?b=c" }, { status, headers.location })
  end)

  it("believes its proxies, and turns addresses away", function()
    assert.are.equal(403, (select(2, curl("slow.example", "/", "-H",
      "X-Forwarded-For: 192.0.2.1"))))
    local _, status = curl("safe.example", "/", "-H", "X-Forwarded-Proto: https")
    assert.are.equal(200, status) -- TLS has ended before us
  end)

  it("has limits", function()
    assert.are.equal(413, (select(2, curl("slow.example", "/", "-d", ("x"):rep(11)))))
    assert.are.equal(200, (select(2, curl("slow.example", "/"))))
    local _, status, headers = curl("slow.example", "/")
    assert.are.equal(429, status)
    assert.is_true(tonumber(headers["retry-after"]) > 0)
    assert.are.equal(200, (select(2, curl("main.example", "/"))))
  end)

  it("has proxies, for each host its own", function()
    assert.are.equal(("127.0.0.1:%d /whoami"):format(back:port()),
      (curl("main.example", "/back/whoami")))
    assert.matches("^own%.example:?%d* /whoami$", (curl("own.example", "/api/whoami", "-u",
      "bob:word")))
    assert.are.equal(404, (select(2, curl("main.example", "/api/whoami"))))
  end)

  it("compresses what is not a file as well", function()
    local text = ("abc "):rep(1000)
    local body, _, headers = curl("main.example", "/echo", "--compressed", "-d", text,
      "-H", "Content-Type: text/plain")
    assert.are.equal(text, body)
    assert.is_truthy(headers["content-encoding"])
  end)

  it("has certificates by name, and serves HTTPS and HTTP/2", function()
    assert.are.equal("main.example", subject("main.example"))
    assert.are.equal("own.example", subject("own.example"))
    assert.are.equal("main.example", subject("other.example"))
    local result = assert(hv.process.run { "curl", "-s", "-m", "30", "--cacert", certs.ca, "-u",
      "bob:word", "-w", " %{http_version}", "--resolve", ("*:%d:127.0.0.1"):format(https_port),
      ("https://own.example:%d/"):format(https_port) })
    assert.matches("^<h1>own</h1> [12]", result.stdout)
  end)

  it("has a log for each host, which may be renamed", function()
    local function logged(file, what)
      helper.eventually(function()
        return (hv.fs.read(dir .. "/logs/" .. file) or ""):find(what, 1, true)
      end, 10)
    end
    logged("own.log", '- bob [')
    logged("main.log", '"GET /none HTTP/1.1" 404')
    assert.is_nil(hv.fs.read(dir .. "/logs/main.log"):find("bob", 1, true))
    assert(hv.fs.rename(dir .. "/logs/main.log", dir .. "/logs/main.log.1"))
    curl("main.example", "/after")
    logged("main.log", "GET /after ")
  end)

  it("takes hosts and certificates anew by a reload, and loses no request", function()
    local failures, count, is_over = {}, 0, false
    local client = hv.http.client { tls = { ca = certs.ca, server_name = "main.example" } }
    local function load(fresh, scheme, to)
      while not is_over do
        local reply, message = client:get(("%s://127.0.0.1:%d/"):format(scheme, to),
          { fresh = fresh, headers = { Host = "main.example" } })
        if not reply or reply.status ~= 200 then
          failures[#failures + 1] = message or reply.status
        end
        count = count + 1
      end
    end
    local tasks = {}
    for i, fresh in ipairs { true, false, true, false } do
      local is_https = i > 2
      tasks[i] = hv.go(load, fresh, is_https and "https" or "http", is_https and https_port or port)
    end
    helper.eventually(function() return count > 20 end, 20)
    write_config(own_lines(new_cert) .. "\n[host late.example]\ndocument_root = own")
    assert.are.equal(0, httpd("-c", "httpd.conf", "-s", "reload").status)
    helper.eventually(function() return subject("own.example") == "new.example" end, 20)
    local after = count
    helper.eventually(function() return count > after + 20 end, 20)
    is_over = true
    for _, task in ipairs(tasks) do task:join() end
    client:close()
    assert.are.same({}, failures)
    assert.are.equal("<h1>own</h1>", (curl("late.example", "/")))
  end)

  it("stays as it is where it cannot be read, and the log says why", function()
    write_config("certificate = none.pem")
    httpd("-c", "httpd.conf", "-s", "reload")
    helper.eventually(function()
      for name in hv.fs.scan(dir .. "/logs") do
        local text = hv.fs.read(dir .. "/logs/" .. name)
        if text:find("httpd.conf:19: ", 1, true) and text:find("none.pem", 1, true) then
          return true
        end
      end
    end, 20)
    assert.are.equal("<h1>main</h1>", (curl("main.example", "/")))
  end)
end)

describe("httpd -t", function()
  local function tested(text)
    write("test.conf", text)
    local result = httpd("-c", "test.conf", "-t")
    return result.status, result.status == 0 and result.stdout or result.stderr
  end

  it("takes the example's configuration, also with all that is commented out", function()
    local text = assert(hv.fs.read(here .. "/examples/httpd.conf"))
    text = text:gsub("\n# (%[?[%w_/]+[^\n]*)", function(line)
      local is_code = line:find("^%[[%w_ .*/]+%]$") or line:find("^[%w_/]+ = ")
      return is_code and "\n" .. line or nil
    end)
    text = text:gsub("examples/html/404.html", "missing.html"):gsub("examples/html", "root")
      :gsub("/srv/www", "own"):gsub("cert.pem", main_cert.cert):gsub("key.pem", main_cert.key)
      :gsub("www.pem", own_cert.cert):gsub("www.key", own_cert.key)
    assert.are.same({ 0, "Test confile [test.conf] OK!\n" }, { tested(text) })
  end)

  it("names lines, and what was meant", function()
    for text, message in pairs {
      ["port = 80\nprot = 90\n"] = 'test.conf:2: unknown name "prot", did you mean "port"?',
      ["[htps]\nport = 1\n"] = "test.conf:2: unknown section [htps], did you mean [https]?",
      ["\n\nport = many\n"] = 'test.conf:3: port must be a port, 0..65535, not "many"',
      ["index_of = perhaps\n"] = 'test.conf:1: index_of must be on or off, not "perhaps"',
      ["document_root = none\n"] = "test.conf:1: document_root: stat none: ",
      ["rate_limit = fast\n"] = "test.conf:1: rate_limit: a rate is",
      ["[host a]\naccess_log_format = x\n"] = "test.conf:2: access_log_format: ",
      ["[proxy]\n/a = http://a balence=1\n"] = 'test.conf:2: /a: unknown option "balence"',
      ["[proxy]\n/a = ftp://a\n"] = 'test.conf:2: /a: ',
      ["[https]\nport = 1\n"] = "[https] needs a certificate",
    } do
      local status, output = tested(text)
      assert.are.equal(1, status)
      assert.is_truthy(output:find(message, 1, true), output)
    end
  end)
end)
