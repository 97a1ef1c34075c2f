/* h2_server.c - a connection of HTTP/2: bytes in, frames out, time limits, floods, the end.
 *
 * A connection begins as one of HTTP/1 and comes here with its first bytes, the client's preface
 * (RFC 9113 section 3.4). Bytes are fed to nghttp2 frame by frame (see h2_int.h). What it has to
 * say leaves once the bytes at hand are done, in one write. While the peer does not read, nothing
 * more of it is fed, and its bytes wait in `kept`.
 *
 * The connection's http_conn_t stands in the lists of the server as one of HTTP/1 does: FIRST until
 * its first request, HEAD while a head is incomplete, BUSY while there are streams, SETTLING and
 * IDLE between them.
 *
 * Frames that bring nothing are counted (glitches) and paid for by time and by work: an answer's
 * DATA, a request that was answered. That bounds floods of SETTINGS, PING, PRIORITY, empty DATA,
 * WINDOW_UPDATE and requests that are reset at once, by the peer or because of it (CVE-2023-44487,
 * CVE-2025-8671, CVE-2019-9512 to 9518). */
#include "h2_int.h"

#include "hloop_int.h"
#include "hssl.h"

#define STREAMS_PER_CHUNK     8
#define REQUESTS_PER_PASS     64 /* of one connection, before the others have their turn */
#define STREAM_WINDOW         (32 * 1024) /* before the program reads */
#define CONNECTION_MARGIN     (1024 * 1024)
#define KEPT_BYTES_MAX        (1u << 30)
#define GLITCHES_PER_SECOND   50
#define RESET_COST            4 /* of a request that was not answered yet */
#define PAYING_BYTES          1024 /* of a body in one piece */

static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
#define PREFACE_LEN  (sizeof preface - 1)
#define PREFACE_HEAD 18 /* what looks like a head of HTTP/1 */

/* ---- Sending ---- */

static void go_on(hv__defer_t *work);

void hv__h2_touch(h2_stream_t *stream) {
    h2_conn_t *h2 = stream->h2;
    if (stream->flags & STREAM_IS_EVENT) return;
    stream->flags |= STREAM_IS_EVENT;
    hlist_push(&h2->events, &stream->event);
    hv__h2_send_soon(h2);
}

void hv__h2_send(h2_conn_t *h2) {
    if (h2->conn->state != HTTP_V2) return;
    if (hv__h2_flush(h2->session, h2->io) != 0) hv__http_conn_abort(h2->conn);
}

void hv__h2_send_soon(h2_conn_t *h2) {
    if (!h2->is_running && h2->conn->state == HTTP_V2) {
        hv__defer(hv__h2_server_of(h2)->loop, &h2->work, go_on);
    }
}

/* ---- Floods ---- */

void hv__h2_pay(h2_conn_t *h2, uint32_t credit) {
    h2->glitches -= credit < h2->glitches ? credit : h2->glitches;
}

static void count_glitches(h2_conn_t *h2, uint32_t cost) {
    h2->glitches += cost;
    if (h2->glitches < 100) return;
    uint32_t now_ms = (uint32_t)hv__http_now_ms(hv__h2_server_of(h2));
    uint32_t seconds = (now_ms - h2->glitch_ms) / 1000;
    if (seconds == 0) return;
    h2->glitch_ms = now_ms;
    hv__h2_pay(h2, seconds < 1000 ? seconds * GLITCHES_PER_SECOND : UINT32_MAX);
}

