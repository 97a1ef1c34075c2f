/* Tests of runtime/net/hlinger.c: closing with unread input takes nothing from the peer that was
 * sent to it, and costs nobody else anything. Peers are blocking sockets. */
#include "loop_test.h"

static hloop_t *loop;
static hnet_t *net;
static size_t blocks_before;
static hio_t *listener;
static int peer;
static int closes;
static int aborts;  /* how on_accept ends the connection */
static int is_mute; /* and whether it answers before */
static int reads;

static void on_close(hio_t *io) {
    (void)io;
    closes++;
}

static void on_accept(hio_t *io) {
    hio_setcb_close(io, on_close);
    if (!is_mute) hio_write(io, "answer", 6);
    if (aborts) {
        hio_flush(io);
        hio_abort(io);
    } else {
        hio_close(io);
    }
}

static int set_up(void **state) {
    (void)state;
    blocks_before = hv__mem_live_blocks();
    loop = hloop_new(HLOOP_FLAG_QUIT_WHEN_NO_ACTIVE_EVENTS);
    if (loop == NULL) return 1;
    listener = hloop_create_tcp_server(loop, "127.0.0.1", 0, on_accept);
    hevent_unref(listener);
    net = loop->net;
    closes = aborts = is_mute = reads = 0;
    const struct sockaddr *addr = hio_localaddr(listener);
    peer = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return connect(peer, addr, sizeof(struct sockaddr_in));
}

static int tear_down(void **state) {
    (void)state;
    close(peer);
    if (loop != NULL) hloop_free(&loop);
    hclock_use_real();
    return hv__mem_live_blocks() != blocks_before;
}

static void say(const char *text) {
    assert_int_equal(send(peer, text, strlen(text), MSG_NOSIGNAL), (long)strlen(text));
}

static void expect_answer_and_end(void) {
    char got[16];
    assert_int_equal(recv(peer, got, sizeof got, MSG_WAITALL), 6);
    assert_memory_equal(got, "answer", 6);
}

static void test_close_with_unread_input_lets_the_peer_read_its_answer(void **state) {
    (void)state;
    say("unread");
    RUN_UNTIL(loop, closes == 1);
    assert_int_equal(net->lingering_count, 1);
    /* A FIN, no reset: the answer, then the end; and sending goes on meanwhile. */
    expect_answer_and_end();
    say("more");
    RUN_UNTIL(loop, net->lingering_count == 1);
    close(peer);
    peer = -1;
    RUN_UNTIL(loop, net->lingering_count == 0);
}

static void test_close_with_all_read_does_not_linger(void **state) {
    (void)state;
    RUN_UNTIL(loop, closes == 1);
    assert_int_equal(net->lingering_count, 0);
    expect_answer_and_end();
}

static void test_close_without_an_answer_does_not_linger(void **state) {
    (void)state;
    is_mute = 1;
    say("unread");
    RUN_UNTIL(loop, closes == 1);
    assert_int_equal(net->lingering_count, 0);
}

static void test_abort_does_not_linger(void **state) {
    (void)state;
    aborts = 1;
    say("unread");
    RUN_UNTIL(loop, closes == 1);
    assert_int_equal(net->lingering_count, 0);
}

static hio_t *reader;

static void on_once(hio_t *io, void *buf, int len) {
    (void)buf;
    reads += len;
    reader = io;
}

static void on_accept_reader(hio_t *io) {
    hio_setcb_close(io, on_close);
    hio_setcb_read(io, on_once);
    hio_read_until_delim(io, '\n');
}

static void test_close_behind_a_line_counts_what_was_read_too_far(void **state) {
    (void)state;
    hio_setcb_accept(listener, on_accept_reader);
    say("line\nand more");
    RUN_UNTIL(loop, reads == 5);
    hio_write(reader, "answer", 6);
    hio_close(reader);
    RUN_UNTIL(loop, closes == 1);
    assert_int_equal(net->lingering_count, 1);
    expect_answer_and_end();
}

static void test_linger_ends_after_its_time(void **state) {
    (void)state;
    say("unread");
    RUN_UNTIL(loop, closes == 1);
    assert_int_equal(net->lingering_count, 1);
    hclock_set_fake(hclock_mono_us() + 3000 * 1000);
    RUN_PASSES(loop, 2);
    assert_int_equal(net->lingering_count, 0);
}

static void test_linger_ends_after_its_bytes(void **state) {
    (void)state;
    static char block[64 * 1024];
    say("unread");
    RUN_UNTIL(loop, closes == 1);
    int sent = 0;
    while (net->lingering_count > 0) {
        assert_true(sent < 64);
        if (send(peer, block, sizeof block, MSG_NOSIGNAL) < 0) break;
        sent++;
        hloop_process_events(loop, 0);
        hloop_process_events(loop, 0);
    }
    assert_true(sent >= 15);
}

static void test_linger_keeps_no_loop_running_and_is_freed_with_it(void **state) {
    (void)state;
    say("unread");
    RUN_UNTIL(loop, closes == 1);
    assert_int_equal(net->lingering_count, 1);
    hloop_run(loop); /* ends at once: nothing of the user's is left */
    assert_int_equal(net->lingering_count, 1);
    hloop_free(&loop);
    loop = NULL;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            test_close_with_unread_input_lets_the_peer_read_its_answer, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_close_with_all_read_does_not_linger, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_close_without_an_answer_does_not_linger, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_abort_does_not_linger, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_close_behind_a_line_counts_what_was_read_too_far,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_linger_ends_after_its_time, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_linger_ends_after_its_bytes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_linger_keeps_no_loop_running_and_is_freed_with_it,
                                        set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
