/* hlog.c - from a call to a line.
 *
 * A logger formats under its lock into one buffer of its own: time stamps are then in order in the
 * sink, and a line needs neither the stack nor an allocation. Only the level is looked at before
 * the lock, so what is not logged costs a load and a compare. An asynchronous logger hands the
 * finished line to its queue in emit(); the sink is then the queue's thread's alone, and settings
 * are changed only while that rests.
 *
 * The default logger is locked across fork, so that the child never inherits it half-used. */
#include "hlog.h"

#include "hassert.h"
#include "hbase.h"
#include "hclock.h"
#include "hlog_queue.h"
#include "hlog_sink.h"
#include "hmem.h"
#include "hstr.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>

#define FORMAT_BYTES_MAX 256
#define LINE_BYTES_MIN   64

enum { COLOR_AUTO = -1, COLOR_NEVER = 0, COLOR_ALWAYS = 1 };

struct logger_s {
    pthread_mutex_t lock;
    atomic_int level;
    int color;
    logger_handler handler; /* NULL: the file */
    char *line;             /* line_max bytes */
    size_t line_max;
    size_t line_len;
    time_t local_second; /* what `local` stands for */
    struct tm local;
    char format[FORMAT_BYTES_MAX];
    hlog_file_t file;
    hlog_queue_t *queue; /* NULL: lines are written by who logs them */
    time_t sink_second;  /* what `sink_local` stands for; the sink's own */
    struct tm sink_local;
};

/* One message on its way into a line. */
typedef struct message_s {
    int level;
    uint64_t now_us;
    const char *place_file; /* NULL: no place */
    int place_line;
    const char *place_function;
    const char *format;
    va_list *arguments;
} message_t;

static const struct {
    const char *name; /* five wide */
    const char *color;
} levels[] = {
    {"VERB ", "\033[90m"}, {"DEBUG", "\033[36m"}, {"INFO ", "\033[32m"},
    {"WARN ", "\033[33m"}, {"ERROR", "\033[31m"}, {"FATAL", "\033[1;31m"},
};
static const char color_end[] = "\033[0m";

/* The logger whose handler this thread is inside of. */
static _Thread_local const logger_t *handling;

/* ---- Life ---- */

logger_t *logger_create(void) {
    logger_t *logger = hv__calloc(1, sizeof(*logger));
    if (logger == NULL) return NULL;
    logger->line_max = DEFAULT_LOG_MAX_BUFSIZE;
    logger->line = hv__malloc(logger->line_max);
    if (logger->line == NULL || hv__log_file_init(&logger->file, DEFAULT_LOG_FILE) != 0) {
        hv__free(logger->line);
        hv__free(logger);
        return NULL;
    }
    pthread_mutex_init(&logger->lock, NULL);
    atomic_init(&logger->level, DEFAULT_LOG_LEVEL);
    logger->color = COLOR_AUTO;
    logger->local_second = logger->sink_second = -1;
    memcpy(logger->format, DEFAULT_LOG_FORMAT, sizeof(DEFAULT_LOG_FORMAT));
    logger->file.max_size = DEFAULT_LOG_MAX_FILESIZE;
    logger->file.remain_days = DEFAULT_LOG_REMAIN_DAYS;
    return logger;
}

void logger_destroy(logger_t *logger) {
    if (logger == NULL) return;
    if (logger->queue != NULL) hv__log_queue_stop(logger->queue);
    hv__log_file_deinit(&logger->file);
    pthread_mutex_destroy(&logger->lock);
    hv__free(logger->line);
    hv__free(logger);
}

static void lock(logger_t *logger) {
    int error = pthread_mutex_lock(&logger->lock);
    HV_ASSERT(error == 0);
}

static void unlock(logger_t *logger) {
    int error = pthread_mutex_unlock(&logger->lock);
    HV_ASSERT(error == 0);
}

/* For what the sink reads as well: its thread has to rest. */
static void lock_sink(logger_t *logger) {
    lock(logger);
    if (logger->queue != NULL && handling != logger) hv__log_queue_drain(logger->queue);
}

/* ---- Settings ---- */

void logger_set_handler(logger_t *logger, logger_handler fn) {
    lock_sink(logger);
    logger->handler = fn == file_logger ? NULL : fn;
    unlock(logger);
}

