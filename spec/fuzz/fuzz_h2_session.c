/* fuzz_h2_session.c - the input is what a peer sends behind the preface of HTTP/2; its first byte
 * chooses where the bytes are parted and what the program does. The server must tell every request
 * once, end it once, keep to its limits, and leave no memory behind. A stream that asks to leave
 * HTTP (CONNECT, RFC 8441) does: as an io that echoes, closes, aborts or floods, or as a WebSocket;
 * each is closed once. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "hloop.h"
#include "http_int.h"
#include "hws.h"

#define BODY_MAX 3000

#define CHECK(claim) ((claim) ? (void)0 : fail(#claim, __LINE__))

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void fail(const char *claim, int line) {
    fprintf(stderr, "fuzz_h2_session.c:%d: %s\n", line, claim);
    abort();
}

static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
static int begun, ended, closes, manner;
static int given, given_back; /* streams that have left HTTP */
static hhttp_request_t *kept;
static hws_endpoint_t *endpoint;

static void end_it(hhttp_request_t *req) {
    if (req == kept) kept = NULL;
    ended++;
}

static void on_abort(hhttp_request_t *req, void *userdata) {
    (void)userdata;
    end_it(req);
}

static void answer(hhttp_request_t *req, const void *body, size_t len) {
    int code = hhttp_respond(req, 200, "text/plain", body, len);
    CHECK(code == 0 || code == HV_ECLOSED || code == HV_ENOMEM);
    if (code == 0) end_it(req);
    if (code != 0) hhttp_request_abort(req), end_it(req);
}

static void on_body(hhttp_request_t *req, int error) {
    hhttp_slice_t body = hhttp_request_body(req);
    CHECK(body.len <= BODY_MAX);
    if (error == 0) answer(req, body.data, body.len);
}

/* Sends the trailers of a request back. */
static void on_body_and_trailers(hhttp_request_t *req, int error) {
    if (error != 0) return;
    hhttp_header_t trailers[100];
    size_t cursor = 0, count = 0;
    while (hhttp_request_next_trailer(req, &cursor, &trailers[count]) == 1) count++;
    CHECK(count <= 90);
    hhttp_slice_t body = hhttp_request_body(req);
    CHECK(hhttp_response_begin(req, 200, NULL, 0, -1) == 0);
    hhttp_response_write(req, body.data, body.len);
    if (hhttp_response_end_with(req, trailers, count) == 0) end_it(req);
}

static void on_piece(hhttp_request_t *req, hhttp_slice_t piece, int error) {
    while (error == 0 && piece.len > 0) {
        int result = hhttp_request_read_body(req, &piece, on_piece);
        if (result == 0) return;
        if (result < 0) return;
    }
    if (error == 0) answer(req, "read", 4);
}

static void check_head(const hhttp_request_t *req) {
    CHECK(hhttp_request_version(req) == 20 && hhttp_request_path(req).len > 0);
    CHECK(hhttp_request_method_name(req).len > 0);
    size_t cursor = 0;
    hhttp_header_t header;
    while (hhttp_request_next_header(req, &cursor, &header)) {
        CHECK(header.name.len > 0);
        CHECK(header.value.len == 0 || memchr(header.value.data, '\n', header.value.len) == NULL);
    }
}

/* ---- Streams that leave HTTP ---- */

static void on_io_read(hio_t *io, void *buf, int len) {
    static char burst[80000];
    switch ((manner + len) % 5) {
    case 0: hio_write(io, burst, sizeof burst); return;
    case 1: hio_read_stop(io); return;
    case 2: hio_close(io); return;
    default: hio_write(io, buf, (size_t)len);
    }
}

static void on_io_eof(hio_t *io) { hio_close(io); }

static void on_io_close(hio_t *io) {
    (void)io;
    given_back++;
}

static void on_ws_message(hws_t *ws, hws_kind_e kind, const void *data, size_t len) {
    if (len == 1) hws_pause(ws);
    hws_send(ws, kind, data, len);
}

static void on_ws_close(hws_t *ws) {
    CHECK(hws_close_code(ws) != 0);
    given_back++;
}

static const hws_handlers_t ws_handlers = {.on_message = on_ws_message, .on_close = on_ws_close};

