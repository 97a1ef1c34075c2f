/* hio_write.c - the write side. Four places bytes may stand in, in the order they leave:
 *
 *   queue  per io; what the kernel did not take, or what is written outside the io's own callbacks;
 *          sent at the end of the pass (dirty) or when the descriptor is writable again;
 *   cork   one per loop; what the callbacks of the current io write to it while its queue is
 *          empty: sent in one call when they have returned;
 *   files  ranges of files between the bytes of the queue: see hio_file.c;
 *   caller's buffer: long writes go to the kernel straight from there, behind what stands in the
 *          cork, with one gathering call; only what it does not take is copied to the queue.
 *
 * Nothing is reported inside hio_write: what it sent itself is owed (ext->unreported_bytes) and
 * reported at the end of the pass. */
#include "hhostile.h"
#include "hio_virtual.h"
#include "hnet_int.h"

static long send_bytes(hio_t *io, const void *data, size_t len) {
    len = hv__hostile_len(len);
    if (io->flags & HIO_FLAG_IS_SOCKET) return hsock_send(io_fd(io), data, len);
    if (io->flags & HIO_FLAG_VIRTUAL) return io->ext->wire->send(io, data, len);
    return hsock_write(io_fd(io), data, len);
}

static long send_parts(hio_t *io, const struct iovec *parts, int count) {
    int is_single = hv__hostile_len(SIZE_MAX) < SIZE_MAX || io->flags & HIO_FLAG_VIRTUAL;
    if (count > 0 && is_single) {
        return send_bytes(io, parts[0].iov_base, parts[0].iov_len);
    }
    if (io->flags & HIO_FLAG_IS_SOCKET) return hsock_sendv(io_fd(io), parts, count);
    return hsock_writev(io_fd(io), parts, count);
}

static size_t corked_len(const hio_t *io) {
    if (io_loop(io) == NULL) return 0; /* detached */
    const hnet_t *net = io_net(io);
    return net != NULL && net->current == io ? net->cork_len : 0;
}

static void stamp_write(hio_t *io) {
    io->flags |= HIO_FLAG_WROTE;
    io->last_write_ms = hv__loop_stamp_ms(io_loop(io));
}

void hv__io_mark_dirty(hio_t *io) {
    if (io->flags & HIO_FLAG_DIRTY) return;
    hnet_t *net = io_net(io);
    io->flags |= HIO_FLAG_DIRTY;
    hlist_push(&net->dirty, &io->dirty_link);
}

/* Calls on_write. Only from the dispatcher's side. */
static void report_written(hio_t *io, const void *data, size_t len) {
    if (io->state != HIO_OPEN || len == 0) return;
    if (io->ext == NULL || io->ext->on_write == NULL) return;
    hnet_t *net = io_net(io);
    hwrite_cb on_write = io->ext->on_write;
    net->is_reporting = 1;
    HV_DISPATCH(io_loop(io), on_write(io, data, (int)len));
    net->is_reporting = 0;
}

static void owe_report(hio_t *io, size_t len) {
    if (io->ext == NULL || io->ext->on_write == NULL) return;
    io->ext->unreported_bytes += (uint32_t)len;
    hv__io_mark_dirty(io);
}

/* Copies to the queue what could not be sent. */
static int enqueue(hio_t *io, const void *data, size_t len) {
    if (len == 0) return 0;
    int was_empty = hbuf_len(&io->queue) == 0;
    int code = hbuf_append(&io->queue, data, len, KEPT_BYTES_MAX);
    if (code != 0) return code;
    if (hbuf_len(&io->queue) > io->write_high) io->flags |= HIO_FLAG_WAS_HIGH;
    if (was_empty && io->ext != NULL && io->ext->write_timeout_ms > 0) {
        stamp_write(io); /* its timer runs in any case, see longest_sleep */
    }
    return 0;
}

void hv__io_flush_cork(hio_t *io, int reports) {
    hnet_t *net = io_net(io);
    HV_DASSERT(net->current == io);
    size_t len = net->cork_len;
    if (len == 0) return;
    net->cork_len = 0;
    long sent = hv__io_has_unsent(io) ? HV_EAGAIN : send_bytes(io, net->cork, len);
    if (sent < 0 && sent != HV_EAGAIN) {
        hv__io_fail(io, (int)sent);
        return;
    }
    size_t taken = sent > 0 ? (size_t)sent : 0;
    if (taken > 0) stamp_write(io);
    if (enqueue(io, net->cork + taken, len - taken) != 0) {
        hv__io_fail(io, HV_ENOMEM);
        return;
    }
    if (hv__io_has_unsent(io)) hv__io_update_interest(io);
    if (io->flags & HIO_FLAG_WAS_HIGH) hv__io_mark_dirty(io);
    if (reports) {
        report_written(io, net->cork, taken);
    } else {
        owe_report(io, taken);
    }
}

static uint64_t file_bytes(const hio_t *io) {
    return io->flags & HIO_FLAG_HAS_FILES ? io->ext->file_bytes : 0;
}

