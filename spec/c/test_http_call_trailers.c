/* Trailers of calls, over both versions: requests that end with some, responses that do, and what
 * is told when. The server is one of ours on the same loop. RFC 9110 section 6.5. */
#include "hhttp_client.h"
#include "loop_test.h"

typedef struct seen_s {
    char text[512]; /* what the server was told, then what the client was */
    int error;
    int done;
} seen_t;

static hloop_t *loop;
static hhttp_server_t *server;
static hhttp_client_t *client;
static seen_t seen;
static int port, http2, answer_trailers, is_empty;

static void tell(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void tell(const char *format, ...) {
    size_t len = strlen(seen.text);
    va_list args;
    va_start(args, format);
    vsnprintf(seen.text + len, sizeof seen.text - len, format, args);
    va_end(args);
}

/* ---- The server ---- */

static void on_body(hhttp_request_t *req, int error) {
    if (error != 0) return;
    hhttp_header_t headers[3], trailer;
    size_t cursor = 0;
    while (hhttp_request_next_trailer(req, &cursor, &trailer) == 1) {
        tell("%.*s=%.*s;", (int)trailer.name.len, trailer.name.data, (int)trailer.value.len,
             trailer.value.data);
    }
    hhttp_slice_t te = hhttp_request_header(req, "te", 2);
    if (te.data != NULL) tell("te %.*s;", (int)te.len, te.data);
    for (int i = 0; i < 3; i++) headers[i] = (hhttp_header_t){{&"x-ax-bx-c"[3 * i], 3}, {"1", 1}};
    hhttp_header_t location = {{"Location", 8}, {"/there", 6}};
    int moves = hhttp_request_path(req).len == 5;
    hhttp_response_begin(req, moves ? 302 : 200, &location, (size_t)moves, -1);
    if (!is_empty) hhttp_response_write(req, "body", 4);
    hhttp_response_end_with(req, headers, moves ? 1 : (size_t)answer_trailers);
}

static void on_request(hhttp_request_t *req, void *userdata) {
    (void)userdata;
    if (hhttp_request_collect_body(req, on_body) == 1) on_body(req, 0);
}

/* ---- The client ---- */

static const hhttp_header_t trailers[] = {{{"X-Sum", 5}, {"abc", 3}}, {{"X-Empty", 7}, {"", 0}}};

static void on_ready(hhttp_call_t *call) {
    hhttp_header_t bad = {{"Host", 4}, {"y", 1}};
    assert_int_equal(hhttp_call_write(call, "piece", 5), 0);
    assert_int_equal(hhttp_call_finish_with(call, &bad, 1), HV_EINVAL);
    assert_int_equal(hhttp_call_finish_with(call, trailers, 2), 0);
    assert_int_equal(hhttp_call_finish_with(call, trailers, 2), HV_ECLOSED);
}

static void on_data(hhttp_call_t *call, const void *data, size_t len) {
    hhttp_header_t trailer;
    size_t cursor = 0;
    (void)data, (void)len;
    assert_int_equal(hhttp_call_next_trailer(call, &cursor, &trailer), HV_EAGAIN);
    assert_null(hhttp_call_trailer(call, "x-a", 3).data);
}

static void on_done(hhttp_call_t *call, int error) {
    hhttp_header_t trailer;
    size_t cursor = 0;
    int code;
    seen.done++;
    seen.error = error;
    while ((code = hhttp_call_next_trailer(call, &cursor, &trailer)) == 1) {
        tell("<%.*s=%.*s;", (int)trailer.name.len, trailer.name.data, (int)trailer.value.len,
             trailer.value.data);
    }
    assert_int_equal(code, error != 0 ? HV_EAGAIN : 0);
    assert_int_equal(hhttp_call_trailer(call, "X-B", 3).len, error == 0 && answer_trailers > 1);
}

static hhttp_call_options_t options_of(const char *path) {
    char url[64];
    snprintf(url, sizeof url, "http://127.0.0.1:%d/", port);
    hhttp_call_options_t options = {.method = "POST", .http2 = http2, .on_data = on_data,
                                    .on_done = on_done};
    assert_int_equal(hhttp_url_parse(url, &options.url), 0);
    options.url.host = (hhttp_slice_t){"127.0.0.1", 9};
    options.url.target = (hhttp_slice_t){path, strlen(path)};
    return options;
}

static void perform(const hhttp_call_options_t *options) {
    memset(&seen, 0, sizeof seen);
    assert_non_null(hhttp_call_start(client, options));
    RUN_UNTIL(loop, seen.done);
}

static void begin(void **state, const hhttp_client_options_t *options) {
    http2 = *state != NULL ? HHTTP_CALL_HTTP2_PRIOR : HHTTP_CALL_HTTP2_OFF;
    answer_trailers = 2;
    is_empty = 0;
    loop = hloop_new(0);
    server = hhttp_server_new(loop, NULL);
    hhttp_server_on_request(server, on_request, NULL);
    hio_t *listener = hhttp_server_listen(server, "127.0.0.1", 0, 0);
    struct sockaddr_in *addr = (struct sockaddr_in *)(void *)hio_localaddr(listener);
    port = ntohs(addr->sin_port);
    client = hhttp_client_new(loop, options);
}

static void end(void) {
    hhttp_client_close(client);
    hhttp_server_close(server, 0, NULL, NULL);
    hloop_free(&loop);
}

/* ---- The tests ---- */

static int is_http2(void) { return http2 == HHTTP_CALL_HTTP2_PRIOR; }

static void test_trailers_go_both_ways(void **state) {
    begin(state, NULL);
    hhttp_call_options_t options = options_of("/");
    options.is_streamed = 1;
    options.body_len = -1;
    options.expect_bytes = -1;
    options.on_ready = on_ready;
    options.wants_trailers = 1;
    for (int i = 0; i < 2; i++) { /* and once more over the same connection */
        perform(&options);
        assert_int_equal(seen.error, 0);
        assert_string_equal(seen.text,
                            is_http2() ? "x-sum=abc;x-empty=;te trailers;<x-a=1;<x-b=1;"
                                       : "X-Sum=abc;X-Empty=;te trailers;<x-a=1;<x-b=1;");
    }
    options.body_len = 5; /* by HTTP/1.1 there is no place behind a body with a length */
    options.closes = 1;
    perform(&options);
    assert_int_equal(seen.error, 0);
    assert_string_equal(seen.text, is_http2() ? "x-sum=abc;x-empty=;te trailers;<x-a=1;<x-b=1;"
                                              : "te trailers;<x-a=1;<x-b=1;");
    end();
}

static void test_trailers_of_a_redirect_are_not_those_of_the_response(void **state) {
    begin(state, NULL);
    hhttp_call_options_t options = options_of("/here");
    options.redirects_max = 3;
    answer_trailers = 0;
    perform(&options);
    assert_int_equal(seen.error, 0);
    assert_string_equal(seen.text, "");
    end();
}

/* Head and trailers come in one read then, and by HTTP/2 before anybody was told of the head. */
static void test_trailers_come_without_a_body_as_well(void **state) {
    begin(state, NULL);
    hhttp_call_options_t options = options_of("/");
    options.method = "GET";
    is_empty = 1;
    perform(&options);
    assert_int_equal(seen.error, 0);
    assert_string_equal(seen.text, "<x-a=1;<x-b=1;");
    end();
}

static void test_more_trailers_than_headers_may_be_fail_the_call(void **state) {
    hhttp_client_options_t limits = {.header_count_max = 2};
    begin(state, &limits);
    hhttp_call_options_t options = options_of("/");
    options.method = "GET";
    answer_trailers = 3;
    perform(&options);
    assert_int_equal(seen.error, HV_ELIMIT);
    assert_string_equal(seen.text, "");
    end();
}

int main(void) {
    static int version = 20;
#define BOTH(name) cmocka_unit_test(name), cmocka_unit_test_prestate(name, &version)
    const struct CMUnitTest tests[] = {
        BOTH(test_trailers_go_both_ways),
        BOTH(test_trailers_of_a_redirect_are_not_those_of_the_response),
        BOTH(test_trailers_come_without_a_body_as_well),
        BOTH(test_more_trailers_than_headers_may_be_fail_the_call),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
