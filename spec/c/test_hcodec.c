/* Tests of runtime/codec. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "hbase.h"
#include "hcodec.h"
#include "hmem.h"

static const hcodec_format_e formats[] = {HCODEC_GZIP, HCODEC_DEFLATE, HCODEC_RAW_DEFLATE,
                                          HCODEC_BROTLI};
#define FORMATS 4
#define TEXT_BYTES 50000

static char text[TEXT_BYTES];
static size_t blocks_before;

static int setup(void **state) {
    (void)state;
    uint32_t seed = 1;
    for (size_t i = 0; i < sizeof text; i++) {
        seed = seed * 1664525 + 1013904223;
        text[i] = (char)("abcdefgh\n "[seed >> 24 & 7] + (i % 97 == 0));
    }
    blocks_before = hv__mem_live_blocks();
    return 0;
}

static int teardown(void **state) {
    (void)state;
    assert_int_equal(hv__mem_live_blocks(), blocks_before);
    return 0;
}

/* Runs `data` through in pieces of `step` bytes with `room` bytes of output at a time. Returns the
 * bytes or a code. */
static int64_t run(hcodec_t *codec, const char *data, size_t len, size_t step, size_t room,
                   char *out, size_t out_cap) {
    size_t used = 0;
    for (size_t at = 0; at <= len; at += step) {
        size_t piece = len - at < step ? len - at : step;
        hcodec_input(codec, data + at, piece, at + step > len ? HCODEC_FINISH : HCODEC_MORE);
        int64_t got;
        do {
            assert_true(used + room <= out_cap);
            got = hcodec_output(codec, out + used, room);
            if (got < 0) return got;
            used += (size_t)got;
        } while (got > 0);
    }
    return (int64_t)used;
}

static void test_round_trip_in_pieces_of_every_kind(void **state) {
    (void)state;
    static const size_t steps[] = {1, 7, 1000, TEXT_BYTES, 2 * TEXT_BYTES};
    static char packed[2 * TEXT_BYTES], plain[2 * TEXT_BYTES];
    for (int f = 0; f < FORMATS; f++) {
        hcodec_t *in = hcodec_compressor_new(formats[f], NULL);
        hcodec_t *out = hcodec_decompressor_new(formats[f], NULL);
        for (int s = 0; s < 5; s++) {
            int64_t len = run(in, text, sizeof text, steps[s], 16, packed, sizeof packed);
            assert_true(len > 0 && len < TEXT_BYTES);
            assert_true(hcodec_has_ended(in));
            int64_t back = run(out, packed, (size_t)len, steps[4 - s], 4096, plain, sizeof plain);
            assert_int_equal(back, TEXT_BYTES);
            assert_memory_equal(plain, text, sizeof text);
            assert_true(hcodec_has_ended(out));
            assert_int_equal(hcodec_unused(out), 0);
            assert_int_equal(hcodec_reset(in), 0);
            assert_int_equal(hcodec_reset(out), 0);
        }
        hcodec_free(in);
        hcodec_free(out);
    }
}

static void test_empty_input_is_a_stream_too(void **state) {
    (void)state;
    for (int f = 0; f < FORMATS; f++) {
        char *packed, *plain;
        size_t len, plain_len;
        assert_int_equal(hcodec_compress(formats[f], 0, "", 0, &packed, &len), 0);
        assert_true(len > 0);
        assert_int_equal(hcodec_decompress(formats[f], packed, len, 0, &plain, &plain_len), 0);
        assert_int_equal(plain_len, 0);
        hv_free(packed);
        hv_free(plain);
    }
}

