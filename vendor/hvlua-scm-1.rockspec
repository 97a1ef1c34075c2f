-- From a clone: luarocks make vendor/hvlua-scm-1.rockspec
--
-- Nothing is fetched. The libraries are Debian's, as for every build (vendor/README.md, `.ci/setup
-- build`), lua-cjson too: the rock of that name would have to be compiled against the same LuaJIT.
rockspec_format = "3.0"
package = "hvlua"
version = "scm-1"
source = { url = "git+file://." }
description = {
  summary = "An event loop with tasks, sockets, HTTP and more for LuaJIT",
  detailed = [[
`require "hv"` for a stock luajit, and the program hvlua. Code that waits may stand anywhere: a task
waits by itself, and in the main script the wait runs the loop.]],
  license = "MIT",
}
dependencies = { "lua == 5.1" }
build = {
  type = "cmake",
  variables = {
    HV_LUAROCKS = "ON",
    CMAKE_INSTALL_PREFIX = "$(PREFIX)",
    HV_LUA_DIR = "$(LUADIR)",
    HV_LUA_LIBRARY_DIR = "$(LIBDIR)",
    HV_PROGRAM_DIR = "$(BINDIR)",
    HV_LUA_INCLUDE_DIR = "$(LUA_INCDIR)",
  },
}
