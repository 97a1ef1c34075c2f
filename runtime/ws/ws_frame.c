/* ws_frame.c - the frame codec.
 *
 *      0               1               2 ...
 *     +-+-+-+-+-------+-+-------------+ - - - - - - - - +- - - - - - -+-----------
 *     |F|R|R|R| opcode|M| length  (7) | 16 or 64 bits   | mask (4)    | payload ...
 *     +-+-+-+-+-------+-+-------------+ - - - - - - - - +- - - - - - -+-----------
 *
 * A head that lies whole in the bytes at hand is read there. One that is cut is collected in
 * parser->head, and checked byte by byte while it comes, so that a peer that errs hears of it at
 * once. Payload is never collected: it goes out in the pieces that it comes in. */
#include "ws_frame.h"

#include "hassert.h"
#include "hlanes.h"

#define LANES_BYTES_MIN 256 /* shorter payloads gain nothing by them */

enum {
    FLAG_PAYLOAD    = 0x01, /* the head is whole; `left` bytes of payload follow */
    FLAG_FIN        = 0x02, /* of the frame */
    FLAG_STARTED    = 0x04, /* a piece of the control frame is out */
    FLAG_COMPRESSED = 0x08, /* the message is */
    FLAG_OUT        = 0x10, /* a piece of the message is out */
};

static int is_control(unsigned opcode) { return (opcode & 0x8) != 0; }

/* ---- Heads ---- */

/* The first byte. Returns 0 or a close code, negative. */
static int check_first(const ws_parser_t *parser, uint8_t byte) {
    unsigned opcode = byte & 0x0f;
    int is_fin = (byte & 0x80) != 0;
    if (byte & 0x30) return -WS_CODE_PROTOCOL; /* RSV2, RSV3 */
    if (is_control(opcode)) {
        if (opcode > WS_PONG || !is_fin || byte & 0x40) return -WS_CODE_PROTOCOL;
        return 0;
    }
    if (opcode > WS_BINARY) return -WS_CODE_PROTOCOL;
    /* A continuation needs a message, and nothing else may stand inside one (section 5.4). */
    if ((opcode == WS_CONTINUATION) != (parser->message != 0)) return -WS_CODE_PROTOCOL;
    /* RSV1 is the first frame's (RFC 7692 section 6.1). */
    if (byte & 0x40 && (opcode == WS_CONTINUATION || !parser->allows_rsv1)) {
        return -WS_CODE_PROTOCOL;
    }
    return 0;
}

static int check_second(const ws_rules_t *rules, uint8_t first, uint8_t byte) {
    if ((byte >> 7) != rules->is_masked) return -WS_CODE_PROTOCOL;
    if (is_control(first & 0x0f) && (byte & 0x7f) > WS_CONTROL_BYTES_MAX) return -WS_CODE_PROTOCOL;
    return 0;
}

static size_t extended_bytes(uint8_t second) {
    unsigned len = second & 0x7f;
    return len == 127 ? 8 : len == 126 ? 2 : 0;
}

static uint64_t read_big_endian(const uint8_t *p, size_t bytes) {
    uint64_t value = 0;
    for (size_t i = 0; i < bytes; i++) value = value << 8 | p[i];
    return value;
}

/* The payload's length, in its shortest form and with the highest bit off (section 5.2), and within
 * the limits. Returns 0 or a close code, negative. */
static int read_len(const ws_parser_t *parser, const ws_rules_t *rules, const uint8_t *head,
                    uint64_t *len) {
    size_t bytes = extended_bytes(head[1]);
    *len = bytes == 0 ? head[1] & 0x7fu : read_big_endian(head + 2, bytes);
    if (bytes == 2 && *len < 126) return -WS_CODE_PROTOCOL;
    if (bytes == 8 && (*len < 65536 || *len >> 63 != 0)) return -WS_CODE_PROTOCOL;
    if (is_control(head[0] & 0x0f)) return 0;
    if (*len > rules->frame_bytes_max) return -WS_CODE_TOO_BIG;
    uint64_t before = head[0] & 0x0f ? 0 : parser->message_bytes;
    uint64_t most = rules->message_bytes_max;
    int is_compressed = head[0] & 0x0f ? head[0] & 0x40 : parser->flags & FLAG_COMPRESSED;
    /* What does not compress grows a little: five bytes for every 16 KiB or so. */
    if (is_compressed && most < UINT64_MAX / 2) most += most / 1024 + 64;
    return *len > most || before > most - *len ? -WS_CODE_TOO_BIG : 0;
}

