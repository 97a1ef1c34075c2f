/* Several processes accept from one listening socket, each with a loop of its own. */
#include "hloop.h"
#include "hsocket.h"
#include "hthread.h"
#include "hproc.h"

static int listenfd = INVALID_SOCKET;

static void closed(hio_t* io) {
    printf("closed fd=%d error=%d\n", hio_fd(io), hio_error(io));
    fflush(stdout);
}

static void received(hio_t* io, void* buf, int readbytes) {
    hio_write(io, buf, readbytes);
}

static void accepted(hio_t* io) {
    char here[SOCKADDR_STRLEN] = {0};
    char there[SOCKADDR_STRLEN] = {0};
    printf("pid=%ld connfd=%d [%s] <= [%s]\n", (long)hv_getpid(), (int)hio_fd(io),
           SOCKADDR_STR(hio_localaddr(io), here), SOCKADDR_STR(hio_peeraddr(io), there));
    fflush(stdout);
    hio_setcb_close(io, closed);
    hio_setcb_read(io, received);
    hio_read(io);
}

static void serve(void* userdata) {
    (void)userdata;
    hloop_t* loop = hloop_new(HLOOP_FLAG_AUTO_FREE);
    haccept(loop, listenfd, accepted);
    hloop_run(loop);
}

int main(int argc, char** argv) {
    if (argc < 2) return 1;
    listenfd = Listen(atoi(argv[1]), "0.0.0.0");
    if (listenfd < 0) return 1;
    proc_ctx_t ctx;
    memset(&ctx, 0, sizeof(ctx));
    ctx.proc = serve;
    for (int i = 0; i < 4; ++i) hproc_spawn(&ctx);
    while (1) hv_sleep(1);
    return 0;
}
