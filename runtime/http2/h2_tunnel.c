/* h2_tunnel.c - a stream that has left HTTP: its DATA is somebody else's bytes, both ways.
 * WebSocket comes here by an extended CONNECT (RFC 8441), everything else by a plain one (RFC 9113
 * section 8.5).
 *
 * Whoever takes it over gets a virtual io (hio_virtual.h), so a protocol room does not know the
 * difference. What the io writes goes into DATA as the peer's windows allow, and waits in the io
 * beyond a mark; what the peer sends is given to the io while its user reads, and only then the
 * window is opened again.
 *
 *     hio_close, hio_shutdown      END_STREAM behind what was written
 *     hio_abort                    RST_STREAM, CANCEL
 *     END_STREAM                   the peer's end
 *     RST_STREAM, a lost connection   the io fails
 *
 * The io may outlive the connection by a moment, since its close callback comes at the end of a
 * pass; the stream stays as long. Nothing of the io is called inside a callback of the connection:
 * all that concerns its user is put off. */
#include "h2_int.h"

#include "hio_virtual.h"
#include "hnet_int.h"

#define ROOM_BYTES (64 * 1024) /* of `out`: the rest waits in the io */

typedef struct h2_tunnel_s {
    hio_t *io;
    hv__defer_t work;
    uint8_t was_told; /* of the peer's end */
} h2_tunnel_t;

/* ---- From the peer to the io ---- */

static void give_data(h2_stream_t *stream) {
    hio_t *io = stream->tunnel->io;
    hbuf_t data = stream->in;
    size_t len = hbuf_len(&data);
    stream->in = (hbuf_t){0};
    if (hbuf_reserve(&data, 1, UINT32_MAX / 2) != 0) {
        hbuf_deinit(&data);
        hv__io_virtual_fail(io, HV_ENOMEM);
        return;
    }
    hv__h2_stream_took(stream, len);
    hv__io_virtual_received(io, hbuf_data(&data), len);
    hbuf_deinit(&data);
}

/* Whether nothing more can come or go, other than by an end that the io has heard of. */
static int is_cut_off(const h2_stream_t *stream) {
    if (!(stream->flags & STREAM_CLOSED)) return 0;
    return stream->reason != NGHTTP2_NO_ERROR || !(stream->flags & STREAM_ENDED);
}

static void go_on(hv__defer_t *work) {
    h2_tunnel_t *tunnel = HV_CONTAINER_OF(work, h2_tunnel_t, work);
    hio_t *io = tunnel->io;
    h2_stream_t *stream = hv__io_virtual_end(io);
    if (hbuf_len(&stream->in) > 0 && hv__io_virtual_reads(io)) give_data(stream);
    if (stream->flags & STREAM_ENDED && hbuf_len(&stream->in) == 0 && !tunnel->was_told) {
        tunnel->was_told = 1;
        hv__io_virtual_ended(io);
    }
    if (stream->flags & STREAM_DRAINED) {
        stream->flags &= ~(uint32_t)STREAM_DRAINED;
        hv__io_virtual_room(io);
    }
    if (is_cut_off(stream)) hv__io_virtual_fail(io, HV_ECONNRESET);
}

void hv__h2_tunnel_wake(h2_stream_t *stream) {
    hv__defer(stream->conn.server->loop, &stream->tunnel->work, go_on);
}

void hv__h2_tunnel_lose(h2_stream_t *stream, int code) {
    hv__io_virtual_fail(stream->tunnel->io, code);
}

/* ---- From the io to the peer: hv__wire_t ---- */

static long send_data(hio_t *io, const void *data, size_t len) {
    h2_stream_t *stream = hv__io_virtual_end(io);
    size_t queued = hbuf_len(&stream->out);
    if (queued >= ROOM_BYTES) return HV_EAGAIN;
    if (len > ROOM_BYTES) len = ROOM_BYTES;
    int code = hv__h2_stream_put(stream, data, len, 0);
    return code == 0 ? (long)len : code == HV_ECLOSED ? HV_ECONNRESET : code;
}

static void end_data(hio_t *io) {
    h2_stream_t *stream = hv__io_virtual_end(io);
    hv__h2_stream_put(stream, NULL, 0, 1);
}

