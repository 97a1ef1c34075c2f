/* h2_answer.c - an answer as frames: the head, the body as the peer takes it, trailers.
 *
 * Bytes go from the program's memory into DATA frames at once, as far as the windows of the peer
 * allow; what they do not allow is copied to `out` and sent as they open. A program that writes on
 * above HIGH_BYTES is asked to wait, as on a connection of HTTP/1; all of them are, while the
 * streams of a connection have more than FULL_BYTES together. */
#include "h2_int.h"
#include "http_trailers.h"

#define HIGH_BYTES       (64 * 1024) /* of `out`: the program is to wait */
#define LOW_BYTES        (16 * 1024) /* and may go on */
#define FULL_BYTES       (4 * 1024 * 1024) /* of all of a connection's: every program is to wait */
#define KEPT_BYTES_MAX   (1u << 30)
#define NV_ON_STACK      24
#define SERVER_NV        5 /* :status, server, date, content-type, content-length */

/* ---- Room for output ---- */

/* There is room again in what a program waits for. */
static void drained(h2_stream_t *stream) {
    if (!(stream->flags & STREAM_HIGH) || hbuf_len(&stream->out) > LOW_BYTES) return;
    if (stream->h2->is_full) return;
    stream->flags = (stream->flags & ~(uint32_t)STREAM_HIGH) | STREAM_DRAINED;
    hv__h2_touch(stream);
}

/* The same, for all that wait for each other. */
static void drained_all(h2_conn_t *h2) {
    if (!h2->is_full || h2->queued > FULL_BYTES / 2) return;
    h2->is_full = 0;
    for (h2_stream_t *stream = h2->streams; stream != NULL; stream = stream->next) drained(stream);
}

/* Drops output that will not be sent. */
void hv__h2_drop_out(h2_conn_t *h2, h2_stream_t *stream) {
    HV_ASSERT(h2->queued >= hbuf_len(&stream->out));
    h2->queued -= hbuf_len(&stream->out);
    hbuf_deinit(&stream->out);
    drained_all(h2);
}

/* ---- Answers: the head ---- */

static nghttp2_nv nv_of(const char *name, size_t name_len, const char *value, size_t len) {
    return (nghttp2_nv){(uint8_t *)(uintptr_t)name, (uint8_t *)(uintptr_t)(len > 0 ? value : ""),
                        name_len, len, NGHTTP2_NV_FLAG_NONE};
}

/* Fields of a connection have no place in HTTP/2 (RFC 9113 section 8.2.2); those that the program
 * cannot set are refused before. */
static int is_of_connection(hhttp_slice_t name) {
    switch (name.len) {
    case 7: return strncasecmp(name.data, "upgrade", 7) == 0;
    case 10: return strncasecmp(name.data, "keep-alive", 10) == 0;
    case 16: return strncasecmp(name.data, "proxy-connection", 16) == 0;
    default: return 0;
    }
}

/* Fills `out`, which has room for SERVER_NV and the response's headers. `digits` is what its values
 * may point to. Returns the count. */
static size_t fill_head(const h1_response_t *response, nghttp2_nv *out, char digits[32]) {
    size_t count = 0;
    digits[0] = (char)('0' + response->status / 100);
    digits[1] = (char)('0' + response->status / 10 % 10);
    digits[2] = (char)('0' + response->status % 10);
    out[count++] = nv_of(":status", 7, digits, 3);
    if (response->server_name.data != NULL) {
        out[count++] = nv_of("server", 6, response->server_name.data, response->server_name.len);
    }
    if (response->date != NULL) out[count++] = nv_of("date", 4, response->date->text, 29);
    if (response->content_type.data != NULL) {
        out[count++] =
            nv_of("content-type", 12, response->content_type.data, response->content_type.len);
    }
    if (response->framing == H1_FRAME_LENGTH) {
        size_t len = h1_write_decimal(response->content_length, digits + 4);
        out[count++] = nv_of("content-length", 14, digits + 4, len);
    }
    for (size_t i = 0; i < response->header_count; i++) {
        const hhttp_header_t *header = &response->headers[i];
        if (is_of_connection(header->name)) continue;
        out[count++] = nv_of(header->name.data, header->name.len, header->value.data,
                             header->value.len);
    }
    return count;
}