static void report_drain(hio_t *io) {
    if (!(io->flags & HIO_FLAG_WAS_HIGH)) return;
    if (hbuf_len(&io->queue) + file_bytes(io) > io->write_high / 2) return;
    io->flags &= ~(uint32_t)HIO_FLAG_WAS_HIGH;
    if (io->state != HIO_OPEN || io->ext == NULL || io->ext->on_drain == NULL) return;
    hdrain_cb on_drain = io->ext->on_drain;
    HV_DISPATCH(io_loop(io), on_drain(io));
}

void hv__io_report_owed(hio_t *io) {
    hnet_t *net = io_net(io);
    uint32_t owed = io->ext != NULL ? io->ext->unreported_bytes : 0;
    if (owed > 0) {
        io->ext->unreported_bytes = 0;
        report_written(io, NULL, owed);
    }
    if (net->current == io && io->state == HIO_OPEN) report_drain(io);
}

void hv__io_note_sent(hio_t *io, size_t len) {
    if (len == 0) return;
    stamp_write(io);
    owe_report(io, len);
    if (io->flags & HIO_FLAG_WAS_HIGH) hv__io_mark_dirty(io);
}

int hv__io_send_cork_more(hio_t *io) {
    hnet_t *net = io_net(io);
    size_t len = corked_len(io);
    if (len == 0) return 0;
    long sent = hsock_send_more(io_fd(io), net->cork, len);
    net->cork_len = 0;
    size_t taken = sent > 0 ? (size_t)sent : 0;
    hv__io_note_sent(io, taken);
    int code = sent < 0 && sent != HV_EAGAIN ? (int)sent
                                             : enqueue(io, net->cork + taken, len - taken);
    if (code != 0) hv__io_fail(io, code);
    return code;
}

/* Sends what stands in the queue behind the last file. Returns 0 or a code. */
static int flush_bytes(hio_t *io) {
    size_t len = hbuf_len(&io->queue);
    if (len == 0) return 0;
    long sent = send_bytes(io, hbuf_data(&io->queue), len);
    if (sent < 0) return (int)sent;
    hbuf_consume(&io->queue, (size_t)sent);
    hv__io_note_sent(io, (size_t)sent);
    return 0;
}

void hv__io_flush_queue(hio_t *io) {
    if (io->state == HIO_DEAD || io->state == HIO_CONNECTING) return;
    int code = 0;
    if (HV_UNLIKELY(io->flags & HIO_FLAG_HAS_FILES)) {
        size_t sent;
        code = hv__io_flush_files(io, &sent);
        hv__io_note_sent(io, sent);
    }
    if (code == 0 && !(io->flags & HIO_FLAG_HAS_FILES)) code = flush_bytes(io);
    if (code != 0 && code != HV_EAGAIN) {
        hv__io_fail(io, code);
        return;
    }
    hv__io_update_interest(io);
    if (!hv__io_has_unsent(io) && corked_len(io) == 0) hv__io_drained(io);
}

/* Sends now what stands in the cork and `data` behind it, and queues the rest. */
static int send_through(hio_t *io, const char *data, size_t len) {
    hnet_t *net = io_net(io);
    size_t corked = corked_len(io);
    struct iovec parts[2] = {
        {.iov_base = net->cork, .iov_len = corked},
        {.iov_base = (void *)(uintptr_t)data, .iov_len = len},
    };
    long sent = corked > 0 ? send_parts(io, parts, 2) : send_bytes(io, data, len);
    if (sent < 0 && sent != HV_EAGAIN) {
        hv__io_fail(io, (int)sent);
        return (int)sent;
    }
    size_t taken = sent > 0 ? (size_t)sent : 0;
    if (taken > 0) stamp_write(io);
    if (corked > 0) net->cork_len = 0;
    size_t from_cork = taken < corked ? taken : corked;
    int code = enqueue(io, net->cork + from_cork, corked - from_cork);
    if (code == 0) code = enqueue(io, data + (taken - from_cork), len - (taken - from_cork));
    if (code != 0) {
        hv__io_fail(io, code);
        return code;
    }
    if (hbuf_len(&io->queue) > 0) hv__io_update_interest(io);
    owe_report(io, taken);
    return 0;
}

/* Puts bytes on their way to the wire. Returns 0 or a negative code. */
static int write_wire(hio_t *io, const char *data, size_t len) {
    hnet_t *net = io_net(io);
    int can_send = !hv__io_has_unsent(io) && io->state == HIO_OPEN;
    int can_cork = net->current == io && !net->is_reporting;
    if (can_send && can_cork && net->cork_len + len <= CORK_BYTES && len < DIRECT_SEND_BYTES) {
        memcpy(net->cork + net->cork_len, data, len);
        net->cork_len += len;
        return 0;
    }
    int code;
    if (can_send && (len >= DIRECT_SEND_BYTES || can_cork)) {
        code = send_through(io, data, len);
    } else {
        code = enqueue(io, data, len);
        /* A queue that waits for the kernel is flushed when the descriptor is writable. */
        if (code == 0 && !(io->watcher.interest & HPOLL_WRITE)) hv__io_mark_dirty(io);
    }
    return code;
}

