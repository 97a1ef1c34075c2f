/* worker.c - threads with a loop and a Lua state of their own, and the messages between them.
 *
 *     state that spawns                                     state of the worker
 *     hv.worker  <------- data: what send and recv carry ------->  hv.worker.channel
 *                -------- control: the task, then "stop" ------>
 *                <------- control: the outcome, then its end ---
 *
 * Two channels join them. Data is bounded and carries values that lua/hv/wire.lua has encoded. The
 * first message on control is what is to be run; any later one means stop. What comes back is one
 * outcome: a letter and bytes (below). The worker's thread closes its end of control as the very
 * last thing it does, so who sees that end may join the thread without waiting.
 *
 * The spawning side holds no pointer into the worker and the other way round: each side may end
 * first. The thread is joined on the spawning side, when control ends or with the state itself. */
#include "bind.h"

#include <pthread.h>
#include <signal.h>

#include "hchannel.h"

#define WAITERS_MAX   64
#define CONTROL_MAX   4
#define STOP_GRACE_S  5 /* for workers that compute on when the state is taken down */
#define MAIN_MODULE   "hv.worker_main"

/* The first byte of an outcome. */
enum {
    OUTCOME_RESULTS = 'r',  /* encoded results */
    OUTCOME_ERROR = 'e',    /* message, NUL, traceback */
    OUTCOME_CANCELED = 'c', /* nothing */
};

/* One end of the data channel, as Lua has it. */
typedef struct port_s {
    hvl_object_t object;
    hchannel_t *end; /* NULL once it is closed */
    int receiver_count;
    int sender_count;
    hvl_waiter_t receivers[WAITERS_MAX]; /* the first has waited longest */
    struct {
        hvl_waiter_t waiter;
        int ref; /* its message */
    } senders[WAITERS_MAX];
} port_t;

/* What spawn returns. */
typedef struct worker_s {
    port_t port;
    hchannel_t *control; /* NULL once the worker has ended */
    struct worker_s *next;
    pthread_t thread;
    int outcome_ref;
    int joiner_count;
    hvl_waiter_t joiners[WAITERS_MAX];
} worker_t;

/* The worker's own side; on the stack of its thread. */
typedef struct inside_s {
    hchannel_t *control;
    hchannel_t *data;
    hvl_t *rt;
    int has_outcome;
    int is_stopping;
} inside_t;

static const hvl_class_t worker_class = {"hv.worker"};
static const hvl_class_t port_class = {"hv.worker.channel"};

/* ---- Ports ---- */

static port_t *check_port(lua_State *L) {
    void *port = hvl_test(L, 1, &worker_class);
    return port != NULL ? port : hvl_check(L, 1, &port_class);
}

/* A port is anchored, and keeps its loop running, while somebody waits there. A worker is so while
 * it runs, too. */
static void settle(port_t *port) {
    int is_waited = port->receiver_count > 0 || port->sender_count > 0;
    if (port->end != NULL && port->object.rt->loop != NULL) {
        if (is_waited) {
            hevent_ref(port->end);
        } else {
            hevent_unref(port->end);
        }
    }
    int is_running =
        port->object.class_ == &worker_class && ((worker_t *)port)->control != NULL;
    if (!is_waited && !is_running) hvl_unanchor(port);
}

static void remove_receiver(port_t *port, int i) {
    port->receiver_count--;
    memmove(&port->receivers[i], &port->receivers[i + 1],
            (size_t)(port->receiver_count - i) * sizeof port->receivers[0]);
}

static void remove_sender(port_t *port, int i) {
    hvl_unref(port->object.rt, &port->senders[i].ref);
    port->sender_count--;
    memmove(&port->senders[i], &port->senders[i + 1],
            (size_t)(port->sender_count - i) * sizeof port->senders[0]);
}

static void on_recv_canceled(hvl_task_t *task, void *data) {
    port_t *port = data;
    for (int i = 0; i < port->receiver_count; i++) {
        if (port->receivers[i].task == task) remove_receiver(port, i--);
    }
    settle(port);
}

static void on_send_canceled(hvl_task_t *task, void *data) {
    port_t *port = data;
    for (int i = 0; i < port->sender_count; i++) {
        if (port->senders[i].waiter.task == task) remove_sender(port, i--);
    }
    settle(port);
}

