/* hio.c - the life of an io: made, registered, closed; and the end of a pass, where queues are
 * flushed and closed ios reported. Moving to another loop is in hio_move.c. */
#include "hio_virtual.h"
#include "hlinger.h"
#include "hnet_int.h"

/* ---- What a loop keeps ---- */

static int end_of_pass(hloop_t *loop);
static int has_work(const hloop_t *loop);
static void close_all(hloop_t *loop);

static const hv__net_hooks_t net_hooks = {
    .end_of_pass = end_of_pass,
    .has_work = has_work,
    .close_all = close_all,
};

hnet_t *hv__net_of(hloop_t *loop) {
    if (loop->net != NULL) return loop->net;
    hnet_t *net = hv__malloc(sizeof *net);
    if (net == NULL) {
        loop->last_error = HV_ENOMEM;
        return NULL;
    }
    memset(net, 0, offsetof(hnet_t, read_buffer)); /* the buffers need not be touched */
    loop->net = net;
    loop->net_hooks = &net_hooks;
    return net;
}

/* ---- Around the callbacks of an io ---- */

void hv__io_enter(hio_t *io) {
    hnet_t *net = io_net(io);
    HV_DASSERT(net->current == NULL && net->cork_len == 0);
    net->current = io;
}

/* Has the layer turn what the callback wrote into bytes for the wire. */
static void turn_plain(const hnet_t *net, hio_t *io) {
    if (net->plain_len > 0 && io->state != HIO_DEAD) io->ext->layer->flush(io);
}

static void begin_draining(hio_t *io);

int hv__io_leave(hnet_t *net, hio_t *io) {
    if (net->current != io) return 0;
    turn_plain(net, io);
    if (net->cork_len > 0) {
        hv__io_flush_cork(io, 1);
        if (net->current != io) return 0;
        turn_plain(net, io);
        /* What on_write itself has written is left for the end of the pass, so that an endless
         * writer does not keep the others waiting. */
        if (net->cork_len > 0) {
            size_t len = net->cork_len;
            net->cork_len = 0;
            if (hbuf_append(&io->queue, net->cork, len, KEPT_BYTES_MAX) != 0) {
                hv__io_fail(io, HV_ENOMEM);
            }
            if (io->state != HIO_DEAD) hv__io_mark_dirty(io);
        }
    }
    if (io->state != HIO_DEAD && !hv__io_has_unsent(io)) hv__io_drained(io);
    if (io->state == HIO_CLOSING) begin_draining(io);
    net->current = NULL;
    return 1;
}

/* ---- Readiness ---- */

void hv__io_update_interest(hio_t *io) {
    if (io->flags & HIO_FLAG_ALWAYS_READY || io_fd(io) < 0) {
        if (io->flags & HIO_FLAG_VIRTUAL) io->ext->wire->interest(io);
        return;
    }
    unsigned interest = 0;
    switch (io->state) {
    case HIO_LISTENING:
        if (io->flags & HIO_FLAG_READING) interest = HPOLL_READ;
        if (interest && io->flags & HIO_FLAG_EXCLUSIVE) interest |= HPOLL_EXCLUSIVE;
        break;
    case HIO_CONNECTING: interest = HPOLL_WRITE; break;
    case HIO_OPEN:
        /* Reading that was stopped keeps its place until bytes arrive: see hv__io_read_ready. */
        if (io->flags & (HIO_FLAG_READING | HIO_FLAG_HANDSHAKING) ||
            io->watcher.interest & HPOLL_READ) {
            if (!(io->flags & (HIO_FLAG_EOF | HIO_FLAG_HANGUP))) interest = HPOLL_READ;
        }
        /* fall through */
    case HIO_CLOSING:
        /* A dirty one is flushed at the end of the pass, and asks then if it has to. */
        if (hv__io_has_unsent(io) &&
            (!(io->flags & HIO_FLAG_DIRTY) || io->watcher.interest & HPOLL_WRITE)) {
            interest |= HPOLL_WRITE;
        }
        break;
    default: return;
    }
    int code = hv__watcher_set(&io->watcher, interest);
    if (code == -EPERM && io->kind == HSOCK_KIND_FILE) {
        io->flags |= HIO_FLAG_ALWAYS_READY;
    } else if (code != 0) {
        hv__io_fail(io, code);
    }
}

