--- hv.dashboard - a page that shows the running program: charts of requests, loop lag, connections
--- and memory, and panels that an app adds. Reached as hv.metrics.dashboard.
---
---   hv.metrics.dashboard(app, "/dashboard", { panels = { { title = "Jobs", html = "..." } } })
---
--- The page is plain HTML, CSS and JavaScript of this program's own; nothing is loaded from
--- elsewhere, and its content security policy allows nothing else. Numbers come as server-sent
--- events. Who may see the page is up to the app: put it into a group with middleware of its own.
local json = require "hv.json"
local loop = require "_hv.loop"
local metrics = require "hv.metrics"
local misuse = loop.misuse
local options = require "hv.options"
local program = require "hv.metrics_program"
local task = require "hv.task"

local M = {}

local POLICY = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
  .. "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

local entities = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;",
  ["'"] = "&#39;" }

local function escape(text) return (text:gsub("[&<>\"']", entities)) end

-- ---- Numbers ----

--- What the charts show, of the numbers of all workers: gauges add up, the lag is the worst.
local wanted = {
  hv_http_requests_total = "requests", process_cpu_seconds_total = "cpu",
  hv_loop_lag_last_seconds = "lag", hv_connections = "connections", hv_tasks = "tasks",
  process_resident_memory_bytes = "memory", hv_lua_memory_bytes = "lua_memory",
}

local function read_numbers()
  local numbers = { now = loop.now() }
  for _, family in ipairs(program.of_all_workers(metrics.snapshot)) do
    local name = wanted[family.name]
    if name then
      local value = 0
      for _, sample in ipairs(family.samples) do
        value = name == "lag" and math.max(value, sample[3]) or value + sample[3]
      end
      numbers[name] = value
    end
  end
  return numbers
end

local function stream(interval)
  return function(_, res)
    local events = res:sse()
    while events:send(read_numbers()) do task.sleep(interval) end
  end
end

-- ---- The page ----

local function check_panel(panel, i)
  local where = ("hv.metrics.dashboard: panel %d"):format(i)
  if type(panel) ~= "table" then misuse(where .. " must be a table, got " .. type(panel)) end
  return options.reader(where, {
    title = { "string", "" }, html = { "string", "" }, script = { "string" },
    wide = { "boolean", false },
  })(panel)
end

local function panel_html(panel, i)
  return ('<section class="panel%s" id="panel-%d" aria-labelledby="panel-%d-title">' ..
    '<h2 id="panel-%d-title">%s</h2>%s</section>'):format(panel.wide and " wide" or "", i, i, i,
    escape(panel.title), panel.html)
end

--- One module for the scripts of all panels; an error in one leaves the others alone.
local function panel_script(panels)
  local parts = { 'import { run } from "./dashboard.js";' }
  for i, panel in ipairs(panels) do
    if panel.script then
      parts[#parts + 1] = ('run("panel-%d", async (panel) => {\n%s\n});'):format(i, panel.script)
    end
  end
  return table.concat(parts, "\n")
end

local function page_html(t, panels)
  local list = {}
  for i, panel in ipairs(panels) do list[i] = panel_html(panel, i) end
  local values = { title = escape(t.title), panels = table.concat(list, "\n"),
    interval = ("%d"):format(t.interval) }
  return (require("hv.dashboard_html"):gsub("{{(%w+)}}", values))
end

local read_options = options.reader("hv.metrics.dashboard", {
  title = { "string", "hvlua" }, panels = { "table", {} }, interval = { "ms", 1000 },
})

local function asset(body, kind)
  return function()
    return { body = body, headers = { ["Content-Type"] = kind, ["Cache-Control"] = "no-cache" } }
  end
end

--- Adds the page's routes to an app or a group.
---@param app hv.HttpApp
---@param prefix string "/dashboard"; "" or "/" makes it the page of the root
---@param opts? hv.DashboardOptions
---@return hv.HttpApp app
function M.mount(app, prefix, opts)
  if type(prefix) ~= "string" then
    return misuse("hv.metrics.dashboard: prefix must be a string, got " .. type(prefix))
  end
  local t = read_options(opts or {})
  local panels = {}
  for i, panel in ipairs(t.panels) do panels[i] = check_panel(panel, i) end
  local base = prefix:gsub("/+$", "")
  local html = page_html(t, panels)
  app:get(base .. "/", function()
    return { html = html, headers = { ["Content-Security-Policy"] = POLICY,
      ["Cache-Control"] = "no-cache" } }
  end)
  -- The page's links are relative, so it must be asked for with the slash.
  if base ~= "" then
    app:get(base, function(_, res) return res:redirect(base:match("[^/]*$") .. "/") end)
  end
  app:get(base .. "/dashboard.css", asset(require "hv.dashboard_css", "text/css"))
  app:get(base .. "/dashboard.js", asset(require "hv.dashboard_js", "text/javascript"))
  app:get(base .. "/panels.js", asset(panel_script(panels), "text/javascript"))
  app:get(base .. "/numbers", stream(t.interval))
  return app
end

--- The numbers of the page as one JSON text, for tests and tools.
---@return string
function M.numbers() return json.encode(read_numbers()) end

return M
