/* task_end.c - how tasks end: errors and who is told of them, joiners, hv.defer's functions. */
#include "task_int.h"

/* ---- Errors of tasks ---- */

/* describe(value) -> what lua/hv/show.lua has to say of it. */
static int describe(lua_State *L) {
    lua_getglobal(L, "require");
    lua_pushliteral(L, "hv.show");
    lua_call(L, 1, 1);
    lua_getfield(L, -1, "error_text");
    lua_pushvalue(L, 1);
    lua_call(L, 1, 1);
    return 1;
}

const char *hvl_error_text(lua_State *L) {
    if (lua_isstring(L, -1)) return lua_tostring(L, -1);
    if (!lua_isnil(L, -1)) {
        lua_pushcfunction(L, describe);
        lua_pushvalue(L, -2);
        if (lua_pcall(L, 1, 1, 0) != 0 || !lua_isstring(L, -1)) lua_pop(L, 1);
    }
    /* Without it, because memory is out or `require` is not there: as the `lua` program would. */
    if (!lua_isstring(L, -1)) {
        lua_pushfstring(L, "(error object is a %s value)", luaL_typename(L, -1));
    }
    lua_remove(L, -2);
    return lua_tostring(L, -1);
}

/* The last resort: the host program's, or the operator's. */
static void tell(hvl_t *rt, const char *what, const char *message, const char *traceback) {
    if (rt->on_report != NULL) {
        rt->on_report(rt, message, traceback);
    } else {
        hvl_complain("%s: %s", what, traceback);
        rt->has_failed = 1;
    }
}

/* What hv.on_error's function has failed to deal with is told all the same. */
static void on_reporter_finished(hvl_task_t *task, int status) {
    hvl_t *rt = task->rt;
    int ref = (int)(intptr_t)task->userdata[0];
    if (status != HVL_FINISHED) {
        lua_rawgeti(rt->L, LUA_REGISTRYINDEX, ref);
        const char *traceback = lua_tostring(rt->L, -1);
        tell(rt, "hv.on_error failed to report", traceback, traceback);
        lua_pop(rt->L, 1);
    }
    hvl_unref(rt, &ref);
}

void hvl_report(hvl_t *rt, const char *message, const char *traceback, hvl_task_t *task) {
    if (traceback == NULL) traceback = message;
    hvl_task_t *reporter = NULL;
    if (task == NULL || !task->is_reporter) reporter = hvl_task_begin_ref(rt, rt->on_error_ref);
    if (reporter == NULL) {
        tell(rt, "error in a task", message, traceback);
        return;
    }
    lua_pushstring(reporter->co, message);
    lua_pushstring(reporter->co, traceback);
    lua_pushvalue(reporter->co, -1);
    reporter->userdata[0] = (void *)(intptr_t)hvl_ref(reporter->co);
    reporter->on_finish = on_reporter_finished;
    if (task != NULL) {
        hvl_task_push(reporter->co, task);
    } else {
        lua_pushnil(reporter->co);
    }
    reporter->is_reporter = 1;
    hvl_task_start(reporter, 3);
}

int hvl_task_fail(hvl_task_t *task) {
    hvl_t *rt = task->rt;
    lua_State *L = rt->L;
    luaL_checkstack(L, LUA_MINSTACK, "too many values");
    lua_xmove(task->co, L, 1);
    const char *message = hvl_error_text(L);
    if (task->is_canceled && strcmp(message, HVL_CANCELED_TEXT) == 0) {
        lua_pop(L, 1);
        return hvl_task_end(task, HVL_CANCELED);
    }
    if (task == rt->main_task || (task->joiners == NULL && !task->is_claimed)) {
        hvl_push_traceback(L, task, message);
        if (task == rt->main_task) {
            hvl_complain("%s", lua_tostring(L, -1));
        } else {
            hvl_report(rt, message, lua_tostring(L, -1), task);
        }
        lua_pop(L, 1);
    }
    lua_xmove(L, task->co, 1);
    return hvl_task_end(task, HVL_FAILED);
}

/* ---- Ending ---- */

int hvl_push_too_many(lua_State *L) {
    lua_pushnil(L);
    lua_pushfstring(L, "join: a task may return %d values at most", HVL_VALUES_MAX);
    lua_pushstring(L, herr_name(HV_ELIMIT));
    return 3;
}

