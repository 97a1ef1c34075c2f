/* test_http_words.c - methods, phrases and percent-encoding. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "http_words.h"

static void test_method_of_each_name_is_that_method(void **state) {
    (void)state;
    for (int method = HHTTP_GET; method < HHTTP_OTHER; method++) {
        const char *name = hhttp_method_name((hhttp_method_e)method);
        assert_true(strlen(name) > 0);
        assert_int_equal(hhttp_method_of(name, strlen(name)), method);
    }
    assert_string_equal(hhttp_method_name(HHTTP_OTHER), "");
    assert_string_equal(hhttp_method_name(HHTTP_ANY), "");
}

static void test_method_of_anything_else_is_other(void **state) {
    (void)state;
    static const char *const names[] = {"",       "G",       "get",     "GEt",
                                        "GETS",   "PUTT",    "POSt",    "TRACK",
                                        "DELETF", "CONNECX", "OPTIONX", "PROPFIND"};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        assert_int_equal(hhttp_method_of(names[i], strlen(names[i])), HHTTP_OTHER);
    }
}

static void test_status_text_of_registered_codes(void **state) {
    (void)state;
    assert_string_equal(hhttp_status_text(100), "Continue");
    assert_string_equal(hhttp_status_text(200), "OK");
    assert_string_equal(hhttp_status_text(226), "IM Used");
    assert_string_equal(hhttp_status_text(308), "Permanent Redirect");
    assert_string_equal(hhttp_status_text(404), "Not Found");
    assert_string_equal(hhttp_status_text(413), "Content Too Large");
    assert_string_equal(hhttp_status_text(451), "Unavailable For Legal Reasons");
    assert_string_equal(hhttp_status_text(511), "Network Authentication Required");
}

static void test_status_text_of_others_is_unknown(void **state) {
    (void)state;
    static const int statuses[] = {-1,  0,   99,  104, 199, 227, 306,
                                   309, 418, 452, 509, 512, 600, 1200};
    for (size_t i = 0; i < ARRAY_SIZE(statuses); i++) {
        assert_string_equal(hhttp_status_text(statuses[i]), "Unknown");
    }
}

static void test_status_phrase_has_the_length_of_its_text(void **state) {
    (void)state;
    for (int status = 0; status < 700; status++) {
        hhttp_slice_t phrase = hv__http_status_phrase(status);
        assert_int_equal(phrase.len, strlen(hhttp_status_text(status)));
        assert_true(phrase.len <= 31);
    }
}

static void assert_decodes(const char *text, int plus_is_space, const char *expected) {
    char out[64];
    size_t len = hhttp_percent_decode(text, strlen(text), plus_is_space, out);
    assert_int_equal(len, strlen(expected));
    assert_memory_equal(out, expected, len);
}

static void test_percent_decode_of_escapes(void **state) {
    (void)state;
    assert_decodes("", 0, "");
    assert_decodes("a%20b", 0, "a b");
    assert_decodes("%41%4a%4A", 0, "AJJ");
    assert_decodes("%c3%A9", 0, "\xc3\xa9");
    assert_decodes("%2541", 0, "%41"); /* once, not twice */
}

static void test_percent_decode_leaves_what_is_no_escape(void **state) {
    (void)state;
    assert_decodes("%", 0, "%");
    assert_decodes("%4", 0, "%4");
    assert_decodes("%zz%4g%g4", 0, "%zz%4g%g4");
    assert_decodes("%%41", 0, "%A");
}

static void test_percent_decode_of_plus_by_its_flag(void **state) {
    (void)state;
    assert_decodes("a+b%2B", 0, "a+b+");
    assert_decodes("a+b%2B", 1, "a b+");
}

static void test_percent_decode_of_nul_and_in_place(void **state) {
    (void)state;
    char text[] = "%00%61%62";
    assert_int_equal(hhttp_percent_decode(text, 9, 0, text), 3);
    assert_memory_equal(text, "\0ab", 3);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_method_of_each_name_is_that_method),
        cmocka_unit_test(test_method_of_anything_else_is_other),
        cmocka_unit_test(test_status_text_of_registered_codes),
        cmocka_unit_test(test_status_text_of_others_is_unknown),
        cmocka_unit_test(test_status_phrase_has_the_length_of_its_text),
        cmocka_unit_test(test_percent_decode_of_escapes),
        cmocka_unit_test(test_percent_decode_leaves_what_is_no_escape),
        cmocka_unit_test(test_percent_decode_of_plus_by_its_flag),
        cmocka_unit_test(test_percent_decode_of_nul_and_in_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
