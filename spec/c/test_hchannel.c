/* Tests of runtime/loop/hchannel.c: order, bounds, and ends that go in every order. */
#include <pthread.h>

#include "hchannel.h"
#include "loop_test.h"

static hloop_t *left, *right;
static hchannel_t *ends[2];
static size_t blocks_before;
static int left_calls, right_calls;

static void on_left(hchannel_t *end) {
    assert_ptr_equal(hevent_loop(end), left);
    left_calls++;
}

static void on_right(hchannel_t *end) {
    assert_ptr_equal(hevent_loop(end), right);
    right_calls++;
}

static int set_up(void **state) {
    (void)state;
    blocks_before = hv__mem_live_blocks();
    left = hloop_new(HLOOP_FLAG_QUIT_WHEN_NO_ACTIVE_EVENTS);
    right = hloop_new(HLOOP_FLAG_QUIT_WHEN_NO_ACTIVE_EVENTS);
    left_calls = right_calls = 0;
    return left == NULL || right == NULL || hchannel_pair(ends, 4, 100) != 0;
}

static int tear_down(void **state) {
    (void)state;
    hloop_free(&left);
    hloop_free(&right);
    return hv__mem_live_blocks() != blocks_before;
}

static void attach_both(void) {
    assert_int_equal(hchannel_attach(ends[0], left, on_left), 0);
    assert_int_equal(hchannel_attach(ends[1], right, on_right), 0);
}

static void close_both(void) {
    hchannel_close(ends[0]);
    hchannel_close(ends[1]);
}

static void assert_message(hchannel_t *end, const char *text) {
    void *data;
    size_t len;
    assert_int_equal(hchannel_recv(end, &data, &len), 0);
    assert_int_equal(len, strlen(text));
    assert_string_equal(data, text);
    hchannel_free(data);
}

static void assert_nothing(hchannel_t *end, int code) {
    void *data = ends;
    size_t len = 77;
    assert_int_equal(hchannel_recv(end, &data, &len), code);
    assert_ptr_equal(data, ends);
    assert_int_equal(len, 77);
}

static void test_channel_messages_come_in_order_by_one_notice(void **state) {
    (void)state;
    attach_both();
    assert_int_equal(hchannel_send(ends[0], "one", 3), 0);
    assert_int_equal(hchannel_send(ends[0], "", 0), 0);
    assert_int_equal(hchannel_send(ends[0], "three", 5), 0);
    assert_int_equal(right_calls, 0); /* not from inside the call */
    RUN_UNTIL(right, right_calls > 0);
    RUN_PASSES(right, 3);
    assert_int_equal(right_calls, 1);
    assert_message(ends[1], "one");
    assert_message(ends[1], "");
    assert_message(ends[1], "three");
    assert_nothing(ends[1], HV_EAGAIN);
    assert_int_equal(hchannel_send(ends[1], "back", 4), 0);
    RUN_UNTIL(left, left_calls > 0);
    assert_message(ends[0], "back");
    close_both();
}

static void test_channel_full_queue_refuses_and_tells_of_room(void **state) {
    (void)state;
    attach_both();
    for (int i = 0; i < 4; i++) assert_int_equal(hchannel_send(ends[0], "m", 1), 0);
    assert_int_equal(hchannel_send(ends[0], "m", 1), HV_EAGAIN);
    assert_message(ends[1], "m");
    RUN_PASSES(left, 2);
    assert_int_equal(left_calls, 0); /* half of it must be free */
    assert_message(ends[1], "m");
    RUN_UNTIL(left, left_calls > 0);
    assert_int_equal(hchannel_send(ends[0], "n", 1), 0);
    assert_message(ends[1], "m");
    RUN_PASSES(left, 2);
    assert_int_equal(left_calls, 1); /* nobody asked for more */
    close_both();
}

