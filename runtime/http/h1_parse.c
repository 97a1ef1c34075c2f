/* h1_parse.c - one request head, from its bytes to h1_head_t.
 *
 * How it works, in three passes over bytes that are in the cache:
 *  1. h1_find_head_end finds the blank line. It looks at eight bytes at once for anything below
 *     0x20, so it stops only at line ends, tabs and bytes that may not be there at all. After it,
 *     every CR is followed by LF, every LF follows a CR, and no line continues another.
 *  2. The request line is read here, not by llhttp: llhttp knows a fixed list of methods, has a
 *     mode of its own for CONNECT and leaves the target's form to its user.
 *  3. The header lines go through llhttp, which starts from a copy of a parser that has just read
 *     a request line: 96 bytes copied instead of 16 bytes parsed. llhttp checks names, values, and
 *     the syntax of Content-Length and Transfer-Encoding; the few fields that decide over framing
 *     and routing are judged once more by ourselves, because llhttp takes an empty field name,
 *     reads Proxy-Connection as Connection, and leaves some of its verdicts to the body's start.
 *     llhttp stops at the blank line; it never sees a body (see h1_body.c).
 *
 * Invariants: nothing is written but the head and the parser; no byte beyond the block is read;
 * two readers of the same block (llhttp and h1_next_header) cannot disagree, since a line is
 * a line for both.
 *
 * RFC 9112 sections 2.2 (line ends), 3 (request line), 5 (fields), 6 (body length), 9.3 and 9.6
 * (persistence); RFC 9110 sections 2.5 (versions), 7.2 (Host), 7.8 (Upgrade), 10.1.1 (Expect). */
#include "h1_parse.h"

#include <endian.h>
#include <string.h>

#include "h1_chars.h"
#include "h1_fields.h"
#include "h1_target.h"
#include "hassert.h"
#include "llhttp.h"

/* In its loose mode llhttp takes blanks inside header names. */
_Static_assert(LLHTTP_STRICT_MODE == 1, "llhttp must be compiled, and included, as strict");

/* ---- Finding the end ---- */

#define EVERY_BYTE(byte) (0x0101010101010101ull * (byte))

/* Offset of the first byte below 0x20, or 0x7f, at or after `i`; `len` where there is none. */
static inline size_t find_control(const char *data, size_t len, size_t i) {
    for (; len - i >= 8; i += 8) {
        uint64_t word;
        memcpy(&word, data + i, 8);
        word = htole64(word);
        uint64_t delete_as_zero = word ^ EVERY_BYTE(0x7f);
        uint64_t hits = ((word - EVERY_BYTE(0x20)) & ~word) |
                        ((delete_as_zero - EVERY_BYTE(0x01)) & ~delete_as_zero);
        hits &= EVERY_BYTE(0x80);
        /* A borrow can only mark bytes after a true hit, so the first mark is always true. */
        if (hits != 0) return i + ((size_t)__builtin_ctzll(hits) >> 3);
    }
    while (i < len && (unsigned char)data[i] >= 0x20 && data[i] != 0x7f)
        i++;
    return i;
}

/* The limits, once `len` bytes are there. The first line is looked for only when there are enough
 * bytes for it to matter. */
static int check_limits(const char *data, size_t len, const h1_limits_t *limits) {
    size_t line_max = limits->request_line_bytes_max;
    if (HV_LIKELY(len <= line_max && len <= limits->header_bytes_max)) return 0;
    const char *line_end = memchr(data, '\n', len);
    /* The line's CRLF does not count; a CR may be there whose LF is still to come. */
    size_t line_len =
        line_end != NULL ? (size_t)(line_end - data) - 1 : len - (data[len - 1] == '\r');
    if (line_len > line_max) return 414;
    if (line_end == NULL) return 0;
    /* Nor does the blank line, whose two bytes may be the last that are there. */
    return len - line_len - 2 > (size_t)limits->header_bytes_max + 2 ? 431 : 0;
}

/* What to say about a byte that may not be there, `before` bytes after the start: a limit that was
 * passed before it comes first, as it would have if the bytes had come one by one. */
static long refuse(const char *data, size_t before, const h1_limits_t *limits) {
    int status = before > 0 ? check_limits(data, before, limits) : 0;
    return -(long)(status != 0 ? status : 400);
}

