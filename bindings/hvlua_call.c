/* hvlua_call.c - what runs in a runtime that a program embeds: scripts and functions, at once or as
 * tasks, and functions of C that Lua waits for. The contract is include/hvlua.h. */
#include "hvlua_int.h"

#include <stdarg.h>

/* ---- At once ---- */

typedef struct call_s {
    hvlua_t *lua;
    const char *name;
    const char *signature;
    va_list *args;
    int is_reading; /* hvlua_get: the value itself */
    int code;
} call_t;

/* Keeps the strings among the values index..top, which the caller has now got pointers to. */
static void keep_strings(hvlua_t *lua, lua_State *L, int index, const char *signature) {
    hvl_unref(lua->rt, &lua->kept_ref);
    if (strpbrk(signature, "sS") == NULL) return;
    lua_newtable(L);
    for (int i = 0; signature[i] != '\0'; i++) {
        lua_pushvalue(L, index + i);
        lua_rawseti(L, -2, i + 1);
    }
    lua->kept_ref = hvl_ref(L);
}

static int call_body(lua_State *L) {
    call_t *what = lua_touserdata(L, 1);
    hvl_push_path(L, what->name);
    const char *signature = what->signature;
    if (!what->is_reading) {
        if (!lua_isfunction(L, 2)) {
            what->code = HV_ENOTFOUND;
            return 0;
        }
        int count = hvl_push_values(L, &signature, what->args);
        lua_call(L, count, (int)strlen(signature));
    } else if (lua_isnil(L, 2)) {
        what->code = HV_ENOTFOUND;
        return 0;
    }
    keep_strings(what->lua, L, 2, signature);
    what->code = hvl_read_values(what->lua, L, 2, signature, what->args);
    return 0;
}

static int run_call(call_t what) {
    int code = hvl_embed_protect(what.lua, call_body, &what, &what.code);
    if (code != HV_ENOTFOUND) return code;
    return hvl_embed_fail(what.lua, code, "there is no %s \"%s\"",
                          what.is_reading ? "value" : "function", what.name);
}

int hvlua_call(hvlua_t *lua, const char *name, const char *signature, ...) {
    if (!hvl_signature_is_good(signature, 1)) {
        return hvl_embed_fail(lua, HV_EINVAL, "hvlua_call: bad signature \"%s\"", signature);
    }
    va_list args;
    va_start(args, signature);
    int code = run_call((call_t){.lua = lua, .name = name, .signature = signature, .args = &args});
    va_end(args);
    return code;
}

int hvlua_get(hvlua_t *lua, const char *name, const char *signature, ...) {
    if (!hvl_signature_is_good(signature, 0) || strlen(signature) != 1) {
        return hvl_embed_fail(lua, HV_EINVAL, "hvlua_get: bad signature \"%s\"", signature);
    }
    va_list args;
    va_start(args, signature);
    int code = run_call((call_t){
        .lua = lua, .name = name, .signature = signature, .args = &args, .is_reading = 1});
    va_end(args);
    return code;
}

typedef struct script_s {
    const char *code; /* or NULL: the file */
    size_t len;
    const char *name; /* of the chunk, or the file's */
    int result;
} script_t;

/* Leaves the function on the stack, or raises the reason. */
static void load_script(lua_State *L, const script_t *script) {
    int status;
    if (script->code != NULL) {
        lua_pushlstring(L, script->code, script->len); /* its own name, where it has no other */
        const char *name = script->name != NULL ? script->name : lua_tostring(L, -1);
        status = luaL_loadbuffer(L, script->code, script->len, name);
        lua_remove(L, -2);
    } else {
        status = luaL_loadfile(L, script->name);
    }
    if (status != 0) lua_error(L);
}

static int do_body(lua_State *L) {
    script_t *script = lua_touserdata(L, 1);
    load_script(L, script);
    lua_call(L, 0, 0);
    return 0;
}

