/* h1_body.c - a request body as it comes: counted by Content-Length, or chunked.
 *
 * Chunked bodies are decoded here and not by llhttp, which (in 8.1) takes a lone CR or LF in an
 * extension, any number of zeros before a size, and extensions without end. One byte of state
 * says which byte may come next, so a body may be cut anywhere:
 *
 *   SIZE_FIRST -> SIZE -> EXTENSION -> SIZE_LF -> DATA -> DATA_CR -> DATA_LF -> SIZE_FIRST
 *   SIZE_LF of size 0 -> LINE_START -> NAME -> VALUE -> LINE_LF -> LINE_START -> LAST_LF -> DONE
 *
 *   chunk = 1*HEXDIG [ extensions ] CRLF data CRLF, last-chunk = 1*"0" [ extensions ] CRLF,
 *   then trailer lines and CRLF (RFC 9112 section 7.1). An extension is *( BWS ";" ... ) whose
 *   inside is checked for its alphabet only: it means nothing to us and is dropped.
 *
 * Invariants: payload is handed out as slices of the input, never copied; whatever is neither
 * payload nor the least framing of a chunk is paid from overhead_left, so that a peer cannot send
 * nothing for ever. */
#include "h1_chars.h"
#include "h1_parse.h"
#include "hassert.h"

enum {
    STATE_DONE,
    STATE_LENGTH, /* Content-Length: body_left to come */
    STATE_SIZE_FIRST,
    STATE_SIZE,
    STATE_EXTENSION_BLANK, /* blanks before the ';' of an extension */
    STATE_EXTENSION,
    STATE_SIZE_LF,
    STATE_DATA,
    STATE_DATA_CR,
    STATE_DATA_LF,
    STATE_LINE_START,
    STATE_NAME,
    STATE_VALUE,
    STATE_LINE_LF,
    STATE_LAST_LF,
};

/* A size of more digits than this would not fit in an int64_t, as no chunk's does. */
#define SIZE_DIGITS_MAX 15

void h1_body_begin(h1_parser_t *parser, const h1_limits_t *limits) {
    parser->body_left = parser->head.content_length;
    parser->overhead_left = limits->header_bytes_max;
    parser->size_digits = 0;
    if (parser->head.is_chunked) {
        parser->body_left = 0;
        parser->body_state = STATE_SIZE_FIRST;
    } else {
        parser->body_state = parser->body_left > 0 ? STATE_LENGTH : STATE_DONE;
    }
}

int h1_body_pending(const h1_parser_t *parser) {
    return parser->body_state != STATE_DONE;
}

void h1_body_set_pending(h1_parser_t *parser, int is_pending) {
    parser->body_state = is_pending ? STATE_LENGTH : STATE_DONE;
}

/* Takes up to body_left bytes as payload. */
static size_t take_payload(h1_parser_t *parser, const char *data, size_t len,
                           hhttp_slice_t *piece) {
    size_t taken = parser->body_left < len ? (size_t)parser->body_left : len;
    *piece = (hhttp_slice_t){data, taken};
    parser->body_left -= taken;
    return taken;
}

/* Pays one byte that carries nothing. Returns 0, or 431 where the budget is spent. */
static int pay_overhead(h1_parser_t *parser) {
    if (parser->overhead_left == 0) return 431;
    parser->overhead_left--;
    return 0;
}

/* A digit of the size. Leading zeros are allowed by the grammar and paid for. */
static int add_size_digit(h1_parser_t *parser, int digit) {
    parser->body_state = STATE_SIZE;
    if (parser->body_left == 0 && digit == 0) return pay_overhead(parser);
    if (parser->size_digits == SIZE_DIGITS_MAX) return 400;
    parser->size_digits++;
    parser->body_left = parser->body_left << 4 | (uint64_t)digit;
    return 0;
}

