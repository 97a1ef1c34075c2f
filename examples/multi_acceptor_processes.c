/* multi_acceptor_processes.c - an echo server of several processes that accept on one listener. A
 * process that crashes is started again; kill -USR1 replaces all of them without losing a
 * connection; ctrl-C lets them finish.
 *
 *     cc multi_acceptor_processes.c -o multi_acceptor_processes -lhv
 *     ./multi_acceptor_processes 1234
 *     nc 127.0.0.1 1234
 */
#include "hv/hmaster.h"
#include "hv/hsocket.h"
#include "hv/hthread.h"

static hio_t *listener;
static int connections;
static int is_draining;

static void finish_if_idle(hloop_t *loop) {
    if (is_draining && connections == 0) hloop_stop(loop);
}

static void on_close(hio_t *io) {
    printf("on_close fd=%d error=%d\n", hio_fd(io), hio_error(io));
    connections--;
    finish_if_idle(hevent_loop(io));
}

static void on_recv(hio_t *io, void *buf, int readbytes) {
    hio_write(io, buf, (size_t)readbytes);
}

static void on_accept(hio_t *io) {
    char local[SOCKADDR_STRLEN] = {0};
    char peer[SOCKADDR_STRLEN] = {0};
    printf("pid=%ld connfd=%d [%s] <= [%s]\n", hv_getpid(), hio_fd(io),
           SOCKADDR_STR(hio_localaddr(io), local), SOCKADDR_STR(hio_peeraddr(io), peer));
    connections++;
    hio_setcb_close(io, on_close);
    hio_setcb_read(io, on_recv);
    hio_read(io);
}

/* The connections that are open may go on until their peers end them, or the time is over. */
static void on_drain(hworker_t *worker, hloop_t *loop, void *userdata) {
    (void)worker;
    (void)userdata;
    is_draining = 1;
    hworker_stop_accepting(listener);
    finish_if_idle(loop);
}

static void work(hworker_t *worker, void *userdata) {
    (void)userdata;
    hloop_t *loop = hloop_new(0);
    if (loop == NULL) exit(1);
    listener = hworker_accept(worker, loop, 0, on_accept);
    if (listener == NULL || hworker_attach(worker, loop, on_drain, NULL) != 0) exit(1);
    hworker_ready(worker);
    hloop_run(loop);
    hworker_detach(worker, loop);
    hloop_free(&loop);
}

int main(int argc, char **argv) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    int port;
    char rest;
    if (argc != 2 || sscanf(argv[1], "%d%c", &port, &rest) != 1) {
        fprintf(stderr, "Usage: %s port\n", argv[0]);
        return 2;
    }
    hmaster_options_t options = {.workers = 4, .work = work, .drain_timeout_ms = 10000};
    hmaster_t *master = hmaster_new(&options);
    if (master == NULL) return 1;
    int code = hmaster_listen(master, "0.0.0.0", port);
    if (code < 0) {
        fprintf(stderr, "listen: %s\n", herr_text(code));
    } else {
        printf("listening on %d with %d processes\n", port, options.workers);
        code = hmaster_run(master);
    }
    hmaster_free(&master);
    return code < 0 ? 1 : 0;
}
