/* hdns.h - names: addresses and records of the domain name system, asked without blocking.
 *
 * Looked at in this order: literals (no query is made), what was kept of earlier answers, the
 * system's hosts file and name servers as /etc/nsswitch.conf and /etc/resolv.conf order them. The
 * search list of resolv.conf applies to addresses only; a name with a dot at its end is absolute.
 *
 * A query ends in exactly one call of its callback, never before the call that made it has
 * returned, also where the result was known at once. Queries belong to the thread of their loop. */
#ifndef HV_DNS_H_
#define HV_DNS_H_

#include "hevent.h"

HV_BEGIN_DECLS

/* A handle like any other: hevent_userdata, hevent_id, hevent_unref work on it. Valid until its
 * callback has returned. Its id is not used again before 2^32 handles of the loop have come. */
typedef struct hdns_query_s hdns_query_t;

/* What is asked for. The numbers are those of the protocol (RFC 1035, 2782, 3596). */
typedef enum {
    HDNS_ADDRESS = 0, /* A and AAAA together */
    HDNS_A       = 1,
    HDNS_NS      = 2,
    HDNS_CNAME   = 5,
    HDNS_PTR     = 12, /* of a literal address, or of a name under in-addr.arpa or ip6.arpa */
    HDNS_MX      = 15,
    HDNS_TXT     = 16,
    HDNS_AAAA    = 28,
    HDNS_SRV     = 33,
} hdns_type_e;

#define HDNS_NAME_MAX 255 /* bytes of a name */

/* Defaults. */
#define HDNS_TIMEOUT         10000 /* milliseconds, the whole query */
#define HDNS_ATTEMPT_TIMEOUT 2000 /* milliseconds, one question to one server; doubled each round */
#define HDNS_ROUNDS          3     /* how often each server is asked */
#define HDNS_CACHE_ENTRIES   128   /* answers kept */

/* Limits. */
#define HDNS_QUERIES_MAX       8192 /* of one loop at a time; 16 bits tell questions apart */
#define HDNS_ENTRIES_MAX       1024 /* of one answer */
#define HDNS_CACHE_ENTRIES_MAX 1024
#define HDNS_CACHE_TTL_MAX     86400 /* seconds an answer is kept at most */

/* An address with its port, 0 in answers. */
typedef union hdns_addr_s {
    struct sockaddr sa;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
} hdns_addr_t;

/* One record of an answer. */
typedef struct hdns_entry_s {
    hdns_type_e type;
    uint32_t ttl;     /* seconds, as it was answered; 0 from the hosts file */
    const char *text; /* A, AAAA: the literal; NS, CNAME, PTR, MX, SRV: the name, without the last
                         dot; TXT: the bytes of all its strings. A NUL follows, not counted. */
    size_t text_len;
    hdns_addr_t addr; /* A, AAAA */
    uint16_t priority; /* MX, SRV; the lowest first */
    uint16_t weight;   /* SRV */
    uint16_t port;     /* SRV */
} hdns_entry_t;

/* What came of a query; borrowed until the callback returns. */
typedef struct hdns_result_s {
    /* 0 with at least one entry, or, with none:
     *   HV_ENOTFOUND     no such name, or no such record of it
     *   HV_ETIMEDOUT     no answer in time
     *   HV_ECANCELED     hdns_cancel, or the loop is being freed
     *   HV_EPROTO        an answer that cannot be read
     *   -EREMOTEIO       every server failed, refused to answer, or is not there
     *   HV_EINVAL        not a name; HV_ENOMEM, HV_ELIMIT */
    int status;
    hdns_type_e type; /* as asked */
    const char *name; /* as asked */
    size_t count;
    /* Addresses in the order to try them (RFC 6724); MX and SRV by priority; others as they
     * came. */
    const hdns_entry_t *entries;
} hdns_result_t;

typedef void (*hdns_cb)(hdns_query_t *query, const hdns_result_t *result);

#define HDNS_NO_CACHE 0x01 /* neither take a kept answer nor keep this one */

/* How one query is made; a zeroed one means the defaults. */
typedef struct hdns_options_s {
    uint32_t flags;      /* HDNS_NO_CACHE */
    uint32_t timeout_ms; /* the whole query; 0: HDNS_TIMEOUT */
} hdns_options_t;

/* How a loop asks; a zeroed one means the system's settings and the defaults. */
typedef struct hdns_config_s {
    const char *servers; /* "ip[:port],[ip6]:port,..."; NULL: the system's */
    const char *search;  /* domains parted by blanks, "" for none; NULL: the system's */
    uint32_t attempt_timeout_ms; /* 0: HDNS_ATTEMPT_TIMEOUT */
    uint32_t rounds;             /* 0: HDNS_ROUNDS */
    int cache_entries;           /* 0: HDNS_CACHE_ENTRIES; below 0: nothing is kept */
} hdns_config_t;

/* Begins a query.
 *   name       copied; at most HDNS_NAME_MAX bytes
 *   options    NULL for the defaults; copied
 *   on_result  called once; the userdata is hevent_userdata(query)
 * Returns the query, or NULL with hloop_last_error set, and then no callback comes: HV_EINVAL (an
 * empty or too long name, or an unknown type), HV_ELIMIT, HV_ENOMEM, HV_ECLOSED (the loop is being
 * freed). */
HV_EXPORT hdns_query_t *hdns_resolve(hloop_t *loop, const char *name, hdns_type_e type,
                                     const hdns_options_t *options, hdns_cb on_result,
                                     void *userdata);

/* Gives up: the callback comes with HV_ECANCELED, later. Again, or inside the callback: nothing. */
HV_EXPORT void hdns_cancel(hdns_query_t *query);

/* Changes how the loop asks from now on, and forgets the answers kept.
 *   config  copied; NULL: the system's settings, read anew
 * Returns 0; HV_EINVAL for servers or numbers that cannot be, HV_EBUSY while queries run, and
 * HV_ENOMEM: the old settings then stay. */
HV_EXPORT int hdns_configure(hloop_t *loop, const hdns_config_t *config);

/* Queries of this loop that have not been reported yet. */
HV_EXPORT uint32_t hdns_queries(const hloop_t *loop);

HV_END_DECLS

#endif
