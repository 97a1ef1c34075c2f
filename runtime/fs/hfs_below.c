/* hfs_below.c - opening what lies below a directory and nowhere else, at once where no disk has to
 * be waited for; and telling whether the kernel has a file in memory.
 *
 * openat2(2) resolves a path so that neither "..", nor an absolute link, nor a link that leads out
 * can leave the directory, whatever is renamed meanwhile (RESOLVE_BENEATH). With RESOLVE_CACHED it
 * gives up instead of waiting. Where the kernel or a sandbox has no openat2, the path is walked
 * segment by segment in a thread, and no link is followed. */
#include "hfs_int.h"

#include <errno.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#define OPEN_FLAGS        (O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)
#define PROBE_BYTES       65536 /* the kernel reads ahead at least as far */
#define PREFETCH_BUFFER   65536

static int open_by_kernel(int dir_fd, const char *path, int flags, uint64_t more) {
    struct open_how how = {
        .flags = OPEN_FLAGS,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | more,
    };
    if (flags & HFS_NO_FOLLOW) how.resolve |= RESOLVE_NO_SYMLINKS;
    int fd = (int)syscall(SYS_openat2, dir_fd, path, &how, sizeof how);
    return fd < 0 ? -errno : fd;
}

static int has_no_openat2(int code) { return code == -ENOSYS || code == -EPERM; }

/* Walks the segments of a path that is not absolute. */
static int walk(int dir_fd, char *path) {
    int at = dir_fd, code = 0;
    for (char *segment = path; segment != NULL && code == 0;) {
        char *slash = strchr(segment, '/');
        if (slash != NULL) *slash = '\0';
        if (strcmp(segment, "..") == 0) {
            code = -EXDEV;
        } else if (*segment != '\0' || slash == NULL) {
            int open_flags = slash != NULL ? O_PATH | O_DIRECTORY | O_CLOEXEC : OPEN_FLAGS;
            int fd = openat(at, *segment != '\0' ? segment : ".", open_flags | O_NOFOLLOW);
            code = fd < 0 ? -errno : 0;
            if (at != dir_fd) close(at);
            at = fd;
        }
        segment = slash != NULL ? slash + 1 : NULL;
    }
    if (code == 0) return at;
    if (at >= 0 && at != dir_fd) close(at);
    return code;
}

static int keep_fd(hfs_req_t *req, int fd) {
    struct stat facts;
    if (fd < 0) return fd;
    if (fstat(fd, &facts) < 0) {
        int code = -errno;
        close(fd);
        return code;
    }
    hfs_take_facts(&facts, &req->stat);
    req->result = fd;
    return 0;
}

int hfs_do_open_below(hfs_req_t *req) {
    if (req->path[0] == '/') return -EXDEV;
    int fd = open_by_kernel(req->fd, req->path, req->flags, 0);
    if (has_no_openat2(fd)) fd = walk(req->fd, req->path);
    return keep_fd(req, fd);
}

int hfs_try_open_below(int dir_fd, const char *path, int flags, hfs_stat_t *facts) {
    static int is_missing; /* set once; a race sets it to the same */
    struct stat found;
    if (__atomic_load_n(&is_missing, __ATOMIC_RELAXED)) return HV_EAGAIN;
    int fd = open_by_kernel(dir_fd, path, flags, RESOLVE_CACHED);
    if (has_no_openat2(fd) || fd == -EINVAL) {
        __atomic_store_n(&is_missing, 1, __ATOMIC_RELAXED);
        return HV_EAGAIN;
    }
    if (fd < 0) return fd;
    if (fstat(fd, &found) < 0) {
        int code = -errno;
        close(fd);
        return code;
    }
    hfs_take_facts(&found, facts);
    return fd;
}

int hfs_open_directory(const char *path) {
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

int hfs_do_open_any(hfs_req_t *req) {
    int fd;
    do {
        fd = open(req->path, OPEN_FLAGS);
    } while (fd < 0 && errno == EINTR);
    return keep_fd(req, fd < 0 ? -errno : fd);
}

/* ---- What is in memory ---- */

int64_t hfs_try_read(int fd, void *buf, size_t len, uint64_t offset) {
    struct iovec part = {.iov_base = buf, .iov_len = len};
    ssize_t got = preadv2(fd, &part, 1, (off_t)offset, RWF_NOWAIT);
    if (got >= 0) return got;
    /* A file system that cannot tell: have a thread do it. */
    return errno == EOPNOTSUPP || errno == EINTR ? HV_EAGAIN : -errno;
}

int hfs_is_cached(int fd, uint64_t offset, uint64_t len) {
    char byte;
    for (uint64_t at = 0; at < len; at += PROBE_BYTES) {
        if (hfs_try_read(fd, &byte, 1, offset + at) == HV_EAGAIN) return 0;
    }
    return len == 0 || hfs_try_read(fd, &byte, 1, offset + len - 1) != HV_EAGAIN;
}

/* By reading, because readahead(2) may return before the disk has answered. */
int hfs_do_prefetch(hfs_req_t *req) {
    char *buf = hv__malloc(PREFETCH_BUFFER);
    if (buf == NULL) return HV_ENOMEM;
    int code = 0;
    for (size_t at = 0; at < req->size && code == 0; at += PREFETCH_BUFFER) {
        size_t part = req->size - at < PREFETCH_BUFFER ? req->size - at : PREFETCH_BUFFER;
        ssize_t got = pread(req->fd, buf, part, (off_t)(req->offset + (int64_t)at));
        if (got < 0 && errno != EINTR) code = -errno;
        if (got == 0) break;
    }
    hv__free(buf);
    return code;
}
