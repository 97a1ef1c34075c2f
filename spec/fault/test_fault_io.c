/* Every allocation of a conversation fails in turn: nothing crashes, nothing leaks, every io that
 * was given out is closed exactly once, and each failure is told: by a return value, by the error
 * of a closed io, or by hloop_last_error. */
#include "fault_test.h"
#include "loop_test.h"

static int given, closed, told, heard;

static void on_close(hio_t *io) {
    closed++;
    if (hio_error(io) == ENOMEM) told++;
}

static hio_t *take(hio_t *io, const hloop_t *loop) {
    if (io == NULL) {
        assert_int_equal(hloop_last_error(loop), HV_ENOMEM);
        told++;
        return NULL;
    }
    given++;
    hio_setcb_close(io, on_close);
    return io;
}

static void check(int code) {
    if (code >= 0) return;
    if (code == HV_ENOMEM) told++;
}

static unpack_setting_t lines = {
    .mode = UNPACK_BY_DELIMITER, .delimiter = "\n", .delimiter_bytes = 1};

static void on_server_read(hio_t *io, void *buf, int len) {
    heard += len;
    check(hio_write(io, buf, (size_t)len));
    hio_read_stop(io);
    check(hio_read(io));
}

static void on_write(hio_t *io, const void *buf, int len) {
    (void)io;
    (void)buf;
    (void)len;
}

static void on_beat(hio_t *io) { check(hio_write(io, "b", 1)); }

static void on_accept(hio_t *io) {
    take(io, hevent_loop(io));
    hio_set_unpack(io, &lines);
    hio_setcb_read(io, on_server_read);
    hio_setcb_write(io, on_write);
    hio_set_keepalive_timeout(io, 60000);
    check(hio_read(io));
}

static void on_connect(hio_t *io) {
    static char big[300000];
    memset(big, 'b', sizeof big - 1);
    big[sizeof big - 1] = '\n';
    check(hio_write(io, "in pieces", 9));
    check(hio_write(io, "\nand more\nrest", 14));
    check(hio_write(io, big, sizeof big));
    hio_close(io);
}

static void converse(hloop_t *loop) {
    hio_t *server = take(hloop_create_tcp_server(loop, "127.0.0.1", 0, on_accept), loop);
    int port = server ? port_of(server) : 0;
    if (port > 0) {
        hio_t *client = take(hloop_create_tcp_client(loop, "127.0.0.1", port, on_connect, on_close),
                             loop);
        if (client) check(hio_write(client, "early\n", 6));
    }
    hio_t *ends[2];
    int code = hio_create_pipe(loop, ends);
    check(code);
    if (code == 0) {
        take(ends[0], loop);
        take(ends[1], loop);
        hio_setcb_read(ends[1], on_server_read);
        check(hio_read_until_length(ends[1], 6));
        check(hio_write(ends[0], "abc", 3));
        RUN_PASSES(loop, 2);
        check(hio_write(ends[0], "def", 3));
        hio_set_heartbeat(ends[0], 100000, on_beat);
    }
    RUN_PASSES(loop, 60);
}

static void live(void) {
    given = closed = told = heard = 0;
    hloop_t *loop = hloop_new(0);
    if (loop == NULL) {
        told++;
        return;
    }
    converse(loop);
    if (hloop_last_error(loop) == HV_ENOMEM) told++;
    hloop_free(&loop);
}

static void judge(int has_failed) {
    if (has_failed) assert_true(told > 0);
    assert_int_equal(closed, given);
}

static void test_fault_in_a_conversation(void **state) {
    (void)state;
    assert_true(fail_each_allocation(live, judge) > 11);
    assert_true(heard > 6 + 6); /* without a failure it was a conversation */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fault_in_a_conversation),
    };
    return cmocka_run_group_tests_name("fault_io", tests, NULL, NULL);
}
