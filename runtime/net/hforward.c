/* hforward.c - what one stream brings goes to another: upstreams and forwarding.
 *
 * Two ios that belong together know each other by ext->upstream; closing one takes the pointer out
 * of the other, so it never dangles. An io that forwards (HIO_FLAG_FORWARDS) in addition ends as
 * its upstream ends:
 *
 *     a reads      -> queue of b. Where that passes its high-water mark, a is not read (PAUSED)
 *                     until b has drained to half of it; the kernel then slows a's peer.
 *     a's end      -> b's write side ends behind its queue; b is read on.
 *     both ended   -> both close behind their queues.
 *     a is closed, or fails -> b closes behind its queue.
 *
 * Neither is read before both are connected, so what waits meanwhile waits in the kernel. */
#include "hnet_int.h"
#include "hrelay.h"
#include "hssl.h"

static int is_stream(const hio_t *io) {
    return io->kind != HSOCK_KIND_DATAGRAM && io->state != HIO_LISTENING;
}

static hio_t *upstream_of(const hio_t *io) { return io->ext != NULL ? io->ext->upstream : NULL; }

static void unlink_upstream(hio_t *io) {
    hio_t *other = upstream_of(io);
    if (other == NULL) return;
    HV_ASSERT(other->ext->upstream == io);
    io->ext->upstream = NULL;
    other->ext->upstream = NULL;
}

/* ---- Linking ---- */

int hio_setup_upstream(hio_t *io1, hio_t *io2) {
    if (io1 == io2 || io_loop(io1) != io_loop(io2)) return HV_EINVAL;
    if (!is_stream(io1) || !is_stream(io2)) return HV_EINVAL;
    if (io1->state == HIO_DEAD || io2->state == HIO_DEAD) return HV_ECLOSED;
    if (upstream_of(io1) == io2) return 0;
    if (upstream_of(io1) != NULL || upstream_of(io2) != NULL) return HV_EBUSY;
    if (hv__io_ext(io1) == NULL || hv__io_ext(io2) == NULL) return HV_ENOMEM;
    io1->ext->upstream = io2;
    io2->ext->upstream = io1;
    return 0;
}

hio_t *hio_get_upstream(const hio_t *io) { return upstream_of(io); }

uint64_t hio_forwarded_bytes(const hio_t *io) {
    return io->ext != NULL ? io->ext->forwarded_bytes : 0;
}

/* ---- What may be set as callbacks ---- */

void hio_read_upstream(hio_t *io) {
    hio_t *other = upstream_of(io);
    if (other == NULL || !hio_is_connected(io) || !hio_is_connected(other)) return;
    hio_read(io);
    hio_read(other);
}

/* Lets `io` wait until `other` has drained, which on_drain tells. The mark is set here, since the
 * queue may be high by bytes that have not reached it yet, or by a mark that was lowered. */
static void pause_for(hio_t *io, hio_t *other) {
    io->flags |= HIO_FLAG_PAUSED;
    hio_read_stop(io);
    other->flags |= HIO_FLAG_WAS_HIGH;
    if (hbuf_len(&other->queue) == 0) hv__io_mark_dirty(other);
}

void hio_write_upstream(hio_t *io, void *buf, int readbytes) {
    hio_t *other = upstream_of(io);
    if (other == NULL || readbytes <= 0) return;
    int code = hio_write(other, buf, (size_t)readbytes);
    if (code < 0) {
        /* Bytes would be missing: better no stream than one with a hole. */
        if (io->flags & HIO_FLAG_FORWARDS) {
            hv__io_fail(io, code);
        } else {
            hio_close(io);
        }
        return;
    }
    io->ext->forwarded_bytes += (uint64_t)readbytes;
    if (io->flags & HIO_FLAG_FORWARDS && hio_write_is_high(other)) pause_for(io, other);
}

void hio_close_upstream(hio_t *io) {
    hio_t *other = upstream_of(io);
    if (other != NULL) hio_close(other);
}

/* ---- Forwarding ---- */

static void on_drain(hio_t *io) {
    hio_t *other = upstream_of(io);
    if (other == NULL || !(other->flags & HIO_FLAG_PAUSED)) return;
    other->flags &= ~(uint32_t)HIO_FLAG_PAUSED;
    hio_read(other);
}

static void on_eof(hio_t *io) {
    hio_t *other = upstream_of(io);
    if (other == NULL || other->flags & HIO_FLAG_EOF) {
        if (other != NULL) hio_close(other);
        hio_close(io);
        return;
    }
    hio_shutdown(other);
}

static void set_forwarding(hio_t *io) {
    io->flags |= HIO_FLAG_FORWARDS;
    io->ext->forwarded_bytes = 0;
    hio_setcb_read(io, hio_write_upstream);
    hio_setcb_eof(io, on_eof);
    hio_setcb_drain(io, on_drain);
    if (!hio_is_connected(io) && hio_getcb_connect(io) == NULL) {
        hio_setcb_connect(io, hio_read_upstream);
    }
}

int hio_forward(hio_t *io1, hio_t *io2) {
    if (!hio_is_opened(io1) || !hio_is_opened(io2)) return HV_ECLOSED;
    int code = hio_setup_upstream(io1, io2);
    if (code != 0) return code;
    set_forwarding(io1);
    set_forwarding(io2);
    hio_read_upstream(io1);
    return 0;
}

void hv__forward_closed(hio_t *io) {
    hio_t *other = upstream_of(io);
    if (other != NULL) {
        if (io->flags & HIO_FLAG_FORWARDS) hio_close(other);
        unlink_upstream(io);
    }
    if (io->ext->relay != NULL) hv__relay_free(io);
}

/* One of two moves to another thread: they cannot serve each other any more. */
void hv__forward_cut(hio_t *io) {
    if (io->ext->relay != NULL) hv__relay_free(io);
    hio_t *other = upstream_of(io);
    if (other == NULL) return;
    unlink_upstream(io);
    if (io->flags & HIO_FLAG_FORWARDS) hio_close(other);
    io->flags &= ~(uint32_t)(HIO_FLAG_FORWARDS | HIO_FLAG_PAUSED);
}

/* ---- Upstreams made for an io ---- */

static hio_t *forward_to(hio_t *io, hio_t *other) {
    if (other == NULL) return NULL;
    int code = hio_forward(io, other);
    if (code == 0) return other;
    io_loop(io)->last_error = code;
    hio_abort(other);
    return NULL;
}

hio_t *hio_setup_ssl_upstream(hio_t *io, const char *host, int port) {
    return forward_to(io, hio_ssl_client(io_loop(io), host, port, NULL, NULL));
}

hio_t *hio_setup_tcp_upstream(hio_t *io, const char *host, int port, int ssl) {
    if (ssl) return hio_setup_ssl_upstream(io, host, port);
    return forward_to(io, hio_tcp_client(io_loop(io), host, port, NULL, NULL));
}
