/* hdict.c - a dictionary as a whole, its lock, and the steps that others call.
 *
 * One robust mutex guards everything. Each step sets is_dirty before its first write and clears it
 * after the last. Who gets the lock from a dead process finds out by that whether anything was on
 * its way; then all is checked, and where something does not hold the dictionary begins anew. An
 * entry whose bytes were being written has type 0 and is dropped. */
#include "hclock.h"
#include "hdict_int.h"

#include <sys/random.h>

#define BYTES_PER_BUCKET 128u

/* ---- The whole ---- */

static uint64_t check_of(const hdict_t *dict) {
    uint64_t sum = HDICT_MAGIC;
    const uint64_t parts[] = {dict->bytes, dict->seed[0], dict->seed[1], dict->bucket_count,
                              (uint64_t)dict->heap_first << 32 | dict->heap_end};
    for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
        sum = (hdict__rotate(sum, 23) ^ parts[i]) * UINT64_C(0x9e3779b97f4a7c15);
    }
    return sum;
}

static uint32_t buckets_for(size_t bytes) {
    uint32_t count = 64;
    while ((size_t)count * 2 * BYTES_PER_BUCKET <= bytes) count *= 2;
    return count;
}

/* Empties it, whatever it holds. */
static void clear(hdict_t *dict) {
    dict->newest = dict->oldest = dict->count = 0;
    memset(dict->buckets, 0, dict->bucket_count * sizeof dict->buckets[0]);
    hdict__heap_init(dict);
    dict->is_broken = 0;
}

/* Killed in here, it is begun anew by the next one. */
static void begin_anew(hdict_t *dict) {
    hdict__begin_writing(dict);
    clear(dict);
    dict->resets++;
}

int hdict__mutex_init(pthread_mutex_t *mutex) {
    pthread_mutexattr_t attr;
    int failed = pthread_mutexattr_init(&attr);
    if (failed) return -failed;
    failed = pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
    if (!failed) failed = pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
    if (!failed) failed = pthread_mutex_init(mutex, &attr);
    pthread_mutexattr_destroy(&attr);
    return -failed;
}

static void choose_seed(hdict_t *dict) {
    if (getrandom(dict->seed, sizeof dict->seed, GRND_NONBLOCK) == sizeof dict->seed) return;
    dict->seed[0] = hclock_wall_us() * UINT64_C(0x9e3779b97f4a7c15);
    dict->seed[1] = (uint64_t)(uintptr_t)dict ^ hdict__rotate(hclock_mono_us(), 32);
}

hdict_t *hdict_format(void *memory, size_t bytes) {
    hdict_t *dict = memory;
    if (memory == NULL || (uintptr_t)memory % 64 != 0) return NULL;
    if (bytes < HDICT_BYTES_MIN || bytes > HDICT_BYTES_MAX) return NULL;
    memset(dict, 0, sizeof *dict);
    atomic_signal_fence(memory_order_seq_cst);
    choose_seed(dict);
    if (hdict__mutex_init(&dict->mutex) != 0) return NULL;
    dict->bytes = bytes;
    dict->bucket_count = buckets_for(bytes);
    size_t first = sizeof *dict + dict->bucket_count * sizeof dict->buckets[0];
    dict->heap_first = (uint32_t)((first + HDICT_UNIT - 1) / HDICT_UNIT);
    dict->heap_end = (uint32_t)((bytes - sizeof(hdict__block_t)) / HDICT_UNIT);
    HV_ASSERT(dict->heap_end > dict->heap_first + HDICT_BLOCK_UNITS_MIN);
    clear(dict);
    dict->check = check_of(dict);
    atomic_signal_fence(memory_order_seq_cst); /* one that is killed in here leaves no magic */
    dict->magic = HDICT_MAGIC;
    return dict;
}

static int is_whole(const hdict_t *dict) {
    return dict->magic == HDICT_MAGIC && dict->check == check_of(dict);
}

