/* Tests of runtime/net/hio.c: the life of an io - made, closed, reported, moved between loops. */
#include "loop_test.h"

#include <fcntl.h>

#include "hssl.h"

static hloop_t *loop;
static size_t blocks_before;
static hio_t *ends[2];
static int closes, reads, writes;
static hio_t *last_closed;

static int set_up(void **state) {
    (void)state;
    blocks_before = hv__mem_live_blocks();
    loop = hloop_new(0);
    closes = reads = writes = 0;
    last_closed = NULL;
    return loop == NULL || hio_create_pipe(loop, ends) != 0;
}

static int tear_down(void **state) {
    (void)state;
    hloop_free(&loop);
    return hv__mem_live_blocks() != blocks_before;
}

static void on_read(hio_t *io, void *buf, int len) {
    (void)io;
    (void)buf;
    reads += len;
}

static void on_close(hio_t *io) {
    closes++;
    last_closed = io;
    assert_true(hio_is_closed(io));
    assert_false(hio_is_opened(io));
    assert_true(hio_fd(io) > 0);
    /* Everything may still be called; nothing of it does anything. */
    assert_int_equal(hio_close(io), 0);
    assert_int_equal(hio_abort(io), 0);
    assert_int_equal(hio_write(io, "x", 1), HV_ECLOSED);
    assert_int_equal(hio_read(io), HV_ECLOSED);
    assert_int_equal(hio_read_stop(io), HV_ECLOSED);
    assert_int_equal(hio_shutdown(io), HV_ECLOSED);
    assert_int_equal(hio_flush(io), HV_ECLOSED);
    hio_set_read_timeout(io, 10);
    hio_set_heartbeat(io, 10, on_close);
    hio_setcb_write(io, NULL);
    hio_set_unpack(io, NULL);
    assert_int_equal(hio_localaddr(io)->sa_family, AF_UNSPEC);
}

static void test_io_close_is_reported_once_and_later(void **state) {
    (void)state;
    hio_setcb_close(ends[0], on_close);
    hio_close(ends[0]);
    hio_close(ends[0]);
    hio_abort(ends[0]);
    assert_int_equal(closes, 0);
    assert_int_equal(hloop_next_timeout(loop), 0);
    RUN_PASSES(loop, 3);
    assert_int_equal(closes, 1);
    assert_int_equal(hloop_nios(loop), 1);
}

static void close_both(hio_t *io, void *buf, int len) {
    on_read(io, buf, len);
    hio_close(ends[0]);
    hio_close(ends[1]);
    hio_write(ends[0], "x", 1);
    hio_read(ends[1]);
}

static void test_io_closed_by_another_due_in_the_same_pass(void **state) {
    (void)state;
    for (int i = 0; i < 2; i++) {
        hio_setcb_close(ends[i], on_close);
        hio_setcb_read(ends[i], close_both);
        hio_read(ends[i]);
        hio_write(ends[i], "x", 1);
    }
    RUN_UNTIL(loop, closes == 2);
    assert_int_equal(reads, 1);
}

static void make_in_close(hio_t *io) {
    (void)io;
    if (++closes < 5) {
        hio_t *pair[2];
        assert_int_equal(hio_create_pipe(loop, pair), 0);
        hio_setcb_close(pair[0], make_in_close);
        hio_close(pair[0]);
        hio_t *client = hloop_create_tcp_client(loop, "127.0.0.1", 1, NULL, NULL);
        hio_close(client);
    }
}

static void test_io_made_and_closed_in_close_callbacks(void **state) {
    (void)state;
    hio_setcb_close(ends[0], make_in_close);
    hio_close(ends[0]);
    for (int pass = 1; pass <= 5; pass++) {
        RUN_PASSES(loop, 1);
        assert_int_equal(closes, pass); /* one generation a pass */
    }
}

static void test_io_free_of_the_loop_closes_all_also_new_ones(void **state) {
    (void)state;
    hio_setcb_close(ends[0], make_in_close);
    hio_write(ends[1], "unsent", 6);
    hio_setcb_close(ends[1], on_close);
    hloop_free(&loop);
    assert_int_equal(closes, 5); /* make_in_close goes on to the fifth */
}

