--- examples/jobs.lua: jobs wait for their turn, are followed by WebSocket, and end with it.
local helper = require "helper"
local hv = require "hv"

local hvlua = os.getenv("HVLUA") or "build/bin/hvlua"

describe("examples/jobs.lua", function()
  local process, base, port

  before_each(function()
    process = assert(hv.process.spawn { hvlua, "examples/jobs.lua", "0", stdout = "pipe",
      kill = true })
    port = assert(process.stdout:read_line()):match("^listening on (%d+)$")
    base = "http://127.0.0.1:" .. port
  end)

  after_each(function()
    process:kill("kill")
    process:wait()
    process.stdout:close()
  end)

  local function add(name)
    local reply = assert(hv.http.post(base .. "/jobs", { json = { job = name } }))
    assert.equal(201, reply.status)
    return reply.headers.location, reply:json()
  end

  local function reaches(location, state)
    local job
    helper.eventually(function()
      job = assert(hv.http.get(base .. location)):json()
      return job.state == state
    end, 20)
    return job
  end

  --- All that a follower hears, to the job's end.
  local function follow(location)
    local ws = assert(hv.ws.connect("ws://127.0.0.1:" .. port .. location .. "/log"))
    local lines, state = {}, nil
    repeat
      local event = hv.json.decode((assert(ws:receive(20000))))
      lines[#lines + 1] = event.line
      state = event.state or state
    until state == "done" or state == "failed"
    ws:close()
    return lines, state
  end

  it("runs what is asked for and tells every line once, to who comes early and late", function()
    local location, job = add "count"
    assert.same({ id = 1, job = "count", state = job.state, lines = 0 }, job)
    local lines = { "step 1 of 5", "step 2 of 5", "step 3 of 5", "step 4 of 5", "step 5 of 5" }
    local early = hv.go(follow, location)
    helper.eventually(function() return hv.http.get(base .. location):json().lines >= 2 end)
    local heard, state = follow(location)
    assert.same(lines, heard)
    assert.equal("done", state)
    assert.same(lines, (early:join()))
    assert.same(lines, (follow(location)))
    assert.equal(0, reaches(location, "done").status)
    assert.same({ "trying", "no luck" }, (follow((add "fail"))))
    assert.matches('\njobs_total{state="failed"} 1\n', hv.http.get(base .. "/metrics").body)
  end)

  it("lets two run at once, and cancels those that run or wait", function()
    local first, second, third = add "hang", add "hang", add "hang"
    reaches(first, "running")
    reaches(second, "running")
    assert.equal("queued", reaches(third, "queued").state)
    assert.equal(202, hv.http.delete(base .. first).status)
    reaches(first, "cancelled")
    reaches(third, "running")
    assert.same(0, hv.http.get(base .. "/jobs"):json().free)
  end)

  it("refuses what it does not know", function()
    assert.equal(400, hv.http.post(base .. "/jobs", { json = { job = "rm" } }).status)
    assert.equal(400, hv.http.post(base .. "/jobs", "{").status)
    assert.equal(400, hv.http.post(base .. "/jobs", { json = 5 }).status)
    assert.equal(404, hv.http.get(base .. "/jobs/7").status)
    assert.equal(404, hv.http.delete(base .. "/jobs/x").status)
    local ws = assert(hv.ws.connect("ws://127.0.0.1:" .. port .. "/jobs/7/log"))
    assert.is_nil((ws:receive(20000)))
    assert.equal(4404, ws.close_code)
    assert.equal(2, hv.process.run({ hvlua, "examples/jobs.lua", "x" }).status)
  end)

  it("ends in order, and its programs with it", function()
    local running, waiting = add "hang", add "hang"
    reaches(running, "running")
    reaches(waiting, "running")
    add "hang"
    local ws = assert(hv.ws.connect("ws://127.0.0.1:" .. port .. running .. "/log"))
    assert.equal("running", hv.json.decode((assert(ws:receive(20000)))).state)
    process:kill("int")
    assert.equal(0, (process:wait(20000)))
    repeat local message = ws:receive(20000) until not message
    assert.equal(1001, ws.close_code)
  end)
end)