static void test_flush_gives_all_that_was_put_in(void **state) {
    (void)state;
    char packed[4096], plain[4096];
    for (int f = 0; f < FORMATS; f++) {
        hcodec_t *in = hcodec_compressor_new(formats[f], NULL);
        hcodec_t *out = hcodec_decompressor_new(formats[f], NULL);
        for (int i = 0; i < 20; i++) {
            hcodec_input(in, text + i * 100, 100, HCODEC_FLUSH);
            int64_t len = hcodec_output(in, packed, sizeof packed);
            assert_true(len > 0);
            assert_int_equal(hcodec_output(in, packed + len, sizeof packed - (size_t)len), 0);
            if (formats[f] == HCODEC_RAW_DEFLATE) {
                assert_memory_equal(packed + len - 4, "\x00\x00\xff\xff", 4);
            }
            hcodec_input(out, packed, (size_t)len, HCODEC_MORE);
            assert_int_equal(hcodec_output(out, plain, sizeof plain), 100);
            assert_memory_equal(plain, text + i * 100, 100);
            assert_int_equal(hcodec_output(out, plain, sizeof plain), 0);
        }
        assert_false(hcodec_has_ended(out));
        hcodec_free(in);
        hcodec_free(out);
    }
}

/* What bombs do: many megabytes out of a few kilobytes. */
static void test_output_beyond_the_limit_is_refused(void **state) {
    (void)state;
    char *zeros = calloc(1, 1 << 20);
    for (int f = 0; f < FORMATS; f++) {
        char *packed, *plain = NULL;
        size_t len, plain_len;
        assert_int_equal(hcodec_compress(formats[f], 0, zeros, 1 << 20, &packed, &len), 0);
        assert_true(len < 4096);
        assert_int_equal(hcodec_decompress(formats[f], packed, len, (1 << 20) - 1, &plain,
                                           &plain_len), HV_ELIMIT);
        assert_int_equal(hcodec_decompress(formats[f], packed, len, 1 << 20, &plain, &plain_len),
                         0);
        assert_int_equal(plain_len, 1 << 20);
        hv_free(plain);
        hv_free(packed);
    }
    free(zeros);
}

static void test_cut_or_damaged_streams_are_malformed(void **state) {
    (void)state;
    for (int f = 0; f < FORMATS; f++) {
        char *packed, *plain = NULL;
        size_t len, plain_len;
        assert_int_equal(hcodec_compress(formats[f], 0, text, 3000, &packed, &len), 0);
        for (size_t cut = 0; cut < len; cut++) {
            assert_int_equal(hcodec_decompress(formats[f], packed, cut, 0, &plain, &plain_len),
                             HV_EPROTO);
        }
        memset(packed + len / 2, 0xff, len / 4);
        int code = hcodec_decompress(formats[f], packed, len, 0, &plain, &plain_len);
        if (code == 0) hv_free(plain); /* raw deflate has no checksum */
        if (formats[f] <= HCODEC_DEFLATE) assert_int_equal(code, HV_EPROTO);
        hv_free(packed);
    }
}

static void test_gzip_members_in_a_row_are_one(void **state) {
    (void)state;
    char *first, *second, *plain, both[400];
    size_t first_len, second_len, plain_len;
    assert_int_equal(hcodec_compress(HCODEC_GZIP, 9, "hello ", 6, &first, &first_len), 0);
    assert_int_equal(hcodec_compress(HCODEC_GZIP, 1, "world", 5, &second, &second_len), 0);
    memcpy(both, first, first_len);
    memcpy(both + first_len, second, second_len);
    size_t len = first_len + second_len;
    assert_int_equal(hcodec_decompress(HCODEC_GZIP, both, len, 0, &plain, &plain_len), 0);
    assert_int_equal(plain_len, 11);
    assert_memory_equal(plain, "hello world", 11);
    hv_free(plain);
    /* What is no member behind them is left. */
    memcpy(both + len, "trail", 5);
    hcodec_t *codec = hcodec_decompressor_new(HCODEC_GZIP, NULL);
    hcodec_input(codec, both, len + 5, HCODEC_MORE);
    char out[64];
    size_t got = 0;
    for (int64_t n; (n = hcodec_output(codec, out + got, sizeof out - got)) > 0;) got += (size_t)n;
    assert_int_equal(got, 11);
    assert_true(hcodec_has_ended(codec));
    assert_int_equal(hcodec_unused(codec), 5);
    hcodec_free(codec);
    hv_free(first);
    hv_free(second);
}

