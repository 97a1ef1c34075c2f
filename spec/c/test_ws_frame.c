/* test_ws_frame.c - the frame codec: replays spec/wire/ws for a server and a client, whole, cut at
 * every point and byte by byte; when a fault is found; heads and close frames that are written. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "ws_cases.h"
#include "ws_frame.h"

static ws_case_t cases[WS_CASES_MAX];
static size_t case_count;

/* ---- Replaying ---- */

typedef struct replay_s {
    ws_parser_t parser;
    ws_rules_t rules;
    ws_log_t log;
    char *message; /* of the message, or of the control frame */
    size_t message_len;
    char control[WS_CONTROL_BYTES_MAX];
    size_t control_len;
    size_t used;
    int is_over;
    int wholes; /* messages that ws_parse_whole has taken */
} replay_t;

static void log_close(replay_t *replay, const char *data, size_t len) {
    const char *reason;
    size_t reason_len;
    int code = ws_parse_close(data, len, &reason, &reason_len);
    if (code < 0) {
        ws_log_code(&replay->log, "fail", -code, NULL, 0);
    } else {
        ws_log_code(&replay->log, "close", code, reason, reason_len);
    }
    replay->is_over = 1;
}

static void on_piece(replay_t *replay, const ws_piece_t *piece) {
    if (piece->opcode & 0x8) {
        if (piece->is_first) replay->control_len = 0;
        assert_true(replay->control_len + piece->len <= sizeof replay->control);
        memcpy(replay->control + replay->control_len, piece->data, piece->len);
        replay->control_len += piece->len;
        if (!piece->is_last) return;
        if (piece->opcode == WS_CLOSE) {
            log_close(replay, replay->control, replay->control_len);
        } else {
            ws_log_payload(&replay->log, piece->opcode == WS_PING ? "ping" : "pong",
                           replay->control, replay->control_len);
        }
        return;
    }
    if (piece->is_first) replay->message_len = 0;
    memcpy(replay->message + replay->message_len, piece->data, piece->len);
    replay->message_len += piece->len;
    if (!piece->is_last) return;
    ws_log_payload(&replay->log, piece->opcode == WS_TEXT ? "text" : "binary", replay->message,
                   replay->message_len);
}

static void feed(replay_t *replay, const char *data, size_t len) {
    /* A block of its own, so that a sanitizer sees a byte too many. */
    char *copy = malloc(len + 1);
    memcpy(copy, data, len);
    copy = realloc(copy, len > 0 ? len : 1);
    size_t at = 0;
    while (at < len && !replay->is_over) {
        size_t used;
        ws_piece_t piece;
        int code = ws_parse_whole(&replay->parser, &replay->rules, copy + at, len - at, &used,
                                  &piece);
        if (code > 0) {
            assert_true(piece.is_first && piece.is_last && !piece.is_compressed);
            replay->wholes++;
        } else if (code == 0) {
            assert_int_equal(used, 0);
            code = ws_parse(&replay->parser, &replay->rules, copy + at, len - at, &used, &piece);
        }
        assert_true(used <= len - at);
        at += used;
        replay->used += used;
        if (code < 0) {
            ws_log_code(&replay->log, "fail", -code, NULL, 0);
            replay->is_over = 1;
        } else if (code == 0) {
            assert_int_equal(at, len);
        } else {
            on_piece(replay, &piece);
        }
    }
    free(copy);
}

static void begin(replay_t *replay, const ws_case_t *wire, int side) {
    replay->parser = (ws_parser_t){0};
    replay->rules = (ws_rules_t){
        .message_bytes_max = wire->message_max ? wire->message_max : 16 << 20,
        .frame_bytes_max = wire->frame_max ? wire->frame_max : UINT64_MAX,
        .fragments_max = wire->fragments_max ? wire->fragments_max : UINT32_MAX,
        .is_masked = side == 0,
    };
    replay->is_over = 0;
    replay->used = 0;
    replay->message = realloc(replay->message, wire->len[side] + 1);
    ws_log_clear(&replay->log);
}

static void compare(const replay_t *replay, const ws_case_t *wire, int side, size_t cut) {
    if (strcmp(replay->log.text, wire->expected) == 0) return;
    print_error("%s (line %d), %s, cut at %zu\n--- expected\n%s--- got\n%s", wire->name, wire->line,
                side == 0 ? "server" : "client", cut, wire->expected, replay->log.text);
    fail();
}

