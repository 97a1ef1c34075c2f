--- hv.metrics - numbers about the running program: counters, gauges and histograms, and the text
--- that Prometheus reads.
---
---   local uploads = hv.metrics.counter("uploads_total", { help = "Files received",
---     labels = { "kind" } })
---   uploads:with("image"):inc()
---   app:get("/metrics", hv.metrics.handler)
---
--- A metric without labels is its own only series. `with` gives the series of some label values,
--- always the same object, so that a hot path may keep it: inc, set and observe then allocate
--- nothing. The program's own numbers (loop lag, memory, connections ...) are there from the first
--- time that somebody reads; see hv.metrics_program. In a worker of a master, what is read is the
--- sum of all workers, and gauges have the label `worker`.
local loop = require "_hv.loop"
local options = require "hv.options"

local hrtime, misuse = loop.hrtime, loop.misuse
local concat, sort = table.concat, table.sort

---@class hv.metrics
local M = {}

local families, collectors = {}, {}

-- ---- Series ----

local Counter, Gauge, Histogram = {}, {}, {}
local classes = { counter = Counter, gauge = Gauge, histogram = Histogram }

--- Adds to a counter.
---@param by? number 1; not negative
function Counter:inc(by)
  if by == nil then
    by = 1
  elseif type(by) ~= "number" or by < 0 or by ~= by then
    return misuse("counter:inc: a number from 0 expected, got " .. tostring(by))
  end
  self.value = self.value + by
end

local function check_number(where, value)
  if type(value) ~= "number" then misuse(where .. ": number expected, got " .. type(value)) end
  return value
end

---@param value number
function Gauge:set(value) self.value = check_number("gauge:set", value) end

---@param by? number 1
function Gauge:inc(by) self.value = self.value + check_number("gauge:inc", by or 1) end

---@param by? number 1
function Gauge:dec(by) self.value = self.value - check_number("gauge:dec", by or 1) end

--- Notes one value, such as the seconds that something took.
---@param value number
function Histogram:observe(value)
  check_number("histogram:observe", value)
  local bounds, counts = self.bounds, self.counts
  local i = 1
  while i <= #bounds and value > bounds[i] do i = i + 1 end
  counts[i] = counts[i] + 1
  self.sum = self.sum + value
end

local function observe_since(self, began, ok, ...)
  self:observe((hrtime() - began) / 1e9)
  if not ok then error((...), 0) end
  return ...
end

--- Calls fn(...) and observes how many seconds it took, its waits included.
---@return any ... what fn returned
function Histogram:time(fn, ...)
  return observe_since(self, hrtime(), pcall(fn, ...))
end

