local hv = require "hv"
local show = require("hv.show").show

describe("hv.show", function()
  it("writes plain values as Lua would read them", function()
    assert.equal("nil", show(nil))
    assert.equal("true", show(true))
    assert.equal("42", show(42))
    assert.equal("1000000000000000", show(1e15))
    assert.equal("0.5", show(0.5))
    assert.equal("inf", show(math.huge))
    assert.equal('"a\\nb\\"c\\\\\\027[0m"', show('a\nb"c\\\27[0m'))
    assert.equal('"\\194\\155" "é"', show("\194\155") .. " " .. show("é")) -- U+009B begins commands
    assert.equal('"grün"', show("grün"))
  end)

  it("sorts keys, lists first, odd keys in brackets", function()
    assert.equal('{ 1, 2, [4] = 4, a = 1, b = { c = 2 }, ["two words"] = 3, [true] = 5 }',
      show { 1, 2, [4] = 4, b = { c = 2 }, a = 1, ["two words"] = 3, [true] = 5 })
    assert.equal('{ ["end"] = 1 }', show { ["end"] = 1 })
    assert.equal("{}", show {})
  end)

  it("breaks what is too long for a line", function()
    local text = show { first = ("x"):rep(50), second = ("y"):rep(50) }
    assert.equal('{\n  first = "' .. ("x"):rep(50) .. '",\n  second = "' .. ("y"):rep(50) ..
      '"\n}', text)
  end)

  it("stops at cycles, depth and number", function()
    local t = { name = "t" }
    t.self = t
    assert.equal('{ name = "t", self = <the table around it> }', show(t))
    assert.equal("{ { { { { {...} } } } } }", show { { { { { { { 1 } } } } } } })
    local many = {}
    for i = 1, 150 do many[i] = i end
    assert.matches("... 50 more\n}$", show(many))
    local wide = {}
    for i = 1, 100 do
      wide[i] = {}
      for j = 1, 100 do wide[i][j] = j end
    end
    assert.is_true(#show(wide) < 30000)
    assert.matches("%.%.%.%(3000 bytes%)$", show(("z"):rep(3000)))
  end)

  it("shows objects by __tostring and classes by __name", function()
    assert.equal("me", show(setmetatable({}, { __tostring = function() return "me" end })))
    assert.equal("point { x = 1 }", show(setmetatable({ x = 1 }, { __name = "point" })))
    local broken = setmetatable({}, { __tostring = function() error() end })
    assert.matches("__tostring fails", show(broken))
    assert.matches("^hv.timer{", show((function()
      local timer = require("hv").after(1000, print)
      timer:stop()
      return timer
    end)()))
  end)

  it("shows what is in headers, and what tells its content", function()
    local headers = hv.http.headers { a = { "x", "y" } }
    assert.equal('{ hv.http.headers { "a: x", "a: y" } }', show { headers })
    local meta = { __name = "box", __tostring = function() return "box{}" end,
      __content = function() error("none") end }
    assert.equal("box{}", show(setmetatable({}, meta)))
    meta.__content = function() return { 1 } end
    assert.equal("box { 1 }", show(setmetatable({}, meta)))
  end)

  it("tells where functions stand", function()
    assert.matches("^function <.*show_spec.lua:%d+>$", show(function() end))
    assert.matches("^function: builtin", show(print))
  end)

  it("never calls __index or __pairs", function()
    local t = setmetatable({ a = 1 }, { __index = function() error("called") end })
    assert.equal("{ a = 1 }", show(t))
  end)

  it("tells errors of any type in a line, not too long and cut between characters", function()
    local error_text = require("hv.show").error_text
    assert.equal("a\nb", error_text "a\nb")
    assert.equal("7", error_text(7))
    assert.equal("(error object is a nil value)", error_text(nil))
    assert.equal("error value: false", error_text(false))
    local object = setmetatable({}, { __tostring = function() return "mine" end })
    assert.equal("mine", error_text(object))
    local odd = setmetatable({}, { __tostring = function() return {} end })
    assert.equal("string", type(error_text(odd)))
    local text = error_text { code = 7, words = { ("long"):rep(15), ("long"):rep(15) } }
    assert.is_nil(text:find "\n")
    assert.matches("^error value: { code = 7, words = { \"long", text)
    for shift = 0, 1 do
      text = error_text { ("x"):rep(shift) .. ("é"):rep(400) }
      assert.matches("é%.%.%.$", text)
      assert.is_true(#text <= 520)
    end
  end)
end)
