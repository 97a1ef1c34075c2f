/* Streams of HTTP/2 that are given away: the io that a program gets, its ends, and who outlives
 * whom. RFC 8441, RFC 9113 section 8.5. */
#include "h2_fixture.h"
#include "hio.h"

static hio_t *tunnel;
static int reads, eofs, closes, close_error, drains, shutdowns;
static char heard[4096];
static size_t heard_len;

static void forget(void) {
    tunnel = NULL;
    reads = eofs = closes = close_error = drains = shutdowns = 0;
    heard_len = 0;
}

static void on_read(hio_t *io, void *buf, int len) {
    reads++;
    if (heard_len + (size_t)len <= sizeof heard) memcpy(heard + heard_len, buf, (size_t)len);
    heard_len += (size_t)len;
    (void)io;
}

static void on_eof(hio_t *io) {
    (void)io;
    eofs++;
}

static void on_close(hio_t *io) {
    closes++;
    close_error = hio_error(io);
    tunnel = NULL;
}

static void on_drain(hio_t *io) {
    (void)io;
    drains++;
}

static void on_shutdown(hio_t *io) {
    shutdowns++;
    hio_close(io);
}

/* Takes every request over, at once. */
static void take_over(hhttp_request_t *req, void *userdata) {
    (void)userdata;
    hhttp_header_t header = {{"Upgrade", 7}, {"chat", 4}};
    int is_connect = hhttp_request_method(req) == HHTTP_CONNECT;
    fix->calls++;
    fix->result = hhttp_request_upgrade(req, is_connect ? 200 : 101, &header, 1, &tunnel);
    if (fix->result != 0) {
        hhttp_respond(req, 200, NULL, "no", 2);
        return;
    }
    hio_setcb_read(tunnel, on_read);
    hio_setcb_eof(tunnel, on_eof);
    hio_setcb_close(tunnel, on_close);
    hhttp_upgraded_on_shutdown(tunnel, on_shutdown);
}

static void await_int(const int *value, int wanted) {
    AWAIT(*value >= wanted);
    assert_int_equal(*value, wanted);
}

static void put_connect(uint32_t stream, const char *protocol) {
    h2_text_t *block = calloc(1, sizeof *block);
    assert_non_null(block);
    put_field(block, ":method", "CONNECT");
    put_field(block, ":authority", "x:443");
    if (protocol != NULL) {
        put_field(block, ":protocol", protocol);
        put_field(block, ":scheme", "http");
        put_field(block, ":path", "/");
    }
    put_frame(&text, F_HEADERS, END_HEADERS, stream, block->data, block->len);
    free(block);
}

/* A client with an open tunnel on stream 1. */
static int open_tunnel(const char *protocol) {
    forget();
    int fd = greeting_client();
    put_connect(1, protocol);
    send_text(fd);
    await_frame(fd, F_HEADERS, 1, 0, NULL, NULL);
    assert_int_equal(fix->result, 0);
    assert_non_null(tunnel);
    return fd;
}

/* ---- The io ---- */

static void test_a_tunnel_is_an_io_as_any_other(void **state) {
    (void)state;
    begin_with(NULL, take_over);
    int fd = open_tunnel("chat");
    assert_true(hio_is_connected(tunnel));
    struct sockaddr_in *peer = (struct sockaddr_in *)(void *)hio_peeraddr(tunnel);
    struct sockaddr_in *local = (struct sockaddr_in *)(void *)hio_localaddr(tunnel);
    assert_int_equal(ntohl(peer->sin_addr.s_addr), INADDR_LOOPBACK);
    assert_int_equal(ntohs(local->sin_port), fix->port);
    /* Nothing is delivered before somebody reads. */
    put_frame(&text, F_DATA, 0, 1, "hello ", 6);
    put_frame(&text, F_DATA, 0, 1, "there", 5);
    send_text(fd);
    pass(20);
    assert_int_equal(reads, 0);
    hio_read(tunnel);
    AWAIT(heard_len >= 11);
    assert_memory_equal(heard, "hello there", 11);
    assert_int_equal(hio_write(tunnel, "answer", 6), 6);
    const unsigned char *payload;
    size_t len;
    await_frame(fd, F_DATA, 1, 0, &payload, &len);
#ifndef HV_HOSTILE
    assert_int_equal(len, 6);
    assert_memory_equal(payload, "answer", 6);
#endif
    assert_int_equal(hhttp_server_connections(fix->server), 1);
    close(fd);
    await_int(&closes, 1);
    assert_int_not_equal(close_error, 0);
}

static void test_a_peer_that_ends_its_side_can_still_be_told(void **state) {
    (void)state;
    begin_with(NULL, take_over);
    int fd = open_tunnel(NULL);
    hio_read(tunnel);
    put_frame(&text, F_DATA, END_STREAM, 1, "last", 4);
    send_text(fd);
    await_int(&eofs, 1);
    assert_int_equal(heard_len, 4);
    hio_write(tunnel, "bye", 3);
    hio_close(tunnel);
    for (int nth = 0;; nth++) {
        if (await_frame(fd, F_DATA, 1, nth, NULL, NULL) & END_STREAM) break;
    }
    await_int(&closes, 1);
    assert_int_equal(close_error, 0);
    close(fd);
}

static void test_what_is_closed_stops_the_peer(void **state) {
    (void)state;
    begin_with(NULL, take_over);
    int fd = open_tunnel("chat");
    hio_close(tunnel);
    assert_int_equal(await_frame(fd, F_DATA, 1, 0, NULL, NULL), END_STREAM);
    const unsigned char *payload;
    size_t len;
    await_frame(fd, F_RST_STREAM, 1, 0, &payload, &len);
    assert_int_equal(read_u32(payload), 0);
    put_connect(3, "chat");
    send_text(fd);
    await_frame(fd, F_HEADERS, 3, 0, NULL, NULL);
    hio_abort(tunnel);
    await_frame(fd, F_RST_STREAM, 3, 0, &payload, &len);
    assert_int_equal(read_u32(payload), 8 /* CANCEL */);
    assert_int_equal(closes, 2);
    close(fd);
}

