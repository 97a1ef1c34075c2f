/* hmain_workers.c - master_workers_run: functions that know nothing of workers, on top of
 * hmaster.h; and the case without worker processes, where one thread waits for signals and the
 * others work. */
#include "hproc_int.h"

#include "hassert.h"
#include "hlog.h"
#include "hmem.h"
#include "hthread.h"

#include <poll.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>

#define DRAIN_TIMEOUT_MS 30000

/* One at a time: g_main_ctx says what runs. */
static struct {
    atomic_bool is_running;
    hmaster_t *master; /* with processes */
    int stop_fd;       /* without: an eventfd */
    bool has_thread;
    hthread_t thread; /* of wait == false */
    sem_t is_known;   /* the outcome of the start, of wait == false */
    int outcome;
    bool has_outcome;
} group = {.stop_fd = -1};

/* ---- The work ---- */

static HTHREAD_ROUTINE(worker_thread) {
    (void)userdata;
    hlogi("worker_thread pid=%ld tid=%ld", hv_getpid(), hv_gettid());
    g_main_ctx.worker_fn(g_main_ctx.worker_userdata);
    return 0;
}

/* Runs the function in the calling thread and in as many more as are asked for. */
static void work_in_threads(void) {
    int more = g_main_ctx.worker_threads > 1 ? g_main_ctx.worker_threads - 1 : 0;
    hthread_t *threads = hv__calloc((size_t)more + 1, sizeof(*threads));
    if (threads == NULL) exit(1);
    for (int i = 0; i < more; i++) {
        threads[i] = hthread_create(worker_thread, NULL);
        if (threads[i] == 0) {
            hloge("worker_thread cannot be started: %s", herr_text(errno));
            exit(1);
        }
    }
    worker_thread(NULL);
    for (int i = 0; i < more; i++) hthread_join(threads[i]);
    hv__free(threads);
}

static void announce(int outcome) {
    if (group.has_outcome) return;
    group.has_outcome = true;
    group.outcome = outcome;
    if (group.has_thread) sem_post(&group.is_known);
}

/* ---- With processes ---- */

static void work(hworker_t *worker, void *userdata) {
    (void)userdata;
    hworker_ready(worker);
    work_in_threads();
}

static int on_reload(hmaster_t *master, void *userdata) {
    (void)master;
    (void)userdata;
    if (g_main_ctx.reload_fn != NULL) g_main_ctx.reload_fn(g_main_ctx.reload_userdata);
    return 0;
}

static void on_ready(hmaster_t *master, void *userdata) {
    (void)master;
    (void)userdata;
    announce(0);
}

static int run_processes(void) {
    int code = hmaster_run(group.master);
    announce(code);
    return code;
}

/* ---- Without ---- */

static HTHREAD_ROUTINE(work_and_tell) {
    (void)userdata;
    work_in_threads();
    uint64_t one = 1;
    ssize_t written = write(group.stop_fd, &one, sizeof(one));
    HV_ASSERT(written == (ssize_t)sizeof(one));
    return 0;
}

/* Threads that cannot be asked to end go with the process; handlers of atexit would pull the ground
 * from under them. */
static _Noreturn void end_process(void) {
    delete_pidfile();
    _exit(0);
}

/* Waits until the work is done or has to end. */
static void watch_threads(hworker_t *worker, int signal_fd) {
    bool is_stopping = false;
    for (;;) {
        struct pollfd polls[2] = {{.fd = signal_fd, .events = POLLIN},
                                  {.fd = group.stop_fd, .events = POLLIN}};
        int ready = poll(polls, 2, is_stopping ? DRAIN_TIMEOUT_MS : -1);
        if (ready == 0) end_process();
        int meaning = HMASTER_SIGNAL_NONE;
        struct signalfd_siginfo info;
        if (polls[0].revents != 0 && read(signal_fd, &info, sizeof(info)) > 0) {
            meaning = hv__master_signal_meaning((int)info.ssi_signo, is_stopping);
        }
        uint64_t count = 0;
        if (polls[1].revents != 0 && read(group.stop_fd, &count, sizeof(count)) > 0) {
            /* master_workers_stop adds 2^32, the end of the work 1. */
            if (count & UINT32_MAX) return;
            meaning = HMASTER_SIGNAL_STOP;
        }
        if (meaning == HMASTER_SIGNAL_RELOAD && g_main_ctx.reload_fn != NULL) {
            g_main_ctx.reload_fn(g_main_ctx.reload_userdata);
        } else if (meaning == HMASTER_SIGNAL_STOP_NOW) {
            end_process();
        } else if (meaning == HMASTER_SIGNAL_STOP) {
            is_stopping = true;
            if (hv__worker_drain(worker) == 0) end_process();
        }
    }
}

