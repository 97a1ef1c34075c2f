/* hlog.h - logging: levels, a line format, and a sink: a rotating file, a stream, or a function.
 *
 *     LOGI("listening on %s:%d", host, port);
 *
 * writes to the default logger, by default the file libhv.YYYYMMDD.log in the working directory:
 *
 *     2021-02-06 00:16:40.989 INFO  listening on 0.0.0.0:80 [main.c:19:main]
 *
 * Every function may be called from every thread. A line is written in one piece, also where
 * several processes share the file, and lines keep their order. Not for signal handlers. */
#ifndef HV_LOG_H_
#define HV_LOG_H_

#include "hdef.h"
#include "herr.h"

HV_BEGIN_DECLS

typedef enum {
    LOG_LEVEL_VERBOSE = 0,
    LOG_LEVEL_DEBUG,
    LOG_LEVEL_INFO,
    LOG_LEVEL_WARN,
    LOG_LEVEL_ERROR,
    LOG_LEVEL_FATAL,
    LOG_LEVEL_SILENT, /* as a logger's level: nothing is logged */
} log_level_e;

#define DEFAULT_LOG_FILE         "libhv"
#define DEFAULT_LOG_LEVEL        LOG_LEVEL_INFO
#define DEFAULT_LOG_FORMAT       "%Y-%m-%d %H:%M:%S.%z %L %s"
#define DEFAULT_LOG_REMAIN_DAYS  30
#define DEFAULT_LOG_MAX_BUFSIZE  (1 << 14) /* bytes of a line; what is longer is cut */
#define DEFAULT_LOG_MAX_FILESIZE (1 << 24) /* bytes */

typedef struct logger_s logger_t;

/* Gets a whole line with its newline; `buf` is borrowed until return. Called with the logger
 * locked: what the function itself logs to the same logger is dropped. */
typedef void (*logger_handler)(int level, const char *buf, int len);

/* Sinks to give to logger_set_handler. Lines are coloured where the stream is a terminal. */
HV_EXPORT void stdout_logger(int level, const char *buf, int len);
HV_EXPORT void stderr_logger(int level, const char *buf, int len);
/* The default logger's file. */
HV_EXPORT void file_logger(int level, const char *buf, int len);

/* ---- A logger ---- */

/* Returns a logger with the defaults above, or NULL without memory. Nothing is opened before the
 * first line. Free it with logger_destroy, when no other thread uses it. */
HV_EXPORT logger_t *logger_create(void);
HV_EXPORT void logger_destroy(logger_t *logger);

/* The function that gets the lines; NULL and file_logger: the logger's file. */
HV_EXPORT void logger_set_handler(logger_t *logger, logger_handler fn);
/* The lowest level that is logged. */
HV_EXPORT void logger_set_level(logger_t *logger, int level);
/* The same by name: "DEBUG", "warn" ...; another name is taken for the default level. */
HV_EXPORT void logger_set_level_by_str(logger_t *logger, const char *level);
/* The form of a line, copied.
 *   %Y %m %d %H %M %S  date and time (%y is %Y)    %z milliseconds   %Z microseconds
 *   %L level, five wide   %l its first letter      %s the message    %% a '%'
 * Returns 0; HV_ELIMIT where it is longer than 255 bytes. */
HV_EXPORT int logger_set_format(logger_t *logger, const char *format);
/* The most bytes of a line, at least 64. Returns 0 or HV_ENOMEM. */
HV_EXPORT int logger_set_max_bufsize(logger_t *logger, unsigned int bytes);
/* Colours lines whatever the sink is (1), or never (0). */
HV_EXPORT void logger_enable_color(logger_t *logger, int on);

/* Lets a thread of the logger's own write the lines, so that who logs does not wait for the sink.
 *   queue_bytes  of lines that may wait (twice that is allocated); who logs waits only when they
 *                are full, and no line is dropped. 0: written by who logs, the default
 * A handler is then called from that thread. Children of fork write their lines themselves; a
 * logger other than the default one is to be made asynchronous after the fork.
 * Returns 0 or HV_ENOMEM: then lines are written by who logs. */
HV_EXPORT int logger_set_async(logger_t *logger, unsigned int queue_bytes);
/* Waits until every line logged so far has reached the sink. */
HV_EXPORT void logger_flush(logger_t *logger);

/* Writes one line. Prefer the macros below, which add the place.
 * Returns the bytes handed to the sink; 0 where the level is not logged. */
HV_EXPORT int logger_print(logger_t *logger, int level, const char *format, ...)
    HV_PRINTF_LIKE(3, 4);
