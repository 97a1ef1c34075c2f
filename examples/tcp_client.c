/* tcp_client.c - sends the time every second and prints what comes back.
 *
 *     cc tcp_client.c -o tcp_client -lhv && ./tcp_client 1234      # a tcp_echo_server's port
 */
#include "hv/hloop.h"
#include "hv/htime.h"

static void on_timer(htimer_t *timer) {
    char text[DATETIME_FMT_BUFLEN] = {0};
    datetime_t now = datetime_now();
    datetime_fmt(&now, text);
    printf("> %s\n", text);
    hio_write((hio_t *)hevent_userdata(timer), text, strlen(text));
}

static void on_recv(hio_t *io, void *buf, int readbytes) {
    (void)io;
    printf("< %.*s\n", readbytes, (char *)buf);
}

static void on_close(hio_t *io) {
    if (hio_error(io) != 0) fprintf(stderr, "closed: %s\n", herr_text(hio_error(io)));
    hloop_stop(hevent_loop(io));
}

static void on_connect(hio_t *io) {
    hio_setcb_read(io, on_recv);
    hio_read(io);
    htimer_t *timer = htimer_add(hevent_loop(io), on_timer, 1000, INFINITE);
    hevent_set_userdata(timer, io);
}

int main(int argc, char **argv) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc < 2) {
        printf("Usage: %s port\n", argv[0]);
        return 2;
    }
    hloop_t *loop = hloop_new(0);
    hio_t *io = hloop_create_tcp_client(loop, "127.0.0.1", atoi(argv[1]), on_connect, on_close);
    if (io == NULL) {
        fprintf(stderr, "connect: %s\n", herr_text(hloop_last_error(loop)));
        return 1;
    }
    hloop_run(loop);
    hloop_free(&loop);
    return 0;
}
