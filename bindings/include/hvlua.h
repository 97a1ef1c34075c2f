/* hvlua.h - a Lua runtime inside a program of yours: the loop, tasks and every module of hv, in a
 * state with a memory limit, driven by your loop or by its own. Link with -lhvlua (pkg-config
 * hvlua).
 *
 *     hvlua_t *lua = hvlua_new(loop, 64 << 20);
 *     hvlua_register(lua, "app.log", app_log, app);
 *     if (hvlua_do_file(lua, "app.lua") != 0) fprintf(stderr, "%s\n", hvlua_traceback(lua));
 *     if (hvlua_call(lua, "on_frame", "d>b", 16.7, &is_done) != 0) ...
 *     hloop_run(loop);
 *     hvlua_free(&lua);
 *
 * An error of a script never ends the program: a call returns a negative code (herr.h) and
 * hvlua_error tells why, a task's error goes to hvlua_on_error. Where memory is out the code is
 * HV_ENOMEM, and the runtime goes on.
 *
 * As everywhere in this library no callback is called from inside a function of this file, but for
 * hvlua_free. A runtime belongs to the thread that runs its loop; any number of them may live in
 * one thread or in several, also on one loop. Functions of C that Lua has called may use all of
 * this header but hvlua_free.
 *
 * The header needs none of Lua's. What lua.h offers works on hvlua_state, and in your functions. */
#ifndef HVLUA_H_
#define HVLUA_H_

#if defined(__has_include)
#if __has_include("hloop.h")
#include "hloop.h"
#else
#include "hv/hloop.h"
#endif
#else
#include "hloop.h"
#endif

HV_BEGIN_DECLS

typedef struct lua_State lua_State; /* as lua.h has it */
typedef struct hvlua_s hvlua_t;

/* ---- Life ---- */

/* Makes a runtime: a Lua state with the standard libraries, `hv` and its modules, and `cjson`. In
 * it `require`, `dofile` and coroutines may wait, as in the program hvlua.
 *   loop        borrowed until hvlua_free: the runtime's own loop is nested in it (hloop_nest), and
 *               your hloop_run drives both. NULL: the runtime's loop stands alone, to be run by
 *               hloop_run(hvlua_loop(lua)), which ends when nothing is left to wait for; put your
 *               own handles there to have one loop for all.
 *   memory_max  bytes that Lua may hold, at least 1 MiB; 0: no limit. Beyond it Lua code gets the
 *               error "not enough memory". What the loop hands in between (a message that has come)
 *               may go past it for a moment. Buffers of C (sockets, files) do not count.
 * Returns the runtime, given to the caller, who ends it with hvlua_free; or NULL with errno set. */
HV_EXPORT hvlua_t *hvlua_new(hloop_t *loop, size_t memory_max);

/* Ends it: tasks that still run go no further, all handles of its scripts are closed, workers are
 * stopped and waited for. Callbacks of functions that have not ended are called once, with
 * HV_ECANCELED. Sets *lua to NULL. Not from inside one of the runtime's callbacks or functions. */
HV_EXPORT void hvlua_free(hvlua_t **lua);

/* The runtime's own loop, borrowed until hvlua_free. A foreign loop drives it: when
 * hloop_backend_fd(loop) is readable, or hloop_next_timeout(loop) milliseconds have passed, call
 * hloop_process_events(loop, 0). */
HV_EXPORT hloop_t *hvlua_loop(const hvlua_t *lua);
/* Its main Lua state, borrowed until hvlua_free. Leave the stack as it was. A wait is not possible
 * there; memory limits do not hold for what you do with it. */
HV_EXPORT lua_State *hvlua_state(const hvlua_t *lua);
/* The runtime that a function of C is called by. */
HV_EXPORT hvlua_t *hvlua_self(lua_State *L);
/* A pointer of yours. */
HV_EXPORT void hvlua_set_userdata(hvlua_t *lua, void *userdata);
HV_EXPORT void *hvlua_userdata(const hvlua_t *lua);

/* Bytes that Lua holds now, what can be collected included. */
HV_EXPORT size_t hvlua_memory(const hvlua_t *lua);
/* Runs the collector to its end, and returns the bytes that are left. */
HV_EXPORT size_t hvlua_collect(hvlua_t *lua);

