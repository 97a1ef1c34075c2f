/* bind.h - what every binding is made of: the runtime of a Lua state, classes and objects, errors,
 * tasks and waiting. A binding includes this and runtime/include/ only.
 *
 * Three rules that the whole directory rests on:
 *
 *   1. Check, acquire, anchor. Lua errors are jumps, so every argument is checked before the first
 *      thing is acquired, and nothing raises after that. Failure is returned: nil, message, code.
 *   2. Lua runs only as a task, and a task is resumed only by the loop. A callback of the loop
 *      begins a task or wakes one; an API call that has to wake somebody puts them into the ready
 *      queue, which the loop runs in its next pass.
 *   3. A C function that has resumed a task must not raise afterwards: it returns hvl_refuse() and
 *      the Lua side raises (lua/hv/wait.lua). */
#ifndef HVL_BIND_H_
#define HVL_BIND_H_

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

#include "hloop.h"

typedef struct hvl_s hvl_t;
typedef struct hvl_task_s hvl_task_t;
typedef struct hvl_place_s hvl_place_t;
typedef struct hvl_places_s hvl_places_t;
typedef struct hvl_memory_s hvl_memory_t;

/* ---- The runtime of a Lua state ---- */

/* One a state; the first upvalue of every C function that hvl_setfuncs registers. */
struct hvl_s {
    lua_State *L;        /* the main thread; callbacks may use its stack, and leave it as it was */
    hloop_t *loop;       /* NULL once hvl_close has begun to take the state down */
    hvl_task_t *current; /* the task that is running; NULL in the loop itself */
    int exit_status;     /* of hv.stop(status) */
    int is_stopped;      /* hv.stop was called */
    int has_failed;      /* a task has, and only stderr was told */
    int is_guest;        /* the state is somebody else's: a stock luajit's */
    int passes_waits;    /* coroutine.resume hands waits outward: hv.coroutines is installed */
    int on_error_ref;    /* hv.on_error's function, or LUA_NOREF */
    int at_end_ref;      /* what hvl_end runs, or LUA_NOREF */
    int drain_ref;       /* what hvl_drain runs, or LUA_NOREF */
    int refusal_ref;     /* why the last listen was refused, and nothing has been done since, or
                          * LUA_NOREF */

    /* The rest is the tasks' own (task_int.h). */
    hvl_task_t *chunks;       /* the first of each chunk of tasks that there is */
    hvl_task_t *idle_tasks;   /* free, with a coroutine */
    hvl_task_t *spare_tasks;  /* free, without one */
    uint32_t idle_count;
    hvl_task_t *ready_first;
    hvl_task_t *ready_last;
    int is_ready_posted;
    htimer_t *spare_timer;    /* for what there was no memory for, see task_run.c */
    int is_spare_set;
    hvl_task_t *starved;      /* tasks whose wait has no timer yet */
    hvl_task_t *main_task;    /* its failure ends the program */
    int dual_body_ref;        /* a Lua function that lua/hv/wait.lua gives */
    int task_meta_ref;        /* the metatable of hv.task */
    lua_State *finalizing;    /* task_finalize.c: where finalizers run; NULL before the first */
    uint64_t watch_ticks;     /* watch.h: the processor's counter when this was made */
    uint64_t watch_us;        /* and the clock */
    uint32_t slow_ms;         /* a task that runs for longer is warned of; 0: none */
    hvl_places_t *places;     /* place.c */

    hvl_memory_t *memory; /* memory.c: the state's limit, or NULL */
    lua_State *calling;   /* the state in which a function of the host program's runs, or NULL */
    void *host;           /* hvlua.c: the hvlua_t, or NULL */
    /* Gets the errors that nobody else is told of; NULL: stderr. */
    void (*on_report)(hvl_t *rt, const char *message, const char *traceback);

    void *workers; /* worker.c: those that this state has spawned and that run */
    void *worker;  /* worker_thread.c: where this is itself a worker's state */
};

