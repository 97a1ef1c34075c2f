/* Tests of runtime/loop/hnest.c: an inner loop runs as a part of the outer one. */
#include <pthread.h>

#include "loop_test.h"

static hloop_t *outer, *inner;
static size_t blocks_before;
static int call_count;

static int set_up(void **state) {
    (void)state;
    blocks_before = hv__mem_live_blocks();
    outer = hloop_new(HLOOP_FLAG_QUIT_WHEN_NO_ACTIVE_EVENTS);
    inner = hloop_new(0);
    call_count = 0;
    return outer == NULL || inner == NULL || hloop_nest(outer, inner) != 0;
}

static int tear_down(void **state) {
    (void)state;
    if (inner != NULL) hloop_free(&inner);
    if (outer != NULL) hloop_free(&outer);
    return hv__mem_live_blocks() != blocks_before;
}

static void on_event(hevent_t *ev) {
    assert_ptr_equal(ev->loop, inner);
    call_count++;
}
static void on_timer(htimer_t *timer) { on_event((hevent_t *)timer); }

static void test_run_inner_timer_due_calls_it_and_ends(void **state) {
    (void)state;
    assert_non_null(htimer_add(inner, on_timer, 3, 2));
    assert_int_equal(hloop_run(outer), 0);
    assert_int_equal(call_count, 2);
}

static void test_run_inner_posted_event_is_called(void **state) {
    (void)state;
    hevent_t ev = {.cb = on_event};
    assert_int_equal(hloop_post_event(inner, &ev), 0);
    assert_int_equal(hloop_run(outer), 0);
    assert_int_equal(call_count, 1);
}

static void add_inner_timer(htimer_t *timer) {
    (void)timer;
    htimer_add(inner, on_timer, 1, 1);
}

static void test_run_callback_of_outer_arms_inner_timer_is_not_overslept(void **state) {
    (void)state;
    htimer_t *last = htimer_add(outer, on_timer, 3600 * 1000, 1);
    hevent_unref(last);
    htimer_add(outer, add_inner_timer, 1, 1);
    assert_int_equal(hloop_run(outer), 0);
    assert_int_equal(call_count, 1);
}

static void *post_from_thread(void *arg) {
    (void)arg;
    hevent_t ev = {.cb = on_event};
    assert_int_equal(hloop_post_event(inner, &ev), 0);
    return NULL;
}

static void test_post_from_other_thread_wakes_outer(void **state) {
    (void)state;
    pthread_t thread;
    RUN_PASSES(outer, 2); /* from here on it would sleep for ever */
    assert_int_equal(pthread_create(&thread, NULL, post_from_thread, NULL), 0);
    RUN_UNTIL(outer, call_count == 1);
    pthread_join(thread, NULL);
}

static void on_echo(hio_t *io, void *buf, int len) {
    (void)buf;
    call_count += len;
    if (call_count == 4) hio_close(io); /* they may come one by one */
}

static void test_io_of_inner_is_read(void **state) {
    (void)state;
    hio_t *ends[2];
    assert_int_equal(hio_create_pipe(inner, ends), 0);
    hio_setcb_read(ends[0], on_echo);
    hio_read(ends[0]);
    hio_write(ends[1], "four", 4);
    RUN_UNTIL(outer, call_count == 4);
    hio_close(ends[1]);
    assert_int_equal(hloop_run(outer), 0);
}

static void stop_inner(htimer_t *timer) {
    hloop_stop(hevent_loop(timer));
}

static void test_stop_inner_takes_it_out(void **state) {
    (void)state;
    htimer_add(inner, stop_inner, 1, 1);
    htimer_add(inner, on_timer, 3600 * 1000, 1);
    assert_int_equal(hloop_run(outer), 0);
    assert_int_equal(hloop_nactives(inner), 1);
    assert_int_equal(hloop_nest(outer, inner), 0);
}

static void unnest_inner(htimer_t *timer) {
    (void)timer;
    call_count++;
    hloop_unnest(inner);
}

static void test_unnest_in_callbacks_of_both(void **state) {
    (void)state;
    htimer_add(inner, unnest_inner, 1, 1);
    assert_int_equal(hloop_run(outer), 0);
    assert_int_equal(hloop_nest(outer, inner), 0);
    htimer_add(inner, on_timer, 3600 * 1000, 1);
    htimer_add(outer, unnest_inner, 1, 1);
    assert_int_equal(hloop_run(outer), 0);
    assert_int_equal(call_count, 2);
}

static void test_nest_refuses_what_cannot_be(void **state) {
    (void)state;
    assert_int_equal(hloop_nest(outer, inner), HV_EINVAL);
    assert_int_equal(hloop_nest(inner, outer), HV_EINVAL);
    assert_int_equal(hloop_nest(outer, outer), HV_EINVAL);
}

static void test_free_either_first_leaves_the_other_whole(void **state) {
    (void)state;
    htimer_add(inner, on_timer, 1, 1);
    hloop_free(&outer);
    RUN_UNTIL(inner, call_count == 1);
    outer = hloop_new(HLOOP_FLAG_QUIT_WHEN_NO_ACTIVE_EVENTS);
    assert_int_equal(hloop_nest(outer, inner), 0);
    hloop_free(&inner);
    assert_int_equal(hloop_run(outer), 0);
}

static void test_foreign_loop_is_told_of_inner_deadline(void **state) {
    (void)state;
    RUN_PASSES(outer, 2);
    assert_int_equal(hloop_next_timeout(outer), -1);
    htimer_add(inner, on_timer, 50, 1);
    /* Deadlines lie on whole milliseconds, never early: one more than asked for is right. */
    assert_in_range(hloop_next_timeout(outer), 0, 51);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_run_inner_timer_due_calls_it_and_ends, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_run_inner_posted_event_is_called, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            test_run_callback_of_outer_arms_inner_timer_is_not_overslept, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_post_from_other_thread_wakes_outer, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_io_of_inner_is_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_stop_inner_takes_it_out, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_unnest_in_callbacks_of_both, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_nest_refuses_what_cannot_be, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_free_either_first_leaves_the_other_whole, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_foreign_loop_is_told_of_inner_deadline, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
