/* http_response.c - answers on the wire: head, pieces, end.
 *
 * Head and body are written one after the other with hio_write; the net room gathers whatever is
 * written during a callback, so they leave in one system call. Whether the connection stays open
 * is decided when the head is written, because the head has to say so.
 *
 * RFC 9112 section 6.3 (which answers have no body), 7.1 (chunks), 9.3 (persistence); RFC 9110
 * section 9.3.2 (HEAD), 15.3.5, 15.4.5 (204, 304). */
#include "http_coding.h"
#include "http_trailers.h"
#include "http_transport.h"

#define HEAD_BYTES_ON_STACK  1024
#define BODY_DRAIN_BYTES_MAX (64 * 1024) /* a longer rest is not worth the connection */
#define CHUNK_OVERHEAD       24

/* ---- Heads ---- */

/* Writes to the connection. What goes wrong leaves half an answer, so it ends the connection. */
static int put(http_conn_t *conn, const void *data, size_t len) {
    int result = hio_write(conn->io, data, len);
    if (HV_LIKELY(result >= 0)) return 0;
    hv__http_conn_abort(conn);
    return result == HV_ENOMEM ? HV_ENOMEM : HV_ECLOSED;
}

int hv__http_put_head(http_conn_t *conn, const h1_response_t *response) {
    char on_stack[HEAD_BYTES_ON_STACK];
    size_t max = h1_head_bytes_max(response);
    if (HV_LIKELY(max <= sizeof on_stack)) {
        return put(conn, on_stack, h1_write_head(response, on_stack));
    }
    char *head = hv__malloc(max);
    if (head == NULL) return HV_ENOMEM;
    int code = put(conn, head, h1_write_head(response, head));
    hv__free(head);
    return code;
}

/* ---- Heads written before ----
 *
 * A program answers most requests with one of few statuses and types. What stands before the length
 * is then the same for a whole second, so the last few such beginnings are kept as bytes. */

static http_head_cache_t *cache_place(hhttp_server_t *server, const h1_response_t *response) {
    if (response->header_count > 0 || response->content_type.data == NULL) return NULL;
    if (response->content_type.len > HTTP_CACHED_TYPE_MAX) return NULL;
    size_t hash = (size_t)response->status + response->content_type.len;
    return &server->heads[hash % HTTP_CACHED_HEADS];
}

static int cache_holds(const http_head_cache_t *cached, const h1_response_t *response) {
    return cached->status == response->status &&
           cached->type_len == response->content_type.len &&
           memcmp(cached->type, response->content_type.data, cached->type_len) == 0;
}

static void cache_store(http_head_cache_t *cached, const h1_response_t *response,
                        uint64_t until_us) {
    h1_response_t beginning = *response;
    beginning.framing = H1_FRAME_NONE;
    if (h1_head_bytes_max(&beginning) > sizeof cached->text) return;
    size_t len = h1_write_head(&beginning, cached->text);
    /* The length takes the place of the blank line. */
    len -= 2;
    memcpy(cached->text + len, "Content-Length: ", 16);
    cached->len = len + 16;
    cached->status = response->status;
    cached->type_len = response->content_type.len;
    memcpy(cached->type, response->content_type.data, cached->type_len);
    cached->until_us = until_us;
}

static int put_cached_head(http_conn_t *conn, const http_head_cache_t *cached, uint64_t length) {
    char head[HTTP_CACHED_BYTES + 32];
    memcpy(head, cached->text, cached->len);
    size_t len = cached->len + h1_write_decimal(length, head + cached->len);
    memcpy(head + len, "\r\n\r\n", 4);
    return put(conn, head, len + 4);
}

/* Writes the head, by the cache where it stands there. */
static int put_any_head(http_conn_t *conn, const h1_response_t *response,
                        http_head_cache_t *cached) {
    int has_plain_framing = response->framing == H1_FRAME_LENGTH &&
                            !response->send_connection_close && !response->send_keep_alive;
    if (cached == NULL || !has_plain_framing) return hv__http_put_head(conn, response);
    const hhttp_server_t *server = conn->server;
    if (!cache_holds(cached, response) || cached->until_us != server->date_until_us) {
        cached->status = 0;
        cache_store(cached, response, server->date_until_us);
        if (cached->status == 0) return hv__http_put_head(conn, response);
    }
    return put_cached_head(conn, cached, response->content_length);
}

/* Whether the rest of the request's body, if any, would keep the connection from being used again:
 * the peer waits for leave to send it, or it is long. */
static int body_is_in_the_way(const hhttp_request_t *req) {
    if (!h1_body_pending(&req->parser)) return 0;
    if (req->parser.head.expects_continue && !(req->flags & REQ_SAID_100)) return 1;
    return req->parser.head.content_length > BODY_DRAIN_BYTES_MAX + req->body_bytes;
}

