/* hmultipart.h - bodies of multipart/form-data (RFC 7578, RFC 2046 section 5.1) as a stream: bytes
 * in, parts out. Pure: no loop, no files.
 *
 *     while (len > 0) {
 *         switch (hmultipart_next(form, data, len, &used, &piece)) {
 *         case HMULTIPART_PART:     open(hmultipart_filename(form)); break;
 *         case HMULTIPART_DATA:     write(piece.data, piece.len); break;
 *         case HMULTIPART_PART_END: close(); break;
 *         ...
 *         }
 *         data += used, len -= used;
 *     }
 *
 * Strict: lines end in CRLF, a part has a Content-Disposition: form-data with a name, nothing but
 * blanks follows a boundary. */
#ifndef HV_MULTIPART_H_
#define HV_MULTIPART_H_

#include "hhttp.h"

HV_BEGIN_DECLS

typedef struct hmultipart_s hmultipart_t;

/* A field left 0 takes the default named beside it. Beyond any of them is HV_ELIMIT. */
typedef struct hmultipart_limits_s {
    uint32_t part_count_max;        /* 1000 */
    uint32_t part_header_bytes_max; /* 8 KiB of header lines in one part */
    uint64_t field_bytes_max;       /* 1 MiB in a part without file name */
    uint64_t form_bytes_max;        /* 8 MiB in all parts without file name together */
    uint64_t file_bytes_max;        /* none; in a part with one */
} hmultipart_limits_t;

typedef enum {
    HMULTIPART_MORE,     /* all is used; more is needed */
    HMULTIPART_PART,     /* a part begins: its name and headers are there */
    HMULTIPART_DATA,     /* bytes of it */
    HMULTIPART_PART_END, /* it is whole */
    HMULTIPART_END,      /* the form is whole; what follows is skipped */
} hmultipart_event_e;

/* Finds the boundary in a Content-Type (RFC 2046 section 5.1.1).
 *   out  gives it, at most 70 bytes; borrowed from `content_type`
 * Returns 0; HV_ENOTFOUND where the type is not multipart/form-data; HV_EPROTO where the boundary
 * is missing or none. */
HV_EXPORT int hmultipart_boundary(hhttp_slice_t content_type, hhttp_slice_t *out);

/* Makes a parser.
 *   limits  copied; NULL for the defaults
 * Returns NULL for a boundary of 0 or more than 70 bytes, and where there is no memory. */
HV_EXPORT hmultipart_t *hmultipart_new(hhttp_slice_t boundary, const hmultipart_limits_t *limits);
HV_EXPORT void hmultipart_free(hmultipart_t *form);

/* Goes on until one event.
 *   used   out: bytes of `data` that are done with; call again with the rest
 *   piece  out: with HMULTIPART_DATA the bytes, in `data` or in the parser; borrowed until the next
 *          call
 * Returns an event, or HV_EPROTO, HV_ELIMIT, HV_ENOMEM, and the same ever after. */
HV_EXPORT int hmultipart_next(hmultipart_t *form, const char *data, size_t len, size_t *used,
                              hhttp_slice_t *piece);

/* Whether the closing boundary has been seen: a body that ends before it is cut short. */
HV_EXPORT int hmultipart_has_ended(const hmultipart_t *form);

/* ---- The part that has begun; borrowed until the next part ---- */

HV_EXPORT hhttp_slice_t hmultipart_name(const hmultipart_t *form);
/* As sent, perhaps with directories; data NULL where the part is no file. See
 * hmultipart_safe_name. */
HV_EXPORT hhttp_slice_t hmultipart_filename(const hmultipart_t *form);
/* As hhttp_request_header and hhttp_request_next_header. */
HV_EXPORT hhttp_slice_t hmultipart_header(const hmultipart_t *form, const char *name,
                                          size_t name_len);
HV_EXPORT int hmultipart_next_header(const hmultipart_t *form, size_t *cursor,
                                     hhttp_header_t *header);

#define HMULTIPART_SAFE_NAME_MAX 256

/* Makes a name that a file may have in any directory: the last component only ('/' and '\' both
 * part them), no control characters, none of <>:"|?*, no dots or blanks in front, none at the end,
 * valid UTF-8, at most 200 bytes; "file" where nothing is left. Writes a NUL behind it.
 * Returns its length. */
HV_EXPORT size_t hmultipart_safe_name(hhttp_slice_t name, char out[HMULTIPART_SAFE_NAME_MAX]);

HV_END_DECLS

#endif
