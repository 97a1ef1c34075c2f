/* h1_parse.h - HTTP/1.x request framing, pure: a head block is checked and indexed in one call,
 * a body is decoded as it comes. No allocation, no I/O, no callback of the user's. RFC 9112. */
#ifndef HV_H1_PARSE_H_
#define HV_H1_PARSE_H_

#include "hhttp.h"

/* Limits of one head; all must be > 0. */
typedef struct h1_limits_s {
    uint32_t request_line_bytes_max;
    uint32_t header_bytes_max;
    uint32_t header_count_max;
} h1_limits_t;

/* The longest method name taken; beyond it h1_parse_head answers 501. */
#define H1_METHOD_BYTES_MAX 32

/* What a valid head says. Slices point into the head block. */
typedef struct h1_head_s {
    hhttp_slice_t method_name;
    hhttp_slice_t target;    /* as sent */
    hhttp_slice_t path;      /* of origin-form or absolute-form, never empty; "*" for OPTIONS *;
                                for CONNECT the authority */
    hhttp_slice_t query;     /* data NULL where there is no '?' */
    hhttp_slice_t headers;   /* the header lines, from the first name to the blank line */
    hhttp_slice_t host;      /* authority of an absolute-form target, else the value of Host;
                                data NULL where there is neither (HTTP/1.0) */
    uint64_t content_length; /* bytes; 0 where absent */
    hhttp_method_e method;
    uint8_t version; /* 10, or 11 for HTTP/1.1 and later minor versions */
    uint8_t has_content_length;
    uint8_t is_chunked;
    uint8_t keep_alive;       /* the peer wants the connection kept (RFC 9112 section 9.3) */
    uint8_t expects_continue; /* Expect: 100-continue, HTTP/1.1, and a body is to come */
    uint8_t is_upgrade;       /* Connection: upgrade with an Upgrade header, HTTP/1.1 */
} h1_head_t;

typedef struct h1_parser_s {
    h1_head_t head;
    /* Private to h1_body.c: where the decoder of the body stands. */
    uint64_t body_left;     /* payload bytes left of the body or of this chunk */
    uint32_t overhead_left; /* bytes that extensions, zeros and trailers may still take */
    uint32_t trailer_at;    /* of the last h1_parse_body: see h1_body_trailer */
    uint32_t trailer_len;
    uint8_t body_state;
    uint8_t size_digits; /* significant digits of the chunk size read so far */
} h1_parser_t;

/* Looks for the end of a head block in `data`, whose first `*scanned` bytes were looked at before.
 * Leading empty lines before a request line are the caller's to skip (h1_skip_empty_lines).
 *   scanned  in and out; start with 0
 * Returns the bytes of the block including its blank line, 0 where more is needed, or the negated
 * HTTP status to refuse with: -414 once the first line passes its limit, -431 once the headers do,
 * -400 for a control character other than HTAB, a CR without LF or an LF without CR, an empty first
 * line, or a header line that begins with a blank (obs-fold). It is the only check of line ends:
 * h1_parse_head relies on it. */
long h1_find_head_end(const char *data, size_t len, size_t *scanned, const h1_limits_t *limits);

/* Returns how many bytes of CRLF pairs stand at the start (RFC 9112 section 2.2), at most `len`. A
 * lone CR at the very end is not counted. */
size_t h1_skip_empty_lines(const char *data, size_t len);

/* Parses one whole head block, as h1_find_head_end measured it, and readies the parser for the
 * body. Fills parser->head, whose slices borrow `block`.
 * Returns 0, or the HTTP status to refuse with: 400, 414, 417, 431, 501 (unknown transfer
 * coding), 505. Strict: both Content-Length and Transfer-Encoding, doubled or differing
 * Content-Length, obs-fold, blanks before a colon, bad names, control characters in values,
 * HTTP/1.1 without Host or with two, bad Host, chunked not last, Transfer-Encoding in HTTP/1.0,
 * all 400. A method that is unknown but a token is HHTTP_OTHER; 501 where it is longer than
 * H1_METHOD_BYTES_MAX. HTTP/1.2 and up are taken as HTTP/1.1 (RFC 9110 section 2.5), other major
 * versions are 505; an Expect other than 100-continue is 417. */
int h1_parse_head(h1_parser_t *parser, const char *block, size_t len, const h1_limits_t *limits);

/* Readies the decoder for the body that parser->head announces; h1_parse_head does it. */
void h1_body_begin(h1_parser_t *parser, const h1_limits_t *limits);

/* Tells whether a body is still to come (0 right after a head without one). */
int h1_body_pending(const h1_parser_t *parser);

/* For a body that another version of HTTP frames: says whether it is still to come. */
void h1_body_set_pending(h1_parser_t *parser, int is_pending);

/* Decodes body bytes until one piece of payload is found, the body ends, or the input does.
 *   consumed  out: bytes of `data` used, framing included
 *   piece     out: payload found, inside `data`; len 0 where none
 * Call again with the rest while bytes are left and the body is pending. Trailer fields are
 * checked; chunk extensions are dropped; both count toward header_bytes_max of one body, so a peer
 * cannot send them for ever.
 * Returns 0, or the HTTP status to refuse with (400, 431). */
int h1_parse_body(h1_parser_t *parser, const char *data, size_t len, size_t *consumed,
                  hhttp_slice_t *piece);

/* The bytes of trailer lines that the last h1_parse_body has found in its `data`, without the blank
 * line at their end. They may be cut anywhere; all of them together are whole lines once the body
 * is over. Where the body is not chunked there are none. */
static inline hhttp_slice_t h1_body_trailer(const h1_parser_t *parser, const char *data) {
    if (!parser->head.is_chunked || parser->trailer_len == 0) return (hhttp_slice_t){NULL, 0};
    return (hhttp_slice_t){data + parser->trailer_at, parser->trailer_len};
}

/* Iterates validated header lines (head->headers): the header after `*cursor` (start with 0).
 * Surrounding blanks of the value are cut. Returns 1, or 0 at the end. */
int h1_next_header(hhttp_slice_t headers, size_t *cursor, hhttp_header_t *header);

/* The first header of that name, case-insensitive; data NULL where there is none. */
hhttp_slice_t h1_find_header(hhttp_slice_t headers, const char *name, size_t name_len);

/* Moves every slice of a head from the block at `from` to an equal copy at `to`. Only the address
 * `from` is used: its memory may be gone. */
void h1_head_rebase(h1_head_t *head, const char *from, const char *to);

#endif