static void test_channel_bytes_are_bounded_but_one_always_fits(void **state) {
    (void)state;
    static char large[1000];
    attach_both();
    assert_int_equal(hchannel_send(ends[0], large, sizeof large), 0);
    assert_int_equal(hchannel_send(ends[0], "m", 1), HV_EAGAIN);
    void *data;
    size_t len;
    assert_int_equal(hchannel_recv(ends[1], &data, &len), 0);
    assert_int_equal(len, sizeof large);
    hchannel_free(data);
    assert_int_equal(hchannel_send(ends[0], "m", 1), 0);
    close_both();
    assert_int_equal(hchannel_pair(ends, 0, 1), HV_EINVAL);
    assert_int_equal(hchannel_pair(ends, 1, 0), HV_EINVAL);
}

static void test_channel_closed_end_is_told_behind_its_messages(void **state) {
    (void)state;
    attach_both();
    assert_int_equal(hchannel_send(ends[0], "last", 4), 0);
    assert_int_equal(hchannel_send(ends[1], "lost", 4), 0);
    hchannel_close(ends[0]);
    RUN_UNTIL(right, right_calls > 0);
    assert_true(hchannel_is_closed(ends[1]));
    assert_message(ends[1], "last");
    assert_nothing(ends[1], HV_EOF);
    assert_int_equal(hchannel_send(ends[1], "m", 1), HV_ECLOSED);
    RUN_PASSES(left, 2);
    assert_int_equal(left_calls, 0); /* the notice of "lost" came to a closed end */
    hchannel_close(ends[1]);
}

static void test_channel_shut_end_still_receives(void **state) {
    (void)state;
    attach_both();
    assert_int_equal(hchannel_send(ends[0], "last", 4), 0);
    hchannel_shutdown(ends[0]);
    hchannel_shutdown(ends[0]);
    assert_int_equal(hchannel_send(ends[0], "m", 1), HV_ECLOSED);
    RUN_UNTIL(right, right_calls > 0);
    assert_message(ends[1], "last");
    assert_nothing(ends[1], HV_EOF);
    assert_false(hchannel_is_closed(ends[1]));
    assert_int_equal(hchannel_send(ends[1], "answer", 6), 0);
    RUN_UNTIL(left, left_calls > 0);
    assert_message(ends[0], "answer");
    close_both();
}

static void test_channel_news_from_before_attaching_are_told(void **state) {
    (void)state;
    assert_int_equal(hchannel_send(ends[0], "early", 5), 0);
    hchannel_close(ends[0]);
    assert_int_equal(hchannel_attach(ends[1], right, on_right), 0);
    assert_int_equal(right_calls, 0);
    RUN_UNTIL(right, right_calls > 0);
    assert_message(ends[1], "early");
    assert_nothing(ends[1], HV_EOF);
    hchannel_close(ends[1]);
    hchannel_close(NULL);
}

static void test_channel_keeps_its_loop_running_while_referenced(void **state) {
    (void)state;
    attach_both();
    assert_int_equal(hloop_nactives(left), 1);
    hevent_unref(ends[0]);
    assert_int_equal(hloop_run(left), 0); /* ends at once */
    hevent_ref(ends[0]);
    assert_int_equal(hloop_nactives(left), 1);
    hchannel_close(ends[0]);
    assert_int_equal(hloop_nactives(left), 0);
    hchannel_close(ends[1]);
}

static void test_channel_outlives_its_loop(void **state) {
    (void)state;
    attach_both();
    assert_int_equal(hchannel_send(ends[0], "on its way", 10), 0);
    hloop_free(&right); /* with the notice in its queue */
    assert_int_equal(hchannel_send(ends[0], "to nobody", 9), 0);
    assert_message(ends[1], "on its way");
    assert_int_equal(hchannel_send(ends[1], "answer", 6), 0);
    hchannel_close(ends[1]);
    RUN_UNTIL(left, left_calls > 0);
    assert_message(ends[0], "answer");
    assert_nothing(ends[0], HV_EOF);
    hchannel_close(ends[0]);
}

static void test_channel_closed_with_a_notice_on_its_way_leaks_nothing(void **state) {
    (void)state;
    attach_both();
    assert_int_equal(hchannel_send(ends[0], "m", 1), 0);
    assert_int_equal(hchannel_send(ends[1], "m", 1), 0);
    close_both();
    hloop_free(&right);
    RUN_PASSES(left, 2);
    assert_int_equal(left_calls + right_calls, 0);
}

