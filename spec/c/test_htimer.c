/* Tests of runtime/loop/htimer.c, on the scripted backend and the stopped clock. */
#include "loop_test.h"

#define MANY 50000

static hloop_t *loop;
static size_t blocks_before;
static int calls;
static uint64_t called_at_ms;

static int set_up(void **state) {
    (void)state;
    blocks_before = hv__mem_live_blocks();
    hclock_set_fake(5000000000);
    loop = hloop_new_with_backend(HLOOP_FLAG_QUIT_WHEN_NO_ACTIVE_EVENTS, "fake");
    calls = 0;
    called_at_ms = 0;
    return loop == NULL;
}

static int tear_down(void **state) {
    (void)state;
    hloop_free(&loop);
    hclock_use_real();
    return hv__mem_live_blocks() != blocks_before;
}

static uint64_t now_ms(void) { return hclock_mono_us() / 1000; }

static void count(htimer_t *timer) {
    (void)timer;
    calls++;
    called_at_ms = now_ms();
}

/* ---- Many ---- */

typedef struct expectation_s {
    uint64_t not_before_us;
    uint32_t number;
} expectation_t;

static uint64_t last_deadline_ms;
static uint32_t last_number;
static uint64_t run_began_us;

static void check_order(htimer_t *timer) {
    const expectation_t *expected = hevent_userdata(timer);
    assert_true(hclock_mono_us() >= expected->not_before_us);
    uint64_t due_us = expected->not_before_us;
    if (due_us < run_began_us) due_us = run_began_us;
    assert_true(hclock_mono_us() < due_us + 1000);
    uint64_t deadline_ms = (expected->not_before_us + 999) / 1000;
    assert_true(deadline_ms >= last_deadline_ms);
    if (deadline_ms == last_deadline_ms) assert_true(expected->number > last_number);
    last_deadline_ms = deadline_ms;
    last_number = expected->number;
    calls++;
}

static void test_timer_many_random_fire_in_order_and_on_time(void **state) {
    (void)state;
    expectation_t *expected = hv__calloc(MANY, sizeof *expected);
    assert_non_null(expected);
    uint32_t seed = 7;
    last_deadline_ms = last_number = 0;
    for (uint32_t i = 0; i < MANY; i++) {
        seed = seed * 1103515245u + 12345u;
        uint32_t timeout_ms = 1 + (seed >> 8) % 200000;
        if (i % 100 == 0) hclock_advance(seed % 900);
        expected[i].not_before_us = hclock_mono_us() + timeout_ms * 1000ull;
        expected[i].number = i;
        htimer_t *timer = htimer_add(loop, check_order, timeout_ms, 1);
        assert_non_null(timer);
        hevent_set_userdata(timer, &expected[i]);
    }
    assert_int_equal(hloop_ntimers(loop), MANY);
    run_began_us = hclock_mono_us();
    assert_int_equal(hloop_run(loop), 0);
    assert_int_equal(calls, MANY);
    assert_int_equal(hloop_ntimers(loop), 0);
    hv__free(expected);
}

static int order[16];

static void note_order(htimer_t *timer) {
    order[calls++] = (int)(intptr_t)hevent_userdata(timer);
}

static htimer_t *add_noted(uint32_t timeout_ms, int number) {
    htimer_t *timer = htimer_add(loop, note_order, timeout_ms, 1);
    hevent_set_userdata(timer, (intptr_t)number);
    return timer;
}

static void assert_order(const int *expected, int len) {
    assert_int_equal(calls, len);
    for (int i = 0; i < len; i++) assert_int_equal(order[i], expected[i]);
}

static void test_timer_ties_are_called_in_order_of_creation(void **state) {
    (void)state;
    /* The same deadline, seen from far and from near: levels 2, 1 and 0 of the wheel. */
    add_noted(10000, 1);
    hclock_advance(9000000);
    add_noted(1000, 2);
    hclock_advance(980000);
    add_noted(20, 3);
    add_noted(20, 4);
    assert_int_equal(hloop_run(loop), 0);
    assert_order((const int[]){1, 2, 3, 4}, 4);
}

