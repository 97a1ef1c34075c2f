/* ws_utf8.h - UTF-8 checked as it arrives, pure: a few bytes of state between pieces, plain text at
 * the speed of memory. RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF. */
#ifndef HV_WS_UTF8_H_
#define HV_WS_UTF8_H_

#include <stddef.h>
#include <stdint.h>

/* Where a text stands between two pieces. All zero: at the start of a character. */
typedef struct ws_utf8_s {
    uint8_t need; /* continuation bytes that are still missing */
    uint8_t low;  /* the range of the next one; only where need > 0 */
    uint8_t high;
} ws_utf8_t;

/* Takes the next bytes of a text. Returns 0, or -1 at the first byte that cannot belong to UTF-8;
 * the state is then worthless. */
int ws_utf8_feed(ws_utf8_t *state, const void *data, size_t len);

/* Whether the text may end here: no character is half. */
static inline int ws_utf8_is_whole(const ws_utf8_t *state) { return state->need == 0; }

#endif
