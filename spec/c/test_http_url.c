/* Tests of runtime/http/http_url.c: URLs taken apart, and references resolved. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "hbase.h"
#include "herr.h"
#include "http_url.h"

static char url_text[8192];

static const char *resolve(const char *base, const char *reference) {
    hhttp_url_t url;
    assert_int_equal(hhttp_url_parse(base, &url), 0);
    hhttp_slice_t slice = {reference, strlen(reference)};
    int code = hv__http_url_resolve(&url, slice, url_text, sizeof url_text);
    return code == 0 ? url_text : herr_name(code);
}

static void test_url_is_taken_apart(void **state) {
    (void)state;
    hhttp_url_t url;
    assert_int_equal(hhttp_url_parse("HTTPS://[::1]:8443/a?b#c", &url), 0);
    assert_int_equal(url.is_https, 1);
    assert_int_equal(url.port, 8443);
    assert_memory_equal(url.host.data, "::1", url.host.len);
    assert_int_equal(url.host.len, 3);
    assert_int_equal(url.target.len, 4);
    assert_int_equal(hhttp_url_parse("http://h", &url), 0);
    assert_int_equal(url.port, 80);
    assert_int_equal(url.target.len, 1);
    assert_int_equal(hhttp_url_parse("http://h?q", &url), 0);
    assert_int_equal(url.target.data[0], '?');
    static const char *const bad[] = {"",
                                      "h",
                                      "ftp://h/",
                                      "http://",
                                      "http:///a",
                                      "http://u@h/",
                                      "http://h:0/",
                                      "http://h:65536/",
                                      "http://h:x/",
                                      "http://[::1/",
                                      "http://h/a b",
                                      "http://h/\n"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        assert_int_equal(hhttp_url_parse(bad[i], &url), HV_EINVAL);
    }
}

static void test_references_are_resolved(void **state) {
    (void)state;
    /* RFC 3986 section 5.4, as far as it is about http. */
    static const char *const cases[][2] = {
        {"g", "http://a/b/c/g"},
        {"./g", "http://a/b/c/g"},
        {"g/", "http://a/b/c/g/"},
        {"/g", "http://a/g"},
        {"//g", "http://g"},
        {"?y", "http://a/b/c/d;p?y"},
        {"g?y", "http://a/b/c/g?y"},
        {"#s", "http://a/b/c/d;p?q"},
        {"g#s", "http://a/b/c/g"},
        {"g?y#s", "http://a/b/c/g?y"},
        {";x", "http://a/b/c/;x"},
        {"g;x", "http://a/b/c/g;x"},
        {"", "http://a/b/c/d;p?q"},
        {".", "http://a/b/c/"},
        {"./", "http://a/b/c/"},
        {"..", "http://a/b/"},
        {"../", "http://a/b/"},
        {"../g", "http://a/b/g"},
        {"../..", "http://a/"},
        {"../../", "http://a/"},
        {"../../g", "http://a/g"},
        {"../../../g", "http://a/g"},
        {"../../../../g", "http://a/g"},
        {"/./g", "http://a/g"},
        {"/../g", "http://a/g"},
        {"g.", "http://a/b/c/g."},
        {".g", "http://a/b/c/.g"},
        {"g..", "http://a/b/c/g.."},
        {"..g", "http://a/b/c/..g"},
        {"./../g", "http://a/b/g"},
        {"./g/.", "http://a/b/c/g/"},
        {"g/./h", "http://a/b/c/g/h"},
        {"g/../h", "http://a/b/c/h"},
        {"g;x=1/./y", "http://a/b/c/g;x=1/y"},
        {"g?y/./x", "http://a/b/c/g?y/./x"},
        {"https://h/x", "https://h/x"},
        {"g h\xc3\xa4", "http://a/b/c/g%20h%C3%A4"},
        {"mailto:a@b", "EINVAL"},
        {"ftp://h/", "EINVAL"},
        {"http://u@h/", "EINVAL"},
        {"//", "EINVAL"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        assert_string_equal(resolve("http://a/b/c/d;p?q", cases[i][0]), cases[i][1]);
    }
    assert_string_equal(resolve("http://a:81", "x"), "http://a:81/x");
    assert_string_equal(resolve("https://[::1]:81/?q", "?x"), "https://[::1]:81/?x");
    assert_string_equal(resolve("http://a?q", "x"), "http://a/x");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_url_is_taken_apart),
        cmocka_unit_test(test_references_are_resolved),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