static void test_deflate_takes_raw_streams(void **state) {
    (void)state;
    char *packed, *plain;
    size_t len, plain_len;
    assert_int_equal(hcodec_compress(HCODEC_RAW_DEFLATE, 0, text, 1000, &packed, &len), 0);
    assert_int_equal(hcodec_decompress(HCODEC_DEFLATE, packed, len, 0, &plain, &plain_len), 0);
    assert_int_equal(plain_len, 1000);
    assert_memory_equal(plain, text, 1000);
    hv_free(packed);
    hv_free(plain);
}

static void test_options_are_checked_and_windows_kept(void **state) {
    (void)state;
    hcodec_options_t small = {.window_bits = 9}, bad = {.window_bits = 8}, level = {.level = 10};
    assert_null(hcodec_compressor_new(HCODEC_RAW_DEFLATE, &bad));
    assert_null(hcodec_compressor_new(HCODEC_GZIP, &level));
    hcodec_t *brotli = hcodec_compressor_new(HCODEC_BROTLI, &level);
    assert_non_null(brotli);
    hcodec_free(brotli);
    static char packed[2 * TEXT_BYTES], plain[2 * TEXT_BYTES];
    hcodec_t *in = hcodec_compressor_new(HCODEC_RAW_DEFLATE, &small);
    hcodec_t *out = hcodec_decompressor_new(HCODEC_RAW_DEFLATE, &small);
    int64_t len = run(in, text, sizeof text, 5000, 1000, packed, sizeof packed);
    assert_int_equal(run(out, packed, (size_t)len, 100, 100, plain, sizeof plain), TEXT_BYTES);
    hcodec_free(in);
    hcodec_free(out);
}

static void test_names_are_those_of_http(void **state) {
    (void)state;
    assert_int_equal(hcodec_by_name("GZip", 4), HCODEC_GZIP);
    assert_int_equal(hcodec_by_name("x-gzip", 6), HCODEC_GZIP);
    assert_int_equal(hcodec_by_name("br", 2), HCODEC_BROTLI);
    assert_int_equal(hcodec_by_name("deflate", 7), HCODEC_DEFLATE);
    assert_int_equal(hcodec_by_name("bro", 3), HV_ENOTFOUND);
    assert_int_equal(hcodec_by_name("", 0), HV_ENOTFOUND);
    assert_string_equal(hcodec_name(HCODEC_BROTLI), "br");
}

#ifdef HV_FAULT_INJECTION
static void test_every_allocation_may_fail(void **state) {
    (void)state;
    for (int f = 0; f < FORMATS; f++) {
        for (uint64_t nth = 1;; nth++) {
            char *packed = NULL, *plain = NULL;
            size_t len, plain_len;
            hv__mem_fail_nth(nth);
            int code = hcodec_compress(formats[f], 0, text, sizeof text, &packed, &len);
            if (code == 0) {
                code = hcodec_decompress(formats[f], packed, len, 0, &plain, &plain_len);
            }
            int has_failed = hv__mem_has_failed();
            hv__mem_fail_nth(0);
            if (code == 0) hv_free(plain);
            hv_free(packed);
            if (!has_failed) {
                assert_int_equal(code, 0);
                break;
            }
            assert_int_equal(code, HV_ENOMEM);
        }
    }
}
#endif

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_round_trip_in_pieces_of_every_kind),
        TEST(test_empty_input_is_a_stream_too),
        TEST(test_flush_gives_all_that_was_put_in),
        TEST(test_output_beyond_the_limit_is_refused),
        TEST(test_cut_or_damaged_streams_are_malformed),
        TEST(test_gzip_members_in_a_row_are_one),
        TEST(test_deflate_takes_raw_streams),
        TEST(test_options_are_checked_and_windows_kept),
        TEST(test_names_are_those_of_http),
#ifdef HV_FAULT_INJECTION
        TEST(test_every_allocation_may_fail),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
