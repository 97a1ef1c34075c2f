/* Tests of runtime/base/hbuf.c: order, limits, release of memory, and the cost of consuming. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "hbuf.h"
#include "hmem.h"

static void test_buf_bytes_come_out_in_order(void **state) {
    (void)state;
    hbuf_t buf = {0};
    uint32_t random = 12345;
    unsigned char next_in = 0;
    unsigned char next_out = 0;
    for (int step = 0; step < 20000; step++) {
        random = random * 1664525u + 1013904223u;
        size_t count = (random >> 16) % 600;
        if (random & 0x80000000u) {
            unsigned char bytes[600];
            for (size_t i = 0; i < count; i++) bytes[i] = (unsigned char)(next_in + i);
            int error = hbuf_append(&buf, bytes, count, 4096);
            if (error == 0) next_in = (unsigned char)(next_in + count);
            else assert_int_equal(error, HV_ELIMIT);
            assert_true(hbuf_len(&buf) <= 4096);
        } else {
            if (count > hbuf_len(&buf)) count = hbuf_len(&buf);
            for (size_t i = 0; i < count; i++) {
                assert_int_equal((unsigned char)hbuf_data(&buf)[i], next_out++);
            }
            hbuf_consume(&buf, count);
        }
    }
    assert_true(buf.cap <= 4096 + 2048);
    hbuf_deinit(&buf);
}

static void test_buf_limit_is_exact_and_takes_nothing(void **state) {
    (void)state;
    hbuf_t buf = {0};
    char bytes[1000] = {0};
    assert_int_equal(hbuf_append(&buf, bytes, 1000, 999), HV_ELIMIT);
    assert_null(buf.base);
    assert_int_equal(hbuf_append(&buf, bytes, 999, 1000), 0);
    assert_int_equal(hbuf_append(&buf, bytes, 2, 1000), HV_ELIMIT);
    assert_int_equal(hbuf_len(&buf), 999);
    assert_int_equal(hbuf_append(&buf, bytes, 1, 1000), 0);
    assert_int_equal(hbuf_len(&buf), 1000);
    assert_int_equal(hbuf_append(&buf, bytes, 0, 1000), 0);
    assert_int_equal(hbuf_append(&buf, bytes, 1, 10), HV_ELIMIT);
    assert_int_equal(hbuf_reserve(&buf, SIZE_MAX, SIZE_MAX), HV_ELIMIT);
    hbuf_deinit(&buf);
}

static void test_buf_holds_no_memory_when_empty(void **state) {
    (void)state;
    size_t before = hv__mem_live_blocks();
    hbuf_t buf = {0};
    assert_int_equal(hbuf_append(&buf, "abc", 3, 100), 0);
    hbuf_consume(&buf, 2);
    assert_int_equal(hv__mem_live_blocks(), before + 1);
    hbuf_consume(&buf, 1);
    assert_int_equal(hv__mem_live_blocks(), before);
    assert_int_equal(hbuf_len(&buf), 0);
    assert_null(hbuf_data(&buf));
    hbuf_consume(&buf, 0);
    hbuf_deinit(&buf);
}

static void test_buf_consume_keep_reuses_the_block(void **state) {
    (void)state;
    hbuf_t buf = {0};
    assert_int_equal(hbuf_append(&buf, "abc", 3, 100), 0);
    char *block = buf.base;
    hbuf_consume_keep(&buf, 3);
    assert_ptr_equal(buf.base, block);
    assert_int_equal(hbuf_append(&buf, "def", 3, 100), 0);
    assert_ptr_equal(buf.base, block);
    hbuf_trim(&buf);
    assert_memory_equal(hbuf_data(&buf), "def", 3);
    hbuf_consume_keep(&buf, 3);
    hbuf_trim(&buf);
    assert_null(buf.base);
}

static void test_buf_reserve_then_commit_counts_what_was_written(void **state) {
    (void)state;
    hbuf_t buf = {0};
    assert_int_equal(hbuf_reserve(&buf, 300, 1000), 0);
    assert_true(hbuf_room(&buf) >= 300);
    memcpy(hbuf_tail(&buf), "12345", 5);
    hbuf_commit(&buf, 5);
    assert_int_equal(hbuf_len(&buf), 5);
    assert_memory_equal(hbuf_data(&buf), "12345", 5);
    hbuf_deinit(&buf);
}

/* A queue kept near its maximum must not move all of it for every append: count the moves. */
static void test_buf_near_its_maximum_moves_rarely(void **state) {
    (void)state;
    enum { MAX_LEN = 1 << 20, PIECE = 4096, ROUNDS = 10000 };
    static char piece[PIECE];
    hbuf_t buf = {0};
    while (hbuf_append(&buf, piece, PIECE, MAX_LEN) == 0) {}
    assert_int_equal(hbuf_len(&buf), MAX_LEN);
    int moves = 0;
    for (int i = 0; i < ROUNDS; i++) {
        hbuf_consume(&buf, PIECE);
        uint32_t start = buf.start;
        assert_int_equal(hbuf_append(&buf, piece, PIECE, MAX_LEN), 0);
        if (buf.start < start) moves++;
    }
    /* Half of MAX_LEN is consumed between two moves: 128 pieces. */
    assert_true(moves <= ROUNDS / 128 + 2);
    hbuf_deinit(&buf);
}

static void test_buf_out_of_memory_takes_nothing(void **state) {
    (void)state;
#ifdef HV_FAULT_INJECTION
    static char bytes[5000];
    hbuf_t buf = {0};
    hv__mem_fail_nth(1);
    assert_int_equal(hbuf_append(&buf, "x", 1, 10000), HV_ENOMEM);
    assert_int_equal(hbuf_len(&buf), 0);
    assert_int_equal(hbuf_append(&buf, "abc", 3, 10000), 0);
    hv__mem_fail_nth(1);
    assert_int_equal(hbuf_append(&buf, bytes, sizeof(bytes), 10000), HV_ENOMEM);
    assert_memory_equal(hbuf_data(&buf), "abc", 3);
    hbuf_consume(&buf, 1);
    hv__mem_fail_nth(1);
    assert_int_equal(hbuf_append(&buf, bytes, sizeof(bytes), 10000), HV_ENOMEM);
    assert_int_equal(hbuf_len(&buf), 2);
    assert_memory_equal(hbuf_data(&buf), "bc", 2);
    hbuf_deinit(&buf);
#else
    skip();
#endif
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_buf_bytes_come_out_in_order),
        cmocka_unit_test(test_buf_limit_is_exact_and_takes_nothing),
        cmocka_unit_test(test_buf_holds_no_memory_when_empty),
        cmocka_unit_test(test_buf_consume_keep_reuses_the_block),
        cmocka_unit_test(test_buf_reserve_then_commit_counts_what_was_written),
        cmocka_unit_test(test_buf_near_its_maximum_moves_rarely),
        cmocka_unit_test(test_buf_out_of_memory_takes_nothing),
    };
    return cmocka_run_group_tests_name("hbuf", tests, NULL, NULL);
}
