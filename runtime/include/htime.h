/* htime.h - dates and times of the local zone, clocks, waiting, and crontab lines. Any thread. */
#ifndef HV_TIME_H_
#define HV_TIME_H_

#include "hdef.h"

HV_BEGIN_DECLS

#define SECONDS_PER_MINUTE 60
#define SECONDS_PER_HOUR   3600
#define SECONDS_PER_DAY    86400
#define SECONDS_PER_WEEK   604800

#define IS_LEAP_YEAR(year) (((year) % 4 == 0 && (year) % 100 != 0) || (year) % 400 == 0)

typedef struct datetime_s {
    int year;  /* 2021 */
    int month; /* 1..12 */
    int day;   /* 1..31 */
    int hour;  /* 0..23 */
    int min;   /* 0..59 */
    int sec;   /* 0..60 */
    int ms;    /* 0..999 */
} datetime_t;

/* Bytes that the functions below may write, the NUL counted. */
#define DURATION_FMT_BUFLEN 16
#define DATETIME_FMT_BUFLEN 30
#define GMTIME_FMT_BUFLEN   30

#define DURATION_FMT "%02d:%02d:%02d"
#define DATETIME_FMT "%04d-%02d-%02d %02d:%02d:%02d"

/* ---- Clocks ---- */

HV_EXPORT unsigned int gettick_ms(void);           /* monotonic, wraps after 49 days */
HV_EXPORT unsigned long long gethrtime_us(void);   /* monotonic microseconds */
HV_EXPORT unsigned long long gettimeofday_ms(void); /* milliseconds since the epoch */
HV_EXPORT unsigned long long gettimeofday_us(void); /* microseconds since the epoch */

/* Each waits for the whole time, also when signals interrupt it. Never call them in a loop's
 * thread: the loop waits as well. */
HV_EXPORT void hv_sleep(unsigned int seconds);
HV_EXPORT void hv_msleep(unsigned int ms);
HV_EXPORT void hv_usleep(unsigned int us);
#define hv_delay(ms) hv_msleep(ms)

/* ---- Dates ---- */

/* Now, and a moment given in seconds since the epoch (ms is then 0), in the local zone. */
HV_EXPORT datetime_t datetime_now(void);
HV_EXPORT datetime_t datetime_localtime(time_t seconds);
/* The moment of a local date; fields out of range are carried over. -1 where there is none. */
HV_EXPORT time_t datetime_mktime(const datetime_t *dt);
/* Moves a date by days, across months and years. Returns `dt`. */
HV_EXPORT datetime_t *datetime_past(datetime_t *dt, int days);
HV_EXPORT datetime_t *datetime_future(datetime_t *dt, int days);

/* Each writes text with a NUL into `buf` and returns `buf`.
 *   duration_fmt      "26:03:09" for seconds, DURATION_FMT_BUFLEN bytes
 *   datetime_fmt      "2021-02-06 00:16:40", DATETIME_FMT_BUFLEN bytes
 *   datetime_fmt_iso  the same moment in UTC, "2021-02-05T16:16:40.989Z", DATETIME_FMT_BUFLEN bytes
 *   gmtime_fmt        "Fri, 05 Feb 2021 16:16:40 GMT" (RFC 9110, 5.6.7), GMTIME_FMT_BUFLEN bytes */
HV_EXPORT char *duration_fmt(int seconds, char *buf);
HV_EXPORT char *datetime_fmt(const datetime_t *dt, char *buf);
HV_EXPORT char *datetime_fmt_iso(const datetime_t *dt, char *buf);
HV_EXPORT char *gmtime_fmt(time_t seconds, char *buf);

/* ---- Calendar ---- */

HV_EXPORT int is_leap_year(int year);
HV_EXPORT int days_of_month(int month, int year); /* 0 where there is no such month */
/* 1..12 of "Jan", "january" ...; 0 for anything else. */
HV_EXPORT int month_atoi(const char *month);
/* "January" of 1; NULL where there is no such month. */
HV_EXPORT const char *month_itoa(int month);
/* 0 (Sunday) .. 6 of "Sun", "sunday" ...; -1 for anything else. */
HV_EXPORT int weekday_atoi(const char *weekday);
/* "Sunday" of 0 and of 7; NULL where there is no such day. */
HV_EXPORT const char *weekday_itoa(int weekday);

/* The date when the library was compiled. */
HV_EXPORT datetime_t hv_compile_datetime(void);

/* The next moment after now that a crontab line names; the rules are those of htimer_add_period in
 * htimer.h. With both day and week set, a date that matches either is taken.
 *   minute 0..59, hour 0..23, day 1..31, week 0..6 (0 is Sunday), month 1..12; -1 means every
 * Returns seconds since the epoch; -1 for a field out of range or a date that never comes. */
HV_EXPORT time_t cron_next_timeout(int minute, int hour, int day, int week, int month);

HV_END_DECLS

#endif