static int run_threads(void) {
    hworker_facts_t facts = {.control_fd = -1, .ask_fd = -1, .drain_timeout_ms = DRAIN_TIMEOUT_MS};
    hworker_t *worker = hv__worker_new(&facts);
    int signal_fd = hv__master_open_signals();
    group.stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    hthread_t thread = 0;
    int code = worker == NULL ? HV_ENOMEM : signal_fd < 0 ? signal_fd : 0;
    if (code == 0 && group.stop_fd < 0) code = -errno;
    if (code == 0) {
        thread = hthread_create(work_and_tell, NULL);
        if (thread == 0) code = -errno;
    }
    announce(code);
    if (code == 0) {
        hlogi("%s start/running, pid=%ld", g_main_ctx.program_name, hv_getpid());
        hv__main_is_started();
        watch_threads(worker, signal_fd);
        hthread_join(thread);
    }
    if (signal_fd >= 0) close(signal_fd);
    if (group.stop_fd >= 0) close(group.stop_fd);
    group.stop_fd = -1;
    if (worker != NULL) hv__worker_free(worker);
    return code;
}

/* ---- Either ---- */

static int run(void) {
    int code = group.master != NULL ? run_processes() : run_threads();
    if (!group.has_thread) hmaster_free(&group.master);
    if (!group.has_thread) atomic_store(&group.is_running, false);
    return code;
}

static HTHREAD_ROUTINE(run_thread) {
    (void)userdata;
    run();
    return 0;
}

static int run_beside(void) {
    sem_init(&group.is_known, 0, 0);
    group.has_thread = true;
    group.thread = hthread_create(run_thread, NULL);
    int code = group.thread == 0 ? -errno : 0;
    if (code == 0) {
        while (sem_wait(&group.is_known) != 0) continue; /* EINTR */
        code = group.outcome;
        if (code != 0) hthread_join(group.thread);
    }
    if (code != 0) {
        sem_destroy(&group.is_known);
        hmaster_free(&group.master);
        group.has_thread = false;
        atomic_store(&group.is_running, false);
    }
    return code;
}

int master_workers_run(procedure_t worker_fn, void *worker_userdata, int worker_processes,
                       int worker_threads, bool wait) {
    if (worker_fn == NULL || worker_processes < 0 || worker_threads < 0) return HV_EINVAL;
    if (atomic_exchange(&group.is_running, true)) return HV_EBUSY;
    if (worker_processes > MAXNUM_WORKER_PROCESSES) worker_processes = MAXNUM_WORKER_PROCESSES;
    g_main_ctx.worker_fn = worker_fn;
    g_main_ctx.worker_userdata = worker_userdata;
    g_main_ctx.worker_processes = worker_processes;
    g_main_ctx.worker_threads = worker_threads;
    group.has_outcome = false;
    if (worker_processes > 0) {
        hmaster_options_t options = {
            .workers = worker_processes,
            .work = work,
            .on_reload = on_reload,
            .on_ready = on_ready,
            .drain_timeout_ms = DRAIN_TIMEOUT_MS,
        };
        group.master = hmaster_new(&options);
        if (group.master == NULL) {
            atomic_store(&group.is_running, false);
            return -errno;
        }
    }
    /* In this thread too, before others inherit the mask: any thread that does not block a signal
     * may be given it. */
    sigset_t before;
    hv__master_block_signals(&before);
    int code = wait ? run() : run_beside();
    if (wait || code != 0) pthread_sigmask(SIG_SETMASK, &before, NULL);
    return code;
}

int master_workers_stop(void) {
    if (!atomic_load(&group.is_running)) return HV_ENOTFOUND;
    if (group.master != NULL) {
        hmaster_stop(group.master);
    } else {
        uint64_t stop = (uint64_t)1 << 32;
        if (write(group.stop_fd, &stop, sizeof(stop)) < 0) return -errno;
    }
    if (!group.has_thread) return 0;
    int code = hthread_join(group.thread);
    sem_destroy(&group.is_known);
    hmaster_free(&group.master);
    group.has_thread = false;
    atomic_store(&group.is_running, false);
    return code;
}
