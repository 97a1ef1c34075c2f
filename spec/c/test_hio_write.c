/* Tests of runtime/net/hio_write.c. A SOCK_SEQPACKET pair keeps the borders of sends, so that a
 * test can count them; a stream pair with nobody reading stands for a slow reader. */
#include <pthread.h>

#include "loop_test.h"

static hloop_t *loop;
static size_t blocks_before;
static hio_t *io;
static int peer;
static int closes, drains, last_error;
static long written;

static void on_close(hio_t *closed) {
    last_error = hio_error(closed);
    closes++;
    io = NULL;
}

static void on_drain(hio_t *drained) {
    assert_ptr_equal(drained, io);
    drains++;
}

static void on_write(hio_t *from, const void *buf, int len) {
    (void)buf;
    assert_ptr_equal(from, io);
    assert_true(len > 0);
    written += len;
}

static void open_pair(int type) {
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    peer = fds[0];
    io = hio_get(loop, fds[1]);
    assert_non_null(io);
    hio_setcb_close(io, on_close);
    hio_setcb_drain(io, on_drain);
}

static int set_up(void **state) {
    (void)state;
    blocks_before = hv__mem_live_blocks();
    loop = hloop_new(0);
    closes = drains = last_error = 0;
    written = 0;
    peer = -1;
    io = NULL;
    return loop == NULL;
}

static int tear_down(void **state) {
    (void)state;
    hloop_free(&loop);
    if (peer >= 0) close(peer);
    return hv__mem_live_blocks() != blocks_before;
}

/* Takes all that has arrived at the other end; returns its bytes. */
static size_t take(char *into, size_t cap) {
    size_t len = 0;
    static char drop[65536];
    for (;;) {
        ssize_t got = into != NULL ? recv(peer, into + len, cap - len, 0)
                                   : recv(peer, drop, sizeof drop, 0);
        if (got <= 0) return len;
        len += (size_t)got;
    }
}

/* ---- One send a callback ---- */

static char heard[64];

#ifndef HV_HOSTILE
static void write_thrice(hio_t *to, void *buf, int len) {
    (void)buf;
    (void)len;
    assert_int_equal(hio_write(to, "one ", 4), 4);
    assert_int_equal(hio_write(to, "two ", 4), 4);
    assert_int_equal(hio_write(to, "three", 5), 5);
}

static void write_in_pieces(hio_t *to, void *buf, int len) {
    write_thrice(to, buf, len);
    assert_int_equal(hio_write_bufsize(to), 13);
    assert_int_equal(recv(peer, heard, sizeof heard, 0), -1); /* not yet */
}

static void test_write_in_own_callback_is_one_send(void **state) {
    (void)state;
    open_pair(SOCK_SEQPACKET);
    hio_setcb_read(io, write_in_pieces);
    hio_read(io);
    assert_int_equal(send(peer, "?", 1, 0), 1);
    RUN_UNTIL(loop, recv(peer, heard, sizeof heard, MSG_PEEK) > 0);
    assert_int_equal(recv(peer, heard, sizeof heard, 0), 13);
    assert_memory_equal(heard, "one two three", 13);
    assert_true(hio_write_is_complete(io));
}

/* What the kernel has no room for in the callback leaves when it has. */
static void test_write_in_own_callback_into_a_full_kernel_leaves_later(void **state) {
    (void)state;
    static const char filler[65536];
    open_pair(SOCK_STREAM);
    hio_setcb_read(io, write_thrice);
    hio_read(io);
    while (send(hio_fd(io), filler, sizeof filler, 0) > 0) {}
    while (send(hio_fd(io), filler, 1, 0) > 0) {}
    assert_int_equal(send(peer, "?", 1, 0), 1);
    RUN_UNTIL(loop, hio_write_bufsize(io) == 13);
    RUN_PASSES(loop, 3);
    assert_int_equal(hio_write_bufsize(io), 13);
    take(NULL, 0);
    RUN_UNTIL(loop, hio_write_is_complete(io));
    assert_int_equal(take(heard, sizeof heard), 13);
    assert_memory_equal(heard, "one two three", 13);
}

static void write_from_timer(htimer_t *timer) {
    (void)timer;
    hio_write(io, "one ", 4);
    hio_write(io, "two ", 4);
    hio_write(io, "three", 5);
}