/* A missing file is told apart from one that is no Lua. */
static int check_file(hvlua_t *lua, const char *path) {
    if (access(path, R_OK) == 0) return 0;
    return hvl_embed_fail(lua, HV_ENOTFOUND, "cannot open %s: %s", path, herr_text(errno));
}

int hvlua_do_string(hvlua_t *lua, const char *code, size_t len, const char *name) {
    script_t script = {.code = code, .len = len, .name = name};
    return hvl_embed_protect(lua, do_body, &script, &script.result);
}

int hvlua_do_file(hvlua_t *lua, const char *path) {
    script_t script = {.name = path};
    int code = check_file(lua, path);
    return code != 0 ? code : hvl_embed_protect(lua, do_body, &script, &script.result);
}

/* ---- As tasks ---- */

static void list_pending(pending_t *pending) {
    hvlua_t *lua = pending->lua;
    pending->next = lua->pending;
    if (lua->pending != NULL) lua->pending->prev = pending;
    lua->pending = pending;
}

/* The message of a failure lies on top of the dead coroutine's stack. Leaves message and traceback
 * on the main stack. */
static void describe_failure(hvl_task_t *task, hvlua_outcome_t *outcome) {
    lua_State *L = task->rt->L;
    lua_pushvalue(task->co, -1);
    lua_xmove(task->co, L, 1);
    outcome->message = lua_tostring(L, -1);
    outcome->code = hvl_memory_is_out(lua_status(task->co), outcome->message) ? HV_ENOMEM
                                                                               : HV_EFAILED;
    lua_pop(task->co, 1); /* the stack is now as the error has left it */
    hvl_push_traceback(L, task, outcome->message);
    lua_pushvalue(L, -2);
    lua_xmove(L, task->co, 1);
    outcome->traceback = lua_tostring(L, -1);
}

static void on_task_finished(hvl_task_t *task, int status) {
    pending_t *pending = task->userdata[0];
    lua_State *L = task->rt->L;
    int top = lua_gettop(L);
    hvlua_outcome_t outcome = {.code = 0};
    if (status == HVL_FINISHED) {
        outcome.L = task->co;
        outcome.count = lua_gettop(task->co);
    } else if (status == HVL_FAILED) {
        describe_failure(task, &outcome);
    } else {
        outcome.code = HV_ECANCELED;
        outcome.message = outcome.traceback = "task canceled";
    }
    hvl_embed_end(pending, &outcome);
    lua_settop(L, top);
}

int hvlua_results(hvlua_t *lua, const hvlua_outcome_t *outcome, const char *signature, ...) {
    if (outcome->L == NULL) return outcome->code;
    if (!hvl_signature_is_good(signature, 0)) {
        return hvl_embed_fail(lua, HV_EINVAL, "hvlua_results: bad signature \"%s\"", signature);
    }
    va_list args;
    va_start(args, signature);
    int count = (int)strlen(signature);
    lua_checkstack(outcome->L, count + LUA_MINSTACK);
    if (lua_gettop(outcome->L) < count) lua_settop(outcome->L, count);
    int code = hvl_read_values(lua, outcome->L, 1, signature, &args);
    va_end(args);
    return code;
}

typedef struct start_s {
    hvlua_t *lua;
    hvlua_done_cb on_done;
    void *userdata;
    const script_t *script; /* or NULL: a function by its name */
    const char *name;
    const char *signature;
    va_list *args;
    int code;
} start_t;

