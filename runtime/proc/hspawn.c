/* hspawn.c - starting programs by posix_spawn(3), and their ends by pidfd_open(2).
 *
 * The C library's posix_spawn shares our memory until the exec (no copy of page tables, however big
 * we are) and returns the errno of a failed one, with every signal blocked meanwhile. Descriptors
 * are put in place by dup2 in the child; everything from 3 on is closed there. Before that all that
 * is to be put in place is moved above 2, so that no dup2 overwrites what a later one needs.
 *
 * The end: a pidfd is readable when the process has ended. Where the kernel has none (before 5.3),
 * SIGCHLD is watched, and a timer looks as well, because a signal of the process reaches one loop
 * only. Children are always waited for by their own pid: another loop's child is never reaped.
 *
 * A child whose loop is freed while it runs is handed to a thread that does nothing but wait for
 * it, so that it leaves no zombie either. */
#include "hspawn.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "hspawn_int.h"
#include "hloop_int.h"
#include "hmem.h"

#define FALLBACK_LOOK_MS   250
#define REAPER_STACK_BYTES (64 * 1024)

extern char **environ;

struct hspawn_s {
    hevent_t ev; /* cb is on_exit */
    hspawn_t *next;
    hspawn_t *prev;
    hv__watcher_t watcher; /* of the pidfd; fd -1 without one */
    hv__defer_t exit_work; /* to call on_exit, in the fallback */
    pid_t pid;
    int flags;
    int is_reaped;
    int error;
    int exit_status;
    int term_signal;
    int is_told; /* its end; only the memory is left */
    hio_t *stdio[3];
};

/* What a loop keeps for its children. */
typedef struct nursery_s {
    hv__guest_t guest;
    hspawn_t *children;
    hsignal_t *on_sigchld; /* the fallback; NULL without one */
    htimer_t *look_timer;
} nursery_t;

int hv__spawn_without_pidfd;

static nursery_t *nursery_of(hloop_t *loop);

/* ---- The end of a child ---- */

static void keep_outcome(hspawn_t *child, const siginfo_t *info) {
    child->is_reaped = 1;
    if (info->si_code == CLD_EXITED) {
        child->exit_status = info->si_status;
    } else {
        child->term_signal = info->si_status;
    }
}

/* Reaps it if it has ended. Returns whether it has. */
static int has_ended(hspawn_t *child) {
    siginfo_t info = {0};
    int code;
    if (child->is_reaped) return 1;
    do {
        code = waitid(P_PID, (id_t)child->pid, &info, WEXITED | WNOHANG);
    } while (code < 0 && errno == EINTR);
    if (code == 0 && info.si_pid == 0) return 0;
    if (code == 0) {
        keep_outcome(child, &info);
    } else { /* somebody else has reaped it: how it ended is lost */
        child->is_reaped = 1;
        child->error = -errno;
    }
    return 1;
}

static void stop_watching(hspawn_t *child) {
    if (child->watcher.fd < 0) return;
    hv__unpend(child->ev.loop, &child->watcher.node);
    if (hv__watcher_find(child->ev.loop, child->watcher.fd) == &child->watcher) {
        hv__watcher_remove(&child->watcher, 0);
    }
    close(child->watcher.fd);
    child->watcher.fd = -1;
}

static void leave_nursery(nursery_t *nursery, hspawn_t *child) {
    if (child->prev != NULL) {
        child->prev->next = child->next;
    } else {
        nursery->children = child->next;
    }
    if (child->next != NULL) child->next->prev = child->prev;
}

/* The last step: the callback is called and the memory given back. Pipes live on their own. */
static void finish(hspawn_t *child) {
    hv__defer_cancel(child->ev.loop, &child->exit_work);
    stop_watching(child);
    hv__event_deactivate(&child->ev);
    child->is_told = 1;
    if (child->ev.cb != NULL) HV_DISPATCH(child->ev.loop, child->ev.cb(&child->ev));
    leave_nursery(nursery_of(child->ev.loop), child);
    hv__free(child);
}

static void on_pidfd_ready(hevent_t *ev) {
    hspawn_t *child = HV_CONTAINER_OF(ev, hspawn_t, watcher);
    if (has_ended(child)) finish(child);
}

/* ---- The end of a child, without pidfd ---- */

static void finish_later(hv__defer_t *work) {
    finish(HV_CONTAINER_OF(work, hspawn_t, exit_work));
}

