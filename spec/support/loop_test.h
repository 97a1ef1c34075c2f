/* loop_test.h - what the tests of loop, poll and net share: cmocka, the inside of the loop, and
 * ways to run passes until something has happened, without sleeping. */
#ifndef SPEC_LOOP_TEST_H_
#define SPEC_LOOP_TEST_H_

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "hclock.h"
#include "hloop_int.h"
#include "hmem.h"
#include "hnet_int.h"

#define PASSES_MAX 200000

/* Runs passes until the condition holds; fails the test where it never does. A pass waits for the
 * kernel where nothing is due, so this neither sleeps nor spins. */
#define RUN_UNTIL(loop, condition)                                  \
    do {                                                            \
        int passes_ = 0;                                            \
        while (!(condition)) {                                      \
            assert_true(passes_++ < PASSES_MAX);                    \
            assert_true(hloop_process_events(loop, (int)INFINITE) >= 0); \
        }                                                           \
    } while (0)

/* The same for two loops of one thread, by turns. */
#define RUN_BOTH_UNTIL(first, second, condition)                \
    do {                                                        \
        int passes_ = 0;                                        \
        while (!(condition)) {                                  \
            assert_true(passes_++ < PASSES_MAX);                \
            assert_true(hloop_process_events(first, 0) >= 0);   \
            assert_true(hloop_process_events(second, 0) >= 0);  \
        }                                                       \
    } while (0)

/* Passes that do not wait: for what must not happen. */
#define RUN_PASSES(loop, count)                                                                 \
    do {                                                                                        \
        for (int pass_ = 0; pass_ < (count); pass_++) {                                         \
            assert_true(hloop_process_events(loop, 0) >= 0);                                    \
        }                                                                                       \
    } while (0)

/* The port a listener was given. */
static inline int port_of(hio_t *io) {
    const struct sockaddr *addr = hio_localaddr(io);
    if (addr->sa_family == AF_INET6) return ntohs(((const struct sockaddr_in6 *)addr)->sin6_port);
    return ntohs(((const struct sockaddr_in *)addr)->sin_port);
}

/* The end of a scenario: nothing may be left. */
static inline void free_loop(hloop_t *loop, size_t blocks_before) {
    hloop_free(&loop);
    assert_null(loop);
    assert_int_equal(hv__mem_live_blocks(), blocks_before);
}

#endif
