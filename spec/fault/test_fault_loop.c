/* Every allocation of a loop's life fails in turn: nothing crashes, nothing leaks, and each failure
 * is told by somebody. */
#include "fault_test.h"
#include "loop_test.h"

static int failures_told;
static int calls;

static void on_timer(htimer_t *timer) {
    (void)timer;
    calls++;
}

static void on_idle(hidle_t *idle) {
    (void)idle;
    calls++;
}

static void on_posted(hevent_t *ev) {
    (void)ev;
    calls++;
}

static void on_signal(hsignal_t *sig) {
    (void)sig;
    calls++;
}

static void tell_if_null(const void *made, const hloop_t *loop) {
    if (made != NULL) return;
    assert_int_equal(hloop_last_error(loop), HV_ENOMEM);
    failures_told++;
}

static void live(void) {
    failures_told = 0;
    hloop_t *loop = hloop_new(0);
    if (loop == NULL) {
        assert_int_equal(errno, ENOMEM);
        failures_told++;
        return;
    }
    tell_if_null(htimer_add(loop, on_timer, 0, 2), loop);
    tell_if_null(htimer_add_period(loop, on_timer, -1, -1, -1, -1, -1, 1), loop);
    tell_if_null(hidle_add(loop, on_idle, 2), loop);
    tell_if_null(hsignal_add(loop, on_signal, SIGUSR1), loop);
    hevent_t ev = {.cb = on_posted};
    int code = hloop_post_event(loop, &ev);
    if (code != 0) {
        assert_int_equal(code, HV_ENOMEM);
        failures_told++;
    }
    RUN_PASSES(loop, 4);
    hloop_free(&loop);
}

static void judge(int has_failed) { assert_int_equal(failures_told, has_failed); }

static void test_fault_in_the_life_of_a_loop(void **state) {
    (void)state;
    assert_true(fail_each_allocation(live, judge) > 5); /* it did reach them */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fault_in_the_life_of_a_loop),
    };
    return cmocka_run_group_tests_name("fault_loop", tests, NULL, NULL);
}
