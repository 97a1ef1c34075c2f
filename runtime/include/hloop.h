/* hloop.h - the event loop: one thread, one loop; timers, io, signals, idle work and events that
 * other threads post. Including this header brings in all of the loop's handles.
 *
 * No callback is ever called from inside an API call: what a call starts is reported by the loop's
 * dispatcher later. Except where said, a loop and its handles belong to the thread that runs it. */
#ifndef HV_LOOP_H_
#define HV_LOOP_H_

#include "hevent.h"
#include "hio.h"
#include "htimer.h"
#include "hunpack.h"

HV_BEGIN_DECLS

/* hloop_new flags. */
#define HLOOP_FLAG_RUN_ONCE                   0x01 /* hloop_run does one pass and returns */
#define HLOOP_FLAG_AUTO_FREE                  0x02 /* hloop_run frees the loop at its end */
#define HLOOP_FLAG_QUIT_WHEN_NO_ACTIVE_EVENTS 0x04 /* it ends when nothing is left to wait for */

typedef enum {
    HLOOP_STATUS_STOP,
    HLOOP_STATUS_RUNNING,
    HLOOP_STATUS_PAUSE,
    HLOOP_STATUS_DESTROY,
} hloop_status_e;

/* Creates a loop.
 *   flags  HLOOP_FLAG_* or 0
 * Returns the loop, or NULL with errno set. SIGPIPE is ignored from the first loop on. */
HV_EXPORT hloop_t *hloop_new(int flags);

/* The same with a backend by name: "epoll", or "fake" in test builds. NULL takes the default.
 * Returns NULL with errno set to ENOSYS where there is no such backend. */
HV_EXPORT hloop_t *hloop_new_with_backend(int flags, const char *backend);

/* Closes every handle (close callbacks run), frees the loop and sets *loop to NULL. Not from
 * inside a callback: use hloop_stop there. */
HV_EXPORT void hloop_free(hloop_t **loop);

/* Runs passes until hloop_stop, or as the flags say. A pass: wait until something is due, then
 * call what is due, then flush what was written, then report what was closed.
 * Returns 0; -1 if the loop runs already or its backend failed (hloop_last_error). */
HV_EXPORT int hloop_run(hloop_t *loop);

/* One pass; waits at most `timeout_ms` (INFINITE: until something is due).
 * Returns the number of callbacks called, or a negative code. For foreign loops: call it with 0
 * when hloop_backend_fd is readable or hloop_next_timeout has passed. */
HV_EXPORT int hloop_process_events(hloop_t *loop, int timeout_ms);

/* Ends hloop_run after the current pass; a stop before hloop_run ends that run before its first
 * pass. Any thread. Returns 0. */
HV_EXPORT int hloop_stop(hloop_t *loop);
/* Stops and takes up the calling of callbacks; events stay with the kernel meanwhile. Any
 * thread. */
HV_EXPORT int hloop_pause(hloop_t *loop);
HV_EXPORT int hloop_resume(hloop_t *loop);
/* Ends the wait of the current pass. Any thread. */
HV_EXPORT int hloop_wakeup(hloop_t *loop);
HV_EXPORT hloop_status_e hloop_status(hloop_t *loop);

/* The reason of the last failed call on this loop that had no other way to tell: a HV_E code. */
HV_EXPORT int hloop_last_error(const hloop_t *loop);

/* ---- For foreign loops ---- */

/* A descriptor that is readable when the loop has something to do; -1 if the backend has none. */
HV_EXPORT int hloop_backend_fd(const hloop_t *loop);
/* Milliseconds until the next pass must run: 0 now, -1 no deadline. It may be earlier than the
 * next timer, never later. */
HV_EXPORT int hloop_next_timeout(hloop_t *loop);

/* ---- Loops within loops ---- */

