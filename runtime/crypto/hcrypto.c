/* hcrypto.c - digests by OpenSSL's EVP, random bytes by the kernel, and the two encodings.
 *
 * This room holds what is computed from bytes alone. Not: TLS, which is a layer of the net room.
 *
 * The encodings take no branch on secret bits that a digest has not blurred already; they are not
 * meant for private keys. RFC 4648 (hex, base64), RFC 2104 (HMAC), RFC 9562 (UUID). */
#include "hcrypto.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#include "hassert.h"
#include "hmem.h"
#include "hstr.h"

/* ---- Digests ---- */

static const struct {
    const char *name;
    const EVP_MD *(*algorithm)(void);
    size_t bytes;
} digests[] = {
    [HCRYPTO_MD5] = {"md5", EVP_md5, 16},
    [HCRYPTO_SHA1] = {"sha1", EVP_sha1, 20},
    [HCRYPTO_SHA224] = {"sha224", EVP_sha224, 28},
    [HCRYPTO_SHA256] = {"sha256", EVP_sha256, 32},
    [HCRYPTO_SHA384] = {"sha384", EVP_sha384, 48},
    [HCRYPTO_SHA512] = {"sha512", EVP_sha512, 64},
};

_Static_assert(EVP_MAX_MD_SIZE <= HCRYPTO_DIGEST_MAX, "a digest fits where we promise");

int hcrypto_digest_by_name(const char *name) {
    for (size_t i = 0; i < ARRAY_SIZE(digests); i++) {
        if (strcmp(name, digests[i].name) == 0) return (int)i;
    }
    return HV_ENOTFOUND;
}

size_t hcrypto_digest_bytes(hcrypto_digest_e kind) {
    HV_ASSERT((size_t)kind < ARRAY_SIZE(digests));
    return digests[kind].bytes;
}

int hcrypto_digest(hcrypto_digest_e kind, const void *data, size_t len, void *out) {
    HV_ASSERT((size_t)kind < ARRAY_SIZE(digests));
    unsigned bytes = 0;
    if (!EVP_Digest(len > 0 ? data : "", len, out, &bytes, digests[kind].algorithm(), NULL)) {
        return HV_EINVAL;
    }
    HV_ASSERT(bytes == digests[kind].bytes);
    return (int)bytes;
}

int hcrypto_hmac(hcrypto_digest_e kind, const void *key, size_t key_len, const void *data,
                 size_t len, void *out) {
    HV_ASSERT((size_t)kind < ARRAY_SIZE(digests));
    unsigned bytes = 0;
    if (key_len > INT_MAX) return HV_EINVAL; /* the library counts a key's bytes in an int */
    if (key_len == 0) key = ""; /* NULL would mean the key of the call before */
    if (len == 0) data = "";
    if (!HMAC(digests[kind].algorithm(), key, (int)key_len, data, len, out, &bytes)) {
        return HV_EINVAL;
    }
    HV_ASSERT(bytes == digests[kind].bytes);
    return (int)bytes;
}

struct hcrypto_hash_s {
    EVP_MD_CTX *context; /* NULL once the digest was taken */
};

hcrypto_hash_t *hcrypto_hash_new(hcrypto_digest_e kind) {
    HV_ASSERT((size_t)kind < ARRAY_SIZE(digests));
    hcrypto_hash_t *hash = hv__malloc(sizeof *hash);
    if (hash == NULL) return NULL;
    hash->context = EVP_MD_CTX_new();
    if (hash->context == NULL ||
        !EVP_DigestInit_ex(hash->context, digests[kind].algorithm(), NULL)) {
        hcrypto_hash_free(hash);
        return NULL;
    }
    return hash;
}

int hcrypto_hash_update(hcrypto_hash_t *hash, const void *data, size_t len) {
    if (hash->context == NULL) return HV_EINVAL;
    return EVP_DigestUpdate(hash->context, data, len) ? 0 : HV_EINVAL;
}

int hcrypto_hash_final(hcrypto_hash_t *hash, void *out) {
    if (hash->context == NULL) return HV_EINVAL;
    unsigned bytes = 0;
    int ok = EVP_DigestFinal_ex(hash->context, out, &bytes);
    EVP_MD_CTX_free(hash->context);
    hash->context = NULL;
    return ok ? (int)bytes : HV_EINVAL;
}

void hcrypto_hash_free(hcrypto_hash_t *hash) {
    if (hash == NULL) return;
    EVP_MD_CTX_free(hash->context);
    hv__free(hash);
}

/* ---- Random ---- */

int hcrypto_random(void *out, size_t len) {
    unsigned char *at = out;
    while (len > 0) {
        int piece = len > 1 << 20 ? 1 << 20 : (int)len;
        if (RAND_bytes(at, piece) != 1) return HV_EAGAIN;
        at += piece;
        len -= (size_t)piece;
    }
    return 0;
}

