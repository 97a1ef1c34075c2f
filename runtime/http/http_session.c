/* http_session.c - what a connection does with its bytes.
 *
 * Arriving bytes are processed where they lie: in the loop's shared read buffer, or, where some
 * were kept back before, in conn->kept. server->span is the part being processed; one connection
 * of a server is processed at a time, and API calls made meanwhile only leave marks that the loop
 * in process() finds when the callback has returned. API calls made at any other time leave the
 * same marks and put the connection off (hv__http_conn_wake), so a request is never parsed, and a
 * callback never called, inside an API call.
 *
 * A request that is answered inside on_request costs no copy and no system call of its own: its
 * head stays in the span, its answer in the net room's cork, and the next request is parsed behind
 * it. One that is not answered is copied (hv__http_request_own), and reading stops until it is.
 *
 * Invariants: conn->req is set in the states BUSY, BODY, DRAIN and, for a moment, LINGER and
 * CLOSED; what is kept back is at most one incomplete head and one read behind it, since nothing is
 * read while a whole request waits; the memory of a connection lives until its io's close callback.
 *
 * RFC 9112 section 9.3 (persistence), 9.3.2 (pipelining), 9.6 (tear-down: half-close, then wait
 * for the peer); RFC 9110 section 15 (which status refuses what). */
#include "http_transport.h"

#define REQUESTS_PER_PASS 64          /* of one connection, before the others have their turn */
#define DRAIN_BYTES_MAX   (64 * 1024) /* of a body nobody wants */
#define LINGER_BYTES_MAX  (256 * 1024)
#define KEPT_BYTES_MAX    (1u << 30) /* far above what can be kept: see the invariants */

/* ---- Ends ---- */

void hv__http_conn_close(http_conn_t *conn) {
    if (conn->state == HTTP_CLOSED) return;
    conn->state = HTTP_CLOSED;
    hv__http_list_move(conn, HTTP_LIST_CLOSING);
    hio_close(conn->io);
}

void hv__http_conn_abort(http_conn_t *conn) {
    if (HV_UNLIKELY(conn->flags & CONN_IS_STREAM)) {
        hv__http2_transport.abort(conn);
        return;
    }
    conn->state = HTTP_CLOSED;
    hv__http_list_remove(conn);
    hio_abort(conn->io);
}

/* Ends our side and reads on for a while: closing with unread bytes would make the kernel send a
 * reset, which may overtake the answer (RFC 9112 section 9.6). */
static void linger(http_conn_t *conn) {
    if (conn->state == HTTP_CLOSED) return;
    if (conn->flags & CONN_EOF || hio_shutdown(conn->io) != 0) {
        hv__http_conn_close(conn);
        return;
    }
    conn->state = HTTP_LINGER;
    conn->budget = LINGER_BYTES_MAX;
    hv__http_list_move(conn, HTTP_LIST_LINGER);
    hio_read(conn->io);
}

void hv__http_conn_refuse(http_conn_t *conn, int status) {
    if (conn->flags & CONN_IS_STREAM) {
        hv__http2_transport.refuse(conn, status);
        return;
    }
    const hhttp_request_t *req = conn->req;
    if (req != NULL && req->flags & REQ_BEGUN && !(req->flags & REQ_ENDED)) {
        /* Half an answer is out; only a reset tells the peer that the rest will not come. */
        hv__http_conn_abort(conn);
        return;
    }
    if (req == NULL || !(req->flags & REQ_BEGUN)) hv__http_write_refusal(conn, status);
    linger(conn);
}

void hv__http_free_kept(http_conn_t *conn) {
    if (conn->kept == NULL) return;
    hbuf_deinit(&conn->kept->buf);
    hv__free(conn->kept);
    conn->kept = NULL;
}

void hv__http_give_up(http_conn_t *conn, int code) {
    if (conn->req == NULL) return;
    hloop_t *loop = conn->server->loop;
    hhttp_request_t *req = hv__http_request_cut(conn);
    if (!(req->flags & (REQ_ENDED | REQ_GONE))) {
        req->flags |= REQ_GONE;
        if (req->flags & REQ_BODY_WAITS) hv__http_body_tell(req, (hhttp_slice_t){NULL, 0}, code);
        if (req->job != NULL) hv__http_job_gone(req->job);
        if (req->on_abort != NULL) HV_DISPATCH(loop, req->on_abort(req, req->abort_userdata));
    }
    hhttp_request_release(req);
}

/* ---- Between two requests ---- */

