/* h2_stream.c - a stream: what a program does with its request, as frames.
 *
 *   head -> on_request -> [body, as it is asked for] -> answer -> END_STREAM, from both sides
 *
 * An answer's bytes go from the program's memory into DATA frames at once, as far as the windows of
 * the peer allow; what they do not allow is copied to `out` and sent as they open. A program that
 * writes on above HIGH_BYTES is asked to wait, as on a connection of HTTP/1.
 *
 * A body is let in as far as the program reads: the peer begins with the small window that every
 * stream has, and what the program takes is given back. Where it reads at all, the window is
 * widened.
 *
 * What an answer leaves of a body is taken and dropped, up to a length. Beyond it a reset with
 * NO_ERROR follows the answer and asks the peer to stop (RFC 9113 section 8.1); not at once,
 * because some clients take it for a failure. */
#include "h2_int.h"

#define HIGH_BYTES       (64 * 1024) /* of `out`: the program is to wait */
#define LOW_BYTES        (16 * 1024) /* and may go on */
#define FULL_BYTES       (4 * 1024 * 1024) /* of all of a connection's: every program is to wait */
#define WIDE_WINDOW      (256 * 1024)
#define KEPT_BYTES_MAX   (1u << 30)
#define DROPPED_MAX      (1024 * 1024)
#define NV_ON_STACK      24
#define SERVER_NV        5 /* :status, server, date, content-type, content-length */

/* ---- Life ---- */

h2_stream_t *hv__h2_stream_new(h2_conn_t *h2, int32_t id) {
    h2_server_t *v2 = hv__h2_server_of(h2)->v2;
    h2_stream_t *stream = hslab_alloc(&v2->streams);
    if (stream == NULL) return NULL;
    memset(stream, 0, sizeof *stream);
    stream->conn.io = h2->io;
    stream->conn.server = hv__h2_server_of(h2);
    stream->conn.list = HTTP_LIST_COUNT;
    stream->conn.state = HTTP_BUSY;
    stream->conn.flags = CONN_IS_STREAM;
    stream->h2 = h2;
    stream->id = id;
    stream->next = h2->streams;
    if (stream->next != NULL) stream->next->prev = stream;
    h2->streams = stream;
    h2->stream_count++;
    return stream;
}

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
static void drop_out(h2_conn_t *h2, h2_stream_t *stream) {
    HV_ASSERT(h2->queued >= hbuf_len(&stream->out));
    h2->queued -= hbuf_len(&stream->out);
    hbuf_deinit(&stream->out);
    drained_all(h2);
}

/* ---- The end of its life ---- */

void hv__h2_stream_leave(h2_stream_t *stream) {
    h2_conn_t *h2 = stream->h2;
    HV_ASSERT(h2->stream_count > 0);
    if (stream->prev != NULL) {
        stream->prev->next = stream->next;
    } else {
        h2->streams = stream->next;
    }
    if (stream->next != NULL) stream->next->prev = stream->prev;
    h2->stream_count--;
    if (h2->heading.stream == stream) h2->heading.stream = NULL;
    if (h2->chunk_stream == stream) h2->chunk_stream = NULL;
    if (h2->ready == stream) h2->ready = NULL;
    stream->h2 = NULL;
    drop_out(h2, stream);
}

void hv__h2_stream_free(h2_stream_t *stream) {
    h2_server_t *v2 = stream->conn.server->v2;
    HV_ASSERT(stream->conn.req == NULL && !(stream->flags & STREAM_IS_EVENT));
    HV_ASSERT(stream->tunnel == NULL);
    hv__http_list_remove(&stream->conn);
    if (stream->h2 != NULL) hv__h2_stream_leave(stream);
    hbuf_deinit(&stream->in);
    hbuf_deinit(&stream->out);
    hslab_free(&v2->streams, stream);
}

static int is_open(const h2_stream_t *stream) {
    return stream->h2 != NULL && stream->h2->conn->state == HTTP_V2 &&
           !(stream->flags & STREAM_CLOSED);
}

static uint32_t now_ms(const h2_stream_t *stream) {
    return (uint32_t)hv__http_now_ms(stream->conn.server);
}

