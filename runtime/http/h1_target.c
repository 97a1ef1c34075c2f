/* h1_target.c - the four forms of a request target (RFC 9112 section 3.2) and the authority.
 *
 *   origin-form     "/path?query"              every method but CONNECT
 *   absolute-form   "http://host:port/path"    every method but CONNECT; its authority wins over
 *                                              the Host header (section 3.2.2)
 *   authority-form  "host:port"                CONNECT only, the port is needed
 *   asterisk-form   "*"                        OPTIONS only
 *
 * Whatever is none of these is refused, so that no two readers of a request can see two targets. */
#include "h1_target.h"

#include <string.h>

#include "h1_chars.h"
#include "hassert.h"

#define PORT_MAX 65535u

/* "" or digits up to 65535; leading zeros are within the grammar. */
static int port_is_valid(const char *text, size_t len) {
    unsigned port = 0;
    for (size_t i = 0; i < len; i++) {
        if (!h1_char_is(text[i], H1_CHAR_DIGIT)) return 0;
        port = port * 10 + (unsigned)(text[i] - '0');
        if (port > PORT_MAX) return 0;
    }
    return 1;
}

/* Bytes of the "[...]" at the start of an authority; 0 where it is no IPv6 literal. The address is
 * checked for its alphabet only: what it means is the business of whoever connects to it. Zone
 * identifiers and IPvFuture are not taken. */
static size_t ip_literal_len(const char *text, size_t len) {
    size_t i = 1;
    while (i < len && (h1_char_is(text[i], H1_CHAR_HEX) || text[i] == ':' || text[i] == '.'))
        i++;
    int is_closed = i < len && text[i] == ']';
    return is_closed && i > 2 ? i + 1 : 0;
}

/* Bytes of the registered name or IPv4 address at the start; stops at the first byte that cannot
 * belong to one. */
static size_t reg_name_len(const char *text, size_t len) {
    size_t i = 0;
    while (i < len) {
        if (h1_char_is(text[i], H1_CHAR_REGNAME)) {
            i++;
        } else if (text[i] == '%' && len - i > 2 && h1_char_is(text[i + 1], H1_CHAR_HEX) &&
                   h1_char_is(text[i + 2], H1_CHAR_HEX)) {
            i += 3;
        } else {
            break;
        }
    }
    return i;
}

/* The host's length in a valid authority, or -1. */
static long authority_host_len(const char *text, size_t len) {
    int is_literal = len > 0 && text[0] == '[';
    size_t host_len = is_literal ? ip_literal_len(text, len) : reg_name_len(text, len);
    if (is_literal && host_len == 0) return -1;
    if (host_len == len) return (long)host_len;
    if (text[host_len] != ':') return -1;
    return port_is_valid(text + host_len + 1, len - host_len - 1) ? (long)host_len : -1;
}

int h1_authority_is_valid(const char *text, size_t len) {
    return authority_host_len(text, len) >= 0;
}

/* CONNECT: both parts must be there (RFC 9112 section 3.2.3, RFC 9110 section 9.3.6). */
static int split_authority_form(h1_head_t *head) {
    const hhttp_slice_t target = head->target;
    long host_len = authority_host_len(target.data, target.len);
    if (host_len <= 0 || (size_t)host_len + 1 >= target.len) return 400;
    head->path = target;
    return 0;
}

/* Bytes of "http://" or "https://" at the start, in any case; 0 where neither is there. */
static size_t scheme_len(const char *text, size_t len) {
    if (len >= 7 && h1_equals_folded(text, 7, "http://", 7)) return 7;
    if (len >= 8 && h1_equals_folded(text, 8, "https://", 8)) return 8;
    return 0;
}

/* An http URI needs a host, and userinfo in one is an attempt to mislead (RFC 9110 sections 4.2.1
 * and 4.2.4). An empty path means "/": the second slash before the authority lends its byte. */
static int split_absolute_form(h1_head_t *head, size_t query_at) {
    const char *text = head->target.data;
    size_t scheme = scheme_len(text, head->target.len);
    if (scheme == 0) return 400;
    HV_DASSERT(query_at >= scheme);
    const char *authority = text + scheme;
    size_t rest = query_at - scheme;
    const char *slash = memchr(authority, '/', rest);
    size_t authority_len = slash != NULL ? (size_t)(slash - authority) : rest;
    if (authority_host_len(authority, authority_len) <= 0) return 400;
    head->host = (hhttp_slice_t){authority, authority_len};
    head->path = slash != NULL ? (hhttp_slice_t){slash, (size_t)(text + query_at - slash)}
                               : (hhttp_slice_t){authority - 1, 1};
    return 0;
}

int h1_split_target(h1_head_t *head, size_t query_at) {
    const char *text = head->target.data;
    size_t len = head->target.len;
    HV_DASSERT(len > 0 && query_at <= len);
    if (HV_UNLIKELY(head->method == HHTTP_CONNECT)) return split_authority_form(head);
    if (query_at < len) {
        head->query = (hhttp_slice_t){text + query_at + 1, len - query_at - 1};
    }
    if (HV_LIKELY(text[0] == '/')) {
        head->path = (hhttp_slice_t){text, query_at};
        return 0;
    }
    if (len == 1 && text[0] == '*' && head->method == HHTTP_OPTIONS) {
        head->path = head->target;
        return 0;
    }
    return split_absolute_form(head, query_at);
}