static void await_next_request(http_conn_t *conn) {
    if (conn->req != NULL) hhttp_request_release(hv__http_request_cut(conn));
    conn->state = HTTP_HEAD;
    hv__http_list_move(conn, HTTP_LIST_SETTLING);
    if (HV_UNLIKELY(hio_write_is_high(conn->io))) {
        /* The peer sends requests and does not read answers. */
        conn->flags |= CONN_BACKED_UP;
        hio_setcb_drain(conn->io, hv__http_on_drain);
    }
}

/* Whether bytes of the peer are known to be there, behind the request. */
static int has_bytes_behind(const http_conn_t *conn) {
    const hhttp_server_t *server = conn->server;
    if (server->processing == conn) return server->span.used < server->span.len;
    return conn->kept != NULL && hbuf_len(&conn->kept->buf) > 0;
}

/* The answer is complete. */
static void finish_request(http_conn_t *conn) {
    hhttp_request_t *req = conn->req;
    uint32_t flags = req->flags;
    HV_DASSERT(flags & REQ_ENDED);
    if (flags & REQ_BODY_WAITS) {
        hv__http_body_tell(req, (hhttp_slice_t){NULL, 0}, HV_ECANCELED);
        if (conn->state == HTTP_CLOSED) return;
    }
    int body_is_pending = h1_body_pending(&req->parser);
    if (flags & REQ_CLOSE_AFTER) {
        int lingers = flags & REQ_LINGER_AFTER || body_is_pending || has_bytes_behind(conn);
        hhttp_request_release(hv__http_request_cut(conn));
        if (lingers) {
            linger(conn);
        } else {
            hv__http_conn_close(conn);
        }
    } else if (HV_UNLIKELY(body_is_pending)) {
        if (req->refs > 1) hv__http_request_own(req);
        conn->state = HTTP_DRAIN;
        conn->budget = DRAIN_BYTES_MAX;
        hv__http_list_move(conn, HTTP_LIST_BODY);
    } else {
        await_next_request(conn);
    }
}

/* ---- Steps: each returns whether the next one is worth a try ---- */

/* After any callback of the program's for conn->req. */
static int after_callback(http_conn_t *conn) {
    hhttp_request_t *req = conn->req;
    if (HV_LIKELY(conn->state == HTTP_BUSY && req->flags & REQ_ENDED)) {
        finish_request(conn);
        return 1;
    }
    if (conn->state == HTTP_UPGRADED) return 0;
    if (conn->state == HTTP_LINGER) {
        hv__http_give_up(conn, HV_ECANCELED);
        return 1;
    }
    if (hv__http_request_own(req) != 0 && conn->state == HTTP_BUSY) {
        hv__http_conn_refuse(conn, 503);
        hv__http_give_up(conn, HV_ENOMEM);
        return 1;
    }
    if (conn->state != HTTP_BUSY) return 0;
    if (!(req->flags & REQ_BODY_WAITS)) return 0;
    conn->state = HTTP_BODY;
    hv__http_list_move(conn, HTTP_LIST_BODY);
    return 1;
}

static int step_head(http_conn_t *conn) {
    hhttp_server_t *server = conn->server;
    http_span_t *span = &server->span;
    if (span->scanned == 0) {
        span->used += h1_skip_empty_lines(span->data + span->used, span->len - span->used);
    }
    const char *block = span->data + span->used;
    if (span->used == span->len) return 0;
    /* Half an empty line: no head begins with a CR. */
    if (span->len - span->used == 1 && *block == '\r') return 0;
    size_t left = span->len - span->used;
    long block_len = span->scanned == 0 ? (long)hv__http_repeated_head(server, block, left) : 0;
    int is_repeated = block_len > 0;
    if (!is_repeated) block_len = h1_find_head_end(block, left, &span->scanned, &server->limits);
    if (block_len == 0) return 0;
    span->scanned = 0;
    if (block_len < 0) {
        hv__http_conn_refuse(conn, (int)-block_len);
        return 1;
    }
    hhttp_request_t *req = server->on_request != NULL ? hv__http_request_new(conn) : NULL;
    if (req == NULL) {
        hv__http_conn_refuse(conn, 503);
        return 1;
    }
    span->used += (size_t)block_len;
    req->block = block;
    req->block_len = (size_t)block_len;
    int status = hv__http_parse_head(req, is_repeated);
    if (status != 0) {
        hhttp_request_release(hv__http_request_cut(conn));
        if (hv__http2_protocol.is_preface(conn, block, left)) {
            span->used -= (size_t)block_len; /* all of it is that room's */
            conn->state = HTTP_V2;
            return 0;
        }
        hv__http_conn_refuse(conn, status);
        return 1;
    }
    conn->request_count++;
    conn->state = HTTP_BUSY;
    HV_DISPATCH(server->loop, server->on_request(req, server->userdata));
    return after_callback(conn);
}

