/* hmaster.c - the master: waits for signals (signalfd), words of its workers, their ends, and
 * deadlines, and does everything from that one poll; nothing happens in a signal handler.
 *
 *     STARTING --all ready--> RUNNING <--new ones ready, or failed-- RELOADING
 *         |                      |   ------------on_reload--------------^
 *         one ended              stop
 *         +-------> STOPPING <---+        ends when no child is left
 *
 * Reload: a whole new generation is started beside the old one, on the same listening sockets. Only
 * when all of it is ready are the old workers told to finish; where one of it fails, the new ones
 * are told instead, and the old ones never noticed. A worker that ends by itself is started again,
 * at once the first time, then after waits that double: a worker that cannot live costs at most one
 * fork in restart_max_ms.
 *
 * The master has no loop of its own: a fork shares epoll sets and signal descriptors with the
 * child, and the child could not free its copy without reaching into the master's. */
#include "hmaster_int.h"

#include "hassert.h"
#include "hclock.h"
#include "hlog.h"
#include "hmem.h"
#include "hsocket.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/stat.h>

/* Generations that may be leaving while the next one serves. */
#define GENERATIONS_MAX 4

/* ---- Life ---- */

static uint32_t or_default(uint32_t value, uint32_t otherwise) {
    return value != 0 ? value : otherwise;
}

static int processors(void) {
    long count = sysconf(_SC_NPROCESSORS_ONLN);
    if (count < 1) return 1;
    return count < HMASTER_WORKERS_MAX ? (int)count : HMASTER_WORKERS_MAX;
}

hmaster_t *hmaster_new(const hmaster_options_t *options) {
    if (options->work == NULL || options->workers < 0 || options->workers > HMASTER_WORKERS_MAX) {
        errno = EINVAL;
        return NULL;
    }
    hmaster_t *master = hv__calloc(1, sizeof(*master));
    if (master == NULL) {
        errno = ENOMEM;
        return NULL;
    }
    hmaster_options_t *own = &master->options;
    *own = *options;
    if (own->workers == 0) own->workers = processors();
    own->drain_timeout_ms = or_default(own->drain_timeout_ms, 30000);
    own->ready_timeout_ms = or_default(own->ready_timeout_ms, 30000);
    own->restart_min_ms = or_default(own->restart_min_ms, 100);
    own->restart_max_ms = or_default(own->restart_max_ms, 30000);
    own->restart_calm_ms = or_default(own->restart_calm_ms, 10000);
    master->child_max = own->workers * GENERATIONS_MAX;
    master->children = hv__calloc((size_t)master->child_max, sizeof(*master->children));
    master->polls = hv__calloc((size_t)master->child_max * 2 + 2, sizeof(*master->polls));
    master->slots = hv__calloc((size_t)own->workers, sizeof(*master->slots));
    master->sockets = hv__calloc(HMASTER_SOCKETS_MAX, sizeof(*master->sockets));
    for (int i = 0; master->sockets != NULL && i < HMASTER_SOCKETS_MAX; i++) {
        master->sockets[i].fd = -1;
    }
    master->signal_fd = -1;
    master->command_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (master->children == NULL || master->polls == NULL || master->slots == NULL ||
        master->sockets == NULL || master->command_fd < 0) {
        int reason = master->command_fd < 0 ? errno : ENOMEM;
        hmaster_free(&master);
        errno = reason;
    }
    return master;
}

static void close_listeners(hmaster_t *master) {
    for (int i = 0; i < master->listener_count; i++) {
        hv__master_close_socket(master->listen_fds[i], master->listen_files[i]);
    }
    master->listener_count = 0;
    if (master->sockets != NULL) hv__master_sweep_sockets(master, true);
}

