/* hslab.h - a pool of objects of one size: chunks of many, a free list, no header per object.
 * Not thread-safe: each loop has its own. Under AddressSanitizer every object is a block of its
 * own, so that use after free is caught. */
#ifndef HV_SLAB_H_
#define HV_SLAB_H_

#include <stddef.h>
#include <stdint.h>

typedef struct hslab_s {
    void *free_list;      /* objects given back, linked through their first word */
    void *chunks;         /* chunks, linked through their first word */
    char *fresh;          /* next never-used object of the newest chunk */
    char *fresh_end;
    size_t object_size;   /* bytes, a multiple of 16 */
    size_t chunk_objects; /* how many objects a chunk holds */
    size_t live;          /* objects handed out */
} hslab_t;

/* Prepares an empty pool for objects of `object_size` bytes, `chunk_objects` a chunk. */
void hslab_init(hslab_t *slab, size_t object_size, size_t chunk_objects);

/* Returns an object aligned to 16 bytes, not cleared, or NULL. */
void *hslab_alloc(hslab_t *slab);

/* Gives an object back; its memory stays in the pool and is reused, last in first out. */
void hslab_free(hslab_t *slab, void *object);

/* Frees the chunks. Objects still live become invalid. */
void hslab_deinit(hslab_t *slab);

#endif
