/* Tests of runtime/net/hforward.c: forwarding in one direction, ends of pipes, and three ios in a
 * row: a connection, a program's input, and its output. The program is played by the test. */
#include "loop_test.h"

#include <fcntl.h>

static hloop_t *loop;
static size_t blocks_before;
static int client;            /* the other end of `conn`, blocking */
static hio_t *conn, *in, *out; /* `in` is written, `out` is read */
static int program_in, program_out; /* what the program reads and writes, blocking; or -1 */
static int conn_closes, in_closes, out_closes;
static uint64_t conn_bytes, out_bytes;

static void on_conn_close(hio_t *io) {
    conn_bytes = hio_forwarded_bytes(io);
    conn_closes++;
    conn = NULL;
}

static void on_in_close(hio_t *io) {
    (void)io;
    in_closes++;
    in = NULL;
}

static void on_out_close(hio_t *io) {
    out_bytes = hio_forwarded_bytes(io);
    out_closes++;
    out = NULL;
}

static int set_up(void **state) {
    (void)state;
    int pair[2], input[2], output[2];
    blocks_before = hv__mem_live_blocks();
    loop = hloop_new(0);
    if (loop == NULL || pipe2(input, O_CLOEXEC) != 0 || pipe2(output, O_CLOEXEC) != 0) return 1;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) return 1;
    client = pair[0];
    conn = hio_get(loop, pair[1]);
    program_in = input[0];
    in = hio_get(loop, input[1]);
    out = hio_get(loop, output[0]);
    program_out = output[1];
    hio_setcb_close(conn, on_conn_close);
    hio_setcb_close(in, on_in_close);
    hio_setcb_close(out, on_out_close);
    conn_closes = in_closes = out_closes = 0;
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    hloop_free(&loop);
    int fds[] = {client, program_in, program_out};
    for (int i = 0; i < 3; i++) {
        if (fds[i] >= 0) close(fds[i]);
    }
    return hv__mem_live_blocks() != blocks_before;
}

static void say(int fd, const char *text) {
    assert_int_equal(write(fd, text, strlen(text)), (long)strlen(text));
}

static void expect(int fd, const char *text) {
    char got[64] = "";
    size_t len = 0;
    while (len < strlen(text)) {
        long more = read(fd, got + len, strlen(text) - len);
        assert_true(more > 0);
        len += (size_t)more;
    }
    assert_string_equal(got, text);
}

static void expect_end(int fd) {
    char byte;
    assert_int_equal(read(fd, &byte, 1), 0);
}

static void shut(int *fd) {
    close(*fd);
    *fd = -1;
}

static void serve_program(void) {
    assert_int_equal(hio_forward_to(conn, in), 0);
    assert_int_equal(hio_forward_to(out, conn), 0);
}

static void test_forward_to_and_from_a_program_both_ways(void **state) {
    (void)state;
    serve_program();
    say(client, "question");
    RUN_UNTIL(loop, hio_forwarded_bytes(conn) == 8);
    RUN_PASSES(loop, 2);
    expect(program_in, "question");
    say(program_out, "answer");
    RUN_UNTIL(loop, hio_forwarded_bytes(out) == 6);
    RUN_PASSES(loop, 2);
    expect(client, "answer");
    /* The client ends: so does the program's input, and its output goes on. */
    shutdown(client, SHUT_WR);
    RUN_UNTIL(loop, in_closes == 1);
    expect_end(program_in);
    assert_int_equal(conn_closes, 0);
    say(program_out, "more");
    shut(&program_out);
    RUN_UNTIL(loop, out_closes == 1 && conn_closes == 1);
    expect(client, "more");
    expect_end(client);
    assert_int_equal(conn_bytes, 8);
    assert_int_equal(out_bytes, 10);
}

static void test_program_that_ends_its_output_ends_the_peers_input(void **state) {
    (void)state;
    serve_program();
    say(program_out, "only this");
    shut(&program_out);
    RUN_UNTIL(loop, out_closes == 1);
    RUN_PASSES(loop, 2);
    expect(client, "only this");
    expect_end(client);
    assert_int_equal(conn_closes, 0); /* it is still listened to */
    say(client, "go on");
    RUN_UNTIL(loop, hio_forwarded_bytes(conn) == 5);
    RUN_PASSES(loop, 2);
    expect(program_in, "go on");
    shut(&client);
    RUN_UNTIL(loop, conn_closes == 1 && in_closes == 1);
}