static void replay_case(replay_t *replay, const ws_case_t *wire, int side) {
    const char *bytes = wire->bytes[side];
    size_t len = wire->len[side];
    begin(replay, wire, side);
    feed(replay, bytes, len);
    compare(replay, wire, side, len);
    for (size_t cut = 1; cut < len; cut++) {
        if (len > 2000 && cut == 200) cut = len - 100; /* the middle of a payload is all the same */
        begin(replay, wire, side);
        feed(replay, bytes, cut);
        feed(replay, bytes + cut, len - cut);
        compare(replay, wire, side, cut);
    }
    begin(replay, wire, side);
    for (size_t at = 0; at < len; at++)
        feed(replay, bytes + at, 1);
    compare(replay, wire, side, 1);
}

static void test_cases_replayed_at_every_cut_give_what_they_say(void **state) {
    (void)state;
    replay_t replay = {0};
    size_t replayed = 0;
    for (size_t i = 0; i < case_count; i++) {
        const ws_case_t *wire = &cases[i];
        if (wire->has_rsv1) continue;
        if (wire->for_server) replay_case(&replay, wire, 0);
        if (wire->for_client) replay_case(&replay, wire, 1);
        replayed += (size_t)(wire->for_server + wire->for_client);
    }
    free(replay.message);
    ws_log_free(&replay.log);
    assert_true(replayed >= 600);
    assert_true(replay.wholes > 600);
}

/* ---- How soon a fault is found ---- */

/* The bytes taken when the fault was found. */
static size_t bytes_to_fault(const char *bytes, size_t len, int is_server, int code) {
    replay_t replay = {0};
    ws_case_t wire = {.len = {len, len}};
    begin(&replay, &wire, is_server ? 0 : 1);
    while (!replay.is_over && replay.used < len)
        feed(&replay, bytes + replay.used, 1);
    assert_true(replay.is_over);
    char expected[32];
    snprintf(expected, sizeof expected, "fail %d\n", code);
    assert_string_equal(replay.log.text, expected);
    free(replay.message);
    ws_log_free(&replay.log);
    return replay.used;
}

static void test_fault_found_at_its_byte(void **state) {
    (void)state;
    static const struct {
        const char *bytes;
        size_t len, expected;
        int is_server, code;
    } faults[] = {
        {"\xc1\x05", 2, 1, 0, 1002},         /* RSV1 */
        {"\x83\x05", 2, 1, 0, 1002},         /* opcode 3 */
        {"\x09\x00", 2, 1, 0, 1002},         /* a ping in parts */
        {"\x80\x01", 2, 1, 0, 1002},         /* a continuation of nothing */
        {"\x81\x05", 2, 2, 1, 1002},         /* no mask */
        {"\x81\x85", 2, 2, 0, 1002},         /* a mask */
        {"\x89\x7e", 2, 2, 0, 1002},         /* a long ping */
        {"\x81\x7e\x00\x7d", 4, 4, 0, 1002}, /* 125 in 16 bits */
        {"\x81\xfe\x00\x7d", 4, 4, 1, 1002}, /* before its mask has come */
        {"\x81\x7f\0\0\0\0\0\0\xff\xff", 10, 10, 0, 1002},
        {"\x82\x7f\0\0\0\1\0\0\0\0", 10, 10, 0, 1009}, /* 4 GiB */
        {"\x81\x0a"
         "ab\xff"
         "defghij",
         12, 5, 0, 1007}, /* the byte of a text */
        {"\x81\x0a\xe0\x80\x80zzzzzzz", 12, 4, 0, 1007},
    };
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        size_t used =
            bytes_to_fault(faults[i].bytes, faults[i].len, faults[i].is_server, faults[i].code);
        if (used != faults[i].expected) print_error("fault %zu\n", i);
        assert_int_equal(used, faults[i].expected);
    }
}

/* ---- Writing ---- */

