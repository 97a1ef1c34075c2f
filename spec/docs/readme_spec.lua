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

  it("is found wrong where it is", function()
    assert.is_nil(find "hv.tcp.listn")
    assert.is_nil(find "hv.nothing.at.all")
  end)
end)
