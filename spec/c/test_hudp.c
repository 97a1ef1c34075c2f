/* Tests of runtime/net/hudp.c. */
#include "loop_test.h"

static hloop_t *loop;
static size_t blocks_before;
static hio_t *server, *client;
static char heard[256];
static int reads, closes, last_error, client_reads;
static long written;

static void on_server_read(hio_t *io, void *buf, int len) {
    assert_true((size_t)len < sizeof heard);
    assert_int_equal(((char *)buf)[len], '\0');
    memcpy(heard, buf, (size_t)len);
    heard[len] = '\0';
    reads++;
    assert_int_equal(hio_write(io, buf, (size_t)len), len); /* back to the sender */
}

static void on_client_read(hio_t *io, void *buf, int len) {
    (void)io;
    (void)buf;
    (void)len;
    client_reads++;
}

static void on_close(hio_t *io) {
    closes++;
    last_error = hio_error(io);
}

static void on_write(hio_t *io, const void *buf, int len) {
    (void)io;
    (void)buf;
    written += len;
}

static int set_up(void **state) {
    (void)state;
    blocks_before = hv__mem_live_blocks();
    loop = hloop_new(0);
    server = hloop_create_udp_server(loop, "127.0.0.1", 0);
    client = hloop_create_udp_client(loop, "127.0.0.1", port_of(server));
    if (server == NULL || client == NULL) return 1;
    hio_setcb_read(server, on_server_read);
    hio_setcb_read(client, on_client_read);
    hio_read(server);
    hio_read(client);
    reads = closes = last_error = client_reads = 0;
    written = 0;
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    hloop_free(&loop);
    return hv__mem_live_blocks() != blocks_before;
}

static void test_udp_datagrams_go_there_and_back(void **state) {
    (void)state;
    assert_int_equal(hio_type(client), HIO_TYPE_UDP);
    hio_setcb_write(client, on_write);
    assert_int_equal(hio_write(client, "one", 3), 3);
    assert_int_equal(hio_write(client, "three", 5), 5); /* never joined */
    assert_int_equal(written, 0);
    RUN_UNTIL(loop, reads == 2 && client_reads == 2);
    assert_string_equal(heard, "three");
    assert_int_equal(written, 8);
}

static void test_udp_empty_datagram_is_one_too(void **state) {
    (void)state;
    assert_int_equal(hio_write(client, "", 0), 0);
    RUN_UNTIL(loop, reads == 1 && client_reads == 1);
    assert_string_equal(heard, "");
}

static void test_udp_sendto_names_its_receiver(void **state) {
    (void)state;
    hio_t *third = hloop_create_udp_server(loop, "127.0.0.1", 0);
    hio_setcb_read(third, on_server_read);
    hio_read(third);
    hio_t *sender = hloop_create_udp_server(loop, "127.0.0.1", 0);
    assert_int_equal(hio_write(sender, "x", 1), HV_ENOTCONN); /* no peer yet */
    assert_int_equal(hio_sendto(sender, "to you", 6, hio_localaddr(third)), 6);
    RUN_UNTIL(loop, reads == 1);
    assert_string_equal(heard, "to you");
    assert_int_equal(hio_sendto(server, "x", 1, hio_localaddr(third)), 1);
    hio_close(sender);
    assert_int_equal(hio_sendto(sender, "x", 1, hio_localaddr(third)), HV_ECLOSED);
}

static void test_udp_peer_that_is_set_again_stays(void **state) {
    (void)state;
    struct sockaddr_un path = {.sun_family = AF_UNIX, .sun_path = "/tmp/peer"};
    hio_set_peeraddr(server, (struct sockaddr *)&path, sizeof path);
    hio_set_peeraddr(server, hio_peeraddr(server), sizeof path);
    assert_memory_equal(hio_peeraddr(server), &path, sizeof path);
    hio_set_peeraddr(client, hio_peeraddr(client), sizeof(struct sockaddr_in));
    assert_int_equal(hio_write(client, "x", 1), 1);
    RUN_UNTIL(loop, reads == 1);
}

static void test_udp_report_of_a_dead_port_does_not_close(void **state) {
    (void)state;
    int port = port_of(server);
    hio_setcb_close(client, on_close);
    hio_close(server);
    RUN_PASSES(loop, 1);
    assert_int_equal(hio_write(client, "x", 1), 1);
    RUN_UNTIL(loop, hio_error(client) == ECONNREFUSED);
    server = hloop_create_udp_server(loop, "127.0.0.1", port);
    assert_non_null(server);
    hio_setcb_read(server, on_server_read);
    hio_read(server);
    assert_int_equal(hio_write(client, "again", 5), 5);
    RUN_UNTIL(loop, reads == 1);
    assert_int_equal(closes, 0);
}

static void close_in_callback(hio_t *io, void *buf, int len) {
    (void)buf;
    (void)len;
    reads++;
    hio_close(io);
}

static void test_udp_close_in_callback_ends_it(void **state) {
    (void)state;
    hio_setcb_read(server, close_in_callback);
    hio_setcb_close(server, on_close);
    for (int i = 0; i < 5; i++) hio_write(client, "x", 1);
    RUN_UNTIL(loop, closes == 1);
    assert_int_equal(reads, 1);
}

static void test_udp_into_own_buffer(void **state) {
    (void)state;
    char own[8];
    hio_set_readbuf(server, own, sizeof own);
    hio_write(client, "fits", 4);
    RUN_UNTIL(loop, reads == 1);
    assert_string_equal(heard, "fits");
    assert_memory_equal(own, "fits", 4);
}

static void test_udp_port_is_not_taken_twice(void **state) {
    (void)state;
    assert_null(hloop_create_udp_server(loop, "127.0.0.1", port_of(server)));
    assert_int_equal(hloop_last_error(loop), HV_EADDRINUSE);
}

static void test_udp_many_are_read_in_bounded_turns(void **state) {
    (void)state;
    for (int i = 0; i < 40; i++) assert_int_equal(hio_write(client, "x", 1), 1);
    RUN_PASSES(loop, 1);
    assert_true(reads > 0);
    assert_true(reads < 40);
    RUN_UNTIL(loop, reads == 40);
}

#define UDP_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        UDP_TEST(test_udp_datagrams_go_there_and_back),
        UDP_TEST(test_udp_empty_datagram_is_one_too),
        UDP_TEST(test_udp_sendto_names_its_receiver),
        UDP_TEST(test_udp_peer_that_is_set_again_stays),
        UDP_TEST(test_udp_report_of_a_dead_port_does_not_close),
        UDP_TEST(test_udp_close_in_callback_ends_it),
        UDP_TEST(test_udp_into_own_buffer),
        UDP_TEST(test_udp_port_is_not_taken_twice),
        UDP_TEST(test_udp_many_are_read_in_bounded_turns),
    };
    return cmocka_run_group_tests_name("hudp", tests, NULL, NULL);
}
