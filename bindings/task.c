/* task.c - the hv.task that Lua holds of a task, and the functions of _hv.task. What tasks are is
 * told in task_int.h. */
#include "task_int.h"

const hvl_class_t hvl_task_class = {"hv.task"};

/* ---- hv.task ---- */

void hvl_task_push(lua_State *L, hvl_task_t *task) {
    if (task->handle != NULL) {
        lua_rawgeti(L, LUA_REGISTRYINDEX, task->handle_slot);
        return;
    }
    /* hvl_object_new, but with the metatable from the registry's array: every hv.go comes here. */
    hvl_handle_t *handle = lua_newuserdata(L, sizeof *handle);
    *handle = (hvl_handle_t){{&hvl_task_class, task->rt, LUA_NOREF}, task, 0, 0};
    lua_rawgeti(L, LUA_REGISTRYINDEX, task->rt->task_meta_ref);
    lua_setmetatable(L, -2);
    task->handle = handle;
    lua_pushvalue(L, -1);
    lua_rawseti(L, LUA_REGISTRYINDEX, task->handle_slot);
}

static const char *status_name(const hvl_handle_t *handle) {
    if (handle->task != NULL) {
        switch (handle->task->state) {
        case HVL_RUNNING: return "running";
        case HVL_SUSPENDED: return "waiting";
        default: return "ready";
        }
    }
    switch (handle->status) {
    case HVL_FINISHED: return "finished";
    case HVL_FAILED: return "failed";
    default: return "canceled";
    }
}

static int task_status(lua_State *L) {
    hvl_handle_t *handle = hvl_check(L, 1, &hvl_task_class);
    lua_pushstring(L, status_name(handle));
    return 1;
}

static int task_tostring(lua_State *L) {
    hvl_handle_t *handle = hvl_check(L, 1, &hvl_task_class);
    const hvl_task_t *task = handle->task;
    const char *what = task != NULL && task->state == HVL_SUSPENDED ? task->wait_what : NULL;
    lua_pushfstring(L, "hv.task{%s%s%s}", status_name(handle), what ? " in " : "",
                    what ? what : "");
    return 1;
}

static int task_cancel(lua_State *L) {
    hvl_handle_t *handle = hvl_check(L, 1, &hvl_task_class);
    hvl_task_t *task = handle->task;
    if (task != NULL) hvl_task_cancel(task);
    lua_pushboolean(L, task != NULL);
    return 1;
}

/* task:traceback() -> where the task waits, and which lines have started it */
static int task_traceback(lua_State *L) {
    hvl_handle_t *handle = hvl_check(L, 1, &hvl_task_class);
    hvl_task_t *task = handle->task;
    lua_settop(L, 1);
    task_tostring(L);
    if (task == NULL) return 1;
    luaL_traceback(L, task->co, lua_tostring(L, -1), 0);
    hvl_place_append(L, task->place);
    return 1;
}

/* claim() -> whether the running task was cancelled. Its failure is then not reported: the caller
 * tells it in another way. */
static int claim(lua_State *L) {
    hvl_task_t *task = hvl_self(L)->current;
    if (task != NULL) task->is_claimed = 1;
    lua_pushboolean(L, task != NULL && task->is_canceled);
    return 1;
}

/* unwatch(): the running task is a person's, typed at a prompt, and may hold the loop up. */
static int unwatch(lua_State *L) {
    hvl_task_t *task = hvl_self(L)->current;
    if (task != NULL) task->is_unwatched = 1;
    return 0;
}

/* slow_callback([ms]) -> the time that was set before; 0 or false: none */
static int slow_callback(lua_State *L) {
    hvl_t *rt = hvl_self(L);
    lua_Integer before = rt->slow_ms;
    if (lua_isboolean(L, 1) && !lua_toboolean(L, 1)) {
        rt->slow_ms = 0;
    } else if (!lua_isnoneornil(L, 1)) {
        rt->slow_ms = (uint32_t)hvl_check_integer(L, 1, "hv.slow_callback: ms", 0, INT32_MAX);
    }
    lua_pushinteger(L, before);
    return 1;
}

