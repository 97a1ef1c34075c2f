/* fuzz_ws_session.c - the input is what a peer sends to a whole socket with permessage-deflate; its
 * first byte chooses the side and whether windows are kept. The socket must take it all or fail,
 * close with one on_close, keep to its limit, and leave no memory behind. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "ws_int.h"

#define MESSAGE_MAX 20000

#define CHECK(claim) ((claim) ? (void)0 : fail(#claim, __LINE__))

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void fail(const char *claim, int line) {
    fprintf(stderr, "fuzz_ws_session.c:%d: %s\n", line, claim);
    abort();
}

static int closes;
static int pauses;

static void on_message(hws_t *ws, hws_kind_e kind, const void *data, size_t len) {
    CHECK(len <= MESSAGE_MAX);
    if (kind == HWS_TEXT) {
        ws_utf8_t utf8 = {0};
        CHECK(ws_utf8_feed(&utf8, data, len) == 0 && ws_utf8_is_whole(&utf8));
    }
    hws_send(ws, kind, data, len);
    if (pauses) {
        hws_pause(ws);
        hws_resume(ws);
    }
}

static void on_close(hws_t *ws) {
    CHECK(hws_close_code(ws) >= 1000 && hws_close_code(ws) <= 4999);
    closes++;
}

static const hws_handlers_t handlers = {.on_message = on_message, .on_close = on_close};

static void run_passes(hloop_t *loop, int count) {
    for (int i = 0; i < count; i++)
        hloop_process_events(loop, 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    if (len < 2 || len > 4096) return 0;
    size_t before = hv__mem_live_blocks();
    int fds[2];
    char sink[4096];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) != 0) abort();
    hloop_t *loop = hloop_new(0);
    hws_hub_t *hub = hws_hub_new(loop);
    hws_options_t options = {.message_bytes_max = MESSAGE_MAX,
                             .inbox_bytes_max = 100,
                             .deflate = {.is_on = 1, .bytes_min = 8}};
    hws_endpoint_t *endpoint = hws_endpoint_new(hub, &options, &handlers);
    hws_t *ws = hv__ws_new(endpoint, NULL);
    CHECK(ws != NULL);
    int forgets = !(data[0] & 2);
    ws_agreement_t agreement = {.deflate = {1, (uint8_t)forgets, (uint8_t)forgets, 15, 15}};
    closes = 0;
    pauses = data[0] & 4;
    if (data[0] & 1) ws->flags |= WSF_CLIENT;
    hv__ws_open(ws, hio_get(loop, fds[0]), &agreement);
    size_t half = 1 + (len - 1) * (data[0] >> 3) / 32;
    CHECK(send(fds[1], data + 1, half - 1 < len - 1 ? half - 1 : len - 1, MSG_NOSIGNAL) >= 0);
    run_passes(loop, 4);
    if (half < len) send(fds[1], data + half, len - half, MSG_NOSIGNAL);
    run_passes(loop, 4);
    while (recv(fds[1], sink, sizeof sink, MSG_DONTWAIT) > 0) {
    }
    shutdown(fds[1], SHUT_RDWR);
    close(fds[1]);
    run_passes(loop, 8);
    hws_hub_free(hub);
    hloop_free(&loop);
    CHECK(closes == 1);
    CHECK(hv__mem_live_blocks() == before);
    return 0;
}
