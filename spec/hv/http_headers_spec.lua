require "hv.http"
local headers = require "hv.http_headers"

describe("hv.http_headers", function()
  it("finds names in any case, the first value first", function()
    local lines = headers.new()
    lines:add("Accept", "text/html")
    lines:add("accept", "text/plain")
    assert.are.equal("text/html", lines:get("ACCEPT"))
    assert.are.equal("text/html", lines["Accept"])
    assert.are.same({ "text/html", "text/plain" }, lines:get_all("accept"))
    assert.is_nil(lines:get("accept-encoding"))
  end)

  it("keeps the order of lines, and removes every line of a name", function()
    local lines = headers.new()
    for i, name in ipairs { "A", "B", "a", "C", "b" } do lines:add(name, i) end
    lines:remove("a")
    local seen = {}
    for name, value in lines:each() do seen[#seen + 1] = name .. value end
    assert.are.same({ "B2", "C4", "b5" }, seen)
    assert.are.equal("hv.http.headers{3 lines}", tostring(lines))
  end)

  it("sets one line for each value, and none for nil", function()
    local lines = headers.new { ["Set-Cookie"] = { "a=1", "b=2" }, ["X-Count"] = 3 }
    assert.are.same({ "a=1", "b=2" }, lines:get_all("set-cookie"))
    assert.are.equal("3", lines["x-count"])
    lines:set("Set-Cookie", "c=3")
    assert.are.same({ "c=3" }, lines:get_all("set-cookie"))
    lines:set("set-cookie", nil)
    assert.are.same({}, lines:get_all("set-cookie"))
  end)

  it("refuses what would split a message", function()
    local lines = headers.new()
    for _, bad in ipairs { "a\r\nb: c", "a\nb", "a\0b" } do
      assert.has_error(function() lines:add("X", bad) end)
    end
    for _, bad in ipairs { "", "a b", "a:", "a\r\n", "ä" } do
      assert.has_error(function() lines:add(bad, "x") end)
    end
    assert.has_error(function() lines:add("X", {}) end)
    assert.has_error(function() lines:set(1, "x") end)
    assert.are.equal("hv.http.headers{0 lines}", tostring(lines))
  end)
end)