long h1_find_head_end(const char *data, size_t len, size_t *scanned, const h1_limits_t *limits) {
    HV_DASSERT(limits->request_line_bytes_max > 0 && limits->header_bytes_max > 0);
    HV_DASSERT(*scanned <= len);
    size_t i = *scanned;
    for (;;) {
        i = find_control(data, len, i);
        if (i == len) break;
        if (data[i] == '\t') {
            i++;
            continue;
        }
        if (HV_UNLIKELY(data[i] != '\r' || i == 0)) return refuse(data, i, limits);
        /* A line end is judged with the byte after it; until then it is looked at again. */
        if (len - i < 2) break;
        if (HV_UNLIKELY(data[i + 1] != '\n')) return refuse(data, i + 1, limits);
        if (data[i - 1] == '\n') {
            int status = check_limits(data, i + 2, limits);
            return status != 0 ? -(long)status : (long)(i + 2);
        }
        if (len - i < 3) break;
        if (HV_UNLIKELY(data[i + 2] == ' ' || data[i + 2] == '\t')) {
            return refuse(data, i + 2, limits);
        }
        i += 2;
    }
    *scanned = i;
    return len == 0 ? 0 : -(long)check_limits(data, len, limits);
}

size_t h1_skip_empty_lines(const char *data, size_t len) {
    size_t i = 0;
    while (len - i >= 2 && data[i] == '\r' && data[i + 1] == '\n')
        i += 2;
    return i;
}

/* ---- The request line ---- */

/* Returns the byte after the method's blank, or NULL with *status set. */
static const char *read_method(h1_head_t *head, const char *line, const char *end, int *status) {
    size_t max = (size_t)(end - line);
    size_t len = 0;
    while (len < max && h1_char_is(line[len], H1_CHAR_TOKEN))
        len++;
    /* A method longer than any we know is "not implemented" (RFC 9112 section 3), if it is one. */
    *status = 400;
    if (len == 0 || len == max || line[len] != ' ') return NULL;
    *status = 501;
    if (len > H1_METHOD_BYTES_MAX) return NULL;
    head->method_name = (hhttp_slice_t){line, len};
    head->method = hhttp_method_of(line, len);
    return line + len + 1;
}

/* Returns the target's end, whose byte is no target byte; *query_at is the first '?' or the end. */
static const char *read_target(const char *target, const char *end, const char **query_at) {
    const char *at = target;
    while (at < end && h1_char_is(*at, H1_CHAR_TARGET))
        at++;
    *query_at = at;
    while (at < end && (h1_char_is(*at, H1_CHAR_TARGET) || *at == '?'))
        at++;
    return at;
}

/* "HTTP/" DIGIT "." DIGIT, and nothing else up to the line's end. */
static int read_version(h1_head_t *head, const char *text, const char *end) {
    if (end - text != 8 || memcmp(text, "HTTP/", 5) != 0 || text[6] != '.' ||
        !h1_char_is(text[5], H1_CHAR_DIGIT) || !h1_char_is(text[7], H1_CHAR_DIGIT)) {
        return 400;
    }
    if (text[5] != '1') return 505;
    head->version = text[7] == '0' ? 10 : 11;
    return 0;
}

/* Reads the line that ends with the CR at `end`. The version is judged before the target, so that
 * "PRI * HTTP/2.0" is told the true reason. */
static int read_request_line(h1_head_t *head, const char *line, const char *end) {
    int status;
    const char *target = read_method(head, line, end, &status);
    if (target == NULL) return status;
    const char *query_at;
    const char *target_end = read_target(target, end, &query_at);
    if (target_end == target || target_end == end || *target_end != ' ') return 400;
    status = read_version(head, target_end + 1, end);
    if (status != 0) return status;
    head->target = (hhttp_slice_t){target, (size_t)(target_end - target)};
    return h1_split_target(head, (size_t)(query_at - target));
}

/* ---- The header lines ---- */

/* What the llhttp callback collects; llhttp stands first so that its address is ours. */
typedef struct head_reader_s {
    llhttp_t llhttp;
    h1_head_t *head;
    const char *block_end;
    hhttp_slice_t host;
    uint32_t header_count;
    uint32_t header_count_max;
    uint32_t host_count;
    uint32_t content_length_count;
    uint32_t transfer_encoding_count;
    h1_connection_t connection;
    uint8_t has_upgrade;
    uint8_t expects_continue;
    uint8_t expects_other;
    int status; /* to refuse with, where a callback stopped llhttp */
} head_reader_t;