/* A head that is whole: the parser goes on with its payload. Returns 0 or a close code, negative.
 * */
static int begin_frame(ws_parser_t *parser, const ws_rules_t *rules, const uint8_t *head) {
    uint64_t len;
    int code = read_len(parser, rules, head, &len);
    if (code != 0) return code;
    uint8_t opcode = head[0] & 0x0f;
    parser->opcode = opcode;
    parser->left = len;
    parser->flags &= (uint8_t)~(FLAG_FIN | FLAG_STARTED);
    parser->flags |= FLAG_PAYLOAD | (head[0] & 0x80 ? FLAG_FIN : 0);
    if (rules->is_masked) {
        const uint8_t *mask = head + 2 + extended_bytes(head[1]);
        memcpy(&parser->mask, mask, 4);
    }
    if (is_control(opcode)) return 0;
    if (opcode != WS_CONTINUATION) {
        parser->message = opcode;
        parser->message_bytes = 0;
        parser->fragments = 0;
        parser->flags &= (uint8_t)~(FLAG_COMPRESSED | FLAG_OUT);
        if (head[0] & 0x40) parser->flags |= FLAG_COMPRESSED;
    }
    parser->message_bytes += len;
    return ++parser->fragments > rules->fragments_max ? -WS_CODE_TOO_BIG : 0;
}

static size_t head_bytes(const ws_rules_t *rules, uint8_t second) {
    return 2 + extended_bytes(second) + (rules->is_masked ? 4u : 0u);
}

/* Takes the next byte of a cut head. Returns 1 where the head is whole now, 0, or a close code. */
static int add_to_head(ws_parser_t *parser, const ws_rules_t *rules, uint8_t byte) {
    uint8_t *head = parser->head;
    head[parser->head_len++] = byte;
    int code = 0;
    if (parser->head_len == 1) return check_first(parser, byte);
    if (parser->head_len == 2) code = check_second(rules, head[0], byte);
    if (code != 0) return code;
    if (parser->head_len == 2 + extended_bytes(head[1])) {
        uint64_t len;
        code = read_len(parser, rules, head, &len);
        if (code != 0) return code;
    }
    return parser->head_len == head_bytes(rules, head[1]);
}

/* Reads a head from the bytes at hand, or collects it. Returns 1, 0 or a close code, negative. */
static int take_head(ws_parser_t *parser, const ws_rules_t *rules, const uint8_t *data, size_t len,
                     size_t *used) {
    int code;
    if (HV_LIKELY(parser->head_len == 0 && len >= 2)) {
        code = check_first(parser, data[0]);
        if (code == 0) code = check_second(rules, data[0], data[1]);
        if (code != 0) return code;
        size_t need = head_bytes(rules, data[1]);
        if (HV_LIKELY(len >= need)) {
            *used = need;
            code = begin_frame(parser, rules, data);
            return code != 0 ? code : 1;
        }
    }
    while (*used < len) {
        code = add_to_head(parser, rules, data[(*used)++]);
        if (code < 0) return code;
        if (code == 0) continue;
        parser->head_len = 0;
        code = begin_frame(parser, rules, parser->head);
        return code != 0 ? code : 1;
    }
    return 0;
}

/* ---- Payload ---- */

/* The mask for the byte after the next `len`. */
static uint32_t turn_mask(uint32_t mask, size_t len) {
    uint8_t bytes[4], turned[4];
    memcpy(bytes, &mask, 4);
    for (size_t i = 0; i < 4; i++) turned[i] = bytes[(i + len) & 3];
    memcpy(&mask, turned, 4);
    return mask;
}

/* Fills the piece at `data`. Returns 1 or a close code, negative. */
static int take_payload(ws_parser_t *parser, const ws_rules_t *rules, char *data, size_t len,
                        ws_piece_t *piece) {
    if (rules->is_masked && len > 0) {
        uint8_t mask[4];
        memcpy(mask, &parser->mask, 4);
        ws_mask(data, data, len, mask);
        if (len < parser->left) parser->mask = turn_mask(parser->mask, len);
    }
    parser->left -= len;
    int is_end = parser->left == 0;
    piece->data = data;
    piece->len = len;
    piece->left = parser->left;
    if (is_control(parser->opcode)) {
        piece->opcode = parser->opcode;
        piece->is_first = !(parser->flags & FLAG_STARTED);
        piece->is_last = (uint8_t)is_end;
        piece->is_compressed = 0;
        parser->flags |= FLAG_STARTED;
    } else {
        piece->opcode = parser->message;
        piece->is_first = !(parser->flags & FLAG_OUT);
        piece->is_last = is_end && parser->flags & FLAG_FIN;
        piece->is_compressed = (parser->flags & FLAG_COMPRESSED) != 0;
        parser->flags |= FLAG_OUT;
        if (parser->message == WS_TEXT && !piece->is_compressed) {
            if (ws_utf8_feed(&parser->utf8, data, len) != 0) return -WS_CODE_BAD_DATA;
            if (piece->is_last && !ws_utf8_is_whole(&parser->utf8)) return -WS_CODE_BAD_DATA;
        }
        if (piece->is_last) parser->message = 0;
    }
    if (is_end) parser->flags &= (uint8_t)~FLAG_PAYLOAD;
    return 1;
}

