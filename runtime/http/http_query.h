/* http_query.h - name=value pairs of a query string or of an application/x-www-form-urlencoded
 * body, one at a time and without memory of its own (URL Standard, section
 * "application/x-www-form-urlencoded parsing"). Pure. */
#ifndef HV_HTTP_QUERY_H_
#define HV_HTTP_QUERY_H_

#include "hhttp.h"

typedef struct hhttp_query_pair_s {
    hhttp_slice_t name;  /* as sent */
    hhttp_slice_t value; /* as sent; data NULL where the pair has no '=' */
    int name_is_encoded; /* holds '%' or '+': decode it with hhttp_query_decode before use */
    int value_is_encoded;
} hhttp_query_pair_t;

/* The pair after `*cursor` (start with 0); empty pairs ("a=1&&b=2") are passed over.
 *   text  borrowed; the pair's slices point into it
 * Returns 1, or 0 at the end. */
HV_EXPORT int hhttp_query_next(hhttp_slice_t text, size_t *cursor, hhttp_query_pair_t *pair);

/* Decodes a name or a value: '+' is a blank, an invalid escape stays as it is.
 *   out      the caller's buffer; may be the text itself
 *   out_max  its bytes; the decoded text is never longer than the text
 * Returns the bytes written, or HV_ELIMIT where the text is longer than the buffer. */
HV_EXPORT long hhttp_query_decode(hhttp_slice_t text, char *out, size_t out_max);

/* The value of the first pair whose decoded name is `name`; data NULL where there is none, and data
 * not NULL with len 0 where the pair has no '='. Still encoded. */
HV_EXPORT hhttp_slice_t hhttp_query_find(hhttp_slice_t text, const char *name, size_t name_len);

#endif
