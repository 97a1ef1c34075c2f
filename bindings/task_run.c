/* task_run.c - the pool of tasks, the queue of those that are ready, and one run of one of them. */
#include "task_int.h"

#include "watch.h"

#define IDLE_TASKS_MAX 1024 /* coroutines kept for reuse; beyond, they are left to the collector */

/* ---- The pool ---- */

static void add_spare_tasks(hvl_t *rt) {
    hvl_task_t *chunk = lua_newuserdata(rt->L, HVL_TASKS_PER_CHUNK * sizeof *chunk);
    luaL_ref(rt->L, LUA_REGISTRYINDEX);
    memset(chunk, 0, HVL_TASKS_PER_CHUNK * sizeof *chunk);
    chunk->next_chunk = rt->chunks;
    rt->chunks = chunk;
    for (int i = 0; i < HVL_TASKS_PER_CHUNK; i++) {
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
    task->state = HVL_BEGUN;
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

void hvl_task_recycle(hvl_task_t *task, int is_good) {
    hvl_t *rt = task->rt;
    task->state = HVL_FREE;
    task->wait_id++;
    task->starved_due_us = 0;
    task->is_canceled = task->is_starting = task->is_reporter = task->is_passing = 0;
    task->is_claimed = task->is_unwatched = task->is_driven = 0;
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

void hvl_check_arg_count(lua_State *L, const char *name, int count) {
    if (count <= HVL_VALUES_MAX) return;
    hvl_misuse(L, "%s: at most %d arguments, got %d", name, HVL_VALUES_MAX, count);
}

/* ---- The ready queue ---- */

static void run_ready(hvl_t *rt) {
    hvl_task_t *task = rt->ready_first;
    rt->ready_first = rt->ready_last = NULL;
    rt->is_ready_posted = 0;
    while (task != NULL) {
        hvl_task_t *next = task->next;
        task->next = NULL;
        if (rt->loop == NULL) break;
        if (task->state == HVL_BEGUN && task->is_canceled) {
            lua_settop(task->co, 0);
            hvl_task_end(task, HVL_CANCELED);
        } else {
            hvl_task_run(task, task->ready_args);
        }
        task = next;
    }
}

static void on_ready(hevent_t *ev) { run_ready(hevent_userdata(ev)); }

/* ---- Without memory ----
 *
 * Where no event can be posted the ready queue must be run all the same, and a wait whose timer
 * could not be made must end: nobody else may come who would try again. So each state has a spare
 * timer, which does not keep the loop running until it is needed. */

#define DORMANT_MS 86400000

static void on_spare_timer(htimer_t *timer) {
    hvl_t *rt = hevent_userdata(timer);
    rt->is_spare_set = 0;
    hevent_unref(timer);
    htimer_reset(timer, DORMANT_MS);
    hvl_wait_feed_starved(rt);
    run_ready(rt);
}

int hvl_task_prepare(hvl_t *rt) {
    rt->spare_timer = htimer_add(rt->loop, on_spare_timer, DORMANT_MS, INFINITE);
    if (rt->spare_timer == NULL) return hloop_last_error(rt->loop);
    hevent_set_userdata(rt->spare_timer, rt);
    hevent_unref(rt->spare_timer);
    return 0;
}

void hvl_task_set_spare(hvl_t *rt, uint32_t ms) {
    if (rt->is_spare_set || rt->loop == NULL) return;
    rt->is_spare_set = 1;
    hevent_ref(rt->spare_timer);
    htimer_reset(rt->spare_timer, ms);
}

/* ---- Starting ---- */

void hvl_task_start(hvl_task_t *task, int nargs) {
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
    rt->is_ready_posted = 1;
    if (hloop_post_event(rt->loop, &ev) != 0) hvl_task_set_spare(rt, 1);
}

/* ---- Running ---- */

/* A run may have been slow: warns where it was. */
static void warn_if_slow(hvl_task_t *task, int status, uint64_t begin, int has_function) {
    hvl_t *rt = task->rt;
    if (rt->slow_ms == 0 || task->is_unwatched) return; /* set by the run itself */
    int64_t ms = hvl_watch_ms(rt, begin);
    if (ms < (int64_t)rt->slow_ms) return;
    if (!has_function) lua_pushnil(rt->L);
    hvl_warn_slow(rt, status == LUA_YIELD ? task->co : NULL, task->place, ms);
    if (!has_function) lua_pop(rt->L, 1);
}

/* lua_resume under the watch of hv.slow_callback. The main script is not watched: what it does
 * before it waits is its own affair, and a prompt waits for nobody. A part of a task that runs
 * inside an API call belongs to who called it. */
static int watched_resume(hvl_task_t *task, int nargs, int is_fresh) {
    hvl_t *rt = task->rt;
    if (rt->slow_ms == 0 || rt->current != NULL || task == rt->main_task) {
        rt->current = task;
        return lua_resume(task->co, nargs);
    }
    rt->current = task;
    /* The place where it was started tells enough, and costs nothing here. */
    int keeps_function = is_fresh && task->place == NULL;
    if (keeps_function) {
        lua_pushvalue(task->co, -nargs - 1 + task->is_driven);
        lua_xmove(task->co, rt->L, 1);
    }
    uint64_t begin = hvl_watch_ticks();
    int status = lua_resume(task->co, nargs);
    if (hvl_watch_is_suspicious(rt, begin)) warn_if_slow(task, status, begin, keeps_function);
    if (keeps_function) lua_pop(rt->L, 1);
    return status;
}

#ifdef HV_HOSTILE
/* Hostile builds collect after every run of Lua code, so that what is not anchored is gone before
 * the next callback. A program that runs for long, or has much, gets a whole collection less and
 * less often, and steps of one between: else it would do nothing else. */
static void collect_garbage(lua_State *L) {
    static _Thread_local uint32_t run_count, next;
    if (++run_count < next) {
        lua_gc(L, LUA_GCSTEP, 1);
        return;
    }
    lua_gc(L, LUA_GCCOLLECT, 0);
    uint32_t megabytes = (uint32_t)lua_gc(L, LUA_GCCOUNT, 0) / 1024;
    next = 0;
    if (run_count >= 1000 || megabytes >= 16) {
        next = run_count + 64 * (1 + megabytes * megabytes / 64);
    }
}
#endif

int hvl_task_step(hvl_task_t *task, int nargs) {
    hvl_t *rt = task->rt;
    hvl_task_t *before = rt->current;
    lua_State *calling = rt->calling;
    int was_limited = rt->memory != NULL ? hvl_memory_enter(rt->memory, 1) : 0;
    int is_fresh = task->state == HVL_BEGUN;
    task->state = HVL_RUNNING;
    int status = watched_resume(task, nargs, is_fresh);
    if (rt->memory != NULL) hvl_memory_enter(rt->memory, was_limited);
    rt->calling = calling;
    rt->current = before;
#ifdef HV_HOSTILE
    collect_garbage(rt->L);
#endif
    if (status != LUA_YIELD) return status;
    if (task->state == HVL_SUSPENDED) {
        lua_settop(task->co, 0);
        if (task->is_passing) {
            task->is_passing = 0;
            lua_pushboolean(task->co, 1);
            hvl_resume_later(task, 1);
            task->state = HVL_READY;
        }
    } else if (task->state == HVL_RUNNING) {
        lua_settop(task->co, 0);
        lua_pushliteral(task->co, "attempt to yield from outside a coroutine");
        return LUA_ERRRUN;
    }
    return LUA_YIELD;
}

int hvl_task_run(hvl_task_t *task, int nargs) {
    int status = hvl_task_step(task, nargs);
    if (status == LUA_YIELD) return HVL_WAITING;
    return status == 0 ? hvl_task_end(task, HVL_FINISHED) : hvl_task_fail(task);
}

int hvl_task_is_plain(const hvl_task_t *task) {
    return task->handle == NULL && task->defers_ref == LUA_NOREF && !task->is_canceled &&
           !task->is_claimed && !task->is_unwatched;
}

void hvl_start_main(hvl_t *rt, int nargs) {
    hvl_task_t *task = hvl_task_begin(rt);
    lua_checkstack(task->co, nargs + LUA_MINSTACK);
    lua_xmove(rt->L, task->co, nargs + 1);
    rt->main_task = task;
    hvl_task_start(task, nargs);
}