/* Sets the flags that say what becomes of the connection after the answer. */
static void decide_persistence(hhttp_request_t *req, h1_framing_e framing) {
    const http_conn_t *conn = req->conn;
    const hhttp_server_t *server = req->server;
    if (!req->parser.head.keep_alive || framing == H1_FRAME_CLOSE) req->flags |= REQ_CLOSE_AFTER;
    if (server->is_closing || body_is_in_the_way(req) ||
        conn->request_count >= server->options.requests_per_connection_max) {
        req->flags |= REQ_CLOSE_AFTER | REQ_LINGER_AFTER;
    }
}

static h1_framing_e framing_of(const hhttp_request_t *req, int status, int64_t length) {
    if (status == 204 || status == 304) return H1_FRAME_NONE;
    if (length >= 0) return H1_FRAME_LENGTH;
    return req->parser.head.version >= 11 ? H1_FRAME_CHUNKED : H1_FRAME_CLOSE;
}

/* Returns 0 where an answer may begin. */
static int check_begin(const hhttp_request_t *req, const h1_response_t *response,
                       const http_head_cache_t *cached) {
    if (req->flags & REQ_BEGUN) return HV_EBUSY;
    if (hhttp_request_is_over(req)) return HV_ECLOSED;
    if (response->status < 200 || response->status > 599) return HV_EINVAL;
    /* A type that stands in the cache was checked when it came there. */
    if (cached != NULL && cache_holds(cached, response)) return 0;
    if (response->content_type.data != NULL) {
        hhttp_header_t header = {.name = {"Content-Type", 12}, .value = response->content_type};
        if (h1_check_headers(&header, 1) != 0) return HV_EINVAL;
    }
    if (response->header_count == 0) return 0;
    return h1_check_headers(response->headers, response->header_count);
}

/* Writes the head. `response` has status, type and headers; `length` is the body's, or -1;
 * `is_whole`: nothing but the body itself follows. */
static int begin(hhttp_request_t *req, h1_response_t *response, int64_t length, int is_whole) {
    hhttp_server_t *server = req->server;
    http_head_cache_t *cached = cache_place(server, response);
    int code = check_begin(req, response, cached);
    if (code != 0) return code;
    if (response->status == 205) length = 0;
    response->framing = framing_of(req, response->status, length);
    int has_no_body = req->parser.head.method == HHTTP_HEAD ||
                      response->framing == H1_FRAME_NONE || response->status == 205;
    response->content_length = length >= 0 ? (uint64_t)length : 0;
    response->server_name = server->server_name;
    response->date = hv__http_date(server);
    if (HV_LIKELY(req->via == NULL)) {
        decide_persistence(req, response->framing);
        response->send_connection_close = (req->flags & REQ_CLOSE_AFTER) != 0;
        response->send_keep_alive =
            req->parser.head.version == 10 && !(req->flags & REQ_CLOSE_AFTER);
        code = put_any_head(req->conn, response, cached);
    } else {
        code = req->via->begin(req, response, is_whole && (length == 0 || has_no_body));
    }
    if (code != 0) return code;
    req->flags |= REQ_BEGUN;
    req->status = response->status;
    req->length_left = length >= 0 ? (uint64_t)length : UINT64_MAX;
    if (response->framing == H1_FRAME_CHUNKED) req->flags |= REQ_CHUNKED;
    if (has_no_body) req->flags |= REQ_NO_BODY;
    return 0;
}

static void complete(hhttp_request_t *req) {
    req->flags |= REQ_ENDED;
    req->server->answered++;
    hv__http_conn_wake(req->conn);
}

/* ---- In one piece ---- */

/* The body is in memory anyway: the limit of the write queue is not for it. */
static void make_room(hio_t *io, size_t len) {
    size_t needed = hio_write_bufsize(io) + len + HEAD_BYTES_ON_STACK;
    if (needed <= HIO_DEFAULT_WRITE_MAX / 2) return;
    hio_set_max_write_bufsize(io, UINT32_MAX / 2);
}

