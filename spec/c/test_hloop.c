/* Tests of runtime/loop/hloop.c: the pass, its order, its ends, foreign loops, other threads. */
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>

#include "loop_test.h"

static hloop_t *loop;
static size_t blocks_before;
static char trace[64];

static int set_up(void **state) {
    (void)state;
    blocks_before = hv__mem_live_blocks();
    loop = hloop_new(0);
    trace[0] = '\0';
    return loop == NULL;
}

static int tear_down(void **state) {
    (void)state;
    hloop_free(&loop);
    return hv__mem_live_blocks() != blocks_before;
}

static void note(const char *what) { strncat(trace, what, sizeof trace - strlen(trace) - 1); }

static void on_timer(htimer_t *timer) {
    (void)timer;
    note("t");
}

static void on_posted(hevent_t *ev) {
    (void)ev;
    note("p");
}

static void on_idle(hidle_t *idle) {
    (void)idle;
    note("i");
}

static void on_read(hio_t *io, void *buf, int len) {
    (void)io;
    (void)buf;
    (void)len;
    note("r");
}

static void on_close(hio_t *io) {
    (void)io;
    note("c");
}

static void on_work(hv__defer_t *work) {
    (void)work;
    note("d");
}

static void on_pass(hloop_t *which) {
    assert_ptr_equal(which, loop);
    note("e");
}

static void test_loop_tells_of_passes_that_called(void **state) {
    (void)state;
    trace[0] = '\0';
    hloop_setcb_pass(loop, on_pass);
    RUN_PASSES(loop, 1);
    assert_string_equal(trace, ""); /* nothing was called */
    htimer_add(loop, on_timer, 0, 1);
    RUN_PASSES(loop, 2);
    assert_string_equal(trace, "te");
    hloop_setcb_pass(loop, NULL);
    htimer_add(loop, on_timer, 0, 1);
    RUN_PASSES(loop, 1);
    assert_string_equal(trace, "tet");
}

static void test_loop_pass_calls_timers_ios_posted_deferred_then_closed(void **state) {
    (void)state;
    hio_t *ends[2];
    assert_int_equal(hio_create_pipe(loop, ends), 0);
    hio_setcb_read(ends[1], on_read);
    hio_setcb_close(ends[0], on_close);
    hio_read(ends[1]);
    hio_write(ends[0], "x", 1);
    RUN_PASSES(loop, 1); /* flushes */
    trace[0] = '\0';
    hv__defer_t work = {0};
    hv__defer(loop, &work, on_work);
    hio_close(ends[0]);
    hevent_t ev = {.cb = on_posted};
    hloop_post_event(loop, &ev);
    htimer_add(loop, on_timer, 0, 1);
    hidle_t *idle = hidle_add(loop, on_idle, INFINITE);
    assert_string_equal(trace, "");
    hloop_setcb_pass(loop, on_pass);
    RUN_PASSES(loop, 1);
    assert_string_equal(trace, "trpdce");
    hloop_setcb_pass(loop, NULL);
    RUN_PASSES(loop, 3); /* the end of the stream is handled before it is idle */
    assert_non_null(strchr(trace, 'i'));
    hidle_del(idle);
}

static void test_loop_priorities_order_what_is_due(void **state) {
    (void)state;
    hevent_t ev = {.cb = on_posted, .priority = HEVENT_LOW_PRIORITY};
    hloop_post_event(loop, &ev);
    htimer_t *timer = htimer_add(loop, on_timer, 0, 1);
    hevent_set_priority(timer, HEVENT_LOWEST_PRIORITY);
    RUN_PASSES(loop, 1);
    assert_string_equal(trace, "pt");
}

static void test_loop_run_once_does_one_pass(void **state) {
    (void)state;
    hloop_t *once = hloop_new(HLOOP_FLAG_RUN_ONCE);
    htimer_add(once, on_timer, 0, INFINITE);
    assert_int_equal(hloop_run(once), 0);
    assert_string_equal(trace, "t");
    assert_int_equal(hloop_run(once), 0);
    assert_string_equal(trace, "tt");
    assert_int_equal(hloop_count(once), 2);
    hloop_free(&once);
}