/* The commonest thing by far: a short message in one frame, which lies here whole. Returns 1, 0
 * where it is anything else, or a close code, negative. */
static int take_short(ws_parser_t *parser, const ws_rules_t *rules, char *data, size_t len,
                      size_t *used, ws_piece_t *piece) {
    const uint8_t *head = (const uint8_t *)data;
    if (len < 6 || parser->head_len > 0 || parser->flags & FLAG_PAYLOAD) return 0;
    if (head[0] != (WS_HEAD_FIN | WS_BINARY) && head[0] != (WS_HEAD_FIN | WS_TEXT)) return 0;
    size_t bytes = head[1] & 0x7fu;
    if (head[1] < 0x80 || bytes > 125 || len - 6 < bytes || parser->message != 0) return 0;
    if (bytes > rules->message_bytes_max || bytes > rules->frame_bytes_max) return 0;
    char *payload = data + 6;
    ws_mask(payload, payload, bytes, head + 2);
    *piece = (ws_piece_t){.opcode = head[0] & 0x0f, .is_first = 1, .is_last = 1, .data = payload,
                          .len = bytes};
    *used = 6 + bytes;
    if (piece->opcode != WS_TEXT) return 1;
    int is_good = ws_utf8_feed(&parser->utf8, payload, bytes) == 0 &&
                  ws_utf8_is_whole(&parser->utf8);
    return is_good ? 1 : -WS_CODE_BAD_DATA;
}

int ws_parse(ws_parser_t *parser, const ws_rules_t *rules, char *data, size_t len, size_t *used,
             ws_piece_t *piece) {
    *used = 0;
    if (rules->is_masked) {
        int code = take_short(parser, rules, data, len, used, piece);
        if (HV_LIKELY(code != 0)) return code;
    }
    for (;;) {
        if (!(parser->flags & FLAG_PAYLOAD)) {
            size_t head_used = 0;
            int code = take_head(parser, rules, (const uint8_t *)data + *used, len - *used,
                                 &head_used);
            *used += head_used;
            if (code <= 0) return code;
        }
        size_t here = len - *used;
        if (here > parser->left) here = (size_t)parser->left;
        int has_matter = here > 0 || (parser->left == 0 && (is_control(parser->opcode) ||
                                                            parser->flags & FLAG_FIN));
        if (HV_LIKELY(has_matter)) {
            char *at = data + *used;
            *used += here;
            return take_payload(parser, rules, at, here, piece);
        }
        if (parser->left > 0) return 0;
        parser->flags &= (uint8_t)~FLAG_PAYLOAD; /* an empty frame inside a message */
    }
}

/* Whether the bytes begin with a whole message in one frame that is not compressed. */
static int has_whole(const ws_parser_t *parser, const ws_rules_t *rules, const uint8_t *head,
                     size_t len) {
    if (len < 2 || parser->head_len > 0 || parser->message != 0) return 0;
    if (parser->flags & FLAG_PAYLOAD) return 0;
    if (head[0] != (WS_HEAD_FIN | WS_BINARY) && head[0] != (WS_HEAD_FIN | WS_TEXT)) return 0;
    size_t head_len = head_bytes(rules, head[1]);
    size_t extended = extended_bytes(head[1]);
    if (len < head_len) return 0;
    uint64_t bytes = extended == 0 ? head[1] & 0x7fu : read_big_endian(head + 2, extended);
    return len - head_len >= bytes;
}

int ws_parse_whole(ws_parser_t *parser, const ws_rules_t *rules, char *data, size_t len,
                   size_t *used, ws_piece_t *piece) {
    *used = 0;
    if (rules->is_masked) {
        int code = take_short(parser, rules, data, len, used, piece);
        if (HV_LIKELY(code != 0)) return code;
    }
    if (!has_whole(parser, rules, (const uint8_t *)data, len)) return 0;
    return ws_parse(parser, rules, data, len, used, piece);
}

