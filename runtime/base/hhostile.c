/* hhostile.c - see hhostile.h. */
#include "hhostile.h"

#ifdef HV_HOSTILE

#include <stdatomic.h>
#include <stdlib.h>

size_t hv__hostile_len(size_t len) {
    static _Atomic long most = -1;
    long limit = atomic_load_explicit(&most, memory_order_relaxed);
    if (limit < 0) {
        const char *text = getenv("HV_HOSTILE_BYTES");
        limit = text != NULL ? strtol(text, NULL, 10) : 0;
        if (limit < 0) limit = 0;
        atomic_store_explicit(&most, limit, memory_order_relaxed);
    }
    return limit == 0 || len < (size_t)limit ? len : (size_t)limit;
}

uint32_t hv__hostile_random(uint32_t below) {
    static _Thread_local uint32_t seed = 2463534242u;
    seed ^= seed << 13, seed ^= seed >> 17, seed ^= seed << 5;
    return seed % below;
}

#else

typedef int hv__hostile_nothing_t; /* ISO C wants something in each file */

#endif
