/* guard_page.c - one anonymous mapping whose last page has no permissions. */
#include "guard_page.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static size_t page_bytes(void) {
    return (size_t)sysconf(_SC_PAGESIZE);
}

void guard_page_open(guard_page_t *guard, size_t capacity) {
    size_t page = page_bytes();
    guard->capacity = (capacity + page - 1) / page * page;
    void *pages = mmap(NULL, guard->capacity + page, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED) abort();
    guard->pages = pages;
    if (mprotect(guard->pages + guard->capacity, page, PROT_NONE) != 0) abort();
}

const char *guard_page_place(guard_page_t *guard, const void *data, size_t len) {
    if (len > guard->capacity) abort();
    char *start = guard->pages + guard->capacity - len;
    memset(guard->pages, 0xA5, guard->capacity - len);
    if (len > 0) memcpy(start, data, len);
    return start;
}

void guard_page_close(guard_page_t *guard) {
    munmap(guard->pages, guard->capacity + page_bytes());
}
