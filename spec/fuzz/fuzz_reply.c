/* fuzz_reply.c - the input is what a server sends. What must hold for any bytes:
 *  - whole or in pieces, the verdict, the facts, the payload and the bytes used are the same;
 *  - an accepted head has one meaning: never both a length and a coding.
 * The first byte tells how the pieces are cut, and whether a HEAD is answered. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "h1_reply.h"

#define INPUT_MAX 4096

#define CHECK(claim) ((claim) ? (void)0 : fail(#claim, __LINE__))

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static const h1_limits_t limits = {
    .request_line_bytes_max = 256, .header_bytes_max = 1024, .header_count_max = 12};

typedef struct outcome_s {
    int error;
    int has_head;
    h1_reply_t reply;
    char payload[INPUT_MAX];
    size_t payload_len;
    size_t used;
} outcome_t;

static void fail(const char *claim, int line) {
    fprintf(stderr, "fuzz_reply.c:%d: %s\n", line, claim);
    abort();
}

static int wants_more(const outcome_t *outcome) {
    if (outcome->error != 0) return 0;
    return !outcome->has_head || outcome->reply.body == H1_REPLY_UNTIL_CLOSE ||
           h1_body_pending(&outcome->reply.parser);
}

/* What has arrived of it, as a copy that ends where the bytes do. */
static void feed(outcome_t *outcome, const char *data, size_t len, size_t *scanned, int to_head) {
    char *copy = malloc(len > 0 ? len : 1);
    if (copy == NULL) abort();
    memcpy(copy, data, len);
    if (!outcome->has_head) {
        long found = h1_find_head_end(copy, len, scanned, &limits);
        if (found < 0) outcome->error = h1_reply_error((int)-found);
        if (found > 0) {
            outcome->error =
                h1_parse_reply(&outcome->reply, copy, (size_t)found, to_head, &limits);
            outcome->has_head = 1;
            outcome->used = (size_t)found;
        }
    }
    while (outcome->has_head && outcome->used < len && wants_more(outcome)) {
        hhttp_slice_t piece = {copy + outcome->used, len - outcome->used};
        size_t used = piece.len;
        if (outcome->reply.body == H1_REPLY_COUNTED) {
            int status = h1_parse_body(&outcome->reply.parser, copy + outcome->used,
                                       len - outcome->used, &used, &piece);
            if (status != 0) {
                outcome->error = h1_reply_error(status);
                break;
            }
            CHECK(used > 0);
        }
        if (piece.len > 0) memcpy(outcome->payload + outcome->payload_len, piece.data, piece.len);
        outcome->payload_len += piece.len;
        outcome->used += used;
    }
    free(copy);
}

static void run(outcome_t *outcome, const char *data, size_t len, size_t piece, int to_head) {
    memset(outcome, 0, sizeof *outcome);
    size_t scanned = 0;
    for (size_t arrived = 0; arrived < len && wants_more(outcome);) {
        arrived = piece < len - arrived ? arrived + piece : len;
        feed(outcome, data, arrived, &scanned, to_head);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    static outcome_t whole, cut;
    if (len < 2 || len > INPUT_MAX) return 0;
    const char *text = (const char *)data + 1;
    int to_head = data[0] & 1;
    run(&whole, text, len - 1, len, to_head);
    run(&cut, text, len - 1, 1 + (data[0] >> 1) % 7, to_head);
    CHECK(whole.error == cut.error && whole.has_head == cut.has_head);
    CHECK(whole.payload_len == cut.payload_len);
    CHECK(memcmp(whole.payload, cut.payload, whole.payload_len) == 0);
    if (whole.error != 0 || !whole.has_head) return 0;
    const h1_reply_t *reply = &whole.reply;
    CHECK(whole.used == cut.used && reply->status == cut.reply.status);
    CHECK(reply->keep_alive == cut.reply.keep_alive && reply->body == cut.reply.body);
    CHECK(!(reply->is_chunked && reply->length >= 0));
    CHECK(!(reply->keep_alive && reply->body == H1_REPLY_UNTIL_CLOSE));
    if (to_head || reply->status == 204 || reply->status == 304) CHECK(whole.payload_len == 0);
    return 0;
}
