/* Tests of runtime/http/http_client.c: the pool of connections, the calls that wait for one, and
 * the end of a client. */
#include "http_client_test.h"

#include "hbase.h"

static void test_kept_connection_that_ends_is_tried_again(void **state) {
    (void)state;
    answer("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na", 0);
    answer("", 1); /* the server closes just as the request comes */
    answer("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nb", 0);
    get("/");
    get("/again");
    expect_ok(200, "b");
    assert_int_equal(accepted, 2);
    assert_int_equal(counts().repeated, 1);
    /* A POST may have been carried out: it is not. */
    answer("", 1);
    hhttp_call_options_t options = options_of("/");
    options.method = "POST";
    options.body = "x";
    options.body_len = 1;
    perform(&options);
    assert_int_equal(seen->error, HV_EOF);
    assert_int_equal(counts().repeated, 1);
    /* A new connection that ends is no race. */
    answer("", 1);
    get("/");
    assert_int_equal(seen->error, HV_EOF);
    assert_int_equal(counts().repeated, 1);
}

static void test_idle_connection_that_server_closes_leaves_pool(void **state) {
    (void)state;
    answer("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na", 1); /* keep-alive, then it closes */
    get("/");
    expect_ok(200, "a");
    RUN_UNTIL(loop, counts().connections == 0);
    answer("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nb", 0);
    get("/");
    expect_ok(200, "b");
    assert_int_equal(counts().repeated, 0);
}

static void test_calls_wait_for_a_connection(void **state) {
    (void)state;
    hhttp_client_close(client);
    client = hhttp_client_new(
        loop, &(hhttp_client_options_t){.connections_per_host_max = 1, .waiting_max = 1});
    answer("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na", 0);
    answer("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nb", 0);
    hhttp_call_options_t options = options_of("/");
    assert_non_null(hhttp_call_start(client, &options));
    options.userdata = seen + 1;
    assert_non_null(hhttp_call_start(client, &options));
    assert_int_equal(counts().waiting, 1);
    assert_null(hhttp_call_start(client, &options));
    assert_int_equal(hloop_last_error(loop), HV_ELIMIT);
    RUN_UNTIL(loop, seen[0].done && seen[1].done);
    assert_string_equal(seen[0].body, "a");
    assert_string_equal(seen[1].body, "b");
    assert_int_equal(accepted, 1);
}

static void test_waiting_call_is_served_when_connection_fails(void **state) {
    (void)state;
    hhttp_client_close(client);
    client = hhttp_client_new(loop, &(hhttp_client_options_t){.connections_per_host_max = 1});
    answer("bad\r\n\r\n", 0);
    answer("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nb", 0);
    hhttp_call_options_t options = options_of("/");
    assert_non_null(hhttp_call_start(client, &options));
    options.userdata = seen + 1;
    hhttp_call_t *second = hhttp_call_start(client, &options);
    assert_non_null(second);
    RUN_UNTIL(loop, seen[0].done && seen[1].done);
    assert_int_equal(seen[0].error, HV_EPROTO);
    assert_string_equal(seen[1].body, "b");
}

static void test_idle_connections_can_be_closed(void **state) {
    (void)state;
    answer("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na", 0);
    get("/");
    assert_int_equal(counts().idle, 1);
    hhttp_client_close_idle(client);
    assert_int_equal(counts().idle, 0);
    RUN_PASSES(loop, 3);
    assert_int_equal(counts().connections, 0);
    answer("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nb", 0);
    get("/"); /* on a new one */
    assert_int_equal(counts().idle, 1);
}

static void test_idle_connections_have_limits_and_end(void **state) {
    (void)state;
    hclock_set_fake(1000000000000000ull);
    hhttp_client_close(client);
    client = hhttp_client_new(loop, &(hhttp_client_options_t){.idle_timeout_ms = 5000});
    answer("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na", 0);
    get("/");
    assert_int_equal(counts().idle, 1);
    RUN_PASSES(loop, 3);
    hclock_advance(4000 * 1000);
    RUN_PASSES(loop, 3);
    assert_int_equal(counts().idle, 1);
    hclock_advance(2000 * 1000);
    RUN_PASSES(loop, 5);
    assert_int_equal(counts().connections, 0);
    hclock_use_real();
}

