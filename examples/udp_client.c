/* udp_client.c - sends the time every second as a datagram and prints what comes back.
 *
 *     cc udp_client.c -o udp_client -lhv && ./udp_client 1234      # a udp_echo_server's port
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

static void on_recvfrom(hio_t *io, void *buf, int readbytes) {
    (void)io;
    printf("< %.*s\n", readbytes, (char *)buf);
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
    hio_t *io = hloop_create_udp_client(loop, "127.0.0.1", port);
    if (io == NULL) {
        fprintf(stderr, "udp client: %s\n", herr_text(hloop_last_error(loop)));
        return 1;
    }
    hio_setcb_read(io, on_recvfrom);
    hio_read(io);
    htimer_t *timer = htimer_add(loop, on_timer, 1000, INFINITE);
    hevent_set_userdata(timer, io);
    hloop_run(loop);
    hloop_free(&loop);
    return 0;
}
