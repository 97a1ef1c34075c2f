/* Tests of runtime/base/hstr.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "hstr.h"

static void test_str_compare_ignores_only_ascii_case(void **state) {
    (void)state;
    assert_true(hstr_equals_nocase(hstr_from("Content-Length"), hstr_from("cONTENT-lENGTH")));
    assert_false(hstr_equals_nocase(hstr_from("[a"), hstr_from("{a")));
    assert_false(hstr_equals_nocase(hstr_from("@"), hstr_from("`")));
    assert_false(hstr_equals_nocase(hstr_from("\xc4"), hstr_from("\xe4")));
    assert_false(hstr_equals_nocase(hstr_from("ab"), hstr_from("abc")));
    assert_true(hstr_equals((hstr_t){NULL, 0}, hstr_from("")));
    assert_false(hstr_equals(hstr_from("a"), hstr_from("A")));
    assert_true(hstr_compare_nocase(hstr_from("ABC"), hstr_from("abd")) < 0);
    assert_true(hstr_compare_nocase(hstr_from("ABC"), hstr_from("ab")) > 0);
    assert_true(hstr_compare_nocase(hstr_from("ab"), hstr_from("ABC")) < 0);
}

static void test_str_prefix_and_suffix(void **state) {
    (void)state;
    assert_true(hstr_starts_with(HSTR_LITERAL("/static/x"), HSTR_LITERAL("/static")));
    assert_false(hstr_starts_with(HSTR_LITERAL("/st"), HSTR_LITERAL("/static")));
    assert_true(hstr_ends_with(HSTR_LITERAL("a.html"), HSTR_LITERAL(".html")));
    assert_false(hstr_ends_with(HSTR_LITERAL("html"), HSTR_LITERAL(".html")));
    assert_true(hstr_ends_with(HSTR_LITERAL("x"), HSTR_LITERAL("")));
}

static void test_str_trim_cuts_blanks_and_tabs(void **state) {
    (void)state;
    assert_true(hstr_equals(hstr_trim(hstr_from(" \t a b\t ")), hstr_from("a b")));
    assert_int_equal(hstr_trim(hstr_from(" \t ")).len, 0);
    assert_int_equal(hstr_trim((hstr_t){NULL, 0}).len, 0);
}

static void test_str_next_gives_every_piece(void **state) {
    (void)state;
    hstr_t rest = hstr_from("a,,bc,");
    hstr_t piece;
    static const char *const expected[] = {"a", "", "bc", ""};
    for (int i = 0; i < 4; i++) {
        assert_true(hstr_next(&rest, ',', &piece));
        assert_true(hstr_equals(piece, hstr_from(expected[i])));
    }
    assert_false(hstr_next(&rest, ',', &piece));
}

static int parse_u64(const char *text, uint64_t max, uint64_t *value) {
    return hstr_parse_u64(hstr_from(text), max, value);
}

static void test_str_parse_u64_knows_its_range(void **state) {
    (void)state;
    uint64_t value = 77;
    assert_int_equal(parse_u64("18446744073709551615", UINT64_MAX, &value), 0);
    assert_true(value == UINT64_MAX);
    value = 77;
    assert_int_equal(parse_u64("18446744073709551616", UINT64_MAX, &value), HV_ELIMIT);
    assert_int_equal(parse_u64("99999999999999999999999999", UINT64_MAX, &value), HV_ELIMIT);
    assert_int_equal(parse_u64("65536", 65535, &value), HV_ELIMIT);
    assert_int_equal(parse_u64("5", 4, &value), HV_ELIMIT);
    assert_int_equal(parse_u64("1", 0, &value), HV_ELIMIT);
    assert_int_equal(value, 77);
    assert_int_equal(parse_u64("65535", 65535, &value), 0);
    assert_int_equal(value, 65535);
    assert_int_equal(parse_u64("0000000000000000000000012", 12, &value), 0);
    assert_int_equal(value, 12);
    assert_int_equal(parse_u64("0", 0, &value), 0);
    assert_int_equal(value, 0);
}

static void test_str_parse_u64_refuses_what_is_no_number(void **state) {
    (void)state;
    static const char *const texts[] = {"", " 1", "1 ", "+1", "-1", "0x1", "1a", "a",
                                        "99999999999999999999999x"};
    uint64_t value = 77;
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        assert_int_equal(parse_u64(texts[i], UINT64_MAX, &value), HV_EINVAL);
    }
    assert_int_equal(value, 77);
}

static void test_str_parse_i64_knows_its_range(void **state) {
    (void)state;
    int64_t value = 0;
    hstr_t lowest = hstr_from("-9223372036854775808");
    assert_int_equal(hstr_parse_i64(lowest, INT64_MIN, INT64_MAX, &value), 0);
    assert_true(value == INT64_MIN);
    hstr_t highest = hstr_from("+9223372036854775807");
    assert_int_equal(hstr_parse_i64(highest, INT64_MIN, INT64_MAX, &value), 0);
    assert_true(value == INT64_MAX);
    hstr_t above = hstr_from("9223372036854775808");
    assert_int_equal(hstr_parse_i64(above, INT64_MIN, INT64_MAX, &value), HV_ELIMIT);
    hstr_t below = hstr_from("-9223372036854775809");
    assert_int_equal(hstr_parse_i64(below, INT64_MIN, INT64_MAX, &value), HV_ELIMIT);
    assert_int_equal(hstr_parse_i64(hstr_from("-1"), 0, 10, &value), HV_ELIMIT);
    assert_int_equal(hstr_parse_i64(hstr_from("--1"), -10, 10, &value), HV_EINVAL);
    assert_int_equal(hstr_parse_i64(hstr_from("-"), -10, 10, &value), HV_EINVAL);
    assert_int_equal(hstr_parse_i64(hstr_from("-5"), -10, 10, &value), 0);
    assert_int_equal(value, -5);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_str_compare_ignores_only_ascii_case),
        cmocka_unit_test(test_str_prefix_and_suffix),
        cmocka_unit_test(test_str_trim_cuts_blanks_and_tabs),
        cmocka_unit_test(test_str_next_gives_every_piece),
        cmocka_unit_test(test_str_parse_u64_knows_its_range),
        cmocka_unit_test(test_str_parse_u64_refuses_what_is_no_number),
        cmocka_unit_test(test_str_parse_i64_knows_its_range),
    };
    return cmocka_run_group_tests_name("hstr", tests, NULL, NULL);
}
