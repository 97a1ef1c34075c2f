/* http_request.c - what a program can ask of a request.
 *
 * Until on_request has returned the head is read where it arrived. A request that lives on, because
 * it is not answered yet or because somebody retains it, then gets a copy of its own: see
 * hv__http_request_own, which the session calls. */
#include "http_coding.h"
#include "http_trailers.h"

hhttp_request_t *hv__http_request_new(http_conn_t *conn) {
    hhttp_server_t *server = conn->server;
    hhttp_request_t *req = hslab_alloc(&server->requests);
    if (req == NULL) return NULL;
    /* The parser is not cleared: h1_parse_head fills it. */
    req->conn = conn;
    req->via = NULL;
    req->server = server;
    req->userdata = NULL;
    req->refs = 1;
    req->flags = 0;
    req->block = NULL;
    req->block_len = 0;
    req->body = (hbuf_t){0};
    req->body_slice = (hhttp_slice_t){NULL, 0};
    req->length_left = 0;
    req->body_bytes = 0;
    req->body_bytes_max = server->options.body_bytes_max;
    req->sent_bytes = 0;
    req->status = 0;
    req->body_waited_ms = 0;
    req->on_body = NULL;
    req->job = NULL;
    req->on_abort = NULL;
    req->abort_userdata = NULL;
    req->on_drain = NULL;
    req->drain_userdata = NULL;
    req->pass = NULL;
    req->coding = NULL;
    req->trailers = NULL;
    conn->req = req;
    return req;
}

static void forget_borrowed(hhttp_request_t *req) {
    h1_head_t *head = &req->parser.head;
    head->method_name = head->target = head->path = (hhttp_slice_t){"", 0};
    head->query = head->headers = head->host = (hhttp_slice_t){NULL, 0};
    req->block = NULL;
    req->block_len = 0;
    req->body_slice = (hhttp_slice_t){NULL, 0};
}

int hv__http_request_own(hhttp_request_t *req) {
    /* No head: there was no memory for one before. */
    if (!(req->flags & REQ_OWNS_HEAD) && req->block != NULL) {
        char *copy = hv__malloc(req->block_len);
        if (copy == NULL) {
            forget_borrowed(req);
            req->flags &= ~(uint32_t)REQ_BODY_BORROWS;
            return HV_ENOMEM;
        }
        memcpy(copy, req->block, req->block_len);
        h1_head_rebase(&req->parser.head, req->block, copy);
        req->block = copy;
        req->flags |= REQ_OWNS_HEAD;
    }
    if (req->flags & REQ_BODY_BORROWS) {
        hhttp_slice_t body = req->body_slice;
        req->flags &= ~(uint32_t)REQ_BODY_BORROWS;
        req->body_slice = (hhttp_slice_t){NULL, 0};
        if (hbuf_append(&req->body, body.data, body.len, body.len) != 0) return HV_ENOMEM;
    }
    return 0;
}

hhttp_request_t *hv__http_request_cut(http_conn_t *conn) {
    hhttp_request_t *req = conn->req;
    HV_ASSERT(req != NULL && req->conn == conn);
    /* Whoever retains it reads on without the bytes being processed. */
    if (HV_UNLIKELY(req->refs > 1)) hv__http_request_own(req);
    conn->req = NULL;
    req->conn = NULL;
    return req;
}

void hhttp_request_retain(hhttp_request_t *req) {
    HV_ASSERT(req->refs > 0 && req->refs < UINT32_MAX);
    req->refs++;
}

void hhttp_request_release(hhttp_request_t *req) {
    HV_ASSERT(req->refs > 0);
    if (--req->refs > 0) return;
    hhttp_server_t *server = req->server;
    HV_ASSERT(req->conn == NULL);
    if (req->flags & REQ_OWNS_HEAD) hv__free((void *)(uintptr_t)req->block);
    hbuf_deinit(&req->body);
    if (HV_UNLIKELY(req->coding != NULL)) hv__http_coding_drop(req);
    if (HV_UNLIKELY(req->trailers != NULL)) hv__http_trailers_free(req->trailers);
    hslab_free(&server->requests, req);
    if (HV_UNLIKELY(server->is_reported)) hv__http_server_free_unused(server);
}

void hhttp_request_set_userdata(hhttp_request_t *req, void *userdata) { req->userdata = userdata; }

void *hhttp_request_userdata(const hhttp_request_t *req) { return req->userdata; }

/* ---- The head ---- */

hhttp_method_e hhttp_request_method(const hhttp_request_t *req) { return req->parser.head.method; }

hhttp_slice_t hhttp_request_method_name(const hhttp_request_t *req) {
    return req->parser.head.method_name;
}

hhttp_slice_t hhttp_request_target(const hhttp_request_t *req) { return req->parser.head.target; }

hhttp_slice_t hhttp_request_path(const hhttp_request_t *req) { return req->parser.head.path; }

hhttp_slice_t hhttp_request_query(const hhttp_request_t *req) { return req->parser.head.query; }

int hhttp_request_version(const hhttp_request_t *req) { return req->parser.head.version; }

hhttp_slice_t hhttp_request_header(const hhttp_request_t *req, const char *name, size_t name_len) {
    return h1_find_header(req->parser.head.headers, name, name_len);
}

int hhttp_request_next_header(const hhttp_request_t *req, size_t *cursor, hhttp_header_t *header) {
    return h1_next_header(req->parser.head.headers, cursor, header);
}

hhttp_slice_t hhttp_request_host(const hhttp_request_t *req) { return req->parser.head.host; }

hio_t *hhttp_request_io(const hhttp_request_t *req) {
    return req->conn != NULL ? req->conn->io : NULL;
}

int hhttp_request_is_over(const hhttp_request_t *req) {
    return req->conn == NULL || req->flags & (REQ_ENDED | REQ_GONE) ||
           req->conn->state >= HTTP_LINGER;
}

/* ---- The end ---- */

void hhttp_request_on_abort(hhttp_request_t *req, hhttp_request_cb on_abort, void *userdata) {
    req->on_abort = on_abort;
    req->abort_userdata = userdata;
}

void hhttp_request_abort(hhttp_request_t *req) {
    if (hhttp_request_is_over(req)) return;
    req->flags |= REQ_GONE;
    hv__http_conn_abort(req->conn);
}
