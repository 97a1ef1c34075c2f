/* hmain_pidfile.c - one process at a time. The record lock of fcntl(2) is what counts: the kernel
 * takes it back however its owner ends, gives it to nobody's children, and tells whose it is. The
 * number in the file is for people, and for tools that know no better.
 *
 * Such a lock is lost when its process closes any descriptor of the file, so the owner opens it
 * only once. A starter may lock a file that the owner before has just deleted: it then holds a file
 * without a name, notices that, and tries again. */
#include "hproc_int.h"

#include "hlog.h"
#include "hstr.h"

#include <sys/stat.h>

#define LOCK_TRIES_MAX 100

static int pidfile_fd = -1;
static pid_t pidfile_owner = -1;
static char pidfile_path[MAX_PATH];

bool hv__pidfile_is_mine(void) { return pidfile_fd >= 0 && pidfile_owner == getpid(); }

void hv__pidfile_forget(void) {
    if (pidfile_fd >= 0) close(pidfile_fd); /* locks are not inherited: this loses none */
    pidfile_fd = -1;
}

static int set_lock(int fd, int command, struct flock *lock) {
    *lock = (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int result;
    do {
        result = fcntl(fd, command, lock);
    } while (result != 0 && errno == EINTR);
    return result == 0 ? 0 : -errno;
}

/* The number in the file, or -1. */
static pid_t read_number(int fd) {
    char text[32];
    ssize_t bytes = pread(fd, text, sizeof(text), 0);
    if (bytes <= 0) return -1;
    hstr_t rest = {text, (size_t)bytes};
    hstr_t line;
    uint64_t number;
    if (!hstr_next(&rest, '\n', &line)) return -1;
    if (hstr_parse_u64(hstr_trim(line), INT32_MAX, &number) != 0 || number == 0) return -1;
    return (pid_t)number;
}

/* Who holds the lock; 0: nobody. */
static pid_t holder_of(int fd) {
    struct flock lock;
    if (set_lock(fd, F_GETLK, &lock) != 0 || lock.l_type == F_UNLCK) return 0;
    /* The owner may be in a pid namespace that this process cannot see. */
    return lock.l_pid > 0 ? lock.l_pid : read_number(fd);
}

static bool is_still_named(int fd, const char *path) {
    struct stat by_fd, by_path;
    if (fstat(fd, &by_fd) != 0 || stat(path, &by_path) != 0) return false;
    return by_fd.st_dev == by_path.st_dev && by_fd.st_ino == by_path.st_ino;
}

/* The pid of the process that holds `path`; -1 where none does. */
static pid_t holder_of_path(const char *path) {
    /* By the file, not by its name: to open and close it by another name would lose the lock. */
    if (hv__pidfile_is_mine() && is_still_named(pidfile_fd, path)) return pidfile_owner;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return -1;
    pid_t holder = holder_of(fd);
    close(fd);
    return holder > 0 ? holder : -1;
}

pid_t getpid_from_pidfile(void) { return holder_of_path(g_main_ctx.pidfile); }

/* Opens and locks the file. Returns its descriptor; HV_EBUSY with *holder set, or another code. */
static int open_locked(const char *path, pid_t *holder) {
    for (int i = 0; i < LOCK_TRIES_MAX; i++) {
        int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
        if (fd < 0) return -errno;
        struct flock lock;
        int code = set_lock(fd, F_SETLK, &lock);
        if (code == 0 && is_still_named(fd, path)) return fd;
        bool is_held = code == -EAGAIN || code == -EACCES;
        *holder = is_held ? holder_of(fd) : 0;
        close(fd);
        if (code != 0 && !is_held) return code;
        if (*holder != 0) return HV_EBUSY;
    }
    return HV_EBUSY;
}

static int complain(const char *path, int code, pid_t holder) {
    const char *name = g_main_ctx.program_name;
    if (code == HV_EBUSY) {
        fprintf(stderr, "%s: already running, pid=%ld (%s)\n", name, (long)holder, path);
    } else {
        fprintf(stderr, "%s: cannot write %s: %s\n", name, path, herr_text(code));
    }
    return code;
}

int create_pidfile(void) {
    static bool is_registered;
    const char *path = g_main_ctx.pidfile;
    if (hv__pidfile_is_mine()) return 0;
    pid_t holder = -1;
    int fd = open_locked(path, &holder);
    if (fd < 0) return complain(path, fd, holder);
    char text[32];
    int len = snprintf(text, sizeof(text), "%ld\n", (long)getpid());
    if (ftruncate(fd, 0) != 0 || pwrite(fd, text, (size_t)len, 0) != len) {
        int code = -errno;
        close(fd);
        return complain(path, code, -1);
    }
    pidfile_fd = fd;
    pidfile_owner = getpid();
    snprintf(pidfile_path, sizeof(pidfile_path), "%s", path);
    if (!is_registered) is_registered = atexit(delete_pidfile) == 0;
    hlogi("create_pidfile('%s') pid=%ld", path, (long)pidfile_owner);
    return 0;
}

void delete_pidfile(void) {
    if (!hv__pidfile_is_mine()) return;
    /* In this order: who locks the file from now on sees that its name has gone. */
    if (is_still_named(pidfile_fd, pidfile_path)) unlink(pidfile_path);
    hv__pidfile_forget();
    pidfile_owner = -1;
}
