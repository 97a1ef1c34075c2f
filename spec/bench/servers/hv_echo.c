/* hv_echo.c - echo with the C API: hv_echo PORT */
#include <stdio.h>
#include <stdlib.h>

#include "hloop.h"

static void on_read(hio_t *io, void *buf, int readbytes) {
    hio_write(io, buf, (size_t)readbytes);
}

static void on_accept(hio_t *io) {
    hio_setcb_read(io, on_read);
    hio_read(io);
}

int main(int argc, char **argv) {
    if (argc < 2) {
        fprintf(stderr, "usage: hv_echo PORT\n");
        return 2;
    }
    hloop_t *loop = hloop_new(0);
    if (!hloop_create_tcp_listener(loop, "127.0.0.1", atoi(argv[1]), on_accept, 4096, 0)) {
        fprintf(stderr, "hv_echo: cannot listen on %s\n", argv[1]);
        return 1;
    }
    int result = hloop_run(loop);
    hloop_free(&loop);
    return result == 0 ? 0 : 1;
}
