/* multi_acceptor_threads.c - an echo server of several threads, each with a loop that accepts on
 * the same listening socket: the kernel wakes one of them for each connection.
 *
 *     cc multi_acceptor_threads.c -o multi_acceptor_threads -lhv && ./multi_acceptor_threads 1234
 *     nc 127.0.0.1 1234
 */
#include "hv/hloop_group.h"
#include "hv/hsocket.h"
#include "hv/hthread.h"

static int thread_num = 4;
static int listenfd = INVALID_SOCKET;

static void on_close(hio_t *io) { printf("on_close fd=%d error=%d\n", hio_fd(io), hio_error(io)); }

static void on_recv(hio_t *io, void *buf, int readbytes) {
    hio_write(io, buf, (size_t)readbytes);
}

static void on_accept(hio_t *io) {
    char local[SOCKADDR_STRLEN] = {0};
    char peer[SOCKADDR_STRLEN] = {0};
    printf("tid=%ld connfd=%d [%s] <= [%s]\n", hv_gettid(), hio_fd(io),
           SOCKADDR_STR(hio_localaddr(io), local), SOCKADDR_STR(hio_peeraddr(io), peer));
    hio_setcb_close(io, on_close);
    hio_setcb_read(io, on_recv);
    hio_read(io);
}

/* Each loop closes its listening io at its end, so each gets a descriptor of its own. */
static void on_start(hloop_t *loop, int index, void *userdata) {
    (void)index;
    (void)userdata;
    if (haccept(loop, dup(listenfd), on_accept) == NULL) exit(1);
}

int main(int argc, char **argv) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    int port;
    char rest;
    if (argc != 2 || sscanf(argv[1], "%d%c", &port, &rest) != 1) {
        fprintf(stderr, "Usage: %s port\n", argv[0]);
        return 2;
    }
    listenfd = Listen(port, "0.0.0.0");
    if (listenfd < 0) {
        fprintf(stderr, "listen: %s\n", socket_strerror(listenfd));
        return 1;
    }
    hloop_group_t *group = hloop_group_new(thread_num);
    if (group == NULL || hloop_group_start(group, on_start, NULL) != 0) return 1;
    printf("listening on %d with %d threads\n", port, thread_num);
    hloop_group_join(group);
    hloop_group_free(&group);
    return 0;
}
