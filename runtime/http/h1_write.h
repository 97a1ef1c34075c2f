/* h1_write.h - HTTP/1.1 response heads as bytes, pure. RFC 9112 section 4, RFC 9110 section 6. */
#ifndef HV_H1_WRITE_H_
#define HV_H1_WRITE_H_

#include "hhttp.h"

/* The 29 bytes of an IMF-fixdate (RFC 9110 section 5.6.7), made anew when the second changes. */
typedef struct h1_date_s {
    time_t second;
    char text[32]; /* "Sun, 06 Nov 1994 08:49:37 GMT" and a NUL */
} h1_date_t;

/* Brings the text up to `now` (seconds since the epoch). */
void h1_date_update(h1_date_t *date, time_t now);

/* How the body of a response is framed. */
typedef enum {
    H1_FRAME_LENGTH,  /* Content-Length */
    H1_FRAME_CHUNKED, /* Transfer-Encoding: chunked */
    H1_FRAME_CLOSE,   /* until the connection closes */
    H1_FRAME_NONE,    /* no body and no length: 1xx, 204, 304 */
} h1_framing_e;

typedef struct h1_response_s {
    int status;
    const hhttp_header_t *headers; /* checked with h1_check_headers */
    size_t header_count;
    hhttp_slice_t content_type; /* added where data is not NULL */
    hhttp_slice_t server_name;  /* added where data is not NULL */
    const h1_date_t *date;      /* added where not NULL */
    h1_framing_e framing;
    uint64_t content_length;   /* for H1_FRAME_LENGTH */
    int send_connection_close; /* Connection: close */
    int send_keep_alive;       /* Connection: keep-alive, for HTTP/1.0 peers */
    int send_upgrade;          /* Connection: Upgrade, for 101 */
} h1_response_t;

/* Returns the most bytes that h1_write_head may need for `response`. */
size_t h1_head_bytes_max(const h1_response_t *response);

/* Writes status line, headers and blank line to `out`, which has h1_head_bytes_max bytes.
 * Returns the bytes written. Hot path: the common case is copies of whole pieces. */
size_t h1_write_head(const h1_response_t *response, char *out);

/* Writes a number in decimal digits to `out` (20 bytes are enough). Returns the bytes. */
size_t h1_write_decimal(uint64_t number, char *out);

/* Writes the size line of a chunk ("1f\r\n") to `out` (18 bytes are enough). Returns the bytes. */
size_t h1_write_chunk_head(size_t len, char *out);

/* Tells whether headers may be sent: 0, or HV_EINVAL where a name is no token, a value has CR, LF,
 * NUL or another control character but HTAB, or the name is one the server writes itself
 * (Content-Length, Transfer-Encoding, Connection, Date). */
int h1_check_headers(const hhttp_header_t *headers, size_t count);

#endif
