/* hio.c - the life of an io: made, registered, moved between loops, closed; and the end of a pass,
 * where queues are flushed and closed ios reported. */
#include "hnet_int.h"

static _Atomic uint32_t last_io_id;

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
    if (io->state != HIO_DEAD && hbuf_len(&io->queue) == 0) hv__io_drained(io);
    if (io->state == HIO_CLOSING) begin_draining(io);
    net->current = NULL;
    return 1;
}

/* ---- Readiness ---- */

void hv__io_update_interest(hio_t *io) {
    if (io->flags & HIO_FLAG_ALWAYS_READY || io_fd(io) < 0) return;
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
        if (hbuf_len(&io->queue) > 0 &&
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

uint32_t hv__io_new_tag(void) {
    uint32_t tag;
    do {
        tag = atomic_fetch_add_explicit(&last_io_id, 1, memory_order_relaxed) + 1;
    } while (tag == 0);
    return tag;
}

hio_t *hv__io_new(hloop_t *loop, int fd, hsock_kind_e kind, int state) {
    if (hv__net_of(loop) == NULL) return NULL;
    if (!loop->is_running) hloop_update_time(loop); /* the stamps below are of now */
    hio_t *io = hv__calloc(1, sizeof *io);
    if (io == NULL) {
        loop->last_error = HV_ENOMEM;
        return NULL;
    }
    hv__event_init(loop, &io->watcher.node.ev, HEVENT_TYPE_IO, on_ready);
    io->watcher.tag = hv__io_new_tag();
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
    if (watcher != NULL && watcher->node.ev.cb == on_ready) return (hio_t *)watcher;
    if (watcher != NULL) {
        loop->last_error = -EBADF; /* the loop's own */
        return NULL;
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

static void clear_timers_and_work(hio_t *io) {
    hv__defer_cancel(io_loop(io), &io->work);
    hv__io_timeouts_stop(io);
    if (io->ext != NULL) hv__connect_stop(io);
}

static void await_close(hio_t *io);

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
    clear_timers_and_work(io);
    hbuf_deinit(&io->queue);
    await_close(io);
}

/* Puts a dead io where the end of the pass reports it. */
static void await_close(hio_t *io) {
    hnet_t *net = io_net(io);
    io->next_closing = NULL;
    if (net->closing_last != NULL) {
        net->closing_last->next_closing = io;
    } else {
        net->closing = io;
    }
    net->closing_last = io;
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
        if (io->flags & HIO_FLAG_IS_SOCKET) hsock_shutdown_write(io_fd(io));
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
    if (io->flags & HIO_FLAG_LAYERED) io->ext->layer->free(io);
    if (io->ext != NULL) {
        hv__free(io->ext->local);
        hv__free(io->ext->peer);
        hv__free(io->ext->bind);
        hv__free(io->ext);
    }
    hv__free(io);
}

int hio_close(hio_t *io) {
    if (io_loop(io) == NULL) { /* detached: there is no loop to call back */
        if (!(io->flags & HIO_FLAG_STAYS_OPEN)) hsock_close(io_fd(io));
        destroy(io);
        return 0;
    }
    if (!hv__loop_is_mine(io_loop(io))) return hv__io_post(io, NULL, 0, 1);
    if (io->state >= HIO_CLOSING) return 0;
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
    if (io->state == HIO_DEAD) return 0;
    if (io->kind == HSOCK_KIND_STREAM && hio_write_bufsize(io) > 0) {
        hsock_set_reset_on_close(io_fd(io));
    }
    become_dead(io);
    return 0;
}

/* The last step: descriptor closed, callback called, memory given back. */
static void finish_close(hio_t *io) {
    hloop_t *loop = io_loop(io);
    hv__defer_cancel(loop, &io->work);
    if (hv__watcher_find(loop, io_fd(io)) == &io->watcher) {
        hv__watcher_remove(&io->watcher, io->flags & HIO_FLAG_STAYS_OPEN);
    }
    if (io_fd(io) >= 0 && !(io->flags & HIO_FLAG_STAYS_OPEN)) hsock_close(io_fd(io));
    hv__event_deactivate(&io->watcher.node.ev);
    loop->io_count--;
    if (io->on_close != NULL) HV_DISPATCH(loop, io->on_close(io));
    if (io->ext != NULL) hv__forward_closed(io);
    destroy(io);
}

/* ---- The end of a pass ---- */

static void leave_dirty_list(hio_t *io) {
    hnet_t *net = io_net(io);
    hio_t **heads[] = {&net->dirty, &net->flushing};
    for (size_t i = 0; i < ARRAY_SIZE(heads); i++) {
        hio_t *before = NULL;
        for (hio_t *at = *heads[i]; at != NULL; before = at, at = at->next_dirty) {
            if (at != io) continue;
            if (before != NULL) {
                before->next_dirty = io->next_dirty;
            } else {
                *heads[i] = io->next_dirty;
            }
            if (net->dirty_last == io) net->dirty_last = before;
            break;
        }
    }
    io->flags &= ~(uint32_t)HIO_FLAG_DIRTY;
}

/* What becomes dirty again meanwhile is left for the next pass: a writer that goes on in its own
 * on_write keeps nobody waiting. */
static int flush_dirty(hnet_t *net) {
    int count = 0;
    HV_DASSERT(net->flushing == NULL);
    net->flushing = net->dirty;
    net->dirty = net->dirty_last = NULL;
    while (net->flushing != NULL) {
        hio_t *io = net->flushing;
        net->flushing = io->next_dirty;
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

static void leave_closing_list(hio_t *io) {
    hnet_t *net = io_net(io);
    hio_t **heads[] = {&net->closing, &net->reporting};
    for (size_t i = 0; i < ARRAY_SIZE(heads); i++) {
        hio_t *before = NULL;
        for (hio_t *at = *heads[i]; at != NULL; before = at, at = at->next_closing) {
            if (at != io) continue;
            if (before != NULL) {
                before->next_closing = io->next_closing;
            } else {
                *heads[i] = io->next_closing;
            }
            if (net->closing_last == io) net->closing_last = before;
            break;
        }
    }
}

static int report_closed(hnet_t *net) {
    int count = 0;
    HV_DASSERT(net->reporting == NULL);
    net->reporting = net->closing;
    net->closing = net->closing_last = NULL;
    while (net->reporting != NULL) {
        hio_t *io = net->reporting;
        net->reporting = io->next_closing;
        if (io->flags & HIO_FLAG_DIRTY) leave_dirty_list(io);
        finish_close(io);
        count++;
    }
    return count;
}

static int end_of_pass(hloop_t *loop) {
    hnet_t *net = loop->net;
    return flush_dirty(net) + report_closed(net);
}

static int has_work(const hloop_t *loop) {
    const hnet_t *net = loop->net;
    return net->dirty != NULL || net->closing != NULL;
}

static void close_all(hloop_t *loop) {
    hnet_t *net = loop->net;
    /* Close callbacks may make new ios; they are closed as well. */
    for (int found = 1; found;) {
        found = 0;
        for (int fd = 0; fd < loop->watcher_cap; fd++) {
            hv__watcher_t *watcher = loop->watchers[fd];
            if (watcher == NULL || watcher->node.ev.cb != on_ready) continue;
            hio_abort((hio_t *)watcher);
            found = 1;
        }
        for (hio_t *io; (io = hv__connect_first(net)) != NULL; found = 1) hio_abort(io);
        if (found) report_closed(net);
        if (hv__dns_cancel_all(loop) > 0) found = 1;
    }
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

/* ---- Moving between loops ---- */

/* Ends the callback that the io is in, as far as the loop is concerned. */
static void leave_for_good(hnet_t *net, hio_t *io) {
    if (io->flags & HIO_FLAG_LAYERED && io->state != HIO_DEAD) {
        io->ext->layer->flush(io);
        io->ext->layer->keep(io);
    }
    if (net->cork_len > 0) hv__io_flush_cork(io, 0);
    if (net->nul_at != NULL) *net->nul_at = net->nul_kept;
    net->nul_at = NULL;
    if (net->rest_len > 0) {
        int code = hbuf_append(&io->kept, net->rest, net->rest_len, KEPT_BYTES_MAX);
        if (code != 0) hv__io_fail(io, code);
    }
    net->rest_len = 0;
    net->current = NULL;
}

/* An io that has failed already goes along as well: its new loop then calls the close callback. */
void hio_detach(hio_t *io) {
    hloop_t *loop = io_loop(io);
    hnet_t *net = loop->net;
    HV_ASSERT(hv__watcher_find(loop, io_fd(io)) == &io->watcher); /* not in its close callback */
    if (io->ext != NULL) hv__forward_cut(io);
    if (net->current == io) leave_for_good(net, io);
    if (io->state == HIO_DEAD) leave_closing_list(io);
    clear_timers_and_work(io);
    if (io->flags & HIO_FLAG_DIRTY) leave_dirty_list(io);
    hv__unpend(loop, &io->watcher.node);
    hv__watcher_remove(&io->watcher, 1);
    hv__event_deactivate(&io->watcher.node.ev);
    loop->io_count--;
    io->watcher.node.ev.loop = NULL;
}

/* Stamps of one loop mean nothing in another. */
static void stamp_all(hio_t *io) {
    uint32_t now_ms = hv__loop_stamp_ms(io_loop(io));
    io->last_read_ms = io->last_write_ms = now_ms;
    if (io->ext == NULL) return;
    io->ext->state_stamp_ms = io->ext->heartbeat_stamp_ms = io->ext->read_stamp_ms = now_ms;
}

void hio_attach(hloop_t *loop, hio_t *io) {
    HV_ASSERT(io_loop(io) == NULL);
    if (hv__net_of(loop) == NULL) {
        hio_close(io); /* last_error tells; there is nothing that could call back */
        return;
    }
    if (!loop->is_running) hloop_update_time(loop);
    io->watcher.node.ev.loop = loop;
    io->watcher.node.ev.event_id = loop->next_event_id++;
    io->watcher.ready = 0;
    loop->io_count++;
    hv__event_activate(&io->watcher.node.ev);
    int code = hv__watcher_add(loop, &io->watcher);
    if (code != 0 && io->error == 0) io->error = -code;
    if (code != 0) io->state = HIO_DEAD;
    if (io->state == HIO_DEAD) {
        await_close(io);
        return;
    }
    stamp_all(io);
    io->flags &= ~(uint32_t)(HIO_FLAG_HANGUP | HIO_FLAG_DRAINING);
    int is_owed = io->flags & HIO_FLAG_WAS_HIGH || (io->ext && io->ext->unreported_bytes > 0);
    if (hbuf_len(&io->queue) > 0 || is_owed) hv__io_mark_dirty(io);
    hv__io_timeouts_changed(io);
    if (io->state == HIO_CONNECTING) {
        hv__tcp_connect_later(io);
    } else if (io->flags & HIO_FLAG_READING) {
        hio_read(io);
    } else {
        hv__io_update_interest(io);
    }
}

/* ---- Facts ---- */

int hio_fd(const hio_t *io) { return io->watcher.fd; }
uint32_t hio_id(const hio_t *io) { return io->watcher.tag; }
int hio_error(const hio_t *io) { return io->error; }
int hio_is_opened(const hio_t *io) { return io->state < HIO_CLOSING; }
int hio_is_connected(const hio_t *io) {
    return io->state == HIO_OPEN && !(io->flags & HIO_FLAG_HANDSHAKING);
}
int hio_is_closed(const hio_t *io) { return io->state == HIO_DEAD; }
void hio_set_context(hio_t *io, void *context) { io->context = context; }
void *hio_context(const hio_t *io) { return io->context; }

uint32_t hio_idle_ms(const hio_t *io) {
    uint32_t now = hv__loop_stamp_ms(io_loop(io));
    uint32_t read = now - io->last_read_ms, written = now - io->last_write_ms;
    return read < written ? read : written;
}

hio_type_e hio_type(const hio_t *io) {
    switch (io->kind) {
    case HSOCK_KIND_STREAM: return io->flags & HIO_FLAG_LAYERED ? HIO_TYPE_SSL : HIO_TYPE_TCP;
    case HSOCK_KIND_DATAGRAM: return HIO_TYPE_UDP;
    case HSOCK_KIND_UNIX:
    case HSOCK_KIND_PIPE: return HIO_TYPE_PIPE;
    case HSOCK_KIND_TTY: return HIO_TYPE_STDIO;
    case HSOCK_KIND_FILE: return io_fd(io) <= 2 ? HIO_TYPE_STDIO : HIO_TYPE_FILE;
    default: return HIO_TYPE_UNKNOWN;
    }
}

static struct sockaddr no_address = {.sa_family = AF_UNSPEC};

struct sockaddr *hio_localaddr(hio_t *io) {
    /* A closed descriptor may be another socket's by now. */
    int is_closed = io->state == HIO_DEAD && (io->ext == NULL || io->ext->local == NULL);
    hio_ext_t *ext = is_closed || io_fd(io) < 0 ? NULL : hv__io_ext(io);
    if (ext == NULL) return &no_address;
    if (ext->local == NULL) {
        ext->local = hv__malloc(sizeof *ext->local);
        if (ext->local == NULL) {
            if (io_loop(io) != NULL) io_loop(io)->last_error = HV_ENOMEM;
            return &no_address;
        }
        hsock_local_address(io_fd(io), ext->local);
    }
    return &ext->local->sa;
}

struct sockaddr *hio_peeraddr(hio_t *io) {
    if (io->peer.sa.sa_family == AF_UNSPEC && io->ext != NULL && io->ext->peer != NULL) {
        return &io->ext->peer->sa;
    }
    return &io->peer.sa;
}

void hv__io_set_peer(hio_t *io, const struct sockaddr *addr, socklen_t addr_len) {
    int has_path = addr->sa_family == AF_UNIX && addr_len > offsetof(struct sockaddr_un, sun_path);
    if (!has_path && addr_len <= sizeof io->peer) {
        memcpy(&io->peer, addr, addr_len);
        return;
    }
    hio_ext_t *ext = hv__io_ext(io);
    if (ext == NULL || addr_len > sizeof *ext->peer) return;
    if (ext->peer == NULL) ext->peer = hv__malloc(sizeof *ext->peer);
    if (ext->peer == NULL) {
        if (io_loop(io) != NULL) hv__io_fail(io, HV_ENOMEM);
        return;
    }
    memset(ext->peer, 0, sizeof *ext->peer); /* a path may fill its bytes without a NUL */
    memcpy(ext->peer, addr, addr_len);
    ext->peer_len = addr_len;
    io->peer.sa.sa_family = AF_UNSPEC;
}

socklen_t hv__io_peer_len(const hio_t *io) {
    if (io->peer.sa.sa_family == AF_UNIX) return sizeof io->peer.sa.sa_family; /* unnamed */
    if (io->peer.sa.sa_family == AF_UNSPEC && io->ext != NULL && io->ext->peer != NULL) {
        return io->ext->peer_len;
    }
    return hsock_address_len(&io->peer.sa);
}

void hio_set_peeraddr(hio_t *io, const struct sockaddr *addr, socklen_t addr_len) {
    hv__io_set_peer(io, addr, addr_len);
}

/* ---- Callbacks ---- */

#define SET_EXT(field, value)             \
    do {                                  \
        hio_ext_t *ext = io->ext;         \
        if (ext == NULL && !(value)) return; \
        if (ext == NULL) ext = hv__io_ext(io); \
        if (ext != NULL) ext->field = (value); \
    } while (0)

void hio_setcb_accept(hio_t *io, haccept_cb on_accept) { SET_EXT(on_accept, on_accept); }
void hio_setcb_connect(hio_t *io, hconnect_cb on_connect) { SET_EXT(on_connect, on_connect); }
void hio_setcb_read(hio_t *io, hread_cb on_read) { io->on_read = on_read; }
void hio_setcb_write(hio_t *io, hwrite_cb on_write) { SET_EXT(on_write, on_write); }
void hio_setcb_close(hio_t *io, hclose_cb on_close) { io->on_close = on_close; }
void hio_setcb_drain(hio_t *io, hdrain_cb on_drain) { SET_EXT(on_drain, on_drain); }
void hio_setcb_eof(hio_t *io, heof_cb on_eof) { io->on_eof = on_eof; }

haccept_cb hio_getcb_accept(const hio_t *io) { return io->ext ? io->ext->on_accept : NULL; }
hconnect_cb hio_getcb_connect(const hio_t *io) { return io->ext ? io->ext->on_connect : NULL; }
hread_cb hio_getcb_read(const hio_t *io) { return io->on_read; }
hwrite_cb hio_getcb_write(const hio_t *io) { return io->ext ? io->ext->on_write : NULL; }
hclose_cb hio_getcb_close(const hio_t *io) { return io->on_close; }