static void look_at_children(nursery_t *nursery) {
    for (hspawn_t *child = nursery->children; child != NULL; child = child->next) {
        if (child->watcher.fd < 0 && has_ended(child)) {
            hv__defer(child->ev.loop, &child->exit_work, finish_later);
        }
    }
}

static void on_sigchld(hsignal_t *sig) { look_at_children(hevent_userdata(sig)); }
static void on_look(htimer_t *timer) { look_at_children(hevent_userdata(timer)); }

/* Returns 0 or a negative code. */
static int begin_looking(nursery_t *nursery, hloop_t *loop) {
    if (nursery->on_sigchld == NULL) {
        nursery->on_sigchld = hsignal_add(loop, on_sigchld, SIGCHLD);
        if (nursery->on_sigchld == NULL) return hloop_last_error(loop);
        hevent_set_userdata(nursery->on_sigchld, nursery);
        hevent_unref(nursery->on_sigchld);
    }
    if (nursery->look_timer == NULL) {
        nursery->look_timer = htimer_add(loop, on_look, FALLBACK_LOOK_MS, INFINITE);
        if (nursery->look_timer == NULL) return HV_ENOMEM;
        hevent_set_userdata(nursery->look_timer, nursery);
        hevent_unref(nursery->look_timer);
    }
    return 0;
}

/* ---- Children that outlive their loop ---- */

static void *reap(void *arg) {
    pid_t pid = (pid_t)(intptr_t)arg;
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) continue;
    return NULL;
}

static void hand_to_reaper(pid_t pid) {
    pthread_attr_t attr;
    pthread_t thread;
    sigset_t all, before;
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attr, REAPER_STACK_BYTES);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_create(&thread, &attr, reap, (void *)(intptr_t)pid);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attr);
}

/* hloop_free: whoever still runs is told off. */
static void close_nursery(hv__guest_t *guest) {
    nursery_t *nursery = (nursery_t *)guest;
    while (nursery->children != NULL) {
        hspawn_t *child = nursery->children;
        if (!has_ended(child)) {
            if (child->flags & HSPAWN_KILL) kill(child->pid, SIGKILL);
            hand_to_reaper(child->pid);
            child->is_reaped = 1; /* not ours any more */
            child->error = HV_ECANCELED;
        }
        finish(child);
    }
}

static void free_nursery(hv__guest_t *guest) { hv__free(guest); }

static const hv__guest_kind_t guest_kind = {close_nursery, free_nursery};

static nursery_t *nursery_of(hloop_t *loop) {
    return (nursery_t *)hv__guest_find(loop, &guest_kind);
}

/* Returns 0 or a negative code. */
static int open_nursery(hloop_t *loop) {
    if (hv__loop_is_ending(loop)) return HV_ECLOSED;
    if (nursery_of(loop) != NULL) return 0;
    nursery_t *nursery = hv__calloc(1, sizeof *nursery);
    if (nursery == NULL) return HV_ENOMEM;
    hv__guest_add(loop, &nursery->guest, &guest_kind);
    return 0;
}

/* ---- Watching a child ---- */

static int open_pidfd(pid_t pid) {
    if (hv__spawn_without_pidfd) return -ENOSYS;
#ifdef SYS_pidfd_open
    int fd = (int)syscall(SYS_pidfd_open, pid, 0); /* close-on-exec by itself */
    return fd < 0 ? -errno : fd;
#else
    return -ENOSYS;
#endif
}

static int watch_by_pidfd(hspawn_t *child) {
    hv__watcher_t *watcher = &child->watcher;
    int code = hv__watcher_add(child->ev.loop, watcher);
    if (code == 0) code = hv__watcher_set(watcher, HPOLL_READ);
    if (code != 0) stop_watching(child);
    return code;
}

/* ---- Descriptors of the child ---- */

/* What the child is to find at 0, 1 and 2, as descriptors of ours above 2; -1: nothing to do. */
typedef struct plan_s {
    int from[3];
    int ours[3];        /* our ends of the pipes, or -1 */
    int is_borrowed[3]; /* `from` is not to be closed by us */
} plan_t;

static void close_plan(plan_t *plan) {
    for (int i = 0; i < 3; i++) {
        if (plan->from[i] >= 0 && !plan->is_borrowed[i]) close(plan->from[i]);
        if (plan->ours[i] >= 0) close(plan->ours[i]);
    }
}

/* Moves a descriptor above 2. Closes the old one where it is ours. Returns the new one or a
 * code. */
