/* hresp.c - the parser of RESP.
 *
 * Every token begins with one line: a type byte, text, CR LF. For strings with a length the bytes
 * and another CR LF follow. hresp_next uses nothing before the token is complete, so the only state
 * between two calls is where the open aggregates stand, how far the line at hand has been searched
 * (a line that arrives byte by byte is searched once), and how many bytes the token will have.
 *
 * `levels` is a stack of the aggregates that are open. `left` counts down; the aggregate ends when
 * it is 0, and that may end the one around it. An attribute counts as no item of what it is in: the
 * value that it tells of is yet to come.
 *
 * Source: https://redis.io/docs/reference/protocol-spec (RESP2, RESP3), and the RESP3 specification
 * by Salvatore Sanfilippo for streamed strings and aggregates. */
#include "hresp.h"

#include "hassert.h"

#define BULK_BYTES_DEFAULT  ((uint64_t)512 << 20)
#define REPLY_BYTES_DEFAULT ((uint64_t)1 << 30)
#define ITEMS_DEFAULT       ((uint64_t)1 << 28)
#define LINE_BYTES_DEFAULT  65536
#define DEPTH_DEFAULT       32

void hresp_init(hresp_t *parser, const hresp_limits_t *limits) {
    memset(parser, 0, sizeof *parser);
    if (limits != NULL) parser->limits = *limits;
    hresp_limits_t *l = &parser->limits;
    if (l->bulk_bytes == 0) l->bulk_bytes = BULK_BYTES_DEFAULT;
    if (l->reply_bytes == 0) l->reply_bytes = REPLY_BYTES_DEFAULT;
    if (l->items == 0) l->items = ITEMS_DEFAULT;
    if (l->line_bytes == 0) l->line_bytes = LINE_BYTES_DEFAULT;
    if (l->depth == 0) l->depth = DEPTH_DEFAULT;
    if (l->depth > HRESP_DEPTH_MAX) l->depth = HRESP_DEPTH_MAX;
    /* Counts are signed, and twice the pairs of a map. */
    if (l->items > INT64_MAX / 2) l->items = INT64_MAX / 2;
    if (l->bulk_bytes > INT64_MAX / 2) l->bulk_bytes = INT64_MAX / 2;
}

/* ---- Lines ---- */

/* A decimal integer that is the whole of the text. Returns 1, or 0 for anything else. */
static int to_integer(const char *text, size_t len, int64_t *value) {
    const char *end = text + len;
    int is_negative = len > 0 && *text == '-';
    if (len > 0 && (*text == '-' || *text == '+')) text++;
    if (text == end || end - text > 19) return 0;
    uint64_t sum = 0; /* 19 digits fit */
    for (; text < end; text++) {
        unsigned digit = (unsigned)(*text - '0');
        if (digit > 9) return 0;
        sum = sum * 10 + digit;
    }
    if (sum > (uint64_t)INT64_MAX + (uint64_t)is_negative) return 0;
    *value = is_negative ? (int64_t)(0 - sum) : (int64_t)sum;
    return 1;
}

/* A double as RESP3 writes it: digits, an optional fraction and exponent; inf, -inf, nan. strtod
 * takes more (hexadecimal digits, blanks, names in any case), so the text is looked through
 * first. */
static int to_number(const char *text, size_t len, double *value) {
    char copy[512];
    if (len == 0 || len >= sizeof copy) return 0;
    memcpy(copy, text, len);
    copy[len] = '\0';
    int is_word = strcmp(copy, "inf") == 0 || strcmp(copy, "-inf") == 0 ||
                  strcmp(copy, "nan") == 0 || strcmp(copy, "-nan") == 0;
    if (!is_word && strspn(copy, "+-.0123456789eE") != len) return 0;
    char *end;
    *value = strtod(copy, &end);
    return end == copy + len;
}

static int is_big_number(const char *text, size_t len) {
    size_t at = len > 0 && (*text == '-' || *text == '+') ? 1 : 0;
    if (at == len) return 0;
    for (; at < len; at++) {
        if (text[at] < '0' || text[at] > '9') return 0;
    }
    return 1;
}

/* Looks for the end of the line at the start of `data`.
 * Returns its length without CR LF; HV_EAGAIN where it is not complete, HV_EPROTO, HV_ELIMIT. */
static long find_line(hresp_t *parser, const char *data, size_t len) {
    const char *hit = memchr(data + parser->scanned, '\r', len - parser->scanned);
    size_t end = hit != NULL ? (size_t)(hit - data) : len;
    if (end > parser->limits.line_bytes) return HV_ELIMIT;
    if (end + 1 >= len) {
        parser->scanned = end;
        return HV_EAGAIN;
    }
    if (data[end + 1] != '\n') return HV_EPROTO;
    return (long)end;
}