/* Makes the runtime of a state with a loop of its own, and registers every `_hv.*` module in
 * package.preload. Raises where memory is out. Call it once a state.
 *   is_guest  somebody else's state, who closes it without telling: see module.c */
hvl_t *hvl_open(lua_State *L, int is_guest);

/* Adds the modules that the program carries in itself to package.loaders, at `position`, and cjson
 * to package.preload where it has none. */
void hvl_add_embedded(lua_State *L, int position);

/* The same for a state that has nothing yet: also opens the standard libraries, lua-cjson and the
 * modules that the program carries in itself (state.c). `memory` is of hvl_memory_new_state. */
hvl_t *hvl_open_state(lua_State *L, hvl_memory_t *memory);

/* A script that listens without looking at what it got would end in silence where that was
 * refused: the message of a refusal (lua/hv/shutdown.lua) is kept until something listens, or the
 * loop has something to wait for.
 *
 * Of a pass that has ended: forgets the refusal where something keeps the loop alive. */
void hvl_forget_refusal(hvl_t *rt);
/* Whether a listen was refused and there is nothing else to do now. */
int hvl_is_refused(const hvl_t *rt);
/* Of a loop that has ended by itself: says so on stderr. Returns whether there was a refusal. */
int hvl_tell_refusal(hvl_t *rt);

/* Ends the workers that the state has spawned, and waits for them. hvl_close does it first. */
void hvl_close_workers(hvl_t *rt);
/* End the threads of the line editor and of what waits for interrupts; they post to the loop. */
void hvl_close_editor(hvl_t *rt);
void hvl_close_aims(hvl_t *rt);

/* Runs what _hv.profile.at_end was given: when the loop has ended, before hvl_close. */
void hvl_end(hvl_t *rt);

/* Frees the loop (close callbacks then run no Lua any more). Before lua_close. */
void hvl_close(hvl_t *rt);

/* The runtime of the running C function. */
static inline hvl_t *hvl_self(lua_State *L) {
    return (hvl_t *)lua_touserdata(L, lua_upvalueindex(1));
}

/* Registers functions, each with the runtime as its upvalue, in the table on top of the stack. */
void hvl_setfuncs(lua_State *L, hvl_t *rt, const luaL_Reg *functions);

/* ---- Classes and objects ---- */

/* A class is one constant; its address is its identity. */
typedef struct hvl_class_s {
    const char *name; /* "hv.tcp": shown in messages, the metatable's __name */
} hvl_class_t;

/* Every object (a full userdata) begins with this. */
typedef struct hvl_object_s {
    const hvl_class_t *class_;
    hvl_t *rt;
    int anchor; /* registry reference while the object is active, else LUA_NOREF */
} hvl_object_t;

/* Makes the metatable of a class and leaves its table of methods (its __index) on the stack.
 *   methods      may be NULL
 *   metamethods  may be NULL; "__gc", "__tostring" ... */
void hvl_class_new(lua_State *L, hvl_t *rt, const hvl_class_t *class_, const luaL_Reg *methods,
                   const luaL_Reg *metamethods);
/* Pushes the metatable of a class. */
void hvl_class_push(lua_State *L, const hvl_class_t *class_);

/* Makes an object of `bytes` bytes, zeroed behind its header, and leaves it on the stack. */
void *hvl_object_new(lua_State *L, hvl_t *rt, const hvl_class_t *class_, size_t bytes);

/* The object at a stack index; raises where it is something else. */
void *hvl_check(lua_State *L, int index, const hvl_class_t *class_);
/* The same, or NULL. */
void *hvl_test(lua_State *L, int index, const hvl_class_t *class_);

/* Anchors the object at a stack index, so that it lives while it is active. Again: nothing. */
void hvl_anchor(lua_State *L, int index);
/* Lets the collector have it. It may be freed by the next allocation. */
void hvl_unanchor(void *object);
/* Pushes an anchored object on any thread of the state. */
void hvl_push(lua_State *L, const void *object);