static void test_heads_written_are_read_back(void **state) {
    (void)state;
    static const uint64_t lens[] = {0, 1, 125, 126, 127, 65535, 65536, 1u << 20};
    static const uint8_t mask[4] = {1, 2, 3, 4};
    for (size_t i = 0; i < sizeof lens / sizeof *lens; i++) {
        for (int is_masked = 0; is_masked < 2; is_masked++) {
            uint8_t head[WS_HEAD_BYTES_MAX];
            size_t len =
                ws_write_head(head, WS_HEAD_FIN | WS_BINARY, lens[i], is_masked ? mask : NULL);
            assert_int_equal(len, ws_head_len(lens[i], is_masked));
            ws_parser_t parser = {0};
            ws_rules_t rules = {UINT64_MAX, UINT64_MAX, 1, (uint8_t)is_masked};
            ws_piece_t piece;
            size_t used;
            int code = ws_parse(&parser, &rules, (char *)head, len, &used, &piece);
            assert_int_equal(used, len);
            assert_int_equal(code, lens[i] == 0);
            assert_true(parser.left == lens[i]);
        }
    }
}

/* Masks `len` bytes that begin at any place of a cache line, to elsewhere or in place. */
static void check_mask(size_t len, size_t at, int is_in_place) {
    static const uint8_t mask[4] = {0x11, 0x22, 0x44, 0x88};
    char plain[800], masked[800] = {0};
    for (size_t i = 0; i < sizeof plain; i++)
        plain[i] = (char)(i * 7);
    if (is_in_place) memcpy(masked + at, plain, len);
    ws_mask(masked + at, is_in_place ? masked + at : plain, len, mask);
    for (size_t i = 0; i < len; i++)
        if (masked[at + i] != (char)(plain[i] ^ mask[i & 3])) fail_msg("byte %zu of %zu", i, len);
    for (size_t i = 0; i < at; i++)
        assert_int_equal(masked[i], 0);
    for (size_t i = at + len; i < sizeof masked; i++)
        assert_int_equal(masked[i], 0);
}

static void test_mask_of_any_length_is_each_byte_by_turns(void **state) {
    (void)state;
    for (size_t len = 0; len <= 700; len++) {
        check_mask(len, len % 67, 0);
        check_mask(len, len % 61, 1);
    }
    for (size_t at = 0; at < 64; at++) {
        check_mask(255, at, 1);
        check_mask(600, at, 0);
    }
}

static void test_close_reason_too_long_is_cut_between_characters(void **state) {
    (void)state;
    char reason[150], out[WS_CONTROL_BYTES_MAX];
    for (size_t i = 0; i < 150; i += 3)
        memcpy(reason + i, "\xe4\xbd\xa0", 3);
    for (size_t len = 120; len <= 150; len += 3) {
        size_t written = ws_write_close(out, 1000, reason, len);
        const char *read;
        size_t read_len;
        assert_int_equal(ws_parse_close(out, written, &read, &read_len), 1000);
        assert_int_equal(read_len, len < 123 ? len : 123);
    }
    memset(reason, 'x', 122);
    memcpy(reason + 122, "\xe4\xbd\xa0", 3);
    assert_int_equal(ws_write_close(out, 1000, reason, 150), 124);
    assert_int_equal(ws_write_close(out, 1005, "words", 5), 0);
}

static void test_codes_that_may_be_sent(void **state) {
    (void)state;
    static const int valid[] = {1000, 1001, 1002, 1003, 1007, 1014, 3000, 4999};
    static const int bad[] = {-1, 0, 999, 1004, 1005, 1006, 1015, 2999, 5000, 65536};
    for (size_t i = 0; i < sizeof valid / sizeof *valid; i++) {
        assert_true(ws_close_code_is_valid(valid[i]));
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(ws_close_code_is_valid(bad[i]));
    }
}

/* ---- UTF-8 against the definition ---- */

/* RFC 3629 section 4, written down as slowly as it stands there. Returns the length, or 0. */
static size_t slow_char(const uint8_t *p, size_t len) {
    uint32_t point;
    size_t need;
    if (p[0] < 0x80) return 1;
    if ((p[0] & 0xe0) == 0xc0) {
        need = 2, point = p[0] & 0x1f;
    } else if ((p[0] & 0xf0) == 0xe0) {
        need = 3, point = p[0] & 0x0f;
    } else if ((p[0] & 0xf8) == 0xf0) {
        need = 4, point = p[0] & 0x07;
    } else {
        return 0;
    }
    if (len < need) return 0;
    for (size_t i = 1; i < need; i++) {
        if ((p[i] & 0xc0) != 0x80) return 0;
        point = point << 6 | (p[i] & 0x3f);
    }
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    if (point < least[need] || point > 0x10ffff) return 0;
    return point >= 0xd800 && point <= 0xdfff ? 0 : need;
}