/* Whether the frame that begins is of a stream that is over. */
static int is_too_late(const h2_conn_t *h2) {
    const uint8_t *at = h2->frame_head + 5;
    uint32_t id = (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
    int32_t stream_id = (int32_t)(id & 0x7fffffff);
    return stream_id <= nghttp2_session_get_last_proc_stream_id(h2->session) &&
           nghttp2_session_get_stream_user_data(h2->session, stream_id) == NULL;
}

/* The head of a frame has come. */
static void note_frame(h2_conn_t *h2) {
    uint8_t type = h2->frame_head[3];
    uint8_t flags = h2->frame_head[4];
    switch (type) {
    case NGHTTP2_DATA:
        if (h2->payload_left == 0 && !(flags & NGHTTP2_FLAG_END_STREAM)) count_glitches(h2, 1);
        if (is_too_late(h2)) count_glitches(h2, 1);
        return;
    case NGHTTP2_HEADERS:
        if (is_too_late(h2)) count_glitches(h2, 1);
        if (h2->stream_count >= hv__h2_server_of(h2)->options.streams_max) {
            count_glitches(h2, RESET_COST); /* it will be refused */
        }
        return;
    default: count_glitches(h2, 1);
    }
}

/* ---- nghttp2's callbacks: they fill structs ---- */

static int on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame, void *userdata) {
    h2_conn_t *h2 = userdata;
    int is_headers = frame->hd.type == NGHTTP2_HEADERS;
    if (frame->hd.type == NGHTTP2_RST_STREAM) {
        h2_stream_t *stream = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
        if (stream != NULL && stream->conn.req != NULL) count_glitches(h2, RESET_COST - 1);
        return 0;
    }
    if (!is_headers && frame->hd.type != NGHTTP2_DATA) return 0;
    h2_stream_t *stream = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    if (stream == NULL) return 0;
    int ends = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
    if (ends) stream->flags |= STREAM_ENDED;
    if (is_headers && frame->headers.cat != NGHTTP2_HCAT_REQUEST) hv__h2_end_trailers(h2);
    if (is_headers && frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
        h2->ready = stream;
        h2->heading.stream = NULL;
    } else if (ends && h2->chunk_stream == NULL) {
        h2->chunk_stream = stream;
        h2->chunk = (hhttp_slice_t){NULL, 0};
    }
    return 0;
}

static int on_data_chunk_recv(nghttp2_session *session, uint8_t flags, int32_t id,
                              const uint8_t *data, size_t len, void *userdata) {
    (void)flags;
    h2_conn_t *h2 = userdata;
    /* The window of the connection is wide enough for those of all streams, which are what bounds
     * how much may come. */
    nghttp2_session_consume_connection(session, len);
    h2_stream_t *stream = nghttp2_session_get_stream_user_data(session, id);
    if (stream == NULL) {
        nghttp2_session_consume_stream(session, id, len);
        return 0;
    }
    h2->chunk_stream = stream;
    h2->chunk = (hhttp_slice_t){(const char *)data, len};
    /* Crumbs pay for nothing: a peer could buy a flood by them (CVE-2025-8671). */
    if (len >= PAYING_BYTES) hv__h2_pay(h2, 1);
    return 0;
}

static int is_fault_of_peer(uint32_t reason) {
    switch (reason) {
    case NGHTTP2_NO_ERROR:
    case NGHTTP2_INTERNAL_ERROR:
    case NGHTTP2_CANCEL:
    case NGHTTP2_REFUSED_STREAM: return 0;
    default: return 1;
    }
}

static int on_frame_send(nghttp2_session *session, const nghttp2_frame *frame, void *userdata) {
    if (frame->hd.type == NGHTTP2_RST_STREAM) {
        /* A peer can also have us reset what it has asked for (CVE-2025-8671). */
        if (is_fault_of_peer(frame->rst_stream.error_code)) count_glitches(userdata, RESET_COST);
        return 0;
    }
    int is_of_answer = frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA;
    if (!is_of_answer || !(frame->hd.flags & NGHTTP2_FLAG_END_STREAM)) return 0;
    h2_stream_t *stream = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    if (stream == NULL) return 0;
    stream->flags |= STREAM_OUT_SENT;
    hv__h2_stream_sent(stream);
    return 0;
}

/* A head that is too long for nghttp2. */
static int on_frame_not_send(nghttp2_session *session, const nghttp2_frame *frame, int error,
                             void *userdata) {
    (void)userdata;
    if (frame->hd.type != NGHTTP2_HEADERS || error == NGHTTP2_ERR_STREAM_CLOSED) return 0;
    return nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id,
                                     NGHTTP2_INTERNAL_ERROR);
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t reason, void *userdata) {
    (void)userdata;
    h2_stream_t *stream = nghttp2_session_get_stream_user_data(session, id);
    if (stream == NULL) return 0;
    stream->flags |= STREAM_CLOSED;
    stream->reason = reason;
    hv__h2_touch(stream);
    return 0;
}

