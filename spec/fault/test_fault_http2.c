/* Every allocation of conversations in HTTP/2 fails in turn, nghttp2's own too: nothing crashes,
 * nothing leaks, and no request is left untold. Requests of every kind: answered at once, later, in
 * pieces that wait for a window, with bodies, retained, refused, reset. */
#include "fault_http_test.h"
#include "h2_test.h"

#define CLIENTS 3

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
    case 'b': echo_body(req); break;
    case 'p': answer_in_pieces(req); break;
    case 'l':
        if (waiting != NULL) {
            hhttp_respond(req, 503, NULL, "", 0);
            break;
        }
        answer_later(req);
        break;
    case 'r': retain_once(req); break;
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

static void converse(hloop_t *loop, int port) {
    static h2_text_t text;
    int fds[CLIENTS];
    for (int i = 0; i < CLIENTS; i++) {
        compose(i, &text);
        fds[i] = say_to(port, text.data, text.len);
    }
    run_passes(loop, fds, CLIENTS);
    for (size_t i = 0; i < CLIENTS; i++) close(fds[i]);
}

static void scenario(void) { serve(NULL, on_request, converse); }

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
