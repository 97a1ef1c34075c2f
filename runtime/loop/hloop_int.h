/* hloop_int.h - the inside of the loop: for the files of this room and, as far as said, for net.
 *
 * One pass, in order: wait, take the time, collect what is due (timers, descriptors, posted
 * events), call it by priority, run what was put off, run idle work if nothing was due, then let
 * the net room flush and report closed handles. Nothing that is collected is added to while it is
 * being called, so a pass is bounded. */
#ifndef HV_LOOP_INT_H_
#define HV_LOOP_INT_H_

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

#include "hassert.h"
#include "hdispatch.h"
#include "hloop.h"
#include "hpoll.h"
#include "hslab.h"
#include "hwheel.h"

/* Bits of hevent_t.flags. */
enum {
    HEVENT_FLAG_UNREF    = 0x01, /* does not keep the loop running, by the user's wish */
    HEVENT_FLAG_INTERNAL = 0x02, /* nor by ours: a handle of the library's own */
    HEVENT_FLAG_ACTIVE   = 0x04, /* counted in loop->active_count when none of the two above */
    HEVENT_FLAG_PENDING  = 0x08, /* collected in this pass, not called yet */
    HEVENT_FLAG_DEAD     = 0x10, /* deleted while pending or in its own callback */
    HEVENT_FLAG_CALLING  = 0x20, /* its callback is on the stack */
    HEVENT_FLAG_ARMED    = 0x40, /* timers: in the wheel or among the soon */
    HEVENT_FLAG_SOON     = 0x80, /* timers: among the soon */
};

#define PRIORITY_COUNT (HEVENT_HIGHEST_PRIORITY - HEVENT_LOWEST_PRIORITY + 1)
#define EVENTS_PER_PASS 512

/* A handle with a descriptor. The first member of an io; the loop's own wake-up and signal
 * descriptors are plain ones. ev.cb is the library's function for readiness. */
typedef struct hv__watcher_s {
    hv__node_t node;
    int fd;
    uint32_t tag;     /* hv__watcher_new_tag: comes back with the events */
    uint8_t interest; /* HPOLL_* as the backend knows them */
    uint8_t ready;    /* HPOLL_* collected in this pass */
} hv__watcher_t;

typedef struct hv__list_s {
    hv__node_t *first;
    hv__node_t *last;
} hv__list_t;

/* What the net room hooks into a loop. */
typedef struct hv__net_hooks_s {
    /* Flushes and reports closed handles. Returns whether it has more to do at once. */
    int (*end_of_pass)(hloop_t *loop);
    /* Whether the next wait must not sleep. */
    int (*has_work)(const hloop_t *loop);
    /* Closes every io, calling its close callback, and frees loop->net. */
    void (*close_all)(hloop_t *loop);
} hv__net_hooks_t;

struct hidle_s {
    hv__node_t node;
    struct hidle_s *next_idle;
    struct hidle_s *prev_idle;
    uint64_t added_in_pass; /* it waits for the next one */
    uint32_t repeat;
};

struct hsignal_s {
    hv__node_t node;
    struct hsignal_s *next_signal; /* in order of creation */
    int signo;
};

/* An event another thread, or this one, has posted. */
typedef struct hv__posted_s {
    hv__node_t node;
    void *owned; /* a block of hv__malloc that is freed with the event, called or not */
    int is_kept; /* it lies in memory of somebody else's: see hv__post_kept */
} hv__posted_t;

struct hloop_s {
    int flags;
    int last_error;
    _Atomic int status; /* hloop_status_e */
    atomic_int stop_is_wanted; /* also by a stop that comes before the run has begun */
    int in_api;
    int is_running;
    uint64_t pass_count;
    void *userdata;
    hpass_cb on_pass; /* or NULL */

    const hpoll_backend_t *backend;
    hpoll_t *poll;
    hpoll_event_t events[EVENTS_PER_PASS];
    hv__watcher_t **watchers; /* by descriptor */
    int watcher_cap;
    int must_reset; /* a stale tag was seen */

    uint64_t now_us;   /* monotonic, once a pass */
    uint64_t wall_us;  /* read when first asked for in a pass; 0 before */
    uint64_t start_us; /* monotonic, at hloop_new */

    hslab_t timer_slab;
    hwheel_t wheel;
    hv__list_t soon; /* timers with a timeout of 0 */
    uint32_t timer_count;

    hv__list_t pending[PRIORITY_COUNT];
    uint32_t pending_mask; /* a bit per list that is not empty */

    hlist_t deferred; /* hv__defer_t: for the next call of hv__dispatch_deferred */
    hlist_t running;  /* what is left of the current one */

    hidle_t *idles;
    hidle_t *idle_cursor; /* the next one to call, kept while one is called */
    hidle_t *idles_last;
    uint32_t idle_count;

    hsignal_t *signals;
    int signals_are_called; /* the list must stay as it is meanwhile */
    hv__watcher_t signal_watcher; /* fd -1 while there is none */
    sigset_t signals_watched;
    sigset_t signals_blocked_before;

    hv__watcher_t wake_watcher;
    pthread_mutex_t post_lock;
    hv__list_t posted; /* under post_lock */
    int wake_is_sent;  /* under post_lock */
    int is_closed;     /* under post_lock */
    _Atomic uint32_t posted_count;
    uint32_t next_event_id;
    _Atomic(const void *) thread; /* identity of the thread that runs the loop */
    long pid;
    _Atomic long tid;

    uint32_t active_count; /* handles that keep the loop running */
    uint32_t io_count;

