/* hio_facts.c - what an io is asked and told: its number, kind, state and addresses, its context,
 * and the functions it is to call. Nothing here starts anything. */
#include "hnet_int.h"

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
    if (io_loop(io) == NULL) return 0; /* detached: it begins anew when it is attached */
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
    int is_known = io->ext != NULL && io->ext->local != NULL;
    int is_askable = io->state != HIO_DEAD && io_fd(io) >= 0;
    hio_ext_t *ext = is_known || is_askable ? hv__io_ext(io) : NULL;
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
        memmove(&io->peer, addr, addr_len); /* it may be what hio_peeraddr gave */
        return;
    }
    hio_ext_t *ext = hv__io_ext(io);
    if (ext == NULL || addr_len > sizeof *ext->peer) return;
    if (ext->peer == NULL) ext->peer = hv__malloc(sizeof *ext->peer);
    if (ext->peer == NULL) {
        if (io_loop(io) != NULL) hv__io_fail(io, HV_ENOMEM);
        return;
    }
    hsock_addr_t whole; /* by a copy: `addr` may be the one that is set already */
    memset(&whole, 0, sizeof whole); /* a path may fill its bytes without a NUL */
    memcpy(&whole, addr, addr_len);
    *ext->peer = whole;
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
void hio_setcb_accept_raw(hio_t *io, haccept_cb on_accept_raw) {
    SET_EXT(on_accept_raw, on_accept_raw);
}
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
