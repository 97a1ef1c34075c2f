/* hdict_heap.c - the memory of a dictionary: blocks with their size at both ends, so that what is
 * freed joins its free neighbours, and free ones in bins, four to a power of two.
 *
 * A request takes the first block that is large enough in its own bin, looking at a few, or else
 * any of the next bin that has one: there each is large enough. */
#include "hdict_int.h"

#define LOOKS_MAX 32

hdict__block_t *hdict__block(hdict_t *dict, uint32_t place) {
    if (HV_LIKELY(place >= dict->heap_first && place < dict->heap_end)) {
        hdict__block_t *block = hdict__at(dict, place);
        uint32_t size = block->size & ~HDICT_USED;
        if (HV_LIKELY(size >= HDICT_BLOCK_UNITS_MIN && size <= dict->heap_end - place)) {
            return block;
        }
    }
    dict->is_broken = 1;
    return NULL;
}

/* In memory that somebody has scribbled over, a size may change between a check and its use: any
 * number gives a bin. */
static uint32_t bin_of(uint32_t units) {
    uint32_t log = 31u - (uint32_t)__builtin_clz(units | 4);
    return (log << 2 | (units >> (log - 2) & 3)) % HDICT_BINS;
}

/* A free block, or NULL and is_broken. */
static hdict__free_t *free_at(hdict_t *dict, uint32_t place) {
    hdict__block_t *block = hdict__block(dict, place);
    if (block == NULL) return NULL;
    if (block->size & HDICT_USED) {
        dict->is_broken = 1;
        return NULL;
    }
    return (hdict__free_t *)block;
}

static void put_in_bin(hdict_t *dict, hdict__free_t *block) {
    uint32_t bin = bin_of(block->block.size);
    uint32_t place = hdict__place(dict, block);
    block->prev = 0;
    block->next = dict->bins[bin];
    if (block->next != 0) {
        hdict__free_t *next = free_at(dict, block->next);
        if (next != NULL) next->prev = place;
    }
    dict->bins[bin] = place;
    dict->bin_map[bin / 64] |= UINT64_C(1) << bin % 64;
    dict->free_units += block->block.size;
}

static void take_from_bin(hdict_t *dict, hdict__free_t *block) {
    uint32_t bin = bin_of(block->block.size);
    if (block->next != 0) {
        hdict__free_t *next = free_at(dict, block->next);
        if (next != NULL) next->prev = block->prev;
    }
    if (block->prev != 0) {
        hdict__free_t *prev = free_at(dict, block->prev);
        if (prev != NULL) prev->next = block->next;
    } else {
        dict->bins[bin] = block->next;
        if (block->next == 0) dict->bin_map[bin / 64] &= ~(UINT64_C(1) << bin % 64);
    }
    dict->free_units -= block->block.size;
}

void hdict__heap_init(hdict_t *dict) {
    uint32_t units = dict->heap_end - dict->heap_first;
    HV_ASSERT(units >= HDICT_BLOCK_UNITS_MIN);
    memset(dict->bins, 0, sizeof dict->bins);
    memset(dict->bin_map, 0, sizeof dict->bin_map);
    dict->free_units = 0;
    hdict__free_t *all = hdict__at(dict, dict->heap_first);
    all->block = (hdict__block_t){.size = units};
    hdict__block_t *end = hdict__at(dict, dict->heap_end);
    *end = (hdict__block_t){.size = HDICT_USED, .prev_size = units};
    put_in_bin(dict, all);
}

/* The first free block that holds `units`, or NULL. */
static hdict__free_t *find_free(hdict_t *dict, uint32_t units) {
    uint32_t bin = bin_of(units);
    uint32_t place = dict->bins[bin];
    for (int looks = 0; place != 0 && looks < LOOKS_MAX; looks++) {
        hdict__free_t *block = free_at(dict, place);
        if (block == NULL) return NULL;
        if (block->block.size >= units) return block;
        place = block->next;
    }
    for (bin++; bin < HDICT_BINS; bin = (bin / 64 + 1) * 64) {
        uint64_t map = dict->bin_map[bin / 64] >> bin % 64;
        if (map == 0) continue;
        bin += (uint32_t)__builtin_ctzll(map);
        hdict__free_t *block = free_at(dict, dict->bins[bin]);
        if (block != NULL && block->block.size >= units) return block;
        dict->is_broken = 1;
        return NULL;
    }
    return NULL;
}

