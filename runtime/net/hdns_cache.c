/* hdns_cache.c - see hdns_cache.h. A plain array that is searched by hash from end to end: a query
 * costs a thousand times as much, and there is no order to keep up. */
#include "hdns_cache.h"

#include "hassert.h"
#include "hmem.h"
#include "hstr.h"

struct hdns_kept_s {
    char *name; /* NULL: free */
    hdns_answer_t *answer;
    uint64_t expires_us;
    uint64_t last_use;
    uint32_t hash;
    hdns_type_e type;
};

/* FNV-1a of the lower-case name. */
static uint32_t hash_of(const char *name, hdns_type_e type) {
    uint32_t hash = 2166136261u ^ (uint32_t)type;
    for (; *name != '\0'; name++) {
        hash = (hash ^ hstr_lower((unsigned char)*name)) * 16777619u;
    }
    return hash;
}

static void drop(hdns_kept_t *kept) {
    hv__free(kept->name);
    hdns_answer_unref(kept->answer);
    memset(kept, 0, sizeof *kept);
}

static hdns_kept_t *find(hdns_cache_t *cache, const char *name, hdns_type_e type, uint32_t hash) {
    if (cache->kept == NULL) return NULL;
    for (size_t i = 0; i < cache->cap; i++) {
        hdns_kept_t *kept = &cache->kept[i];
        if (kept->name == NULL || kept->hash != hash || kept->type != type) continue;
        if (hstr_equals_nocase(hstr_from(kept->name), hstr_from(name))) return kept;
    }
    return NULL;
}

hdns_answer_t *hdns_cache_find(hdns_cache_t *cache, const char *name, hdns_type_e type,
                               uint64_t now_us) {
    hdns_kept_t *kept = find(cache, name, type, hash_of(name, type));
    if (kept == NULL) return NULL;
    if (kept->expires_us <= now_us) {
        drop(kept);
        return NULL;
    }
    kept->last_use = ++cache->uses;
    return kept->answer;
}

/* A free place, or the one whose end has come, or the longest unused. */
static hdns_kept_t *make_room(hdns_cache_t *cache, uint64_t now_us) {
    hdns_kept_t *worst = &cache->kept[0];
    for (size_t i = 0; i < cache->cap; i++) {
        hdns_kept_t *kept = &cache->kept[i];
        if (kept->name == NULL) return kept;
        if (kept->expires_us <= now_us) {
            worst = kept;
            break;
        }
        if (kept->last_use < worst->last_use) worst = kept;
    }
    drop(worst);
    return worst;
}

void hdns_cache_keep(hdns_cache_t *cache, const char *name, hdns_type_e type,
                     hdns_answer_t *answer, uint64_t now_us) {
    if (cache->cap == 0 || answer->count == 0 || answer->ttl == 0) return;
    if (cache->kept == NULL) {
        cache->kept = hv__calloc(cache->cap, sizeof *cache->kept);
        if (cache->kept == NULL) return;
    }
    char *copy = hv__strndup(name, strlen(name));
    if (copy == NULL) return;
    uint32_t hash = hash_of(name, type);
    hdns_kept_t *kept = find(cache, name, type, hash);
    if (kept != NULL) {
        drop(kept);
    } else {
        kept = make_room(cache, now_us);
    }
    HV_DASSERT(kept->name == NULL);
    uint64_t ttl = answer->ttl < HDNS_CACHE_TTL_MAX ? answer->ttl : HDNS_CACHE_TTL_MAX;
    hdns_answer_ref(answer);
    *kept = (hdns_kept_t){
        .name = copy,
        .answer = answer,
        .expires_us = now_us + ttl * 1000000u,
        .last_use = ++cache->uses,
        .hash = hash,
        .type = type,
    };
}

void hdns_cache_deinit(hdns_cache_t *cache) {
    for (size_t i = 0; cache->kept != NULL && i < cache->cap; i++) drop(&cache->kept[i]);
    hv__free(cache->kept);
    cache->kept = NULL;
}