static void on_ready(hevent_t *ev) {
    hio_t *io = (hio_t *)ev;
    unsigned ready = io->watcher.ready;
    io->watcher.ready = 0;
    hnet_t *net = io_net(io);
    switch (io->state) {
    case HIO_LISTENING: hv__tcp_accept_ready(io); break;
    case HIO_CONNECTING: hv__tcp_connect_ready(io); break;
    case HIO_OPEN:
    case HIO_CLOSING:
        hv__io_enter(io);
        if (io->state == HIO_CLOSING && ready & HPOLL_HANGUP) {
            hv__io_fail(io, hsock_take_error(io_fd(io)));
        }
        /* Reading first: a peer that has gone may have said why before writing to it fails. */
        if (io->state == HIO_OPEN && ready & (HPOLL_READ | HPOLL_HANGUP)) {
            hv__io_read_ready(io, ready);
        }
        if (net->current == io && ready & HPOLL_WRITE) hv__io_flush_queue(io);
        hv__io_leave(net, io);
        break;
    default: break;
    }
}

/* ---- Making ---- */

hio_t *hv__io_new(hloop_t *loop, int fd, hsock_kind_e kind, int state) {
    if (hv__net_of(loop) == NULL) return NULL;
    if (!loop->is_running) hloop_update_time(loop); /* the stamps below are of now */
    hio_t *io = hv__calloc(1, sizeof *io);
    if (io == NULL) {
        loop->last_error = HV_ENOMEM;
        return NULL;
    }
    hv__event_init(loop, &io->watcher.node.ev, HEVENT_TYPE_IO, on_ready);
    io->watcher.tag = hv__watcher_new_tag();
    io->watcher.fd = fd;
    io->state = (uint8_t)state;
    io->kind = (uint8_t)kind;
    io->write_high = HIO_DEFAULT_WRITE_HIGH;
    io->write_max = HIO_DEFAULT_WRITE_MAX;
    io->kept_max = DEFAULT_PACKAGE_MAX_LENGTH;
    io->last_read_ms = io->last_write_ms = hv__loop_stamp_ms(loop);
    if (kind == HSOCK_KIND_STREAM || kind == HSOCK_KIND_UNIX || kind == HSOCK_KIND_DATAGRAM) {
        io->flags |= HIO_FLAG_IS_SOCKET;
    }
    if (fd >= 0 && hv__watcher_add(loop, &io->watcher) != 0) {
        loop->last_error = HV_ENOMEM;
        hv__free(io);
        return NULL;
    }
    loop->io_count++;
    hv__event_activate(&io->watcher.node.ev);
    return io;
}

hio_t *hv__io_of_watcher(hv__watcher_t *watcher) {
    return watcher != NULL && watcher->node.ev.cb == on_ready ? (hio_t *)watcher : NULL;
}

hio_ext_t *hv__io_ext(hio_t *io) {
    if (io->ext != NULL) return io->ext;
    io->ext = hv__calloc(1, sizeof *io->ext);
    if (io->ext == NULL) {
        if (io_loop(io) != NULL) hv__io_fail(io, HV_ENOMEM);
        return NULL;
    }
    io->ext->close_timeout_ms = HIO_DEFAULT_CLOSE_TIMEOUT;
    return io->ext;
}

