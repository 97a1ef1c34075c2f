/* hmem.c - malloc with a count of live blocks and a way to make it fail.
 *
 * The count is one relaxed atomic for the process: objects that come and go often live in slabs
 * (hslab.h), so it is touched once a chunk or a buffer, not once an object. It orders nothing and
 * is exact only while no other thread allocates.
 *
 * The order to fail is a countdown shared by all threads: the allocation that takes it from 1 to 0
 * fails, every other one goes through. Without HV_FAULT_INJECTION the check is not compiled in. */
#include "hmem.h"

#include "hassert.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static atomic_size_t live_blocks;

#ifdef HV_FAULT_INJECTION
static _Atomic uint64_t fail_countdown;
static atomic_int has_failed;

static int must_fail(void) {
    uint64_t left = atomic_load_explicit(&fail_countdown, memory_order_relaxed);
    while (left > 0) {
        if (atomic_compare_exchange_weak(&fail_countdown, &left, left - 1)) {
            if (left == 1) atomic_store(&has_failed, 1);
            return left == 1;
        }
    }
    return 0;
}

void hv__mem_fail_nth(uint64_t nth) {
    atomic_store(&has_failed, 0);
    atomic_store(&fail_countdown, nth);
}

int hv__mem_has_failed(void) {
    return atomic_load(&has_failed);
}
#else
static inline int must_fail(void) {
    return 0;
}

void hv__mem_fail_nth(uint64_t nth) {
    (void)nth;
}

int hv__mem_has_failed(void) {
    return 0;
}
#endif

static inline void *counted(void *block) {
    if (HV_LIKELY(block != NULL)) {
        atomic_fetch_add_explicit(&live_blocks, 1, memory_order_relaxed);
    }
    return block;
}

/* A block of 0 bytes is asked for as one of 1, so that NULL always means failure. */
static inline size_t at_least_one(size_t size) {
    return size > 0 ? size : 1;
}

void *hv__malloc(size_t size) {
    if (HV_UNLIKELY(must_fail())) return NULL;
    return counted(malloc(at_least_one(size)));
}

void *hv__calloc(size_t count, size_t size) {
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) return NULL;
    if (HV_UNLIKELY(must_fail())) return NULL;
    return counted(calloc(1, at_least_one(bytes)));
}

void *hv__realloc(void *block, size_t size) {
    if (block == NULL) return hv__malloc(size);
    if (HV_UNLIKELY(must_fail())) return NULL;
    return realloc(block, at_least_one(size));
}

void hv__free(void *block) {
    if (block == NULL) return;
    size_t before = atomic_fetch_sub_explicit(&live_blocks, 1, memory_order_relaxed);
    HV_ASSERT(before > 0);
    free(block);
}

char *hv__strndup(const char *text, size_t len) {
    HV_ASSERT(len < SIZE_MAX);
    char *copy = hv__malloc(len + 1);
    if (copy == NULL) return NULL;
    if (len > 0) memcpy(copy, text, len);
    copy[len] = '\0';
    return copy;
}

size_t hv__mem_live_blocks(void) {
    return atomic_load_explicit(&live_blocks, memory_order_relaxed);
}
