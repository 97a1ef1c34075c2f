/* task_wait.c - how tasks wait, are woken and cancelled, and the callback form of what waits. */
#include "task_int.h"

char hvl_wait_mark, hvl_throw_mark;

/* ---- Waiting ---- */

/* Ends a wait without telling what it waited for. */
static void forget_wait(hvl_task_t *task) {
    task->wait_id++;
    task->on_cancel = NULL;
    task->starved_due_us = 0;
    if (task->timer != NULL) {
        if (task->rt->loop != NULL) htimer_del(task->timer);
        task->timer = NULL;
    }
}

void hvl_wait_give_up(hvl_task_t *task) {
    hvl_cancel_cb on_cancel = task->on_cancel;
    void *data = task->wait_data;
    forget_wait(task);
    if (on_cancel != NULL) on_cancel(task, data);
}

int hvl_may_wait(lua_State *L) {
    hvl_task_t *task = hvl_self(L)->current;
    if (task == NULL || task->is_canceled || !lua_isyieldable(L)) return 0;
    return L == task->co || task->rt->passes_waits;
}

int hvl_refuse(lua_State *L, const char *message) {
    hvl_task_t *task = hvl_self(L)->current;
    if (message == NULL) {
        message = task == NULL ? "cannot wait here: only a task may wait, see hv.run"
                  : task->is_canceled ? HVL_CANCELED_TEXT
                  : lua_isyieldable(L)
                      ? "cannot wait inside a coroutine of the standard library, which would take "
                        "the wait for a result of its own (the program hvlua has one that does not)"
                      : "cannot wait inside a function that C has called "
                        "(table.sort, string.gsub, a metamethod of C)";
    }
    lua_pushlightuserdata(L, &hvl_throw_mark);
    lua_pushstring(L, message);
    return 2;
}

static void on_wait_timer(htimer_t *timer) {
    hvl_task_t *task = hevent_userdata(timer);
    const char *what = task->wait_what;
    task->timer = NULL; /* one-shot: the loop frees it */
    hvl_wait_give_up(task);
    int count = 1;
    if (what == NULL) {
        lua_pushboolean(task->co, 1);
    } else {
        count = hvl_push_error(task->co, what, HV_ETIMEDOUT);
    }
    hvl_task_run(task, count);
}

#define RETRY_MS 10

/* The wait has no timer for want of memory. It is made later, for the time that is left then. */
static void starve(hvl_task_t *task, uint64_t due_us) {
    hvl_t *rt = task->rt;
    task->starved_due_us = due_us;
    hvl_task_set_spare(rt, RETRY_MS);
    if (task->is_starved) return;
    task->is_starved = 1;
    task->next_starved = rt->starved;
    rt->starved = task;
}

static int set_wait_timer(hvl_task_t *task, uint32_t ms) {
    task->timer = htimer_add(task->rt->loop, on_wait_timer, ms, 1);
    if (task->timer == NULL) return HV_ENOMEM;
    hevent_set_userdata(task->timer, task);
    return 0;
}

void hvl_wait_feed_starved(hvl_t *rt) {
    uint64_t now_us = hloop_now_hrtime(rt->loop);
    hvl_task_t *task = rt->starved;
    rt->starved = NULL;
    for (hvl_task_t *next; task != NULL; task = next) {
        uint64_t due_us = task->starved_due_us;
        next = task->next_starved;
        task->is_starved = 0;
        task->starved_due_us = 0;
        if (due_us == 0) continue; /* the wait is over */
        uint64_t left_ms = due_us > now_us ? (due_us - now_us + 999) / 1000 : 0;
        if (set_wait_timer(task, (uint32_t)left_ms) != 0) starve(task, due_us);
    }
}

