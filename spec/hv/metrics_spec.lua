local hv = require "hv"

local metrics = hv.metrics

--- The lines of the text that begin with a name.
local function lines_of(name)
  local lines = {}
  for line in metrics.text():gmatch("[^\n]+") do
    if line:find(name, 1, true) == 1 then lines[#lines + 1] = line end
  end
  return lines
end

describe("hv.metrics", function()
  it("counts", function()
    local counter = metrics.counter("t_uploads_total", { help = "Files\nreceived" })
    counter:inc()
    counter:inc(2.5)
    assert.same({ "t_uploads_total 3.5" }, lines_of "t_uploads_total")
    assert.matches("# HELP t_uploads_total Files\\nreceived\n# TYPE t_uploads_total counter\n",
      metrics.text(), 1, true)
    assert.equal(counter, metrics.counter("t_uploads_total"))
    assert.has_error(function() counter:inc(-1) end)
    assert.has_error(function() counter:inc("1") end)
    assert.has_error(function() counter:inc(0 / 0) end)
  end)

  it("has one series for each set of label values, always the same object", function()
    local counter = metrics.counter("t_kinds_total", { labels = { "kind", "size" } })
    local image = counter:with("ima\"ge", 1)
    image:inc()
    counter:with("a\\b\nc", 2):inc(4)
    assert.equal(image, counter:with("ima\"ge", 1))
    assert.same({ 't_kinds_total{kind="ima\\"ge",size="1"} 1',
      't_kinds_total{kind="a\\\\b\\nc",size="2"} 4' }, lines_of "t_kinds_total")
    assert.has_error(function() counter:with("one") end,
      "t_kinds_total:with: 2 label values expected, got 1")
    assert.has_error(function() counter:with("one", nil) end)
  end)

  it("counts together what would be too many series", function()
    local gauge = metrics.gauge("t_many", { labels = { "who" }, max_series = 2 })
    for i = 1, 10 do gauge:with(i):inc(i) end
    gauge:with(1):inc(100)
    assert.same({ 't_many{who="1"} 101', 't_many{who="2"} 2', 't_many{who="other"} 52' },
      lines_of "t_many")
  end)

  it("sets, raises and lowers gauges", function()
    local gauge = metrics.gauge "t_level"
    gauge:set(10)
    gauge:inc()
    gauge:dec(3)
    assert.same({ "t_level 8" }, lines_of "t_level")
    gauge:set(math.huge)
    assert.same({ "t_level +Inf" }, lines_of "t_level")
    assert.has_error(function() gauge:set("x") end)
  end)

  it("sorts observed values into buckets whose counts add up", function()
    local histogram = metrics.histogram("t_job_seconds", { buckets = { 0.1, 1 } })
    for _, value in ipairs { 0.05, 0.1, 0.5, 7 } do histogram:observe(value) end
    assert.same({ 't_job_seconds_bucket{le="0.1"} 2', 't_job_seconds_bucket{le="1"} 3',
      't_job_seconds_bucket{le="+Inf"} 4', "t_job_seconds_sum 7.65", "t_job_seconds_count 4" },
      lines_of "t_job_seconds")
    assert.has_error(function() metrics.histogram("t_bad", { buckets = { 2, 1 } }) end)
    assert.has_error(function() metrics.histogram("t_bad", { buckets = {} }) end)
  end)

  it("times a function, hands its results on, and its error", function()
    local histogram = metrics.histogram("t_timed_seconds")
    assert.same({ 1, nil, 3 }, { histogram:time(function(...)
      hv.sleep(1)
      return ...
    end, 1, nil, 3) })
    assert.has_error(function() histogram:time(error, "oops", 0) end, "oops")
    assert.equal("t_timed_seconds_count 2", lines_of("t_timed_seconds_count")[1])
  end)

  it("refuses names and options that nobody could read", function()
    assert.has_error(function() metrics.counter("1st") end)
    assert.has_error(function() metrics.counter(nil) end)
    assert.has_error(function() metrics.gauge("t_uploads_total") end)
    assert.has_error(function() metrics.counter("t_x", { label = {} }) end)
    assert.has_error(function() metrics.counter("t_x", { labels = { "a-b" } }) end)
    assert.has_error(function() metrics.counter("t_x", { labels = "a" }) end)
    assert.has_error(function() metrics.collect(1) end)
  end)

  it("asks collectors before it reads", function()
    local gauge, calls = metrics.gauge "t_asked", 0
    metrics.collect(function()
      calls = calls + 1
      gauge:set(calls)
    end)
    assert.same({ "t_asked 1" }, lines_of "t_asked")
    assert.same({ "t_asked 2" }, lines_of "t_asked")
  end)

  it("knows the program's own numbers", function()
    local text = metrics.text()
    for _, name in ipairs { "process_cpu_seconds_total", "process_resident_memory_bytes",
      "process_open_fds", "process_max_fds", "process_start_time_seconds",
      "hv_loop_lag_last_seconds",
      "hv_connections", "hv_tasks", "hv_handles", "hv_lua_memory_bytes",
      "hv_http_requests_total" } do
      local value = tonumber(text:match("\n" .. name .. " (%S+)"))
      assert.is_true(value ~= nil and value >= 0, name)
    end
    local memory = tonumber(text:match("\nprocess_resident_memory_bytes (%S+)"))
    assert.is_true(memory > 1e6 and memory < 4e9)
  end)

  it("serves the text and times requests", function()
    local app = hv.http.app()
    app:use(metrics.http())
    app:get("/metrics", metrics.handler)
    app:get("/", function() return "hello" end)
    app:get("/teapot", function() return { status = 418, text = "short" } end)
    local server = assert(app:listen { host = "127.0.0.1", port = 0 })
    local raw_http = require "raw_http"
    local client = raw_http.connect(server)
    for _, path in ipairs { "/", "/", "/teapot", "/none" } do
      client:send("GET " .. path .. " HTTP/1.1\r\nHost: h\r\n\r\n")
      client:receive()
    end
    client:send("GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n")
    local answer = client:receive()
    assert.equal("text/plain; version=0.0.4; charset=utf-8", answer.headers:get("content-type"))
    for status, count in pairs { ["2xx"] = 2, ["4xx"] = 2 } do
      assert.matches(('http_request_seconds_count{method="GET",status="%s"} %d\n'):format(status,
        count), answer.body, 1, true)
    end
    assert.is_true(tonumber(answer.body:match("\nhv_http_requests_total (%d+)")) >= 4)
    assert.matches("\nhv_connections [1-9]", answer.body)
    client:close()
    server:close(0)
  end)
end)