int hv__io_write_raw(hio_t *io, const void *data, size_t len) { return write_wire(io, data, len); }

char *hv__io_place(hio_t *io, size_t len) {
    hnet_t *net = io_net(io);
    uint32_t away = HIO_FLAG_LAYERED | HIO_FLAG_SHUT_WANTED | HIO_FLAG_SHUT;
    if (io->state != HIO_OPEN || io->flags & away) return NULL;
    if (net->current != io || net->is_reporting) return NULL;
    if (len >= DIRECT_SEND_BYTES || hv__io_has_unsent(io)) return NULL;
    size_t after = net->cork_len + len;
    if (after > CORK_BYTES || after > io->write_high || after > io->write_max) return NULL;
    char *place = net->cork + net->cork_len;
    net->cork_len = after;
    return place;
}

void hv__io_flush_raw(hio_t *io) {
    if (io->state != HIO_DEAD && corked_len(io) > 0) hv__io_flush_cork(io, 0);
}

/* ---- API ---- */

int hio_write(hio_t *io, const void *buf, size_t len) {
    if (io_loop(io) == NULL) return HV_ECLOSED; /* detached */
    if (!hv__loop_is_mine(io_loop(io))) {
        int code = len > INT32_MAX ? HV_ELIMIT : hv__io_post(io, buf, len, 0);
        return code != 0 ? code : (int)len;
    }
    if (io->state >= HIO_CLOSING) return HV_ECLOSED;
    if (io->state == HIO_LISTENING) return HV_EINVAL;
    if (io->flags & (HIO_FLAG_SHUT_WANTED | HIO_FLAG_SHUT)) return HV_EPIPE;
    if (io->kind == HSOCK_KIND_DATAGRAM) return hv__udp_send(io, buf, len, hio_peeraddr(io));
    if (len == 0) return 0;
    if (len > INT32_MAX) return HV_ELIMIT;
    HV_API_ENTER(io_loop(io));
    int code = HV_ELIMIT;
    size_t waiting = hio_write_bufsize(io) + len;
    if (waiting - file_bytes(io) <= io->write_max) {
        code = io->flags & HIO_FLAG_LAYERED ? io->ext->layer->write(io, buf, len)
                                            : write_wire(io, buf, len);
        /* Whoever sees now that it is high waits for on_drain. */
        if (waiting > io->write_high && code == 0 && hio_write_is_high(io)) {
            io->flags |= HIO_FLAG_WAS_HIGH;
        }
    }
    HV_API_LEAVE(io_loop(io));
    return code != 0 ? code : (int)len;
}

int hio_sendto(hio_t *io, const void *buf, size_t len, const struct sockaddr *addr) {
    if (io_loop(io) == NULL || io->state >= HIO_CLOSING) return HV_ECLOSED;
    if (io->kind != HSOCK_KIND_DATAGRAM) return HV_EINVAL;
    return hv__udp_send(io, buf, len, addr);
}

int hio_flush(hio_t *io) {
    if (io_loop(io) == NULL) return HV_ECLOSED;
    if (io->state != HIO_OPEN) return io->state == HIO_CONNECTING ? 0 : HV_ECLOSED;
    HV_API_ENTER(io_loop(io));
    if (io->flags & HIO_FLAG_LAYERED) io->ext->layer->flush(io);
    if (corked_len(io) > 0) hv__io_flush_cork(io, 0);
    if (io->state == HIO_OPEN) hv__io_flush_queue(io);
    HV_API_LEAVE(io_loop(io));
    return 0;
}

int hio_shutdown(hio_t *io) {
    if (io_loop(io) == NULL || io->state >= HIO_CLOSING) return HV_ECLOSED;
    if (io->state == HIO_LISTENING || io->kind == HSOCK_KIND_DATAGRAM) return HV_EINVAL;
    if (io->flags & HIO_FLAG_SHUT_WANTED) return 0;
    if (io->state == HIO_OPEN && io->flags & HIO_FLAG_LAYERED) io->ext->layer->farewell(io);
    io->flags |= HIO_FLAG_SHUT_WANTED;
    if (io->state == HIO_OPEN && corked_len(io) == 0 && !hv__io_has_unsent(io)) {
        hv__io_drained(io);
    }
    return 0;
}

size_t hio_write_bufsize(const hio_t *io) {
    size_t layered = io->flags & HIO_FLAG_LAYERED ? io->ext->layer->pending(io) : 0;
    return hbuf_len(&io->queue) + corked_len(io) + layered + (size_t)file_bytes(io);
}

int hio_write_is_complete(const hio_t *io) { return hio_write_bufsize(io) == 0; }
int hio_write_is_high(const hio_t *io) { return hio_write_bufsize(io) > io->write_high; }
void hio_set_write_high(hio_t *io, uint32_t bytes) { io->write_high = bytes; }
void hio_set_max_write_bufsize(hio_t *io, uint32_t bytes) { io->write_max = bytes; }
