/* h2_client.h - the inside of HTTP/2 for clients: a link's session (h2_client.c), a call's stream
 * (h2_call.c) and the heads of both directions (h2_fields.c). Private to these three.
 *
 * nghttp2's callbacks only fill these structs. Its reading pauses behind every piece of a body,
 * which is then told to the call where it lies, in the loop's read buffer; all else that happens to
 * a stream makes it due, and what is due is looked at when nghttp2 has returned. */
#ifndef HV_H2_CLIENT_H_
#define HV_H2_CLIENT_H_

#include "h2_session.h"
#include "hlist.h"
#include "http_client_int.h"

typedef struct h2_link_s h2_link_t;
typedef struct h2_call_s h2_call_t;

enum {
    H2_ENDED     = 0x01, /* the response is whole */
    H2_CLOSED    = 0x02, /* nghttp2 has forgotten the stream */
    H2_WAS_RESET = 0x04, /* by the server */
    H2_WAS_SENT  = 0x08, /* the request has gone out */
    H2_OUT_ENDED = 0x10, /* the program has ended the body */
    H2_DEFERRED  = 0x20, /* nghttp2 does not ask for the body before it is told to */
    H2_DRAINED   = 0x40, /* the program may write again */
    H2_IS_DUE    = 0x80,
    H2_IS_TOLD   = 0x100, /* the call is being told; it is freed after that */
    H2_WAS_LOST  = 0x200, /* its connection has ended under it */
    H2_HAS_SERVED = 0x400, /* which had served before */
};

/* A head that has come and was not told yet. */
typedef struct h2_head_s {
    struct h2_head_s *next;
    int64_t length; /* of content-length; -1: none */
    int status;
    uint32_t len;
    char text[]; /* lines as of HTTP/1 */
} h2_head_t;

/* A call's stream; call->stream. It outlives its link where the response has come already. */
struct h2_call_s {
    h2_link_t *h2;       /* NULL: the connection is gone */
    hhttp_call_t *call;  /* NULL: the call is gone */
    h2_call_t *next;     /* of h2->calls */
    h2_call_t *prev;
    hlink_t due;         /* in h2->due while H2_IS_DUE */
    http_group_t *group; /* held, where the connection is gone */
    h2_head_t *first_head;
    h2_head_t *last_head;
    uint32_t head_count; /* so far */
    int32_t id;
    uint32_t flags;
    uint32_t reason; /* of the end of the stream (RFC 9113 section 7) */
    int error;       /* of ours, or of the connection; 0: none */
    hbuf_t in;       /* of the response: come, not taken yet; no more than the window */
    hbuf_t out;      /* of the request: written, not sent yet */
    char *last_chunk; /* its trailers, as of hv__http_last_chunk; or NULL */
    size_t last_chunk_len;
    char words[120]; /* for the error; "": those of the code */
};

/* The head that is coming; heads of two streams never mix. */
typedef struct h2_heading_s {
    h2_call_t *call; /* NULL: no head, or one of a call that is gone */
    hbuf_t fields;
    int64_t length;
    int status;
    uint32_t count;
    int is_trailer; /* fields behind the body */
} h2_heading_t;

struct h2_link_s {
    http_link_t *link;
    nghttp2_session *session;
    hv__defer_t work;
    h2_call_t *calls;
    hlist_t due; /* calls that something is to be told */
    h2_heading_t heading;
    h2_call_t *chunk_call; /* the piece of a body at which nghttp2 has paused */
    hhttp_slice_t chunk;
    uint64_t read_ms; /* when bytes came last */
    htimer_t *ping_timer; /* while there are calls, where the client asks by PING; or NULL */
    uint64_t ping_ms;     /* when the PING went out that nothing has come since; 0: none */
    uint32_t call_count;
    uint32_t calls_max; /* fewer than the server says, where it refuses */
    uint32_t reason;    /* of the server's GOAWAY */
    int error;          /* why it ends */
    char words[120];    /* nghttp2's, for the last error of the server's; "": none */
    uint8_t has_settings; /* the server's have come */
    uint8_t is_running;   /* what is due is looked at before it returns */
    uint8_t is_retired;   /* takes no more calls, ends with the last one */
    uint8_t runs_again;   /* something has come up while it was running */
    uint8_t has_goaway;   /* the server will not answer newer requests */
    uint8_t was_left;     /* a call has gone: those that wait may have its place */
    uint8_t is_over;      /* the io is being closed */
    uint8_t is_late;      /* no answer to the PING in time: one more look at what has come */
};

/* ---- h2_client.c ---- */

/* Has the session send and look around soon. */
void hv__h2_link_later(h2_link_t *h2);
/* Has a stream looked at. */
void hv__h2_call_due(h2_call_t *self);
/* The link takes no more calls. */
void hv__h2_link_retire(h2_link_t *h2);
/* There is a call again: whether the connection is alive is watched, where the client wants that.
 * Without memory it is not. */
void hv__h2_link_watch(h2_link_t *h2);

/* ---- h2_call.c ---- */

void hv__h2_call_use(http_link_t *link, hhttp_call_t *call);
void hv__h2_call_leave(hhttp_call_t *call);
void hv__h2_call_go_on(hhttp_call_t *call);
void hv__h2_call_send_body(hhttp_call_t *call);
int hv__h2_call_write(hhttp_call_t *call, const void *data, size_t len);
int hv__h2_call_finish(hhttp_call_t *call, const hhttp_header_t *trailers, size_t count);
/* Tells the call what has come, and `data` behind that, as far as it takes it; what it does not
 * take is kept. May free `self`. In a dispatch. */
void hv__h2_call_tell(h2_call_t *self, const char *data, size_t len);
/* The connection is gone: what has come is still told, then the error. In a dispatch. */
void hv__h2_call_lose(h2_call_t *self, int error, const char *words);
/* The response cannot be taken: the call will end with `error`. In a callback of nghttp2's, too. */
void hv__h2_call_refuse(h2_call_t *self, int error, const char *words);

/* ---- h2_fields.c ---- */

/* Sends the head of a call's request. Returns the stream's id, or an error of nghttp2's. */
int32_t hv__h2_send_head(h2_call_t *self, const nghttp2_data_provider *body);
int hv__h2_client_on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame,
                                   void *userdata);
int hv__h2_client_on_header(nghttp2_session *session, const nghttp2_frame *frame,
                            const uint8_t *name, size_t name_len, const uint8_t *value,
                            size_t value_len, uint8_t flags, void *userdata);
int hv__h2_client_on_invalid_header(nghttp2_session *session, const nghttp2_frame *frame,
                                    const uint8_t *name, size_t name_len, const uint8_t *value,
                                    size_t value_len, uint8_t flags, void *userdata);
/* The head that was coming is complete: the call gets it. */
void hv__h2_client_end_headers(h2_link_t *h2);

static inline h2_call_t *hv__h2_call_of(nghttp2_session *session, int32_t id) {
    return nghttp2_session_get_stream_user_data(session, id);
}

#endif