static void test_timer_with_higher_priority_is_called_first(void **state) {
    (void)state;
    add_noted(10, 1);
    hevent_set_priority(add_noted(10, 2), HEVENT_HIGH_PRIORITY);
    hevent_set_priority(add_noted(10, 3), HEVENT_LOWEST_PRIORITY);
    hevent_set_priority(add_noted(10, 4), 100); /* beyond the highest */
    assert_int_equal(hloop_run(loop), 0);
    assert_order((const int[]){4, 2, 1, 3}, 4);
}

/* ---- Zero ---- */

static void add_zero_again(htimer_t *timer) {
    calls++;
    if (calls < 3) htimer_add(hevent_loop(timer), add_zero_again, 0, 1);
}

static void test_timer_of_zero_waits_for_the_next_pass(void **state) {
    (void)state;
    uint64_t before = now_ms();
    htimer_add(loop, add_zero_again, 0, 1);
    assert_int_equal(calls, 0);
    for (int pass = 1; pass <= 3; pass++) {
        assert_int_equal(hloop_next_timeout(loop), 0);
        hloop_process_events(loop, 1000);
        assert_int_equal(calls, pass);
    }
    hloop_process_events(loop, 0);
    assert_int_equal(calls, 3);
    assert_int_equal(now_ms(), before);
}

static void test_timer_of_zero_can_repeat_and_be_deleted(void **state) {
    (void)state;
    htimer_t *first = htimer_add(loop, count, 0, INFINITE);
    htimer_t *second = htimer_add(loop, count, 0, 3);
    htimer_del(htimer_add(loop, count, 0, 1));
    (void)second;
    RUN_PASSES(loop, 5);
    assert_int_equal(calls, 5 + 3);
    htimer_del(first);
    RUN_PASSES(loop, 2);
    assert_int_equal(calls, 8);
    assert_int_equal(hloop_ntimers(loop), 0);
}

/* ---- Repeating ---- */

static void test_timer_repeats_as_often_as_asked_and_keeps_its_rhythm(void **state) {
    (void)state;
    uint64_t start = now_ms();
    htimer_add(loop, count, 30, 4);
    assert_int_equal(hloop_run(loop), 0);
    assert_int_equal(calls, 4);
    assert_int_equal(called_at_ms, start + 4 * 30);
}

static void test_timer_repeat_of_zero_counts_as_one(void **state) {
    (void)state;
    htimer_add(loop, count, 5, 0);
    assert_int_equal(hloop_run(loop), 0);
    assert_int_equal(calls, 1);
}

static void be_busy_once(htimer_t *timer) {
    (void)timer;
    if (++calls == 1) hclock_advance(95000);
    called_at_ms = now_ms();
}

static void test_timer_missed_beats_are_dropped(void **state) {
    (void)state;
    uint64_t start = now_ms();
    htimer_add(loop, be_busy_once, 10, 3);
    assert_int_equal(hloop_run(loop), 0);
    /* Beats at 10 (until 105), then 110 and 120: those of 20 to 100 are lost, the rhythm is not. */
    assert_int_equal(calls, 3);
    assert_int_equal(called_at_ms, start + 120);
}

static void test_timer_infinite_goes_on_until_deleted(void **state) {
    (void)state;
    htimer_t *timer = htimer_add(loop, count, 1, INFINITE);
    for (int i = 0; i < 1000; i++) hloop_process_events(loop, 1000);
    assert_int_equal(calls, 1000);
    htimer_del(timer);
    assert_int_equal(hloop_run(loop), 0);
    assert_int_equal(calls, 1000);
}

static void test_timer_far_deadline_is_neither_early_nor_lost(void **state) {
    (void)state;
    uint64_t start = now_ms();
    htimer_add(loop, count, UINT32_MAX - 1, 1);
    assert_int_equal(hloop_run(loop), 0);
    assert_int_equal(calls, 1);
    assert_int_equal(called_at_ms, start + UINT32_MAX - 1);
}

/* ---- Inside callbacks ---- */

static htimer_t *other;

static void delete_self(htimer_t *timer) {
    calls++;
    htimer_del(timer);
    htimer_del(timer); /* again is nothing */
    htimer_reset(timer, 5);
}

