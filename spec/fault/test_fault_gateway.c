/* Every allocation of a gateway's requests fails in turn: nothing crashes, nothing leaks, and every
 * pass that was begun ends once, however far it had come. Answers with and without a body, bodies
 * in pieces, retries, redirects, health checks, upgrades, CONNECT; clients, server and upstream are
 * of the same loop. */
#include "fault_test.h"
#include "hhttp_gateway.h"

static hhttp_gateway_t *gateway;
static int begun, ended, failed, closed, opened;

static void on_passed(hhttp_request_t *req, const hhttp_gateway_result_t *result, void *userdata) {
    (void)req;
    (void)userdata;
    ended++;
    failed += result->error != 0;
}

static void on_front(hhttp_request_t *req, void *userdata) {
    (void)userdata;
    hhttp_slice_t target = hhttp_request_target(req);
    int is_forward = hhttp_request_method(req) == HHTTP_CONNECT || target.data[0] != '/';
    static const hhttp_header_t added[] = {{{"X-Added", 7}, {"word", 4}}, {{"Via", 3}, {NULL, 0}}};
    static const hhttp_gateway_changes_t changes = {added, 2, added, 1};
    int code = HV_ECLOSED;
    if (gateway != NULL) {
        code = is_forward ? hhttp_gateway_forward(gateway, req, on_passed, NULL)
                          : hhttp_gateway_pass_with(gateway, req, &changes, on_passed, NULL);
    }
    begun += code == 0;
    if (code != 0) hhttp_request_refuse(req, 503);
}

static void on_collected(hhttp_request_t *req, int error) {
    if (error != 0) return;
    hhttp_slice_t body = hhttp_request_body(req);
    hhttp_header_t trailer;
    size_t cursor = 0;
    int has_trailer = hhttp_request_next_trailer(req, &cursor, &trailer) == 1;
    int code = hhttp_response_begin(req, 200, NULL, 0, -1);
    if (code == 0) code = hhttp_response_write(req, body.data, body.len);
    if (code == 0) code = hhttp_response_end_with(req, &trailer, (size_t)has_trailer);
    if (code != 0) hhttp_request_abort(req);
}

static void on_upstream(hhttp_request_t *req, void *userdata) {
    (void)userdata;
    hio_t *io;
    if (hhttp_request_header(req, "upgrade", 7).data != NULL) {
        hhttp_header_t upgrade = {{"Upgrade", 7}, {"x", 1}};
        if (hhttp_request_upgrade(req, 101, &upgrade, 1, &io) == 0) hio_close(io);
    } else if (hhttp_request_body_length(req) != 0) {
        if (hhttp_request_collect_body(req, on_collected) == 1) on_collected(req, 0);
    } else {
        hhttp_respond(req, 200, "text/plain", "hello\n", 6);
    }
}

static void on_client_close(hio_t *io) {
    (void)io;
    closed++;
}

static void send_request(hloop_t *loop, int port, const char *text) {
    hio_t *io = hloop_create_tcp_client(loop, "127.0.0.1", port, NULL, on_client_close);
    if (io == NULL) return;
    opened++;
    hio_read(io);
    if (hio_write(io, text, strlen(text)) < 0) hio_abort(io);
}

static void send_all(hloop_t *loop, int port, int upstream_port) {
    char text[512];
    send_request(loop, port,
                 "GET /api/x?y HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 1\r\n"
                 "Connection: close\r\n\r\n");
    send_request(loop, port,
                 "POST /api HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                 "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n");
    send_request(loop, port,
                 "GET /api HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n");
    send_request(loop, port, "GET /api/../x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    snprintf(text, sizeof text,
             "GET http://127.0.0.1:%d/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
             upstream_port);
    send_request(loop, port, text);
    snprintf(text, sizeof text,
             "CONNECT 127.0.0.1:%d HTTP/1.1\r\nHost: x\r\n\r\n"
             "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", upstream_port);
    send_request(loop, port, text);
}

static int listen_on(hhttp_server_t *server) {
    return server != NULL ? fault_port_of(hhttp_server_listen(server, "127.0.0.1", 0, 0)) : 0;
}

static void run(hloop_t *loop, hhttp_server_t *front, hhttp_server_t *upstream) {
    hhttp_server_on_request(front, on_front, NULL);
    hhttp_server_on_request(upstream, on_upstream, NULL);
    int port = listen_on(front), upstream_port = listen_on(upstream);
    if (port == 0 || upstream_port == 0) return;
    char url[64];
    snprintf(url, sizeof url, "http://127.0.0.1:%d/v1", upstream_port);
    /* The first refuses connections. */
    hhttp_upstream_t upstreams[] = {{.url = "http://127.0.0.1:1"}, {.url = url}};
    hhttp_gateway_options_t options = {
        .upstreams = upstreams, .upstream_count = 2, .strip_prefix = "/api",
        .hash_by = "header:host", .health_path = "/ok",
        .head_timeout_ms = 1000, .idle_timeout_ms = 1000, .connect_timeout_ms = 1000};
    gateway = hhttp_gateway_new(loop, &options);
    send_all(loop, port, upstream_port);
    for (int pass = 0; pass < 200 && (ended < begun || closed < opened); pass++) {
        hloop_process_events(loop, 5);
        /* A client whose request could not be read at all may wait for longer than we do. */
        if (pass > 40 && ended == begun) break;
    }
}

static void scenario(void) {
    hloop_t *loop = hloop_new(0);
    if (loop == NULL) return;
    gateway = NULL;
    begun = ended = failed = closed = opened = 0;
    hhttp_server_t *front = hhttp_server_new(loop, NULL);
    hhttp_server_t *upstream = hhttp_server_new(loop, NULL);
    if (front != NULL && upstream != NULL) run(loop, front, upstream);
    if (ended % 2 == 0) hhttp_gateway_close(gateway); /* else the loop does it */
    if (front != NULL) hhttp_server_close(front, 0, NULL, NULL);
    if (upstream != NULL) hhttp_server_close(upstream, 0, NULL, NULL);
    hloop_free(&loop);
    assert_int_equal(begun, ended);
}

static void test_every_allocation_failure_is_survived(void **state) {
    (void)state;
    scenario(); /* what is made once a process is made */
    int count = fail_each_allocation(scenario, NULL);
    assert_true(count > 50);
    /* In the last round none fails; what leads out of the prefix does. */
    assert_int_equal(begun, 6);
    assert_int_equal(failed, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_allocation_failure_is_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
