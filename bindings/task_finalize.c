/* task_finalize.c - where the finalizers of users run (lua/hv/finalizers.lua).
 *
 * The collector runs a finalizer on the stack of whoever has just asked for memory. That may be a
 * coroutine that waits, because its results are pushed there before it goes on. LuaJIT marks a
 * state in which an error is thrown as one that runs, even where the error is caught at once: a
 * coroutine that waits could not go on after that. And an error that leaves a finalizer while no
 * Lua code runs ends the process. So finalizers have a state of their own, and leave no error. */
#include "task_int.h"

/* Turns an error into "message NUL traceback". */
static int describe(lua_State *L) {
    lua_settop(L, 1);
    lua_pushfstring(L, "error in a finalizer: %s", hvl_error_text(L));
    lua_pushlstring(L, "", 1);
    luaL_traceback(L, L, lua_tostring(L, 2), 1);
    lua_concat(L, 3);
    return 1;
}

static lua_State *own_state(hvl_t *rt, lua_State *L) {
    if (rt->finalizing == NULL) {
        rt->finalizing = lua_newthread(L);
        hvl_ref(L); /* for good */
    }
    return rt->finalizing;
}

int hvl_task_finalize(lua_State *L) {
    hvl_t *rt = hvl_self(L);
    lua_settop(L, 2);
    lua_State *own = own_state(rt, L);
    luaL_checkstack(own, LUA_MINSTACK, "finalizers in finalizers");
    /* One that collects garbage itself may have us called here. */
    lua_pushcfunction(own, describe);
    if (own == L) {
        lua_insert(own, 1);
    } else {
        lua_xmove(L, own, 2);
    }
    if (lua_pcall(own, 1, 0, -3) != 0) {
        const char *message = lua_tostring(own, -1);
        if (message == NULL) message = "error in a finalizer";
        size_t len = strlen(message);
        hvl_report(rt, message, len < lua_objlen(own, -1) ? message + len + 1 : NULL, NULL);
        lua_pop(own, 1);
    }
    lua_pop(own, 1);
    return 0;
}
