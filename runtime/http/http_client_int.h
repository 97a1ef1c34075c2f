/* http_client_int.h - the inside of HTTP clients: the pool, a connection (link), a call. Private to
 * http_client.c, http_link.c, http_proxy.c, http_call.c, http_start.c, http_answer.c,
 * http_follow.c, http_decode.c, and to the room http2, which speaks for links that many calls
 * share.
 *
 *   call:  WAITING -> CONNECTING -> HEAD -> BODY -> DONE       (a 101: HEAD -> UPGRADED -> DONE)
 *             ^___________________|  sent again where a kept connection had ended
 *   link:  CONNECTING -> [PROXY -> [SECURING]] -> BUSY <-> IDLE, and from anywhere -> CLOSED
 *                                              -> SHARED <-> IDLE    of HTTP/2
 *
 * A link and a call know each other while the call uses the connection; whoever parts them clears
 * both pointers. A shared link knows its calls by their streams, which are the room http2's. A link
 * lives until its io's close callback, or until the io is taken; a call until on_done has returned
 * and nobody retains it. */
#ifndef HV_HTTP_CLIENT_INT_H_
#define HV_HTTP_CLIENT_INT_H_

#include "h1_reply.h"
#include "hassert.h"
#include "hbuf.h"
#include "hdispatch.h"
#include "hhttp_client.h"
#include "hmem.h"
#include "htimer.h"
#include "http_through.h"
#include "http_trailers.h"
#include "http_url.h"

#define HTTP_GROUP_BUCKETS 64

typedef struct http_group_s http_group_t;
typedef struct http_link_s http_link_t;
typedef struct http_decoder_s http_decoder_t;

/* Where a connection leads; strings lie in the group's key, NULL where there is none. */
typedef struct http_place_s {
    const char *host;
    const char *unix_path;
    const char *server_name;
    const char *proxy_host;
    const char *proxy_user;
    const char *proxy_password;
    hssl_ctx_t tls;
    hssl_ctx_t proxy_tls; /* of HHTTP_PROXY_HTTPS; NULL: the default */
    int port;
    int proxy_port;
    hhttp_proxy_e proxy;
    int is_https;
    int tunnels; /* by CONNECT, though it is not https */
    int http2;   /* HHTTP_CALL_HTTP2_* */
} http_place_t;

/* All connections and waiting calls of one place. */
struct http_group_s {
    http_group_t *next; /* in its bucket */
    hhttp_client_t *client;
    http_link_t *idle; /* the one used last comes first */
    http_link_t *shared; /* that take more calls, maybe */
    hlist_t waiting;
    uint32_t count; /* of links */
    uint32_t idle_count;
    uint32_t streams_max;   /* calls that a shared link takes, by the last one; 0: unknown */
    uint32_t opening_count; /* links of which it is not known yet how many calls they take */
    uint8_t is_h1;      /* the server has chosen HTTP/1.1: nothing else is waited for */
    uint8_t wants_h1;   /* it has asked for it: nothing else is offered */
    uint8_t has_failed; /* the last link that was opening has not come about */
    uint32_t holds; /* of functions that still need it */
    uint32_t waiting_count;
    uint32_t hash;
    http_place_t place;
    size_t key_len;
    char key[];
};

typedef enum {
    LINK_CONNECTING,
    LINK_PROXY,    /* talks with the proxy */
    LINK_SECURING, /* TLS behind a proxy */
    LINK_BUSY,
    LINK_SHARED, /* has a session of HTTP/2 and takes calls */
    LINK_IDLE,
    LINK_RETIRED, /* was shared and takes no more calls */
    LINK_CLOSED, /* the close callback is all that follows */
} http_link_state_e;

