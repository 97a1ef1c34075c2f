/* hlog_sink.c - the rotating file.
 *
 * Lines are appended by one write each to a descriptor with O_APPEND, so that processes may share
 * a file without tearing lines. Nothing is buffered here, so nothing is lost by a crash.
 *
 * By day: the first line of a later date opens that date's file; a clock that goes back does not.
 * By size: the file is renamed to the next free part number and opened anew. Processes that share
 * it agree by flock on the file itself: who holds the lock and finds the path still leading to its
 * own file renames it; the others find another file there and open that. Lines that a late process
 * still writes go to the renamed file: they are in its place, not lost. */
#include "hlog_sink.h"

#include "hassert.h"
#include "hmem.h"
#include "hstr.h"

#include <dirent.h>
#include <sys/file.h>
#include <sys/stat.h>

#define RETRY_SECONDS 1
#define PART_MAX      1000000u
#define SUFFIX_BYTES  32 /* ".YYYYMMDD.NNNNNNN.log" */

int hv__log_file_init(hlog_file_t *file, const char *base) {
    memset(file, 0, sizeof(*file));
    file->fd = -1;
    return hv__log_file_set_base(file, base);
}

static void close_file(hlog_file_t *file) {
    if (file->fd >= 0) close(file->fd);
    file->fd = -1;
    file->date = 0;
    file->size = 0;
    file->next_part = 1;
    file->retry_at = 0;
}

void hv__log_file_deinit(hlog_file_t *file) {
    close_file(file);
    hv__free(file->base);
    file->base = NULL;
}

int hv__log_file_set_base(hlog_file_t *file, const char *base) {
    size_t len = strlen(base);
    if (len > 4 && strcmp(base + len - 4, ".log") == 0) len -= 4;
    if (len >= PATH_MAX - SUFFIX_BYTES) return HV_ELIMIT;
    char *copy = hv__strndup(base, len);
    if (copy == NULL) return HV_ENOMEM;
    close_file(file);
    hv__free(file->base);
    file->base = copy;
    return 0;
}

static int date_number(const struct tm *date) {
    return ((date->tm_year + 1900) * 100 + date->tm_mon + 1) * 100 + date->tm_mday;
}

void hv__log_file_path(const hlog_file_t *file, char *path, size_t size) {
    path[0] = '\0';
    if (file->fd >= 0) snprintf(path, size, "%s.%08d.log", file->base, file->date);
}

/* The date of a file name that is one of ours: <name>.YYYYMMDD[.N].log; 0 for any other. */
static int date_of_name(const char *name, const char *base_name) {
    hstr_t rest = hstr_from(name);
    hstr_t base = hstr_from(base_name);
    hstr_t piece;
    uint64_t date;
    uint64_t part;
    if (!hstr_starts_with(rest, base) || rest.len <= base.len || rest.data[base.len] != '.') {
        return 0;
    }
    rest.data += base.len + 1;
    rest.len -= base.len + 1;
    if (!hstr_next(&rest, '.', &piece) || piece.len != 8) return 0;
    if (hstr_parse_u64(piece, 99999999, &date) != 0) return 0;
    if (!hstr_next(&rest, '.', &piece)) return 0;
    if (hstr_parse_u64(piece, PART_MAX, &part) == 0 && !hstr_next(&rest, '.', &piece)) return 0;
    if (!hstr_equals(piece, HSTR_LITERAL("log")) || rest.data != NULL) return 0;
    return (int)date;
}

static void remove_old(const hlog_file_t *file, const struct tm *local) {
    char dir[PATH_MAX] = ".";
    const char *slash = strrchr(file->base, '/');
    const char *name = slash != NULL ? slash + 1 : file->base;
    if (file->remain_days <= 0) return;
    if (slash != NULL) {
        size_t len = (size_t)(slash - file->base) + 1;
        memcpy(dir, file->base, len);
        dir[len] = '\0';
    }
    struct tm oldest = {.tm_year = local->tm_year, .tm_mon = local->tm_mon,
                        .tm_mday = local->tm_mday - file->remain_days, .tm_hour = 12};
    timegm(&oldest);
    DIR *entries = opendir(dir);
    if (entries == NULL) return;
    for (struct dirent *entry = readdir(entries); entry != NULL; entry = readdir(entries)) {
        int date = date_of_name(entry->d_name, name);
        if (date != 0 && date < date_number(&oldest)) unlinkat(dirfd(entries), entry->d_name, 0);
    }
    closedir(entries);
}

/* Opens the file of `date`; file->fd stays -1 where that fails. */
static void open_file(hlog_file_t *file, int date) {
    char path[PATH_MAX];
    struct stat facts;
    snprintf(path, sizeof(path), "%s.%08d.log", file->base, date);
    if (file->fd >= 0) close(file->fd);
    file->fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    file->date = date;
    file->size = file->fd >= 0 && fstat(file->fd, &facts) == 0 ? (uint64_t)facts.st_size : 0;
}

static bool leads_to(const char *path, int fd) {
    struct stat at_path;
    struct stat opened;
    return stat(path, &at_path) == 0 && fstat(fd, &opened) == 0 &&
           at_path.st_ino == opened.st_ino && at_path.st_dev == opened.st_dev;
}

/* Renames the open file to a part number that is free. Keeps it as it is where none is. */
static void rename_part(hlog_file_t *file, const char *path) {
    char part_path[PATH_MAX];
    for (; file->next_part < PART_MAX; file->next_part++) {
        snprintf(part_path, sizeof(part_path), "%s.%08d.%u.log", file->base, file->date,
                 file->next_part);
        if (renameat2(AT_FDCWD, path, AT_FDCWD, part_path, RENAME_NOREPLACE) == 0) return;
        if (errno == EEXIST) continue;
        /* Not every file system can rename without replacing. */
        if (errno != EINVAL && errno != ENOSYS) return;
        if (access(part_path, F_OK) == 0) continue;
        if (rename(path, part_path) != 0) return;
        return;
    }
}

static void rotate_by_size(hlog_file_t *file) {
    char path[PATH_MAX];
    hv__log_file_path(file, path, sizeof(path));
    /* The lock goes with the descriptor, which open_file closes. */
    while (flock(file->fd, LOCK_EX) != 0 && errno == EINTR) {}
    if (leads_to(path, file->fd)) rename_part(file, path);
    open_file(file, file->date);
}

static bool write_all(int fd, const char *line, size_t len) {
    while (len > 0) {
        ssize_t count = write(fd, line, len);
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0) return false;
        line += count;
        len -= (size_t)count;
    }
    return true;
}

void hv__log_file_write(hlog_file_t *file, time_t now, const struct tm *local, const char *line,
                        size_t len) {
    int date = date_number(local);
    if ((file->fd < 0 && now >= file->retry_at) || (file->fd >= 0 && date > file->date)) {
        open_file(file, date);
        file->next_part = 1;
        file->retry_at = now + RETRY_SECONDS;
        remove_old(file, local);
    }
    bool is_full = file->max_size > 0 && file->size > 0 && file->size + len > file->max_size;
    if (file->fd >= 0 && is_full) rotate_by_size(file);
    if (file->fd < 0 || !write_all(file->fd, line, len)) {
        file->lost++;
        return;
    }
    /* Where we are now is the end of the file, other processes' lines counted. */
    off_t end = lseek(file->fd, 0, SEEK_CUR);
    file->size = end >= 0 ? (uint64_t)end : file->size + len;
    if (file->is_synced) fdatasync(file->fd);
}