/* Has `outer` run `inner` as a part of itself: an inner loop gets a pass in each of the outer one's
 * passes where it has something to do, and its handles keep the outer loop running. So parts of a
 * program that know their own loop only, and can be taken down with it, live in one thread.
 *   inner  is not run otherwise from here on; both stay the caller's. It leaves by hloop_unnest,
 *          hloop_stop(inner), or with the end of either loop.
 * Returns 0; HV_EINVAL where `inner` is nested already, runs, holds `outer`, or its backend has no
 * descriptor; HV_ENOMEM. The thread of `outer`, as for hloop_unnest. */
HV_EXPORT int hloop_nest(hloop_t *outer, hloop_t *inner);
/* Takes it out again. Nothing where it is in none. */
HV_EXPORT void hloop_unnest(hloop_t *inner);

/* ---- Time: cached once a pass ---- */

/* Reads the clock now, after a callback that took long. */
HV_EXPORT void hloop_update_time(hloop_t *loop);
HV_EXPORT uint64_t hloop_now(hloop_t *loop);        /* seconds since the epoch */
HV_EXPORT uint64_t hloop_now_ms(hloop_t *loop);     /* milliseconds since the epoch */
HV_EXPORT uint64_t hloop_now_us(hloop_t *loop);     /* microseconds since the epoch */
HV_EXPORT uint64_t hloop_now_hrtime(hloop_t *loop); /* microseconds of the monotonic clock */

/* ---- Facts ---- */

HV_EXPORT long hloop_pid(hloop_t *loop);
HV_EXPORT long hloop_tid(hloop_t *loop); /* of the thread that runs it */
HV_EXPORT uint64_t hloop_count(hloop_t *loop); /* passes so far */
HV_EXPORT uint32_t hloop_nios(hloop_t *loop);
HV_EXPORT uint32_t hloop_ntimers(hloop_t *loop);
HV_EXPORT uint32_t hloop_nidles(hloop_t *loop);
HV_EXPORT uint32_t hloop_nactives(hloop_t *loop); /* handles that keep the loop running */
HV_EXPORT const char *hloop_backend_name(const hloop_t *loop);
HV_EXPORT void hloop_set_userdata(hloop_t *loop, void *userdata);
HV_EXPORT void *hloop_userdata(hloop_t *loop);

/* Has `on_pass` called at the end of every pass that has called something, the last before the loop
 * may sleep: to hand on what was gathered meanwhile, such as output in a buffer. What it writes to
 * an io leaves in the next pass. NULL: nothing. Not while the loop runs in another thread. */
typedef void (*hpass_cb)(hloop_t *loop);
HV_EXPORT void hloop_setcb_pass(hloop_t *loop, hpass_cb on_pass);

/* ---- Events from other threads ---- */

/* Has ev->cb called by the dispatcher in its next pass, with a copy of `*ev` that lives until the
 * callback returns. Any thread; events of one thread arrive in order. On the loop's own thread
 * no system call is made. ev->event_id 0 is replaced by a number of the loop's.
 * Returns 0; HV_ENOMEM; HV_ECLOSED where the loop has ended. */
HV_EXPORT int hloop_post_event(hloop_t *loop, hevent_t *ev);

/* ---- Signals, by signalfd: no work is done in signal context ---- */

/* Calls on_signal in the loop for every delivery of `signo`. The signal is blocked in the calling
 * thread, so start further threads after this call. Several watchers of one signal are all called,
 * in order of creation.
 * Returns the watcher, or NULL with hloop_last_error set. */
HV_EXPORT hsignal_t *hsignal_add(hloop_t *loop, hsignal_cb on_signal, int signo);
HV_EXPORT void hsignal_del(hsignal_t *sig);
HV_EXPORT int hsignal_signo(const hsignal_t *sig);

/* ---- Idle: called in every pass in which nothing else was due ---- */

/* While an idle watcher exists the loop does not sleep.
 *   repeat  how many times; INFINITE for ever; 0 counts as 1
 * Returns the watcher, or NULL with hloop_last_error set; it is freed after its last call. */
HV_EXPORT hidle_t *hidle_add(hloop_t *loop, hidle_cb on_idle, uint32_t repeat);
HV_EXPORT void hidle_del(hidle_t *idle);

HV_END_DECLS

#endif
