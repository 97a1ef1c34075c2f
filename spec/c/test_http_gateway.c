/* Tests of runtime/http/http_gateway.c, http_gateway_head.c, http_pass.c and http_tunnel.c: a
 * client of plain TCP, a server with a gateway, and an upstream, on one loop. What gateways do for
 * Lua is told by spec/hv/http_proxy_spec.lua; here are their lives and ends. */
#include "loop_test.h"

#include "hhttp_gateway.h"

static hloop_t *loop;
static size_t blocks_before;
static hhttp_server_t *server, *upstream;
static hhttp_gateway_t *gateway;
static hhttp_request_t *held; /* by the upstream, which does not answer */
static int done_count, done_error, last_upstream;
static char text[65536];
static size_t text_len;
static int client_closed, upgraded;
static const hhttp_gateway_changes_t *changes;

static void on_done(hhttp_request_t *req, const hhttp_gateway_result_t *result, void *userdata) {
    (void)req;
    assert_ptr_equal(userdata, &done_count);
    assert_non_null(result->text);
    done_count++;
    done_error = result->error;
    last_upstream = result->upstream;
}

static void on_front(hhttp_request_t *req, void *userdata) {
    (void)userdata;
    int code = HV_ECLOSED;
    if (gateway != NULL) {
        code = hhttp_gateway_pass_with(gateway, req, changes, on_done, &done_count);
    }
    if (code != 0) {
        hhttp_respond(req, 500, "text/plain", "no gateway", 10);
    }
}

static void on_upstream(hhttp_request_t *req, void *userdata) {
    (void)userdata;
    hhttp_slice_t path = hhttp_request_path(req);
    if (path.len == 5 && memcmp(path.data, "/hold", 5) == 0) {
        held = req;
        return;
    }
    if (path.len == 3 && memcmp(path.data, "/up", 3) == 0) {
        hhttp_header_t header = {{"Upgrade", 7}, {"echo", 4}};
        hio_t *io;
        assert_int_equal(hhttp_request_upgrade(req, 101, &header, 1, &io), 0);
        upgraded++;
        return;
    }
    hhttp_slice_t own = hhttp_request_header(req, "x-own", 5);
    hhttp_header_t headers[] = {{{"X-Seen", 6}, own}, {{"X-Gone", 6}, {"1", 1}}};
    if (own.data != NULL) {
        hhttp_respond_with(req, 200, headers, 2, path.data, path.len);
    } else {
        hhttp_respond(req, 200, "text/plain", path.data, path.len);
    }
}

static void on_read(hio_t *io, void *buf, int len) {
    (void)io;
    assert_true(text_len + (size_t)len < sizeof text);
    memcpy(text + text_len, buf, (size_t)len);
    text_len += (size_t)len;
    text[text_len] = '\0';
}

static void on_close(hio_t *io) {
    (void)io;
    client_closed = 1;
}

static hio_t *client_of(int port, const char *bytes) {
    hio_t *io = hloop_create_tcp_client(loop, "127.0.0.1", port, NULL, on_close);
    assert_non_null(io);
    hio_setcb_read(io, on_read);
    hio_read(io);
    hio_write(io, bytes, strlen(bytes));
    return io;
}

static int set_up(void **state) {
    (void)state;
    blocks_before = hv__mem_live_blocks();
    loop = hloop_new(0);
    held = NULL;
    gateway = NULL;
    done_count = done_error = client_closed = upgraded = 0;
    changes = NULL;
    last_upstream = -2;
    text_len = 0;
    server = hhttp_server_new(loop, NULL);
    upstream = hhttp_server_new(loop, NULL);
    hhttp_server_on_request(server, on_front, NULL);
    hhttp_server_on_request(upstream, on_upstream, NULL);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    hhttp_server_close(server, 0, NULL, NULL);
    hhttp_server_close(upstream, 0, NULL, NULL);
    hloop_free(&loop);
    assert_int_equal(hv__mem_live_blocks(), blocks_before);
    return 0;
}

/* A gateway to the upstream; *port is the server's. */
static void open_all(hhttp_gateway_options_t options, int *port) {
    char url[64];
    int upstream_port = port_of(hhttp_server_listen(upstream, "127.0.0.1", 0, 0));
    snprintf(url, sizeof url, "http://127.0.0.1:%d/", upstream_port);
    hhttp_upstream_t upstreams[] = {{.url = url}};
    options.upstreams = upstreams;
    options.upstream_count = 1;
    gateway = hhttp_gateway_new(loop, &options);
    assert_non_null(gateway);
    *port = port_of(hhttp_server_listen(server, "127.0.0.1", 0, 0));
}

