-- layers_cases.lua - trees that layers.lua must object to, and one that it must be content with.

-- What must be found in the report, then the files of the tree.
local broken = {
  { "room base must not look into room loop",
    ["runtime/base/a.c"] = '#include "b.h"\n', ["runtime/loop/b.h"] = "" },
  { "room frame must not look into room poll",
    ["runtime/frame/a.c"] = '#include "b.h"\n', ["runtime/poll/b.h"] = "" },
  { "public header includes the private",
    ["runtime/include/a.h"] = '#include "b.h"\n', ["runtime/base/b.h"] = "" },
  { "runtime does not know Lua",
    ["runtime/net/a.c"] = '#include "bind.h"\n', ["bindings/bind.h"] = "" },
  { "runtime does not know Lua",
    ["runtime/net/a.c"] = '#include "hvlua.h"\n', ["bindings/include/hvlua.h"] = "" },
  { "lua.h may be included by", ["runtime/base/a.c"] = "#include <lua.h>\n" },
  { "openssl/ssl.h may be included by", ["runtime/net/a.c"] = "#include <openssl/ssl.h>\n" },
  { "llhttp.h may be included by", ["runtime/http/a.c"] = '#include "llhttp.h"\n' },
  { "sys/epoll.h may be included by", ["runtime/loop/a.c"] = "#  include <sys/epoll.h>\n" },
  { "pure file must not include", ["runtime/frame/a.c"] = "#include <sys/socket.h>\n" },
  { "pure file may look into base only",
    ["runtime/http/h1_a.c"] = '#include "b.h"\n', ["runtime/net/b.h"] = "" },
  { "allocator is used here: free",
    ["runtime/base/a.c"] = "/* free(p) */\nvoid f(void *p) { free (p); }\n" },
  { "errno is used here", ["runtime/http/a.c"] = "int f(void) { return errno; }\n" },
  { "platform switch", ["runtime/loop/a.c"] = "#ifdef __linux__\n#endif\n" },
  { "a user's function is called outside HV_DISPATCH: on_read",
    ["runtime/net/a.c"] = "void f(x) { io->on_read(io); }\n" },
  { "a user's function is called outside HV_DISPATCH: cb",
    ["runtime/net/a.c"] = "void f(x) { (*ev->cb)(ev); }\n" },
  { "bindings use public headers only",
    ["bindings/a.c"] = '#include "b.h"\n', ["runtime/base/b.h"] = "" },
  { "example uses public headers only",
    ["examples/a.c"] = '#include "b.h"\n', ["runtime/base/b.h"] = "" },
  { "lua/hv requires hv.* and _hv.* only",
    ["runtime/base/a.c"] = "\n", ["lua/hv/a.lua"] = 'local s = require "socket"\nreturn s\n' },
  { "modules require each other", ["runtime/base/a.c"] = "\n",
    ["lua/hv/a.lua"] = 'local b = require("hv.b")\n',
    ["lua/hv/b.lua"] = 'local a = require("hv.a")\n' },
  { "example requires public modules only",
    ["runtime/base/a.c"] = "\n", ["examples/a.lua"] = 'require "_hv.loop"\n' },
  { "no sources below" },
}

-- All of this is allowed, close as it comes to what is not.
local fine = {
  ["runtime/base/b.h"] = "",
  ["runtime/include/hio.h"] = "typedef void (*on_read_cb)(int);\n",
  ["runtime/net/a.c"] = '#include "hio.h"\n#include "b.h"\n/* errno, malloc(1) */\n'
    .. 'static const char *s = "free(x) errno \\" malloc(1)";\n'
    .. "void f(x) { hv__free(io); slab->free(x); io->on_read = g;\n"
    .. " if (io->on_read) call(io->on_read, 1);\n"
    .. "HV_DISPATCH(loop, io->on_read(io)); }\n",
  ["runtime/net/hsock.c"] = "int f(void) { return errno; }\n",
  ["runtime/loop/hdispatch.c"] = "void f(x) { ev->cb(ev); }\n",
  ["runtime/base/hmem.c"] = "void f(void *p) { free(p); }\n",
  ["runtime/ws/a.c"] = '#include "c.h"\n',
  ["runtime/http/c.h"] = "",
  ["bindings/include/hvlua.h"] = '#include "hio.h"\n',
  ["examples/embed.c"] = '#include "hv/hvlua.h"\n',
  ["bindings/a.c"] = '#include "hvlua.h"\n#include <lua.h>\n#include "bind.h"\n#include "hio.h"\n',
  ["bindings/bind.h"] = "",
  ["examples/a.c"] = '#include "hv/hio.h"\n',
  ["lua/hv/a.lua"] = 'local b = require("hv.b")\n',
  ["lua/hv/b.lua"] = 'local c = require("_hv.c")\nreturn function()\n'
    .. '  return require("hv.a")\nend\n',
}

return { broken = broken, fine = fine }