int hcrypto_uuid(char out[HCRYPTO_UUID_BYTES]) {
    static const int group_bytes[] = {4, 2, 2, 2, 6};
    unsigned char bytes[16];
    int code = hcrypto_random(bytes, sizeof bytes);
    if (code != 0) return code;
    bytes[6] = (unsigned char)((bytes[6] & 0x0f) | 0x40); /* version 4: random */
    bytes[8] = (unsigned char)((bytes[8] & 0x3f) | 0x80); /* the variant of RFC 9562 */
    const unsigned char *from = bytes;
    char *to = out;
    for (size_t i = 0; i < ARRAY_SIZE(group_bytes); i++) {
        if (i > 0) *to++ = '-';
        hcrypto_hex(from, (size_t)group_bytes[i], to);
        from += group_bytes[i];
        to += 2 * group_bytes[i];
    }
    *to++ = '\0';
    HV_ASSERT(to == out + HCRYPTO_UUID_BYTES);
    return 0;
}

bool hcrypto_equal(const void *a, const void *b, size_t len) {
    return len == 0 || CRYPTO_memcmp(a, b, len) == 0;
}

/* ---- Hex ---- */

void hcrypto_hex(const void *data, size_t len, char *out) {
    static const char digits[] = "0123456789abcdef";
    const unsigned char *from = data;
    for (size_t i = 0; i < len; i++) {
        out[2 * i] = digits[from[i] >> 4];
        out[2 * i + 1] = digits[from[i] & 15];
    }
}

int64_t hcrypto_unhex(const char *text, size_t len, void *out) {
    unsigned char *to = out;
    if (len % 2 != 0) return HV_EINVAL;
    for (size_t i = 0; i < len; i += 2) {
        int high = hstr_hex_value((unsigned char)text[i]);
        int low = hstr_hex_value((unsigned char)text[i + 1]);
        if (high < 0 || low < 0) return HV_EINVAL;
        *to++ = (unsigned char)(high << 4 | low);
    }
    return (int64_t)(len / 2);
}

/* ---- Base64 ---- */

static const char alphabets[2][65] = {
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_",
};

size_t hcrypto_base64(const void *data, size_t len, int flags, char *out) {
    const char *letters = alphabets[(flags & HCRYPTO_BASE64_URL) != 0];
    const unsigned char *from = data;
    char *to = out;
    for (; len >= 3; len -= 3, from += 3) {
        uint32_t bits = (uint32_t)from[0] << 16 | (uint32_t)from[1] << 8 | from[2];
        *to++ = letters[bits >> 18];
        *to++ = letters[bits >> 12 & 63];
        *to++ = letters[bits >> 6 & 63];
        *to++ = letters[bits & 63];
    }
    if (len > 0) {
        uint32_t bits = (uint32_t)from[0] << 16 | (len == 2 ? (uint32_t)from[1] << 8 : 0);
        *to++ = letters[bits >> 18];
        *to++ = letters[bits >> 12 & 63];
        if (len == 2) *to++ = letters[bits >> 6 & 63];
        for (size_t i = len; i < 3 && !(flags & HCRYPTO_BASE64_NO_PAD); i++) *to++ = '=';
    }
    return (size_t)(to - out);
}

/* The value of a letter, or -1. `*seen` gathers which alphabet's own letters there were. */
static int base64_value(unsigned char letter, int *seen) {
    if (letter >= 'A' && letter <= 'Z') return letter - 'A';
    if (letter >= 'a' && letter <= 'z') return letter - 'a' + 26;
    if (letter >= '0' && letter <= '9') return letter - '0' + 52;
    if (letter == '+' || letter == '/') {
        *seen |= 1;
        return letter == '+' ? 62 : 63;
    }
    if (letter == '-' || letter == '_') {
        *seen |= 2;
        return letter == '-' ? 62 : 63;
    }
    return -1;
}

int64_t hcrypto_unbase64(const char *text, size_t len, void *out) {
    unsigned char *to = out;
    if (len > 0 && len % 4 == 0 && text[len - 1] == '=') len -= text[len - 2] == '=' ? 2 : 1;
    if (len % 4 == 1) return HV_EINVAL;
    uint32_t bits = 0;
    int bit_count = 0, seen = 0;
    for (size_t i = 0; i < len; i++) {
        int value = base64_value((unsigned char)text[i], &seen);
        if (value < 0) return HV_EINVAL;
        bits = bits << 6 | (uint32_t)value;
        bit_count += 6;
        if (bit_count >= 8) {
            bit_count -= 8;
            *to++ = (unsigned char)(bits >> bit_count);
            bits &= (1u << bit_count) - 1;
        }
    }
    if (bits != 0 || seen == 3) return HV_EINVAL;
    return to - (unsigned char *)out;
}
