/* hforward.c - what one stream brings goes to another: upstreams and forwarding.
 *
 * A link leads from an io to its sink, and back from there to its source; closing one takes the
 * pointer out of the other, so it never dangles. Mostly two ios are each other's sink and source;
 * a link of one direction only is for ends of pipes, and lets a stream write to one io and get its
 * answers from a third. An io that forwards (HIO_FLAG_FORWARDS) in addition ends as its link ends:
 *
 *     a reads      -> queue of its sink b. Where that passes its high-water mark, a is not read
 *                     (PAUSED) until b has drained to half of it; the kernel then slows a's peer.
 *     a's end      -> b's write side ends behind its queue; b is read on.
 *     both ended   -> both close behind their queues. What does not flow has ended from the
 *                     beginning.
 *     a is closed, or fails -> b closes behind its queue; unless b still goes on with a third.
 *
 * Neither is read before both are connected, so what waits meanwhile waits in the kernel. */
#include "hnet_int.h"
#include "hrelay.h"
#include "hssl.h"

static int is_stream(const hio_t *io) {
    return io->kind != HSOCK_KIND_DATAGRAM && io->state != HIO_LISTENING;
}

static hio_t *sink_of(const hio_t *io) { return io->ext != NULL ? io->ext->sink : NULL; }
static hio_t *source_of(const hio_t *io) { return io->ext != NULL ? io->ext->source : NULL; }

static hio_t *upstream_of(const hio_t *io) {
    hio_t *sink = sink_of(io);
    return sink != NULL ? sink : source_of(io);
}

static void unlink_sink(hio_t *io) {
    hio_t *sink = sink_of(io);
    if (sink == NULL) return;
    HV_ASSERT(sink->ext->source == io);
    sink->ext->source = NULL;
    io->ext->sink = NULL;
}

static void unlink_all(hio_t *io) {
    unlink_sink(io);
    if (source_of(io) != NULL) unlink_sink(io->ext->source);
}

/* ---- Linking ---- */

/* Whether they can be linked at all. */
static int check_pair(hio_t *io1, hio_t *io2) {
    if (io1 == io2 || io_loop(io1) != io_loop(io2)) return HV_EINVAL;
    if (io_loop(io1) == NULL) return HV_ECLOSED; /* both are detached */
    if (!is_stream(io1) || !is_stream(io2)) return HV_EINVAL;
    if (io1->state == HIO_DEAD || io2->state == HIO_DEAD) return HV_ECLOSED;
    return hv__io_ext(io1) == NULL || hv__io_ext(io2) == NULL ? HV_ENOMEM : 0;
}

/* Or linked to each other already. */
static int is_free(const hio_t *from, const hio_t *to) {
    return (sink_of(from) == NULL && source_of(to) == NULL) || sink_of(from) == to;
}

static void link_to(hio_t *from, hio_t *to) {
    from->ext->sink = to;
    to->ext->source = from;
}

int hio_setup_upstream(hio_t *io1, hio_t *io2) {
    int code = check_pair(io1, io2);
    if (code != 0) return code;
    if (!is_free(io1, io2) || !is_free(io2, io1)) return HV_EBUSY;
    link_to(io1, io2);
    link_to(io2, io1);
    return 0;
}

hio_t *hio_get_upstream(const hio_t *io) { return upstream_of(io); }

uint64_t hio_forwarded_bytes(const hio_t *io) {
    return io->ext != NULL ? io->ext->forwarded_bytes : 0;
}

/* ---- What may be set as callbacks ---- */

static void read_linked(hio_t *from, hio_t *to) {
    if (from != NULL && to != NULL && hio_is_connected(from) && hio_is_connected(to)) {
        hio_read(from);
    }
}

void hio_read_upstream(hio_t *io) {
    read_linked(io, sink_of(io));
    read_linked(source_of(io), io);
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
    hio_t *other = sink_of(io);
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
    hio_t *other = source_of(io);
    if (other == NULL || !(other->flags & HIO_FLAG_PAUSED)) return;
    other->flags &= ~(uint32_t)HIO_FLAG_PAUSED;
    hio_read(other);
}

/* Whether nothing more comes from it, or is to. */
static int has_ended(const hio_t *io) { return io == NULL || io->flags & HIO_FLAG_EOF; }