static void test_io_of_a_descriptor_is_the_same_again(void **state) {
    (void)state;
    assert_ptr_equal(hio_get(loop, hio_fd(ends[0])), ends[0]);
    assert_null(hio_get(loop, 9999));
    assert_int_equal(hloop_last_error(loop), -EBADF);
    assert_null(hio_get(loop, loop->wake_watcher.fd));
    assert_int_equal(hloop_last_error(loop), -EBADF);
    assert_true(hio_id(ends[0]) != hio_id(ends[1]));
    hio_set_context(ends[0], &closes);
    assert_ptr_equal(hio_context(ends[0]), &closes);
    hclose(loop, hio_fd(ends[0]));
    RUN_PASSES(loop, 1);
    assert_int_equal(hloop_nios(loop), 1);
}

static void write_forever(hio_t *io, const void *buf, int len) {
    (void)buf;
    (void)len;
    writes++;
    hio_write(io, "x", 1);
}

static void detach_the_other(hio_t *io, const void *buf, int len) {
    (void)io;
    (void)buf;
    (void)len;
    if (ends[1] != NULL) hio_detach(ends[1]);
    if (ends[1] != NULL) hio_close(ends[1]);
    ends[1] = NULL;
}

/* The io that ended the round is gone: the flush must end all the same. */
static void test_io_flush_is_bounded_when_its_last_goes(void **state) {
    (void)state;
    hio_t *more[2];
    assert_int_equal(hio_create_pipe(loop, more), 0);
    hio_setcb_write(ends[0], detach_the_other);
    hio_setcb_write(more[0], write_forever);
    hio_write(ends[0], "x", 1);
    hio_write(more[0], "x", 1);
    hio_write(ends[1], "x", 1); /* the last of the dirty */
    RUN_PASSES(loop, 4);
    assert_true(writes >= 1);
    assert_true(writes <= 4); /* once a pass, whatever it writes */
}

/* ---- Between loops ---- */

static void fail_then_detach(htimer_t *timer) {
    (void)timer;
    hio_abort(ends[0]);
    hio_detach(ends[0]); /* it has ended meanwhile; its new loop tells */
}

static void test_io_that_has_failed_is_reported_by_its_new_loop(void **state) {
    (void)state;
    hloop_t *second = hloop_new(0);
    hio_setcb_close(ends[0], on_close);
    htimer_add(loop, fail_then_detach, 0, 1);
    RUN_PASSES(loop, 3);
    assert_int_equal(closes, 0);
    hio_attach(second, ends[0]);
    RUN_PASSES(second, 1);
    assert_int_equal(closes, 1);
    hloop_free(&second);
}

static void test_io_detached_takes_queue_callbacks_and_timeouts_along(void **state) {
    (void)state;
    hloop_t *second = hloop_new(0);
    hio_setcb_read(ends[1], on_read);
    hio_read(ends[1]);
    hio_set_keepalive_timeout(ends[0], 60000);
    hio_write(ends[0], "hello", 5);
    hio_detach(ends[0]);
    assert_int_equal(hloop_ntimers(loop), 0);
    RUN_PASSES(loop, 2);
    assert_int_equal(reads, 0);
    hio_attach(second, ends[0]);
    assert_int_equal(hloop_ntimers(second), 1);
    RUN_BOTH_UNTIL(loop, second, reads == 5);
    hloop_free(&second);
}

static void on_beat(hio_t *io) { (void)io; }

