/* Tests of runtime/base/herr.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "herr.h"

static void test_err_every_errno_has_its_name_and_words(void **state) {
    (void)state;
    for (int code = 1; code < 134; code++) {
        const char *expected = strerrorname_np(code);
        if (expected == NULL) continue; /* 41 and 58 are not used */
        assert_string_equal(herr_name(code), expected);
        assert_string_equal(herr_name(-code), expected);
        const char *text = herr_text(-code);
        assert_true(strlen(text) > 3);
        assert_true(strcmp(text, "unknown error") != 0);
        for (const char *at = text; *at != '\0'; at++) assert_false(*at >= 'A' && *at <= 'Z');
    }
}

static void test_err_own_codes_have_names(void **state) {
    (void)state;
    assert_string_equal(herr_name(HV_EOF), "EOF");
    assert_string_equal(herr_name(HV_ECLOSED), "ECLOSED");
    assert_string_equal(herr_name(HV_ELIMIT), "ELIMIT");
    assert_string_equal(herr_name(HV_ETLS), "ETLS");
    assert_string_equal(herr_name(-HV_ENOTFOUND), "ENOTFOUND");
    assert_string_equal(herr_name(HV_EFAILED), "EFAILED");
    assert_string_equal(herr_text(HV_EOF), "end of stream");
    assert_string_equal(herr_text(HV_ECONNREFUSED), "connection refused");
    assert_string_equal(herr_name(0), "OK");
}

static void test_err_unknown_codes_are_said_to_be_unknown(void **state) {
    (void)state;
    static const int codes[] = {41, 58, 134, 9999, 10000, 10007, -10007, INT32_MAX, INT32_MIN};
    for (size_t i = 0; i < ARRAY_SIZE(codes); i++) {
        assert_string_equal(herr_name(codes[i]), "EUNKNOWN");
        assert_string_equal(herr_text(codes[i]), "unknown error");
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_err_every_errno_has_its_name_and_words),
        cmocka_unit_test(test_err_own_codes_have_names),
        cmocka_unit_test(test_err_unknown_codes_are_said_to_be_unknown),
    };
    return cmocka_run_group_tests_name("herr", tests, NULL, NULL);
}
