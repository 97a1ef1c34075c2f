/* hwheel.h - a hierarchical timing wheel over 48 bits of milliseconds: O(1) add and remove, exact
 * to the tick, first in first out among equal deadlines. Pure: time is told, not read.
 *
 * A level has 64 slots and covers six bits of the deadline. A timer stands on the level of the
 * highest digit in which its deadline differs from the wheel's time; so all timers of one deadline
 * always stand in one slot, in the order they came, and keep it when they move down a level. */
#ifndef HV_WHEEL_H_
#define HV_WHEEL_H_

#include "hevent.h"

#define HWHEEL_DIGIT_BITS 6
#define HWHEEL_SLOTS      (1 << HWHEEL_DIGIT_BITS)
#define HWHEEL_LEVELS     8

/* What every handle that can be due begins with: the public prefix and the link of the list of what
 * is due in this pass. */
typedef struct hv__node_s {
    hevent_t ev;
    struct hv__node_s *next;
} hv__node_t;

struct htimer_s {
    hv__node_t node; /* node.next also links the slot's list */
    htimer_t *prev;
    uint64_t deadline_ms; /* of the monotonic clock */
    uint32_t timeout_ms;
    uint32_t repeat; /* calls left; INFINITE for ever */
};

_Static_assert(sizeof(htimer_t) <= 64, "a timer is one cache line");

typedef struct hwheel_slot_s {
    htimer_t *first;
    htimer_t *last;
} hwheel_slot_t;

typedef struct hwheel_s {
    uint64_t now_ms; /* every deadline up to here has been taken out */
    uint64_t occupied[HWHEEL_LEVELS]; /* a bit per slot that is not empty */
    hwheel_slot_t slots[HWHEEL_LEVELS][HWHEEL_SLOTS];
    size_t count;
} hwheel_t;

void hwheel_init(hwheel_t *wheel, uint64_t now_ms);

/* Puts a timer in by its deadline_ms; one that has passed is due at the next tick taken. */
void hwheel_add(hwheel_t *wheel, htimer_t *timer);

/* Takes a timer out that is in. */
void hwheel_remove(hwheel_t *wheel, htimer_t *timer);

/* Moves the time on and gives the timers due up to it, linked by node.next in the order of their
 * deadlines. Returns the first, or NULL. */
htimer_t *hwheel_take_due(hwheel_t *wheel, uint64_t now_ms);

/* A time not later than the earliest deadline, exact when that is less than 64 ms away;
 * UINT64_MAX where the wheel is empty. */
uint64_t hwheel_next_ms(const hwheel_t *wheel);

#endif
