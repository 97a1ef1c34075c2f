/* Tests of runtime/http/http_server.c, http_session.c, http_request.c and http_response.c. */
#include "http_test.h"

/* ---- Answers ---- */

static void test_answer_has_date_length_and_type(void **state) {
    (void)state;
    begin_with(NULL, answer_hello);
    int fd = client();
    say(fd, GET);
    await(fd, "hello\n");
    assert_string_equal(fix->reply, "HTTP/1.1 200 OK\r\nDate: Sun, 09 Sep 2001 01:46:40 GMT\r\n"
                                    "Content-Type: text/plain\r\nContent-Length: 6\r\n\r\nhello\n");
    assert_int_equal(hhttp_server_requests(fix->server), 1);
    forget_reply();
    hclock_advance(2000000);
    say(fd, GET);
    await(fd, "hello\n");
    HAS("Date: Sun, 09 Sep 2001 01:46:42 GMT\r\n");
    close(fd);
    await_connections(0);
}

static void test_server_name_is_sent_and_checked(void **state) {
    (void)state;
    hhttp_server_options_t options = {.server_name = "hv/1"};
    begin_with(&options, answer_hello);
    int fd = client();
    say(fd, GET);
    await(fd, "hello\n");
    HAS("Server: hv/1\r\n");
    options.server_name = "a\r\nb";
    assert_null(hhttp_server_new(fix->loop, &options));
    assert_int_equal(hloop_last_error(fix->loop), HV_EINVAL);
    close(fd);
}

static void test_pipelined_requests_are_answered_in_order(void **state) {
    (void)state;
    begin_with(NULL, answer_hello);
    int fd = client();
    char text[300 * sizeof GET] = "";
    for (int i = 0; i < 300; i++) strcat(text, GET);
    say(fd, text);
    await_count(fd, "hello\n", 300);
    assert_int_equal(fix->calls, 300);
    assert_int_equal(hhttp_server_connections(fix->server), 1);
    close(fd);
}

static void test_request_in_single_bytes_is_answered(void **state) {
    (void)state;
    begin_with(NULL, answer_hello);
    int fd = client();
    const char *text = "\r\nGET /a?b=c HTTP/1.1\r\nHost: x\r\nA: b\r\n\r\n" GET;
    for (const char *at = text; *at != '\0'; at++) {
        say_bytes(fd, at, 1);
        pass(2);
    }
    await_count(fd, "hello\n", 2);
    close(fd);
}

static void answer_parts(hhttp_request_t *req, void *userdata) {
    fixture_t *f = userdata;
    f->calls++;
    hhttp_slice_t name = hhttp_request_method_name(req), target = hhttp_request_target(req);
    hhttp_slice_t path = hhttp_request_path(req), query = hhttp_request_query(req);
    hhttp_slice_t host = hhttp_request_host(req);
    hhttp_slice_t agent = hhttp_request_header(req, "user-agent", 10);
    size_t cursor = 0;
    int count = 0;
    hhttp_header_t header;
    while (hhttp_request_next_header(req, &cursor, &header)) count++;
    char text[512];
    int len = snprintf(text, sizeof text, "%.*s|%.*s|%.*s|%.*s|%.*s|%.*s|%d|%d|%d", (int)name.len,
                       name.data, (int)target.len, target.data, (int)path.len, path.data,
                       (int)query.len, query.data, (int)host.len, host.data, (int)agent.len,
                       agent.data, count, hhttp_request_version(req), hhttp_request_method(req));
    assert_int_equal(hhttp_respond(req, 200, NULL, text, (size_t)len), 0);
    assert_true(hhttp_request_is_over(req));
    assert_int_equal(hhttp_respond(req, 200, NULL, text, 1), HV_EBUSY);
    assert_int_equal(hhttp_response_end(req), HV_ECLOSED);
    assert_int_equal(hhttp_request_collect_body(req, NULL), HV_ECLOSED);
}

static void test_request_shows_its_parts(void **state) {
    (void)state;
    begin_with(NULL, answer_parts);
    int fd = client();
    say(fd, "PUT /a%20b?x=1 HTTP/1.1\r\nHost: h:1\r\nUSER-Agent:  me \r\n\r\n");
    await(fd, "PUT|/a%20b?x=1|/a%20b|x=1|h:1|me|2|11|3");
    HAS_NOT("Content-Type");
    say(fd, "BREW / HTTP/1.0\r\n\r\n");
    await(fd, "BREW|/|/|||");
    close(fd);
}