static void test_loop_quits_when_nothing_is_active(void **state) {
    (void)state;
    hloop_t *quitting = hloop_new(HLOOP_FLAG_QUIT_WHEN_NO_ACTIVE_EVENTS);
    assert_int_equal(hloop_run(quitting), 0);
    hevent_t ev = {.cb = on_posted};
    hloop_post_event(quitting, &ev);
    hio_t *ends[2];
    assert_int_equal(hio_create_pipe(quitting, ends), 0);
    hio_setcb_close(ends[0], on_close);
    hio_close(ends[0]);
    hevent_unref(ends[1]);
    assert_int_equal(hloop_run(quitting), 0);
    assert_string_equal(trace, "pc");
    assert_int_equal(hloop_nios(quitting), 1);
    hloop_free(&quitting);
}

static void test_loop_frees_itself_where_asked(void **state) {
    (void)state;
    hloop_t *own = hloop_new(HLOOP_FLAG_AUTO_FREE | HLOOP_FLAG_QUIT_WHEN_NO_ACTIVE_EVENTS);
    size_t blocks = hv__mem_live_blocks();
    assert_int_equal(hloop_run(own), 0);
    assert_true(hv__mem_live_blocks() < blocks);
}

static void try_to_nest(htimer_t *timer) {
    assert_int_equal(hloop_run(hevent_loop(timer)), -1);
    assert_int_equal(hloop_process_events(hevent_loop(timer), 0), HV_EBUSY);
    note("n");
}

static void test_loop_does_not_nest(void **state) {
    (void)state;
    htimer_add(loop, try_to_nest, 0, 1);
    RUN_PASSES(loop, 1);
    assert_string_equal(trace, "n");
}

static void stop_in_callback(htimer_t *timer) {
    note("s");
    hloop_stop(hevent_loop(timer));
    assert_int_equal(hloop_status(hevent_loop(timer)), HLOOP_STATUS_STOP);
}

static void test_loop_stop_in_callback_ends_after_the_pass(void **state) {
    (void)state;
    htimer_add(loop, stop_in_callback, 0, 1);
    htimer_add(loop, on_timer, 0, INFINITE);
    assert_int_equal(hloop_run(loop), 0);
    assert_string_equal(trace, "st");
}

static void test_loop_stop_before_the_run_is_not_lost(void **state) {
    (void)state;
    hloop_stop(loop);
    assert_int_equal(hloop_run(loop), 0); /* would wait for ever */
    htimer_add(loop, stop_in_callback, 0, 1);
    assert_int_equal(hloop_run(loop), 0);
    assert_string_equal(trace, "s"); /* and it counts once */
}

/* ---- Other threads ---- */

static void *run_loop(void *arg) {
    return hloop_run(arg) == 0 ? arg : NULL;
}

static int is_running_event; /* eventfd */

static void tell_running(hevent_t *ev) {
    (void)ev;
    uint64_t one = 1;
    assert_int_equal(write(is_running_event, &one, sizeof one), sizeof one);
}

static void await_running(void) {
    uint64_t count;
    assert_int_equal(read(is_running_event, &count, sizeof count), sizeof count);
}

static void test_loop_stop_from_another_thread_ends_the_wait(void **state) {
    (void)state;
    is_running_event = eventfd(0, 0);
    hevent_t ev = {.cb = tell_running};
    hloop_post_event(loop, &ev);
    pthread_t thread;
    pthread_create(&thread, NULL, run_loop, loop);
    await_running();
    hloop_stop(loop);
    void *result;
    pthread_join(thread, &result);
    assert_ptr_equal(result, loop);
    close(is_running_event);
}

