/* Trailers of requests and of answers, over HTTP/1.1 and HTTP/2: what a program is told and when,
 * what is passed over or refused, and what is left out where there is no place for them. RFC 9110
 * section 6.5, RFC 9112 section 7.1.2, RFC 9113 section 8.1. */
#include "h2_fixture.h"

/* What the program has been told, as text. */
static char told[2000];

static void tell(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void tell(const char *format, ...) {
    size_t len = strlen(told);
    va_list args;
    va_start(args, format);
    vsnprintf(told + len, sizeof told - len, format, args);
    va_end(args);
}

static void tell_trailers(const hhttp_request_t *req) {
    hhttp_header_t trailer;
    size_t cursor = 0;
    int code;
    while ((code = hhttp_request_next_trailer(req, &cursor, &trailer)) == 1) {
        tell("%.*s=%.*s;", (int)trailer.name.len, trailer.name.data, (int)trailer.value.len,
             trailer.value.data);
    }
    tell("%s", code == HV_EAGAIN ? "too early;" : "end;");
}

static const hhttp_header_t status_of_grpc[] = {{{"Grpc-Status", 11}, {"0", 1}},
                                                {{"grpc-message", 12}, {"", 0}}};

static void on_body(hhttp_request_t *req, int error) {
    fix->body_calls++;
    fix->body_error = error;
    if (error != 0) return;
    tell_trailers(req);
    hhttp_slice_t md5 = hhttp_request_trailer(req, "X-MD5", 5);
    if (md5.data != NULL) tell("md5 %.*s;", (int)md5.len, md5.data);
    assert_null(hhttp_request_trailer(req, "host", 4).data);
    assert_null(hhttp_request_header(req, "x-md5", 5).data);
    assert_int_equal(hhttp_response_begin(req, 200, NULL, 0, fix->result), 0);
    assert_int_equal(hhttp_response_write(req, "body", 4), 0);
    hhttp_header_t bad = {{"Content-Length", 14}, {"4", 1}};
    assert_int_equal(hhttp_response_end_with(req, &bad, 1), HV_EINVAL);
    bad = (hhttp_header_t){{"x", 1}, {"a\nb", 3}};
    assert_int_equal(hhttp_response_end_with(req, &bad, 1), HV_EINVAL);
    assert_int_equal(hhttp_response_end_with(req, status_of_grpc, 2), 0);
    assert_int_equal(hhttp_response_end_with(req, status_of_grpc, 2), HV_ECLOSED);
}

static void collect(hhttp_request_t *req, void *userdata) {
    (void)userdata;
    fix->calls++;
    if (hhttp_request_body_length(req) != 0) tell_trailers(req);
    if (hhttp_request_collect_body(req, on_body) == 1) on_body(req, 0);
}

static void begin_told(const hhttp_server_options_t *options, hhttp_request_cb on_request) {
    told[0] = '\0';
    begin_with(options, on_request);
    fix->result = -1; /* the length that answers announce */
}

/* ---- HTTP/1.1 ---- */

#define CHUNKED "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n"

static void test_trailers_behind_chunks_are_told_at_the_end(void **state) {
    (void)state;
    static const char request[] =
        CHUNKED "X-MD5:  abc \r\nHost: y\r\nother:\r\nCookie: a=b\r\n\r\n";
    begin_told(NULL, collect);
    int fd = client();
    for (size_t cut = sizeof CHUNKED - 8; cut < sizeof request; cut += 3) {
        told[0] = '\0';
        forget_reply();
        fix->body_calls = 0;
        say_bytes(fd, request, cut);
        pass(3);
        say_bytes(fd, request + cut, sizeof request - 1 - cut);
        await(fd, "grpc-message: \r\n\r\n");
        assert_string_equal(told, "too early;X-MD5=abc;other=;end;md5 abc;");
        HAS("Transfer-Encoding: chunked\r\n");
        HAS("\r\n\r\n4\r\nbody\r\n0\r\nGrpc-Status: 0\r\ngrpc-message: \r\n\r\n");
    }
    close(fd);
}

static void read_pieces(hhttp_request_t *req, hhttp_slice_t piece, int error) {
    while (error == 0) {
        tell("%zu;", piece.len);
        tell_trailers(req);
        if (piece.len == 0) {
            hhttp_respond(req, 200, NULL, "ok", 2);
            return;
        }
        int result = hhttp_request_read_body(req, &piece, read_pieces);
        if (result != 1) return;
    }
}

static void read_body(hhttp_request_t *req, void *userdata) {
    (void)userdata;
    hhttp_slice_t piece;
    if (hhttp_request_read_body(req, &piece, read_pieces) == 1) read_pieces(req, piece, 0);
}

static void test_trailers_are_told_behind_the_last_piece(void **state) {
    (void)state;
    begin_told(NULL, read_body);
    int fd = client();
    say(fd, CHUNKED "a: b\r\n\r\n" GET);
    await_count(fd, "\r\n\r\nok", 2);
#ifndef HV_HOSTILE
    assert_string_equal(told, "4;too early;0;a=b;end;0;end;");
#endif
    close(fd);
}

static void test_an_answer_without_place_for_trailers_leaves_them_out(void **state) {
    (void)state;
    begin_told(NULL, collect);
    fix->result = 4;
    int fd = client();
    say(fd, GET);
    await(fd, "\r\n\r\nbody");
    say(fd, "HEAD / HTTP/1.1\r\nHost: x\r\n\r\n");
    await_count(fd, "200 OK", 1);
    fix->result = -1;
    say(fd, "GET / HTTP/1.0\r\n\r\n");
    await_eof(fd);
    HAS_NOT("rpc");
    close(fd);
}

static void test_more_trailers_than_headers_may_be_are_refused(void **state) {
    (void)state;
    hhttp_server_options_t options = {.header_count_max = 3, .header_bytes_max = 100};
    static const char *const texts[] = {
        CHUNKED "a: 1\r\nb: 2\r\nc: 3\r\nd: 4\r\n\r\n",
        CHUNKED "a: 0123456789012345678901234567890123456789012345678901234567890123456789\r\n"
                "b: 0123456789012345678901234567890123456789\r\n\r\n",
    };
    begin_told(&options, collect);
    for (size_t i = 0; i < 2; i++) {
        fix->body_error = 0;
        int fd = client();
        say(fd, texts[i]);
        await(fd, "HTTP/1.1 431 ");
        await_eof(fd);
        assert_int_equal(fix->body_error, fix->body_calls > 0 ? HV_ELIMIT : 0);
        close(fd);
    }
    int fd = client();
    say(fd, CHUNKED "a: 1\r\nb: 2\r\nc: 3\r\n\r\n");
    await(fd, "200 OK");
    close(fd);
}

static void answer_at_once(hhttp_request_t *req, void *userdata) {
    (void)userdata;
    hhttp_respond(req, 200, NULL, "at once", 7);
}

static void test_trailers_that_nobody_asks_for_are_dropped(void **state) {
    (void)state;
    begin_told(NULL, answer_at_once);
    int fd = client();
    say(fd, CHUNKED "a: b\r\n\r\n" CHUNKED "c: d\r\n\r\n" GET);
    await_count(fd, "at once", 3);
    close(fd);
}

/* ---- HTTP/2 ---- */

static void put_trailers(uint32_t stream, const char *const *fields) {
    static h2_text_t block;
    block.len = 0;
    for (; fields[0] != NULL; fields += 2) put_field(&block, fields[0], fields[1]);
    put_frame(&text, F_HEADERS, END_STREAM | END_HEADERS, stream, block.data, block.len);
}

/* What the client sees of an answer to a POST on that stream: the flags of its frames in order. */
static void check_answer_with_trailers(int fd, uint32_t stream) {
    const unsigned char *payload;
    size_t len;
    assert_int_equal(await_frame(fd, F_HEADERS, stream, 0, NULL, NULL), END_HEADERS);
    assert_int_equal(await_frame(fd, F_HEADERS, stream, 1, &payload, &len),
                     END_HEADERS | END_STREAM);
    assert_int_equal(await_frame(fd, F_DATA, stream, 0, &payload, &len), 0);
    assert_memory_equal(payload, "body", 4);
}

static void test_trailers_of_http2_are_told_and_sent(void **state) {
    (void)state;
    static const char *const fields[] = {"x-md5", "abc", "host", "y", "other", "", NULL};
    begin_told(NULL, collect);
    int fd = greeting_client();
    put_request(&text, 0, 1, "POST", "/", NULL);
    put_frame(&text, F_DATA, 0, 1, "body", 4);
    put_trailers(1, fields);
    put_request(&text, 0, 3, "POST", "/", NULL);
    put_trailers(3, fields); /* and nothing before */
    send_text(fd);
    check_answer_with_trailers(fd, 1);
    check_answer_with_trailers(fd, 3);
    assert_string_equal(told, "too early;x-md5=abc;other=;end;md5 abc;"
                              "too early;x-md5=abc;other=;end;md5 abc;");
    close(fd);
}

static void test_more_trailers_of_http2_than_headers_may_be_are_refused(void **state) {
    (void)state;
    hhttp_server_options_t options = {.header_count_max = 6};
    static const char *const fields[] = {"a", "1", "b", "2", "c", "3", "d", "4",
                                         "e", "5", "f", "6", "g", "7", NULL};
    begin_told(&options, collect);
    int fd = greeting_client();
    put_request(&text, 0, 1, "POST", "/", NULL);
    send_text(fd);
    pass(10);
    put_trailers(1, fields);
    send_text(fd);
    const unsigned char *payload;
    size_t len;
    await_frame(fd, F_DATA, 1, 0, &payload, &len);
    assert_memory_equal(payload, "431 ", 4);
    assert_int_equal(fix->body_calls, 1);
    assert_int_equal(fix->body_error, HV_ELIMIT);
    put_request(&text, 0, 3, "POST", "/", NULL);
    put_trailers(3, fields + 2);
    send_text(fd);
    check_answer_with_trailers(fd, 3);
    close(fd);
}

/* As a head that does not end: it holds all other streams up. */
static void test_trailers_that_do_not_end_end_the_connection(void **state) {
    (void)state;
    hhttp_server_options_t options = {.header_timeout_ms = 2000, .body_timeout_ms = 600000};
    begin_told(&options, collect);
    int fd = greeting_client();
    put_request(&text, 0, 1, "POST", "/", NULL);
    send_text(fd);
    pass(10);
    put_frame(&text, F_HEADERS, END_STREAM, 1, "\0\1a\1b", 5);
    send_text(fd);
    pass(20);
    for (int i = 0; i < 3; i++) pass_ms(800);
    await_eof(fd);
    assert_int_equal(fix->body_calls, 1);
    assert_int_not_equal(fix->body_error, 0);
    close(fd);
}

static char large[100000];

static void answer_large(hhttp_request_t *req, void *userdata) {
    (void)userdata;
    assert_int_equal(hhttp_response_begin(req, 200, NULL, 0, -1), 0);
    int code = hhttp_response_write(req, large, sizeof large);
    assert_true(code == 0 || code == HV_EAGAIN);
    assert_int_equal(hhttp_response_end_with(req, status_of_grpc, 2), 0);
}

static void test_trailers_wait_for_the_body_before_them(void **state) {
    (void)state;
    begin_told(NULL, answer_large);
    int fd = greeting_client();
    put_request(&text, END_STREAM, 1, "GET", "/", NULL);
    send_text(fd);
    await_frame(fd, F_DATA, 1, 0, NULL, NULL);
    pass(20);
    receive(fd);
    const unsigned char *payload;
    size_t len, total = 0;
    assert_int_equal(find_frame(fix->reply, fix->reply_len, F_HEADERS, 1, 1, &payload, &len), -1);
    put_number_frame(&text, F_WINDOW_UPDATE, 0, sizeof large);
    put_number_frame(&text, F_WINDOW_UPDATE, 1, sizeof large);
    send_text(fd);
    assert_int_equal(await_frame(fd, F_HEADERS, 1, 1, NULL, NULL), END_HEADERS | END_STREAM);
    for (int nth = 0; find_frame(fix->reply, fix->reply_len, F_DATA, 1, nth, &payload, &len) >= 0;
         nth++) {
        total += len;
    }
    assert_int_equal(total, sizeof large);
    close(fd);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_trailers_behind_chunks_are_told_at_the_end),
        TEST(test_trailers_are_told_behind_the_last_piece),
        TEST(test_an_answer_without_place_for_trailers_leaves_them_out),
        TEST(test_more_trailers_than_headers_may_be_are_refused),
        TEST(test_trailers_that_nobody_asks_for_are_dropped),
        TEST(test_trailers_of_http2_are_told_and_sent),
        TEST(test_more_trailers_of_http2_than_headers_may_be_are_refused),
        TEST(test_trailers_that_do_not_end_end_the_connection),
        TEST(test_trailers_wait_for_the_body_before_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
