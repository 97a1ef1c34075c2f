/* htcp.c - streams: listeners that accept, and connections being made.
 *
 * Connecting begins in the pass after the creating call, so that options can be set on the io
 * first and nothing, not even a refusal, is known inside that call. A listener that runs out of
 * descriptors or memory rests for a moment instead of being woken for the same connection again.
 * What is no literal is connected to by htcp_names.c. */
#include "hnet_int.h"

#define ACCEPTS_PER_EVENT 64
#define ACCEPT_REST_MS    100
/* Taken in by a listener that stops. Its queue is shorter, but others may fill it meanwhile. */
#define LAST_ACCEPTS_MAX  65536

/* ---- Listening ---- */

static void on_rest_over(htimer_t *timer) {
    hio_t *io = hevent_userdata(timer);
    io->ext->timer = NULL;
    htimer_del(timer);
    if (io->state == HIO_LISTENING) hv__io_update_interest(io);
}

static void rest(hio_t *io, int code) {
    io_loop(io)->last_error = code;
    if (hv__io_ext(io) == NULL) return;
    if (io->ext->timer != NULL) return;
    io->ext->timer = hv__timer_add_internal(io_loop(io), on_rest_over, ACCEPT_REST_MS);
    if (io->ext->timer == NULL) return; /* then it is woken again at once */
    hevent_set_userdata(io->ext->timer, io);
    hv__watcher_set(&io->watcher, 0);
}

/* on_accept is called when the handshake is over. */
static void accept_layered(hio_t *listener, hio_t *io) {
    hio_ext_t *ext = hv__io_ext(io);
    if (ext == NULL) return;
    ext->on_accept = listener->ext->on_accept;
    ext->connect_timeout_ms = listener->ext->connect_timeout_ms > 0
                                  ? listener->ext->connect_timeout_ms
                                  : HIO_DEFAULT_CONNECT_TIMEOUT;
    if (hv__tls_accept(listener, io) != 0) {
        hv__io_fail(io, HV_ENOMEM);
        return;
    }
    haccept_cb on_accept_raw = listener->ext->on_accept_raw;
    if (on_accept_raw != NULL) HV_DISPATCH(io_loop(io), on_accept_raw(io));
    if (io->state == HIO_OPEN) hv__io_begin_layer(io);
}

/* Takes one connection in. Returns whether the listener may go on. */
static int take_connection(hio_t *listener, int fd, const hsock_addr_t *peer, socklen_t peer_len) {
    hloop_t *loop = io_loop(listener);
    hio_t *io = hv__io_new(loop, fd, (hsock_kind_e)listener->kind, HIO_OPEN);
    if (io == NULL) {
        hsock_close(fd);
        rest(listener, HV_ENOMEM);
        return 0;
    }
    io->watcher.node.ev.userdata = listener->watcher.node.ev.userdata;
    hv__io_set_peer(io, &peer->sa, peer_len);
    haccept_cb on_accept = listener->ext != NULL ? listener->ext->on_accept : NULL;
    int is_layered = (listener->flags & HIO_FLAG_LAYERED) != 0;
    if (on_accept == NULL || (listener->flags & HIO_FLAG_WANTS_LAYER && !is_layered)) {
        hio_close(io);
        return 1;
    }
    if (is_layered) {
        accept_layered(listener, io);
    } else {
        hv__io_enter(io);
        HV_DISPATCH(loop, on_accept(io));
        hv__io_leave(loop->net, io);
    }
    return listener->state == HIO_LISTENING && listener->flags & HIO_FLAG_READING;
}

static int is_peers_failure(int code) {
    return code == -ECONNABORTED || code == -EPROTO || code == -ENETDOWN || code == -EHOSTDOWN ||
           code == -EHOSTUNREACH || code == -ENETUNREACH || code == -ENOPROTOOPT ||
           code == -ENONET || code == -EOPNOTSUPP;
}

void hv__tcp_accept_ready(hio_t *io) {
    for (int i = 0; i < ACCEPTS_PER_EVENT; i++) {
        hsock_addr_t peer;
        socklen_t peer_len;
        int fd = hsock_accept(io_fd(io), &peer, &peer_len);
        if (fd == HV_EAGAIN) return;
        if (fd < 0) {
            if (is_peers_failure(fd)) continue; /* accept(2): treat like EAGAIN, try the next */
            rest(io, fd);
            return;
        }
        if (!take_connection(io, fd, &peer, peer_len)) return;
    }
}

/* The listener is out of the backend by now. A wake-up may have been spent on this loop alone, for
 * a connection that nobody else would be woken for: whoever is in the queue is taken in here. */
