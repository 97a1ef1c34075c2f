/* Tests of runtime/http/http_upgrade.c and runtime/net/hio_owner.c. */
#include "http_test.h"

#define UPGRADE "GET /chat HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"

static hio_t *taken;
static int closed_calls, shutdown_calls, eof_calls;
static char heard[256];
static size_t heard_len;

static void on_taken_read(hio_t *io, void *buf, int len) {
    assert_true(heard_len + (size_t)len < sizeof heard);
    memcpy(heard + heard_len, buf, (size_t)len);
    heard_len += (size_t)len;
    heard[heard_len] = '\0';
    hio_write(io, buf, (size_t)len);
}

static void on_taken_close(hio_t *io) {
    assert_ptr_equal(io, taken);
    taken = NULL;
    closed_calls++;
}

static void on_taken_eof(hio_t *io) {
    eof_calls++;
    hio_write(io, "bye", 3);
    hio_close(io);
}

static void on_shutdown(hio_t *io) {
    assert_ptr_equal(io, taken);
    shutdown_calls++;
}

static void close_on_shutdown(hio_t *io) {
    shutdown_calls++;
    hio_write(io, "going", 5);
    hio_close(io);
}

static int begin_upgrade(void **state) {
    taken = NULL;
    closed_calls = shutdown_calls = eof_calls = 0;
    heard_len = 0;
    heard[0] = '\0';
    return setup(state);
}

static void take(hhttp_request_t *req) {
    hhttp_header_t header = {{"Upgrade", 7}, {"echo", 4}};
    assert_int_equal(hhttp_request_upgrade(req, 101, &header, 1, &taken), 0);
    assert_true(hhttp_request_is_over(req));
    assert_int_equal(hhttp_respond(req, 200, NULL, NULL, 0), HV_EBUSY);
    assert_null(hio_context(taken));
    hio_setcb_read(taken, on_taken_read);
    hio_setcb_close(taken, on_taken_close);
    hio_setcb_eof(taken, on_taken_eof);
    assert_int_equal(hio_read(taken), 0);
}

static void take_now(hhttp_request_t *req, void *userdata) {
    (void)userdata;
    fix->calls++;
    take(req);
    /* What the request says stays readable until the callback has returned. */
    assert_memory_equal(hhttp_request_path(req).data, "/chat", 5);
}

static void take_later(hhttp_request_t *req, void *userdata) {
    (void)userdata;
    fix->calls++;
    fix->kept = req;
}

static void await_heard(int fd, const char *text) {
    for (int i = 0; i < PASSES_MAX && heard_len < strlen(text); i++) {
        hloop_process_events(fix->loop, i < 10 ? 0 : 1);
        receive(fd);
    }
    assert_string_equal(heard, text);
}

static void test_upgraded_connection_speaks_what_its_owner_does(void **state) {
    (void)state;
    begin_with(NULL, take_now);
    int fd = client();
    say(fd, UPGRADE);
    await(fd, "\r\n\r\n");
    assert_string_equal(fix->reply, "HTTP/1.1 101 Switching Protocols\r\n"
                                    "Date: Sun, 09 Sep 2001 01:46:40 GMT\r\n"
                                    "Connection: Upgrade\r\nUpgrade: echo\r\n\r\n");
    forget_reply();
    say(fd, GET);
    await(fd, GET); /* an echo, no answer */
    assert_int_equal(fix->calls, 1);
    assert_int_equal(hhttp_server_connections(fix->server), 1);
    pass_ms(200000); /* no time limit of HTTP's is on it */
    assert_int_equal(closed_calls, 0);
    hio_close(taken);
    await_eof(fd);
    assert_int_equal(closed_calls, 1);
    assert_int_equal(hhttp_server_connections(fix->server), 0);
    close(fd);
}

static void test_bytes_behind_the_head_come_first(void **state) {
    (void)state;
    begin_with(NULL, take_now);
    int fd = client();
    say(fd, UPGRADE "one ");
    say(fd, "two");
    await_heard(fd, "one two");
    await(fd, "one two");
    close(fd);
    await_connections(0);
    assert_int_equal(eof_calls, 1);
}

