/* Tests of runtime/base/htime.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "hclock.h"
#include "htime.h"

static void set_zone(const char *zone) {
    setenv("TZ", zone, 1);
    tzset();
}

static void test_time_formats_of_now(void **state) {
    (void)state;
    char text[DATETIME_FMT_BUFLEN];
    set_zone("CST-8");
    hclock_set_fake(UINT64_C(1612541800989000));
    datetime_t dt = datetime_now();
    assert_string_equal(datetime_fmt(&dt, text), "2021-02-06 00:16:40");
    assert_int_equal(dt.ms, 989);
    assert_string_equal(datetime_fmt_iso(&dt, text), "2021-02-05T16:16:40.989Z");
    assert_string_equal(gmtime_fmt(1612541800, text), "Fri, 05 Feb 2021 16:16:40 GMT");
    assert_string_equal(gmtime_fmt(784111777, text), "Sun, 06 Nov 1994 08:49:37 GMT");
    assert_string_equal(duration_fmt(93789, text), "26:03:09");
    assert_int_equal(datetime_mktime(&dt), 1612541800);
    assert_int_equal(gettimeofday_ms(), 1612541800989);
    assert_int_equal(gettimeofday_us(), 1612541800989000);
    dt = datetime_localtime(1612541800);
    assert_string_equal(datetime_fmt(&dt, text), "2021-02-06 00:16:40");
    unsigned int before = gettick_ms();
    hclock_advance(1500000);
    assert_int_equal(gettick_ms() - before, 1500);
    assert_int_equal(cron_next_timeout(30, -1, -1, -1, -1), 1612541800 - 1000 + 1800);
    hclock_use_real();
}

static void test_time_absurd_dates_do_not_overflow_the_buffer(void **state) {
    (void)state;
    char text[DATETIME_FMT_BUFLEN + 1];
    datetime_t dt = {INT32_MIN, INT32_MIN, INT32_MIN, INT32_MIN, INT32_MIN, INT32_MIN, 0};
    text[DATETIME_FMT_BUFLEN] = '!';
    datetime_fmt(&dt, text);
    assert_int_equal(text[DATETIME_FMT_BUFLEN], '!');
}

static void test_time_days_cross_months_and_clock_changes(void **state) {
    (void)state;
    set_zone("CET-1CEST,M3.5.0,M10.5.0/3");
    datetime_t dt = {2024, 2, 28, 0, 30, 0, 0};
    datetime_future(&dt, 2);
    assert_int_equal(dt.month * 100 + dt.day, 301);
    datetime_past(&dt, 61);
    assert_int_equal(dt.year * 10000 + dt.month * 100 + dt.day, 20231231);
    assert_int_equal(dt.hour * 100 + dt.min, 30);
    dt = (datetime_t){2021, 3, 27, 2, 30, 0, 0};
    datetime_future(&dt, 2);
    assert_int_equal(dt.day * 10000 + dt.hour * 100 + dt.min, 290230);
}

static void test_time_names(void **state) {
    (void)state;
    assert_int_equal(month_atoi("Jan"), 1);
    assert_int_equal(month_atoi("december"), 12);
    assert_int_equal(month_atoi("Ja"), 0);
    assert_string_equal(month_itoa(9), "September");
    assert_null(month_itoa(13));
    assert_int_equal(weekday_atoi("sat"), 6);
    assert_int_equal(weekday_atoi("Sunday"), 0);
    assert_int_equal(weekday_atoi("x"), -1);
    assert_string_equal(weekday_itoa(7), "Sunday");
    assert_int_equal(days_of_month(2, 2024), 29);
    assert_true(is_leap_year(2000) && !is_leap_year(1900) && IS_LEAP_YEAR(2004));
    assert_in_range(hv_compile_datetime().month, 1, 12);
}

static void test_time_sleep_waits_at_least(void **state) {
    (void)state;
    unsigned long long begin = gethrtime_us();
    hv_delay(2);
    hv_usleep(500);
    assert_true(gethrtime_us() - begin >= 2500);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_time_formats_of_now),
        cmocka_unit_test(test_time_absurd_dates_do_not_overflow_the_buffer),
        cmocka_unit_test(test_time_days_cross_months_and_clock_changes),
        cmocka_unit_test(test_time_names),
        cmocka_unit_test(test_time_sleep_waits_at_least),
    };
    return cmocka_run_group_tests_name("htime", tests, NULL, NULL);
}
