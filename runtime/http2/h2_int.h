/* h2_int.h - the inside of HTTP/2 for servers: a connection and its streams. Private to h2_server.c
 * (the connection: bytes in, time limits, the end), h2_head.c (a request's head), h2_stream.c (what
 * a program does with a request), h2_answer.c (what it answers) and h2_tunnel.c (streams that have
 * left HTTP).
 *
 * nghttp2 is fed one frame at a time, so that its callbacks, which only fill these structs, leave
 * at most one thing to tell the program: a request, or a piece of a body. What happens to a stream
 * otherwise (closed, room again, answered) puts it among the events, which are looked at when no
 * API call and no callback of nghttp2's is on the stack. */
#ifndef HV_H2_INT_H_
#define HV_H2_INT_H_

#include "h2_session.h"
#include "hlist.h"
#include "http_transport.h"

typedef struct h2_conn_s h2_conn_t;

enum {
    STREAM_ENDED     = 0x01, /* the peer has sent all of its side */
    STREAM_CLOSED    = 0x02, /* nghttp2 has forgotten it */
    STREAM_OUT_ENDED = 0x04, /* nothing is added to `out` any more */
    STREAM_OUT_SENT  = 0x08, /* END_STREAM was sent */
    STREAM_DEFERRED  = 0x10, /* nghttp2 does not ask for data before it is told to */
    STREAM_HIGH      = 0x20, /* the program waits for room in `out` */
    STREAM_DRAINED   = 0x40, /* there is room again */
    STREAM_IS_EVENT  = 0x80, /* among h2->events */
    STREAM_WIDE      = 0x100, /* its window was opened, since the program reads */
    STREAM_TOO_LONG  = 0x200, /* what is left of its body is not worth taking */
};

/* A request and its answer: from the first header to both sides' ends. */
typedef struct h2_stream_s {
    http_conn_t conn; /* first: it is what the request knows as its connection */
    h2_conn_t *h2; /* NULL for a tunnel whose connection is gone */
    struct h2_stream_s *next; /* of the connection */
    struct h2_stream_s *prev;
    hlink_t event; /* in h2->events while STREAM_IS_EVENT */
    int32_t id;
    uint32_t flags;
    uint32_t reason;   /* of a reset (RFC 9113 section 7) */
    uint32_t moved_ms; /* when output went out last, or began to wait */
    uint32_t dropped;  /* bytes of a body that nobody wants */
    hbuf_t in;         /* of the body: arrived, not taken by the program yet */
    hbuf_t out;        /* of the answer: written, not taken by the peer's window yet */
    char *last_chunk;  /* trailers for the end of `out`, as of hv__http_last_chunk; or NULL */
    uint32_t last_chunk_len;
    int trailer_status; /* to refuse the request with, for its trailers; or 0 */
    const char *direct; /* the program's own bytes, behind `out`, while it is in a call */
    size_t direct_len;
    struct h2_tunnel_s *tunnel; /* NULL but after an upgrade */
} h2_stream_t;

/* Where a word stands in h2->words. */
typedef struct h2_word_s {
    uint32_t at;
    uint32_t len;
} h2_word_t;

/* The head that arrives; heads of two streams never mix. */
typedef struct h2_heading_s {
    h2_stream_t *stream; /* NULL: no head, or one that nobody wants to know */
    hbuf_t words;        /* of the pseudo-headers */
    hbuf_t fields;       /* lines as of HTTP/1 */
    hbuf_t cookie;       /* its crumbs, joined again (RFC 9113 section 8.2.3) */
    h2_word_t method, path, authority, protocol;
    uint32_t count;
    int has_host;
    int is_trailer; /* fields behind the body: `fields` is all there is */
    int status;     /* to refuse with, or 0 */
} h2_heading_t;

struct h2_conn_s {
    http_conn_t *conn;
    hio_t *io;
    nghttp2_session *session;
    hv__defer_t work;
    h2_stream_t *streams;
    uint32_t stream_count;
    uint32_t request_count;
    hlist_t events; /* streams to which something has happened */
    h2_heading_t heading;
    h2_stream_t *ready;  /* whose head is complete: at most one a frame */
    h2_stream_t *chunk_stream;
    hhttp_slice_t chunk; /* a piece of a body, in the bytes being fed */
    hbuf_t kept;         /* arrived, but not fed yet: the peer does not read what we write */
    uint32_t magic_left; /* of the client's preface */
    uint32_t payload_left; /* of the frame being fed */
    uint8_t frame_head[9];
    uint8_t frame_head_len;
    uint8_t is_running; /* events are looked at before it returns */
    uint8_t is_going;   /* GOAWAY was sent: ends with the last stream */
    uint8_t is_full;    /* programs wait until less is queued */
    size_t queued;      /* bytes in `out` of all streams */
    uint32_t glitches;
    uint32_t glitch_ms; /* when time has paid for some last */
};

