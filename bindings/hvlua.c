/* hvlua.c - the embedding API (include/hvlua.h): the life of a runtime inside a program, its
 * errors, scripts, and functions of C. How values cross is in hvlua_values.c.
 *
 * The runtime always has a loop of its own, so that taking it down is what it is everywhere: the
 * loop is freed with all of its handles, then the state. In a program's loop it is nested.
 *
 * Whatever is done here for a caller runs in protected mode on the state that the caller is in: the
 * main one where the loop or nobody calls, and that of the running function of C where Lua has
 * called it (rt->calling). LuaJIT does not stand an error through a frame of another state. */
#include "hvlua_int.h"

#include <stdarg.h>

/* ---- Errors ---- */

static char *copy_text(const char *text) {
    size_t bytes = strlen(text) + 1;
    char *copy = hv_malloc(bytes);
    return copy != NULL ? memcpy(copy, text, bytes) : NULL;
}

static void keep_error(hvlua_t *lua, const char *message, const char *traceback) {
    hv_free(lua->message);
    hv_free(lua->traceback);
    lua->message = copy_text(message);
    lua->traceback = copy_text(traceback);
    lua->has_failed = 1;
}

int hvl_embed_fail(hvlua_t *lua, int code, const char *format, ...) {
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    keep_error(lua, text, text);
    return code;
}

static const char *kept_words(const hvlua_t *lua, const char *words) {
    if (words != NULL) return words;
    return lua->has_failed ? herr_text(HV_ENOMEM) : "";
}

const char *hvlua_error(const hvlua_t *lua) { return kept_words(lua, lua->message); }
const char *hvlua_traceback(const hvlua_t *lua) { return kept_words(lua, lua->traceback); }

static void on_report(hvl_t *rt, const char *message, const char *traceback) {
    hvlua_t *lua = rt->host;
    if (lua->on_error != NULL) {
        lua->on_error(lua, message, traceback, lua->on_error_userdata);
    } else {
        hvl_complain("error in a task: %s", traceback);
    }
}

void hvlua_on_error(hvlua_t *lua, hvlua_error_cb on_error, void *userdata) {
    lua->on_error = on_error;
    lua->on_error_userdata = userdata;
}

/* ---- Protected mode ---- */

/* Turns an error into { message, traceback }, while the stack of calls is still there. */
static int on_raise(lua_State *L) {
    lua_settop(L, 1);
    hvl_error_text(L);
    lua_createtable(L, 2, 0);
    lua_pushvalue(L, 1);
    lua_rawseti(L, 2, 1);
    luaL_traceback(L, L, lua_tostring(L, 1), 1);
    lua_rawseti(L, 2, 2);
    return 1;
}

/* Keeps the error value on top of the stack, and pops it. */
static int keep_raised(hvlua_t *lua, lua_State *L, int status) {
    int top = lua_gettop(L);
    if (lua_istable(L, top)) {
        lua_rawgeti(L, top, 1);
        lua_rawgeti(L, top, 2);
    } else {
        lua_pushvalue(L, top);
        lua_pushvalue(L, top);
    }
    const char *message = lua_tostring(L, top + 1);
    int code = hvl_memory_is_out(status, message) ? HV_ENOMEM : HV_EFAILED;
    if (message == NULL) message = herr_text(code);
    const char *traceback = lua_tostring(L, top + 2);
    keep_error(lua, message, traceback != NULL ? traceback : message);
    lua_settop(L, top - 1);
    return code;
}

int hvl_embed_protect(hvlua_t *lua, lua_CFunction body, void *data, int *code) {
    hvl_t *rt = lua->rt;
    lua_State *L = rt->calling != NULL ? rt->calling : rt->L;
    lua_State *calling = rt->calling;
    if (!lua_checkstack(L, LUA_MINSTACK)) return hvl_embed_fail(lua, HV_ENOMEM, "stack overflow");
    /* To push these few things is no matter of the script's: it has no part in it. */
    int was_limited = hvl_memory_enter(lua->memory, 0);
    lua_pushcfunction(L, on_raise);
    lua_pushcfunction(L, body);
    lua_pushlightuserdata(L, data);
    hvl_memory_enter(lua->memory, 1);
    rt->calling = L; /* the body may call functions of C, which may call us */
    int status = lua_pcall(L, 1, 0, -3);
    rt->calling = calling;
    hvl_memory_enter(lua->memory, 0);
    int result = status == 0 ? *code : keep_raised(lua, L, status);
    lua_pop(L, 1);
    hvl_memory_enter(lua->memory, was_limited);
    return result;
}

/* ---- Life ---- */

/* In protected mode: the runtime, and what may wait. */
static int set_up(lua_State *L) {
    hvlua_t *lua = lua_touserdata(L, 1);
    lua->rt = hvl_open_state(L, lua->memory);
    lua->rt->host = lua;
    lua->rt->on_report = on_report;
    lua_getglobal(L, "require");
    lua_pushliteral(L, "hv.start");
    lua_call(L, 1, 1);
    lua_call(L, 0, 0);
    return 0;
}

