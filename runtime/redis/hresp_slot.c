/* hresp_slot.c - which slot of a cluster a key belongs to: CRC16, polynomial 0x1021, start 0, no
 * reflection, modulo 16384. A table of 16 entries, looked at twice a byte, fits
 * into one cache line. */
#include "hresp.h"

static uint16_t crc16(const unsigned char *data, size_t len) {
    static const uint16_t table[16] = {0x0000, 0x1021, 0x2042, 0x3063, 0x4084, 0x50a5,
                                       0x60c6, 0x70e7, 0x8108, 0x9129, 0xa14a, 0xb16b,
                                       0xc18c, 0xd1ad, 0xe1ce, 0xf1ef};
    unsigned crc = 0;
    for (size_t i = 0; i < len; i++) {
        crc = (crc << 4 & 0xffff) ^ table[(crc >> 12) ^ (data[i] >> 4)];
        crc = (crc << 4 & 0xffff) ^ table[(crc >> 12) ^ (data[i] & 15)];
    }
    return (uint16_t)crc;
}

int hresp_slot(const void *key, size_t len) {
    const char *open = memchr(key, '{', len);
    if (open != NULL) {
        const char *tag = open + 1;
        size_t rest = len - (size_t)(tag - (const char *)key);
        const char *close = memchr(tag, '}', rest);
        if (close != NULL && close > tag) {
            key = tag;
            len = (size_t)(close - tag);
        }
    }
    return crc16(key, len) % HRESP_SLOTS;
}
