/* hdict_hash.c - SipHash-1-3 (Aumasson and Bernstein) of a key with the seed of its dictionary, so
 * that nobody who chooses keys can choose their bucket. */
#include "hdict_int.h"

static void sip_round(uint64_t v[4]) {
    v[0] += v[1];
    v[2] += v[3];
    v[1] = hdict__rotate(v[1], 13) ^ v[0];
    v[3] = hdict__rotate(v[3], 16) ^ v[2];
    v[0] = hdict__rotate(v[0], 32);
    v[2] += v[1];
    v[0] += v[3];
    v[1] = hdict__rotate(v[1], 17) ^ v[2];
    v[3] = hdict__rotate(v[3], 21) ^ v[0];
    v[2] = hdict__rotate(v[2], 32);
}

uint32_t hdict__hash(const hdict_t *dict, const void *key, size_t len) {
    const uint8_t *at = key;
    uint64_t v[4] = {
        dict->seed[0] ^ UINT64_C(0x736f6d6570736575), dict->seed[1] ^ UINT64_C(0x646f72616e646f6d),
        dict->seed[0] ^ UINT64_C(0x6c7967656e657261), dict->seed[1] ^ UINT64_C(0x7465646279746573)};
    size_t left = len;
    for (;; at += 8, left -= 8) {
        uint64_t word = left < 8 ? (uint64_t)(len & 0xff) << 56 : 0;
        memcpy(&word, at, left < 8 ? left : 8);
        v[3] ^= word;
        sip_round(v);
        v[0] ^= word;
        if (left < 8) break;
    }
    v[2] ^= 0xff;
    for (int i = 0; i < 3; i++) sip_round(v);
    uint64_t hash = v[0] ^ v[1] ^ v[2] ^ v[3];
    return (uint32_t)(hash ^ hash >> 32);
}