/* What a server keeps: server->v2. */
typedef struct h2_server_s {
    nghttp2_session_callbacks *callbacks;
    nghttp2_option *option;
    hslab_t streams;
    hbuf_t head; /* of the request being told, as text of HTTP/1 */
} h2_server_t;

/* ---- h2_server.c ---- */

/* Has a stream looked at, now or soon. */
void hv__h2_touch(h2_stream_t *stream);
/* Sends what there is to send, as far as the io takes it. Where that fails the connection ends. */
void hv__h2_send(h2_conn_t *h2);
/* The same, but later, where nothing of this connection is running. */
void hv__h2_send_soon(h2_conn_t *h2);
/* Useful work pays for frames that brought nothing. */
void hv__h2_pay(h2_conn_t *h2, uint32_t credit);

/* ---- h2_head.c ---- */

int hv__h2_on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *userdata);
int hv__h2_on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *userdata);
int hv__h2_on_invalid_header(nghttp2_session *session, const nghttp2_frame *frame,
                             const uint8_t *name, size_t name_len, const uint8_t *value,
                             size_t value_len, uint8_t flags, void *userdata);
/* The trailers of a stream are complete: its request gets them. */
void hv__h2_end_trailers(h2_conn_t *h2);
/* Makes the request of a stream whose head is complete. Returns 0 or the status to refuse with. */
int hv__h2_make_request(h2_stream_t *stream);
void hv__h2_heading_reset(h2_heading_t *heading);

/* ---- h2_stream.c ---- */

h2_stream_t *hv__h2_stream_new(h2_conn_t *h2, int32_t id);
/* Calls nobody; its request, if any, was cut off. */
void hv__h2_stream_free(h2_stream_t *stream);
/* Takes it off its connection, which is gone. */
void hv__h2_stream_leave(h2_stream_t *stream);
/* A head is complete: tells the program, or refuses it. */
void hv__h2_stream_begin(h2_stream_t *stream);
/* A piece of the body has come (h2->chunk), or its end. */
void hv__h2_stream_body(h2_stream_t *stream);
/* Looks at what has happened to it. May free it. */
void hv__h2_stream_look(h2_stream_t *stream);
/* Resets a stream, once. */
void hv__h2_reset(h2_stream_t *stream, uint32_t reason);
/* END_STREAM was sent. */
void hv__h2_stream_sent(h2_stream_t *stream);
/* Whether the peer has taken too long: to open its window, or to end what nobody wants. */
int hv__h2_stream_is_stuck(const h2_stream_t *stream);
/* Opens the window by what was taken, and widens it. */
void hv__h2_stream_took(h2_stream_t *stream, size_t len);

/* ---- h2_answer.c: of a stream's http_transport_t, and what the rest needs of it ---- */

int hv__h2_answer_begin(hhttp_request_t *req, const h1_response_t *response, int ends);
int hv__h2_answer_write(hhttp_request_t *req, const void *data, size_t len, int ends);
int hv__h2_answer_trail(hhttp_request_t *req, const hhttp_header_t *trailers, size_t count);
int hv__h2_answer_must_wait(hhttp_request_t *req);
/* Queues a head. Returns 0 or a code. */
int hv__h2_submit_head(h2_stream_t *stream, const h1_response_t *response, int ends);
/* Drops output that will not be sent. */
void hv__h2_drop_out(h2_conn_t *h2, h2_stream_t *stream);
/* Sends a DATA frame's bytes (nghttp2_send_data_callback). */
int hv__h2_on_send_data(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *frame_head,
                        size_t len, nghttp2_data_source *source, void *userdata);

/* Queues output, or sends it as far as the windows allow; `ends`: the last. Returns 0; HV_ECLOSED,
 * HV_ENOMEM: the stream is reset. */
int hv__h2_stream_put(h2_stream_t *stream, const void *data, size_t len, int ends);

/* ---- h2_tunnel.c ---- */

/* As hhttp_request_upgrade, whose checks are done; conn->io becomes that of the tunnel. */
int hv__h2_upgrade(hhttp_request_t *req, int status, const hhttp_header_t *headers, size_t count);
/* Something has come for a stream that is a tunnel, or there is room again. */
void hv__h2_tunnel_wake(h2_stream_t *stream);
/* The connection is gone. */
void hv__h2_tunnel_lose(h2_stream_t *stream, int code);
/* The tunnel's io is closed: its close callback has returned. */
void hv__h2_let_go(http_conn_t *stream, hio_t *io);

static inline h2_stream_t *hv__h2_stream_of(const hhttp_request_t *req) {
    return HV_CONTAINER_OF(req->conn, h2_stream_t, conn);
}

static inline int hv__h2_is_open(const h2_stream_t *stream) {
    return stream->h2 != NULL && stream->h2->conn->state == HTTP_V2 &&
           !(stream->flags & STREAM_CLOSED);
}

static inline uint32_t hv__h2_now_ms(const h2_stream_t *stream) {
    return (uint32_t)hv__http_now_ms(stream->conn.server);
}

static inline hhttp_server_t *hv__h2_server_of(const h2_conn_t *h2) { return h2->conn->server; }

#endif
