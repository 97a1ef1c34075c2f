/* fuzz_url.c - the input is a URL, a line feed, and a reference to be resolved against it. What
 * must hold for any bytes:
 *  - what is resolved is a URL again, of the same parts, without fragment and without dot segments;
 *  - it resolves to itself, whatever the base. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http_url.h"

#define CHECK(claim) ((claim) ? (void)0 : fail(#claim, __LINE__))

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void fail(const char *claim, int line) {
    fprintf(stderr, "fuzz_url.c:%d: %s\n", line, claim);
    abort();
}

static int has_dot_segment(hhttp_slice_t target) {
    const char *query = memchr(target.data, '?', target.len);
    const char *end = query != NULL ? query : target.data + target.len;
    for (const char *at = target.data; at < end;) {
        const char *next = memchr(at + 1, '/', (size_t)(end - at - 1));
        if (next == NULL) next = end;
        size_t segment = (size_t)(next - at) - 1;
        if (segment == 1 && at[1] == '.') return 1;
        if (segment == 2 && at[1] == '.' && at[2] == '.') return 1;
        at = next;
    }
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    static char first[600], again[600];
    const uint8_t *feed = len < 2048 ? memchr(data, '\n', len) : NULL;
    if (feed == NULL) return 0;
    size_t base_len = (size_t)(feed - data), reference_len = len - base_len - 1;
    /* Copies that end where the bytes do. */
    char *base = malloc(base_len + 1), *text = malloc(reference_len > 0 ? reference_len : 1);
    memcpy(base, data, base_len);
    base[base_len] = '\0';
    memcpy(text, feed + 1, reference_len);
    hhttp_url_t url, parts;
    hhttp_slice_t reference = {text, reference_len};
    if (hhttp_url_parse(base, &url) == 0) {
        CHECK(url.port > 0 && url.port < 65536 && url.host.len > 0 && url.target.len > 0);
        if (hv__http_url_resolve(&url, reference, first, sizeof first) == 0) {
            CHECK(strlen(first) < sizeof first && hhttp_url_parse(first, &parts) == 0);
            CHECK(strchr(first, '#') == NULL);
            int is_path = reference_len > 0 && strchr("?#/", text[0]) == NULL &&
                          memchr(text, ':', reference_len) == NULL;
            if (is_path && parts.target.data[0] == '/') CHECK(!has_dot_segment(parts.target));
            hhttp_slice_t itself = {first, strlen(first)};
            CHECK(hv__http_url_resolve(&url, itself, again, sizeof again) == 0);
            CHECK(strcmp(first, again) == 0);
        }
    }
    free(base);
    free(text);
    return 0;
}