/* Takes a message or why there is none. Returns the number of values pushed; 0: nothing yet. */
static int push_received(lua_State *L, port_t *port) {
    void *data;
    size_t len;
    int code = port->end != NULL ? hchannel_recv(port->end, &data, &len) : HV_ECLOSED;
    if (code == HV_EAGAIN) return 0;
    if (code != 0) return hvl_push_error(L, "recv", HV_ECLOSED);
    lua_pushlstring(L, data, len);
    hchannel_free(data);
    return 1;
}

static void wake_receivers(port_t *port) {
    while (port->receiver_count > 0) {
        lua_State *co = port->receivers[0].task->co;
        int count = push_received(co, port);
        if (count == 0) return;
        hvl_task_t *task = hvl_wake(&port->receivers[0]);
        remove_receiver(port, 0);
        hvl_resume_later(task, count);
    }
}

/* Pushes the result of a send, but for HV_EAGAIN. */
static int push_sent(lua_State *L, int code) {
    if (code != 0) return hvl_push_error(L, "send", code);
    lua_pushboolean(L, 1);
    return 1;
}

static int send_string(port_t *port, lua_State *L, int index) {
    size_t len;
    const char *data = lua_tolstring(L, index, &len);
    return port->end != NULL ? hchannel_send(port->end, data, len) : HV_ECLOSED;
}

static void wake_senders(port_t *port) {
    while (port->sender_count > 0) {
        lua_State *co = port->senders[0].waiter.task->co;
        lua_rawgeti(co, LUA_REGISTRYINDEX, port->senders[0].ref);
        int code = send_string(port, co, -1);
        lua_pop(co, 1);
        if (code == HV_EAGAIN) return;
        hvl_task_t *task = hvl_wake(&port->senders[0].waiter);
        remove_sender(port, 0);
        hvl_resume_later(task, push_sent(task->co, code));
    }
}

static void on_data(hchannel_t *end) {
    port_t *port = hevent_userdata(end);
    if (port->object.rt->loop == NULL) return;
    wake_receivers(port);
    wake_senders(port);
    settle(port);
}

/* Gives a port its end of the channel. */
static int open_port(port_t *port, hchannel_t *end) {
    int code = hchannel_attach(end, port->object.rt->loop, on_data);
    if (code != 0) return code;
    hevent_set_userdata(end, port);
    hevent_unref(end);
    port->end = end;
    return 0;
}

static int64_t check_timeout(lua_State *L, int index, const char *what) {
    if (lua_isnoneornil(L, index)) return -1;
    return hvl_check_integer(L, index, what, 0, UINT32_MAX - 1);
}

/* send(bytes[, timeout]) */
static int port_send(lua_State *L) {
    port_t *port = check_port(L);
    luaL_checktype(L, 2, LUA_TSTRING);
    int64_t timeout_ms = check_timeout(L, 3, "send: timeout");
    int code = HV_EAGAIN;
    if (port->sender_count == 0) code = send_string(port, L, 2); /* nobody is overtaken */
    if (code != HV_EAGAIN) return push_sent(L, code);
    if (!hvl_may_wait(L)) return hvl_refuse(L, NULL);
    if (port->sender_count == WAITERS_MAX) return hvl_push_error(L, "send", HV_EBUSY);
    lua_pushvalue(L, 2);
    int ref = hvl_ref(L);
    hvl_anchor(L, 1);
    int i = port->sender_count++;
    port->senders[i].ref = ref;
    port->senders[i].waiter = hvl_wait_begin(L, "send", timeout_ms, on_send_canceled, port);
    settle(port);
    return hvl_wait(L);
}

/* recv([timeout]) -> bytes */
static int port_recv(lua_State *L) {
    port_t *port = check_port(L);
    int64_t timeout_ms = check_timeout(L, 2, "recv: timeout");
    int count = port->receiver_count == 0 ? push_received(L, port) : 0;
    if (count != 0) return count;
    if (!hvl_may_wait(L)) return hvl_refuse(L, NULL);
    if (port->receiver_count == WAITERS_MAX) return hvl_push_error(L, "recv", HV_EBUSY);
    hvl_anchor(L, 1);
    int i = port->receiver_count++;
    port->receivers[i] = hvl_wait_begin(L, "recv", timeout_ms, on_recv_canceled, port);
    settle(port);
    return hvl_wait(L);
}

/* close(): nothing more will be sent from here. */
static int port_close(lua_State *L) {
    port_t *port = check_port(L);
    if (port->end != NULL) hchannel_shutdown(port->end);
    wake_senders(port);
    settle(port);
    return 0;
}

static int port_gc(lua_State *L) {
    port_t *port = lua_touserdata(L, 1);
    hchannel_close(port->end);
    port->end = NULL;
    return 0;
}