void hmaster_free(hmaster_t **master_ptr) {
    if (master_ptr == NULL || *master_ptr == NULL) return;
    hmaster_t *master = *master_ptr;
    *master_ptr = NULL;
    HV_ASSERT(master->child_count == 0);
    close_listeners(master);
    if (master->command_fd >= 0) close(master->command_fd);
    hv__free(master->children);
    hv__free(master->polls);
    hv__free(master->slots);
    hv__free(master->sockets);
    hv__free(master);
}

int hmaster_listen_fd(hmaster_t *master, int listen_fd) {
    if (master->listener_count == HMASTER_LISTENERS_MAX) return HV_ELIMIT;
    if (master->state != MASTER_IDLE) return HV_EBUSY;
    int code = nonblocking(listen_fd);
    if (code < 0) return code;
    master->listen_fds[master->listener_count] = listen_fd;
    master->listen_files[master->listener_count] = hv__master_file_of(listen_fd);
    return master->listener_count++;
}

int hmaster_listen(hmaster_t *master, const char *host, int port) {
    int fd = Listen(port, host);
    if (fd < 0) return fd;
    int code = hmaster_listen_fd(master, fd);
    if (code < 0) close(fd);
    return code;
}

int hmaster_port(const hmaster_t *master, int listener) {
    if (listener < 0 || listener >= master->listener_count) return HV_ENOTFOUND;
    sockaddr_u addr;
    socklen_t len = sizeof(addr);
    memset(&addr, 0, sizeof(addr));
    if (getsockname(master->listen_fds[listener], &addr.sa, &len) != 0) return -errno;
    return sockaddr_port(&addr);
}

/* ---- Asking, from any thread ---- */

static void ask(hmaster_t *master, atomic_bool *flag) {
    atomic_store(flag, true);
    uint64_t one = 1;
    ssize_t written = write(master->command_fd, &one, sizeof(one));
    (void)written; /* a counter that is full has woken the master already */
}

void hmaster_stop(hmaster_t *master) { ask(master, &master->stop_asked); }
void hmaster_reload(hmaster_t *master) { ask(master, &master->reload_asked); }

/* ---- Signals ---- */

static void fill_signals(sigset_t *signals) {
    static const int watched[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGCHLD};
    sigemptyset(signals);
    for (size_t i = 0; i < ARRAY_SIZE(watched); i++) sigaddset(signals, watched[i]);
}

void hv__master_block_signals(sigset_t *before) {
    sigset_t signals;
    fill_signals(&signals);
    pthread_sigmask(SIG_BLOCK, &signals, before);
}

int hv__master_open_signals(void) {
    sigset_t signals;
    fill_signals(&signals);
    int fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
    return fd >= 0 ? fd : -errno;
}

static bool has_terminal(void) {
    int fd = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (fd >= 0) close(fd);
    return fd >= 0;
}

int hv__master_signal_meaning(int signo, bool is_stopping) {
    switch (signo) {
    case SIGTERM: return HMASTER_SIGNAL_STOP;
    case SIGINT: return is_stopping ? HMASTER_SIGNAL_STOP_NOW : HMASTER_SIGNAL_STOP;
    case SIGUSR1: return HMASTER_SIGNAL_RELOAD;
    /* A terminal that goes away says so by this signal; without one it is what init scripts send.
     * */
    case SIGHUP: return has_terminal() ? HMASTER_SIGNAL_STOP : HMASTER_SIGNAL_RELOAD;
    default: return HMASTER_SIGNAL_NONE;
    }
}

/* ---- Stop ---- */

static void begin_stop(hmaster_t *master, int code) {
    if (master->state == MASTER_STOPPING) return;
    master->state = MASTER_STOPPING;
    master->exit_code = code;
    hlogi("master stop/waiting, pid=%ld", (long)master->pid);
    for (int i = 0; i < master->child_count; i++) hv__child_leave(master, &master->children[i]);
    close_listeners(master);
}

static void kill_all(hmaster_t *master) {
    for (int i = 0; i < master->child_count; i++) kill(master->children[i].pid, SIGKILL);
}

/* ---- Restart ---- */

