/* herr.h - error codes: negative errno values for what the kernel says, and a range of our own for
 * what it has no word for. Every function of the library that can fail returns one of these. */
#ifndef HV_ERR_H_
#define HV_ERR_H_

#include "hdef.h"

HV_BEGIN_DECLS

/* Codes of our own. A code of the kernel is `-errno`, so HV_ECONNREFUSED is -ECONNREFUSED and any
 * errno without a name here is still a valid code. */
enum {
    HV_OK           = 0,
    HV_ENOMEM       = -ENOMEM,
    HV_EINVAL       = -EINVAL,
    HV_EBUSY        = -EBUSY,
    HV_EAGAIN       = -EAGAIN,
    HV_ETIMEDOUT    = -ETIMEDOUT,
    HV_ECONNREFUSED = -ECONNREFUSED,
    HV_ECONNRESET   = -ECONNRESET,
    HV_ENOTCONN     = -ENOTCONN,
    HV_EPIPE        = -EPIPE,
    HV_ECANCELED    = -ECANCELED,
    HV_EPROTO       = -EPROTO,
    HV_EADDRINUSE   = -EADDRINUSE,
    HV_EOF          = -10001, /* the peer has ended its side */
    HV_ECLOSED      = -10002, /* this handle is closed or closing */
    HV_ELIMIT       = -10003, /* a length, count or queue passed its limit */
    HV_ETLS         = -10004, /* TLS handshake, record or certificate */
    HV_ENOTFOUND    = -10005, /* no such host, route or entry */
    HV_EFAILED      = -10006, /* a function of the user's has failed: an error in a script */
};

/* The constant name of a code: "ECONNREFUSED", "EOF", "ELIMIT" ...
 *   code   either sign is taken
 * Returns a static string; "EUNKNOWN" for a code nobody knows. */
HV_EXPORT const char *herr_name(int code);

/* The same in lower-case words for people: "connection refused", "end of stream" ...
 *   code   either sign is taken
 * Returns a static string, valid in every thread. */
HV_EXPORT const char *herr_text(int code);

HV_END_DECLS

#endif