static void accept_last(hv__defer_t *work) {
    hio_t *io = (hio_t *)(void *)((char *)work - offsetof(hio_t, work));
    for (int i = 0; i < LAST_ACCEPTS_MAX && io->state == HIO_LISTENING; i++) {
        hsock_addr_t peer;
        socklen_t peer_len;
        int fd = hsock_accept(io_fd(io), &peer, &peer_len);
        if (fd < 0 && is_peers_failure(fd)) continue;
        if (fd < 0) break;
        take_connection(io, fd, &peer, peer_len);
    }
    hio_close(io);
}

int hio_stop_accepting(hio_t *io) {
    if (io->state != HIO_LISTENING) return HV_ECLOSED;
    hio_read_stop(io);
    hv__defer(io_loop(io), &io->work, accept_last);
    return 0;
}

static hio_t *listen_on(hloop_t *loop, int fd, hsock_kind_e kind, haccept_cb on_accept, int flags) {
    hio_t *io = hv__io_new(loop, fd, kind, HIO_LISTENING);
    if (io == NULL) return NULL;
    io->flags |= HIO_FLAG_READING;
    if (flags & HIO_LISTEN_REUSE_PORT) io->flags |= HIO_FLAG_EXCLUSIVE;
    hio_setcb_accept(io, on_accept);
    if (io->state == HIO_LISTENING && io->ext == NULL) hv__io_ext(io);
    if (io->state == HIO_LISTENING) hv__io_update_interest(io);
    if (io->state == HIO_LISTENING) return io;
    loop->last_error = -io->error;
    return NULL;
}

hio_t *hloop_create_tcp_listener(hloop_t *loop, const char *host, int port, haccept_cb on_accept,
                                 int backlog, int flags) {
    hsock_addr_t addr;
    int len = hsock_address(&addr, host, port);
    int fd = len < 0 ? len
                     : hsock_listen(&addr, (socklen_t)len, backlog, flags);
    if (fd < 0) {
        loop->last_error = fd;
        return NULL;
    }
    hsock_kind_e kind = addr.sa.sa_family == AF_UNIX ? HSOCK_KIND_UNIX : HSOCK_KIND_STREAM;
    hio_t *io = listen_on(loop, fd, kind, on_accept, flags);
    if (io == NULL && hv__watcher_find(loop, fd) == NULL) hsock_close(fd);
    return io;
}

hio_t *hloop_create_tcp_server(hloop_t *loop, const char *host, int port, haccept_cb on_accept) {
    return hloop_create_tcp_listener(loop, host, port, on_accept, 0, 0);
}

hio_t *haccept(hloop_t *loop, int listenfd, haccept_cb on_accept) {
    hio_t *io = hio_get(loop, listenfd);
    if (io == NULL) return NULL;
    if (io->state != HIO_LISTENING) {
        loop->last_error = HV_EINVAL;
        return NULL;
    }
    /* The descriptor may be shared with other loops and processes: wake one of them. */
    io->flags |= HIO_FLAG_READING | HIO_FLAG_EXCLUSIVE;
    hio_setcb_accept(io, on_accept);
    if (io->ext == NULL) hv__io_ext(io);
    if (io->state == HIO_LISTENING) hv__io_update_interest(io);
    return io->state == HIO_LISTENING ? io : NULL;
}

/* ---- Connecting ---- */

void hv__tcp_connected(hio_t *io) {
    hloop_t *loop = io_loop(io);
    io->state = HIO_OPEN;
    io->last_read_ms = io->last_write_ms = hv__loop_stamp_ms(loop);
    if (io->ext != NULL) io->ext->read_stamp_ms = io->ext->heartbeat_stamp_ms = io->last_read_ms;
    if (io->flags & HIO_FLAG_LAYERED) {
        hv__io_begin_layer(io);
        return;
    }
    hv__io_timeouts_changed(io);
    hv__io_enter(io);
    hv__io_update_interest(io);
    hconnect_cb on_connect = io->ext != NULL ? io->ext->on_connect : NULL;
    if (io->state == HIO_OPEN && on_connect != NULL) HV_DISPATCH(loop, on_connect(io));
    hnet_t *net = loop->net;
    if (net->current != io) return;
    /* What was written while connecting stands in the queue, before what on_connect wrote. */
    if (io->state != HIO_DEAD && hbuf_len(&io->queue) > 0) hv__io_flush_queue(io);
    hv__io_leave(net, io);
}

void hv__tcp_connect_ready(hio_t *io) {
    int code = hsock_take_error(io_fd(io));
    if (code == 0) code = hsock_refuse_self(io_fd(io), hio_peeraddr(io));
    if (code != 0) {
        hv__io_fail(io, code);
    } else {
        hv__tcp_connected(io);
    }
}