static void test_loop_stop_while_the_thread_starts_is_not_lost(void **state) {
    (void)state;
    for (int i = 0; i < 200; i++) {
        pthread_t thread;
        pthread_create(&thread, NULL, run_loop, loop);
        hloop_stop(loop);
        void *result;
        pthread_join(thread, &result);
        assert_ptr_equal(result, loop);
    }
}

static atomic_int posted_calls;

static void count_and_tell(hevent_t *ev) {
    atomic_fetch_add(&posted_calls, 1);
    tell_running(ev);
}

static void pause_and_tell(hevent_t *ev) {
    hloop_pause(ev->loop);
    tell_running(ev);
}

static void test_loop_paused_calls_nothing_until_resumed(void **state) {
    (void)state;
    atomic_store(&posted_calls, 0);
    is_running_event = eventfd(0, 0);
    hevent_t pause = {.cb = pause_and_tell};
    hloop_post_event(loop, &pause);
    pthread_t thread;
    pthread_create(&thread, NULL, run_loop, loop);
    await_running();
    assert_int_equal(hloop_status(loop), HLOOP_STATUS_PAUSE);
    /* These wake it, but it stays paused. */
    hevent_t ev = {.cb = count_and_tell};
    for (int i = 0; i < 100; i++) assert_int_equal(hloop_post_event(loop, &ev), 0);
    hloop_wakeup(loop);
    assert_int_equal(atomic_load(&posted_calls), 0);
    hloop_resume(loop);
    await_running();
    assert_true(atomic_load(&posted_calls) > 0);
    hloop_stop(loop);
    void *result;
    pthread_join(thread, &result);
    assert_ptr_equal(result, loop);
    close(is_running_event);
}

static void test_loop_stop_ends_a_pause(void **state) {
    (void)state;
    is_running_event = eventfd(0, 0);
    hevent_t pause = {.cb = pause_and_tell};
    hloop_post_event(loop, &pause);
    pthread_t thread;
    pthread_create(&thread, NULL, run_loop, loop);
    await_running();
    hloop_stop(loop);
    void *result;
    pthread_join(thread, &result);
    assert_ptr_equal(result, loop);
    close(is_running_event);
}

static void test_loop_wakeup_ends_one_wait(void **state) {
    (void)state;
    hloop_wakeup(loop);
    hloop_wakeup(loop);
    assert_true(hloop_process_events(loop, (int)INFINITE) >= 0);
    assert_int_equal(hloop_count(loop), 1);
}

/* ---- Foreign loops ---- */

static void test_loop_is_driven_by_a_foreign_poll(void **state) {
    (void)state;
    hio_t *ends[2];
    assert_int_equal(hio_create_pipe(loop, ends), 0);
    hio_setcb_read(ends[1], on_read);
    hio_read(ends[1]);
    hio_write(ends[0], "x", 1);
    assert_int_equal(hloop_next_timeout(loop), 0); /* the write waits to be flushed */
    htimer_add(loop, on_timer, 1, 1);
    for (int i = 0; i < 1000 && strlen(trace) < 2; i++) {
        struct pollfd fd = {.fd = hloop_backend_fd(loop), .events = POLLIN};
        int timeout_ms = hloop_next_timeout(loop);
        assert_true(timeout_ms >= 0);
        assert_true(timeout_ms <= 2);
        assert_true(poll(&fd, 1, timeout_ms) >= 0);
        assert_true(hloop_process_events(loop, 0) >= 0);
    }
    assert_int_equal(strlen(trace), 2);
    assert_int_equal(hloop_next_timeout(loop), -1);
    hevent_t ev = {.cb = on_posted};
    hloop_post_event(loop, &ev);
    assert_int_equal(hloop_next_timeout(loop), 0);
}

/* ---- Time ---- */