static void test_timer_deleted_in_its_callback_is_not_called_again(void **state) {
    (void)state;
    htimer_add(loop, delete_self, 5, INFINITE);
    assert_int_equal(hloop_run(loop), 0);
    assert_int_equal(calls, 1);
    assert_int_equal(hloop_ntimers(loop), 0);
}

static void delete_other(htimer_t *timer) {
    (void)timer;
    calls++;
    htimer_del(other);
}

static void test_timer_deleted_by_one_due_with_it_is_not_called(void **state) {
    (void)state;
    htimer_add(loop, delete_other, 5, 1);
    other = htimer_add(loop, count, 5, INFINITE);
    assert_int_equal(hloop_run(loop), 0);
    assert_int_equal(calls, 1);
}

static void reset_other(htimer_t *timer) {
    (void)timer;
    calls++;
    htimer_reset(other, 50);
}

static void test_timer_reset_by_one_due_with_it_waits_anew(void **state) {
    (void)state;
    uint64_t start = now_ms();
    htimer_add(loop, reset_other, 5, 1);
    other = htimer_add(loop, count, 5, 1);
    assert_int_equal(hloop_run(loop), 0);
    assert_int_equal(calls, 2);
    assert_int_equal(called_at_ms, start + 5 + 50);
}

static void revive_twice(htimer_t *timer) {
    called_at_ms = now_ms();
    if (++calls < 3) htimer_reset(timer, 7);
}

static void test_timer_one_shot_is_revived_by_reset_in_its_callback(void **state) {
    (void)state;
    uint64_t start = now_ms();
    htimer_add(loop, revive_twice, 5, 1);
    assert_int_equal(hloop_run(loop), 0);
    assert_int_equal(calls, 3);
    assert_int_equal(called_at_ms, start + 5 + 7 + 7);
}

static void reset_first_time(htimer_t *timer) {
    if (++calls == 1) htimer_reset(timer, 100);
    called_at_ms = now_ms();
}

static void test_timer_reset_in_its_callback_still_counts_the_call(void **state) {
    (void)state;
    uint64_t start = now_ms();
    htimer_add(loop, reset_first_time, 10, 3);
    assert_int_equal(hloop_run(loop), 0);
    assert_int_equal(calls, 3);
    assert_int_equal(called_at_ms, start + 10 + 100 + 100);
}

static void test_timer_reset_before_it_is_due_waits_anew(void **state) {
    (void)state;
    uint64_t start = now_ms();
    htimer_t *timer = htimer_add(loop, count, 10, 1);
    hclock_advance(9000);
    htimer_reset(timer, 0); /* keeps the old wait */
    assert_int_equal(hloop_run(loop), 0);
    assert_int_equal(called_at_ms, start + 19);
}

static void add_short(htimer_t *timer) {
    calls++;
    if (calls < 100) htimer_add(hevent_loop(timer), add_short, 1, 1);
}

static void test_timer_added_in_callback_waits_for_next_pass(void **state) {
    (void)state;
    htimer_add(loop, add_short, 1, 1);
    hclock_advance(50000);
    hloop_process_events(loop, 0);
    assert_int_equal(calls, 1);
}

static void test_timer_keeps_loop_running_unless_unreferenced(void **state) {
    (void)state;
    htimer_t *timer = htimer_add(loop, count, 10, INFINITE);
    assert_int_equal(hloop_nactives(loop), 1);
    hevent_unref(timer);
    hevent_unref(timer);
    assert_int_equal(hloop_nactives(loop), 0);
    assert_int_equal(hloop_run(loop), 0);
    assert_int_equal(calls, 0);
    hevent_ref(timer);
    assert_int_equal(hloop_nactives(loop), 1);
    htimer_del(timer);
    assert_int_equal(hloop_nactives(loop), 0);
}

static void test_timer_sub_millisecond_start_is_rounded_up(void **state) {
    (void)state;
    hclock_advance(999);
    uint64_t start_us = hclock_mono_us();
    htimer_add(loop, count, 1, 1);
    assert_int_equal(hloop_run(loop), 0);
    assert_true(hclock_mono_us() >= start_us + 1000);
    assert_true(hclock_mono_us() < start_us + 2000);
}

