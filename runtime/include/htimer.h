/* htimer.h - one-shot and repeating timers in milliseconds of the monotonic clock. */
#ifndef HV_TIMER_H_
#define HV_TIMER_H_

#include "hevent.h"

HV_BEGIN_DECLS

/* Starts a timer.
 *   on_timer    called by the dispatcher; never before `timeout_ms` have passed since this call,
 *               and at most a millisecond later while the loop is not busy
 *   timeout_ms  0 means in the next pass
 *   repeat      how many times; INFINITE for ever; 0 counts as 1
 * Timers with the same deadline are called in the order they were added. A repeating timer keeps
 * its rhythm (no drift); beats that a busy loop missed are dropped, not caught up.
 * Returns the timer, or NULL with hloop_last_error set. It is freed by the loop after its last
 * call has returned, or by htimer_del; do not touch it after that. */
HV_EXPORT htimer_t *htimer_add(hloop_t *loop, htimer_cb on_timer, uint32_t timeout_ms,
                               uint32_t repeat);

/* Starts a timer that is called at calendar times, local time zone, as in a crontab line.
 *   minute 0..59, hour 0..23, day 1..31, week 0..6 (0 is Sunday), month 1..12; -1 means every
 *   repeat  as above
 * A day that a month does not have is skipped that month. Where daylight saving skips the hour,
 * the call comes at the first instant after the gap; where it repeats the hour, once.
 * Returns as htimer_add; NULL with HV_EINVAL for a field out of range. */
HV_EXPORT htimer_t *htimer_add_period(hloop_t *loop, htimer_cb on_timer, int8_t minute, int8_t hour,
                                      int8_t day, int8_t week, int8_t month, uint32_t repeat);

/* Stops and frees a timer; its callback is not called again. Allowed inside any callback, its own
 * included. */
HV_EXPORT void htimer_del(htimer_t *timer);

/* Starts the wait anew from now.
 *   timeout_ms  the new wait; 0 keeps the old one
 * Inside its own callback it revives a one-shot timer for one more call. */
HV_EXPORT void htimer_reset(htimer_t *timer, uint32_t timeout_ms);

HV_END_DECLS

#endif
