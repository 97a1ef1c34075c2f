/* hmain_signal.c - "-s start|stop|restart|status|reload": talks to the process that holds the pid
 * file. A process descriptor is opened first and the holder asked for once more after that, so that
 * the signal reaches the holder or nobody, and the end of it can be waited for without polling. */
#include "hproc_int.h"

#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>

int signal_init(procedure_t reload_fn, void *reload_userdata) {
    g_main_ctx.reload_fn = reload_fn;
    g_main_ctx.reload_userdata = reload_userdata;
    return 0;
}

static void print_running(pid_t pid) {
    printf("%s start/running, pid=%ld\n", g_main_ctx.program_name, (long)pid);
}

static void print_stopped(void) { printf("%s stop/waiting\n", g_main_ctx.program_name); }

static _Noreturn void fail(const char *doing, pid_t pid, int code) {
    fprintf(stderr, "%s: cannot %s pid=%ld: %s\n", g_main_ctx.program_name, doing, (long)pid,
            herr_text(code));
    exit(1);
}

/* A descriptor of the process that holds the pid file now, -1 where none does any more. Ends the
 * program where it cannot be had. */
static int open_holder(pid_t pid, const char *doing) {
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (fd < 0 && errno != ESRCH) fail(doing, pid, errno);
    if (fd >= 0 && getpid_from_pidfile() == pid) return fd;
    if (fd >= 0) close(fd);
    return -1;
}

static void send_signal(int pidfd, pid_t pid, int signo, const char *doing) {
    if (syscall(SYS_pidfd_send_signal, pidfd, signo, NULL, 0) != 0 && errno != ESRCH) {
        fail(doing, pid, errno);
    }
}

static uint64_t now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Waits for the end of the process. Returns whether it came in time. */
static bool wait_for_end(int pidfd, int timeout_ms) {
    uint64_t until = now_ms() + (uint64_t)timeout_ms;
    for (;;) {
        uint64_t now = now_ms();
        struct pollfd wait = {.fd = pidfd, .events = POLLIN};
        int ready = poll(&wait, 1, now < until ? (int)(until - now) : 0);
        if (ready > 0) return true;
        if (ready == 0 && now >= until) return false;
    }
}

static void stop_process(void) {
    pid_t pid = getpid_from_pidfile();
    int pidfd = pid > 0 ? open_holder(pid, "stop") : -1;
    if (pidfd >= 0) {
        send_signal(pidfd, pid, SIGNAL_TERMINATE, "stop");
        bool has_ended = wait_for_end(pidfd, g_main_ctx.stop_timeout_ms);
        close(pidfd);
        if (!has_ended) fail("stop", pid, HV_ETIMEDOUT);
    }
    g_main_ctx.oldpid = -1;
    print_stopped();
}

static _Noreturn void reload_process(void) {
    pid_t pid = getpid_from_pidfile();
    int pidfd = pid > 0 ? open_holder(pid, "reload") : -1;
    if (pidfd < 0) {
        fprintf(stderr, "%s: cannot reload: not running\n", g_main_ctx.program_name);
        exit(1);
    }
    send_signal(pidfd, pid, SIGNAL_RELOAD, "reload");
    print_running(pid);
    exit(0);
}

void signal_handle(const char *signal) {
    pid_t pid = getpid_from_pidfile();
    g_main_ctx.oldpid = pid;
    if (strcmp(signal, "start") == 0) {
        if (pid > 0) {
            print_running(pid);
            exit(0);
        }
        hv__main_promise_start();
    } else if (strcmp(signal, "stop") == 0) {
        stop_process();
        exit(0);
    } else if (strcmp(signal, "restart") == 0) {
        if (pid > 0) stop_process();
        hv__main_promise_start();
    } else if (strcmp(signal, "status") == 0) {
        if (pid > 0) {
            print_running(pid);
        } else {
            print_stopped();
        }
        exit(pid > 0 ? 0 : 3); /* 3: the number that init scripts have for "not running" */
    } else if (strcmp(signal, "reload") == 0) {
        reload_process();
    } else {
        fprintf(stderr, "%s: unknown signal '%s': start, stop, restart, status or reload\n",
                g_main_ctx.program_name, signal);
        exit(1);
    }
    fflush(stdout);
}
