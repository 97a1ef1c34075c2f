/* hio_virtual.c - ios without a descriptor. They have no place in the backend: whoever brings their
 * bytes tells that there are some, and that there is room again, where otherwise the kernel would.
 * All else (queues, limits, cutting into messages, timeouts, forwarding) is as with any other io.
 * */
#include "hio_virtual.h"

#include "hnet_int.h"

/* Copies the addresses. Returns 0 or HV_ENOMEM. */
static int take_addresses(hio_t *io, hio_t *like) {
    hio_ext_t *ext = io->ext;
    struct sockaddr *peer = hio_peeraddr(like);
    if (peer->sa_family != AF_UNSPEC) hv__io_set_peer(io, peer, hv__io_peer_len(like));
    hio_localaddr(like);
    if (like->ext == NULL || like->ext->local == NULL) return 0;
    ext->local = hv__malloc(sizeof *ext->local);
    if (ext->local == NULL) return HV_ENOMEM;
    *ext->local = *like->ext->local;
    return 0;
}

hio_t *hv__io_virtual(hloop_t *loop, const hv__wire_t *wire, void *end, hio_t *like) {
    hio_t *io = hv__io_new(loop, -1, HSOCK_KIND_PIPE, HIO_OPEN);
    if (io == NULL) return NULL;
    hio_ext_t *ext = hv__io_ext(io);
    if (ext == NULL || take_addresses(io, like) != 0) {
        hio_abort(io); /* nobody has set a callback yet */
        loop->last_error = HV_ENOMEM;
        return NULL;
    }
    ext->wire = wire;
    ext->wire_end = end;
    io->flags |= HIO_FLAG_VIRTUAL;
    return io;
}

void *hv__io_virtual_end(const hio_t *io) { return io->ext->wire_end; }

int hv__io_virtual_reads(const hio_t *io) {
    return io->state == HIO_OPEN && io->flags & HIO_FLAG_READING;
}

int hv__io_virtual_is_gentle(const hio_t *io) {
    return io->error == 0 && io->flags & HIO_FLAG_GENTLE;
}

void hv__io_virtual_received(hio_t *io, char *data, size_t len) {
    if (io->state != HIO_OPEN) return;
    hnet_t *net = io_net(io);
    io->last_read_ms = hv__loop_stamp_ms(io_loop(io));
    hv__io_enter(io);
    hv__io_received(io, data, len);
    hv__io_leave(net, io);
}

void hv__io_virtual_ended(hio_t *io) {
    if (io->state != HIO_OPEN) return;
    hnet_t *net = io_net(io);
    hv__io_enter(io);
    hv__io_ended(io);
    hv__io_leave(net, io);
}

void hv__io_virtual_room(hio_t *io) {
    if (io->state == HIO_DEAD) return;
    hnet_t *net = io_net(io);
    hv__io_enter(io);
    hv__io_flush_queue(io);
    if (net->current == io) hv__io_report_owed(io);
    hv__io_leave(net, io);
}

void hv__io_virtual_fail(hio_t *io, int code) {
    if (io->state != HIO_DEAD) hv__io_fail(io, code);
}