static void plan_restart(hmaster_t *master, int slot_number, uint64_t lived_us) {
    hv__slot_t *slot = &master->slots[slot_number];
    const hmaster_options_t *options = &master->options;
    if (lived_us >= (uint64_t)options->restart_calm_ms * 1000) slot->failures = 0;
    uint64_t wait_ms = 0;
    if (slot->failures > 0) {
        int doublings = slot->failures - 1 < 31 ? slot->failures - 1 : 31;
        wait_ms = (uint64_t)options->restart_min_ms << doublings;
        if (wait_ms > options->restart_max_ms) wait_ms = options->restart_max_ms;
    }
    slot->failures++;
    slot->restart_at_us = hclock_mono_us() + wait_ms * 1000;
    hlogi("workers[%d] stop/waiting, restart in %u ms", slot_number, (unsigned)wait_ms);
}

static void start_due(hmaster_t *master) {
    if (master->state != MASTER_STARTING && master->state != MASTER_RUNNING) return;
    uint64_t now = hclock_mono_us();
    for (int i = 0; i < master->options.workers; i++) {
        hv__slot_t *slot = &master->slots[i];
        if (slot->restart_at_us == 0 || slot->restart_at_us > now) continue;
        slot->restart_at_us = 0;
        int code = hv__child_start(master, i, master->generation);
        if (code == 0) continue;
        hloge("workers[%d] cannot be started: %s", i, herr_text(code));
        plan_restart(master, i, 0);
    }
}

/* ---- Reload ---- */

static int count_ready(const hmaster_t *master, int generation) {
    int count = 0;
    for (int i = 0; i < master->child_count; i++) {
        const hv__child_t *child = &master->children[i];
        if (child->generation == generation && child->phase == CHILD_READY) count++;
    }
    return count;
}

static void leave_generation(hmaster_t *master, bool is_new) {
    for (int i = 0; i < master->child_count; i++) {
        hv__child_t *child = &master->children[i];
        if ((child->generation > master->generation) == is_new) hv__child_leave(master, child);
    }
}

static void give_up_reload(hmaster_t *master) {
    hloge("reload failed: the old workers stay");
    master->state = MASTER_RUNNING;
    leave_generation(master, true);
    /* Old workers that ended meanwhile were not replaced: the new ones stood in. */
    for (int slot = 0; slot < master->options.workers; slot++) {
        bool is_filled = master->slots[slot].restart_at_us != 0;
        for (int i = 0; i < master->child_count; i++) {
            const hv__child_t *child = &master->children[i];
            if (child->slot == slot && child->phase != CHILD_LEAVING) is_filled = true;
        }
        if (!is_filled) plan_restart(master, slot, 0);
    }
}

static void begin_reload(hmaster_t *master) {
    bool has_room = master->child_count + master->options.workers <= master->child_max;
    if (master->state != MASTER_RUNNING || !has_room) {
        if (master->state != MASTER_STOPPING && !master->is_reload_wanted) {
            hlogi("reload waits");
            master->is_reload_wanted = true;
        }
        return;
    }
    master->is_reload_wanted = false;
    hlogi("master reload, pid=%ld", (long)master->pid);
    if (master->options.on_reload != NULL &&
        master->options.on_reload(master, master->options.userdata) != 0) {
        hloge("reload refused: the old workers stay");
        return;
    }
    master->state = MASTER_RELOADING;
    for (int i = 0; i < master->options.workers; i++) {
        int code = hv__child_start(master, i, master->generation + 1);
        if (code == 0) continue;
        hloge("workers[%d] cannot be started: %s", i, herr_text(code));
        give_up_reload(master);
        return;
    }
}

static void finish_reload(hmaster_t *master) {
    leave_generation(master, false);
    master->generation++;
    master->state = MASTER_RUNNING;
    for (int i = 0; i < master->options.workers; i++) master->slots[i] = (hv__slot_t){0};
    hlogi("master reloaded, generation %d", master->generation);
}

