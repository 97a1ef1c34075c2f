/* hlog_sink.h - the file of a logger: a new one every day, parts by size, old ones removed. Not
 * thread-safe: the logger holds its lock. */
#ifndef HV_LOG_SINK_H_
#define HV_LOG_SINK_H_

#include "hlog.h"

typedef struct hlog_file_s {
    char *base;             /* path without date and ".log" */
    int fd;                 /* -1 while none is open */
    int date;               /* 20210206; of the open file */
    unsigned int next_part; /* where the search for a free part number begins */
    time_t retry_at;        /* after a failed open: not before this second */
    unsigned long long size;
    unsigned long long max_size; /* 0: no limit */
    unsigned long long lost;
    int remain_days;
    bool is_synced;
} hlog_file_t;

/* Prepares a file that is not open. Returns 0 or HV_ENOMEM. */
int hv__log_file_init(hlog_file_t *file, const char *base);
void hv__log_file_deinit(hlog_file_t *file);

/* Takes another path; the open file is closed. Returns 0, HV_ENOMEM or HV_ELIMIT. */
int hv__log_file_set_base(hlog_file_t *file, const char *base);

/* Writes one line of the second `now`, whose local date is `local`; what fails is counted. */
void hv__log_file_write(hlog_file_t *file, time_t now, const struct tm *local, const char *line,
                        size_t len);

/* The path of the open file; "" where none is. */
void hv__log_file_path(const hlog_file_t *file, char *path, size_t size);

#endif