/* ---- Bytes in ---- */

/* How many of the next bytes go to nghttp2 at once: up to the end of a frame. */
static size_t cut(h2_conn_t *h2, const uint8_t *data, size_t len) {
    if (h2->magic_left > 0) {
        size_t magic = len < h2->magic_left ? len : h2->magic_left;
        h2->magic_left -= (uint32_t)magic;
        return magic;
    }
    size_t at = 0;
    if (h2->frame_head_len < sizeof h2->frame_head) {
        while (at < len && h2->frame_head_len < sizeof h2->frame_head) {
            h2->frame_head[h2->frame_head_len++] = data[at++];
        }
        if (h2->frame_head_len < sizeof h2->frame_head) return at;
        const uint8_t *head = h2->frame_head;
        h2->payload_left = (uint32_t)head[0] << 16 | (uint32_t)head[1] << 8 | head[2];
        note_frame(h2);
    }
    size_t payload = len - at < h2->payload_left ? len - at : h2->payload_left;
    h2->payload_left -= (uint32_t)payload;
    if (h2->payload_left == 0) h2->frame_head_len = 0;
    return at + payload;
}

/* Tells of what has happened to streams. */
static void run_events(h2_conn_t *h2) {
    for (hlink_t *link; (link = hlist_shift(&h2->events)) != NULL;) {
        h2_stream_t *stream = HV_CONTAINER_OF(link, h2_stream_t, event);
        stream->flags &= ~(uint32_t)STREAM_IS_EVENT;
        hv__h2_stream_look(stream);
    }
}

static void say_goodbye(h2_conn_t *h2, uint32_t reason) {
    nghttp2_session_terminate_session(h2->session, reason);
    hv__h2_send(h2);
    if (h2->conn->state == HTTP_V2) hv__http_conn_close(h2->conn);
}

/* Feeds one frame, or a part of one, and tells of it. Returns the bytes used. */
static size_t feed_frame(h2_conn_t *h2, const uint8_t *data, size_t len) {
    size_t used = cut(h2, data, len);
    h2->ready = h2->chunk_stream = NULL;
    ssize_t result = nghttp2_session_mem_recv(h2->session, data, used);
    if (result < 0) {
        int is_flood = result == NGHTTP2_ERR_FLOODED;
        if (is_flood || result == NGHTTP2_ERR_BAD_CLIENT_MAGIC) {
            say_goodbye(h2, is_flood ? NGHTTP2_ENHANCE_YOUR_CALM : NGHTTP2_PROTOCOL_ERROR);
        } else {
            hv__http_conn_abort(h2->conn);
        }
        return used;
    }
    HV_ASSERT((size_t)result == used);
    if (h2->ready != NULL) hv__h2_stream_begin(h2->ready);
    if (h2->chunk_stream != NULL) hv__h2_stream_body(h2->chunk_stream);
    run_events(h2);
    if (h2->glitches > hv__h2_server_of(h2)->options.glitches_max) {
        say_goodbye(h2, NGHTTP2_ENHANCE_YOUR_CALM);
    }
    return used;
}

/* Feeds what may be fed now. Returns the bytes used. */
static size_t feed(h2_conn_t *h2, const char *data, size_t len) {
    size_t used = 0;
    uint32_t last_request = h2->request_count + REQUESTS_PER_PASS;
    while (used < len && h2->conn->state == HTTP_V2) {
        if (hio_write_is_high(h2->io) || h2->request_count == last_request) break;
        used += feed_frame(h2, (const uint8_t *)data + used, len - used);
    }
    return h2->conn->state == HTTP_V2 ? used : len;
}

/* ---- What to wait for ---- */

/* No new request is taken; those that are being answered are answered. */
static void go_away(h2_conn_t *h2) {
    if (h2->is_going) return;
    h2->is_going = 1;
    int32_t last = nghttp2_session_get_last_proc_stream_id(h2->session);
    nghttp2_submit_goaway(h2->session, NGHTTP2_FLAG_NONE, last, NGHTTP2_NO_ERROR, NULL, 0);
    hv__h2_send(h2);
}