static void test_program_that_takes_no_input_can_still_answer(void **state) {
    (void)state;
    serve_program();
    shut(&program_in);
    RUN_UNTIL(loop, in_closes == 1);
    assert_int_equal(conn_closes, 0);
    say(program_out, "answer");
    shut(&program_out);
    RUN_UNTIL(loop, conn_closes == 1);
    expect(client, "answer");
    expect_end(client);
}

static void test_program_that_dies_closes_the_connection(void **state) {
    (void)state;
    serve_program();
    shut(&program_out);
    shut(&program_in);
    RUN_UNTIL(loop, conn_closes == 1 && in_closes == 1 && out_closes == 1);
    expect_end(client);
}

static void test_peer_that_has_gone_closes_both_ends_of_the_program(void **state) {
    (void)state;
    serve_program();
    hio_abort(conn);
    RUN_UNTIL(loop, conn_closes == 1 && in_closes == 1 && out_closes == 1);
    expect_end(program_in);
}

static void test_forward_with_an_end_of_a_pipe_goes_one_way(void **state) {
    (void)state;
    assert_int_equal(hio_forward(conn, out), 0);
    say(program_out, "output");
    shut(&program_out);
    RUN_UNTIL(loop, conn_closes == 1 && out_closes == 1);
    expect(client, "output");
    expect_end(client);
}

static void test_forward_that_cannot_flow_is_refused(void **state) {
    (void)state;
    assert_int_equal(hio_forward(in, out), 0); /* out flows to in, at least */
    assert_int_equal(hio_forward_to(in, conn), HV_EINVAL);
    assert_int_equal(hio_forward_to(conn, out), HV_EINVAL);
    assert_int_equal(hio_forward_to(conn, in), HV_EBUSY);
    assert_int_equal(hio_forward_to(out, conn), HV_EBUSY);
    assert_int_equal(hio_forward_to(out, in), 0); /* again */
}

/* Short: where a byte a call is written, each takes as much of the kernel as many, and a unix
 * socket that nobody reads is ready for more only up to a quarter of its room. */
static const char block[20];

static void write_beyond_the_mark(hio_t *io) {
    hio_set_write_high(io, 10);
    assert_int_equal(hio_write(io, block, sizeof block), (int)sizeof block);
    assert_true(hio_write_is_high(io));
}

/* Where nobody forwards to it, a queue that drains is of no concern to the forwarding. */
static void test_source_of_one_way_may_be_written_to(void **state) {
    (void)state;
    assert_int_equal(hio_forward_to(conn, in), 0);
    write_beyond_the_mark(conn);
    RUN_UNTIL(loop, hio_write_is_complete(conn));
    assert_int_equal(conn_closes, 0);
}

/* A drain goes on with what the forwarding has stopped, not with what its user has. */
static void test_source_stopped_by_hand_stays_stopped(void **state) {
    (void)state;
    hio_t *ends[2];
    assert_int_equal(hio_create_pipe(loop, ends), 0);
    assert_int_equal(hio_forward_to(conn, ends[0]), 0);
    hio_read_stop(conn);
    write_beyond_the_mark(ends[0]);
    say(client, "x");
    RUN_UNTIL(loop, hio_write_is_complete(ends[0]));
    RUN_PASSES(loop, 5);
    assert_int_equal(hio_forwarded_bytes(conn), 0);
    hio_read(conn);
    RUN_UNTIL(loop, hio_forwarded_bytes(conn) == 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_forward_to_and_from_a_program_both_ways, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_program_that_ends_its_output_ends_the_peers_input,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_program_that_takes_no_input_can_still_answer, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_program_that_dies_closes_the_connection, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_peer_that_has_gone_closes_both_ends_of_the_program,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_forward_with_an_end_of_a_pipe_goes_one_way, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_forward_that_cannot_flow_is_refused, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_source_of_one_way_may_be_written_to, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_source_stopped_by_hand_stays_stopped, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests_name("hforward_to", tests, NULL, NULL);
}
