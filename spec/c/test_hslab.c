/* Tests of runtime/base/hslab.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "hmem.h"
#include "hslab.h"

#define COUNT 1000

static void test_slab_objects_are_distinct_and_aligned(void **state) {
    (void)state;
    static const size_t sizes[] = {1, 16, 40, 64, 250, 256};
    for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
        hslab_t slab;
        static unsigned char *objects[COUNT];
        hslab_init(&slab, sizes[s], 32);
        assert_int_equal(slab.object_size % 16, 0);
        assert_true(slab.object_size >= sizes[s]);
        for (int i = 0; i < COUNT; i++) {
            objects[i] = hslab_alloc(&slab);
            assert_non_null(objects[i]);
            assert_int_equal((uintptr_t)objects[i] % 16, 0);
            memset(objects[i], i & 0xff, sizes[s]);
        }
        assert_int_equal(slab.live, COUNT);
        for (int i = 0; i < COUNT; i++) {
            for (size_t b = 0; b < sizes[s]; b++) assert_int_equal(objects[i][b], i & 0xff);
        }
        for (int i = 0; i < COUNT; i += 2) hslab_free(&slab, objects[i]);
        assert_int_equal(slab.live, COUNT / 2);
        hslab_deinit(&slab);
    }
}

static void test_slab_reuses_what_was_given_back(void **state) {
    (void)state;
    hslab_t slab;
    hslab_init(&slab, 48, 8);
    void *objects[8];
    for (int i = 0; i < 8; i++) objects[i] = hslab_alloc(&slab);
    size_t blocks = hv__mem_live_blocks();
    for (int round = 0; round < 100; round++) {
        for (int i = 0; i < 8; i++) hslab_free(&slab, objects[i]);
        for (int i = 0; i < 8; i++) objects[i] = hslab_alloc(&slab);
    }
    assert_int_equal(hv__mem_live_blocks(), blocks);
    assert_int_equal(slab.live, 8);
    hslab_deinit(&slab);
}

static void test_slab_deinit_frees_everything(void **state) {
    (void)state;
    size_t before = hv__mem_live_blocks();
    hslab_t slab;
    hslab_init(&slab, 100, 4);
    for (int i = 0; i < 33; i++) assert_non_null(hslab_alloc(&slab));
    assert_true(hv__mem_live_blocks() > before);
    hslab_deinit(&slab);
    assert_int_equal(hv__mem_live_blocks(), before);
}

static void test_slab_out_of_memory_leaves_it_usable(void **state) {
    (void)state;
#ifdef HV_FAULT_INJECTION
    hslab_t slab;
    hslab_init(&slab, 64, 4);
    hv__mem_fail_nth(1);
    assert_null(hslab_alloc(&slab));
    assert_int_equal(slab.live, 0);
    void *object = hslab_alloc(&slab);
    assert_non_null(object);
    hslab_free(&slab, object);
    hslab_deinit(&slab);
#else
    skip();
#endif
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slab_objects_are_distinct_and_aligned),
        cmocka_unit_test(test_slab_reuses_what_was_given_back),
        cmocka_unit_test(test_slab_deinit_frees_everything),
        cmocka_unit_test(test_slab_out_of_memory_leaves_it_usable),
    };
    return cmocka_run_group_tests_name("hslab", tests, NULL, NULL);
}
