/* worker.c - threads with a loop and a Lua state of their own, and the messages between them.
 *
 *     state that spawns                                     state of the worker
 *     hv.worker  <------- data: what send and recv carry ------->  hv.worker.channel
 *                -------- control: the task, then "stop" ------>
 *                <------- control: the outcome, then its end ---
 *
 * Two channels join them. Data is bounded and carries values that lua/hv/wire.lua has encoded. The
 * first message on control is what is to be run; any later one means stop. What comes back is one
 * outcome: a letter and bytes (worker.h). The worker's thread closes its end of control as the very
 * last thing it does, so who sees that end may join the thread without waiting.
 *
 * The spawning side holds no pointer into the worker and the other way round: each side may end
 * first. The thread is joined on the spawning side, when control ends or with the state itself. */
#include "worker.h"

#include <pthread.h>
#include <signal.h>

#define CONTROL_MAX  4
#define STOP_GRACE_S 5 /* for workers that compute on when the state is taken down */

/* What spawn returns. */
typedef struct worker_s {
    hvl_port_t port;
    hchannel_t *control; /* NULL once the worker has ended */
    struct worker_s *next;
    pthread_t thread;
    int outcome_ref;
    int joiner_count;
    hvl_waiter_t joiners[HVL_PORT_WAITERS_MAX];
} worker_t;

const hvl_class_t hvl_worker_class = {"hv.worker"};

static int push_outcome(lua_State *L, const worker_t *worker) {
    lua_rawgeti(L, LUA_REGISTRYINDEX, worker->outcome_ref);
    size_t len;
    const char *outcome = lua_tolstring(L, -1, &len);
    char kind = outcome != NULL && len > 0 ? *outcome : HVL_OUTCOME_CANCELED;
    if (kind == HVL_OUTCOME_RESULTS) {
        lua_pushlstring(L, outcome + 1, len - 1);
        lua_remove(L, -2);
        return 1;
    }
    if (kind == HVL_OUTCOME_ERROR) {
        lua_pushnil(L);
        lua_pushstring(L, outcome + 1); /* up to the NUL before the traceback */
        lua_pushliteral(L, "EFAILED");
    } else {
        lua_pushnil(L);
        lua_pushliteral(L, "worker canceled");
        lua_pushstring(L, herr_name(HV_ECANCELED));
    }
    lua_remove(L, -4);
    return 3;
}

/* An error of the worker's function reaches hv.on_error of the state that spawned it, once. */
static void report_outcome(worker_t *worker) {
    hvl_t *rt = worker->port.object.rt;
    lua_rawgeti(rt->L, LUA_REGISTRYINDEX, worker->outcome_ref);
    size_t len;
    const char *outcome = lua_tolstring(rt->L, -1, &len);
    if (outcome != NULL && *outcome == HVL_OUTCOME_ERROR) {
        size_t message_len = strlen(outcome + 1);
        const char *traceback = len > message_len + 2 ? outcome + message_len + 2 : NULL;
        hvl_report(rt, outcome + 1, traceback, NULL);
    }
    lua_pop(rt->L, 1);
}

static void unlist(worker_t *worker) {
    worker_t **link = (worker_t **)&worker->port.object.rt->workers;
    while (*link != NULL && *link != worker) link = &(*link)->next;
    if (*link != NULL) *link = worker->next;
}

static void on_joiner_canceled(hvl_task_t *task, void *data) {
    worker_t *worker = data;
    for (int i = 0; i < worker->joiner_count; i++) {
        if (worker->joiners[i].task != task) continue;
        worker->joiner_count--;
        memmove(&worker->joiners[i], &worker->joiners[i + 1],
                (size_t)(worker->joiner_count - i) * sizeof worker->joiners[0]);
        i--;
    }
}

