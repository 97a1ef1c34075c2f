/* http_body.c - request bodies: as a whole (collect) or piece by piece (read), always because the
 * program asks. Where nobody asks nothing is read, and the kernel slows the peer.
 *
 * A piece is handed out where it lies, in the span being processed or in conn->kept. A whole body
 * that lies there in one piece is not copied before it must be (REQ_BODY_BORROWS).
 *
 * RFC 9110 section 6.5 (trailers), 10.1.1 (Expect), 15.5.14 (413). */
#include "http_trailers.h"
#include "http_transport.h"

#define KEPT_BYTES_MAX (1u << 30)
#define RATE_GRACE_MS  5000 /* a slow beginning is forgiven */

static int status_of_code(int code) {
    if (code == HV_ELIMIT) return 413;
    return code == HV_ENOMEM ? 503 : 400;
}

static int code_of_status(int status) {
    if (status == 413 || status == 431) return HV_ELIMIT;
    return status == 503 ? HV_ENOMEM : HV_EPROTO;
}

/* Keeps the trailers that were found. Returns 0 or the status to refuse with. */
static int keep_trailers(hhttp_request_t *req, hhttp_slice_t text) {
    int code = hv__http_trailers_add(&req->trailers, text, &req->server->limits);
    return code == 0 ? 0 : code == HV_ELIMIT ? 431 : 503;
}

/* Finds the next payload in `data`. Returns 0 or the status to refuse with. */
static int scan(hhttp_request_t *req, const char *data, size_t len, size_t *used,
                hhttp_slice_t *piece) {
    *piece = (hhttp_slice_t){NULL, 0};
    while (*used < len && piece->len == 0 && h1_body_pending(&req->parser)) {
        size_t consumed = 0;
        int status = h1_parse_body(&req->parser, data + *used, len - *used, &consumed, piece);
        hhttp_slice_t trailer = h1_body_trailer(&req->parser, data + *used);
        *used += consumed;
        if (HV_UNLIKELY(status == 0 && trailer.len > 0)) status = keep_trailers(req, trailer);
        if (status != 0) return status;
    }
    req->body_bytes += piece->len;
    return req->body_bytes > req->body_bytes_max ? 413 : 0;
}

/* The next piece of what has arrived; len 0 where there is none. Returns 0 or a status. */
static int next_piece(hhttp_request_t *req, hhttp_slice_t *piece) {
    http_conn_t *conn = req->conn;
    http_span_t *span = &req->server->span;
    *piece = (hhttp_slice_t){NULL, 0};
    if (req->via != NULL) {
        int status = req->via->next_piece(req, piece);
        if (status != 0) return status;
        req->body_bytes += piece->len;
        return req->body_bytes > req->body_bytes_max ? 413 : 0;
    }
    if (req->server->processing == conn) {
        return scan(req, span->data, span->len, &span->used, piece);
    }
    if (conn->kept == NULL) return 0;
    hbuf_t *buf = &conn->kept->buf;
    if (hbuf_len(buf) == 0) {
        hv__http_free_kept(conn); /* the piece before was its last, and is not borrowed any more */
        return 0;
    }
    size_t used = 0;
    int status = scan(req, hbuf_data(buf), hbuf_len(buf), &used, piece);
    hbuf_consume_keep(buf, used);
    return status;
}

static int refuse(hhttp_request_t *req, int status) {
    hv__http_conn_refuse(req->conn, status);
    return code_of_status(status);
}

int hv__http_body_take(hhttp_request_t *req) {
    uint64_t max = req->body_bytes_max < KEPT_BYTES_MAX ? req->body_bytes_max : KEPT_BYTES_MAX;
    for (;;) {
        hhttp_slice_t piece;
        int status = next_piece(req, &piece);
        if (status != 0) return refuse(req, status);
        if (piece.len == 0) break;
        int is_whole = req->parser.head.content_length == piece.len;
        if (is_whole && req->server->processing == req->conn) {
            req->body_slice = piece;
            req->flags |= REQ_BODY_BORROWS;
            continue;
        }
        int code = hbuf_append(&req->body, piece.data, piece.len, (size_t)max);
        if (code != 0) return refuse(req, status_of_code(code));
    }
    if (h1_body_pending(&req->parser)) return 0;
    req->flags |= REQ_BODY_DONE;
    return 1;
}

int hv__http_body_piece(hhttp_request_t *req, hhttp_slice_t *piece) {
    int status = next_piece(req, piece);
    if (status != 0) return refuse(req, status);
    if (piece->len > 0) return 1;
    if (h1_body_pending(&req->parser)) return 0;
    req->flags |= REQ_BODY_DONE;
    return 1;
}

void hv__http_body_tell(hhttp_request_t *req, hhttp_slice_t piece, int error) {
    hloop_t *loop = req->server->loop;
    uint32_t collects = req->flags & REQ_BODY_COLLECTS;
    req->flags &= ~(uint32_t)REQ_BODY_WAITS;
    if (collects) {
        HV_DISPATCH(loop, req->on_body(req, error));
    } else {
        HV_DISPATCH(loop, req->on_piece(req, piece, error));
    }
}

