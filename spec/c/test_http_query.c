/* test_http_query.c - pairs of query strings and urlencoded bodies. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "hhttp.h"

static hhttp_slice_t slice(const char *text) {
    return (hhttp_slice_t){text, strlen(text)};
}

/* Writes the pairs as "name|value;", '-' for an absent value, 'e' after what is encoded. */
static const char *pairs_of(const char *text) {
    static char out[256];
    size_t at = 0;
    size_t cursor = 0;
    hhttp_query_pair_t pair;
    while (hhttp_query_next(slice(text), &cursor, &pair)) {
        at += (size_t)snprintf(out + at, sizeof out - at, "%.*s%s|", (int)pair.name.len,
                               pair.name.data, pair.name_is_encoded ? "e" : "");
        if (pair.value.data == NULL) pair.value = slice("-");
        at += (size_t)snprintf(out + at, sizeof out - at, "%.*s%s;", (int)pair.value.len,
                               pair.value.data, pair.value_is_encoded ? "e" : "");
    }
    out[at] = '\0';
    return out;
}

static void test_pairs_of_plain_text(void **state) {
    (void)state;
    assert_string_equal(pairs_of(""), "");
    assert_string_equal(pairs_of("a=1"), "a|1;");
    assert_string_equal(pairs_of("a=1&b=2&a=3"), "a|1;b|2;a|3;");
}

static void test_pairs_without_a_part(void **state) {
    (void)state;
    assert_string_equal(pairs_of("a"), "a|-;");
    assert_string_equal(pairs_of("a=&b"), "a|;b|-;");
    assert_string_equal(pairs_of("=1"), "|1;");
    assert_string_equal(pairs_of("="), "|;");
}

static void test_empty_pairs_are_passed_over(void **state) {
    (void)state;
    assert_string_equal(pairs_of("&"), "");
    assert_string_equal(pairs_of("&&a=1&&b=2&&"), "a|1;b|2;");
}

static void test_a_second_equals_sign_belongs_to_the_value(void **state) {
    (void)state;
    assert_string_equal(pairs_of("a=b=c&d==e"), "a|b=c;d|=e;");
    assert_string_equal(pairs_of("a?b;c=d"), "a?b;c|d;");
}

static void test_what_is_encoded_is_marked(void **state) {
    (void)state;
    assert_string_equal(pairs_of("a+b=c&d=e%20f"), "a+be|c;d|e%20fe;");
}

static void test_next_at_the_end_stays_at_the_end(void **state) {
    (void)state;
    size_t cursor = 0;
    hhttp_query_pair_t pair;
    assert_int_equal(hhttp_query_next(slice("a"), &cursor, &pair), 1);
    assert_int_equal(hhttp_query_next(slice("a"), &cursor, &pair), 0);
    assert_int_equal(hhttp_query_next(slice("a"), &cursor, &pair), 0);
    cursor = 0;
    assert_int_equal(hhttp_query_next((hhttp_slice_t){NULL, 0}, &cursor, &pair), 0);
}

static void test_decode_into_a_buffer(void **state) {
    (void)state;
    char out[8];
    assert_int_equal(hhttp_query_decode(slice("a+%26b"), out, sizeof out), 4);
    assert_memory_equal(out, "a &b", 4);
    assert_int_equal(hhttp_query_decode(slice("12345678"), out, 8), 8);
    assert_int_equal(hhttp_query_decode(slice("123456789"), out, 8), HV_ELIMIT);
}

static void test_find_compares_decoded_names(void **state) {
    (void)state;
    hhttp_slice_t text = slice("ab=1&%61=2&a=3&x+y=4&flag&%zz=5&=6");
    hhttp_slice_t value = hhttp_query_find(text, "a", 1);
    assert_int_equal(value.len, 1);
    assert_int_equal(value.data[0], '2');
    assert_int_equal(hhttp_query_find(text, "x y", 3).data[0], '4');
    assert_int_equal(hhttp_query_find(text, "%zz", 3).data[0], '5');
    assert_int_equal(hhttp_query_find(text, "", 0).data[0], '6');
    assert_null(hhttp_query_find(text, "abc", 3).data);
    assert_null(hhttp_query_find(text, "b", 1).data);
    value = hhttp_query_find(text, "flag", 4);
    assert_non_null(value.data);
    assert_int_equal(value.len, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pairs_of_plain_text),
        cmocka_unit_test(test_pairs_without_a_part),
        cmocka_unit_test(test_empty_pairs_are_passed_over),
        cmocka_unit_test(test_a_second_equals_sign_belongs_to_the_value),
        cmocka_unit_test(test_what_is_encoded_is_marked),
        cmocka_unit_test(test_next_at_the_end_stays_at_the_end),
        cmocka_unit_test(test_decode_into_a_buffer),
        cmocka_unit_test(test_find_compares_decoded_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
