-- files.lua - copies a directory's files into a new one, upper-cased, and watches it meanwhile.
--
--     hvlua files.lua [DIRECTORY]       # without one: some files made for the purpose
--
-- Nothing here blocks the loop: a timer, or a server, would go on running.
local hv = require "hv"
local fs = hv.fs

local from = arg[1]
if #arg > 1 or from and from:find "^%-" then
  io.stderr:write("Usage: files.lua [DIRECTORY]\n")
  os.exit(2)
end
if not from then
  from = assert(fs.tmpdir("hv-example-"))
  assert(fs.write(from .. "/one.txt", "one\n"))
  assert(fs.write(from .. "/two.txt", { "two\n", "lines\n" }))
end
local to = assert(fs.tmpdir("hv-example-"))

local watch = assert(fs.watch(to, function(event)
  if event.kind == "written" then print("written: " .. event.name) end
end))

-- All files at once; each task waits for its own.
local tasks = {}
for name, kind in assert(fs.scan(from)) do
  if kind == "file" then
    tasks[#tasks + 1] = hv.go(function()
      local text = assert(fs.read(from .. "/" .. name, { max = "1M" }))
      assert(fs.write(to .. "/" .. name, text:upper()))
      return #text
    end)
  end
end
local bytes = 0
for _, task in ipairs(tasks) do bytes = bytes + assert(task:join()) end
print(("%d files, %d bytes"):format(#tasks, bytes))

-- What can go wrong is told by errno's name.
local _, message, code = fs.read(to .. "/missing")
print(code, (message:gsub("^read .*/", "")))

hv.sleep(10) -- for the last event
watch:close()
assert(fs.remove(to, { recursive = true }))
if not arg[1] then assert(fs.remove(from, { recursive = true })) end
