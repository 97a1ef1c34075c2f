/* udp_echo_server.c - sends every datagram back to its sender.
 *
 *     cc udp_echo_server.c -o udp_echo_server -lhv && ./udp_echo_server 1234
 *     nc -u 127.0.0.1 1234
 */
#include "hv/hloop.h"
#include "hv/hsocket.h"

static void on_recvfrom(hio_t *io, void *buf, int readbytes) {
    char local[SOCKADDR_STRLEN] = {0};
    char peer[SOCKADDR_STRLEN] = {0};
    printf("[%s] <=> [%s] %d bytes\n", SOCKADDR_STR(hio_localaddr(io), local),
           SOCKADDR_STR(hio_peeraddr(io), peer), readbytes);
    hio_write(io, buf, (size_t)readbytes);
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
    hio_t *io = hloop_create_udp_server(loop, "0.0.0.0", port);
    if (io == NULL) {
        fprintf(stderr, "bind: %s\n", herr_text(hloop_last_error(loop)));
        return 1;
    }
    hio_setcb_read(io, on_recvfrom);
    hio_read(io);
    printf("bound to %d\n", port);
    hloop_run(loop);
    hloop_free(&loop);
    return 0;
}