static int slow_is_utf8(const uint8_t *p, size_t len) {
    for (size_t at = 0; at < len;) {
        size_t char_bytes = slow_char(p + at, len - at);
        if (char_bytes == 0) return 0;
        at += char_bytes;
    }
    return 1;
}

static int is_utf8(const uint8_t *p, size_t len, size_t cut) {
    ws_utf8_t state = {0};
    if (ws_utf8_feed(&state, p, cut) != 0) return 0;
    return ws_utf8_feed(&state, p + cut, len - cut) == 0 && ws_utf8_is_whole(&state);
}

static void test_every_pair_of_lead_and_next_byte_is_as_defined(void **state) {
    (void)state;
    /* In front of them nothing, or enough for the quick ways; behind them every kind of tail. */
    static const char *const tails[] = {"",
                                        "\x80",
                                        "\xbf\xbf",
                                        "\x80\x80\x80",
                                        "abcdefgh",
                                        ("\xbf"
                                         "abcdefg")};
    for (size_t t = 0; t < sizeof tails / sizeof *tails; t++) {
        size_t tail_len = strlen(tails[t]);
        for (unsigned pair = 0; pair < 65536; pair++) {
            uint8_t text[64] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
            size_t before = pair & 1 ? 33 : 0;
            text[before] = (uint8_t)(pair >> 8);
            text[before + 1] = (uint8_t)pair;
            memcpy(text + before + 2, tails[t], tail_len);
            size_t len = before + 2 + tail_len;
            int expected = slow_is_utf8(text, len);
            assert_int_equal(is_utf8(text, len, 0), expected);
            assert_int_equal(is_utf8(text, len, before + 1), expected);
        }
    }
}

static void test_random_bytes_near_utf8_are_as_defined(void **state) {
    (void)state;
    static const uint8_t likely[] = {0x00, 0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0,
                                     0xbf, 0xc1, 0xc2, 0xdf, 0xe0, 0xe1, 0xec, 0xed,
                                     0xee, 0xef, 0xf0, 0xf1, 0xf4, 0xf5};
    uint32_t seed = 1;
    for (int round = 0; round < 300000; round++) {
        uint8_t text[12];
        size_t len = 0;
        for (; len < sizeof text; len++) {
            seed = seed * 1664525u + 1013904223u;
            text[len] = likely[(seed >> 16) % sizeof likely];
            if ((seed >> 8 & 15) == 0) break;
        }
        assert_int_equal(is_utf8(text, len, len / 2), slow_is_utf8(text, len));
    }
}

static void test_one_odd_byte_in_a_long_text_is_found_wherever_it_stands(void **state) {
    (void)state;
    uint8_t text[700];
    for (size_t len = 200; len <= sizeof text; len += 125) {
        memset(text, 'a', sizeof text);
        assert_true(is_utf8(text, len, 0));
        for (size_t at = 0; at < len; at++) {
            text[at] = 0xff;
            if (is_utf8(text, len, 0)) fail_msg("0xff at %zu of %zu passed", at, len);
            text[at] = 0xc3;
            text[at + 1 < len ? at + 1 : at] = 0xa9; /* e with an accent; at the end a half */
            assert_int_equal(is_utf8(text, len, len / 3), at + 1 < len);
            text[at] = 'a';
            if (at + 1 < len) text[at + 1] = 'a';
        }
    }
}

static int load(void **state) {
    (void)state;
    case_count = ws_cases_load(cases);
    return 0;
}

static int unload(void **state) {
    (void)state;
    ws_cases_free(cases, case_count);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases_replayed_at_every_cut_give_what_they_say),
        cmocka_unit_test(test_fault_found_at_its_byte),
        cmocka_unit_test(test_heads_written_are_read_back),
        cmocka_unit_test(test_mask_of_any_length_is_each_byte_by_turns),
        cmocka_unit_test(test_close_reason_too_long_is_cut_between_characters),
        cmocka_unit_test(test_codes_that_may_be_sent),
        cmocka_unit_test(test_every_pair_of_lead_and_next_byte_is_as_defined),
        cmocka_unit_test(test_random_bytes_near_utf8_are_as_defined),
        cmocka_unit_test(test_one_odd_byte_in_a_long_text_is_found_wherever_it_stands),
    };
    return cmocka_run_group_tests(tests, load, unload);
}
