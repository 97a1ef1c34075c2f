--- examples/wget.lua against nginx, through a front that notes each request and breaks connections
--- off where a test says so.
local certs_of = require "certs"
local hv = require "hv"
local nginx_of = require "nginx"

local hvlua = os.getenv("HVLUA") or "build/bin/hvlua"
local SIZE = 3000000

local dir, nginx, front, url, requests, budgets, data

--- Passes requests on and answers back; the n-th connection gets budgets[n] bytes of answers and is
--- then broken off.
local function serve_front(conn)
  local up = assert(hv.tcp.connect { path = nginx.dir .. "/http" })
  local budget = table.remove(budgets, 1)
  local back = hv.go(function()
    for chunk in up:chunks() do
      if budget and #chunk >= budget then
        conn:write(chunk:sub(1, budget))
        break
      end
      budget = budget and budget - #chunk
      if not conn:write(chunk) then break end
    end
    conn:close()
    up:close()
  end)
  while true do
    local head = conn:read_until("\r\n\r\n")
    if not head then break end
    requests[#requests + 1] = head
    up:write(head)
  end
  up:close()
  back:join()
end

local function write_data(seed, more)
  local pieces, state = {}, seed
  for i = 1, (SIZE + (more or 0)) / 10 do
    state = (state * 1103515245 + 12345) % 2147483648
    pieces[i] = ("%010d"):format(state)
  end
  data = table.concat(pieces)
  assert(hv.fs.write(dir .. "/www/big.bin", data))
end

setup(function()
  dir = assert(hv.fs.tmpdir())
  assert(hv.fs.mkdir(dir .. "/www"))
  write_data(1)
  assert(hv.fs.write(dir .. "/www/empty", ""))
  nginx = nginx_of.start(([[
    server {
      listen unix:@/http;
      root WWW;
      location / { }
      location /plain/ { alias WWW/; max_ranges 0; }
      location /secret { return 401; }
      location /broken { return 503; }
    }
  ]]):gsub("WWW", dir .. "/www"))
  front = assert(hv.tcp.listen({ host = "127.0.0.1", port = 0 }, serve_front))
  url = "http://127.0.0.1:" .. front:port()
end)

teardown(function()
  front:close()
  nginx:stop()
  hv.fs.remove(dir, { recursive = true })
end)

before_each(function()
  requests, budgets = {}, {}
  hv.fs.remove(dir .. "/out", { recursive = true })
  assert(hv.fs.mkdir(dir .. "/out"))
end)

local function wget(...)
  return assert(hv.process.run { hvlua, "examples/wget.lua", "-P", dir .. "/out",
    "--wait-retry", "1", timeout = 30000, env = { http_proxy = "", all_proxy = "" }, ... })
end

local function names()
  local list = {}
  for name in hv.fs.scan(dir .. "/out") do list[#list + 1] = name end
  return list
end

local function expect_file(result, name)
  assert.are.equal(0, result.status, result.stderr)
  assert.are.same({ name or "big.bin" }, names())
  assert.is_true(hv.fs.read(dir .. "/out/" .. (name or "big.bin")) == data)
end

--- The first byte that each request has asked for.
local function ranges_asked()
  local list = {}
  for i, head in ipairs(requests) do list[i] = head:match("Range: bytes=(%d+)") or "all" end
  return list
end

describe("examples/wget.lua", function()
  it("saves a file under its name, and says how far it is", function()
    local result = wget("--force-progress", url .. "/big.bin?x=1")
    expect_file(result)
    assert.matches("big.bin +100%%%[=+>%] +2.9M +[%d.]+[KMG]?/s", result.stderr)
    assert.matches("big.bin saved %[3000000%]", result.stderr)
    for line in result.stderr:gmatch("[^\r\n]+") do assert.is_true(#line <= 200) end
  end)

  it("keeps to the width that the terminal has", function()
    for _, columns in ipairs { 120, 60, 40 } do
      -- Without a terminal of its own it must ask the environment.
      local result = assert(hv.process.run { "setsid", "-w", hvlua, "examples/wget.lua",
        "-P", dir .. "/out", "--force-progress", url .. "/big.bin",
        env = { COLUMNS = tostring(columns) } })
      local longest = 0
      for line in result.stderr:gmatch("\r([^\r\n]+)") do longest = math.max(longest, #line) end
      assert.is_true(longest > 20 and longest < columns)
    end
  end)

  it("writes where it is told to, or nothing", function()
    expect_file(wget("-q", "-O", dir .. "/out/other", url .. "/big.bin"), "other")
    local result = wget("-q", "-O", "-", url .. "/big.bin")
    assert.is_true(result.stdout == data)
    assert.are.equal("", result.stderr)
    assert.are.equal(0, wget("-q", url .. "/empty").status)
    assert.are.equal(0, hv.fs.stat(dir .. "/out/empty").size)
    assert.are.equal(0, wget("-q", "-j", "3", url .. "/empty").status)
  end)

  it("gets several ranges at once", function()
    expect_file(wget("-j", "4", url .. "/big.bin"))
    local asked = ranges_asked()
    table.sort(asked, function(a, b) return tonumber(a) < tonumber(b) end)
    assert.are.same({ "0", "0", "750000", "1500000", "2250000" }, asked)
    local with_validator = 0
    for _, head in ipairs(requests) do
      if head:find('If-Range: "', 1, true) then with_validator = with_validator + 1 end
    end
    assert.are.equal(4, with_validator)
  end)

  it("gets all of it in one piece where the server has no ranges", function()
    expect_file(wget("-j", "4", url .. "/plain/big.bin"))
  end)

  it("goes on where a connection has broken off", function()
    budgets = { 1000000, 700000 }
    local result = wget(url .. "/big.bin")
    expect_file(result)
    assert.matches("trying again %(2%)", result.stderr)
    local asked = ranges_asked()
    assert.are.equal(3, #asked)
    assert.are.equal("all", asked[1])
    assert.is_true(tonumber(asked[2]) > 900000 and tonumber(asked[3]) > tonumber(asked[2]))
    assert.matches('If%-Range: "', requests[2])
  end)

  it("goes on with ranges that have broken off", function()
    budgets = { 1000, 300000, 200000 }
    expect_file(wget("-j", "3", url .. "/big.bin"))
  end)

  it("goes on with what an earlier call has left, if it is still the same", function()
    for _, jobs in ipairs { "1", "3" } do
      budgets = jobs == "1" and { 1000000 } or { 600, 600000, 100000, 400000 }
      local result = wget("-t", "1", "-j", jobs, url .. "/big.bin")
      assert.are.equal(4, result.status)
      assert.are.same({ "big.bin", "big.bin.wget" }, names())
      budgets, requests = {}, {}
      expect_file(wget("-c", "-j", jobs, url .. "/big.bin"))
      for _, head in ipairs(requests) do assert.matches("If%-Range: ", head) end
      assert.are.same({ "big.bin" }, names())
    end
    budgets = { 1000000 }
    assert.are.equal(4, wget("-t", "1", url .. "/big.bin").status)
    -- Of another length: nginx's validator has seconds and bytes, and the second may be the same.
    write_data(2, 1000)
    budgets = {}
    expect_file(wget("-c", url .. "/big.bin"))
    write_data(1)
  end)

  it("goes on with a file that another program has left", function()
    assert(hv.fs.write(dir .. "/out/big.bin", data:sub(1, 1234567)))
    expect_file(wget("-c", url .. "/big.bin"))
    assert.are.same({ "1234567", "1234567" }, ranges_asked())
    requests = {}
    expect_file(wget("-c", url .. "/big.bin")) -- it is whole
    assert.are.same({ "3000000" }, ranges_asked())
    -- Longer than what the server has: it is another file.
    assert(hv.fs.append(dir .. "/out/big.bin", "more"))
    expect_file(wget("-c", url .. "/big.bin"))
  end)

  it("exits with a status that says why", function()
    assert.are.equal(8, wget("-q", url .. "/none").status)
    assert.are.same({}, names())
    assert.are.equal(6, wget("-q", url .. "/secret").status)
    requests = {}
    assert.are.equal(8, wget("-q", "-t", "3", url .. "/broken").status)
    assert.are.equal(3, #requests)
    assert.are.equal(4, wget("-q", "-t", "1", "http://127.0.0.1:1/x").status)
    assert.are.equal(3, wget("-q", "-O", dir .. "/out/no/such/file", url .. "/big.bin").status)
    assert.are.equal(2, wget("-q").status)
    assert.are.equal(2, wget("--bogus", url).status)
    assert.matches("^Usage: wget", wget("--help").stdout)
  end)

  it("takes no certificate that it cannot verify", function()
    local certs = certs_of.new()
    local localhost = certs:issue("localhost", "DNS:localhost,IP:127.0.0.1")
    local app = hv.http.app()
    app:get("/x", function() return "safe" end)
    local server = assert(app:listen { host = "127.0.0.1", port = 0,
      tls = { cert = localhost.cert, key = localhost.key } })
    local https = "https://127.0.0.1:" .. server:port() .. "/x"
    assert.are.equal(5, wget("-q", "-t", "1", https).status)
    assert.are.equal("safe", wget("-q", "-O", "-", "--ca-certificate", certs.ca, https).stdout)
    assert.are.equal("safe", wget("-q", "-O", "-", "--no-check-certificate", https).stdout)
    server:close(0)
    certs:remove()
  end)
end)
