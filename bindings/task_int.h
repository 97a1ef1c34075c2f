/* task_int.h - the inside of tasks: for task_run.c (the pool, the ready queue, one run),
 * task_wait.c (waiting, cancelling, the callback form), task_end.c (errors, ends, who hears of
 * them) and task.c (the hv.task that Lua holds, and Lua's functions).
 *
 *     FREE -> BEGUN -> [READY ->] RUNNING -> SUSPENDED -> READY or RUNNING ... -> FREE
 *
 * A finished coroutine is used again for the next function; one that ended in an error is dropped
 * and its struct gets a new one when it is needed. The structs themselves live as long as the
 * state, so that a waiter (task and wait id) of an ended wait is recognized without any list.
 *
 * A waiting C function yields one private value. The coroutine functions of lua/hv/coroutines.lua
 * hand it outward through coroutines of the user's, so it always reaches hvl_task_run. Whatever
 * else arrives there is a yield that nobody will answer, and fails the task.
 *
 * rt->current is the running task. It nests in one case: hvl_dual runs the first part of a new task
 * inside an API call. No user code runs in that part. */
#ifndef HVL_TASK_INT_H_
#define HVL_TASK_INT_H_

#include "bind.h"

#define HVL_TASKS_PER_CHUNK 64

/* hvl_task_t.state */
enum { HVL_FREE, HVL_BEGUN, HVL_READY, HVL_RUNNING, HVL_SUSPENDED };

#define HVL_CANCELED_TEXT "task canceled"

/* What a waiting function yields, and what comes first where the Lua side is to raise. Only their
 * addresses count. */
extern char hvl_wait_mark, hvl_throw_mark;

/* The hv.task that Lua holds. */
typedef struct hvl_handle_s {
    hvl_object_t object;
    hvl_task_t *task; /* NULL once it has ended */
    int status;       /* HVL_*, then */
    int result_count; /* in the environment table */
} hvl_handle_t;

extern const hvl_class_t hvl_task_class;

/* ---- task_run.c ---- */

/* Has run_spare do in `ms` what could not be done for want of memory. */
void hvl_task_set_spare(hvl_t *rt, uint32_t ms);
/* Gives a task back whose coroutine is or is not good for another function. */
void hvl_task_recycle(hvl_task_t *task, int is_good);
/* Resumes the coroutine. Returns LUA_YIELD only for a wait. */
int hvl_task_step(hvl_task_t *task, int nargs);

/* ---- task_wait.c ---- */

/* Tries again to make the timers of waits that have none. */
void hvl_wait_feed_starved(hvl_t *rt);
/* Takes the task out of what it waits for. */
void hvl_wait_give_up(hvl_task_t *task);
/* _hv.task's dual(operation, args..., fn) and settle(...). */
int hvl_task_dual(lua_State *L);
int hvl_task_settle(lua_State *L);

/* ---- task_finalize.c ---- */

/* _hv.task's finalize(finalizer, object). */
int hvl_task_finalize(lua_State *L);

/* ---- task_end.c ---- */

/* Tells everybody, then recycles. On the stack of the coroutine: results 1..top, or the message of
 * a failure on top. Returns `status`. */
int hvl_task_end(hvl_task_t *task, int status);
/* The same for a coroutine that is dead, the error value on top of its stack. */
int hvl_task_fail(hvl_task_t *task);
/* Pushes what join returns for an end: the results of `from` (1..count), or why there are none.
 * Returns their number. Raises nothing: the stack is mostly that of somebody who waits. */
int hvl_push_outcome(lua_State *L, int status, lua_State *from, int count);
/* Pushes what join returns instead of more than HVL_VALUES_MAX results: nil, message, "ELIMIT". */
int hvl_push_too_many(lua_State *L);

#endif
