/* Tests of runtime/crypto: the vectors of RFC 1321, FIPS 180, RFC 2202, RFC 4231 and RFC 4648, and
 * what must be refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "hcrypto.h"

static const char *hex_of(const void *data, int64_t len) {
    static char text[2 * 256 + 1];
    assert_true(len >= 0 && len <= 256);
    hcrypto_hex(data, (size_t)len, text);
    text[2 * len] = '\0';
    return text;
}

static const char *digest_of(const char *name, const char *text) {
    unsigned char out[HCRYPTO_DIGEST_MAX];
    int kind = hcrypto_digest_by_name(name);
    assert_true(kind >= 0);
    int bytes = hcrypto_digest((hcrypto_digest_e)kind, text, strlen(text), out);
    assert_int_equal(bytes, hcrypto_digest_bytes((hcrypto_digest_e)kind));
    return hex_of(out, bytes);
}

static void test_digest_of_vectors_is_right(void **state) {
    (void)state;
    static const char two_blocks[] = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
    /* RFC 1321 A.5 */
    assert_string_equal(digest_of("md5", ""), "d41d8cd98f00b204e9800998ecf8427e");
    assert_string_equal(digest_of("md5", "message digest"), "f96b697d7cb7938d525a2f31aaf161d0");
    /* FIPS 180-2, appendices A to D */
    assert_string_equal(digest_of("sha1", "abc"), "a9993e364706816aba3e25717850c26c9cd0d89d");
    assert_string_equal(digest_of("sha1", two_blocks), "84983e441c3bd26ebaae4aa1f95129e5e54670f1");
    assert_string_equal(digest_of("sha224", "abc"),
                        "23097d223405d8228642a477bda255b32aadbce4bda0b3f7e36c9da7");
    assert_string_equal(digest_of("sha256", "abc"),
                        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_string_equal(digest_of("sha256", two_blocks),
                        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    assert_string_equal(digest_of("sha384", "abc"),
                        "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed"
                        "8086072ba1e7cc2358baeca134c825a7");
    assert_string_equal(digest_of("sha512", "abc"),
                        "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
                        "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f");
}

static void test_digest_by_name_when_unknown_is_not_found(void **state) {
    (void)state;
    assert_int_equal(hcrypto_digest_by_name("sha3"), HV_ENOTFOUND);
    assert_int_equal(hcrypto_digest_by_name("SHA1"), HV_ENOTFOUND);
    assert_int_equal(hcrypto_digest_by_name(""), HV_ENOTFOUND);
}

static const char *hmac_of(hcrypto_digest_e kind, const void *key, size_t key_len,
                           const char *text) {
    unsigned char out[HCRYPTO_DIGEST_MAX];
    return hex_of(out, hcrypto_hmac(kind, key, key_len, text, strlen(text), out));
}

static void test_hmac_of_vectors_is_right(void **state) {
    (void)state;
    unsigned char key[131];
    /* RFC 2202, cases 1 and 2; RFC 4231, cases 1, 2 and 6 (a key longer than a block). */
    memset(key, 0x0b, 20);
    assert_string_equal(hmac_of(HCRYPTO_MD5, key, 16, "Hi There"),
                        "9294727a3638bb1c13f48ef8158bfc9d");
    assert_string_equal(hmac_of(HCRYPTO_SHA1, "Jefe", 4, "what do ya want for nothing?"),
                        "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79");
    assert_string_equal(hmac_of(HCRYPTO_SHA256, key, 20, "Hi There"),
                        "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
    assert_string_equal(hmac_of(HCRYPTO_SHA256, "Jefe", 4, "what do ya want for nothing?"),
                        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    memset(key, 0xaa, sizeof key);
    assert_string_equal(
        hmac_of(HCRYPTO_SHA256, key, 131, "Test Using Larger Than Block-Size Key - Hash Key First"),
        "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
    assert_string_equal(hmac_of(HCRYPTO_SHA256, NULL, 0, ""),
                        "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
}

static void test_random_differs_each_time(void **state) {
    (void)state;
    unsigned char a[64] = {0}, b[64] = {0};
    assert_int_equal(hcrypto_random(a, sizeof a), 0);
    assert_int_equal(hcrypto_random(b, sizeof b), 0);
    assert_false(hcrypto_equal(a, b, sizeof a));
    assert_int_equal(hcrypto_random(a, 0), 0);
}

static void test_uuid_has_version_and_variant(void **state) {
    (void)state;
    char uuid[HCRYPTO_UUID_BYTES];
    for (int round = 0; round < 50; round++) {
        assert_int_equal(hcrypto_uuid(uuid), 0);
        assert_int_equal(strlen(uuid), 36);
        assert_int_equal(strspn(uuid, "0123456789abcdef-"), 36);
        assert_int_equal(uuid[14], '4');
        assert_non_null(strchr("89ab", uuid[19]));
        assert_true(uuid[8] == '-' && uuid[13] == '-' && uuid[18] == '-' && uuid[23] == '-');
    }
}

static void test_equal_compares_every_byte(void **state) {
    (void)state;
    assert_true(hcrypto_equal("secret", "secret", 6));
    assert_false(hcrypto_equal("secret", "secreT", 6));
    assert_false(hcrypto_equal("secret", "Secret", 6));
    assert_true(hcrypto_equal(NULL, NULL, 0));
}

static void test_unhex_takes_both_cases_and_refuses_the_rest(void **state) {
    (void)state;
    unsigned char out[8];
    assert_int_equal(hcrypto_unhex("00fFaB", 6, out), 3);
    assert_memory_equal(out, "\x00\xff\xab", 3);
    assert_int_equal(hcrypto_unhex("", 0, out), 0);
    assert_int_equal(hcrypto_unhex("abc", 3, out), HV_EINVAL);
    assert_int_equal(hcrypto_unhex("0g", 2, out), HV_EINVAL);
    assert_int_equal(hcrypto_unhex(" 0", 2, out), HV_EINVAL);
}

static const char *base64_of(const char *text, int flags) {
    static char out[HCRYPTO_BASE64_LEN(64) + 1];
    size_t len = hcrypto_base64(text, strlen(text), flags, out);
    assert_true(len < sizeof out);
    out[len] = '\0';
    return out;
}

static int64_t unbase64(const char *text, char *out) {
    int64_t bytes = hcrypto_unbase64(text, strlen(text), out);
    assert_true(bytes <= (int64_t)HCRYPTO_BASE64_BYTES_MAX(strlen(text)));
    if (bytes >= 0) out[bytes] = '\0';
    return bytes;
}

static void test_base64_of_vectors_goes_both_ways(void **state) {
    (void)state;
    static const char *const vectors[][2] = {
        /* RFC 4648 section 10 */
        {"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"},
        {"foob", "Zm9vYg=="}, {"fooba", "Zm9vYmE="}, {"foobar", "Zm9vYmFy"},
    };
    char out[64], bare[64];
    for (size_t i = 0; i < ARRAY_SIZE(vectors); i++) {
        assert_string_equal(base64_of(vectors[i][0], 0), vectors[i][1]);
        assert_int_equal(unbase64(vectors[i][1], out), strlen(vectors[i][0]));
        assert_string_equal(out, vectors[i][0]);
        strcpy(bare, base64_of(vectors[i][0], HCRYPTO_BASE64_NO_PAD));
        assert_null(strchr(bare, '='));
        assert_int_equal(unbase64(bare, out), strlen(vectors[i][0]));
        assert_string_equal(out, vectors[i][0]);
    }
    assert_string_equal(base64_of("\xfb\xff\xfe", 0), "+//+");
    assert_string_equal(base64_of("\xfb\xff\xfe", HCRYPTO_BASE64_URL), "-__-");
    assert_int_equal(unbase64("-__-", out), 3);
    assert_memory_equal(out, "\xfb\xff\xfe", 3);
}

static void test_unbase64_when_malformed_is_refused(void **state) {
    (void)state;
    static const char *const wrong[] = {
        "Z",     "Zg=",      "Zg===",  "=",     "==",    "====", "A===", "Zm9v=", "Zm9v====",
        "Zg==Zg==", "Z g=", "Zm9v\n", "Zh==", "Zm9=", "+_+_", "Zm.v",  "Zg=a",
    };
    char out[64];
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        if (unbase64(wrong[i], out) != HV_EINVAL) fail_msg("taken: %s", wrong[i]);
    }
}

static void test_base64_of_all_lengths_comes_back(void **state) {
    (void)state;
    unsigned char data[256], back[260];
    char text[HCRYPTO_BASE64_LEN(256)];
    for (size_t i = 0; i < sizeof data; i++) data[i] = (unsigned char)(i * 73 + 5);
    for (size_t len = 0; len <= sizeof data; len++) {
        size_t text_len = hcrypto_base64(data, len, (int)(len % 4), text);
        assert_int_equal(hcrypto_unbase64(text, text_len, back), len);
        assert_memory_equal(back, data, len);
    }
}

static void test_hash_of_pieces_is_that_of_the_whole(void **state) {
    (void)state;
    char whole[HCRYPTO_DIGEST_MAX], pieces[HCRYPTO_DIGEST_MAX];
    for (int kind = HCRYPTO_MD5; kind <= HCRYPTO_SHA512; kind++) {
        hcrypto_hash_t *hash = hcrypto_hash_new((hcrypto_digest_e)kind);
        assert_non_null(hash);
        assert_int_equal(hcrypto_hash_update(hash, "ab", 2), 0);
        assert_int_equal(hcrypto_hash_update(hash, "", 0), 0);
        assert_int_equal(hcrypto_hash_update(hash, "c", 1), 0);
        int bytes = hcrypto_digest((hcrypto_digest_e)kind, "abc", 3, whole);
        assert_int_equal(hcrypto_hash_final(hash, pieces), bytes);
        assert_memory_equal(whole, pieces, (size_t)bytes);
        assert_int_equal(hcrypto_hash_final(hash, pieces), HV_EINVAL);
        assert_int_equal(hcrypto_hash_update(hash, "d", 1), HV_EINVAL);
        hcrypto_hash_free(hash);
    }
    hcrypto_hash_free(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hash_of_pieces_is_that_of_the_whole),
        cmocka_unit_test(test_digest_of_vectors_is_right),
        cmocka_unit_test(test_digest_by_name_when_unknown_is_not_found),
        cmocka_unit_test(test_hmac_of_vectors_is_right),
        cmocka_unit_test(test_random_differs_each_time),
        cmocka_unit_test(test_uuid_has_version_and_variant),
        cmocka_unit_test(test_equal_compares_every_byte),
        cmocka_unit_test(test_unhex_takes_both_cases_and_refuses_the_rest),
        cmocka_unit_test(test_base64_of_vectors_goes_both_ways),
        cmocka_unit_test(test_unbase64_when_malformed_is_refused),
        cmocka_unit_test(test_base64_of_all_lengths_comes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