static void test_write_in_other_callbacks_is_one_send(void **state) {
    (void)state;
    open_pair(SOCK_SEQPACKET);
    htimer_add(loop, write_from_timer, 0, 1);
    RUN_PASSES(loop, 1);
    assert_int_equal(recv(peer, heard, sizeof heard, 0), 13);
    assert_memory_equal(heard, "one two three", 13);
}

static void test_write_flush_sends_at_once(void **state) {
    (void)state;
    open_pair(SOCK_SEQPACKET);
    hio_write(io, "now", 3);
    assert_int_equal(recv(peer, heard, sizeof heard, 0), -1);
    assert_int_equal(hio_flush(io), 0);
    assert_int_equal(recv(peer, heard, sizeof heard, 0), 3);
    RUN_PASSES(loop, 2);
    assert_int_equal(recv(peer, heard, sizeof heard, 0), -1); /* and only once */
}
#endif

#ifndef HV_HOSTILE
/* ---- Order and completeness with a slow reader ---- */

static unsigned char pattern_at(size_t at) { return (unsigned char)(at * 31 + (at >> 8) * 7); }

static size_t produced, consumed;

static void produce(size_t len) {
    static char piece[200000];
    assert_true(len <= sizeof piece);
    for (size_t i = 0; i < len; i++) piece[i] = (char)pattern_at(produced + i);
    int code = hio_write(io, piece, len);
    assert_int_equal(code, len);
    produced += len;
}

static void consume_some(size_t max) {
    static unsigned char piece[65536];
    if (max > sizeof piece) max = sizeof piece;
    ssize_t got = recv(peer, piece, max, 0);
    for (ssize_t i = 0; i < got; i++) assert_int_equal(piece[i], pattern_at(consumed++));
}

static void produce_various(hio_t *to, void *buf, int len) {
    (void)to;
    (void)buf;
    (void)len;
    produce(10);      /* into the cork */
    produce(60000);   /* straight, behind it */
    produce(5);       /* behind what is queued */
    produce(150000);
}

static void test_write_all_ways_keep_the_order(void **state) {
    (void)state;
    open_pair(SOCK_STREAM);
    hio_setcb_write(io, on_write);
    produced = consumed = 0;
    hio_setcb_read(io, produce_various);
    hio_read(io);
    produce(100);     /* outside of any callback: dirty */
    produce(20000);   /* behind it */
    assert_int_equal(send(peer, "?", 1, 0), 1);
    while (produced < 230115 || consumed < produced) {
        RUN_PASSES(loop, 1);
        consume_some(30000);
    }
    RUN_PASSES(loop, 3);
    assert_int_equal(written, produced);
    assert_true(hio_write_is_complete(io));
    assert_int_equal(closes, 0);
}

/* ---- Limits and water marks ---- */

static void fill(size_t at_least) {
    static const char zeros[65536];
    while (hio_write_bufsize(io) < at_least) {
        assert_int_equal(hio_write(io, zeros, sizeof zeros), sizeof zeros);
        RUN_PASSES(loop, 1);
    }
}

static void test_write_drain_is_called_once_after_high_water(void **state) {
    (void)state;
    open_pair(SOCK_STREAM);
    hio_set_write_high(io, 100000);
    fill(1);
    assert_false(hio_write_is_high(io));
    fill(100001);
    assert_true(hio_write_is_high(io));
    RUN_PASSES(loop, 3);
    assert_int_equal(drains, 0);
    while (!hio_write_is_complete(io)) {
        take(NULL, 0);
        RUN_PASSES(loop, 1);
        if (drains > 0) assert_true(hio_write_bufsize(io) <= 50000);
    }
    RUN_PASSES(loop, 3);
    assert_int_equal(drains, 1);
}

#endif

static int was_high;

static void write_above_high(hio_t *to, void *buf, int len) {
    (void)buf;
    (void)len;
    hio_write(to, "0123456789", 10);
    was_high = hio_write_is_high(to);
}

/* It is high inside the callback only; whoever then waits for on_drain must get it. */
static void test_write_that_was_high_in_the_callback_drains_too(void **state) {
    (void)state;
    open_pair(SOCK_STREAM);
    hio_set_write_high(io, 5);
    hio_setcb_read(io, write_above_high);
    hio_read(io);
    assert_int_equal(send(peer, "?", 1, 0), 1);
    RUN_UNTIL(loop, drains == 1);
    assert_true(was_high);
}

