/* h1_target.h - the request target and the authority, pure. RFC 9112 section 3.2. Part of h1_parse;
 * nothing outside runtime/http needs it. */
#ifndef HV_H1_TARGET_H_
#define HV_H1_TARGET_H_

#include "h1_parse.h"

/* Splits head->target by the form that head->method allows: fills path, query and, for
 * absolute-form, host. `query_at` is the offset of the first '?', or the target's length.
 * The bytes themselves were checked before. Returns 0 or 400. */
int h1_split_target(h1_head_t *head, size_t query_at);

/* Tells whether the text is host [":" port] (RFC 9110 section 7.2): no userinfo, a port of at most
 * 65535 or an empty one, a host that may be empty. */
int h1_authority_is_valid(const char *text, size_t len);

#endif
