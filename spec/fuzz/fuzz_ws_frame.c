/* fuzz_ws_frame.c - the input is what a peer sends: its first byte chooses the side and the limits.
 * What must hold for any bytes:
 *  - whole or in pieces, the same messages, control frames and verdict come out;
 *  - a message that was taken and is text is UTF-8 by the slow definition, and within its limit. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ws_frame.h"

#define INPUT_MAX 4096

#define CHECK(claim) ((claim) ? (void)0 : fail(#claim, __LINE__))

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void fail(const char *claim, int line) {
    fprintf(stderr, "fuzz_ws_frame.c:%d: %s\n", line, claim);
    abort();
}

typedef struct outcome_s {
    int verdict; /* 0, or the code it failed with */
    uint8_t log[INPUT_MAX * 3];
    size_t log_len;
    uint8_t message[INPUT_MAX];
    size_t message_len;
    uint8_t control[WS_CONTROL_BYTES_MAX];
    size_t control_len;
} outcome_t;

static uint32_t next_random(uint32_t *state) {
    *state = *state * 1664525u + 1013904223u;
    return *state >> 16;
}

/* RFC 3629 section 4. */
static int is_utf8(const uint8_t *p, size_t len) {
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    for (size_t at = 0; at < len;) {
        size_t need = p[at] < 0x80             ? 1
                      : (p[at] & 0xe0) == 0xc0 ? 2
                      : (p[at] & 0xf0) == 0xe0 ? 3
                      : (p[at] & 0xf8) == 0xf0 ? 4
                                               : 0;
        if (need == 0 || len - at < need) return 0;
        uint32_t point = need == 1 ? p[at] : p[at] & (0x7fu >> need);
        for (size_t i = 1; i < need; i++) {
            if ((p[at + i] & 0xc0) != 0x80) return 0;
            point = point << 6 | (p[at + i] & 0x3f);
        }
        if (point < least[need] || point > 0x10ffff) return 0;
        if (point >= 0xd800 && point <= 0xdfff) return 0;
        at += need;
    }
    return 1;
}

static void note(outcome_t *outcome, uint8_t what, const uint8_t *data, size_t len) {
    CHECK(outcome->log_len + len + 3 <= sizeof outcome->log);
    outcome->log[outcome->log_len++] = what;
    outcome->log[outcome->log_len++] = (uint8_t)(len >> 8);
    outcome->log[outcome->log_len++] = (uint8_t)len;
    if (len > 0) memcpy(outcome->log + outcome->log_len, data, len);
    outcome->log_len += len;
}

static void take(outcome_t *outcome, const ws_rules_t *rules, const ws_piece_t *piece) {
    int is_control = piece->opcode & 0x8;
    uint8_t *to = is_control ? outcome->control : outcome->message;
    size_t *to_len = is_control ? &outcome->control_len : &outcome->message_len;
    if (piece->is_first) *to_len = 0;
    CHECK(*to_len + piece->len <= (is_control ? sizeof outcome->control : INPUT_MAX));
    if (piece->len > 0) memcpy(to + *to_len, piece->data, piece->len);
    *to_len += piece->len;
    if (!piece->is_last) return;
    note(outcome, piece->opcode | (piece->is_compressed ? 0x40 : 0), to, *to_len);
    if (is_control && piece->opcode == WS_CLOSE) {
        const char *reason;
        size_t reason_len;
        int code = ws_parse_close((const char *)to, *to_len, &reason, &reason_len);
        CHECK(code == WS_CODE_NONE || code < 0 || ws_close_code_is_valid(code));
        if (code >= 0) CHECK(is_utf8((const uint8_t *)reason, reason_len));
    }
    if (is_control || piece->is_compressed) return;
    CHECK(*to_len <= rules->message_bytes_max);
    if (piece->opcode == WS_TEXT) CHECK(is_utf8(to, *to_len));
}

static void run(outcome_t *outcome, const ws_rules_t *rules, int allows_rsv1, const uint8_t *data,
                size_t len, uint32_t seed) {
    ws_parser_t parser = {.allows_rsv1 = (uint8_t)allows_rsv1};
    size_t at = 0;
    memset(outcome, 0, sizeof *outcome);
    while (at < len && outcome->verdict == 0) {
        size_t part = seed == 0 ? len - at : 1 + next_random(&seed) % 17;
        if (part > len - at) part = len - at;
        char *copy = malloc(part);
        if (copy == NULL) abort();
        memcpy(copy, data + at, part);
        for (size_t done = 0; done < part && outcome->verdict == 0;) {
            size_t used;
            ws_piece_t piece;
            int code = ws_parse(&parser, rules, copy + done, part - done, &used, &piece);
            CHECK(used <= part - done);
            done += used;
            if (code < 0) outcome->verdict = -code;
            if (code == 0) CHECK(done == part);
            if (code > 0) take(outcome, rules, &piece);
        }
        free(copy);
        at += part;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    static outcome_t whole, parts;
    if (len < 2 || len > INPUT_MAX) return 0;
    ws_rules_t rules = {
        .message_bytes_max = data[0] & 0x02 ? 64 : 4096,
        .frame_bytes_max = data[0] & 0x04 ? 32 : UINT64_MAX,
        .fragments_max = data[0] & 0x08 ? 3 : 1000,
        .is_masked = data[0] & 0x01,
    };
    int allows_rsv1 = (data[0] & 0x10) != 0;
    uint32_t seed = 0;
    for (size_t i = 0; i < len; i++)
        seed = seed * 31 + data[i];
    run(&whole, &rules, allows_rsv1, data + 1, len - 1, 0);
    run(&parts, &rules, allows_rsv1, data + 1, len - 1, seed | 1);
    CHECK(whole.verdict == parts.verdict && whole.log_len == parts.log_len);
    CHECK(memcmp(whole.log, parts.log, whole.log_len) == 0);
    return 0;
}
