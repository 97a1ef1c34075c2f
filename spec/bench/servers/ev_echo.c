/* libevent echo with bufferevents */
#include <arpa/inet.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/listener.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdlib.h>
static void on_read(struct bufferevent *b, void *u) {
    (void)u;
    bufferevent_write_buffer(b, bufferevent_get_input(b));
}
static void on_event(struct bufferevent *b, short w, void *u) {
    (void)u;
    if (w & (BEV_EVENT_EOF | BEV_EVENT_ERROR)) bufferevent_free(b);
}
static void on_conn(struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *a, int n,
                    void *u) {
    (void)a;
    (void)n;
    (void)u;
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    struct bufferevent *b =
        bufferevent_socket_new(evconnlistener_get_base(l), fd, BEV_OPT_CLOSE_ON_FREE);
    bufferevent_setcb(b, on_read, NULL, on_event, NULL);
    bufferevent_enable(b, EV_READ | EV_WRITE);
}
int main(int argc, char **argv) {
    if (argc < 2) return 2;
    signal(SIGPIPE, SIG_IGN);
    struct event_base *eb = event_base_new();
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[1]))};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (!evconnlistener_new_bind(eb, on_conn, NULL, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_REUSEABLE, 4096,
                                 (struct sockaddr *)&a, sizeof a))
        return 1;
    return event_base_dispatch(eb);
}