/* ---- Tests ---- */

static void test_request_is_passed_and_answer_comes_back(void **state) {
    (void)state;
    int port;
    open_all((hhttp_gateway_options_t){0}, &port);
    client_of(port, "GET /path HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    RUN_UNTIL(loop, client_closed);
    assert_non_null(strstr(text, "HTTP/1.1 200 OK\r\n"));
    assert_non_null(strstr(text, "\r\n\r\n/path"));
    RUN_UNTIL(loop, done_count);
    assert_int_equal(done_error, 0);
    assert_int_equal(last_upstream, 0);
    hhttp_upstream_state_t seen;
    assert_int_equal(hhttp_gateway_upstream(gateway, 0, &seen), 0);
    assert_int_equal(seen.passed, 1);
    assert_int_equal(seen.busy, 0);
    assert_true(seen.is_up);
    assert_int_equal(hhttp_gateway_upstream(gateway, 1, &seen), HV_EINVAL);
    hhttp_gateway_close(gateway);
}

static void test_options_that_make_no_sense_are_refused(void **state) {
    (void)state;
    static const char *const urls[] = {"", "ftp://a", "http://", "http://a/?q", "http://a:70000/"};
    for (size_t i = 0; i < ARRAY_SIZE(urls); i++) {
        hhttp_upstream_t one = {.url = urls[i]};
        hhttp_gateway_options_t options = {.upstreams = &one, .upstream_count = 1};
        assert_null(hhttp_gateway_new(loop, &options));
        assert_int_equal(hloop_last_error(loop), HV_EINVAL);
    }
    hhttp_gateway_options_t options = {.strip_prefix = "api"};
    assert_null(hhttp_gateway_new(loop, &options));
    options = (hhttp_gateway_options_t){.health_path = "health"};
    assert_null(hhttp_gateway_new(loop, &options));
    hhttp_gateway_close(NULL);
}

static void test_gateway_closed_while_a_request_waits_answers_503_later(void **state) {
    (void)state;
    int port;
    open_all((hhttp_gateway_options_t){0}, &port);
    client_of(port, "GET /hold HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    RUN_UNTIL(loop, held != NULL);
    hhttp_gateway_close(gateway);
    gateway = NULL;
    assert_int_equal(done_count, 0); /* nobody is called inside an API call */
    RUN_UNTIL(loop, client_closed);
    assert_non_null(strstr(text, "HTTP/1.1 503 "));
    assert_int_equal(done_count, 1);
    assert_int_equal(done_error, HV_ECANCELED);
}

static void test_loop_freed_while_a_request_waits_tells_and_frees_everything(void **state) {
    (void)state;
    int port;
    open_all((hhttp_gateway_options_t){.health_path = "/health", .health_interval_ms = 10000},
             &port);
    client_of(port, "GET /hold HTTP/1.1\r\nHost: x\r\n\r\n");
    RUN_UNTIL(loop, held != NULL);
    hhttp_server_close(server, 0, NULL, NULL);
    hhttp_server_close(upstream, 0, NULL, NULL);
    hloop_free(&loop);
    assert_int_equal(done_count, 1);
    assert_int_equal(hv__mem_live_blocks(), blocks_before);
    set_up(state); /* for tear_down */
}

static void test_client_that_resets_cancels_the_request(void **state) {
    (void)state;
    int port;
    open_all((hhttp_gateway_options_t){0}, &port);
    hio_t *io = client_of(port, "GET /hold HTTP/1.1\r\nHost: x\r\n\r\n");
    RUN_UNTIL(loop, held != NULL);
    struct linger reset = {.l_onoff = 1};
    assert_int_equal(setsockopt(hio_fd(io), SOL_SOCKET, SO_LINGER, &reset, sizeof reset), 0);
    hio_abort(io);
    RUN_UNTIL(loop, done_count);
    assert_int_equal(done_error, HV_ECLOSED);
    hhttp_gateway_close(gateway);
}

static void test_second_pass_of_one_request_is_refused(void **state) {
    (void)state;
    int port;
    open_all((hhttp_gateway_options_t){0}, &port);
    client_of(port, "GET /hold HTTP/1.1\r\nHost: x\r\n\r\n");
    RUN_UNTIL(loop, held != NULL);
    /* To itself: it is another. */
    assert_int_equal(hhttp_gateway_pass(gateway, held, NULL, NULL), 0);
    assert_int_equal(hhttp_gateway_pass(gateway, held, NULL, NULL), HV_EBUSY);
    assert_int_equal(hhttp_gateway_forward(gateway, held, NULL, NULL), HV_EINVAL);
    hhttp_gateway_close(gateway);
    gateway = NULL;
    RUN_UNTIL(loop, done_count);
}

static void test_headers_are_changed_both_ways(void **state) {
    (void)state;
    static const hhttp_header_t there[] = {{{"X-Own", 5}, {"ours", 4}}};
    static const hhttp_header_t back[] = {{{"X-Gone", 6}, {NULL, 0}}, {{"X-New", 5}, {"n", 1}}};
    static const hhttp_gateway_changes_t both = {there, 1, back, 2};
    int port;
    changes = &both;
    open_all((hhttp_gateway_options_t){0}, &port);
    client_of(port, "GET / HTTP/1.1\r\nHost: x\r\nX-Own: theirs\r\nConnection: close\r\n\r\n");
    RUN_UNTIL(loop, client_closed);
    assert_non_null(strstr(text, "\r\nX-Seen: ours\r\n"));
    assert_non_null(strstr(text, "\r\nX-New: n\r\n"));
    assert_null(strstr(text, "X-Gone"));
    hhttp_gateway_close(gateway);
}

static void test_headers_that_cannot_be_sent_are_refused(void **state) {
    (void)state;
    static const hhttp_header_t bad[] = {{{"X Own", 5}, {"x", 1}},
                                         {{"X-Own", 5}, {"a\r\nb", 4}},
                                         {{"Transfer-Encoding", 17}, {"chunked", 7}},
                                         {{"Content-Length", 14}, {NULL, 0}}};
    int port;
    open_all((hhttp_gateway_options_t){0}, &port);
    client_of(port, "GET /hold HTTP/1.1\r\nHost: x\r\n\r\n");
    RUN_UNTIL(loop, held != NULL);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        hhttp_gateway_changes_t request = {&bad[i], 1, NULL, 0}, response = {NULL, 0, &bad[i], 1};
        assert_int_equal(hhttp_gateway_pass_with(gateway, held, &request, NULL, NULL), HV_EINVAL);
        assert_int_equal(hhttp_gateway_pass_with(gateway, held, &response, NULL, NULL), HV_EINVAL);
    }
    hhttp_gateway_close(gateway);
    gateway = NULL;
    RUN_UNTIL(loop, done_count);
}

/* A tunnel counts, outlives the gateway's close, and ends with the loop. */
static void test_tunnel_keeps_its_upstream_busy_until_the_loop_ends(void **state) {
    (void)state;
    int port;
    open_all((hhttp_gateway_options_t){.balance = HHTTP_BALANCE_HASH, .hash_by = "path"}, &port);
    client_of(port, "GET /up HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n");
    RUN_UNTIL(loop, done_count);
    assert_int_equal(upgraded, 1);
    hhttp_upstream_state_t seen;
    assert_int_equal(hhttp_gateway_upstream(gateway, 0, &seen), 0);
    assert_int_equal(seen.busy, 1);
    hhttp_gateway_close(gateway);
    hhttp_server_close(server, 0, NULL, NULL);
    hhttp_server_close(upstream, 0, NULL, NULL);
    hloop_free(&loop);
    assert_int_equal(hv__mem_live_blocks(), blocks_before);
    set_up(state); /* for tear_down */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_request_is_passed_and_answer_comes_back, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_options_that_make_no_sense_are_refused, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(
            test_gateway_closed_while_a_request_waits_answers_503_later, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            test_loop_freed_while_a_request_waits_tells_and_frees_everything, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_client_that_resets_cancels_the_request, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_second_pass_of_one_request_is_refused, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_headers_are_changed_both_ways, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_headers_that_cannot_be_sent_are_refused, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_tunnel_keeps_its_upstream_busy_until_the_loop_ends,
                                        set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
