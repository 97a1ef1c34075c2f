/* Tests of runtime/proc/hini.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hini.h"
#include "hmem.h"

static hini_t *parse(const char *text) {
    char error[HINI_ERROR_BYTES] = "";
    hini_t *ini = hini_parse(text, "x.conf", error, sizeof(error));
    if (ini == NULL) fail_msg("%s", error);
    return ini;
}

static void expect_error(const char *text, const char *expected) {
    char error[HINI_ERROR_BYTES] = "";
    hini_t *ini = hini_parse(text, "x.conf", error, sizeof(error));
    assert_null(ini);
    assert_string_equal(error, expected);
}

static void test_ini_values_are_found_by_section_and_name(void **state) {
    (void)state;
    hini_t *ini = parse("top = 1\n[a]\nname = x y ; comment\n# comment\n[b]\nname=z\n");
    assert_string_equal(hini_get(ini, NULL, "top"), "1");
    assert_string_equal(hini_get(ini, "", "top"), "1");
    assert_string_equal(hini_get(ini, "a", "name"), "x y");
    assert_string_equal(hini_get(ini, "b", "name"), "z");
    assert_null(hini_get(ini, "a", "top"));
    assert_null(hini_get(ini, "A", "name"));
    assert_int_equal(hini_line(ini, "b", "name"), 6);
    assert_int_equal(hini_line(ini, "b", "none"), 0);
    hini_free(ini);
}

static void test_ini_indented_line_continues_the_value(void **state) {
    (void)state;
    hini_t *ini = parse("list = a\n  b\n\tc\nnext = d\r\n");
    assert_string_equal(hini_get(ini, NULL, "list"), "a\nb\nc");
    assert_string_equal(hini_get(ini, NULL, "next"), "d");
    hini_free(ini);
}

static void test_ini_last_line_may_lack_its_newline(void **state) {
    (void)state;
    hini_t *ini = parse("a=1\nb=2");
    assert_string_equal(hini_get(ini, NULL, "b"), "2");
    hini_free(ini);
}

static void test_ini_empty_text_has_no_values(void **state) {
    (void)state;
    hini_t *ini = parse("");
    size_t cursor = 0;
    assert_int_equal(hini_next(ini, &cursor, NULL, NULL, NULL), 0);
    hini_free(ini);
}

static void test_ini_bad_line_is_named(void **state) {
    (void)state;
    expect_error("a = 1\n\nnonsense\n", "x.conf:3: neither [section] nor name = value");
    expect_error("[open\n", "x.conf:1: neither [section] nor name = value");
    expect_error("= 1\n", "x.conf:1: a value without a name");
}

static void test_ini_repeated_name_is_named_with_both_lines(void **state) {
    (void)state;
    expect_error("a = 1\nb = 2\na = 3\n", "x.conf:3: 'a' is given already in line 1");
    expect_error("a = 1\nb = 2\na = 3\nnonsense\n", "x.conf:3: 'a' is given already in line 1");
}

static void test_ini_same_name_in_two_sections_is_allowed(void **state) {
    (void)state;
    hini_free(parse("[a]\nx=1\n[b]\nx=1\n"));
}

/* inih would cut both in silence. */
static void test_ini_long_line_and_section_are_refused_not_cut(void **state) {
    (void)state;
    char text[512];
    for (int len = 190; len <= 202; len++) {
        snprintf(text, sizeof(text), "a=%0*d\nb=1\n", len - 2, 7);
        if (len <= 196) {
            hini_t *ini = parse(text);
            assert_int_equal(strlen(hini_get(ini, NULL, "a")), len - 2);
            assert_string_equal(hini_get(ini, NULL, "b"), "1");
            hini_free(ini);
        } else {
            expect_error(text, "x.conf:1: the line is longer than 196 bytes");
        }
    }
    snprintf(text, sizeof(text), "[%048d]\na=1\n", 1);
    hini_free(parse(text));
    snprintf(text, sizeof(text), "[%050d]\na=1\n", 1);
    expect_error(text, "x.conf:2: the section's name is longer than 48 bytes");
}

