/* fuzz_ws_handshake.c - the input is header lines, an answer's head, or a URL. Nothing may be read
 * beyond it, and what is agreed on lies within what was offered. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ws_handshake.h"

#define CHECK(claim) ((claim) ? (void)0 : fail(#claim, __LINE__))

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void fail(const char *claim, int line) {
    fprintf(stderr, "fuzz_ws_handshake.c:%d: %s\n", line, claim);
    abort();
}

static const ws_deflate_params_t offers[] = {
    {1, 0, 0, 15, 15}, {1, 1, 1, 15, 15}, {1, 0, 0, 10, 9}, {0, 0, 0, 15, 15}};

static void check_deflate(const ws_deflate_params_t *agreed, const ws_deflate_params_t *ours) {
    if (!agreed->is_on) return;
    CHECK(ours->is_on);
    CHECK(agreed->server_bits >= 8 && agreed->server_bits <= 15);
    CHECK(agreed->client_bits >= 8 && agreed->client_bits <= 15);
    CHECK(agreed->server_bits <= ours->server_bits);
    if (ours->server_no_context) CHECK(agreed->server_no_context);
    if (ours->client_no_context) CHECK(agreed->client_no_context);
    char text[WS_DEFLATE_TEXT_MAX];
    CHECK(ws_write_deflate_answer(agreed, 1, text) < sizeof text);
}

/* As lines of "name: value\n", after lines that make it a request. */
static void try_request(const char *text, size_t len, const ws_deflate_params_t *ours) {
    ws_hello_t hello = {0};
    ws_agreement_t agreement;
    ws_terms_t terms = {HSTR_LITERAL("chat, superchat"), {NULL, 0}, *ours};
    ws_hello_add(&hello, HSTR_LITERAL("Upgrade"), HSTR_LITERAL("websocket"));
    ws_hello_add(&hello, HSTR_LITERAL("Connection"), HSTR_LITERAL("Upgrade"));
    ws_hello_add(&hello, HSTR_LITERAL("Sec-WebSocket-Version"), HSTR_LITERAL("13"));
    ws_hello_add(&hello, HSTR_LITERAL("Sec-WebSocket-Key"),
                 HSTR_LITERAL("dGhlIHNhbXBsZSBub25jZQ=="));
    hstr_t rest = {text, len}, line;
    while (hstr_next(&rest, '\n', &line)) {
        const char *colon = memchr(line.data, ':', line.len);
        if (colon == NULL) continue;
        size_t name_len = (size_t)(colon - line.data);
        ws_hello_add(&hello, (hstr_t){line.data, name_len},
                     hstr_trim((hstr_t){colon + 1, line.len - name_len - 1}));
    }
    int status = ws_check_request(&hello, &terms, &agreement);
    CHECK(status == 101 || status == 400 || status == 403 || status == 426);
    if (status == 101) check_deflate(&agreement.deflate, ours);
}

static void try_answer(const char *text, size_t len, const ws_deflate_params_t *ours) {
    ws_hello_t hello = {0};
    ws_agreement_t agreement;
    ws_request_t request = {HSTR_LITERAL("dGhlIHNhbXBsZSBub25jZQ=="), HSTR_LITERAL("chat, mqtt"),
                            *ours};
    size_t scanned = 0, cut_scanned = 0;
    size_t head = ws_find_head_end(text, len, &scanned);
    CHECK(head <= len);
    ws_find_head_end(text, len / 2, &cut_scanned);
    CHECK(head == ws_find_head_end(text, len, &cut_scanned) || head <= len / 2);
    int status = ws_parse_answer(text, head > 0 ? head : len, &hello);
    CHECK(status == HV_EPROTO || (status >= 100 && status <= 599));
    if (status == 101 && ws_check_answer(&hello, &request, &agreement) == NULL) {
        check_deflate(&agreement.deflate, ours);
    }
}

static void try_url(const char *text, size_t len) {
    ws_url_t parts;
    if (ws_parse_url((hstr_t){text, len}, &parts) != 0) return;
    CHECK(parts.port >= 1 && parts.port <= 65535);
    CHECK(parts.host.len > 0 && parts.host.len <= parts.authority.len);
    CHECK(parts.authority.len + parts.target.len < len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    if (len < 1 || len > 4096) return 0;
    char *copy = malloc(len - 1 > 0 ? len - 1 : 1);
    if (copy == NULL) abort();
    memcpy(copy, data + 1, len - 1);
    const ws_deflate_params_t *ours = &offers[data[0] >> 2 & 3];
    switch (data[0] & 3) {
    case 0: try_request(copy, len - 1, ours); break;
    case 1: try_answer(copy, len - 1, ours); break;
    default: try_url(copy, len - 1);
    }
    free(copy);
    return 0;
}