/* ---- Aggregates ---- */

/* An item has ended: counts it in the aggregates around. Returns how many of those end with it. */
static uint32_t count_item(hresp_t *parser) {
    uint32_t closes = 0;
    while (parser->depth > 0) {
        struct hresp_level_s *level = &parser->levels[parser->depth - 1];
        level->at_value ^= 1;
        if (level->left == HRESP_STREAMED || --level->left > 0) return closes;
        int is_attribute = level->type == HRESP_ATTRIBUTE;
        parser->depth--;
        closes++;
        parser->is_told_of = (uint8_t)is_attribute;
        if (is_attribute) return closes; /* its value is yet to come */
    }
    parser->is_done = 1;
    return closes;
}

/* An aggregate has ended, which is an item of the one around it; an attribute is not. */
static uint32_t end_of(hresp_t *parser, unsigned type) {
    parser->is_told_of = type == HRESP_ATTRIBUTE;
    return parser->is_told_of ? 0 : count_item(parser);
}

static int open_level(hresp_t *parser, hresp_token_t *token) {
    if (parser->depth >= parser->limits.depth) return HV_ELIMIT;
    struct hresp_level_s *level = &parser->levels[parser->depth];
    level->type = (uint8_t)token->type;
    level->left = token->count;
    level->at_value = 0;
    parser->depth++;
    return 0;
}

/* The head of an aggregate: "*3", "%?" ... */
static int begin_aggregate(hresp_t *parser, hresp_token_t *token, const char *text, size_t len) {
    int is_map = token->type == HRESP_MAP || token->type == HRESP_ATTRIBUTE;
    if (token->type == HRESP_PUSH && parser->depth > 0) return HV_EPROTO;
    if (len == 1 && *text == '?') {
        if (token->type == HRESP_PUSH) return HV_EPROTO;
        token->count = HRESP_STREAMED;
        return open_level(parser, token);
    }
    int64_t count;
    if (!to_integer(text, len, &count)) return HV_EPROTO;
    if (count == -1 && token->type == HRESP_ARRAY) {
        token->type = HRESP_NULL;
        token->closes = count_item(parser);
        return 0;
    }
    if (count < 0 || (count == 0 && token->type == HRESP_PUSH)) return HV_EPROTO;
    if ((uint64_t)count > parser->limits.items / (is_map ? 2 : 1)) return HV_ELIMIT;
    token->count = is_map ? count * 2 : count;
    if (count > 0) return open_level(parser, token);
    token->closes = 1 + end_of(parser, token->type);
    return 0;
}

/* "." ends a streamed aggregate, which is then an item of the one around it. */
static int end_aggregate(hresp_t *parser, hresp_token_t *token, size_t len) {
    if (len != 0 || parser->depth == 0) return HV_EPROTO;
    const struct hresp_level_s *level = &parser->levels[parser->depth - 1];
    if (level->left != HRESP_STREAMED || level->type == HRESP_CHUNKED) return HV_EPROTO;
    int is_map = level->type == HRESP_MAP || level->type == HRESP_ATTRIBUTE;
    if (is_map && level->at_value) return HV_EPROTO; /* a key without its value */
    parser->depth--;
    token->depth = parser->depth;
    token->closes = 1 + end_of(parser, level->type);
    return 0;
}

/* ---- Strings with a length ---- */

/* Returns the bytes used, 0 for more, or a code. `line` is the length of "$5" without CR LF. */
static long take_bulk(hresp_t *parser, const char *data, size_t len, size_t line,
                      hresp_token_t *token) {
    int64_t count;
    if (token->type == HRESP_STRING && line == 2 && data[1] == '?') {
        token->type = HRESP_CHUNKED;
        token->count = HRESP_STREAMED;
        int code = open_level(parser, token);
        return code != 0 ? code : (long)line + 2;
    }
    if (!to_integer(data + 1, line - 1, &count)) return HV_EPROTO;
    if (count == -1 && token->type == HRESP_STRING) {
        token->type = HRESP_NULL;
        token->closes = count_item(parser);
        return (long)line + 2;
    }
    if (count < 0) return HV_EPROTO;
    if ((uint64_t)count > parser->limits.bulk_bytes) return HV_ELIMIT;
    if (token->type == HRESP_CHUNK && count == 0) {
        token->type = HRESP_END;
        parser->depth--;
        token->depth = parser->depth;
        token->closes = 1 + count_item(parser);
        return (long)line + 2;
    }
    size_t total = line + 2 + (size_t)count + 2;
    if (parser->reply_bytes + total > parser->limits.reply_bytes) return HV_ELIMIT;
    if (len < total) {
        parser->wanted = total;
        return 0;
    }
    token->data = data + line + 2;
    token->len = (size_t)count;
    if (memcmp(token->data + token->len, "\r\n", 2) != 0) return HV_EPROTO;
    if (token->type == HRESP_VERBATIM) {
        if (count < 4 || token->data[3] != ':') return HV_EPROTO;
        memcpy(token->format, token->data, 3);
        token->format[3] = '\0';
        token->data += 4;
        token->len -= 4;
    }
    if (token->type != HRESP_CHUNK) token->closes = count_item(parser);
    return (long)total;
}

