/* Tests of runtime/frame: every stream is cut whole, byte by byte and at every split point, and
 * must give the same packets and the same end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "hframe.h"

/* Feeds bytes that arrive up to `marks[i]`, one mark after the other, and writes down what comes
 * out: "3 5 more", "3 ELIMIT" ... The data is copied so that reading beyond it is caught. */
static void cut(const unpack_setting_t *setting, const char *data, const size_t *marks,
                size_t mark_count, char *log) {
    size_t begin = 0;
    size_t scanned = 0;
    long packet = 0;
    log[0] = '\0';
    for (size_t i = 0; i < mark_count; i++) {
        do {
            size_t len = marks[i] - begin;
            char *exact = malloc(len > 0 ? len : 1);
            assert_non_null(exact);
            memcpy(exact, data + begin, len);
            packet = hframe_next(setting, exact, len, &scanned);
            free(exact);
            assert_true(packet <= (long)hv__frame_max(setting));
            assert_true(packet <= (long)len);
            if (packet > 0) {
                begin += (size_t)packet;
                scanned = 0;
                sprintf(log + strlen(log), "%ld ", packet);
            }
        } while (packet > 0);
        if (packet < 0) break;
    }
    strcat(log, packet == 0 ? "more" : herr_name((int)packet));
}

static void expect(const unpack_setting_t *setting, const char *data, size_t len,
                   const char *expected) {
    char log[4096];
    size_t marks[256];
    assert_int_equal(unpack_setting_check(setting), 0);
    assert_true(len <= 256);
    marks[0] = len;
    cut(setting, data, marks, 1, log);
    assert_string_equal(log, expected);
    for (size_t i = 0; i < len; i++) marks[i] = i + 1;
    cut(setting, data, marks, len, log);
    assert_string_equal(log, expected);
    for (size_t split = 0; split <= len; split++) {
        marks[0] = split;
        marks[1] = len;
        cut(setting, data, marks, 2, log);
        assert_string_equal(log, expected);
    }
}

#define EXPECT(setting, literal, expected) expect(setting, literal, sizeof(literal) - 1, expected)

static unpack_setting_t by_delimiter(const char *delimiter, unsigned int max) {
    unpack_setting_t setting = {.mode = UNPACK_BY_DELIMITER, .package_max_length = max};
    setting.delimiter_bytes = (unsigned short)strlen(delimiter);
    memcpy(setting.delimiter, delimiter, setting.delimiter_bytes);
    return setting;
}

static unpack_setting_t by_field(unpack_coding_e coding, int body_offset, int offset, int bytes,
                                 int adjustment, unsigned int max) {
    return (unpack_setting_t){.mode = UNPACK_BY_LENGTH_FIELD,
                              .package_max_length = max,
                              .body_offset = (unsigned short)body_offset,
                              .length_field_offset = (unsigned short)offset,
                              .length_field_bytes = (unsigned short)bytes,
                              .length_adjustment = (short)adjustment,
                              .length_field_coding = coding};
}

static void test_unpack_fixed(void **state) {
    (void)state;
    unpack_setting_t setting = {.mode = UNPACK_BY_FIXED_LENGTH, .fixed_length = 3};
    EXPECT(&setting, "abcdefgh", "3 3 more");
    EXPECT(&setting, "abc", "3 more");
    EXPECT(&setting, "ab", "more");
}

static void test_unpack_delimiter(void **state) {
    (void)state;
    unpack_setting_t line = by_delimiter("\r\n", 0);
    EXPECT(&line, "hello\r\n\r\nx\r\ntail", "7 2 3 more");
    EXPECT(&line, "a\rb\nc\n\r\r\r\n", "10 more");
    EXPECT(&line, "\n\n\r", "more");
    unpack_setting_t one = by_delimiter("\n", 0);
    EXPECT(&one, "\nab\n\n", "1 3 1 more");
    unpack_setting_t nested = by_delimiter("aab", 0);
    EXPECT(&nested, "aaaaabaab", "6 3 more");
    unpack_setting_t longest = by_delimiter("abababac", 0);
    EXPECT(&longest, "ababababacabababac", "10 8 more");
}

/* What stands before the data, in a buffer that held an earlier packet, is no part of it. */
static void test_unpack_delimiter_that_begins_before_the_data_is_none(void **state) {
    (void)state;
    unpack_setting_t line = by_delimiter("\r\n", 0);
    size_t scanned = 0;
    assert_int_equal(hframe_next(&line, &"\r\nab\r\n"[1], 5, &scanned), 5);
    scanned = 0;
    assert_int_equal(hframe_next(&line, &"\r\n"[1], 1, &scanned), 0);
}

