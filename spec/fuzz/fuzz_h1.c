/* fuzz_h1.c - the input is what a peer sends. What must hold for any bytes:
 *  - whole or in pieces, the verdict, the head, the payload, the trailers and the bytes used are
 *    the same, and trailers are whole lines;
 *  - an accepted head written out again from its parts is accepted and says the same;
 *  - a chunked body that llhttp too takes to its end has the same payload and the same end.
 * The pieces are chosen by a hash of the input, so that corpus files are plain requests. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "h1_parse.h"
#include "llhttp.h"

#define INPUT_MAX 4096

#define CHECK(claim) ((claim) ? (void)0 : fail(#claim, __LINE__))

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* Small, so that inputs of a fuzzer's size reach them. */
static const h1_limits_t limits = {
    .request_line_bytes_max = 256, .header_bytes_max = 1024, .header_count_max = 12};

typedef struct outcome_s {
    int status; /* 200 whole, 0 unfinished, else refused */
    h1_head_t head;
    char block[INPUT_MAX];
    size_t block_len;
    char payload[INPUT_MAX];
    size_t payload_len;
    char trailer[INPUT_MAX];
    size_t trailer_len;
    size_t used;
} outcome_t;

static void fail(const char *claim, int line) {
    fprintf(stderr, "fuzz_h1.c:%d: %s\n", line, claim);
    abort();
}

static uint32_t next_random(uint32_t *state) {
    *state = *state * 1664525u + 1013904223u;
    return *state >> 16;
}

/* A copy of its own, so that the sanitizer sees every byte read beyond it. */
static char *copy_of(const char *data, size_t len) {
    char *copy = malloc(len > 0 ? len : 1);
    if (copy == NULL) abort();
    if (len > 0) memcpy(copy, data, len);
    return copy;
}

static void feed_body(outcome_t *outcome, h1_parser_t *parser, const char *data, size_t len) {
    size_t at = 0;
    while (at < len && h1_body_pending(parser) && outcome->status == 0) {
        char *copy = copy_of(data + at, len - at);
        size_t consumed;
        hhttp_slice_t piece;
        outcome->status = h1_parse_body(parser, copy, len - at, &consumed, &piece);
        if (outcome->status == 0) {
            CHECK(consumed > 0 && consumed <= len - at && piece.len <= consumed);
            if (piece.len > 0) {
                memcpy(outcome->payload + outcome->payload_len, piece.data, piece.len);
            }
            outcome->payload_len += piece.len;
            hhttp_slice_t trailer = h1_body_trailer(parser, copy);
            CHECK(trailer.len <= consumed);
            if (trailer.len > 0) {
                memcpy(outcome->trailer + outcome->trailer_len, trailer.data, trailer.len);
            }
            outcome->trailer_len += trailer.len;
            at += consumed;
        }
        free(copy);
    }
    outcome->used += at;
    if (outcome->status == 0 && !h1_body_pending(parser)) outcome->status = 200;
}

/* Looks at the first `len` bytes for a head. Returns 1 once there is one. */
static int feed_head(outcome_t *outcome, h1_parser_t *parser, const char *data, size_t len,
                     size_t *scanned) {
    char *copy = copy_of(data, len);
    long found = h1_find_head_end(copy, len, scanned, &limits);
    CHECK(*scanned <= len);
    free(copy);
    if (found < 0) outcome->status = (int)-found;
    if (found <= 0) return 0;
    CHECK((size_t)found <= len);
    outcome->block_len = (size_t)found;
    memcpy(outcome->block, data, outcome->block_len);
    copy = copy_of(data, outcome->block_len);
    outcome->status = h1_parse_head(parser, copy, outcome->block_len, &limits);
    if (outcome->status == 0) h1_head_rebase(&parser->head, copy, outcome->block);
    free(copy);
    outcome->head = parser->head;
    outcome->used = outcome->block_len;
    return outcome->status == 0;
}

/* Runs the input in pieces of at most `piece_max` bytes. */
static void run(outcome_t *outcome, const char *data, size_t len, size_t piece_max, uint32_t seed) {
    h1_parser_t parser;
    size_t scanned = 0;
    int has_head = 0;
    memset(outcome, 0, sizeof *outcome);
    for (size_t arrived = 0; arrived < len && outcome->status == 0;) {
        size_t piece = piece_max == SIZE_MAX ? len : 1 + next_random(&seed) % piece_max;
        arrived = piece < len - arrived ? arrived + piece : len;
        if (!has_head) has_head = feed_head(outcome, &parser, data, arrived, &scanned);
        if (has_head) feed_body(outcome, &parser, data + outcome->used, arrived - outcome->used);
    }
}

static int slices_equal(hhttp_slice_t left, hhttp_slice_t right) {
    if ((left.data == NULL) != (right.data == NULL) || left.len != right.len) return 0;
    return left.len == 0 || memcmp(left.data, right.data, left.len) == 0;
}

static void check_heads_equal(const h1_head_t *left, const h1_head_t *right) {
    CHECK(slices_equal(left->method_name, right->method_name));
    CHECK(slices_equal(left->target, right->target));
    CHECK(slices_equal(left->path, right->path));
    CHECK(slices_equal(left->query, right->query));
    CHECK(slices_equal(left->host, right->host));
    CHECK(left->content_length == right->content_length);
    CHECK(left->method == right->method);
    CHECK(left->version == right->version);
    CHECK(left->has_content_length == right->has_content_length);
    CHECK(left->is_chunked == right->is_chunked);
    CHECK(left->keep_alive == right->keep_alive);
    CHECK(left->expects_continue == right->expects_continue);
    CHECK(left->is_upgrade == right->is_upgrade);
}

