--- What README.md shows in Lua is Lua, and names nothing that is not there. Its C programs are
--- compiled and run by spec/programs/run.sh.
local hv = require "hv"

local source = debug.getinfo(1, "S").source:sub(2)
local file = assert(io.open((source:gsub("spec/docs/[^/]*$", "README.md"))))
local text = file:read "*a"
file:close()

local function blocks()
  local list = {}
  for block in text:gmatch "\n```lua\n(.-)\n```\n" do list[#list + 1] = block end
  return list
end

--- The value behind "hv.tcp.listen", or nil.
local function find(path)
  local value = { hv = hv }
  for name in path:gmatch "[%w_]+" do
    if type(value) ~= "table" then return nil end
    value = value[name]
  end
  return value
end

describe("README.md", function()
  it("shows programs that compile", function()
    local list = blocks()
    assert.is_true(#list >= 7)
    for i, block in ipairs(list) do assert(loadstring(block, "=README.md, block " .. i)) end
  end)

  it("names what there is", function()
    local count = 0
    for path in text:gmatch "%f[%w_]hv%.[%l_]+[%l%d_%.]*%f[^%w_%.]" do
      count = count + 1
      assert.is_not_nil(find((path:gsub("%.$", ""))), path)
    end
    assert.is_true(count > 20)
  end)

  it("of the examples has a row for each, and says truly where it is in C and in Lua", function()
    local function read(path)
      local opened = io.open((source:gsub("spec/docs/[^/]*$", path)))
      local content = opened and opened:read "*a"
      if opened then opened:close() end
      return content
    end
    local readme, rows, count = assert(read "examples/README.md"), {}, 0
    for names, c, lua in readme:gmatch "\n| (`[^|]+`) | ?(x?) ? | ?(x?) ? |" do
      for name in names:gmatch "`([%w_]+)`" do
        rows[name], count = true, count + 1
        assert.equal(c == "x", read("examples/" .. name .. ".c") ~= nil, name .. ".c")
        assert.equal(lua == "x", read("examples/" .. name .. ".lua") ~= nil, name .. ".lua")
      end
    end
    assert.is_true(count > 40)
    local listing = assert(io.popen("ls " .. (source:gsub("spec/docs/[^/]*$", "examples"))))
    for entry in listing:lines() do
      local name = entry:match "^([%w_]+)%.[clh]u?a?$"
      if name and not rows[name] then assert.matches("`" .. entry .. "`", readme, 1, true) end
    end
    listing:close()
  end)

  it("is found wrong where it is", function()
    assert.is_nil(find "hv.tcp.listn")
    assert.is_nil(find "hv.nothing.at.all")
  end)
end)