static void test_unpack_delimiter_limit_is_exact(void **state) {
    (void)state;
    unpack_setting_t line = by_delimiter("\r\n", 6);
    EXPECT(&line, "1234\r\n1234\r\n", "6 6 more");
    EXPECT(&line, "12345\r\n", "ELIMIT");
    EXPECT(&line, "123456", "ELIMIT");
    EXPECT(&line, "12345", "more");
    EXPECT(&line, "1\r\n1234567", "3 ELIMIT");
}

static void test_unpack_delimiter_searches_each_byte_once(void **state) {
    (void)state;
    unpack_setting_t line = by_delimiter("\r\n", 0);
    size_t scanned = 0;
    assert_int_equal(hframe_next(&line, "abc\r", 4, &scanned), 0);
    assert_int_equal(scanned, 4);
    /* What was searched is not looked at again: a delimiter put there later is not found. */
    assert_int_equal(hframe_next(&line, "\r\nc\rx", 5, &scanned), 0);
    assert_int_equal(hframe_next(&line, "abc\rx\r\n", 7, &scanned), 7);
    assert_int_equal(scanned, 0);
}

static void test_unpack_big_endian_field(void **state) {
    (void)state;
    unpack_setting_t setting = by_field(ENCODE_BY_BIG_ENDIAN, 5, 1, 4, 0, 0);
    EXPECT(&setting, "F\0\0\0\3abcF\0\0\0\0F\0\0\0\1z", "8 5 6 more");
    EXPECT(&setting, "F\0\0\0\3ab", "more");
    EXPECT(&setting, "F\xff\xff\xff\xff", "ELIMIT");
    setting = by_field(ENCODE_BY_BIG_ENDIAN, 8, 0, 8, 0, 0);
    EXPECT(&setting, "\0\0\0\0\0\0\0\2ab", "10 more");
    EXPECT(&setting, "\xff\xff\xff\xff\xff\xff\xff\xff", "ELIMIT");
    EXPECT(&setting, "\x80\0\0\0\0\0\0\0", "ELIMIT");
    setting = by_field(ENCODE_BY_BIG_ENDIAN, 6, 2, 3, 0, 0);
    EXPECT(&setting, "xx\0\0\2yab", "8 more");
}

static void test_unpack_little_endian_field(void **state) {
    (void)state;
    for (int bytes = 1; bytes <= 8; bytes++) {
        char data[16] = {3};
        unpack_setting_t setting = by_field(ENCODE_BY_LITTLE_ENDIAN, bytes, 0, bytes, 0, 0);
        memcpy(data + bytes, "abc", 3);
        char expected[32];
        sprintf(expected, "%d more", bytes + 3);
        expect(&setting, data, (size_t)bytes + 3, expected);
    }
    unpack_setting_t setting = by_field(ENCODE_BY_LITTEL_ENDIAN, 2, 0, 2, 0, 258);
    EXPECT(&setting, "\1\1", "ELIMIT");
    EXPECT(&setting, "\0\1", "more");
}

static void test_unpack_length_limit_is_exact(void **state) {
    (void)state;
    unpack_setting_t setting = by_field(ENCODE_BY_BIG_ENDIAN, 2, 0, 2, 0, 7);
    EXPECT(&setting, "\0\5abcde", "7 more");
    EXPECT(&setting, "\0\6", "ELIMIT");
}

static void test_unpack_length_adjustment(void **state) {
    (void)state;
    /* The field counts the whole packet. */
    unpack_setting_t setting = by_field(ENCODE_BY_BIG_ENDIAN, 4, 0, 2, -4, 100);
    EXPECT(&setting, "\0\6xxab\0\4xx", "6 4 more");
    EXPECT(&setting, "\0\3xx", "EPROTO");
    EXPECT(&setting, "\0\0", "EPROTO");
    EXPECT(&setting, "\0\145", "ELIMIT"); /* 101 */
    EXPECT(&setting, "\0\144", "more");
    /* The field leaves a two-byte trailer out. */
    setting = by_field(ENCODE_BY_BIG_ENDIAN, 1, 0, 1, 2, 0);
    EXPECT(&setting, "\1xTT\0TT", "4 3 more");
    setting = by_field(ENCODE_BY_BIG_ENDIAN, 8, 0, 8, -32768, 0);
    EXPECT(&setting, "\xff\xff\xff\xff\xff\xff\xff\xff", "ELIMIT");
    setting = by_field(ENCODE_BY_BIG_ENDIAN, 8, 0, 8, 32767, 0);
    EXPECT(&setting, "\xff\xff\xff\xff\xff\xff\xff\xff", "ELIMIT");
}