/* Writes the head from its parts; without the blanks around values it can only have shrunk. */
static size_t write_again(const h1_head_t *head, char *out, size_t room) {
    size_t at = (size_t)snprintf(out, room, "%.*s %.*s HTTP/1.%d\r\n", (int)head->method_name.len,
                                 head->method_name.data, (int)head->target.len, head->target.data,
                                 head->version - 10);
    size_t cursor = 0;
    hhttp_header_t header;
    while (h1_next_header(head->headers, &cursor, &header)) {
        CHECK(header.name.len > 0);
        memcpy(out + at, header.name.data, header.name.len);
        at += header.name.len;
        out[at++] = ':';
        memcpy(out + at, header.value.data, header.value.len);
        at += header.value.len;
        memcpy(out + at, "\r\n", 2);
        at += 2;
        hhttp_slice_t first = h1_find_header(head->headers, header.name.data, header.name.len);
        CHECK(first.data != NULL && first.data <= header.value.data);
    }
    CHECK(cursor == head->headers.len);
    memcpy(out + at, "\r\n", 2);
    return at + 2;
}

static void check_echo(const outcome_t *outcome) {
    static char echo[INPUT_MAX + 16];
    size_t len = write_again(&outcome->head, echo, sizeof echo);
    CHECK(len <= outcome->block_len);
    size_t scanned = 0;
    CHECK(h1_find_head_end(echo, len, &scanned, &limits) == (long)len);
    h1_parser_t parser;
    CHECK(h1_parse_head(&parser, echo, len, &limits) == 0);
    check_heads_equal(&parser.head, &outcome->head);
}

/* ---- The same body through llhttp ---- */

static char llhttp_payload[INPUT_MAX];
static size_t llhttp_payload_len;

static int on_body(llhttp_t *llhttp, const char *at, size_t len) {
    (void)llhttp;
    memcpy(llhttp_payload + llhttp_payload_len, at, len);
    llhttp_payload_len += len;
    return 0;
}

static int on_message_complete(llhttp_t *llhttp) {
    (void)llhttp;
    return HPE_PAUSED;
}

static void check_against_llhttp(const char *body, size_t len) {
    static const char head[] = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    static outcome_t ours;
    h1_parser_t parser;
    memset(&ours, 0, sizeof ours);
    CHECK(h1_parse_head(&parser, head, sizeof head - 1, &limits) == 0);
    feed_body(&ours, &parser, body, len);
    if (ours.status != 200) return;
    llhttp_settings_t settings;
    llhttp_settings_init(&settings);
    settings.on_body = on_body;
    settings.on_message_complete = on_message_complete;
    llhttp_t llhttp;
    llhttp_init(&llhttp, HTTP_REQUEST, &settings);
    llhttp_payload_len = 0;
    CHECK(llhttp_execute(&llhttp, head, sizeof head - 1) == HPE_OK);
    /* It is stricter than we are inside extensions, which both drop. */
    if (llhttp_execute(&llhttp, body, len) != HPE_PAUSED) return;
    CHECK((size_t)(llhttp_get_error_pos(&llhttp) - body) == ours.used);
    CHECK(llhttp_payload_len == ours.payload_len);
    CHECK(memcmp(llhttp_payload, ours.payload, ours.payload_len) == 0);
}

/* The trailers of a whole body are lines that can be read as those of a head. */
static void check_trailers(const outcome_t *outcome) {
    hhttp_slice_t lines = {outcome->trailer, outcome->trailer_len};
    hhttp_header_t header;
    size_t cursor = 0;
    while (h1_next_header(lines, &cursor, &header)) {
        CHECK(header.name.len > 0);
        CHECK(header.value.len == 0 || memchr(header.value.data, '\r', header.value.len) == NULL);
        CHECK(h1_find_header(lines, header.name.data, header.name.len).data != NULL);
    }
    CHECK(cursor == lines.len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    static outcome_t whole;
    static outcome_t cut;
    if (len > INPUT_MAX) return 0;
    const char *text = (const char *)data;
    uint32_t seed = 2166136261u;
    for (size_t i = 0; i < len; i++)
        seed = (seed ^ data[i]) * 16777619u;
    run(&whole, text, len, SIZE_MAX, seed);
    if (whole.status == 200) check_trailers(&whole);
    static const size_t piece_maxima[] = {1, 3, 40};
    for (size_t i = 0; i < sizeof piece_maxima / sizeof piece_maxima[0]; i++) {
        run(&cut, text, len, piece_maxima[i], seed);
        CHECK(cut.status == whole.status);
        if (whole.status != 200 && whole.status != 0) continue;
        CHECK(cut.used == whole.used || whole.block_len == 0);
        CHECK(cut.payload_len == whole.payload_len);
        CHECK(memcmp(cut.payload, whole.payload, whole.payload_len) == 0);
        CHECK(cut.trailer_len == whole.trailer_len);
        CHECK(memcmp(cut.trailer, whole.trailer, whole.trailer_len) == 0);
        CHECK(cut.block_len == whole.block_len);
        if (whole.block_len > 0) check_heads_equal(&cut.head, &whole.head);
    }
    if (whole.block_len > 0 && (whole.status == 200 || whole.status == 0)) check_echo(&whole);
    check_against_llhttp(text, len);
    return 0;
}
