/* one_acceptor_multi_workers.c - an echo server with one loop that accepts and several, each in a
 * thread of its own, that work: every connection goes to the loop with the fewest.
 *
 *     cc one_acceptor_multi_workers.c -o one_acceptor_multi_workers -lhv
 *     ./one_acceptor_multi_workers 1234
 *     nc 127.0.0.1 1234
 */
#include "hv/hloop_group.h"
#include "hv/hsocket.h"
#include "hv/hthread.h"

static int thread_num = 4;
static hloop_group_t *workers;

static void on_close(hio_t *io) {
    printf("on_close fd=%d error=%d\n", hio_fd(io), hio_error(io));
    hloop_group_release(workers, hevent_loop(io));
}

static void on_recv(hio_t *io, void *buf, int readbytes) {
    hio_write(io, buf, (size_t)readbytes);
}

/* In the thread of the loop that got it. */
static void on_open(hio_t *io) {
    char local[SOCKADDR_STRLEN] = {0};
    char peer[SOCKADDR_STRLEN] = {0};
    printf("tid=%ld connfd=%d [%s] <= [%s]\n", hv_gettid(), hio_fd(io),
           SOCKADDR_STR(hio_localaddr(io), local), SOCKADDR_STR(hio_peeraddr(io), peer));
    hio_setcb_close(io, on_close);
    hio_setcb_read(io, on_recv);
    hio_read(io);
}

static void on_accept(hio_t *io) {
    int code = hloop_group_hand_over(workers, HLOOP_PICK_LEAST_CONNECTIONS, io, on_open);
    if (code != 0) hio_close(io);
}

int main(int argc, char **argv) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    int port;
    char rest;
    if (argc != 2 || sscanf(argv[1], "%d%c", &port, &rest) != 1) {
        fprintf(stderr, "Usage: %s port\n", argv[0]);
        return 2;
    }
    workers = hloop_group_new(thread_num);
    if (workers == NULL || hloop_group_start(workers, NULL, NULL) != 0) return 1;

    hloop_t *accept_loop = hloop_new(0);
    if (hloop_create_tcp_server(accept_loop, "0.0.0.0", port, on_accept) == NULL) {
        fprintf(stderr, "listen: %s\n", herr_text(hloop_last_error(accept_loop)));
        return 1;
    }
    printf("listening on %d for %d threads\n", port, thread_num);
    hloop_run(accept_loop);
    hloop_free(&accept_loop);
    hloop_group_free(&workers);
    return 0;
}