void logger_set_level(logger_t *logger, int level) {
    atomic_store_explicit(&logger->level, level, memory_order_relaxed);
}

void logger_set_level_by_str(logger_t *logger, const char *level) {
    static const char *const names[] = {"VERBOSE", "DEBUG", "INFO", "WARN",
                                        "ERROR",   "FATAL", "SILENT"};
    int number = DEFAULT_LOG_LEVEL;
    for (int i = 0; i < (int)ARRAY_SIZE(names); i++) {
        if (hstr_equals_nocase(hstr_from(level), hstr_from(names[i]))) number = i;
    }
    logger_set_level(logger, number);
}

int logger_set_format(logger_t *logger, const char *format) {
    size_t len = strlen(format);
    if (len >= FORMAT_BYTES_MAX) return HV_ELIMIT;
    lock(logger);
    memcpy(logger->format, format, len + 1);
    unlock(logger);
    return 0;
}

int logger_set_max_bufsize(logger_t *logger, unsigned int bytes) {
    size_t size = bytes < LINE_BYTES_MIN ? LINE_BYTES_MIN : bytes;
    if (size > INT_MAX) size = INT_MAX;
    lock(logger);
    char *line = hv__realloc(logger->line, size);
    if (line != NULL) {
        logger->line = line;
        logger->line_max = size;
    }
    unlock(logger);
    return line != NULL ? 0 : HV_ENOMEM;
}

void logger_enable_color(logger_t *logger, int on) {
    lock(logger);
    logger->color = on ? COLOR_ALWAYS : COLOR_NEVER;
    unlock(logger);
}

int logger_set_file(logger_t *logger, const char *path) {
    lock_sink(logger);
    int error = hv__log_file_set_base(&logger->file, path);
    unlock(logger);
    return error;
}

void logger_set_max_filesize(logger_t *logger, unsigned long long bytes) {
    lock_sink(logger);
    logger->file.max_size = bytes;
    unlock(logger);
}

void logger_set_max_filesize_by_str(logger_t *logger, const char *size) {
    size_t bytes = hv_parse_size(size);
    if (bytes > 0) logger_set_max_filesize(logger, bytes);
}

void logger_set_remain_days(logger_t *logger, int days) {
    lock_sink(logger);
    logger->file.remain_days = days;
    unlock(logger);
}

void logger_enable_fsync(logger_t *logger, int on) {
    lock_sink(logger);
    logger->file.is_synced = on != 0;
    unlock(logger);
}

void logger_fsync(logger_t *logger) {
    lock_sink(logger);
    if (logger->file.fd >= 0) fdatasync(logger->file.fd);
    unlock(logger);
}

const char *logger_get_cur_file(logger_t *logger, char *buf, int size) {
    if (size <= 0) return buf;
    lock_sink(logger);
    hv__log_file_path(&logger->file, buf, (size_t)size);
    unlock(logger);
    return buf;
}

unsigned long long logger_lost_lines(logger_t *logger) {
    lock_sink(logger);
    unsigned long long lost = logger->file.lost;
    unlock(logger);
    return lost;
}

/* ---- Making a line ---- */

/* Room is kept for the end of the colour, the newline and vsnprintf's NUL. */
static size_t room(const logger_t *logger) {
    return logger->line_max - sizeof(color_end) - 1 - logger->line_len;
}

static void add(logger_t *logger, const char *text, size_t len) {
    if (len > room(logger)) len = room(logger);
    memcpy(logger->line + logger->line_len, text, len);
    logger->line_len += len;
}

static void add_number(logger_t *logger, unsigned int number, size_t digits) {
    char text[10];
    HV_DASSERT(digits <= sizeof(text));
    for (size_t i = digits; i > 0; i--, number /= 10) text[i - 1] = (char)('0' + number % 10);
    add(logger, text, digits);
}

static void add_message(logger_t *logger, const message_t *message) {
    int len = vsnprintf(logger->line + logger->line_len, room(logger) + 1, message->format,
                        *message->arguments);
    if (len > 0) logger->line_len += (size_t)len < room(logger) ? (size_t)len : room(logger);
    if (message->place_file == NULL) return;
    char number[16];
    const char *name = hv_basename(message->place_file);
    int digits = snprintf(number, sizeof(number), ":%d:", message->place_line);
    add(logger, " [", 2);
    add(logger, name, strlen(name));
    add(logger, number, (size_t)digits);
    add(logger, message->place_function, strlen(message->place_function));
    add(logger, "]", 1);
}

