/* guard_page.h - memory whose end is followed by a page that cannot be read: a parser that looks
 * one byte too far dies at once, with or without a sanitizer. */
#ifndef HV_SPEC_GUARD_PAGE_H_
#define HV_SPEC_GUARD_PAGE_H_

#include <stddef.h>

typedef struct guard_page_s {
    char *pages;     /* writable bytes, then the page that is not there */
    size_t capacity; /* writable bytes */
} guard_page_t;

/* Maps room for `capacity` bytes, rounded up to whole pages. Aborts where the system refuses. */
void guard_page_open(guard_page_t *guard, size_t capacity);

/* Copies `len` bytes so that the last one is the last that can be read. The previous copy is
 * overwritten with 0xA5, so that a stale pointer shows.
 * Returns where they are; never NULL. */
const char *guard_page_place(guard_page_t *guard, const void *data, size_t len);

void guard_page_close(guard_page_t *guard);

#endif