static void test_unpack_varint_field(void **state) {
    (void)state;
    unpack_setting_t setting = by_field(ENCODE_BY_VARINT, 2, 1, 1, 0, 0);
    EXPECT(&setting, "\x30\2ab\xe0\0", "4 2 more");
    EXPECT(&setting, "\x30\x82\0ab\x30\x81\x80\0z", "5 5 more");
    EXPECT(&setting, "\x30\xff\xff\xff\x7f", "ELIMIT");
    EXPECT(&setting, "\x30\xff\xff\xff\xff\xff\xff\xff\xff\xff\1", "ELIMIT");
    EXPECT(&setting, "\x30\xff\xff\xff\xff\xff\xff\xff\xff\xff\2", "EPROTO");
    EXPECT(&setting, "\x30\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80", "EPROTO");
    EXPECT(&setting, "\x30\x80\x80\x80\x80\x80\x80\x80\x80\x80\0", "11 more");
    EXPECT(&setting, "\x30\x80\x80", "more");
    /* The head counts four bytes for the varint; one byte moves the body back. */
    setting = by_field(ENCODE_BY_VARINT, 6, 1, 4, 0, 0);
    EXPECT(&setting, "f\2tab", "5 more");
    EXPECT(&setting, "f\x82\0tab", "6 more");
}

static void test_unpack_varint_limit_is_exact(void **state) {
    (void)state;
    unpack_setting_t setting = by_field(ENCODE_BY_VARINT, 1, 0, 1, 0, 4);
    EXPECT(&setting, "\3abc", "4 more");
    EXPECT(&setting, "\4", "ELIMIT");
    EXPECT(&setting, "\x82\0ab", "4 more");
    EXPECT(&setting, "\x83\0", "ELIMIT");
}

static void test_unpack_setting_check_refuses_nonsense(void **state) {
    (void)state;
    unpack_setting_t setting = {.mode = UNPACK_MODE_NONE};
    assert_int_equal(unpack_setting_check(NULL), HV_EINVAL);
    assert_int_equal(unpack_setting_check(&setting), HV_EINVAL);
    setting.mode = (unpack_mode_e)9;
    assert_int_equal(unpack_setting_check(&setting), HV_EINVAL);
    setting = (unpack_setting_t){.mode = UNPACK_BY_FIXED_LENGTH};
    assert_int_equal(unpack_setting_check(&setting), HV_EINVAL);
    setting.fixed_length = DEFAULT_PACKAGE_MAX_LENGTH;
    assert_int_equal(unpack_setting_check(&setting), 0);
    setting.fixed_length++;
    assert_int_equal(unpack_setting_check(&setting), HV_EINVAL);
    setting = by_delimiter("", 0);
    assert_int_equal(unpack_setting_check(&setting), HV_EINVAL);
    setting.delimiter_bytes = PACKAGE_MAX_DELIMITER_BYTES + 1;
    assert_int_equal(unpack_setting_check(&setting), HV_EINVAL);
    setting = by_delimiter("abc", 2);
    assert_int_equal(unpack_setting_check(&setting), HV_EINVAL);
    static const struct {
        int coding, body_offset, offset, bytes;
        unsigned int max;
        int result;
    } fields[] = {
        {ENCODE_BY_BIG_ENDIAN, 5, 1, 4, 0, 0},
        {ENCODE_BY_BIG_ENDIAN, 4, 1, 4, 0, HV_EINVAL},
        {ENCODE_BY_BIG_ENDIAN, 5, 1, 0, 0, HV_EINVAL},
        {ENCODE_BY_BIG_ENDIAN, 9, 0, 9, 0, HV_EINVAL},
        {ENCODE_BY_BIG_ENDIAN, 5, 1, 4, 4, HV_EINVAL},
        {ENCODE_BY_BIG_ENDIAN, 65535, 65535, 8, 0, HV_EINVAL},
        {0, 5, 1, 4, 0, HV_EINVAL},
        {ENCODE_BY_VARINT, 2, 1, 1, 0, 0},
        {ENCODE_BY_VARINT, 1, 1, 1, 0, HV_EINVAL},
    };
    for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
        setting = by_field((unpack_coding_e)fields[i].coding, fields[i].body_offset,
                           fields[i].offset, fields[i].bytes, 0, fields[i].max);
        assert_int_equal(unpack_setting_check(&setting), fields[i].result);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unpack_fixed),
        cmocka_unit_test(test_unpack_delimiter),
        cmocka_unit_test(test_unpack_delimiter_that_begins_before_the_data_is_none),
        cmocka_unit_test(test_unpack_delimiter_limit_is_exact),
        cmocka_unit_test(test_unpack_delimiter_searches_each_byte_once),
        cmocka_unit_test(test_unpack_big_endian_field),
        cmocka_unit_test(test_unpack_little_endian_field),
        cmocka_unit_test(test_unpack_length_limit_is_exact),
        cmocka_unit_test(test_unpack_length_adjustment),
        cmocka_unit_test(test_unpack_varint_field),
        cmocka_unit_test(test_unpack_varint_limit_is_exact),
        cmocka_unit_test(test_unpack_setting_check_refuses_nonsense),
    };
    return cmocka_run_group_tests_name("hunpack", tests, NULL, NULL);
}
