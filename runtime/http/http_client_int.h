/* http_client_int.h - the inside of HTTP clients: the pool, a connection (link), a call. Private to
 * http_client.c, http_link.c, http_proxy.c, http_call.c, http_start.c, http_follow.c and http_decode.c.
 *
 *   call:  WAITING -> CONNECTING -> HEAD -> BODY -> DONE       (a 101: HEAD -> UPGRADED -> DONE)
 *             ^___________________|  sent again where a kept connection had ended
 *   link:  CONNECTING -> [PROXY -> [SECURING]] -> BUSY <-> IDLE, and from anywhere -> CLOSED
 *
 * A link and a call know each other while the call uses the connection; whoever parts them clears
 * both pointers. A link lives until its io's close callback, or until the io is taken; a call until
 * on_done has returned and nobody retains it. */
#ifndef HV_HTTP_CLIENT_INT_H_
#define HV_HTTP_CLIENT_INT_H_

#include "h1_reply.h"
#include "hassert.h"
#include "hbuf.h"
#include "hdispatch.h"
#include "hhttp_client.h"
#include "hmem.h"
#include "htimer.h"
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
    int port;
    int proxy_port;
    hhttp_proxy_e proxy;
    int is_https;
    int tunnels; /* by CONNECT, though it is not https */
} http_place_t;

/* All connections and waiting calls of one place. */
struct http_group_s {
    http_group_t *next; /* in its bucket */
    hhttp_client_t *client;
    http_link_t *idle; /* the one used last comes first */
    hlist_t waiting;
    uint32_t count; /* of links */
    uint32_t idle_count;
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
    LINK_IDLE,
    LINK_CLOSED, /* the close callback is all that follows */
} http_link_state_e;

struct http_link_s {
    hio_t *io;
    http_group_t *group;
    hhttp_call_t *call;
    http_link_t *next_idle; /* in group->idle */
    http_link_t *prev_idle;
    http_link_t *older; /* among all that idle */
    http_link_t *newer;
    hbuf_t kept;    /* read, not parsed yet */
    size_t scanned; /* of a head, by h1_find_head_end */
    uint32_t served;
    uint8_t state; /* http_link_state_e */
    uint8_t proxy_step;
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
};

struct hhttp_call_s {
    hlink_t wait_link;  /* in group->waiting */
    hhttp_call_t *next; /* of client->calls */
    hhttp_call_t *prev;
    hhttp_client_t *client; /* NULL once it is over */
    http_group_t *group;
    http_link_t *link;
    hhttp_call_options_t options; /* pointers in it are valid in hhttp_call_start only, but for
                                     body, callbacks and userdata */
    hv__defer_t work;
    htimer_t *timer;
    uint64_t timer_due_ms;
    uint64_t start_ms;
    uint64_t connect_start_ms; /* 0: it is not connecting */
    uint64_t hold_until_ms;    /* with CALL_HOLDS_BODY */
    uint32_t refs;
    uint32_t flags;
    uint32_t interim_count;
    int error;
    uint8_t state; /* http_call_state_e */
    char *head;    /* of the request, as sent */
    size_t head_len;
    int64_t body_left; /* of the request: to be written; -1: not known */
    uint64_t sent;
    uint64_t received;
    h1_reply_t reply; /* status 0: none yet; its slices point into `block` */
    char *block;
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
/* Gives a call a kept or a new connection, or lets it wait. Returns 0 or an error. */
int hv__http_assign(hhttp_call_t *call);
/* A connection is free, or gone: serves those that wait. */
void hv__http_serve_waiting(http_group_t *group);
/* The TLS context of a place. Returns NULL with *code set where it cannot be made. */
hssl_ctx_t hv__http_tls_of(hhttp_client_t *client, const http_place_t *place, int *code);
/* A link that rests, or does so no longer. */
void hv__http_idle_add(http_link_t *link);
void hv__http_idle_remove(http_link_t *link);

/* ---- http_link.c ---- */

/* Begins to connect for a call. Returns 0 or an error. */
int hv__http_link_open(http_group_t *group, hhttp_call_t *call);
/* Sends a call's request over a link that is connected. */
void hv__http_link_use(http_link_t *link, hhttp_call_t *call);
/* Parts a link from its call and closes it without draining. */
void hv__http_link_drop(http_link_t *link);
/* Parses what was kept back while the call was paused, and reads on. In a dispatch. */
void hv__http_link_go_on(http_link_t *link);
/* Connecting has failed for a reason of the proxy's; words may be NULL. */
void hv__http_link_fail(http_link_t *link, int code, const char *words);
/* Forgets a link whose io is somebody else's now, or gone. */
void hv__http_link_free(http_link_t *link);

/* ---- http_proxy.c ---- */

/* Begins to talk with the proxy: the io is connected to it. Ends with hv__http_proxy_done, or with
 * hv__http_link_fail. */
void hv__http_proxy_begin(http_link_t *link);
/* http_link.c: the tunnel is there. */
void hv__http_proxy_done(http_link_t *link);
/* "Basic ..." for a user and password, or NULL without memory; free with hv__free. */
char *hv__http_basic(const char *user, const char *password);

/* ---- http_start.c ---- */

/* Gives a call the request that the options ask for, and its place. Returns 0 or an error. */
int hv__http_call_prepare(hhttp_call_t *call, const hhttp_call_options_t *options);

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
/* Calls on_done, with call->error, and lets the call go. In a dispatch. */
void hv__http_call_report(hhttp_call_t *call);
/* Takes back one that could not be started; nobody is told. */
void hv__http_call_forget(hhttp_call_t *call);
/* Whether the request may be sent once more after its kept connection has ended. */
int hv__http_call_is_repeatable(const hhttp_call_t *call);
/* Sends it once more over a new connection; without the expectation where that was refused. */
void hv__http_call_repeat(hhttp_call_t *call, int without_expect);
/* The head is out: sends the body, or as much as the queue takes. */
void hv__http_call_send_body(hhttp_call_t *call);
/* Takes a call out of the line of those that wait. */
void hv__http_call_unwait(hhttp_call_t *call);
/* Sets the timer for the nearest deadline. */
void hv__http_call_arm(hhttp_call_t *call);

static inline uint64_t hv__http_ms(const hhttp_client_t *client) {
    return hloop_now_hrtime(client->loop) / 1000;
}

#endif
