/* Every allocation of a client's calls fails in turn: nothing crashes, nothing leaks, and every
 * call that was started ends once. Kept connections, bodies in memory and in pieces, waiting calls,
 * proxies, upgrades, against a server of the same loop. */
#include "fault_test.h"
#include "hhttp_client.h"

static int started, ended, failed, taken;
static int http2; /* HHTTP_CALL_HTTP2_* of every call */
static hhttp_call_t *canceled; /* the one to be, in the middle */
static const char lots[100000];

static const hhttp_header_t trailers[] = {{{"x-one", 5}, {"1", 1}}, {{"x-two", 5}, {"2", 1}}};

static int answer_with_trailers(hhttp_request_t *req) {
    int code = hhttp_response_begin(req, 200, NULL, 0, -1);
    return code == 0 ? hhttp_response_end_with(req, trailers, 2) : code;
}

static int answer(hhttp_request_t *req) {
    static const char packed[] = /* "hello\n" by gzip */
        "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xcb\x48\xcd\xc9\xc9\xe7\x02\x00\x20\x30\x3a"
        "\x36"
        "\x06\x00\x00\x00";
    static const hhttp_header_t coding = {{"Content-Encoding", 16}, {"gzip", 4}};
    static const hhttp_header_t location = {{"Location", 8}, {"/?x=1", 5}};
    switch (hhttp_request_path(req).len) {
    case 1: return hhttp_respond(req, 200, "text/plain", "hello\n", 6);
    case 5: return answer_with_trailers(req);
    case 2: return hhttp_respond_with(req, 302, &location, 1, "moved", 5);
    default: return hhttp_respond_with(req, 200, &coding, 1, packed, sizeof packed - 1);
    }
}

static void on_request(hhttp_request_t *req, void *userdata) {
    (void)userdata;
    if (answer(req) != 0) hhttp_request_abort(req);
}

static void on_done(hhttp_call_t *call, int error) {
    if (call == canceled) canceled = NULL;
    ended++;
    failed += error != 0;
}

static void on_ready(hhttp_call_t *call) {
    hhttp_call_write(call, "piece", 5);
    hhttp_call_finish_with(call, trailers, 2);
}

static void on_head(hhttp_call_t *call) {
    hhttp_call_pause(call);
    hhttp_call_resume(call);
    hio_t *io = hhttp_call_take_io(call);
    if (io != NULL) hio_close(io);
    taken += io != NULL;
}

/* Starts one call of every kind. */
static void start_all(hhttp_client_t *client, int port) {
    char url[64];
    snprintf(url, sizeof url, "http://127.0.0.1:%d/?x=1", port);
    hhttp_header_t header = {{"X-Long", 6}, {url, strlen(url)}};
    hhttp_proxy_t proxy = {HHTTP_PROXY_HTTP, "127.0.0.1", port, "me", "word"};
    for (int kind = 0; kind < 11; kind++) {
        hhttp_call_options_t options = {
            .on_done = on_done, .on_head = on_head, .headers = &header, .header_count = 1};
        options.total_timeout_ms = 1000;
        options.http2 = http2;
        assert_int_equal(hhttp_url_parse(url, &options.url), 0);
        if (kind == 2 || kind == 3) options.method = "POST";
        if (kind == 2) options.body = "in memory", options.body_len = 9;
        if (kind == 3) {
            options.is_streamed = 1, options.body_len = -1, options.on_ready = on_ready;
            options.url.target = (hhttp_slice_t){"/tail", 5};
        }
        if (kind == 4) options.proxy = &proxy;
        if (kind == 5) options.upgrade = "x";
        if (kind == 6) options.upgrade = "x", options.proxy = &proxy;
        if (kind == 7) options.redirects_max = 3, options.proxy = &proxy;
        if (kind == 8) options.redirects_max = 3, options.url.target = (hhttp_slice_t){"/m", 2};
        if (kind == 9) options.decodes = 1, options.url.target = (hhttp_slice_t){"/zip", 4};
        if (kind == 10) {
            options.method = "POST", options.body = lots, options.body_len = sizeof lots;
        }
        hhttp_call_t *call = hhttp_call_start(client, &options);
        started += call != NULL;
        if (kind == 10) canceled = call;
    }
}

