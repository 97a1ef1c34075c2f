/* hlinger.c - the end of a TCP connection whose peer has sent more than was read.
 *
 * close(2) with unread bytes in the kernel resets the connection, and a reset may overtake the
 * answer that was sent just before: the peer sees "connection reset" in place of it (RFC 9112
 * section 9.6 tells the story for HTTP). So our side is ended by a FIN, what still comes is
 * dropped, and the descriptor is closed when the peer has ended, too; within limits of time, of
 * bytes, and of connections that end so at once. The user knows nothing of it: the close callback
 * is not held up, and the loop is not kept running.
 *
 * The price for everybody else is one recv where bytes were sent and the peer has not ended. */
#include "hlinger.h"

#include "hnet_int.h"
#include "hwatch.h"

#define LINGER_MS        2000
#define LINGER_BYTES_MAX (1024 * 1024)
#define LINGERERS_MAX    1024

typedef struct linger_s {
    hlink_t link; /* in net->lingering */
    hv__watch_t *watch;
    htimer_t *timer;
    uint32_t budget; /* bytes that may still be dropped */
} linger_t;

static void end(hloop_t *loop, linger_t *self) {
    hnet_t *net = loop->net;
    int fd = self->watch->watcher.fd;
    hlist_remove(&net->lingering, &self->link);
    net->lingering_count--;
    hv__watch_close(self->watch, 0);
    hsock_close(fd);
    htimer_del(self->timer);
    hv__free(self);
}

static void on_timer(htimer_t *timer) { end(hevent_loop(timer), hevent_userdata(timer)); }

static void on_ready(hv__watch_t *watch, unsigned events) {
    (void)events;
    hloop_t *loop = watch->watcher.node.ev.loop;
    hnet_t *net = loop->net;
    linger_t *self = watch->owner;
    long len = hsock_recv(watch->watcher.fd, net->read_buffer, READ_BUFFER_BYTES);
    if (len == HV_EAGAIN) return;
    if (len <= 0 || (uint32_t)len >= self->budget) {
        end(loop, self);
        return;
    }
    self->budget -= (uint32_t)len;
}

/* Whether a close would reset the connection. */
static int has_unread(const hio_t *io) {
    char dropped[512];
    if (hbuf_len(&io->kept) > 0) return 1; /* who has sent too much may go on */
    return hsock_recv(io_fd(io), dropped, sizeof dropped) > 0;
}

int hv__linger_is_due(const hio_t *io) {
    const uint32_t needed = HIO_FLAG_GENTLE | HIO_FLAG_WROTE;
    const uint32_t unfit = HIO_FLAG_EOF | HIO_FLAG_STAYS_OPEN;
    if ((io->flags & (needed | unfit)) != needed) return 0;
    if (io->kind != HSOCK_KIND_STREAM || io->error != 0) return 0;
    return io_net(io)->lingering_count < LINGERERS_MAX && has_unread(io);
}

void hv__linger_begin(hloop_t *loop, int fd) {
    hnet_t *net = loop->net;
    linger_t *self = hv__calloc(1, sizeof *self);
    hv__watch_t *watch = self != NULL ? hv__watch_open(loop, fd, on_ready, self) : NULL;
    htimer_t *timer = watch != NULL ? hv__timer_add_internal(loop, on_timer, LINGER_MS) : NULL;
    if (timer == NULL || hv__watch_set(watch, HPOLL_READ) != 0) {
        if (timer != NULL) htimer_del(timer);
        if (watch != NULL) hv__watch_close(watch, 0);
        hv__free(self);
        hsock_close(fd);
        loop->last_error = HV_ENOMEM; /* the peer may see a reset; there is nobody else to tell */
        return;
    }
    hsock_shutdown_write(fd);
    self->watch = watch;
    self->timer = timer;
    self->budget = LINGER_BYTES_MAX;
    hevent_set_userdata(timer, self);
    hlist_push(&net->lingering, &self->link);
    net->lingering_count++;
}

void hv__linger_end_all(hloop_t *loop) {
    hnet_t *net = loop->net;
    while (net->lingering.first != NULL) {
        end(loop, HV_CONTAINER_OF(net->lingering.first, linger_t, link));
    }
}
