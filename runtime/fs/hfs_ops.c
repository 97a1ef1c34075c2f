/* hfs_ops.c - the operations on files, each a function that blocks, run in a thread of the pool.
 *
 * What may block for ever must not: descriptors are opened non-blocking, which changes nothing for
 * files of a disk, and where a fifo or device has nothing to say hpool_wait_ready waits, which ends
 * when the loop is freed. */
#include "hfs_int.h"

#include <errno.h>
#include <sys/random.h>
#include <sys/stat.h>

/* Bytes that the first read of a file makes room for where its size is not told (/proc). */
#define UNKNOWN_SIZE_BYTES 16384

/* close(2) frees the descriptor also where it reports an error, so it is called once. */
static int close_fd(int fd) { return close(fd) < 0 && errno != EINTR ? -errno : 0; }

static int open_path(const char *path, int flags, int mode) {
    int fd;
    do {
        fd = open(path, flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, mode);
    } while (fd < 0 && errno == EINTR);
    return fd < 0 ? -errno : fd;
}

/* ---- Reading ---- */

/* One read, waiting where there is nothing yet. Returns bytes, 0 at the end, or a code. */
static ssize_t read_some(hfs_req_t *req, int fd, char *buf, size_t len, int64_t offset) {
    for (;;) {
        ssize_t count = offset >= 0 ? pread(fd, buf, len, offset) : read(fd, buf, len);
        if (count >= 0) return count;
        if (errno != EAGAIN && errno != EINTR) return -errno;
        int code = errno == EAGAIN ? hpool_wait_ready(req->fs->pool, fd, false) : 0;
        if (code != 0) return code;
    }
}

static int is_disk_file(int fd, struct stat *facts) {
    return fstat(fd, facts) == 0 && S_ISREG(facts->st_mode);
}

/* Reads to the end into a block that grows. One byte more than the limit is asked for, to tell a
 * file that is just as long from a longer one. */
static int read_all(hfs_req_t *req, int fd, size_t cap) {
    size_t len = 0;
    for (;;) {
        if (len == cap || req->data == NULL) {
            if (req->data != NULL) cap = cap > req->size / 2 ? req->size + 1 : cap * 2;
            char *grown = hv__realloc(req->data, cap + 1);
            if (grown == NULL) return HV_ENOMEM;
            req->data = grown;
        }
        ssize_t count = read_some(req, fd, req->data + len, cap - len, -1);
        if (count < 0) return (int)count;
        len += (size_t)count;
        if (len > req->size) return HV_ELIMIT;
        if (count == 0) break;
    }
    req->data[len] = '\0';
    req->result = (int64_t)len;
    return 0;
}

int hfs_do_read_file(hfs_req_t *req) {
    struct stat facts;
    int fd = open_path(req->path, O_RDONLY, 0);
    if (fd < 0) return fd;
    int code = 0;
    size_t cap = UNKNOWN_SIZE_BYTES;
    if (is_disk_file(fd, &facts)) {
        if ((uint64_t)facts.st_size > req->size) code = HV_ELIMIT;
        if (facts.st_size > 0) cap = (size_t)facts.st_size + 1;
    } else {
        /* A fifo that nobody has opened for writing yet would read as if it had ended. */
        code = hpool_wait_ready(req->fs->pool, fd, false);
    }
    if (cap > req->size + 1) cap = req->size + 1;
    if (code == 0) code = read_all(req, fd, cap);
    close_fd(fd);
    return code;
}

int hfs_do_read(hfs_req_t *req) {
    struct stat facts;
    int is_file = is_disk_file(req->fd, &facts);
    req->data = hv__malloc(req->size + 1);
    if (req->data == NULL) return HV_ENOMEM;
    size_t len = 0;
    while (len < req->size) {
        int64_t offset = req->offset < 0 ? -1 : req->offset + (int64_t)len;
        ssize_t count = read_some(req, req->fd, req->data + len, req->size - len, offset);
        if (count < 0) return (int)count;
        len += (size_t)count;
        if (count == 0 || !is_file) break;
    }
    req->data[len] = '\0';
    req->result = (int64_t)len;
    return 0;
}

/* ---- Writing ---- */

static int write_all(hfs_req_t *req, int fd, int64_t offset) {
    size_t len = 0;
    while (len < req->size) {
        const char *from = req->data + len;
        size_t left = req->size - len;
        ssize_t count = offset >= 0 ? pwrite(fd, from, left, offset + (int64_t)len)
                                    : write(fd, from, left);
        if (count >= 0) {
            len += (size_t)count;
            continue;
        }
        if (errno != EAGAIN && errno != EINTR) return -errno;
        int code = errno == EAGAIN ? hpool_wait_ready(req->fs->pool, fd, true) : 0;
        if (code != 0) return code;
    }
    req->result = (int64_t)len;
    return 0;
}

int hfs_do_write(hfs_req_t *req) { return write_all(req, req->fd, req->offset); }

/* Six letters and digits, of which any two draws differ with near certainty. */
static void fill_random(char *six) {
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789";
    uint64_t number = 0;
    if (getrandom(&number, sizeof number, 0) != (ssize_t)sizeof number) {
        number = (uint64_t)(uintptr_t)six ^ (uint64_t)time(NULL) * 2654435761u;
    }
    for (int i = 0; i < 6; i++) {
        six[i] = letters[number % 36];
        number /= 36;
    }
}

/* Makes what no other process has made, by drawing names for the last six characters of `path`. */
static int make_new(char *path, int mode, int is_directory) {
    char *six = path + strlen(path) - 6;
    for (int attempt = 0; attempt < 100; attempt++) {
        fill_random(six);
        int code = is_directory ? mkdir(path, (mode_t)mode) < 0 ? -errno : 0
                                : open_path(path, O_RDWR | O_CREAT | O_EXCL, mode);
        if (code != -EEXIST) return code;
    }
    return -EEXIST;
}