static http_list_e list_of(const h2_conn_t *h2) {
    const http_conn_t *conn = h2->conn;
    if (h2->heading.stream != NULL) return HTTP_LIST_HEAD;
    if (h2->stream_count > 0) return HTTP_LIST_BUSY;
    if (h2->request_count == 0) return HTTP_LIST_FIRST;
    return conn->list == HTTP_LIST_IDLE ? HTTP_LIST_IDLE : HTTP_LIST_SETTLING;
}

static void settle(h2_conn_t *h2) {
    http_conn_t *conn = h2->conn;
    if (conn->state != HTTP_V2) return;
    const hhttp_server_t *server = conn->server;
    if (h2->request_count >= server->options.requests_per_connection_max) go_away(h2);
    int is_over = !nghttp2_session_want_read(h2->session) &&
                  !nghttp2_session_want_write(h2->session);
    if (is_over || (h2->is_going && h2->stream_count == 0)) {
        hv__http_conn_close(conn);
        return;
    }
    http_list_e list = list_of(h2);
    if (conn->list != list) hv__http_list_move(conn, list);
    if (h2->stream_count == 0 && h2->heading.stream == NULL) hv__h2_heading_reset(&h2->heading);
    if (hbuf_len(&h2->kept) > 0) {
        hio_read_stop(h2->io);
        if (!hio_write_is_high(h2->io)) hv__h2_send_soon(h2);
    } else {
        hio_read(h2->io);
    }
}

/* Everything that may go on does: between is_running and settle nothing is put off. */
static void run(h2_conn_t *h2, const char *data, size_t len) {
    if (h2->conn->state != HTTP_V2) return;
    h2->is_running = 1;
    run_events(h2);
    size_t used = feed(h2, data, len);
    hv__h2_send(h2); /* may close streams, and make room for what waits */
    while (h2->events.first != NULL) {
        run_events(h2);
        hv__h2_send(h2);
    }
    h2->is_running = 0;
    if (data != hbuf_data(&h2->kept)) {
        if (used < len && hbuf_append(&h2->kept, data + used, len - used, KEPT_BYTES_MAX) != 0) {
            hv__http_conn_abort(h2->conn);
        }
    } else if (used > 0) {
        hbuf_consume(&h2->kept, used);
    }
    settle(h2);
}

static void run_kept(h2_conn_t *h2) {
    run(h2, hbuf_data(&h2->kept), hbuf_len(&h2->kept));
}

static void go_on(hv__defer_t *work) { run_kept(HV_CONTAINER_OF(work, h2_conn_t, work)); }

static void on_read(hio_t *io, void *buf, int readbytes) {
    h2_conn_t *h2 = hio_context(io);
    if (hbuf_len(&h2->kept) == 0) {
        run(h2, buf, (size_t)readbytes);
    } else if (hbuf_append(&h2->kept, buf, (size_t)readbytes, KEPT_BYTES_MAX) != 0) {
        hv__http_conn_abort(h2->conn);
    } else {
        run_kept(h2);
    }
}

static void on_drain(hio_t *io) { run_kept(hio_context(io)); }

/* ---- Ends ---- */

/* Nobody is left to answer: what has not left does so, within the io's own time. */
static void on_eof(hio_t *io) {
    h2_conn_t *h2 = hio_context(io);
    if (h2->conn->state != HTTP_V2) return;
    hv__h2_send(h2);
    if (h2->conn->state == HTTP_V2) hv__http_conn_close(h2->conn);
}

static void unlist_event(h2_conn_t *h2, h2_stream_t *stream) {
    if (stream->flags & STREAM_IS_EVENT) hlist_remove(&h2->events, &stream->event);
    stream->flags &= ~(uint32_t)STREAM_IS_EVENT;
}

