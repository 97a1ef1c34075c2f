/* h2_session.c - nghttp2's memory, errors and output. RFC 9113 section 7 (reasons). */
#include "h2_session.h"

#include <string.h>

#include "h1_parse.h"
#include "hmem.h"

#define TRAILERS_ON_STACK 16

/* ---- Memory ---- */

static void *mem_malloc(size_t size, void *unused) {
    (void)unused;
    return hv__malloc(size);
}

static void mem_free(void *block, void *unused) {
    (void)unused;
    hv__free(block);
}

static void *mem_calloc(size_t count, size_t size, void *unused) {
    (void)unused;
    return hv__calloc(count, size);
}

static void *mem_realloc(void *block, size_t size, void *unused) {
    (void)unused;
    return hv__realloc(block, size);
}

nghttp2_mem *hv__h2_mem(void) {
    static nghttp2_mem mem = {NULL, mem_malloc, mem_free, mem_calloc, mem_realloc};
    return &mem; /* nghttp2 copies it */
}

/* ---- Errors ---- */

int hv__h2_code(int lib_error) {
    switch (lib_error) {
    case NGHTTP2_ERR_NOMEM: return HV_ENOMEM;
    case NGHTTP2_ERR_EOF: return HV_EOF;
    case NGHTTP2_ERR_INVALID_ARGUMENT:
    case NGHTTP2_ERR_INVALID_STATE: return HV_EINVAL;
    case NGHTTP2_ERR_STREAM_CLOSED:
    case NGHTTP2_ERR_STREAM_CLOSING:
    case NGHTTP2_ERR_STREAM_SHUT_WR:
    case NGHTTP2_ERR_SESSION_CLOSING: return HV_ECLOSED;
    case NGHTTP2_ERR_FLOODED:
    case NGHTTP2_ERR_STREAM_ID_NOT_AVAILABLE: return HV_ELIMIT;
    default: return lib_error < 0 ? HV_EPROTO : 0;
    }
}

int hv__h2_code_of_reason(uint32_t reason) {
    switch (reason) {
    case NGHTTP2_CANCEL:
    case NGHTTP2_NO_ERROR: return HV_ECANCELED;
    case NGHTTP2_REFUSED_STREAM: return HV_ECONNREFUSED;
    case NGHTTP2_ENHANCE_YOUR_CALM: return HV_ELIMIT;
    case NGHTTP2_INTERNAL_ERROR: return HV_EFAILED;
    default: return HV_EPROTO;
    }
}

/* ---- Heads ---- */

int hv__h2_add_line(hbuf_t *out, const char *name, size_t name_len, const char *value, size_t len,
                    size_t max) {
    int code = hbuf_reserve(out, name_len + len + 4, max);
    if (code != 0) return code;
    char *at = hbuf_tail(out);
    memcpy(at, name, name_len);
    memcpy(at + name_len, ": ", 2);
    if (len > 0) memcpy(at + name_len + 2, value, len);
    memcpy(at + name_len + 2 + len, "\r\n", 2);
    hbuf_commit(out, name_len + len + 4);
    return 0;
}

int hv__h2_submit_trailers(nghttp2_session *session, int32_t id, hhttp_slice_t lines) {
    nghttp2_nv on_stack[TRAILERS_ON_STACK];
    nghttp2_nv *fields = on_stack;
    size_t count = 0, cursor = 0;
    hhttp_header_t header;
    for (size_t i = 0; i < lines.len; i++) count += lines.data[i] == '\n';
    if (count > TRAILERS_ON_STACK) fields = hv__malloc(count * sizeof *fields);
    if (fields == NULL) return NGHTTP2_ERR_NOMEM;
    for (size_t i = 0; h1_next_header(lines, &cursor, &header); i++) {
        fields[i] = (nghttp2_nv){(uint8_t *)(uintptr_t)header.name.data,
                                 (uint8_t *)(uintptr_t)header.value.data, header.name.len,
                                 header.value.len, NGHTTP2_NV_FLAG_NONE};
    }
    int result = nghttp2_submit_trailer(session, id, fields, count);
    if (fields != on_stack) hv__free(fields);
    return result;
}

/* ---- Output ---- */

int hv__h2_flush(nghttp2_session *session, hio_t *io) {
    while (!hio_write_is_high(io)) {
        const uint8_t *data;
        ssize_t len = nghttp2_session_mem_send(session, &data);
        if (len < 0) return hv__h2_code((int)len);
        if (len == 0) return 0;
        int written = hio_write(io, data, (size_t)len);
        if (written < 0) return written;
    }
    return 0;
}