/* The end of the body: of the stream as well, but for trailers. Returns 0 or an error of
 * nghttp2's. */
static int end_data(nghttp2_session *session, h2_stream_t *stream, uint32_t *flags) {
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (HV_LIKELY(stream->last_chunk == NULL)) return 0;
    *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
    hhttp_slice_t lines = {
        stream->last_chunk + HTTP_LAST_CHUNK_HEAD,
        stream->last_chunk_len - HTTP_LAST_CHUNK_HEAD - HTTP_LAST_CHUNK_TAIL,
    };
    return hv__h2_submit_trailers(session, stream->id, lines);
}

static ssize_t read_data(nghttp2_session *session, int32_t id, uint8_t *buf, size_t room,
                         uint32_t *flags, nghttp2_data_source *source, void *userdata) {
    (void)id, (void)buf, (void)userdata;
    h2_stream_t *stream = source->ptr;
    size_t have = hbuf_len(&stream->out) + stream->direct_len;
    if (have == 0 && !(stream->flags & STREAM_OUT_ENDED)) {
        stream->flags |= STREAM_DEFERRED;
        return NGHTTP2_ERR_DEFERRED;
    }
    size_t len = have < room ? have : room;
    if (len == have && stream->flags & STREAM_OUT_ENDED &&
        HV_UNLIKELY(end_data(session, stream, flags) != 0)) {
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* resets it */
    }
    if (len > 0) *flags |= NGHTTP2_DATA_FLAG_NO_COPY; /* hv__h2_on_send_data takes it */
    return (ssize_t)len;
}

/* Queues the head. Returns 0 or a code. */
int hv__h2_submit_head(h2_stream_t *stream, const h1_response_t *response, int ends) {
    nghttp2_nv on_stack[NV_ON_STACK];
    nghttp2_nv *fields = on_stack;
    char digits[32];
    if (response->header_count > NV_ON_STACK - SERVER_NV) {
        fields = hv__malloc((response->header_count + SERVER_NV) * sizeof *fields);
        if (fields == NULL) return HV_ENOMEM;
    }
    size_t count = fill_head(response, fields, digits);
    nghttp2_data_provider provider = {.source.ptr = stream, .read_callback = read_data};
    int error = nghttp2_submit_response(stream->h2->session, stream->id, fields, count,
                                        ends ? NULL : &provider);
    if (fields != on_stack) hv__free(fields);
    return hv__h2_code(error);
}

int hv__h2_answer_begin(hhttp_request_t *req, const h1_response_t *response, int ends) {
    h2_stream_t *stream = hv__h2_stream_of(req);
    if (!hv__h2_is_open(stream)) return HV_ECLOSED;
    int code = hv__h2_submit_head(stream, response, ends);
    if (code != 0) return code;
    if (ends) stream->flags |= STREAM_OUT_ENDED;
    stream->moved_ms = hv__h2_now_ms(stream);
    hv__h2_send_soon(stream->h2);
    return 0;
}

/* ---- Answers: the body ---- */

/* Hands `len` bytes, which read_data has promised, to the io. Returns 0 or a code. */
static int send_payload(h2_stream_t *stream, size_t len) {
    hio_t *io = stream->h2->io;
    size_t queued = hbuf_len(&stream->out);
    size_t from_queue = len < queued ? len : queued;
    int code = 0;
    if (from_queue > 0) {
        code = hio_write(io, hbuf_data(&stream->out), from_queue);
        hbuf_consume(&stream->out, from_queue);
        stream->h2->queued -= from_queue;
    }
    size_t from_direct = len - from_queue;
    HV_ASSERT(from_direct <= stream->direct_len);
    if (code >= 0 && from_direct > 0) {
        code = hio_write(io, stream->direct, from_direct);
        stream->direct += from_direct;
        stream->direct_len -= from_direct;
    }
    return code < 0 ? code : 0;
}