struct http_link_s {
    hio_t *io;
    http_group_t *group;
    hhttp_call_t *call; /* the only one; NULL where it is shared */
    struct h2_link_s *h2; /* NULL: speaks HTTP/1.1 */
    http_link_t *next_idle; /* in group->idle, or in group->shared */
    http_link_t *prev_idle;
    http_link_t *older; /* among all that idle */
    http_link_t *newer;
    uint64_t idle_since_us; /* by the clock itself: the loop's may be far behind */
    http_through_t *through; /* while it talks with a proxy, or NULL */
    hbuf_t kept;    /* read, not parsed yet */
    size_t scanned; /* of a head, by h1_find_head_end */
    uint32_t served;
    uint8_t state; /* http_link_state_e */
    uint8_t is_opening; /* counts in group->opening_count */
};

typedef enum {
    CALL_WAITING,
    CALL_CONNECTING,
    CALL_HEAD,
    CALL_BODY,
    CALL_UPGRADED,
    CALL_DONE, /* on_done is owed, or was called */
} http_call_state_e;

enum {
    CALL_STREAMED = 0x0001, /* the body comes by hhttp_call_write */
    CALL_CHUNKED = 0x0002,
    CALL_HOLDS_BODY = 0x0004, /* until 100, or a second has passed */
    CALL_BODY_BEGUN = 0x0008,
    CALL_BODY_SENT = 0x0010, /* or there is none */
    CALL_READY = 0x0020,     /* on_ready was called */
    CALL_READY_OWED = 0x0040,
    CALL_DRAIN_OWED = 0x0080,
    CALL_PAUSED = 0x0100,
    CALL_RESUMED = 0x0200, /* what is kept is to be parsed */
    CALL_TO_HEAD = 0x0400, /* the method is HEAD */
    CALL_IDEMPOTENT = 0x0800,
    CALL_REUSED = 0x1000,  /* its connection has served before */
    CALL_HEARD = 0x2000,   /* a byte of an answer has come */
    CALL_EXPECTS = 0x4000, /* its head says Expect: 100-continue */
    CALL_WANTS_UPGRADE = 0x8000,
    CALL_FOLLOWS = 0x10000, /* the body of a redirect is being dropped */
    CALL_SENT = 0x20000,    /* its head went out once: a server may have acted on it */
    CALL_NAMES_HTTP2 = 0x40000, /* the request line of `head` does */
};

struct hhttp_call_s {
    hlink_t wait_link;  /* in group->waiting */
    hhttp_call_t *next; /* of client->calls */
    hhttp_call_t *prev;
    hhttp_client_t *client; /* NULL once it is over */
    http_group_t *group;
    http_link_t *link; /* NULL also where only its stream is left, with what had come of it */
    struct h2_call_s *stream; /* on a shared link */
    hhttp_call_options_t options; /* pointers in it are valid in hhttp_call_start only, but for
                                     body, callbacks and userdata */
    hv__defer_t work;
    htimer_t *timer;
    uint64_t timer_due_ms;
    uint64_t start_ms;
    uint64_t connect_start_ms; /* 0: it is not connecting */
    uint64_t hold_until_ms;    /* with CALL_HOLDS_BODY */
    uint64_t active_ms;        /* of its stream: when bytes last went either way */
    uint32_t refs;
    uint32_t flags;
    uint32_t interim_count;
    uint32_t repeats;
    int error;
    uint8_t state; /* http_call_state_e */
    char *head;    /* of the request, as sent */
    size_t head_len;
    int64_t body_left; /* of the request: to be written; -1: not known */
    uint64_t sent;
    uint64_t received;
    h1_reply_t reply; /* status 0: none yet; its slices point into `block` */
    char *block;
    http_trailers_t *trailers; /* of the response; NULL: none have come */
    http_decoder_t *decoder; /* NULL: the body is not coded, or comes as it is */
    struct http_follow_s *follow; /* NULL: redirects are the program's affair */
    char detail[200]; /* words of the peer, the proxy or TLS; "": those of the code */
};

struct hhttp_client_s {
    hhttp_client_t *next;  /* of this loop's */
    hhttp_client_t **list; /* where the first of them stands */
    hloop_t *loop;
    hhttp_client_options_t options;
    h1_limits_t limits;
    hssl_ctx_t default_tls; /* made on first use */
    http_group_t *groups[HTTP_GROUP_BUCKETS];
    http_link_t *oldest_idle;
    http_link_t *newest_idle;
    hhttp_call_t *calls;
    hhttp_client_counts_t counts;
    int is_closing;
    hv__defer_t free_work;
};