hvlua_t *hvlua_new(hloop_t *loop, size_t memory_max) {
    if (memory_max > 0 && memory_max < 1 << 20) {
        errno = EINVAL;
        return NULL;
    }
    hvlua_t *lua = hv_zalloc(sizeof *lua);
    if (lua == NULL) return NULL;
    lua->kept_ref = LUA_NOREF;
    lua_State *L = hvl_memory_new_state(&lua->memory, memory_max);
    if (L == NULL) {
        hv_free(lua);
        errno = ENOMEM;
        return NULL;
    }
    int code = lua_cpcall(L, set_up, lua) == 0 ? 0 : HV_ENOMEM;
    if (code == 0) {
        luaL_checkstack(L, LUA_MINSTACK, "");
        if (loop != NULL) code = hloop_nest(loop, lua->rt->loop);
    }
    if (code != 0) {
        if (lua->rt != NULL) hvl_close(lua->rt);
        hvl_memory_close_state(lua->memory, L);
        hv_free(lua);
        errno = -code;
        return NULL;
    }
    return lua;
}

void hvl_embed_end(pending_t *pending, const hvlua_outcome_t *outcome) {
    hvlua_t *lua = pending->lua;
    if (pending->prev != NULL) {
        pending->prev->next = pending->next;
    } else {
        lua->pending = pending->next;
    }
    if (pending->next != NULL) pending->next->prev = pending->prev;
    hvlua_done_cb on_done = pending->on_done;
    void *userdata = pending->userdata;
    hv_free(pending);
    on_done(lua, outcome, userdata);
}

void hvlua_free(hvlua_t **lua_ptr) {
    if (lua_ptr == NULL || *lua_ptr == NULL) return;
    hvlua_t *lua = *lua_ptr;
    lua_State *L = lua->rt->L;
    hvl_close(lua->rt);
    const hvlua_outcome_t canceled = {.code = HV_ECANCELED,
                                      .message = "the runtime has ended",
                                      .traceback = "the runtime has ended"};
    while (lua->pending != NULL) hvl_embed_end(lua->pending, &canceled);
    hvl_memory_close_state(lua->memory, L);
    hv_free(lua->message);
    hv_free(lua->traceback);
    hv_free(lua);
    *lua_ptr = NULL;
}

hloop_t *hvlua_loop(const hvlua_t *lua) { return lua->rt->loop; }
lua_State *hvlua_state(const hvlua_t *lua) { return lua->rt->L; }
void hvlua_set_userdata(hvlua_t *lua, void *userdata) { lua->userdata = userdata; }
void *hvlua_userdata(const hvlua_t *lua) { return lua->userdata; }

size_t hvlua_memory(const hvlua_t *lua) {
    lua_State *L = lua->rt->L;
    return (size_t)lua_gc(L, LUA_GCCOUNT, 0) * 1024 + (size_t)lua_gc(L, LUA_GCCOUNTB, 0);
}

size_t hvlua_collect(hvlua_t *lua) {
    int was_limited = hvl_memory_enter(lua->memory, 0);
    lua_gc(lua->rt->L, LUA_GCCOLLECT, 0);
    hvl_memory_enter(lua->memory, was_limited);
    return hvlua_memory(lua);
}

void hvlua_stop(hvlua_t *lua) { hloop_stop(lua->rt->loop); }
int hvlua_is_stopped(const hvlua_t *lua) { return lua->rt->is_stopped; }
int hvlua_exit_status(const hvlua_t *lua) { return lua->rt->exit_status; }

/* ---- Functions of C ---- */

/* Upvalues of a registered function: the runtime, as of all of ours; the host's userdata; and the
 * function, in a block. */
enum { UP_RUNTIME = 1, UP_USERDATA, UP_FUNCTION };

static int call_host(lua_State *L) {
    hvl_t *rt = hvl_self(L);
    const hvlua_function *function = lua_touserdata(L, lua_upvalueindex(UP_FUNCTION));
    lua_State *calling = rt->calling;
    rt->calling = L;
    int count = (*function)(L);
    rt->calling = calling;
    return count;
}

/* For functions that may wait: with a trailing function they run as a task of their own. */
static int call_waiting_host(lua_State *L) { return hvl_is_dual(L) ? hvl_dual(L) : call_host(L); }

hvlua_t *hvlua_self(lua_State *L) { return hvl_self(L)->host; }

void *hvlua_function_userdata(lua_State *L) {
    return lua_touserdata(L, lua_upvalueindex(UP_USERDATA));
}

typedef struct registration_s {
    hvlua_t *lua;
    const char *name;
    hvlua_function function;
    void *userdata;
    int may_wait;
    int code;
} registration_t;

static void push_function(lua_State *L, const registration_t *what) {
    lua_pushlightuserdata(L, what->lua->rt);
    lua_pushlightuserdata(L, what->userdata);
    hvlua_function *function = lua_newuserdata(L, sizeof *function);
    *function = what->function;
    lua_pushcclosure(L, what->may_wait ? call_waiting_host : call_host, UP_FUNCTION);
}

