/* http_upgrade.c - a connection leaves HTTP: the io is given away, a record of it stays.
 *
 * The record (http_conn_t, state UPGRADED) keeps the server waiting for the connection while it
 * closes, and ends with it. The net room tells of that (hv__io_set_owner), because the close
 * callback belongs to whoever has taken the io over.
 *
 * The request may lie in bytes that are being processed. It is then let go, and what follows it put
 * back into the io, when on_request has returned (hv__http_upgrade_finish). At any other time the
 * bytes go back at once, since reading may begin before any deferred work has its turn.
 *
 * RFC 9110 section 7.8 (Upgrade), 9.3.6 (CONNECT), 15.2.2 (101). */
#include "hnet_int.h"
#include "http_transport.h"

static void free_record(hv__defer_t *work) {
    http_conn_t *conn = HV_CONTAINER_OF(work, http_conn_t, work);
    hv__http_conn_free(conn);
}

static void release_request(http_conn_t *conn) {
    if (conn->req != NULL) hhttp_request_release(hv__http_request_cut(conn));
}

/* The io is closed, or moves to another loop: then nothing may be called back from here. */
static void let_go(hio_t *io, void *owner, int is_moving) {
    http_conn_t *conn = owner;
    hloop_t *loop = conn->server->loop;
    HV_ASSERT(conn->state >= HTTP_UPGRADED);
    hv__http_list_remove(conn);
    hv__defer_cancel(loop, &conn->work);
    conn->io = NULL;
    if (conn->flags & CONN_IS_STREAM) {
        hhttp_server_t *server = conn->server;
        if (server->processing != conn) release_request(conn);
        hv__http2_transport.let_go(conn, io);
        hv__http_server_end_if_closed(server);
        return;
    }
    if (conn->server->processing != conn) {
        release_request(conn);
        hv__http_free_kept(conn);
    }
    if (is_moving) {
        hv__defer(loop, &conn->work, free_record);
    } else {
        hv__http_conn_free(conn);
    }
}

/* What is left to do once no API call is on the stack. */
static void go_on(hv__defer_t *work) {
    http_conn_t *conn = HV_CONTAINER_OF(work, http_conn_t, work);
    hio_t *io = conn->io;
    release_request(conn);
    if (!conn->server->is_closing || conn->flags & CONN_TOLD) return;
    if (conn->on_shutdown == NULL || !hio_is_opened(io)) return;
    conn->flags |= CONN_TOLD;
    HV_DISPATCH(conn->server->loop, conn->on_shutdown(io));
}

void hv__http_upgrade_finish(http_conn_t *conn, const char *rest, size_t len) {
    if (conn->io != NULL) hv__io_unread(conn->io, rest, len, (conn->flags & CONN_EOF) != 0);
    hv__http_free_kept(conn);
    release_request(conn);
}

/* Whether this answer may end HTTP on the connection. */
static int check_upgrade(const hhttp_request_t *req, int status, const hhttp_header_t *headers,
                         size_t header_count) {
    const h1_head_t *head = &req->parser.head;
    if (req->flags & REQ_BEGUN) return HV_EBUSY;
    if (hhttp_request_is_over(req)) return HV_ECLOSED;
    if (status != 101 && (status < 200 || status > 299)) return HV_EINVAL;
    if (h1_check_headers(headers, header_count) != 0) return HV_EINVAL;
    if (head->is_chunked || head->content_length > 0) return HV_EPROTO;
    int is_asked = status == 101 ? head->is_upgrade : head->method == HHTTP_CONNECT;
    return is_asked ? 0 : HV_EPROTO;
}

/* Answers, as HTTP/1 does. Returns 0 or a code. */
static int answer(hhttp_request_t *req, int status, const hhttp_header_t *headers,
                  size_t header_count) {
    hhttp_server_t *server = req->server;
    h1_response_t response = {
        .status = status,
        .headers = headers,
        .header_count = header_count,
        .server_name = server->server_name,
        .date = hv__http_date(server),
        .framing = H1_FRAME_NONE,
        .send_upgrade = status == 101,
    };
    return hv__http_put_head(req->conn, &response);
}

/* Takes everything of HTTP off the io. */
static void strip(hio_t *io) {
    hio_read_stop(io);
    hio_setcb_read(io, NULL);
    hio_setcb_eof(io, NULL);
    hio_setcb_close(io, NULL);
    hio_setcb_drain(io, NULL);
    hio_set_close_on_reset(io, 0);
    hio_set_max_write_bufsize(io, HIO_DEFAULT_WRITE_MAX);
    hio_set_context(io, NULL);
    hevent_set_userdata(io, NULL);
}

int hhttp_request_upgrade(hhttp_request_t *req, int status, const hhttp_header_t *headers,
                          size_t header_count, hio_t **io) {
    int code = check_upgrade(req, status, headers, header_count);
    if (code != 0) return code;
    http_conn_t *conn = req->conn;
    hhttp_server_t *server = conn->server;
    code = req->via == NULL ? answer(req, status, headers, header_count)
                            : req->via->upgrade(req, status, headers, header_count);
    if (code != 0) return code;
    hv__io_set_owner(conn->io, conn, let_go);
    req->flags |= REQ_BEGUN | REQ_ENDED;
    req->status = status;
    server->answered++;
    if (req->via == NULL) strip(conn->io);
    conn->state = HTTP_UPGRADED;
    conn->on_shutdown = NULL;
    hv__http_list_move(conn, HTTP_LIST_UPGRADED);
    if (server->processing != conn) {
        const http_kept_t *kept = conn->kept;
        hv__defer_cancel(server->loop, &conn->work);
        hv__io_unread(conn->io, kept != NULL ? hbuf_data(&kept->buf) : NULL,
                      kept != NULL ? hbuf_len(&kept->buf) : 0, (conn->flags & CONN_EOF) != 0);
        hv__http_free_kept(conn);
        hv__defer(server->loop, &conn->work, go_on);
    }
    *io = conn->io;
    return 0;
}

int hhttp_upgraded_on_shutdown(hio_t *io, void (*on_shutdown)(hio_t *io)) {
    http_conn_t *conn = hv__io_owner(io);
    if (conn == NULL) return HV_EINVAL;
    if (!hio_is_opened(io)) return HV_ECLOSED;
    conn->on_shutdown = on_shutdown;
    if (conn->server->is_closing) hv__defer(conn->server->loop, &conn->work, go_on);
    return 0;
}

void hv__http_upgraded_tell(hhttp_server_t *server) {
    for (http_conn_t *conn = server->first[HTTP_LIST_UPGRADED]; conn != NULL; conn = conn->next) {
        hv__defer(server->loop, &conn->work, go_on);
    }
}