/* ---- References: integers that hold a Lua value in the registry ---- */

/* Pops the top of the stack and refers to it. nil gives LUA_REFNIL, which may be pushed and let go
 * like any other. */
int hvl_ref(lua_State *L);
/* Refers to the function in field `name` of the table at `index`; LUA_NOREF where it is nil. */
int hvl_ref_field(lua_State *L, int index, const char *name);
/* Lets it go and sets it to LUA_NOREF. Not for a value that is LUA_NOREF: then nothing. */
void hvl_unref(hvl_t *rt, int *ref);

/* ---- Errors ---- */

/* Pushes nil, "<what>: <text of code>", "<name of code>".
 *   what   the operation for people: "connect 127.0.0.1:1"; copied
 *   code   a HV_E code of either sign
 * Returns 3, so a function may end with `return hvl_push_error(...)`. */
int hvl_push_error(lua_State *L, const char *what, int code);

/* Replaces the error on top of the stack, of any type, by a string for people: what its __tostring
 * says, or what it holds ("error value: { code = 42 }"). Returns it. Does not raise, but for
 * memory. */
const char *hvl_error_text(lua_State *L);

/* Raises an error of misuse at the position of the user's code, which called us through any number
 * of our own functions: "file.lua:3: hv.tcp.listen: port must be 0..65535, got 70000". */
int hvl_misuse(lua_State *L, const char *format, ...) HV_PRINTF_LIKE(2, 3);

/* Whether a function (lua_getinfo "S") is one of ours: C, or a module of lua/hv. */
int hvl_is_ours(const lua_Debug *at);

/* An integer argument in a range, or misuse: "<what> must be 1..65535, got ...". */
int64_t hvl_check_integer(lua_State *L, int index, const char *what, int64_t min, int64_t max);

/* ---- Leaves: functions of C that compiled Lua calls by itself, through the FFI ----
 *
 * A leaf never enters Lua and never waits, and makes nothing that is collected. It does a thing, or
 * it does not: then Lua goes by the ordinary function that it stands in for, which knows the
 * errors, and says of a connection that was lost on the way, for want of memory say, that it is
 * closed. Lua has checked the classes of its arguments. */

/* A text that a leaf has found, borrowed until the next leaf is called. lua/hv/leaf.lua takes
 * it. */
typedef struct hvl_leaf_text_s {
    const char *data;
    int32_t len;
} hvl_leaf_text_t;

/* Sets a field of the table on top to the address of a leaf, or of what it leaves. */
void hvl_set_leaf(lua_State *L, const char *name, const void *address);

/* ---- Addresses ---- */

/* Pushes {ip=, port=}, or {path=} for a unix socket. */
void hvl_push_address(lua_State *L, const struct sockaddr *addr);
/* Writes "127.0.0.1:80", "[::1]:80" or the path into `text`. Returns `text`. */
const char *hvl_address_text(const struct sockaddr *addr, char *text, size_t bytes);

/* ---- Tasks ---- */

enum {
    HVL_FINISHED, /* results lie on the coroutine's stack, 1..lua_gettop(co) */
    HVL_WAITING,  /* it will go on later */
    HVL_FAILED,   /* the error has been reported; the stack of the coroutine is not to be read */
    HVL_CANCELED, /* ended by task:cancel() */
};

/* Called once when the task ends, with HVL_FINISHED, HVL_FAILED or HVL_CANCELED; the task is
 * recycled when it returns. In the loop: it may call the runtime's API and begin tasks, but what it
 * does must not raise. */
typedef void (*hvl_finish_cb)(hvl_task_t *task, int status);

/* Called when a wait is given up: the task was cancelled or its timeout has passed. It takes the
 * task out of what it waited for. */
typedef void (*hvl_cancel_cb)(hvl_task_t *task, void *data);

