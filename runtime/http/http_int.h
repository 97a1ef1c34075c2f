/* http_int.h - the inside of HTTP server sessions: the server, a connection, a request. Private to
 * this room, and seen by that of HTTP/2.
 *
 * A connection is what an idle peer costs beside its io, so it is small and holds no buffer; the
 * request, with parser, head and body, exists between a head's end and the answer's end. */
#ifndef HV_HTTP_INT_H_
#define HV_HTTP_INT_H_

#include "h1_parse.h"
#include "h1_write.h"
#include "hassert.h"
#include "hbuf.h"
#include "hdispatch.h"
#include "hhttp.h"
#include "hmem.h"
#include "hslab.h"

/* What a connection waits for. Each list is ordered by since_ms, and all of its members have the
 * same timeout, so only its first can be the next to be late. */
typedef enum {
    HTTP_LIST_FIRST,    /* the first byte of a fresh connection */
    HTTP_LIST_SETTLING, /* answered a moment ago; output may still stand in the queue */
    HTTP_LIST_IDLE,     /* the next request */
    HTTP_LIST_HEAD,     /* the end of a head that has begun */
    HTTP_LIST_BODY,     /* the next piece of a body */
    HTTP_LIST_BUSY,     /* the program's answer; looked at now and then for a stuck peer */
    HTTP_LIST_LINGER,   /* the peer to read its refusal and to close */
    HTTP_LIST_UPGRADED, /* its io, which is somebody else's, to be closed */
    HTTP_LIST_CLOSING,  /* its io to be closed; for a server that closes */
    HTTP_LIST_HANDSHAKE, /* the end of its TLS handshake, whose time the io has */
    HTTP_LIST_COUNT,
} http_list_e;

/* What arriving bytes are.
 *
 *   HEAD -> BUSY -> [BODY -> BUSY ->] [DRAIN ->] HEAD ...   and from anywhere -> LINGER -> CLOSED
 *             \-> UPGRADED, V2
 */
typedef enum {
    HTTP_HEAD,   /* the next head; there is no request */
    HTTP_BUSY,   /* nobody's yet: the program is about to answer, reading is stopped */
    HTTP_BODY,   /* the body the program has asked for */
    HTTP_DRAIN,  /* the rest of a body that nobody wants; the answer is out */
    HTTP_LINGER, /* nobody's any more: dropped */
    HTTP_UPGRADED, /* somebody else's: the io has been given away */
    HTTP_V2,       /* frames of HTTP/2: see http_transport.h */
    HTTP_CLOSED, /* on_close is all that follows */
} http_state_e;

enum {
    CONN_EOF       = 0x01, /* the peer has ended its side */
    CONN_BACKED_UP = 0x02, /* no next request before the write queue has drained */
    CONN_HAS_MORE  = 0x04, /* what is kept may hold whole requests: the pass was over */
    CONN_TOLD      = 0x08, /* upgraded: on_shutdown was called */
    CONN_IS_STREAM = 0x10, /* no connection, but a stream of one: see http_transport.h */
};

/* Bytes of a head that is incomplete, or behind a request that is being answered. */
typedef struct http_kept_s {
    hbuf_t buf;
    size_t scanned; /* by h1_find_head_end */
} http_kept_t;

typedef struct http_conn_s {
    struct http_conn_s *next; /* in its list */
    struct http_conn_s *prev;
    hio_t *io;
    hhttp_server_t *server;
    hhttp_request_t *req; /* between a head's end and the answer's end */
    http_kept_t *kept;    /* NULL while nothing is kept back */
    hv__defer_t work;     /* to go on once no API call is on the stack */
    uint32_t since_ms;    /* when it joined its list */
    uint8_t list;         /* http_list_e */
    uint8_t state;        /* http_state_e */
    uint8_t flags;
    union {
        struct {
            uint32_t request_count;
            uint32_t budget; /* bytes that DRAIN and LINGER may still drop */
        };
        void (*on_shutdown)(hio_t *io); /* UPGRADED: of whoever has taken it over, or NULL */
        void *v2;                       /* V2: what that room keeps for it */
    };
} http_conn_t;

