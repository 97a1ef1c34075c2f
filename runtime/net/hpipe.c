/* hpipe.c - two connected ends in one loop, by a pair of unix sockets. */
#include "hnet_int.h"

int hio_create_pipe(hloop_t *loop, hio_t *ends[2]) {
    int fds[2];
    int code = hsock_pair(fds);
    if (code != 0) return code;
    hio_t *first = hv__io_new(loop, fds[0], HSOCK_KIND_UNIX, HIO_OPEN);
    if (first == NULL) {
        hsock_close(fds[0]);
        hsock_close(fds[1]);
        return loop->last_error;
    }
    hio_t *second = hv__io_new(loop, fds[1], HSOCK_KIND_UNIX, HIO_OPEN);
    if (second == NULL) {
        hio_close(first);
        hsock_close(fds[1]);
        return loop->last_error;
    }
    ends[0] = first;
    ends[1] = second;
    return 0;
}