/* One run of a Lua function on a pooled coroutine. Structs live as long as the state, so a pointer
 * to one never dangles; whether it is still the same wait is told by the wait's id. */
struct hvl_task_s {
    lua_State *co;           /* push the function and its arguments here */
    hvl_t *rt;
    hvl_finish_cb on_finish; /* or NULL */
    void *userdata[2];       /* the binding's own, for on_finish */

    /* The rest is the tasks' own (task_int.h). */
    hvl_task_t *next;        /* in the ready queue, or free */
    hvl_task_t *next_chunk;  /* in the first of a chunk */
    hvl_task_t *next_joiner; /* of the task that it joins */
    hvl_task_t *joiners;     /* tasks that join this one */
    hvl_task_t *next_starved;
    uint64_t starved_due_us; /* when the wait without a timer is to end; 0: there is none */
    hvl_cancel_cb on_cancel;
    void *wait_data;
    const char *wait_what;
    htimer_t *timer;         /* of the wait */
    uint32_t wait_id;        /* changes with every wait and every end */
    int co_ref;              /* anchors the coroutine */
    int handle_slot;         /* its own place in the registry for the hv.task of each run */
    void *handle;            /* the hv.task that Lua holds of this run, or NULL */
    const hvl_place_t *place; /* which line has started it; NULL: the loop itself */
    int defers_ref;          /* hv.defer's functions, or LUA_NOREF */
    int ready_args;          /* values on the coroutine's stack to go on with */
    uint8_t state;
    uint8_t is_canceled;
    uint8_t is_starting;     /* runs inside the API call that began it: see hvl_dual */
    uint8_t is_reporter;     /* runs hv.on_error's function */
    uint8_t is_claimed;      /* somebody deals with its failure: it is not reported */
    uint8_t is_passing;      /* waits for nothing but its next turn */
    uint8_t is_unwatched;    /* may hold the loop up: no warning */
    uint8_t is_driven;       /* begun with a function of ours whose first argument is the user's */
    uint8_t is_starved;      /* in rt->starved */
};

/* Once a state, when it has its loop. Returns 0 or a code. */
int hvl_task_prepare(hvl_t *rt);

/* Takes a task from the pool, its coroutine's stack empty. Then push a function and its arguments
 * on task->co, set on_finish and userdata where needed, and hvl_task_run or hvl_task_start it.
 * Nothing may raise between. NULL while the state is being taken down. */
hvl_task_t *hvl_task_begin(hvl_t *rt);
/* The same with a referenced function pushed. NULL also where `ref` is LUA_NOREF. */
hvl_task_t *hvl_task_begin_ref(hvl_t *rt, int ref);

/* Runs the task now. Only from a callback of the loop, with no Lua on the C stack.
 *   nargs   values pushed above the function
 * Returns a status as above. But for HVL_WAITING the task is over and recycled when this returns,
 * after on_finish was called; read results there. */
int hvl_task_run(hvl_task_t *task, int nargs);
/* Whether the running task may take a further piece of work as if it had just begun: nobody holds
 * it, nothing is owed at its end, and it is not cancelled. */
int hvl_task_is_plain(const hvl_task_t *task);
/* Has the loop run it in its next pass, in order. From anywhere. */
void hvl_task_start(hvl_task_t *task, int nargs);
/* task:cancel(): throws where it waits, now and at each further wait. From anywhere. */
void hvl_task_cancel(hvl_task_t *task);

/* How many arguments a task may be given, and how many results it may leave. LuaJIT lets C put
 * 8000 values on a stack (LUAI_MAXCSTACK), some of which are kept for the work around them. */
#define HVL_VALUES_MAX 7900
/* Raises where the `count` arguments for a task of the function called `name` are too many: before
 * the task is taken, since lua_xmove itself does not look whether there is room. */
void hvl_check_arg_count(lua_State *L, const char *name, int count);

