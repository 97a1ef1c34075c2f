/* redis_link.h - a link's two files: redis_link.c makes and ends it and writes, redis_read.c takes
 * what the server sends. */
#ifndef HVL_REDIS_LINK_H_
#define HVL_REDIS_LINK_H_

#include "conn.h"
#include "redis.h"

enum { HVL_LINK_CALL, HVL_LINK_PIPELINE, HVL_LINK_SUBSCRIBE };

/* Who expects replies. */
typedef struct hvl_link_entry_s {
    hvl_waiter_t waiter;
    uint32_t left;   /* replies to come */
    int results_ref; /* of a pipeline: its list */
    int filled;      /* items in it */
    uint8_t kind;
    uint8_t expects; /* of a subscription: hvl_link_confirmation of its command */
} hvl_link_entry_t;

typedef struct hvl_link_s {
    hvl_object_t object;
    hvl_conn_t *conn; /* held by conn_ref; NULL: not connected */
    int conn_ref;
    int on_push_ref;
    int on_drain_ref;
    int on_lost_ref;
    hclose_cb on_conn_close; /* the connection's own close callback, which comes first */
    int messages_ref;        /* the list of kept messages */
    uint32_t first_message, last_message; /* counters: how many were delivered, and kept */
    uint32_t messages_max;
    hresp_t parser;
    hresp_limits_t limits;
    hvl_reply_t reply;
    hvl_bytes_t in;  /* bytes of a token that is not complete */
    hvl_bytes_t out; /* the command at hand */
    hvl_link_entry_t *queue;
    uint32_t queue_first, queue_count, queue_cap;
    uint64_t heard_us;     /* when bytes came last */
    int error;             /* why this side has ended the connection, or 0 */
    uint8_t is_reading;    /* hvl_link_on_bytes is on the C stack */
    uint8_t is_resting;    /* reading is stopped */
    uint8_t is_subscriber; /* RESP2: arrays may be messages */
    uint8_t is_delivering; /* deliver_kept is on the C stack */
    uint8_t is_busy;       /* a task runs on_push */
    uint8_t is_flooded;    /* `error` is because of messages_max */
} hvl_link_t;

#define HVL_LINK_MESSAGES_MAX (1 << 20) /* that messages_max may be */

/* ---- redis_link.c ---- */

/* Lets the collector have the link where nothing uses it any more. */
void hvl_link_leave(hvl_link_t *link);
/* Takes the entry that has waited longest; there must be one. */
hvl_link_entry_t hvl_link_pop(hvl_link_t *link);

/* ---- redis_read.c ---- */

/* Which confirmation a command of subscribing is answered with: a number of its own, 0 for other
 * commands.
 *   name  of the command, in any case; what confirms it bears the same name */
uint8_t hvl_link_confirmation(const char *name);

/* The read callback of the connection. */
void hvl_link_on_bytes(hio_t *io, void *buf, int len);
/* Has reading rest, or go on, by how many messages are kept and whether calls wait. */
void hvl_link_balance(hvl_link_t *link);

#endif