/* ---- Writing ---- */

size_t ws_write_head(uint8_t *out, uint8_t first, uint64_t len, const uint8_t *mask) {
    uint8_t mask_bit = mask != NULL ? 0x80 : 0;
    size_t at = 2;
    out[0] = first;
    if (len < 126) {
        out[1] = (uint8_t)(mask_bit | len);
    } else if (len < 65536) {
        out[1] = mask_bit | 126;
        out[2] = (uint8_t)(len >> 8);
        out[3] = (uint8_t)len;
        at = 4;
    } else {
        out[1] = mask_bit | 127;
        for (int i = 0; i < 8; i++) out[2 + i] = (uint8_t)(len >> (56 - 8 * i));
        at = 10;
    }
    if (mask == NULL) return at;
    memcpy(out + at, mask, 4);
    return at + 4;
}

/* Masks whole pairs of lanes. Returns the bytes done. */
static HV_LANES size_t mask_lanes(char *dst, const char *src, size_t len, uint64_t mask) {
    const hlanes_t lanes = {mask, mask, mask, mask};
    size_t i = 0;
    for (; i + 2 * HLANES_BYTES <= len; i += 2 * HLANES_BYTES) {
        const hlanes_t *from = (const hlanes_t *)(src + i);
        hlanes_t *to = (hlanes_t *)(dst + i);
        to[0] = from[0] ^ lanes;
        to[1] = from[1] ^ lanes;
    }
    return i;
}

/* Masks whole words. Returns the bytes done. */
static size_t mask_words(char *dst, const char *src, size_t len, uint64_t mask) {
    size_t i = 0;
    for (; i + 32 <= len; i += 32) {
        uint64_t words[4];
        memcpy(words, src + i, 32);
        words[0] ^= mask, words[1] ^= mask, words[2] ^= mask, words[3] ^= mask;
        memcpy(dst + i, words, 32);
    }
    for (; i + 8 <= len; i += 8) {
        uint64_t word;
        memcpy(&word, src + i, 8);
        word ^= mask;
        memcpy(dst + i, &word, 8);
    }
    return i;
}

void ws_mask(char *dst, const char *src, size_t len, const uint8_t mask[4]) {
    uint32_t half;
    memcpy(&half, mask, 4);
    uint64_t whole = (uint64_t)half << 32 | half;
    size_t i = 0;
    if (len >= LANES_BYTES_MIN && hlanes_are_here()) {
        /* Lanes that lie across two cache lines cost twice: words up to where one begins, for
         * payloads at multiples of 8, as those behind a head of 8 bytes are. */
        i = mask_words(dst, src, -(uintptr_t)dst % HLANES_BYTES, whole);
        i += mask_lanes(dst + i, src + i, len - i, whole);
    }
    i += mask_words(dst + i, src + i, len - i, whole);
    for (; i < len; i++) dst[i] = (char)(src[i] ^ (char)mask[i & 3]);
}

/* ---- Close frames ---- */

int ws_close_code_is_valid(int code) {
    if (code >= 3000 && code <= 4999) return 1;
    if (code >= 1000 && code <= 1003) return 1;
    return code >= 1007 && code <= 1014;
}

int ws_parse_close(const char *data, size_t len, const char **reason, size_t *reason_len) {
    *reason = "";
    *reason_len = 0;
    if (len == 0) return WS_CODE_NONE;
    if (len == 1) return -WS_CODE_PROTOCOL;
    int code = (uint8_t)data[0] << 8 | (uint8_t)data[1];
    if (!ws_close_code_is_valid(code)) return -WS_CODE_PROTOCOL;
    ws_utf8_t utf8 = {0};
    if (ws_utf8_feed(&utf8, data + 2, len - 2) != 0 || !ws_utf8_is_whole(&utf8)) {
        return -WS_CODE_BAD_DATA;
    }
    *reason = data + 2;
    *reason_len = len - 2;
    return code;
}

size_t ws_write_close(char *out, int code, const char *reason, size_t reason_len) {
    if (code == WS_CODE_NONE) return 0;
    if (reason_len > WS_REASON_BYTES_MAX) {
        reason_len = WS_REASON_BYTES_MAX;
        while (reason_len > 0 && ((uint8_t)reason[reason_len] & 0xc0) == 0x80) reason_len--;
    }
    out[0] = (char)(code >> 8);
    out[1] = (char)code;
    if (reason_len > 0) memcpy(out + 2, reason, reason_len);
    return reason_len + 2;
}
