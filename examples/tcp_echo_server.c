/* tcp_echo_server.c - sends back what it gets.
 *
 *     cc tcp_echo_server.c -o tcp_echo_server -lhv && ./tcp_echo_server 1234
 *     nc 127.0.0.1 1234
 */
#include "hv/hloop.h"
#include "hv/hsocket.h"

static void on_close(hio_t *io) { printf("on_close fd=%d error=%d\n", hio_fd(io), hio_error(io)); }

static void on_recv(hio_t *io, void *buf, int readbytes) { hio_write(io, buf, (size_t)readbytes); }

static void on_accept(hio_t *io) {
    char local[SOCKADDR_STRLEN] = {0};
    char peer[SOCKADDR_STRLEN] = {0};
    printf("on_accept connfd=%d [%s] <= [%s]\n", hio_fd(io), SOCKADDR_STR(hio_localaddr(io), local),
           SOCKADDR_STR(hio_peeraddr(io), peer));
    hio_setcb_close(io, on_close);
    hio_setcb_read(io, on_recv);
    hio_read(io);
}

int main(int argc, char **argv) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    int port;
    char rest;
    if (argc != 2 || sscanf(argv[1], "%d%c", &port, &rest) != 1) {
        fprintf(stderr, "Usage: %s port\n", argv[0]);
        return 2;
    }
    hloop_t *loop = hloop_new(0);
    hio_t *listenio = hloop_create_tcp_server(loop, "0.0.0.0", port, on_accept);
    if (listenio == NULL) {
        fprintf(stderr, "listen: %s\n", herr_text(hloop_last_error(loop)));
        return 1;
    }
    printf("listening on %d\n", port);
    hloop_run(loop);
    hloop_free(&loop);
    return 0;
}