void hv__h2_reset(h2_stream_t *stream, uint32_t reason) {
    if (!is_open(stream)) return;
    drop_out(stream->h2, stream);
    nghttp2_session *session = stream->h2->session;
    if (nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, stream->id, reason) != 0) {
        hv__http_conn_abort(stream->h2->conn); /* the peer would wait for ever */
        return;
    }
    hv__h2_send_soon(stream->h2);
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

static ssize_t read_data(nghttp2_session *session, int32_t id, uint8_t *buf, size_t room,
                         uint32_t *flags, nghttp2_data_source *source, void *userdata) {
    (void)session, (void)id, (void)buf, (void)userdata;
    h2_stream_t *stream = source->ptr;
    size_t have = hbuf_len(&stream->out) + stream->direct_len;
    if (have == 0 && !(stream->flags & STREAM_OUT_ENDED)) {
        stream->flags |= STREAM_DEFERRED;
        return NGHTTP2_ERR_DEFERRED;
    }
    size_t len = have < room ? have : room;
    if (len == have && stream->flags & STREAM_OUT_ENDED) *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (len > 0) *flags |= NGHTTP2_DATA_FLAG_NO_COPY; /* hv__h2_on_send_data takes it */
    return (ssize_t)len;
}

/* Queues the head. Returns 0 or a code. */
static int submit_head(h2_stream_t *stream, const h1_response_t *response, int ends) {
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

static int begin(hhttp_request_t *req, const h1_response_t *response, int ends) {
    h2_stream_t *stream = hv__h2_stream_of(req);
    if (!is_open(stream)) return HV_ECLOSED;
    int code = submit_head(stream, response, ends);
    if (code != 0) return code;
    if (ends) stream->flags |= STREAM_OUT_ENDED;
    stream->moved_ms = now_ms(stream);
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
    stream->moved_ms = now_ms(stream);
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

static int must_wait(hhttp_request_t *req) { return is_high(hv__h2_stream_of(req)); }

int hv__h2_stream_put(h2_stream_t *stream, const void *data, size_t len, int ends) {
    h2_conn_t *h2 = stream->h2;
    if (!is_open(stream)) return HV_ECLOSED;
    if (stream->flags & STREAM_OUT_ENDED) return 0; /* the head was all */
    if (hbuf_len(&stream->out) == 0) stream->moved_ms = now_ms(stream);
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
        code = is_open(stream)
                   ? hbuf_append(&stream->out, stream->direct, stream->direct_len, KEPT_BYTES_MAX)
                   : HV_ECLOSED;
        if (code == 0) h2->queued += stream->direct_len;
    }
    stream->direct = NULL;
    stream->direct_len = 0;
    if (code != 0) hv__h2_reset(stream, NGHTTP2_INTERNAL_ERROR); /* a part of it is out */
    return code == HV_ELIMIT ? HV_ENOMEM : code;
}

static int write_body(hhttp_request_t *req, const void *data, size_t len, int ends) {
    h2_stream_t *stream = hv__h2_stream_of(req);
    size_t queued = hbuf_len(&stream->out);
    if (!ends && queued > 0 && queued + len > HIO_DEFAULT_WRITE_MAX) return HV_ELIMIT;
    int code = hv__h2_stream_put(stream, data, len, ends);
    if (code != 0) return code;
    return is_high(stream) ? HV_EAGAIN : 0;
}

int hv__h2_stream_is_stuck(const h2_stream_t *stream) {
    const hhttp_server_options_t *options = &stream->conn.server->options;
    int is_sent = (stream->flags & STREAM_OUT_SENT) != 0;
    uint32_t max_ms = is_sent ? options->body_timeout_ms : options->write_timeout_ms;
    int waits = (is_sent && stream->tunnel == NULL) || hbuf_len(&stream->out) > 0;
    return waits && max_ms != INFINITE && now_ms(stream) - stream->moved_ms >= max_ms;
}

/* Opens the window so that the rest of the body comes. */
static void widen(h2_stream_t *stream) {
    if (stream->flags & (STREAM_WIDE | STREAM_ENDED)) return;
    stream->flags |= STREAM_WIDE;
    nghttp2_session_set_local_window_size(stream->h2->session, NGHTTP2_FLAG_NONE, stream->id,
                                          WIDE_WINDOW);
    hv__h2_send_soon(stream->h2);
}

void hv__h2_stream_sent(h2_stream_t *stream) {
    stream->flags |= STREAM_OUT_SENT;
    stream->moved_ms = now_ms(stream);
    if (stream->flags & STREAM_ENDED) return;
    if (stream->flags & STREAM_TOO_LONG) {
        hv__h2_reset(stream, NGHTTP2_NO_ERROR);
    } else if (stream->tunnel == NULL) {
        widen(stream);
    }
}

void hv__h2_stream_took(h2_stream_t *stream, size_t len) {
    if (!is_open(stream)) return;
    nghttp2_session_consume_stream(stream->h2->session, stream->id, len);
    widen(stream);
    hv__h2_send_soon(stream->h2);
}

/* ---- Refusals and ends ---- */

/* Ends the stream for the program, whatever nghttp2 still has to do with it. */
static void leave(h2_stream_t *stream) {
    if (stream->conn.state >= HTTP_LINGER) return;
    stream->conn.state = HTTP_LINGER;
    hv__http_list_remove(&stream->conn);
    hv__h2_touch(stream);
}

static void abort_stream(http_conn_t *conn) {
    h2_stream_t *stream = HV_CONTAINER_OF(conn, h2_stream_t, conn);
    hv__h2_reset(stream, NGHTTP2_INTERNAL_ERROR);
    leave(stream);
}

/* An answer of the server's own, as hv__http_write_refusal writes it. */
static int write_refusal(h2_stream_t *stream, int status) {
    hhttp_request_t *req = stream->conn.req;
    char text[HTTP_REFUSAL_BYTES];
    int is_head = req != NULL && req->parser.head.method == HHTTP_HEAD;
    h1_response_t response = hv__http_refusal(stream->conn.server, status, text);
    size_t len = (size_t)response.content_length;
    int code = submit_head(stream, &response, is_head);
    if (code != 0) return code;
    stream->flags |= STREAM_OUT_ENDED;
    stream->moved_ms = now_ms(stream);
    if (!is_head) code = hbuf_append(&stream->out, text, len, sizeof text);
    if (!is_head && code == 0) stream->h2->queued += len;
    if (code == 0 && req != NULL) {
        req->status = status;
        req->sent_bytes = is_head ? 0 : len;
    }
    return code;
}

static void refuse(http_conn_t *conn, int status) {
    h2_stream_t *stream = HV_CONTAINER_OF(conn, h2_stream_t, conn);
    const hhttp_request_t *req = conn->req;
    if (req != NULL && req->flags & REQ_BEGUN) {
        /* Half an answer is out; only a reset tells the peer that the rest will not come. */
        if (!(req->flags & REQ_ENDED)) hv__h2_reset(stream, NGHTTP2_INTERNAL_ERROR);
    } else if (is_open(stream) && write_refusal(stream, status) != 0) {
        hv__h2_reset(stream, NGHTTP2_INTERNAL_ERROR);
    }
    hv__h2_send_soon(stream->h2);
    leave(stream);
}

static void wake(http_conn_t *conn) { hv__h2_touch(HV_CONTAINER_OF(conn, h2_stream_t, conn)); }

/* The body did not come in time. */
static void late(http_conn_t *conn) {
    refuse(conn, 408);
    hv__http_give_up(conn, HV_ETIMEDOUT);
}

/* ---- The body of a request ---- */

static void next_piece(hhttp_request_t *req, hhttp_slice_t *piece) {
    h2_stream_t *stream = hv__h2_stream_of(req);
    h2_conn_t *h2 = stream->h2;
    if (hbuf_len(&stream->in) > 0) {
        *piece = (hhttp_slice_t){hbuf_data(&stream->in), hbuf_len(&stream->in)};
        hbuf_consume_keep(&stream->in, piece->len);
    } else {
        hbuf_trim(&stream->in); /* the piece before is not borrowed any more */
        if (h2->chunk_stream == stream) {
            *piece = h2->chunk;
            h2->chunk_stream = NULL;
        }
    }
    if (piece->len > 0 && is_open(stream)) {
        nghttp2_session_consume_stream(h2->session, stream->id, piece->len);
        hv__h2_send_soon(h2);
    }
    int is_over = stream->flags & STREAM_ENDED && hbuf_len(&stream->in) == 0 &&
                  h2->chunk_stream != stream;
    if (is_over) h1_body_set_pending(&req->parser, 0);
}

/* Asks for the body: by a wider window, and in words where the peer waits for them. */
static void want_body(hhttp_request_t *req) {
    h2_stream_t *stream = hv__h2_stream_of(req);
    if (!is_open(stream) || stream->flags & (STREAM_WIDE | STREAM_ENDED)) return;
    widen(stream);
    if (req->parser.head.expects_continue && !(req->flags & REQ_BEGUN) && req->body_bytes == 0) {
        nghttp2_nv status = nv_of(":status", 7, "100", 3);
        req->flags |= REQ_SAID_100;
        nghttp2_submit_headers(stream->h2->session, NGHTTP2_FLAG_NONE, stream->id, NULL, &status, 1,
                               NULL);
    }
}

/* ---- Steps: what the connection tells; only from the dispatcher ---- */

/* The peer may still be sending a body. */
static void drop_rest(h2_stream_t *stream, const hhttp_request_t *req) {
    if (stream->flags & STREAM_ENDED || !is_open(stream)) return;
    const h1_head_t *head = &req->parser.head;
    /* A peer that waits for leave to send may never do so. */
    int waits = head->expects_continue && !(req->flags & REQ_SAID_100) && req->body_bytes == 0;
    waits |= head->is_upgrade || head->method == HHTTP_CONNECT;
    if (head->content_length <= DROPPED_MAX + req->body_bytes && !waits) return;
    stream->flags |= STREAM_TOO_LONG;
    if (stream->flags & STREAM_OUT_SENT) hv__h2_reset(stream, NGHTTP2_NO_ERROR);
}

/* Nobody will read what has come of the body: its window is given back all the same, so that the
 * rest can come, to be dropped. */
static void drop_in(h2_stream_t *stream) {
    size_t len = hbuf_len(&stream->in);
    if (len > 0 && is_open(stream)) {
        stream->dropped += (uint32_t)len;
        nghttp2_session_consume_stream(stream->h2->session, stream->id, len);
        hv__h2_send_soon(stream->h2);
    }
    hbuf_deinit(&stream->in);
}

static void finish_request(h2_stream_t *stream) {
    http_conn_t *conn = &stream->conn;
    hhttp_request_t *req = conn->req;
    drop_rest(stream, req);
    hv__h2_pay(stream->h2, 2);
    hv__http_list_remove(conn);
    if (req->flags & REQ_BODY_WAITS) {
        hv__http_body_tell(req, (hhttp_slice_t){NULL, 0}, HV_ECANCELED);
    }
    if (conn->req != NULL) hhttp_request_release(hv__http_request_cut(conn));
    drop_in(stream);
    if (stream->flags & STREAM_CLOSED) hv__h2_touch(stream);
}

/* After any callback of the program's for the request. */
static void after_callback(h2_stream_t *stream) {
    http_conn_t *conn = &stream->conn;
    hhttp_request_t *req = conn->req;
    conn->server->processing = NULL;
    if (req == NULL) return;
    if (HV_UNLIKELY(stream->tunnel != NULL)) {
        hhttp_request_release(hv__http_request_cut(conn));
    } else if (HV_LIKELY(req->flags & REQ_ENDED)) {
        finish_request(stream);
    } else if (conn->state >= HTTP_LINGER || !is_open(stream)) {
        hv__http_give_up(conn, HV_ECANCELED);
        hv__h2_touch(stream);
    } else if (hv__http_request_own(req) != 0) {
        refuse(conn, 503);
        hv__http_give_up(conn, HV_ENOMEM);
    } else if (req->flags & REQ_BODY_WAITS) {
        conn->state = HTTP_BODY;
        hv__http_list_move(conn, HTTP_LIST_BODY);
    }
}

void hv__h2_stream_begin(h2_stream_t *stream) {
    http_conn_t *conn = &stream->conn;
    hhttp_server_t *server = conn->server;
    int status = hv__h2_make_request(stream);
    stream->h2->request_count++;
    if (status != 0) {
        refuse(conn, status);
        return;
    }
    server->processing = conn;
    HV_DISPATCH(server->loop, server->on_request(conn->req, server->userdata));
    after_callback(stream);
}

/* Gives the program what it waits for, if it is there. */
static void step_body(h2_stream_t *stream) {
    http_conn_t *conn = &stream->conn;
    hhttp_request_t *req = conn->req;
    hhttp_slice_t piece = {NULL, 0};
    conn->server->processing = conn;
    int result = req->flags & REQ_BODY_COLLECTS ? hv__http_body_take(req)
                                                : hv__http_body_piece(req, &piece);
    if (result < 0) {
        conn->server->processing = NULL;
        hv__http_give_up(conn, result);
        hv__h2_touch(stream);
        return;
    }
    uint32_t waited_ms = now_ms(stream) - conn->since_ms;
    if (!(req->flags & REQ_BODY_DONE) && hv__http_body_is_slow(req, waited_ms)) {
        conn->server->processing = NULL;
        late(conn);
        return;
    }
    hv__http_list_move(conn, HTTP_LIST_BODY);
    if (result == 1) {
        conn->state = HTTP_BUSY;
        hv__http_list_remove(conn);
        hv__http_body_tell(req, piece, 0);
    }
    after_callback(stream);
}

void hv__h2_stream_body(h2_stream_t *stream) {
    h2_conn_t *h2 = stream->h2;
    if (stream->conn.state == HTTP_BODY && stream->conn.req != NULL) step_body(stream);
    if (h2->chunk_stream == NULL && stream->tunnel == NULL) return;
    h2->chunk_stream = NULL;
    if (stream->tunnel != NULL) hv__h2_tunnel_wake(stream);
    if (stream->conn.req == NULL && stream->tunnel == NULL) {
        stream->dropped += (uint32_t)h2->chunk.len;
        /* An answer that waits for a window waits no longer for it. */
        if (stream->flags & STREAM_OUT_SENT) stream->moved_ms = now_ms(stream);
        if (stream->dropped > DROPPED_MAX) {
            stream->flags |= STREAM_TOO_LONG; /* the answer goes out first */
            if (stream->flags & STREAM_OUT_SENT) hv__h2_reset(stream, NGHTTP2_NO_ERROR);
        } else if (is_open(stream)) {
            nghttp2_session_consume_stream(h2->session, stream->id, h2->chunk.len);
        }
        return;
    }
    if (h2->chunk.len == 0) return;
    if (hbuf_append(&stream->in, h2->chunk.data, h2->chunk.len, KEPT_BYTES_MAX) == 0) return;
    if (stream->tunnel != NULL) {
        hv__h2_reset(stream, NGHTTP2_INTERNAL_ERROR);
    } else {
        refuse(&stream->conn, 503);
    }
}

void hv__h2_stream_look(h2_stream_t *stream) {
    http_conn_t *conn = &stream->conn;
    hhttp_request_t *req = conn->req;
    if (stream->tunnel != NULL) {
        hv__h2_tunnel_wake(stream);
        return;
    }
    if (req != NULL && req->flags & REQ_ENDED) {
        finish_request(stream);
    } else if (req != NULL && stream->flags & STREAM_CLOSED) {
        conn->state = HTTP_CLOSED;
        hv__http_list_remove(conn);
        hv__http_give_up(conn, hv__h2_code_of_reason(stream->reason));
    } else if (req != NULL && conn->state >= HTTP_LINGER) {
        hv__http_give_up(conn, HV_ECANCELED);
    } else if (req != NULL && stream->flags & STREAM_DRAINED) {
        stream->flags &= ~(uint32_t)STREAM_DRAINED;
        conn->server->processing = conn;
        hv__http_drained(req);
        after_callback(stream);
    }
    if (conn->req == NULL) drop_in(stream);
    int is_done = stream->flags & STREAM_CLOSED && conn->req == NULL;
    if (is_done && !(stream->flags & STREAM_IS_EVENT)) hv__h2_stream_free(stream);
}

const http_transport_t hv__http2_transport = {
    .begin = begin,
    .write = write_body,
    .must_wait = must_wait,
    .next_piece = next_piece,
    .want_body = want_body,
    .upgrade = hv__h2_upgrade,
    .let_go = hv__h2_let_go,
    .refuse = refuse,
    .abort = abort_stream,
    .wake = wake,
    .late = late,
};