hio_t *hio_get(hloop_t *loop, int fd) {
    hv__watcher_t *watcher = hv__watcher_find(loop, fd);
    if (watcher != NULL) {
        hio_t *known = hv__io_of_watcher(watcher);
        if (known == NULL) loop->last_error = -EBADF; /* the loop's own */
        return known;
    }
    hsock_kind_e kind = hsock_kind(fd);
    if (kind == HSOCK_KIND_BAD) {
        loop->last_error = -EBADF;
        return NULL;
    }
    int is_standard = fd <= 2;
    if (!is_standard || kind < HSOCK_KIND_TTY) {
        int code = hsock_set_nonblocking(fd);
        if (code != 0) {
            loop->last_error = code;
            return NULL;
        }
    }
    hio_t *io = hv__io_new(loop, fd, kind, hsock_is_listening(fd) ? HIO_LISTENING : HIO_OPEN);
    if (io == NULL) return NULL;
    if (is_standard) io->flags |= HIO_FLAG_STAYS_OPEN;
    if (io->state == HIO_LISTENING) hv__io_ext(io);
    if (io->flags & HIO_FLAG_IS_SOCKET) {
        hsock_addr_t peer;
        socklen_t len = hsock_peer_address(fd, &peer);
        if (len > 0) hv__io_set_peer(io, &peer.sa, len);
        /* Datagrams of a socket that is connected go without an address. */
        if (len > 0 && kind == HSOCK_KIND_DATAGRAM) io->flags |= HIO_FLAG_CLIENT;
    }
    return io;
}

hio_t *hread(hloop_t *loop, int fd, void *buf, size_t len, hread_cb on_read) {
    hio_t *io = hio_get(loop, fd);
    if (io == NULL) return NULL;
    if (buf != NULL && len > 0) hio_set_readbuf(io, buf, len);
    if (on_read != NULL) hio_setcb_read(io, on_read);
    hio_read(io);
    return io;
}

hio_t *hwrite(hloop_t *loop, int fd, const void *buf, size_t len, hwrite_cb on_write) {
    hio_t *io = hio_get(loop, fd);
    if (io == NULL) return NULL;
    if (on_write != NULL) hio_setcb_write(io, on_write);
    hio_write(io, buf, len);
    return io;
}

void hclose(hloop_t *loop, int fd) {
    hio_t *io = hio_get(loop, fd);
    if (io != NULL) hio_close(io);
}

/* ---- Closing ---- */

void hv__io_stop_work(hio_t *io) {
    hv__defer_cancel(io_loop(io), &io->work);
    hv__io_timeouts_stop(io);
    if (io->ext != NULL) hv__connect_stop(io);
}

/* Nothing more will be sent or read: the io waits for its close callback. */
static void become_dead(hio_t *io) {
    if (io->state == HIO_DEAD) return;
    hnet_t *net = io_net(io);
    HV_DASSERT(net != NULL);
    /* Another process may hold the same socket: the descriptor's close would leave it in the
     * backend, where it swallows wake-ups that are meant for one of those who share it. */
    if (io->state == HIO_LISTENING || io->kind == HSOCK_KIND_DATAGRAM) {
        hv__watcher_set(&io->watcher, 0);
    }
    io->state = HIO_DEAD;
    io->flags &= ~(uint32_t)HIO_FLAG_READING;
    if (net->current == io) net->cork_len = net->plain_len = 0;
    hv__io_stop_work(io);
    hbuf_deinit(&io->queue);
    hv__io_drop_files(io);
    hlist_push(&net->closing, &io->closing_link);
}

void hv__io_fail(hio_t *io, int code) {
    if (io->error == 0 && code != 0) io->error = code < 0 ? -code : code;
    become_dead(io);
}

void hv__io_drained(hio_t *io) {
    if (io->state == HIO_CLOSING) {
        become_dead(io);
    } else if (io->state == HIO_OPEN && io->flags & HIO_FLAG_SHUT_WANTED &&
               !(io->flags & HIO_FLAG_SHUT)) {
        io->flags |= HIO_FLAG_SHUT;
        if (io->flags & HIO_FLAG_IS_SOCKET) {
            hsock_shutdown_write(io_fd(io));
        } else if (io->flags & HIO_FLAG_VIRTUAL) {
            io->ext->wire->shutdown(io);
        } else if (!hsock_can_read(io_fd(io))) {
            become_dead(io); /* the end of a pipe has no other side to go on with */
        }
    }
}

