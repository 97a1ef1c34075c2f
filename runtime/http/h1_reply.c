/* h1_reply.c - response heads in, request heads out.
 *
 * The block has passed h1_find_head_end: every line ends with CRLF and none continues another. The
 * status line is read here; the header lines go through llhttp, as in h1_parse.c, from a copy of a
 * parser that has just read a status line, and the fields that decide over framing are judged once
 * more. llhttp never sees a body. */
#include "h1_reply.h"

#include <string.h>

#include "h1_chars.h"
#include "h1_fields.h"
#include "h1_write.h"
#include "hassert.h"
#include "llhttp.h"

_Static_assert(LLHTTP_STRICT_MODE == 1, "llhttp must be compiled, and included, as strict");

int h1_reply_error(int status) {
    return status == 414 || status == 431 ? HV_ELIMIT : HV_EPROTO;
}

/* ---- The status line ---- */

/* "HTTP/1." DIGIT SP 3DIGIT [ SP reason ], up to the CR at `end`. */
static int read_status_line(h1_reply_t *reply, const char *line, const char *end) {
    if (end - line < 12 || memcmp(line, "HTTP/1.", 7) != 0) return HV_EPROTO;
    if (!h1_char_is(line[7], H1_CHAR_DIGIT) || line[8] != ' ') return HV_EPROTO;
    int status = 0;
    for (int i = 9; i < 12; i++) {
        if (!h1_char_is(line[i], H1_CHAR_DIGIT)) return HV_EPROTO;
        status = status * 10 + (line[i] - '0');
    }
    if (status < 100 || (end - line > 12 && line[12] != ' ')) return HV_EPROTO;
    const char *reason = end - line > 12 ? line + 13 : end;
    reply->version = line[7] == '0' ? 10 : 11;
    reply->status = status;
    reply->reason = (hhttp_slice_t){reason, (size_t)(end - reason)};
    return 0;
}

/* ---- The fields ---- */

/* llhttp stands first so that its address is ours. */
typedef struct reply_reader_s {
    llhttp_t llhttp;
    const char *block_end;
    uint64_t content_length;
    h1_connection_t connection;
    uint32_t header_count;
    uint32_t header_count_max;
    uint8_t has_length;
    uint8_t has_coding;
    uint8_t has_upgrade;
    int error;
} reply_reader_t;

/* Returns 0 or an error. */
static int read_field(reply_reader_t *reader, const char *name, size_t len) {
    const char *colon = name + len;
    if (len == 7 && h1_equals_folded(name, len, "upgrade", 7)) {
        reader->has_upgrade |= h1_value_after(colon, reader->block_end).len > 0;
    } else if (len == 10 && h1_equals_folded(name, len, "connection", 10)) {
        h1_read_connection(h1_value_after(colon, reader->block_end), &reader->connection);
    } else if (len == 14 && h1_equals_folded(name, len, "content-length", 14)) {
        if (reader->has_length++ > 0) return HV_EPROTO;
        hhttp_slice_t value = h1_value_after(colon, reader->block_end);
        return h1_read_content_length(value, &reader->content_length) == 0 ? 0 : HV_EPROTO;
    } else if (len == 17 && h1_equals_folded(name, len, "transfer-encoding", 17)) {
        if (reader->has_coding++ > 0) return HV_EPROTO;
        hhttp_slice_t value = h1_value_after(colon, reader->block_end);
        return h1_read_transfer_encoding(value) == 0 ? 0 : HV_EPROTO;
    }
    return 0;
}

static int on_header_field(llhttp_t *llhttp, const char *name, size_t len) {
    reply_reader_t *reader = (reply_reader_t *)(void *)llhttp;
    if (++reader->header_count > reader->header_count_max) {
        reader->error = HV_ELIMIT;
    } else {
        reader->error = len == 0 ? HV_EPROTO : read_field(reader, name, len);
    }
    return reader->error == 0 ? 0 : HPE_USER;
}

static int on_headers_complete(llhttp_t *llhttp) {
    (void)llhttp;
    return HPE_PAUSED;
}

static const llhttp_settings_t reply_settings = {
    .on_header_field = on_header_field,
    .on_headers_complete = on_headers_complete,
};

/* A parser that has read a status line and waits for the first header. */
static llhttp_t after_status_line;

__attribute__((constructor)) static void prepare_template(void) {
    static const char line[] = "HTTP/1.1 200 OK\r\n";
    llhttp_init(&after_status_line, HTTP_RESPONSE, &reply_settings);
    llhttp_errno_t error = llhttp_execute(&after_status_line, line, sizeof line - 1);
    HV_ASSERT(error == HPE_OK);
}

