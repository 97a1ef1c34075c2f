/* watch.c - what watch.h needs a clock for. */
#include "watch.h"

#include "htime.h"

void hvl_watch_open(hvl_t *rt) {
    rt->watch_ticks = hvl_watch_ticks();
    rt->watch_us = gethrtime_us();
}

int64_t hvl_watch_ms(const hvl_t *rt, uint64_t begin) {
    uint64_t ticks = hvl_watch_ticks(), us = gethrtime_us();
    if (ticks <= begin || ticks <= rt->watch_ticks || us <= rt->watch_us) return 0;
    double us_per_tick = (double)(us - rt->watch_us) / (double)(ticks - rt->watch_ticks);
    return (int64_t)((double)(ticks - begin) * us_per_tick / 1000);
}
