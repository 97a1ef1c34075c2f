/* Every allocation of conversations in HTTP/2 fails in turn, nghttp2's own too: nothing crashes,
 * nothing leaks, and no request is left untold. Requests of every kind: answered at once, later, in
 * pieces that wait for a window, with bodies, retained, refused, reset. */
#include "fault_http_test.h"
#include "h2_test.h"

#include <errno.h>

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

static void echo_with_trailers(hhttp_request_t *req, int error) {
    if (error != 0) return;
    hhttp_header_t trailers[24];
    size_t cursor = 0, count = 0;
    while (count < 24 && hhttp_request_next_trailer(req, &cursor, &trailers[count]) == 1) count++;
    int code = hhttp_response_begin(req, 200, NULL, 0, -1);
    if (code == 0) code = hhttp_response_write(req, "body", 4);
    if (code == 0) code = hhttp_response_end_with(req, trailers, count);
    if (code != 0) hhttp_request_abort(req);
}

static void on_request(hhttp_request_t *req, void *userdata) {
    (void)userdata;
    switch (hhttp_request_path(req).data[1]) {
    case 'b': echo_body(req); break;
    case 't':
        if (hhttp_request_collect_body(req, echo_with_trailers) == 1) echo_with_trailers(req, 0);
        break;
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

/* More of them than lie on a stack. */
static void put_trailers(h2_text_t *text, uint32_t stream) {
    static h2_text_t block;
    block.len = 0;
    for (char name[] = "x-a"; name[2] <= 't'; name[2]++) put_field(&block, name, "value");
    put_frame(text, F_HEADERS, END_HEADERS | END_STREAM, stream, block.data, block.len);
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
        put_request(text, 0, 7, "POST", "/trailers", NULL);
        put_trailers(text, 7);
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

static int abort_failed;

static void abort_without_memory(htimer_t *timer) {
    (void)timer;
    hhttp_request_t *req = waiting;
    waiting = NULL;
    hhttp_response_begin(req, 200, NULL, 0, -1);
    hhttp_response_write(req, "abc", 3);
    hv__mem_fail_nth(1);
    hhttp_request_abort(req);
    abort_failed = hv__mem_has_failed();
    hv__mem_fail_nth(0);
}

static void abort_soon(hhttp_request_t *req, void *userdata) {
    waiting = req;
    htimer_add(userdata, abort_without_memory, 5, 1);
}

/* Where there is no memory for the reset of a stream the peer must hear of it all the same. */
static void test_a_reset_that_cannot_be_queued_ends_the_connection(void **state) {
    (void)state;
    hloop_t *loop = hloop_new(0);
    hhttp_server_t *server = hhttp_server_new(loop, NULL);
    hhttp_server_on_request(server, abort_soon, loop);
    int port = fault_port_of(hhttp_server_listen(server, "127.0.0.1", 0, 0));
    static h2_text_t text;
    put_preface(&text);
    put_request(&text, END_STREAM, 1, "GET", "/", NULL);
    int fd = say_to(port, text.data, text.len);
    ssize_t got = 1;
    char sink[4096];
    for (int pass = 0; pass < 1000 && got != 0; pass++) {
        hloop_process_events(loop, 5);
        got = recv(fd, sink, sizeof sink, MSG_DONTWAIT);
        if (got < 0 && errno == ECONNRESET) got = 0;
    }
    assert_true(abort_failed);
    assert_int_equal(got, 0);
    close(fd);
    server_closed = 0;
    hhttp_server_close(server, 0, on_server_close, NULL);
    hloop_free(&loop);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_allocation_failure_is_survived),
        cmocka_unit_test(test_a_reset_that_cannot_be_queued_ends_the_connection),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
