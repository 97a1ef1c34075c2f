/* test_fault_ws.c - every allocation of WebSocket conversations fails in turn, on both sides of one
 * loop: compressed with and without windows, in fragments, paused, published, closed. Nothing
 * crashes or leaks, and every socket that was made says how it ended, once. */
#include "fault_test.h"
#include "hws.h"

static int made, closed;
static hws_endpoint_t *serving;

static void on_open(hws_t *ws) {
    char text[3000];
    memset(text, 'o', sizeof text);
    hws_subscribe(ws, "topic", 5);
    hws_send(ws, HWS_TEXT, text, sizeof text);
    hws_send(ws, HWS_BINARY, "x", 1);
    hws_ping(ws, "p", 1);
}

static void on_message(hws_t *ws, hws_kind_e kind, const void *data, size_t len) {
    if (kind == HWS_BINARY) {
        hws_pause(ws);
        hws_publish(hws_hub(ws), "topic", 5, HWS_TEXT, "news", 4, NULL);
    } else if (len == 4) {
        hws_send(ws, HWS_TEXT, data, len);
        hws_close(ws, 1000, "enough");
    }
}

static void on_close(hws_t *ws) {
    assert_true(hws_close_code(ws) != 0);
    closed++;
}

static const hws_handlers_t handlers = {
    .on_open = on_open, .on_message = on_message, .on_close = on_close};

static void on_request(hhttp_request_t *req, void *userdata) {
    (void)userdata;
    if (hws_accept(serving, req, NULL) != NULL) made++;
}

/* Passes until nothing has happened for some: how many that are depends on the bytes a call. */
static void run_until_quiet(hloop_t *loop) {
    for (int quiet = 0, pass = 0; quiet < 10; pass++) {
        assert_true(pass < 100000);
        quiet = hloop_process_events(loop, 0) > 0 ? 0 : quiet + 1;
    }
}

/* Both sides have what they have kept back delivered. */
static void resume_all(hws_hub_t *hub) {
    for (hws_t *ws = NULL; (ws = hws_hub_next(hub, ws)) != NULL;)
        hws_resume(ws);
}

static void converse(hloop_t *loop, hws_hub_t *hub, hws_endpoint_t *calling, int port) {
    char url[64];
    snprintf(url, sizeof url, "ws://127.0.0.1:%d/path?query", port);
    hhttp_header_t header = {{"X-Mine", 6}, {"1", 1}};
    hws_connect_t options = {.url = url, .headers = &header, .header_count = 1};
    for (int i = 0; i < 2; i++) {
        if (hws_connect(calling, &options, NULL) != NULL) {
            made++;
        } else {
            assert_int_equal(hloop_last_error(loop), HV_ENOMEM);
        }
    }
    for (int round = 0; round < 3; round++) {
        run_until_quiet(loop);
        resume_all(hub);
    }
}

static int keeps_windows;

static void scenario(void) {
    hloop_t *loop = hloop_new(0);
    if (loop == NULL) return;
    hws_hub_t *hub = hws_hub_new(loop);
    hws_options_t options = {.protocols = "a, b",
                             .origins = NULL,
                             .inbox_bytes_max = 10,
                             .deflate = {.is_on = 1,
                                         .server_takeover = keeps_windows,
                                         .client_takeover = keeps_windows,
                                         .bytes_min = 100}};
    serving = hub != NULL ? hws_endpoint_new(hub, &options, &handlers) : NULL;
    hws_endpoint_t *calling = hub != NULL ? hws_endpoint_new(hub, &options, &handlers) : NULL;
    hhttp_server_t *server = hhttp_server_new(loop, NULL);
    made = closed = 0;
    if (serving != NULL && calling != NULL && server != NULL) {
        hhttp_server_on_request(server, on_request, NULL);
        hio_t *listener = hhttp_server_listen(server, "127.0.0.1", 0, 0);
        int port = fault_port_of(listener);
        if (port != 0) converse(loop, hub, calling, port);
    }
    hws_hub_free(hub);
    if (server != NULL) hhttp_server_close(server, 0, NULL, NULL);
    for (int pass = 0; pass < 20; pass++)
        hloop_process_events(loop, 0);
    hloop_free(&loop);
    assert_int_equal(closed, made);
}

static void fail_each(int with_windows) {
    keeps_windows = with_windows;
    int count = fail_each_allocation(scenario, NULL);
    assert_true(count > 50); /* it did reach the sockets */
}

static void test_every_allocation_failure_is_survived(void **state) {
    (void)state;
    fail_each(0);
}

static void test_every_allocation_failure_is_survived_with_windows(void **state) {
    (void)state;
    fail_each(1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_allocation_failure_is_survived),
        cmocka_unit_test(test_every_allocation_failure_is_survived_with_windows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
