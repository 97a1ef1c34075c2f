/* hdict.c - the operations of a dictionary: a hash table whose entries are blocks of hdict_heap.c,
 * chained by bucket, and listed by their last use.
 *
 * One robust mutex guards everything. Each step sets is_dirty before its first write and clears it
 * after the last. Who gets the lock from a dead process finds out by that whether anything was on
 * its way; then all is checked, and where something does not hold the dictionary begins anew. An
 * entry whose bytes were being written has type 0 and is dropped.
 *
 * Keys are hashed by SipHash-1-3 (Aumasson and Bernstein) with a seed of the dictionary's own, so
 * that nobody who chooses keys can choose their bucket. Time is the monotonic clock, which all
 * processes of a machine share; what has expired is removed when it is met. */
#include "hclock.h"
#include "hdict_int.h"

#include <stdatomic.h>
#include <sys/random.h>

#define BYTES_PER_BUCKET 128u
#define REAPED_PER_SET   2

typedef hdict__entry_t entry_t;

/* ---- Hashing ---- */

static inline uint64_t rotate(uint64_t word, int bits) {
    return word << bits | word >> (64 - bits);
}

static void sip_round(uint64_t v[4]) {
    v[0] += v[1];
    v[2] += v[3];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] = rotate(v[0], 32);
    v[2] += v[1];
    v[0] += v[3];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[2] = rotate(v[2], 32);
}

static uint32_t hash_key(const hdict_t *dict, const void *key, size_t len) {
    const uint8_t *at = key;
    uint64_t v[4] = {dict->seed[0] ^ UINT64_C(0x736f6d6570736575),
                     dict->seed[1] ^ UINT64_C(0x646f72616e646f6d),
                     dict->seed[0] ^ UINT64_C(0x6c7967656e657261),
                     dict->seed[1] ^ UINT64_C(0x7465646279746573)};
    size_t left = len;
    for (;; at += 8, left -= 8) {
        uint64_t word = left < 8 ? (uint64_t)(len & 0xff) << 56 : 0;
        memcpy(&word, at, left < 8 ? left : 8);
        v[3] ^= word;
        sip_round(v);
        v[0] ^= word;
        if (left < 8) break;
    }
    v[2] ^= 0xff;
    for (int i = 0; i < 3; i++) sip_round(v);
    uint64_t hash = v[0] ^ v[1] ^ v[2] ^ v[3];
    return (uint32_t)(hash ^ hash >> 32);
}

/* ---- The whole ---- */