static int port_tostring(lua_State *L) {
    port_t *port = hvl_check(L, 1, &port_class);
    int is_open = port->end != NULL && !hchannel_is_closed(port->end);
    lua_pushfstring(L, "hv.worker.channel{%s}", is_open ? "open" : "closed");
    return 1;
}

/* ---- The worker's thread ---- */

static void send_outcome(inside_t *inside, char kind, const char *data, size_t len) {
    if (inside->has_outcome) return;
    inside->has_outcome = 1;
    luaL_Buffer buffer;
    if (len == 0 || inside->rt == NULL) {
        char text[256];
        int count = snprintf(text, sizeof text, "%c%.*s", kind, (int)len, len > 0 ? data : "");
        if (count > (int)sizeof text - 1) count = (int)sizeof text - 1;
        hchannel_send(inside->control, text, (size_t)count);
        return;
    }
    lua_State *L = inside->rt->L;
    luaL_buffinit(L, &buffer);
    luaL_addchar(&buffer, kind);
    luaL_addlstring(&buffer, data, len);
    luaL_pushresult(&buffer);
    size_t whole;
    const char *bytes = lua_tolstring(L, -1, &whole);
    hchannel_send(inside->control, bytes, whole);
    lua_pop(L, 1);
}

static void send_failure(inside_t *inside, const char *message) {
    send_outcome(inside, OUTCOME_ERROR, message, strlen(message));
}

/* Any message after the first means stop. */
static void on_control_inside(hchannel_t *end) {
    inside_t *inside = hevent_userdata(end);
    hvl_t *rt = inside->rt;
    void *data;
    size_t len;
    int code = hchannel_recv(end, &data, &len);
    if (code == HV_EAGAIN) return;
    if (code == 0) hchannel_free(data);
    if (inside->is_stopping) return;
    inside->is_stopping = 1;
    if (rt->main_task != NULL) {
        hvl_task_cancel(rt->main_task);
    } else {
        hloop_stop(rt->loop);
    }
}

/* In protected mode: the state, up to the main task. */
static int set_up_inside(lua_State *L) {
    inside_t *inside = lua_touserdata(L, 1);
    void *spec;
    size_t len;
    if (hchannel_recv(inside->control, &spec, &len) != 0) return luaL_error(L, "nothing to run");
    lua_pushlstring(L, spec, len);
    hchannel_free(spec);
    hvl_t *rt = inside->rt = hvl_open_state(L, NULL);
    rt->worker = inside;
    hevent_set_userdata(inside->control, inside);
    int code = hchannel_attach(inside->control, rt->loop, on_control_inside);
    if (code != 0) return luaL_error(L, "%s", herr_text(code));
    hevent_unref(inside->control);
    lua_getglobal(L, "require");
    lua_pushliteral(L, MAIN_MODULE);
    lua_call(L, 1, 1);
    lua_insert(L, -2);
    hvl_start_main(rt, 1);
    return 0;
}

static void run_inside(inside_t *inside, lua_State *L) {
    if (lua_cpcall(L, set_up_inside, inside) != 0) {
        const char *message = lua_tostring(L, -1);
        send_failure(inside, message ? message : "cannot start");
        return;
    }
    hvl_t *rt = inside->rt;
    luaL_checkstack(L, LUA_MINSTACK, "");
    if (hloop_run(rt->loop) != 0) {
        send_failure(inside, herr_text(hloop_last_error(rt->loop)));
    } else if (rt->main_task != NULL && !rt->is_stopped && !inside->is_stopping) {
        send_failure(inside, "the worker still waits, but nothing is left that could wake it");
    }
    send_outcome(inside, OUTCOME_CANCELED, NULL, 0); /* where there was no other */
}

static void *run_thread(void *arg) {
    hchannel_t *control = arg;
    inside_t inside = {.control = control, .data = hevent_userdata(control)};
    lua_State *L = luaL_newstate();
    if (L == NULL) {
        send_failure(&inside, "not enough memory");
    } else {
        run_inside(&inside, L);
        if (inside.rt != NULL) hvl_close(inside.rt);
        lua_close(L);
    }
    hchannel_close(inside.data); /* NULL where a port had it */
    hchannel_close(control);
    return NULL;
}

static inside_t *check_inside(lua_State *L) {
    inside_t *inside = hvl_self(L)->worker;
    if (inside == NULL) hvl_misuse(L, "this state is no worker's");
    return inside;
}

