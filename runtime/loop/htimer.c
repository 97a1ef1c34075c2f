/* htimer.c - timers over the wheel.
 *
 * A deadline is the clock at the call, rounded up to a millisecond, plus the timeout; it is reached
 * when the clock, rounded down, is not before it. So no timer is early, and a timer is late by less
 * than a millisecond plus what the loop was busy. Timeouts of 0 do not go through the wheel: they
 * stand in a list that the next pass takes whole.
 *
 * States: armed (in the wheel or the soon list) -> pending (collected) -> calling -> armed again or
 * freed. Deleting an armed timer frees it at once; a pending or calling one is marked dead and
 * freed by the dispatcher. */
#include "hcalendar.h"
#include "hclock.h"
#include "hloop_int.h"
#include "hmem.h"

/* A timer of calendar times; allocated on its own, not from the slab. */
typedef struct hperiod_s {
    htimer_t timer;
    int8_t minute, hour, day, week, month;
    time_t next; /* the wall-clock second to be called at */
} hperiod_t;

/* How long a calendar timer sleeps before it looks at the wall clock again, which may be set. */
#define PERIOD_LOOK_MS 60000

static int is_armed(const htimer_t *timer) { return timer->node.ev.flags & HEVENT_FLAG_ARMED; }

/* Starts the wait. `now_us` is the clock it counts from. */
static void arm(htimer_t *timer, uint32_t timeout_ms, uint64_t now_us) {
    hloop_t *loop = timer->node.ev.loop;
    HV_DASSERT(!is_armed(timer));
    timer->node.ev.flags |= HEVENT_FLAG_ARMED;
    if (timeout_ms > 0) {
        timer->deadline_ms = (now_us + 999) / 1000 + timeout_ms;
        hwheel_add(&loop->wheel, timer);
        return;
    }
    timer->node.ev.flags |= HEVENT_FLAG_SOON;
    timer->deadline_ms = now_us / 1000;
    timer->node.next = NULL;
    timer->prev = (htimer_t *)loop->soon.last;
    if (loop->soon.last != NULL) {
        loop->soon.last->next = &timer->node;
    } else {
        loop->soon.first = &timer->node;
    }
    loop->soon.last = &timer->node;
}

static void disarm(htimer_t *timer) {
    hloop_t *loop = timer->node.ev.loop;
    if (timer->node.ev.flags & HEVENT_FLAG_SOON) {
        htimer_t *next = (htimer_t *)timer->node.next;
        if (timer->prev != NULL) {
            timer->prev->node.next = timer->node.next;
        } else {
            loop->soon.first = timer->node.next;
        }
        if (next != NULL) {
            next->prev = timer->prev;
        } else {
            loop->soon.last = timer->prev ? &timer->prev->node : NULL;
        }
    } else {
        hwheel_remove(&loop->wheel, timer);
    }
    timer->node.ev.flags &= (uint8_t) ~(HEVENT_FLAG_ARMED | HEVENT_FLAG_SOON);
}

static htimer_t *timer_new(hloop_t *loop, htimer_cb on_timer, uint32_t timeout_ms, uint32_t repeat,
                           uint8_t flags) {
    htimer_t *timer = hslab_alloc(&loop->timer_slab);
    if (timer == NULL) {
        loop->last_error = HV_ENOMEM;
        return NULL;
    }
    hv__event_init(loop, &timer->node.ev, HEVENT_TYPE_TIMER, (hevent_cb)on_timer);
    timer->node.ev.flags = flags;
    timer->timeout_ms = timeout_ms;
    timer->repeat = repeat ? repeat : 1;
    loop->timer_count++;
    hv__event_activate(&timer->node.ev);
    arm(timer, timeout_ms, hclock_mono_us());
    return timer;
}

htimer_t *htimer_add(hloop_t *loop, htimer_cb on_timer, uint32_t timeout_ms, uint32_t repeat) {
    return timer_new(loop, on_timer, timeout_ms, repeat, 0);
}

htimer_t *hv__timer_add_internal(hloop_t *loop, htimer_cb on_timer, uint32_t timeout_ms) {
    return timer_new(loop, on_timer, timeout_ms, INFINITE, HEVENT_FLAG_INTERNAL);
}

