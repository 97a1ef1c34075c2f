-- What luacheck judges: everything but generated files and the stubs, which declare and do nothing.
std = "luajit"
max_line_length = 100
exclude_files = { "build", "build-*", "lua/meta" }
files["spec/**/*_spec.lua"] = { std = "+busted" }
files["spec/support"] = { std = "+busted" }
-- wrk calls what a script defines, and nginx gives its own table.
files["spec/bench/pipe.lua"] = { globals = { "init", "request" }, read_globals = { "wrk" } }
