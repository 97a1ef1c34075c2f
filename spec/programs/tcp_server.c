/* Sends back what it gets. */
#include "hv/hloop.h"

static void closed(hio_t* io) {
    printf("closed %d\n", hio_error(io));
    fflush(stdout);
}

static void received(hio_t* io, void* buf, int readbytes) {
    hio_write(io, buf, readbytes);
}

static void accepted(hio_t* io) {
    hio_setcb_close(io, closed);
    hio_setcb_read(io, received);
    hio_read(io);
}

int main(int argc, char** argv) {
    int port = argc > 1 ? atoi(argv[1]) : 0;
    hloop_t* loop = hloop_new(0);
    hio_t* listener = hloop_create_tcp_server(loop, "0.0.0.0", port, accepted);
    if (listener == NULL) return 1;
    hloop_run(loop);
    hloop_free(&loop);
    return 0;
}