int hv__h2_on_send_data(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *frame_head,
                        size_t len, nghttp2_data_source *source, void *userdata) {
    (void)session, (void)frame;
    h2_conn_t *h2 = userdata;
    h2_stream_t *stream = source->ptr;
    HV_DASSERT(frame->data.padlen == 0);
    if (hio_write(h2->io, frame_head, 9) < 0) return NGHTTP2_ERR_CALLBACK_FAILURE;
    if (send_payload(stream, len) != 0) return NGHTTP2_ERR_CALLBACK_FAILURE;
    stream->moved_ms = hv__h2_now_ms(stream);
    hv__h2_pay(h2, 2);
    drained(stream);
    drained_all(h2);
    return 0;
}

static int is_high(h2_stream_t *stream) {
    h2_conn_t *h2 = stream->h2;
    if (h2->queued > FULL_BYTES) h2->is_full = 1;
    if (hbuf_len(&stream->out) <= HIGH_BYTES && !h2->is_full) return 0;
    stream->flags |= STREAM_HIGH;
    return 1;
}

int hv__h2_answer_must_wait(hhttp_request_t *req) { return is_high(hv__h2_stream_of(req)); }

int hv__h2_stream_put(h2_stream_t *stream, const void *data, size_t len, int ends) {
    h2_conn_t *h2 = stream->h2;
    if (!hv__h2_is_open(stream)) return HV_ECLOSED;
    if (stream->flags & STREAM_OUT_ENDED) return 0; /* the head was all */
    if (hbuf_len(&stream->out) == 0) stream->moved_ms = hv__h2_now_ms(stream);
    if (ends) stream->flags |= STREAM_OUT_ENDED;
    stream->direct = data;
    stream->direct_len = len;
    if (stream->flags & STREAM_DEFERRED) {
        stream->flags &= ~(uint32_t)STREAM_DEFERRED;
        nghttp2_session_resume_data(h2->session, stream->id);
    }
    hv__h2_send(h2);
    int code = 0;
    if (stream->direct_len > 0) {
        code = hv__h2_is_open(stream)
                   ? hbuf_append(&stream->out, stream->direct, stream->direct_len, KEPT_BYTES_MAX)
                   : HV_ECLOSED;
        if (code == 0) h2->queued += stream->direct_len;
    }
    stream->direct = NULL;
    stream->direct_len = 0;
    if (code != 0) hv__h2_reset(stream, NGHTTP2_INTERNAL_ERROR); /* a part of it is out */
    return code == HV_ELIMIT ? HV_ENOMEM : code;
}

int hv__h2_answer_write(hhttp_request_t *req, const void *data, size_t len, int ends) {
    h2_stream_t *stream = hv__h2_stream_of(req);
    size_t queued = hbuf_len(&stream->out);
    if (!ends && queued > 0 && queued + len > HIO_DEFAULT_WRITE_MAX) return HV_ELIMIT;
    int code = hv__h2_stream_put(stream, data, len, ends);
    if (code != 0) return code;
    return is_high(stream) ? HV_EAGAIN : 0;
}

int hv__h2_answer_trail(hhttp_request_t *req, const hhttp_header_t *trailers, size_t count) {
    h2_stream_t *stream = hv__h2_stream_of(req);
    if (hv__h2_is_open(stream) && !(stream->flags & STREAM_OUT_ENDED)) {
        size_t len;
        char *text = hv__http_last_chunk(trailers, count, &len);
        if (text == NULL) return HV_ENOMEM;
        HV_ASSERT(stream->last_chunk == NULL && len <= UINT32_MAX);
        stream->last_chunk = text;
        stream->last_chunk_len = (uint32_t)len;
    }
    return hv__h2_answer_write(req, NULL, 0, 1);
}