/* ---- What they mean together ---- */

/* RFC 9112 section 6.3, in its order. */
static int settle_body(h1_reply_t *reply, const reply_reader_t *reader, int to_head) {
    reply->length = 0;
    if (reader->has_coding && (reader->has_length || reply->version == 10)) return HV_EPROTO;
    if (to_head || reply->status < 200 || reply->status == 204 || reply->status == 304) {
        if (reader->has_length) reply->length = (int64_t)reader->content_length;
        reply->body = H1_REPLY_NO_BODY;
        return 0;
    }
    reply->is_chunked = reader->has_coding;
    if (reader->has_coding) {
        reply->body = H1_REPLY_COUNTED;
        reply->length = -1;
    } else if (reader->has_length) {
        reply->body = H1_REPLY_COUNTED;
        reply->length = (int64_t)reader->content_length;
    } else {
        reply->body = H1_REPLY_UNTIL_CLOSE;
        reply->length = -1;
    }
    return 0;
}

static int settle(h1_reply_t *reply, const reply_reader_t *reader, int to_head,
                  const h1_limits_t *limits) {
    int error = settle_body(reply, reader, to_head);
    if (error != 0) return error;
    int is_http11 = reply->version == 11;
    reply->keep_alive = !reader->connection.close && reply->body != H1_REPLY_UNTIL_CLOSE &&
                        (is_http11 || reader->connection.keep_alive);
    reply->is_upgrade =
        reply->status == 101 && is_http11 && reader->connection.upgrade && reader->has_upgrade;
    reply->parser.head.is_chunked = reply->is_chunked;
    reply->parser.head.content_length =
        reply->body == H1_REPLY_COUNTED && !reply->is_chunked ? reader->content_length : 0;
    h1_body_begin(&reply->parser, limits);
    return 0;
}

int h1_parse_reply(h1_reply_t *reply, const char *block, size_t len, int to_head,
                   const h1_limits_t *limits) {
    HV_DASSERT(len >= 4 && memcmp(block + len - 4, "\r\n\r\n", 4) == 0);
    memset(reply, 0, sizeof *reply);
    const char *line_end = memchr(block, '\r', len);
    HV_ASSERT(line_end != NULL);
    size_t line_len = (size_t)(line_end - block);
    if (line_len > limits->request_line_bytes_max) return HV_ELIMIT;
    int error = read_status_line(reply, block, line_end);
    if (error != 0) return error;
    reply->headers = (hhttp_slice_t){line_end + 2, len - line_len - 4};
    if (reply->headers.len > limits->header_bytes_max) return HV_ELIMIT;
    /* The blank line ends the block: llhttp gets it, the slice does not have it. */
    reply_reader_t reader = {
        .llhttp = after_status_line,
        .block_end = reply->headers.data + reply->headers.len + 2,
        .header_count_max = limits->header_count_max,
    };
    size_t fields_len = reply->headers.len + 2;
    llhttp_errno_t outcome = llhttp_execute(&reader.llhttp, reply->headers.data, fields_len);
    if (outcome != HPE_PAUSED) return reader.error != 0 ? reader.error : HV_EPROTO;
    if (llhttp_get_error_pos(&reader.llhttp) != reader.block_end) return HV_EPROTO;
    return settle(reply, &reader, to_head, limits);
}

/* ---- Requests ---- */

static char *put(char *out, const char *data, size_t len) {
    if (len > 0) memcpy(out, data, len);
    return out + len;
}

#define PUT(out, literal) put(out, literal, sizeof(literal) - 1)

static char *put_line(char *out, const char *name, const char *value, size_t len) {
    out = put(out, name, strlen(name));
    out = PUT(out, ": ");
    out = put(out, value, len);
    return PUT(out, "\r\n");
}

size_t h1_request_bytes_max(const h1_request_t *request) {
    size_t bytes = 256 + request->method.len + request->target.len + request->host.len;
    if (request->upgrade != NULL) bytes += strlen(request->upgrade);
    if (request->proxy_authorization != NULL) bytes += strlen(request->proxy_authorization);
    for (size_t i = 0; i < request->header_count; i++) {
        bytes += request->headers[i].name.len + request->headers[i].value.len + 4;
    }
    return bytes;
}

