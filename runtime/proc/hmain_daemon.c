/* hmain_daemon.c - into the background. Two forks: the first child becomes the leader of a new
 * session, the second can never get a terminal again. The starting process keeps one end of a pipe:
 * a byte means ready, its end without one that the daemon has gone before. */
#include "hproc_int.h"

static int ready_fd = -1;
static pid_t daemon_pid = -1; /* whose ready_fd it is */
static bool has_callers_streams; /* in the daemon and in its workers */

static void say(const char *what) {
    fprintf(stderr, "%s: %s\n", g_main_ctx.program_name, what);
}

static _Noreturn void wait_for_daemon(int fd) {
    char byte;
    ssize_t bytes;
    do {
        bytes = read(fd, &byte, 1);
    } while (bytes < 0 && errno == EINTR);
    if (bytes != 1) say("the daemon ended before it was ready");
    /* The daemon is a copy of this process: handlers of atexit and buffers are its own now. */
    _exit(bytes == 1 ? 0 : 1);
}

/* Points descriptor `fd` to /dev/null. */
static void make_null(int fd) {
    int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null_fd < 0) return;
    if (null_fd == fd) {
        fcntl(fd, F_SETFD, 0);
        return;
    }
    dup2(null_fd, fd);
    close(null_fd);
}

int hmain_daemon(void) {
    if (hv__pidfile_is_mine()) return HV_EBUSY;
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) return -errno;
    fflush(NULL);
    pid_t child = fork();
    if (child < 0) {
        int code = -errno;
        close(ends[0]);
        close(ends[1]);
        return code;
    }
    if (child > 0) {
        close(ends[1]);
        wait_for_daemon(ends[0]);
    }
    close(ends[0]);
    setsid();
    pid_t grandchild = fork();
    if (grandchild < 0) say(herr_text(errno));
    if (grandchild != 0) _exit(grandchild < 0 ? 1 : 0);
    ready_fd = ends[1];
    daemon_pid = g_main_ctx.pid = getpid();
    has_callers_streams = true;
    make_null(STDIN_FILENO);
    return 0;
}

void hmain_daemon_ready(void) {
    if (ready_fd < 0 || daemon_pid != getpid()) return;
    fflush(NULL);
    ssize_t written;
    do {
        written = write(ready_fd, "R", 1);
    } while (written < 0 && errno == EINTR);
    hv__daemon_forget();
    hv__daemon_let_streams_go();
}

void hv__daemon_let_streams_go(void) {
    if (!has_callers_streams) return;
    has_callers_streams = false;
    fflush(NULL);
    make_null(STDOUT_FILENO);
    make_null(STDERR_FILENO);
}

void hv__daemon_forget(void) {
    if (ready_fd >= 0) close(ready_fd);
    ready_fd = -1;
}
