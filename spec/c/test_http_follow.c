/* Tests of runtime/http/http_follow.c: which redirects are followed, with what, and how far. */
#include "http_client_test.h"

#include "hbase.h"

static char seen_url[256];
static uint32_t seen_redirects;

static void note_url(hhttp_call_t *call, int error) {
    snprintf(seen_url, sizeof seen_url, "%s", hhttp_call_url(call));
    seen_redirects = hhttp_call_redirects(call);
    on_done(call, error);
}

static void test_redirects_are_followed(void **state) {
    (void)state;
    static const struct {
        int status;
        const char *method;
        const char *then;
        int has_body;
    } cases[] = {{301, "GET", "GET", 0},   {301, "POST", "GET", 0}, {302, "POST", "GET", 0},
                 {302, "PUT", "PUT", 1},   {303, "PUT", "GET", 0},  {303, "HEAD", "HEAD", 0},
                 {307, "POST", "POST", 1}, {308, "POST", "POST", 1}};
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char redirect[128], expected[64];
        snprintf(redirect, sizeof redirect,
                 "HTTP/1.1 %d Moved\r\nLocation: ../b?c#d\r\nContent-Length: 0\r\n\r\n",
                 cases[i].status);
        script_len = script_at = 0;
        requests_len = 0;
        answer(redirect, 0);
        answer("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 0);
        int has_body = strcmp(cases[i].method, "GET") != 0 && strcmp(cases[i].method, "HEAD") != 0;
        hhttp_header_t headers[] = {{{"Authorization", 13}, {"x", 1}},
                                    {{"Content-Type", 12}, {"text/x", 6}}};
        hhttp_call_options_t options = options_of("/x/y");
        options.method = cases[i].method;
        options.headers = headers;
        options.header_count = 2;
        options.body = has_body ? "body" : NULL;
        options.body_len = has_body ? 4 : 0;
        options.redirects_max = 5;
        options.on_done = note_url;
        perform(&options);
        expect_ok(200, "");
        const char *second = strstr(requests, "/b?c HTTP/1.1\r\n");
        assert_non_null(second);
        snprintf(expected, sizeof expected, "%s /b?c HTTP/1.1\r\n", cases[i].then);
        assert_memory_equal(second - strlen(cases[i].then) - 1, expected, strlen(expected));
        assert_non_null(strstr(second, "Authorization: x\r\n"));
        assert_int_equal(strstr(second, "Content-Type: text/x\r\n") != NULL,
                         cases[i].has_body || !has_body);
        assert_int_equal(strstr(second, "\r\n\r\nbody") != NULL, cases[i].has_body);
        assert_int_equal(seen_redirects, 1);
        assert_non_null(strstr(seen_url, "/b?c"));
    }
    assert_int_equal(accepted, 1); /* one connection served all of it */
}

static void test_redirect_to_another_origin_gets_no_credentials(void **state) {
    (void)state;
    hio_t *other = hloop_create_tcp_server(loop, "127.0.0.1", 0, on_accept);
    char there[128], back[128];
    snprintf(there, sizeof there, "HTTP/1.1 302 x\r\nLocation: http://127.0.0.1:%d/t\r\n\r\nbye",
             port_of(other));
    snprintf(back, sizeof back,
             "HTTP/1.1 302 x\r\nLocation: http://127.0.0.1:%d/end\r\nContent-Length: 0\r\n\r\n",
             port_of(listener));
    answer(there, 1); /* with a body until the end of the connection */
    answer(back, 0);
    answer("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nend", 0);
    hhttp_header_t headers[] = {{{"authorization", 13}, {"secret", 6}},
                                {{"Cookie", 6}, {"secret", 6}},
                                {{"Proxy-Authorization", 19}, {"secret", 6}},
                                {{"Host", 4}, {"first.example", 13}},
                                {{"X-Own", 5}, {"x", 1}}};
    hhttp_call_options_t options = options_of("/");
    options.headers = headers;
    options.header_count = ARRAY_SIZE(headers);
    options.redirects_max = 5;
    perform(&options);
    expect_ok(200, "end");
    char *second = strstr(requests, "GET /t ");
    assert_non_null(second);
    assert_non_null(strstr(requests, "secret"));
    assert_null(strstr(second, "secret"));
    assert_null(strstr(second, "first.example"));
    assert_non_null(strstr(strstr(second, "GET /end "), "X-Own: x\r\n"));
}

static void test_redirects_have_limits(void **state) {
    (void)state;
    static const char again[] = "HTTP/1.1 302 x\r\nLocation: /\r\nContent-Length: 0\r\n\r\n";
    for (int i = 0; i < 3; i++) answer(again, 0);
    hhttp_call_options_t options = options_of("/");
    options.redirects_max = 2;
    perform(&options);
    assert_int_equal(seen->error, HV_ELIMIT);
    assert_string_equal(seen->words, "too many redirects");
    answer("HTTP/1.1 302 x\r\nLocation: mailto:x\r\nContent-Length: 0\r\n\r\n", 0);
    perform(&options);
    assert_int_equal(seen->error, HV_EPROTO);
    answer(again, 0);
    options.redirects_max = 0;
    perform(&options);
    expect_ok(302, "");
    /* Without a Location, or for a body that is gone, it is the response. */
    answer("HTTP/1.1 302 x\r\nContent-Length: 2\r\n\r\nno", 0);
    options.redirects_max = 2;
    perform(&options);
    expect_ok(302, "no");
    wants_body = 1;
    answer("HTTP/1.1 307 x\r\nLocation: /\r\nContent-Length: 2\r\n\r\nno", 0);
    options.method = "POST";
    options.is_streamed = 1;
    options.body_len = 7;
    options.on_ready = write_pieces;
    perform(&options);
    expect_ok(307, "no");
    /* A long body is given up with its connection. */
    static char big[200000];
    memset(big, 'x', sizeof big);
    int len =
        snprintf(big, 100, "HTTP/1.1 302 x\r\nLocation: /\r\nContent-Length: 1000000\r\n\r\n");
    big[len] = 'x';
    wants_body = 0;
    script[script_len++] = (answer_t){big, 0, sizeof big};
    answer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 0);
    options = options_of("/");
    options.redirects_max = 2;
    options.is_fresh = 1;
    perform(&options);
    expect_ok(200, "ok");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_redirects_are_followed),
        TEST(test_redirect_to_another_origin_gets_no_credentials),
        TEST(test_redirects_have_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