static void look_at_time(htimer_t *timer) {
    hloop_t *of = hevent_loop(timer);
    uint64_t before_us = hloop_now_us(of), mono_us = hloop_now_hrtime(of);
    hclock_advance(5000000);
    assert_int_equal(hloop_now_us(of), before_us);
    assert_int_equal(hloop_now_hrtime(of), mono_us);
    hloop_update_time(of);
    assert_int_equal(hloop_now_us(of), before_us + 5000000);
    assert_int_equal(hloop_now_ms(of), (before_us + 5000000) / 1000);
    assert_int_equal(hloop_now(of), (before_us + 5000000) / 1000000);
    assert_int_equal(hloop_now_hrtime(of), mono_us + 5000000);
    note("l");
}

static void test_loop_time_is_cached_in_a_pass(void **state) {
    (void)state;
    hclock_set_fake(7000000);
    hloop_t *fake = hloop_new_with_backend(0, "fake");
    htimer_add(fake, look_at_time, 0, 1);
    assert_true(hloop_process_events(fake, 0) >= 0);
    assert_string_equal(trace, "l");
    hloop_free(&fake);
    hclock_use_real();
}

static void test_loop_tells_its_facts(void **state) {
    (void)state;
    assert_string_equal(hloop_backend_name(loop), "epoll");
    assert_int_equal(hloop_pid(loop), getpid());
    assert_true(hloop_tid(loop) > 0);
    hloop_set_userdata(loop, trace);
    assert_ptr_equal(hloop_userdata(loop), trace);
    hio_t *ends[2];
    assert_int_equal(hio_create_pipe(loop, ends), 0);
    htimer_t *timer = htimer_add(loop, on_timer, 1000, 1);
    hidle_add(loop, on_idle, 1);
    assert_int_equal(hloop_nios(loop), 2);
    assert_int_equal(hloop_ntimers(loop), 1);
    assert_int_equal(hloop_nidles(loop), 1);
    assert_int_equal(hloop_nactives(loop), 4);
    assert_true(hevent_id(timer) != hevent_id(ends[0]));
    assert_null(hloop_new_with_backend(0, "no such backend"));
    assert_int_equal(errno, ENOSYS);
}

static void test_loop_backend_failure_ends_the_run(void **state) {
    (void)state;
    hclock_set_fake(1000000);
    hloop_t *fake = hloop_new_with_backend(0, "fake");
    assert_int_equal(hloop_run(fake), -1); /* a wait for ever */
    assert_int_equal(hloop_last_error(fake), HV_ECANCELED);
    hloop_free(&fake);
    hclock_use_real();
}

#define LOOP_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        LOOP_TEST(test_loop_pass_calls_timers_ios_posted_deferred_then_closed),
        LOOP_TEST(test_loop_tells_of_passes_that_called),
        LOOP_TEST(test_loop_priorities_order_what_is_due),
        LOOP_TEST(test_loop_run_once_does_one_pass),
        LOOP_TEST(test_loop_quits_when_nothing_is_active),
        LOOP_TEST(test_loop_frees_itself_where_asked),
        LOOP_TEST(test_loop_does_not_nest),
        LOOP_TEST(test_loop_stop_in_callback_ends_after_the_pass),
        LOOP_TEST(test_loop_stop_before_the_run_is_not_lost),
        LOOP_TEST(test_loop_stop_from_another_thread_ends_the_wait),
        LOOP_TEST(test_loop_stop_while_the_thread_starts_is_not_lost),
        LOOP_TEST(test_loop_paused_calls_nothing_until_resumed),
        LOOP_TEST(test_loop_stop_ends_a_pause),
        LOOP_TEST(test_loop_wakeup_ends_one_wait),
        LOOP_TEST(test_loop_is_driven_by_a_foreign_poll),
        LOOP_TEST(test_loop_time_is_cached_in_a_pass),
        LOOP_TEST(test_loop_tells_its_facts),
        LOOP_TEST(test_loop_backend_failure_ends_the_run),
    };
    return cmocka_run_group_tests_name("hloop", tests, NULL, NULL);
}