static void test_write_beyond_the_limit_takes_nothing(void **state) {
    (void)state;
    open_pair(SOCK_STREAM);
    hio_set_max_write_bufsize(io, 10);
    assert_int_equal(hio_write(io, "123456", 6), 6);
    assert_int_equal(hio_write(io, "12345", 5), HV_ELIMIT);
    assert_int_equal(hio_write(io, "abcd", 4), 4);
    char text[32] = "";
    size_t len = 0;
    for (int i = 0; i < 20 && len < 10; i++) {
        RUN_PASSES(loop, 1);
        len += take(text + len, sizeof text - len);
    }
    assert_int_equal(len, 10);
    assert_memory_equal(text, "123456abcd", 10);
}

/* ---- Closing ---- */

#ifndef HV_HOSTILE
static void test_write_close_sends_what_is_queued_first(void **state) {
    (void)state;
    open_pair(SOCK_STREAM);
    fill(300000);
    size_t left = hio_write_bufsize(io);
    hio_setcb_write(io, on_write);
    hio_close(io);
    assert_int_equal(hio_write(io, "x", 1), HV_ECLOSED);
    assert_false(hio_is_opened(io));
    RUN_PASSES(loop, 3);
    assert_int_equal(closes, 0);
    size_t got = 0;
    while (closes == 0) {
        got += take(NULL, 0);
        RUN_PASSES(loop, 1);
    }
    got += take(NULL, 0);
    assert_true(got >= left);
    assert_int_equal(last_error, 0);
    assert_int_equal(written + drains, 0); /* after hio_close only the close callback */
}
#endif

static void write_and_close(hio_t *to, void *buf, int len) {
    (void)buf;
    (void)len;
    hio_write(to, "bye", 3);
    hio_close(to);
    hio_close(to);
}

static void test_write_then_close_in_callback_needs_no_memory(void **state) {
    (void)state;
    open_pair(SOCK_STREAM);
    hio_setcb_drain(io, NULL);
    hio_setcb_read(io, write_and_close);
    hio_read(io);
    RUN_PASSES(loop, 1);
    assert_int_equal(hloop_ntimers(loop), 0);
    assert_int_equal(send(peer, "?", 1, 0), 1);
    RUN_UNTIL(loop, closes == 1);
    assert_int_equal(take(heard, sizeof heard), 3);
    assert_int_equal(last_error, 0);
}

#ifndef HV_HOSTILE
static void test_write_abort_drops_the_queue(void **state) {
    (void)state;
    open_pair(SOCK_STREAM);
    fill(300000);
    hio_abort(io);
    hio_abort(io);
    RUN_PASSES(loop, 1);
    assert_int_equal(closes, 1);
}
#endif

static void test_write_to_a_peer_that_has_gone_fails_in_close(void **state) {
    (void)state;
    open_pair(SOCK_STREAM);
    close(peer);
    peer = -1;
    assert_int_equal(hio_write(io, "x", 1), 1);
    RUN_UNTIL(loop, closes == 1);
    assert_int_equal(last_error, EPIPE);
}

static void test_write_shutdown_ends_after_the_queue(void **state) {
    (void)state;
    open_pair(SOCK_STREAM);
    hio_write(io, "last", 4);
    assert_int_equal(hio_shutdown(io), 0);
    assert_int_equal(hio_shutdown(io), 0);
    assert_int_equal(hio_write(io, "more", 4), HV_EPIPE);
    char text[16];
    size_t len = 0;
    for (int i = 0; i < 10; i++) {
        RUN_PASSES(loop, 1);
        len += take(text + len, sizeof text - len);
    }
    assert_int_equal(len, 4);
    assert_int_equal(recv(peer, text, sizeof text, 0), 0); /* the end */
    assert_int_equal(closes, 0);
}

static void echo_on_write(hio_t *from, const void *buf, int len) {
    on_write(from, buf, len);
    if (written < 50) hio_write(from, buf ? buf : "##########", (size_t)len);
}

static void write_ten(hio_t *to, void *buf, int len) {
    (void)buf;
    (void)len;
    hio_write(to, "0123456789", 10);
}

static void test_write_in_on_write_goes_on_in_later_passes(void **state) {
    (void)state;
    open_pair(SOCK_STREAM);
    hio_setcb_write(io, echo_on_write);
    hio_setcb_read(io, write_ten);
    hio_read(io);
    assert_int_equal(send(peer, "?", 1, 0), 1);
    RUN_UNTIL(loop, written >= 50);
    assert_true(take(heard, sizeof heard) >= 50);
    assert_memory_equal(heard, "0123456789", 10);
}