hdict_t *hdict_attach(void *memory, size_t bytes) {
    hdict_t *dict = memory;
    if (memory == NULL || (uintptr_t)memory % 64 != 0 || bytes < HDICT_BYTES_MIN) return NULL;
    return is_whole(dict) && dict->bytes <= bytes ? dict : NULL;
}

/* ---- The lock ---- */

static void end_writing(hdict_t *dict) {
    atomic_signal_fence(memory_order_seq_cst);
    dict->is_dirty = 0;
}

/* The owner has died. Killed again in here, the next one comes here too. */
static void take_over(hdict_t *dict) {
    if (dict->is_dirty) {
        if (!hdict__check(dict)) {
            begin_anew(dict);
        } else {
            hdict__drop_unfinished(dict);
        }
        if (dict->is_broken) begin_anew(dict);
        end_writing(dict);
    }
    pthread_mutex_consistent(&dict->mutex);
}

int hdict__lock(hdict_t *dict) {
    if (HV_UNLIKELY(!is_whole(dict))) return HV_EPROTO;
    int failed = pthread_mutex_lock(&dict->mutex);
    if (HV_UNLIKELY(failed)) {
        if (failed != EOWNERDEAD) return -failed;
        take_over(dict);
    }
    return 0;
}

void hdict__unlock(hdict_t *dict) {
    if (HV_UNLIKELY(dict->is_broken)) begin_anew(dict);
    if (dict->is_dirty) end_writing(dict);
    pthread_mutex_unlock(&dict->mutex);
}

/* ---- The steps ---- */

static int make_image(hdict__image_t *image, const hdict_value_t *value) {
    image->type = (uint8_t)value->type;
    switch (value->type) {
    case HDICT_BYTES:
    case HDICT_ENCODED:
        image->data = value->data;
        image->len = value->len;
        return 0;
    case HDICT_NUMBER:
        image->data = &value->number;
        image->len = sizeof value->number;
        return 0;
    case HDICT_BOOLEAN:
        image->boolean = value->number != 0;
        image->data = &image->boolean;
        image->len = 1;
        return 0;
    }
    return HV_EINVAL;
}

static int key_is_good(size_t key_len) { return key_len > 0 && key_len <= HDICT_KEY_BYTES_MAX; }

/* Locks, and finds the entry of a key, or NULL where there is none. Returns 0, with the lock held,
 * or a code. */
static int lock_and_find(hdict_t *dict, const void *key, size_t key_len, hdict__entry_t **entry) {
    if (!key_is_good(key_len)) return HV_EINVAL;
    int code = hdict__lock(dict);
    if (code == 0) *entry = hdict__find(dict, key, key_len, hdict__hash(dict, key, key_len));
    return code;
}

static int copy_value(const hdict__entry_t *entry, hdict_value_t *value, void *buffer,
                      size_t bytes) {
    const uint8_t *data = entry->bytes + entry->key_len;
    *value = (hdict_value_t){.type = (hdict_type_e)entry->type, .len = entry->value_len};
    switch (entry->type) {
    case HDICT_NUMBER:
        if (entry->value_len != sizeof value->number) return HV_EPROTO;
        memcpy(&value->number, data, sizeof value->number);
        return 0;
    case HDICT_BOOLEAN: value->number = entry->value_len == 1 && *data != 0; return 0;
    case HDICT_BYTES:
    case HDICT_ENCODED:
        if (entry->value_len > bytes) return HV_ELIMIT;
        if (entry->value_len > 0) memcpy(buffer, data, entry->value_len);
        value->data = buffer;
        return 0;
    default: return HV_EPROTO;
    }
}

int hdict_get(hdict_t *dict, const void *key, size_t key_len, hdict_value_t *value, void *buffer,
              size_t buffer_bytes) {
    hdict__entry_t *entry;
    int code = lock_and_find(dict, key, key_len, &entry);
    if (code != 0) return code;
    code = HV_ENOTFOUND;
    if (entry != NULL) {
        code = copy_value(entry, value, buffer, buffer_bytes);
        if (code == 0) hdict__mark_used(dict, entry);
        if (code == HV_EPROTO) dict->is_broken = 1;
    }
    if (dict->is_broken) code = HV_ENOTFOUND;
    hdict__unlock(dict);
    return code;
}