static void test_ini_int_is_checked_and_left_alone_where_absent(void **state) {
    (void)state;
    hini_t *ini = parse("a = 80\nb = 70000\nc = 8x\nd =\n");
    int64_t value = 7;
    assert_int_equal(hini_get_int(ini, NULL, "none", 1, 65535, &value), HV_ENOTFOUND);
    assert_int_equal(value, 7);
    assert_string_equal(hini_error(ini), "");
    assert_int_equal(hini_get_int(ini, NULL, "a", 1, 65535, &value), 0);
    assert_int_equal(value, 80);
    assert_int_equal(hini_get_int(ini, NULL, "b", 1, 65535, &value), HV_ELIMIT);
    assert_int_equal(value, 80);
    assert_string_equal(hini_error(ini), "x.conf:2: b = 70000: must be a number from 1 to 65535");
    assert_int_equal(hini_get_int(ini, NULL, "c", 1, 65535, &value), HV_EINVAL);
    assert_int_equal(hini_get_int(ini, NULL, "d", 1, 65535, &value), HV_EINVAL);
    assert_int_equal(value, 80);
    /* The first error stays. */
    assert_string_equal(hini_error(ini), "x.conf:2: b = 70000: must be a number from 1 to 65535");
    hini_free(ini);
}

static void test_ini_bool_takes_its_words_only(void **state) {
    (void)state;
    hini_t *ini = parse("a=yes\nb=OFF\nc=1\nd=disable\ne=perhaps\n");
    bool value = false;
    assert_int_equal(hini_get_bool(ini, NULL, "a", &value), 0);
    assert_true(value);
    assert_int_equal(hini_get_bool(ini, NULL, "b", &value), 0);
    assert_false(value);
    assert_int_equal(hini_get_bool(ini, NULL, "c", &value), 0);
    assert_true(value);
    assert_int_equal(hini_get_bool(ini, NULL, "e", &value), HV_EINVAL);
    assert_true(value);
    assert_int_equal(hini_get_bool(ini, NULL, "d", &value), 0);
    assert_false(value);
    assert_string_equal(hini_error(ini), "x.conf:5: e = perhaps: must be yes or no");
    hini_free(ini);
}

static void test_ini_size_and_time_have_units(void **state) {
    (void)state;
    hini_t *ini = parse("a=64K\nb=0\nc=big\nd=1m30s\ne=500ms\nf=2\ng=0\nh=soon\n");
    size_t size = 1;
    assert_int_equal(hini_get_size(ini, NULL, "a", &size), 0);
    assert_int_equal(size, 65536);
    assert_int_equal(hini_get_size(ini, NULL, "b", &size), 0);
    assert_int_equal(size, 0);
    assert_int_equal(hini_get_size(ini, NULL, "c", &size), HV_EINVAL);
    uint64_t ms = 1;
    assert_int_equal(hini_get_time(ini, NULL, "d", &ms), 0);
    assert_int_equal(ms, 90000);
    assert_int_equal(hini_get_time(ini, NULL, "e", &ms), 0);
    assert_int_equal(ms, 500);
    assert_int_equal(hini_get_time(ini, NULL, "f", &ms), 0);
    assert_int_equal(ms, 2000);
    assert_int_equal(hini_get_time(ini, NULL, "g", &ms), 0);
    assert_int_equal(ms, 0);
    assert_int_equal(hini_get_time(ini, NULL, "h", &ms), HV_EINVAL);
    assert_int_equal(ms, 0);
    hini_free(ini);
    ini = parse("a=0K\nb=00s\nc=0x\nd=s\n");
    size = ms = 1;
    assert_int_equal(hini_get_size(ini, NULL, "a", &size), 0);
    assert_int_equal(size, 0);
    assert_int_equal(hini_get_time(ini, NULL, "b", &ms), 0);
    assert_int_equal(ms, 0);
    assert_int_equal(hini_get_time(ini, NULL, "c", &ms), HV_EINVAL);
    assert_int_equal(hini_get_time(ini, NULL, "d", &ms), HV_EINVAL);
    assert_int_equal(hini_get_size(ini, NULL, "d", &size), HV_EINVAL);
    hini_free(ini);
}