/* Somebody reads, or the io has more than was taken. */
static void on_interest(hio_t *io) {
    h2_stream_t *stream = hv__io_virtual_end(io);
    int wakes = hbuf_len(&stream->in) > 0 && hv__io_virtual_reads(io);
    if (hv__io_has_unsent(io) && !(stream->flags & STREAM_DRAINED)) {
        int has_room = hbuf_len(&stream->out) < ROOM_BYTES;
        stream->flags |= has_room ? STREAM_DRAINED : STREAM_HIGH;
        wakes |= has_room;
    }
    if (wakes) hv__h2_tunnel_wake(stream);
}

static const hv__wire_t wire = {.send = send_data, .shutdown = end_data, .interest = on_interest};

/* ---- Beginning and end ---- */

/* What only HTTP/1 needs, or RFC 8441 section 5 leaves out. */
static int is_left_out(hhttp_slice_t name) {
    return name.len == 20 && strncasecmp(name.data, "sec-websocket-accept", 20) == 0;
}

/* Sends the head of the answer: 200 where HTTP/1 has 101. Returns 0 or a code. */
static int answer(h2_stream_t *stream, int status, const hhttp_header_t *headers, size_t count) {
    hhttp_server_t *server = stream->conn.server;
    hhttp_header_t *kept = count > 0 ? hv__malloc(count * sizeof *kept) : NULL;
    size_t kept_count = 0;
    if (count > 0 && kept == NULL) return HV_ENOMEM;
    for (size_t i = 0; i < count; i++) {
        if (!is_left_out(headers[i].name)) kept[kept_count++] = headers[i];
    }
    h1_response_t response = {
        .status = status == 101 ? 200 : status,
        .headers = kept,
        .header_count = kept_count,
        .server_name = server->server_name,
        .date = hv__http_date(server),
        .framing = H1_FRAME_NONE,
    };
    int code = hv__http2_transport.begin(stream->conn.req, &response, 0);
    hv__free(kept);
    return code;
}

int hv__h2_upgrade(hhttp_request_t *req, int status, const hhttp_header_t *headers, size_t count) {
    h2_stream_t *stream = hv__h2_stream_of(req);
    hhttp_server_t *server = stream->conn.server;
    HV_ASSERT(stream->tunnel == NULL);
    h2_tunnel_t *tunnel = hv__calloc(1, sizeof *tunnel);
    if (tunnel == NULL) return HV_ENOMEM;
    tunnel->io = hv__io_virtual(server->loop, &wire, stream, stream->h2->io);
    int code = tunnel->io != NULL ? answer(stream, status, headers, count) : HV_ENOMEM;
    if (code != 0) {
        if (tunnel->io != NULL) hio_abort(tunnel->io);
        hv__free(tunnel);
        return code;
    }
    stream->tunnel = tunnel;
    stream->conn.io = tunnel->io;
    server->upgraded_streams++;
    hv__h2_tunnel_wake(stream); /* for what has come already */
    return 0;
}

void hv__h2_let_go(http_conn_t *conn, hio_t *io) {
    h2_stream_t *stream = HV_CONTAINER_OF(conn, h2_stream_t, conn);
    hhttp_server_t *server = conn->server;
    hv__defer_cancel(server->loop, &stream->tunnel->work);
    hv__free(stream->tunnel);
    stream->tunnel = NULL;
    conn->state = HTTP_LINGER;
    HV_ASSERT(server->upgraded_streams > 0);
    server->upgraded_streams--;
    if (stream->h2 == NULL) {
        hv__h2_stream_free(stream);
    } else if (hv__io_virtual_is_gentle(io)) {
        /* Whoever has closed does not want the rest of what the peer sends. */
        stream->flags |= STREAM_TOO_LONG;
        if (stream->flags & STREAM_OUT_SENT && !(stream->flags & STREAM_ENDED)) {
            hv__h2_reset(stream, NGHTTP2_NO_ERROR);
        }
        hv__h2_stream_put(stream, NULL, 0, 1);
        hv__h2_touch(stream);
    } else {
        hv__h2_reset(stream, NGHTTP2_CANCEL);
        hv__h2_touch(stream);
    }
}
