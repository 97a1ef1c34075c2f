--- hv.tls, the option `tls` of hv.tcp and hv.http, conn:start_tls and conn:tls; also against the
--- openssl program on the other side.
local certs_of = require "certs"
local helper = require "helper"
local hv = require "hv"

local certs, localhost, other, client, expired

setup(function()
  certs = certs_of.new()
  localhost = certs:issue("localhost", "DNS:localhost,IP:127.0.0.1")
  other = certs:issue("other.example", "DNS:other.example,DNS:*.wild.example")
  client = certs:issue("client", "DNS:client")
  expired = certs:issue("localhost", "DNS:localhost,IP:127.0.0.1", { days = -1, stem = "expired" })
end)

teardown(function() certs:remove() end)

local open = {}

local function keep(handle)
  open[#open + 1] = handle
  return handle
end

local function echo(conn)
  for chunk in conn:chunks() do assert(conn:write(chunk)) end
end

local function listen(tls, handler, more)
  local options = more or {}
  options.host, options.port, options.tls = "127.0.0.1", 0, tls
  return keep(assert(hv.tcp.listen(options, handler or echo)))
end

local function connect(server, tls, more)
  local options = more or {}
  options.host, options.port, options.tls = "127.0.0.1", server:port(), tls
  local conn, message, code = hv.tcp.connect(options)
  if conn then keep(conn) end
  return conn, message, code
end

local function tls_server(more)
  local t = { cert = localhost.cert, key = localhost.key }
  for key, value in pairs(more or {}) do t[key] = value end
  return t
end

--- Runs the openssl program with what is written to it; returns all that it has printed.
local function openssl(arguments, input)
  local p = assert(hv.process.spawn { "openssl", stdin = "pipe", stdout = "pipe", stderr = "pipe",
    unpack(arguments) })
  local output = { "", "" }
  local readers = {}
  for i, from in ipairs { p.stdout, p.stderr } do
    readers[i] = hv.go(function()
      for chunk in from:chunks() do output[i] = output[i] .. chunk end
    end)
  end
  if input then p.stdin:write(input) end
  return {
    output = function() return output[1] .. output[2] end,
    stdout = function() return output[1] end,
    --- Ends its input; it ends then by itself, or is ended.
    finish = function(signal)
      p.stdin:close()
      if signal then p:kill(signal) end
      p:wait()
      for _, reader in ipairs(readers) do reader:join() end
      return output[1] .. output[2]
    end,
  }
end

describe("hv.tls", function()
  after_each(function()
    for i, handle in ipairs(open) do
      handle:close()
      open[i] = nil
    end
  end)

  describe("connect", function()
    it("verifies chain and name, and tells what was agreed on", function()
      local server = listen(tls_server { alpn = { "h2", "echo" } })
      local conn = assert(connect(server, { ca = certs.ca, alpn = { "echo" } }))
      conn:write("hello")
      assert.equal("hello", conn:read())
      local facts = conn:tls()
      assert.equal("TLSv1.3", facts.version)
      assert.matches("^TLS_AES", facts.cipher)
      assert.equal("echo", facts.alpn)
      assert.is_false(facts.resumed)
      local peer = facts.peer_certificate
      assert.equal("CN=localhost", peer.subject)
      assert.equal("CN=root", peer.issuer)
      assert.same({ "localhost", "127.0.0.1" }, peer.names)
      assert.equal(64, #peer.fingerprint)
      assert.matches("^%x+$", peer.serial)
      assert.is_true(peer.not_before <= os.time() and peer.not_after > os.time() + 86400)
      assert.equal(certs_of.read(localhost.cert), peer.pem)
    end)

    it("tells nothing of a connection in clear", function()
      local server = listen(nil)
      local conn = assert(connect(server, nil))
      assert.is_nil(conn:tls())
    end)

    it("refuses who is signed by nobody that it trusts, with the reason", function()
      local server = listen(tls_server())
      local conn, message, code = connect(server, true)
      assert.is_nil(conn)
      assert.matches("^connect 127.0.0.1:%d+: tls failure: unable to get local issuer certificate$",
        message)
      assert.equal("ETLS", code)
    end)

    it("refuses another name, and takes the name that it is told", function()
      local server = listen { cert = other.cert, key = other.key }
      local _, message, code = connect(server, { ca = certs.ca })
      assert.matches("IP address mismatch", message)
      assert.equal("ETLS", code)
      _, message = connect(server, { ca = certs.ca, server_name = "www.example" })
      assert.matches("hostname mismatch", message)
      local conn = assert(connect(server, { ca = certs.ca, server_name = "other.example" }))
      assert.equal("other.example", conn:tls().server_name)
      conn:write("x")
      assert.equal("x", conn:read())
      assert(connect(server, { ca = certs.ca, server_name = "a.wild.example" }))
    end)

    it("refuses a certificate whose time is over", function()
      local server = listen { cert = expired.cert, key = expired.key }
      local _, message, code = connect(server, { ca = certs.ca })
      assert.matches("certificate has expired", message)
      assert.equal("ETLS", code)
      assert(connect(server, { verify = false }))
    end)

    it("trusts PEM text and folders as well", function()
      local server = listen { cert = certs_of.read(localhost.cert),
        key = certs_of.read(localhost.key) }
      assert(connect(server, { ca = certs_of.read(certs.ca) }))
      local folder = certs:path("roots")
      os.execute(("mkdir -p %s && cp %s %s/ && openssl rehash %s"):format(folder, certs.ca, folder,
        folder))
      assert(connect(server, { ca = folder }))
    end)

    it("fails with words where the peer speaks no TLS", function()
      local server = listen(nil, function(conn) conn:write("220 hello\r\n") conn:read() end)
      local _, message, code = connect(server, { ca = certs.ca })
      assert.matches("tls failure: wrong version number$", message)
      assert.equal("ETLS", code)
    end)

    it("gives the handshake no more time than it has to connect", function()
      local server = listen(nil, function(conn) conn:read() conn:read() end)
      local _, message, code = connect(server, { ca = certs.ca }, { timeout = 20 })
      assert.matches("timed out", message)
      assert.equal("ETIMEDOUT", code)
    end)

    it("is an option of a client that reconnects", function()
      local server = listen(tls_server(), function(conn) conn:write(conn:read()) end) -- and closes
      local got, opens = {}, 0
      local one = keep(assert(hv.tcp.client { host = "127.0.0.1", port = server:port(),
        tls = { ca = certs.ca }, reconnect = { min_delay = 1 },
        on_open = function(self)
          opens = opens + 1
          assert.equal("TLSv1.3", self:conn():tls().version)
          self:write("x" .. opens)
        end,
        on_message = function(_, data) got[#got + 1] = data end }))
      helper.eventually(function() return #got >= 2 end)
      assert.same({ "x1", "x2" }, { got[1], got[2] })
      one:close()
      local note, calls = helper.recorder()
      assert(hv.tcp.client { host = "127.0.0.1", port = server:port(), tls = true,
        reconnect = false, on_close = note })
      helper.eventually(function() return calls[1] end)
      assert.matches("tls failure: unable to get local issuer certificate", calls[1][2])
      assert.equal("ETLS", calls[1][3])
      local none, message, code = hv.tcp.client { host = "127.0.0.1", port = server:port(),
        tls = { ca = "/nowhere/ca.pem" } }
      assert.is_nil(none)
      assert.equal("connect: trusted roots /nowhere/ca.pem: no such file or directory", message)
      assert.equal("ETLS", code)
    end)

    it("tells on_close what TLS has failed at, also behind the handshake", function()
      local server = listen(tls_server { ca = certs.ca, client_auth = "require" })
      local note, calls = helper.recorder()
      assert(hv.tcp.client { host = "127.0.0.1", port = server:port(), tls = { ca = certs.ca },
        reconnect = false, on_close = note })
      helper.eventually(function() return calls[1] end)
      assert.matches("tls failure: .*certificate required", calls[1][2])
      assert.equal("ETLS", calls[1][3])
    end)

    it("refuses misuse, naming it", function()
      local function refused(pattern, tls)
        local ok, message = pcall(hv.tcp.connect, { host = "127.0.0.1", port = 1, tls = tls })
        assert.is_false(ok)
        assert.matches(pattern, message, 1, true)
        assert.matches("^[^:]*spec/hv/tls_spec.lua:%d+: ", message)
      end
      refused('tls: unknown option "certt", did you mean "cert"', { certt = 1 })
      refused('min_version must be one of "1.2", "1.3", got "1.1"', { min_version = "1.1" })
      refused("alpn must be a list", { alpn = "h2" })
      refused("alpn[1] must be a name", { alpn = { "a,b" } })
      refused("cert, key and ca are paths or PEM text", { ca = 1 })
      refused("tls must be true, a table or a context, got x", "x")
      assert.has_error(function() hv.tcp.listen({ port = 0, tls = true }, echo) end)
      assert.has_error(function() hv.tcp.listen({ port = 0, tls = {} }, echo) end)
      assert.has_error(function()
        hv.tcp.listen({ port = 0, tls = tls_server { client_auth = "require" } }, echo)
      end)
      assert.has_error(function()
        hv.tcp.listen({ port = 0, tls = tls_server { names = { 1 } } }, echo)
      end)
    end)
  end)

  describe("files", function()
    local function fails(pattern, tls)
      local server, message, code = hv.tcp.listen({ host = "127.0.0.1", port = 0, tls = tls }, echo)
      assert.is_nil(server)
      assert.matches(pattern, message, 1, true)
      assert.equal("ETLS", code)
    end

    it("are named with what is wrong with them", function()
      fails("listen: certificate /nowhere/c.pem: no such file or directory",
        { cert = "/nowhere/c.pem" })
      fails("listen: private key /nowhere/k.pem: no such file or directory",
        { cert = localhost.cert, key = "/nowhere/k.pem" })
      fails(("private key %s: key values mismatch"):format(other.key),
        { cert = localhost.cert, key = other.key })
      fails(("certificate %s: there is no certificate in it"):format(localhost.key),
        { cert = localhost.key })
      fails(("private key %s: there is no private key in it"):format(localhost.cert),
        { cert = localhost.cert })
      fails("trusted roots /nowhere/ca.pem: no such file", tls_server { ca = "/nowhere/ca.pem" })
      fails("private key (PEM text): ", { cert = localhost.cert,
        key = "-----BEGIN PRIVATE KEY-----\nnonsense\n-----END PRIVATE KEY-----\n" })
      fails("ciphers NONSENSE: no cipher match", tls_server { ciphers = "NONSENSE" })
      local none, message, code = hv.tls.context { cert = "/nowhere/c.pem" }
      assert.is_nil(none)
      assert.equal("certificate /nowhere/c.pem: no such file or directory", message)
      assert.equal("ETLS", code)
    end)

    it("are not asked for a password", function()
      local key = certs:path("locked.key")
      os.execute(("openssl ec -in %s -out %s -aes128 -passout pass:secret 2>/dev/null"):format(
        localhost.key, key))
      fails("it is encrypted", { cert = localhost.cert, key = key })
    end)
  end)

  describe("listen", function()
    it("asks for a certificate of the client's, or demands one", function()
      local seen
      local function note(conn)
        seen = conn:tls().peer_certificate
        conn:write("ok")
      end
      local required = listen(tls_server { ca = certs.ca, client_auth = "require" }, note)
      local conn = assert(connect(required,
        { ca = certs.ca, cert = client.cert, key = client.key }))
      assert.equal("ok", conn:read())
      assert.equal("CN=client", seen.subject)
      -- In TLS 1.3 the server's refusal comes after the client's handshake.
      local _, message, code = connect(required, { ca = certs.ca })
      if not message then
        conn = open[#open]
        _, message, code = conn:read()
      end
      assert.matches("certificate required", message)
      assert.equal("ETLS", code)
      seen = 1
      local asked = listen(tls_server { ca = certs.ca, client_auth = "request" }, note)
      conn = assert(connect(asked, { ca = certs.ca }))
      assert.equal("ok", conn:read())
      assert.is_nil(seen)
    end)

    it("shows the certificate of the name that the client asks for", function()
      local server = listen(tls_server { names = {
        ["other.example"] = { cert = other.cert, key = other.key },
        ["*.wild.example"] = hv.tls.context { cert = other.cert, key = other.key },
      } })
      local function subject(name)
        local conn = assert(connect(server, { ca = certs.ca, server_name = name }))
        return conn:tls().peer_certificate.subject
      end
      assert.equal("CN=localhost", subject("localhost"))
      assert.equal("CN=other.example", subject("other.example"))
      assert.equal("CN=other.example", subject("b.wild.example"))
      local conn = assert(connect(server, { ca = certs.ca })) -- an address asks for no name
      assert.equal("CN=localhost", conn:tls().peer_certificate.subject)
    end)

    it("keeps to the versions that it is told", function()
      local server = listen(tls_server { min_version = "1.3" })
      local old = openssl({ "s_client", "-connect", "127.0.0.1:" .. server:port(), "-tls1_2",
        "-brief" })
      assert.matches("alert protocol version", old.finish())
      local conn = assert(connect(server, { ca = certs.ca, min_version = "1.3" }))
      assert.equal("TLSv1.3", conn:tls().version)
    end)

    it("refuses who has none of its protocols", function()
      local server = listen(tls_server { alpn = { "a" } })
      local _, message, code = connect(server, { ca = certs.ca, alpn = { "b" } })
      assert.matches("no application protocol", message)
      assert.equal("ETLS", code)
      assert.is_nil(assert(connect(server, { ca = certs.ca })):tls().alpn)
    end)

    it("serves the event style and unix sockets", function()
      local path = certs:path("sock")
      local server = keep(assert(hv.tcp.listen { path = path, tls = tls_server(),
        on_message = function(conn, data) conn:write(data:upper()) end }))
      local conn = keep(assert(hv.tcp.connect { path = path,
        tls = { ca = certs.ca, server_name = "localhost" } }))
      conn:write("abc")
      assert.equal("ABC", conn:read())
      local _, message, code = hv.tcp.connect { path = path, tls = { ca = certs.ca } }
      assert.matches("no host name to verify", message)
      assert.equal("ETLS", code)
      assert(server)
    end)

    it("gives a handshake no more than its time", function()
      local server = listen(tls_server(), echo, { handshake_timeout = 300 })
      local silent = assert(connect(server, nil))
      assert.equal("EOF", select(3, silent:read()))
      local conn = assert(connect(server, { ca = certs.ca }))
      conn:write("x")
      assert.equal("x", conn:read())
    end)

    it("goes on after a handshake that fails or never ends", function()
      local server = listen(tls_server())
      local silent = assert(connect(server, nil))
      local rude = assert(connect(server, nil))
      rude:write("GET / HTTP/1.0\r\n\r\n")
      repeat local chunk = rude:read() until not chunk -- an alert, then the end
      local conn = assert(connect(server, { ca = certs.ca }))
      conn:write("x")
      assert.equal("x", conn:read())
      silent:close()
    end)
  end)

  describe("a context", function()
    it("serves several listeners, and reloads without dropping connections", function()
      local cert, key = certs:path("live.pem"), certs:path("live.key")
      local function install(pair)
        certs_of.write(cert, certs_of.read(pair.cert))
        certs_of.write(key, certs_of.read(pair.key))
      end
      install(localhost)
      local context = assert(hv.tls.context { cert = cert, key = key })
      assert.equal("hv.tls{server}", tostring(context))
      local first, second = listen(context), listen(context)
      local rules = assert(hv.tls.context { ca = certs.ca, verify = false })
      local conn = assert(connect(first, rules))
      assert.equal("CN=localhost", conn:tls().peer_certificate.subject)
      install(other)
      assert.is_true(context:reload())
      for _, server in ipairs { first, second } do
        local fresh = assert(connect(server, rules))
        assert.equal("CN=other.example", fresh:tls().peer_certificate.subject)
      end
      conn:write("still there")
      assert.equal("still there", conn:read())
      -- What cannot be read changes nothing.
      certs_of.write(key, "nonsense")
      local ok, message, code = context:reload()
      assert.is_nil(ok)
      assert.matches("private key " .. key, message, 1, true)
      assert.equal("ETLS", code)
      local fresh = assert(connect(first, rules))
      assert.equal("CN=other.example", fresh:tls().peer_certificate.subject)
    end)

    it("reloads the certificates of its names", function()
      local cert, key = certs:path("named.pem"), certs:path("named.key")
      local function install(pair)
        certs_of.write(cert, certs_of.read(pair.cert))
        certs_of.write(key, certs_of.read(pair.key))
      end
      install(other)
      local context = assert(hv.tls.context(tls_server { names = {
        ["named.example"] = { cert = cert, key = key } } }))
      local server = listen(context)
      local function subject()
        local conn = assert(connect(server, { verify = false, server_name = "named.example" }))
        return conn:tls().peer_certificate.subject
      end
      assert.equal("CN=other.example", subject())
      install(client)
      assert.is_true(context:reload())
      assert.equal("CN=client", subject())
    end)

    it("takes an earlier session up", function()
      local server = listen(tls_server(), function(conn) conn:write("x") conn:read() end)
      local rules = assert(hv.tls.context { ca = certs.ca })
      local first = assert(connect(server, rules))
      assert.equal("x", first:read()) -- tickets come with the first bytes
      first:close()
      assert.is_true(assert(connect(server, rules)):tls().resumed)
    end)

    it("outlives its last reference in what it serves", function()
      local server = listen(assert(hv.tls.context(tls_server())))
      for _ = 1, 3 do collectgarbage() end
      local conn = assert(connect(server, { ca = certs.ca }))
      for _ = 1, 3 do collectgarbage() end
      conn:write("x")
      assert.equal("x", conn:read())
    end)
  end)

  describe("start_tls", function()
    --- A server of a protocol that begins in clear.
    local function mail_server(after)
      return listen(nil, function(conn)
        conn:write("220 ready\r\n")
        assert.equal("STARTTLS", conn:read_line())
        conn:write("220 go ahead\r\n")
        local ok, message, code = conn:start_tls(tls_server())
        after(conn, ok, message, code)
      end)
    end

    it("goes on under TLS on both sides", function()
      local server = mail_server(function(conn, ok)
        assert.is_true(ok)
        echo(conn)
      end)
      local conn = assert(connect(server, nil))
      assert.equal("220 ready", conn:read_line())
      conn:write("STARTTLS\r\n")
      assert.equal("220 go ahead", conn:read_line())
      assert.is_nil(conn:tls())
      assert.is_true(conn:start_tls { ca = certs.ca })
      assert.equal("TLSv1.3", conn:tls().version)
      conn:write("secret")
      assert.equal("secret", conn:read())
      assert.equal("EBUSY", select(3, conn:start_tls { ca = certs.ca }))
    end)

    it("verifies the host that it has connected to", function()
      local server = mail_server(function() end)
      local conn = assert(hv.tcp.connect("127.0.0.1:" .. server:port()))
      conn:read_line()
      conn:write("STARTTLS\r\n")
      conn:read_line()
      local ok, message, code = conn:start_tls { ca = certs.ca, server_name = "other.example" }
      assert.is_nil(ok)
      assert.equal("start_tls: tls failure: hostname mismatch", message)
      assert.equal("ETLS", code)
      assert.equal("ETLS", select(3, conn:read()))
    end)

    it("takes nothing that was sent in clear for what comes under TLS", function()
      -- CVE-2011-0411: whoever is in between puts commands behind STARTTLS.
      local got = {}
      local server = mail_server(function(conn, ok, message, code)
        got = { ok = ok, message = message, code = code, data = ok and conn:read() }
      end)
      local conn = assert(connect(server, nil))
      conn:read_line()
      conn:write("STARTTLS\r\nDELETE everything\r\n")
      helper.eventually(function() return got.code end)
      assert.is_nil(got.ok)
      assert.equal("ETLS", got.code)
      assert.matches("^start_tls: tls failure: ", got.message)
    end)

    it("works from a function, and in the event style", function()
      local server = keep(assert(hv.tcp.listen { host = "127.0.0.1", port = 0,
        unpack = { mode = "delimiter", delimiter = "\n" },
        on_message = function(conn, data)
          if data ~= "STARTTLS\n" then return conn:write("got " .. data) end
          conn:write("go\n")
          assert(conn:start_tls(tls_server()))
        end }))
      local conn = assert(connect(server, nil))
      conn:write("plain\n")
      assert.equal("got plain", conn:read_line())
      conn:write("STARTTLS\n")
      assert.equal("go", conn:read_line())
      local got, calls = helper.recorder()
      conn:start_tls({ ca = certs.ca }, got)
      helper.eventually(function() return calls[1] end)
      assert.is_true(calls[1][1])
      conn:write("secret\n")
      assert.equal("got secret", conn:read_line())
    end)

    it("ends with the connection, after its timeout, and when it is cancelled", function()
      local server = listen(nil, function(conn) conn:read() conn:read() end)
      local conn = assert(connect(server, nil))
      local _, message, code = conn:start_tls({ ca = certs.ca }, 10)
      assert.equal("start_tls: timed out", message)
      assert.equal("ETIMEDOUT", code)
      conn = assert(connect(server, nil))
      local task = hv.go(conn.start_tls, conn, { ca = certs.ca })
      helper.until_waiting(task)
      assert.equal("EBUSY", select(3, conn:read()))
      conn:close()
      assert.same({ nil, "start_tls: closed", "ECLOSED" }, { task:join() })
      conn = assert(connect(server, nil))
      task = hv.go(conn.start_tls, conn, { ca = certs.ca })
      helper.until_waiting(task)
      task:cancel()
      task:join()
      helper.eventually(function() return tostring(conn):find("closed", 1, true) end)
      assert.equal("ECLOSED", select(3, conn:start_tls { ca = certs.ca }))
    end)
  end)

  describe("with openssl", function()
    it("is understood by s_client, which verifies", function()
      local server = listen(tls_server())
      local peer = openssl({ "s_client", "-connect", "127.0.0.1:" .. server:port(), "-CAfile",
        certs.ca, "-verify_return_error", "-verify_ip", "127.0.0.1", "-quiet" }, "over there\n")
      helper.eventually(function() return peer.stdout():find("over there", 1, true) end)
      peer.finish("term")
    end)

    it("is shown another certificate by its name", function()
      local server = listen(tls_server { names = { ["other.example"] = other } })
      local peer = openssl({ "s_client", "-connect", "127.0.0.1:" .. server:port(), "-CAfile",
        certs.ca, "-servername", "other.example", "-verify_hostname", "other.example", "-brief" })
      local output = peer.finish()
      assert.matches("Peer certificate: CN = other.example", output, 1, true)
      assert.matches("Verification: OK", output, 1, true)
    end)

    it("begins in clear with s_client -starttls", function()
      local server = listen(nil, function(conn)
        conn:write("220 mail.example\r\n")
        assert.matches("^EHLO", conn:read_line())
        conn:write("250-mail.example\r\n250 STARTTLS\r\n")
        assert.equal("STARTTLS", conn:read_line())
        conn:write("220 ready\r\n")
        assert(conn:start_tls(tls_server()))
        conn:write("250 " .. conn:read_line() .. "\r\n")
      end)
      local peer = openssl({ "s_client", "-connect", "127.0.0.1:" .. server:port(), "-starttls",
        "smtp", "-CAfile", certs.ca, "-verify_return_error", "-quiet" }, "NOOP\n")
      helper.eventually(function() return peer.stdout():find("250 NOOP", 1, true) end)
      peer.finish("term")
    end)

    it("talks to s_server, also with a certificate of its own", function()
      local server = openssl({ "s_server", "-accept", "127.0.0.1:0", "-cert", localhost.cert,
        "-key", localhost.key, "-CAfile", certs.ca, "-Verify", "1", "-verify_return_error",
        "-rev" })
      local port = helper.eventually(function()
        return server.output():match("ACCEPT %S-:(%d+)")
      end)
      local conn = keep(assert(hv.tcp.connect { host = "127.0.0.1", port = tonumber(port),
        tls = { ca = certs.ca, cert = client.cert, key = client.key } }))
      conn:write("hello\n")
      assert.equal("olleh", conn:read_line())
      conn:close()
      server.finish("term")
    end)
  end)

  describe("hv.http", function()
    it("serves https, with what the client can speak agreed on", function()
      local app = hv.http.app()
      app:get("/", function(req) return req.scheme .. "\n" end)
      local server = assert(app:listen { host = "127.0.0.1", port = 0, tls = tls_server() })
      local result = hv.process.run { "curl", "-sS", "-w", "%{http_version}", "--cacert", certs.ca,
        "https://127.0.0.1:" .. server:port() .. "/" }
      assert.equal("https\n2", result.stdout)
      local conn = assert(connect(server, { ca = certs.ca, alpn = { "http/1.1" } }))
      assert.equal("http/1.1", conn:tls().alpn)
      server:close(0)
    end)

    it("says which certificate it cannot read", function()
      local app = hv.http.app()
      local server, message, code = app:listen { port = 0,
        tls = { cert = "/nowhere/c.pem" } }
      assert.is_nil(server)
      assert.equal("listen: certificate /nowhere/c.pem: no such file or directory", message)
      assert.equal("ETLS", code)
    end)
  end)
end)
