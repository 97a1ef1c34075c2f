-- linkage_cases.lua - trees that linkage.lua must object to, and one that it must be content with.

local broken = {
  { "base_a is used by this file only: make it static",
    ["runtime/base/a.c"] = "int base_a(void) {\n  return 1;\n}\nint x = base_a();\n",
    ["runtime/base/a.h"] = "/* base_a: */\nint base_a(void);\n" },
  { "base_a is used by tests only",
    ["runtime/base/a.c"] = "int base_a(int one,\n           int two) {\n  return 1;\n}\n",
    ["runtime/base/a.h"] = "int base_a(int one, int two);\n",
    ["spec/c/test_a.c"] = "int x = base_a(1, 2);\n" },
  { "hbase_a is public, and neither used nor tested",
    ["runtime/base/a.c"] = "int hbase_a(void) { return 1; } /* hbase_a */\n",
    ["runtime/include/a.h"] = "int hbase_a(void);\n" },
  { "no sources below" },
}

local fine = {
  ["runtime/base/a.c"] = "int base_a(void) { return 1; }\n"
    .. "int base_b(void) {\n  return 1;\n}\nint base_c(void) { return base_b(); }\n"
    .. "int base_d(void) { return 1; }\nint base_e(void) { return 1; }\n"
    .. "static int base_f(void) { return base_f; }\nint hbase_a(void) { return 1; }\n",
  ["runtime/base/a.h"] = "int base_a(void);\nint base_b(void);\n"
    .. "static inline int x(void) { return base_c(); }\nint base_c(void);\n\n"
    .. "/* For tests: a number. */\nint base_d(void);\n\n"
    .. "/* ---- More, for tests ---- */\n\n/* A number. */\nint base_e(void);\n",
  ["runtime/include/a.h"] = "int hbase_a(void);\n",
  ["bindings/a.c"] = "int hvl_open_a(void) { return base_a(); }\n",
  ["spec/c/test_a.c"] = "int x = base_b() + base_d() + base_e() + hbase_a();\n",
}

return { broken = broken, fine = fine }
