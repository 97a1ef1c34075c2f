/* h2_stream.c - a stream: what a program does with its request, as frames.
 *
 *   head -> on_request -> [body, as it is asked for] -> answer -> END_STREAM, from both sides
 *
 * A body is let in as far as the program reads: the peer begins with the small window that every
 * stream has, and what the program takes is given back. Where it reads at all, the window is
 * widened.
 *
 * What an answer leaves of a body is taken and dropped, up to a length. Beyond it a reset with
 * NO_ERROR follows the answer and asks the peer to stop (RFC 9113 section 8.1); not at once,
 * because some clients take it for a failure. */
#include "h2_int.h"

#define WIDE_WINDOW    (256 * 1024)
#define KEPT_BYTES_MAX (1u << 30)
#define DROPPED_MAX    (1024 * 1024)

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
    hv__h2_drop_out(h2, stream);
}

void hv__h2_stream_free(h2_stream_t *stream) {
    h2_server_t *v2 = stream->conn.server->v2;
    HV_ASSERT(stream->conn.req == NULL && !(stream->flags & STREAM_IS_EVENT));
    HV_ASSERT(stream->tunnel == NULL);
    hv__http_list_remove(&stream->conn);
    if (stream->h2 != NULL) hv__h2_stream_leave(stream);
    hbuf_deinit(&stream->in);
    hbuf_deinit(&stream->out);
    hv__free(stream->last_chunk);
    hslab_free(&v2->streams, stream);
}

void hv__h2_reset(h2_stream_t *stream, uint32_t reason) {
    if (!hv__h2_is_open(stream)) return;
    hv__h2_drop_out(stream->h2, stream);
    nghttp2_session *session = stream->h2->session;
    if (nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, stream->id, reason) != 0) {
        hv__http_conn_abort(stream->h2->conn); /* the peer would wait for ever */
        return;
    }
    hv__h2_send_soon(stream->h2);
}

int hv__h2_stream_is_stuck(const h2_stream_t *stream) {
    const hhttp_server_options_t *options = &stream->conn.server->options;
    int is_sent = (stream->flags & STREAM_OUT_SENT) != 0;
    uint32_t max_ms = is_sent ? options->body_timeout_ms : options->write_timeout_ms;
    int waits = (is_sent && stream->tunnel == NULL) || hbuf_len(&stream->out) > 0;
    return waits && max_ms != INFINITE && hv__h2_now_ms(stream) - stream->moved_ms >= max_ms;
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
    stream->moved_ms = hv__h2_now_ms(stream);
    if (stream->flags & STREAM_ENDED) return;
    if (stream->flags & STREAM_TOO_LONG) {
        hv__h2_reset(stream, NGHTTP2_NO_ERROR);
    } else if (stream->tunnel == NULL) {
        widen(stream);
    }
}

void hv__h2_stream_took(h2_stream_t *stream, size_t len) {
    if (!hv__h2_is_open(stream)) return;
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
    int code = hv__h2_submit_head(stream, &response, is_head);
    if (code != 0) return code;
    stream->flags |= STREAM_OUT_ENDED;
    stream->moved_ms = hv__h2_now_ms(stream);
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
    } else if (hv__h2_is_open(stream) && write_refusal(stream, status) != 0) {
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

static int next_piece(hhttp_request_t *req, hhttp_slice_t *piece) {
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
    if (piece->len > 0 && hv__h2_is_open(stream)) {
        nghttp2_session_consume_stream(h2->session, stream->id, piece->len);
        hv__h2_send_soon(h2);
    }
    int is_over = stream->flags & STREAM_ENDED && hbuf_len(&stream->in) == 0 &&
                  h2->chunk_stream != stream;
    if (!is_over || piece->len > 0) return 0; /* the end, with its trailers, comes by itself */
    h1_body_set_pending(&req->parser, 0);
    return stream->trailer_status;
}

/* Asks for the body: by a wider window, and in words where the peer waits for them. */
static void want_body(hhttp_request_t *req) {
    h2_stream_t *stream = hv__h2_stream_of(req);
    if (!hv__h2_is_open(stream) || stream->flags & (STREAM_WIDE | STREAM_ENDED)) return;
    widen(stream);
    if (req->parser.head.expects_continue && !(req->flags & REQ_BEGUN) && req->body_bytes == 0) {
        static uint8_t name[] = ":status", value[] = "100";
        nghttp2_nv status = {name, value, 7, 3, NGHTTP2_NV_FLAG_NONE};
        req->flags |= REQ_SAID_100;
        nghttp2_submit_headers(stream->h2->session, NGHTTP2_FLAG_NONE, stream->id, NULL, &status, 1,
                               NULL);
    }
}

/* ---- Steps: what the connection tells; only from the dispatcher ---- */

/* The peer may still be sending a body. */
static void drop_rest(h2_stream_t *stream, const hhttp_request_t *req) {
    if (stream->flags & STREAM_ENDED || !hv__h2_is_open(stream)) return;
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
    if (len > 0 && hv__h2_is_open(stream)) {
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
    } else if (conn->state >= HTTP_LINGER || !hv__h2_is_open(stream)) {
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
    uint32_t waited_ms = hv__h2_now_ms(stream) - conn->since_ms;
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
        if (stream->flags & STREAM_OUT_SENT) stream->moved_ms = hv__h2_now_ms(stream);
        if (stream->dropped > DROPPED_MAX) {
            stream->flags |= STREAM_TOO_LONG; /* the answer goes out first */
            if (stream->flags & STREAM_OUT_SENT) hv__h2_reset(stream, NGHTTP2_NO_ERROR);
        } else if (hv__h2_is_open(stream)) {
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
    .begin = hv__h2_answer_begin,
    .write = hv__h2_answer_write,
    .trail = hv__h2_answer_trail,
    .must_wait = hv__h2_answer_must_wait,
    .next_piece = next_piece,
    .want_body = want_body,
    .upgrade = hv__h2_upgrade,
    .let_go = hv__h2_let_go,
    .refuse = refuse,
    .abort = abort_stream,
    .wake = wake,
    .late = late,
};
