/* Sends datagrams back, and prints who has sent them. */
#include "hv/hloop.h"
#include "hv/hsocket.h"

static void received(hio_t* io, void* buf, int readbytes) {
    char here[SOCKADDR_STRLEN] = {0};
    char there[SOCKADDR_STRLEN] = {0};
    printf("fd=%d [%s] <=> [%s] %d\n", hio_fd(io), SOCKADDR_STR(hio_localaddr(io), here),
           SOCKADDR_STR(hio_peeraddr(io), there), readbytes);
    fflush(stdout);
    hio_write(io, buf, readbytes);
}

int main(int argc, char** argv) {
    if (argc < 2) return 1;
    hloop_t* loop = hloop_new(0);
    hio_t* io = hloop_create_udp_server(loop, "0.0.0.0", atoi(argv[1]));
    if (io == NULL) return 1;
    hio_setcb_read(io, received);
    hio_read(io);
    hloop_run(loop);
    hloop_free(&loop);
    return 0;
}
