/* hhttp_gateway.h - passing requests on to other servers: a reverse proxy before a set of upstream
 * servers, and a forward proxy for what a request itself names.
 *
 * Bodies are streamed both ways with back-pressure, connections to upstreams are kept, and what
 * cannot be answered is answered by the gateway itself: 502 where no upstream answers, 503 where
 * too much waits, 504 where one is too slow. An upgrade that the upstream agrees to (WebSocket)
 * becomes a tunnel.
 *
 *     static const hhttp_upstream_t upstreams[] = {{.url = "http://127.0.0.1:9000"}};
 *     hhttp_gateway_options_t options = {.upstreams = upstreams, .upstream_count = 1};
 *     hhttp_gateway_t *gateway = hhttp_gateway_new(loop, &options);
 *     // in on_request:
 *     hhttp_gateway_pass(gateway, req, NULL, NULL);
 *
 * RFC 9110 sections 3.7 (intermediaries), 7.6 (forwarding), 9.3.6 (CONNECT). */
#ifndef HV_HTTP_GATEWAY_H_
#define HV_HTTP_GATEWAY_H_

#include "hhttp.h"
#include "hhttp_client.h"

HV_BEGIN_DECLS

#define HHTTP_UPSTREAMS_MAX 64

typedef struct hhttp_gateway_s hhttp_gateway_t;

typedef struct hhttp_upstream_s {
    const char *url;       /* "http://host:port/prefix"; https, too */
    /* Connects there instead; the URL still gives Host and prefix. NULL: no. */
    const char *unix_path;
    uint32_t weight;       /* of the requests; 0: 1; up to 1000 */
    int is_backup;         /* asked only where no other is up */
    int is_down;           /* never asked: for one that is being repaired */
    uint32_t connect_timeout_ms; /* 0: the gateway's */
    uint32_t head_timeout_ms;
} hhttp_upstream_t;

typedef enum {
    HHTTP_BALANCE_ROUND_ROBIN, /* in turn, by weight */
    HHTTP_BALANCE_LEAST_BUSY,  /* the fewest requests under way, by weight */
    HHTTP_BALANCE_CLIENT, /* the same client's address, the same upstream, as long as it is up */
    HHTTP_BALANCE_HASH,        /* the same value of hash_by, the same upstream; who has none goes by
                                  his address */
} hhttp_balance_e;

/* For retry_statuses. */
enum {
    HHTTP_GATEWAY_RETRY_500 = 1,
    HHTTP_GATEWAY_RETRY_502 = 2,
    HHTTP_GATEWAY_RETRY_503 = 4,
    HHTTP_GATEWAY_RETRY_504 = 8,
    HHTTP_GATEWAY_RETRY_429 = 16,
};

/* Everything is copied. Zero is a good default. */
typedef struct hhttp_gateway_options_s {
    const hhttp_upstream_t *upstreams; /* none: hhttp_gateway_forward only */
    size_t upstream_count;
    hhttp_balance_e balance;
    const char *hash_by;      /* of HHTTP_BALANCE_HASH: "header:NAME", "cookie:NAME" or "path" */

    const char *strip_prefix; /* cut off the path before it goes on, "/api"; and put before the path
                                 of a Location that names the upstream. NULL: none. Paths whose ".."
                                 lead above what it stands for, in any spelling, get 400 */
    int keeps_prefix;         /* strip_prefix is not cut off, only guarded against such paths */
    int keeps_host;           /* the request's Host goes on, not the upstream's */
    int trusts_forwarded;     /* X-Forwarded-* of the request are added to, not replaced */
    int hides_forwarded;      /* none are sent */
    int checks_tls_off;       /* https upstreams are not verified */
    const char *via;          /* our name in Via; NULL: "hvlua" */

    uint64_t body_bytes_max;     /* of a request; 0: as the server's; beyond: 413 */
    uint32_t connect_timeout_ms; /* 5000 */
    uint32_t head_timeout_ms;    /* 60000 to the head of the answer; INFINITE: none; beyond: 504. A
                                    request with a body has idle_timeout_ms instead */
    uint32_t idle_timeout_ms;    /* 60000 without a byte either way */
    uint32_t tunnel_timeout_ms;  /* 3600000 without a byte in a tunnel */

    int32_t retries;      /* other upstreams that are tried; 0: 2, -1: none. Only where nothing of
                             the request was sent, or where it may be sent twice (RFC 9110 9.2.2) */
    uint32_t retry_statuses; /* answers that count as failures, and have another upstream asked
                                as retries do: bits of HHTTP_GATEWAY_RETRY_*; the last one is passed
                                on */
    uint32_t fail_max;    /* 3 failures in a row, and an upstream rests; INFINITE: never */
    uint32_t rest_ms;     /* 10000; then one request may try it while others still do not */
    const char *health_path; /* asked for by GET every health_interval_ms: whoever does not answer
                                200..399 in time is down until it does. NULL: nobody is asked */
    uint32_t health_interval_ms; /* 5000, which is also the time to answer */

    hhttp_client_options_t client; /* the pool: connections per upstream, idle ones ... */
} hhttp_gateway_options_t;

