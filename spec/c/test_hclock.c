/* Tests of runtime/base/hclock.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include "hclock.h"

static void test_clock_real_never_goes_back(void **state) {
    (void)state;
    uint64_t last = hclock_mono_us();
    for (int i = 0; i < 10000; i++) {
        uint64_t now = hclock_mono_us();
        assert_true(now >= last);
        last = now;
    }
}

static void test_clock_real_wall_agrees_with_time(void **state) {
    (void)state;
    time_t before = time(NULL);
    uint64_t wall = hclock_wall_us() / 1000000u;
    time_t after = time(NULL);
    /* time() may lag behind by a tick. */
    assert_true(wall >= (uint64_t)before && wall <= (uint64_t)after + 1);
}

static void test_clock_fake_moves_only_by_hand(void **state) {
    (void)state;
    assert_false(hclock_is_fake());
    hclock_set_fake(5000000);
    assert_true(hclock_is_fake());
    assert_int_equal(hclock_mono_us(), 5000000);
    assert_int_equal(hclock_wall_us(), 5000000);
    hclock_advance(7);
    assert_int_equal(hclock_mono_us(), 5000007);
    hclock_set_fake_wall(42);
    hclock_advance(1);
    assert_int_equal(hclock_mono_us(), 5000008);
    assert_int_equal(hclock_wall_us(), 43);
    hclock_use_real();
    assert_false(hclock_is_fake());
    assert_true(hclock_wall_us() > 1600000000u * UINT64_C(1000000));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_clock_real_never_goes_back),
        cmocka_unit_test(test_clock_real_wall_agrees_with_time),
        cmocka_unit_test(test_clock_fake_moves_only_by_hand),
    };
    return cmocka_run_group_tests_name("hclock", tests, NULL, NULL);
}