static void read_expect(head_reader_t *reader, hhttp_slice_t value) {
    if (h1_equals_folded(value.data, value.len, "100-continue", 12)) {
        reader->expects_continue = 1;
    } else {
        reader->expects_other = 1;
    }
}

/* Reads the fields that the server itself needs, told apart by length before any byte is compared.
 * Returns 0 or the status to refuse with. */
static int read_known_field(head_reader_t *reader, const char *name, size_t len) {
    const char *colon = name + len;
    switch (len) {
    case 4:
        if (!h1_equals_folded(name, len, "host", 4)) return 0;
        if (++reader->host_count > 1) return 400;
        reader->host = h1_value_after(colon, reader->block_end);
        return h1_authority_is_valid(reader->host.data, reader->host.len) ? 0 : 400;
    case 6:
        if (!h1_equals_folded(name, len, "expect", 6)) return 0;
        read_expect(reader, h1_value_after(colon, reader->block_end));
        return 0;
    case 7:
        if (h1_equals_folded(name, len, "upgrade", 7)) {
            reader->has_upgrade |= h1_value_after(colon, reader->block_end).len > 0;
        }
        return 0;
    case 10:
        if (h1_equals_folded(name, len, "connection", 10)) {
            h1_read_connection(h1_value_after(colon, reader->block_end), &reader->connection);
        }
        return 0;
    case 14:
        if (!h1_equals_folded(name, len, "content-length", 14)) return 0;
        /* One field: a list of equal lengths is allowed by RFC 9112 section 6.3 to be taken, and
         * refusing it is the safer of the two choices given there. */
        if (++reader->content_length_count > 1) return 400;
        return h1_read_content_length(h1_value_after(colon, reader->block_end),
                                      &reader->head->content_length);
    case 17:
        if (!h1_equals_folded(name, len, "transfer-encoding", 17)) return 0;
        if (++reader->transfer_encoding_count > 1) return 400;
        return h1_read_transfer_encoding(h1_value_after(colon, reader->block_end));
    default: return 0;
    }
}

/* llhttp has found a field name; the byte after it is the colon. */
static int on_header_field(llhttp_t *llhttp, const char *name, size_t len) {
    head_reader_t *reader = (head_reader_t *)(void *)llhttp;
    if (++reader->header_count > reader->header_count_max) {
        reader->status = 431;
    } else if (len == 0) {
        reader->status = 400;
    } else {
        reader->status = read_known_field(reader, name, len);
    }
    return reader->status == 0 ? 0 : HPE_USER;
}

static int on_headers_complete(llhttp_t *llhttp) {
    (void)llhttp;
    return HPE_PAUSED;
}

static const llhttp_settings_t head_settings = {
    .on_header_field = on_header_field,
    .on_headers_complete = on_headers_complete,
};

/* A parser that has read a request line and waits for the first header. */
static llhttp_t after_request_line;

/* Before main, so that threads find it ready. The method is one that llhttp gives no meaning of
 * its own, and the version does not matter here. */
__attribute__((constructor)) static void prepare_template(void) {
    static const char line[] = "POST / HTTP/1.1\r\n";
    llhttp_init(&after_request_line, HTTP_REQUEST, &head_settings);
    llhttp_errno_t error = llhttp_execute(&after_request_line, line, sizeof line - 1);
    HV_ASSERT(error == HPE_OK);
}

/* ---- What the fields mean together ---- */

static int settle_framing(h1_head_t *head, const head_reader_t *reader) {
    head->has_content_length = reader->content_length_count > 0;
    head->is_chunked = reader->transfer_encoding_count > 0;
    /* Both at once is the classic of request smuggling; Transfer-Encoding is not part of HTTP/1.0
     * (RFC 9112 section 6.1). */
    if (head->is_chunked && (head->has_content_length || head->version == 10)) return 400;
    /* llhttp has read the same fields: where it saw something else, nobody knows who is right. */
    int llhttp_is_chunked = (reader->llhttp.flags & F_CHUNKED) != 0;
    if (llhttp_is_chunked != head->is_chunked) return 400;
    return reader->llhttp.content_length == head->content_length ? 0 : 400;
}