static int move_up(int fd, int is_borrowed) {
    if (fd > 2) return fd;
    int moved = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    int code = moved < 0 ? -errno : moved;
    if (!is_borrowed) close(fd);
    return code;
}

static int plan_pipe(plan_t *plan, int i) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0) return -errno;
    int theirs = move_up(ends[i == 0 ? 0 : 1], 0);
    int mine = move_up(ends[i == 0 ? 1 : 0], 0);
    plan->from[i] = theirs < 0 ? -1 : theirs;
    plan->ours[i] = mine < 0 ? -1 : mine;
    return theirs < 0 ? theirs : mine < 0 ? mine : 0;
}

static int plan_one(plan_t *plan, int i, int wish) {
    int fd;
    switch (wish) {
    case HSPAWN_INHERIT: return 0;
    case HSPAWN_PIPE: return plan_pipe(plan, i);
    case HSPAWN_TO_STDOUT: return i == 2 ? 0 : HV_EINVAL;
    case HSPAWN_NULL:
        fd = open("/dev/null", (i == 0 ? O_RDONLY : O_WRONLY) | O_CLOEXEC);
        if (fd < 0) return -errno;
        fd = move_up(fd, 0);
        break;
    default:
        if (wish < 0) return HV_EINVAL;
        if (fcntl(wish, F_GETFD) < 0) return -errno;
        fd = move_up(wish, 1);
        plan->is_borrowed[i] = fd == wish;
        break;
    }
    if (fd < 0) return fd;
    plan->from[i] = fd;
    return 0;
}

static int make_plan(plan_t *plan, const int stdio[3]) {
    *plan = (plan_t){{-1, -1, -1}, {-1, -1, -1}, {0, 0, 0}};
    for (int i = 0; i < 3; i++) {
        int code = plan_one(plan, i, stdio[i]);
        if (code != 0) return code;
    }
    return 0;
}

/* ---- Starting ---- */

static int fill_actions(posix_spawn_file_actions_t *actions, const plan_t *plan,
                        const hspawn_options_t *options) {
    int code = 0;
    for (int i = 0; i < 3 && code == 0; i++) {
        if (plan->from[i] < 0) continue;
        code = posix_spawn_file_actions_adddup2(actions, plan->from[i], i);
    }
    if (code == 0 && options->stdio[2] == HSPAWN_TO_STDOUT) {
        code = posix_spawn_file_actions_adddup2(actions, 1, 2);
    }
    if (code == 0 && options->cwd != NULL) {
        code = posix_spawn_file_actions_addchdir_np(actions, options->cwd);
    }
    if (code == 0) code = posix_spawn_file_actions_addclosefrom_np(actions, 3);
    return -code;
}

static int fill_attributes(posix_spawnattr_t *attr, int flags) {
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    unsigned spawn_flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF;
    if (flags & HSPAWN_NEW_SESSION) {
        spawn_flags |= POSIX_SPAWN_SETSID; /* the leader of a session leads a group as well */
    } else if (flags & HSPAWN_NEW_GROUP) {
        spawn_flags |= POSIX_SPAWN_SETPGROUP;
    }
    posix_spawnattr_setsigmask(attr, &none);
    posix_spawnattr_setsigdefault(attr, &all);
    posix_spawnattr_setpgroup(attr, 0);
    return -posix_spawnattr_setflags(attr, (short)spawn_flags);
}

/* posix_spawn takes the strings as `char *const *` and leaves them as they are. */
static char *const *as_strings(const char *const *strings) {
    union {
        const char *const *in;
        char *const *out;
    } both = {.in = strings};
    return both.out;
}

/* Returns the pid or a negative code. */
static pid_t spawn(const hspawn_options_t *options, const plan_t *plan) {
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;
    pid_t pid = -1;
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attr);
    int code = fill_actions(&actions, plan, options);
    if (code == 0) code = fill_attributes(&attr, options->flags);
    if (code == 0) {
        const char *program = options->program != NULL ? options->program : options->argv[0];
        char *const *env = options->env != NULL ? as_strings(options->env) : environ;
        code = -posix_spawnp(&pid, program, &actions, &attr, as_strings(options->argv), env);
    }
    posix_spawnattr_destroy(&attr);
    posix_spawn_file_actions_destroy(&actions);
    return code != 0 ? code : pid;
}

