/* Tests of runtime/loop/hwheel.c: order, exactness and ties of the bare wheel. */
#include "loop_test.h"

#define MANY 20000

static uint32_t seed = 12345;

static uint32_t next_random(void) {
    seed = seed * 1664525u + 1013904223u;
    return seed >> 4;
}

static void test_wheel_random_deadlines_come_in_order_and_never_early(void **state) {
    (void)state;
    hwheel_t *wheel = hv__malloc(sizeof *wheel);
    htimer_t *timers = hv__calloc(MANY, sizeof *timers);
    assert_true(wheel != NULL && timers != NULL);
    uint64_t now = 1000003;
    hwheel_init(wheel, now);
    for (size_t i = 0; i < MANY; i++) {
        timers[i].deadline_ms = now + next_random() % (1u << (next_random() % 28));
        timers[i].node.ev.event_id = (uint32_t)i;
        hwheel_add(wheel, &timers[i]);
    }
    assert_int_equal(wheel->count, MANY);
    size_t fired = 0;
    uint64_t last_deadline = 0;
    uint32_t last_id = 0;
    while (wheel->count > 0) {
        uint64_t next = hwheel_next_ms(wheel);
        assert_true(next >= now);
        /* Sometimes too early, sometimes exact, sometimes late. */
        now = next + next_random() % 3 * (next_random() % 5000);
        hv__node_t *node = (hv__node_t *)hwheel_take_due(wheel, now);
        for (; node != NULL; node = node->next) {
            htimer_t *timer = (htimer_t *)node;
            assert_true(timer->deadline_ms <= now);
            assert_true(timer->deadline_ms >= last_deadline);
            if (timer->deadline_ms == last_deadline) {
                assert_true(node->ev.event_id > last_id);
            }
            last_deadline = timer->deadline_ms;
            last_id = node->ev.event_id;
            fired++;
        }
        /* What is left lies ahead. */
        if (wheel->count > 0) assert_true(hwheel_next_ms(wheel) > now);
    }
    assert_int_equal(fired, MANY);
    hv__free(timers);
    hv__free(wheel);
}

static void test_wheel_ties_keep_their_order_across_levels(void **state) {
    (void)state;
    hwheel_t *wheel = hv__malloc(sizeof *wheel);
    assert_non_null(wheel);
    hwheel_init(wheel, 0);
    enum { TIES = 6 };
    htimer_t timers[TIES];
    memset(timers, 0, sizeof timers);
    const uint64_t deadline = 64 * 64 * 64 + 64 * 5 + 7;
    /* Each is added when the deadline is nearer, so on a lower level. */
    const uint64_t times[TIES] = {0, 64 * 64, 64 * 64 * 64, deadline - 70, deadline - 3, deadline};
    for (int i = 0; i < TIES; i++) {
        if (i == TIES - 1) {
            assert_null(hwheel_take_due(wheel, deadline - 1));
        } else {
            assert_null(hwheel_take_due(wheel, times[i]));
        }
        timers[i].deadline_ms = deadline;
        hwheel_add(wheel, &timers[i]);
    }
    hv__node_t *node = (hv__node_t *)hwheel_take_due(wheel, deadline);
    for (int i = 0; i < TIES; i++, node = node->next) assert_ptr_equal(node, &timers[i]);
    assert_null(node);
    assert_int_equal(hwheel_next_ms(wheel), UINT64_MAX);
    hv__free(wheel);
}

static void test_wheel_remove_at_any_time_leaves_the_others(void **state) {
    (void)state;
    hwheel_t *wheel = hv__malloc(sizeof *wheel);
    htimer_t *timers = hv__calloc(MANY, sizeof *timers);
    assert_true(wheel != NULL && timers != NULL);
    uint64_t now = 77;
    hwheel_init(wheel, now);
    for (size_t i = 0; i < MANY; i++) {
        timers[i].deadline_ms = now + 1 + next_random() % 300000;
        hwheel_add(wheel, &timers[i]);
    }
    size_t gone = 0;
    /* Half of the time later, some have moved down; take out every third that is still in. */
    for (hv__node_t *node = (hv__node_t *)hwheel_take_due(wheel, now + 150000); node != NULL;
         node = node->next) {
        ((htimer_t *)node)->node.ev.flags = 1;
        gone++;
    }
    for (size_t i = 0; i < MANY; i += 3) {
        if (timers[i].node.ev.flags) continue;
        hwheel_remove(wheel, &timers[i]);
        timers[i].node.ev.flags = 2;
        gone++;
    }
    assert_int_equal(wheel->count, MANY - gone);
    for (hv__node_t *node = (hv__node_t *)hwheel_take_due(wheel, now + 300001); node != NULL;
         node = node->next) {
        assert_int_equal(node->ev.flags, 0);
        gone++;
    }
    assert_int_equal(gone, MANY);
    for (int level = 0; level < HWHEEL_LEVELS; level++) assert_int_equal(wheel->occupied[level], 0);
    hv__free(timers);
    hv__free(wheel);
}

static void test_wheel_far_deadline_is_exact(void **state) {
    (void)state;
    hwheel_t *wheel = hv__malloc(sizeof *wheel);
    assert_non_null(wheel);
    uint64_t now = 123456789;
    hwheel_init(wheel, now);
    htimer_t timer;
    memset(&timer, 0, sizeof timer);
    const uint64_t deadline = now + UINT32_MAX; /* 49 days */
    timer.deadline_ms = deadline;
    hwheel_add(wheel, &timer);
    int steps = 0;
    while (now < deadline - 1) {
        now = hwheel_next_ms(wheel);
        if (now >= deadline) now = deadline - 1;
        assert_null(hwheel_take_due(wheel, now));
        assert_true(++steps <= HWHEEL_LEVELS);
    }
    assert_ptr_equal(hwheel_take_due(wheel, deadline), &timer);
    hv__free(wheel);
}

static void test_wheel_past_deadline_is_due_at_once(void **state) {
    (void)state;
    hwheel_t *wheel = hv__malloc(sizeof *wheel);
    assert_non_null(wheel);
    hwheel_init(wheel, 500);
    htimer_t timer;
    memset(&timer, 0, sizeof timer);
    timer.deadline_ms = 3;
    hwheel_add(wheel, &timer);
    assert_int_equal(hwheel_next_ms(wheel), 500);
    assert_ptr_equal(hwheel_take_due(wheel, 500), &timer);
    hv__free(wheel);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wheel_random_deadlines_come_in_order_and_never_early),
        cmocka_unit_test(test_wheel_ties_keep_their_order_across_levels),
        cmocka_unit_test(test_wheel_remove_at_any_time_leaves_the_others),
        cmocka_unit_test(test_wheel_far_deadline_is_exact),
        cmocka_unit_test(test_wheel_past_deadline_is_due_at_once),
    };
    return cmocka_run_group_tests_name("hwheel", tests, NULL, NULL);
}
