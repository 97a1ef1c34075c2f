/* Tests of runtime/loop/hwake.c: posts from threads, their order, their end. */
#include <poll.h>
#include <pthread.h>

#include "loop_test.h"

#define THREADS 4
#define POSTS   5000

static hloop_t *loop;
static size_t blocks_before;

static int set_up(void **state) {
    (void)state;
    blocks_before = hv__mem_live_blocks();
    loop = hloop_new(0);
    return loop == NULL;
}

static int tear_down(void **state) {
    (void)state;
    hloop_free(&loop);
    return hv__mem_live_blocks() != blocks_before;
}

static uint32_t next_of[THREADS];
static uint32_t total;

static void check_order(hevent_t *ev) {
    uint32_t value = (uint32_t)(uintptr_t)ev->userdata;
    uint32_t thread = value >> 24, number = value & 0xffffff;
    assert_true(thread < THREADS);
    assert_int_equal(number, next_of[thread]);
    next_of[thread]++;
    if (++total == THREADS * POSTS) hloop_stop(ev->loop);
}

static void *post_many(void *arg) {
    uint32_t thread = (uint32_t)(uintptr_t)arg;
    for (uint32_t i = 0; i < POSTS; i++) {
        hevent_t ev = {.cb = check_order, .userdata = (void *)(uintptr_t)(thread << 24 | i)};
        if (hloop_post_event(loop, &ev) != 0) return arg;
    }
    return NULL;
}

static void test_wake_posts_of_threads_arrive_in_order(void **state) {
    (void)state;
    pthread_t threads[THREADS];
    memset(next_of, 0, sizeof next_of);
    total = 0;
    for (uintptr_t i = 0; i < THREADS; i++) {
        pthread_create(&threads[i], NULL, post_many, (void *)i);
    }
    assert_int_equal(hloop_run(loop), 0);
    assert_int_equal(total, THREADS * POSTS);
    for (int i = 0; i < THREADS; i++) {
        void *failed;
        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
}

static int calls;

static void count(hevent_t *ev) {
    (void)ev;
    calls++;
}

static int is_wake_readable(void) {
    struct pollfd wake = {.fd = loop->wake_watcher.fd, .events = POLLIN};
    return poll(&wake, 1, 0) == 1;
}

static void test_wake_post_on_own_thread_makes_no_call(void **state) {
    (void)state;
    calls = 0;
    hevent_t ev = {.cb = count};
    for (int i = 0; i < 3; i++) assert_int_equal(hloop_post_event(loop, &ev), 0);
    assert_false(is_wake_readable());
    assert_int_equal(calls, 0); /* never inside the call */
    assert_int_equal(hloop_process_events(loop, (int)INFINITE), 3);
    assert_int_equal(calls, 3);
    hloop_wakeup(loop);
    assert_true(is_wake_readable());
}

static void post_again(hevent_t *ev) {
    calls++;
    ev->event_id = 0; /* the copy is ours until we return */
    if (calls < 5) hloop_post_event(ev->loop, ev);
}

static void test_wake_post_in_callback_waits_for_the_next_pass(void **state) {
    (void)state;
    calls = 0;
    hevent_t ev = {.cb = post_again};
    hloop_post_event(loop, &ev);
    for (int i = 1; i <= 5; i++) {
        RUN_PASSES(loop, 1);
        assert_int_equal(calls, i);
    }
}

static uint32_t seen_id;
static hevent_t seen;

static void look(hevent_t *ev) {
    seen_id = ev->event_id;
    seen = *ev;
}

static void test_wake_event_is_copied_and_numbered(void **state) {
    (void)state;
    hevent_t ev = {.cb = look, .userdata = &seen};
    hloop_post_event(loop, &ev);
    memset(&ev, 0xee, sizeof ev);
    RUN_PASSES(loop, 1);
    assert_ptr_equal(seen.userdata, &seen);
    assert_ptr_equal(seen.loop, loop);
    assert_int_equal(hevent_type(&seen), HEVENT_TYPE_CUSTOM);
    assert_true(seen_id != 0);
    hevent_t numbered = {.cb = look, .event_id = 4711};
    hloop_post_event(loop, &numbered);
    RUN_PASSES(loop, 1);
    assert_int_equal(seen_id, 4711);
    hevent_t silent = {0};
    hloop_post_event(loop, &silent); /* without a callback: nothing */
    RUN_PASSES(loop, 1);
}

static void test_wake_posts_that_are_never_called_leak_nothing(void **state) {
    (void)state;
    calls = 0;
    hevent_t ev = {.cb = count};
    hloop_post_event(loop, &ev);
    void *block = hv__malloc(100);
    assert_non_null(block);
    assert_int_equal(hv__post_owned(loop, &ev, block), 0);
    /* The tear-down counts the blocks. */
}

static void *post_one(void *arg) {
    hevent_t ev = {.cb = count};
    return hloop_post_event(arg, &ev) == 0 ? NULL : arg;
}

static void test_wake_of_another_thread_ends_the_wait_again_and_again(void **state) {
    (void)state;
    calls = 0;
    for (int i = 1; i <= 50; i++) {
        pthread_t thread;
        pthread_create(&thread, NULL, post_one, loop);
        RUN_UNTIL(loop, calls == i);
        pthread_join(thread, NULL);
    }
}

#define WAKE_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        WAKE_TEST(test_wake_posts_of_threads_arrive_in_order),
        WAKE_TEST(test_wake_post_on_own_thread_makes_no_call),
        WAKE_TEST(test_wake_post_in_callback_waits_for_the_next_pass),
        WAKE_TEST(test_wake_event_is_copied_and_numbered),
        WAKE_TEST(test_wake_posts_that_are_never_called_leak_nothing),
        WAKE_TEST(test_wake_of_another_thread_ends_the_wait_again_and_again),
    };
    return cmocka_run_group_tests_name("hwake", tests, NULL, NULL);
}