/* Makes a gateway. Returns it, or NULL with hloop_last_error set: HV_EINVAL for a URL that is none,
 * more than HHTTP_UPSTREAMS_MAX, or a prefix that does not begin with '/'; HV_ENOMEM. */
HV_EXPORT hhttp_gateway_t *hhttp_gateway_new(hloop_t *loop, const hhttp_gateway_options_t *options);
/* Answers what is under way with 503, or breaks it off where an answer has begun; tunnels go on.
 * The gateway is freed when the last request has let go of it. NULL is allowed; hloop_free does it,
 * too. */
HV_EXPORT void hhttp_gateway_close(hhttp_gateway_t *gateway);

/* What came of a request.
 *   error     0: the upstream's answer was passed on whole; HV_ECLOSED: the client went away;
 *             else why there is none: the gateway has answered, or broken off
 *   text      words for it, borrowed
 *   upstream  its index, or -1 */
typedef struct hhttp_gateway_result_s {
    int error;
    const char *text;
    int upstream;
} hhttp_gateway_result_t;

typedef void (*hhttp_gateway_cb)(hhttp_request_t *req, const hhttp_gateway_result_t *result,
                                 void *userdata);

/* Passes a request on to one of the upstreams and its answer back. Its body must not have been
 * asked for, or have been collected as a whole; its answer must not have begun;
 * hhttp_request_on_abort and hhttp_response_on_drain are the gateway's from here on.
 *   on_done  called once, later, if 0 is returned; or NULL
 * Returns 0; HV_EBUSY, HV_ECLOSED; HV_EINVAL where the gateway has no upstreams; HV_ENOMEM. */
HV_EXPORT int hhttp_gateway_pass(hhttp_gateway_t *gateway, hhttp_request_t *req,
                                 hhttp_gateway_cb on_done, void *userdata);

/* What to change of both heads. A header replaces all of its name, one whose value.data is NULL
 * takes them off; of an answer Set-Cookie and Vary are added instead. Copied. */
typedef struct hhttp_gateway_changes_s {
    const hhttp_header_t *request;
    size_t request_count;
    const hhttp_header_t *response; /* not of a 101 */
    size_t response_count;
} hhttp_gateway_changes_t;

/* As hhttp_gateway_pass. Returns also HV_EINVAL for a header that cannot be sent, or that belongs
 * to one connection (Connection, Content-Length, Transfer-Encoding ...). */
HV_EXPORT int hhttp_gateway_pass_with(hhttp_gateway_t *gateway, hhttp_request_t *req,
                                      const hhttp_gateway_changes_t *changes,
                                      hhttp_gateway_cb on_done, void *userdata);

/* Serves as a forward proxy: a request whose target is absolute goes to where it says, CONNECT
 * makes a tunnel. Who may do so is for the caller to check before.
 * Returns as above; HV_EINVAL for another form of target. */
HV_EXPORT int hhttp_gateway_forward(hhttp_gateway_t *gateway, hhttp_request_t *req,
                                    hhttp_gateway_cb on_done, void *userdata);

/* Gives up passing a request on, for instance because whoever wanted it is gone: the upstream is
 * let go, and on_done follows with HV_ECANCELED. An answer that has begun is broken off; where none
 * has, the caller answers. Nothing happens where the request is not being passed on. */
HV_EXPORT void hhttp_gateway_cancel(hhttp_request_t *req);

typedef struct hhttp_upstream_state_s {
    int is_up;         /* neither resting nor found ill */
    uint32_t busy;     /* requests under way, and tunnels */
    uint64_t passed;   /* since the start, retries included */
    uint64_t failures;
} hhttp_upstream_state_t;

/* The state of an upstream by its index. Returns 0, or HV_EINVAL. */
HV_EXPORT int hhttp_gateway_upstream(const hhttp_gateway_t *gateway, size_t index,
                                     hhttp_upstream_state_t *state);

HV_END_DECLS

#endif
