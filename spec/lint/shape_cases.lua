-- shape_cases.lua - trees that shape.lua must object to, and one that it must be content with.

local function body(lines) return "int a(void) {\n" .. ("  b();\n"):rep(lines) .. "}\n" end

local broken = {
  { "101 columns, 100 at the most", ["runtime/base/a.c"] = ("x"):rep(101) .. "\n" },
  { "101 columns, 100 at the most", ["spec/hv/a_spec.lua"] = ("x"):rep(101) .. "\n" },
  { "white space at the end", ["runtime/base/a.c"] = "int a; \n" },
  { "a tab", ["bindings/a.c"] = "\tint a;\n" },
  { "a has 71 lines, 70 at the most", ["runtime/base/a.c"] = body(69) },
  { "621 lines, 620 at the most", ["lua/hv/a.lua"] = ("x = 1\n"):rep(621) },
}

local fine = {
  ["runtime/base/a.c"] = ("x"):rep(100) .. "\n" .. body(68) .. "/* long: a list. */\n" .. body(90),
  ["lua/hv/a.lua"] = ("x = 1\n"):rep(619) .. "---@param x " .. ("y"):rep(100) .. "\n",
  ["lua/hv/b.lua"] = ("\195\164"):rep(100) .. "\n",
  ["spec/c/test_a.c"] = body(1000),
}

return { broken = broken, fine = fine }