/* others([cancel]) -> how many tasks there are beside the running one; cancels them. */
static int others(lua_State *L) {
    hvl_t *rt = hvl_self(L);
    int must_cancel = lua_toboolean(L, 1);
    lua_Integer count = 0;
    for (hvl_task_t *chunk = rt->chunks; chunk != NULL; chunk = chunk->next_chunk) {
        for (int i = 0; i < HVL_TASKS_PER_CHUNK; i++) {
            hvl_task_t *task = &chunk[i];
            if (task->state == HVL_FREE || task == rt->current) continue;
            count++;
            if (must_cancel) hvl_task_cancel(task);
        }
    }
    lua_pushinteger(L, count);
    return 1;
}

/* list() -> the tasks that there are beside the running one */
static int list(lua_State *L) {
    hvl_t *rt = hvl_self(L);
    int count = 0;
    lua_newtable(L);
    for (hvl_task_t *chunk = rt->chunks; chunk != NULL; chunk = chunk->next_chunk) {
        for (int i = 0; i < HVL_TASKS_PER_CHUNK; i++) {
            if (chunk[i].state == HVL_FREE || &chunk[i] == rt->current) continue;
            hvl_task_push(L, &chunk[i]);
            lua_rawseti(L, -2, ++count);
        }
    }
    return 1;
}

static void on_join_canceled(hvl_task_t *task, void *data) {
    hvl_task_t *joined = data;
    for (hvl_task_t **link = &joined->joiners; *link != NULL; link = &(*link)->next_joiner) {
        if (*link != task) continue;
        *link = task->next_joiner;
        task->next_joiner = NULL;
        return;
    }
}

static int push_stored_outcome(lua_State *L, const hvl_handle_t *handle) {
    int top = lua_gettop(L);
    if (handle->status == HVL_FINISHED) {
        int count = handle->result_count;
        if (count == 0) return 0;
        if (count > HVL_VALUES_MAX || !lua_checkstack(L, count + LUA_MINSTACK)) {
            return hvl_push_too_many(L);
        }
        lua_getfenv(L, 1);
        for (int i = 1; i <= count; i++) lua_rawgeti(L, top + 1, i);
        return count;
    }
    if (handle->status == HVL_FAILED) {
        lua_pushnil(L);
        lua_getfenv(L, 1);
        lua_rawgeti(L, -1, 1);
        lua_remove(L, -2);
        lua_pushliteral(L, "EFAILED");
        return 3;
    }
    return hvl_push_outcome(L, handle->status, L, 0);
}

static int task_join(lua_State *L) {
    if (hvl_is_dual(L)) return hvl_dual(L);
    hvl_handle_t *handle = hvl_check(L, 1, &hvl_task_class);
    int64_t timeout_ms = -1;
    if (!lua_isnoneornil(L, 2)) {
        timeout_ms = hvl_check_integer(L, 2, "task:join: timeout", 0, UINT32_MAX);
    }
    if (handle->task == NULL) return push_stored_outcome(L, handle);
    hvl_task_t *current = hvl_self(L)->current;
    if (handle->task == current) return hvl_misuse(L, "task:join: a task cannot join itself");
    if (!hvl_may_wait(L)) return hvl_refuse(L, NULL);
    hvl_wait_begin(L, "join", timeout_ms, on_join_canceled, handle->task);
    hvl_task_t **last = &handle->task->joiners;
    while (*last != NULL) last = &(*last)->next_joiner;
    *last = current;
    current->next_joiner = NULL;
    return hvl_wait(L);
}

/* ---- Functions ---- */

static hvl_task_t *begin_with_args(lua_State *L, const char *name) {
    hvl_t *rt = hvl_self(L);
    if (!lua_isfunction(L, 1)) {
        hvl_misuse(L, "%s: function expected, got %s", name, luaL_typename(L, 1));
    }
    hvl_check_arg_count(L, name, lua_gettop(L) - 1);
    const hvl_place_t *parent = rt->current != NULL ? rt->current->place : NULL;
    const hvl_place_t *place = hvl_place_here(L, parent);
    hvl_task_t *task = hvl_task_begin(rt);
    if (task == NULL) return NULL;
    task->place = place;
    int count = lua_gettop(L);
    lua_checkstack(task->co, count + LUA_MINSTACK);
    lua_xmove(L, task->co, count);
    hvl_task_start(task, count - 1);
    return task;
}

