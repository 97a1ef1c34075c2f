/* http_conditions.h - what a request asks of a representation that exists: preconditions, ranges,
 * content codings. Pure. RFC 9110 sections 8.8, 12.5.3, 13 and 14. */
#ifndef HV_HTTP_CONDITIONS_H_
#define HV_HTTP_CONDITIONS_H_

#include "hhttp.h"

#define HTTP_DATE_BYTES 29

/* Writes an IMF-fixdate of HTTP_DATE_BYTES bytes and a NUL. */
void hv__http_date_write(int64_t seconds, char out[HTTP_DATE_BYTES + 1]);
/* Reads a date in any of the three forms that RFC 9110 section 5.6.7 wants read.
 * Returns seconds since the epoch, or -1 where it is none. */
int64_t hv__http_date_parse(hhttp_slice_t text);

/* What is there. */
typedef struct http_validators_s {
    hhttp_slice_t etag;  /* with its quotes, perhaps W/ before them; data NULL: none */
    int64_t modified;    /* seconds since the epoch; -1: not known */
} http_validators_t;

/* The headers that ask; data NULL where one is absent. */
typedef struct http_asks_s {
    hhttp_slice_t if_match;
    hhttp_slice_t if_none_match;
    hhttp_slice_t if_modified_since;
    hhttp_slice_t if_unmodified_since;
    hhttp_slice_t if_range;
    hhttp_slice_t range;
} http_asks_t;

/* Collects them in one walk over the request's headers. */
void hv__http_asks_read(const hhttp_request_t *req, http_asks_t *asks);

/* Evaluates the preconditions in the order of RFC 9110 section 13.2.2.
 *   is_get  GET or HEAD
 * Returns 0 to go on, 304 or 412. */
int hv__http_precondition(const http_asks_t *asks, const http_validators_t *there, int is_get);

#define HTTP_RANGES_MAX 16

typedef struct http_range_s {
    uint64_t offset;
    uint64_t len;
} http_range_t;

/* Reads a Range that applies (If-Range considered) to `size` bytes.
 *   ranges  room for HTTP_RANGES_MAX
 * Returns the number of satisfiable ranges, in the order asked for; 0 where the whole is to be sent
 * (no range, another unit, malformed, more than HTTP_RANGES_MAX, or more bytes in all than there
 * are); 416 where none can be satisfied. */
int hv__http_ranges(const http_asks_t *asks, const http_validators_t *there, uint64_t size,
                    http_range_t *ranges);

/* The weight that a line of Accept-Encoding gives a coding by its name, 0..1000; -1 where it is not
 * named, and then *others is set to that of "*" where there is one. Of several lines, which are one
 * list (RFC 9110 section 5.3), each is asked; what none of them names counts as `others`, from 0: a
 * header that is absent accepts nothing but identity here. */
int hv__http_coding_named(hhttp_slice_t accept_encoding, const char *coding, int *others);

#endif
