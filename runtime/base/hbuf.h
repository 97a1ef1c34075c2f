/* hbuf.h - a queue of bytes in one contiguous block: appended at the end, consumed at the start.
 *
 * A zeroed hbuf_t is empty and owns nothing. The memory goes back when the last byte is consumed,
 * so an idle connection holds none. Each growing call is given the most bytes the queue may hold:
 * beyond it is HV_ELIMIT and nothing is taken. Pointers into the queue are valid until the next
 * call on it that is not const. Not thread-safe. */
#ifndef HV_BUF_H_
#define HV_BUF_H_

#include "herr.h"

typedef struct hbuf_s {
    char *base;     /* the block, NULL while there is none */
    uint32_t start; /* bytes consumed at the front */
    uint32_t end;   /* end of the bytes queued */
    uint32_t cap;   /* bytes of the block */
} hbuf_t;

/* Bytes queued. */
static inline size_t hbuf_len(const hbuf_t *buf) {
    return (size_t)buf->end - buf->start;
}

/* The bytes queued, hbuf_len of them; NULL where there is no block. */
static inline char *hbuf_data(const hbuf_t *buf) {
    return buf->base != NULL ? buf->base + buf->start : NULL;
}

/* Where hbuf_reserve has made room. */
static inline char *hbuf_tail(const hbuf_t *buf) {
    return buf->base != NULL ? buf->base + buf->end : NULL;
}

/* Bytes that fit at hbuf_tail now, without any move. */
static inline size_t hbuf_room(const hbuf_t *buf) {
    return (size_t)buf->cap - buf->end;
}

/* Queues a copy of `len` bytes, which must not be bytes of this queue.
 * Returns 0; HV_ELIMIT where more than `max_len` bytes would be queued, HV_ENOMEM: then nothing
 * is taken. */
int hbuf_append(hbuf_t *buf, const void *data, size_t len, size_t max_len);

/* Makes room for `extra` bytes at hbuf_tail; they count when hbuf_commit says so.
 * Returns as hbuf_append. */
int hbuf_reserve(hbuf_t *buf, size_t extra, size_t max_len);

/* Counts `len` bytes written at hbuf_tail as queued; no more than there was room for. */
void hbuf_commit(hbuf_t *buf, size_t len);

/* Drops `len` queued bytes at the front; frees the block with the last one. */
void hbuf_consume(hbuf_t *buf, size_t len);

/* The same, but keeps the block for what comes next: for a queue that is emptied in a loop. Give
 * it back with hbuf_trim when the loop is over. */
void hbuf_consume_keep(hbuf_t *buf, size_t len);

/* Frees the block where nothing is queued. */
void hbuf_trim(hbuf_t *buf);

/* Drops everything and frees the block; the queue may be used again. */
void hbuf_deinit(hbuf_t *buf);

#endif
