/* Tests of runtime/proc/hmaster.c, hmaster_child.c and hworker.c: real servers in a forked process,
 * under load from threads of this one.
 *
 * The server answers every line with "<pid of the worker> <its generation>\n". What the tests and
 * the server's processes have to tell each other stands in `shared`. Waits poll for a condition and
 * fail after WAIT_MS; nothing is taken for granted because some time has passed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hlog.h"
#include "hmaster.h"
#include "hsocket.h"
#include "hthread.h"

#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

enum { WORKERS = 2, WAIT_MS = 30000, STARTS_MAX = 64 };

static struct shared_s {
    atomic_int starts;             /* workers forked so far */
    atomic_llong started_us[STARTS_MAX];
    atomic_int reloads;            /* on_reload calls */
    atomic_bool refuse_reload;
    atomic_bool fail_before_ready; /* workers exit with 3 */
    atomic_bool never_ready;       /* workers start and say nothing */
    atomic_bool crash_at_once;     /* workers exit with 4, once they are ready */
    atomic_bool listens_itself;    /* workers open the socket by hworker_listen */
    atomic_int own_port;           /* the port that it got */
} *shared;

static long long now_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (long long)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void rest(void) { poll(NULL, 0, 2); }

#define WAIT_FOR(condition)                                                \
    do {                                                                   \
        long long until = now_us() + WAIT_MS * 1000LL;                     \
        while (!(condition)) {                                             \
            if (now_us() > until) fail_msg("waited too long: " #condition); \
            rest();                                                        \
        }                                                                  \
    } while (0)

/* ---- The server ---- */

static hio_t *listener;
static int connections;
static bool is_draining;

static void finish_if_idle(hloop_t *loop) {
    if (is_draining && connections == 0) hloop_stop(loop);
}

static void on_close(hio_t *io) {
    connections--;
    finish_if_idle(hevent_loop(io));
}

static void on_line(hio_t *io, void *buf, int readbytes) {
    (void)buf;
    (void)readbytes;
    char answer[64];
    int len = snprintf(answer, sizeof(answer), "%ld %d\n", (long)getpid(),
                       hworker_generation(hworker_self()));
    hio_write(io, answer, (size_t)len);
}

static void on_accept(hio_t *io) {
    static unpack_setting_t lines = {.mode = UNPACK_BY_DELIMITER,
                                     .package_max_length = 4096,
                                     .delimiter = {'\n'},
                                     .delimiter_bytes = 1};
    connections++;
    hio_setcb_close(io, on_close);
    hio_setcb_read(io, on_line);
    hio_set_unpack(io, &lines);
    hio_read(io);
}

static void on_drain(hworker_t *worker, hloop_t *loop, void *userdata) {
    (void)userdata;
    assert(worker == hworker_self() && hworker_is_draining(worker));
    is_draining = true;
    hworker_stop_accepting(listener);
    finish_if_idle(loop);
}

/* A worker that says itself where it listens; it tells the port by `shared`. */
static hio_t *listen_by_itself(hworker_t *worker, hloop_t *loop) {
    int fd = hworker_listen(worker, "127.0.0.1", 0, 0, 0);
    hio_t *io = fd >= 0 ? haccept(loop, fd, on_accept) : NULL;
    if (io == NULL) return NULL;
    int own_port = sockaddr_port((sockaddr_u *)hio_localaddr(io)), before = 0;
    if (!atomic_compare_exchange_strong(&shared->own_port, &before, own_port) &&
        before != own_port) {
        _exit(8);
    }
    return io;
}

static void work(hworker_t *worker, void *userdata) {
    (void)userdata;
    int start = atomic_fetch_add(&shared->starts, 1);
    if (start < STARTS_MAX) atomic_store(&shared->started_us[start], now_us());
    if (atomic_load(&shared->fail_before_ready)) _exit(3);
    hloop_t *loop = hloop_new(0);
    listener = atomic_load(&shared->listens_itself)
                   ? listen_by_itself(worker, loop)
                   : hworker_accept(worker, loop, 0, on_accept);
    if (listener == NULL || hworker_attach(worker, loop, on_drain, NULL) != 0) _exit(5);
    if (!atomic_load(&shared->never_ready)) hworker_ready(worker);
    if (atomic_load(&shared->crash_at_once)) _exit(4);
    hloop_run(loop);
    hworker_detach(worker, loop);
    hloop_free(&loop);
}

static int on_reload(hmaster_t *master, void *userdata) {
    (void)master;
    (void)userdata;
    atomic_fetch_add(&shared->reloads, 1);
    return atomic_load(&shared->refuse_reload) ? -1 : 0;
}

static void on_ready(hmaster_t *master, void *userdata) {
    (void)master;
    const int *ready_fd = userdata;
    if (write(*ready_fd, "R", 1) != 1) _exit(6);
}

typedef struct server_s {
    pid_t pid;
    int port;
    int ready_fd; /* 'R' when it serves; its end when master and workers have gone */
} server_t;

static _Noreturn void run_server(int listen_fd, int ready_fd, const hmaster_options_t *options) {
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* a failed test leaves nothing behind */
    hmaster_options_t own = *options;
    own.work = work;
    own.on_reload = on_reload;
    own.on_ready = on_ready;
    own.userdata = &ready_fd;
    hmaster_t *master = hmaster_new(&own);
    if (master == NULL || hmaster_listen_fd(master, listen_fd) != 0) _exit(7);
    int code = hmaster_run(master);
    hmaster_free(&master);
    _exit(code == 0 ? 0 : 1);
}

static server_t start_server(const hmaster_options_t *options) {
    memset(shared, 0, sizeof(*shared));
    server_t server;
    int ends[2];
    int listen_fd = Listen(0, "127.0.0.1");
    assert_true(listen_fd >= 0);
    sockaddr_u addr;
    socklen_t len = sizeof(addr);
    assert_int_equal(getsockname(listen_fd, &addr.sa, &len), 0);
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    fflush(NULL);
    server.pid = fork();
    if (server.pid == 0) {
        close(ends[0]);
        run_server(listen_fd, ends[1], options);
    }
    close(listen_fd);
    close(ends[1]);
    server.ready_fd = ends[0];
    server.port = sockaddr_port(&addr);
    return server;
}

static server_t start_and_wait(const hmaster_options_t *options) {
    server_t server = start_server(options);
    char byte = 0;
    assert_int_equal(read(server.ready_fd, &byte, 1), 1);
    assert_int_equal(byte, 'R');
    return server;
}

/* Every process of the server has closed its copy of the pipe. */
static void expect_all_gone(server_t *server) {
    struct pollfd end = {.fd = server->ready_fd, .events = POLLIN};
    assert_int_equal(poll(&end, 1, WAIT_MS), 1);
    char byte;
    assert_int_equal(read(server->ready_fd, &byte, 1), 0);
    close(server->ready_fd);
}

static void expect_end(server_t *server, int status) {
    int got = -1;
    pid_t pid = 0;
    WAIT_FOR((pid = waitpid(server->pid, &got, WNOHANG)) != 0);
    assert_int_equal(pid, server->pid);
    assert_true(WIFEXITED(got));
    assert_int_equal(WEXITSTATUS(got), status);
    expect_all_gone(server);
}

static void stop(server_t *server) {
    kill(server->pid, SIGTERM);
    expect_end(server, 0);
}

/* ---- The client ---- */

static int try_connect(int port) {
    int fd = ConnectTimeout("127.0.0.1", port, WAIT_MS);
    if (fd >= 0) so_rcvtimeo(fd, WAIT_MS);
    return fd;
}

/* Sends a line and reads the answer. Returns whether it came whole. */
static bool ask(int fd, long *pid, int *generation) {
    char answer[64];
    size_t len = 0;
    if (send(fd, "x\n", 2, MSG_NOSIGNAL) != 2) return false;
    while (len == 0 || answer[len - 1] != '\n') {
        ssize_t bytes = recv(fd, answer + len, sizeof(answer) - 1 - len, 0);
        if (bytes <= 0) return false;
        len += (size_t)bytes;
    }
    answer[len] = '\0';
    return sscanf(answer, "%ld %d", pid, generation) == 2;
}

static int connect_to(int port, long *pid, int *generation) {
    int fd = try_connect(port);
    assert_true(fd >= 0);
    assert_true(ask(fd, pid, generation));
    return fd;
}

/* The generation that a new connection meets. */
static int generation_of(int port) {
    long pid;
    int generation;
    close(connect_to(port, &pid, &generation));
    return generation;
}

static bool is_refused(int port) {
    int fd = Connect("127.0.0.1", port, 0);
    if (fd >= 0) close(fd);
    return fd == HV_ECONNREFUSED;
}

static bool has_ended(long pid) { return kill((pid_t)pid, 0) != 0 && errno == ESRCH; }

/* Threads that connect, ask once and close, again and again. */
enum { CLIENTS = 4 };

typedef struct load_s {
    int port;
    atomic_bool is_over;
    atomic_int answered;
    atomic_int failed;
    hthread_t threads[CLIENTS];
} load_t;

static HTHREAD_ROUTINE(ask_again_and_again) {
    load_t *load = userdata;
    while (!atomic_load(&load->is_over)) {
        long pid;
        int generation;
        int fd = try_connect(load->port);
        bool is_good = fd >= 0 && ask(fd, &pid, &generation);
        atomic_fetch_add(is_good ? &load->answered : &load->failed, 1);
        if (fd >= 0) close(fd);
    }
    return 0;
}

static void begin_load(load_t *load, int port) {
    *load = (load_t){.port = port};
    for (int i = 0; i < CLIENTS; i++) {
        load->threads[i] = hthread_create(ask_again_and_again, load);
        assert_true(load->threads[i] != 0);
    }
    WAIT_FOR(atomic_load(&load->answered) > 100);
}

static void end_load(load_t *load) {
    int before = atomic_load(&load->answered);
    WAIT_FOR(atomic_load(&load->answered) > before + 100);
    atomic_store(&load->is_over, true);
    for (int i = 0; i < CLIENTS; i++) hthread_join(load->threads[i]);
}

/* ---- Start and stop ---- */

static void test_master_starts_and_stops(void **state) {
    (void)state;
    server_t server = start_and_wait(&(hmaster_options_t){.workers = WORKERS});
    assert_int_equal(atomic_load(&shared->starts), WORKERS);
    assert_int_equal(generation_of(server.port), 0);
    stop(&server);
    assert_true(is_refused(server.port));
    assert_int_equal(atomic_load(&shared->starts), WORKERS);
}

static void test_master_tells_that_its_first_workers_failed(void **state) {
    (void)state;
    /* Set before anything is forked: start_server clears it, so the test forks by itself. */
    memset(shared, 0, sizeof(*shared));
    atomic_store(&shared->fail_before_ready, true);
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        hmaster_options_t options = {.workers = WORKERS, .work = work};
        hmaster_t *master = hmaster_new(&options);
        int code = master != NULL ? hmaster_listen(master, "127.0.0.1", 0) : -1;
        if (code == 0 && hmaster_port(master, 0) > 0) code = hmaster_run(master);
        _exit(code == HV_ECANCELED ? 42 : 1);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(WEXITSTATUS(status), 42);
    /* Not again and again. */
    assert_in_range(atomic_load(&shared->starts), 1, WORKERS);
}

static void test_master_gives_up_a_start_that_never_gets_ready(void **state) {
    (void)state;
    memset(shared, 0, sizeof(*shared));
    atomic_store(&shared->never_ready, true);
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        hmaster_options_t options = {.workers = WORKERS, .work = work, .ready_timeout_ms = 30};
        hmaster_t *master = hmaster_new(&options);
        if (master == NULL || hmaster_listen(master, "127.0.0.1", 0) != 0) _exit(1);
        _exit(hmaster_run(master) < 0 ? 42 : 1);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(WEXITSTATUS(status), 42);
}

static void test_stop_lets_what_was_begun_finish(void **state) {
    (void)state;
    server_t server = start_and_wait(&(hmaster_options_t){.workers = WORKERS});
    long pid, again;
    int generation;
    int fd = connect_to(server.port, &pid, &generation);
    assert_int_equal(send(fd, "half a", 6, 0), 6);
    kill(server.pid, SIGTERM);
    WAIT_FOR(is_refused(server.port));
    assert_int_equal(send(fd, " line\n", 6, 0), 6);
    assert_true(ask(fd, &again, &generation)); /* its answer, and one to the line it sends */
    assert_int_equal(again, pid);
    close(fd);
    expect_end(&server, 0);
}

static void test_stop_ends_what_does_not_finish_in_time(void **state) {
    (void)state;
    server_t server =
        start_and_wait(&(hmaster_options_t){.workers = WORKERS, .drain_timeout_ms = 50});
    long pid;
    int generation;
    int fd = connect_to(server.port, &pid, &generation);
    stop(&server);
    char byte;
    assert_int_equal(recv(fd, &byte, 1, 0), 0);
    close(fd);
}

static void test_stop_is_immediate_at_the_second_interrupt(void **state) {
    (void)state;
    server_t server = start_and_wait(&(hmaster_options_t){.workers = WORKERS});
    long pid;
    int generation;
    int fd = connect_to(server.port, &pid, &generation);
    kill(server.pid, SIGINT);
    WAIT_FOR(is_refused(server.port));
    assert_int_equal(kill((pid_t)pid, 0), 0); /* it waits for us */
    kill(server.pid, SIGINT);
    expect_end(&server, 0);
    close(fd);
}

static void test_stop_answers_every_connection_that_was_made(void **state) {
    (void)state;
    enum { QUEUED = 20 };
    server_t server = start_and_wait(&(hmaster_options_t){.workers = 1});
    long worker, pid;
    int generation, fds[QUEUED];
    int held = connect_to(server.port, &worker, &generation);
    kill((pid_t)worker, SIGSTOP); /* so that the others stay in the queue */
    for (int i = 0; i < QUEUED; i++) {
        fds[i] = try_connect(server.port);
        assert_true(fds[i] >= 0);
    }
    kill(server.pid, SIGTERM);
    kill((pid_t)worker, SIGCONT);
    for (int i = 0; i < QUEUED; i++) {
        assert_true(ask(fds[i], &pid, &generation));
        assert_int_equal(pid, worker);
        close(fds[i]);
    }
    close(held);
    expect_end(&server, 0);
}

/* ---- Crash ---- */

static void test_crash_costs_its_own_connections_only_and_is_repaired(void **state) {
    (void)state;
    server_t server = start_and_wait(&(hmaster_options_t){.workers = WORKERS});
    load_t load;
    begin_load(&load, server.port);
    long victim, other;
    int generation;
    int lost = connect_to(server.port, &victim, &generation);
    kill((pid_t)victim, SIGSTOP); /* so that the other one is met next */
    int kept = connect_to(server.port, &other, &generation);
    assert_int_not_equal(other, victim);

    kill((pid_t)victim, SIGKILL);
    char byte;
    assert_true(recv(lost, &byte, 1, 0) <= 0);
    close(lost);
    long pid;
    assert_true(ask(kept, &pid, &generation));
    assert_int_equal(pid, other);
    WAIT_FOR(atomic_load(&shared->starts) == WORKERS + 1);

    /* The new one takes its share. */
    bool has_met_new = false;
    WAIT_FOR(({
        int fd = connect_to(server.port, &pid, &generation);
        close(fd);
        assert_int_not_equal(pid, victim);
        if (pid != other) has_met_new = true;
        has_met_new;
    }));
    end_load(&load);
    /* Each client had at most one connection with the victim. */
    assert_in_range(atomic_load(&load.failed), 0, CLIENTS);
    close(kept);
    stop(&server);
}

static void test_crash_again_and_again_is_restarted_ever_later(void **state) {
    (void)state;
    server_t server = start_and_wait(
        &(hmaster_options_t){.workers = 1, .restart_min_ms = 20, .restart_max_ms = 80});
    long pid;
    int generation;
    int fd = connect_to(server.port, &pid, &generation);
    close(fd);
    atomic_store(&shared->crash_at_once, true);
    kill((pid_t)pid, SIGKILL);
    WAIT_FOR(atomic_load(&shared->starts) >= 8);
    /* At once, then 20, 40, 80, 80 ...: never earlier; how much later is not ours to say. */
    static const long long least_us[] = {0, 20000, 40000, 80000, 80000, 80000};
    for (int i = 0; i < 6; i++) {
        long long gap = atomic_load(&shared->started_us[i + 2]) -
                        atomic_load(&shared->started_us[i + 1]);
        assert_true(gap >= least_us[i]);
    }
    /* A worker that lives again is let live. */
    atomic_store(&shared->crash_at_once, false);
    int answered = 0;
    WAIT_FOR(({
        fd = try_connect(server.port);
        if (fd >= 0 && ask(fd, &pid, &generation)) answered++;
        if (fd >= 0) close(fd);
        answered == 3;
    }));
    stop(&server);
}

static void test_stop_during_the_wait_for_a_restart_ends_at_once(void **state) {
    (void)state;
    server_t server = start_and_wait(&(hmaster_options_t){
        .workers = 1, .restart_min_ms = 1000000, .restart_max_ms = 1000000});
    long pid;
    int generation;
    close(connect_to(server.port, &pid, &generation));
    atomic_store(&shared->crash_at_once, true);
    kill((pid_t)pid, SIGKILL);
    WAIT_FOR(atomic_load(&shared->starts) == 2);
    stop(&server);
    assert_int_equal(atomic_load(&shared->starts), 2);
}

static void test_workers_finish_when_their_master_is_killed(void **state) {
    (void)state;
    server_t server = start_and_wait(&(hmaster_options_t){.workers = WORKERS});
    long pid;
    int generation;
    int fd = connect_to(server.port, &pid, &generation);
    kill(server.pid, SIGKILL);
    assert_int_equal(waitpid(server.pid, NULL, 0), server.pid);
    WAIT_FOR(is_refused(server.port));
    long again;
    assert_true(ask(fd, &again, &generation)); /* they drain, as at a stop */
    assert_int_equal(again, pid);
    close(fd);
    expect_all_gone(&server);
}

/* ---- Reload ---- */

static void test_reload_under_load_loses_no_request(void **state) {
    (void)state;
    enum { RELOADS = 5 };
    server_t server = start_and_wait(&(hmaster_options_t){.workers = WORKERS});
    load_t load;
    begin_load(&load, server.port);
    for (int i = 1; i <= RELOADS; i++) {
        kill(server.pid, SIGUSR1);
        WAIT_FOR(generation_of(server.port) == i);
    }
    end_load(&load);
    assert_int_equal(atomic_load(&load.failed), 0);
    assert_true(atomic_load(&load.answered) > 200);
    assert_int_equal(atomic_load(&shared->reloads), RELOADS);
    /* The generation was met as soon as its first worker was there. */
    WAIT_FOR(atomic_load(&shared->starts) == WORKERS * (RELOADS + 1));
    stop(&server);
}

static void test_reload_leaves_open_connections_with_their_worker(void **state) {
    (void)state;
    server_t server = start_and_wait(&(hmaster_options_t){.workers = WORKERS});
    long old, pid;
    int generation;
    int fd = connect_to(server.port, &old, &generation);
    kill(server.pid, SIGUSR1);
    WAIT_FOR(generation_of(server.port) == 1);
    assert_true(ask(fd, &pid, &generation));
    assert_int_equal(pid, old);
    assert_int_equal(generation, 0);
    close(fd);
    WAIT_FOR(has_ended(old));
    stop(&server);
}

/* Old and new ones meet the same queue while one generation leaves: none of the old may be met once
 * the new one was alone, and nothing may wait for a worker that has left. */
static void test_reload_while_quiet_leaves_no_connection_waiting(void **state) {
    (void)state;
    server_t server = start_and_wait(&(hmaster_options_t){.workers = WORKERS});
    for (int i = 1; i <= 20; i++) {
        kill(server.pid, SIGUSR1);
        /* One connection at a time: were a wake-up lost, nobody would come to repeat it. */
        WAIT_FOR(generation_of(server.port) == i);
    }
    stop(&server);
}

static void test_reload_that_fails_keeps_the_old_workers(void **state) {
    (void)state;
    server_t server = start_and_wait(&(hmaster_options_t){.workers = WORKERS});
    long old, pid;
    int generation;
    int fd = connect_to(server.port, &old, &generation);
    atomic_store(&shared->fail_before_ready, true);
    load_t load;
    begin_load(&load, server.port);
    kill(server.pid, SIGUSR1);
    WAIT_FOR(atomic_load(&shared->starts) > WORKERS);
    assert_true(ask(fd, &pid, &generation));
    assert_int_equal(pid, old);
    end_load(&load);
    assert_int_equal(atomic_load(&load.failed), 0);
    assert_int_equal(generation_of(server.port), 0);

    /* And the next one may succeed. The first signal may fall into the end of the failed reload,
     * so more than one generation may pass. */
    atomic_store(&shared->fail_before_ready, false);
    kill(server.pid, SIGUSR1);
    WAIT_FOR(generation_of(server.port) >= 1);
    assert_true(ask(fd, &pid, &generation));
    assert_int_equal(pid, old);
    close(fd);
    stop(&server);
}

static void test_reload_that_is_refused_starts_nothing(void **state) {
    (void)state;
    server_t server = start_and_wait(&(hmaster_options_t){.workers = WORKERS});
    atomic_store(&shared->refuse_reload, true);
    kill(server.pid, SIGUSR1);
    WAIT_FOR(atomic_load(&shared->reloads) == 1);
    stop(&server);
    assert_int_equal(atomic_load(&shared->starts), WORKERS);
}

/* Processes that the server's master has. */
static int count_workers(pid_t master) {
    char path[64], text[4096];
    snprintf(path, sizeof(path), "/proc/%ld/task/%ld/children", (long)master, (long)master);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    size_t len = fread(text, 1, sizeof(text), file);
    fclose(file);
    int count = 0;
    for (size_t i = 0; i < len; i++) count += text[i] == ' ';
    return count;
}

static void test_reloads_in_a_row_are_not_lost_nor_piled_up(void **state) {
    (void)state;
    server_t server = start_and_wait(&(hmaster_options_t){.workers = WORKERS});
    long pids[16];
    int generation, fds[16];
    /* Each generation is kept from leaving by a connection of ours. */
    for (int i = 0; i < 16; i++) {
        fds[i] = connect_to(server.port, &pids[i], &generation);
        kill(server.pid, SIGUSR1);
        assert_in_range(count_workers(server.pid), WORKERS, WORKERS * 4);
    }
    WAIT_FOR(generation_of(server.port) >= 1);
    assert_in_range(count_workers(server.pid), WORKERS, WORKERS * 4);
    for (int i = 0; i < 16; i++) close(fds[i]);
    int before = generation_of(server.port);
    kill(server.pid, SIGUSR1);
    WAIT_FOR(generation_of(server.port) > before);
    stop(&server);
}

/* ---- Sockets that workers ask for ---- */

static void test_socket_that_workers_ask_for_outlives_them(void **state) {
    (void)state;
    /* The first workers have the master's listener; those after a reload ask for one. */
    server_t server = start_and_wait(&(hmaster_options_t){.workers = WORKERS});
    atomic_store(&shared->listens_itself, true);
    kill(server.pid, SIGUSR1);
    int own_port = 0;
    WAIT_FOR((own_port = atomic_load(&shared->own_port)) != 0);
    WAIT_FOR(generation_of(own_port) == 1);
    load_t load;
    begin_load(&load, own_port);
    for (int i = 2; i <= 4; i++) {
        kill(server.pid, SIGUSR1);
        WAIT_FOR(generation_of(own_port) == i);
    }
    end_load(&load);
    assert_int_equal(atomic_load(&load.failed), 0);
    assert_int_equal(atomic_load(&shared->own_port), own_port); /* or a worker had ended with 8 */

    /* Nobody of the next generation wants it: it closes when the others have left. */
    atomic_store(&shared->listens_itself, false);
    kill(server.pid, SIGUSR1);
    WAIT_FOR(is_refused(own_port));
    stop(&server);
}

/* ---- In this process ---- */

static void test_master_refuses_bad_options(void **state) {
    (void)state;
    assert_null(hmaster_new(&(hmaster_options_t){.workers = 1}));
    assert_int_equal(errno, EINVAL);
    assert_null(hmaster_new(&(hmaster_options_t){.workers = -1, .work = work}));
    assert_null(
        hmaster_new(&(hmaster_options_t){.workers = HMASTER_WORKERS_MAX + 1, .work = work}));
}

static void test_master_listens_and_cleans_up(void **state) {
    (void)state;
    char path[64];
    snprintf(path, sizeof(path), "/tmp/test_hmaster_%ld.sock", (long)getpid());
    hmaster_t *master = hmaster_new(&(hmaster_options_t){.work = work});
    assert_non_null(master);
    assert_int_equal(hmaster_listen(master, "127.0.0.1", 0), 0);
    assert_int_equal(hmaster_listen(master, path, 0), 1);
    int port = hmaster_port(master, 0);
    assert_in_range(port, 1, 65535);
    assert_int_equal(hmaster_port(master, 2), HV_ENOTFOUND);
    assert_int_equal(hmaster_listen(master, "127.0.0.1", port), HV_EADDRINUSE);
    assert_int_equal(access(path, F_OK), 0);
    hmaster_free(&master);
    assert_null(master);
    assert_int_equal(access(path, F_OK), -1);
    assert_true(is_refused(port));
    hmaster_free(&master);
}

static void test_master_leaves_the_file_that_has_taken_its_sockets_name(void **state) {
    (void)state;
    char path[64];
    snprintf(path, sizeof(path), "/tmp/test_hmaster_%ld.sock", (long)getpid());
    hmaster_t *first = hmaster_new(&(hmaster_options_t){.work = work});
    hmaster_t *second = hmaster_new(&(hmaster_options_t){.work = work});
    assert_int_equal(hmaster_listen(first, path, 0), 0);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(hmaster_listen(second, path, 0), 0);
    hmaster_free(&first);
    assert_int_equal(access(path, F_OK), 0);
    hmaster_free(&second);
    assert_int_equal(access(path, F_OK), -1);
}

static void test_master_has_no_worker_of_its_own(void **state) {
    (void)state;
    assert_null(hworker_self());
}

int main(void) {
    hlog_set_handler(stderr_logger);
    hlog_set_level(getenv("HV_TEST_LOG") != NULL ? LOG_LEVEL_DEBUG : LOG_LEVEL_SILENT);
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) return 1;
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_master_refuses_bad_options),
        cmocka_unit_test(test_master_listens_and_cleans_up),
        cmocka_unit_test(test_master_leaves_the_file_that_has_taken_its_sockets_name),
        cmocka_unit_test(test_master_has_no_worker_of_its_own),
        cmocka_unit_test(test_master_starts_and_stops),
        cmocka_unit_test(test_master_tells_that_its_first_workers_failed),
        cmocka_unit_test(test_master_gives_up_a_start_that_never_gets_ready),
        cmocka_unit_test(test_stop_lets_what_was_begun_finish),
        cmocka_unit_test(test_stop_ends_what_does_not_finish_in_time),
        cmocka_unit_test(test_stop_is_immediate_at_the_second_interrupt),
        cmocka_unit_test(test_stop_answers_every_connection_that_was_made),
        cmocka_unit_test(test_crash_costs_its_own_connections_only_and_is_repaired),
        cmocka_unit_test(test_crash_again_and_again_is_restarted_ever_later),
        cmocka_unit_test(test_stop_during_the_wait_for_a_restart_ends_at_once),
        cmocka_unit_test(test_workers_finish_when_their_master_is_killed),
        cmocka_unit_test(test_reload_under_load_loses_no_request),
        cmocka_unit_test(test_reload_leaves_open_connections_with_their_worker),
        cmocka_unit_test(test_reload_while_quiet_leaves_no_connection_waiting),
        cmocka_unit_test(test_reload_that_fails_keeps_the_old_workers),
        cmocka_unit_test(test_reload_that_is_refused_starts_nothing),
        cmocka_unit_test(test_reloads_in_a_row_are_not_lost_nor_piled_up),
        cmocka_unit_test(test_socket_that_workers_ask_for_outlives_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
