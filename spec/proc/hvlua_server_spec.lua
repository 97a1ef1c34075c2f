--- hvlua's server options, with real processes. A script is served by a daemon in a folder of its
--- own; what the program says and what clients see is all that counts.
local hv = require "hv"
local helper = require "helper"

local hvlua = os.getenv("HVLUA") or "hvlua"
local WAIT_MS = 15000

local function quote(text) return "'" .. text:gsub("'", "'\\''") .. "'" end

local function write(path, text)
  local file = assert(io.open(path, "w"))
  file:write(text)
  file:close()
end

local function script(answer)
  return ([[
    local hv = require "hv"
    local app = hv.http.app()
    app:get("/", function() return %q end)
    app:get("/slow", function()
      io.open("begun", "w"):close()
      hv.sleep(600)
      return "late"
    end)
    app:get("/pid", function() return (io.open "/proc/self/stat":read "*n") .. "" end)
    app:get("/metrics", hv.metrics.handler)
    app:get("/config", function() return tostring(hv.config.greeting) end)
    assert(app:listen { host = "127.0.0.1" })]]):format(answer)
end

--- A folder, a free port, and the words of the program for them.
local function new_site(options)
  local site = { folder = os.tmpname(), options = options or "" }
  os.remove(site.folder)
  os.execute("mkdir " .. quote(site.folder))
  site.port = helper.free_port()
  write(site.folder .. "/app.lua", script "one")

  --- Returns what it wrote and its exit status.
  function site.run(words)
    local command = ("cd %s && %s -p %d %s %s app.lua </dev/null"):format(quote(site.folder),
      quote(hvlua), site.port, site.options, words)
    local result = assert(hv.process.run { "sh", "-c", command, stderr = "pipe" })
    return result.stdout .. (result.stderr or ""), result.status
  end

  --- The answer of a connection of its own, or nil and why.
  function site.get(path)
    local conn, message = hv.tcp.connect { host = "127.0.0.1", port = site.port }
    if not conn then return nil, message end
    conn:write("GET " .. path .. " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    local text = ""
    for chunk in conn:chunks() do text = text .. chunk end
    conn:close()
    return text:match("^HTTP/1.1 200 .-\r\n\r\n(.*)$"), text
  end

  function site.answers(path, wanted)
    local last = hv.now() + WAIT_MS
    repeat
      if site.get(path) == wanted then return true end
      hv.sleep(10)
    until hv.now() > last
    error(("%s does not answer %q"):format(path, wanted), 2)
  end

  --- wrk for some seconds, beside the task; join for its output.
  function site.load(seconds)
    return hv.go(function()
      local result = assert(hv.process.run { "wrk", "-t1", "-c8", "-d" .. seconds,
        ("http://127.0.0.1:%d/"):format(site.port) })
      return result.stdout
    end)
  end

  function site.remove()
    site.run "-s stop"
    os.execute("rm -rf " .. quote(site.folder))
  end
  return site
end

local function expect_no_failures(text)
  assert.matches("%d%d%d+ requests in", text)
  assert.not_matches("Socket errors", text)
  assert.not_matches("Non%-2xx", text)
end

describe("hvlua as a server", function()
  local site
  after_each(function()
    if site then site.remove() end
    site = nil
  end)

  it("sums the metrics of all workers, whichever is asked", function()
    site = new_site "-w 3"
    site.run "-d"
    site.answers("/", "one")
    local last = hv.now() + WAIT_MS
    local text
    repeat
      text = assert(site.get "/metrics")
      local workers = select(2, text:gsub("\nhv_tasks{worker=\"%d\"} ", ""))
    until workers == 3 or hv.now() > last
    for id = 0, 2 do
      assert.matches(('\nprocess_max_fds{worker="%d"} %%d'):format(id), text)
    end
    assert.matches("\nhv_http_requests_total [1-9]", text)
  end)

  it("starts in the background, tells its status, stops", function()
    site = new_site "-w 2"
    assert.same({ "app stop/waiting\n", 3 }, { site.run "-s status" })
    assert.same({ "app start/running\n", 0 }, { site.run "-s start -d" })
    assert.matches("^app start/running, pid=%d+\n$", (site.run "-s status"))
    assert.equal("one", site.get "/")
    assert.same({ "app stop/waiting\n", 0 }, { site.run "-s stop" })
    assert.is_nil((site.get "/"))
  end)

  it("reloads script and configuration under load without a failed request", function()
    site = new_site "-w 2 -c app.conf"
    write(site.folder .. "/app.conf", "greeting = first\n")
    assert.equal(0, select(2, site.run "-s start -d"))
    assert.equal("first", site.get "/config")
    local load = site.load(3)
    for i = 1, 3 do
      hv.sleep(400) -- of load
      write(site.folder .. "/app.conf", "greeting = reload " .. i .. "\n")
      write(site.folder .. "/app.lua", script("answer " .. i))
      assert.equal(0, select(2, site.run "-s reload"))
      site.answers("/", "answer " .. i)
      site.answers("/config", "reload " .. i)
    end
    expect_no_failures(load:join())
  end)

  it("keeps serving as before where the new script is wrong", function()
    site = new_site "-w 2 --log app.log"
    assert.equal(0, select(2, site.run "-s start -d"))
    local listing = io.popen("ls " .. quote(site.folder))
    assert.is_nil(listing:read("*a"):find("libhv", 1, true)) -- not even the first line goes astray
    listing:close()
    write(site.folder .. "/app.lua", "x x")
    site.run "-s reload"
    helper.eventually(function()
      local pipe = io.popen("cat " .. quote(site.folder) .. "/app*.log")
      local text = pipe:read "*a"
      pipe:close()
      return text:find("reload failed", 1, true) and text:find("app.lua:1:", 1, true)
    end)
    assert.equal("one", site.get "/")
    assert.matches("app.lua:1:", (site.run "-t"))
  end)

  it("replaces a worker that was killed; only its connections are concerned", function()
    site = new_site "-w 2"
    assert.equal(0, select(2, site.run "-s start -d"))
    local victim = site.get "/pid"
    local load = site.load(2)
    hv.sleep(500) -- of load
    os.execute("kill -9 " .. victim)
    local text = load:join()
    local read, write_errors = text:match("read (%d+), write (%d+)")
    assert.is_true(tonumber(read or 0) + tonumber(write_errors or 0) <= 8, text)
    assert.not_matches("Non%-2xx", text)
    assert.not_equal(victim, site.get "/pid")
  end)

  it("lets an answer in flight arrive when it is stopped", function()
    site = new_site "-w 1"
    assert.equal(0, select(2, site.run "-s start -d"))
    local slow = hv.go(site.get, "/slow")
    helper.eventually(function() return hv.fs.exists(site.folder .. "/begun") end)
    assert.same({ "app stop/waiting\n", 0 }, { site.run "-s stop" })
    assert.equal("late", (slow:join()))
  end)

  it("is there once, also where two are started at once", function()
    site = new_site "-w 1"
    local first = hv.go(site.run, "-s start -d")
    local second = hv.go(site.run, "-s start -d")
    local text = first:join() .. second:join()
    assert.equal(1, select(2, text:gsub("app start/running\n", "")))
    assert.equal("one", site.get "/")
    local refused, status = site.run "-d"
    assert.matches("already running", refused)
    assert.equal(1, status)
  end)

  it("reloads by itself with --watch, also for a module", function()
    site = new_site "-w 2 --watch"
    write(site.folder .. "/answer.lua", "return 'module 1'")
    local text = script("x"):gsub("return \"x\"", "return require 'answer'")
    write(site.folder .. "/app.lua", "require 'answer' " .. text)
    assert.equal(0, select(2, site.run "-s start -d"))
    assert.equal("module 1", site.get "/")
    write(site.folder .. "/answer.lua", "return 'module 2'")
    site.answers("/", "module 2")
    write(site.folder .. "/app.lua", script "script 3")
    site.answers("/", "script 3")
  end)

  it("fails to start where the script fails or the address is taken, and says why", function()
    site = new_site "-w 1"
    write(site.folder .. "/app.lua", "error 'no such luck'")
    local text, status = site.run "-d"
    assert.matches("no such luck", text)
    assert.equal(1, status)
    local taker = assert(hv.tcp.listen({ host = "127.0.0.1", port = site.port }, function() end))
    write(site.folder .. "/app.lua", script "one")
    text, status = site.run "-d"
    assert.matches("listen 127.0.0.1:%d+: address in use", text:lower():gsub("already ", ""))
    assert.equal(1, status)
    write(site.folder .. "/app.lua", (script("one"):gsub("assert(%b())$", "local _ = %1")))
    text, status = site.run "-d"
    taker:close()
    assert.matches("hvlua: nothing to do: listen 127.0.0.1:%d+: .- %(EADDRINUSE%)", text)
    assert.equal(1, status)
  end)

  it("tests configuration and script with -t", function()
    site = new_site "-c app.conf"
    write(site.folder .. "/app.conf", "port = 1\n")
    assert.same({ "Test confile [app.conf] OK!\nTest script [app.lua] OK!\n", 0 },
      { site.run "-t" })
    write(site.folder .. "/app.conf", "port\n")
    local text, status = site.run "-t"
    assert.matches("app.conf:1", text)
    assert.equal(1, status)
  end)

  it("refuses bad options", function()
    site = new_site()
    assert.equal(1, select(2, site.run "-w 0"))
    assert.equal(1, select(2, site.run "-w many"))
    assert.equal(1, select(2, site.run "-s nothing"))
    assert.matches("unknown option", (site.run "--nothing"))
  end)
end)