static void test_ini_string_must_not_be_empty(void **state) {
    (void)state;
    hini_t *ini = parse("a = x\nb =\n");
    const char *value = "default";
    assert_int_equal(hini_get_string(ini, NULL, "none", &value), HV_ENOTFOUND);
    assert_string_equal(value, "default");
    assert_int_equal(hini_get_string(ini, NULL, "b", &value), HV_EINVAL);
    assert_string_equal(value, "default");
    assert_int_equal(hini_get_string(ini, NULL, "a", &value), 0);
    assert_string_equal(value, "x");
    assert_string_equal(hini_error(ini), "x.conf:2: b = : a value is missing");
    hini_free(ini);
}

static void test_ini_name_nobody_asked_for_is_found(void **state) {
    (void)state;
    hini_t *ini = parse("port = 1\n[log]\nlevle = debug\n");
    hini_get(ini, NULL, "port");
    hini_get(ini, "log", "level");
    assert_int_equal(hini_check_unread(ini), HV_EINVAL);
    assert_string_equal(hini_error(ini), "x.conf:3: unknown name 'levle' in [log]");
    hini_free(ini);
    ini = parse("port = 1\n");
    hini_get(ini, NULL, "port");
    assert_int_equal(hini_check_unread(ini), 0);
    hini_free(ini);
}

static void test_ini_next_keeps_the_order_of_the_file(void **state) {
    (void)state;
    hini_t *ini = parse("b=1\na=2\n[s]\nc=3\n");
    static const char *const expected[][3] = {{"", "b", "1"}, {"", "a", "2"}, {"s", "c", "3"}};
    const char *section, *key, *value;
    size_t cursor = 0, count = 0;
    while (hini_next(ini, &cursor, &section, &key, &value)) {
        assert_true(count < 3);
        assert_string_equal(section, expected[count][0]);
        assert_string_equal(key, expected[count][1]);
        assert_string_equal(value, expected[count][2]);
        count++;
    }
    assert_int_equal(count, 3);
    hini_free(ini);
}

static void test_ini_load_tells_why_a_file_cannot_be_read(void **state) {
    (void)state;
    char error[HINI_ERROR_BYTES];
    assert_null(hini_load("/nonexistent/x.conf", error, sizeof(error)));
    assert_string_equal(error, "/nonexistent/x.conf: no such file or directory");
    assert_null(hini_load("/", error, sizeof(error)));
    assert_null(hini_load("/nonexistent/x.conf", NULL, 0));
    assert_null(hini_parse("nonsense", "x", NULL, 0));
}

static void test_ini_load_reads_a_file(void **state) {
    (void)state;
    char path[] = "/tmp/hini_XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "a = 1\n", 6), 6);
    hini_t *ini = hini_load(path, NULL, 0);
    assert_non_null(ini);
    assert_string_equal(hini_get(ini, NULL, "a"), "1");
    hini_free(ini);
    assert_int_equal(pwrite(fd, "\0", 1, 2), 1);
    char error[HINI_ERROR_BYTES];
    assert_null(hini_load(path, error, sizeof(error)));
    close(fd);
    unlink(path);
}

static int no_block_is_left(void **state) {
    (void)state;
    return hv__mem_live_blocks() == 0 ? 0 : -1;
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ini_values_are_found_by_section_and_name),
        cmocka_unit_test(test_ini_indented_line_continues_the_value),
        cmocka_unit_test(test_ini_last_line_may_lack_its_newline),
        cmocka_unit_test(test_ini_empty_text_has_no_values),
        cmocka_unit_test(test_ini_bad_line_is_named),
        cmocka_unit_test(test_ini_repeated_name_is_named_with_both_lines),
        cmocka_unit_test(test_ini_same_name_in_two_sections_is_allowed),
        cmocka_unit_test(test_ini_long_line_and_section_are_refused_not_cut),
        cmocka_unit_test(test_ini_int_is_checked_and_left_alone_where_absent),
        cmocka_unit_test(test_ini_bool_takes_its_words_only),
        cmocka_unit_test(test_ini_size_and_time_have_units),
        cmocka_unit_test(test_ini_string_must_not_be_empty),
        cmocka_unit_test(test_ini_name_nobody_asked_for_is_found),
        cmocka_unit_test(test_ini_next_keeps_the_order_of_the_file),
        cmocka_unit_test(test_ini_load_tells_why_a_file_cannot_be_read),
        cmocka_unit_test(test_ini_load_reads_a_file),
    };
    return cmocka_run_group_tests(tests, NULL, no_block_is_left);
}
