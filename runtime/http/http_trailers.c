/* http_trailers.c - trailers as they are kept, and as they are sent. RFC 9110 section 6.5, RFC 9112
 * section 7.1.2. */
#include "http_trailers.h"

#include <string.h>

#include "h1_chars.h"
#include "h1_write.h"
#include "hassert.h"
#include "hmem.h"

#define WORD(text) {text, sizeof(text) - 1}

/* What decides how a message is framed, where it goes, who may ask, and what its content is has to
 * be known before the content. */
static const hhttp_slice_t too_late[] = {
    WORD("age"), WORD("authorization"), WORD("cache-control"), WORD("connection"),
    WORD("content-encoding"), WORD("content-length"), WORD("content-range"), WORD("content-type"),
    WORD("cookie"), WORD("date"), WORD("expect"), WORD("expires"), WORD("host"), WORD("if-match"),
    WORD("if-modified-since"), WORD("if-none-match"), WORD("if-range"),
    WORD("if-unmodified-since"), WORD("keep-alive"), WORD("location"), WORD("max-forwards"),
    WORD("pragma"), WORD("proxy-authenticate"), WORD("proxy-authorization"),
    WORD("proxy-connection"), WORD("range"), WORD("retry-after"), WORD("set-cookie"), WORD("te"),
    WORD("trailer"), WORD("transfer-encoding"), WORD("upgrade"), WORD("vary"),
    WORD("www-authenticate"),
};

int hhttp_may_trail(const char *name, size_t name_len) {
    for (size_t i = 0; i < ARRAY_SIZE(too_late); i++) {
        if (h1_equals_folded(name, name_len, too_late[i].data, too_late[i].len)) return 0;
    }
    return 1;
}

/* ---- That have come ---- */

int hv__http_trailers_add(http_trailers_t **trailers, hhttp_slice_t text,
                          const h1_limits_t *limits) {
    http_trailers_t *self = *trailers;
    if (text.len == 0) return 0;
    if (self == NULL) {
        self = hv__calloc(1, sizeof *self);
        if (self == NULL) return HV_ENOMEM;
        *trailers = self;
    }
    for (size_t i = 0; i < text.len; i++) self->count += text.data[i] == '\n';
    if (self->count > limits->header_count_max) return HV_ELIMIT;
    return hbuf_append(&self->lines, text.data, text.len, limits->header_bytes_max);
}

void hv__http_trailers_free(http_trailers_t *trailers) {
    if (trailers == NULL) return;
    hbuf_deinit(&trailers->lines);
    hv__free(trailers);
}

static hhttp_slice_t lines_of(const http_trailers_t *trailers) {
    if (trailers == NULL) return (hhttp_slice_t){NULL, 0};
    return (hhttp_slice_t){hbuf_data(&trailers->lines), hbuf_len(&trailers->lines)};
}

hhttp_slice_t hv__http_trailers_find(const http_trailers_t *trailers, const char *name,
                                     size_t name_len) {
    hhttp_slice_t lines = lines_of(trailers);
    if (lines.len == 0 || !hhttp_may_trail(name, name_len)) return (hhttp_slice_t){NULL, 0};
    return h1_find_header(lines, name, name_len);
}

int hv__http_trailers_next(const http_trailers_t *trailers, size_t *cursor,
                           hhttp_header_t *header) {
    hhttp_slice_t lines = lines_of(trailers);
    while (h1_next_header(lines, cursor, header)) {
        if (hhttp_may_trail(header->name.data, header->name.len)) return 1;
    }
    return 0;
}

/* ---- To be sent ---- */

int hv__http_trailers_check(const hhttp_header_t *headers, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (!hhttp_may_trail(headers[i].name.data, headers[i].name.len)) return HV_EINVAL;
    }
    return h1_check_headers(headers, count);
}

static char *put(char *out, const char *data, size_t len) {
    if (len > 0) memcpy(out, data, len);
    return out + len;
}

char *hv__http_last_chunk(const hhttp_header_t *trailers, size_t count, size_t *len) {
    size_t bytes = HTTP_LAST_CHUNK_HEAD + HTTP_LAST_CHUNK_TAIL;
    for (size_t i = 0; i < count; i++) bytes += trailers[i].name.len + trailers[i].value.len + 4;
    char *text = hv__malloc(bytes);
    if (text == NULL) return NULL;
    char *at = put(text, "0\r\n", 3);
    for (size_t i = 0; i < count; i++) {
        at = put(at, trailers[i].name.data, trailers[i].name.len);
        at = put(at, ": ", 2);
        at = put(at, trailers[i].value.data, trailers[i].value.len);
        at = put(at, "\r\n", 2);
    }
    at = put(at, "\r\n", 2);
    HV_ASSERT((size_t)(at - text) == bytes);
    *len = bytes;
    return text;
}