/* TE is of the connection and named there (RFC 9110 section 10.1.4). */
static char *put_connection(char *at, const h1_request_t *request) {
    const char *word = request->upgrade != NULL ? "Upgrade" : request->closes ? "close" : NULL;
    if (word == NULL && !request->wants_trailers) return at;
    at = PUT(at, "Connection: ");
    if (word != NULL) at = put(at, word, strlen(word));
    if (word != NULL && request->wants_trailers) at = PUT(at, ", ");
    if (request->wants_trailers) at = PUT(at, "TE");
    return PUT(at, "\r\n");
}

size_t h1_write_request(const h1_request_t *request, char *out) {
    char *at = put(out, request->method.data, request->method.len);
    *at++ = ' ';
    at = put(at, request->target.data, request->target.len);
    at = PUT(at, " HTTP/1.1\r\n");
    if (request->host.data != NULL)
        at = put_line(at, "Host", request->host.data, request->host.len);
    for (size_t i = 0; i < request->header_count; i++) {
        const hhttp_header_t *header = &request->headers[i];
        at = put(at, header->name.data, header->name.len);
        at = PUT(at, ": ");
        at = put(at, header->value.data, header->value.len);
        at = PUT(at, "\r\n");
    }
    if (request->accepts_codings) at = PUT(at, "Accept-Encoding: gzip, deflate, br\r\n");
    if (request->proxy_authorization != NULL) {
        at = put_line(at, "Proxy-Authorization", request->proxy_authorization,
                      strlen(request->proxy_authorization));
    }
    if (request->is_chunked) {
        at = PUT(at, "Transfer-Encoding: chunked\r\n");
    } else if (request->content_length >= 0) {
        at = PUT(at, "Content-Length: ");
        at += h1_write_decimal((uint64_t)request->content_length, at);
        at = PUT(at, "\r\n");
    }
    if (request->expects_continue) at = PUT(at, "Expect: 100-continue\r\n");
    if (request->upgrade != NULL) {
        at = put_line(at, "Upgrade", request->upgrade, strlen(request->upgrade));
    }
    if (request->wants_trailers) at = PUT(at, "TE: trailers\r\n");
    at = put_connection(at, request);
    at = PUT(at, "\r\n");
    HV_DASSERT((size_t)(at - out) <= h1_request_bytes_max(request));
    return (size_t)(at - out);
}

static int all_are(hhttp_slice_t text, unsigned classes) {
    for (size_t i = 0; i < text.len; i++) {
        if (!h1_char_is(text.data[i], classes)) return 0;
    }
    return 1;
}

static int is_clients_own(hhttp_slice_t name) {
    static const char *const own[] = {"content-length", "transfer-encoding", "connection",
                                      "expect",         "upgrade",           "te"};
    for (size_t i = 0; i < ARRAY_SIZE(own); i++) {
        if (h1_equals_folded(name.data, name.len, own[i], strlen(own[i]))) return 1;
    }
    return 0;
}

static int target_is_valid(hhttp_slice_t target) {
    if (target.len == 0) return 0;
    for (size_t i = 0; i < target.len; i++) {
        if (target.data[i] != '?' && !h1_char_is(target.data[i], H1_CHAR_TARGET)) return 0;
    }
    return 1;
}

int h1_check_request(const h1_request_t *request, int *has_host) {
    *has_host = 0;
    hhttp_slice_t method = request->method;
    if (method.len == 0 || method.len > H1_METHOD_BYTES_MAX) return HV_EINVAL;
    if (!all_are(method, H1_CHAR_TOKEN)) return HV_EINVAL;
    if (hhttp_method_of(method.data, method.len) == HHTTP_CONNECT) return HV_EINVAL;
    if (!target_is_valid(request->target)) return HV_EINVAL;
    for (size_t i = 0; i < request->header_count; i++) {
        const hhttp_header_t *header = &request->headers[i];
        if (header->name.len == 0 || !all_are(header->name, H1_CHAR_TOKEN)) return HV_EINVAL;
        if (!all_are(header->value, H1_CHAR_VALUE)) return HV_EINVAL;
        if (is_clients_own(header->name)) return HV_EINVAL;
        if (h1_equals_folded(header->name.data, header->name.len, "host", 4)) {
            if (*has_host) return HV_EINVAL;
            *has_host = 1;
        }
    }
    hhttp_slice_t upgrade = {request->upgrade, 0};
    if (upgrade.data != NULL) upgrade.len = strlen(upgrade.data);
    return all_are(upgrade, H1_CHAR_VALUE) ? 0 : HV_EINVAL;
}
