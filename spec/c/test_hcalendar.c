/* Tests of runtime/base/hcalendar.c: crontab lines, short months, and changes of the clock in
 * zones with whole-hour, half-hour and whole-day steps. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "hcalendar.h"

static void set_zone(const char *zone) {
    setenv("TZ", zone, 1);
    tzset();
}

/* The moment of a UTC time "YYYY-MM-DD HH:MM:SS". */
static time_t utc(const char *text) {
    struct tm date = {0};
    int count = sscanf(text, "%d-%d-%d %d:%d:%d", &date.tm_year, &date.tm_mon, &date.tm_mday,
                       &date.tm_hour, &date.tm_min, &date.tm_sec);
    assert_int_equal(count, 6);
    date.tm_year -= 1900;
    date.tm_mon--;
    return timegm(&date);
}

static void expect(const char *now, const char *next, int minute, int hour, int day, int week,
                   int month) {
    char text[32] = "never";
    time_t moment = hv__cron_next(utc(now), minute, hour, day, week, month);
    if (moment != -1) {
        struct tm date;
        gmtime_r(&moment, &date);
        strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &date);
    }
    assert_string_equal(text, next);
}

static void test_cron_plain_lines(void **state) {
    (void)state;
    set_zone("UTC");
    expect("2021-02-06 10:20:30", "2021-02-06 10:21:00", -1, -1, -1, -1, -1);
    expect("2021-02-06 10:20:00", "2021-02-06 10:21:00", -1, -1, -1, -1, -1);
    expect("2021-02-06 10:20:00", "2021-02-06 11:20:00", 20, -1, -1, -1, -1);
    expect("2021-02-06 10:19:59", "2021-02-06 10:20:00", 20, -1, -1, -1, -1);
    expect("2021-02-06 23:59:59", "2021-02-07 00:05:00", 5, -1, -1, -1, -1);
    expect("2021-02-06 10:20:30", "2021-02-07 01:30:00", 30, 1, -1, -1, -1);
    expect("2021-02-06 01:29:59", "2021-02-06 01:30:00", 30, 1, -1, -1, -1);
    expect("2021-02-06 01:30:00", "2021-02-07 01:30:00", 30, 1, -1, -1, -1);
    expect("2021-02-06 10:20:30", "2021-02-15 01:30:00", 30, 1, 15, -1, -1);
    expect("2021-02-06 10:20:30", "2021-02-12 01:30:00", 30, 1, -1, 5, -1); /* Friday */
    expect("2021-02-06 10:20:30", "2021-02-07 01:30:00", 30, 1, -1, 0, -1); /* Sunday */
    expect("2021-02-06 10:20:30", "2021-10-01 01:30:00", 30, 1, 1, -1, 10);
    expect("2021-12-31 23:59:30", "2022-01-01 00:00:00", -1, -1, -1, -1, -1);
    expect("2021-02-06 10:20:30", "2021-03-01 00:00:00", -1, -1, -1, -1, 3);
    expect("2021-02-06 04:59:30", "2021-02-06 05:00:00", -1, 5, -1, -1, -1);
    expect("2021-02-06 05:58:30", "2021-02-06 05:59:00", -1, 5, -1, -1, -1);
    expect("2021-02-06 05:59:00", "2021-02-07 05:00:00", -1, 5, -1, -1, -1);
}

static void test_cron_day_and_week_take_either(void **state) {
    (void)state;
    set_zone("UTC");
    expect("2021-02-06 00:00:00", "2021-02-08 00:00:00", 0, 0, 15, 1, -1);
    expect("2021-02-08 00:00:00", "2021-02-15 00:00:00", 0, 0, 15, 1, -1);
    expect("2021-02-08 00:00:00", "2021-02-10 00:00:00", 0, 0, 10, 1, -1);
}

static void test_cron_short_months_are_skipped(void **state) {
    (void)state;
    set_zone("UTC");
    expect("2021-01-31 00:00:00", "2021-03-31 00:00:00", 0, 0, 31, -1, -1);
    expect("2021-01-30 00:00:00", "2021-03-30 00:00:00", 0, 0, 30, -1, -1);
    expect("2021-03-31 00:00:00", "2021-05-31 00:00:00", 0, 0, 31, -1, -1);
    expect("2021-02-06 00:00:00", "2024-02-29 00:00:00", 0, 0, 29, -1, 2);
    expect("2096-02-29 00:00:00", "2104-02-29 00:00:00", 0, 0, 29, -1, 2);
    expect("2096-02-29 23:59:00", "2104-02-29 00:00:00", -1, -1, 29, -1, 2);
    expect("2021-02-06 00:00:00", "never", 0, 0, 30, -1, 2);
    expect("2021-02-06 00:00:00", "never", -1, -1, 31, -1, 4);
}

static void test_cron_fields_out_of_range_have_no_moment(void **state) {
    (void)state;
    assert_int_equal(hv__cron_next(0, 60, -1, -1, -1, -1), -1);
    assert_int_equal(hv__cron_next(0, -2, -1, -1, -1, -1), -1);
    assert_int_equal(hv__cron_next(0, 0, 24, -1, -1, -1), -1);
    assert_int_equal(hv__cron_next(0, 0, 0, 0, -1, -1), -1);
    assert_int_equal(hv__cron_next(0, 0, 0, 32, -1, -1), -1);
    assert_int_equal(hv__cron_next(0, 0, 0, 1, 7, -1), -1);
    assert_int_equal(hv__cron_next(0, 0, 0, 1, -1, 0), -1);
    assert_int_equal(hv__cron_next(0, 0, 0, 1, -1, 13), -1);
}

