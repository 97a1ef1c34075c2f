/* Every allocation of streams of HTTP/2 that leave HTTP fails in turn: WebSocket and another
 * protocol by an extended CONNECT (RFC 8441), tunnels by a plain one, and those of a forward proxy.
 * Nothing crashes, nothing leaks, and every io and socket that was given is closed once. */
#include "fault_http_test.h"
#include "h2_test.h"
#include "hhttp_gateway.h"
#include "hws.h"

#define BURST_BYTES 150000 /* more than a window, and than what a stream keeps back */

static hws_endpoint_t *endpoint;
static hhttp_gateway_t *gateway;
static int given, closed;
static int passed_on; /* requests that came through the forward proxy's tunnel */

/* ---- Who takes the streams ---- */

static void on_io_read(hio_t *io, void *buf, int len) {
    static char burst[BURST_BYTES];
    if (len > 0 && ((char *)buf)[0] == 'b') hio_write(io, burst, sizeof burst);
    if (len > 0 && ((char *)buf)[0] == 'a') {
        hio_abort(io);
    } else {
        hio_write(io, buf, (size_t)len);
    }
}

static void on_io_eof(hio_t *io) { hio_close(io); }

static void on_io_close(hio_t *io) {
    (void)io;
    closed++;
}

static void take_io(hhttp_request_t *req) {
    int is_connect = hhttp_request_method(req) == HHTTP_CONNECT;
    hhttp_header_t header = {{"Upgrade", 7}, {"chat", 4}};
    hio_t *io;
    if (hhttp_request_upgrade(req, is_connect ? 200 : 101, &header, 1, &io) != 0) {
        hhttp_request_abort(req);
        return;
    }
    given++;
    hio_setcb_read(io, on_io_read);
    hio_setcb_eof(io, on_io_eof);
    hio_setcb_close(io, on_io_close);
    hio_read(io);
}

static void on_ws_open(hws_t *ws) { hws_send(ws, HWS_TEXT, "welcome", 7); }

static void on_ws_message(hws_t *ws, hws_kind_e kind, const void *data, size_t len) {
    hws_send(ws, kind, data, len);
}

static void on_ws_close(hws_t *ws) {
    (void)ws;
    closed++;
}

static void on_request(hhttp_request_t *req, void *userdata) {
    (void)userdata;
    hhttp_slice_t path = hhttp_request_path(req);
    if (path.len == 3 && memcmp(path.data, "/ws", 3) == 0) {
        if (endpoint == NULL) {
            hhttp_request_refuse(req, 503);
        } else if (hws_accept(endpoint, req, NULL) != NULL) {
            given++;
        }
    } else if (path.data[0] == '1') { /* CONNECT 127.0.0.1:port */
        if (gateway == NULL || hhttp_gateway_forward(gateway, req, NULL, NULL) != 0) {
            hhttp_request_refuse(req, 503);
        }
    } else if (hhttp_request_version(req) == 20) {
        take_io(req);
    } else {
        passed_on++;
        hhttp_respond(req, 200, NULL, "inside", 6);
    }
}

/* ---- Who asks for them ---- */

static void put_connect(h2_text_t *text, uint32_t stream, const char *authority,
                        const char *protocol, const char *path) {
    static h2_text_t block;
    block.len = 0;
    put_field(&block, ":method", "CONNECT");
    put_field(&block, ":authority", authority);
    if (protocol != NULL) {
        put_field(&block, ":protocol", protocol);
        put_field(&block, ":scheme", "http");
        put_field(&block, ":path", path);
        put_field(&block, "sec-websocket-version", "13");
    }
    put_frame(text, F_HEADERS, END_HEADERS, stream, block.data, block.len);
}

static void compose(h2_text_t *text, int port) {
    static const char hello[] = "\x81\x85\0\0\0\0hello", bye[] = "\x88\x82\0\0\0\0\x03\xe8";
    static const char get[] = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    char authority[32];
    snprintf(authority, sizeof authority, "127.0.0.1:%d", port);
    put_preface(text);
    put_frame(text, F_SETTINGS, ACK, 0, NULL, 0);
    put_number_frame(text, F_WINDOW_UPDATE, 0, BURST_BYTES);
    put_connect(text, 1, "x", "websocket", "/ws");
    put_frame(text, F_DATA, 0, 1, hello, sizeof hello - 1);
    put_connect(text, 3, "x", "chat", "/chat");
    put_frame(text, F_DATA, 0, 3, "burst", 5);
    put_connect(text, 5, "x:443", NULL, NULL);
    put_frame(text, F_DATA, END_STREAM, 5, "last", 4);
    put_connect(text, 7, authority, NULL, NULL);
    put_frame(text, F_DATA, 0, 7, get, sizeof get - 1);
    put_connect(text, 9, "x", "chat", "/chat");
    put_frame(text, F_DATA, 0, 9, "abort", 5);
    put_connect(text, 11, "x", "chat", "/chat");
    put_number_frame(text, F_RST_STREAM, 11, 8);
    put_number_frame(text, F_WINDOW_UPDATE, 3, BURST_BYTES);
    put_frame(text, F_DATA, 0, 1, bye, sizeof bye - 1);
    put_frame(text, F_DATA, END_STREAM, 3, "end", 3);
}

static const hws_handlers_t handlers = {
    .on_open = on_ws_open, .on_message = on_ws_message, .on_close = on_ws_close};

static void converse(hloop_t *loop, int port) {
    static h2_text_t text;
    hws_hub_t *hub = hws_hub_new(loop);
    endpoint = hub != NULL ? hws_endpoint_new(hub, NULL, &handlers) : NULL;
    hhttp_gateway_options_t options = {0};
    gateway = hhttp_gateway_new(loop, &options);
    compose(&text, port);
    int fd = say_to(port, text.data, text.len);
    run_passes(loop, &fd, 1);
    close(fd);
    if (gateway != NULL) hhttp_gateway_close(gateway);
    hws_hub_free(hub);
    gateway = NULL;
    endpoint = NULL;
}

static void scenario(void) {
    given = closed = passed_on = 0;
    serve(NULL, on_request, converse);
    assert_int_equal(closed, given);
}

/* Where nothing has failed all streams were given away; the forward proxy's is its own. */
static void judge(int has_failed) {
    if (has_failed) return;
    assert_int_equal(given, 5);
    assert_int_equal(passed_on, 1);
}

static void test_every_allocation_failure_is_survived(void **state) {
    (void)state;
    int count = fail_each_allocation(scenario, judge);
    assert_true(count > 100);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_allocation_failure_is_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
