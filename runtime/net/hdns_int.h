/* hdns_int.h - the resolver's inside. A query is what the user holds; a lookup is what c-ares works
 * on for it. c-ares cannot give up one lookup of many, so a query that ends early leaves its lookup
 * behind, abandoned, until c-ares is done with it. */
#ifndef HV_DNS_INT_H_
#define HV_DNS_INT_H_

#include "hdns_answer.h"
#include "hdns_cache.h"
#include "hnet_int.h"

typedef struct hdns_channel_s hdns_channel_t;
typedef struct hdns_lookup_s hdns_lookup_t;

struct hdns_query_s {
    hevent_t ev;
    hdns_query_t *next;
    hdns_query_t *prev;
    hdns_cb on_result;
    hdns_lookup_t *lookup; /* NULL once it is done or abandoned */
    htimer_t *timer;
    hdns_answer_t *answer;
    hv__defer_t work; /* to report */
    int status;
    uint8_t state;
    uint8_t keeps_answer;
    hdns_type_e type;
    char name[];
};

/* What a loop keeps for its names; made at the first query. */
typedef struct hv__dns_s {
    hloop_t *loop;
    hdns_channel_t *channel;
    hdns_cache_t cache;
    hdns_query_t *queries;
    uint32_t count;
} hv__dns_t;

/* ---- hdns_ares.c ---- */

/* Opens a channel. Returns it, or NULL with the reason in *code. */
hdns_channel_t *hdns_channel_open(hloop_t *loop, const hdns_config_t *config, int *code);
/* Ends every lookup with HV_ECANCELED and frees the channel. */
void hdns_channel_close(hdns_channel_t *channel);
/* Begins a lookup for query->name and sets query->lookup. Its end, which may come before this
 * returns, is hv__dns_answered. Returns 0; HV_ENOMEM, HV_ELIMIT. */
int hdns_channel_ask(hdns_channel_t *channel, hdns_query_t *query);
/* Nobody waits for this one any more. */
void hdns_lookup_abandon(hdns_lookup_t *lookup);

/* ---- hdns.c ---- */

/* A lookup has ended. Takes the answer, which may be NULL where `status` is not 0. Calls nothing of
 * the user's. */
void hv__dns_answered(hdns_query_t *query, int status, hdns_answer_t *answer);

/* Gives a query up without a callback: for owners that go away themselves. NULL is allowed. */
void hv__dns_drop(hdns_query_t *query);

#endif