static int respond(hhttp_request_t *req, h1_response_t *response, const void *body, size_t len) {
    if (HV_UNLIKELY(len > INT32_MAX)) return HV_ELIMIT;
    if (HV_UNLIKELY(req->coding != NULL) && !(req->flags & REQ_BEGUN)) {
        return hv__http_coded_respond(req, response, body, len);
    }
    int code = begin(req, response, (int64_t)len, 1);
    if (HV_UNLIKELY(code != 0)) return code;
    if (len > 0 && !(req->flags & REQ_NO_BODY)) {
        if (HV_UNLIKELY(req->via != NULL)) {
            code = req->via->write(req, body, len, 1);
            if (code == HV_EAGAIN) code = 0;
        } else {
            if (HV_UNLIKELY(len > HIO_DEFAULT_WRITE_MAX / 4)) make_room(req->conn->io, len);
            code = put(req->conn, body, len);
        }
        if (HV_UNLIKELY(code != 0)) return code;
        req->sent_bytes = len;
    }
    complete(req);
    return 0;
}

int hhttp_respond(hhttp_request_t *req, int status, const char *content_type, const void *body,
                  size_t len) {
    h1_response_t response = {.status = status};
    if (content_type != NULL) {
        response.content_type = (hhttp_slice_t){content_type, strlen(content_type)};
    }
    return respond(req, &response, body, len);
}

int hhttp_respond_with(hhttp_request_t *req, int status, const hhttp_header_t *headers,
                       size_t header_count, const void *body, size_t len) {
    h1_response_t response = {.status = status, .headers = headers, .header_count = header_count};
    return respond(req, &response, body, len);
}

/* ---- In pieces ---- */

int hhttp_response_begin(hhttp_request_t *req, int status, const hhttp_header_t *headers,
                         size_t header_count, int64_t length) {
    h1_response_t response = {.status = status, .headers = headers, .header_count = header_count};
    if (length < 0) length = -1;
    if (HV_UNLIKELY(req->coding != NULL) && !(req->flags & REQ_BEGUN)) {
        return hv__http_coded_begin(req, &response, length);
    }
    return begin(req, &response, length, 0);
}

/* Returns 0, HV_EAGAIN where the peer should be waited for, or a code. */
static int put_piece(hhttp_request_t *req, const void *data, size_t len) {
    http_conn_t *conn = req->conn;
    hio_t *io = conn->io;
    /* Asked before anything is written, so that a refused piece leaves nothing behind. */
    size_t waiting = hio_write_bufsize(io);
    if (waiting > 0 && waiting + len + CHUNK_OVERHEAD > HIO_DEFAULT_WRITE_MAX) return HV_ELIMIT;
    if (len > HIO_DEFAULT_WRITE_MAX / 4) make_room(io, len);
    if (!(req->flags & REQ_CHUNKED)) {
        int code = put(conn, data, len);
        if (code != 0) return code;
    } else {
        char size_line[18];
        int code = put(conn, size_line, h1_write_chunk_head(len, size_line));
        if (code == 0) code = put(conn, data, len);
        if (code == 0) code = put(conn, "\r\n", 2);
        if (code != 0) return code;
    }
    return hio_write_is_high(io) ? HV_EAGAIN : 0;
}

int hhttp_response_write(hhttp_request_t *req, const void *data, size_t len) {
    if (hhttp_request_is_over(req)) return HV_ECLOSED;
    if (!(req->flags & REQ_BEGUN)) return HV_EINVAL;
    if (HV_UNLIKELY(req->flags & REQ_HANDED_OVER)) return HV_ECLOSED;
    if (HV_UNLIKELY(req->coding != NULL)) return hv__http_coded_write(req, data, len);
    if (len == 0) return 0; /* a chunk of 0 bytes would be the end */
    if (req->length_left != UINT64_MAX) {
        if (len > req->length_left) return HV_ELIMIT;
    }
    if (!(req->flags & REQ_NO_BODY)) {
        if (len > INT32_MAX) return HV_ELIMIT;
        int code = HV_LIKELY(req->via == NULL) ? put_piece(req, data, len)
                                               : req->via->write(req, data, len, 0);
        if (code != 0 && code != HV_EAGAIN) return code;
        req->sent_bytes += len;
        if (req->length_left != UINT64_MAX) req->length_left -= len;
        return code;
    }
    if (req->length_left != UINT64_MAX) req->length_left -= len;
    return 0;
}

int hv__http_write_file(hhttp_request_t *req, int fd, uint64_t offset, uint64_t len, int flags) {
    if (hhttp_request_is_over(req)) return HV_ECLOSED;
    HV_ASSERT(len <= req->length_left && !(req->flags & (REQ_CHUNKED | REQ_NO_BODY)));
    int code = hio_write_file(req->conn->io, fd, offset, len, flags);
    if (code != 0) return code;
    req->length_left -= len;
    req->sent_bytes += len;
    return 0;
}

void hhttp_response_on_drain(hhttp_request_t *req, hhttp_request_cb on_drain, void *userdata) {
    req->on_drain = on_drain;
    req->drain_userdata = userdata;
    if (hhttp_request_is_over(req) || req->via != NULL) return;
    hio_setcb_drain(req->conn->io, hv__http_on_drain);
}