static int set_once(hdict_t *dict, const void *key, size_t key_len, const hdict__image_t *image,
                    uint64_t ttl_ms, int mode, int *is_evicted) {
    uint32_t hash = hdict__hash(dict, key, key_len);
    hdict__entry_t *entry = hdict__find(dict, key, key_len, hash);
    if (entry == NULL) {
        if (dict->is_broken) return HV_EAGAIN;
        if (mode == HDICT_SET_REPLACE) return HV_ENOTFOUND;
        return hdict__insert(dict, key, key_len, hash, image, ttl_ms, is_evicted) ? 0 : HV_EAGAIN;
    }
    if (mode == HDICT_SET_ADD) return -EEXIST;
    return hdict__overwrite(dict, entry, key, hash, image, ttl_ms, is_evicted) ? 0 : HV_EAGAIN;
}

int hdict_set(hdict_t *dict, const void *key, size_t key_len, const hdict_value_t *value,
              uint64_t ttl_ms, int mode, int *is_evicted) {
    hdict__image_t image;
    int ignored, *evicted = is_evicted != NULL ? is_evicted : &ignored;
    *evicted = 0;
    if (!key_is_good(key_len) || make_image(&image, value) != 0) return HV_EINVAL;
    if (mode < HDICT_SET_ALWAYS || mode > HDICT_SET_REPLACE) return HV_EINVAL;
    int code = hdict__lock(dict);
    if (code != 0) return code;
    /* What is no larger than half always fits: an empty heap is one block. */
    size_t half = (size_t)(dict->heap_end - dict->heap_first) / 2 * HDICT_UNIT;
    if (image.len > half || sizeof(hdict__entry_t) + key_len + image.len > half) {
        code = HV_ELIMIT;
    } else {
        code = set_once(dict, key, key_len, &image, ttl_ms, mode, evicted);
        if (dict->is_broken) {
            begin_anew(dict);
            code = set_once(dict, key, key_len, &image, ttl_ms, mode, evicted);
        }
    }
    hdict__unlock(dict);
    return code;
}

static int incr_once(hdict_t *dict, const void *key, size_t key_len, double by, const double *init,
                     double *result, int *is_evicted) {
    uint32_t hash = hdict__hash(dict, key, key_len);
    hdict__entry_t *entry = hdict__find(dict, key, key_len, hash);
    if (entry == NULL) {
        if (dict->is_broken) return HV_EAGAIN;
        if (init == NULL) return HV_ENOTFOUND;
        double sum = *init + by;
        hdict__image_t image = {.data = &sum, .len = sizeof sum, .type = HDICT_NUMBER};
        if (!hdict__insert(dict, key, key_len, hash, &image, 0, is_evicted)) return HV_EAGAIN;
        *result = sum;
        return 0;
    }
    if (entry->type != HDICT_NUMBER || entry->value_len != sizeof *result) return HV_EINVAL;
    double sum;
    memcpy(&sum, entry->bytes + entry->key_len, sizeof sum);
    sum += by;
    hdict__begin_writing(dict);
    memcpy(entry->bytes + entry->key_len, &sum, sizeof sum);
    hdict__mark_used(dict, entry);
    *result = sum;
    return dict->is_broken ? HV_EAGAIN : 0;
}

int hdict_incr(hdict_t *dict, const void *key, size_t key_len, double by, const double *init,
               double *result, int *is_evicted) {
    int ignored, *evicted = is_evicted != NULL ? is_evicted : &ignored;
    *evicted = 0;
    if (!key_is_good(key_len)) return HV_EINVAL;
    int code = hdict__lock(dict);
    if (code != 0) return code;
    code = incr_once(dict, key, key_len, by, init, result, evicted);
    if (dict->is_broken) {
        begin_anew(dict);
        code = incr_once(dict, key, key_len, by, init, result, evicted);
    }
    hdict__unlock(dict);
    return code;
}