static void begin_connect(hv__defer_t *work) {
    hio_t *io = HV_CONTAINER_OF(work, hio_t, work);
    if (io->state != HIO_CONNECTING) return;
    const struct sockaddr *addr = hio_peeraddr(io);
    const hsock_addr_t *own = io->ext != NULL ? io->ext->bind : NULL;
    int code = own != NULL ? hsock_bind(io_fd(io), own, hsock_address_len(&own->sa)) : 0;
    if (code == 0) code = hsock_connect(io_fd(io), addr, hv__io_peer_len(io));
    if (code == 0) code = hsock_refuse_self(io_fd(io), addr);
    if (code == 0 || code == -EISCONN) {
        hv__tcp_connected(io);
    } else if (code == -EINPROGRESS || code == -EALREADY) {
        if (io->ext != NULL) io->ext->state_stamp_ms = hv__loop_stamp_ms(io_loop(io));
        hv__io_timeouts_changed(io);
        if (io->state == HIO_CONNECTING) hv__io_update_interest(io);
    } else {
        hv__io_fail(io, code);
    }
}

void hv__tcp_connect_later(hio_t *io) {
    hv__defer_cancel(io_loop(io), &io->work); /* a connecting io has nothing else to do */
    hv__defer(io_loop(io), &io->work, begin_connect);
}

static hio_t *connect_by_name(hloop_t *loop, const char *host, int port, hconnect_cb on_connect,
                              hclose_cb on_close) {
    hio_t *io = hv__connect_by_name(loop, host, port, HSOCK_KIND_STREAM);
    if (io == NULL) return NULL;
    io->on_close = on_close;
    io->ext->on_connect = on_connect;
    return io;
}

hio_t *hio_tcp_client(hloop_t *loop, const char *host, int port, hconnect_cb on_connect,
                      hclose_cb on_close) {
    hsock_addr_t addr;
    int len = hsock_address(&addr, host, port);
    if (len == HV_ENOTFOUND) return connect_by_name(loop, host, port, on_connect, on_close);
    int fd = len < 0 ? len : hsock_open(addr.sa.sa_family, SOCK_STREAM);
    if (fd < 0) {
        loop->last_error = fd;
        return NULL;
    }
    int is_unix = addr.sa.sa_family == AF_UNIX;
    if (!is_unix) hsock_set_no_delay(fd);
    hio_t *io = hv__io_new(loop, fd, is_unix ? HSOCK_KIND_UNIX : HSOCK_KIND_STREAM, HIO_CONNECTING);
    if (io == NULL) {
        hsock_close(fd);
        return NULL;
    }
    io->flags |= HIO_FLAG_CLIENT;
    io->on_close = on_close;
    hio_ext_t *ext = hv__io_ext(io);
    if (ext != NULL) {
        ext->on_connect = on_connect;
        ext->connect_timeout_ms = HIO_DEFAULT_CONNECT_TIMEOUT;
        ext->state_stamp_ms = hv__loop_stamp_ms(loop);
        hv__io_set_peer(io, &addr.sa, (socklen_t)len);
        if (io->state == HIO_CONNECTING) hv__tcp_connect_later(io);
    }
    return io;
}

static int may_bind(const hio_t *io) {
    if (io->state != HIO_CONNECTING || io->kind != HSOCK_KIND_STREAM || io->ext == NULL) return 0;
    if (io->ext->connect != NULL) return !hv__connect_has_begun(io);
    return io->work.run == begin_connect;
}

int hio_set_bind(hio_t *io, const char *host, int port) {
    hsock_addr_t addr;
    int len = hsock_address(&addr, host, port);
    if (len < 0) return len;
    if (addr.sa.sa_family == AF_UNIX) return HV_EINVAL;
    if (!may_bind(io)) return HV_EBUSY;
    if (io->ext->bind == NULL) io->ext->bind = hv__malloc(sizeof *io->ext->bind);
    if (io->ext->bind == NULL) return HV_ENOMEM;
    *io->ext->bind = addr;
    return 0;
}

hio_t *hconnect(hloop_t *loop, int connfd, hconnect_cb on_connect) {
    hio_t *io = hio_get(loop, connfd);
    if (io == NULL) return NULL;
    if (hv__io_ext(io) == NULL) {
        loop->last_error = HV_ENOMEM;
        return NULL;
    }
    hio_setcb_connect(io, on_connect);
    if (io->state != HIO_OPEN) return io;
    io->state = HIO_CONNECTING;
    io->flags |= HIO_FLAG_CLIENT;
    if (io->ext->connect_timeout_ms == 0) {
        io->ext->connect_timeout_ms = HIO_DEFAULT_CONNECT_TIMEOUT;
    }
    hv__tcp_connect_later(io);
    return io;
}
