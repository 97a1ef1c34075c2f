/* task.c - tasks: Lua functions on pooled coroutines, how they wait, end, fail and are cancelled.
 *
 *     FREE -> BEGUN -> [READY ->] RUNNING -> WAITING -> READY or RUNNING ... -> FREE
 *
 * A finished coroutine is used again for the next function; one that ended in an error is dropped
 * and its struct gets a new one when it is needed. The structs themselves live as long as the
 * state, so that a waiter (task and wait id) of an ended wait is recognized without any list.
 *
 * A waiting C function yields one private value. The coroutine functions of lua/hv/coroutines.lua
 * hand it outward through coroutines of the user's, so it always reaches resume() below. Whatever
 * else arrives there is a yield that nobody will answer, and fails the task.
 *
 * rt->current is the running task. It nests in one case: hvl_dual runs the first part of a new task
 * inside an API call. No user code runs in that part. */
#include "bind.h"

#define TASKS_PER_CHUNK 64
#define IDLE_TASKS_MAX  1024 /* coroutines kept for reuse; beyond, they are left to the collector */

enum { FREE, BEGUN, READY, RUNNING, WAITING };

#define CANCELED_TEXT "task canceled"

/* What a waiting function yields, and what comes first where the Lua side is to raise. Only their
 * addresses count. */
static char wait_mark, throw_mark;

/* The hv.task that Lua holds. */
typedef struct handle_s {
    hvl_object_t object;
    hvl_task_t *task; /* NULL once it has ended */
    int status;       /* HVL_*, then */
    int result_count; /* in the environment table */
} handle_t;

static const hvl_class_t task_class = {"hv.task"};

/* ---- The pool ---- */

static void add_spare_tasks(hvl_t *rt) {
    hvl_task_t *chunk = lua_newuserdata(rt->L, TASKS_PER_CHUNK * sizeof *chunk);
    luaL_ref(rt->L, LUA_REGISTRYINDEX);
    memset(chunk, 0, TASKS_PER_CHUNK * sizeof *chunk);
    chunk->next_chunk = rt->chunks;
    rt->chunks = chunk;
    for (int i = 0; i < TASKS_PER_CHUNK; i++) {
        chunk[i].rt = rt;
        chunk[i].co_ref = chunk[i].defers_ref = LUA_NOREF;
        lua_pushboolean(rt->L, 0);
        chunk[i].handle_slot = hvl_ref(rt->L);
        chunk[i].next = rt->spare_tasks;
        rt->spare_tasks = &chunk[i];
    }
}

hvl_task_t *hvl_task_begin(hvl_t *rt) {
    if (rt->loop == NULL) return NULL;
    hvl_task_t *task = rt->idle_tasks;
    if (task != NULL) {
        rt->idle_tasks = task->next;
        rt->idle_count--;
    } else {
        if (rt->spare_tasks == NULL) add_spare_tasks(rt);
        task = rt->spare_tasks;
        rt->spare_tasks = task->next;
        luaL_checkstack(rt->L, 4, "too many values");
        task->co = lua_newthread(rt->L);
        task->co_ref = luaL_ref(rt->L, LUA_REGISTRYINDEX);
    }
    task->state = BEGUN;
    task->next = NULL;
    task->on_finish = NULL;
    task->place = NULL;
    return task;
}

hvl_task_t *hvl_task_begin_ref(hvl_t *rt, int ref) {
    if (ref == LUA_NOREF) return NULL;
    hvl_task_t *task = hvl_task_begin(rt);
    if (task != NULL) lua_rawgeti(task->co, LUA_REGISTRYINDEX, ref);
    return task;
}