/* Whether a wait for ready workers is over. */
static void check_ready(hmaster_t *master) {
    int workers = master->options.workers;
    if (master->state == MASTER_STARTING && count_ready(master, master->generation) == workers) {
        master->state = MASTER_RUNNING;
        hlogi("master start/running, pid=%ld", (long)master->pid);
        if (master->options.on_ready != NULL) {
            master->options.on_ready(master, master->options.userdata);
        }
        hv__main_is_started();
    } else if (master->state == MASTER_RELOADING &&
               count_ready(master, master->generation + 1) == workers) {
        finish_reload(master);
    }
    if (master->is_reload_wanted && master->state == MASTER_RUNNING) {
        bool has_room = master->child_count + workers <= master->child_max;
        if (has_room) begin_reload(master);
    }
}

/* A socket that no worker of the generation that serves has asked for goes when those before have
 * left, and not while one is missing that may ask for it. */
static void drop_sockets(hmaster_t *master) {
    bool is_settled = master->state == MASTER_RUNNING &&
                      master->child_count == master->options.workers &&
                      count_ready(master, master->generation) == master->options.workers;
    if (is_settled) hv__master_sweep_sockets(master, false);
}

/* ---- What happens ---- */

static void on_child_ended(hmaster_t *master, const hv__child_t *child, int wait_status) {
    char how[64];
    hv__child_describe(wait_status, how, sizeof(how));
    if (child->phase == CHILD_LEAVING) {
        hlogi("workers[%d] pid=%ld has left: %s", child->slot, (long)child->pid, how);
        return;
    }
    hloge("workers[%d] pid=%ld ended: %s", child->slot, (long)child->pid, how);
    if (master->state == MASTER_STARTING && child->phase == CHILD_STARTING) {
        /* What fails at the first attempt is a mistake to be told, not a crash to be repaired. */
        if (g_main_ctx.argc > 0) {
            fprintf(stderr, "%s: a worker ended before it was ready: %s\n",
                    g_main_ctx.program_name, how);
        }
        begin_stop(master, HV_ECANCELED);
    } else if (master->state == MASTER_RELOADING) {
        if (child->generation > master->generation) give_up_reload(master);
    } else if (master->state != MASTER_STOPPING) {
        plan_restart(master, child->slot, hclock_mono_us() - child->started_us);
    }
}

static void reap_children(hmaster_t *master) {
    hv__child_t ended;
    int wait_status;
    while (hv__child_reap(master, &ended, &wait_status)) {
        on_child_ended(master, &ended, wait_status);
    }
}

static void on_signal(hmaster_t *master, int signo) {
    switch (hv__master_signal_meaning(signo, master->state == MASTER_STOPPING)) {
    case HMASTER_SIGNAL_STOP: begin_stop(master, 0); break;
    case HMASTER_SIGNAL_STOP_NOW: kill_all(master); break;
    case HMASTER_SIGNAL_RELOAD: begin_reload(master); break;
    default: break;
    }
}

