/* hmaster_child.c - one worker process as its master sees it: the fork, what it says on its socket,
 * the request to finish, the end. The child closes everything of the master's that it inherited, so
 * that the end of a socket really tells the end of a process. */
#include "hmaster_int.h"

#include "hassert.h"
#include "hclock.h"
#include "hlog.h"

#include <sys/prctl.h>
#include <sys/wait.h>

/* How much longer than a worker itself its master waits before it kills. */
#define KILL_GRACE_US 1000000u

static void reset_signals(const sigset_t *mask) {
    /* A terminal sends these to the whole group; what they mean is the master's to say. */
    static const int ignored[] = {SIGINT, SIGHUP, SIGUSR1};
    for (size_t i = 0; i < ARRAY_SIZE(ignored); i++) signal(ignored[i], SIG_IGN);
    signal(SIGTERM, SIG_DFL);
    signal(SIGCHLD, SIG_DFL);
    sigset_t own = *mask;
    sigdelset(&own, SIGTERM); /* whatever blocked it in the master */
    sigdelset(&own, SIGCHLD);
    pthread_sigmask(SIG_SETMASK, &own, NULL);
}

static void close_masters_descriptors(hmaster_t *master) {
    for (int i = 0; i < master->child_count; i++) {
        if (master->children[i].control_fd >= 0) close(master->children[i].control_fd);
        if (master->children[i].ask_fd >= 0) close(master->children[i].ask_fd);
    }
    for (int i = 0; i < HMASTER_SOCKETS_MAX; i++) {
        if (master->sockets[i].fd >= 0) close(master->sockets[i].fd);
        master->sockets[i].fd = -1;
    }
    close(master->signal_fd);
    close(master->command_fd);
    master->command_fd = master->signal_fd = -1;
    master->child_count = 0;
}

static _Noreturn void be_worker(hmaster_t *master, int slot, int generation, int control_fd,
                                int ask_fd) {
    close_masters_descriptors(master);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != master->pid) _exit(0); /* it has died before the line above */
    hv__main_forget_in_child();
    if (g_main_ctx.argc > 0) setproctitle("%s: worker process", g_main_ctx.program_name);
    hworker_facts_t facts = {
        .index = slot,
        .generation = generation,
        .control_fd = control_fd,
        .ask_fd = ask_fd,
        .listen_fds = master->listen_fds,
        .listener_count = master->listener_count,
        .drain_timeout_ms = master->options.drain_timeout_ms,
    };
    hworker_t *worker = hv__worker_new(&facts);
    if (worker == NULL) _exit(1);
    reset_signals(&master->mask_before);
    master->options.work(worker, master->options.userdata);
    exit(0);
}

/* Ours first. */
static int open_pairs(int ends[2], int ask_ends[2]) {
    int flags = SOCK_CLOEXEC | SOCK_NONBLOCK;
    if (socketpair(AF_UNIX, SOCK_STREAM | flags, 0, ends) != 0) return -errno;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | flags, 0, ask_ends) == 0) return 0;
    int code = -errno;
    close(ends[0]);
    close(ends[1]);
    return code;
}

int hv__child_start(hmaster_t *master, int slot, int generation) {
    if (master->child_count == master->child_max) return HV_ELIMIT;
    int ends[2], ask_ends[2];
    int code = open_pairs(ends, ask_ends);
    if (code != 0) return code;
    fflush(NULL); /* or both processes would write what is buffered */
    pid_t pid = fork();
    if (pid == 0) {
        close(ends[0]);
        close(ask_ends[0]);
        be_worker(master, slot, generation, ends[1], ask_ends[1]);
    }
    code = pid < 0 ? -errno : 0;
    close(ends[1]);
    close(ask_ends[1]);
    if (code != 0) {
        close(ends[0]);
        close(ask_ends[0]);
        return code;
    }
    uint64_t now = hclock_mono_us();
    master->children[master->child_count++] = (hv__child_t){
        .pid = pid,
        .slot = slot,
        .generation = generation,
        .control_fd = ends[0],
        .ask_fd = ask_ends[0],
        .started_us = now,
        .deadline_us = now + (uint64_t)master->options.ready_timeout_ms * 1000,
    };
    hlogi("workers[%d] start/running, pid=%ld", slot, (long)pid);
    return 0;
}

void hv__child_leave(hmaster_t *master, hv__child_t *child) {
    if (child->phase == CHILD_LEAVING) return;
    child->phase = CHILD_LEAVING;
    child->deadline_us = hclock_mono_us() + (uint64_t)master->options.drain_timeout_ms * 1000 +
                         KILL_GRACE_US;
    hv__child_listen(master, child); /* it may have attached a moment ago */
    char byte = HWORKER_MUST_DRAIN;
    bool is_told = child->is_attached && child->control_fd >= 0 &&
                   send(child->control_fd, &byte, 1, MSG_NOSIGNAL) == 1;
    if (!is_told) kill(child->pid, SIGTERM);
}

void hv__child_listen(hmaster_t *master, hv__child_t *child) {
    if (child->control_fd < 0) return;
    char said[16];
    ssize_t bytes = recv(child->control_fd, said, sizeof(said), 0);
    if (bytes == 0 || (bytes < 0 && errno != EAGAIN && errno != EINTR)) {
        close(child->control_fd);
        child->control_fd = -1;
    }
    for (ssize_t i = 0; i < bytes; i++) {
        if (said[i] == HWORKER_SAYS_ATTACHED) child->is_attached = true;
        if (said[i] == HWORKER_WANTS_RELOAD && child->phase != CHILD_LEAVING) {
            hmaster_reload(master);
        }
        if (said[i] == HWORKER_SAYS_READY && child->phase == CHILD_STARTING) {
            child->phase = CHILD_READY;
            child->deadline_us = 0;
        }
    }
}

bool hv__child_reap(hmaster_t *master, hv__child_t *ended, int *wait_status) {
    for (int i = 0; i < master->child_count; i++) {
        hv__child_t *child = &master->children[i];
        *wait_status = 0;
        /* By number, one after another: other children of this process are not ours to reap. */
        pid_t pid = waitpid(child->pid, wait_status, WNOHANG);
        if (pid == 0 || (pid < 0 && errno == EINTR)) continue;
        HV_DASSERT(pid < 0 || pid == child->pid);
        hv__child_listen(master, child); /* ready and gone in one moment is still ready */
        if (child->control_fd >= 0) close(child->control_fd);
        if (child->ask_fd >= 0) close(child->ask_fd);
        *ended = *child;
        *child = master->children[--master->child_count];
        return true;
    }
    return false;
}

void hv__child_describe(int wait_status, char *text, size_t size) {
    if (WIFSIGNALED(wait_status)) {
        int signo = WTERMSIG(wait_status);
        snprintf(text, size, "signal %d (%s)", signo, strsignal(signo));
    } else {
        snprintf(text, size, "exit status %d", WEXITSTATUS(wait_status));
    }
}