static int settle_head(h1_head_t *head, const head_reader_t *reader) {
    int is_http11 = head->version >= 11;
    if (is_http11 && reader->host_count == 0) return 400;
    if (head->host.data == NULL) head->host = reader->host;
    int status = settle_framing(head, reader);
    if (status != 0) return status;
    /* An HTTP/1.0 peer cannot expect anything (RFC 9110 section 10.1.1). */
    if (is_http11 && reader->expects_other) return 417;
    int has_body = head->is_chunked || head->content_length > 0;
    head->expects_continue = is_http11 && has_body && reader->expects_continue;
    head->is_upgrade = is_http11 && reader->connection.upgrade && reader->has_upgrade;
    head->keep_alive = !reader->connection.close && (is_http11 || reader->connection.keep_alive);
    return 0;
}

static int read_headers(h1_head_t *head, const h1_limits_t *limits) {
    /* The blank line ends the block: llhttp gets it, the slice does not have it. */
    size_t len = head->headers.len + 2;
    head_reader_t reader = {
        .llhttp = after_request_line,
        .head = head,
        .block_end = head->headers.data + len,
        .header_count_max = limits->header_count_max,
    };
    llhttp_errno_t error = llhttp_execute(&reader.llhttp, head->headers.data, len);
    if (error != HPE_PAUSED) return reader.status != 0 ? reader.status : 400;
    if (llhttp_get_error_pos(&reader.llhttp) != reader.block_end) return 400;
    return settle_head(head, &reader);
}

int h1_parse_head(h1_parser_t *parser, const char *block, size_t len, const h1_limits_t *limits) {
    HV_DASSERT(len >= 4 && memcmp(block + len - 4, "\r\n\r\n", 4) == 0);
    h1_head_t *head = &parser->head;
    memset(head, 0, sizeof *head);
    const char *line_end = memchr(block, '\r', len);
    HV_ASSERT(line_end != NULL);
    size_t line_len = (size_t)(line_end - block);
    if (line_len > limits->request_line_bytes_max) return 414;
    int status = read_request_line(head, block, line_end);
    if (status != 0) return status;
    head->headers = (hhttp_slice_t){line_end + 2, len - line_len - 4};
    if (head->headers.len > limits->header_bytes_max) return 431;
    status = read_headers(head, limits);
    if (status != 0) return status;
    h1_body_begin(parser, limits);
    return 0;
}

/* ---- Reading headers later ---- */

int h1_next_header(hhttp_slice_t headers, size_t *cursor, hhttp_header_t *header) {
    if (*cursor >= headers.len) return 0;
    const char *line = headers.data + *cursor;
    const char *end = headers.data + headers.len;
    const char *colon = memchr(line, ':', (size_t)(end - line));
    HV_ASSERT(colon != NULL);
    const char *line_end = memchr(colon, '\n', (size_t)(end - colon));
    HV_ASSERT(line_end != NULL);
    header->name = (hhttp_slice_t){line, (size_t)(colon - line)};
    header->value = h1_value_after(colon, end);
    *cursor = (size_t)(line_end + 1 - headers.data);
    return 1;
}

hhttp_slice_t h1_find_header(hhttp_slice_t headers, const char *name, size_t name_len) {
    const char *line = headers.data;
    const char *end = headers.data + headers.len;
    while (line < end) {
        /* The colon is looked for where it would have to be: most lines fail at that one byte. */
        if ((size_t)(end - line) > name_len && line[name_len] == ':' &&
            h1_names_equal(line, name, name_len)) {
            return h1_value_after(line + name_len, end);
        }
        const char *line_end = memchr(line, '\n', (size_t)(end - line));
        HV_ASSERT(line_end != NULL);
        line = line_end + 1;
    }
    return (hhttp_slice_t){NULL, 0};
}

static void rebase(hhttp_slice_t *slice, uintptr_t from, const char *to) {
    if (slice->data != NULL) slice->data = to + ((uintptr_t)slice->data - from);
}

void h1_head_rebase(h1_head_t *head, const char *from, const char *to) {
    uintptr_t base = (uintptr_t)from;
    rebase(&head->method_name, base, to);
    rebase(&head->target, base, to);
    rebase(&head->path, base, to);
    rebase(&head->query, base, to);
    rebase(&head->headers, base, to);
    rebase(&head->host, base, to);
}
