#include "t_common.h"
#include <uv.h>
static void cb(uv_timer_t *t) {
    (void)t;
}
int main(void) {
    uv_loop_t *l = uv_default_loop();
    uv_timer_t **t = malloc(sizeof *t * NT);
    memset(t, 1, sizeof *t * NT);
    long r0 = rss_kb();
    uint64_t a = now_ns();
    for (int i = 0; i < NT; i++) {
        t[i] = malloc(sizeof(uv_timer_t));
        uv_timer_init(l, t[i]);
        uv_timer_start(t[i], cb, rnd_ms(), 0);
    }
    uint64_t b = now_ns();
    long r1 = rss_kb();
    uint64_t b2 = now_ns();
    for (int i = 0; i < NT; i++)
        uv_timer_stop(t[i]);
    uint64_t c = now_ns();
    report("libuv", a, b, c - (b2 - b), r0, r1);
    return 0;
}