static int go(lua_State *L) {
    hvl_task_t *task = begin_with_args(L, "hv.go");
    if (task == NULL) return hvl_push_error(L, "hv.go", HV_ECLOSED);
    hvl_task_push(L, task);
    return 1;
}

static int next_pass(lua_State *L) {
    begin_with_args(L, "hv.next");
    return 0;
}

static int sleep_ms(lua_State *L) {
    if (hvl_is_dual(L)) return hvl_dual(L);
    int64_t ms = 0;
    lua_Number asked = lua_tonumber(L, 1);
    if (lua_type(L, 1) == LUA_TNUMBER && asked > 0 && asked < 4294967295.0) {
        /* A part of a millisecond is waited for as a whole one: never too short. */
        ms = (int64_t)asked;
        if ((lua_Number)ms < asked) ms++;
    } else {
        ms = hvl_check_integer(L, 1, "hv.sleep: ms", 0, UINT32_MAX - 1);
    }
    if (!hvl_may_wait(L)) return hvl_refuse(L, NULL);
    /* 0 is a place at the end of the ready queue, behind what has been started before. */
    hvl_self(L)->current->is_passing = ms == 0;
    hvl_wait_begin(L, NULL, ms == 0 ? -1 : ms, NULL, NULL);
    return hvl_wait(L);
}

static int current(lua_State *L) {
    hvl_task_t *task = hvl_self(L)->current;
    if (task == NULL) return 0;
    hvl_task_push(L, task);
    return 1;
}

static int defer(lua_State *L) {
    hvl_task_t *task = hvl_self(L)->current;
    if (!lua_isfunction(L, 1)) {
        return hvl_misuse(L, "hv.defer: function expected, got %s", luaL_typename(L, 1));
    }
    if (task == NULL) return hvl_misuse(L, "hv.defer: only a task can defer, see hv.run");
    lua_settop(L, 1);
    if (task->defers_ref == LUA_NOREF) {
        lua_newtable(L);
        task->defers_ref = hvl_ref(L);
    }
    lua_rawgeti(L, LUA_REGISTRYINDEX, task->defers_ref);
    lua_insert(L, 1);
    lua_rawseti(L, 1, (int)lua_objlen(L, 1) + 1);
    return 0;
}

/* ---- A stock luajit: its main script is no task ---- */

static void on_driven_finished(hvl_task_t *task, int status) {
    (void)status;
    hloop_stop(task->rt->loop);
}

/* is_idle() -> whether nobody runs the loop, so that who waits may do so himself */
static int is_idle(lua_State *L) {
    const hvl_t *rt = hvl_self(L);
    lua_pushboolean(L, rt->loop != NULL && rt->current == NULL && !rt->is_stopped &&
                           hloop_status(rt->loop) != HLOOP_STATUS_RUNNING);
    return 1;
}

/* drive(fn, ...) -> true, results: runs fn as a task, and the loop until it has ended; nothing
 * where it never does. It must not raise (pcall). */
static int drive(lua_State *L) {
    hvl_t *rt = hvl_self(L);
    hvl_task_t *task = hvl_task_begin(rt);
    if (task == NULL) return 0;
    int count = lua_gettop(L);
    lua_checkstack(task->co, count + LUA_MINSTACK);
    lua_xmove(L, task->co, count);
    task->on_finish = on_driven_finished;
    hvl_task_push(L, task);
    const hvl_handle_t *handle = lua_touserdata(L, 1);
    hvl_task_start(task, count - 1);
    hloop_run(rt->loop);
    if (handle->task != NULL) {
        handle->task->on_finish = NULL;
        return 0;
    }
    lua_pushboolean(L, 1);
    return 1 + push_stored_outcome(L, handle);
}