/* In protected mode: everything that may raise comes before the task is taken. */
static int start_body(lua_State *L) {
    start_t *what = lua_touserdata(L, 1);
    hvl_t *rt = what->lua->rt;
    int count = 0;
    if (what->script != NULL) {
        load_script(L, what->script);
    } else {
        hvl_push_path(L, what->name);
        if (!lua_isfunction(L, 2)) {
            what->code = HV_ENOTFOUND;
            return 0;
        }
        const char *signature = what->signature;
        count = hvl_push_values(L, &signature, what->args);
    }
    pending_t *pending = NULL;
    what->code = HV_ENOMEM;
    if (what->on_done != NULL) {
        pending = hv_zalloc(sizeof *pending);
        if (pending == NULL) return 0;
    }
    hvl_memory_enter(what->lua->memory, 0);
    hvl_task_t *task = rt->is_stopped ? NULL : hvl_task_begin(rt);
    if (task == NULL) {
        hv_free(pending);
        what->code = HV_ECLOSED;
        return 0;
    }
    lua_checkstack(task->co, count + LUA_MINSTACK);
    lua_xmove(L, task->co, count + 1);
    if (pending != NULL) {
        *pending = (pending_t){
            .lua = what->lua, .on_done = what->on_done, .userdata = what->userdata};
        list_pending(pending);
        task->on_finish = on_task_finished;
        task->userdata[0] = pending;
        task->is_claimed = 1;
    }
    hvl_task_start(task, count);
    what->code = 0;
    return 0;
}

static int run_start(start_t what) {
    int code = hvl_embed_protect(what.lua, start_body, &what, &what.code);
    if (code == HV_ENOTFOUND) {
        return hvl_embed_fail(what.lua, code, "there is no function \"%s\"", what.name);
    }
    if (code == HV_ECLOSED) return hvl_embed_fail(what.lua, code, "the runtime is stopped");
    return code;
}

int hvlua_run_string(hvlua_t *lua, const char *code, size_t len, const char *name,
                     hvlua_done_cb on_done, void *userdata) {
    script_t script = {.code = code, .len = len, .name = name};
    return run_start(
        (start_t){.lua = lua, .on_done = on_done, .userdata = userdata, .script = &script});
}

int hvlua_run_file(hvlua_t *lua, const char *path, hvlua_done_cb on_done, void *userdata) {
    script_t script = {.name = path};
    int code = check_file(lua, path);
    if (code != 0) return code;
    return run_start(
        (start_t){.lua = lua, .on_done = on_done, .userdata = userdata, .script = &script});
}

int hvlua_start(hvlua_t *lua, hvlua_done_cb on_done, void *userdata, const char *name,
                const char *signature, ...) {
    if (!hvl_signature_is_good(signature, 0)) {
        return hvl_embed_fail(lua, HV_EINVAL, "hvlua_start: bad signature \"%s\"", signature);
    }
    va_list args;
    va_start(args, signature);
    int code = run_start((start_t){.lua = lua, .on_done = on_done, .userdata = userdata,
                                   .name = name, .signature = signature, .args = &args});
    va_end(args);
    return code;
}

/* ---- Functions of C that Lua waits for ---- */

int hvlua_wait(lua_State *L, hvlua_waiter_t *waiter, int64_t timeout_ms) {
    *waiter = (hvlua_waiter_t){0};
    lua_settop(L, 0);
    if (!hvl_may_wait(L)) return hvl_refuse(L, NULL);
    hvl_waiter_t begun = hvl_wait_begin(L, "wait", timeout_ms, NULL, NULL);
    *waiter = (hvlua_waiter_t){begun.task, begun.id};
    return hvl_wait(L);
}

int hvlua_wake(hvlua_waiter_t *waiter, const char *signature, ...) {
    if (!hvl_signature_is_good(signature, 0)) return HV_EINVAL;
    hvl_waiter_t known = {waiter->task, waiter->id};
    hvl_task_t *task = hvl_wake(&known);
    waiter->task = NULL;
    if (task == NULL) return HV_ECANCELED;
    va_list args;
    va_start(args, signature);
    int was_limited = hvl_memory_enter(task->rt->memory, 0);
    int count = hvl_push_values(task->co, &signature, &args);
    hvl_memory_enter(task->rt->memory, was_limited);
    va_end(args);
    hvl_resume_later(task, count);
    return 0;
}
