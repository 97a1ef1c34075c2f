/* Every allocation of an HTTP conversation fails in turn: nothing crashes, nothing leaks, and a
 * client either gets a whole answer or sees its connection end. Requests of every kind: answered at
 * once, later, in pieces, with bodies short and long, retained, refused, pipelined. */
#include "fault_test.h"
#include "hhttp.h"

static hhttp_request_t *waiting, *retained;
static int server_closed, bodies, aborts;

static void on_server_close(hhttp_server_t *server, void *userdata) {
    (void)server;
    (void)userdata;
    server_closed++;
}

static void on_abort(hhttp_request_t *req, void *userdata) {
    (void)userdata;
    aborts++;
    if (req == waiting) waiting = NULL;
}

static void on_body(hhttp_request_t *req, int error) {
    bodies++;
    if (error != 0) return;
    hhttp_slice_t body = hhttp_request_body(req);
    hhttp_respond(req, 200, "text/plain", body.data, body.len);
}

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
    case 'b':
        if (hhttp_request_collect_body(req, on_body) == 1) on_body(req, 0);
        break;
    case 'p': answer_in_pieces(req); break;
    case 'c': answer_compressed(req, 0); break;
    case 'd': answer_compressed(req, 1); break;
    case 'l':
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

static const char *const conversations[] = {
    "GET / HTTP/1.1\r\nHost: x\r\n\r\nGET /r HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nHo",
    ("POST /b HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"
     "POST /b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n"),
    "GET /later HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET /pieces HTTP/1.1\r\nHost: x\r\n\r\nGET /pieces HTTP/1.1\r\nHost: x\r\n\r\n",
    ("GET /c HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\n\r\n"
     "GET /d HTTP/1.1\r\nHost: x\r\nAccept-Encoding: br\r\n\r\n"),
    "BAD REQUEST\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhel",
};

#define CLIENTS (sizeof conversations / sizeof conversations[0])

static void run_passes(hloop_t *loop, const int *fds) {
    static char sink[65536];
    for (int pass = 0; pass < 60; pass++) {
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

/* The whole conversation once. Returns 0 where even the loop or the server could not be made. */
static void converse(hloop_t *loop, int port) {
    int fds[CLIENTS];
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (size_t i = 0; i < CLIENTS; i++) {
        fds[i] = socket(AF_INET, SOCK_STREAM, 0);
        assert_int_equal(connect(fds[i], (struct sockaddr *)&addr, sizeof addr), 0);
        send(fds[i], conversations[i], strlen(conversations[i]), MSG_NOSIGNAL);
    }
    run_passes(loop, fds);
    for (size_t i = 0; i < CLIENTS; i++) {
        if (i % 2 == 0) shutdown(fds[i], SHUT_WR);
    }
    run_passes(loop, fds);
    for (size_t i = 0; i < CLIENTS; i++) close(fds[i]);
}

static void scenario(void) {
    hloop_t *loop = hloop_new(0);
    if (loop == NULL) return;
    hhttp_server_options_t options = {.server_name = "faulty"};
    hhttp_server_t *server = hhttp_server_new(loop, &options);
    if (server == NULL) {
        assert_int_equal(hloop_last_error(loop), HV_ENOMEM);
        hloop_free(&loop);
        return;
    }
    waiting = retained = NULL;
    server_closed = 0;
    hhttp_server_on_request(server, on_request, NULL);
    hio_t *listener = hhttp_server_listen(server, "127.0.0.1", 0, 0);
    if (listener == NULL) {
        assert_int_equal(hloop_last_error(loop), HV_ENOMEM);
    } else {
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
    assert_true(count > 20); /* it did reach the session */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_allocation_failure_is_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