/* ---- Waiting ----
 *
 *     static int op(lua_State *L) {
 *         if (hvl_is_dual(L)) return hvl_dual(L);          // op(..., fn): the callback form
 *         thing_t *thing = hvl_check(L, 1, &thing_class);
 *         if (!hvl_may_wait(L)) return hvl_refuse(L, NULL);
 *         if (hvl_is_waited(&thing->waiter)) return hvl_push_error(L, "op", HV_EBUSY);
 *         thing->waiter = hvl_wait_begin(L, "op", timeout_ms, on_cancel, thing);
 *         return hvl_wait(L);                              // nothing may come after this
 *     }
 *     static void on_event(...) {                          // in a callback of the loop
 *         hvl_task_t *task = hvl_wake(&thing->waiter);     // NULL: nobody waits any more
 *         if (task == NULL) return;
 *         lua_pushboolean(task->co, 1);
 *         hvl_resume_now(task, 1);                         // in an API call: hvl_resume_later
 *     }
 *
 * and in Lua `Thing.op = wait.waits(raw.op)`, which raises where op was refused or cancelled. */

/* Somebody who waits. All zero: nobody. */
typedef struct hvl_waiter_s {
    hvl_task_t *task;
    uint32_t id;
} hvl_waiter_t;

/* Whether the running task may wait: there is one, and it has not been cancelled. */
int hvl_may_wait(lua_State *L);
/* Pushes what makes the Lua side raise: the reason why there is no waiting, or `message`. */
int hvl_refuse(lua_State *L, const char *message);

/* Begins a wait of the running task.
 *   what        for messages: a constant string such as "read"
 *   timeout_ms  after it the wait ends with nil, "<what>: timed out", "ETIMEDOUT"; negative: never
 *   on_cancel   called with `data` before a timeout or a cancelled task ends the wait; or NULL */
hvl_waiter_t hvl_wait_begin(lua_State *L, const char *what, int64_t timeout_ms,
                            hvl_cancel_cb on_cancel, void *data);
/* Suspends the task; the last statement of a C function: `return hvl_wait(L)`. */
int hvl_wait(lua_State *L);

/* Whether somebody still waits there. */
int hvl_is_waited(const hvl_waiter_t *waiter);
/* Ends the wait and sets *waiter to nobody. Returns the task, on whose `co` the results are to be
 * pushed, or NULL where the wait is over. What is returned must be given to one of the next two. */
hvl_task_t *hvl_wake(hvl_waiter_t *waiter);
/* Goes on with the `nresults` values pushed: now (only from a callback of the loop), or in the
 * loop's next pass (from anywhere). */
void hvl_resume_now(hvl_task_t *task, int nresults);
void hvl_resume_later(hvl_task_t *task, int nresults);

/* Whether the last argument is a function: the callback form of a waiting call. */
static inline int hvl_is_dual(lua_State *L) { return lua_type(L, -1) == LUA_TFUNCTION; }
/* Runs the calling C function, without that function, as a task of its own whose results the
 * function gets. Its first part, up to where it waits, runs at once, so that the order of calls is
 * kept; the function is called in a later pass. Returns the task as an hv.task. */
int hvl_dual(lua_State *L);

/* Pushes the hv.task of a task, made on first use. */
void hvl_task_push(lua_State *L, hvl_task_t *task);

/* Starts a chunk, which lies with its arguments on the stack of the main thread, as the main
 * script: a task whose failure is told on stderr and ends the loop with status 1. */
void hvl_start_main(hvl_t *rt, int nargs);

/* Reports an error as hv.on_error would: for what a binding cannot return to anybody.
 *   task   the one that failed, or NULL */
void hvl_report(hvl_t *rt, const char *message, const char *traceback, hvl_task_t *task);

/* ---- Where tasks come from (place.c) ---- */

/* The line of the user's that has called us, within the place of the task that runs it. Returns
 * NULL where neither is known. It lives as long as the state. May raise: memory. */
