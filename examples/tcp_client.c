/* tcp_client.c - sends the time every second and prints what comes back.
 *
 *     cc tcp_client.c -o tcp_client -lhv && ./tcp_client 1234      # a tcp_echo_server's port
 */
#include "hv/hloop.h"
#include "hv/htime.h"

static int close_error; /* why the connection has ended; 0: the server has closed it */

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
    close_error = hio_error(io);
    if (close_error != 0) fprintf(stderr, "closed: %s\n", herr_text(close_error));
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
    int port;
    char rest;
    if (argc != 2 || sscanf(argv[1], "%d%c", &port, &rest) != 1) {
        fprintf(stderr, "Usage: %s port\n", argv[0]);
        return 2;
    }
    hloop_t *loop = hloop_new(0);
    hio_t *io = hloop_create_tcp_client(loop, "127.0.0.1", port, on_connect, on_close);
    if (io == NULL) {
        fprintf(stderr, "connect: %s\n", herr_text(hloop_last_error(loop)));
        return 1;
    }
    hloop_run(loop);
    hloop_free(&loop);
    return close_error == 0 ? 0 : 1;
}