static void on_eof(hio_t *io) {
    hio_t *other = sink_of(io);
    if (other != NULL) {
        int is_last = other->ext->sink == NULL || has_ended(other);
        if (is_last) {
            hio_close(other);
        } else {
            hio_shutdown(other);
        }
    }
    if (has_ended(source_of(io))) hio_close(io);
}

static void set_forwarding(hio_t *io) {
    io->flags |= HIO_FLAG_FORWARDS;
    hio_setcb_drain(io, on_drain);
    if (io->ext->sink != NULL) {
        io->read_mode = READ_STREAM; /* a read of a certain length may have been given up */
        hio_setcb_read(io, hio_write_upstream);
        hio_setcb_eof(io, on_eof);
    } else {
        /* Nothing else tells that a pipe has no reader any more. */
        hio_read_stop(io);
        hio_set_close_on_reset(io, 1);
        if (io->state == HIO_OPEN) {
            hv__watcher_set(&io->watcher, io->watcher.interest | HPOLL_READ);
        }
    }
    if (!hio_is_connected(io) && hio_getcb_connect(io) == NULL) {
        hio_setcb_connect(io, hio_read_upstream);
    }
}

/* Which way bytes can go: an end of a pipe has one direction. */
static int flows(const hio_t *from, const hio_t *to) {
    return hsock_can_read(io_fd(from)) && hsock_can_write(io_fd(to));
}

/* Forwards one way or both. Returns 0 or a code, and then nothing is linked. */
static int forward(hio_t *io1, hio_t *io2, int there, int back) {
    if (!hio_is_opened(io1) || !hio_is_opened(io2)) return HV_ECLOSED;
    int code = check_pair(io1, io2);
    if (code != 0) return code;
    there = there && flows(io1, io2);
    back = back && flows(io2, io1);
    if (!there && !back) return HV_EINVAL;
    if ((there && !is_free(io1, io2)) || (back && !is_free(io2, io1))) return HV_EBUSY;
    if (there) link_to(io1, io2);
    if (back) link_to(io2, io1);
    if (there) io1->ext->forwarded_bytes = 0;
    if (back) io2->ext->forwarded_bytes = 0;
    set_forwarding(io1);
    set_forwarding(io2);
    hio_read_upstream(io1);
    return 0;
}

int hio_forward(hio_t *io1, hio_t *io2) { return forward(io1, io2, 1, 1); }

int hio_forward_to(hio_t *from, hio_t *to) { return forward(from, to, 1, 0); }

/* One of its two has gone: it ends, unless it goes on with the other one. */
static void end_with(hio_t *io, const hio_t *gone) {
    if (io->ext->source != gone && !has_ended(io->ext->source)) {
        hio_read_stop(io); /* nobody takes what it brings; what it gets goes on */
    } else if (io->ext->sink == gone || io->ext->sink == NULL || has_ended(io)) {
        hio_close(io);
    } else {
        hio_shutdown(io);
    }
}

static void end_partners(hio_t *io) {
    hio_t *sink = sink_of(io), *source = source_of(io);
    if (!(io->flags & HIO_FLAG_FORWARDS)) return;
    if (sink != NULL) end_with(sink, io);
    if (source != NULL && source != sink) end_with(source, io);
}

void hv__forward_closed(hio_t *io) {
    end_partners(io);
    unlink_all(io);
    if (io->ext->relay != NULL) hv__relay_free(io);
}

/* One of two moves to another thread: they cannot serve each other any more. */
void hv__forward_cut(hio_t *io) {
    if (io->ext->relay != NULL) hv__relay_free(io);
    if (upstream_of(io) == NULL) return;
    end_partners(io);
    unlink_all(io);
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
    if (io_loop(io) == NULL) return NULL;
    return forward_to(io, hio_ssl_client(io_loop(io), host, port, NULL, NULL));
}

hio_t *hio_setup_tcp_upstream(hio_t *io, const char *host, int port, int ssl) {
    if (io_loop(io) == NULL) return NULL;
    if (ssl) return hio_setup_ssl_upstream(io, host, port);
    return forward_to(io, hio_tcp_client(io_loop(io), host, port, NULL, NULL));
}
