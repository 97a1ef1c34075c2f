/* hdict_entry.c - the entries of a dictionary: blocks of hdict_heap.c, chained by bucket, and
 * listed by their last use. All of it with the lock held.
 *
 * Time is the monotonic clock, which all processes of a machine share; what has expired is removed
 * when it is met. */
#include "hclock.h"
#include "hdict_int.h"

#define REAPED_PER_SET 2

hdict__entry_t *hdict__entry_at(hdict_t *dict, uint32_t place) {
    hdict__block_t *block = hdict__block(dict, place);
    if (block == NULL) return NULL;
    hdict__entry_t *entry = (hdict__entry_t *)block;
    size_t room = (size_t)(block->size & ~HDICT_USED) * HDICT_UNIT - sizeof *entry;
    size_t len = (size_t)entry->key_len + entry->value_len;
    if (HV_LIKELY((block->size & HDICT_USED) && len <= room)) return entry;
    dict->is_broken = 1;
    return NULL;
}

static uint32_t *bucket_of(hdict_t *dict, uint32_t hash) {
    return &dict->buckets[hash & (dict->bucket_count - 1)];
}

static void list_remove(hdict_t *dict, hdict__entry_t *entry) {
    hdict__entry_t *newer = entry->newer ? hdict__entry_at(dict, entry->newer) : NULL;
    hdict__entry_t *older = entry->older ? hdict__entry_at(dict, entry->older) : NULL;
    if (newer != NULL) newer->older = entry->older;
    if (older != NULL) older->newer = entry->newer;
    if (entry->newer == 0) dict->newest = entry->older;
    if (entry->older == 0) dict->oldest = entry->newer;
}

static void list_put_first(hdict_t *dict, hdict__entry_t *entry) {
    uint32_t place = hdict__place(dict, entry);
    hdict__entry_t *second = dict->newest ? hdict__entry_at(dict, dict->newest) : NULL;
    entry->newer = 0;
    entry->older = dict->newest;
    if (second != NULL) second->newer = place;
    dict->newest = place;
    if (dict->oldest == 0) dict->oldest = place;
}

void hdict__mark_used(hdict_t *dict, hdict__entry_t *entry) {
    if (dict->newest == hdict__place(dict, entry)) return;
    hdict__begin_writing(dict);
    list_remove(dict, entry);
    list_put_first(dict, entry);
}

