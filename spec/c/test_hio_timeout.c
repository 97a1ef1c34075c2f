/* Tests of runtime/net/hio_timeout.c on the stopped clock and the scripted backend: time passes by
 * the timeouts that the loop asks for, and readiness when the test says so. */
#include "loop_test.h"

#define START_US 1000000

static hloop_t *loop;
static size_t blocks_before;
static hio_t *io;
static int peer;
static int closes, last_error, beats, reads;
static uint64_t closed_at_ms;

static uint64_t passed_ms(void) { return (hclock_mono_us() - START_US) / 1000; }

static void on_close(hio_t *closed) {
    last_error = hio_error(closed);
    closed_at_ms = passed_ms();
    closes++;
    io = NULL;
}

static void on_read(hio_t *from, void *buf, int len) {
    (void)from;
    (void)buf;
    (void)len;
    reads++;
}

static int set_up(void **state) {
    (void)state;
    blocks_before = hv__mem_live_blocks();
    hclock_set_fake(START_US);
    loop = hloop_new_with_backend(0, "fake");
    int fds[2];
    if (loop == NULL || hsock_pair(fds) != 0) return 1;
    peer = fds[0];
    io = hio_get(loop, fds[1]);
    hio_setcb_close(io, on_close);
    hio_setcb_read(io, on_read);
    closes = last_error = beats = reads = 0;
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    hloop_free(&loop);
    close(peer);
    hclock_use_real();
    return hv__mem_live_blocks() != blocks_before;
}

/* Lets time pass up to a moment; passes end where the loop wakes. */
static void run_to(uint64_t ms) {
    while (passed_ms() < ms) {
        int left = (int)(ms - passed_ms());
        assert_true(hloop_process_events(loop, left) >= 0);
    }
}

static void bytes_arrive(void) {
    assert_int_equal(send(peer, "x", 1, 0), 1);
    hpoll_fake_push(loop->poll, hio_fd(io), HPOLL_READ);
    RUN_PASSES(loop, 1);
}

static void test_timeout_of_reading_counts_from_the_last_byte(void **state) {
    (void)state;
    hio_set_read_timeout(io, 100);
    hio_read(io);
    run_to(90);
    bytes_arrive();
    run_to(180);
    bytes_arrive();
    assert_int_equal(closes, 0);
    run_to(400);
    assert_int_equal(closes, 1);
    assert_int_equal(last_error, ETIMEDOUT);
    assert_int_equal(closed_at_ms, 280);
    assert_int_equal(reads, 2);
}

static void test_timeout_of_reading_sleeps_while_stopped(void **state) {
    (void)state;
    hio_set_read_timeout(io, 100);
    run_to(1000);
    assert_int_equal(closes, 0);
    hio_read(io); /* from now on somebody waits */
    run_to(1099);
    assert_int_equal(closes, 0);
    run_to(1200);
    assert_int_equal(closes, 1);
    assert_true(closed_at_ms >= 1100);
}

static void be_busy(htimer_t *timer) {
    (void)timer;
    hclock_advance(500000);
    assert_int_equal(send(peer, "x", 1, 0), 1);
    hpoll_fake_push(loop->poll, hio_fd(io), HPOLL_READ);
}

/* The bytes came while the loop was busy beyond the timeout: they are read first. */
static void test_timeout_does_not_strike_what_has_arrived(void **state) {
    (void)state;
    hio_set_read_timeout(io, 100);
    hio_read(io);
    htimer_add(loop, be_busy, 50, 1);
    run_to(560);
    assert_int_equal(reads, 1);
    assert_int_equal(closes, 0);
    run_to(1000);
    assert_int_equal(closes, 1);
}

#ifndef HV_HOSTILE
static void test_timeout_of_writing_strikes_only_a_full_queue(void **state) {
    (void)state;
    hio_set_write_timeout(io, 100);
    run_to(1000);
    assert_int_equal(closes, 0);
    static const char zeros[65536];
    while (hio_write_bufsize(io) < 500000) {
        assert_int_equal(hio_write(io, zeros, sizeof zeros), sizeof zeros);
    }
    uint64_t begun_ms = passed_ms();
    run_to(begun_ms + 300);
    assert_int_equal(closes, 1);
    assert_int_equal(last_error, ETIMEDOUT);
    assert_true(closed_at_ms >= begun_ms + 100);
    assert_true(closed_at_ms <= begun_ms + 102);
}
#endif

static void test_timeout_of_keepalive_counts_both_directions(void **state) {
    (void)state;
    hio_set_keepalive_timeout(io, 100);
    hio_read(io);
    run_to(80);
    bytes_arrive();
    run_to(160);
    assert_int_equal(hio_idle_ms(io), 80);
    hio_write(io, "y", 1);
    RUN_PASSES(loop, 1);
#ifndef HV_HOSTILE
    assert_int_equal(hio_idle_ms(io), 0);
#endif
    run_to(250);
    assert_int_equal(closes, 0);
    run_to(400);
    assert_int_equal(closed_at_ms, 260);
}

