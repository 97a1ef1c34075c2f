/* hmem.h - the only malloc of the runtime: counts live blocks and, in builds with
 * HV_FAULT_INJECTION, fails the Nth allocation on request so that tests reach every error path. */
#ifndef HV_MEM_H_
#define HV_MEM_H_

#include <stddef.h>
#include <stdint.h>

/* Returns `size` bytes, not cleared, or NULL. Free with hv__free. */
void *hv__malloc(size_t size) __attribute__((malloc, warn_unused_result));

/* Returns `count * size` cleared bytes, or NULL (also where the product overflows). */
void *hv__calloc(size_t count, size_t size) __attribute__((malloc, warn_unused_result));

/* Returns the block moved to `size` bytes, or NULL with the old block untouched. */
void *hv__realloc(void *block, size_t size) __attribute__((warn_unused_result));

/* Frees a block of the three above; NULL is allowed. */
void hv__free(void *block);

/* Returns a copy of `len` bytes with a NUL added, or NULL. */
char *hv__strndup(const char *text, size_t len) __attribute__((malloc, warn_unused_result));

/* Returns how many blocks are live in the process: 0 at the end, or something leaks. */
size_t hv__mem_live_blocks(void);

/* Makes the `nth` allocation from now fail, once (0: never). Only with HV_FAULT_INJECTION.
 * Every thread's allocations count. */
void hv__mem_fail_nth(uint64_t nth);

/* Tells whether the failure asked for has happened. */
int hv__mem_has_failed(void);

#endif
