/* hdns_cache.h - a bounded table of answers, kept as long as their ttl allows. Pure: time is
 * told. */
#ifndef HV_DNS_CACHE_H_
#define HV_DNS_CACHE_H_

#include "hdns_answer.h"

typedef struct hdns_kept_s hdns_kept_t;

/* A zeroed cache with `cap` set is empty; with a cap of 0 it keeps nothing. */
typedef struct hdns_cache_s {
    hdns_kept_t *kept; /* `cap` of them, made at the first use */
    size_t cap;
    uint64_t uses; /* a clock that tells which was used last */
} hdns_cache_t;

/* The answer kept for a name, upper or lower case, or NULL. Borrowed. */
hdns_answer_t *hdns_cache_find(hdns_cache_t *cache, const char *name, hdns_type_e type,
                               uint64_t now_us);
/* Keeps an answer by its ttl in place of what is oldest or longest unused. Without memory, or with
 * a ttl of 0, nothing. */
void hdns_cache_keep(hdns_cache_t *cache, const char *name, hdns_type_e type,
                     hdns_answer_t *answer, uint64_t now_us);
void hdns_cache_deinit(hdns_cache_t *cache);

#endif