static int pass_waits(lua_State *L) {
    hvl_self(L)->passes_waits = 1;
    return 0;
}

/* ---- Parking: what channels, groups and the like are built of in Lua ---- */

/* Nothing to undo; its address tells that a task is parked. */
static void on_park_canceled(hvl_task_t *task, void *data) {
    (void)task;
    (void)data;
}

/* park([timeout]) waits for unpark(task, ...), and returns what was given there. */
static int park(lua_State *L) {
    int64_t timeout_ms = -1;
    if (!lua_isnoneornil(L, 1)) timeout_ms = hvl_check_integer(L, 1, "timeout", 0, UINT32_MAX);
    if (!hvl_may_wait(L)) return hvl_refuse(L, NULL);
    hvl_wait_begin(L, "wait", timeout_ms, on_park_canceled, NULL);
    return hvl_wait(L);
}

/* unpark(task, ...) -> whether it was parked. It goes on in the next pass. */
static int unpark(lua_State *L) {
    hvl_handle_t *handle = hvl_check(L, 1, &hvl_task_class);
    hvl_task_t *task = handle->task;
    hvl_check_arg_count(L, "unpark", lua_gettop(L) - 1);
    int is_parked = task != NULL && task->state == HVL_SUSPENDED &&
                    task->on_cancel == on_park_canceled;
    if (is_parked) {
        hvl_waiter_t waiter = {task, task->wait_id};
        int count = lua_gettop(L) - 1;
        hvl_wake(&waiter);
        lua_checkstack(task->co, count + LUA_MINSTACK);
        lua_xmove(L, task->co, count);
        hvl_resume_later(task, count);
    }
    lua_pushboolean(L, is_parked);
    return 1;
}

/* raise(message): throws at the user's position; the text of a cancellation is left as it is. */
static int raise_message(lua_State *L) {
    const char *message = luaL_checkstring(L, 1);
    if (strcmp(message, HVL_CANCELED_TEXT) == 0) return lua_error(L);
    return hvl_misuse(L, "%s", message);
}

static int set_dual_body(lua_State *L) {
    hvl_t *rt = hvl_self(L);
    lua_settop(L, 1);
    rt->dual_body_ref = hvl_ref(L);
    return 0;
}

int hvl_open_task(lua_State *L) {
    static const luaL_Reg methods[] = {
        {"join", task_join}, {"cancel", task_cancel}, {"status", task_status},
        {"traceback", task_traceback}, {NULL, NULL}};
    static const luaL_Reg metamethods[] = {{"__tostring", task_tostring}, {NULL, NULL}};
    static const luaL_Reg functions[] = {
        {"others", others}, {"list", list}, {"claim", claim}, {"slow_callback", slow_callback},
        {"unwatch", unwatch},
        {"go", go},         {"next", next_pass},       {"sleep", sleep_ms}, {"current", current},
        {"defer", defer},   {"raise", raise_message},  {"settle", hvl_task_settle},
        {"dual", hvl_task_dual}, {"set_dual_body", set_dual_body}, {"park", park},
        {"unpark", unpark}, {"is_idle", is_idle},      {"drive", drive},
        {"pass_waits", pass_waits}, {"finalize", hvl_task_finalize}, {NULL, NULL}};
    hvl_t *rt = hvl_self(L);
    lua_newtable(L);
    hvl_setfuncs(L, rt, functions);
    hvl_class_new(L, rt, &hvl_task_class, methods, metamethods);
    hvl_class_push(L, &hvl_task_class);
    rt->task_meta_ref = hvl_ref(L);
    lua_setfield(L, -2, "methods");
    lua_pushlightuserdata(L, &hvl_wait_mark);
    lua_setfield(L, -2, "wait_mark");
    lua_pushlightuserdata(L, &hvl_throw_mark);
    lua_setfield(L, -2, "throw_mark");
    lua_pushboolean(L, rt->is_guest);
    lua_setfield(L, -2, "is_guest");
    return 1;
}