/* Between two loops: everything may be called, and nothing needs a loop. */
static void test_io_detached_refuses_what_needs_a_loop(void **state) {
    (void)state;
    unpack_setting_t bad = {.mode = UNPACK_BY_DELIMITER};
    hio_t *io = ends[0], *datagrams = hloop_create_udp_server(loop, "127.0.0.1", 0);
    struct sockaddr_in to = *(struct sockaddr_in *)(void *)hio_localaddr(datagrams);
    hio_setcb_close(io, on_close);
    hio_write(io, "hello", 5);
    hio_detach(io);
    hio_detach(ends[1]);
    hio_detach(datagrams);
    assert_int_equal(hio_write_bufsize(io), 5);
    assert_false(hio_write_is_complete(io));
    assert_false(hio_write_is_high(io));
    assert_int_equal(hio_idle_ms(io), 0);
    assert_int_equal(hio_write(io, "x", 1), HV_ECLOSED);
    assert_int_equal(hio_flush(io), HV_ECLOSED);
    assert_int_equal(hio_shutdown(io), HV_ECLOSED);
    assert_int_equal(hio_read(io), HV_ECLOSED);
    assert_int_equal(hio_new_ssl_ctx(io, &(hssl_ctx_opt_t){0}), HV_ECLOSED);
    assert_int_equal(hio_forward(io, ends[1]), HV_ECLOSED);
    assert_null(hio_setup_tcp_upstream(io, "127.0.0.1", 1, 0));
    assert_null(hio_setup_tcp_upstream(io, "127.0.0.1", 1, 1));
    assert_null(hio_setup_udp_upstream(datagrams, "127.0.0.1", 1));
    assert_int_equal(hio_sendto(datagrams, "x", 1, (struct sockaddr *)&to), HV_ECLOSED);
    hio_set_heartbeat(io, 10, on_beat);
    hio_set_heartbeat(io, 0, NULL);
    hio_set_unpack(ends[1], &bad);
    hio_attach(loop, ends[1]);
    assert_int_equal(hio_read(ends[1]), HV_EINVAL); /* now it is told */
    int fds[] = {hio_fd(io), hio_fd(datagrams)};
    hio_close(io);
    hio_abort(datagrams);
    for (int i = 0; i < 2; i++) assert_int_equal(fcntl(fds[i], F_GETFD), -1);
    RUN_PASSES(loop, 2);
    assert_int_equal(closes, 0); /* there was no loop to call back */
}

static void on_write_some(hio_t *io, const void *buf, int len) {
    (void)io, (void)buf, (void)len;
}

static void test_io_tells_the_callbacks_it_has(void **state) {
    (void)state;
    assert_null(hio_getcb_read(ends[0]));
    assert_null(hio_getcb_write(ends[0]));
    hio_setcb_read(ends[0], on_read);
    hio_setcb_write(ends[0], on_write_some);
    assert_true(hio_getcb_read(ends[0]) == on_read);
    assert_true(hio_getcb_write(ends[0]) == on_write_some);
    assert_null(hio_getcb_read(ends[1]));
}

#define IO_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

/* The ids of ios and the tags of the loop's own watchers come from one counter. */
static void test_io_handle_with_the_tag_of_a_plain_watcher_is_nobodys(void **state) {
    (void)state;
    uint32_t tag = loop->wake_watcher.tag;
    assert_int_not_equal(tag, 0);
    hio_handle_t by_descriptor = {.loop = loop, .fd = loop->wake_watcher.fd, .id = tag};
    hio_handle_t by_id = {.loop = loop, .fd = -1, .id = tag};
    assert_null(hio_of_handle(by_descriptor));
    assert_null(hio_of_handle(by_id));
    assert_int_not_equal(hio_id(ends[0]), tag);
    assert_ptr_equal(hio_of_handle(hio_handle(ends[0])), ends[0]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        IO_TEST(test_io_close_is_reported_once_and_later),
        IO_TEST(test_io_closed_by_another_due_in_the_same_pass),
        IO_TEST(test_io_made_and_closed_in_close_callbacks),
        IO_TEST(test_io_free_of_the_loop_closes_all_also_new_ones),
        IO_TEST(test_io_of_a_descriptor_is_the_same_again),
        IO_TEST(test_io_flush_is_bounded_when_its_last_goes),
        IO_TEST(test_io_that_has_failed_is_reported_by_its_new_loop),
        IO_TEST(test_io_detached_takes_queue_callbacks_and_timeouts_along),
        IO_TEST(test_io_detached_refuses_what_needs_a_loop),
        IO_TEST(test_io_tells_the_callbacks_it_has),
        IO_TEST(test_io_handle_with_the_tag_of_a_plain_watcher_is_nobodys),
    };
    return cmocka_run_group_tests_name("hio", tests, NULL, NULL);
}
