/* http_gateway_int.h - the inside of gateways. Private to http_gateway.c (upstreams and who is up),
 * http_gateway_choose.c (who is next), http_gateway_head.c (heads on their way), http_pass.c (one
 * request) and http_tunnel.c.
 *
 *   pass:  START -> CALLING -> [ANSWERING ->] DONE        a retry: CALLING -> START
 *                          \-> TUNNELLING -> DONE
 *
 * A pass holds its request until it is done, and its gateway counts it. Both ends may go away at
 * any time: the client's end is told by on_abort, the upstream's by the call's on_done. */
#ifndef HV_HTTP_GATEWAY_INT_H_
#define HV_HTTP_GATEWAY_INT_H_

#include "hhttp_gateway.h"
#include "http_int.h"

#define HTTP_PASS_HEADERS_MAX 256
#define HTTP_WEIGHT_MAX       1000

typedef struct http_pass_s http_pass_t;

typedef struct http_upstream_s {
    hhttp_gateway_t *gateway;
    char *url_text;
    hhttp_url_t url;      /* slices of url_text; its target is the prefix without the last '/' */
    char *unix_path;      /* or NULL */
    uint32_t weight;
    int32_t credit;       /* of smooth round robin */
    uint32_t busy;
    uint32_t fails;       /* in a row */
    uint64_t rests_until_ms;
    uint64_t passed;
    uint64_t failures;
    uint32_t connect_timeout_ms; /* 0: the gateway's */
    uint32_t head_timeout_ms;
    uint8_t is_backup;
    uint8_t is_down;
    uint8_t is_probed;    /* a pass tries it after its rest */
    int is_ill;           /* the health check said so */
    hhttp_call_t *health; /* the check that runs, or NULL */
} http_upstream_t;

struct hhttp_gateway_s {
    hhttp_gateway_t *next; /* of the loop */
    hhttp_gateway_t **list; /* the head of that list */
    hloop_t *loop;
    hhttp_client_t *client;
    hhttp_gateway_options_t options; /* its strings are copies */
    char *strip_prefix;
    char *via;
    char *health_path;
    char *hash_by;
    http_upstream_t *upstreams;
    size_t count;
    hssl_ctx_t tls; /* without verification, or NULL */
    htimer_t *health_timer;
    http_pass_t *passes;
    uint32_t use_count; /* passes, tunnels and health checks */
    int is_closing;
};

typedef enum {
    PASS_START,
    PASS_CALLING,    /* an upstream is asked */
    PASS_ANSWERING,  /* the head of its answer was passed on */
    PASS_CONNECTING, /* by CONNECT */
    PASS_DONE,
} http_pass_state_e;

struct http_pass_s {
    http_pass_t *next; /* of the gateway */
    http_pass_t *prev;
    hhttp_gateway_t *gateway;
    hhttp_request_t *req; /* retained */
    hhttp_call_t *call;   /* or NULL */
    http_upstream_t *upstream; /* that is asked; NULL for a forward proxy */
    hio_t *tunnel;        /* to the place that CONNECT names, or NULL */
    hhttp_gateway_cb on_done;
    void *userdata;
    uint64_t tried; /* bits of upstreams */
    uint32_t retries_left;
    int error;
    uint8_t state;      /* http_pass_state_e */
    uint8_t has_body;
    uint8_t body_begun; /* pieces were asked for: no way back */
    uint8_t body_over;
    uint8_t is_paused;  /* the client takes no more of the answer for now */
    uint8_t is_forward;
    uint8_t is_probe;   /* the one that may try the upstream after its rest */
    hhttp_header_t *changes; /* of both heads, the request's first; one block, or NULL */
    size_t request_changes;
    size_t response_changes;
    hv__defer_t work;
    char text[160];
};

/* ---- http_gateway_choose.c ---- */

/* The upstream for a pass, not one that it has tried; NULL where there is none left. */
http_upstream_t *hv__gateway_choose(hhttp_gateway_t *gateway, const http_pass_t *pass);
/* Whether there is an upstream that is up and that a pass has not tried. */
int hv__gateway_has_other(const hhttp_gateway_t *gateway, const http_pass_t *pass);
/* Whether hash_by of hhttp_gateway_options_t says what it may. */
int hv__gateway_may_hash(const char *by);

/* ---- http_gateway.c ---- */

static inline uint64_t hv__gateway_now_ms(const hhttp_gateway_t *gateway) {
    return hloop_now_hrtime(gateway->loop) / 1000;
}
/* An upstream has answered, or not. */
void hv__gateway_note(hhttp_gateway_t *gateway, http_upstream_t *upstream, int is_failure);
/* A pass or a check holds the gateway, and lets go of it. */
void hv__gateway_hold(hhttp_gateway_t *gateway);
void hv__gateway_leave(hhttp_gateway_t *gateway);
/* Fills what calls of this gateway have in common. */
void hv__gateway_call_options(const hhttp_gateway_t *gateway, const http_upstream_t *upstream,
                              hhttp_call_options_t *options);

/* ---- http_gateway_head.c ---- */

/* A head on its way: headers, and the room for what is made of them. */
typedef struct http_passed_head_s {
    hhttp_header_t headers[HTTP_PASS_HEADERS_MAX];
    size_t count;
    char *target; /* hv__free it */
    char for_text[512];
    char via_text[96];
    char location[1024];
    char upgrade[64];
} http_passed_head_t;

/* Makes the request's head for the upstream. Returns 0; HV_ELIMIT for too many headers,
 * HV_ENOMEM. */
int hv__gateway_request_head(const http_pass_t *pass, hhttp_call_options_t *options,
                             http_passed_head_t *head);
/* Whether a header belongs to one connection, or is written by our own client and server. */
int hv__gateway_is_local(hhttp_slice_t name);
/* Makes the answer's head for the client. Returns 0 or HV_ELIMIT. */
int hv__gateway_response_head(const http_pass_t *pass, const hhttp_call_t *call,
                              http_passed_head_t *head);
/* Add the trailers that go on, by the rules for the fields of heads: nobody says behind a body what
 * he may not say before it. Return 0; HV_ELIMIT for too many; HV_EPROTO as for heads. */
int hv__gateway_request_trailers(const http_pass_t *pass, http_passed_head_t *trailers);
int hv__gateway_response_trailers(const hhttp_call_t *call, http_passed_head_t *trailers);

/* ---- http_pass.c ---- */

/* Ends a pass. Where no answer has begun, the gateway answers with `status`; else it breaks off. */
void hv__pass_fail(http_pass_t *pass, int error, int status, const char *text);
/* Ends it well, or because the client is gone (HV_ECLOSED). */
void hv__pass_end(http_pass_t *pass, int error);
/* Tells of an ended pass and frees it, at once; for the end of the loop. */
void hv__pass_report(http_pass_t *pass);

/* ---- http_tunnel.c ---- */

/* Begins to connect to what CONNECT names. Returns 0 or why not. */
int hv__tunnel_begin(http_pass_t *pass);
/* Gives the tunnel up. */
void hv__tunnel_drop(http_pass_t *pass);
/* The upstream has agreed to an upgrade: both connections become one tunnel. */
void hv__tunnel_upgrade(http_pass_t *pass);

#endif
