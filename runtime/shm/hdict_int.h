/* hdict_int.h - how a dictionary lies in its memory; for the files of this room.
 *
 *     hdict_t | buckets | block | block | ... | end block
 *
 * Places are counted in units of 8 bytes from the start, because each process has the memory at an
 * address of its own. The memory from heap_first to heap_end is cut into blocks without gaps; each
 * knows its own size and that of the one before it. A used block is an entry: in the chain of one
 * bucket, and in the list from the newest to the oldest use. A free one is in the list of its bin.
 *
 * Everything read from the memory is checked before it is used as a place or a length. What does
 * not hold sets is_broken, and the step that found it begins the dictionary anew. */
#ifndef HV_DICT_INT_H_
#define HV_DICT_INT_H_

#include <pthread.h>
#include <stdatomic.h>

#include "hassert.h"
#include "hdict.h"

#define HDICT_UNIT  8u
#define HDICT_BINS  128u
#define HDICT_USED  0x80000000u /* in size */
#define HDICT_MAGIC UINT64_C(0x3174636964766c68)

typedef struct hdict__block_s {
    uint32_t size;      /* units with this header, and HDICT_USED */
    uint32_t prev_size; /* units of the block before; 0 for the first */
} hdict__block_t;

typedef struct hdict__free_s {
    hdict__block_t block;
    uint32_t next;
    uint32_t prev;
} hdict__free_t;

typedef struct hdict__entry_s {
    hdict__block_t block;
    uint32_t next; /* in the chain of its bucket */
    uint32_t newer;
    uint32_t older;
    uint32_t hash;
    uint32_t value_len;
    uint16_t key_len;
    uint8_t type; /* a hdict_type_e; 0 while it is being written */
    uint8_t unused;
    uint64_t expires_ms; /* of the monotonic clock; 0: never */
    uint8_t bytes[];     /* key, value */
} hdict__entry_t;

#define HDICT_BLOCK_UNITS_MIN ((uint32_t)(sizeof(hdict__entry_t) / HDICT_UNIT) + 1)

_Static_assert(sizeof(hdict__entry_t) == 40, "an entry's head is five units");
_Static_assert(sizeof(hdict__free_t) <= sizeof(hdict__entry_t), "what is freed holds its links");

struct hdict_s {
    /* Written once; `check` is over them. */
    uint64_t magic;
    uint64_t bytes;
    uint64_t seed[2];
    uint32_t bucket_count; /* a power of two */
    uint32_t heap_first;
    uint32_t heap_end; /* the end block: used, without size */
    uint32_t unused;
    uint64_t check;

    pthread_mutex_t mutex; /* robust; under it is all that follows */
    uint32_t is_dirty;     /* between two states that are good */
    uint32_t is_broken;
    uint32_t newest;
    uint32_t oldest;
    uint32_t count;
    uint32_t free_units;
    uint64_t evictions;
    uint64_t resets;
    uint64_t bin_map[HDICT_BINS / 64];
    uint32_t bins[HDICT_BINS];
    uint32_t buckets[];
};

static inline void *hdict__at(const hdict_t *dict, uint32_t place) {
    return (uint8_t *)(uintptr_t)dict + (size_t)place * HDICT_UNIT;
}

static inline uint32_t hdict__place(const hdict_t *dict, const void *block) {
    return (uint32_t)((size_t)((const uint8_t *)block - (const uint8_t *)dict) / HDICT_UNIT);
}

/* ---- hdict_heap.c ---- */

/* The block at a place, or NULL and is_broken where there cannot be one. */
hdict__block_t *hdict__block(hdict_t *dict, uint32_t place);
/* Makes one free block of everything. */
void hdict__heap_init(hdict_t *dict);
/* A used block of at least `units`, or NULL where no free one is large enough. */
hdict__block_t *hdict__heap_alloc(hdict_t *dict, uint32_t units);
void hdict__heap_free(hdict_t *dict, hdict__block_t *block);
/* Whether blocks and bins are all they should be. */
int hdict__heap_check(hdict_t *dict, uint32_t *used_blocks);

/* ---- hdict_hash.c ---- */

static inline uint64_t hdict__rotate(uint64_t word, int bits) {
    return word << bits | word >> (64 - bits);
}

uint32_t hdict__hash(const hdict_t *dict, const void *key, size_t len);

/* ---- hdict_entry.c; all with the lock held ---- */

/* What a value looks like in the memory. */
typedef struct image_s {
    const void *data;
    size_t len;
    uint8_t type;
    uint8_t boolean;
} hdict__image_t;

uint64_t hdict__now_ms(void);

/* The entry at a place, or NULL and is_broken. */
hdict__entry_t *hdict__entry_at(hdict_t *dict, uint32_t place);
int hdict__has_expired(const hdict__entry_t *entry);
/* The entry of a key, or NULL; one that has expired is removed. */
hdict__entry_t *hdict__find(hdict_t *dict, const void *key, size_t key_len, uint32_t hash);
/* Puts it first in the list of use. */
void hdict__mark_used(hdict_t *dict, hdict__entry_t *entry);
/* Takes an entry out of everything and frees it. */
void hdict__remove(hdict_t *dict, hdict__entry_t *entry);

/* Puts a new entry where there is none, at the price of those not used for longest. Returns whether
 * it could, which it can unless something is broken.
 *   is_evicted  set to 1 where others had to go that had not expired */
int hdict__insert(hdict_t *dict, const void *key, size_t key_len, uint32_t hash,
                  const hdict__image_t *image, uint64_t ttl_ms, int *is_evicted);
/* Gives an entry another value: in its place where that fits without wasting much of it. */
int hdict__overwrite(hdict_t *dict, hdict__entry_t *entry, const void *key, uint32_t hash,
                     const hdict__image_t *image, uint64_t ttl_ms, int *is_evicted);

/* Whether the whole dictionary is all it should be. */
int hdict__check(hdict_t *dict);
/* Removes the entry that a process has died writing. After hdict__check, so nothing is broken. */
void hdict__drop_unfinished(hdict_t *dict);

/* Before the first write of a step; hdict__unlock ends it. */
static inline void hdict__begin_writing(hdict_t *dict) {
    dict->is_dirty = 1;
    atomic_signal_fence(memory_order_seq_cst); /* a killed process stops between two instructions */
}

/* ---- hdict.c ---- */

/* A mutex that processes share and that outlives its owner. Returns 0 or a negative code. */
int hdict__mutex_init(pthread_mutex_t *mutex);

/* Return 0, with the lock held, or a negative code. */
int hdict__lock(hdict_t *dict);
void hdict__unlock(hdict_t *dict);

#endif