static int step_body(http_conn_t *conn) {
    hhttp_server_t *server = conn->server;
    hhttp_request_t *req = conn->req;
    if (req->flags & REQ_ENDED) {
        finish_request(conn);
        return 1;
    }
    size_t used_before = server->span.used;
    hhttp_slice_t piece = {NULL, 0};
    int result = req->flags & REQ_BODY_COLLECTS ? hv__http_body_take(req)
                                                : hv__http_body_piece(req, &piece);
    if (result < 0) {
        hv__http_give_up(conn, result);
        return 1;
    }
    if (server->span.used > used_before) {
        uint32_t waited_ms = (uint32_t)hv__http_now_ms(server) - conn->since_ms;
        if (HV_UNLIKELY(hv__http_body_is_slow(req, waited_ms)) && !(req->flags & REQ_BODY_DONE)) {
            hv__http_conn_refuse(conn, 408);
            hv__http_give_up(conn, HV_ETIMEDOUT);
            return 1;
        }
        hv__http_list_move(conn, HTTP_LIST_BODY);
    }
    if (result == 0) return 0;
    conn->state = HTTP_BUSY;
    hv__http_body_tell(req, piece, 0);
    return after_callback(conn);
}

static int step_drain(http_conn_t *conn) {
    http_span_t *span = &conn->server->span;
    size_t used_before = span->used;
    h1_parser_t *parser = &conn->req->parser;
    int status = 0;
    while (status == 0 && span->used < span->len && h1_body_pending(parser)) {
        size_t consumed = 0;
        hhttp_slice_t piece;
        status = h1_parse_body(parser, span->data + span->used, span->len - span->used, &consumed,
                               &piece);
        span->used += consumed;
    }
    size_t used = span->used - used_before;
    if (status != 0 || used > conn->budget) {
        hhttp_request_release(hv__http_request_cut(conn));
        linger(conn);
        return 1;
    }
    conn->budget -= (uint32_t)used;
    if (h1_body_pending(parser)) return 0;
    await_next_request(conn);
    return 1;
}

static int step_linger(http_conn_t *conn) {
    http_span_t *span = &conn->server->span;
    size_t left = span->len - span->used;
    span->used = span->len;
    if (left > conn->budget) {
        hv__http_conn_close(conn);
    } else {
        conn->budget -= (uint32_t)left;
    }
    return 0;
}

/* Does with `data` what can be done; server->span.used then tells how much that was. */
static void process(http_conn_t *conn, const char *data, size_t len) {
    hhttp_server_t *server = conn->server;
    HV_DASSERT(server->processing == NULL);
    server->processing = conn;
    server->span = (http_span_t){data, len, 0, conn->kept != NULL ? conn->kept->scanned : 0};
    int heads_left = REQUESTS_PER_PASS;
    conn->flags &= (uint8_t)~CONN_HAS_MORE;
    for (int goes_on = 1; goes_on;) {
        switch (conn->state) {
        case HTTP_HEAD:
            if (conn->flags & CONN_BACKED_UP) {
                goes_on = 0;
            } else if (heads_left-- == 0) {
                if (server->span.used < len) conn->flags |= CONN_HAS_MORE;
                goes_on = 0;
            } else {
                goes_on = step_head(conn);
            }
            break;
        case HTTP_BODY: goes_on = step_body(conn); break;
        case HTTP_DRAIN: goes_on = step_drain(conn); break;
        case HTTP_LINGER: goes_on = step_linger(conn); break;
        default: goes_on = 0;
        }
    }
    if (conn->state == HTTP_CLOSED) server->span.used = len;
    server->processing = NULL;
}

/* ---- Around the steps ---- */

/* Copies bytes behind those that are kept back already. */
static int keep(http_conn_t *conn, const char *data, size_t len, size_t scanned) {
    if (conn->kept == NULL) {
        conn->kept = hv__calloc(1, sizeof *conn->kept);
        if (conn->kept == NULL) return HV_ENOMEM;
        conn->kept->scanned = scanned;
    }
    return hbuf_append(&conn->kept->buf, data, len, KEPT_BYTES_MAX);
}

static void go_on(hv__defer_t *work);

/* Whether idle connections end now. One of a draining server may have a request on its way. */
static int is_over(const hhttp_server_t *server) {
    return server->is_closing && !server->is_draining;
}

/* Whether bytes of a head are kept. A CR alone may be half of an empty line, which is no part of it
 * (RFC 9112 section 2.2). */
