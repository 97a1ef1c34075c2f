/* h1_fields.h - what requests and responses have in common: the values of the header fields that
 * decide over framing and persistence. Pure. RFC 9110 section 5.6.1, RFC 9112 sections 6 and 9. */
#ifndef HV_H1_FIELDS_H_
#define HV_H1_FIELDS_H_

#include <string.h>

#include "hassert.h"
#include "hhttp.h"

/* The options of Connection that mean something here. */
typedef struct h1_connection_s {
    uint8_t close;
    uint8_t keep_alive;
    uint8_t upgrade;
} h1_connection_t;

/* The value of the line whose colon is at `colon`, without surrounding blanks. The line's CR is
 * certain to come before the block ends. */
static inline hhttp_slice_t h1_value_after(const char *colon, const char *block_end) {
    const char *start = colon + 1;
    const char *end = memchr(start, '\r', (size_t)(block_end - start));
    HV_DASSERT(end != NULL);
    while (*start == ' ' || *start == '\t')
        start++;
    while (end > start && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    return (hhttp_slice_t){start, (size_t)(end - start)};
}

/* Cuts the next element off a comma-separated list; empty ones are passed over. Returns 0 at the
 * end. */
int h1_next_element(hhttp_slice_t *list, hhttp_slice_t *element);

/* Adds what one Connection line says. */
void h1_read_connection(hhttp_slice_t list, h1_connection_t *connection);

/* Reads a Content-Length: digits only, up to INT64_MAX so that every user may hold one in a signed
 * number. Returns 0 or 400. */
int h1_read_content_length(hhttp_slice_t value, uint64_t *length);

/* Judges a Transfer-Encoding. Only "chunked" alone is decoded. Returns 0; 400 where chunked is not
 * last or doubled: the length of the body is unknown then (RFC 9112 section 6.3); 501 for another
 * coding before it. */
int h1_read_transfer_encoding(hhttp_slice_t list);

#endif