/* The io closes when its queue has been sent, or after the close timeout. */
static void begin_draining(hio_t *io) {
    HV_DASSERT(io->state == HIO_CLOSING);
    if (io->flags & HIO_FLAG_DRAINING) return;
    io->flags |= HIO_FLAG_DRAINING;
    hv__io_update_interest(io);
    hio_ext_t *ext = io->state == HIO_CLOSING ? hv__io_ext(io) : NULL;
    if (ext == NULL) return;
    ext->state_stamp_ms = hv__loop_stamp_ms(io_loop(io));
    hv__io_timeouts_changed(io);
}

/* Frees an io that no loop knows. */
static void destroy(hio_t *io) {
    hbuf_deinit(&io->kept);
    hbuf_deinit(&io->queue);
    hv__io_drop_files(io);
    if (io->flags & HIO_FLAG_LAYERED) io->ext->layer->free(io);
    if (io->ext != NULL) {
        hv__free(io->ext->local);
        hv__free(io->ext->peer);
        hv__free(io->ext->bind);
        hv__free(io->ext);
    }
    hv__free(io);
}

/* There is no loop that could call back. */
static int close_detached(hio_t *io) {
    if (!(io->flags & HIO_FLAG_STAYS_OPEN)) hsock_close(io_fd(io));
    destroy(io);
    return 0;
}

int hio_close(hio_t *io) {
    if (io_loop(io) == NULL) return close_detached(io);
    if (!hv__loop_is_mine(io_loop(io))) return hv__io_post(io, NULL, 0, 1);
    if (io->state >= HIO_CLOSING) return 0;
    io->flags |= HIO_FLAG_GENTLE;
    if (io->state == HIO_OPEN && io->flags & HIO_FLAG_LAYERED) {
        io->ext->layer->farewell(io);
        if (io->state == HIO_DEAD) return 0;
    }
    if (io->state != HIO_OPEN || io->flags & HIO_FLAG_HANDSHAKING || hio_write_bufsize(io) == 0) {
        become_dead(io);
        return 0;
    }
    io->state = HIO_CLOSING;
    io->flags &= ~(uint32_t)HIO_FLAG_READING;
    /* Mostly one send is all that is missing: only if that is not enough a timer is needed. */
    if (io_net(io)->current != io && !(io->flags & HIO_FLAG_DIRTY)) begin_draining(io);
    return 0;
}

int hio_abort(hio_t *io) {
    int is_detached = io_loop(io) == NULL;
    if (io->state == HIO_DEAD && !is_detached) return 0;
    if (io->kind == HSOCK_KIND_STREAM && hio_write_bufsize(io) > 0) {
        hsock_set_reset_on_close(io_fd(io));
    }
    if (is_detached) return close_detached(io);
    io->flags &= ~(uint32_t)HIO_FLAG_GENTLE;
    become_dead(io);
    return 0;
}

/* The last step: descriptor closed, callback called, memory given back. */
static void finish_close(hio_t *io) {
    hloop_t *loop = io_loop(io);
    hv__defer_cancel(loop, &io->work);
    int lingers = hv__linger_is_due(io);
    if (hv__watcher_find(loop, io_fd(io)) == &io->watcher) {
        hv__watcher_remove(&io->watcher, lingers || io->flags & HIO_FLAG_STAYS_OPEN);
    }
    if (lingers) {
        hv__linger_begin(loop, io_fd(io));
    } else if (io_fd(io) >= 0 && !(io->flags & HIO_FLAG_STAYS_OPEN)) {
        hsock_close(io_fd(io));
    }
    hv__event_deactivate(&io->watcher.node.ev);
    loop->io_count--;
    if (io->on_close != NULL) HV_DISPATCH(loop, io->on_close(io));
    if (io->ext != NULL) hv__forward_closed(io);
    hv__io_leave_owner(io, 0);
    destroy(io);
}

/* ---- The end of a pass ---- */