/* Bytes are put back at every split of head and what follows it. */
static void test_bytes_behind_the_head_come_at_every_split(void **state) {
    (void)state;
    begin_with(NULL, take_now);
    static const char text[] = UPGRADE "abc";
    for (size_t cut = 1; cut < sizeof text - 1; cut++) {
        heard_len = 0;
        int fd = client();
        say_bytes(fd, text, cut);
        pass(2);
        say_bytes(fd, text + cut, sizeof text - 1 - cut);
        await_heard(fd, "abc");
        close(fd);
        await_connections(0);
    }
}

static void test_upgrade_may_come_later_behind_other_answers(void **state) {
    (void)state;
    begin_with(NULL, take_later);
    int fd = client();
    say(fd, GET UPGRADE "early");
    AWAIT(fix->kept != NULL);
    hhttp_request_t *first = fix->kept;
    fix->kept = NULL;
    hhttp_respond(first, 200, NULL, "first", 5);
    AWAIT(fix->kept != NULL);
    pass(5);
    shutdown(fd, SHUT_WR);
    pass(5);
    take(fix->kept);
    await_heard(fd, "early");
    await(fd, "early");
    await_eof(fd);
    HAS("first");
    HAS("bye");
    assert_int_equal(eof_calls, 1);
    close(fd);
    await_connections(0);
}

static void test_connect_becomes_a_tunnel(void **state) {
    (void)state;
    begin_with(NULL, take_later);
    int fd = client();
    say(fd, "CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n");
    AWAIT(fix->kept != NULL);
    hio_t *io = NULL;
    assert_int_equal(hhttp_request_upgrade(fix->kept, 101, NULL, 0, &io), HV_EPROTO);
    assert_int_equal(hhttp_request_upgrade(fix->kept, 302, NULL, 0, &io), HV_EINVAL);
    assert_null(io);
    assert_int_equal(hhttp_request_upgrade(fix->kept, 200, NULL, 0, &io), 0);
    await(fd, "\r\n\r\n");
    assert_string_equal(fix->reply,
                        "HTTP/1.1 200 OK\r\nDate: Sun, 09 Sep 2001 01:46:40 GMT\r\n\r\n");
    hio_close(io);
    await_eof(fd);
    close(fd);
}

static void refuse_upgrade(hhttp_request_t *req, void *userdata) {
    (void)userdata;
    hio_t *io = NULL;
    hhttp_header_t bad = {{"Connection", 10}, {"x", 1}};
    assert_int_equal(hhttp_request_upgrade(req, 101, &bad, 1, &io), HV_EINVAL);
    assert_int_equal(hhttp_request_upgrade(req, 101, NULL, 0, &io), HV_EPROTO);
    assert_int_equal(hhttp_request_upgrade(req, 200, NULL, 0, &io), HV_EPROTO);
    assert_null(io);
    fix->calls++;
    hhttp_respond(req, 200, NULL, "no", 2);
    assert_int_equal(hhttp_request_upgrade(req, 101, NULL, 0, &io), HV_EBUSY);
}