int hdict_delete(hdict_t *dict, const void *key, size_t key_len) {
    hdict__entry_t *entry;
    int code = lock_and_find(dict, key, key_len, &entry);
    if (code != 0) return code;
    if (entry != NULL) hdict__remove(dict, entry);
    code = entry != NULL ? 0 : HV_ENOTFOUND;
    hdict__unlock(dict);
    return code;
}

int hdict_ttl(hdict_t *dict, const void *key, size_t key_len, uint64_t *ttl_ms) {
    hdict__entry_t *entry;
    int code = lock_and_find(dict, key, key_len, &entry);
    if (code != 0) return code;
    code = HV_ENOTFOUND;
    if (entry != NULL) {
        /* Between the two looks at the clock its last moment may have passed. */
        uint64_t now = hdict__now_ms(), expires = entry->expires_ms;
        *ttl_ms = expires == 0 ? 0 : expires > now ? expires - now : 1;
        code = 0;
    }
    hdict__unlock(dict);
    return code;
}

int hdict_expire(hdict_t *dict, const void *key, size_t key_len, uint64_t ttl_ms) {
    hdict__entry_t *entry;
    int code = lock_and_find(dict, key, key_len, &entry);
    if (code != 0) return code;
    code = HV_ENOTFOUND;
    if (entry != NULL) {
        uint64_t expires = ttl_ms == 0 ? 0 : hdict__now_ms() + ttl_ms;
        entry->expires_ms = expires < ttl_ms ? 0 : expires;
        code = 0;
    }
    hdict__unlock(dict);
    return code;
}

int hdict_flush(hdict_t *dict) {
    int code = hdict__lock(dict);
    if (code != 0) return code;
    hdict__begin_writing(dict);
    clear(dict);
    hdict__unlock(dict);
    return 0;
}

/* Appends the keys of a bucket. Returns whether there was room for all of them. */
static int copy_keys(hdict_t *dict, uint32_t bucket, uint8_t *buffer, size_t bytes, size_t *used) {
    size_t at = *used;
    uint32_t place = dict->buckets[bucket];
    for (uint32_t steps = 0; place != 0; steps++) {
        if (steps > dict->count) dict->is_broken = 1;
        hdict__entry_t *entry = hdict__entry_at(dict, place);
        if (entry == NULL || dict->is_broken) break;
        if (!hdict__has_expired(entry)) {
            if (bytes - at < sizeof entry->key_len + entry->key_len) return 0;
            memcpy(buffer + at, &entry->key_len, sizeof entry->key_len);
            memcpy(buffer + at + sizeof entry->key_len, entry->bytes, entry->key_len);
            at += sizeof entry->key_len + entry->key_len;
        }
        place = entry->next;
    }
    *used = at;
    return 1;
}

int hdict_keys(hdict_t *dict, uint64_t *cursor, void *buffer, size_t buffer_bytes, size_t *used) {
    *used = 0;
    int code = hdict__lock(dict);
    if (code != 0) return code;
    uint64_t bucket = *cursor;
    while (bucket < dict->bucket_count && !dict->is_broken) {
        if (!copy_keys(dict, (uint32_t)bucket, buffer, buffer_bytes, used)) break;
        bucket++;
    }
    if (bucket == *cursor && bucket < dict->bucket_count) code = HV_ELIMIT;
    *cursor = bucket < dict->bucket_count ? bucket : 0;
    if (dict->is_broken) {
        *cursor = 0;
        *used = 0;
        code = 0;
    }
    hdict__unlock(dict);
    return code;
}

int hdict_stats(hdict_t *dict, hdict_stats_t *stats) {
    int code = hdict__lock(dict);
    if (code != 0) return code;
    *stats = (hdict_stats_t){
        .bytes = dict->bytes,
        .bytes_free = (uint64_t)dict->free_units * HDICT_UNIT,
        .count = dict->count,
        .evictions = dict->evictions,
        .resets = dict->resets,
    };
    hdict__unlock(dict);
    return 0;
}
