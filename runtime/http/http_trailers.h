/* http_trailers.h - trailers: fields that come behind a body, in either direction and version (RFC
 * 9110 section 6.5). Those that have come are kept as lines of HTTP/1, apart from the head's, into
 * which nothing merges them; most messages have none, and then nothing is kept. */
#ifndef HV_HTTP_TRAILERS_H_
#define HV_HTTP_TRAILERS_H_

#include "h1_parse.h"
#include "hbuf.h"

typedef struct http_trailers_s {
    hbuf_t lines;
    uint32_t count;
} http_trailers_t;

/* Adds what has come of the section: lines that were checked, cut anywhere. `*trailers` is NULL
 * before the first. Returns 0; HV_ELIMIT where there are more, or longer ones, than heads may have;
 * HV_ENOMEM. */
int hv__http_trailers_add(http_trailers_t **trailers, hhttp_slice_t text,
                          const h1_limits_t *limits);
/* NULL is allowed. */
void hv__http_trailers_free(http_trailers_t *trailers);

/* The first one of that name; data NULL where there is none. `trailers` may be NULL. */
hhttp_slice_t hv__http_trailers_find(const http_trailers_t *trailers, const char *name,
                                     size_t name_len);
/* The one after `*cursor` (start with 0). Returns 1, or 0 at the end. Fields that have no business
 * there are passed over: see hv__http_trailers_check. */
int hv__http_trailers_next(const http_trailers_t *trailers, size_t *cursor,
                           hhttp_header_t *header);

/* Whether fields may be sent as trailers: 0, or HV_EINVAL where h1_check_headers says so, or a name
 * is one of framing, routing, authentication, conditions or the content's form, which come too late
 * behind it (section 6.5.1). */
int hv__http_trailers_check(const hhttp_header_t *headers, size_t count);

#define HTTP_LAST_CHUNK_HEAD 3 /* "0", CR, LF */
#define HTTP_LAST_CHUNK_TAIL 2

/* The last chunk of a body, with trailers behind it: "0", the lines, a blank one. Returns it, to be
 * freed by hv__free, and its length; or NULL without memory. */
char *hv__http_last_chunk(const hhttp_header_t *trailers, size_t count, size_t *len);

#endif