hdict__block_t *hdict__heap_alloc(hdict_t *dict, uint32_t units) {
    hdict__free_t *found = find_free(dict, units);
    if (found == NULL) return NULL;
    take_from_bin(dict, found);
    hdict__block_t *block = &found->block;
    uint32_t rest = block->size - units;
    if (rest >= HDICT_BLOCK_UNITS_MIN) {
        uint32_t place = hdict__place(dict, block);
        hdict__free_t *tail = hdict__at(dict, place + units);
        hdict__block_t *after = hdict__at(dict, place + block->size);
        tail->block = (hdict__block_t){.size = rest, .prev_size = units};
        after->prev_size = rest;
        block->size = units;
        put_in_bin(dict, tail);
    }
    block->size |= HDICT_USED;
    return block;
}

/* Takes a free neighbour out of its bin. Returns its size, or 0 where there is none. */
static uint32_t take_neighbour(hdict_t *dict, uint32_t place) {
    const hdict__block_t *there = hdict__at(dict, place);
    if (there->size & HDICT_USED) return 0;
    hdict__free_t *block = free_at(dict, place);
    if (block == NULL) return 0;
    uint32_t size = block->block.size;
    take_from_bin(dict, block);
    return size;
}

void hdict__heap_free(hdict_t *dict, hdict__block_t *block) {
    uint32_t place = hdict__place(dict, block);
    uint32_t size = block->size & ~HDICT_USED;
    uint32_t before = block->prev_size;
    if (hdict__block(dict, place) == NULL) return;
    size += take_neighbour(dict, place + size);
    if (before != 0 && before <= place - dict->heap_first) {
        uint32_t joined = take_neighbour(dict, place - before);
        if (joined != 0 && joined != before) dict->is_broken = 1;
        if (joined != 0) place -= before;
        if (joined != 0) size += before;
    }
    if (dict->is_broken || size > dict->heap_end - place) {
        dict->is_broken = 1;
        return;
    }
    hdict__free_t *whole = hdict__at(dict, place);
    hdict__block_t *after = hdict__at(dict, place + size);
    whole->block.size = size;
    after->prev_size = size;
    put_in_bin(dict, whole);
}

/* The number of free blocks that the bins know, or UINT32_MAX. */
static uint32_t count_bins(hdict_t *dict, uint32_t blocks_max) {
    uint32_t count = 0;
    for (uint32_t bin = 0; bin < HDICT_BINS; bin++) {
        int is_marked = (dict->bin_map[bin / 64] >> bin % 64 & 1) != 0;
        if (is_marked != (dict->bins[bin] != 0)) return UINT32_MAX;
        uint32_t before = 0;
        for (uint32_t place = dict->bins[bin]; place != 0;) {
            hdict__free_t *block = free_at(dict, place);
            if (block == NULL || block->prev != before || bin_of(block->block.size) != bin) {
                return UINT32_MAX;
            }
            if (++count > blocks_max) return UINT32_MAX;
            before = place;
            place = block->next;
        }
    }
    return count;
}

int hdict__heap_check(hdict_t *dict, uint32_t *used_blocks) {
    uint32_t used = 0, unused = 0, free_units = 0, prev_size = 0;
    int was_free = 0;
    for (uint32_t place = dict->heap_first; place != dict->heap_end;) {
        hdict__block_t *block = hdict__block(dict, place);
        if (block == NULL || block->prev_size != prev_size) return 0;
        prev_size = block->size & ~HDICT_USED;
        if (block->size & HDICT_USED) {
            used++;
            was_free = 0;
        } else {
            if (was_free) return 0; /* two free neighbours were not joined */
            was_free = 1;
            unused++;
            free_units += prev_size;
        }
        place += prev_size;
    }
    hdict__block_t *end = hdict__at(dict, dict->heap_end);
    if (end->size != HDICT_USED || end->prev_size != prev_size) return 0;
    *used_blocks = used;
    return free_units == dict->free_units && count_bins(dict, unused) == unused;
}
