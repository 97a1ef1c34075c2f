-- The reference that spec/docs/reference.lua makes: it is whole, and what it says is there.
local hv = require "hv"

local hvlua = os.getenv("HVLUA") or "build/bin/hvlua"

describe("the reference", function()
  local text

  setup(function()
    local result = assert(hv.process.run { hvlua, "spec/docs/reference.lua", "." })
    assert.equal(0, result.status, result.stderr)
    text = result.stdout
  end)

  it("has every public function of hv and its modules", function()
    local missing = {}
    local function look(name, module)
      for key, value in pairs(module) do
        local is_public = type(value) == "function" and type(key) == "string"
          and not key:find("^_")
        if is_public and not text:find(("\n### `%s.%s("):format(name, key), 1, true) then
          missing[#missing + 1] = name .. "." .. key
        end
      end
    end
    look("hv", hv)
    for line in io.lines("lua/meta/core.lua") do
      local noun = line:match("^%-%-%-@field (%w+) hv%.[%l]+$")
      if noun then look("hv." .. noun, hv[noun]) end
    end
    table.sort(missing)
    assert.same({}, missing)
  end)

  it("goes on with what a tag says where the next line does", function()
    assert.matches("\n%- `max_connections%?` [^\n]+; 0: no limit%. Over TLS counted from ", text)
    assert.is_nil(text:find("\n```lua\n      +[^\n]+\n```\n"))
  end)

  it("keeps types whole, and says what options have in common with others", function()
    assert.matches("\n%- `{ ip: string, port: integer }|{ path: string }`", text)
    assert.is_nil(text:find("\n%- `[%w(]*[<{(][^`>})]*`"))
    assert.is_nil(text:find("\n### `[^`]*%(self"))
    assert.matches("\n## hv.WsOptions\n\nThe fields of %[hv%.WsCommonOptions%]%(#hvws",
      text)
  end)

  it("says something of every function and links every module", function()
    local empty, head = {}, nil
    for line in text:gmatch("[^\n]+") do
      if line:find("^#") then
        empty[#empty + 1] = head
        head = line:match("^### .*")
      elseif line:find("%w") then
        head = nil
      end
    end
    assert.same({}, empty)
    for name in text:gmatch("\n%- %[(hv[%w.]*)%]") do
      assert.truthy(text:find("\n# " .. name .. "\n", 1, true), name)
    end
  end)
end)
