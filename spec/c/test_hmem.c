/* Tests of runtime/base/hmem.c: counting, overflow, and failure on request. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "hmem.h"

static void test_mem_blocks_are_counted_until_freed(void **state) {
    (void)state;
    size_t before = hv__mem_live_blocks();
    void *one = hv__malloc(10);
    void *two = hv__calloc(3, 7);
    char *three = hv__strndup("hello", 4);
    assert_int_equal(hv__mem_live_blocks(), before + 3);
    two = hv__realloc(two, 4000);
    assert_non_null(two);
    assert_int_equal(hv__mem_live_blocks(), before + 3);
    assert_string_equal(three, "hell");
    hv__free(one);
    hv__free(two);
    hv__free(three);
    hv__free(NULL);
    assert_int_equal(hv__mem_live_blocks(), before);
}

static void test_mem_calloc_is_cleared(void **state) {
    (void)state;
    unsigned char *bytes = hv__calloc(10, 30);
    for (int i = 0; i < 300; i++) assert_int_equal(bytes[i], 0);
    hv__free(bytes);
}

static void test_mem_calloc_that_overflows_fails(void **state) {
    (void)state;
    size_t before = hv__mem_live_blocks();
    volatile size_t many = SIZE_MAX / 2;
    assert_null(hv__calloc(many, 3));
    assert_int_equal(hv__mem_live_blocks(), before);
}

static void test_mem_size_zero_is_a_block(void **state) {
    (void)state;
    void *none = hv__malloc(0);
    assert_non_null(none);
    none = hv__realloc(none, 0);
    assert_non_null(none);
    hv__free(none);
    void *grown = hv__realloc(NULL, 8);
    assert_non_null(grown);
    hv__free(grown);
}

static void test_mem_fails_only_the_nth_allocation(void **state) {
    (void)state;
#ifdef HV_FAULT_INJECTION
    hv__mem_fail_nth(2);
    void *one = hv__malloc(1);
    assert_non_null(one);
    assert_false(hv__mem_has_failed());
    assert_null(hv__realloc(one, 100));
    assert_true(hv__mem_has_failed());
    void *two = hv__calloc(1, 1);
    assert_non_null(two);
    hv__free(one);
    hv__free(two);
    hv__mem_fail_nth(1);
    assert_null(hv__strndup("x", 1));
    hv__mem_fail_nth(0);
    assert_false(hv__mem_has_failed());
#else
    skip();
#endif
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mem_blocks_are_counted_until_freed),
        cmocka_unit_test(test_mem_calloc_is_cleared),
        cmocka_unit_test(test_mem_calloc_that_overflows_fails),
        cmocka_unit_test(test_mem_size_zero_is_a_block),
        cmocka_unit_test(test_mem_fails_only_the_nth_allocation),
    };
    return cmocka_run_group_tests_name("hmem", tests, NULL, NULL);
}
