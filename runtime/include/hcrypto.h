/* hcrypto.h - digests, message authentication, random bytes, and bytes written as text (hex and
 * base64). Pure functions for any thread. */
#ifndef HV_CRYPTO_H_
#define HV_CRYPTO_H_

#include "hdef.h"
#include "herr.h"

HV_BEGIN_DECLS

typedef enum {
    HCRYPTO_MD5,
    HCRYPTO_SHA1,
    HCRYPTO_SHA224,
    HCRYPTO_SHA256,
    HCRYPTO_SHA384,
    HCRYPTO_SHA512,
} hcrypto_digest_e;

#define HCRYPTO_DIGEST_MAX 64 /* bytes of the longest digest */

/* The digest called "md5", "sha1", "sha256" ... in lower case; HV_ENOTFOUND for any other name. */
HV_EXPORT int hcrypto_digest_by_name(const char *name);
/* Bytes of a digest. */
HV_EXPORT size_t hcrypto_digest_bytes(hcrypto_digest_e kind);

/* ---- Digests: `out` has room for HCRYPTO_DIGEST_MAX bytes ----
 * Return the bytes of the digest, or a negative code: HV_ENOMEM, or HV_EINVAL where the system's
 * rules forbid that digest (MD5 under FIPS). */

HV_EXPORT int hcrypto_digest(hcrypto_digest_e kind, const void *data, size_t len, void *out);
/* RFC 2104. */
HV_EXPORT int hcrypto_hmac(hcrypto_digest_e kind, const void *key, size_t key_len,
                           const void *data, size_t len, void *out);

/* A digest of bytes that come in pieces. */
typedef struct hcrypto_hash_s hcrypto_hash_t;

/* Begins one. Returns NULL where memory is out or the system's rules forbid that digest; free it
 * with hcrypto_hash_free. */
HV_EXPORT hcrypto_hash_t *hcrypto_hash_new(hcrypto_digest_e kind);
/* Takes the next bytes. Returns 0, or HV_EINVAL behind hcrypto_hash_final. */
HV_EXPORT int hcrypto_hash_update(hcrypto_hash_t *hash, const void *data, size_t len);
/* Writes the digest of all of them, once. Returns as hcrypto_digest; HV_EINVAL the second time. */
HV_EXPORT int hcrypto_hash_final(hcrypto_hash_t *hash, void *out);
/* NULL does nothing. */
HV_EXPORT void hcrypto_hash_free(hcrypto_hash_t *hash);

/* ---- Random, fit for keys ---- */

/* Fills `out`. Returns 0, or a negative code; `out` is then not to be used. */
HV_EXPORT int hcrypto_random(void *out, size_t len);

#define HCRYPTO_UUID_BYTES 37 /* with its NUL */

/* A random UUID (RFC 9562, version 4) in lower case. Returns as hcrypto_random. */
HV_EXPORT int hcrypto_uuid(char out[HCRYPTO_UUID_BYTES]);

/* Compares in a time that depends on `len` only. */
HV_EXPORT bool hcrypto_equal(const void *a, const void *b, size_t len);

/* ---- Bytes as text ---- */

/* Bytes that the text of `len` bytes needs, without a NUL, and the most that text may stand for. */
#define HCRYPTO_HEX_LEN(len)          ((len) * 2)
#define HCRYPTO_BASE64_LEN(len)       (((len) + 2) / 3 * 4)
#define HCRYPTO_BASE64_BYTES_MAX(len) (((len) + 3) / 4 * 3)

/* Writes lower-case digits, HCRYPTO_HEX_LEN(len) of them and no NUL. */
HV_EXPORT void hcrypto_hex(const void *data, size_t len, char *out);
/* Takes digits of either case; `out` has room for len / 2 bytes. Returns them, or HV_EINVAL. */
HV_EXPORT int64_t hcrypto_unhex(const char *text, size_t len, void *out);

#define HCRYPTO_BASE64_URL    0x01 /* the alphabet for URLs and file names, RFC 4648 section 5 */
#define HCRYPTO_BASE64_NO_PAD 0x02 /* without '=' at the end */

/* Writes base64 (RFC 4648) without a NUL; `out` has room for HCRYPTO_BASE64_LEN(len) bytes.
 * Returns the bytes written. */
HV_EXPORT size_t hcrypto_base64(const void *data, size_t len, int flags, char *out);
/* Reads it; `out` has room for HCRYPTO_BASE64_BYTES_MAX(len) bytes. Either alphabet is taken, not
 * both in one text; padding may be left out but not be wrong, and the bits that stand for nothing
 * must be 0. Line breaks and blanks are not taken.
 * Returns the bytes, or HV_EINVAL. */
HV_EXPORT int64_t hcrypto_unbase64(const char *text, size_t len, void *out);

HV_END_DECLS

#endif
