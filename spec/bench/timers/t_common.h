/* t_common.h - the same random timeouts and the same report for every library. */
#include "../common.h"
#define NT 1000000
static uint64_t rs = 88172645463325252ull;
static inline unsigned rnd_ms(void) {
    rs ^= rs << 13;
    rs ^= rs >> 7;
    rs ^= rs << 17;
    return 1000u + (unsigned)(rs % 3600000u);
}
static long rss_kb(void) {
    procuse_t u = {0, 0, 0, 0};
    proc_add(&u, getpid());
    return u.rss_kb;
}
static inline void report(const char *n, uint64_t a, uint64_t b, uint64_t c, long r0, long r1) {
    printf("{\"lib\":\"%s\",\"add_ns\":%.1f,\"cancel_ns\":%.1f,\"bytes\":%.0f}\n", n,
           (double)(b - a) / NT, (double)(c - b) / NT, (double)(r1 - r0) * 1024 / NT);
}
