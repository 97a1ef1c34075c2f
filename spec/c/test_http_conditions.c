/* Tests of runtime/http/http_conditions.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "http_conditions.h"

static hhttp_slice_t slice(const char *text) {
    return (hhttp_slice_t){text, text != NULL ? strlen(text) : 0};
}

#define WHEN 784111777 /* Sun, 06 Nov 1994 08:49:37 GMT */

static void test_dates_in_three_forms(void **state) {
    (void)state;
    assert_int_equal(hv__http_date_parse(slice("Sun, 06 Nov 1994 08:49:37 GMT")), WHEN);
    assert_int_equal(hv__http_date_parse(slice("Sunday, 06-Nov-94 08:49:37 GMT")), WHEN);
    assert_int_equal(hv__http_date_parse(slice("Sun Nov  6 08:49:37 1994")), WHEN);
    assert_int_equal(hv__http_date_parse(slice("Thu, 01 Jan 1970 00:00:00 GMT")), 0);
    static const char *const bad[] = {
        "", "x", "Sun, 06 Nov 1994 08:49:37", "Sun, 06 Nov 1994 08:49:37 GMT ", "1994-11-06",
        "Sun, 6 Nov 1994 08:49:37 GMT", "Sun, 06 Now 1994 08:49:37 GMT", "Sun, ", "Sun",
        "Sun, 06 Nov 1994 24:49:37 GMT", "Sun, 00 Nov 1994 08:49:37 GMT", "-1",
        "Sun, 06 Nov 1994 08:49:37 CET", "Thu, 01 Jan 1960 00:00:00 GMT",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(hv__http_date_parse(slice(bad[i])), -1);
    }
    assert_int_equal(hv__http_date_parse((hhttp_slice_t){NULL, 0}), -1);
    char text[HTTP_DATE_BYTES + 1];
    hv__http_date_write(WHEN, text);
    assert_string_equal(text, "Sun, 06 Nov 1994 08:49:37 GMT");
}

static int judge(http_asks_t asks, int is_get) {
    http_validators_t there = {slice("\"abc\""), WHEN};
    return hv__http_precondition(&asks, &there, is_get);
}

#define ASK(field, text) judge((http_asks_t){.field = slice(text)}, 1)

static void test_entity_tags_decide(void **state) {
    (void)state;
    assert_int_equal(ASK(if_none_match, "\"abc\""), 304);
    assert_int_equal(ASK(if_none_match, "W/\"abc\""), 304); /* weak comparison */
    assert_int_equal(ASK(if_none_match, "\"x\", , \"abc\""), 304);
    assert_int_equal(ASK(if_none_match, "*"), 304);
    assert_int_equal(ASK(if_none_match, "\"abcd\""), 0);
    assert_int_equal(ASK(if_none_match, "abc"), 0);
    assert_int_equal(ASK(if_none_match, "\"x\" junk \"abc\""), 0);
    assert_int_equal(ASK(if_none_match, ""), 0);
    assert_int_equal(judge((http_asks_t){.if_none_match = slice("*")}, 0), 412);
    assert_int_equal(ASK(if_match, "\"abc\""), 0);
    assert_int_equal(ASK(if_match, "*"), 0);
    assert_int_equal(ASK(if_match, "W/\"abc\""), 412); /* strong comparison */
    assert_int_equal(ASK(if_match, "\"x\""), 412);
}

static void test_dates_decide_where_no_tags_do(void **state) {
    (void)state;
    static const char same[] = "Sun, 06 Nov 1994 08:49:37 GMT";
    static const char before[] = "Sun, 06 Nov 1994 08:49:36 GMT";
    assert_int_equal(ASK(if_modified_since, same), 304);
    assert_int_equal(ASK(if_modified_since, before), 0);
    assert_int_equal(ASK(if_modified_since, "rubbish"), 0);
    assert_int_equal(judge((http_asks_t){.if_modified_since = slice(same)}, 0), 0);
    assert_int_equal(ASK(if_unmodified_since, same), 0);
    assert_int_equal(ASK(if_unmodified_since, before), 412);
    assert_int_equal(ASK(if_unmodified_since, "rubbish"), 0);
    http_asks_t both = {.if_none_match = slice("\"x\""), .if_modified_since = slice(same)};
    assert_int_equal(judge(both, 1), 0); /* section 13.1.3: the date is ignored then */
    http_asks_t match = {.if_match = slice("\"abc\""), .if_unmodified_since = slice(before)};
    assert_int_equal(judge(match, 1), 0);
}

static http_range_t ranges[HTTP_RANGES_MAX];

