/* watch.c - what watch.h needs a clock for. */
#include "watch.h"

#include "htime.h"

void hvl_watch_open(hvl_t *rt) {
    rt->watch_ticks = hvl_watch_ticks();
    rt->watch_us = gethrtime_us();
}

int64_t hvl_watch_ms(hvl_t *rt, uint64_t begin) {
    uint64_t ticks_before = rt->watch_ticks, us_before = rt->watch_us;
    hvl_watch_open(rt); /* kept for a while only: counter and clock part when a machine sleeps */
    uint64_t ticks = rt->watch_ticks, us = rt->watch_us;
    if (ticks <= begin || ticks <= ticks_before || us <= us_before) return 0;
    double us_per_tick = (double)(us - us_before) / (double)(ticks - ticks_before);
    return (int64_t)((double)(ticks - begin) * us_per_tick / 1000);
}
