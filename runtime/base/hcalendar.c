/* hcalendar.c - the next moment of a crontab line.
 *
 * Dates are walked as numbers, without the time zone, until one matches; only then is the clock of
 * that date asked for. Two questions need the zone, and both are answered by localtime_r alone,
 * because mktime's choice among two equal times of day is not defined:
 *
 *   When is it H:M on this date? Take the offsets of the zone a day before and a day after. With
 *   one offset there is one answer. With two, a candidate counts if localtime_r gives H:M back;
 *   the earlier one wins; none means H:M lies in a gap, whose end is found by bisection. This
 *   relies on a zone changing at most once in two days.
 *
 *   With every hour, which minute is next? Walk real minutes from now and look at the clock.
 *
 * A leap day is at most eight years away (1896 to 1904), so a search of nine years ends it all. */
#include "hcalendar.h"

#include "hassert.h"

#define DAY_SECONDS   86400
#define SEARCH_DAYS   (9 * 366)
#define WALK_MINUTES  (50 * 60) /* two days and their clock changes */

typedef struct fields_s {
    int minute, hour, day, week, month;
} fields_t;

typedef struct date_s {
    int year, month, day, week;
} date_t;

bool hv__is_leap_year(int year) {
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

int hv__days_of_month(int month, int year) {
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (month < 1 || month > 12) return 0;
    return days[month - 1] + (month == 2 && hv__is_leap_year(year));
}

static date_t next_date(date_t date) {
    date.week = (date.week + 1) % 7;
    if (++date.day > hv__days_of_month(date.month, date.year)) {
        date.day = 1;
        if (++date.month > 12) {
            date.month = 1;
            date.year++;
        }
    }
    return date;
}

static date_t date_of(const struct tm *local) {
    return (date_t){local->tm_year + 1900, local->tm_mon + 1, local->tm_mday, local->tm_wday};
}

static bool is_date_named(const fields_t *want, const date_t *date) {
    if (want->month != -1 && want->month != date->month) return false;
    bool is_day = want->day == date->day;
    bool is_week = want->week == date->week;
    if (want->day != -1 && want->week != -1) return is_day || is_week;
    return (want->day == -1 || is_day) && (want->week == -1 || is_week);
}

static struct tm local_time(time_t moment) {
    struct tm local = {0};
    localtime_r(&moment, &local);
    return local;
}

static long offset_at(time_t moment) {
    return local_time(moment).tm_gmtoff;
}

/* The first moment in (low, high] with another offset than at `low`. */
static time_t offset_change(time_t low, time_t high) {
    long offset = offset_at(low);
    while (high - low > 1) {
        time_t middle = low + (high - low) / 2;
        if (offset_at(middle) == offset) low = middle;
        else high = middle;
    }
    return high;
}

/* The first moment when the local clock shows that time of that date, or has just skipped it. */
static time_t moment_of(const date_t *date, int hour, int minute) {
    struct tm clock = {.tm_year = date->year - 1900, .tm_mon = date->month - 1,
                       .tm_mday = date->day, .tm_hour = hour, .tm_min = minute};
    time_t as_utc = timegm(&clock);
    long before = offset_at(as_utc - DAY_SECONDS);
    long after = offset_at(as_utc + DAY_SECONDS);
    /* The candidate with the larger offset is the earlier moment. */
    time_t first = as_utc - (before > after ? before : after);
    time_t second = as_utc - (before > after ? after : before);
    if (first == second || first + offset_at(first) == as_utc) return first;
    if (second + offset_at(second) == as_utc) return second;
    return offset_change(as_utc - 2 * DAY_SECONDS, as_utc + 2 * DAY_SECONDS);
}

/* The first moment after `now` on a named date with the hour set; -1 where there is none. */
static time_t next_on_date(const fields_t *want, const date_t *date, time_t now) {
    int first = want->minute == -1 ? 0 : want->minute;
    int last = want->minute == -1 ? 59 : want->minute;
    for (int minute = first; minute <= last; minute++) {
        time_t moment = moment_of(date, want->hour, minute);
        if (moment > now) return moment;
    }
    return -1;
}

/* The same with every hour: real minutes, from the date's beginning or from now. */
static time_t next_in_walk(const fields_t *want, const date_t *date, time_t now) {
    time_t begin = moment_of(date, 0, 0);
    time_t moment = begin > now ? begin : now + 60 - local_time(now).tm_sec;
    for (int step = 0; step < WALK_MINUTES; step++, moment += 60) {
        struct tm local = local_time(moment);
        date_t today = date_of(&local);
        if (today.day != date->day) break;
        if (want->minute == -1 || want->minute == local.tm_min) return moment;
    }
    return -1;
}

static bool is_in_range(int value, int min, int max) {
    return value == -1 || (value >= min && value <= max);
}

time_t hv__cron_next(time_t now, int minute, int hour, int day, int week, int month) {
    const fields_t want = {minute, hour, day, week, month};
    if (!is_in_range(minute, 0, 59) || !is_in_range(hour, 0, 23) || !is_in_range(day, 1, 31) ||
        !is_in_range(week, 0, 6) || !is_in_range(month, 1, 12)) {
        return -1;
    }
    tzset();
    struct tm local = local_time(now);
    date_t date = date_of(&local);
    for (int i = 0; i < SEARCH_DAYS; i++, date = next_date(date)) {
        if (!is_date_named(&want, &date)) continue;
        time_t moment = hour == -1 ? next_in_walk(&want, &date, now)
                                   : next_on_date(&want, &date, now);
        if (moment != -1) {
            HV_ASSERT(moment > now);
            return moment;
        }
    }
    return -1;
}