/* Makes ios of our ends of the pipes. Returns 0 or a code. */
static int take_pipes(hspawn_t *child, plan_t *plan) {
    for (int i = 0; i < 3; i++) {
        if (plan->ours[i] < 0) continue;
        child->stdio[i] = hio_get(child->ev.loop, plan->ours[i]);
        if (child->stdio[i] == NULL) return hloop_last_error(child->ev.loop);
        plan->ours[i] = -1; /* the io's now */
    }
    return 0;
}

/* Everything that can fail is done before the program runs, but for the pidfd: where that cannot be
 * had the fallback, which needs nothing more, is there. */
static int start(hspawn_t *child, const hspawn_options_t *options, plan_t *plan) {
    hloop_t *loop = child->ev.loop;
    int code = make_plan(plan, options->stdio);
    if (code == 0) code = take_pipes(child, plan);
    if (code != 0) return code;
    child->pid = spawn(options, plan);
    if (child->pid < 0) return child->pid;
    int fd = open_pidfd(child->pid);
    if (fd >= 0) {
        child->watcher.fd = fd;
        if (watch_by_pidfd(child) == 0) return 0;
    }
    code = begin_looking(nursery_of(loop), loop);
    if (code == 0) return 0;
    kill(child->pid, SIGKILL);
    hand_to_reaper(child->pid);
    return code;
}

static hspawn_t *make_child(hloop_t *loop, const hspawn_options_t *options,
                            hspawn_exit_cb on_exit) {
    hspawn_t *child = hv__calloc(1, sizeof *child);
    if (child == NULL) return NULL;
    hv__event_init(loop, &child->ev, HEVENT_TYPE_CUSTOM, (hevent_cb)on_exit);
    hv__event_init(loop, &child->watcher.node.ev, HEVENT_TYPE_IO, on_pidfd_ready);
    child->watcher.node.ev.flags |= HEVENT_FLAG_INTERNAL;
    /* Last words come through pipes: they are read before the end is told. */
    child->watcher.node.ev.priority = HEVENT_LOWEST_PRIORITY;
    child->watcher.fd = -1;
    child->flags = options->flags;
    child->exit_status = -1;
    return child;
}

hspawn_t *hspawn_start(hloop_t *loop, const hspawn_options_t *options, hspawn_exit_cb on_exit) {
    if (options->argv == NULL || options->argv[0] == NULL) {
        loop->last_error = HV_EINVAL;
        return NULL;
    }
    plan_t plan = {{-1, -1, -1}, {-1, -1, -1}, {0, 0, 0}};
    int code = open_nursery(loop);
    hspawn_t *child = code == 0 ? make_child(loop, options, on_exit) : NULL;
    if (code == 0) code = child != NULL ? start(child, options, &plan) : HV_ENOMEM;
    close_plan(&plan);
    if (code == 0) {
        nursery_t *nursery = nursery_of(loop);
        child->next = nursery->children;
        if (child->next != NULL) child->next->prev = child;
        nursery->children = child;
        hv__event_activate(&child->ev);
        return child;
    }
    for (int i = 0; child != NULL && i < 3; i++) {
        if (child->stdio[i] != NULL) hio_close(child->stdio[i]);
    }
    hv__free(child);
    loop->last_error = code;
    return NULL;
}

/* ---- Facts and signals ---- */

hio_t *hspawn_stdio(const hspawn_t *child, int number) {
    return number >= 0 && number < 3 ? child->stdio[number] : NULL;
}

pid_t hspawn_pid(const hspawn_t *child) { return child->pid; }

/* A pid is not given to another process before it has been waited for, and that we do ourselves. */
int hspawn_kill(hspawn_t *child, int signo) {
    if (has_ended(child)) {
        /* Its end is told as usual; the pidfd stays readable. */
        int must_tell = child->watcher.fd < 0 && !child->is_told;
        if (must_tell) hv__defer(child->ev.loop, &child->exit_work, finish_later);
        return -ESRCH;
    }
    return kill(child->pid, signo) < 0 ? -errno : 0;
}

int hspawn_kill_group(hspawn_t *child, int signo) {
    if (!(child->flags & (HSPAWN_NEW_GROUP | HSPAWN_NEW_SESSION))) return HV_EINVAL;
    if (child->is_reaped) return -ESRCH;
    return kill(-child->pid, signo) < 0 ? -errno : 0;
}

int hspawn_error(const hspawn_t *child) { return child->error; }
int hspawn_exit_status(const hspawn_t *child) { return child->exit_status; }
int hspawn_term_signal(const hspawn_t *child) { return child->term_signal; }