int hvl_push_outcome(lua_State *L, int status, lua_State *from, int count) {
    if (status == HVL_CANCELED) {
        lua_pushnil(L);
        lua_pushliteral(L, HVL_CANCELED_TEXT);
        lua_pushstring(L, herr_name(HV_ECANCELED));
        return 3;
    }
    if (status == HVL_FAILED) {
        lua_pushnil(L);
        lua_pushvalue(from, count);
        if (from != L) lua_xmove(from, L, 1);
        lua_pushliteral(L, "EFAILED");
        return 3;
    }
    if (count > HVL_VALUES_MAX || !lua_checkstack(L, count)) return hvl_push_too_many(L);
    for (int i = 1; i <= count; i++) {
        lua_pushvalue(from, i);
        if (from != L) lua_xmove(from, L, 1);
    }
    return count;
}

static void wake_joiners(hvl_task_t *task, int status) {
    hvl_task_t *joiner = task->joiners;
    task->joiners = NULL;
    while (joiner != NULL) {
        hvl_task_t *next = joiner->next_joiner;
        joiner->next_joiner = NULL;
        hvl_waiter_t waiter = {joiner, joiner->wait_id};
        hvl_wake(&waiter);
        int count = hvl_push_outcome(joiner->co, status, task->co, lua_gettop(task->co));
        hvl_resume_later(joiner, count);
        joiner = next;
    }
}

/* Leaves the results with the handle, for a later join, and lets the handle go. One without results
 * stays in the slot until the next: that costs less than taking it out. */
static void settle_handle(hvl_task_t *task, int status) {
    lua_State *L = task->rt->L;
    hvl_handle_t *handle = task->handle;
    task->handle = NULL;
    handle->task = NULL;
    handle->status = status;
    int top = lua_gettop(task->co);
    int count = status == HVL_CANCELED ? 0 : top;
    if (count == 0) return;
    if (status == HVL_FAILED) count = 1; /* the message; the rest is the dead frame */
    handle->result_count = count;
    luaL_checkstack(L, 4, "too many values");
    lua_rawgeti(L, LUA_REGISTRYINDEX, task->handle_slot);
    lua_createtable(L, count, 0);
    for (int i = 1; i <= count; i++) {
        lua_pushvalue(task->co, top - count + i);
        lua_xmove(task->co, L, 1);
        lua_rawseti(L, -2, i);
    }
    lua_setfenv(L, -2);
    lua_pop(L, 1);
    lua_pushboolean(L, 0);
    lua_rawseti(L, LUA_REGISTRYINDEX, task->handle_slot);
}

/* hv.defer's functions run one after the other, the last first, each as a task of its own: the
 * error of one is told like any other and keeps no other from running. */
static void run_next_defer(hvl_t *rt, int defers_ref);

static void on_defer_finished(hvl_task_t *task, int status) {
    (void)status;
    run_next_defer(task->rt, (int)(intptr_t)task->userdata[0]);
}

static void run_next_defer(hvl_t *rt, int defers_ref) {
    lua_State *L = rt->L;
    luaL_checkstack(L, LUA_MINSTACK, "too many values");
    lua_rawgeti(L, LUA_REGISTRYINDEX, defers_ref);
    int count = (int)lua_objlen(L, -1);
    hvl_task_t *task = count > 0 ? hvl_task_begin(rt) : NULL;
    if (task == NULL) {
        hvl_unref(rt, &defers_ref);
        lua_pop(L, 1);
        return;
    }
    lua_rawgeti(L, -1, count);
    lua_xmove(L, task->co, 1);
    lua_pushnil(L);
    lua_rawseti(L, -2, count);
    lua_pop(L, 1);
    task->on_finish = on_defer_finished;
    task->userdata[0] = (void *)(intptr_t)defers_ref;
    hvl_task_start(task, 0);
}

static void run_defers(hvl_task_t *task) {
    int defers_ref = task->defers_ref;
    task->defers_ref = LUA_NOREF;
    run_next_defer(task->rt, defers_ref);
}

int hvl_task_end(hvl_task_t *task, int status) {
    hvl_t *rt = task->rt;
    if (task->on_cancel != NULL || task->timer != NULL) hvl_wait_give_up(task);
    if (task->on_finish != NULL) task->on_finish(task, status);
    if (task->handle != NULL) {
        if (task->defers_ref != LUA_NOREF) run_defers(task);
        if (task->joiners != NULL) wake_joiners(task, status);
        settle_handle(task, status);
    } else if (task->defers_ref != LUA_NOREF) {
        run_defers(task);
    }
    if (task == rt->main_task) {
        rt->main_task = NULL;
        if (status == HVL_FAILED) {
            rt->exit_status = 1;
            rt->is_stopped = 1;
            if (rt->loop != NULL) hloop_stop(rt->loop);
        }
    }
    hvl_task_recycle(task, lua_status(task->co) == 0);
    return status;
}
