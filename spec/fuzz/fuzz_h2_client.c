/* fuzz_h2_client.c - the input is what a server of HTTP/2 sends to three requests; its first byte
 * chooses where the bytes are parted and what the program does. Every call ends once, with its
 * events in their order and within its limits, and no memory is left behind. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "hhttp_client.h"
#include "hloop.h"
#include "hmem.h"

#define CALLS    3
#define BODY_MAX 3000

#define CHECK(claim) ((claim) ? (void)0 : fail(#claim, __LINE__))

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void fail(const char *claim, int line) {
    fprintf(stderr, "fuzz_h2_client.c:%d: %s\n", line, claim);
    abort();
}

/* What has been told of each call. */
static struct {
    hhttp_call_t *call;
    int heads, interims, ended;
    size_t received;
} told[CALLS];
static int manner;

static int index_of(const hhttp_call_t *call) {
    return (int)(intptr_t)hhttp_call_userdata(call);
}

static void check_head(const hhttp_call_t *call) {
    CHECK(hhttp_call_version(call) == 20);
    CHECK(hhttp_call_status(call) >= 100 && hhttp_call_status(call) <= 999);
    size_t cursor = 0, bytes = 0;
    hhttp_header_t header;
    while (hhttp_call_next_header(call, &cursor, &header)) {
        CHECK(header.name.len > 0);
        CHECK(header.value.len == 0 || memchr(header.value.data, '\n', header.value.len) == NULL);
        bytes += header.name.len + header.value.len;
    }
    CHECK(bytes <= 1000);
}

static void on_interim(hhttp_call_t *call) {
    int at = index_of(call);
    CHECK(told[at].heads == 0 && !told[at].ended && hhttp_call_status(call) < 200);
    CHECK(++told[at].interims <= 4);
    check_head(call);
}

static void on_head(hhttp_call_t *call) {
    int at = index_of(call);
    CHECK(told[at].heads++ == 0 && !told[at].ended && hhttp_call_status(call) >= 200);
    check_head(call);
    if (manner & 1) hhttp_call_pause(call);
}

static void on_data(hhttp_call_t *call, const void *data, size_t len) {
    int at = index_of(call);
    static volatile char sink;
    CHECK(told[at].heads == 1 && !told[at].ended && len > 0);
    told[at].received += len;
    CHECK(told[at].received <= BODY_MAX);
    for (size_t i = 0; i < len; i++) sink = ((const char *)data)[i];
    (void)sink;
    if (manner & 2) hhttp_call_pause(call);
    if (manner & 4 && at == 1) hhttp_call_cancel(call);
}

static void on_ready(hhttp_call_t *call) {
    static const hhttp_header_t trailer = {{"x-sum", 5}, {"1", 1}};
    hhttp_call_write(call, "a piece", 7);
    if (!(manner & 4)) hhttp_call_finish_with(call, &trailer, manner & 1);
}

static void on_done(hhttp_call_t *call, int error) {
    int at = index_of(call);
    CHECK(told[at].ended++ == 0);
    CHECK(error != 0 || told[at].heads == 1);
    CHECK(hhttp_call_error_text(call)[0] != '\0');
    hhttp_header_t trailer;
    size_t cursor = 0;
    while (hhttp_call_next_trailer(call, &cursor, &trailer) == 1) CHECK(trailer.name.len > 0);
    told[at].call = NULL;
}

static void start_calls(hhttp_client_t *client, int port) {
    for (int i = 0; i < CALLS; i++) {
        hhttp_call_options_t options = {
            .http2 = HHTTP_CALL_HTTP2_PRIOR,
            .decodes = 1,
            .body_bytes_max = BODY_MAX,
            .redirects_max = i == 0,
            .on_interim = on_interim,
            .on_head = on_head,
            .on_data = on_data,
            .on_ready = on_ready,
            .on_done = on_done,
            .userdata = (void *)(intptr_t)i,
        };
        CHECK(hhttp_url_parse("http://127.0.0.1/", &options.url) == 0);
        options.url.port = port;
        if (i == 1) options.is_streamed = 1, options.body_len = -1, options.method = "POST";
        if (i == 2) options.method = "HEAD";
        told[i].call = hhttp_call_start(client, &options);
        CHECK(told[i].call != NULL);
    }
}

static void run_passes(hloop_t *loop, int count) {
    for (int pass = 0; pass < count; pass++) {
        hloop_process_events(loop, 0);
        for (int i = 0; i < CALLS; i++)
            if (told[i].call != NULL) hhttp_call_resume(told[i].call);
    }
}

static int listen_somewhere(int *port) {
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof addr;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    CHECK(fd >= 0 && bind(fd, (struct sockaddr *)&addr, len) == 0 && listen(fd, 8) == 0);
    CHECK(getsockname(fd, (struct sockaddr *)&addr, &len) == 0);
    *port = ntohs(addr.sin_port);
    return fd;
}

/* What the client has sent is dropped, and further connections are closed. */
static void serve(hloop_t *loop, int listener, int fd, const uint8_t *data, size_t len) {
    char sink[4096];
    size_t part = len * (size_t)(manner >> 3) / 32;
    static const uint8_t settings[] = {0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0};
    send(fd, settings, sizeof settings, MSG_NOSIGNAL);
    run_passes(loop, 2);
    send(fd, data, part, MSG_NOSIGNAL);
    run_passes(loop, 3);
    send(fd, data + part, len - part, MSG_NOSIGNAL);
    run_passes(loop, 4);
    while (recv(fd, sink, sizeof sink, MSG_DONTWAIT) > 0) run_passes(loop, 1);
    close(fd);
    for (int i = 0; i < 8; i++) {
        run_passes(loop, 2);
        int other = accept(listener, NULL, NULL);
        if (other >= 0) close(other);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    if (len < 2 || len > 8192) return 0;
    size_t before = hv__mem_live_blocks();
    memset(told, 0, sizeof told);
    manner = data[0];
    int port;
    int listener = listen_somewhere(&port);
    hloop_t *loop = hloop_new(0);
    hhttp_client_options_t limits = {
        .header_bytes_max = 1000, .header_count_max = 20, .interim_max = 4};
    hhttp_client_t *client = hhttp_client_new(loop, &limits);
    start_calls(client, port);
    int fd = -1;
    for (int i = 0; i < 1000 && fd < 0; i++) {
        run_passes(loop, 1);
        fd = accept(listener, NULL, NULL);
    }
    CHECK(fd >= 0);
    serve(loop, listener, fd, data + 1, len - 1);
    hhttp_client_close(client);
    run_passes(loop, 4);
    hloop_free(&loop);
    close(listener);
    for (int i = 0; i < CALLS; i++) CHECK(told[i].ended == 1);
    CHECK(hv__mem_live_blocks() == before);
    return 0;
}