/* ---- http_client.c ---- */

/* The group of a place, made on first use; counts nothing. Returns NULL without memory. */
http_group_t *hv__http_group_of(hhttp_client_t *client, const http_place_t *place);
/* Frees a group without links and waiting calls. */
void hv__http_group_leave(http_group_t *group);
/* Frees a closing client that has nothing left. */
void hv__http_client_leave(hhttp_client_t *client);
/* Gives a call a kept, a shared or a new connection, or lets it wait. Returns 0 or an error. */
int hv__http_assign(hhttp_call_t *call);
/* A call was given up while its link was connecting: hands the link to the next that waits. Returns
 * 0 where there is none. */
int hv__http_hand_over(http_link_t *link);
/* A connection is free, or gone: serves those that wait. */
void hv__http_serve_waiting(http_group_t *group);
/* The TLS context of a place. Returns NULL with *code set where it cannot be made. */
hssl_ctx_t hv__http_tls_of(hhttp_client_t *client, const http_place_t *place, int *code);
/* A link that rests, or does so no longer. */
void hv__http_idle_add(http_link_t *link);
void hv__http_idle_remove(http_link_t *link);
/* A link takes more calls beside those it has, or does so no longer: then it ends with its last. */
void hv__http_shared_add(http_link_t *link);
void hv__http_shared_remove(http_link_t *link);
/* It is known now how many calls a link takes, or it will never be. */
void hv__http_opened(http_link_t *link, int has_failed);

/* ---- http_link.c ---- */

/* Begins to connect for a call. Returns 0 or an error. */
int hv__http_link_open(http_group_t *group, hhttp_call_t *call);
/* Sends a call's request over a link that is connected. */
void hv__http_link_use(http_link_t *link, hhttp_call_t *call);
/* Parts a link from its call and closes it without draining. */
void hv__http_link_drop(http_link_t *link);
/* The last call of a shared link is gone: it rests, or it closes. */
void hv__http_link_rest(http_link_t *link);
/* Why a call ends where its connection has ended in order. */
const char *hv__http_words_of_end(const hhttp_call_t *call);
/* Parses what was kept back while the call was paused, and reads on. In a dispatch. */
void hv__http_link_go_on(http_link_t *link);
/* Forgets a link whose io is somebody else's now, or gone. */
void hv__http_link_free(http_link_t *link);

/* ---- http_start.c ---- */

/* Gives a call the request that the options ask for, and its place. Returns 0 or an error. */
int hv__http_call_prepare(hhttp_call_t *call, const hhttp_call_options_t *options);

/* ---- http_answer.c: what a response means, whichever way it has come; in a dispatch ---- */

/* A head of 1xx. Returns 0 where the call has ended. */
int hv__http_answer_interim(hhttp_call_t *call);
/* The final head. Returns 0 where the call has ended, or is asked elsewhere. */
int hv__http_answer_final(hhttp_call_t *call);
/* A piece of the body; no more than the decoder takes. The call may have ended. */
void hv__http_answer_piece(hhttp_call_t *call, const char *data, size_t len);
/* The body is over, and the call parted from its connection. */
void hv__http_answer_over(hhttp_call_t *call);

/* ---- http_follow.c ---- */

/* Has a call follow redirects; the options are copied. Returns 0 or HV_ENOMEM. */
int hv__http_follow_new(hhttp_call_t *call, const hhttp_call_options_t *options);
void hv__http_follow_free(struct http_follow_s *follow);
/* A final head has come: whether it is one to follow. Where it cannot be, ends the call.
 * Returns 1, 0 or an error. */
int hv__http_follow_check(hhttp_call_t *call);
/* The body of the redirect is over, or given up: goes on with the next request. */
void hv__http_follow_go(hhttp_call_t *call);