static void scenario(void) {
    hloop_t *loop = hloop_new(0);
    if (loop == NULL) return;
    started = ended = failed = 0;
    hhttp_server_t *server = hhttp_server_new(loop, NULL);
    hio_t *listener = NULL;
    if (server != NULL) {
        hhttp_server_on_request(server, on_request, NULL);
        listener = hhttp_server_listen(server, "127.0.0.1", 0, 0);
    }
    hhttp_client_options_t limits = {.connections_per_host_max = 2, .ping_interval_ms = 60000};
    hhttp_client_t *client = hhttp_client_new(loop, &limits);
    if (listener != NULL && client != NULL) {
        int port = fault_port_of(listener);
        for (int round = 0; round < 2 && port != 0; round++) {
            start_all(client, port);
            for (int pass = 0; pass < 200 && ended < started; pass++) {
                hloop_process_events(loop, 5);
                if (pass == 2 && canceled != NULL) hhttp_call_cancel(canceled);
            }
        }
    }
    hhttp_client_close(client);
    if (server != NULL) hhttp_server_close(server, 0, NULL, NULL);
    hloop_free(&loop);
    assert_int_equal(started, ended);
}

static void test_every_allocation_failure_is_survived(void **state) {
    http2 = *state != NULL ? HHTTP_CALL_HTTP2_PRIOR : HHTTP_CALL_HTTP2_OFF;
    scenario(); /* what is made once a process is made */
    int count = fail_each_allocation(scenario, NULL);
    assert_true(count > 50);
    assert_true(started >= 20);
    /* In the last round no allocation fails; what asks the server to be a proxy may. */
    assert_true(ended > failed);
}

static void greet(hhttp_request_t *req, void *userdata) {
    (void)userdata;
    hhttp_respond(req, 200, "text/plain", "hi", 2);
}

static void run_until_ended(hloop_t *loop) {
    for (int pass = 0; pass < 200 && ended < started; pass++) hloop_process_events(loop, 5);
    assert_int_equal(started, ended);
}

/* A kept connection of HTTP/2 that a call has taken, and had no memory to use, rests again: a
 * client that closes ends it. */
static void test_a_link_is_left_by_a_call_without_memory(void **state) {
    (void)state;
    for (int nth = 1; nth <= 12; nth++) {
        hloop_t *loop = hloop_new(0);
        hhttp_server_t *server = hhttp_server_new(loop, NULL);
        hhttp_server_on_request(server, greet, NULL);
        int port = fault_port_of(hhttp_server_listen(server, "127.0.0.1", 0, 0));
        hhttp_client_t *client = hhttp_client_new(loop, NULL);
        hhttp_call_options_t options = {.on_done = on_done, .http2 = HHTTP_CALL_HTTP2_PRIOR};
        char url[64];
        snprintf(url, sizeof url, "http://127.0.0.1:%d/", port);
        hhttp_url_parse(url, &options.url);
        started = ended = 0;
        started += hhttp_call_start(client, &options) != NULL;
        run_until_ended(loop);
        hv__mem_fail_nth((uint64_t)nth);
        started += hhttp_call_start(client, &options) != NULL;
        hv__mem_fail_nth(0);
        run_until_ended(loop);
        hhttp_client_close(client);
        for (int pass = 0; pass < 200 && hhttp_server_connections(server) > 0; pass++) {
            hloop_process_events(loop, 5);
        }
        assert_int_equal(hhttp_server_connections(server), 0);
        hhttp_server_close(server, 0, NULL, NULL);
        hloop_free(&loop);
    }
}

int main(void) {
    static char by_http2;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_allocation_failure_is_survived),
        cmocka_unit_test_prestate(test_every_allocation_failure_is_survived, &by_http2),
        cmocka_unit_test(test_a_link_is_left_by_a_call_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