static void test_pool_is_keyed_by_proxy(void **state) {
    (void)state;
    answer("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na", 0);
    answer("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nb", 0);
    get("/");
    /* Through the server as a proxy: another connection though it is the same host. */
    hhttp_proxy_t proxy = {HHTTP_PROXY_HTTP, "127.0.0.1", port_of(listener), "me", "secret"};
    hhttp_call_options_t options = options_of("/x");
    options.proxy = &proxy;
    requests_len = 0;
    perform(&options);
    expect_ok(200, "b");
    assert_int_equal(accepted, 2);
    assert_non_null(strstr(requests, "GET http://127.0.0.1:"));
    assert_non_null(strstr(requests, "/x HTTP/1.1\r\n"));
    assert_non_null(strstr(requests, "Proxy-Authorization: Basic bWU6c2VjcmV0\r\n"));
}

/* ---- The end of a client ---- */

static void close_client(hhttp_call_t *call, int error) {
    on_done(call, error);
    hhttp_client_close(client);
    client = NULL;
}

static void test_client_closed_in_the_last_callback_of_a_connection(void **state) {
    (void)state;
    hhttp_client_close(client);
    client = hhttp_client_new(loop, &(hhttp_client_options_t){.connections_per_host_max = 1});
    static const char *const ends[] = {"HTTP/1.1 200 OK\r\n\r\nall", ""};
    for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
        script_len = script_at = 0;
        answer(ends[i], 1);
        memset(seen, 0, 2 * sizeof *seen);
        hhttp_call_options_t options = options_of("/");
        options.on_done = close_client;
        assert_non_null(hhttp_call_start(client, &options));
        options.on_done = on_done;
        options.userdata = seen + 1;
        assert_non_null(hhttp_call_start(client, &options));
        RUN_UNTIL(loop, seen[0].done && seen[1].done);
        assert_int_equal(seen[1].error, HV_ECANCELED);
        client = hhttp_client_new(loop, &(hhttp_client_options_t){.connections_per_host_max = 1});
    }
}

static void test_closing_client_cancels_its_calls(void **state) {
    (void)state;
    hhttp_call_options_t options = options_of("/");
    begin(&options);
    RUN_UNTIL(loop, requests_len > 0);
    hhttp_client_close(client);
    client = NULL;
    assert_int_equal(seen->done, 0);
    RUN_UNTIL(loop, seen->done);
    assert_int_equal(seen->error, HV_ECANCELED);
}

static void test_loop_that_ends_reports_its_calls(void **state) {
    (void)state;
    hhttp_call_options_t options = options_of("/");
    hhttp_call_t *call = begin(&options);
    hhttp_call_retain(call);
    RUN_UNTIL(loop, requests_len > 0);
    client = NULL;
    hloop_free(&loop);
    assert_int_equal(seen->done, 1);
    assert_int_equal(seen->error, HV_ECANCELED);
    hhttp_call_cancel(call);
    hhttp_call_resume(call);
    hhttp_call_release(call);
    assert_int_equal(hv__mem_live_blocks(), blocks_before);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_kept_connection_that_ends_is_tried_again),
        TEST(test_idle_connection_that_server_closes_leaves_pool),
        TEST(test_calls_wait_for_a_connection),
        TEST(test_waiting_call_is_served_when_connection_fails),
        TEST(test_idle_connections_can_be_closed),
        TEST(test_idle_connections_have_limits_and_end),
        TEST(test_pool_is_keyed_by_proxy),
        TEST(test_client_closed_in_the_last_callback_of_a_connection),
        TEST(test_closing_client_cancels_its_calls),
        TEST(test_loop_that_ends_reports_its_calls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