static int sync_directory_of(const char *path) {
    const char *slash = strrchr(path, '/');
    char *dir = slash == NULL ? hv__strndup(".", 1) : hv__strndup(path, (size_t)(slash - path) + 1);
    if (dir == NULL) return HV_ENOMEM;
    int fd = open_path(dir, O_RDONLY | O_DIRECTORY, 0);
    hv__free(dir);
    if (fd < 0) return fd;
    int code = fsync(fd) < 0 ? -errno : 0;
    close_fd(fd);
    return code;
}

/* Writes beside the file and puts the result in its place. */
static int write_atomically(hfs_req_t *req) {
    size_t bytes = strlen(req->path) + sizeof ".XXXXXX";
    char *beside = hv__malloc(bytes);
    if (beside == NULL) return HV_ENOMEM;
    snprintf(beside, bytes, "%s.XXXXXX", req->path);
    struct stat old;
    int had_file = stat(req->path, &old) == 0;
    int fd = make_new(beside, 0666, 0);
    int code = fd < 0 ? fd : 0;
    if (fd >= 0) {
        if (had_file && fchmod(fd, old.st_mode & 07777) < 0) code = -errno;
        if (code == 0) code = write_all(req, fd, -1);
        if (code == 0 && req->flags & HFS_SYNC && fsync(fd) < 0) code = -errno;
        int closed = close_fd(fd);
        if (code == 0) code = closed;
        if (code == 0 && rename(beside, req->path) < 0) code = -errno;
        if (code != 0) unlink(beside);
    }
    if (code == 0 && req->flags & HFS_SYNC) code = sync_directory_of(req->path);
    hv__free(beside);
    return code;
}

int hfs_do_write_file(hfs_req_t *req) {
    if (req->flags & HFS_ATOMIC) return write_atomically(req);
    int flags = O_WRONLY | O_CREAT;
    flags |= req->flags & HFS_APPEND ? O_APPEND : O_TRUNC;
    if (req->flags & HFS_EXCLUSIVE) flags |= O_EXCL;
    int fd = open_path(req->path, flags, 0666);
    if (fd < 0) return fd;
    int code = write_all(req, fd, -1);
    if (code == 0 && req->flags & HFS_SYNC && fsync(fd) < 0) code = -errno;
    int closed = close_fd(fd); /* a full disk or quota may be told only here */
    return code != 0 ? code : closed;
}

/* ---- Descriptors ---- */

int hfs_do_open(hfs_req_t *req) {
    int fd = open_path(req->path, req->flags, req->mode);
    if (fd < 0) return fd;
    req->result = fd;
    return 0;
}

int hfs_do_close(hfs_req_t *req) { return close_fd(req->fd); }

int hfs_do_fsync(hfs_req_t *req) { return fsync(req->fd) < 0 ? -errno : 0; }

int hfs_do_truncate(hfs_req_t *req) {
    int code;
    do {
        code = ftruncate(req->fd, req->offset) < 0 ? -errno : 0;
    } while (code == -EINTR);
    return code;
}

/* ---- Facts and names ---- */

hfs_type_e hfs_type_of_mode(mode_t mode) {
    switch (mode & S_IFMT) {
    case S_IFREG: return HFS_TYPE_FILE;
    case S_IFDIR: return HFS_TYPE_DIRECTORY;
    case S_IFLNK: return HFS_TYPE_LINK;
    case S_IFIFO: return HFS_TYPE_FIFO;
    case S_IFSOCK: return HFS_TYPE_SOCKET;
    case S_IFCHR: return HFS_TYPE_CHARACTER_DEVICE;
    case S_IFBLK: return HFS_TYPE_BLOCK_DEVICE;
    default: return HFS_TYPE_UNKNOWN;
    }
}

static int64_t microseconds(struct timespec when) {
    return (int64_t)when.tv_sec * 1000000 + when.tv_nsec / 1000;
}

void hfs_take_facts(const struct stat *facts, hfs_stat_t *out) {
    *out = (hfs_stat_t){
        .type = hfs_type_of_mode(facts->st_mode),
        .mode = facts->st_mode & 07777,
        .size = (uint64_t)facts->st_size,
        .mtime_us = microseconds(facts->st_mtim),
        .atime_us = microseconds(facts->st_atim),
        .ctime_us = microseconds(facts->st_ctim),
        .device = (uint64_t)facts->st_dev,
        .inode = (uint64_t)facts->st_ino,
        .link_count = (uint64_t)facts->st_nlink,
        .uid = facts->st_uid,
        .gid = facts->st_gid,
    };
}

static int keep_facts(hfs_req_t *req, int result, const struct stat *facts) {
    if (result < 0) return -errno;
    hfs_take_facts(facts, &req->stat);
    return 0;
}

int hfs_do_fstat(hfs_req_t *req) {
    struct stat facts;
    return keep_facts(req, fstat(req->fd, &facts), &facts);
}

int hfs_do_stat(hfs_req_t *req) {
    struct stat facts;
    int flags = req->flags & HFS_NO_FOLLOW ? AT_SYMLINK_NOFOLLOW : 0;
    return keep_facts(req, fstatat(AT_FDCWD, req->path, &facts, flags), &facts);
}

int hfs_do_rename(hfs_req_t *req) { return rename(req->path, req->path2) < 0 ? -errno : 0; }

int hfs_do_temp_file(hfs_req_t *req) {
    int fd = make_new(req->path, 0600, 0);
    if (fd < 0) return fd;
    req->result = fd;
    return 0;
}

int hfs_do_temp_dir(hfs_req_t *req) { return make_new(req->path, 0700, 1); }