/* A byte of the line that holds the size. */
static int step_size_line(h1_parser_t *parser, char byte) {
    int digit;
    switch (parser->body_state) {
    case STATE_SIZE_FIRST:
    case STATE_SIZE:
        digit = h1_hex_value(byte);
        if (digit >= 0) return add_size_digit(parser, digit);
        if (parser->body_state == STATE_SIZE_FIRST) return 400;
        /* fall through */
    case STATE_EXTENSION_BLANK:
        if (byte == ' ' || byte == '\t') {
            parser->body_state = STATE_EXTENSION_BLANK;
            return pay_overhead(parser);
        }
        if (byte == ';') {
            parser->body_state = STATE_EXTENSION;
            return pay_overhead(parser);
        }
        /* Blanks that no extension follows are in no grammar. */
        if (byte != '\r' || parser->body_state == STATE_EXTENSION_BLANK) return 400;
        parser->body_state = STATE_SIZE_LF;
        return 0;
    case STATE_EXTENSION:
        if (h1_char_is(byte, H1_CHAR_VALUE)) return pay_overhead(parser);
        if (byte != '\r') return 400;
        parser->body_state = STATE_SIZE_LF;
        return 0;
    default:
        HV_ASSERT(parser->body_state == STATE_SIZE_LF);
        if (byte != '\n') return 400;
        parser->size_digits = 0;
        parser->body_state = parser->body_left > 0 ? STATE_DATA : STATE_LINE_START;
        return 0;
    }
}

/* A byte of the trailer section, the blank line at its end included. */
static int step_trailer(h1_parser_t *parser, char byte) {
    switch (parser->body_state) {
    case STATE_LINE_START:
        if (byte == '\r') {
            parser->body_state = STATE_LAST_LF;
            return 0;
        }
        if (!h1_char_is(byte, H1_CHAR_TOKEN)) return 400;
        parser->body_state = STATE_NAME;
        return pay_overhead(parser);
    case STATE_NAME:
        if (byte == ':') {
            parser->body_state = STATE_VALUE;
        } else if (!h1_char_is(byte, H1_CHAR_TOKEN)) {
            return 400;
        }
        return pay_overhead(parser);
    case STATE_VALUE:
        if (byte == '\r') {
            parser->body_state = STATE_LINE_LF;
        } else if (!h1_char_is(byte, H1_CHAR_VALUE)) {
            return 400;
        }
        return pay_overhead(parser);
    case STATE_LINE_LF:
        if (byte != '\n') return 400;
        parser->body_state = STATE_LINE_START;
        return pay_overhead(parser);
    default:
        HV_ASSERT(parser->body_state == STATE_LAST_LF);
        if (byte != '\n') return 400;
        parser->body_state = STATE_DONE;
        return 0;
    }
}

/* A byte of framing. */
static int step(h1_parser_t *parser, char byte) {
    if (parser->body_state == STATE_DATA_CR) {
        parser->body_state = STATE_DATA_LF;
        return byte == '\r' ? 0 : 400;
    }
    if (parser->body_state == STATE_DATA_LF) {
        parser->body_state = STATE_SIZE_FIRST;
        return byte == '\n' ? 0 : 400;
    }
    return parser->body_state < STATE_DATA ? step_size_line(parser, byte)
                                           : step_trailer(parser, byte);
}

/* A byte of the trailer section was taken in that state: counts those of its lines, which lie
 * behind each other. */
static void note_trailer(h1_parser_t *parser, int state, size_t at) {
    if (state == STATE_LAST_LF || parser->body_state == STATE_LAST_LF) return;
    if (parser->trailer_len == 0) parser->trailer_at = (uint32_t)at;
    parser->trailer_len++;
}

int h1_parse_body(h1_parser_t *parser, const char *data, size_t len, size_t *consumed,
                  hhttp_slice_t *piece) {
    *consumed = 0;
    *piece = (hhttp_slice_t){NULL, 0};
    if (parser->body_state == STATE_LENGTH && len > 0) {
        *consumed = take_payload(parser, data, len, piece);
        if (parser->body_left == 0) parser->body_state = STATE_DONE;
        return 0;
    }
    size_t i = 0;
    parser->trailer_len = 0;
    while (i < len && parser->body_state != STATE_DONE && piece->len == 0) {
        if (parser->body_state == STATE_DATA) {
            i += take_payload(parser, data + i, len - i, piece);
            if (parser->body_left == 0) parser->body_state = STATE_DATA_CR;
        } else {
            int state = parser->body_state;
            int status = step(parser, data[i]);
            if (status != 0) return status;
            if (HV_UNLIKELY(state >= STATE_LINE_START)) note_trailer(parser, state, i);
            i++;
        }
    }
    *consumed = i;
    return 0;
}