static void test_timeout_switched_off_again_does_not_strike(void **state) {
    (void)state;
    hio_set_read_timeout(io, 100);
    hio_set_keepalive_timeout(io, 100);
    hio_read(io);
    run_to(50);
    hio_set_read_timeout(io, 0);
    hio_set_keepalive_timeout(io, 0);
    run_to(1000);
    assert_int_equal(closes, 0);
    assert_int_equal(hloop_ntimers(loop), 0);
}

#ifndef HV_HOSTILE
static void test_timeout_of_closing_drops_a_queue_nobody_reads(void **state) {
    (void)state;
    hio_set_close_timeout(io, 200);
    static const char zeros[65536];
    while (hio_write_bufsize(io) < 500000) hio_write(io, zeros, sizeof zeros);
    RUN_PASSES(loop, 1);
    run_to(10);
    hio_close(io);
    run_to(500);
    assert_int_equal(closes, 1);
    assert_int_equal(last_error, ETIMEDOUT);
    assert_int_equal(closed_at_ms, 210);
}
#endif

static void beat(hio_t *beating) {
    beats++;
    hio_write(beating, "b", 1);
}

static void test_timeout_heartbeat_beats_every_interval(void **state) {
    (void)state;
    hio_set_heartbeat(io, 50, beat);
    run_to(49);
    assert_int_equal(beats, 0);
    run_to(504);
    assert_int_equal(beats, 10);
    char text[32];
    assert_int_equal(recv(peer, text, sizeof text, 0), 10);
    hio_set_heartbeat(io, 0, NULL);
    run_to(1000);
    assert_int_equal(beats, 10);
}

static void beat_and_close(hio_t *beating) {
    beats++;
    hio_close(beating);
}

static void test_timeout_heartbeat_may_close_its_io(void **state) {
    (void)state;
    hio_set_heartbeat(io, 50, beat_and_close);
    hio_set_read_timeout(io, 10000);
    run_to(200);
    assert_int_equal(beats, 1);
    assert_int_equal(closes, 1);
    assert_int_equal(hloop_ntimers(loop), 0);
}

static void beat_and_detach(hio_t *beating) {
    beats++;
    hio_detach(beating);
}

static void test_timeout_heartbeat_may_give_its_io_away(void **state) {
    (void)state;
    hio_set_heartbeat(io, 50, beat_and_detach);
    run_to(200);
    assert_int_equal(beats, 1);
    assert_int_equal(hloop_ntimers(loop), 0);
    hio_setcb_close(io, on_close);
    hio_attach(loop, io); /* its stamps begin anew */
    run_to(249);
    assert_int_equal(beats, 1);
    run_to(252);
    assert_int_equal(beats, 2);
    hio_attach(loop, io);
    hio_set_heartbeat(io, 0, NULL);
}

static void test_timeout_of_a_busy_connection_costs_no_timer_call(void **state) {
    (void)state;
    hio_set_read_timeout(io, 100000);
    hio_read(io);
    uint32_t timers = hloop_ntimers(loop);
    uint64_t deadline_ms = io->ext->timer->deadline_ms;
    uint64_t sets = hpoll_fake_set_calls(loop->poll);
    for (int i = 0; i < 100; i++) {
        hclock_advance(1000);
        bytes_arrive();
    }
    assert_int_equal(reads, 100);
    assert_int_equal(hloop_ntimers(loop), timers);
    assert_int_equal(io->ext->timer->deadline_ms, deadline_ms);
    assert_int_equal(hpoll_fake_set_calls(loop->poll), sets);
}

#define TIMEOUT_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TIMEOUT_TEST(test_timeout_of_reading_counts_from_the_last_byte),
        TIMEOUT_TEST(test_timeout_of_reading_sleeps_while_stopped),
        TIMEOUT_TEST(test_timeout_does_not_strike_what_has_arrived),
#ifndef HV_HOSTILE
        TIMEOUT_TEST(test_timeout_of_writing_strikes_only_a_full_queue),
#endif
        TIMEOUT_TEST(test_timeout_of_keepalive_counts_both_directions),
        TIMEOUT_TEST(test_timeout_switched_off_again_does_not_strike),
#ifndef HV_HOSTILE
        TIMEOUT_TEST(test_timeout_of_closing_drops_a_queue_nobody_reads),
#endif
        TIMEOUT_TEST(test_timeout_heartbeat_beats_every_interval),
        TIMEOUT_TEST(test_timeout_heartbeat_may_close_its_io),
        TIMEOUT_TEST(test_timeout_heartbeat_may_give_its_io_away),
        TIMEOUT_TEST(test_timeout_of_a_busy_connection_costs_no_timer_call),
    };
    return cmocka_run_group_tests_name("hio_timeout", tests, NULL, NULL);
}