enum {
    REQ_OWNS_HEAD    = 0x0002, /* else its slices borrow the bytes being processed */
    REQ_BODY_WAITS   = 0x0004, /* the program waits for on_body or on_piece */
    REQ_BODY_DONE    = 0x0008, /* nothing of it is to come */
    REQ_BODY_BORROWS = 0x0010, /* body_slice points into the bytes being processed */
    REQ_BEGUN        = 0x0020, /* the answer's head is written */
    REQ_ENDED        = 0x0040, /* the answer is complete */
    REQ_GONE         = 0x0080, /* given up, by the peer, the program or the server */
    REQ_CLOSE_AFTER  = 0x0100, /* the answer says so, or its framing does */
    REQ_LINGER_AFTER = 0x0200, /* and the peer may still be sending */
    REQ_NO_BODY      = 0x0400, /* HEAD, 204, 304: pieces are counted, not sent */
    REQ_CHUNKED      = 0x0800,
    REQ_SAID_100     = 0x1000,
    REQ_BODY_COLLECTS = 0x2000, /* with REQ_BODY_WAITS: on_body, else on_piece */
    REQ_HANDED_OVER  = 0x4000, /* the whole answer was given; a job sends it, see http_send.c */
};

struct hhttp_request_s {
    http_conn_t *conn; /* NULL once the connection is gone or has gone on */
    const struct http_transport_s *via; /* NULL for HTTP/1: http_transport.h */
    hhttp_server_t *server;
    void *userdata;
    uint32_t refs;
    uint32_t flags;
    h1_parser_t parser;
    const char *block; /* the head's bytes; hv__free it where REQ_OWNS_HEAD */
    size_t block_len;
    hbuf_t body;
    hhttp_slice_t body_slice; /* with REQ_BODY_BORROWS */
    uint64_t length_left;     /* promised and not written; UINT64_MAX where nothing was promised */
    uint64_t body_bytes;      /* of payload that has come */
    uint64_t sent_bytes;      /* of the answer's payload, handed to the connection */
    uint64_t body_bytes_max;
    int status;               /* of the answer's head; 0 before it is written */
    uint32_t body_waited_ms; /* for the peer, where a least rate is asked for */
    union {
        void (*on_body)(hhttp_request_t *req, int error);
        hhttp_piece_cb on_piece;
    };
    struct http_job_s *job; /* a file that is being sent, or NULL: http_file.h */
    hhttp_request_cb on_abort;
    void *abort_userdata;
    hhttp_request_cb on_drain;
    void *drain_userdata;
    struct http_trailers_s *trailers; /* of the request; NULL: none have come */
    struct http_coding_s *coding; /* its answer is to be compressed: http_coding.h; or NULL */
    struct http_pass_s *pass; /* of the gateway that answers it, or NULL */
};

/* The bytes that a connection is processing now. */
typedef struct http_span_s {
    const char *data;
    size_t len;
    size_t used;
    size_t scanned; /* by h1_find_head_end, behind `used` */
} http_span_t;

#define HTTP_LAST_HEAD_BYTES 512
#define HTTP_HEAD_MISSES_MAX 16

/* The head that was parsed last, to recognize it when it comes again. */
typedef struct http_last_head_s {
    size_t len; /* 0: there is none */
    uint32_t misses; /* heads in a row that were different */
    h1_parser_t parser; /* its slices point into `block` */
    char block[HTTP_LAST_HEAD_BYTES];
} http_last_head_t;

#define HTTP_CACHED_HEADS    4
#define HTTP_CACHED_TYPE_MAX 48
#define HTTP_CACHED_BYTES    256

