/* hmaster.h - a server of one master and N worker processes: workers that crash are started again,
 * a reload replaces all of them without losing a connection, a stop lets them finish.
 *
 *     static void on_drain(hworker_t *worker, hloop_t *loop, void *userdata) {
 *         hworker_stop_accepting(listener);      ... and hloop_stop(loop) once nothing is open
 *     }
 *     static void work(hworker_t *worker, void *userdata) {
 *         hloop_t *loop = hloop_new(0);
 *         listener = hworker_accept(worker, loop, 0, on_accept);
 *         hworker_attach(worker, loop, on_drain, NULL);
 *         hworker_ready(worker);
 *         hloop_run(loop);
 *     }
 *     hmaster_options_t options = {.workers = 4, .work = work};
 *     hmaster_t *master = hmaster_new(&options);
 *     hmaster_listen(master, "0.0.0.0", 8080);
 *     int code = hmaster_run(master);
 *
 * The master opens the listeners and the workers inherit them: a connection waits in one queue,
 * from which any worker, old or new, takes it. The master itself does no work but to wait for
 * signals, children and deadlines. */
#ifndef HV_MASTER_H_
#define HV_MASTER_H_

#include "hloop.h"

HV_BEGIN_DECLS

typedef struct hmaster_s hmaster_t;
typedef struct hworker_s hworker_t;

#define HMASTER_LISTENERS_MAX 16
#define HMASTER_WORKERS_MAX   256

/* A field left 0 takes the default named beside it. */
typedef struct hmaster_options_s {
    int workers; /* one for each processor */
    /* The life of a worker process, which ends with status 0 when it returns. */
    void (*work)(hworker_t *worker, void *userdata);
    void *userdata;
    /* Called in the master before a reload starts new workers, to read the configuration again.
     * Returns 0, or anything else to keep the old workers. NULL: no question. */
    int (*on_reload)(hmaster_t *master, void *userdata);
    /* Called in the master when the first workers are ready. */
    void (*on_ready)(hmaster_t *master, void *userdata);
    uint32_t drain_timeout_ms;  /* 30000 to finish in after stop or reload; then killed */
    uint32_t ready_timeout_ms;  /* 30000 from start to hworker_ready; then killed */
    uint32_t restart_min_ms;    /* 100: the wait before the second start after a crash ... */
    uint32_t restart_max_ms;    /* 30000: ... doubles with each crash up to this */
    uint32_t restart_calm_ms;   /* 10000: who lived longer is started again at once */
} hmaster_options_t;

/* ---- Master ---- */

/* Returns a master, or NULL with errno set (EINVAL, ENOMEM).
 *   options  copied */
HV_EXPORT hmaster_t *hmaster_new(const hmaster_options_t *options);
HV_EXPORT void hmaster_free(hmaster_t **master);

/* Opens a listener for all workers: a literal, "localhost" or "" and a port (0: any), or a path
 * with a '/' at its start for a unix socket. Returns its number, 0 for the first; or a negative
 * code. */
HV_EXPORT int hmaster_listen(hmaster_t *master, const char *host, int port);
/* Hands a listening descriptor over; the master closes it. Returns as above. */
HV_EXPORT int hmaster_listen_fd(hmaster_t *master, int listen_fd);
/* The port of a listener, or a negative code. */
HV_EXPORT int hmaster_port(const hmaster_t *master, int listener);

/* Starts the workers and returns after a stop. SIGTERM and SIGINT stop (SIGINT again: at once),
 * SIGUSR1, and SIGHUP where there is no terminal, reload; they are blocked in the calling thread
 * and read from a descriptor.
 * Returns 0; a negative code, the reason logged, where the first workers did not become ready. */
HV_EXPORT int hmaster_run(hmaster_t *master);

/* Ask for it; any thread, any time. */
HV_EXPORT void hmaster_stop(hmaster_t *master);
HV_EXPORT void hmaster_reload(hmaster_t *master);

/* ---- Worker: in the worker process ---- */

typedef void (*hworker_drain_cb)(hworker_t *worker, hloop_t *loop, void *userdata);

/* The worker that this process is; NULL in a master and in any other process. */
HV_EXPORT hworker_t *hworker_self(void);
/* 0 .. workers - 1, and how many reloads came before. */
HV_EXPORT int hworker_index(const hworker_t *worker);
HV_EXPORT int hworker_generation(const hworker_t *worker);
HV_EXPORT int hworker_is_draining(const hworker_t *worker);

/* Accepts on a listener of the master's in a loop; each loop of a process gets its own descriptor.
 * The loop's thread. Returns the listening io, or NULL with hloop_last_error set. */
HV_EXPORT hio_t *hworker_accept(hworker_t *worker, hloop_t *loop, int listener,
                                haccept_cb on_accept);

/* A duplicate of the descriptor of a listener of the master's, for servers that take one
 * (hhttp_server_listen_fd); the caller closes it. Any thread. Returns it or a negative code. */
HV_EXPORT int hworker_listen_fd(hworker_t *worker, int listener);

#define HWORKER_LISTEN_DATAGRAM 0x100 /* a UDP socket */

/* Has the master open a socket that this worker shares with all that ask for the same, now and
 * later: it stays open through crashes and reloads, until no worker asks for it any more. So a
 * worker can say itself where it listens. A worker without a process of its own opens it itself.
 * Waits for the master. Any thread.
 *   host, port  as for hloop_create_tcp_listener; port 0: the n-th that a worker asks for on a host
 *               is the n-th of every worker
 *   backlog     0 for the most that the kernel allows
 *   flags       HIO_LISTEN_IPV6_ONLY, HIO_LISTEN_MODE, HWORKER_LISTEN_DATAGRAM
 * Returns a descriptor, the caller's to close; or HV_EADDRINUSE, HV_ENOTFOUND (no literal),
 * HV_ELIMIT (64 of them), HV_ECLOSED (the master has gone), HV_ECANCELED (it stops), or another
 * negative code. */
HV_EXPORT int hworker_listen(hworker_t *worker, const char *host, int port, int backlog, int flags);

/* Asks the master for a reload. Any thread. */
HV_EXPORT void hworker_reload(hworker_t *worker);

/* Asks to be told in `loop` when the worker shall finish: it accepts no more, answers what it has
 * begun, and ends its loop. After drain_timeout_ms the loop is stopped. Also when the master has
 * died. The loop's thread; each of several loops may be attached.
 *   on_drain  called once, by the loop; NULL: the loop is stopped at once
 *   loop      lives until hworker_detach or the end of the process
 * Returns 0, HV_ENOMEM, or a negative code. */
HV_EXPORT int hworker_attach(hworker_t *worker, hloop_t *loop, hworker_drain_cb on_drain,
                             void *userdata);
HV_EXPORT void hworker_detach(hworker_t *worker, hloop_t *loop);

/* Tells the master that connections are accepted now. The first call counts; any thread. */
HV_EXPORT void hworker_ready(hworker_t *worker);

/* Closes a listener of hworker_accept so that no connection is lost: those that wait are taken in
 * first, by the accept callback. Only inside a callback of the io's loop. */
HV_EXPORT void hworker_stop_accepting(hio_t *listener);

HV_END_DECLS

#endif