/* The thread has closed its end of control; there is nothing left of it but its handle. */
static void finish_worker(worker_t *worker) {
    pthread_join(worker->thread, NULL);
    hchannel_close(worker->control);
    worker->control = NULL;
    worker->port.is_kept = 0;
    unlist(worker);
    report_outcome(worker);
    int count = worker->joiner_count;
    worker->joiner_count = 0;
    for (int i = 0; i < count; i++) {
        hvl_task_t *task = hvl_wake(&worker->joiners[i]);
        if (task != NULL) hvl_resume_later(task, push_outcome(task->co, worker));
    }
    hvl_port_settle(&worker->port);
}

static void on_control_outside(hchannel_t *end) {
    worker_t *worker = hevent_userdata(end);
    hvl_t *rt = worker->port.object.rt;
    if (rt->loop == NULL) return;
    for (;;) {
        void *data;
        size_t len;
        int code = hchannel_recv(end, &data, &len);
        if (code == HV_EAGAIN) return;
        if (code != 0) break;
        luaL_checkstack(rt->L, 4, "too many values");
        lua_pushlstring(rt->L, data, len);
        hchannel_free(data);
        hvl_unref(rt, &worker->outcome_ref);
        worker->outcome_ref = hvl_ref(rt->L);
    }
    finish_worker(worker);
}

/* All signals stay with the threads that were there before; a thread's own faults do not. */
static int start_thread(worker_t *worker, hchannel_t *control) {
    sigset_t all, before;
    sigfillset(&all);
    const int own[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS};
    for (size_t i = 0; i < ARRAY_SIZE(own); i++) sigdelset(&all, own[i]);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&worker->thread, NULL, hvl_worker_run, control);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return -failed;
}

/* Both channels and the thread. What it has made on failure is closed with the object, or here. */
static int start_worker(worker_t *worker, const char *spec, size_t len, uint32_t capacity,
                        size_t bytes_max) {
    hvl_t *rt = worker->port.object.rt;
    hchannel_t *data[2], *control[2];
    int code = hchannel_pair(data, capacity, bytes_max);
    if (code != 0) return code;
    code = hchannel_pair(control, CONTROL_MAX, SIZE_MAX);
    if (code != 0) {
        hchannel_close(data[0]);
        hchannel_close(data[1]);
        return code;
    }
    hevent_set_userdata(control[0], worker);
    hevent_set_userdata(control[1], data[1]);
    code = hchannel_send(control[0], spec, len);
    if (code == 0) code = hchannel_attach(control[0], rt->loop, on_control_outside);
    if (code == 0) code = hvl_port_attach(&worker->port, data[0]);
    if (code == 0) code = start_thread(worker, control[1]);
    if (code == 0) {
        worker->control = control[0];
        worker->port.is_kept = 1;
        return 0;
    }
    if (worker->port.end == NULL) hchannel_close(data[0]);
    hchannel_close(data[1]);
    hchannel_close(control[0]);
    hchannel_close(control[1]);
    return code;
}

/* spawn(spec, capacity, bytes_max) -> worker */
static int worker_spawn(lua_State *L) {
    hvl_t *rt = hvl_self(L);
    size_t len;
    const char *spec = luaL_checklstring(L, 1, &len);
    uint32_t capacity = (uint32_t)hvl_check_integer(L, 2, "hv.worker.spawn: capacity", 1, 1 << 20);
    int64_t bytes_max = hvl_check_integer(L, 3, "hv.worker.spawn: bytes", 1, INT64_C(1) << 40);
    if (rt->loop == NULL) return hvl_push_error(L, "hv.worker.spawn", HV_ECLOSED);
    worker_t *worker = hvl_object_new(L, rt, &hvl_worker_class, sizeof *worker);
    worker->outcome_ref = LUA_NOREF;
    hvl_anchor(L, -1); /* first: it may raise, and the thread must find its object alive */
    int code = start_worker(worker, spec, len, capacity, (size_t)bytes_max);
    if (code != 0) {
        hvl_unanchor(worker);
        return hvl_push_error(L, "hv.worker.spawn", code);
    }
    worker->next = rt->workers;
    rt->workers = worker;
    return 1;
}