static void end_streams(h2_conn_t *h2, int code) {
    for (h2_stream_t *stream = h2->streams; stream != NULL; stream = stream->next) {
        stream->flags |= STREAM_CLOSED;
        if (stream->tunnel != NULL) continue;
        stream->conn.state = HTTP_CLOSED;
        hv__http_list_remove(&stream->conn);
    }
    while (h2->streams != NULL) {
        h2_stream_t *stream = h2->streams;
        unlist_event(h2, stream);
        if (stream->tunnel != NULL) {
            hv__h2_stream_leave(stream); /* it ends with its io, a moment later */
            hv__h2_tunnel_lose(stream, code);
            continue;
        }
        hv__http_give_up(&stream->conn, code);
        unlist_event(h2, stream);
        hv__h2_stream_free(stream);
    }
}

static void on_close(hio_t *io) {
    h2_conn_t *h2 = hio_context(io);
    http_conn_t *conn = h2->conn;
    hhttp_server_t *server = conn->server;
    int error = hio_error(io);
    conn->state = HTTP_CLOSED;
    hv__http_list_remove(conn);
    h2->is_running = 1; /* nothing is put off any more */
    end_streams(h2, error != 0 ? -error : HV_ECLOSED);
    hv__defer_cancel(server->loop, &h2->work);
    nghttp2_session_del(h2->session);
    hv__h2_heading_reset(&h2->heading);
    hbuf_deinit(&h2->kept);
    hv__free(h2);
    hv__http_conn_free(conn);
}

static void go_away_of(http_conn_t *conn, int is_first) {
    h2_conn_t *h2 = conn->v2;
    if (is_first) {
        nghttp2_submit_shutdown_notice(h2->session);
    } else {
        go_away(h2);
    }
    hv__h2_send_soon(h2);
}

static void late_streams(h2_conn_t *h2) {
    for (h2_stream_t *stream = h2->streams; stream != NULL; stream = stream->next) {
        if (!hv__h2_stream_is_stuck(stream)) continue;
        if (stream->tunnel != NULL) {
            hv__h2_reset(stream, NGHTTP2_CANCEL);
        } else {
            hv__http2_transport.abort(&stream->conn);
        }
    }
}

static void late(http_conn_t *conn) {
    h2_conn_t *h2 = conn->v2;
    switch (conn->list) {
    case HTTP_LIST_SETTLING:
    case HTTP_LIST_BUSY:
        if (hv__http_is_stuck(conn)) {
            hv__http_conn_abort(conn);
            return;
        }
        if (conn->list == HTTP_LIST_BUSY) {
            late_streams(h2);
            hv__http_list_move(conn, HTTP_LIST_BUSY);
        } else if (hio_write_is_complete(conn->io)) {
            uint32_t since_ms = conn->since_ms; /* its time goes on, as with HTTP/1 */
            hv__http_list_move(conn, HTTP_LIST_IDLE);
            conn->since_ms = since_ms;
        } else {
            hv__http_list_move(conn, HTTP_LIST_SETTLING);
        }
        return;
    default: say_goodbye(h2, NGHTTP2_NO_ERROR);
    }
}

/* ---- Beginnings ---- */

static int is_preface(const http_conn_t *conn, const char *data, size_t len) {
    uint32_t where = conn->server->options.http2;
    if (len < PREFACE_HEAD || memcmp(data, preface, PREFACE_HEAD) != 0) return 0;
    if (conn->request_count > 0 || where == HHTTP_HTTP2_OFF) return 0;
    if (!hio_is_ssl(conn->io)) return where != HHTTP_HTTP2_TLS;
    char alpn[8];
    return hio_ssl_alpn(conn->io, alpn, sizeof alpn) == 2 && memcmp(alpn, "h2", 2) == 0;
}