/* ---- Other threads ---- */

#define THREADS 3
#define WRITES  2000

static void *write_numbers(void *arg) {
    for (uint32_t i = 0; i < WRITES; i++) {
        uint32_t record[2] = {(uint32_t)(uintptr_t)arg, i};
        if (hio_write(io, record, sizeof record) != sizeof record) return io;
    }
    return NULL;
}

static void test_write_of_other_threads_keeps_their_order(void **state) {
    (void)state;
    open_pair(SOCK_STREAM);
    pthread_t threads[THREADS];
    for (uintptr_t i = 0; i < THREADS; i++) {
        pthread_create(&threads[i], NULL, write_numbers, (void *)i);
    }
    uint32_t next[THREADS] = {0};
    unsigned char bytes[4096 + 8];
    size_t have = 0, records = 0;
    while (records < THREADS * WRITES) {
        assert_true(hloop_process_events(loop, 1) >= 0);
        ssize_t got = recv(peer, bytes + have, 4096, 0);
        if (got <= 0) continue;
        have += (size_t)got;
        size_t at = 0;
        for (; at + 8 <= have; at += 8, records++) {
            uint32_t record[2];
            memcpy(record, bytes + at, sizeof record);
            assert_true(record[0] < THREADS);
            assert_int_equal(record[1], next[record[0]]++);
        }
        have -= at;
        memmove(bytes, bytes + at, have);
    }
    for (int i = 0; i < THREADS; i++) {
        void *failed;
        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
}

static void *write_then_close(void *arg) {
    hio_write(arg, "from afar", 9);
    hio_close(arg);
    return NULL;
}

static void test_write_and_close_of_another_thread(void **state) {
    (void)state;
    open_pair(SOCK_STREAM);
    pthread_t thread;
    pthread_create(&thread, NULL, write_then_close, io);
    RUN_UNTIL(loop, closes == 1);
    pthread_join(thread, NULL);
    assert_int_equal(take(heard, sizeof heard), 9);
    assert_memory_equal(heard, "from afar", 9);
}

static void test_write_of_another_thread_that_is_refused_closes(void **state) {
    (void)state;
    open_pair(SOCK_STREAM);
    hio_set_max_write_bufsize(io, 4);
    pthread_t thread;
    pthread_create(&thread, NULL, write_then_close, io);
    pthread_join(thread, NULL); /* before the io can go: threads may only name one that lives */
    RUN_UNTIL(loop, closes == 1);
    assert_int_equal(last_error, -HV_ELIMIT);
}

static void test_write_posted_but_never_run_leaks_nothing(void **state) {
    (void)state;
    open_pair(SOCK_STREAM);
    pthread_t thread;
    pthread_create(&thread, NULL, write_then_close, io);
    pthread_join(thread, NULL);
    /* The tear-down counts the blocks. */
}

#define WRITE_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
#ifndef HV_HOSTILE
        WRITE_TEST(test_write_in_own_callback_is_one_send),
        WRITE_TEST(test_write_in_own_callback_into_a_full_kernel_leaves_later),
        WRITE_TEST(test_write_in_other_callbacks_is_one_send),
        WRITE_TEST(test_write_flush_sends_at_once),
        WRITE_TEST(test_write_all_ways_keep_the_order),
        WRITE_TEST(test_write_drain_is_called_once_after_high_water),
        WRITE_TEST(test_write_close_sends_what_is_queued_first),
        WRITE_TEST(test_write_abort_drops_the_queue),
#endif
        WRITE_TEST(test_write_that_was_high_in_the_callback_drains_too),
        WRITE_TEST(test_write_beyond_the_limit_takes_nothing),
        WRITE_TEST(test_write_then_close_in_callback_needs_no_memory),
        WRITE_TEST(test_write_to_a_peer_that_has_gone_fails_in_close),
        WRITE_TEST(test_write_shutdown_ends_after_the_queue),
        WRITE_TEST(test_write_in_on_write_goes_on_in_later_passes),
        WRITE_TEST(test_write_of_other_threads_keeps_their_order),
        WRITE_TEST(test_write_and_close_of_another_thread),
        WRITE_TEST(test_write_of_another_thread_that_is_refused_closes),
        WRITE_TEST(test_write_posted_but_never_run_leaks_nothing),
    };
    return cmocka_run_group_tests_name("hio_write", tests, NULL, NULL);
}