    hloop_t *outer;        /* the loop that this one is nested in, or NULL */
    hloop_t *nested;       /* those nested in this one, in order */
    hloop_t *next_nested;  /* beside this one, in `outer` */
    hloop_t *nested_cursor; /* the next one to run, kept while one runs */
    hv__watcher_t nest_watcher; /* of our own descriptor, in `outer` */
    int nest_is_ready;

    hv__guest_t *guests; /* what other rooms keep */
    void *net; /* the net room's own */
    const hv__net_hooks_t *net_hooks;
};

#ifdef HV_DEBUG
#define HV_API_ENTER(loop) ((loop)->in_api++)
#define HV_API_LEAVE(loop) ((loop)->in_api--)
#else
#define HV_API_ENTER(loop) ((void)(loop))
#define HV_API_LEAVE(loop) ((void)(loop))
#endif

/* ---- hloop.c ---- */

/* Whether the caller is on the loop's thread. */
int hv__loop_is_mine(const hloop_t *loop);
/* Sets up the prefix of a handle: a fresh id, no priority, no flags. */
void hv__event_init(hloop_t *loop, hevent_t *ev, hevent_type_e type, hevent_cb cb);
/* Counts a handle in and out; again and again is allowed. */
void hv__event_activate(hevent_t *ev);
void hv__event_deactivate(hevent_t *ev);
/* A number that tells what comes from a descriptor from what came of its last owner. No other
 * watcher of the process has it, so it is also the id that other threads know an io by. */
uint32_t hv__watcher_new_tag(void);
/* Registers a watcher under its descriptor, with a tag of its own unless it has one. Returns 0 or
 * HV_ENOMEM. */
int hv__watcher_add(hloop_t *loop, hv__watcher_t *watcher);
/* Changes what a registered watcher waits for. Returns 0 or a negative code. */
int hv__watcher_set(hv__watcher_t *watcher, unsigned interest);
/* Forgets a watcher; its descriptor is to be closed right after. */
void hv__watcher_remove(hv__watcher_t *watcher, int descriptor_stays_open);
/* The watcher of a descriptor, or NULL. */
hv__watcher_t *hv__watcher_find(const hloop_t *loop, int fd);
/* Microseconds the loop, with those nested in it, may sleep: 0 none, negative for ever. */
int64_t hv__loop_wait_us(hloop_t *loop);
/* Milliseconds since hloop_new, as 32 bits: the stamp of last reads and writes. */
uint32_t hv__loop_stamp_ms(const hloop_t *loop);

/* ---- hdispatch.c ---- */

/* Adds a handle to what is called in this pass, by its priority. */
void hv__pend(hloop_t *loop, hv__node_t *node);
/* Takes it out again; nothing where it is not pending. */
void hv__unpend(hloop_t *loop, hv__node_t *node);
/* Calls all that is pending. Returns the number of callbacks. */
int hv__dispatch_pending(hloop_t *loop);
/* Runs what was put off before this call. Returns the number. */
int hv__dispatch_deferred(hloop_t *loop);
/* Calls the idle watchers once each. Returns the number. */
int hv__dispatch_idles(hloop_t *loop);
/* Tells whom hloop_setcb_pass has named. */
void hv__dispatch_pass_end(hloop_t *loop);

/* ---- htimer.c ---- */

/* A timer of the library's own: it keeps no loop running. Otherwise as htimer_add. */
htimer_t *hv__timer_add_internal(hloop_t *loop, htimer_cb on_timer, uint32_t timeout_ms);
/* Collects the timers that are due. */
void hv__timers_collect(hloop_t *loop);
/* Microseconds until the next deadline: 0 now, negative for ever. */
int64_t hv__timers_wait_us(const hloop_t *loop);
/* After a timer's callback has returned: frees it or sets its next beat. */
void hv__timer_called(htimer_t *timer);
/* Whether a due timer is to be called now; a period timer may find that its time is not yet. */
int hv__timer_before_call(htimer_t *timer);
void hv__timer_release(htimer_t *timer);
void hv__timers_close(hloop_t *loop);

/* ---- hwake.c ---- */

int hv__wake_open(hloop_t *loop);
void hv__wake_close(hloop_t *loop);
/* hloop_post_event that takes a block of hv__malloc, to be freed with the event. Where it fails the
 * block is still the caller's. */
int hv__post_owned(hloop_t *loop, const hevent_t *ev, void *owned);
/* The same in memory of the caller's, so that it needs none. From when `cb` begins to run, which
 * must look at the event before, the memory may be used for another one, or freed; where the loop
 * is freed first, `cb` does not run. Any thread. Returns 0 or HV_ECLOSED. */
int hv__post_kept(hloop_t *loop, hv__posted_t *posted, hevent_cb cb, void *userdata);
/* Takes one back that waits for the next pass of a loop that is taken down. */
void hv__unpost_kept(hloop_t *loop, hv__posted_t *posted);
/* Moves what was posted to what is pending. */
void hv__posted_collect(hloop_t *loop);

/* ---- hnest.c ---- */

/* Takes the loop out of its outer one, and its inner ones out of it. */
void hv__nested_close(hloop_t *loop);
/* A pass for each inner loop that has something to do. Returns the number of callbacks. */
int hv__nested_run(hloop_t *loop);

/* ---- hsignal.c, hidle.c ---- */

void hv__signals_close(hloop_t *loop);
void hv__idles_close(hloop_t *loop);
void hv__idle_called(hidle_t *idle);

#endif