/* Ends the runtime's loop as hv.stop does: a loop of its own returns from hloop_run, a nested one
 * is taken out. Its handles stay until hvlua_free. Any thread. */
HV_EXPORT void hvlua_stop(hvlua_t *lua);
/* Whether a script has called hv.stop, and with which status (0 where it has not). */
HV_EXPORT int hvlua_is_stopped(const hvlua_t *lua);
HV_EXPORT int hvlua_exit_status(const hvlua_t *lua);

/* ---- Errors ---- */

/* Why the last function of this header has failed: "app.lua:3: attempt to index a nil value", and
 * the same with the stack of calls below. "" where none has. Borrowed until the next failure. */
HV_EXPORT const char *hvlua_error(const hvlua_t *lua);
HV_EXPORT const char *hvlua_traceback(const hvlua_t *lua);

/* `traceback` begins with the message; it shows where the task stood, which line has started it,
 * and so on outward. Both are borrowed until the callback returns. */
typedef void (*hvlua_error_cb)(hvlua_t *lua, const char *message, const char *traceback,
                               void *userdata);
/* Has the errors that nobody else gets told to `on_error`: of tasks that nobody joins, of handlers
 * and timers. Without it, or with NULL, they are written to stderr. Where a script has set a
 * handler by hv.on_error that one is asked, and `on_error` only if it fails. */
HV_EXPORT void hvlua_on_error(hvlua_t *lua, hvlua_error_cb on_error, void *userdata);

/* ---- What scripts find ---- */

/* A function for Lua, with Lua's own calling convention: arguments on the stack of L, results
 * pushed and their number returned. Errors by luaL_error or lua_error reach the Lua code that has
 * called. */
typedef int (*hvlua_function)(lua_State *L);

/* Makes `function` known by a global name; "app.log" is the field log of the table app, which is
 * made where there is none.
 *   userdata  borrowed until hvlua_free; hvlua_function_userdata gives it inside the function
 * Returns 0; HV_EINVAL where the name is empty or leads through something that is no table. */
HV_EXPORT int hvlua_register(hvlua_t *lua, const char *name, hvlua_function function,
                             void *userdata);
HV_EXPORT void *hvlua_function_userdata(lua_State *L);

/* Has `require(name)` run `code` (copied; len bytes of Lua text or bytecode) when it is first asked
 * for. Returns 0. */
HV_EXPORT int hvlua_preload(hvlua_t *lua, const char *name, const char *code, size_t len);
/* The same for a module written in C: luaopen_NAME, which returns its table. */
HV_EXPORT int hvlua_preload_function(hvlua_t *lua, const char *name, hvlua_function open);
/* Puts a pattern such as "/opt/app/lua/?.lua" before those that require looks through. Returns
 * 0. */
HV_EXPORT int hvlua_add_path(hvlua_t *lua, const char *pattern);

/* ---- Values: what a signature says ----
 *
 *     letter   argument                 result
 *     d        double                   double *
 *     i        int                      int *           where the number has no fraction and fits
 *     l        int64_t                  int64_t *       up to 2^53 either way
 *     b        int, as a boolean        int *           any value; nil and false are 0
 *     s        const char *, NUL at its end; NULL is nil
 *                                       const char **   NULL for nil
 *     S        const char *, size_t     const char **, size_t *
 *     p        void *, a light userdata void **
 *     n        nothing: nil             nothing: any value is skipped
 *
 * Strings given are copied. Strings got are borrowed until the next call of this header. A result
 * of another type is an error, HV_EPROTO, and leaves what follows it untouched. */

/* Sets a global, or a field by its path, to a value: hvlua_set(lua, "app.name", "s", "demo"). */
HV_EXPORT int hvlua_set(hvlua_t *lua, const char *name, const char *signature, ...);
/* Reads it: hvlua_get(lua, "app.port", "i", &port). HV_ENOTFOUND where the path leads nowhere. */
HV_EXPORT int hvlua_get(hvlua_t *lua, const char *name, const char *signature, ...);

/* ---- Now: what does not wait ---- */

/* Runs Lua text or a file to its end before returning. It may start tasks, servers and timers, but
 * a wait in the code itself is an error; hvlua_run_file is for scripts that wait.
 *   name  shown in messages: "=settings" is shown as settings; NULL: the text itself
 * Returns 0; HV_EFAILED; HV_ENOMEM; HV_ENOTFOUND where there is no such file. */