static void test_a_tunnel_waits_for_the_window_of_its_peer(void **state) {
    (void)state;
    static char large[400000];
    begin_with(NULL, take_over);
    int fd = open_tunnel("chat");
    hio_set_write_high(tunnel, 100000);
    hio_setcb_drain(tunnel, on_drain);
    assert_int_equal(hio_write(tunnel, large, sizeof large), sizeof large);
    assert_true(hio_write_is_high(tunnel));
    pass(20);
    assert_int_equal(drains, 0);
    size_t total = 0;
    for (int nth = 0; total < sizeof large; nth++) {
        size_t len;
        await_frame(fd, F_DATA, 1, nth, NULL, &len);
        total += len;
        put_number_frame(&text, F_WINDOW_UPDATE, 0, (uint32_t)len);
        put_number_frame(&text, F_WINDOW_UPDATE, 1, (uint32_t)len);
        send_text(fd);
    }
    assert_int_equal(total, sizeof large);
    assert_int_equal(drains, 1);
    hio_close(tunnel);
    await_int(&closes, 1);
    close(fd);
}

static void test_a_reset_fails_the_io(void **state) {
    (void)state;
    begin_with(NULL, take_over);
    int fd = open_tunnel("chat");
    put_number_frame(&text, F_RST_STREAM, 1, 8);
    send_text(fd);
    await_int(&closes, 1);
    assert_int_equal(close_error, ECONNRESET);
    close(fd);
}

static void test_a_tunnel_can_be_taken_later(void **state) {
    (void)state;
    begin_with(NULL, take_over);
    int fd = open_tunnel("chat");
    hhttp_server_on_request(fix->server, NULL, NULL);
    close(fd);
    await_int(&closes, 1);
}

static hhttp_request_t *kept;

static void keep(hhttp_request_t *req, void *userdata) {
    (void)userdata;
    fix->calls++;
    kept = req;
}

static void test_a_request_is_taken_over_outside_of_its_callback(void **state) {
    (void)state;
    begin_with(NULL, keep);
    forget();
    int fd = client();
    put_preface(&text);
    put_connect(1, "chat");
    put_frame(&text, F_DATA, 0, 1, "early", 5);
    send_text(fd);
    await_int(&fix->calls, 1);
    pass(20);
    take_over(kept, fix);
    assert_int_equal(fix->result, 0);
    hio_read(tunnel);
    AWAIT(heard_len >= 5);
    assert_memory_equal(heard, "early", 5);
    hio_close(tunnel);
    await_int(&closes, 1);
    close(fd);
}

/* ---- The server ---- */

static void test_a_server_that_ends_tells_its_tunnels(void **state) {
    (void)state;
    begin_with(NULL, take_over);
    int fd = open_tunnel("chat");
    hhttp_server_close(fix->server, 60000, on_server_close, fix);
    await_int(&shutdowns, 1);
    await_int(&closes, 1);
    await_int(&fix->close_calls, 1);
    fix->server = NULL;
    await_eof(fd);
    close(fd);
}

static void test_a_server_whose_grace_is_over_cuts_them_off(void **state) {
    (void)state;
    begin_with(NULL, take_over);
    int fd = open_tunnel("chat");
    hhttp_upgraded_on_shutdown(tunnel, NULL);
    hhttp_server_close(fix->server, 1000, on_server_close, fix);
    pass(10);
    assert_int_equal(closes, 0);
    pass_ms(1100);
    await_int(&closes, 1);
    await_int(&fix->close_calls, 1);
    fix->server = NULL;
    close(fd);
}

static void test_a_loop_that_is_freed_closes_its_tunnels(void **state) {
    (void)state;
    begin_with(NULL, take_over);
    int fd = open_tunnel("chat");
    hhttp_server_close(fix->server, INFINITE, on_server_close, fix);
    hhttp_upgraded_on_shutdown(tunnel, NULL);
    hloop_free(&fix->loop);
    assert_int_equal(closes, 1);
    assert_int_equal(fix->close_calls, 1);
    fix->server = NULL;
    close(fd);
}

static void test_only_what_asks_for_it_is_given_away(void **state) {
    (void)state;
    begin_with(NULL, take_over);
    forget();
    int fd = client();
    put_preface(&text);
    put_request(&text, END_STREAM, 1, "GET", "/", NULL);
    put_request(&text, 0, 3, "POST", "/", NULL);
    send_text(fd);
    await_frame(fd, F_DATA, 3, 0, NULL, NULL);
    assert_int_equal(fix->calls, 2);
    assert_int_equal(fix->result, HV_EPROTO);
    close(fd);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_a_tunnel_is_an_io_as_any_other),
        TEST(test_a_peer_that_ends_its_side_can_still_be_told),
        TEST(test_what_is_closed_stops_the_peer),
        TEST(test_a_tunnel_waits_for_the_window_of_its_peer),
        TEST(test_a_reset_fails_the_io),
        TEST(test_a_tunnel_can_be_taken_later),
        TEST(test_a_request_is_taken_over_outside_of_its_callback),
        TEST(test_a_server_that_ends_tells_its_tunnels),
        TEST(test_a_server_whose_grace_is_over_cuts_them_off),
        TEST(test_a_loop_that_is_freed_closes_its_tunnels),
        TEST(test_only_what_asks_for_it_is_given_away),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
