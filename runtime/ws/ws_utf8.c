/* ws_utf8.c - the check. Three speeds: ASCII by 32 or 128 bytes, whole characters by one comparison
 * each, and the bytes at the borders of pieces by a small state (the next byte's range), which is
 * all that two pieces share. */
#include "ws_utf8.h"

#include <string.h>

#include "hlanes.h"

#define LANES_BYTES_MIN 256 /* shorter texts gain nothing by them */
#define HIGH_BITS 0x8080808080808080ull

static int is_ascii_32(const uint8_t *p) {
    uint64_t words[4];
    memcpy(words, p, sizeof words);
    return ((words[0] | words[1] | words[2] | words[3]) & HIGH_BITS) == 0;
}

/* Goes on by 128 bytes while they are ASCII. */
static HV_LANES const uint8_t *skip_ascii_lanes(const uint8_t *p, const uint8_t *end) {
    for (; end - p >= 4 * (long)HLANES_BYTES; p += 4 * HLANES_BYTES) {
        const hlanes_t *lanes = (const hlanes_t *)p;
        hlanes_t all = (lanes[0] | lanes[1]) | (lanes[2] | lanes[3]);
        if (((all[0] | all[1] | all[2] | all[3]) & HIGH_BITS) != 0) break;
    }
    return p;
}

/* The first byte at or after `p` that is not ASCII. */
static const uint8_t *skip_ascii(const uint8_t *p, const uint8_t *end) {
    /* In most scripts runs of ASCII are short, and lanes are not for them. */
    if (end - p >= LANES_BYTES_MIN && is_ascii_32(p) && is_ascii_32(p + 32) && hlanes_are_here()) {
        p = skip_ascii_lanes(p + 64, end);
    }
    while (end - p >= 32 && is_ascii_32(p)) p += 32;
    while (end - p >= 8) {
        uint64_t word;
        memcpy(&word, p, sizeof word);
        if (word & HIGH_BITS) break;
        p += 8;
    }
    while (p < end && *p < 0x80) p++;
    return p;
}

/* Four bytes as one number, the first the lowest. */
static uint32_t load_four(const uint8_t *p) {
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* The length of the character at `p`, which is not ASCII and has four bytes behind it; 0 where it
 * is no character. */
static int char_len(const uint8_t *p) {
    uint32_t four = load_four(p);
    if ((four & 0x00c0c0f0u) == 0x008080e0u) {
        uint32_t first_bits = four & 0x0000200fu; /* of 16: 0 is overlong, 13 a surrogate */
        return first_bits != 0 && first_bits != 0x0000200du ? 3 : 0;
    }
    if ((four & 0x0000c0e0u) == 0x000080c0u) return (four & 0x1e) != 0 ? 2 : 0;
    if ((four & 0xc0c0c0f8u) == 0x808080f0u) {
        uint32_t high = (four & 0x07) << 2 | (four >> 12 & 0x03); /* the upper bits of the 21 */
        return high >= 1 && high <= 16 ? 4 : 0;
    }
    return 0;
}

/* Notes what must follow a lead byte. Returns -1 where it leads nothing. */
static int begin_char(ws_utf8_t *state, uint8_t lead) {
    state->low = 0x80;
    state->high = 0xbf;
    if (lead >= 0xc2 && lead <= 0xdf) {
        state->need = 1;
    } else if (lead >= 0xe0 && lead <= 0xef) {
        state->need = 2;
        if (lead == 0xe0) state->low = 0xa0;
        if (lead == 0xed) state->high = 0x9f;
    } else if (lead >= 0xf0 && lead <= 0xf4) {
        state->need = 3;
        if (lead == 0xf0) state->low = 0x90;
        if (lead == 0xf4) state->high = 0x8f;
    } else {
        return -1;
    }
    return 0;
}

/* Byte by byte until the character is whole, or to the end. Returns where it stopped; NULL: no
 * UTF-8. */
static const uint8_t *finish_char(ws_utf8_t *state, const uint8_t *p, const uint8_t *end) {
    while (state->need > 0 && p < end) {
        if (*p < state->low || *p > state->high) return NULL;
        state->low = 0x80;
        state->high = 0xbf;
        state->need--;
        p++;
    }
    return p;
}

int ws_utf8_feed(ws_utf8_t *state, const void *data, size_t len) {
    if (len == 0) return 0;
    const uint8_t *p = data;
    const uint8_t *end = p + len;
    p = finish_char(state, p, end);
    if (p == NULL) return -1;
    for (;;) {
        p = skip_ascii(p, end);
        /* Runs of other scripts: one comparison a character. */
        while (end - p >= 4 && *p >= 0x80) {
            int char_bytes = char_len(p);
            if (char_bytes == 0) return -1;
            p += char_bytes;
        }
        if (p == end) return 0;
        if (*p < 0x80) continue;
        if (begin_char(state, *p) != 0) return -1;
        p = finish_char(state, p + 1, end);
        if (p == NULL) return -1;
        if (p == end) return 0;
    }
}