static int has_begun_head(const http_conn_t *conn) {
    if (HV_LIKELY(conn->kept == NULL)) return 0;
    const hbuf_t *buf = &conn->kept->buf;
    return hbuf_len(buf) != 1 || *hbuf_data(buf) != '\r';
}

/* Once nothing more can be done with the bytes at hand: what to wait for. */
static void settle(http_conn_t *conn) {
    switch (conn->state) {
    case HTTP_HEAD:
        if (HV_UNLIKELY(conn->flags & (CONN_BACKED_UP | CONN_HAS_MORE))) {
            hio_read_stop(conn->io);
            if (!(conn->flags & CONN_BACKED_UP)) {
                hv__defer(conn->server->loop, &conn->work, go_on);
            }
            return;
        }
        if (conn->flags & CONN_EOF || (is_over(conn->server) && conn->kept == NULL)) {
            hv__http_conn_close(conn);
            return;
        }
        if (has_begun_head(conn) && conn->list != HTTP_LIST_HEAD) {
            hv__http_list_move(conn, HTTP_LIST_HEAD);
        }
        hio_read(conn->io);
        return;
    case HTTP_BUSY:
        if (conn->list != HTTP_LIST_BUSY) hv__http_list_move(conn, HTTP_LIST_BUSY);
        hio_read_stop(conn->io);
        return;
    case HTTP_BODY:
    case HTTP_DRAIN: hio_read(conn->io); return;
    default: return;
    }
}

/* The connection, and the bytes that are left, are another protocol's. */
static void leave_http1(http_conn_t *conn, const char *rest, size_t len) {
    if (conn->state == HTTP_UPGRADED) {
        hv__http_upgrade_finish(conn, rest, len);
    } else {
        hv__http2_protocol.begin(conn, rest, len);
    }
}

static void process_kept(http_conn_t *conn) {
    hhttp_server_t *server = conn->server;
    hbuf_t *buf = &conn->kept->buf;
    process(conn, hbuf_data(buf), hbuf_len(buf));
    if (conn->state == HTTP_UPGRADED || conn->state == HTTP_V2) {
        leave_http1(conn, hbuf_data(buf) + server->span.used, hbuf_len(buf) - server->span.used);
        return;
    }
    hbuf_consume_keep(buf, server->span.used);
    conn->kept->scanned = server->span.scanned;
    if (hbuf_len(buf) == 0) hv__http_free_kept(conn);
    settle(conn);
}

static void on_read(hio_t *io, void *buf, int readbytes) {
    http_conn_t *conn = hio_context(io);
    const http_span_t *span = &conn->server->span;
    size_t len = (size_t)readbytes;
    if (HV_UNLIKELY(conn->kept != NULL)) {
        if (keep(conn, buf, len, 0) != 0) {
            hv__http_conn_abort(conn);
        } else {
            process_kept(conn);
        }
        return;
    }
    process(conn, buf, len);
    if (HV_UNLIKELY(conn->state == HTTP_UPGRADED || conn->state == HTTP_V2)) {
        leave_http1(conn, span->data + span->used, len - span->used);
        return;
    }
    if (HV_UNLIKELY(span->used < len)) {
        if (keep(conn, span->data + span->used, len - span->used, span->scanned) != 0) {
            hv__http_conn_abort(conn);
        }
    }
    settle(conn);
}

static void resume(http_conn_t *conn) {
    if (conn->kept != NULL) {
        process_kept(conn);
    } else {
        settle(conn);
    }
}

/* What the API has put off. */
static void go_on(hv__defer_t *work) {
    http_conn_t *conn = HV_CONTAINER_OF(work, http_conn_t, work);
    hhttp_request_t *req = conn->req;
    if (conn->state == HTTP_CLOSED) return;
    if (conn->state == HTTP_LINGER) {
        hv__http_give_up(conn, HV_ECANCELED);
        hv__http_free_kept(conn);
        return;
    }
    if (req != NULL && req->flags & REQ_ENDED && conn->state != HTTP_DRAIN) finish_request(conn);
    resume(conn);
}

void hv__http_conn_wake(http_conn_t *conn) {
    if (conn->server->processing == conn) return;
    if (HV_UNLIKELY(conn->flags & CONN_IS_STREAM)) {
        hv__http2_transport.wake(conn);
        return;
    }
    hv__defer(conn->server->loop, &conn->work, go_on);
}

/* ---- What happens to a connection ---- */

static void on_eof(hio_t *io) {
    http_conn_t *conn = hio_context(io);
    conn->flags |= CONN_EOF;
    if (conn->state == HTTP_BUSY || conn->flags & (CONN_HAS_MORE | CONN_BACKED_UP)) return;
    if (conn->state == HTTP_BODY && !(conn->req->flags & REQ_ENDED)) {
        hv__http_conn_abort(conn);
        hv__http_give_up(conn, HV_EOF);
    } else {
        hv__http_conn_close(conn);
    }
}

