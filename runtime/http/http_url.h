/* http_url.h - references between URLs. Pure. What programs use of URLs is in hhttp_client.h. */
#ifndef HV_HTTP_URL_H_
#define HV_HTTP_URL_H_

#include "hhttp_client.h"

/* Resolves a reference against the URL of a request (RFC 3986 section 5.2), without its fragment.
 * Bytes that may not stand in a target are percent-encoded.
 *   out  gets the text and a NUL
 * Returns 0; HV_EINVAL where it leads to no http or https URL, HV_ELIMIT where it does not fit. */
int hv__http_url_resolve(const hhttp_url_t *base, hhttp_slice_t reference, char *out, size_t size);

#endif
