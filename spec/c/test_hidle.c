/* Tests of runtime/loop/hidle.c. */
#include "loop_test.h"

static hloop_t *loop;
static size_t blocks_before;
static int calls;
static hidle_t *victim;

static int set_up(void **state) {
    (void)state;
    blocks_before = hv__mem_live_blocks();
    loop = hloop_new(HLOOP_FLAG_QUIT_WHEN_NO_ACTIVE_EVENTS);
    calls = 0;
    return loop == NULL;
}

static int tear_down(void **state) {
    (void)state;
    hloop_free(&loop);
    return hv__mem_live_blocks() != blocks_before;
}

static void count(hidle_t *idle) {
    (void)idle;
    calls++;
}

static void test_idle_is_called_as_often_as_asked_then_freed(void **state) {
    (void)state;
    hidle_add(loop, count, 3);
    hidle_add(loop, count, 0); /* counts as one */
    assert_int_equal(hloop_run(loop), 0);
    assert_int_equal(calls, 4);
    assert_int_equal(hloop_nidles(loop), 0);
}

static void on_timer(htimer_t *timer) { (void)timer; }

static void test_idle_is_not_called_when_something_was_due(void **state) {
    (void)state;
    hidle_t *idle = hidle_add(loop, count, INFINITE);
    htimer_t *timer = htimer_add(loop, on_timer, 0, INFINITE);
    RUN_PASSES(loop, 10);
    assert_int_equal(calls, 0);
    htimer_del(timer);
    RUN_PASSES(loop, 10);
    assert_int_equal(calls, 10);
    hidle_del(idle);
}

static void delete_self(hidle_t *idle) {
    calls++;
    hidle_del(idle);
    hidle_del(idle);
}

static void delete_victim(hidle_t *idle) {
    (void)idle;
    calls++;
    hidle_del(victim);
    victim = NULL;
}

static void test_idle_deleted_in_callbacks_is_not_called(void **state) {
    (void)state;
    hidle_add(loop, delete_self, INFINITE);
    hidle_t *killer = hidle_add(loop, delete_victim, 1);
    victim = hidle_add(loop, count, INFINITE);
    (void)killer;
    hidle_add(loop, count, 1);
    assert_int_equal(hloop_run(loop), 0);
    assert_int_equal(calls, 3);
}

static void add_another(hidle_t *idle) {
    calls++;
    if (calls < 1000) hidle_add(hevent_loop(idle), add_another, 1);
}

static void replace_the_last(hidle_t *idle) {
    hidle_del(victim);
    victim = NULL;
    add_another(idle);
}

static void test_idle_added_in_callback_waits_even_if_the_last_is_gone(void **state) {
    (void)state;
    hidle_add(loop, replace_the_last, 1);
    hidle_add(loop, count, 1);
    victim = hidle_add(loop, count, INFINITE);
    RUN_PASSES(loop, 1);
    assert_int_equal(calls, 2);
    RUN_PASSES(loop, 1);
    assert_int_equal(calls, 3);
}

#define IDLE_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        IDLE_TEST(test_idle_is_called_as_often_as_asked_then_freed),
        IDLE_TEST(test_idle_is_not_called_when_something_was_due),
        IDLE_TEST(test_idle_deleted_in_callbacks_is_not_called),
        IDLE_TEST(test_idle_added_in_callback_waits_even_if_the_last_is_gone),
    };
    return cmocka_run_group_tests_name("hidle", tests, NULL, NULL);
}