static void add_field(logger_t *logger, char field, const message_t *message) {
    const struct tm *local = &logger->local;
    unsigned int us = (unsigned int)(message->now_us % 1000000);
    switch (field) {
    case 'y':
    case 'Y': add_number(logger, (unsigned int)local->tm_year + 1900, 4); break;
    case 'm': add_number(logger, (unsigned int)local->tm_mon + 1, 2); break;
    case 'd': add_number(logger, (unsigned int)local->tm_mday, 2); break;
    case 'H': add_number(logger, (unsigned int)local->tm_hour, 2); break;
    case 'M': add_number(logger, (unsigned int)local->tm_min, 2); break;
    case 'S': add_number(logger, (unsigned int)local->tm_sec, 2); break;
    case 'z': add_number(logger, us / 1000, 3); break;
    case 'Z': add_number(logger, us, 6); break;
    case 'L': add(logger, levels[message->level].name, 5); break;
    case 'l': add(logger, levels[message->level].name, 1); break;
    case 's': add_message(logger, message); break;
    default: add(logger, &field, 1); break;
    }
}

static bool is_colored(const logger_t *logger) {
    if (logger->color != COLOR_AUTO) return logger->color == COLOR_ALWAYS;
    return (logger->handler == stdout_logger && isatty(STDOUT_FILENO)) ||
           (logger->handler == stderr_logger && isatty(STDERR_FILENO));
}

static void make_line(logger_t *logger, const message_t *message) {
    bool has_color = is_colored(logger);
    time_t second = (time_t)(message->now_us / 1000000);
    if (second != logger->local_second) {
        localtime_r(&second, &logger->local);
        logger->local_second = second;
    }
    logger->line_len = 0;
    if (has_color) add(logger, levels[message->level].color, strlen(levels[message->level].color));
    for (const char *at = logger->format; *at != '\0'; at++) {
        if (*at == '%' && at[1] != '\0') add_field(logger, *++at, message);
        else add(logger, at, 1);
    }
    /* A message that brings its own newline gets no second one. */
    while (logger->line_len > 0 && logger->line[logger->line_len - 1] == '\n') logger->line_len--;
    if (has_color) {
        memcpy(logger->line + logger->line_len, color_end, sizeof(color_end) - 1);
        logger->line_len += sizeof(color_end) - 1;
    }
    logger->line[logger->line_len++] = '\n';
    HV_ASSERT(logger->line_len <= logger->line_max);
}

/* The end of a line's way: by who logs, or by the queue's thread. */
static void sink(void *userdata, int level, time_t second, const char *line, size_t len) {
    logger_t *logger = userdata;
    if (logger->handler == NULL) {
        if (second != logger->sink_second) {
            localtime_r(&second, &logger->sink_local);
            logger->sink_second = second;
        }
        hv__log_file_write(&logger->file, second, &logger->sink_local, line, len);
        return;
    }
    const logger_t *outer = handling;
    handling = logger;
    logger->handler(level, line, (int)len);
    handling = outer;
}

static void emit(logger_t *logger, int level) {
    if (logger->queue != NULL) {
        hv__log_queue_put(logger->queue, level, logger->local_second, logger->line,
                          logger->line_len);
    } else {
        sink(logger, level, logger->local_second, logger->line, logger->line_len);
    }
}

int logger_set_async(logger_t *logger, unsigned int queue_bytes) {
    lock_sink(logger);
    hlog_queue_t *old = logger->queue;
    logger->queue = NULL;
    if (old != NULL) hv__log_queue_stop(old);
    if (queue_bytes > 0) logger->queue = hv__log_queue_start(queue_bytes, sink, logger);
    int error = queue_bytes > 0 && logger->queue == NULL ? HV_ENOMEM : 0;
    unlock(logger);
    return error;
}

void logger_flush(logger_t *logger) {
    lock_sink(logger);
    unlock(logger);
}

