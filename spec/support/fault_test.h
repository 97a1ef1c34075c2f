/* fault_test.h - what the tests of spec/fault share: each allocation of a scenario fails in
 * turn. */
#ifndef SPEC_FAULT_TEST_H_
#define SPEC_FAULT_TEST_H_

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "hio.h"
#include "hmem.h"

#define FAULT_ALLOCATIONS_MAX 10000

/* Runs a scenario with its first allocation failing, then with its second, and so on; the last run
 * is the one in which none fails. After each run all memory must have been given back.
 *   scenario  has a beginning and an end of its own, and makes all that is made once a process in
 *             a run before
 *   judge     called after each run, or NULL
 * Returns how many allocations there are. */
static inline int fail_each_allocation(void (*scenario)(void), void (*judge)(int has_failed)) {
    size_t blocks_before = hv__mem_live_blocks();
    int has_failed = 1, count = 0;
    while (has_failed) {
        assert_true(count < FAULT_ALLOCATIONS_MAX);
        hv__mem_fail_nth((uint64_t)count + 1);
        scenario();
        has_failed = hv__mem_has_failed();
        hv__mem_fail_nth(0);
        if (hv__mem_live_blocks() != blocks_before) print_error("allocation %d\n", count + 1);
        assert_int_equal(hv__mem_live_blocks(), blocks_before);
        if (judge != NULL) judge(has_failed);
        count += has_failed;
    }
    print_message("%d allocations failed in turn\n", count);
    return count;
}

/* The port of an IPv4 listener; 0 where there is none, or its address is not known. */
static inline int fault_port_of(hio_t *listener) {
    if (listener == NULL) return 0;
    const struct sockaddr_in *addr = (const struct sockaddr_in *)(void *)hio_localaddr(listener);
    return addr->sin_family == AF_INET ? ntohs(addr->sin_port) : 0;
}

#endif