const hvl_place_t *hvl_place_here(lua_State *L, const hvl_place_t *parent);
/* Appends the chain of a place, "\n\ttask started at file.lua:3" each, to the string on top of
 * the stack. NULL: nothing. */
void hvl_place_append(lua_State *L, const hvl_place_t *place);
/* Pushes the message, the calls of a task that has died of it, and the chain of its place. */
void hvl_push_traceback(lua_State *L, const hvl_task_t *task, const char *message);

#define HVL_SLOW_MS 200 /* hv.slow_callback's default: what a person notices as a delay */

/* Warns, once a place, that a task has held the loop up. On top of the main thread's stack lies the
 * function that it began with, or nil.
 *   waiting   the coroutine where it waits now, or NULL where it has ended
 *   place     of the task, or NULL */
void hvl_warn_slow(hvl_t *rt, lua_State *waiting, const hvl_place_t *place, int64_t ms);
/* The same of work of ours: "in encoding ...". */
void hvl_warn_slow_in(hvl_t *rt, const char *where, int64_t ms);

/* ---- A state with a memory limit (memory.c) ---- */

/* A new state that holds at most `max` bytes while Lua code runs; 0: as many as there are, and
 * *memory is NULL. Returns NULL without memory. */
lua_State *hvl_memory_new_state(hvl_memory_t **memory, size_t max);
void hvl_memory_close_state(hvl_memory_t *memory, lua_State *L);

/* Has the limit hold from here on, or not. Returns what was before, to be set again. `memory` may
 * be NULL. */
int hvl_memory_enter(hvl_memory_t *memory, int is_limited);

#define HVL_MEMORY_TEXT "not enough memory" /* LuaJIT's own words */
/* Whether an error, by its status and its message, is that memory is out. */
int hvl_memory_is_out(int status, const char *message);

/* ---- Servers (server.c) ---- */

/* Whether this process is a worker of a master's, where sockets to listen on are the master's. */
int hvl_is_worker(void);
/* A socket that all workers share. Returns its descriptor, which is the caller's, or a code.
 *   flags  HWORKER_LISTEN_DATAGRAM of hmaster.h, or 0 */
int hvl_shared_socket(const char *host, int port, int backlog, int flags);
/* Has the script finish what it has begun, and end. In a callback of the loop. */
void hvl_drain(hvl_t *rt);

/* ---- Words for the operator (log.c) ---- */

/* Sends the log to a rotated file, or with NULL to stderr. `level` is a name or NULL. */
void hvl_log_set_up(const char *path, const char *level);
/* Writes what scripts have printed and stdio still holds: for hloop_setcb_pass, so that nothing
 * waits in a buffer while a program sleeps, and nothing is lost when a signal ends it. */
void hvl_flush_output(hloop_t *loop);
/* Writes a line, "hvlua: ..." on stderr, or to the log's file where hvl_log_set_up named one. */
void hvl_complain(const char *format, ...) HV_PRINTF_LIKE(1, 2);

/* Writes a warning to the log: hv.log's, set up or not. */
void hvl_warn(const char *format, ...) HV_PRINTF_LIKE(1, 2);

/* ---- The modules: each leaves its table on the stack ---- */

#define HVL_EACH_MODULE(X)                                                                  \
    X(task) X(loop) X(timer) X(tcp) X(udp) X(dns) X(tls) X(log) X(http) X(http_client)      \
    X(gateway) X(fs) X(process) X(crypto) X(worker) X(shared) X(server) X(ws) X(redis)      \
    X(mqtt) X(interrupt) X(profile) X(private) X(embedded)

#define HVL_DECLARE_OPEN(name) int hvl_open_##name(lua_State *L);
HVL_EACH_MODULE(HVL_DECLARE_OPEN)
HVL_DECLARE_OPEN(line_editor) /* the program's own */
#undef HVL_DECLARE_OPEN

#endif
