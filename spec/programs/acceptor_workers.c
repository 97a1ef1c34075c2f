/* One loop accepts, and hands each connection to the next of four worker loops. */
#include "hloop.h"
#include "hsocket.h"
#include "hthread.h"

enum { WORKERS = 4 };
static hloop_t* workers[WORKERS];
static int next_worker;

static void closed(hio_t* io) {
    printf("closed fd=%d error=%d\n", hio_fd(io), hio_error(io));
    fflush(stdout);
}

static void received(hio_t* io, void* buf, int readbytes) {
    hio_write(io, buf, readbytes);
}

static void handed_over(hevent_t* ev) {
    hloop_t* loop = ev->loop;
    hio_t* io = (hio_t*)hevent_userdata(ev);
    hio_attach(loop, io);
    char here[SOCKADDR_STRLEN] = {0};
    char there[SOCKADDR_STRLEN] = {0};
    printf("tid=%ld connfd=%d [%s] <= [%s]\n", (long)hv_gettid(), (int)hio_fd(io),
           SOCKADDR_STR(hio_localaddr(io), here), SOCKADDR_STR(hio_peeraddr(io), there));
    fflush(stdout);
    hio_setcb_close(io, closed);
    hio_setcb_read(io, received);
    hio_read(io);
}

static void accepted(hio_t* io) {
    hio_detach(io);
    hloop_t* worker = workers[next_worker];
    next_worker = (next_worker + 1) % WORKERS;
    hevent_t ev;
    memset(&ev, 0, sizeof(ev));
    ev.loop = worker;
    ev.cb = handed_over;
    ev.userdata = io;
    hloop_post_event(worker, &ev);
}

static HTHREAD_RETTYPE work(void* userdata) {
    hloop_run((hloop_t*)userdata);
    return 0;
}

int main(int argc, char** argv) {
    if (argc < 2) return 1;
    for (int i = 0; i < WORKERS; ++i) {
        workers[i] = hloop_new(HLOOP_FLAG_AUTO_FREE);
        hthread_create(work, workers[i]);
    }
    hloop_t* loop = hloop_new(HLOOP_FLAG_AUTO_FREE);
    hio_t* listener = hloop_create_tcp_server(loop, "0.0.0.0", atoi(argv[1]), accepted);
    if (listener == NULL) return 1;
    hloop_run(loop);
    return 0;
}
