/* t_hv.c - our timers: htimer_add and htimer_del. */
#include "t_common.h"

#include "hloop.h"

static void on_timer(htimer_t *timer) {
    (void)timer;
}

int main(void) {
    hloop_t *loop = hloop_new(0);
    htimer_t **timers = malloc(sizeof *timers * NT);
    memset(timers, 1, sizeof *timers * NT); /* its pages are not the timers' */
    long rss_before = rss_kb();
    uint64_t start = now_ns();
    for (int i = 0; i < NT; i++) {
        timers[i] = htimer_add(loop, on_timer, rnd_ms(), 1);
    }
    uint64_t added = now_ns();
    long rss_after = rss_kb();
    uint64_t before_cancel = now_ns();
    for (int i = 0; i < NT; i++) {
        htimer_del(timers[i]);
    }
    uint64_t cancelled = now_ns();
    report("hvlua", start, added, cancelled - (before_cancel - added), rss_before, rss_after);
    hloop_free(&loop);
    free(timers);
    return 0;
}