void hv__timer_release(htimer_t *timer) {
    hloop_t *loop = timer->node.ev.loop;
    HV_DASSERT(!is_armed(timer));
    loop->timer_count--;
    int is_period = timer->node.ev.event_type == HEVENT_TYPE_PERIOD;
    timer->node.ev.event_type = HEVENT_TYPE_NONE;
    timer->node.ev.event_id = 0;
    if (is_period) {
        hv__free(timer);
    } else {
        hslab_free(&loop->timer_slab, timer);
    }
}

void htimer_del(htimer_t *timer) {
    if (timer == NULL || timer->node.ev.flags & HEVENT_FLAG_DEAD) return;
    hv__event_deactivate(&timer->node.ev);
    if (is_armed(timer)) disarm(timer);
    if (timer->node.ev.flags & (HEVENT_FLAG_PENDING | HEVENT_FLAG_CALLING)) {
        timer->node.ev.flags |= HEVENT_FLAG_DEAD;
        return;
    }
    hv__timer_release(timer);
}

void htimer_reset(htimer_t *timer, uint32_t timeout_ms) {
    if (timer->node.ev.flags & HEVENT_FLAG_DEAD) return;
    if (timer->node.ev.event_type != HEVENT_TYPE_TIMER) return;
    if (timeout_ms > 0) timer->timeout_ms = timeout_ms;
    if (is_armed(timer)) disarm(timer);
    /* A pending one cannot leave the list of what is due; before_call sees the flag and waits
     * on. */
    if (timer->node.ev.flags & HEVENT_FLAG_PENDING) {
        timer->deadline_ms = (hclock_mono_us() + 999) / 1000 + timer->timeout_ms;
        return;
    }
    arm(timer, timer->timeout_ms, hclock_mono_us());
}

/* ---- Calendar timers ---- */

static void arm_period(hperiod_t *period) {
    uint64_t wall_ms = hclock_wall_us() / 1000;
    uint64_t next_ms = (uint64_t)period->next * 1000;
    uint64_t wait_ms = next_ms > wall_ms ? next_ms - wall_ms : 1;
    if (wait_ms > PERIOD_LOOK_MS) wait_ms = PERIOD_LOOK_MS;
    arm(&period->timer, (uint32_t)wait_ms, hclock_mono_us());
}

/* Sets the next calendar time after now. Returns 0, or HV_EINVAL where there is none. */
static int schedule_period(hperiod_t *period) {
    period->next = hv__cron_next((time_t)(hclock_wall_us() / 1000000), period->minute, period->hour,
                                 period->day, period->week, period->month);
    return period->next > 0 ? 0 : HV_EINVAL;
}

htimer_t *htimer_add_period(hloop_t *loop, htimer_cb on_timer, int8_t minute, int8_t hour,
                            int8_t day, int8_t week, int8_t month, uint32_t repeat) {
    int is_valid = minute >= -1 && minute <= 59 && hour >= -1 && hour <= 23 && day >= -1 &&
                   day <= 31 && day != 0 && week >= -1 && week <= 6 && month >= -1 &&
                   month <= 12 && month != 0;
    hperiod_t *period = is_valid ? hv__calloc(1, sizeof *period) : NULL;
    if (period == NULL) {
        loop->last_error = is_valid ? HV_ENOMEM : HV_EINVAL;
        return NULL;
    }
    hv__event_init(loop, &period->timer.node.ev, HEVENT_TYPE_PERIOD, (hevent_cb)on_timer);
    period->timer.repeat = repeat ? repeat : 1;
    period->minute = minute;
    period->hour = hour;
    period->day = day;
    period->week = week;
    period->month = month;
    if (schedule_period(period) != 0) {
        loop->last_error = HV_EINVAL;
        hv__free(period);
        return NULL;
    }
    loop->timer_count++;
    hv__event_activate(&period->timer.node.ev);
    arm_period(period);
    return &period->timer;
}

/* ---- For the loop and the dispatcher ---- */

