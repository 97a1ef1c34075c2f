/* Tests of runtime/http/http_call.c and http_start.c: bodies of requests, expectations, ends and
 * deadlines of a call, and what is refused before it is sent. */
#include "http_client_test.h"

#include "hbase.h"

/* ---- Bodies of requests ---- */

static void test_body_in_memory_is_sent_with_its_length(void **state) {
    (void)state;
    wants_body = 1;
    answer("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 0);
    hhttp_call_options_t options = options_of("/");
    hhttp_header_t header = {{"X-A", 3}, {"b", 1}};
    options.headers = &header;
    options.header_count = 1;
    options.method = "PUT";
    options.body = "the END";
    options.body_len = 7;
    perform(&options);
    expect_ok(200, "");
    assert_non_null(strstr(requests, "X-A: b\r\n"));
    assert_non_null(strstr(requests, "Content-Length: 7\r\n\r\nthe END"));
}

static void test_streamed_body_is_chunked_or_counted(void **state) {
    (void)state;
    wants_body = 1;
    answer("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 0);
    answer("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 0);
    hhttp_call_options_t options = options_of("/");
    options.method = "POST";
    options.is_streamed = 1;
    options.body_len = -1;
    options.expect_bytes = -1;
    options.on_ready = write_pieces;
    perform(&options);
    expect_ok(200, "");
    assert_non_null(
        strstr(requests, "Transfer-Encoding: chunked\r\n\r\n4\r\none \r\n3\r\nEND\r\n"));
    requests_len = 0;
    options.body_len = 7;
    perform(&options);
    expect_ok(200, "");
    assert_non_null(strstr(requests, "Content-Length: 7\r\n\r\none END"));
}

static void write_too_little(hhttp_call_t *call) {
    assert_int_equal(hhttp_call_write(call, "toolong", 7), HV_ELIMIT);
    assert_int_equal(hhttp_call_write(call, "four", 4), 0);
    assert_int_equal(hhttp_call_finish(call), HV_EPROTO);
}

static void test_streamed_body_of_wrong_length_fails(void **state) {
    (void)state;
    hhttp_call_options_t options = options_of("/");
    options.method = "POST";
    options.is_streamed = 1;
    options.body_len = 5;
    options.on_ready = write_too_little;
    perform(&options);
    assert_int_equal(seen->error, HV_EPROTO);
}

static void test_expectation_holds_body_back(void **state) {
    (void)state;
    /* The head ends with a blank line: 100, then the body ends with one: the answer. */
    answer("HTTP/1.1 100 Continue\r\n\r\n", 0);
    answer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 0);
    hhttp_call_options_t options = options_of("/");
    options.method = "POST";
    options.body = "body\r\n\r\n";
    options.body_len = 8;
    options.expect_bytes = 1;
    perform(&options);
    expect_ok(200, "ok");
    assert_non_null(strstr(requests, "Expect: 100-continue\r\n"));
    /* Refused: once more without. */
    requests_len = 0;
    answer("HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n", 0);
    answer("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes", 0);
    perform(&options);
    expect_ok(200, "yes");
    assert_non_null(strstr(requests, "Expect: 100-continue\r\n"));
    assert_null(strstr(strstr(requests, "\r\n\r\n"), "Expect: 100-continue\r\n"));
    /* A final answer instead: the body is not sent, and the connection not used again. */
    requests_len = 0;
    RUN_PASSES(loop, 3);
    answer("HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n", 0);
    perform(&options);
    expect_ok(401, "");
    assert_null(strstr(requests, "body\r\n"));
    assert_int_equal(counts().idle, 0);
}

static void test_expectation_is_given_up_after_a_second(void **state) {
    (void)state;
    hclock_set_fake(1000000000000000ull);
    wants_body = 1;
    answer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 0);
    hhttp_call_options_t options = options_of("/");
    options.method = "POST";
    options.body = "END";
    options.body_len = 3;
    options.expect_bytes = 1;
    RUN_PASSES(loop, 1);
    assert_non_null(hhttp_call_start(client, &options));
    for (int i = 0; i < 1000 && requests_len == 0; i++) RUN_PASSES(loop, 1);
    assert_null(strstr(requests, "END"));
    hclock_advance(1001 * 1000);
    for (int i = 0; i < 1000 && !seen->done; i++) RUN_PASSES(loop, 1);
    hclock_use_real();
    expect_ok(200, "ok");
}

/* ---- Ends ---- */

static void cancel_at_head(hhttp_call_t *call) {
    seen->heads++;
    hhttp_call_cancel(call);
    hhttp_call_cancel(call);
    assert_int_equal(seen->done, 0);
}

static void test_cancel_ends_a_call_in_every_state(void **state) {
    (void)state;
    answer("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 0);
    hhttp_call_options_t options = options_of("/");
    options.on_head = cancel_at_head;
    perform(&options);
    assert_int_equal(seen->error, HV_ECANCELED);
    assert_int_equal(seen->datas, 0);
    hhttp_call_t *call = begin(&options); /* connecting */
    hhttp_call_cancel(call);
    RUN_UNTIL(loop, seen->done);
    assert_int_equal(seen->error, HV_ECANCELED);
    assert_int_equal(seen->heads, 0);
    RUN_UNTIL(loop, counts().connections == 0);
}

static void expect_timeout(hhttp_call_options_t *options) {
    memset(seen, 0, sizeof *seen);
    hclock_set_fake(1000000000000000ull);
    RUN_PASSES(loop, 1); /* the loop sees that it is another time */
    assert_non_null(hhttp_call_start(client, options));
    requests_len = 0;
    requests[0] = '\0';
    for (int i = 0; i < 10000 && strstr(requests, "\r\n\r\n") == NULL; i++) RUN_PASSES(loop, 1);
    hclock_advance(999 * 1000);
    RUN_PASSES(loop, 5);
    assert_int_equal(seen->done, 0);
    hclock_advance(2 * 1000);
    RUN_PASSES(loop, 5);
    hclock_use_real();
    assert_int_equal(seen->done, 1);
    assert_int_equal(seen->error, HV_ETIMEDOUT);
}

static void test_silent_server_ends_in_each_timeout(void **state) {
    (void)state;
    hhttp_call_options_t options = options_of("/");
    options.total_timeout_ms = 1000;
    expect_timeout(&options);
    options = options_of("/");
    options.head_timeout_ms = 1000;
    expect_timeout(&options);
    options = options_of("/");
    options.idle_timeout_ms = 1000;
    expect_timeout(&options);
}

static void test_connecting_that_fails_says_why(void **state) {
    (void)state;
    hhttp_call_options_t options = options_of("/");
    hio_t *other = hloop_create_tcp_server(loop, "127.0.0.1", 0, on_accept);
    options.url.port = port_of(other);
    hio_close(other);
    RUN_PASSES(loop, 3);
    perform(&options);
    assert_int_equal(seen->error, HV_ECONNREFUSED);
}

/* ---- What is refused before it is sent ---- */

static void test_requests_that_cannot_be_sent_are_refused(void **state) {
    (void)state;
    static const hhttp_header_t bad[] = {
        {{"Content-Length", 14}, {"1", 1}},
        {{"transfer-encoding", 17}, {"x", 1}},
        {{"Connection", 10}, {"x", 1}},
        {{"Expect", 6}, {"x", 1}},
        {{"A B", 3}, {"x", 1}},
        {{"A", 1}, {"x\r\nB: c", 7}},
        {{"A", 1}, {"x\0y", 3}},
        {{"", 0}, {"x", 1}},
    };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        hhttp_call_options_t options = options_of("/");
        options.headers = &bad[i];
        options.header_count = 1;
        assert_null(hhttp_call_start(client, &options));
        assert_int_equal(hloop_last_error(loop), HV_EINVAL);
    }
    /* RFC 7617 section 2: the user ends at the first colon. */
    static const hhttp_proxy_t proxies[] = {
        {HHTTP_PROXY_HTTP, "127.0.0.1", 1, "me:you", "secret"},
        {HHTTP_PROXY_HTTPS, "127.0.0.1", 1, ":", NULL},
    };
    for (size_t i = 0; i < ARRAY_SIZE(proxies); i++) {
        hhttp_call_options_t options = options_of("/");
        options.proxy = &proxies[i];
        assert_null(hhttp_call_start(client, &options));
        assert_int_equal(hloop_last_error(loop), HV_EINVAL);
    }
    static const char *const methods[] = {"", "G T", "CONNECT", "GET\r\n"};
    for (size_t i = 0; i < ARRAY_SIZE(methods); i++) {
        hhttp_call_options_t options = options_of("/");
        options.method = methods[i];
        assert_null(hhttp_call_start(client, &options));
    }
    hhttp_call_options_t options = options_of("/");
    options.url.target = (hhttp_slice_t){"/a b", 4};
    assert_null(hhttp_call_start(client, &options));
    options = options_of("/");
    options.on_done = NULL;
    assert_null(hhttp_call_start(client, &options));
    RUN_PASSES(loop, 3);
    assert_int_equal(accepted, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_body_in_memory_is_sent_with_its_length),
        TEST(test_streamed_body_is_chunked_or_counted),
        TEST(test_streamed_body_of_wrong_length_fails),
        TEST(test_expectation_holds_body_back),
        TEST(test_expectation_is_given_up_after_a_second),
        TEST(test_cancel_ends_a_call_in_every_state),
        TEST(test_silent_server_ends_in_each_timeout),
        TEST(test_connecting_that_fails_says_why),
        TEST(test_requests_that_cannot_be_sent_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
