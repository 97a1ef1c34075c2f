/* htime.c - dates over localtime_r and mktime, clocks over hclock (so that a test's clock is seen
 * here too). Waiting is until a deadline of the monotonic clock, so that signals cannot stretch
 * or cut it. */
#include "htime.h"

#include "hassert.h"
#include "hcalendar.h"
#include "hclock.h"
#include "hstr.h"

#include <stdarg.h>

static const char *const months[] = {"January",   "February", "March",    "April",
                                     "May",       "June",     "July",     "August",
                                     "September", "October",  "November", "December"};
static const char *const weekdays[] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                       "Thursday", "Friday", "Saturday"};

unsigned int gettick_ms(void) {
    return (unsigned int)(hclock_mono_us() / 1000);
}

unsigned long long gethrtime_us(void) {
    return hclock_mono_us();
}

unsigned long long gettimeofday_ms(void) {
    return hclock_wall_us() / 1000;
}

unsigned long long gettimeofday_us(void) {
    return hclock_wall_us();
}

static void sleep_us(uint64_t us) {
    struct timespec until;
    int failed = clock_gettime(CLOCK_MONOTONIC, &until);
    HV_ASSERT(failed == 0);
    uint64_t ns = (uint64_t)until.tv_nsec + us % 1000000 * 1000;
    until.tv_sec += (time_t)(us / 1000000 + ns / 1000000000);
    until.tv_nsec = (long)(ns % 1000000000);
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR) {}
}

void hv_sleep(unsigned int seconds) {
    sleep_us((uint64_t)seconds * 1000000);
}

void hv_msleep(unsigned int ms) {
    sleep_us((uint64_t)ms * 1000);
}

void hv_usleep(unsigned int us) {
    sleep_us(us);
}

datetime_t datetime_localtime(time_t seconds) {
    struct tm local = {0};
    localtime_r(&seconds, &local);
    return (datetime_t){.year = local.tm_year + 1900, .month = local.tm_mon + 1,
                        .day = local.tm_mday, .hour = local.tm_hour,
                        .min = local.tm_min, .sec = local.tm_sec};
}

datetime_t datetime_now(void) {
    uint64_t now_ms = hclock_wall_us() / 1000;
    datetime_t dt = datetime_localtime((time_t)(now_ms / 1000));
    dt.ms = (int)(now_ms % 1000);
    return dt;
}

static struct tm to_tm(const datetime_t *dt) {
    return (struct tm){.tm_year = dt->year - 1900, .tm_mon = dt->month - 1, .tm_mday = dt->day,
                       .tm_hour = dt->hour, .tm_min = dt->min, .tm_sec = dt->sec, .tm_isdst = -1};
}

time_t datetime_mktime(const datetime_t *dt) {
    struct tm local = to_tm(dt);
    return mktime(&local);
}

datetime_t *datetime_future(datetime_t *dt, int days) {
    /* Noon in UTC, so that no change of the clock moves the date. */
    struct tm date = to_tm(dt);
    date.tm_mday += days;
    date.tm_hour = 12;
    timegm(&date);
    dt->year = date.tm_year + 1900;
    dt->month = date.tm_mon + 1;
    dt->day = date.tm_mday;
    return dt;
}

datetime_t *datetime_past(datetime_t *dt, int days) {
    return datetime_future(dt, -days);
}

/* The fields are a caller's ints, so the text may be longer than the buffer: it is then cut. */
HV_PRINTF_LIKE(3, 4)
static char *print(char *buf, size_t size, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(buf, size, format, arguments);
    va_end(arguments);
    return buf;
}

char *duration_fmt(int seconds, char *buf) {
    return print(buf, DURATION_FMT_BUFLEN, DURATION_FMT, seconds / SECONDS_PER_HOUR,
             seconds % SECONDS_PER_HOUR / SECONDS_PER_MINUTE, seconds % SECONDS_PER_MINUTE);
}

char *datetime_fmt(const datetime_t *dt, char *buf) {
    return print(buf, DATETIME_FMT_BUFLEN, DATETIME_FMT, dt->year, dt->month, dt->day, dt->hour,
             dt->min, dt->sec);
}

char *datetime_fmt_iso(const datetime_t *dt, char *buf) {
    time_t seconds = datetime_mktime(dt);
    struct tm utc = {0};
    gmtime_r(&seconds, &utc);
    return print(buf, DATETIME_FMT_BUFLEN, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ",
                 utc.tm_year + 1900, utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min,
                 utc.tm_sec, dt->ms);
}

char *gmtime_fmt(time_t seconds, char *buf) {
    struct tm utc = {0};
    gmtime_r(&seconds, &utc);
    return print(buf, GMTIME_FMT_BUFLEN, "%.3s, %02d %.3s %04d %02d:%02d:%02d GMT",
             weekdays[utc.tm_wday], utc.tm_mday, months[utc.tm_mon], utc.tm_year + 1900,
             utc.tm_hour, utc.tm_min, utc.tm_sec);
}

int is_leap_year(int year) {
    return hv__is_leap_year(year);
}

int days_of_month(int month, int year) {
    return hv__days_of_month(month, year);
}

/* Index of a name given in full or by its first three letters, in either case; -1 if none. */
static int find_name(const char *const *names, int count, const char *text) {
    hstr_t wanted = hstr_from(text);
    for (int i = 0; i < count; i++) {
        hstr_t full = hstr_from(names[i]);
        hstr_t brief = {names[i], 3};
        if (hstr_equals_nocase(wanted, full) || hstr_equals_nocase(wanted, brief)) return i;
    }
    return -1;
}

int month_atoi(const char *month) {
    return find_name(months, ARRAY_SIZE(months), month) + 1;
}

const char *month_itoa(int month) {
    return month >= 1 && month <= 12 ? months[month - 1] : NULL;
}

int weekday_atoi(const char *weekday) {
    return find_name(weekdays, ARRAY_SIZE(weekdays), weekday);
}

const char *weekday_itoa(int weekday) {
    return weekday >= 0 && weekday <= 7 ? weekdays[weekday % 7] : NULL;
}

datetime_t hv_compile_datetime(void) {
    datetime_t dt = {0};
    char month[4] = "";
    sscanf(__DATE__ " " __TIME__, "%3s %d %d %d:%d:%d", month, &dt.day, &dt.year, &dt.hour,
           &dt.min, &dt.sec);
    dt.month = month_atoi(month);
    return dt;
}

time_t cron_next_timeout(int minute, int hour, int day, int week, int month) {
    time_t now = (time_t)(hclock_wall_us() / 1000000);
    return hv__cron_next(now, minute, hour, day, week, month);
}