static void close_in_callback(hchannel_t *end) {
    right_calls++;
    hchannel_close(end);
}

static void test_channel_may_be_closed_in_its_callback(void **state) {
    (void)state;
    assert_int_equal(hchannel_attach(ends[0], left, on_left), 0);
    assert_int_equal(hchannel_attach(ends[1], right, close_in_callback), 0);
    assert_int_equal(hchannel_send(ends[0], "m", 1), 0);
    RUN_UNTIL(right, right_calls > 0);
    RUN_UNTIL(left, left_calls > 0);
    assert_nothing(ends[0], HV_EOF);
    hchannel_close(ends[0]);
}

/* ---- Two threads ---- */

#define MESSAGES 20000u

/* Each side sends numbers as long as there is room, and expects the other's in order. */
typedef struct side_s {
    hchannel_t *end;
    hloop_t *loop;
    uint32_t next_sent, next_received;
    int failures;
} side_t;

static void move_on(side_t *side) {
    void *data;
    size_t len;
    while (hchannel_recv(side->end, &data, &len) == 0) {
        uint32_t number;
        if (len != sizeof number) side->failures++;
        memcpy(&number, data, sizeof number);
        hchannel_free(data);
        if (number != side->next_received++) side->failures++;
    }
    while (side->next_sent < MESSAGES &&
           hchannel_send(side->end, &side->next_sent, sizeof side->next_sent) == 0) {
        side->next_sent++;
    }
    if (side->next_sent == MESSAGES && side->next_received == MESSAGES) hevent_unref(side->end);
}

static void on_side(hchannel_t *end) { move_on(hevent_userdata(end)); }

static void *run_side(void *arg) {
    side_t *side = arg;
    side->loop = hloop_new(HLOOP_FLAG_QUIT_WHEN_NO_ACTIVE_EVENTS);
    hevent_set_userdata(side->end, side);
    if (hchannel_attach(side->end, side->loop, on_side) != 0) side->failures++;
    move_on(side);
    hloop_run(side->loop);
    hloop_free(&side->loop);
    hchannel_close(side->end);
    return NULL;
}

static void test_channel_between_threads_loses_nothing(void **state) {
    (void)state;
    side_t sides[2] = {{.end = ends[0]}, {.end = ends[1]}};
    pthread_t threads[2];
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, run_side, &sides[i]), 0);
    }
    for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(sides[i].failures, 0);
        assert_int_equal(sides[i].next_received, MESSAGES);
    }
}

/* A thread that sends until nobody is there, or its own time has come. */
static void *send_a_few(void *arg) {
    hchannel_t *end = arg;
    hloop_t *loop = hloop_new(0);
    if (hchannel_attach(end, loop, on_side) != 0) abort();
    for (int i = 0; i < 3; i++) hchannel_send(end, "m", 1);
    hloop_free(&loop);
    hchannel_close(end);
    return NULL;
}

static void test_channel_ends_that_go_at_the_same_time_meet_no_ghost(void **state) {
    (void)state;
    close_both();
    for (int round = 0; round < 300; round++) {
        pthread_t threads[2];
        assert_int_equal(hchannel_pair(ends, 2, 100), 0);
        for (int i = 0; i < 2; i++) {
            assert_int_equal(pthread_create(&threads[i], NULL, send_a_few, ends[i]), 0);
        }
        for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(test_channel_messages_come_in_order_by_one_notice),
        TEST(test_channel_full_queue_refuses_and_tells_of_room),
        TEST(test_channel_bytes_are_bounded_but_one_always_fits),
        TEST(test_channel_closed_end_is_told_behind_its_messages),
        TEST(test_channel_shut_end_still_receives),
        TEST(test_channel_news_from_before_attaching_are_told),
        TEST(test_channel_keeps_its_loop_running_while_referenced),
        TEST(test_channel_outlives_its_loop),
        TEST(test_channel_closed_with_a_notice_on_its_way_leaks_nothing),
        TEST(test_channel_may_be_closed_in_its_callback),
        TEST(test_channel_between_threads_loses_nothing),
        TEST(test_channel_ends_that_go_at_the_same_time_meet_no_ghost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