/* require("hv.wait").waits, which raises where a wait is refused or cancelled. */
static void wrap_waiting(lua_State *L) {
    lua_getglobal(L, "require");
    lua_pushliteral(L, "hv.wait");
    lua_call(L, 1, 1);
    lua_getfield(L, -1, "waits");
    lua_insert(L, -3);
    lua_pop(L, 1);
    lua_call(L, 1, 1);
}

/* Pops a value and gives it a global path. Returns whether the path leads through tables. */
static int set_path(lua_State *L, const char *path) {
    const char *dot;
    lua_pushvalue(L, LUA_GLOBALSINDEX);
    while ((dot = strchr(path, '.')) != NULL) {
        lua_pushlstring(L, path, (size_t)(dot - path));
        lua_pushvalue(L, -1);
        lua_rawget(L, -3);
        if (lua_isnil(L, -1)) {
            lua_pop(L, 1);
            lua_newtable(L);
            lua_pushvalue(L, -2);
            lua_pushvalue(L, -2);
            lua_rawset(L, -5);
        }
        if (!lua_istable(L, -1)) return 0;
        lua_replace(L, -3);
        lua_pop(L, 1);
        path = dot + 1;
    }
    if (*path == '\0') return 0;
    lua_pushstring(L, path);
    lua_pushvalue(L, -3);
    lua_rawset(L, -3);
    return 1;
}

static int register_body(lua_State *L) {
    registration_t *what = lua_touserdata(L, 1);
    push_function(L, what);
    if (what->may_wait) wrap_waiting(L);
    what->code = set_path(L, what->name) ? 0 : HV_EINVAL;
    return 0;
}

static int register_function(registration_t what) {
    int code = hvl_embed_protect(what.lua, register_body, &what, &what.code);
    if (code != HV_EINVAL) return code;
    return hvl_embed_fail(what.lua, code, "cannot register a function as \"%s\"", what.name);
}

int hvlua_register(hvlua_t *lua, const char *name, hvlua_function function, void *userdata) {
    return register_function(
        (registration_t){.lua = lua, .name = name, .function = function, .userdata = userdata});
}

int hvlua_register_waiting(hvlua_t *lua, const char *name, hvlua_function function,
                           void *userdata) {
    return register_function((registration_t){
        .lua = lua, .name = name, .function = function, .userdata = userdata, .may_wait = 1});
}

typedef struct setting_s {
    const char *name;
    const char *signature;
    va_list *args;
    int code;
} setting_t;

static int set_body(lua_State *L) {
    setting_t *what = lua_touserdata(L, 1);
    const char *signature = what->signature;
    hvl_push_values(L, &signature, what->args);
    what->code = set_path(L, what->name) ? 0 : HV_EINVAL;
    return 0;
}

int hvlua_set(hvlua_t *lua, const char *name, const char *signature, ...) {
    if (!hvl_signature_is_good(signature, 0) || strlen(signature) != 1) {
        return hvl_embed_fail(lua, HV_EINVAL, "hvlua_set: bad signature \"%s\"", signature);
    }
    va_list args;
    va_start(args, signature);
    setting_t what = {.name = name, .signature = signature, .args = &args};
    int code = hvl_embed_protect(lua, set_body, &what, &what.code);
    va_end(args);
    if (code != HV_EINVAL) return code;
    return hvl_embed_fail(lua, code, "cannot set \"%s\"", name);
}

/* ---- Modules ---- */

typedef struct module_s {
    hvlua_t *lua;
    const char *name; /* or the pattern */
    const char *code;
    size_t len;
    hvlua_function open;
    int result;
} module_t;

static int preload_body(lua_State *L) {
    module_t *what = lua_touserdata(L, 1);
    lua_getglobal(L, "package");
    lua_getfield(L, -1, "preload");
    if (what->open != NULL) {
        push_function(L, &(registration_t){.lua = what->lua, .function = what->open});
    } else {
        lua_pushfstring(L, "=%s", what->name);
        if (luaL_loadbuffer(L, what->code, what->len, lua_tostring(L, -1)) != 0) lua_error(L);
        lua_remove(L, -2);
    }
    lua_setfield(L, -2, what->name);
    return 0;
}

int hvlua_preload(hvlua_t *lua, const char *name, const char *code, size_t len) {
    module_t what = {.lua = lua, .name = name, .code = code, .len = len};
    return hvl_embed_protect(lua, preload_body, &what, &what.result);
}

int hvlua_preload_function(hvlua_t *lua, const char *name, hvlua_function open) {
    module_t what = {.lua = lua, .name = name, .open = open};
    return hvl_embed_protect(lua, preload_body, &what, &what.result);
}

static int add_path_body(lua_State *L) {
    module_t *what = lua_touserdata(L, 1);
    lua_getglobal(L, "package");
    lua_pushfstring(L, "%s;", what->name);
    lua_getfield(L, -2, "path");
    lua_concat(L, 2);
    lua_setfield(L, -2, "path");
    return 0;
}

int hvlua_add_path(hvlua_t *lua, const char *pattern) {
    module_t what = {.lua = lua, .name = pattern};
    return hvl_embed_protect(lua, add_path_body, &what, &what.result);
}
