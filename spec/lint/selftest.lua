-- selftest.lua - proves that a judge objects: one small tree a rule, that rule broken.
--
--   luajit selftest.lua path/to/judge.lua SCRATCH_DIR
--
-- The trees are those of judge_cases.lua: `broken` lists trees whose first item must be found
-- in the report, `fine` a tree that is allowed, close as it comes to what is not.

local judge, scratch = arg[1], arg[2]
local cases = dofile((judge:gsub("%.lua$", "_cases.lua")))

local function write_tree(dir, files)
  os.execute(string.format("rm -rf '%s' && mkdir -p '%s'", dir, dir))
  for path, text in pairs(files) do
    if type(path) == "string" then
      os.execute(string.format("mkdir -p '%s/%s'", dir, path:match("^(.*)/")))
      local file = assert(io.open(dir .. "/" .. path, "w"))
      file:write(text)
      file:close()
    end
  end
end

-- Returns the output of the judge and whether it was content.
local function run(dir)
  local pipe = assert(io.popen(string.format(
    "luajit '%s' '%s' 2>&1; echo \"status $?\"", judge, dir)))
  local output = pipe:read("*a")
  pipe:close()
  return output, output:match("status (%d+)%s*$") == "0"
end

local failures = 0
local function fail(what, output)
  failures = failures + 1
  print("not found: " .. what .. "\n" .. output)
end

local tree = scratch .. "/tree"
for _, case in ipairs(cases.broken) do
  write_tree(tree, case)
  local output, content = run(tree)
  if content or not output:find(case[1], 1, true) then fail(case[1], output) end
end
write_tree(tree, cases.fine)
local output, content = run(tree)
if not content then fail("contentment with what is allowed", output) end

print(#cases.broken .. " violations, " .. failures .. " of the judgements wrong")
os.exit(failures == 0 and 0 or 1)