/* The beginning of a head, up to the digits of its Content-Length. */
typedef struct http_head_cache_s {
    uint64_t until_us; /* the server's date_until_us when it was written */
    int status;        /* 0: nothing stands here */
    size_t type_len;
    size_t len;
    char type[HTTP_CACHED_TYPE_MAX];
    char text[HTTP_CACHED_BYTES];
} http_head_cache_t;

/* Which listeners accept nobody for now. */
typedef enum { HTTP_REST_NONE, HTTP_REST_TLS, HTTP_REST_ALL } http_rest_e;

struct hhttp_server_s {
    hloop_t *loop;
    hhttp_request_cb on_request;
    void *userdata;
    hhttp_server_options_t options;
    h1_limits_t limits;
    hhttp_slice_t server_name;
    h1_date_t date;
    uint64_t date_until_us; /* of the monotonic clock: the text is right before that */

    http_head_cache_t heads[HTTP_CACHED_HEADS];
    http_last_head_t last_head;

    http_conn_t *processing; /* whose callbacks are on the stack, or NULL */
    http_span_t span;

    http_conn_t *first[HTTP_LIST_COUNT];
    http_conn_t *last[HTTP_LIST_COUNT];
    uint32_t timeout_ms[HTTP_LIST_COUNT]; /* INFINITE: none */
    htimer_t *timer;
    uint64_t timer_due_ms; /* UINT64_MAX while there is no timer */

    hslab_t conns;
    hslab_t requests;
    hslab_t jobs;
    size_t upgraded_streams; /* of HTTP/2: the server outlives them */
    void *v2; /* what the room of HTTP/2 keeps for the server; NULL before the first connection */
    char *file_buffer; /* for small files; NULL until the first */
    uint64_t answered;
    hio_t **listeners;
    size_t listener_count;
    uint32_t handshakes;  /* members of HTTP_LIST_HANDSHAKE */
    http_rest_e rest;

    int is_closing;
    int is_draining; /* closing, but who is idle is still waited for */
    int is_reported; /* on_close was called, or is not wanted */
    htimer_t *idle_timer; /* of draining */
    htimer_t *grace_timer;
    uint64_t grace_due_ms;
    void (*on_close)(hhttp_server_t *server, void *userdata);
    void *close_userdata;
    hv__defer_t close_work;
};

/* ---- http_server.c ---- */

/* Puts a connection at the end of a list, where its time begins anew. */
void hv__http_list_move(http_conn_t *conn, http_list_e list);
void hv__http_list_remove(http_conn_t *conn);
/* The current Date. */
const h1_date_t *hv__http_date(hhttp_server_t *server);
/* Gives a connection's memory back, wakes resting listeners, ends a close. */
void hv__http_conn_free(http_conn_t *conn);
/* Ends a close once the last connection is gone. Only from the dispatcher. */
void hv__http_server_end_if_closed(hhttp_server_t *server);
/* Frees a closed server once nothing of it is in use. */
void hv__http_server_free_unused(hhttp_server_t *server);

/* ---- http_session.c ---- */

void hv__http_accept(hio_t *io);
/* The same before a TLS handshake, after which hv__http_accept follows. */
void hv__http_accept_raw(hio_t *io);
/* The peer did not do in time what its list waits for. Called by the dispatcher. */
void hv__http_conn_late(http_conn_t *conn);
/* Takes the connection up where the API left it: answered, a body asked for, given up. */
void hv__http_conn_wake(http_conn_t *conn);
/* Closes once everything is sent; or at once. */
void hv__http_conn_close(http_conn_t *conn);
void hv__http_conn_abort(http_conn_t *conn);
/* Answers with an error of the server's own where no answer has begun, and closes when the peer
 * has had time to read it. Calls nobody and leaves the request where it is. */
void hv__http_conn_refuse(http_conn_t *conn, int status);
/* The write queue has room again: the drain callback of every io that was too full. */
void hv__http_on_drain(hio_t *io);

