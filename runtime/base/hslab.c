/* hslab.c - objects of one size, cut from chunks.
 *
 * A chunk is one block of hv__malloc: a link to the older chunk, then the objects. Objects are cut
 * off its front when the free list is empty, so pages of a chunk that were never needed stay
 * untouched and cost no memory; a chunk's own cost is its link and the rounding, less than a byte
 * an object from 128 objects on. Objects whose size is a multiple of a cache line begin on one.
 * hv__malloc rather than mmap: large chunks become mappings anyway, small ones waste no page.
 *
 * Invariants: live + objects in the free list + objects in [fresh, fresh_end) = objects of all
 * chunks; only the newest chunk has fresh objects; a free object holds the link in its first word.
 *
 * Under AddressSanitizer each object is a block of its own behind a list link, freed at once, so
 * that the sanitizer sees every use after free; the list lets hslab_deinit free what is live. */
#include "hslab.h"

#include "hassert.h"
#include "hmem.h"

#include <string.h>

#if defined(__SANITIZE_ADDRESS__)
#define HSLAB_ONE_BLOCK_EACH
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HSLAB_ONE_BLOCK_EACH
#endif
#endif

#define OBJECT_ALIGN 16
#define CACHE_LINE   64

void hslab_init(hslab_t *slab, size_t object_size, size_t chunk_objects) {
    HV_ASSERT(object_size > 0);
    HV_ASSERT(object_size <= SIZE_MAX - OBJECT_ALIGN);
    HV_ASSERT(chunk_objects > 0);
    memset(slab, 0, sizeof(*slab));
    slab->object_size = (object_size + OBJECT_ALIGN - 1) & ~(size_t)(OBJECT_ALIGN - 1);
    slab->chunk_objects = chunk_objects;
    HV_ASSERT(chunk_objects <= (SIZE_MAX - 2 * CACHE_LINE) / slab->object_size);
}

#ifdef HSLAB_ONE_BLOCK_EACH

typedef struct link_s {
    struct link_s *next;
    struct link_s **at; /* the pointer that points here */
} link_t;

_Static_assert(sizeof(link_t) == OBJECT_ALIGN, "the object behind the link stays aligned");

void *hslab_alloc(hslab_t *slab) {
    link_t *link = hv__malloc(sizeof(*link) + slab->object_size);
    if (link == NULL) return NULL;
    link->next = slab->chunks;
    link->at = (link_t **)&slab->chunks;
    if (link->next != NULL) link->next->at = &link->next;
    slab->chunks = link;
    slab->live++;
    return link + 1;
}

void hslab_free(hslab_t *slab, void *object) {
    HV_ASSERT(object != NULL);
    HV_ASSERT(slab->live > 0);
    link_t *link = (link_t *)object - 1;
    *link->at = link->next;
    if (link->next != NULL) link->next->at = link->at;
    slab->live--;
    hv__free(link);
}

#else

typedef struct link_s {
    struct link_s *next;
} link_t;

/* Makes a chunk the newest one. Returns 0 or -1. */
static int add_chunk(hslab_t *slab) {
    size_t align = slab->object_size % CACHE_LINE == 0 ? CACHE_LINE : OBJECT_ALIGN;
    size_t bytes = slab->object_size * slab->chunk_objects;
    link_t *chunk = hv__malloc(sizeof(*chunk) + align - 1 + bytes);
    if (chunk == NULL) return -1;
    uintptr_t first = ((uintptr_t)(chunk + 1) + align - 1) & ~(uintptr_t)(align - 1);
    chunk->next = slab->chunks;
    slab->chunks = chunk;
    slab->fresh = (char *)chunk + (first - (uintptr_t)chunk);
    slab->fresh_end = slab->fresh + bytes;
    return 0;
}

void *hslab_alloc(hslab_t *slab) {
    void *object = slab->free_list;
    if (HV_LIKELY(object != NULL)) {
        slab->free_list = ((link_t *)object)->next;
    } else {
        if (slab->fresh == slab->fresh_end && add_chunk(slab) != 0) return NULL;
        object = slab->fresh;
        slab->fresh += slab->object_size;
        HV_DASSERT(slab->fresh <= slab->fresh_end);
    }
    slab->live++;
    return object;
}

void hslab_free(hslab_t *slab, void *object) {
    HV_ASSERT(object != NULL);
    HV_ASSERT(slab->live > 0);
#ifdef HV_HOSTILE
    memset(object, 0xdb, slab->object_size);
#endif
    ((link_t *)object)->next = slab->free_list;
    slab->free_list = object;
    slab->live--;
}

#endif

void hslab_deinit(hslab_t *slab) {
    link_t *chunk = slab->chunks;
    while (chunk != NULL) {
        link_t *next = chunk->next;
        hv__free(chunk);
        chunk = next;
    }
    memset(slab, 0, sizeof(*slab));
}