static worker_t *check_worker(lua_State *L) { return hvl_check(L, 1, &hvl_worker_class); }

/* join([timeout]) -> encoded results */
static int worker_join(lua_State *L) {
    worker_t *worker = check_worker(L);
    int64_t timeout_ms = hvl_worker_check_timeout(L, 2, "worker:join: timeout");
    if (worker->control == NULL) return push_outcome(L, worker);
    if (!hvl_may_wait(L)) return hvl_refuse(L, NULL);
    if (worker->joiner_count == HVL_PORT_WAITERS_MAX) return hvl_push_error(L, "join", HV_EBUSY);
    worker->joiners[worker->joiner_count++] =
        hvl_wait_begin(L, "join", timeout_ms, on_joiner_canceled, worker);
    return hvl_wait(L);
}

static void stop_worker(worker_t *worker) {
    /* Full only where it was told already. */
    if (worker->control != NULL) hchannel_send(worker->control, "stop", 4);
}

/* stop() -> whether it was running */
static int worker_stop(lua_State *L) {
    worker_t *worker = check_worker(L);
    stop_worker(worker);
    lua_pushboolean(L, worker->control != NULL);
    return 1;
}

static int set_reference(lua_State *L, int is_referenced) {
    worker_t *worker = check_worker(L);
    if (worker->control != NULL && worker->port.object.rt->loop != NULL) {
        if (is_referenced) {
            hevent_ref(worker->control);
        } else {
            hevent_unref(worker->control);
        }
    }
    lua_settop(L, 1);
    return 1;
}

static int worker_ref(lua_State *L) { return set_reference(L, 1); }
static int worker_unref(lua_State *L) { return set_reference(L, 0); }

static int worker_gc(lua_State *L) {
    worker_t *worker = lua_touserdata(L, 1);
    hvl_unref(worker->port.object.rt, &worker->outcome_ref);
    return hvl_port_gc(L);
}

static int worker_tostring(lua_State *L) {
    worker_t *worker = check_worker(L);
    lua_pushfstring(L, "hv.worker{%s}", worker->control != NULL ? "running" : "ended");
    return 1;
}

void hvl_close_workers(hvl_t *rt) {
    for (worker_t *worker = rt->workers; worker != NULL; worker = worker->next) {
        stop_worker(worker);
    }
    struct timespec deadline;
    clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += STOP_GRACE_S;
    while (rt->workers != NULL) {
        worker_t *worker = rt->workers;
        rt->workers = worker->next;
        if (pthread_timedjoin_np(worker->thread, NULL, &deadline) != 0) {
            fprintf(stderr, "hvlua: a worker computes on and is left behind\n");
            pthread_detach(worker->thread);
        }
        hchannel_close(worker->control);
        worker->control = NULL;
        worker->port.is_kept = 0;
    }
}

int hvl_open_worker(lua_State *L) {
    static const luaL_Reg functions[] = {{"spawn", worker_spawn},
                                         {"channel", hvl_worker_channel},
                                         {"finish", hvl_worker_finish},
                                         {NULL, NULL}};
    static const luaL_Reg methods[] = {{"send", hvl_port_send},   {"recv", hvl_port_recv},
                                       {"close", hvl_port_close}, {"join", worker_join},
                                       {"stop", worker_stop},     {"ref", worker_ref},
                                       {"unref", worker_unref},   {NULL, NULL}};
    static const luaL_Reg metamethods[] = {
        {"__gc", worker_gc}, {"__tostring", worker_tostring}, {NULL, NULL}};
    hvl_t *rt = hvl_self(L);
    lua_newtable(L);
    hvl_setfuncs(L, rt, functions);
    hvl_class_new(L, rt, &hvl_worker_class, methods, metamethods);
    lua_setfield(L, -2, "worker_methods");
    hvl_port_open(L, rt);
    lua_pushboolean(L, rt->worker != NULL);
    lua_setfield(L, -2, "is_worker");
    return 1;
}
