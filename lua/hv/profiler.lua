--- hv.profiler - what `hvlua --profile` does: samples where the program is, and writes a report
--- when it ends. Private.
---
--- Samples come by the processor's time, so what waits costs none and is told as idle. A sample is
--- a stack of the running task; the line on top has the time to itself, and each function on it has
--- it in total.
local raw = require "_hv.profile"
local private = require "_hv.private"

local M = {}

local INTERVAL_MS = 10
local ROWS = 25

local STATES = {
  { "N", "compiled Lua" }, { "I", "interpreted Lua" }, { "C", "functions of C" },
  { "G", "garbage collection" }, { "J", "compiling" },
}

--- "[=FILE][,interval]" -> file or nil, interval; or nil, nil, message
function M.parse(text)
  local file, interval = text:match("^=?([^,]*),?(.*)$")
  local ms = interval == "" and INTERVAL_MS or tonumber(interval)
  if not ms or ms < 1 or ms > 10000 or ms % 1 ~= 0 then
    return nil, nil, "the interval of --profile must be 1..10000 ms, got " .. interval
  end
  return file ~= "" and file or nil, ms
end

--- Frames of a stack's text, outermost first: { { name =, at = "file:line" } ... }
local function frames_of(text)
  local frames = {}
  for name, at in text:gmatch("([^\t\n]*)\t([^\n]*)\n") do
    -- A function of C has no line, only an address or LuaJIT's number of it.
    if at:find("^@0x") or at:find("^%[builtin") then at = "C" end
    if name:find("^@0x") then name = "a function of C" end
    -- One without a name is called by the line where it is defined; the main chunk's is 0.
    local line = name:match(":(%d+)$")
    if line then name = line == "0" and "main chunk" or "function:" .. line end
    frames[#frames + 1] = { name = name, at = at }
  end
  return frames
end

local function file_of(at) return at:match("^(.*):%d+$") or at end

local function add(rows, key, field, count, name, at)
  local row = rows[key]
  if not row then
    row = { name = name, at = at, self = 0, total = 0 }
    rows[key] = row
  end
  row[field] = row[field] + count
end

--- Adds all stacks up: by function and by line.
local function sum_up(data)
  local sums = { states = {}, functions = {}, lines = {}, folded = {}, lua = 0 }
  for _, stack in ipairs(data.stacks) do
    local count = 0
    for _, state in ipairs(STATES) do
      local n = stack[state[1]]
      sums.states[state[1]] = (sums.states[state[1]] or 0) + n
      count = count + n
    end
    sums.lua = sums.lua + count
    local frames, names, seen = frames_of(stack.text), {}, {}
    for i, frame in ipairs(frames) do
      local file = file_of(frame.at)
      local key = frame.name .. "\t" .. file
      local is_top = i == #frames
      names[i] = (frame.name .. " " .. frame.at):gsub("[;\n]", "_")
      if not seen[key] then add(sums.functions, key, "total", count, frame.name, file) end
      if not seen[frame.at] then add(sums.lines, frame.at, "total", count, frame.name, frame.at) end
      seen[key], seen[frame.at] = true, true
      if is_top then
        add(sums.functions, key, "self", count)
        add(sums.lines, frame.at, "self", count)
      end
    end
    local folded = table.concat(names, ";")
    sums.folded[folded] = (sums.folded[folded] or 0) + count
  end
  if data.loop > 0 then sums.folded["the loop in C"] = data.loop end
  if data.other > 0 then sums.folded["other stacks"] = data.other end
  sums.all = sums.lua + data.loop + data.threads + data.other
  return sums
end

local function sorted(rows)
  local list = {}
  for _, row in pairs(rows) do list[#list + 1] = row end
  table.sort(list, function(a, b)
    if a.self ~= b.self then return a.self > b.self end
    if a.total ~= b.total then return a.total > b.total end
    return a.name .. a.at < b.name .. b.at
  end)
  return list
end

local function percent(count, all)
  return all > 0 and 100 * count / all or 0
end

local function write_table(out, title, rows, all, describe)
  out[#out + 1] = ("\n%s\n     self     total\n"):format(title)
  local list = sorted(rows)
  for i = 1, math.min(#list, ROWS) do
    local row = list[i]
    out[#out + 1] = ("  %5.1f %%   %5.1f %%  %s\n"):format(percent(row.self, all),
      percent(row.total, all), describe(row))
  end
  if #list > ROWS then out[#out + 1] = ("  ... %d more\n"):format(#list - ROWS) end
end

--- The report for people.
---@param data table what _hv.profile's stop has returned
function M.report(data)
  local sums = sum_up(data)
  local out = {}
  local function line(format, ...) out[#out + 1] = format:format(...) .. "\n" end
  local idle = math.max(0, data.wall_ms - data.cpu_ms)
  line("profile: %.2f s, of which %.2f s on the processor; %d samples, one each %.1f ms",
    data.wall_ms / 1000, data.cpu_ms / 1000, sums.all,
    sums.all > 0 and data.cpu_ms / sums.all or data.interval)
  line("  %5.1f %%  idle: the loop had nothing to do, or the processor was not to be had",
    percent(idle, data.wall_ms))
  line("\nof the time on the processor")
  for _, state in ipairs(STATES) do
    line("  %5.1f %%  %s", percent(sums.states[state[1]] or 0, sums.all), state[2])
  end
  line("  %5.1f %%  the loop itself: events, system calls, protocols", percent(data.loop, sums.all))
  line("  %5.1f %%  other threads", percent(data.threads, sums.all))
  if data.other > 0 then
    line("  %5.1f %%  stacks beyond those that were kept", percent(data.other, sums.all))
  end
  write_table(out, "functions", sums.functions, sums.all, function(row)
    return row.at == "C" and row.name or ("%s  %s"):format(row.name, row.at)
  end)
  write_table(out, "lines", sums.lines, sums.all, function(row)
    return row.at == "C" and row.name or ("%s  in %s"):format(row.at, row.name)
  end)
  return table.concat(out)
end

--- Stacks for flame graphs, a line each: "outer;inner;innermost count".
function M.folded(data)
  local lines = {}
  for stack, count in pairs(sum_up(data).folded) do
    if stack ~= "" and count > 0 then lines[#lines + 1] = ("%s %d\n"):format(stack, count) end
  end
  table.sort(lines)
  return table.concat(lines)
end

local function save(path, text)
  os.remove(path)
  local ok, message = private.replace(path, text)
  if not ok then io.stderr:write("hvlua: the profile cannot be written: ", message, "\n") end
end

--- Starts. Worker processes of one server each have a report of their own, named by the process.
function M.start(file, interval, is_worker)
  M.file = file and is_worker and ("%s.%d"):format(file, (private.identity())) or file
  return raw.start(interval)
end

--- Ends, and writes what was found: to stderr, or to the file, beside which "FILE.folded" then
--- holds the stacks.
function M.finish()
  local data = raw.stop()
  if not data then return end
  io.stdout:flush()
  if not M.file then
    io.stderr:write(M.report(data))
    return
  end
  save(M.file, M.report(data))
  save(M.file .. ".folded", M.folded(data))
end

return M
