/* fault_http_test.h - a server whose allocations fail while clients talk to it: for the tests of
 * each version of HTTP. */
#ifndef SPEC_FAULT_HTTP_TEST_H_
#define SPEC_FAULT_HTTP_TEST_H_

#include "fault_test.h"
#include "hhttp.h"

static hhttp_request_t *waiting, *retained; /* one to be answered later; one kept beyond its end */
static int server_closed;

static void on_server_close(hhttp_server_t *server, void *userdata) {
    (void)server;
    (void)userdata;
    server_closed++;
}

static void on_waiting_abort(hhttp_request_t *req, void *userdata) {
    (void)userdata;
    if (req == waiting) waiting = NULL;
}

static void echo_collected(hhttp_request_t *req, int error) {
    if (error != 0) return;
    hhttp_slice_t body = hhttp_request_body(req);
    hhttp_respond(req, 200, "text/plain", body.data, body.len);
}

static inline void echo_body(hhttp_request_t *req) {
    if (hhttp_request_collect_body(req, echo_collected) == 1) echo_collected(req, 0);
}

static inline void answer_later(hhttp_request_t *req) {
    hhttp_request_on_abort(req, on_waiting_abort, NULL);
    waiting = req;
}

static inline void retain_once(hhttp_request_t *req) {
    if (retained == NULL) {
        hhttp_request_retain(req);
        retained = req;
    }
    hhttp_respond(req, 200, NULL, "r", 1);
}

/* Lets both sides go on, the clients reading what comes. Who waits is answered on the way. */
static void run_passes(hloop_t *loop, const int *fds, size_t count) {
    static char sink[65536];
    for (int pass = 0; pass < 60; pass++) {
        hloop_process_events(loop, 0);
        for (size_t i = 0; i < count; i++) {
            while (fds[i] >= 0 && recv(fds[i], sink, sizeof sink, MSG_DONTWAIT) > 0) {}
        }
        if (pass == 20 && waiting != NULL) {
            hhttp_request_t *req = waiting;
            waiting = NULL;
            if (hhttp_respond(req, 200, NULL, "later", 5) != 0) hhttp_request_abort(req);
        }
    }
}

/* A client that has said something. */
static int say_to(int port, const char *data, size_t len) {
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof addr), 0);
    send(fd, data, len, MSG_NOSIGNAL);
    return fd;
}

/* The whole of a server's life, as far as there is memory for it. */
static void serve(const hhttp_server_options_t *options, hhttp_request_cb on_request,
                  void (*converse)(hloop_t *loop, int port)) {
    hloop_t *loop = hloop_new(0);
    if (loop == NULL) return;
    hhttp_server_t *server = hhttp_server_new(loop, options);
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

#endif
