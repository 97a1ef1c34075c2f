/* http_url.c - an http or https URL taken apart, strictly: what is not surely one is refused. Pure.
 * RFC 3986 section 3, RFC 9110 section 4.2. */
#include "hhttp_client.h"

#include <string.h>

#include "h1_chars.h"
#include "h1_target.h"

/* "//" host [ ":" port ], without userinfo. Returns 0 or HV_EINVAL. */
static int read_authority(const char *text, size_t len, hhttp_url_t *parts) {
    if (len == 0 || !h1_authority_is_valid(text, len)) return HV_EINVAL;
    const char *end = text + len;
    const char *host_end = *text == '[' ? memchr(text, ']', len) : memchr(text, ':', len);
    if (host_end == NULL) host_end = end;
    const char *colon = host_end + (*text == '[');
    parts->host = *text == '[' ? (hhttp_slice_t){text + 1, (size_t)(host_end - text - 1)}
                               : (hhttp_slice_t){text, (size_t)(host_end - text)};
    if (parts->host.len == 0) return HV_EINVAL;
    parts->port = parts->is_https ? 443 : 80;
    if (colon >= end || colon + 1 == end) return 0;
    int port = 0;
    for (const char *at = colon + 1; at < end; at++)
        port = port * 10 + (*at - '0');
    parts->port = port;
    return port > 0 ? 0 : HV_EINVAL;
}

int hhttp_url_parse(const char *url, hhttp_url_t *parts) {
    size_t len = strlen(url);
    size_t scheme;
    if (len >= 7 && h1_equals_folded(url, 7, "http://", 7)) {
        scheme = 7;
    } else if (len >= 8 && h1_equals_folded(url, 8, "https://", 8)) {
        scheme = 8;
    } else {
        return HV_EINVAL;
    }
    hhttp_url_t found = {.is_https = scheme == 8};
    const char *authority = url + scheme;
    size_t authority_len = strcspn(authority, "/?#");
    if (read_authority(authority, authority_len, &found) != 0) return HV_EINVAL;
    const char *target = authority + authority_len;
    size_t target_len = strcspn(target, "#");
    for (size_t i = 0; i < target_len; i++) {
        if (target[i] != '?' && !h1_char_is(target[i], H1_CHAR_TARGET)) return HV_EINVAL;
    }
    found.target = (hhttp_slice_t){target, target_len};
    if (target_len == 0) found.target = (hhttp_slice_t){"/", 1};
    *parts = found;
    return 0;
}