static void on_close(hio_t *io) {
    http_conn_t *conn = hio_context(io);
    conn->state = HTTP_CLOSED;
    hv__http_list_remove(conn);
    hv__defer_cancel(conn->server->loop, &conn->work);
    int error = hio_error(io);
    hv__http_give_up(conn, error != 0 ? -error : HV_ECLOSED);
    hv__http_free_kept(conn);
    hv__http_conn_free(conn);
}

void hv__http_drained(hhttp_request_t *req) {
    if (req->job != NULL) {
        hv__http_job_drained(req->job);
    } else if (req->on_drain != NULL && !(req->flags & (REQ_ENDED | REQ_GONE))) {
        HV_DISPATCH(req->server->loop, req->on_drain(req, req->drain_userdata));
    }
}

void hv__http_on_drain(hio_t *io) {
    http_conn_t *conn = hio_context(io);
    hhttp_request_t *req = conn->req;
    if (conn->state == HTTP_CLOSED) return;
    if (conn->flags & CONN_BACKED_UP) {
        conn->flags &= (uint8_t)~CONN_BACKED_UP;
        resume(conn);
    } else if (req != NULL) {
        hv__http_drained(req);
    }
}

/* Makes a connection for an io. Returns NULL where there is none to be: the io closes. */
static http_conn_t *make_conn(hio_t *io) {
    hhttp_server_t *server = hevent_userdata(io);
    http_conn_t *conn = is_over(server) ? NULL : hslab_alloc(&server->conns);
    if (conn == NULL) {
        hio_close(io);
        return NULL;
    }
    memset(conn, 0, sizeof *conn);
    conn->io = io;
    conn->server = server;
    conn->list = HTTP_LIST_COUNT;
    hio_set_context(io, conn);
    hio_setcb_close(io, on_close);
    return conn;
}

void hv__http_accept_raw(hio_t *io) {
    http_conn_t *conn = make_conn(io);
    if (conn != NULL) hv__http_list_move(conn, HTTP_LIST_HANDSHAKE);
}

void hv__http_accept(hio_t *io) {
    http_conn_t *conn = hio_context(io); /* over TLS it is known already */
    if (conn == NULL) conn = make_conn(io);
    if (conn == NULL) return;
    if (is_over(conn->server)) {
        hv__http_conn_close(conn);
        return;
    }
    hio_setcb_read(io, on_read);
    hio_setcb_eof(io, on_eof);
    hio_set_close_on_reset(io, 1);
    hv__http_list_move(conn, HTTP_LIST_FIRST);
    hio_read(io);
}

int hv__http_is_stuck(const http_conn_t *conn) {
    uint32_t max_ms = conn->server->options.write_timeout_ms;
    return max_ms != INFINITE && !hio_write_is_complete(conn->io) &&
           hio_idle_ms(conn->io) >= max_ms;
}

void hv__http_conn_late(http_conn_t *conn) {
    if (conn->flags & CONN_IS_STREAM) {
        hv__http2_transport.late(conn);
        return;
    }
    if (conn->state == HTTP_V2) {
        hv__http2_protocol.late(conn);
        return;
    }
    switch (conn->list) {
    case HTTP_LIST_SETTLING:
        if (hv__http_is_stuck(conn)) {
            hv__http_conn_abort(conn);
        } else if (hio_write_is_complete(conn->io) && !(conn->flags & CONN_BACKED_UP)) {
            /* Its time goes on: they come in the order they settled, so the list stays sorted. */
            uint32_t since_ms = conn->since_ms;
            hv__http_list_move(conn, HTTP_LIST_IDLE);
            conn->since_ms = since_ms;
        } else {
            hv__http_list_move(conn, HTTP_LIST_SETTLING);
        }
        return;
    case HTTP_LIST_HEAD: hv__http_conn_refuse(conn, 408); return;
    case HTTP_LIST_BODY:
        hv__http_conn_refuse(conn, 408);
        hv__http_give_up(conn, HV_ETIMEDOUT);
        return;
    case HTTP_LIST_BUSY:
        if (hv__http_is_stuck(conn)) {
            hv__http_conn_abort(conn);
        } else {
            hv__http_list_move(conn, HTTP_LIST_BUSY);
        }
        return;
    default:
        if (hio_write_is_complete(conn->io)) {
            hv__http_conn_close(conn);
        } else {
            hv__http_conn_abort(conn);
        }
    }
}
