/* module.c - the C module `_hv`, for a Lua state that is somebody else's: that of a stock luajit.
 * All `_hv.*` modules are in this one file, where Lua's all-in-one loader finds them:
 * luaopen__hv_loop is `_hv.loop`. The modules of lua/hv come as files; what is no Lua among them,
 * and what the states of workers need, is carried inside.
 *
 * Nobody tells when the state is closed. Then finalizers run, the latest object's first, while the
 * memory of all is still there: that of an active object closes the runtime (hvl_class_new), or at
 * last the one that is made here. */
#include "bind.h"
#include "hversion.h"

static char runtime_key; /* its address is the key in the registry */

static int close_runtime(lua_State *L) {
    hvl_t *rt = *(hvl_t **)lua_touserdata(L, 1);
    if (rt->loop != NULL) hvl_close(rt);
    return 0;
}

/* Leaves the stack as it was. */
static hvl_t *runtime_of(lua_State *L) {
    lua_pushlightuserdata(L, &runtime_key);
    lua_rawget(L, LUA_REGISTRYINDEX);
    hvl_t **kept = lua_touserdata(L, -1);
    lua_pop(L, 1);
    if (kept != NULL) return *kept;
    hvl_t *rt = hvl_open(L, 1);
    lua_pushlightuserdata(L, &runtime_key);
    kept = lua_newuserdata(L, sizeof *kept);
    *kept = rt;
    lua_createtable(L, 0, 1);
    lua_pushcfunction(L, close_runtime);
    lua_setfield(L, -2, "__gc");
    lua_setmetatable(L, -2);
    lua_rawset(L, LUA_REGISTRYINDEX);
    lua_getglobal(L, "package");
    lua_getfield(L, -1, "loaders");
    int count = (int)lua_objlen(L, -1);
    lua_pop(L, 2);
    hvl_add_embedded(L, count + 1); /* the files come first, so that nothing is loaded twice */
    return rt;
}

static int open_module(lua_State *L, lua_CFunction open) {
    lua_pushlightuserdata(L, runtime_of(L));
    lua_pushcclosure(L, open, 1);
    lua_call(L, 0, 1);
    return 1;
}

HV_EXPORT int luaopen__hv(lua_State *L);

/* `require "_hv"` itself: nothing but its version. */
int luaopen__hv(lua_State *L) {
    runtime_of(L);
    lua_createtable(L, 0, 1);
    lua_pushstring(L, hv_version());
    lua_setfield(L, -2, "version");
    return 1;
}

#define OPEN(name)                                  \
    HV_EXPORT int luaopen__hv_##name(lua_State *L); \
    int luaopen__hv_##name(lua_State *L) { return open_module(L, hvl_open_##name); }
HVL_EACH_MODULE(OPEN)