int hv__http_must_wait(hhttp_request_t *req) {
    if (req->via != NULL) return req->via->must_wait(req);
    if (!hio_write_is_high(req->conn->io)) return 0;
    hio_setcb_drain(req->conn->io, hv__http_on_drain);
    return 1;
}

/* Ends a body of HTTP/1.1 in chunks. */
static int put_last_chunk(hhttp_request_t *req, const hhttp_header_t *trailers, size_t count) {
    if (HV_LIKELY(count == 0)) return put(req->conn, "0\r\n\r\n", 5);
    size_t len;
    char *text = hv__http_last_chunk(trailers, count, &len);
    if (text == NULL) return HV_ENOMEM;
    int code = put(req->conn, text, len);
    hv__free(text);
    return code;
}

int hhttp_response_end_with(hhttp_request_t *req, const hhttp_header_t *trailers, size_t count) {
    if (hhttp_request_is_over(req)) return HV_ECLOSED;
    if (!(req->flags & REQ_BEGUN)) return HV_EINVAL;
    if (HV_UNLIKELY(count > 0) && hv__http_trailers_check(trailers, count) != 0) return HV_EINVAL;
    if (HV_UNLIKELY(req->flags & REQ_HANDED_OVER)) return 0;
    if (HV_UNLIKELY(req->coding != NULL)) {
        int squeezed = hv__http_coded_finish(req);
        if (squeezed != 0) return squeezed;
    }
    int is_short = req->length_left != UINT64_MAX && req->length_left > 0;
    if (is_short && !(req->flags & REQ_NO_BODY)) {
        req->flags |= REQ_GONE;
        hv__http_conn_abort(req->conn);
        return HV_EPROTO;
    }
    int code = 0;
    if (req->flags & REQ_NO_BODY) count = 0;
    if (HV_UNLIKELY(req->via != NULL)) {
        code = count == 0 ? req->via->write(req, NULL, 0, 1)
                          : req->via->trail(req, trailers, count);
    } else if (req->flags & REQ_CHUNKED && !(req->flags & REQ_NO_BODY)) {
        code = put_last_chunk(req, trailers, count);
    }
    if (code != 0 && code != HV_EAGAIN) return code;
    complete(req);
    return 0;
}

int hhttp_response_end(hhttp_request_t *req) { return hhttp_response_end_with(req, NULL, 0); }

int hhttp_response_has_begun(const hhttp_request_t *req) { return (req->flags & REQ_BEGUN) != 0; }
int hhttp_response_status(const hhttp_request_t *req) { return req->status; }
uint64_t hhttp_response_bytes(const hhttp_request_t *req) { return req->sent_bytes; }

int hhttp_response_is_complete(const hhttp_request_t *req) {
    /* A refusal is a whole answer, but not the program's. */
    return (req->flags & REQ_ENDED) != 0 || (req->status != 0 && !(req->flags & REQ_BEGUN));
}

/* ---- The server's own ---- */

int hhttp_request_refuse(hhttp_request_t *req, int status) {
    if (req->flags & REQ_BEGUN) return HV_EBUSY;
    if (hhttp_request_is_over(req)) return HV_ECLOSED;
    if (status < 400 || status > 599) return HV_EINVAL;
    hv__http_conn_refuse(req->conn, status);
    req->flags |= REQ_GONE;
    hv__http_conn_wake(req->conn);
    return 0;
}

h1_response_t hv__http_refusal(hhttp_server_t *server, int status, char text[HTTP_REFUSAL_BYTES]) {
    int len = snprintf(text, HTTP_REFUSAL_BYTES, "%d %s\n", status, hhttp_status_text(status));
    return (h1_response_t){
        .status = status,
        .content_type = {"text/plain", 10},
        .server_name = server->server_name,
        .date = hv__http_date(server),
        .framing = H1_FRAME_LENGTH,
        .content_length = (uint64_t)len,
    };
}

void hv__http_write_refusal(http_conn_t *conn, int status) {
    hhttp_request_t *req = conn->req;
    char text[HTTP_REFUSAL_BYTES];
    h1_response_t response = hv__http_refusal(conn->server, status, text);
    size_t len = (size_t)response.content_length;
    response.send_connection_close = 1;
    if (hv__http_put_head(conn, &response) != 0) {
        hv__http_conn_abort(conn);
        return;
    }
    if (req != NULL) req->status = status;
    if (req != NULL && req->parser.head.method == HHTTP_HEAD) return;
    if (put(conn, text, len) == 0 && req != NULL) req->sent_bytes = len;
}