static uint64_t check_of(const hdict_t *dict) {
    uint64_t sum = HDICT_MAGIC;
    const uint64_t parts[] = {dict->bytes, dict->seed[0], dict->seed[1], dict->bucket_count,
                              (uint64_t)dict->heap_first << 32 | dict->heap_end};
    for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
        sum = (rotate(sum, 23) ^ parts[i]) * UINT64_C(0x9e3779b97f4a7c15);
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

static void begin_anew(hdict_t *dict) {
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
    dict->seed[1] = (uint64_t)(uintptr_t)dict ^ rotate(hclock_mono_us(), 32);
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

static void begin_writing(hdict_t *dict) {
    dict->is_dirty = 1;
    atomic_signal_fence(memory_order_seq_cst); /* a killed process stops between two instructions */
}

static void end_writing(hdict_t *dict) {
    atomic_signal_fence(memory_order_seq_cst);
    dict->is_dirty = 0;
}

static void drop_unfinished(hdict_t *dict);

/* The owner has died. Killed again in here, the next one comes here too. */
static void take_over(hdict_t *dict) {
    if (dict->is_dirty) {
        if (!hdict__check(dict)) {
            begin_anew(dict);
        } else {
            drop_unfinished(dict);
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

/* ---- Entries ---- */

/* The entry at a place, or NULL and is_broken. */
static entry_t *entry_at(hdict_t *dict, uint32_t place) {
    hdict__block_t *block = hdict__block(dict, place);
    if (block == NULL) return NULL;
    entry_t *entry = (entry_t *)block;
    size_t room = (size_t)(block->size & ~HDICT_USED) * HDICT_UNIT - sizeof *entry;
    size_t len = (size_t)entry->key_len + entry->value_len;
    if (HV_LIKELY((block->size & HDICT_USED) && len <= room)) return entry;
    dict->is_broken = 1;
    return NULL;
}

static uint32_t *bucket_of(hdict_t *dict, uint32_t hash) {
    return &dict->buckets[hash & (dict->bucket_count - 1)];
}

static void list_remove(hdict_t *dict, entry_t *entry) {
    entry_t *newer = entry->newer ? entry_at(dict, entry->newer) : NULL;
    entry_t *older = entry->older ? entry_at(dict, entry->older) : NULL;
    if (newer != NULL) newer->older = entry->older;
    if (older != NULL) older->newer = entry->newer;
    if (entry->newer == 0) dict->newest = entry->older;
    if (entry->older == 0) dict->oldest = entry->newer;
}

static void list_put_first(hdict_t *dict, entry_t *entry) {
    uint32_t place = hdict__place(dict, entry);
    entry_t *second = dict->newest ? entry_at(dict, dict->newest) : NULL;
    entry->newer = 0;
    entry->older = dict->newest;
    if (second != NULL) second->newer = place;
    dict->newest = place;
    if (dict->oldest == 0) dict->oldest = place;
}

static void mark_used(hdict_t *dict, entry_t *entry) {
    if (dict->newest == hdict__place(dict, entry)) return;
    begin_writing(dict);
    list_remove(dict, entry);
    list_put_first(dict, entry);
}

/* Takes an entry out of everything and frees it. */
static void remove_entry(hdict_t *dict, entry_t *entry) {
    begin_writing(dict);
    uint32_t place = hdict__place(dict, entry);
    uint32_t *link = bucket_of(dict, entry->hash);
    for (uint32_t steps = 0; *link != place; steps++) {
        entry_t *other = *link != 0 && steps <= dict->count ? entry_at(dict, *link) : NULL;
        if (other == NULL) {
            dict->is_broken = 1;
            return;
        }
        link = &other->next;
    }
    *link = entry->next;
    list_remove(dict, entry);
    dict->count--;
    if (!dict->is_broken) hdict__heap_free(dict, &entry->block);
}

static uint64_t now_ms(void) { return hclock_mono_us() / 1000; }

static int has_expired(const entry_t *entry) {
    return entry->expires_ms != 0 && entry->expires_ms <= now_ms();
}

/* The entry of a key, or NULL; one that has expired is removed. */
static entry_t *find(hdict_t *dict, const void *key, size_t key_len, uint32_t hash) {
    uint32_t place = *bucket_of(dict, hash);
    for (uint32_t steps = 0; place != 0; steps++) {
        if (steps > dict->count) dict->is_broken = 1;
        entry_t *entry = entry_at(dict, place);
        if (entry == NULL || dict->is_broken) return NULL;
        if (entry->hash == hash && entry->key_len == key_len &&
            memcmp(entry->bytes, key, key_len) == 0) {
            if (!has_expired(entry)) return entry;
            remove_entry(dict, entry);
            return NULL;
        }
        place = entry->next;
    }
    return NULL;
}

/* ---- Room ---- */

/* Removes the entry that was not used for longest. Returns whether there was one. */
static int evict(hdict_t *dict, int *is_evicted) {
    if (dict->oldest == 0) return 0;
    entry_t *entry = entry_at(dict, dict->oldest);
    if (entry == NULL) return 0;
    if (!has_expired(entry)) {
        *is_evicted = 1;
        dict->evictions++;
    }
    remove_entry(dict, entry);
    return !dict->is_broken;
}

/* A block for an entry, at the price of others. NULL only where something is broken. */
static entry_t *make_room(hdict_t *dict, uint32_t units, int *is_evicted) {
    for (int i = 0; i < REAPED_PER_SET && dict->oldest != 0; i++) {
        entry_t *oldest = entry_at(dict, dict->oldest);
        if (oldest == NULL || !has_expired(oldest)) break;
        remove_entry(dict, oldest);
    }
    for (;;) {
        if (dict->is_broken) return NULL;
        hdict__block_t *block = hdict__heap_alloc(dict, units);
        if (block != NULL) return (entry_t *)block;
        if (!evict(dict, is_evicted)) {
            dict->is_broken = 1;
            return NULL;
        }
    }
}

static uint32_t units_for(size_t key_len, size_t value_len) {
    size_t units = (sizeof(entry_t) + key_len + value_len + HDICT_UNIT - 1) / HDICT_UNIT;
    return units < HDICT_BLOCK_UNITS_MIN ? HDICT_BLOCK_UNITS_MIN : (uint32_t)units;
}

/* What a value looks like in the memory. */
typedef struct image_s {
    const void *data;
    size_t len;
    uint8_t type;
    uint8_t boolean;
} image_t;

static int make_image(image_t *image, const hdict_value_t *value) {
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

static void write_value(entry_t *entry, const image_t *image, uint64_t ttl_ms) {
    entry->type = 0;
    atomic_signal_fence(memory_order_seq_cst);
    entry->value_len = (uint32_t)image->len;
    entry->expires_ms = ttl_ms == 0 ? 0 : now_ms() + ttl_ms;
    if (ttl_ms != 0 && entry->expires_ms < ttl_ms) entry->expires_ms = 0; /* for ever, or longer */
    if (image->len > 0) memcpy(entry->bytes + entry->key_len, image->data, image->len);
    atomic_signal_fence(memory_order_seq_cst);
    entry->type = image->type;
}

/* Puts a new entry where there is none. Returns whether it could, which it can unless something is
 * broken. */
static int insert(hdict_t *dict, const void *key, size_t key_len, uint32_t hash,
                  const image_t *image, uint64_t ttl_ms, int *is_evicted) {
    begin_writing(dict);
    entry_t *entry = make_room(dict, units_for(key_len, image->len), is_evicted);
    if (entry == NULL) return 0;
    entry->hash = hash;
    entry->key_len = (uint16_t)key_len;
    memcpy(entry->bytes, key, key_len);
    write_value(entry, image, ttl_ms);
    uint32_t *bucket = bucket_of(dict, hash);
    entry->next = *bucket;
    *bucket = hdict__place(dict, entry);
    list_put_first(dict, entry);
    dict->count++;
    return !dict->is_broken;
}

/* Gives an entry another value: in its place where that fits without wasting much of it. */
static int overwrite(hdict_t *dict, entry_t *entry, const void *key, uint32_t hash,
                     const image_t *image, uint64_t ttl_ms, int *is_evicted) {
    uint32_t key_len = entry->key_len;
    uint32_t wanted = units_for(key_len, image->len);
    uint32_t units = entry->block.size & ~HDICT_USED;
    if (wanted <= units && units - wanted <= units / 4 + HDICT_BLOCK_UNITS_MIN) {
        begin_writing(dict);
        write_value(entry, image, ttl_ms);
        mark_used(dict, entry);
        return !dict->is_broken;
    }
    remove_entry(dict, entry);
    return !dict->is_broken && insert(dict, key, key_len, hash, image, ttl_ms, is_evicted);
}

/* ---- The steps ---- */

static int key_is_good(size_t key_len) { return key_len > 0 && key_len <= HDICT_KEY_BYTES_MAX; }

static int copy_value(const entry_t *entry, hdict_value_t *value, void *buffer, size_t bytes) {
    const uint8_t *data = entry->bytes + entry->key_len;
    *value = (hdict_value_t){.type = (hdict_type_e)entry->type, .len = entry->value_len};
    switch (entry->type) {
    case HDICT_NUMBER:
        if (entry->value_len != sizeof value->number) return HV_EPROTO;
        memcpy(&value->number, data, sizeof value->number);
        return 0;
    case HDICT_BOOLEAN:
        value->number = entry->value_len == 1 && *data != 0;
        return 0;
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
    if (!key_is_good(key_len)) return HV_EINVAL;
    int code = hdict__lock(dict);
    if (code != 0) return code;
    entry_t *entry = find(dict, key, key_len, hash_key(dict, key, key_len));
    code = HV_ENOTFOUND;
    if (entry != NULL) {
        code = copy_value(entry, value, buffer, buffer_bytes);
        if (code == 0) mark_used(dict, entry);
        if (code == HV_EPROTO) dict->is_broken = 1;
    }
    if (dict->is_broken) code = HV_ENOTFOUND;
    hdict__unlock(dict);
    return code;
}

static int set_once(hdict_t *dict, const void *key, size_t key_len, const image_t *image,
                    uint64_t ttl_ms, int mode, int *is_evicted) {
    uint32_t hash = hash_key(dict, key, key_len);
    entry_t *entry = find(dict, key, key_len, hash);
    if (entry == NULL) {
        if (dict->is_broken) return HV_EAGAIN;
        if (mode == HDICT_SET_REPLACE) return HV_ENOTFOUND;
        return insert(dict, key, key_len, hash, image, ttl_ms, is_evicted) ? 0 : HV_EAGAIN;
    }
    if (mode == HDICT_SET_ADD) return -EEXIST;
    return overwrite(dict, entry, key, hash, image, ttl_ms, is_evicted) ? 0 : HV_EAGAIN;
}

int hdict_set(hdict_t *dict, const void *key, size_t key_len, const hdict_value_t *value,
              uint64_t ttl_ms, int mode, int *is_evicted) {
    image_t image;
    int ignored, *evicted = is_evicted != NULL ? is_evicted : &ignored;
    *evicted = 0;
    if (!key_is_good(key_len) || make_image(&image, value) != 0) return HV_EINVAL;
    if (mode < HDICT_SET_ALWAYS || mode > HDICT_SET_REPLACE) return HV_EINVAL;
    int code = hdict__lock(dict);
    if (code != 0) return code;
    /* What is no larger than half always fits: an empty heap is one block. */
    size_t half = (size_t)(dict->heap_end - dict->heap_first) / 2 * HDICT_UNIT;
    if (image.len > half || sizeof(entry_t) + key_len + image.len > half) {
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
    uint32_t hash = hash_key(dict, key, key_len);
    entry_t *entry = find(dict, key, key_len, hash);
    if (entry == NULL) {
        if (dict->is_broken) return HV_EAGAIN;
        if (init == NULL) return HV_ENOTFOUND;
        double sum = *init + by;
        image_t image = {.data = &sum, .len = sizeof sum, .type = HDICT_NUMBER};
        if (!insert(dict, key, key_len, hash, &image, 0, is_evicted)) return HV_EAGAIN;
        *result = sum;
        return 0;
    }
    if (entry->type != HDICT_NUMBER || entry->value_len != sizeof *result) return HV_EINVAL;
    double sum;
    memcpy(&sum, entry->bytes + entry->key_len, sizeof sum);
    sum += by;
    begin_writing(dict);
    memcpy(entry->bytes + entry->key_len, &sum, sizeof sum);
    mark_used(dict, entry);
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
    if (!key_is_good(key_len)) return HV_EINVAL;
    int code = hdict__lock(dict);
    if (code != 0) return code;
    entry_t *entry = find(dict, key, key_len, hash_key(dict, key, key_len));
    if (entry != NULL) remove_entry(dict, entry);
    code = entry != NULL ? 0 : HV_ENOTFOUND;
    hdict__unlock(dict);
    return code;
}

int hdict_ttl(hdict_t *dict, const void *key, size_t key_len, uint64_t *ttl_ms) {
    if (!key_is_good(key_len)) return HV_EINVAL;
    int code = hdict__lock(dict);
    if (code != 0) return code;
    entry_t *entry = find(dict, key, key_len, hash_key(dict, key, key_len));
    code = HV_ENOTFOUND;
    if (entry != NULL) {
        /* Between the two looks at the clock its last moment may have passed. */
        uint64_t now = now_ms(), expires = entry->expires_ms;
        *ttl_ms = expires == 0 ? 0 : expires > now ? expires - now : 1;
        code = 0;
    }
    hdict__unlock(dict);
    return code;
}

int hdict_expire(hdict_t *dict, const void *key, size_t key_len, uint64_t ttl_ms) {
    if (!key_is_good(key_len)) return HV_EINVAL;
    int code = hdict__lock(dict);
    if (code != 0) return code;
    entry_t *entry = find(dict, key, key_len, hash_key(dict, key, key_len));
    code = HV_ENOTFOUND;
    if (entry != NULL) {
        uint64_t expires = ttl_ms == 0 ? 0 : now_ms() + ttl_ms;
        entry->expires_ms = expires < ttl_ms ? 0 : expires;
        code = 0;
    }
    hdict__unlock(dict);
    return code;
}

int hdict_flush(hdict_t *dict) {
    int code = hdict__lock(dict);
    if (code != 0) return code;
    begin_writing(dict);
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
        entry_t *entry = entry_at(dict, place);
        if (entry == NULL || dict->is_broken) break;
        if (!has_expired(entry)) {
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

/* ---- Checking ---- */

static int check_list(hdict_t *dict) {
    uint32_t count = 0, newer = 0;
    for (uint32_t place = dict->newest; place != 0;) {
        entry_t *entry = entry_at(dict, place);
        if (entry == NULL || entry->newer != newer || ++count > dict->count) return 0;
        newer = place;
        place = entry->older;
    }
    return count == dict->count && dict->oldest == newer;
}

static int check_chains(hdict_t *dict) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < dict->bucket_count; i++) {
        for (uint32_t place = dict->buckets[i]; place != 0;) {
            entry_t *entry = entry_at(dict, place);
            if (entry == NULL || ++count > dict->count) return 0;
            if (bucket_of(dict, entry->hash) != &dict->buckets[i]) return 0;
            if (entry->hash != hash_key(dict, entry->bytes, entry->key_len)) return 0;
            place = entry->next;
        }
    }
    return count == dict->count;
}

int hdict__check(hdict_t *dict) {
    uint32_t used_blocks;
    return hdict__heap_check(dict, &used_blocks) && used_blocks == dict->count &&
           check_list(dict) && check_chains(dict) && !dict->is_broken;
}

/* After hdict__check, so nothing is broken. */
static void drop_unfinished(hdict_t *dict) {
    for (uint32_t place = dict->newest; place != 0;) {
        entry_t *entry = entry_at(dict, place);
        if (entry == NULL) return;
        place = entry->older;
        if (entry->type == 0) remove_entry(dict, entry);
    }
}
