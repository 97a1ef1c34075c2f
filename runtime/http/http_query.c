/* http_query.c - one pass over the text: the byte that ends a part also says what comes next. The
 * flags *_is_encoded are by-products of that pass and spare the caller a copy of what is plain. */
#include "hhttp.h"

#include "h1_chars.h"

/* The bytes of a part up to `stop` or '&'; tells whether there is something to decode. */
static hhttp_slice_t read_part(const char *start, const char *end, char stop, int *is_encoded) {
    const char *at = start;
    int found = 0;
    while (at < end && *at != '&' && *at != stop) {
        found |= *at == '%' || *at == '+';
        at++;
    }
    *is_encoded = found;
    return (hhttp_slice_t){start, (size_t)(at - start)};
}

int hhttp_query_next(hhttp_slice_t text, size_t *cursor, hhttp_query_pair_t *pair) {
    size_t i = *cursor;
    while (i < text.len && text.data[i] == '&')
        i++;
    *cursor = i;
    if (i >= text.len) return 0;
    const char *end = text.data + text.len;
    pair->name = read_part(text.data + i, end, '=', &pair->name_is_encoded);
    pair->value = (hhttp_slice_t){NULL, 0};
    pair->value_is_encoded = 0;
    const char *at = pair->name.data + pair->name.len;
    if (at < end && *at == '=') {
        /* A second '=' belongs to the value, so only '&' ends it. */
        pair->value = read_part(at + 1, end, '&', &pair->value_is_encoded);
        at = pair->value.data + pair->value.len;
    }
    *cursor = (size_t)(at - text.data) + (at < end);
    return 1;
}

long hhttp_query_decode(hhttp_slice_t text, char *out, size_t out_max) {
    if (text.len > out_max || text.len > (size_t)LONG_MAX) return HV_ELIMIT;
    return (long)hhttp_percent_decode(text.data, text.len, 1, out);
}

/* Compares while decoding, so that no buffer is needed however long the name is. */
static int decodes_to(hhttp_slice_t text, const char *plain, size_t plain_len) {
    size_t i = 0;
    size_t matched = 0;
    while (i < text.len) {
        char byte = text.data[i];
        size_t used = 1;
        if (byte == '+') {
            byte = ' ';
        } else if (byte == '%' && text.len - i > 2) {
            int high = h1_hex_value(text.data[i + 1]);
            int low = h1_hex_value(text.data[i + 2]);
            if (high >= 0 && low >= 0) {
                byte = (char)(high << 4 | low);
                used = 3;
            }
        }
        if (matched == plain_len || plain[matched] != byte) return 0;
        matched++;
        i += used;
    }
    return matched == plain_len;
}

hhttp_slice_t hhttp_query_find(hhttp_slice_t text, const char *name, size_t name_len) {
    hhttp_query_pair_t pair;
    size_t cursor = 0;
    while (hhttp_query_next(text, &cursor, &pair)) {
        if (!decodes_to(pair.name, name, name_len)) continue;
        const char *after_name = pair.name.data + pair.name.len;
        return pair.value.data != NULL ? pair.value : (hhttp_slice_t){after_name, 0};
    }
    return (hhttp_slice_t){NULL, 0};
}
