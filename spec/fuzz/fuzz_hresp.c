/* fuzz_hresp.c - replies of Redis. The first bytes make the limits, the rest is the stream. It is
 * parsed as a whole and in small steps; both must give the same tokens and the same error, no limit
 * may be passed, and aggregates must open and close in balance. */
#include "hresp.h"

#define LIMIT_BYTES 5
#define TOKENS_MAX  8192

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct seen_s {
    long used;
    hresp_token_t token;
} seen_t;

static int is_aggregate(unsigned type) {
    return type == HRESP_ARRAY || type == HRESP_SET || type == HRESP_MAP ||
           type == HRESP_ATTRIBUTE || type == HRESP_PUSH || type == HRESP_CHUNKED;
}

/* Parses the stream as it arrives in steps. Returns the number of tokens, the last maybe a code. */
static size_t parse(const hresp_limits_t *limits, const uint8_t *data, size_t size, size_t step,
                    seen_t *seen) {
    hresp_t parser;
    size_t count = 0, begin = 0, arrived = 0, open = 0;
    hresp_init(&parser, limits);
    while (arrived < size) {
        arrived = size - arrived < step ? size : arrived + step;
        for (;;) {
            size_t len = arrived - begin;
            /* A block of its own, so that the sanitizer sees a read beyond what has arrived. */
            char *block = malloc(len > 0 ? len : 1);
            if (block == NULL) abort();
            memcpy(block, data + begin, len);
            seen_t *at = &seen[count];
            memset(at, 0, sizeof *at);
            at->used = hresp_next(&parser, block, len, &at->token);
            hresp_token_t *token = &at->token;
            const char *data_at = token->data;
            if (at->used > (long)len) abort();
            if (at->used > 0) {
                if (token->data != NULL && token->data + token->len > block + at->used) abort();
                if (token->len > limits->bulk_bytes && token->len > limits->line_bytes) abort();
                if (token->depth > limits->depth || token->depth > HRESP_DEPTH_MAX) abort();
                open += (size_t)is_aggregate(token->type);
                if (open > limits->depth + 1 || token->closes > open) abort();
                open -= token->closes;
                if (hresp_is_done(&parser) && open != 0) abort();
                at->token.data = NULL; /* the block is gone; where it was stands in its place */
                if (token->len > 0) {
                    at->token.integer += (int64_t)(begin + (size_t)(data_at - block));
                }
            }
            free(block);
            if (at->used < 0) memset(token, 0, sizeof *token); /* says nothing then */
            if (at->used == 0) break;
            count++;
            if (at->used < 0 || count == TOKENS_MAX - 1) return count;
            begin += (size_t)at->used;
        }
    }
    return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static seen_t whole[TOKENS_MAX];
    static seen_t stepwise[TOKENS_MAX];
    if (size < LIMIT_BYTES || size > 4096) return 0;
    hresp_limits_t limits = {.bulk_bytes = 1u + data[0] * 16u, .reply_bytes = 1u + data[1] * 32u,
                             .items = 1u + data[2], .line_bytes = 1u + data[3],
                             .depth = 1u + data[4] % HRESP_DEPTH_MAX};
    size_t step = 1u + data[3] % 7u;
    data += LIMIT_BYTES;
    size -= LIMIT_BYTES;
    size_t count = parse(&limits, data, size, size > 0 ? size : 1, whole);
    if (parse(&limits, data, size, step, stepwise) != count) abort();
    for (size_t i = 0; i < count; i++) {
        if (memcmp(&whole[i], &stepwise[i], sizeof whole[i]) != 0) abort();
    }
    hresp_slot(data, size);
    return 0;
}