static void test_http10_closes_unless_kept_alive(void **state) {
    (void)state;
    begin_with(NULL, answer_hello);
    int fd = client();
    say(fd, "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    await(fd, "hello\n");
    HAS("Connection: keep-alive\r\n");
    forget_reply();
    say(fd, "GET / HTTP/1.0\r\n\r\n");
    await_eof(fd);
    HAS("Connection: close\r\n");
    HAS("hello\n");
    close(fd);
}

static void test_connection_close_is_honoured(void **state) {
    (void)state;
    begin_with(NULL, answer_hello);
    int fd = client();
    say(fd, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" GET);
    await_eof(fd);
    assert_int_equal(reply_count("hello\n"), 1);
    HAS("Connection: close\r\n");
    assert_int_equal(fix->calls, 1);
    close(fd);
    await_connections(0);
}

static void answer_status(hhttp_request_t *req, void *userdata) {
    (void)userdata;
    const char *digits = hhttp_request_path(req).data + 1; /* a slice has no NUL for atoi */
    int status = (digits[0] - '0') * 100 + (digits[1] - '0') * 10 + (digits[2] - '0');
    assert_int_equal(hhttp_respond(req, status, "a/b", "body", 4), 0);
}

static void test_head_204_and_304_have_no_body(void **state) {
    (void)state;
    begin_with(NULL, answer_status);
    int fd = client();
    say(fd, "HEAD /200 HTTP/1.1\r\nHost: x\r\n\r\nGET /204 HTTP/1.1\r\nHost: x\r\n\r\n"
            "GET /304 HTTP/1.1\r\nHost: x\r\n\r\nGET /404 HTTP/1.1\r\nHost: x\r\n\r\n");
    await(fd, "body");
    assert_int_equal(reply_count("body"), 1);
    assert_int_equal(reply_count("Content-Length: 4\r\n"), 2);
    HAS("HTTP/1.1 204 No Content\r\n");
    HAS("HTTP/1.1 304 Not Modified\r\n");
    HAS("HTTP/1.1 404 Not Found\r\n");
    close(fd);
}

static void answer_refused_first(hhttp_request_t *req, void *userdata) {
    (void)userdata;
    hhttp_header_t bad_value = {{"a", 1}, {"b\r\nc: d", 7}};
    hhttp_header_t bad_name = {{"a b", 3}, {"c", 1}};
    hhttp_header_t own = {{"content-LENGTH", 14}, {"1", 1}};
    hhttp_header_t good = {{"X-A", 3}, {"b\tc", 3}};
    assert_int_equal(hhttp_respond_with(req, 200, &bad_value, 1, "x", 1), HV_EINVAL);
    assert_int_equal(hhttp_respond_with(req, 200, &bad_name, 1, "x", 1), HV_EINVAL);
    assert_int_equal(hhttp_respond_with(req, 200, &own, 1, "x", 1), HV_EINVAL);
    assert_int_equal(hhttp_respond(req, 200, "a\nb", "x", 1), HV_EINVAL);
    assert_int_equal(hhttp_respond(req, 199, NULL, "x", 1), HV_EINVAL);
    assert_int_equal(hhttp_respond(req, 600, NULL, "x", 1), HV_EINVAL);
    assert_int_equal(hhttp_response_write(req, "x", 1), HV_EINVAL);
    assert_int_equal(hhttp_response_end(req), HV_EINVAL);
    assert_false(hhttp_response_has_begun(req));
    assert_int_equal(hhttp_respond_with(req, 200, &good, 1, "fine", 4), 0);
}

static void test_bad_answers_are_refused_and_leave_nothing(void **state) {
    (void)state;
    begin_with(NULL, answer_refused_first);
    int fd = client();
    say(fd, GET);
    await(fd, "fine");
    assert_int_equal(reply_count("HTTP/1.1"), 1);
    HAS("X-A: b\tc\r\n");
    close(fd);
}

static void answer_large(hhttp_request_t *req, void *userdata) {
    (void)userdata;
    size_t len = 40u << 20;
    char *body = malloc(len);
    memset(body, 'b', len);
    assert_int_equal(hhttp_respond(req, 200, NULL, body, len), 0);
    free(body);
}

static void test_answer_beyond_the_queue_limit_arrives_whole(void **state) {
    (void)state;
    NEEDS_WHOLE_READS();
    begin_with(NULL, answer_large);
    int fd = client();
    say(fd, GET);
    size_t total = 0;
    for (int i = 0; i < 200000 && total < 40u << 20; i++) {
        hloop_process_events(fix->loop, 0);
        receive(fd);
        total += fix->reply_len;
        forget_reply();
    }
    assert_true(total > 40u << 20);
    close(fd);
}

/* ---- Answers in pieces ---- */

static void answer_pieces(hhttp_request_t *req, void *userdata) {
    (void)userdata;
    hhttp_slice_t path = hhttp_request_path(req);
    int64_t length = path.len == 2 ? path.data[1] - '0' : -1;
    assert_int_equal(hhttp_response_begin(req, 200, NULL, 0, length), 0);
    assert_true(hhttp_response_has_begun(req));
    assert_int_equal(hhttp_response_write(req, "", 0), 0);
    assert_int_equal(hhttp_response_write(req, "abc", 3), 0);
    assert_int_equal(hhttp_response_write(req, "0123456789abcdefgh", length < 0 ? 18 : 2), 0);
    if (length >= 0) assert_int_equal(hhttp_response_write(req, "xxxxxx", 6), HV_ELIMIT);
    int result = hhttp_response_end(req);
    assert_int_equal(result, length > 5 ? HV_EPROTO : 0);
}

static void test_pieces_are_chunked_counted_or_end_with_the_connection(void **state) {
    (void)state;
    begin_with(NULL, answer_pieces);
    int fd = client();
    say(fd, GET);
    await(fd, "Transfer-Encoding: chunked\r\n\r\n"
              "3\r\nabc\r\n12\r\n0123456789abcdefgh\r\n0\r\n\r\n");
    forget_reply();
    say(fd, "GET /5 HTTP/1.1\r\nHost: x\r\n\r\n");
    await(fd, "Content-Length: 5\r\n\r\nabc01");
    forget_reply();
    say(fd, "HEAD / HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.0\r\n\r\n");
    await_eof(fd);
    assert_int_equal(reply_count("abc0"), 1);
    HAS("\r\nConnection: close\r\n\r\nabc0123456789abcdefgh");
    close(fd);
}

static void test_short_answer_closes_so_that_the_peer_sees_it(void **state) {
    (void)state;
    begin_with(NULL, answer_pieces);
    int fd = client();
    say(fd, "GET /9 HTTP/1.1\r\nHost: x\r\n\r\n");
    for (int i = 0; i < PASSES_MAX && fix->reply_eof == 0; i++) {
        hloop_process_events(fix->loop, 0);
        receive(fd);
    }
    assert_int_not_equal(fix->reply_eof, 0);
    close(fd);
}

static void on_drain(hhttp_request_t *req, void *userdata) {
    ((fixture_t *)userdata)->drain_calls++;
    assert_int_equal(hhttp_response_write(req, "tail", 4), 0);
    assert_int_equal(hhttp_response_end(req), 0);
}

static void answer_until_full(hhttp_request_t *req, void *userdata) {
    fixture_t *f = userdata;
    static char piece[65536];
    memset(piece, 'p', sizeof piece);
    assert_int_equal(hhttp_response_begin(req, 200, NULL, 0, -1), 0);
    int result = 0;
    for (f->calls = 0; result == 0 && f->calls < 1000; f->calls++) {
        result = hhttp_response_write(req, piece, sizeof piece);
    }
    assert_int_equal(result, HV_EAGAIN);
    hhttp_response_on_drain(req, on_drain, f);
}

static void test_full_queue_says_so_and_drains(void **state) {
    (void)state;
    NEEDS_WHOLE_READS();
    begin_with(NULL, answer_until_full);
    int fd = client();
    say(fd, GET);
    pass(20);
    assert_int_equal(fix->drain_calls, 0);
    size_t total = 0;
    int done = 0;
    for (int i = 0; i < 200000 && !done; i++) {
        hloop_process_events(fix->loop, 0);
        receive(fd);
        total += fix->reply_len;
        done = fix->reply_len >= 5 && strstr(fix->reply, "tail\r\n0\r\n\r\n") != NULL;
        if (fix->reply_len > REPLY_MAX / 2) forget_reply();
    }
    assert_true(done);
    assert_int_equal(fix->drain_calls, 1);
    assert_true(total > (size_t)fix->calls * 65536);
    close(fd);
}

/* ---- Answers that come later ---- */

static void test_later_answer_keeps_the_order(void **state) {
    (void)state;
    begin_with(NULL, keep_it);
    int fd = client();
    say(fd, "GET /1 HTTP/1.1\r\nHost: x\r\n\r\nGET /2 HTTP/1.1\r\nHost: x\r\n\r\nGET /3 HT");
    pass(5);
    assert_int_equal(fix->calls, 1);
    assert_memory_equal(hhttp_request_path(fix->kept).data, "/1", 2);
    assert_int_equal(hhttp_respond(fix->kept, 200, NULL, "one", 3), 0);
    assert_int_equal(fix->calls, 1); /* nothing is called inside an API call */
    pass(3);
    assert_int_equal(fix->calls, 2);
    assert_memory_equal(hhttp_request_path(fix->kept).data, "/2", 2);
    assert_int_equal(hhttp_respond(fix->kept, 200, NULL, "two", 3), 0);
    await(fd, "two");
    say(fd, "TP/1.1\r\nHost: x\r\n\r\n");
    pass(5);
    assert_int_equal(fix->calls, 3);
    assert_memory_equal(hhttp_request_path(fix->kept).data, "/3", 2);
    assert_int_equal(hhttp_respond(fix->kept, 200, NULL, "three", 5), 0);
    await(fd, "three");
    assert_true(strstr(fix->reply, "one") < strstr(fix->reply, "two"));
    close(fd);
}

static void test_half_closed_peer_still_gets_its_answer(void **state) {
    (void)state;
    begin_with(NULL, keep_it);
    int fd = client();
    say(fd, GET);
    shutdown(fd, SHUT_WR);
    pass(10);
    assert_int_equal(fix->calls, 1);
    assert_int_equal(hhttp_respond(fix->kept, 200, NULL, "late", 4), 0);
    await(fd, "late");
    await_eof(fd);
    close(fd);
    await_connections(0);
}

static void test_reset_aborts_the_request_once(void **state) {
    (void)state;
    begin_with(NULL, keep_it_watched);
    int fd = client();
    say(fd, GET);
    pass(5);
    hhttp_request_retain(fix->kept);
    struct linger reset = {.l_onoff = 1, .l_linger = 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    close(fd);
    await_connections(0);
    assert_int_equal(fix->abort_calls, 1);
    assert_int_equal(fix->result, HV_ECLOSED);
    assert_memory_equal(hhttp_request_path(fix->kept).data, "/", 1);
    assert_int_equal(hhttp_response_begin(fix->kept, 200, NULL, 0, -1), HV_ECLOSED);
    assert_int_equal(hhttp_request_collect_body(fix->kept, NULL), HV_ECLOSED);
    hhttp_request_release(fix->kept);
}

static void retain_and_answer(hhttp_request_t *req, void *userdata) {
    hhttp_request_retain(req);
    keep_it(req, userdata);
    assert_int_equal(hhttp_request_collect_body(req, NULL), 1);
    assert_int_equal(hhttp_respond(req, 200, NULL, "ok", 2), 0);
}

static void test_retained_request_outlives_its_connection_and_server(void **state) {
    (void)state;
    NEEDS_WHOLE_READS();
    begin_with(NULL, retain_and_answer);
    int fd = client();
    say(fd, "POST /path?q HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody" GET);
    await_count(fd, "ok", 2);
    close(fd);
    await_connections(0);
    hhttp_request_t *first = fix->kept_too;
    hhttp_server_close(fix->server, 0, on_server_close, fix);
    pass(5);
    assert_int_equal(fix->close_calls, 1);
    fix->server = NULL;
    assert_memory_equal(hhttp_request_target(first).data, "/path?q", 7);
    assert_int_equal(hhttp_request_body(first).len, 4);
    assert_memory_equal(hhttp_request_body(first).data, "body", 4);
    assert_int_equal(hhttp_respond(first, 200, NULL, "x", 1), HV_EBUSY);
    hhttp_request_release(first);
    hhttp_request_release(fix->kept);
}

static void abort_it(hhttp_request_t *req, void *userdata) {
    hhttp_request_on_abort(req, count_abort, userdata);
    hhttp_request_abort(req);
    hhttp_request_abort(req);
    assert_int_equal(hhttp_respond(req, 200, NULL, "x", 1), HV_ECLOSED);
}

static void test_abort_closes_without_an_answer(void **state) {
    (void)state;
    begin_with(NULL, abort_it);
    int fd = client();
    say(fd, GET);
    await_connections(0);
    assert_int_equal(fix->abort_calls, 0);
    receive(fd);
    assert_int_equal(fix->reply_len, 0);
    close(fd);
}

/* ---- Bodies ---- */

static void test_body_in_the_same_packet_is_there_at_once(void **state) {
    (void)state;
    begin_with(NULL, echo_body);
    int fd = client();
    say(fd, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nfirst"
            "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
            "3\r\nsec\r\n3;a=b\r\nond\r\n0\r\nTrailer: x\r\n\r\n" GET);
    await_count(fd, "200 OK", 3);
    HAS("Content-Length: 5\r\n\r\nfirst");
    HAS("Content-Length: 6\r\n\r\nsecond");
    HAS("Content-Length: 0\r\n");
    assert_int_equal(fix->calls, 3);
    close(fd);
}

static void test_body_in_single_bytes_is_collected(void **state) {
    (void)state;
    begin_with(NULL, echo_body);
    int fd = client();
    const char *text = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nfirst"
                       "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
                       "3\r\nsec\r\n3;a=b\r\nond\r\n0\r\nTrailer: x\r\n\r\n" GET;
    for (const char *at = text; *at != '\0'; at++) {
        say_bytes(fd, at, 1);
        pass(2);
    }
    await_count(fd, "200 OK", 3);
    HAS("\r\n\r\nfirst");
    HAS("\r\n\r\nsecond");
    assert_int_equal(fix->body_calls, 3);
    close(fd);
}

static void test_body_asked_for_later_comes_later(void **state) {
    (void)state;
    begin_with(NULL, keep_it);
    int fd = client();
    say(fd, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n01234");
    pass(5);
    assert_int_equal(fix->calls, 1);
    assert_int_equal(hhttp_request_collect_body(fix->kept, echo_collected), 0);
    say(fd, "56789" GET);
    await(fd, "0123456789");
    assert_int_equal(fix->body_calls, 1);
    pass(5);
    assert_int_equal(fix->calls, 2);
    assert_int_equal(hhttp_request_collect_body(fix->kept, echo_collected), 1);
    assert_int_equal(hhttp_respond(fix->kept, 200, NULL, "done", 4), 0);
    await(fd, "done");
    close(fd);
}

static void test_large_body_is_collected_up_to_its_limit(void **state) {
    (void)state;
    NEEDS_WHOLE_READS();
    hhttp_server_options_t options = {.body_bytes_max = 300000};
    begin_with(&options, echo_body);
    int fd = client();
    static char body[300001];
    memset(body, 'z', sizeof body);
    say(fd, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 300000\r\n\r\n");
    say_bytes(fd, body, 300000);
    for (int i = 0; i < PASSES_MAX && fix->reply_len < 300000; i++) {
        pass(1);
        receive(fd);
    }
    HAS("Content-Length: 300000\r\n");
    close(fd);
    fd = client();
    say(fd, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 300001\r\n\r\n");
    await(fd, "HTTP/1.1 413 Content Too Large\r\n");
    assert_int_equal(fix->result, HV_ELIMIT);
    say_bytes(fd, body, 1000);
    await_eof(fd);
    close(fd);
    fd = client();
    fix->body_calls = 0;
    say(fd, "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n493e1\r\n");
    say_bytes(fd, body, 300001);
    await(fd, "HTTP/1.1 413 ");
    assert_int_equal(fix->body_calls, 1);
    assert_int_equal(fix->body_error, HV_ELIMIT);
    close(fd);
}

static void test_malformed_body_is_told_and_refused(void **state) {
    (void)state;
    NEEDS_WHOLE_READS();
    begin_with(NULL, echo_body);
    int fd = client();
    say(fd, "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n");
    await(fd, "HTTP/1.1 400 Bad Request\r\n");
    assert_int_equal(fix->result, HV_EPROTO);
    assert_int_equal(fix->body_calls, 0);
    await_eof(fd);
    close(fd);
    fd = client();
    say(fd, "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
    pass(5);
    say(fd, "3\r\nabcd");
    await(fd, "HTTP/1.1 400 Bad Request\r\n");
    assert_int_equal(fix->body_calls, 1);
    assert_int_equal(fix->body_error, HV_EPROTO);
    close(fd);
}

static void test_body_cut_short_is_told(void **state) {
    (void)state;
    begin_with(NULL, echo_body);
    int fd = client();
    say(fd, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nabc");
    pass(5);
    shutdown(fd, SHUT_WR);
    await_connections(0);
    assert_int_equal(fix->body_calls, 1);
    assert_int_equal(fix->body_error, HV_EOF);
    close(fd);
}

static void test_continue_is_said_when_the_body_is_asked_for(void **state) {
    (void)state;
    begin_with(NULL, keep_it);
    int fd = client();
    say(fd, "POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
    pass(5);
    receive(fd);
    assert_int_equal(fix->reply_len, 0);
    assert_int_equal(hhttp_request_collect_body(fix->kept, echo_collected), 0);
    await(fd, "HTTP/1.1 100 Continue\r\n\r\n");
    say(fd, "abc");
    await(fd, "Content-Length: 3\r\n\r\nabc");
    HAS_NOT("close");
    close(fd);
}

static void test_unasked_continue_closes_after_the_answer(void **state) {
    (void)state;
    begin_with(NULL, answer_hello);
    int fd = client();
    say(fd, "POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
    await(fd, "hello\n");
    HAS("Connection: close\r\n");
    HAS_NOT("100 Continue");
    await_eof(fd);
    close(fd);
}

static void test_unread_body_is_drained_or_closes(void **state) {
    (void)state;
    begin_with(NULL, answer_hello);
    int fd = client();
    say(fd, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab");
    await_count(fd, "hello\n", 1);
    HAS_NOT("close");
    say(fd, "cde" GET "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc");
    await_count(fd, "hello\n", 3);
    say(fd, "\r\n0\r\n\r\n" GET);
    await_count(fd, "hello\n", 4);
    forget_reply();
    say(fd, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\nab");
    await(fd, "hello\n");
    HAS("Connection: close\r\n");
    static char rest[100000];
    say_bytes(fd, rest, sizeof rest);
    await_eof(fd);
    close(fd);
}

static void test_endless_unread_body_is_cut_off(void **state) {
    (void)state;
    begin_with(NULL, answer_hello);
    int fd = client();
    say(fd, "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nfffff\r\n");
    await(fd, "hello\n");
    static char rest[200000];
    say_bytes(fd, rest, sizeof rest);
    await_eof(fd);
    close(fd);
    await_connections(0);
}

static void test_answer_before_the_body_is_whole_cancels_it(void **state) {
    (void)state;
    begin_with(NULL, echo_body);
    int fd = client();
    say(fd, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab");
    pass(5);
    assert_int_equal(fix->body_calls, 0);
    assert_int_equal(hhttp_respond(fix->kept, 403, NULL, "no", 2), 0);
    assert_int_equal(fix->body_calls, 0);
    await(fd, "403 Forbidden");
    pass(3);
    assert_int_equal(fix->body_calls, 1);
    assert_int_equal(fix->body_error, HV_ECANCELED);
    say(fd, "cde" GET);
    await_count(fd, "HTTP/1.1", 2);
    close(fd);
}

/* ---- Refusals and limits ---- */

static void refused(const char *request, const char *status_line) {
    int fd = client();
    say(fd, request);
    await(fd, status_line);
    HAS("Connection: close\r\n");
    HAS("Content-Type: text/plain\r\n");
    await_eof(fd);
    close(fd);
    await_connections(0);
}

static void test_refusals_have_their_status_and_close(void **state) {
    (void)state;
    hhttp_server_options_t options = {
        .request_line_bytes_max = 100, .header_bytes_max = 200, .header_count_max = 3};
    begin_with(&options, answer_hello);
    refused("GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n");
    refused("GET / HTTP/1.1\nHost: x\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n");
    refused("GET / HTTP/2.0\r\nHost: x\r\n\r\n", "HTTP/1.1 505 HTTP Version Not Supported\r\n");
    refused("GET / HTTP/1.1\r\nHost: x\r\nExpect: more\r\n\r\n", "HTTP/1.1 417 ");
    refused("GET / HTTP/1.1\r\nHost: x\r\nA:1\r\nA:1\r\nA:1\r\n\r\n", "HTTP/1.1 431 ");
    refused("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            "HTTP/1.1 501 Not Implemented\r\n");
    char line[300];
    memset(line, 'a', sizeof line);
    memcpy(line, "GET /", 5);
    line[150] = '\0';
    refused(line, "HTTP/1.1 414 URI Too Long\r\n");
    char headers[400] = "GET / HTTP/1.1\r\nHost: ";
    memset(headers + strlen(headers), 'h', 300);
    refused(headers, "HTTP/1.1 431 Request Header Fields Too Large\r\n");
    assert_int_equal(fix->calls, 0);
}

static void test_refusal_is_read_although_the_peer_sends_on(void **state) {
    (void)state;
    begin_with(NULL, answer_hello);
    int fd = client();
    static char junk[100000];
    memset(junk, 'j', sizeof junk);
    say(fd, "BAD\r\n\r\n");
    say_bytes(fd, junk, sizeof junk);
    await_eof(fd);
    HAS("HTTP/1.1 400 Bad Request\r\n");
    /* The peer neither ends nor sends: the server does not wait for ever. */
    assert_int_equal(hhttp_server_connections(fix->server), 1);
    pass_ms(1000);
    assert_int_equal(hhttp_server_connections(fix->server), 1);
    pass_ms(2000);
    assert_int_equal(hhttp_server_connections(fix->server), 0);
    close(fd);
}

static void test_requests_per_connection_are_counted(void **state) {
    (void)state;
    hhttp_server_options_t options = {.requests_per_connection_max = 2};
    begin_with(&options, answer_hello);
    int fd = client();
    say(fd, GET GET GET);
    await_eof(fd);
    assert_int_equal(reply_count("hello\n"), 2);
    assert_int_equal(reply_count("Connection: close\r\n"), 1);
    close(fd);
}

static void test_connections_beyond_the_maximum_wait(void **state) {
    (void)state;
    hhttp_server_options_t options = {.connections_max = 2};
    begin_with(&options, answer_hello);
    int first = client(), second = client();
    int third = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons((uint16_t)fix->port)};
    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(connect(third, (struct sockaddr *)&addr, sizeof addr), 0);
    fcntl(third, F_SETFL, O_NONBLOCK);
    say(third, GET);
    pass(10);
    assert_int_equal(hhttp_server_connections(fix->server), 2);
    receive(third);
    assert_int_equal(fix->reply_len, 0);
    close(first);
    await(third, "hello\n");
    close(second);
    close(third);
}

static void test_backed_up_peer_is_not_read_further(void **state) {
    (void)state;
    NEEDS_WHOLE_READS();
    begin_with(NULL, answer_large);
    int fd = client();
    say(fd, GET GET GET);
    pass(10);
    assert_int_equal(hhttp_server_requests(fix->server), 1);
    size_t total = 0;
    for (int i = 0; i < 400000 && total < 120u << 20; i++) {
        hloop_process_events(fix->loop, 0);
        receive(fd);
        total += fix->reply_len;
        forget_reply();
    }
    assert_int_equal(hhttp_server_requests(fix->server), 3);
    assert_true(total > 120u << 20);
    close(fd);
}

/* ---- Times ---- */

static void test_idle_connection_closes_silently(void **state) {
    (void)state;
    hhttp_server_options_t options = {.idle_timeout_ms = 10000};
    begin_with(&options, answer_hello);
    int fd = client();
    pass_ms(9000);
    say(fd, GET);
    await(fd, "hello\n");
    forget_reply();
    pass_ms(9990);
    assert_int_equal(hhttp_server_connections(fix->server), 1);
    pass_ms(11);
    assert_int_equal(hhttp_server_connections(fix->server), 0);
    await_eof(fd);
    assert_int_equal(fix->reply_len, 0);
    close(fd);
}

static void test_connection_that_says_nothing_closes_before_it_idles(void **state) {
    (void)state;
    hhttp_server_options_t options = {.header_timeout_ms = 1000};
    begin_with(&options, answer_hello);
    int quiet = client(), client_of_ours = client();
    say(quiet, "\r\n"); /* an empty line in front of a request is no part of it */
    say(client_of_ours, GET);
    await(client_of_ours, "hello\n");
    forget_reply();
    pass_ms(990);
    assert_int_equal(hhttp_server_connections(fix->server), 2);
    pass_ms(20);
    assert_int_equal(hhttp_server_connections(fix->server), 1);
    await_eof(quiet);
    assert_int_equal(fix->reply_len, 0);
    fix->reply_eof = 0;
    pass_ms(70000);
    say(client_of_ours, GET);
    await(client_of_ours, "hello\n");
    close(quiet);
    close(client_of_ours);
}

static void test_first_byte_is_waited_for_without_a_header_timeout(void **state) {
    (void)state;
    hhttp_server_options_t options = {.header_timeout_ms = INFINITE, .idle_timeout_ms = 5000};
    begin_with(&options, answer_hello);
    int fd = client();
    pass_ms(4990);
    assert_int_equal(hhttp_server_connections(fix->server), 1);
    pass_ms(20);
    await_eof(fd);
    close(fd);
}

static void test_slow_head_is_refused_from_its_first_byte(void **state) {
    (void)state;
    hhttp_server_options_t options = {.header_timeout_ms = 1000};
    begin_with(&options, answer_hello);
    int fd = client();
    pass_ms(900);
    for (int i = 0; i < 9; i++) {
        say_bytes(fd, &"GET / HTTP/1.1\r\n"[i], 1);
        pass(3);
        pass_ms(110);
        assert_int_equal(hhttp_server_connections(fix->server), 1);
    }
    receive(fd);
    assert_int_equal(fix->reply_len, 0);
    pass_ms(20);
    await(fd, "HTTP/1.1 408 Request Timeout\r\n");
    await_eof(fd);
    close(fd);
}

static void test_slow_body_is_refused_between_pieces(void **state) {
    (void)state;
    hhttp_server_options_t options = {.body_timeout_ms = 1000};
    begin_with(&options, echo_body);
    int fd = client();
    say(fd, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n");
    for (int i = 0; i < 5; i++) {
        say(fd, "x");
        pass(5);
        pass_ms(900);
    }
    assert_int_equal(fix->body_calls, 0);
    pass_ms(200);
    assert_int_equal(fix->body_calls, 1);
    assert_int_equal(fix->body_error, HV_ETIMEDOUT);
    await(fd, "HTTP/1.1 408 Request Timeout\r\n");
    close(fd);
}

static void test_busy_request_has_no_timeout(void **state) {
    (void)state;
    begin_with(NULL, keep_it_watched);
    int fd = client();
    say(fd, GET);
    pass(5);
    for (int i = 0; i < 100; i++) pass_ms(20000);
    assert_int_equal(fix->abort_calls, 0);
    assert_int_equal(hhttp_respond(fix->kept, 200, NULL, "slow", 4), 0);
    await(fd, "slow");
    close(fd);
}

static void test_stuck_peer_is_closed_after_the_write_timeout(void **state) {
    (void)state;
    NEEDS_WHOLE_READS();
    hhttp_server_options_t options = {.write_timeout_ms = 4000};
    begin_with(&options, answer_large);
    int fd = client();
    say(fd, GET);
    pass(10);
    pass_ms(3000);
    assert_int_equal(hhttp_server_connections(fix->server), 1);
    pass_ms(1000);
    pass_ms(1100);
    assert_int_equal(hhttp_server_connections(fix->server), 0);
    close(fd);
}

/* ---- The server's end ---- */

static void test_close_ends_idle_connections_at_once_and_busy_ones_later(void **state) {
    (void)state;
    begin_with(NULL, keep_it);
    int idle = client(), busy = client();
    say(busy, GET);
    pass(5);
    assert_int_equal(fix->calls, 1);
    hhttp_server_close(fix->server, 10000, on_server_close, fix);
    assert_int_equal(fix->close_calls, 0);
    pass(3);
    await_eof(idle);
    fix->reply_eof = 0;
    assert_int_equal(fix->close_calls, 0);
    assert_int_equal(hhttp_server_connections(fix->server), 1);
    assert_int_equal(hhttp_respond(fix->kept, 200, NULL, "last", 4), 0);
    await(busy, "last");
    HAS("Connection: close\r\n");
    await_eof(busy);
    close(busy);
    close(idle);
    pass(5);
    assert_int_equal(fix->close_calls, 1);
    fix->server = NULL;
}

static void test_drain_answers_who_waits_and_who_was_idle(void **state) {
    (void)state;
    begin_with(NULL, answer_hello);
    int idle = client();
    say(idle, GET);
    await(idle, "hello\n");
    HAS_NOT("Connection: close");
    int waiting = connect_only();
    hhttp_server_drain(fix->server, 10000, on_server_close, fix);
    pass(3);
    assert_int_equal(hhttp_server_connections(fix->server), 2);
    int late[] = {idle, waiting};
    for (int i = 0; i < 2; i++) {
        forget_reply();
        say(late[i], GET);
        await(late[i], "hello\n");
        HAS("Connection: close\r\n");
        await_eof(late[i]);
        close(late[i]);
        fix->reply_eof = 0;
    }
    pass(5);
    assert_int_equal(fix->close_calls, 1);
    fix->server = NULL;
}

static void test_drain_closes_who_stays_idle(void **state) {
    (void)state;
    begin_with(NULL, answer_hello);
    int idle = client();
    pass(3);
    hhttp_server_drain(fix->server, 10000, on_server_close, fix);
    pass_ms(900);
    assert_int_equal(hhttp_server_connections(fix->server), 1);
    pass_ms(200);
    await_eof(idle);
    pass(3);
    assert_int_equal(fix->close_calls, 1);
    fix->server = NULL;
    close(idle);
}

static void test_close_cuts_off_after_the_grace(void **state) {
    (void)state;
    begin_with(NULL, keep_it_watched);
    int busy = client();
    say(busy, GET);
    pass(5);
    hhttp_server_close(fix->server, 10000, on_server_close, fix);
    pass_ms(9000);
    assert_int_equal(fix->close_calls, 0);
    pass_ms(1001);
    assert_int_equal(fix->close_calls, 1);
    assert_int_equal(fix->abort_calls, 1);
    fix->server = NULL;
    close(busy);
}

static void test_second_close_shortens_the_grace(void **state) {
    (void)state;
    begin_with(NULL, keep_it);
    int busy = client();
    say(busy, GET);
    pass(5);
    hhttp_server_close(fix->server, INFINITE, on_server_close, fix);
    pass_ms(100000);
    assert_int_equal(fix->close_calls, 0);
    hhttp_server_close(fix->server, 500, NULL, NULL);
    pass_ms(501);
    assert_int_equal(fix->close_calls, 1);
    fix->server = NULL;
    close(busy);
}

static void close_then_answer(hhttp_request_t *req, void *userdata) {
    fixture_t *f = userdata;
    f->calls++;
    if (f->calls == 1) hhttp_server_close(f->server, 1000, on_server_close, f);
    assert_int_equal(hhttp_respond(req, 200, NULL, "bye", 3), 0);
}

static void test_server_may_close_inside_on_request(void **state) {
    (void)state;
    begin_with(NULL, close_then_answer);
    int fd = client();
    say(fd, GET GET);
    await_eof(fd);
    assert_int_equal(reply_count("bye"), 1);
    HAS("Connection: close\r\n");
    close(fd);
    pass(5);
    assert_int_equal(fix->close_calls, 1);
    fix->server = NULL;
}

static void test_loop_may_be_freed_with_connections_open(void **state) {
    (void)state;
    begin_with(NULL, keep_it_watched);
    int busy = client(), idle = client();
    say(busy, GET GET);
    pass(5);
    hhttp_server_close(fix->server, 1000, on_server_close, fix);
    hloop_free(&fix->loop);
    assert_int_equal(fix->close_calls, 1);
    assert_int_equal(fix->abort_calls, 1);
    fix->server = NULL;
    close(busy);
    close(idle);
}

static void test_close_without_listeners_is_reported_later(void **state) {
    (void)state;
    fix->loop = hloop_new(0);
    hhttp_server_t *server = hhttp_server_new(fix->loop, NULL);
    assert_non_null(server);
    assert_null(hhttp_server_listen(server, "no such address", 0, 0));
    hhttp_server_close(server, 0, on_server_close, fix);
    assert_int_equal(fix->close_calls, 0);
    pass(1);
    assert_int_equal(fix->close_calls, 1);
    server = hhttp_server_new(fix->loop, NULL);
    hhttp_server_close(server, 0, NULL, NULL);
}

static void test_idle_connection_is_small(void **state) {
    (void)state;
    assert_true(sizeof(http_conn_t) <= 80);
    begin_with(NULL, answer_hello);
    int fd = client();
    size_t blocks = hv__mem_live_blocks();
    say(fd, GET);
    await(fd, "hello\n");
    pass_ms(2000);
    /* Nothing but the pooled request may stay (a block of its own under the sanitizer: none). */
    assert_true(hv__mem_live_blocks() <= blocks + 1);
    close(fd);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_answer_has_date_length_and_type),
        TEST(test_server_name_is_sent_and_checked),
        TEST(test_pipelined_requests_are_answered_in_order),
        TEST(test_request_in_single_bytes_is_answered),
        TEST(test_request_shows_its_parts),
        TEST(test_http10_closes_unless_kept_alive),
        TEST(test_connection_close_is_honoured),
        TEST(test_head_204_and_304_have_no_body),
        TEST(test_bad_answers_are_refused_and_leave_nothing),
        TEST(test_answer_beyond_the_queue_limit_arrives_whole),
        TEST(test_pieces_are_chunked_counted_or_end_with_the_connection),
        TEST(test_short_answer_closes_so_that_the_peer_sees_it),
        TEST(test_full_queue_says_so_and_drains),
        TEST(test_later_answer_keeps_the_order),
        TEST(test_half_closed_peer_still_gets_its_answer),
        TEST(test_reset_aborts_the_request_once),
        TEST(test_retained_request_outlives_its_connection_and_server),
        TEST(test_abort_closes_without_an_answer),
        TEST(test_body_in_the_same_packet_is_there_at_once),
        TEST(test_body_in_single_bytes_is_collected),
        TEST(test_body_asked_for_later_comes_later),
        TEST(test_large_body_is_collected_up_to_its_limit),
        TEST(test_malformed_body_is_told_and_refused),
        TEST(test_body_cut_short_is_told),
        TEST(test_continue_is_said_when_the_body_is_asked_for),
        TEST(test_unasked_continue_closes_after_the_answer),
        TEST(test_unread_body_is_drained_or_closes),
        TEST(test_endless_unread_body_is_cut_off),
        TEST(test_answer_before_the_body_is_whole_cancels_it),
        TEST(test_refusals_have_their_status_and_close),
        TEST(test_refusal_is_read_although_the_peer_sends_on),
        TEST(test_requests_per_connection_are_counted),
        TEST(test_connections_beyond_the_maximum_wait),
        TEST(test_backed_up_peer_is_not_read_further),
        TEST(test_idle_connection_closes_silently),
        TEST(test_connection_that_says_nothing_closes_before_it_idles),
        TEST(test_first_byte_is_waited_for_without_a_header_timeout),
        TEST(test_slow_head_is_refused_from_its_first_byte),
        TEST(test_slow_body_is_refused_between_pieces),
        TEST(test_busy_request_has_no_timeout),
        TEST(test_stuck_peer_is_closed_after_the_write_timeout),
        TEST(test_close_ends_idle_connections_at_once_and_busy_ones_later),
        TEST(test_close_cuts_off_after_the_grace),
        TEST(test_second_close_shortens_the_grace),
        TEST(test_server_may_close_inside_on_request),
        TEST(test_loop_may_be_freed_with_connections_open),
        TEST(test_close_without_listeners_is_reported_later),
        TEST(test_drain_answers_who_waits_and_who_was_idle),
        TEST(test_drain_closes_who_stays_idle),
        TEST(test_idle_connection_is_small),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