static int ask(const char *range, const char *if_range) {
    http_asks_t asks = {.range = slice(range), .if_range = slice(if_range)};
    http_validators_t there = {slice("\"abc\""), WHEN};
    return hv__http_ranges(&asks, &there, 1000, ranges);
}

static void assert_range(const char *text, uint64_t offset, uint64_t len) {
    assert_int_equal(ask(text, NULL), 1);
    assert_int_equal(ranges[0].offset, offset);
    assert_int_equal(ranges[0].len, len);
}

static void test_ranges_are_read(void **state) {
    (void)state;
    assert_range("bytes=0-0", 0, 1);
    assert_range("bytes=0-", 0, 1000);
    assert_range("bytes=999-", 999, 1);
    assert_range("bytes=100-5000", 100, 900);
    assert_range("bytes=-1", 999, 1);
    assert_range("bytes=-5000", 0, 1000);
    assert_range("BYTES= 5-6 ,", 5, 2);
    assert_range("bytes=1000-,2-3", 2, 2);
    assert_int_equal(ask("bytes=0-1,5-6,-1", NULL), 3);
    assert_int_equal(ranges[2].offset, 999);
}

static void test_ranges_that_are_none_give_all(void **state) {
    (void)state;
    static const char *const all[] = {
        "bytes", "bytes=", "bytes=,", "bytes=-", "bytes=a-b", "bytes=5-4", "bytes=1", "items=0-1",
        "bytes=0-1;5-6", "bytes=--1", "bytes=0 -1", "bytes=99999999999999999999-", "",
        "bytes=0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0",
        "bytes=0-,0-", "bytes=0-599,400-999",
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) assert_int_equal(ask(all[i], NULL), 0);
    assert_int_equal(ask(NULL, NULL), 0);
}

static void test_ranges_beyond_the_end_are_unsatisfiable(void **state) {
    (void)state;
    assert_int_equal(ask("bytes=1000-", NULL), 416);
    assert_int_equal(ask("bytes=-0", NULL), 416);
    assert_int_equal(ask("bytes=1000-1001,5000-", NULL), 416);
}

static void test_if_range_wants_the_very_same(void **state) {
    (void)state;
    assert_int_equal(ask("bytes=0-0", "\"abc\""), 1);
    assert_int_equal(ask("bytes=0-0", "W/\"abc\""), 0);
    assert_int_equal(ask("bytes=0-0", "\"x\""), 0);
    assert_int_equal(ask("bytes=0-0", "Sun, 06 Nov 1994 08:49:37 GMT"), 1);
    assert_int_equal(ask("bytes=0-0", "Sun, 06 Nov 1994 08:49:38 GMT"), 0);
    assert_int_equal(ask("bytes=0-0", "rubbish"), 0);
}

static int weight_in(hhttp_slice_t line, const char *coding) {
    int others = 0;
    int weight = hv__http_coding_named(line, coding, &others);
    return weight >= 0 ? weight : others;
}

static void test_codings_have_weights(void **state) {
    (void)state;
    assert_int_equal(weight_in(slice("gzip, br;q=0.5"), "gzip"), 1000);
    assert_int_equal(weight_in(slice("gzip, BR ; q=0.5"), "br"), 500);
    assert_int_equal(weight_in(slice("gzip;q=0"), "gzip"), 0);
    assert_int_equal(weight_in(slice("gzip;q=0.000"), "gzip"), 0);
    assert_int_equal(weight_in(slice("gzip;q=1.000"), "gzip"), 1000);
    assert_int_equal(weight_in(slice("gzip;q=0.001"), "gzip"), 1);
    assert_int_equal(weight_in(slice("gzip;q=0.5x"), "gzip"), 500);
    assert_int_equal(weight_in(slice("gzip;q=0.x"), "gzip"), 0);
    assert_int_equal(weight_in(slice("*"), "br"), 1000);
    assert_int_equal(weight_in(slice("br;q=0, *"), "br"), 0);
    assert_int_equal(weight_in(slice("identity"), "br"), 0);
    assert_int_equal(weight_in(slice(""), "br"), 0);
    assert_int_equal(weight_in(slice(NULL), "br"), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dates_in_three_forms),
        cmocka_unit_test(test_entity_tags_decide),
        cmocka_unit_test(test_dates_decide_where_no_tags_do),
        cmocka_unit_test(test_ranges_are_read),
        cmocka_unit_test(test_ranges_that_are_none_give_all),
        cmocka_unit_test(test_ranges_beyond_the_end_are_unsatisfiable),
        cmocka_unit_test(test_if_range_wants_the_very_same),
        cmocka_unit_test(test_codings_have_weights),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