/* The same with " [file:line:function]" at its end; `file` may be a path. */
HV_EXPORT int logger_print_at(logger_t *logger, int level, const char *file, int line,
                              const char *function, const char *format, ...) HV_PRINTF_LIKE(6, 7);

/* ---- The file of a logger ---- */

/* Lines go to <path>.YYYYMMDD.log; a ".log" at the end of `path` is dropped first. Missing
 * directories are not made. Returns 0; HV_ENOMEM, HV_ELIMIT for a path that is too long. */
HV_EXPORT int logger_set_file(logger_t *logger, const char *path);
/* A file that would grow beyond this is renamed to <path>.YYYYMMDD.N.log, N from 1; 0: never. */
HV_EXPORT void logger_set_max_filesize(logger_t *logger, unsigned long long bytes);
/* The same as "64K", "16M" ...; nothing where the text is no size. */
HV_EXPORT void logger_set_max_filesize_by_str(logger_t *logger, const char *size);
/* Files of days further back are removed when a file is opened; 0 or less keeps all. */
HV_EXPORT void logger_set_remain_days(logger_t *logger, int days);
/* Waits after every line until it is on the disk. */
HV_EXPORT void logger_enable_fsync(logger_t *logger, int on);
HV_EXPORT void logger_fsync(logger_t *logger);
/* The file being written, copied into `buf`; "" before the first line. Returns `buf`. */
HV_EXPORT const char *logger_get_cur_file(logger_t *logger, char *buf, int size);
/* Lines that could not be written since the logger was made. */
HV_EXPORT unsigned long long logger_lost_lines(logger_t *logger);

/* ---- The default logger ---- */

/* Made at the first call; it lives until the process ends or hv_destroy_default_logger. */
HV_EXPORT logger_t *hv_default_logger(void);
HV_EXPORT void hv_destroy_default_logger(void);

#define hlog                               hv_default_logger()
#define hlog_destroy()                     hv_destroy_default_logger()
#define hlog_destory()                     hv_destroy_default_logger()
#define hlog_disable()                     logger_set_level(hlog, LOG_LEVEL_SILENT)
#define hlog_set_handler(fn)               logger_set_handler(hlog, fn)
#define hlog_set_level(level)              logger_set_level(hlog, level)
#define hlog_set_level_by_str(level)       logger_set_level_by_str(hlog, level)
#define hlog_set_format(format)            logger_set_format(hlog, format)
#define hlog_set_max_bufsize(bytes)        logger_set_max_bufsize(hlog, bytes)
#define hlog_enable_color(on)              logger_enable_color(hlog, on)
#define hlog_set_file(path)                logger_set_file(hlog, path)
#define hlog_set_max_filesize(bytes)       logger_set_max_filesize(hlog, bytes)
#define hlog_set_max_filesize_by_str(size) logger_set_max_filesize_by_str(hlog, size)
#define hlog_set_remain_days(days)         logger_set_remain_days(hlog, days)
#define hlog_enable_fsync()                logger_enable_fsync(hlog, 1)
#define hlog_disable_fsync()               logger_enable_fsync(hlog, 0)
#define hlog_set_async(queue_bytes)        logger_set_async(hlog, queue_bytes)
#define hlog_flush()                       logger_flush(hlog)
#define hlog_fsync()                       logger_fsync(hlog)
#define hlog_get_cur_file(buf, size)       logger_get_cur_file(hlog, buf, size)

#define HV_LOG_AT(level, ...) \
    ((void)logger_print_at(hlog, level, __FILE__, __LINE__, __func__, __VA_ARGS__))

#define hlogv(...) HV_LOG_AT(LOG_LEVEL_VERBOSE, __VA_ARGS__)
#define hlogd(...) HV_LOG_AT(LOG_LEVEL_DEBUG, __VA_ARGS__)
#define hlogi(...) HV_LOG_AT(LOG_LEVEL_INFO, __VA_ARGS__)
#define hlogw(...) HV_LOG_AT(LOG_LEVEL_WARN, __VA_ARGS__)
#define hloge(...) HV_LOG_AT(LOG_LEVEL_ERROR, __VA_ARGS__)
#define hlogf(...) HV_LOG_AT(LOG_LEVEL_FATAL, __VA_ARGS__)

/* Programs that have macros of these names define HV_NO_SHORT_LOG_NAMES first. */
#ifndef HV_NO_SHORT_LOG_NAMES
#define LOGV hlogv
#define LOGD hlogd
#define LOGI hlogi
#define LOGW hlogw
#define LOGE hloge
#define LOGF hlogf
#endif

HV_END_DECLS

#endif
