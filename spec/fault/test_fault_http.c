/* Every allocation of an HTTP conversation fails in turn: nothing crashes, nothing leaks, and a
 * client either gets a whole answer or sees its connection end. Requests of every kind: answered at
 * once, later, in pieces, with bodies short and long, retained, refused, pipelined. */
#include "fault_http_test.h"

static void answer_in_pieces(hhttp_request_t *req) {
    static char piece[100000];
    hhttp_header_t header = {{"X-Long", 6}, {piece, 2000}};
    memset(piece, 'p', sizeof piece);
    if (hhttp_response_begin(req, 200, &header, 1, -1) != 0) {
        hhttp_request_abort(req);
        return;
    }
    for (int i = 0; i < 20; i++) hhttp_response_write(req, piece, sizeof piece);
    hhttp_response_on_drain(req, NULL, NULL);
    hhttp_response_end(req);
}

static void echo_with_trailers(hhttp_request_t *req, int error) {
    if (error != 0) return;
    hhttp_header_t trailers[4];
    size_t cursor = 0, count = 0;
    while (count < 4 && hhttp_request_next_trailer(req, &cursor, &trailers[count]) == 1) count++;
    int code = hhttp_response_begin(req, 200, NULL, 0, -1);
    if (code == 0) code = hhttp_response_end_with(req, trailers, count);
    if (code != 0) hhttp_request_abort(req);
}

/* Whole, or in pieces. */
static void answer_compressed(hhttp_request_t *req, int in_pieces) {
    static char text_of[20000];
    hhttp_header_t header = {{"Content-Type", 12}, {"text/plain", 10}};
    memset(text_of, 't', sizeof text_of);
    hhttp_response_tag(req);
    hhttp_response_compress(req, NULL);
    int code = in_pieces ? hhttp_response_begin(req, 200, &header, 1, -1)
                         : hhttp_respond(req, 200, "text/plain", text_of, sizeof text_of);
    for (int i = 0; in_pieces && code == 0 && i < 3; i++)
        code = hhttp_response_write(req, text_of, sizeof text_of);
    if (in_pieces && code == 0) code = hhttp_response_end(req);
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
    case 'c': answer_compressed(req, 0); break;
    case 'd': answer_compressed(req, 1); break;
    case 'l': answer_later(req); break;
    case 'r': retain_once(req); break;
    default: hhttp_respond(req, 200, "text/plain", "hello\n", 6);
    }
}

static const char *const conversations[] = {
    "GET / HTTP/1.1\r\nHost: x\r\n\r\nGET /r HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nHo",
    ("POST /b HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"
     "POST /b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n"),
    "GET /later HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET /pieces HTTP/1.1\r\nHost: x\r\n\r\nGET /pieces HTTP/1.1\r\nHost: x\r\n\r\n",
    ("GET /c HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\n\r\n"
     "GET /d HTTP/1.1\r\nHost: x\r\nAccept-Encoding: br\r\n\r\n"),
    ("POST /trailers HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
     "3\r\nabc\r\n0\r\nX-One: 1\r\nX-Two: 2\r\n\r\n"),
    "BAD REQUEST\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhel",
};

#define CLIENTS (sizeof conversations / sizeof conversations[0])

static void converse(hloop_t *loop, int port) {
    int fds[CLIENTS];
    for (size_t i = 0; i < CLIENTS; i++) {
        fds[i] = say_to(port, conversations[i], strlen(conversations[i]));
    }
    run_passes(loop, fds, CLIENTS);
    for (size_t i = 0; i < CLIENTS; i++) {
        if (i % 2 == 0) shutdown(fds[i], SHUT_WR);
    }
    run_passes(loop, fds, CLIENTS);
    for (size_t i = 0; i < CLIENTS; i++) close(fds[i]);
}

static void scenario(void) {
    hhttp_server_options_t options = {.server_name = "faulty"};
    serve(&options, on_request, converse);
}

static void test_every_allocation_failure_is_survived(void **state) {
    (void)state;
    int count = fail_each_allocation(scenario, NULL);
    assert_true(count > 20); /* it did reach the session */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_allocation_failure_is_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