static void test_what_asks_for_no_upgrade_gets_none(void **state) {
    (void)state;
    begin_with(NULL, refuse_upgrade);
    static const char *requests[] = {
        GET,
        "GET / HTTP/1.0\r\nConnection: Upgrade, keep-alive\r\nUpgrade: echo\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n"
        "Content-Length: 2\r\n\r\nhi",
        "POST / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n"
        "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    };
    int fd = client();
    for (int i = 0; i < 4; i++) {
        say(fd, requests[i]);
        await_count(fd, "no", i + 1);
    }
    assert_int_equal(fix->calls, 4);
    close(fd);
    await_connections(0);
}

static void test_owner_may_close_at_once(void **state) {
    (void)state;
    begin_with(NULL, take_later);
    int fd = client();
    say(fd, UPGRADE "rest");
    AWAIT(fix->kept != NULL);
    pass(5);
    take(fix->kept);
    hio_abort(taken);
    AWAIT(closed_calls > 0);
    assert_int_equal(closed_calls, 1);
    assert_string_equal(heard, "");
    close(fd);
    await_connections(0);
}

static void close_server(uint32_t grace_ms, int drains) {
    if (drains) {
        hhttp_server_drain(fix->server, grace_ms, on_server_close, fix);
    } else {
        hhttp_server_close(fix->server, grace_ms, on_server_close, fix);
    }
    fix->server = NULL;
}

static void tell_and_wait(int drains) {
    begin_with(NULL, take_now);
    int fd = client();
    say(fd, UPGRADE);
    await(fd, "\r\n\r\n");
    assert_int_equal(hhttp_upgraded_on_shutdown(taken, close_on_shutdown), 0);
    close_server(5000, drains);
    assert_int_equal(shutdown_calls, 0); /* never inside the call */
    await_eof(fd);
    HAS("going");
    for (int i = 0; i < 10 && fix->close_calls == 0; i++) pass(1);
    assert_int_equal(fix->close_calls, 1);
    assert_int_equal(shutdown_calls, 1);
    assert_int_equal(closed_calls, 1);
    close(fd);
}

static void test_close_tells_and_waits(void **state) {
    (void)state;
    tell_and_wait(0);
}

static void test_drain_tells_and_waits(void **state) {
    (void)state;
    tell_and_wait(1);
}

static void test_grace_cuts_off_who_stays(void **state) {
    (void)state;
    begin_with(NULL, take_now);
    int fd = client();
    say(fd, UPGRADE);
    await(fd, "\r\n\r\n");
    close_server(5000, 0);
    /* Asked for on a server that closes already. */
    assert_int_equal(hhttp_upgraded_on_shutdown(taken, on_shutdown), 0);
    pass_ms(4000);
    assert_int_equal(shutdown_calls, 1);
    assert_int_equal(fix->close_calls, 0);
    say(fd, "still there");
    await(fd, "still there");
    pass_ms(2000);
    assert_int_equal(closed_calls, 1);
    assert_int_equal(fix->close_calls, 1);
    close(fd);
}

static void test_server_counts_no_more_what_left_its_loop(void **state) {
    (void)state;
    begin_with(NULL, take_now);
    int fd = client();
    say(fd, UPGRADE);
    await(fd, "\r\n\r\n");
    hio_t *io = taken;
    hio_detach(io);
    pass(2);
    assert_int_equal(hhttp_server_connections(fix->server), 0);
    hio_attach(fix->loop, io);
    say(fd, "hi");
    await(fd, "hi");
    assert_int_equal(hhttp_upgraded_on_shutdown(io, on_shutdown), HV_EINVAL);
    close(fd);
    AWAIT(closed_calls > 0);
    assert_int_equal(closed_calls, 1);
}

static void test_loop_may_be_freed_with_upgraded_connections(void **state) {
    (void)state;
    begin_with(NULL, take_now);
    int fd = client();
    say(fd, UPGRADE "x");
    await(fd, "x");
    close_server(10000, 0);
    hloop_free(&fix->loop);
    assert_int_equal(closed_calls, 1);
    assert_int_equal(fix->close_calls, 1);
    close(fd);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin_upgrade, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_upgraded_connection_speaks_what_its_owner_does),
        TEST(test_bytes_behind_the_head_come_first),
        TEST(test_bytes_behind_the_head_come_at_every_split),
        TEST(test_upgrade_may_come_later_behind_other_answers),
        TEST(test_connect_becomes_a_tunnel),
        TEST(test_what_asks_for_no_upgrade_gets_none),
        TEST(test_owner_may_close_at_once),
        TEST(test_close_tells_and_waits),
        TEST(test_drain_tells_and_waits),
        TEST(test_grace_cuts_off_who_stays),
        TEST(test_server_counts_no_more_what_left_its_loop),
        TEST(test_loop_may_be_freed_with_upgraded_connections),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
