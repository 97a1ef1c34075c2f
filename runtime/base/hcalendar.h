/* hcalendar.h - dates, and the next moment of a crontab line. Pure but for the local time zone,
 * which is read through localtime_r. */
#ifndef HV_CALENDAR_H_
#define HV_CALENDAR_H_

#include <stdbool.h>
#include <time.h>

bool hv__is_leap_year(int year);

/* Days of month 1..12; 0 for any other month. */
int hv__days_of_month(int month, int year);

/* Finds the first moment after `now` that a crontab line names, in the local time zone.
 *   minute 0..59, hour 0..23, day 1..31, week 0..6 (0 is Sunday), month 1..12; -1 means every
 * With both day and week set, a date that matches either is taken, as in a crontab.
 * With an hour set: where daylight saving skips that time, the first moment after the gap; where
 * it repeats the time, only the first of the two. With every hour the hours are real ones: none
 * is added in a gap, and both of a repeated pair count.
 * Returns the moment; -1 for a field out of range and for a date that never comes (30 February). */
time_t hv__cron_next(time_t now, int minute, int hour, int day, int week, int month);

#endif