static int print(logger_t *logger, message_t *message) {
    int saved = errno;
    if (handling == logger) return 0;
    if (message->level >= (int)ARRAY_SIZE(levels)) message->level = LOG_LEVEL_FATAL;
    if (message->level < 0) message->level = LOG_LEVEL_VERBOSE;
    lock(logger);
    message->now_us = hclock_wall_us();
    make_line(logger, message);
    int len = (int)logger->line_len;
    emit(logger, message->level);
    unlock(logger);
    errno = saved;
    return len;
}

static bool is_logged(logger_t *logger, int level) {
    return level >= atomic_load_explicit(&logger->level, memory_order_relaxed);
}

int logger_print(logger_t *logger, int level, const char *format, ...) {
    if (logger == NULL || !is_logged(logger, level)) return 0;
    va_list arguments;
    va_start(arguments, format);
    message_t message = {.level = level, .format = format, .arguments = &arguments};
    int len = print(logger, &message);
    va_end(arguments);
    return len;
}

int logger_print_at(logger_t *logger, int level, const char *file, int line, const char *function,
                    const char *format, ...) {
    if (logger == NULL || !is_logged(logger, level)) return 0;
    va_list arguments;
    va_start(arguments, format);
    message_t message = {.level = level, .place_file = file, .place_line = line,
                         .place_function = function, .format = format, .arguments = &arguments};
    int len = print(logger, &message);
    va_end(arguments);
    return len;
}

/* ---- Sinks ---- */

void stdout_logger(int level, const char *buf, int len) {
    (void)level;
    fwrite(buf, 1, (size_t)len, stdout);
}

void stderr_logger(int level, const char *buf, int len) {
    (void)level;
    fwrite(buf, 1, (size_t)len, stderr);
}

void file_logger(int level, const char *buf, int len) {
    logger_t *logger = hv_default_logger();
    (void)level;
    if (logger == NULL || len <= 0) return;
    time_t now = (time_t)(hclock_wall_us() / 1000000);
    struct tm local = {0};
    localtime_r(&now, &local);
    /* A handler of the default logger may pass its line on to here: the lock is held then. */
    bool is_locked = handling == logger;
    if (!is_locked) lock(logger);
    hv__log_file_write(&logger->file, now, &local, buf, (size_t)len);
    if (!is_locked) unlock(logger);
}

/* ---- The default logger ---- */

static _Atomic(logger_t *) default_logger;
static pthread_mutex_t default_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t at_fork_once = PTHREAD_ONCE_INIT;

static void before_fork(void) {
    pthread_mutex_lock(&default_lock);
    logger_t *logger = atomic_load(&default_logger);
    /* A handler that forks holds the lock already. */
    if (logger != NULL && handling != logger) lock_sink(logger);
}

static void after_fork(void) {
    logger_t *logger = atomic_load(&default_logger);
    if (logger != NULL && handling != logger) unlock(logger);
    pthread_mutex_unlock(&default_lock);
}

/* The queue's thread is the parent's: the child writes its lines itself. */
static void after_fork_in_child(void) {
    logger_t *logger = atomic_load(&default_logger);
    if (logger != NULL) logger->queue = NULL;
    after_fork();
}

/* What still waits in a queue when the program ends is written. */
static void flush_at_exit(void) {
    logger_t *logger = atomic_load(&default_logger);
    if (logger != NULL && handling != logger) logger_flush(logger);
}

static void watch_forks(void) {
    atexit(flush_at_exit);
    pthread_atfork(before_fork, after_fork, after_fork_in_child);
}

logger_t *hv_default_logger(void) {
    logger_t *logger = atomic_load_explicit(&default_logger, memory_order_acquire);
    if (HV_LIKELY(logger != NULL)) return logger;
    pthread_once(&at_fork_once, watch_forks);
    pthread_mutex_lock(&default_lock);
    logger = atomic_load(&default_logger);
    if (logger == NULL) {
        logger = logger_create();
        atomic_store_explicit(&default_logger, logger, memory_order_release);
    }
    pthread_mutex_unlock(&default_lock);
    return logger;
}

void hv_destroy_default_logger(void) {
    pthread_mutex_lock(&default_lock);
    logger_t *logger = atomic_exchange(&default_logger, NULL);
    pthread_mutex_unlock(&default_lock);
    logger_destroy(logger);
}
