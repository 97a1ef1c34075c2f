/* http_head.c - the head of a request, parsed, or recognized as the one before.
 *
 * Clients say mostly the same thing again, so a server remembers the head that it has parsed last,
 * with what came out; where the next one is the same to the byte, the result is copied and its
 * slices moved to where the new bytes lie. Where heads differ all the time, remembering each would
 * cost more than it gives: then only every sixteenth is. */
#include "http_int.h"

size_t hv__http_repeated_head(const hhttp_server_t *server, const char *data, size_t len) {
    const http_last_head_t *last = &server->last_head;
    if (last->len == 0 || len < last->len) return 0;
    return memcmp(data, last->block, last->len) == 0 ? last->len : 0;
}

/* Heads with bodies are left out, and where heads differ all the time few of them are kept. */
static void remember_head(hhttp_server_t *server, const hhttp_request_t *req) {
    http_last_head_t *last = &server->last_head;
    if (req->block_len > sizeof last->block || h1_body_pending(&req->parser)) return;
    if (last->misses < UINT32_MAX) last->misses++;
    if (last->misses > HTTP_HEAD_MISSES_MAX && last->misses % HTTP_HEAD_MISSES_MAX != 0) return;
    memcpy(last->block, req->block, req->block_len);
    last->len = req->block_len;
    last->parser = req->parser;
    h1_head_rebase(&last->parser.head, req->block, last->block);
}

int hv__http_parse_head(hhttp_request_t *req, int is_repeated) {
    hhttp_server_t *server = req->server;
    http_last_head_t *last = &server->last_head;
    if (is_repeated) {
        last->misses = 0;
        req->parser = last->parser;
        h1_head_rebase(&req->parser.head, last->block, req->block);
        return 0;
    }
    int status = h1_parse_head(&req->parser, req->block, req->block_len, &server->limits);
    if (status == 0) remember_head(server, req);
    return status;
}