/* ---- Tokens ---- */

/* What a first byte begins, as a type; 0 for a byte that begins nothing. */
static hresp_type_e type_of(char byte) {
    switch (byte) {
    case '+': case '$': return HRESP_STRING;
    case '-': case '!': return HRESP_ERROR;
    case ':': return HRESP_INTEGER;
    case '*': return HRESP_ARRAY;
    case '_': return HRESP_NULL;
    case ',': return HRESP_DOUBLE;
    case '#': return HRESP_BOOLEAN;
    case '(': return HRESP_BIG;
    case '=': return HRESP_VERBATIM;
    case '%': return HRESP_MAP;
    case '~': return HRESP_SET;
    case '|': return HRESP_ATTRIBUTE;
    case '>': return HRESP_PUSH;
    case ';': return HRESP_CHUNK;
    case '.': return HRESP_END;
    default: return (hresp_type_e)0;
    }
}

/* A scalar that is its line. Returns 0 or HV_EPROTO. */
static int take_scalar(hresp_t *parser, hresp_token_t *token, const char *text, size_t len) {
    int is_good = 1;
    switch (token->type) {
    case HRESP_INTEGER: is_good = to_integer(text, len, &token->integer); break;
    case HRESP_DOUBLE: is_good = to_number(text, len, &token->number); break;
    case HRESP_BIG: is_good = is_big_number(text, len); break;
    case HRESP_NULL: is_good = len == 0; break;
    case HRESP_BOOLEAN:
        is_good = len == 1 && (*text == 't' || *text == 'f');
        token->integer = is_good && *text == 't';
        break;
    default: break;
    }
    if (!is_good) return HV_EPROTO;
    token->data = text;
    token->len = len;
    token->closes = count_item(parser);
    return 0;
}

static int is_chunked(const hresp_t *parser) {
    return parser->depth > 0 && parser->levels[parser->depth - 1].type == HRESP_CHUNKED;
}

/* Takes the token whose line has `line` bytes. Returns the bytes used, 0 for more, or a code. */
static long take_token(hresp_t *parser, const char *data, size_t len, size_t line,
                       hresp_token_t *token) {
    int code;
    switch (*data) {
    case '$': case '!': case '=': case ';':
        return take_bulk(parser, data, len, line, token);
    case '*': case '%': case '~': case '|': case '>':
        code = begin_aggregate(parser, token, data + 1, line - 1);
        break;
    case '.':
        code = end_aggregate(parser, token, line - 1);
        break;
    default:
        code = take_scalar(parser, token, data + 1, line - 1);
        break;
    }
    return code != 0 ? code : (long)line + 2;
}

long hresp_next(hresp_t *parser, const void *data, size_t len, hresp_token_t *token) {
    if (parser->error != 0) return parser->error;
    parser->wanted = 0;
    if (len == 0) return 0;
    if (parser->is_done) parser->reply_bytes = 0;
    parser->is_done = 0;
    const char *bytes = data;
    memset(token, 0, sizeof *token);
    token->type = type_of(*bytes);
    token->depth = parser->depth;
    HV_DASSERT(parser->scanned <= len);
    int is_told_of = parser->is_told_of;
    long used = HV_EPROTO;
    if (token->type == HRESP_END && is_told_of) token->type = (hresp_type_e)0;
    if (token->type != 0 && is_chunked(parser) == (token->type == HRESP_CHUNK)) {
        used = find_line(parser, bytes, len);
        if (used == HV_EAGAIN) return 0;
    }
    if (used >= 0) {
        parser->is_told_of = 0;
        used = take_token(parser, bytes, len, (size_t)used, token);
    }
    if (used == 0) {
        parser->is_told_of = (uint8_t)is_told_of;
        return 0;
    }
    if (used > 0) parser->reply_bytes += (uint64_t)used;
    if (parser->reply_bytes > parser->limits.reply_bytes) used = HV_ELIMIT;
    if (used < 0) return parser->error = (int)used;
    parser->scanned = 0;
    return used;
}
