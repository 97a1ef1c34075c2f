/* embed.c - a program of somebody's who has only what is installed, and takes LuaJIT's own header,
 * too: both must go together, and neither order matters. */
#include <hv/hvlua.h>

#include <lauxlib.h>
#include <lua.h>

#include <stdio.h>
#include <string.h>

static int twice(lua_State *L) {
    lua_pushnumber(L, luaL_checknumber(L, 1) * 2);
    return 1;
}

static void on_done(hvlua_t *lua, const hvlua_outcome_t *outcome, void *userdata) {
    int late = 0;
    (void)userdata;
    hvlua_results(lua, outcome, "i", &late);
    printf("late=%d\n", late);
}

int main(void) {
    const char *code =
        "function sum(a, b) return twice(a) + b end\nfunction fail() error('deliberate') end\n"
        "function late(n) require('hv').sleep(5) return n + 1 end";
    double sum = 0;
    hloop_t *loop = hloop_new(HLOOP_FLAG_QUIT_WHEN_NO_ACTIVE_EVENTS);
    hvlua_t *lua = hvlua_new(loop, 0);
    hvlua_register(lua, "twice", twice, NULL);
    if (hvlua_do_string(lua, code, strlen(code), "=embed.lua") != 0) return 1;
    if (hvlua_call(lua, "sum", "dd>d", 3.5, 0.5, &sum) != 0) return 2;
    printf("sum=%g\n", sum);
    if (hvlua_call(lua, "fail", "") != HV_EFAILED) return 3;
    printf("ERROR %s\n", hvlua_error(lua));
    if (hvlua_start(lua, on_done, NULL, "late", "i", 42) != 0) return 4;
    hloop_run(loop);
    hvlua_free(&lua);
    hloop_free(&loop);
    return 0;
}
