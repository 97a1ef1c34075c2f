/* watch.h - how long a run of Lua has held the loop up, for hv.slow_callback.
 *
 * Every run is measured, so the beginning costs one instruction: the processor's own counter, whose
 * rate nobody needs to know in advance. Only a run that may have been slow looks at the clock. */
#ifndef HVL_WATCH_H_
#define HVL_WATCH_H_

#include "bind.h"

#if !defined(__x86_64__) && !defined(__aarch64__)
#include "htime.h"
#endif

/* Counts at a steady rate, of a megahertz or more. */
static inline uint64_t hvl_watch_ticks(void) {
#if defined(__x86_64__)
    return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
    uint64_t ticks;
    __asm__ volatile("mrs %0, cntvct_el0" : "=r"(ticks));
    return ticks;
#else
    return gethrtime_us();
#endif
}

/* Sets the beginning that the counter's rate is reckoned from. */
void hvl_watch_open(hvl_t *rt);
/* Milliseconds since the counter showed `begin`, which is not before the last call. */
int64_t hvl_watch_ms(hvl_t *rt, uint64_t begin);

/* Whether the run that began at `begin` may have reached rt->slow_ms: mostly not, and that is
 * sure. */
static inline int hvl_watch_is_suspicious(const hvl_t *rt, uint64_t begin) {
    return hvl_watch_ticks() - begin >= (uint64_t)rt->slow_ms * 1000;
}

#endif