/* Gives a task back whose coroutine is or is not good for another function. */
static void recycle(hvl_task_t *task, int is_good) {
    hvl_t *rt = task->rt;
    task->state = FREE;
    task->wait_id++;
    task->is_canceled = task->is_starting = task->is_reporter = task->is_passing = 0;
    task->is_claimed = task->is_unwatched = 0;
    if (is_good && rt->idle_count < IDLE_TASKS_MAX) {
        lua_settop(task->co, 0);
        task->next = rt->idle_tasks;
        rt->idle_tasks = task;
        rt->idle_count++;
    } else {
        hvl_unref(rt, &task->co_ref);
        task->co = NULL;
        task->next = rt->spare_tasks;
        rt->spare_tasks = task;
    }
}

void hvl_task_drop(hvl_task_t *task) { recycle(task, 1); }

/* ---- The ready queue ---- */

/* The kernel's coarse clock: some ms of error, but a seventh of the other's cost. */
static int64_t coarse_ms(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &at);
    return (int64_t)at.tv_sec * 1000 + at.tv_nsec / 1000000;
}

static int resume(hvl_task_t *task, int nargs);
static int end_task(hvl_task_t *task, int status);

static void on_ready(hevent_t *ev) {
    hvl_t *rt = hevent_userdata(ev);
    hvl_task_t *task = rt->ready_first;
    rt->ready_first = rt->ready_last = NULL;
    rt->is_ready_posted = 0;
    rt->clock_ms = coarse_ms();
    rt->is_clock_kept = rt->slow_ms != 0;
    while (task != NULL) {
        hvl_task_t *next = task->next;
        task->next = NULL;
        if (rt->loop == NULL) break;
        if (task->state == BEGUN && task->is_canceled) {
            lua_settop(task->co, 0);
            end_task(task, HVL_CANCELED);
        } else {
            resume(task, task->ready_args);
        }
        task = next;
    }
    rt->is_clock_kept = 0;
}

static void make_ready(hvl_task_t *task, int nargs) {
    hvl_t *rt = task->rt;
    task->ready_args = nargs;
    task->next = NULL;
    if (rt->ready_last != NULL) {
        rt->ready_last->next = task;
    } else {
        rt->ready_first = task;
    }
    rt->ready_last = task;
    if (rt->is_ready_posted || rt->loop == NULL) return;
    hevent_t ev = {.cb = on_ready, .userdata = rt};
    /* Without memory it is tried again with the next task; none is lost. */
    rt->is_ready_posted = hloop_post_event(rt->loop, &ev) == 0;
}

void hvl_task_start(hvl_task_t *task, int nargs) { make_ready(task, nargs); }

/* ---- Errors of tasks ---- */

/* Replaces the value on top of L by a string for people. */
static const char *to_message(lua_State *L) {
    if (lua_isstring(L, -1)) return lua_tostring(L, -1);
    if (luaL_getmetafield(L, -1, "__tostring")) {
        lua_pushvalue(L, -2);
        if (lua_pcall(L, 1, 1, 0) == 0 && lua_isstring(L, -1)) {
            lua_remove(L, -2);
            return lua_tostring(L, -1);
        }
        lua_pop(L, 1);
    }
    const char *message = lua_pushfstring(L, "(error object is a %s value)", luaL_typename(L, -1));
    lua_remove(L, -2);
    return message;
}