int hv__http_body_is_slow(hhttp_request_t *req, uint32_t waited_ms) {
    uint32_t rate = req->server->options.body_rate_min;
    if (rate == 0) return 0;
    req->body_waited_ms += waited_ms;
    if (req->body_waited_ms < RATE_GRACE_MS) return 0;
    return req->body_bytes < (uint64_t)rate * req->body_waited_ms / 1000;
}

/* ---- API ---- */

static void say_continue(hhttp_request_t *req) {
    static const char line[] = "HTTP/1.1 100 Continue\r\n\r\n";
    if (!req->parser.head.expects_continue || req->flags & (REQ_SAID_100 | REQ_BEGUN)) return;
    /* A peer that sends without waiting needs no leave (RFC 9110 section 10.1.1). */
    if (req->body_bytes > 0) return;
    req->flags |= REQ_SAID_100;
    hio_write(req->conn->io, line, sizeof line - 1);
}

/* What every way of asking begins with. Returns 0 where there may be a body to wait for. */
static int check_ask(hhttp_request_t *req) {
    if (hhttp_request_is_over(req)) return HV_ECLOSED;
    if (req->flags & REQ_BODY_WAITS) return HV_EBUSY;
    if (!h1_body_pending(&req->parser)) {
        req->flags |= REQ_BODY_DONE;
        return 0;
    }
    if (req->parser.head.content_length <= req->body_bytes_max) return 0;
    hv__http_conn_refuse(req->conn, 413);
    return HV_ELIMIT;
}

/* The request has been refused inside a call of the program's. */
static int give_up(hhttp_request_t *req, int code) {
    req->flags |= REQ_GONE;
    hv__http_conn_wake(req->conn);
    return code;
}

/* Waits for what has not arrived yet. Returns 0, or HV_EOF where it never will. */
static int await_more(hhttp_request_t *req, uint32_t collects) {
    http_conn_t *conn = req->conn;
    if (conn->flags & CONN_EOF) {
        req->flags |= REQ_GONE;
        hv__http_conn_abort(conn);
        return HV_EOF;
    }
    req->flags = (req->flags & ~(uint32_t)REQ_BODY_COLLECTS) | REQ_BODY_WAITS | collects;
    if (req->via != NULL) {
        req->via->want_body(req);
    } else {
        say_continue(req);
    }
    if (req->server->processing != conn) {
        conn->state = HTTP_BODY;
        hv__http_list_move(conn, HTTP_LIST_BODY);
        if (req->via == NULL) hio_read(conn->io);
    }
    return 0;
}

int hhttp_request_collect_body(hhttp_request_t *req,
                               void (*on_body)(hhttp_request_t *req, int error)) {
    int code = check_ask(req);
    if (code == HV_ELIMIT) return give_up(req, code);
    if (code != 0) return code;
    if (req->flags & REQ_BODY_DONE) return 1;
    int result = hv__http_body_take(req);
    if (result < 0) return give_up(req, result);
    if (result == 1) return 1;
    req->on_body = on_body;
    return await_more(req, REQ_BODY_COLLECTS);
}

int hhttp_request_read_body(hhttp_request_t *req, hhttp_slice_t *piece, hhttp_piece_cb on_piece) {
    int code = check_ask(req);
    if (code == HV_ELIMIT) return give_up(req, code);
    if (code != 0) return code;
    if (req->flags & REQ_BODY_DONE) {
        *piece = (hhttp_slice_t){NULL, 0};
        return 1;
    }
    hhttp_slice_t found;
    int result = hv__http_body_piece(req, &found);
    if (result < 0) return give_up(req, result);
    if (result == 1) {
        *piece = found;
        return 1;
    }
    req->on_piece = on_piece;
    return await_more(req, 0);
}

hhttp_slice_t hhttp_request_body(const hhttp_request_t *req) {
    if (req->flags & REQ_BODY_BORROWS) return req->body_slice;
    return (hhttp_slice_t){hbuf_data(&req->body), hbuf_len(&req->body)};
}

int64_t hhttp_request_body_length(const hhttp_request_t *req) {
    const h1_head_t *head = &req->parser.head;
    return head->is_chunked ? -1 : (int64_t)head->content_length;
}

hhttp_slice_t hhttp_request_trailer(const hhttp_request_t *req, const char *name,
                                    size_t name_len) {
    if (!(req->flags & REQ_BODY_DONE)) return (hhttp_slice_t){NULL, 0};
    return hv__http_trailers_find(req->trailers, name, name_len);
}

int hhttp_request_next_trailer(const hhttp_request_t *req, size_t *cursor,
                               hhttp_header_t *header) {
    if (!(req->flags & REQ_BODY_DONE)) return h1_body_pending(&req->parser) ? HV_EAGAIN : 0;
    return hv__http_trailers_next(req->trailers, cursor, header);
}

void hhttp_request_set_body_max(hhttp_request_t *req, uint64_t bytes) {
    req->body_bytes_max = bytes;
}
