/* http_url.c - an http or https URL taken apart, strictly: what is not surely one is refused. Pure.
 * RFC 3986 section 3, RFC 9110 section 4.2. */
#include "http_url.h"

#include <stdio.h>
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

/* ---- References ---- */

/* Text that grows up to its room; `is_full` once something did not fit. */
typedef struct text_s {
    char *data;
    size_t len;
    size_t room; /* without the NUL */
    int is_full;
} text_t;

static void add(text_t *text, const char *data, size_t len) {
    if (len > text->room - text->len) {
        text->is_full = 1;
        return;
    }
    memcpy(text->data + text->len, data, len);
    text->len += len;
}

/* Bytes of a path or query, encoded where they must be. */
static void add_encoded(text_t *text, const char *data, size_t len) {
    static const char digits[] = "0123456789ABCDEF";
    for (size_t i = 0; i < len; i++) {
        unsigned char byte = (unsigned char)data[i];
        if (byte == '?' || h1_char_is(data[i], H1_CHAR_TARGET)) {
            add(text, data + i, 1);
        } else {
            char triple[3] = {'%', digits[byte >> 4], digits[byte & 15]};
            add(text, triple, 3);
        }
    }
}

/* Takes "." and ".." out of the path that begins at `from` (RFC 3986 section 5.2.4). */
static void remove_dots(text_t *text, size_t from) {
    char *start = text->data + from;
    char *end = text->data + text->len;
    char *in = start, *out = start;
    while (in < end) {
        char *next = memchr(in + 1, '/', (size_t)(end - in - 1));
        if (next == NULL) next = end;
        size_t len = (size_t)(next - in); /* of "/segment" */
        int is_dot = len == 2 && in[1] == '.';
        int is_double = len == 3 && in[1] == '.' && in[2] == '.';
        if (is_double) {
            while (out > start && *--out != '/') {
            }
        }
        if (is_dot || is_double) {
            if (next == end) *out++ = '/';
        } else {
            memmove(out, in, len);
            out += len;
        }
        in = next;
    }
    text->len = (size_t)(out - text->data);
}

/* The bytes of "scheme" before a ':', or 0. */
static size_t scheme_len(hhttp_slice_t reference) {
    for (size_t i = 0; i < reference.len; i++) {
        char byte = reference.data[i];
        if (byte == ':') return i;
        int is_word = h1_char_is(byte, H1_CHAR_REGNAME) && byte != '/';
        if (!is_word) return 0;
    }
    return 0;
}

static void add_path(text_t *text, const hhttp_url_t *base, hhttp_slice_t reference) {
    const char *query = memchr(reference.data, '?', reference.len);
    size_t path_len = query != NULL ? (size_t)(query - reference.data) : reference.len;
    const char *base_query = memchr(base->target.data, '?', base->target.len);
    size_t base_len =
        base_query != NULL ? (size_t)(base_query - base->target.data) : base->target.len;
    size_t from = text->len;
    if (path_len == 0) {
        add(text, base->target.data, reference.len > 0 ? base_len : base->target.len);
    } else if (reference.data[0] == '/') {
        add_encoded(text, reference.data, path_len);
    } else {
        while (base_len > 0 && base->target.data[base_len - 1] != '/')
            base_len--;
        add(text, base->target.data, base_len);
        if (base_len == 0) add(text, "/", 1);
        add_encoded(text, reference.data, path_len);
    }
    if (path_len > 0) remove_dots(text, from);
    if (query != NULL) add_encoded(text, query, reference.len - path_len);
}

int hv__http_url_resolve(const hhttp_url_t *base, hhttp_slice_t reference, char *out, size_t size) {
    const char *fragment = memchr(reference.data, '#', reference.len);
    if (fragment != NULL) reference.len = (size_t)(fragment - reference.data);
    text_t text = {out, 0, size - 1, 0};
    const char *scheme = base->is_https ? "https:" : "http:";
    if (scheme_len(reference) > 0) {
        add_encoded(&text, reference.data, reference.len);
    } else if (reference.len >= 2 && memcmp(reference.data, "//", 2) == 0) {
        add(&text, scheme, strlen(scheme));
        add_encoded(&text, reference.data, reference.len);
    } else {
        int is_ipv6 = memchr(base->host.data, ':', base->host.len) != NULL;
        char port[8];
        int port_len = snprintf(port, sizeof port, ":%d", base->port);
        add(&text, scheme, strlen(scheme));
        add(&text, "//[", is_ipv6 ? 3 : 2);
        add(&text, base->host.data, base->host.len);
        if (is_ipv6) add(&text, "]", 1);
        if (base->port != (base->is_https ? 443 : 80)) add(&text, port, (size_t)port_len);
        add_path(&text, base, reference);
    }
    if (text.is_full) return HV_ELIMIT;
    out[text.len] = '\0';
    hhttp_url_t parts;
    return hhttp_url_parse(out, &parts);
}