/* ---- http_decode.c ---- */

/* Makes the decoder of a response that needs one. Returns 0 or HV_ENOMEM. */
int hv__http_decoder_begin(hhttp_call_t *call);
void hv__http_decoder_free(http_decoder_t *decoder);
/* How many bytes it takes now. */
size_t hv__http_decoder_room(const http_decoder_t *decoder);
void hv__http_decoder_give(http_decoder_t *decoder, const char *data, size_t len);
/* No more will be given. */
void hv__http_decoder_finish(http_decoder_t *decoder);
int hv__http_decoder_is_finished(const http_decoder_t *decoder);
/* Whether it may have something to hand out; then a step calls on_data once, or ends the call, or
 * finds that there was nothing. In a dispatch. */
int hv__http_decoder_is_busy(const http_decoder_t *decoder);
void hv__http_decoder_step(hhttp_call_t *call);

/* ---- http_call.c ---- */

/* Ends a call: on_done follows from the loop. Parts it from its link, which is dropped. */
void hv__http_call_end(hhttp_call_t *call, int error, const char *words);
/* Parts a call from its connection before its time: the connection is dropped, or where it is
 * shared the stream is reset. */
void hv__http_call_part(hhttp_call_t *call);
/* Calls on_done, with call->error, and lets the call go. In a dispatch. */
void hv__http_call_report(hhttp_call_t *call);
/* Takes back one that could not be started; nobody is told. */
void hv__http_call_forget(hhttp_call_t *call);
/* Whether the request may be sent once more after its kept connection has ended. */
int hv__http_call_is_repeatable(const hhttp_call_t *call);
/* Lets the request line in call->head name the version, 11 or 20, that it goes out by. */
void hv__http_call_name_version(hhttp_call_t *call, int version);
enum {
    REPEAT_FRESH = 1,          /* over a new connection */
    REPEAT_WITHOUT_EXPECT = 2, /* the expectation was refused */
};
/* Sends it once more. */
void hv__http_call_repeat(hhttp_call_t *call, int how);
/* The response that has come is not that of the call: another request follows. */
void hv__http_call_forget_reply(hhttp_call_t *call);
/* The head is out: sends the body, or as much as the queue takes. */
void hv__http_call_send_body(hhttp_call_t *call);
/* Takes a call out of the line of those that wait. */
void hv__http_call_unwait(hhttp_call_t *call);
/* Sets the timer for the nearest deadline. */
void hv__http_call_arm(hhttp_call_t *call);

/* ---- runtime/http2/h2_client.c: links that many calls share ---- */

typedef struct http_mux_s {
    /* The connection is there: makes link->h2, and takes the io's callbacks. Returns 0 or an
     * error. */
    int (*begin)(http_link_t *link);
    /* Whether it takes one more call now. */
    int (*has_room)(const http_link_t *link);
    /* Sends a call's request. Where that cannot be, the call ends. */
    void (*use)(http_link_t *link, hhttp_call_t *call);
    /* Parts a call from its stream, which is reset where it is not over. */
    void (*leave)(hhttp_call_t *call);
    /* The program takes the response again. In a dispatch. */
    void (*go_on)(hhttp_call_t *call);
    /* As hv__http_call_send_body, hhttp_call_write and _finish; those have checked. */
    void (*send_body)(hhttp_call_t *call);
    int (*write)(hhttp_call_t *call, const void *data, size_t len);
    int (*finish)(hhttp_call_t *call, const hhttp_header_t *trailers, size_t count);
    /* Says farewell before the io is closed. */
    void (*farewell)(http_link_t *link);
    /* The io is closed: ends the calls, or has them repeated. In a dispatch. */
    void (*closed)(http_link_t *link);
    /* Frees link->h2. */
    void (*free)(http_link_t *link);
} http_mux_t;

extern const http_mux_t hv__h2_client;

static inline uint64_t hv__http_ms(const hhttp_client_t *client) {
    return hloop_now_hrtime(client->loop) / 1000;
}

#endif