/* The last resort: the host program's, or the operator's. */
static void tell(hvl_t *rt, const char *what, const char *message, const char *traceback) {
    if (rt->on_report != NULL) {
        rt->on_report(rt, message, traceback);
    } else {
        hvl_complain("%s: %s", what, traceback);
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

/* The error value lies on top of the dead coroutine's stack. Leaves the message there. */
static int fail_task(hvl_task_t *task) {
    hvl_t *rt = task->rt;
    lua_State *L = rt->L;
    luaL_checkstack(L, LUA_MINSTACK, "too many values");
    lua_xmove(task->co, L, 1);
    const char *message = to_message(L);
    if (task->is_canceled && strcmp(message, CANCELED_TEXT) == 0) {
        lua_pop(L, 1);
        return end_task(task, HVL_CANCELED);
    }
    if (task == rt->main_task || (task->joiners == NULL && !task->is_claimed)) {
        luaL_traceback(L, task->co, message, 0);
        hvl_place_append(L, task->place);
        if (task == rt->main_task) {
            hvl_complain("%s", lua_tostring(L, -1));
        } else {
            hvl_report(rt, message, lua_tostring(L, -1), task);
        }
        lua_pop(L, 1);
    }
    lua_xmove(L, task->co, 1);
    return end_task(task, HVL_FAILED);
}

/* ---- Ending ---- */

static void forget_wait(hvl_task_t *task) {
    task->wait_id++;
    task->on_cancel = NULL;
    if (task->timer != NULL) {
        if (task->rt->loop != NULL) htimer_del(task->timer);
        task->timer = NULL;
    }
}

/* Takes the task out of what it waits for. */
static void give_up_wait(hvl_task_t *task) {
    hvl_cancel_cb on_cancel = task->on_cancel;
    void *data = task->wait_data;
    forget_wait(task);
    if (on_cancel != NULL) on_cancel(task, data);
}

/* Pushes what join returns for an end: the results of `from` (1..count), or why there are none. */
static int push_outcome(lua_State *L, int status, lua_State *from, int count) {
    if (status == HVL_CANCELED) {
        lua_pushnil(L);
        lua_pushliteral(L, CANCELED_TEXT);
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
    luaL_checkstack(L, count, "too many results");
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
        int count = push_outcome(joiner->co, status, task->co, lua_gettop(task->co));
        hvl_resume_later(joiner, count);
        joiner = next;
    }
}

/* Leaves the results with the handle, for a later join, and lets the handle go. One without results
 * stays in the slot until the next: that costs less than taking it out. */
static void settle_handle(hvl_task_t *task, int status) {
    lua_State *L = task->rt->L;
    handle_t *handle = task->handle;
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

/* Tells everybody, then recycles. On the stack of the coroutine: results 1..top, or the message of
 * a failure on top. */
static int end_task(hvl_task_t *task, int status) {
    hvl_t *rt = task->rt;
    if (task->on_cancel != NULL || task->timer != NULL) give_up_wait(task);
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
    recycle(task, lua_status(task->co) == 0);
    return status;
}

/* ---- Running ---- */

/* lua_resume under the watch of hv.slow_callback. The main script is not watched: what it does
 * before it waits is its own affair, and a prompt waits for nobody. A part of a task that runs
 * inside an API call belongs to who called it. */
static int watched_resume(hvl_task_t *task, int nargs, int is_fresh) {
    hvl_t *rt = task->rt;
    if (rt->slow_ms == 0 || rt->current != NULL || task == rt->main_task) {
        if (rt->current == NULL) rt->is_clock_kept = 0; /* its time is not the next task's */
        rt->current = task;
        return lua_resume(task->co, nargs);
    }
    rt->current = task;
    if (is_fresh) {
        lua_pushvalue(task->co, -nargs - 1);
        lua_xmove(task->co, rt->L, 1);
    } else {
        lua_pushnil(rt->L);
    }
    int64_t begin_ms = rt->is_clock_kept ? rt->clock_ms : coarse_ms();
    int status = lua_resume(task->co, nargs);
    rt->clock_ms = coarse_ms();
    int64_t ms = rt->clock_ms - begin_ms;
    if (ms >= (int64_t)rt->slow_ms && rt->slow_ms != 0 && !task->is_unwatched) {
        hvl_warn_slow(rt, status == LUA_YIELD ? task->co : NULL, task->place, ms);
    }
    lua_pop(rt->L, 1);
    return status;
}

/* Resumes the coroutine. Returns LUA_YIELD only for a wait. */
static int step(hvl_task_t *task, int nargs) {
    hvl_t *rt = task->rt;
    hvl_task_t *before = rt->current;
    lua_State *calling = rt->calling;
    int was_limited = hvl_memory_enter(rt->memory, 1);
    int is_fresh = lua_status(task->co) == 0;
    task->state = RUNNING;
    int status = watched_resume(task, nargs, is_fresh);
    hvl_memory_enter(rt->memory, was_limited);
    rt->calling = calling;
    rt->current = before;
    if (status != LUA_YIELD) return status;
    if (task->state == WAITING) {
        lua_settop(task->co, 0);
        if (task->is_passing) {
            task->is_passing = 0;
            lua_pushboolean(task->co, 1);
            hvl_resume_later(task, 1);
            task->state = READY;
        }
    } else if (task->state == RUNNING) {
        lua_settop(task->co, 0);
        lua_pushliteral(task->co, "attempt to yield from outside a coroutine");
        return LUA_ERRRUN;
    }
    return LUA_YIELD;
}

static int resume(hvl_task_t *task, int nargs) {
    int status = step(task, nargs);
    if (status == LUA_YIELD) return HVL_WAITING;
    return status == 0 ? end_task(task, HVL_FINISHED) : fail_task(task);
}

int hvl_task_run(hvl_task_t *task, int nargs) { return resume(task, nargs); }

void hvl_start_main(hvl_t *rt, int nargs) {
    hvl_task_t *task = hvl_task_begin(rt);
    lua_checkstack(task->co, nargs + LUA_MINSTACK);
    lua_xmove(rt->L, task->co, nargs + 1);
    rt->main_task = task;
    hvl_task_start(task, nargs);
}

/* ---- Waiting ---- */

int hvl_may_wait(lua_State *L) {
    hvl_task_t *task = hvl_self(L)->current;
    if (task == NULL || task->is_canceled || !lua_isyieldable(L)) return 0;
    return L == task->co || task->rt->passes_waits;
}

int hvl_refuse(lua_State *L, const char *message) {
    hvl_task_t *task = hvl_self(L)->current;
    if (message == NULL) {
        message = task == NULL ? "cannot wait here: only a task may wait, see hv.run"
                  : task->is_canceled ? CANCELED_TEXT
                  : lua_isyieldable(L)
                      ? "cannot wait inside a coroutine of the standard library, which would take "
                        "the wait for a result of its own (the program hvlua has one that does not)"
                      : "cannot wait inside a function that C has called "
                        "(table.sort, string.gsub, a metamethod of C)";
    }
    lua_pushlightuserdata(L, &throw_mark);
    lua_pushstring(L, message);
    return 2;
}

static void on_wait_timer(htimer_t *timer) {
    hvl_task_t *task = hevent_userdata(timer);
    const char *what = task->wait_what;
    task->timer = NULL; /* one-shot: the loop frees it */
    give_up_wait(task);
    int count = 1;
    if (what == NULL) {
        lua_pushboolean(task->co, 1);
    } else {
        count = hvl_push_error(task->co, what, HV_ETIMEDOUT);
    }
    resume(task, count);
}

hvl_waiter_t hvl_wait_begin(lua_State *L, const char *what, int64_t timeout_ms,
                            hvl_cancel_cb on_cancel, void *data) {
    hvl_task_t *task = hvl_self(L)->current;
    /* A wait that could not yield, because C stood in the way further out, is left over. */
    if (task->on_cancel != NULL || task->timer != NULL) give_up_wait(task);
    task->wait_id++;
    task->wait_what = what;
    task->on_cancel = on_cancel;
    task->wait_data = data;
    task->state = WAITING;
    if (timeout_ms >= 0) {
        uint32_t ms = timeout_ms < (int64_t)INFINITE ? (uint32_t)timeout_ms : INFINITE - 1;
        task->timer = htimer_add(task->rt->loop, on_wait_timer, ms, 1);
        if (task->timer != NULL) hevent_set_userdata(task->timer, task);
    }
    return (hvl_waiter_t){task, task->wait_id};
}

int hvl_wait(lua_State *L) {
    lua_pushlightuserdata(L, &wait_mark);
    return lua_yield(L, 1);
}

int hvl_is_waited(const hvl_waiter_t *waiter) {
    const hvl_task_t *task = waiter->task;
    return task != NULL && task->wait_id == waiter->id && task->state == WAITING;
}

hvl_task_t *hvl_wake(hvl_waiter_t *waiter) {
    hvl_task_t *task = hvl_is_waited(waiter) ? waiter->task : NULL;
    waiter->task = NULL;
    if (task == NULL) return NULL;
    forget_wait(task);
    task->state = READY;
    return task;
}

void hvl_resume_now(hvl_task_t *task, int nresults) {
    if (task->rt->loop != NULL) resume(task, nresults);
}

void hvl_resume_later(hvl_task_t *task, int nresults) { make_ready(task, nresults); }

/* ---- The callback form ---- */

/* dual(operation, args..., fn): the callback form of an operation written in Lua. */
static int task_dual(lua_State *L) {
    hvl_t *rt = hvl_self(L);
    hvl_task_t *task = hvl_task_begin_ref(rt, rt->dual_body_ref);
    if (task == NULL) return hvl_refuse(L, "the loop has ended");
    int count = lua_gettop(L);
    lua_insert(L, 2); /* the callback behind the operation, before its arguments */
    lua_checkstack(task->co, count + LUA_MINSTACK);
    lua_xmove(L, task->co, count);
    hvl_task_push(L, task);
    task->is_starting = 1;
    int status = step(task, count);
    task->is_starting = 0;
    if (status == LUA_YIELD) return 1;
    if (status == 0) {
        end_task(task, HVL_FINISHED);
        return 1;
    }
    const char *message = lua_tostring(task->co, -1);
    hvl_refuse(L, message ? message : "error in the call");
    lua_settop(task->co, 0);
    end_task(task, HVL_CANCELED);
    return 2;
}

int hvl_dual(lua_State *L) {
    lua_Debug self;
    lua_getstack(L, 0, &self);
    lua_getinfo(L, "f", &self);
    lua_insert(L, 1);
    return task_dual(L);
}

/* Between an operation and the callback of its callback form: where the operation has not waited
 * the task does so here, because we are still inside the call. */
static int task_settle(lua_State *L) {
    hvl_task_t *task = hvl_self(L)->current;
    int count = lua_gettop(L);
    if (!task->is_starting) return count;
    make_ready(task, count);
    task->state = READY;
    return lua_yield(L, count);
}

/* ---- hv.task ---- */

void hvl_task_push(lua_State *L, hvl_task_t *task) {
    if (task->handle != NULL) {
        lua_rawgeti(L, LUA_REGISTRYINDEX, task->handle_slot);
        return;
    }
    /* hvl_object_new, but with the metatable from the registry's array: every hv.go comes here. */
    handle_t *handle = lua_newuserdata(L, sizeof *handle);
    *handle = (handle_t){{&task_class, task->rt, LUA_NOREF}, task, 0, 0};
    lua_rawgeti(L, LUA_REGISTRYINDEX, task->rt->task_meta_ref);
    lua_setmetatable(L, -2);
    task->handle = handle;
    lua_pushvalue(L, -1);
    lua_rawseti(L, LUA_REGISTRYINDEX, task->handle_slot);
}

static const char *status_name(const handle_t *handle) {
    if (handle->task != NULL) {
        switch (handle->task->state) {
        case RUNNING: return "running";
        case WAITING: return "waiting";
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
    handle_t *handle = hvl_check(L, 1, &task_class);
    lua_pushstring(L, status_name(handle));
    return 1;
}

static int task_tostring(lua_State *L) {
    handle_t *handle = hvl_check(L, 1, &task_class);
    const hvl_task_t *task = handle->task;
    const char *what = task != NULL && task->state == WAITING ? task->wait_what : NULL;
    lua_pushfstring(L, "hv.task{%s%s%s}", status_name(handle), what ? " in " : "",
                    what ? what : "");
    return 1;
}

void hvl_task_cancel(hvl_task_t *task) {
    if (task->is_canceled) return;
    task->is_canceled = 1;
    if (task->state != WAITING) return;
    give_up_wait(task);
    task->state = READY;
    lua_pushlightuserdata(task->co, &throw_mark);
    lua_pushliteral(task->co, CANCELED_TEXT);
    hvl_resume_later(task, 2);
}

static int task_cancel(lua_State *L) {
    handle_t *handle = hvl_check(L, 1, &task_class);
    hvl_task_t *task = handle->task;
    if (task != NULL) hvl_task_cancel(task);
    lua_pushboolean(L, task != NULL);
    return 1;
}

/* task:traceback() -> where the task waits, and which lines have started it */
static int task_traceback(lua_State *L) {
    handle_t *handle = hvl_check(L, 1, &task_class);
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
        for (int i = 0; i < TASKS_PER_CHUNK; i++) {
            hvl_task_t *task = &chunk[i];
            if (task->state == FREE || task == rt->current) continue;
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
        for (int i = 0; i < TASKS_PER_CHUNK; i++) {
            if (chunk[i].state == FREE || &chunk[i] == rt->current) continue;
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

static int push_stored_outcome(lua_State *L, const handle_t *handle) {
    int top = lua_gettop(L);
    if (handle->status == HVL_FINISHED) {
        int count = handle->result_count;
        if (count == 0) return 0;
        luaL_checkstack(L, count + 1, "too many results");
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
    return push_outcome(L, handle->status, L, 0);
}

static int task_join(lua_State *L) {
    if (hvl_is_dual(L)) return hvl_dual(L);
    handle_t *handle = hvl_check(L, 1, &task_class);
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

/* drive(fn, ...) -> true, results: runs fn as a task, and the loop until it has ended; nothing where
 * it never does. It must not raise (pcall). */
static int drive(lua_State *L) {
    hvl_t *rt = hvl_self(L);
    hvl_task_t *task = hvl_task_begin(rt);
    if (task == NULL) return 0;
    int count = lua_gettop(L);
    lua_checkstack(task->co, count + LUA_MINSTACK);
    lua_xmove(L, task->co, count);
    task->on_finish = on_driven_finished;
    hvl_task_push(L, task);
    const handle_t *handle = lua_touserdata(L, 1);
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
    handle_t *handle = hvl_check(L, 1, &task_class);
    hvl_task_t *task = handle->task;
    int is_parked = task != NULL && task->state == WAITING && task->on_cancel == on_park_canceled;
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
    if (strcmp(message, CANCELED_TEXT) == 0) return lua_error(L);
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
        {"defer", defer},   {"raise", raise_message},  {"settle", task_settle},
        {"dual", task_dual}, {"set_dual_body", set_dual_body}, {"park", park},
        {"unpark", unpark}, {"is_idle", is_idle},      {"drive", drive},
        {"pass_waits", pass_waits}, {NULL, NULL}};
    hvl_t *rt = hvl_self(L);
    lua_newtable(L);
    hvl_setfuncs(L, rt, functions);
    hvl_class_new(L, rt, &task_class, methods, metamethods);
    hvl_class_push(L, &task_class);
    rt->task_meta_ref = hvl_ref(L);
    lua_setfield(L, -2, "methods");
    lua_pushlightuserdata(L, &wait_mark);
    lua_setfield(L, -2, "wait_mark");
    lua_pushlightuserdata(L, &throw_mark);
    lua_setfield(L, -2, "throw_mark");
    lua_pushboolean(L, rt->is_guest);
    lua_setfield(L, -2, "is_guest");
    return 1;
}
