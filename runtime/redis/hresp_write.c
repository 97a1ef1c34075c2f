/* hresp_write.c - the heads of a command's array and of its arguments.
 *
 * Numbers are written from the end: most have one or two digits, and printf would cost more than
 * everything else that a short command does. */
#include "hresp.h"

static size_t write_head(char *out, char type, size_t number) {
    char digits[HRESP_HEAD_BYTES];
    size_t at = sizeof digits;
    digits[--at] = '\n';
    digits[--at] = '\r';
    do {
        digits[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    digits[--at] = type;
    memcpy(out, digits + at, sizeof digits - at);
    return sizeof digits - at;
}

size_t hresp_write_command(char *out, size_t count) { return write_head(out, '*', count); }

size_t hresp_write_argument(char *out, size_t len) { return write_head(out, '$', len); }