static void read_signals(hmaster_t *master) {
    struct signalfd_siginfo info;
    while (read(master->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        on_signal(master, (int)info.ssi_signo);
    }
}

static void read_commands(hmaster_t *master) {
    uint64_t count;
    ssize_t bytes = read(master->command_fd, &count, sizeof(count));
    (void)bytes; /* the flags are what counts */
    if (atomic_exchange(&master->reload_asked, false)) begin_reload(master);
    if (atomic_exchange(&master->stop_asked, false)) begin_stop(master, 0);
}

static void kill_late(hmaster_t *master) {
    uint64_t now = hclock_mono_us();
    for (int i = 0; i < master->child_count; i++) {
        hv__child_t *child = &master->children[i];
        if (child->deadline_us == 0 || child->deadline_us > now) continue;
        child->deadline_us = 0;
        hlogw("workers[%d] pid=%ld is not %s in time: killed", child->slot, (long)child->pid,
              child->phase == CHILD_LEAVING ? "done" : "ready");
        kill(child->pid, SIGKILL);
    }
}

/* ---- Waiting ---- */

static int next_timeout_ms(const hmaster_t *master) {
    uint64_t first = UINT64_MAX;
    for (int i = 0; i < master->child_count; i++) {
        uint64_t deadline = master->children[i].deadline_us;
        if (deadline != 0 && deadline < first) first = deadline;
    }
    for (int i = 0; i < master->options.workers; i++) {
        uint64_t restart_at = master->slots[i].restart_at_us;
        bool counts = restart_at != 0 && master->state != MASTER_RELOADING;
        if (counts && restart_at < first) first = restart_at;
    }
    if (first == UINT64_MAX) return -1;
    uint64_t now = hclock_mono_us();
    if (first <= now) return 0;
    uint64_t ms = (first - now + 999) / 1000;
    return ms < INT_MAX ? (int)ms : INT_MAX;
}

static void wait_and_read(hmaster_t *master) {
    struct pollfd *polls = master->polls;
    nfds_t count = 0;
    polls[count++] = (struct pollfd){.fd = master->signal_fd, .events = POLLIN};
    polls[count++] = (struct pollfd){.fd = master->command_fd, .events = POLLIN};
    for (int i = 0; i < master->child_count; i++) {
        polls[count++] = (struct pollfd){.fd = master->children[i].control_fd, .events = POLLIN};
        polls[count++] = (struct pollfd){.fd = master->children[i].ask_fd, .events = POLLIN};
    }
    if (poll(polls, count, next_timeout_ms(master)) < 0) return; /* EINTR */
    /* The children first: what is read below may change their table. */
    for (int i = 0; i < master->child_count; i++) {
        if (polls[2 * i + 2].revents != 0) hv__child_listen(master, &master->children[i]);
        if (polls[2 * i + 3].revents != 0) hv__child_answer(master, &master->children[i]);
    }
    if (polls[0].revents != 0) read_signals(master);
    if (polls[1].revents != 0) read_commands(master);
}

static int start_all(hmaster_t *master) {
    for (int i = 0; i < master->options.workers; i++) {
        int code = hv__child_start(master, i, master->generation);
        if (code != 0) return code;
    }
    return 0;
}

static void run(hmaster_t *master) {
    master->state = MASTER_STARTING;
    master->exit_code = 0;
    int code = start_all(master);
    if (code != 0) {
        hloge("workers cannot be started: %s", herr_text(code));
        begin_stop(master, code);
    }
    while (master->state != MASTER_STOPPING || master->child_count > 0) {
        wait_and_read(master);
        reap_children(master);
        kill_late(master);
        check_ready(master);
        drop_sockets(master);
        start_due(master);
    }
}

int hmaster_run(hmaster_t *master) {
    if (master->state != MASTER_IDLE) return HV_EBUSY;
    hv__master_block_signals(&master->mask_before);
    /* A parent may have left it ignored, and then children would not wait to be reaped. */
    void (*child_handler)(int) = signal(SIGCHLD, SIG_DFL);
    int code = master->signal_fd = hv__master_open_signals();
    if (code >= 0) {
        master->pid = getpid();
        if (g_main_ctx.argc > 0) setproctitle("%s: master process", g_main_ctx.program_name);
        run(master);
        code = master->exit_code;
        /* What came meanwhile has had its effect and must not end the process now. */
        struct signalfd_siginfo info;
        while (read(master->signal_fd, &info, sizeof(info)) > 0) continue;
        close(master->signal_fd);
        master->signal_fd = -1;
        master->state = MASTER_IDLE;
    }
    if (child_handler != SIG_ERR) signal(SIGCHLD, child_handler);
    pthread_sigmask(SIG_SETMASK, &master->mask_before, NULL);
    hlogi("master has ended, pid=%ld", (long)getpid());
    return code;
}
