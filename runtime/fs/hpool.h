/* hpool.h - threads for what would block the loop: a queue of work, a few threads that are started
 * when work waits, and results that come back to the loop's thread.
 *
 * One pool belongs to one loop. Everything here but hpool_wait_ready is for the loop's thread. */
#ifndef HV_POOL_H_
#define HV_POOL_H_

#include "hdispatch.h"

#define HPOOL_THREADS_MAX 4     /* of the pool of a loop's files */
#define HPOOL_QUEUE_MAX   65536 /* pieces of work that wait in it */

typedef struct hpool_s hpool_t;
typedef struct hpool_work_s hpool_work_t;

/* A piece of work; part of an object of the caller's, which lives until `done` is called. */
struct hpool_work_s {
    hpool_work_t *next;
    hpool_work_t *prev;
    /* In a thread of the pool; must not touch the loop. */
    void (*run)(hpool_work_t *work);
    /* By the dispatcher: 0, or HV_ECANCELED where `run` was never called. */
    void (*done)(hpool_work_t *work, int status);
    uint8_t state; /* the pool's own */
};

/* Makes a pool without threads.
 *   threads_max  1..64
 *   queue_max    pieces of work that may wait, those that run not counted
 * Returns NULL with *code set. */
hpool_t *hpool_new(hloop_t *loop, int threads_max, uint32_t queue_max, int *code);

/* Cancels what waits, lets what runs come to its end, joins the threads, calls every `done` that is
 * owed, and frees the pool. Work submitted by those is refused with HV_ECLOSED. */
void hpool_free(hpool_t *pool);

/* Queues work: run(work) is called in a thread, then done(work, 0) in a later pass of the loop, in
 * the order in which the threads have ended.
 * Returns 0; HV_ELIMIT where the queue is full, HV_ECLOSED, or the reason why not even one thread
 * could be started. Only with 0 is `done` called. */
int hpool_submit(hpool_t *pool, hpool_work_t *work, void (*run)(hpool_work_t *work),
                 void (*done)(hpool_work_t *work, int status));

/* Takes work out of the queue: its `done` is called in the next pass, with HV_ECANCELED.
 * Returns 0; HV_EBUSY where it runs already or has run: then it comes to its usual end. */
int hpool_cancel(hpool_t *pool, hpool_work_t *work);

/* In a thread of the pool: waits until a descriptor is readable (or writable) or has ended, so that
 * what may never end does not outlive the loop.
 * Returns 0; HV_ECANCELED where the pool is being freed, or another code. */
int hpool_wait_ready(hpool_t *pool, int fd, bool to_write);

/* For tests: threads that were started so far and live. */
int hpool_thread_count(const hpool_t *pool);

#endif
