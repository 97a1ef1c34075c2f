/* hbuf.c - the byte queue.
 *
 * Layout of the block: [consumed | queued | room]. Invariants: start <= end <= cap; cap is 0
 * exactly where base is NULL; start == end only while a block is kept on purpose or reserved.
 *
 * Consuming moves `start` only. The queued bytes are moved to the front when room is needed and at
 * least half as many bytes have been consumed as would be moved, so each byte consumed pays for at
 * most two moved. Otherwise the block doubles, up to one and a half times the maximum: with that
 * slack a queue that stays near its maximum has always consumed enough by the time it reaches the
 * end of the block, and never moves a large queue for a small append. */
#include "hbuf.h"

#include "hassert.h"
#include "hmem.h"

#include <string.h>

#define BLOCK_BYTES_MIN 256

/* Bytes of the next block for a queue of `needed` bytes. */
static uint32_t next_cap(const hbuf_t *buf, size_t needed, size_t max_len) {
    uint64_t top = (uint64_t)max_len + max_len / 2;
    uint64_t cap = (uint64_t)buf->cap * 2;
    while (cap < needed) cap = cap < BLOCK_BYTES_MIN ? BLOCK_BYTES_MIN : cap * 2;
    if (cap > top) cap = top;
    if (cap > UINT32_MAX) cap = UINT32_MAX;
    HV_ASSERT(cap >= needed);
    return (uint32_t)cap;
}

static void move_to_front(hbuf_t *buf) {
    size_t len = hbuf_len(buf);
    if (len > 0) memmove(buf->base, buf->base + buf->start, len);
    buf->start = 0;
    buf->end = (uint32_t)len;
}

static int grow(hbuf_t *buf, size_t needed, size_t max_len) {
    uint32_t cap = next_cap(buf, needed, max_len);
    char *base;
    if (buf->start == 0) {
        /* Nothing to leave behind: a large block is then grown by the kernel, without a copy. */
        base = hv__realloc(buf->base, cap);
        if (base == NULL) return HV_ENOMEM;
    } else {
        size_t len = hbuf_len(buf);
        base = hv__malloc(cap);
        if (base == NULL) return HV_ENOMEM;
        if (len > 0) memcpy(base, buf->base + buf->start, len);
        hv__free(buf->base);
        buf->start = 0;
        buf->end = (uint32_t)len;
    }
    buf->base = base;
    buf->cap = cap;
    return 0;
}

int hbuf_reserve(hbuf_t *buf, size_t extra, size_t max_len) {
    HV_DASSERT(buf->start <= buf->end);
    HV_DASSERT(buf->end <= buf->cap);
    size_t len = hbuf_len(buf);
    if (max_len > UINT32_MAX) max_len = UINT32_MAX;
    if (len > max_len || extra > max_len - len) return HV_ELIMIT;
    if (extra <= hbuf_room(buf)) return 0;
    if (len + extra <= buf->cap && buf->start >= len / 2) {
        move_to_front(buf);
        return 0;
    }
    return grow(buf, len + extra, max_len);
}

int hbuf_append(hbuf_t *buf, const void *data, size_t len, size_t max_len) {
    int error = hbuf_reserve(buf, len, max_len);
    if (error != 0 || len == 0) return error;
    memcpy(buf->base + buf->end, data, len);
    buf->end += (uint32_t)len;
    return 0;
}

void hbuf_commit(hbuf_t *buf, size_t len) {
    HV_ASSERT(len <= hbuf_room(buf));
    buf->end += (uint32_t)len;
}

void hbuf_consume_keep(hbuf_t *buf, size_t len) {
    HV_ASSERT(len <= hbuf_len(buf));
    buf->start += (uint32_t)len;
    if (buf->start == buf->end) buf->start = buf->end = 0;
}

void hbuf_consume(hbuf_t *buf, size_t len) {
    hbuf_consume_keep(buf, len);
    hbuf_trim(buf);
}

void hbuf_trim(hbuf_t *buf) {
    if (buf->start == buf->end && buf->base != NULL) hbuf_deinit(buf);
}

void hbuf_deinit(hbuf_t *buf) {
    hv__free(buf->base);
    memset(buf, 0, sizeof(*buf));
}