static int make_callbacks(h2_server_t *v2) {
    if (nghttp2_session_callbacks_new(&v2->callbacks) != 0) return HV_ENOMEM;
    nghttp2_session_callbacks *set = v2->callbacks;
    nghttp2_session_callbacks_set_on_begin_headers_callback(set, hv__h2_on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(set, hv__h2_on_header);
    nghttp2_session_callbacks_set_on_invalid_header_callback(set, hv__h2_on_invalid_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(set, on_frame_recv);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(set, on_data_chunk_recv);
    nghttp2_session_callbacks_set_on_frame_send_callback(set, on_frame_send);
    nghttp2_session_callbacks_set_on_frame_not_send_callback(set, on_frame_not_send);
    nghttp2_session_callbacks_set_on_stream_close_callback(set, on_stream_close);
    nghttp2_session_callbacks_set_send_data_callback(set, hv__h2_on_send_data);
    if (nghttp2_option_new(&v2->option) != 0) return HV_ENOMEM;
    nghttp2_option_set_no_auto_window_update(v2->option, 1);
    nghttp2_option_set_no_closed_streams(v2->option, 1);
    return 0;
}

static void server_free(hhttp_server_t *server) {
    h2_server_t *v2 = server->v2;
    nghttp2_session_callbacks_del(v2->callbacks);
    nghttp2_option_del(v2->option);
    hslab_deinit(&v2->streams);
    hbuf_deinit(&v2->head);
    hv__free(v2);
    server->v2 = NULL;
}

/* What all connections of a server share. Returns 0 or HV_ENOMEM. */
static int prepare_server(hhttp_server_t *server) {
    if (server->v2 != NULL) return 0;
    h2_server_t *v2 = hv__calloc(1, sizeof *v2);
    if (v2 == NULL) return HV_ENOMEM;
    hslab_init(&v2->streams, sizeof(h2_stream_t), STREAMS_PER_CHUNK);
    server->v2 = v2;
    int code = make_callbacks(v2);
    if (code != 0) server_free(server);
    return code;
}

/* Our side of the preface: what we allow. Returns 0 or a code. */
static int submit_settings(const h2_conn_t *h2) {
    const hhttp_server_options_t *options = &hv__h2_server_of(h2)->options;
    uint32_t streams_max = options->streams_max < 10000 ? options->streams_max : 10000;
    nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, options->streams_max},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, STREAM_WINDOW},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, options->header_bytes_max},
        {NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1}, /* RFC 8441 */
    };
    int error = nghttp2_submit_settings(h2->session, NGHTTP2_FLAG_NONE, settings,
                                        sizeof settings / sizeof *settings);
    if (error != 0) return hv__h2_code(error);
    int32_t window = (int32_t)(streams_max * STREAM_WINDOW + CONNECTION_MARGIN);
    error = nghttp2_session_set_local_window_size(h2->session, NGHTTP2_FLAG_NONE, 0, window);
    return hv__h2_code(error);
}

static int begin_session(http_conn_t *conn, h2_conn_t *h2) {
    int code = prepare_server(conn->server);
    if (code != 0) return code;
    const h2_server_t *v2 = conn->server->v2;
    int error = nghttp2_session_server_new3(&h2->session, v2->callbacks, h2, v2->option,
                                            hv__h2_mem());
    if (error != 0) return hv__h2_code(error);
    code = submit_settings(h2);
    if (code != 0) nghttp2_session_del(h2->session);
    return code;
}

static void begin(http_conn_t *conn, const char *data, size_t len) {
    h2_conn_t *h2 = hv__calloc(1, sizeof *h2);
    if (h2 != NULL) {
        h2->conn = conn;
        h2->io = conn->io;
        h2->magic_left = PREFACE_LEN;
        h2->glitch_ms = (uint32_t)hv__http_now_ms(conn->server);
    }
    if (h2 == NULL || begin_session(conn, h2) != 0) {
        hv__free(h2);
        hv__http_free_kept(conn);
        hv__http_conn_abort(conn);
        return;
    }
    conn->v2 = h2;
    hio_set_context(conn->io, h2);
    hio_setcb_read(conn->io, on_read);
    hio_setcb_eof(conn->io, on_eof);
    hio_setcb_close(conn->io, on_close);
    hio_setcb_drain(conn->io, on_drain);
    int code = hbuf_append(&h2->kept, data, len, KEPT_BYTES_MAX);
    hv__http_free_kept(conn);
    if (code != 0) {
        hv__http_conn_abort(conn);
        return;
    }
    if (conn->server->is_closing && !conn->server->is_draining) go_away(h2);
    run_kept(h2);
}

const http_protocol_t hv__http2_protocol = {
    .is_preface = is_preface,
    .begin = begin,
    .late = late,
    .go_away = go_away_of,
    .server_free = server_free,
};