/* Returns whether the request has gone that way. */
static int leave_http(hhttp_request_t *req) {
    hhttp_slice_t upgrade = hhttp_request_header(req, "upgrade", 7);
    int is_connect = hhttp_request_method(req) == HHTTP_CONNECT;
    hio_t *io;
    if (upgrade.len == 9 && memcmp(upgrade.data, "websocket", 9) == 0) {
        given += hws_accept(endpoint, req, NULL) != NULL;
        ended++;
        return 1;
    }
    if (hhttp_request_upgrade(req, is_connect ? 200 : 101, NULL, 0, &io) != 0) return 0;
    given++;
    ended++;
    hio_setcb_read(io, on_io_read);
    hio_setcb_eof(io, on_io_eof);
    hio_setcb_close(io, on_io_close);
    switch ((manner + given) % 4) {
    case 0: hio_close(io); break;
    case 1: hio_abort(io); break;
    default: hio_read(io);
    }
    return 1;
}

/* ---- Requests ---- */

static void on_request(hhttp_request_t *req, void *userdata) {
    (void)userdata;
    static char piece[40000];
    begun++;
    check_head(req);
    if (leave_http(req)) return;
    hhttp_request_on_abort(req, on_abort, NULL);
    switch ((manner + begun) % 7) {
    case 0: answer(req, "hello", 5); return;
    case 1:
        if (hhttp_request_collect_body(req, on_body) == 1) on_body(req, 0);
        return;
    case 2:
        CHECK(hhttp_response_begin(req, 200, NULL, 0, -1) == 0);
        hhttp_response_write(req, piece, sizeof piece);
        hhttp_response_write(req, piece, sizeof piece);
        if (hhttp_response_end(req) == 0) end_it(req);
        return;
    case 3: {
        hhttp_slice_t got = {NULL, 1};
        int result = hhttp_request_read_body(req, &got, on_piece);
        if (result == 1) on_piece(req, got, 0);
        return;
    }
    case 4: kept = req; return;
    case 5:
        if (hhttp_request_collect_body(req, on_body_and_trailers) == 1) {
            on_body_and_trailers(req, 0);
        }
        return;
    default: hhttp_request_abort(req), end_it(req);
    }
}

static void on_close(hhttp_server_t *server, void *userdata) {
    (void)server, (void)userdata;
    closes++;
}

static void run_passes(hloop_t *loop, int count) {
    for (int i = 0; i < count; i++)
        hloop_process_events(loop, 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    if (len < 2 || len > 8192) return 0;
    size_t before = hv__mem_live_blocks();
    int fds[2];
    char sink[4096];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) != 0) abort();
    begun = ended = closes = given = given_back = 0;
    kept = NULL;
    manner = data[0] & 7;
    hloop_t *loop = hloop_new(0);
    hhttp_server_options_t options = {
        .body_bytes_max = BODY_MAX, .header_bytes_max = 1000, .header_count_max = 90};
    hhttp_server_t *server = hhttp_server_new(loop, &options);
    hhttp_server_on_request(server, on_request, NULL);
    hws_hub_t *hub = hws_hub_new(loop);
    hws_options_t ws_options = {.deflate = {.is_on = 1}};
    endpoint = hws_endpoint_new(hub, &ws_options, &ws_handlers);
    hio_t *io = hio_get(loop, fds[0]);
    hevent_set_userdata(io, server);
    hv__http_accept(io);
    CHECK(send(fds[1], preface, sizeof preface - 1, MSG_NOSIGNAL) > 0);
    size_t part = 1 + (len - 1) * (data[0] >> 3) / 32;
    send(fds[1], data + 1, part - 1, MSG_NOSIGNAL);
    run_passes(loop, 3);
    send(fds[1], data + part, len - part, MSG_NOSIGNAL);
    run_passes(loop, 4);
    if (kept != NULL) answer(kept, "later", 5);
    while (recv(fds[1], sink, sizeof sink, MSG_DONTWAIT) > 0) run_passes(loop, 1);
    shutdown(fds[1], SHUT_RDWR);
    close(fds[1]);
    run_passes(loop, 4);
    hhttp_server_close(server, 0, on_close, NULL);
    run_passes(loop, 8);
    hws_hub_free(hub);
    hloop_free(&loop);
    CHECK(closes == 1);
    CHECK(given_back == given);
    CHECK(ended <= begun);
    CHECK(hv__mem_live_blocks() == before);
    return 0;
}
