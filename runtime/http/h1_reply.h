/* h1_reply.h - a response of HTTP/1.x as a client reads it, and a request as it writes it. Pure.
 * RFC 9112 sections 3 (request line), 4 (status line), 6.3 (body length). */
#ifndef HV_H1_REPLY_H_
#define HV_H1_REPLY_H_

#include "h1_parse.h"

/* How the body of a response ends. */
typedef enum {
    H1_REPLY_NO_BODY,
    H1_REPLY_COUNTED, /* Content-Length, or chunked: h1_body_pending tells */
    H1_REPLY_UNTIL_CLOSE,
} h1_reply_body_e;

/* What a valid head says. Slices point into the head block. */
typedef struct h1_reply_s {
    hhttp_slice_t reason;
    hhttp_slice_t headers; /* the lines, as h1_next_header takes them */
    int status;            /* 100..999 */
    uint8_t version;       /* 10 or 11 */
    uint8_t body;          /* h1_reply_body_e */
    uint8_t is_chunked;
    uint8_t keep_alive; /* the connection may be used again once the body has ended */
    uint8_t is_upgrade; /* a 101 that names the protocol it has gone over to */
    int64_t length;     /* bytes of the body; -1 where they are not known */
    h1_parser_t parser; /* for h1_parse_body */
} h1_reply_t;

/* Parses one whole head block, as h1_find_head_end measured it.
 *   to_head  it answers a HEAD: there is no body whatever the fields say
 * Returns 0; HV_EPROTO where it is malformed or ambiguous; HV_ELIMIT beyond a limit. As strict as
 * for requests: both Content-Length and Transfer-Encoding, a doubled one of either, obs-fold, a
 * blank before a colon, bad names and values, a coding other than chunked, Transfer-Encoding in
 * HTTP/1.0, and versions other than 1.x are HV_EPROTO. A missing blank before an empty reason is
 * taken, since many servers leave it out. */
int h1_parse_reply(h1_reply_t *reply, const char *block, size_t len, int to_head,
                   const h1_limits_t *limits);

/* The error for a status that h1_find_head_end or h1_parse_body refuses with. */
int h1_reply_error(int status);

/* ---- Writing a request ---- */

typedef struct h1_request_s {
    hhttp_slice_t method;
    hhttp_slice_t target;
    hhttp_slice_t host; /* the Host line; data NULL where it stands among the headers */
    const hhttp_header_t *headers;
    size_t header_count;
    int64_t content_length; /* -1: none is written */
    const char *upgrade;    /* or NULL */
    const char *proxy_authorization; /* or NULL */
    uint8_t is_chunked;
    uint8_t closes;
    uint8_t expects_continue;
    uint8_t accepts_codings; /* gzip, deflate, br */
    uint8_t wants_trailers;  /* TE: trailers */
} h1_request_t;

/* Returns the bytes that h1_write_request needs at most. */
size_t h1_request_bytes_max(const h1_request_t *request);
/* Writes request line, fields and blank line. Returns the bytes. */
size_t h1_write_request(const h1_request_t *request, char *out);

/* Tells whether a request may be sent: 0, or HV_EINVAL where the method is no token or CONNECT, the
 * target is empty or has bytes that may not be there, a name is no token or the client's own
 * (Content-Length, Transfer-Encoding, Connection, Expect, Upgrade, TE), or a value has control
 * characters. `*has_host` tells whether there is a Host. */
int h1_check_request(const h1_request_t *request, int *has_host);

#endif
