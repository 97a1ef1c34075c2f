/* hcreate.c - ios by kind and side, and those that speak TLS: short ways to what htcp.c, hudp.c and
 * the layer do. */
#include "hnet_int.h"
#include "hssl.h"

hio_t *hloop_create_ssl_server(hloop_t *loop, const char *host, int port, haccept_cb on_accept) {
    hio_t *io = hloop_create_tcp_server(loop, host, port, on_accept);
    /* The certificate comes later, by hio_new_ssl_ctx; nobody is let in without one. */
    if (io != NULL) io->flags |= HIO_FLAG_WANTS_LAYER;
    return io;
}

/* Makes a fresh client speak TLS with `host`. Returns it, or NULL with the reason set. */
static hio_t *enable_ssl(hloop_t *loop, hio_t *io, const char *host) {
    if (io == NULL) return NULL;
    int code = hio_enable_ssl(io);
    int is_path = host != NULL && (host[0] == '/' || host[0] == '@');
    if (code == 0 && host != NULL && !is_path) code = hio_set_hostname(io, host);
    if (code == 0) return io;
    io->on_close = NULL; /* the caller gets NULL and nothing else */
    hio_abort(io);
    loop->last_error = code;
    return NULL;
}

hio_t *hio_ssl_client(hloop_t *loop, const char *host, int port, hconnect_cb on_connect,
                      hclose_cb on_close) {
    return enable_ssl(loop, hio_tcp_client(loop, host, port, on_connect, on_close), host);
}

static hio_t *create_server(hloop_t *loop, const char *host, int port, hio_type_e type) {
    hio_t *io = type == HIO_TYPE_SSL ? hloop_create_ssl_server(loop, host, port, NULL)
                                     : hloop_create_tcp_server(loop, host, port, NULL);
    if (io != NULL) hio_read_stop(io); /* until hio_accept */
    return io;
}

hio_t *hio_create_socket(hloop_t *loop, const char *host, int port, hio_type_e type,
                         hio_side_e side) {
    int is_server = side == HIO_SERVER_SIDE;
    switch (type) {
    case HIO_TYPE_PIPE:
        if (host == NULL || (host[0] != '/' && host[0] != '@')) break;
        /* fall through */
    case HIO_TYPE_TCP:
    case HIO_TYPE_SSL:
        if (is_server) return create_server(loop, host, port, type);
        if (type == HIO_TYPE_SSL) return hio_ssl_client(loop, host, port, NULL, NULL);
        return hio_tcp_client(loop, host, port, NULL, NULL);
    case HIO_TYPE_UDP:
        return is_server ? hloop_create_udp_server(loop, host, port)
                         : hloop_create_udp_client(loop, host, port);
    default: break;
    }
    loop->last_error = HV_EINVAL;
    return NULL;
}

int hio_accept(hio_t *io) { return io->state == HIO_LISTENING ? hio_read(io) : HV_EINVAL; }

int hio_connect(hio_t *io) {
    if (io->state >= HIO_CLOSING) return HV_ECLOSED;
    return io->state == HIO_LISTENING ? HV_EINVAL : 0;
}

int hio_exists(hloop_t *loop, int fd) {
    const hv__watcher_t *watcher = hv__watcher_find(loop, fd);
    return watcher != NULL && watcher->node.ev.event_type == HEVENT_TYPE_IO &&
           fd == watcher->fd;
}