HV_EXPORT int hvlua_do_string(hvlua_t *lua, const char *code, size_t len, const char *name);
HV_EXPORT int hvlua_do_file(hvlua_t *lua, const char *path);

/* Calls the function of a global name or path and returns when it has: hvlua_call(lua, "add",
 * "dd>d", 1.0, 2.0, &sum). A wait inside is an error, see hvlua_start.
 *   signature  letters of the arguments, and behind '>' those of the results; missing ones are nil
 * Returns 0; HV_ENOTFOUND where there is no such function; HV_EINVAL for a signature with other
 * letters; HV_EPROTO for a result of another type; HV_EFAILED; HV_ENOMEM. */
HV_EXPORT int hvlua_call(hvlua_t *lua, const char *name, const char *signature, ...);

/* ---- As tasks: what may wait ---- */

/* How a task has ended. Borrowed until the callback returns. */
typedef struct hvlua_outcome_s {
    int code;              /* 0; HV_EFAILED; HV_ENOMEM; HV_ECANCELED: cancelled, or by hvlua_free */
    const char *message;   /* where code is not 0; else NULL */
    const char *traceback; /* begins with the message */
    lua_State *L;          /* where code is 0: results 1..count lie on its stack; else NULL */
    int count;
} hvlua_outcome_t;

/* Called once, by the loop. */
typedef void (*hvlua_done_cb)(hvlua_t *lua, const hvlua_outcome_t *outcome, void *userdata);
/* Reads results by a signature such as "ds". Returns 0; HV_EPROTO for a result of another type; the
 * outcome's own code where there are none. */
HV_EXPORT int hvlua_results(hvlua_t *lua, const hvlua_outcome_t *outcome, const char *signature,
                            ...);

/* Starts a script as a task: it begins in the loop's next pass, and may wait anywhere.
 *   on_done  or NULL: then an error goes where those of all tasks go
 * Returns 0, and on_done will be called; or a code, and it will not: HV_EFAILED where the text is
 * no Lua (hvlua_error says why), HV_ENOTFOUND, HV_ENOMEM, HV_ECLOSED after hvlua_stop. */
HV_EXPORT int hvlua_run_string(hvlua_t *lua, const char *code, size_t len, const char *name,
                               hvlua_done_cb on_done, void *userdata);
HV_EXPORT int hvlua_run_file(hvlua_t *lua, const char *path, hvlua_done_cb on_done, void *userdata);
/* Starts a function as a task; `signature` has arguments only. Returns as hvlua_call. */
HV_EXPORT int hvlua_start(hvlua_t *lua, hvlua_done_cb on_done, void *userdata, const char *name,
                          const char *signature, ...);

/* ---- Functions of C that Lua waits for ----
 *
 *     static int fetch(lua_State *L) {            // registered by hvlua_register_waiting
 *         job_t *job = start_job(...);
 *         return hvlua_wait(L, &job->waiter, 5000);
 *     }
 *     static void on_job_done(job_t *job) {       // a callback of your loop, the runtime's thread
 *         hvlua_wake(&job->waiter, "s", job->text);
 *     }
 *
 * In Lua `fetch()` then waits like every call of hv's, and other tasks run meanwhile. */

/* Somebody who waits. It may be copied, and outlives the runtime's interest in it; all zero is
 * nobody. */
typedef struct hvlua_waiter_s {
    void *task;
    uint32_t id;
} hvlua_waiter_t;

/* As hvlua_register, for a function that may end with hvlua_wait. */
HV_EXPORT int hvlua_register_waiting(hvlua_t *lua, const char *name, hvlua_function function,
                                     void *userdata);
/* The last statement of such a function: `return hvlua_wait(...)`. Where the task cannot wait the
 * Lua code gets an error, and the waiter is nobody.
 *   timeout_ms  after it the call returns nil, "wait: timed out", "ETIMEDOUT"; negative: never */
HV_EXPORT int hvlua_wait(lua_State *L, hvlua_waiter_t *waiter, int64_t timeout_ms);
/* Has the call return the values of a signature, in the loop's next pass. The runtime must be
 * there.
 * Returns 0; HV_ECANCELED where nobody waits any more (timed out, cancelled, woken); HV_EINVAL. */
HV_EXPORT int hvlua_wake(hvlua_waiter_t *waiter, const char *signature, ...);

HV_END_DECLS

#endif
