/* hstr.h - slices of bytes, ASCII only: compare, trim, and numbers that check their range.
 * Nothing here depends on the locale, and nothing needs a NUL. */
#ifndef HV_STR_H_
#define HV_STR_H_

#include "herr.h"

/* A borrowed run of bytes. */
typedef struct hstr_s {
    const char *data;
    size_t len;
} hstr_t;

/* The slice of a string literal, and of a NUL-terminated string. */
#define HSTR_LITERAL(literal) ((hstr_t){"" literal, sizeof(literal) - 1})

static inline hstr_t hstr_from(const char *text) {
    return (hstr_t){text, strlen(text)};
}

/* The lower-case form of an ASCII letter; any other byte as it is. */
static inline unsigned char hstr_lower(unsigned char byte) {
    return (unsigned char)(byte - 'A') < 26 ? (unsigned char)(byte | 0x20) : byte;
}

static inline bool hstr_is_digit(unsigned char byte) {
    return (unsigned char)(byte - '0') < 10;
}

/* Value of a hexadecimal digit, or -1. */
int hstr_hex_value(unsigned char byte);

bool hstr_equals(hstr_t a, hstr_t b);
bool hstr_equals_nocase(hstr_t a, hstr_t b);
bool hstr_starts_with(hstr_t text, hstr_t prefix);
bool hstr_ends_with(hstr_t text, hstr_t suffix);

/* Below, equal or above 0, as strcasecmp for ASCII. */
int hstr_compare_nocase(hstr_t a, hstr_t b);

/* Cuts blanks and tabs off both ends. */
hstr_t hstr_trim(hstr_t text);

/* Cuts the next piece off `*rest`, up to `separator` or the end, which is dropped.
 * Returns false where nothing is left; "a,,b" has three pieces and "a," two. */
bool hstr_next(hstr_t *rest, char separator, hstr_t *piece);

/* Digits and nothing else, at least one.
 * Returns 0; HV_EINVAL for anything else, HV_ELIMIT above `max`; *value is then untouched. */
int hstr_parse_u64(hstr_t text, uint64_t max, uint64_t *value);

/* The same with one '-' or '+' allowed before the digits. */
int hstr_parse_i64(hstr_t text, int64_t min, int64_t max, int64_t *value);

#endif