hvl_waiter_t hvl_wait_begin(lua_State *L, const char *what, int64_t timeout_ms,
                            hvl_cancel_cb on_cancel, void *data) {
    hvl_task_t *task = hvl_self(L)->current;
    /* A wait that could not yield, because C stood in the way further out, is left over. */
    if (task->on_cancel != NULL || task->timer != NULL) hvl_wait_give_up(task);
    task->starved_due_us = 0;
    task->wait_id++;
    task->wait_what = what;
    task->on_cancel = on_cancel;
    task->wait_data = data;
    task->state = HVL_SUSPENDED;
    if (timeout_ms >= 0) {
        uint32_t ms = timeout_ms < (int64_t)INFINITE ? (uint32_t)timeout_ms : INFINITE - 1;
        if (set_wait_timer(task, ms) != 0) {
            starve(task, hloop_now_hrtime(task->rt->loop) + (uint64_t)ms * 1000);
        }
    }
    return (hvl_waiter_t){task, task->wait_id};
}

int hvl_wait(lua_State *L) {
    lua_pushlightuserdata(L, &hvl_wait_mark);
    return lua_yield(L, 1);
}

int hvl_is_waited(const hvl_waiter_t *waiter) {
    const hvl_task_t *task = waiter->task;
    return task != NULL && task->wait_id == waiter->id && task->state == HVL_SUSPENDED;
}

hvl_task_t *hvl_wake(hvl_waiter_t *waiter) {
    hvl_task_t *task = hvl_is_waited(waiter) ? waiter->task : NULL;
    waiter->task = NULL;
    if (task == NULL) return NULL;
    forget_wait(task);
    task->state = HVL_READY;
    return task;
}

void hvl_resume_now(hvl_task_t *task, int nresults) {
    if (task->rt->loop != NULL) hvl_task_run(task, nresults);
}

void hvl_resume_later(hvl_task_t *task, int nresults) { hvl_task_start(task, nresults); }

void hvl_task_cancel(hvl_task_t *task) {
    if (task->is_canceled) return;
    task->is_canceled = 1;
    if (task->state != HVL_SUSPENDED) return;
    hvl_wait_give_up(task);
    task->state = HVL_READY;
    lua_pushlightuserdata(task->co, &hvl_throw_mark);
    lua_pushliteral(task->co, HVL_CANCELED_TEXT);
    hvl_resume_later(task, 2);
}

/* ---- The callback form ---- */

/* dual(operation, args..., fn): the callback form of an operation written in Lua. */
int hvl_task_dual(lua_State *L) {
    hvl_t *rt = hvl_self(L);
    int count = lua_gettop(L);
    if (count > HVL_VALUES_MAX) return hvl_refuse(L, "too many arguments");
    hvl_task_t *task = hvl_task_begin_ref(rt, rt->dual_body_ref);
    if (task == NULL) return hvl_refuse(L, "the loop has ended");
    lua_insert(L, 2); /* the callback behind the operation, before its arguments */
    lua_checkstack(task->co, count + LUA_MINSTACK);
    lua_xmove(L, task->co, count);
    hvl_task_push(L, task);
    task->is_starting = 1;
    int status = hvl_task_step(task, count);
    task->is_starting = 0;
    if (status == LUA_YIELD) return 1;
    if (status == 0) {
        hvl_task_end(task, HVL_FINISHED);
        return 1;
    }
    const char *message = lua_tostring(task->co, -1);
    hvl_refuse(L, message ? message : "error in the call");
    lua_settop(task->co, 0);
    hvl_task_end(task, HVL_CANCELED);
    return 2;
}

int hvl_dual(lua_State *L) {
    lua_Debug self;
    lua_getstack(L, 0, &self);
    lua_getinfo(L, "f", &self);
    lua_insert(L, 1);
    return hvl_task_dual(L);
}

/* Between an operation and the callback of its callback form: where the operation has not waited
 * the task does so here, because we are still inside the call. */
int hvl_task_settle(lua_State *L) {
    hvl_task_t *task = hvl_self(L)->current;
    int count = lua_gettop(L);
    if (!task->is_starting) return count;
    hvl_task_start(task, count);
    task->state = HVL_READY;
    return lua_yield(L, count);
}