void hv__io_leave_lists(hio_t *io) {
    hnet_t *net = io_net(io);
    if (io->flags & HIO_FLAG_DIRTY) {
        int is_found = hlist_remove(&net->dirty, &io->dirty_link) ||
                       hlist_remove(&net->flushing, &io->dirty_link);
        HV_ASSERT(is_found);
        io->flags &= ~(uint32_t)HIO_FLAG_DIRTY;
    }
    if (io->state == HIO_DEAD) {
        int is_found = hlist_remove(&net->closing, &io->closing_link) ||
                       hlist_remove(&net->reporting, &io->closing_link);
        HV_ASSERT(is_found);
    }
}

/* What becomes dirty again meanwhile is left for the next pass: a writer that goes on in its own
 * on_write keeps nobody waiting. */
static int flush_dirty(hnet_t *net) {
    int count = 0;
    HV_DASSERT(net->flushing.first == NULL);
    net->flushing = hlist_take(&net->dirty);
    for (hlink_t *link; (link = hlist_shift(&net->flushing)) != NULL;) {
        hio_t *io = HV_CONTAINER_OF(link, hio_t, dirty_link);
        io->flags &= ~(uint32_t)HIO_FLAG_DIRTY;
        if (io->state == HIO_DEAD) continue;
        hv__io_enter(io);
        /* Where the kernel has been asked to tell, there is no room yet. */
        if (!(io->watcher.interest & HPOLL_WRITE)) hv__io_flush_queue(io);
        hv__io_report_owed(io);
        hv__io_leave(net, io);
        count++;
    }
    return count;
}

static int report_closed(hnet_t *net) {
    int count = 0;
    HV_DASSERT(net->reporting.first == NULL);
    net->reporting = hlist_take(&net->closing);
    for (; net->reporting.first != NULL; count++) {
        hio_t *io = HV_CONTAINER_OF(net->reporting.first, hio_t, closing_link);
        hv__io_leave_lists(io);
        finish_close(io);
    }
    return count;
}

static int end_of_pass(hloop_t *loop) {
    hnet_t *net = loop->net;
    return flush_dirty(net) + report_closed(net);
}

static int has_work(const hloop_t *loop) {
    const hnet_t *net = loop->net;
    return net->dirty.first != NULL || net->closing.first != NULL;
}

static void close_all(hloop_t *loop) {
    hnet_t *net = loop->net;
    /* Close callbacks may make new ios; they are closed as well. */
    for (int found = 1; found;) {
        found = 0;
        for (int fd = 0; fd < loop->watcher_cap; fd++) {
            hio_t *io = hv__io_of_watcher(loop->watchers[fd]);
            if (io == NULL) continue;
            hio_abort(io);
            found = 1;
        }
        for (hio_t *io; (io = hv__connect_first(net)) != NULL; found = 1) hio_abort(io);
        if (net->closing.first != NULL) {
            report_closed(net); /* which may take others along */
            found = 1;
        }
        if (hv__dns_cancel_all(loop) > 0) found = 1;
    }
    hv__linger_end_all(loop);
    hv__dns_close(loop);
    hv__free(net->tls_room);
    hv__free(net);
    loop->net = NULL;
    loop->net_hooks = NULL;
}

/* ---- Layers ---- */

void hv__io_begin_layer(hio_t *io) {
    hnet_t *net = io_net(io);
    io->flags &= ~(uint32_t)HIO_FLAG_LAYER_DUE;
    io->flags |= HIO_FLAG_HANDSHAKING;
    io->ext->state_stamp_ms = hv__loop_stamp_ms(io_loop(io));
    hv__io_timeouts_changed(io);
    hv__io_enter(io);
    hv__io_update_interest(io);
    if (io->state == HIO_OPEN) io->ext->layer->begin(io);
    hv__io_leave(net, io);
}

void hv__io_layer_open(hio_t *io) {
    hloop_t *loop = io_loop(io);
    io->flags &= ~(uint32_t)HIO_FLAG_HANDSHAKING;
    hv__io_timeouts_changed(io);
    hv__tls_flush_early(io);
    if (io->state != HIO_OPEN) return;
    haccept_cb on_open = io->ext->on_accept != NULL ? io->ext->on_accept : io->ext->on_connect;
    if (on_open != NULL) HV_DISPATCH(loop, on_open(io));
}
