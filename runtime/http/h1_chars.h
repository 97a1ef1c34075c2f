/* h1_chars.h - classes of bytes in HTTP/1.1 (RFC 9110 section 5.6, RFC 3986), as one table. */
#ifndef HV_H1_CHARS_H_
#define HV_H1_CHARS_H_

#include <stddef.h>
#include <stdint.h>

enum {
    H1_CHAR_TOKEN = 1 << 0,   /* tchar: method and header names */
    H1_CHAR_TARGET = 1 << 1,  /* visible ASCII but '#' and '?': a request target's plain bytes */
    H1_CHAR_REGNAME = 1 << 2, /* unreserved and sub-delims: a host name */
    H1_CHAR_HEX = 1 << 3,
    H1_CHAR_DIGIT = 1 << 4,
    H1_CHAR_VALUE = 1 << 5, /* field-vchar, SP, HTAB, obs-text: a header value */
};

extern const uint8_t h1_char_classes[256];

/* Tells whether a byte is in one of the classes. */
static inline int h1_char_is(char byte, unsigned classes) {
    return (h1_char_classes[(unsigned char)byte] & classes) != 0;
}

/* The value of a hexadecimal digit, or -1. */
static inline int h1_hex_value(char byte) {
    unsigned digit = (unsigned char)byte - (unsigned)'0';
    if (digit < 10) {
        return (int)digit;
    }
    unsigned letter = ((unsigned char)byte | 0x20u) - (unsigned)'a';
    return letter < 6 ? (int)letter + 10 : -1;
}

/* Compares with a lower-case word of letters, digits and '-', ignoring the case of ASCII letters.
 * Only letters are folded, so that a CR is no '-'. */
static inline int h1_equals_folded(const char *text, size_t len, const char *lower_word,
                                   size_t word_len) {
    if (len != word_len) {
        return 0;
    }
    for (size_t i = 0; i < len; i++) {
        unsigned char byte = (unsigned char)text[i];
        if (byte >= 'A' && byte <= 'Z') {
            byte = (unsigned char)(byte | 0x20u);
        }
        if (byte != (unsigned char)lower_word[i]) {
            return 0;
        }
    }
    return 1;
}

/* Compares two runs of `len` bytes, ignoring the case of ASCII letters. */
static inline int h1_names_equal(const char *left, const char *right, size_t len) {
    for (size_t i = 0; i < len; i++) {
        unsigned char one = (unsigned char)left[i];
        unsigned char other = (unsigned char)right[i];
        if (one == other) continue;
        unsigned char folded = (unsigned char)(one | 0x20u);
        if (folded != (other | 0x20u) || folded < 'a' || folded > 'z') return 0;
    }
    return 1;
}

#endif
