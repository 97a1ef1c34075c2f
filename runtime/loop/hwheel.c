/* hwheel.c - the wheel turns from one occupied slot to the next, never tick by tick: a bit word per
 * level tells where the next one is. Taking a slot of a higher level moves its timers down; each
 * timer moves at most once per level, so its whole cost is bounded by the levels it crosses.
 *
 * Invariant: for a timer on level L, the digits of deadline and now above L are equal, and its
 * digit L is greater than now's (on level 0: not less). Moving `now` up to, but not into, the next
 * occupied slot keeps it. That is why a timer's slot can be computed again when it is removed. */
#include "hwheel.h"

#include <string.h>

#include "hassert.h"

void hwheel_init(hwheel_t *wheel, uint64_t now_ms) {
    memset(wheel, 0, sizeof *wheel);
    wheel->now_ms = now_ms;
}

static unsigned level_of(uint64_t deadline_ms, uint64_t now_ms) {
    uint64_t differing = (deadline_ms ^ now_ms) | (HWHEEL_SLOTS - 1);
    unsigned level = (63u - (unsigned)__builtin_clzll(differing)) / HWHEEL_DIGIT_BITS;
    return level < HWHEEL_LEVELS ? level : HWHEEL_LEVELS - 1;
}

static unsigned digit_of(uint64_t time_ms, unsigned level) {
    return (unsigned)(time_ms >> (level * HWHEEL_DIGIT_BITS)) & (HWHEEL_SLOTS - 1);
}

void hwheel_add(hwheel_t *wheel, htimer_t *timer) {
    if (timer->deadline_ms < wheel->now_ms) timer->deadline_ms = wheel->now_ms;
    unsigned level = level_of(timer->deadline_ms, wheel->now_ms);
    unsigned digit = digit_of(timer->deadline_ms, level);
    hwheel_slot_t *slot = &wheel->slots[level][digit];
    timer->node.next = NULL;
    timer->prev = slot->last;
    if (slot->last != NULL) {
        slot->last->node.next = &timer->node;
    } else {
        slot->first = timer;
        wheel->occupied[level] |= 1ull << digit;
    }
    slot->last = timer;
    wheel->count++;
}

void hwheel_remove(hwheel_t *wheel, htimer_t *timer) {
    HV_DASSERT(wheel->count > 0);
    unsigned level = level_of(timer->deadline_ms, wheel->now_ms);
    unsigned digit = digit_of(timer->deadline_ms, level);
    hwheel_slot_t *slot = &wheel->slots[level][digit];
    htimer_t *next = (htimer_t *)timer->node.next;
    HV_DASSERT(timer->prev != NULL || slot->first == timer);
    if (timer->prev != NULL) {
        timer->prev->node.next = timer->node.next;
    } else {
        slot->first = next;
    }
    if (next != NULL) {
        next->prev = timer->prev;
    } else {
        slot->last = timer->prev;
    }
    if (slot->first == NULL) wheel->occupied[level] &= ~(1ull << digit);
    wheel->count--;
}

/* Finds the next occupied slot. Returns its start, or UINT64_MAX; *level and *digit name it. */
static uint64_t next_slot(const hwheel_t *wheel, unsigned *level, unsigned *digit) {
    for (unsigned l = 0; l < HWHEEL_LEVELS; l++) {
        unsigned current = digit_of(wheel->now_ms, l);
        /* Level 0 still holds the current tick; on higher levels only later digits are used. */
        uint64_t later = l == 0 ? ~0ull << current : (~0ull << current) << 1;
        uint64_t candidates = wheel->occupied[l] & later;
        if (candidates == 0) continue;
        *level = l;
        *digit = (unsigned)__builtin_ctzll(candidates);
        unsigned shift = l * HWHEEL_DIGIT_BITS;
        unsigned above_shift = shift + HWHEEL_DIGIT_BITS;
        uint64_t above = wheel->now_ms >> above_shift << above_shift;
        return above | (uint64_t)*digit << shift;
    }
    return UINT64_MAX;
}

uint64_t hwheel_next_ms(const hwheel_t *wheel) {
    unsigned level, digit;
    return next_slot(wheel, &level, &digit);
}

/* Empties a slot and gives its list. */
static htimer_t *take_slot(hwheel_t *wheel, unsigned level, unsigned digit, htimer_t **last) {
    hwheel_slot_t *slot = &wheel->slots[level][digit];
    htimer_t *first = slot->first;
    *last = slot->last;
    slot->first = slot->last = NULL;
    wheel->occupied[level] &= ~(1ull << digit);
    return first;
}

static void move_down(hwheel_t *wheel, unsigned level, unsigned digit) {
    htimer_t *last;
    htimer_t *timer = take_slot(wheel, level, digit, &last);
    while (timer != NULL) {
        htimer_t *next = (htimer_t *)timer->node.next;
        wheel->count--;
        hwheel_add(wheel, timer);
        timer = next;
    }
}

htimer_t *hwheel_take_due(hwheel_t *wheel, uint64_t now_ms) {
    htimer_t *first_due = NULL, *last_due = NULL;
    for (;;) {
        unsigned level = 0, digit = 0;
        uint64_t start = next_slot(wheel, &level, &digit);
        if (start > now_ms) break;
        wheel->now_ms = start;
        if (level > 0) {
            move_down(wheel, level, digit);
            continue;
        }
        htimer_t *last;
        htimer_t *first = take_slot(wheel, 0, digit, &last);
        if (last_due != NULL) {
            last_due->node.next = &first->node;
        } else {
            first_due = first;
        }
        last_due = last;
    }
    if (now_ms > wheel->now_ms) wheel->now_ms = now_ms;
    for (hv__node_t *node = first_due ? &first_due->node : NULL; node != NULL; node = node->next) {
        wheel->count--;
    }
    return first_due;
}