/* channel(): the worker's own port; once. */
static int worker_channel(lua_State *L) {
    inside_t *inside = check_inside(L);
    port_t *port = hvl_object_new(L, hvl_self(L), &port_class, sizeof *port);
    int code = open_port(port, inside->data);
    if (code != 0) return hvl_push_error(L, "worker", code);
    inside->data = NULL;
    return 1;
}

/* finish(kind, bytes): the outcome of the main function. */
static int worker_finish(lua_State *L) {
    inside_t *inside = check_inside(L);
    const char *kind = luaL_checkstring(L, 1);
    size_t len;
    const char *data = luaL_checklstring(L, 2, &len);
    send_outcome(inside, *kind, data, len);
    if (inside->is_stopping) hloop_stop(inside->rt->loop);
    return 0;
}

/* ---- The spawning side ---- */

static int push_outcome(lua_State *L, const worker_t *worker) {
    lua_rawgeti(L, LUA_REGISTRYINDEX, worker->outcome_ref);
    size_t len;
    const char *outcome = lua_tolstring(L, -1, &len);
    char kind = outcome != NULL && len > 0 ? *outcome : OUTCOME_CANCELED;
    if (kind == OUTCOME_RESULTS) {
        lua_pushlstring(L, outcome + 1, len - 1);
        lua_remove(L, -2);
        return 1;
    }
    if (kind == OUTCOME_ERROR) {
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
    if (outcome != NULL && *outcome == OUTCOME_ERROR) {
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
    unlist(worker);
    report_outcome(worker);
    int count = worker->joiner_count;
    worker->joiner_count = 0;
    for (int i = 0; i < count; i++) {
        hvl_task_t *task = hvl_wake(&worker->joiners[i]);
        if (task != NULL) hvl_resume_later(task, push_outcome(task->co, worker));
    }
    settle(&worker->port);
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
    int failed = pthread_create(&worker->thread, NULL, run_thread, control);
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
    if (code == 0) code = open_port(&worker->port, data[0]);
    if (code == 0) code = start_thread(worker, control[1]);
    if (code == 0) {
        worker->control = control[0];
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
    worker_t *worker = hvl_object_new(L, rt, &worker_class, sizeof *worker);
    worker->outcome_ref = LUA_NOREF;
    int code = start_worker(worker, spec, len, capacity, (size_t)bytes_max);
    if (code != 0) return hvl_push_error(L, "hv.worker.spawn", code);
    worker->next = rt->workers;
    rt->workers = worker;
    hvl_anchor(L, -1);
    return 1;
}

static worker_t *check_worker(lua_State *L) { return hvl_check(L, 1, &worker_class); }

/* join([timeout]) -> encoded results */
static int worker_join(lua_State *L) {
    worker_t *worker = check_worker(L);
    int64_t timeout_ms = check_timeout(L, 2, "worker:join: timeout");
    if (worker->control == NULL) return push_outcome(L, worker);
    if (!hvl_may_wait(L)) return hvl_refuse(L, NULL);
    if (worker->joiner_count == WAITERS_MAX) return hvl_push_error(L, "join", HV_EBUSY);
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
    return port_gc(L);
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
    }
}

int hvl_open_worker(lua_State *L) {
    static const luaL_Reg functions[] = {{"spawn", worker_spawn},
                                         {"channel", worker_channel},
                                         {"finish", worker_finish},
                                         {NULL, NULL}};
    static const luaL_Reg port_methods[] = {
        {"send", port_send}, {"recv", port_recv}, {"close", port_close}, {NULL, NULL}};
    static const luaL_Reg port_metamethods[] = {
        {"__gc", port_gc}, {"__tostring", port_tostring}, {NULL, NULL}};
    static const luaL_Reg worker_methods[] = {
        {"send", port_send},     {"recv", port_recv},   {"close", port_close},
        {"join", worker_join},   {"stop", worker_stop}, {"ref", worker_ref},
        {"unref", worker_unref}, {NULL, NULL}};
    static const luaL_Reg worker_metamethods[] = {
        {"__gc", worker_gc}, {"__tostring", worker_tostring}, {NULL, NULL}};
    hvl_t *rt = hvl_self(L);
    lua_newtable(L);
    hvl_setfuncs(L, rt, functions);
    hvl_class_new(L, rt, &worker_class, worker_methods, worker_metamethods);
    lua_setfield(L, -2, "worker_methods");
    hvl_class_new(L, rt, &port_class, port_methods, port_metamethods);
    lua_setfield(L, -2, "channel_methods");
    lua_pushboolean(L, rt->worker != NULL);
    lua_setfield(L, -2, "is_worker");
    return 1;
}