/* ---- Calendar ---- */

static void test_timer_period_is_called_at_the_full_minute(void **state) {
    (void)state;
    setenv("TZ", "UTC", 1);
    tzset();
    hclock_set_fake(UINT64_C(1600000030) * 1000000); /* 12:27:10: then 12:30 and 13:30 */
    hloop_update_time(loop);
    assert_non_null(htimer_add_period(loop, count, 30, -1, -1, -1, -1, 2));
    assert_int_equal(hloop_run(loop), 0);
    assert_int_equal(calls, 2);
    assert_int_equal(hclock_wall_us() / 1000000, 1600003800);
}

static void test_timer_period_follows_a_clock_that_is_set(void **state) {
    (void)state;
    setenv("TZ", "UTC", 1);
    tzset();
    hclock_set_fake(UINT64_C(1600000030) * 1000000);
    hloop_update_time(loop);
    htimer_t *timer = htimer_add_period(loop, count, 0, 0, -1, -1, -1, INFINITE);
    assert_non_null(timer);
    for (int i = 0; i < 5; i++) hloop_process_events(loop, (int)INFINITE);
    assert_int_equal(calls, 0);
    hclock_set_fake_wall(UINT64_C(1600041600) * 1000000); /* the next midnight */
    uint64_t set_at_ms = now_ms();
    RUN_UNTIL(loop, calls == 1);
    assert_true(now_ms() <= set_at_ms + 60000);
    htimer_del(timer);
}

static void test_timer_period_out_of_range_is_refused(void **state) {
    (void)state;
    assert_null(htimer_add_period(loop, count, 60, -1, -1, -1, -1, 1));
    assert_int_equal(hloop_last_error(loop), HV_EINVAL);
    assert_null(htimer_add_period(loop, count, 0, 24, -1, -1, -1, 1));
    assert_null(htimer_add_period(loop, count, 0, 0, 0, -1, -1, 1));
    assert_null(htimer_add_period(loop, count, 0, 0, -1, 7, -1, 1));
    assert_null(htimer_add_period(loop, count, 0, 0, -1, -1, 13, 1));
    assert_int_equal(hloop_ntimers(loop), 0);
}

#define TIMER_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TIMER_TEST(test_timer_many_random_fire_in_order_and_on_time),
        TIMER_TEST(test_timer_ties_are_called_in_order_of_creation),
        TIMER_TEST(test_timer_with_higher_priority_is_called_first),
        TIMER_TEST(test_timer_of_zero_waits_for_the_next_pass),
        TIMER_TEST(test_timer_of_zero_can_repeat_and_be_deleted),
        TIMER_TEST(test_timer_repeats_as_often_as_asked_and_keeps_its_rhythm),
        TIMER_TEST(test_timer_repeat_of_zero_counts_as_one),
        TIMER_TEST(test_timer_missed_beats_are_dropped),
        TIMER_TEST(test_timer_infinite_goes_on_until_deleted),
        TIMER_TEST(test_timer_far_deadline_is_neither_early_nor_lost),
        TIMER_TEST(test_timer_deleted_in_its_callback_is_not_called_again),
        TIMER_TEST(test_timer_deleted_by_one_due_with_it_is_not_called),
        TIMER_TEST(test_timer_reset_by_one_due_with_it_waits_anew),
        TIMER_TEST(test_timer_one_shot_is_revived_by_reset_in_its_callback),
        TIMER_TEST(test_timer_reset_in_its_callback_still_counts_the_call),
        TIMER_TEST(test_timer_reset_before_it_is_due_waits_anew),
        TIMER_TEST(test_timer_added_in_callback_waits_for_next_pass),
        TIMER_TEST(test_timer_keeps_loop_running_unless_unreferenced),
        TIMER_TEST(test_timer_sub_millisecond_start_is_rounded_up),
        TIMER_TEST(test_timer_period_is_called_at_the_full_minute),
        TIMER_TEST(test_timer_period_follows_a_clock_that_is_set),
        TIMER_TEST(test_timer_period_out_of_range_is_refused),
    };
    return cmocka_run_group_tests_name("htimer", tests, NULL, NULL);
}
