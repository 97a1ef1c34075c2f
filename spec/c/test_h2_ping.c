/* A client of HTTP/2 that asks by PING whether a connection is alive, by a clock that is turned by
 * hand; the server is a descriptor of the test's. RFC 9113 section 6.7. */
#include "h2_test.h"
#include "hhttp_client.h"
#include "http_test.h"

static int listener, peer; /* of the server's side */
static hhttp_client_t *asker;
static int dones, done_error;
static char done_text[200];
static h2_text_t text;

static void on_done(hhttp_call_t *call, int error) {
    dones++;
    done_error = error;
    snprintf(done_text, sizeof done_text, "%s", hhttp_call_error_text(call));
}

static void start_call(const char *method) {
    hhttp_call_options_t options = {
        .method = method, .on_done = on_done, .http2 = HHTTP_CALL_HTTP2_PRIOR};
    char url[64];
    snprintf(url, sizeof url, "http://127.0.0.1:%d/", fix->port);
    assert_int_equal(hhttp_url_parse(url, &options.url), 0);
    assert_non_null(hhttp_call_start(asker, &options));
}

static void begin_client(uint32_t ping_interval_ms) {
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof addr;
    listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&addr, len), 0);
    assert_int_equal(listen(listener, 8), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&addr, &len), 0);
    fix->port = ntohs(addr.sin_port);
    fix->loop = hloop_new(0);
    hhttp_client_options_t options = {.ping_interval_ms = ping_interval_ms,
                                      .pong_timeout_ms = 2000};
    asker = hhttp_client_new(fix->loop, &options);
    dones = done_error = 0;
}

static void end_client(void) {
    hhttp_client_close(asker);
    close(peer);
    close(listener);
}

/* How many frames of that kind have come behind the preface. */
static int count_frames(int kind) {
    const unsigned char *payload;
    size_t len, preface = sizeof H2_PREFACE - 1;
    int count = 0;
    receive(peer);
    if (fix->reply_len < preface) return 0;
    while (find_frame(fix->reply + preface, fix->reply_len - preface, kind, -1, count, &payload,
                      &len) >= 0) {
        count++;
    }
    return count;
}

static void await_frames(int kind, int count) {
    for (int i = 0; i < PASSES_MAX && count_frames(kind) < count; i++) {
        hloop_process_events(fix->loop, i < 10 ? 0 : 1);
    }
    assert_int_equal(count_frames(kind), count);
}

/* Takes the client's connection, and says SETTINGS. */
static void take_connection(void) {
    fix->reply_len = 0;
    fix->reply_eof = 0;
    for (int i = 0; i < PASSES_MAX; i++) {
        hloop_process_events(fix->loop, 1);
        peer = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
        if (peer >= 0) break;
    }
    assert_true(peer >= 0);
    text.len = 0;
    put_frame(&text, F_SETTINGS, 0, 0, NULL, 0);
    put_frame(&text, F_SETTINGS, ACK, 0, NULL, 0);
    say_bytes(peer, text.data, text.len);
    await_frames(F_HEADERS, 1);
    pass(5);
}

static void put_response(uint32_t stream) {
    static h2_text_t block;
    block.len = 0;
    put_field(&block, ":status", "200");
    put_frame(&text, F_HEADERS, END_HEADERS | END_STREAM, stream, block.data, block.len);
}

static void say_pong(void) {
    text.len = 0;
    put_frame(&text, F_PING, ACK, 0, "\0\0\0\0\0\0\0\0", 8);
    say_bytes(peer, text.data, text.len);
}

static void test_a_connection_that_does_not_answer_is_closed(void **state) {
    (void)state;
    begin_client(5000);
    start_call("POST");
    take_connection();
    pass_ms(4900);
    assert_int_equal(count_frames(F_PING), 0);
    pass_ms(200);
    await_frames(F_PING, 1);
    pass_ms(1900);
    pass_ms(10);
    assert_int_equal(dones, 0);
    pass_ms(200);
    pass_ms(10);
    AWAIT(dones > 0);
    assert_int_equal(done_error, HV_ETIMEDOUT);
    assert_string_equal(done_text, "the connection is dead: no answer to a PING");
    for (int i = 0; i < PASSES_MAX && fix->reply_eof == 0; i++) {
        hloop_process_events(fix->loop, 1);
        receive(peer);
    }
    assert_int_not_equal(fix->reply_eof, 0);
    end_client();
}

static void test_a_connection_that_answers_is_left_alone(void **state) {
    (void)state;
    begin_client(5000);
    start_call("GET");
    take_connection();
    for (int i = 1; i <= 3; i++) {
        pass_ms(5100);
        await_frames(F_PING, i);
        say_pong();
        pass(5);
    }
    assert_int_equal(dones, 0);
    text.len = 0;
    put_response(1);
    say_bytes(peer, text.data, text.len);
    AWAIT(dones > 0);
    assert_int_equal(done_error, 0);
    /* Without a call nobody asks. */
    for (int i = 0; i < 4; i++) pass_ms(5100);
    assert_int_equal(count_frames(F_PING), 3);
    end_client();
}

static void test_an_answer_that_lies_unread_counts(void **state) {
    (void)state;
    NEEDS_WHOLE_READS();
    begin_client(5000);
    start_call("GET");
    take_connection();
    pass_ms(5100);
    await_frames(F_PING, 1);
    say_pong(); /* and the program holds the loop up */
    pass_ms(30000);
    pass_ms(10);
    assert_int_equal(dones, 0);
    end_client();
}

static void test_what_is_safe_is_asked_once_more(void **state) {
    (void)state;
    begin_client(5000);
    start_call("GET");
    take_connection();
    text.len = 0;
    put_response(1);
    say_bytes(peer, text.data, text.len);
    AWAIT(dones > 0);
    start_call("GET"); /* over the same one, which has served */
    await_frames(F_HEADERS, 2);
    pass_ms(5100);
    await_frames(F_PING, 1);
    pass_ms(2100);
    pass_ms(10);
    int dead = peer;
    take_connection();
    close(dead);
    text.len = 0;
    put_response(1);
    say_bytes(peer, text.data, text.len);
    AWAIT(dones > 1);
    assert_int_equal(done_error, 0);
    hhttp_client_counts_t counts;
    hhttp_client_counts(asker, &counts);
    assert_int_equal(counts.repeated, 1);
    end_client();
}

static void test_nobody_asks_by_default(void **state) {
    (void)state;
    begin_client(0);
    start_call("GET");
    take_connection();
    for (int i = 0; i < 10; i++) pass_ms(10000);
    assert_int_equal(count_frames(F_PING), 0);
    assert_int_equal(dones, 0);
    end_client();
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_a_connection_that_does_not_answer_is_closed),
        TEST(test_a_connection_that_answers_is_left_alone),
        TEST(test_an_answer_that_lies_unread_counts),
        TEST(test_what_is_safe_is_asked_once_more),
        TEST(test_nobody_asks_by_default),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