/* Berlin, 2021-03-28: 02:00 CET (01:00 UTC) becomes 03:00 CEST. */
static void test_cron_skipped_hour_comes_after_the_gap(void **state) {
    (void)state;
    set_zone("CET-1CEST,M3.5.0,M10.5.0/3");
    expect("2021-03-27 23:30:00", "2021-03-28 01:00:00", 30, 2, -1, -1, -1);
    expect("2021-03-28 01:00:00", "2021-03-29 00:30:00", 30, 2, -1, -1, -1);
    expect("2021-03-28 00:59:59", "2021-03-28 01:00:00", -1, 2, -1, -1, -1);
    expect("2021-03-28 01:00:00", "2021-03-29 00:00:00", -1, 2, -1, -1, -1);
    expect("2021-03-28 00:30:00", "2021-03-28 01:30:00", 30, -1, -1, -1, -1);
    expect("2021-03-28 00:30:00", "2021-03-28 01:15:00", 15, 3, -1, -1, -1);
    expect("2021-03-27 22:00:00", "2021-03-27 23:00:00", 0, 0, 28, -1, -1);
}

/* Berlin, 2021-10-31: 03:00 CEST (01:00 UTC) becomes 02:00 CET. */
static void test_cron_repeated_hour_counts_once(void **state) {
    (void)state;
    set_zone("CET-1CEST,M3.5.0,M10.5.0/3");
    expect("2021-10-30 22:30:00", "2021-10-31 00:30:00", 30, 2, -1, -1, -1);
    expect("2021-10-31 00:30:00", "2021-11-01 01:30:00", 30, 2, -1, -1, -1);
    expect("2021-10-31 00:59:00", "2021-11-01 01:00:00", -1, 2, -1, -1, -1);
    /* With every hour both are real ones. */
    expect("2021-10-31 00:30:00", "2021-10-31 01:30:00", 30, -1, -1, -1, -1);
    expect("2021-10-31 01:30:00", "2021-10-31 02:30:00", 30, -1, -1, -1, -1);
}

/* Lord Howe: half an hour forward at 02:00 on 2021-10-03 (15:30 UTC the day before). */
static void test_cron_half_hour_step(void **state) {
    (void)state;
    set_zone("<+1030>-10:30<+11>-11,M10.1.0,M4.1.0");
    expect("2021-10-02 15:00:00", "2021-10-02 15:30:00", 15, 2, -1, -1, -1);
    expect("2021-10-02 15:20:00", "2021-10-02 15:45:00", 45, -1, -1, -1, -1);
    expect("2021-10-02 15:20:00", "2021-10-02 15:45:00", 45, 2, -1, -1, -1);
}

/* Havana: 2021-03-14 has no midnight, the clock goes from 00:00 to 01:00 (05:00 UTC). */
static void test_cron_day_without_midnight(void **state) {
    (void)state;
    set_zone("CST5CDT,M3.2.0/0,M11.1.0/1");
    expect("2021-03-14 04:30:00", "2021-03-14 05:00:00", 0, 0, -1, -1, -1);
    expect("2021-03-13 12:00:00", "2021-03-14 05:00:00", -1, -1, 14, -1, -1);
    expect("2021-03-14 05:00:00", "2021-03-15 04:00:00", 0, 0, -1, -1, -1);
}

static void test_cron_always_goes_forward(void **state) {
    (void)state;
    static const char *const zones[] = {"CET-1CEST,M3.5.0,M10.5.0/3", "CST5CDT,M3.2.0/0,M11.1.0/1",
                                        "<+1030>-10:30<+11>-11,M10.1.0,M4.1.0"};
    for (int z = 0; z < 3; z++) {
        set_zone(zones[z]);
        time_t end = utc("2022-01-02 00:00:00");
        int count = 0;
        for (time_t now = utc("2021-01-01 12:00:00"); now < end; count++) {
            time_t next = hv__cron_next(now, 30, 2, -1, -1, -1);
            assert_true(next > now);
            assert_true(next - now >= 22 * 3600 || count == 0);
            assert_true(next - now <= 26 * 3600);
            now = next;
        }
        assert_in_range(count, 365, 367);
    }
}

static void test_calendar_days_of_months(void **state) {
    (void)state;
    assert_int_equal(hv__days_of_month(2, 1900), 28);
    assert_int_equal(hv__days_of_month(2, 2000), 29);
    assert_int_equal(hv__days_of_month(2, 2024), 29);
    assert_int_equal(hv__days_of_month(4, 2021), 30);
    assert_int_equal(hv__days_of_month(12, 2021), 31);
    assert_int_equal(hv__days_of_month(0, 2021), 0);
    assert_int_equal(hv__days_of_month(13, 2021), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cron_plain_lines),
        cmocka_unit_test(test_cron_day_and_week_take_either),
        cmocka_unit_test(test_cron_short_months_are_skipped),
        cmocka_unit_test(test_cron_fields_out_of_range_have_no_moment),
        cmocka_unit_test(test_cron_skipped_hour_comes_after_the_gap),
        cmocka_unit_test(test_cron_repeated_hour_counts_once),
        cmocka_unit_test(test_cron_half_hour_step),
        cmocka_unit_test(test_cron_day_without_midnight),
        cmocka_unit_test(test_cron_always_goes_forward),
        cmocka_unit_test(test_calendar_days_of_months),
    };
    return cmocka_run_group_tests_name("hcalendar", tests, NULL, NULL);
}