void hv__http_free_kept(http_conn_t *conn);
/* The request of conn will not be answered: tells the program, unless it knows already. */
void hv__http_give_up(http_conn_t *conn, int code);
/* What a request is written to has room again: tells who waits for it. */
void hv__http_drained(hhttp_request_t *req);
/* Whether output has waited too long for the peer to take it. */
int hv__http_is_stuck(const http_conn_t *conn);

/* ---- http_head.c ---- */

/* The length of the head that was parsed last where `data` begins with the same bytes, or 0. */
size_t hv__http_repeated_head(const hhttp_server_t *server, const char *data, size_t len);
/* Fills req->parser for the head that lies in req->block; `is_repeated`: it is the one that
 * hv__http_repeated_head has found. Returns 0 or the status to refuse with. */
int hv__http_parse_head(hhttp_request_t *req, int is_repeated);

/* ---- http_body.c ---- */

/* Collects the body bytes that have arrived already.
 * Returns 1 complete, 0 more is needed, or a negative code: the connection has refused it then. */
int hv__http_body_take(hhttp_request_t *req);
/* Finds the next piece. Returns 1 with the piece (len 0: the end), 0 or a code as above. */
int hv__http_body_piece(hhttp_request_t *req, hhttp_slice_t *piece);
/* Calls back who waits for the body. Only from the dispatcher. */
void hv__http_body_tell(hhttp_request_t *req, hhttp_slice_t piece, int error);
/* Counts the time waited for what has come. Returns whether the peer is slower than allowed. */
int hv__http_body_is_slow(hhttp_request_t *req, uint32_t waited_ms);

/* ---- http_send.c ---- */

/* The queue of a connection that sends a file has room again; or its peer has gone. */
void hv__http_job_drained(struct http_job_s *job);
void hv__http_job_gone(struct http_job_s *job);
/* Prepares the server's pool of jobs. */
void hv__http_jobs_init(hhttp_server_t *server);

/* ---- http_upgrade.c ---- */

/* Puts the bytes behind an upgraded request back into its io, and lets the request go. */
void hv__http_upgrade_finish(http_conn_t *conn, const char *rest, size_t len);
/* Has every upgraded connection told, later, that the server ends. */
void hv__http_upgraded_tell(hhttp_server_t *server);

/* ---- http_request.c ---- */

hhttp_request_t *hv__http_request_new(http_conn_t *conn);
/* Copies what still borrows the bytes being processed. Returns 0 or HV_ENOMEM: its slices are
 * empty then. */
int hv__http_request_own(hhttp_request_t *req);
/* Cuts the request off its connection; the connection's reference is now the caller's. */
hhttp_request_t *hv__http_request_cut(http_conn_t *conn);

/* ---- http_coding.c: see http_coding.h ---- */

typedef struct http_coding_s http_coding_t;

/* ---- http_response.c ---- */

/* Whether the program should write no more for now; hv__http_drained tells when it may again. */
int hv__http_must_wait(hhttp_request_t *req);
/* As hhttp_response_write, of a range of a file; `flags` of hio_write_file. */
int hv__http_write_file(hhttp_request_t *req, int fd, uint64_t offset, uint64_t len, int flags);
/* Writes the head of an answer. Returns 0, or a code: HV_ENOMEM (nothing is written),
 * HV_ECLOSED. */
int hv__http_put_head(http_conn_t *conn, const h1_response_t *response);
/* Writes a whole answer of the server's own, which says Connection: close. */
void hv__http_write_refusal(http_conn_t *conn, int status);

#define HTTP_REFUSAL_BYTES 64
/* The head of such an answer, for any version; its body, content_length bytes of `text`, is filled
 * in. */
h1_response_t hv__http_refusal(hhttp_server_t *server, int status, char text[HTTP_REFUSAL_BYTES]);

static inline uint64_t hv__http_now_ms(const hhttp_server_t *server) {
    return hloop_now_hrtime(server->loop) / 1000;
}

#endif
