/* Every allocation of conversations in HTTP/2 fails in turn, nghttp2's own too: nothing crashes,
 * nothing leaks, and no request is left untold. Requests of every kind: answered at once, later, in
 * pieces that wait for a window, with bodies, retained, refused, reset. */
#include "fault_test.h"
#include "h2_test.h"
#include "hhttp.h"

#define CLIENTS 3

static hhttp_request_t *waiting, *retained;
static int server_closed;

static void on_server_close(hhttp_server_t *server, void *userdata) {
    (void)server;
    (void)userdata;
    server_closed++;
}

static void on_abort(hhttp_request_t *req, void *userdata) {
    (void)userdata;
    if (req == waiting) waiting = NULL;
}

static void on_body(hhttp_request_t *req, int error) {
    if (error != 0) return;
    hhttp_slice_t body = hhttp_request_body(req);
    hhttp_respond(req, 200, "text/plain", body.data, body.len);
}

static void answer_in_pieces(hhttp_request_t *req) {
    static char piece[50000];
    hhttp_header_t headers[30];
    for (size_t i = 0; i < 30; i++) headers[i] = (hhttp_header_t){{"X-Long", 6}, {piece, 100}};
    memset(piece, 'p', sizeof piece);
    if (hhttp_response_begin(req, 200, headers, 30, -1) != 0) {
        hhttp_request_abort(req);
        return;
    }
    for (int i = 0; i < 4; i++) hhttp_response_write(req, piece, sizeof piece);
    hhttp_response_end(req);
}

static void on_request(hhttp_request_t *req, void *userdata) {
    (void)userdata;
    switch (hhttp_request_path(req).data[1]) {
    case 'b':
        if (hhttp_request_collect_body(req, on_body) == 1) on_body(req, 0);
        break;
    case 'p': answer_in_pieces(req); break;
    case 'l':
        if (waiting != NULL) {
            hhttp_respond(req, 503, NULL, "", 0);
            break;
        }
        hhttp_request_on_abort(req, on_abort, NULL);
        waiting = req;
        break;
    case 'r':
        if (retained == NULL) {
            hhttp_request_retain(req);
            retained = req;
        }
        hhttp_respond(req, 200, NULL, "r", 1);
        break;
    default: hhttp_respond(req, 200, "text/plain", "hello\n", 6);
    }
}

/* What the clients say. */
static void compose(int client, h2_text_t *text) {
    static const char *const cookies[] = {"cookie", "a=1", "cookie", "b=2", NULL};
    put_preface(text);
    put_frame(text, F_SETTINGS, ACK, 0, NULL, 0);
    switch (client) {
    case 0:
        put_request(text, END_STREAM, 1, "GET", "/", cookies);
        put_request(text, END_STREAM, 3, "GET", "/r", NULL);
        put_request(text, END_STREAM, 5, "GET", "/pieces", NULL);
        put_number_frame(text, F_WINDOW_UPDATE, 0, 200000);
        put_number_frame(text, F_WINDOW_UPDATE, 5, 200000);
        return;
    case 1:
        put_request(text, 0, 1, "POST", "/b", NULL);
        put_frame(text, F_DATA, 0, 1, "hel", 3);
        put_request(text, END_STREAM, 3, "GET", "/later", NULL);
        put_frame(text, F_DATA, END_STREAM, 1, "lo", 2);
        put_request(text, 0, 5, "POST", "/", NULL);
        put_frame(text, F_DATA, 0, 5, "left", 4);
        return;
    default:
        put_request(text, END_STREAM, 1, "GET", "/later", NULL);
        put_number_frame(text, F_RST_STREAM, 1, 8);
        put_request(text, END_STREAM, 3, "BAD METHOD", "/", NULL);
        put_request(text, END_STREAM, 5, "GET", "/pieces", NULL);
        put_request(text, 0, 7, "POST", "/b", NULL);
    }
}

static void run_passes(hloop_t *loop, const int *fds) {
    static char sink[65536];
    for (int pass = 0; pass < 40; pass++) {
        hloop_process_events(loop, 0);
        for (size_t i = 0; i < CLIENTS; i++) {
            while (fds[i] >= 0 && recv(fds[i], sink, sizeof sink, MSG_DONTWAIT) > 0) {}
        }
        if (pass == 20 && waiting != NULL) {
            hhttp_request_t *req = waiting;
            waiting = NULL;
            if (hhttp_respond(req, 200, NULL, "later", 5) != 0) hhttp_request_abort(req);
        }
    }
}

static void converse(hloop_t *loop, int port) {
    static h2_text_t text;
    int fds[CLIENTS];
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (int i = 0; i < CLIENTS; i++) {
        fds[i] = socket(AF_INET, SOCK_STREAM, 0);
        assert_int_equal(connect(fds[i], (struct sockaddr *)&addr, sizeof addr), 0);
        compose(i, &text);
        send(fds[i], text.data, text.len, MSG_NOSIGNAL);
    }
    run_passes(loop, fds);
    for (size_t i = 0; i < CLIENTS; i++) close(fds[i]);
}

static void scenario(void) {
    hloop_t *loop = hloop_new(0);
    if (loop == NULL) return;
    hhttp_server_t *server = hhttp_server_new(loop, NULL);
    if (server == NULL) {
        hloop_free(&loop);
        return;
    }
    waiting = retained = NULL;
    server_closed = 0;
    hhttp_server_on_request(server, on_request, NULL);
    hio_t *listener = hhttp_server_listen(server, "127.0.0.1", 0, 0);
    if (listener != NULL) {
        int port = fault_port_of(listener);
        if (port != 0) converse(loop, port);
    }
    hhttp_server_close(server, 0, on_server_close, NULL);
    for (int pass = 0; pass < 100 && server_closed == 0; pass++) hloop_process_events(loop, 1);
    hloop_free(&loop);
    assert_int_equal(server_closed, 1);
    if (retained != NULL) {
        assert_true(hhttp_request_is_over(retained));
        hhttp_request_release(retained);
    }
}

static void test_every_allocation_failure_is_survived(void **state) {
    (void)state;
    int count = fail_each_allocation(scenario, NULL);
    assert_true(count > 100); /* it did reach the streams */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_allocation_failure_is_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
