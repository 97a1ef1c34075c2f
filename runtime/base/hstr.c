/* hstr.c - slices. Numbers are read digit by digit, and the range is checked before each step, so
 * that no intermediate value can wrap. */
#include "hstr.h"

#include "hassert.h"

int hstr_hex_value(unsigned char byte) {
    if (hstr_is_digit(byte)) return byte - '0';
    unsigned char letter = hstr_lower(byte);
    if (letter >= 'a' && letter <= 'f') return letter - 'a' + 10;
    return -1;
}

bool hstr_equals(hstr_t a, hstr_t b) {
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

bool hstr_equals_nocase(hstr_t a, hstr_t b) {
    return a.len == b.len && hstr_compare_nocase(a, b) == 0;
}

bool hstr_starts_with(hstr_t text, hstr_t prefix) {
    return text.len >= prefix.len && hstr_equals((hstr_t){text.data, prefix.len}, prefix);
}

bool hstr_ends_with(hstr_t text, hstr_t suffix) {
    if (text.len < suffix.len) return false;
    if (suffix.len == 0) return true;
    return hstr_equals((hstr_t){text.data + (text.len - suffix.len), suffix.len}, suffix);
}

int hstr_compare_nocase(hstr_t a, hstr_t b) {
    size_t common = a.len < b.len ? a.len : b.len;
    for (size_t i = 0; i < common; i++) {
        int difference =
            hstr_lower((unsigned char)a.data[i]) - hstr_lower((unsigned char)b.data[i]);
        if (difference != 0) return difference;
    }
    if (a.len == b.len) return 0;
    return a.len < b.len ? -1 : 1;
}

static bool is_blank(char byte) {
    return byte == ' ' || byte == '\t';
}

hstr_t hstr_trim(hstr_t text) {
    while (text.len > 0 && is_blank(text.data[0])) {
        text.data++;
        text.len--;
    }
    while (text.len > 0 && is_blank(text.data[text.len - 1])) text.len--;
    return text;
}

bool hstr_next(hstr_t *rest, char separator, hstr_t *piece) {
    /* NULL data marks the end, so that an empty piece behind the last separator still counts. */
    if (rest->data == NULL) return false;
    const char *end = rest->len > 0 ? memchr(rest->data, separator, rest->len) : NULL;
    if (end == NULL) {
        *piece = *rest;
        *rest = (hstr_t){NULL, 0};
        return true;
    }
    *piece = (hstr_t){rest->data, (size_t)(end - rest->data)};
    rest->len -= piece->len + 1;
    rest->data = end + 1;
    return true;
}

int hstr_parse_u64(hstr_t text, uint64_t max, uint64_t *value) {
    uint64_t sum = 0;
    bool is_over = false;
    if (text.len == 0) return HV_EINVAL;
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') return HV_EINVAL;
        uint64_t digit = (uint64_t)(text.data[i] - '0');
        if (digit > max || sum > (max - digit) / 10) {
            /* Read on: what follows decides whether it is a number at all. */
            is_over = true;
        }
        if (!is_over) sum = sum * 10 + digit;
    }
    if (is_over) return HV_ELIMIT;
    HV_DASSERT(sum <= max);
    *value = sum;
    return 0;
}

int hstr_parse_i64(hstr_t text, int64_t min, int64_t max, int64_t *value) {
    HV_ASSERT(min <= max);
    bool is_negative = text.len > 0 && text.data[0] == '-';
    if (is_negative || (text.len > 0 && text.data[0] == '+')) {
        text.data++;
        text.len--;
    }
    uint64_t magnitude;
    int error = hstr_parse_u64(text, (uint64_t)INT64_MAX + is_negative, &magnitude);
    if (error != 0) return error;
    int64_t number = is_negative ? (int64_t)(0 - magnitude) : (int64_t)magnitude;
    if (number < min || number > max) return HV_ELIMIT;
    *value = number;
    return 0;
}
