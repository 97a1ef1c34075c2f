/* Sends the time every second, and prints what comes. */
#include "hv/hloop.h"
#include "hv/htime.h"

static void tick(htimer_t* timer) {
    char text[DATETIME_FMT_BUFLEN] = {0};
    datetime_t now = datetime_now();
    datetime_fmt(&now, text);
    hio_t* io = (hio_t*)hevent_userdata(timer);
    printf("> %s\n", text);
    hio_write(io, text, strlen(text));
}

static void closed(hio_t* io) {
    printf("closed %d\n", hio_error(io));
    hloop_stop(hevent_loop(io));
}

static void received(hio_t* io, void* buf, int readbytes) {
    (void)io;
    printf("< %.*s\n", readbytes, (char*)buf);
    fflush(stdout);
}

static void connected(hio_t* io) {
    hio_setcb_close(io, closed);
    hio_setcb_read(io, received);
    hio_read(io);
    htimer_t* timer = htimer_add(hevent_loop(io), tick, 1000, INFINITE);
    hevent_set_userdata(timer, io);
}

int main(int argc, char** argv) {
    if (argc < 2) return 1;
    hloop_t* loop = hloop_new(0);
    hio_t* io = hloop_create_tcp_client(loop, "127.0.0.1", atoi(argv[1]), connected);
    if (io == NULL) return 1;
    hloop_run(loop);
    hloop_free(&loop);
    return 0;
}