local function new_series(family, labels)
  local series = { labels = labels, value = 0 }
  if family.kind == "histogram" then
    series.value, series.sum, series.bounds, series.counts = nil, 0, family.bounds, {}
    for i = 1, #family.bounds + 1 do series.counts[i] = 0 end
  end
  family.list[#family.list + 1] = series
  return setmetatable(series, family.series_meta)
end

-- ---- Families ----

local escapes = { ["\\"] = "\\\\", ["\n"] = "\\n", ['"'] = '\\"' }

local function label_text(names, values)
  local parts = {}
  for i, name in ipairs(names) do
    parts[i] = ('%s="%s"'):format(name, tostring(values[i]):gsub('[\\\n"]', escapes))
  end
  return concat(parts, ",")
end

--- The series that counts what would be one too many.
local function other_of(family)
  if not family.other then
    local values = {}
    for i = 1, #family.labels do values[i] = "other" end
    family.other = new_series(family, label_text(family.labels, values))
  end
  return family.other
end

--- The same by the values' text: what reads the same is one series, such as 200 and "200". A string
--- that is new is remembered; anything else is turned into text each time.
local function with_text(family, ...)
  local values, node, count = {}, family.tree, #family.labels
  local is_other = true
  for i = 1, count do
    local value = select(i, ...)
    if value == nil then return misuse(family.name .. ":with: a label value is nil") end
    values[i] = tostring(value)
    is_other = is_other and values[i] == "other"
  end
  if is_other then return other_of(family) end
  for i = 1, count do
    local following = node[values[i]]
    if following == nil then
      if #family.list >= family.max_series then return other_of(family) end
      following = i == count and new_series(family, label_text(family.labels, values)) or {}
      node[values[i]] = following
    end
    node = following
  end
  return node
end

--- The series of these label values, in the order of the names that the metric was made with. Past
--- `max_series` different ones, all others are counted together in one whose values are "other":
--- label values that peers choose must not fill the memory.
---@param ... string|number|boolean
local function with(family, ...)
  local node, count = family.tree, #family.labels
  if select("#", ...) ~= count then
    return misuse(("%s:with: %d label values expected, got %d"):format(family.name, count,
      select("#", ...)))
  end
  for i = 1, count do
    node = node[(select(i, ...))]
    if node == nil then return with_text(family, ...) end
  end
  return node
end

local SECONDS = { 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10 }

local function names_of(value, where)
  if type(value) ~= "table" then
    misuse(where .. ": labels must be a list of names, got " .. type(value))
  end
  for _, name in ipairs(value) do
    if type(name) ~= "string" or not name:find("^[%a_][%w_]*$") or name:find("^__") then
      misuse(("%s: %q is no name of a label"):format(where, tostring(name)))
    end
  end
  return value
end

local function bounds_of(value, where)
  local bounds = {}
  for i, bound in ipairs(type(value) == "table" and value or {}) do
    if type(bound) ~= "number" or i > 1 and bound <= bounds[i - 1] then break end
    bounds[i] = bound
  end
  if type(value) ~= "table" or #bounds ~= #value or #bounds == 0 then
    misuse(where .. ": buckets must be a list of rising numbers")
  end
  return bounds
end

local read_family = options.reader("hv.metrics", {
  help = { "string", "" }, labels = { names_of, {} }, buckets = { bounds_of, SECONDS },
  max_series = { "integer", 1000 },
})

local function new_family(kind, name, opts)
  local where = "hv.metrics." .. kind
  if type(name) ~= "string" or not name:find("^[%a_:][%w_:]*$") then
    return misuse(("%s: %q is no name of a metric"):format(where, tostring(name)))
  end
  local known = families[name]
  if known then
    if known.kind ~= kind then
      return misuse(("%s: %s is a %s already"):format(where, name, known.kind))
    end
    return known.public
  end
  local t = read_family(opts or {})
  local family = {
    name = name, kind = kind, help = t.help, labels = t.labels, bounds = t.buckets, tree = {},
    list = {}, max_series = t.max_series, series_meta = { __index = classes[kind] },
  }
  families[name] = family
  if #t.labels == 0 then
    family.public = new_series(family, "")
    return family.public
  end
  family.public = { with = function(_, ...) return with(family, ...) end }
  return family.public
end

--- A number that only grows. Made again under its name it is the same one.
---@param name string as Prometheus wants it: "uploads_total"
---@param opts? { help?: string, labels?: string[], max_series?: integer }
---@return hv.Counter counter with labels: its `with` alone
function M.counter(name, opts) return new_family("counter", name, opts) end

--- A number that goes up and down.
---@param name string
---@param opts? { help?: string, labels?: string[], max_series?: integer }
---@return hv.Gauge gauge
function M.gauge(name, opts) return new_family("gauge", name, opts) end

--- How many values were observed below each bound, and their sum.
---@param name string such as "job_seconds"
---@param opts? { help?: string, labels?: string[], buckets?: number[], max_series?: integer }
---@return hv.Histogram histogram
function M.histogram(name, opts) return new_family("histogram", name, opts) end

--- Calls `fn` each time before the numbers are read, to set gauges. It must not wait.
---@param fn fun()
function M.collect(fn)
  if type(fn) ~= "function" then
    return misuse("hv.metrics.collect: function expected, got " .. type(fn))
  end
  collectors[#collectors + 1] = fn
end

-- ---- Reading ----

local function add_histogram(samples, series)
  local total = 0
  local before = series.labels == "" and "" or series.labels .. ","
  for i, count in ipairs(series.counts) do
    total = total + count
    local bound = series.bounds[i] and ("%.14g"):format(series.bounds[i]) or "+Inf"
    samples[#samples + 1] = { "_bucket", ('%sle="%s"'):format(before, bound), total }
  end
  samples[#samples + 1] = { "_sum", series.labels, series.sum }
  samples[#samples + 1] = { "_count", series.labels, total }
end

--- This process's numbers as plain data: a list of { name=, kind=, help=, samples= }, where a
--- sample is { suffix of the name, text of the labels, value }. In order of the names.
function M.snapshot()
  require("hv.metrics_program").start()
  for _, fn in ipairs(collectors) do fn() end
  local list = {}
  for _, family in pairs(families) do
    local samples = {}
    for _, series in ipairs(family.list) do
      if family.kind == "histogram" then
        add_histogram(samples, series)
      else
        samples[#samples + 1] = { "", series.labels, series.value }
      end
    end
    list[#list + 1] = { name = family.name, kind = family.kind, help = family.help,
      samples = samples }
  end
  sort(list, function(a, b) return a.name < b.name end)
  return list
end

local function number_text(value)
  if value ~= value then return "NaN" end
  if value == math.huge then return "+Inf" end
  if value == -math.huge then return "-Inf" end
  local short = ("%.15g"):format(value)
  return tonumber(short) == value and short or ("%.17g"):format(value)
end

--- All numbers in Prometheus' text format (version 0.0.4).
---@return string text
function M.text()
  local lines = {}
  for _, family in ipairs(require("hv.metrics_program").of_all_workers(M.snapshot)) do
    if #family.samples > 0 then
      if family.help ~= "" then
        lines[#lines + 1] = ("# HELP %s %s"):format(family.name,
          family.help:gsub("[\\\n]", escapes))
      end
      lines[#lines + 1] = ("# TYPE %s %s"):format(family.name, family.kind)
      for _, sample in ipairs(family.samples) do
        local labels = sample[2] ~= "" and "{" .. sample[2] .. "}" or ""
        lines[#lines + 1] = family.name .. sample[1] .. labels .. " " .. number_text(sample[3])
      end
    end
  end
  lines[#lines + 1] = ""
  return concat(lines, "\n")
end

--- A handler that answers with hv.metrics.text(): app:get("/metrics", hv.metrics.handler).
---@return table result
function M.handler()
  return {
    body = M.text(),
    headers = { ["Content-Type"] = "text/plain; version=0.0.4; charset=utf-8" },
  }
end

--- Middleware that observes each request when it has ended, failures and streams too:
--- http_request_seconds, by method and class of the status that was sent ("none" where none was).
---   app:use(hv.metrics.http())
---@return hv.HttpObserver observer
function M.http()
  local seconds = M.histogram("http_request_seconds", {
    help = "Time from the head of a request to the end of its handler",
    labels = { "method", "status" },
  })
  local methods = { GET = 1, HEAD = 1, POST = 1, PUT = 1, PATCH = 1, DELETE = 1, OPTIONS = 1 }
  local classes_of = { [0] = "none", "1xx", "2xx", "3xx", "4xx", "5xx" }
  return { on_response = function(req, res)
    local method = methods[req.method] and req.method or "other"
    local class = classes_of[math.floor(res.status / 100)]
    seconds:with(method, class):observe(res.duration / 1000)
  end }
end

--- Puts a live page of these numbers into an app: charts of requests, loop lag, connections and
--- memory, and the app's own panels. See hv.dashboard.
---@param app hv.HttpApp
---@param prefix string such as "/dashboard"
---@param opts? hv.DashboardOptions
---@return hv.HttpApp app
function M.dashboard(app, prefix, opts)
  return require("hv.dashboard").mount(app, prefix, opts)
end

-- Whoever is asked tells the sum of all workers, so each lets the others know from the start.
require("hv.metrics_program").share(M.snapshot)

return M