void hdict__remove(hdict_t *dict, hdict__entry_t *entry) {
    hdict__begin_writing(dict);
    uint32_t place = hdict__place(dict, entry);
    uint32_t *link = bucket_of(dict, entry->hash);
    for (uint32_t steps = 0; *link != place; steps++) {
        hdict__entry_t *other =
            *link != 0 && steps <= dict->count ? hdict__entry_at(dict, *link) : NULL;
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

uint64_t hdict__now_ms(void) { return hclock_mono_us() / 1000; }

int hdict__has_expired(const hdict__entry_t *entry) {
    return entry->expires_ms != 0 && entry->expires_ms <= hdict__now_ms();
}

hdict__entry_t *hdict__find(hdict_t *dict, const void *key, size_t key_len, uint32_t hash) {
    uint32_t place = *bucket_of(dict, hash);
    for (uint32_t steps = 0; place != 0; steps++) {
        if (steps > dict->count) dict->is_broken = 1;
        hdict__entry_t *entry = hdict__entry_at(dict, place);
        if (entry == NULL || dict->is_broken) return NULL;
        if (entry->hash == hash && entry->key_len == key_len &&
            memcmp(entry->bytes, key, key_len) == 0) {
            if (!hdict__has_expired(entry)) return entry;
            hdict__remove(dict, entry);
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
    hdict__entry_t *entry = hdict__entry_at(dict, dict->oldest);
    if (entry == NULL) return 0;
    if (!hdict__has_expired(entry)) {
        *is_evicted = 1;
        dict->evictions++;
    }
    hdict__remove(dict, entry);
    return !dict->is_broken;
}

/* A block for an entry, at the price of others. NULL only where something is broken. */
static hdict__entry_t *make_room(hdict_t *dict, uint32_t units, int *is_evicted) {
    for (int i = 0; i < REAPED_PER_SET && dict->oldest != 0; i++) {
        hdict__entry_t *oldest = hdict__entry_at(dict, dict->oldest);
        if (oldest == NULL || !hdict__has_expired(oldest)) break;
        hdict__remove(dict, oldest);
    }
    for (;;) {
        if (dict->is_broken) return NULL;
        hdict__block_t *block = hdict__heap_alloc(dict, units);
        if (block != NULL) return (hdict__entry_t *)block;
        if (!evict(dict, is_evicted)) {
            dict->is_broken = 1;
            return NULL;
        }
    }
}

static uint32_t units_for(size_t key_len, size_t value_len) {
    size_t units = (sizeof(hdict__entry_t) + key_len + value_len + HDICT_UNIT - 1) / HDICT_UNIT;
    return units < HDICT_BLOCK_UNITS_MIN ? HDICT_BLOCK_UNITS_MIN : (uint32_t)units;
}

static void write_value(hdict__entry_t *entry, const hdict__image_t *image, uint64_t ttl_ms) {
    entry->type = 0;
    atomic_signal_fence(memory_order_seq_cst);
    entry->value_len = (uint32_t)image->len;
    entry->expires_ms = ttl_ms == 0 ? 0 : hdict__now_ms() + ttl_ms;
    if (ttl_ms != 0 && entry->expires_ms < ttl_ms) entry->expires_ms = 0; /* for ever, or longer */
    if (image->len > 0) memcpy(entry->bytes + entry->key_len, image->data, image->len);
    atomic_signal_fence(memory_order_seq_cst);
    entry->type = image->type;
}

int hdict__insert(hdict_t *dict, const void *key, size_t key_len, uint32_t hash,
                  const hdict__image_t *image, uint64_t ttl_ms, int *is_evicted) {
    hdict__begin_writing(dict);
    hdict__entry_t *entry = make_room(dict, units_for(key_len, image->len), is_evicted);
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

int hdict__overwrite(hdict_t *dict, hdict__entry_t *entry, const void *key, uint32_t hash,
                     const hdict__image_t *image, uint64_t ttl_ms, int *is_evicted) {
    uint32_t key_len = entry->key_len;
    uint32_t wanted = units_for(key_len, image->len);
    uint32_t units = entry->block.size & ~HDICT_USED;
    if (wanted <= units && units - wanted <= units / 4 + HDICT_BLOCK_UNITS_MIN) {
        hdict__begin_writing(dict);
        write_value(entry, image, ttl_ms);
        hdict__mark_used(dict, entry);
        return !dict->is_broken;
    }
    /* Its room may be needed. Afterwards nothing but a broken dictionary can fail: whoever calls
     * has checked that the value fits once enough others have gone. */
    hdict__remove(dict, entry);
    return !dict->is_broken && hdict__insert(dict, key, key_len, hash, image, ttl_ms, is_evicted);
}

/* ---- Checking ---- */

static int check_list(hdict_t *dict) {
    uint32_t count = 0, newer = 0;
    for (uint32_t place = dict->newest; place != 0;) {
        hdict__entry_t *entry = hdict__entry_at(dict, place);
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
            hdict__entry_t *entry = hdict__entry_at(dict, place);
            if (entry == NULL || ++count > dict->count) return 0;
            if (bucket_of(dict, entry->hash) != &dict->buckets[i]) return 0;
            if (entry->hash != hdict__hash(dict, entry->bytes, entry->key_len)) return 0;
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

void hdict__drop_unfinished(hdict_t *dict) {
    for (uint32_t place = dict->newest; place != 0;) {
        hdict__entry_t *entry = hdict__entry_at(dict, place);
        if (entry == NULL) return;
        place = entry->older;
        if (entry->type == 0) hdict__remove(dict, entry);
    }
}