static void pend_list(hloop_t *loop, hv__node_t *node) {
    while (node != NULL) {
        hv__node_t *next = node->next;
        node->ev.flags &= (uint8_t) ~(HEVENT_FLAG_ARMED | HEVENT_FLAG_SOON);
        hv__pend(loop, node);
        node = next;
    }
}

void hv__timers_collect(hloop_t *loop) {
    hv__node_t *soon = loop->soon.first;
    loop->soon.first = loop->soon.last = NULL;
    pend_list(loop, (hv__node_t *)hwheel_take_due(&loop->wheel, loop->now_us / 1000));
    pend_list(loop, soon);
}

int64_t hv__timers_wait_us(const hloop_t *loop) {
    if (loop->soon.first != NULL) return 0;
    uint64_t next_ms = hwheel_next_ms(&loop->wheel);
    if (next_ms == UINT64_MAX) return -1;
    uint64_t now_us = hclock_mono_us();
    return next_ms * 1000 > now_us ? (int64_t)(next_ms * 1000 - now_us) : 0;
}

int hv__timer_before_call(htimer_t *timer) {
    if (timer->node.ev.event_type == HEVENT_TYPE_PERIOD) {
        hperiod_t *period = (hperiod_t *)timer;
        if ((time_t)(hclock_wall_us() / 1000000) >= period->next) return 1;
        arm_period(period);
        return 0;
    }
    /* It was reset after it had become pending: its deadline lies ahead again. */
    hloop_t *loop = timer->node.ev.loop;
    if (timer->deadline_ms > loop->now_us / 1000) {
        timer->node.ev.flags |= HEVENT_FLAG_ARMED;
        hwheel_add(&loop->wheel, timer);
        return 0;
    }
    return 1;
}

/* The next beat of the rhythm that lies ahead. */
static void arm_next_beat(htimer_t *timer) {
    hloop_t *loop = timer->node.ev.loop;
    if (timer->timeout_ms == 0) {
        arm(timer, 0, loop->now_us);
        return;
    }
    uint64_t now_ms = hclock_mono_us() / 1000;
    uint64_t next_ms = timer->deadline_ms + timer->timeout_ms;
    if (next_ms <= now_ms) {
        next_ms += (now_ms - next_ms) / timer->timeout_ms * timer->timeout_ms;
        if (next_ms <= now_ms) next_ms += timer->timeout_ms;
    }
    timer->deadline_ms = next_ms;
    timer->node.ev.flags |= HEVENT_FLAG_ARMED;
    hwheel_add(&loop->wheel, timer);
}

void hv__timer_called(htimer_t *timer) {
    if (timer->node.ev.flags & HEVENT_FLAG_DEAD) {
        hv__timer_release(timer);
        return;
    }
    if (is_armed(timer)) { /* reset in its own callback: the last call is revived */
        if (timer->repeat != INFINITE && timer->repeat > 1) timer->repeat--;
        return;
    }
    if (timer->repeat != INFINITE) timer->repeat--;
    if (timer->repeat == 0) {
        htimer_del(timer);
    } else if (timer->node.ev.event_type == HEVENT_TYPE_PERIOD) {
        hperiod_t *period = (hperiod_t *)timer;
        if (schedule_period(period) == 0) {
            arm_period(period);
        } else {
            htimer_del(timer);
        }
    } else {
        arm_next_beat(timer);
    }
}

static void free_list(htimer_t *timer) {
    while (timer != NULL) {
        htimer_t *next = (htimer_t *)timer->node.next;
        timer->node.ev.flags &= (uint8_t) ~(HEVENT_FLAG_ARMED | HEVENT_FLAG_SOON);
        hv__event_deactivate(&timer->node.ev);
        hv__timer_release(timer);
        timer = next;
    }
}

void hv__timers_close(hloop_t *loop) {
    free_list((htimer_t *)loop->soon.first);
    loop->soon.first = loop->soon.last = NULL;
    for (unsigned level = 0; level < HWHEEL_LEVELS; level++) {
        for (unsigned digit = 0; digit < HWHEEL_SLOTS; digit++) {
            free_list(loop->wheel.slots[level][digit].first);
        }
    }
    hwheel_init(&loop->wheel, 0);
    hslab_deinit(&loop->timer_slab);
}
